//! The arrows between the crates, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on; the design's picture as data.
const ARROWS: [(&str, &[&str]); 14] = [
    ("dropforge-aws", &[]),
    ("dropforge-manifest", &[]),
    ("dropforge-engine", &["dropforge-manifest"]),
    ("dropforge-driver", &["dropforge-engine", "dropforge-manifest"]),
    ("dropforge-storage", &["dropforge-driver", "dropforge-engine", "dropforge-manifest"]),
    ("dropforge-queue", &["dropforge-driver", "dropforge-engine", "dropforge-manifest"]),
    ("dropforge-cluster", &["dropforge-driver", "dropforge-engine", "dropforge-manifest"]),
    (
        "dropforge-executor",
        &[
            "dropforge-aws",
            "dropforge-driver",
            "dropforge-engine",
            "dropforge-manifest",
            "dropforge-queue",
            "dropforge-storage",
        ],
    ),
    (
        "dropforge-cli",
        &[
            "dropforge-aws",
            "dropforge-cluster",
            "dropforge-driver",
            "dropforge-engine",
            "dropforge-executor",
            "dropforge-manifest",
            "dropforge-queue",
            "dropforge-storage",
        ],
    ),
    (
        "dropforge-ingest",
        &[
            "dropforge-deployment",
            "dropforge-driver",
            "dropforge-engine",
            "dropforge-manifest",
            "dropforge-queue",
            "dropforge-storage",
        ],
    ),
    (
        "dropforge-deployment",
        &[
            "dropforge-aws",
            "dropforge-cluster",
            "dropforge-driver",
            "dropforge-engine",
            "dropforge-manifest",
            "dropforge-queue",
            "dropforge-storage",
        ],
    ),
    (
        "dropforge-advance",
        &[
            "dropforge-cluster",
            "dropforge-deployment",
            "dropforge-driver",
            "dropforge-engine",
            "dropforge-executor",
            "dropforge-manifest",
            "dropforge-queue",
            "dropforge-storage",
        ],
    ),
    ("dropforge-dispatch", &["dropforge-aws", "dropforge-cluster", "dropforge-deployment"]),
    ("dropforge-sweep", FUNCTION),
];

/// What a function is made of.
const FUNCTION: &[&str] = &[
    "dropforge-cluster",
    "dropforge-deployment",
    "dropforge-driver",
    "dropforge-engine",
    "dropforge-queue",
    "dropforge-storage",
];

/// Words that a pure crate's dependency tree may not contain.
const IMPURE: [&str; 7] = ["tokio", "aws-", "kube", "rand", "getrandom", "hyper", "uuid"];

/// Words that nothing on the laptop's path may contain.
const CLOUD: [&str; 3] = ["aws-", "kube", "k8s-openapi"];

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Names of all packages by id, and each id's normal dependencies.
fn graph(metadata: &Value) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let names = packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let normal =
        |dep: &&Value| dep["dep_kinds"].as_array().is_some_and(|k| k.iter().any(|k| k["kind"].is_null()));
    let edges = nodes
        .iter()
        .map(|n| {
            (
                text(&n["id"]),
                n["deps"].as_array().expect("deps").iter().filter(normal).map(|d| text(&d["pkg"])).collect(),
            )
        })
        .collect();
    (names, edges)
}

fn id_of<'a>(names: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    let found = names.iter().find(|(_, n)| *n == name);
    found.unwrap_or_else(|| panic!("there is no crate {name}")).0
}

fn tree(id: &str, edges: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![id.to_owned()];
    while let Some(next) = open.pop() {
        for dep in edges.get(&next).into_iter().flatten() {
            if seen.insert(dep.clone()) {
                open.push(dep.clone());
            }
        }
    }
    seen
}

#[test]
fn crates_depend_only_on_what_the_design_draws() {
    let (names, edges) = graph(&metadata());
    for (name, allowed) in ARROWS {
        let own = &edges[id_of(&names, name)];
        let found: Vec<&str> =
            own.iter().map(|d| names[d].as_str()).filter(|n| n.starts_with("dropforge-")).collect();
        for dependency in found {
            assert!(
                allowed.contains(&dependency),
                "{name} depends on {dependency}: the design draws no such arrow"
            );
        }
    }
}

#[test]
fn every_shared_crate_is_in_the_picture() {
    let (names, _) = graph(&metadata());
    let drawn: BTreeSet<&str> = ARROWS.iter().map(|(n, _)| *n).collect();
    let tests = [
        "dropforge-architecture",
        "dropforge-cloud-tests",
        "dropforge-conformance",
        "dropforge-contracts",
        "dropforge-infra-tests",
        "dropforge-samples-tests",
        "dropforge-scale",
        "dropforge-simulation-tests",
    ];
    for name in names.values().filter(|n| n.starts_with("dropforge-") && !tests.contains(&n.as_str())) {
        assert!(drawn.contains(name.as_str()), "{name} is not in the picture");
    }
}

#[test]
fn the_pure_crates_know_no_runtime_no_cloud_and_no_randomness() {
    let (names, edges) = graph(&metadata());
    for name in ["dropforge-manifest", "dropforge-engine"] {
        for dependency in tree(id_of(&names, name), &edges) {
            let dependency = &names[&dependency];
            let impure = IMPURE.iter().any(|word| dependency.starts_with(word));
            assert!(!impure, "{name} depends on {dependency}");
        }
    }
}

/// What a crate compiles with its default features, whatever the other crates of the workspace ask for.
fn compiled(name: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{lib}",
            "--package",
            name,
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().replace('_', "-")).collect()
}

#[test]
fn the_laptops_command_compiles_no_aws_and_no_kubernetes() {
    let compiled = compiled("dropforge-cli");
    assert!(compiled.contains("dropforge-storage"), "{compiled:?}");
    for dependency in compiled {
        let cloud = CLOUD.iter().any(|word| dependency.starts_with(word));
        assert!(!cloud, "the command depends on {dependency}");
    }
}
