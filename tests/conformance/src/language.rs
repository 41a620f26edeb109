//! The project's own manifests, one for each feature of the language, with the tree that must come of them. A leaf succeeds,
//! unless `outcomes.json` beside the manifest says what became of it, in the recordings' form, by its name without the run's.
//! `prerequisites.yaml` holds the config maps it needs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod readme;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use dropforge_manifest::check::{Options, check};
use dropforge_manifest::parse::parse;
use serde_json::{Map, Value, json};

use crate::{read, replay};

/// The features' folders, in order.
fn features() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../language");
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Whether what a test makes is written to where it is expected.
fn writes() -> bool {
    std::env::var_os("DROPFORGE_WRITE_GOLDEN").is_some()
}

/// The file's difference from what it should hold, if any; a run that writes leaves none.
fn differs(path: &Path, made: &str) -> Option<String> {
    if writes() {
        std::fs::write(path, made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    (kept != made).then(|| format!("{}: expected\n{kept}\nnow\n{made}", path.display()))
}

#[test]
fn each_feature_gives_the_expected_tree() {
    let differences: Vec<String> = features()
        .iter()
        .filter_map(|feature| {
            let tree = tree_of(feature).unwrap_or_else(|why| format!("{why}\n"));
            differs(&feature.join("expected.txt"), &tree)
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn lint_finds_no_error_in_any_feature() {
    for feature in features() {
        let path = feature.join("workflow.yaml");
        let parsed = parse(&path.to_string_lossy(), &read(&path.to_string_lossy()).unwrap());
        let found = parsed.diagnostics.into_iter().chain(check(&parsed.documents, &Options::default()));
        let errors: Vec<_> = found.filter(|finding| finding.is_error()).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }
}

fn tree_of(feature: &Path) -> Result<String, String> {
    let manifest = feature.join("workflow.yaml");
    let outcomes = read(&feature.join("outcomes.json").to_string_lossy()).unwrap_or_else(|_| "{}".to_owned());
    let told: Value = serde_json::from_str(&outcomes).map_err(|e| e.to_string())?;
    let leaves = told["leaves"].as_object().into_iter().flatten();
    let nodes: Map<String, Value> =
        leaves.map(|(name, leaf)| (format!("{{{{workflow.name}}}}{name}"), leaf.clone())).collect();
    let golden = json!({"nodes": nodes, "otherwise": {"phase": "Succeeded"}, "commands": told["commands"]});
    let prerequisites = Some(feature.join("prerequisites.yaml")).filter(|file| file.exists());
    let prerequisites: Vec<String> = prerequisites.iter().map(|file| file.display().to_string()).collect();
    replay(&manifest.to_string_lossy(), 0, golden, 1, &prerequisites).map(|workflow| tree(&workflow))
}

/// The run as a person reads it: a line for each node, below its parent; further parents of it show its name alone.
fn tree(workflow: &Value) -> String {
    let status = &workflow["status"];
    let run = workflow["metadata"]["name"].as_str().unwrap_or_default();
    let mut text = format!("{} {}", word(&status["phase"]), word(&status["progress"]));
    texts(&mut text, status);
    text.push('\n');
    let nodes = status["nodes"].as_object().unwrap();
    let children: BTreeSet<&str> = nodes.values().flat_map(children).collect();
    let mut roots: Vec<&str> = nodes.keys().map(String::as_str).filter(|id| !children.contains(id)).collect();
    roots.sort_by_key(|id| (*id != run, word(&nodes[*id]["name"])));
    let mut seen = BTreeSet::new();
    for root in roots {
        lines(&mut text, nodes, root, 0, &mut seen);
    }
    text.replace(run, "RUN")
}

fn lines<'a>(
    text: &mut String,
    nodes: &'a Map<String, Value>,
    id: &'a str,
    depth: usize,
    seen: &mut BTreeSet<&'a str>,
) {
    let node = &nodes[id];
    write!(text, "{:1$}{2}", "", depth * 2, word(&node["displayName"])).unwrap();
    if !seen.insert(id) {
        text.push_str(" ^\n");
        return;
    }
    write!(text, " {} {}", word(&node["type"]), word(&node["phase"])).unwrap();
    texts(text, node);
    text.push('\n');
    for child in children(node) {
        lines(text, nodes, child, depth + 1, seen);
    }
}

fn children(node: &Value) -> impl Iterator<Item = &str> {
    node["children"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Inputs, outputs and message, as far as there are any.
fn texts(text: &mut String, node: &Value) {
    for side in ["inputs", "outputs"] {
        let values = values(&node[side]);
        if !values.is_empty() {
            write!(text, " {side}({})", values.join(", ")).unwrap();
        }
    }
    if let Some(message) = node["message"].as_str().filter(|message| !message.is_empty()) {
        write!(text, ": {message}").unwrap();
    }
}

fn values(io: &Value) -> Vec<String> {
    let named = |key: &str| io[key].as_array().cloned().unwrap_or_default();
    let parameters =
        named("parameters").into_iter().map(|p| format!("{}={}", word(&p["name"]), word(&p["value"])));
    let artifacts = named("artifacts").into_iter().map(|a| format!("{} artifact", word(&a["name"])));
    let plain = ["result", "exitCode"].into_iter().filter(|key| io.get(key).is_some());
    let plain = plain.map(|key| format!("{key}={}", word(&io[key])));
    parameters.chain(artifacts).chain(plain).collect()
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}
