//! The code of `infra/` as its readers meet it: described, typed, checked, in step with its READMEs; and its Kubernetes
//! objects as Kubernetes reads them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dropforge_infra_tests::in_repository;
use dropforge_infra_tests::tables::{Block, configurations, outputs, readme, variables};

#[test]
fn every_variable_is_described_and_typed_and_every_output_described() {
    let mut bad = Vec::new();
    for folder in configurations() {
        let what = |name: &str| format!("{}: {name}", folder.display());
        bad.extend(
            variables(&folder)
                .iter()
                .filter(|v| v.description.is_none() || v.kind.is_none())
                .map(|v| what(&v.name)),
        );
        bad.extend(outputs(&folder).iter().filter(|o| o.description.is_none()).map(|o| what(&o.name)));
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn every_variable_is_validated_where_it_stands_or_by_the_module_that_it_is_handed_to() {
    let mut bad = Vec::new();
    for folder in configurations() {
        let handed = handed_on(&folder);
        let unchecked = variables(&folder).into_iter().filter(|v| !v.validated && !is_free(v));
        bad.extend(
            unchecked
                .filter(|v| !handed.contains(&v.name))
                .map(|v| format!("{}: {}", folder.display(), v.name)),
        );
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// What no check can say more about than its type: a switch, tags.
fn is_free(variable: &Block) -> bool {
    variable.kind.as_deref() == Some("bool") || variable.name == "tags"
}

/// The variables that a configuration gives to the modules or the provider that it calls. What makes something hands on
/// nothing: it is to check for itself.
fn handed_on(folder: &Path) -> BTreeSet<String> {
    let files =
        fs::read_dir(folder).expect("it can be read").map(|entry| entry.expect("it can be read").path());
    let texts = files
        .filter(|file| file.extension().is_some_and(|end| end == "tf"))
        .map(|file| fs::read_to_string(file).expect("it can be read"));
    texts.flat_map(|text| calls(&text).flat_map(named_in).collect::<Vec<_>>()).collect()
}

/// The blocks of modules and providers.
fn calls(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\n}");
    blocks.filter_map(|block| {
        ["module \"", "provider \""].iter().find_map(|begin| block.find(begin)).map(|at| &block[at..])
    })
}

fn named_in(code: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.split("var.").skip(1).map(|rest| rest.chars().take_while(|c| is_name(*c)).collect()).collect()
}

#[test]
fn the_readmes_tables_say_what_the_code_says() {
    let stale = configurations().into_iter().filter(|folder| {
        let (is, should) = readme(folder);
        is != should
    });
    let stale: Vec<_> = stale.collect();
    assert!(stale.is_empty(), "run `cargo run -p dropforge-infra-tests`: {stale:#?}");
}

/// Each of them has a price.
#[test]
fn every_metric_is_described_and_counted_among_the_costs() {
    let programs =
        ["advance/src/batch.rs", "advance/src/told.rs", "ingest/src/main.rs", "sweep/src/sweep.rs"];
    let text = |file: &str| fs::read_to_string(in_repository(file)).expect("it can be read");
    let told: BTreeSet<String> =
        programs.iter().flat_map(|file| metrics(&text(&format!("functions/{file}")))).collect();
    let readme = text("functions/README.md");
    let unsaid: Vec<&String> = told.iter().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(unsaid.is_empty(), "functions/README.md says nothing of {unsaid:?}");
    let count = format!("({} at most)", told.len());
    assert!(text("infra/costs.json").contains(&count), "costs.json does not say {count}: {told:?}");
}

/// What a program's source counts: the name stands in the call of `add`, or in each arm of a `match` there.
fn metrics(source: &str) -> Vec<String> {
    let calls = source.split("counts.add(").skip(1).filter_map(|rest| rest.split(';').next());
    let texts = calls.flat_map(str::lines).filter_map(|line| line.split('"').nth(1));
    texts.filter(|text| !text.contains(' ')).map(str::to_owned).collect()
}

#[test]
fn every_kubernetes_object_is_applied_by_somebody() {
    let text = |file: &str| fs::read_to_string(in_repository(file)).expect("it can be read");
    let (list, command) =
        (text("infra/kubernetes/kustomization.yaml"), text("shared/cli/src/cloud/objects.rs"));
    for part in ["cluster", "namespace"] {
        for entry in fs::read_dir(in_repository("infra/kubernetes").join(part)).expect("it can be read") {
            let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
            assert!(command.contains(&format!("infra/kubernetes/{part}/{name}\"")), "deploy knows no {name}");
            // Which of the cluster's own objects are right is its owner's to say.
            assert!(part == "cluster" || list.contains(&format!("- {part}/{name}")), "{name}");
        }
    }
}
