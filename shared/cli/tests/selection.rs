//! Runs are selected as `argo list` selects them, and deleted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::Bench;
use serde_json::json;

const FLOW: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: flow-}
spec:
  entrypoint: main
  arguments: {parameters: [{name: code, value: "0"}]}
  templates:
  - name: main
    container: {image: busybox, command: [sh, -c, "exit {{workflow.parameters.code}}"]}
"#;

const SUSPENDED: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: suspended-}
spec:
  entrypoint: main
  templates: [{name: main, suspend: {}}]
"#;

/// Runs `good` and `bad`, and a submitted `waiting` that nobody runs.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("flow.yaml", FLOW);
    bench.write("suspended.yaml", SUSPENDED);
    bench.dropforge(&["run", "flow.yaml", "--name", "good", "--labels", "team=a,tier=x"]).exits(0);
    bench.dropforge(&["run", "flow.yaml", "--name", "bad", "--labels", "team=b", "-p", "code=1"]).exits(1);
    bench.dropforge(&["submit", "suspended.yaml", "--name", "waiting", "--labels", "team=b"]).exits(0);
    bench
}

#[track_caller]
fn listed(bench: &Bench, more: &[&str]) -> Vec<String> {
    let text = bench.dropforge(&[&["list", "-o", "name"], more].concat()).exits(0).stdout;
    let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
    names.sort();
    names
}

const PARTS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: parts-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: part, template: part, withItems: ["0", "1", "0"], arguments: {parameters: [{name: code, value: "{{item}}"}]}}
      - {name: other, template: other}
  - name: part
    inputs: {parameters: [{name: code}]}
    container: {image: busybox, command: [sh, -c, "exit {{inputs.parameters.code}}"]}
  - name: other
    container: {image: busybox, command: ["false"]}
"#;

#[test]
fn get_shows_the_nodes_that_are_asked_for_and_those_above_them() {
    let bench = Bench::new();
    bench.run(PARTS, "parts").exits(1);
    let shown = |flags: &[&str]| {
        let text = bench.dropforge(&[&["get", "parts", "-o", "json"], flags].concat()).exits(0);
        let nodes = text.json()["status"]["nodes"].as_object().cloned().unwrap_or_default();
        let mut names: Vec<String> =
            nodes.values().map(|node| node["displayName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(
        shown(&["--node-field-selector", "templateName=part"]),
        "[0] part(0:0) part(1:1) part(2:0) parts"
    );
    assert_eq!(shown(&["--status", "Failed"]), "[0] other part(1:1) parts");
    let both = ["--status", "Failed", "--node-field-selector", "templateName=part"];
    assert_eq!(shown(&both), "[0] part(1:1) parts");
    assert_eq!(shown(&["--status", "Skipped"]), "");
    let of_root = |flags: &[&str]| {
        let status = bench.dropforge(&[&["get", "parts", "-o", "json"], flags].concat()).exits(0).json();
        let status = status["status"].clone();
        assert!(status["resourcesDuration"].is_object() && status["nodes"]["parts"].is_object(), "{status}");
        (status["resourcesDuration"].clone(), status["nodes"]["parts"].clone())
    };
    assert_eq!(of_root(&["--status", "Failed"]), of_root(&[]), "what is shown counts what is not");
    let tree = bench.dropforge(&["get", "parts", "--status", "Succeeded"]).exits(0).stdout;
    assert!(tree.contains("part(0:0)") && tree.contains("part(2:0)"), "{tree}");
    assert!(!tree.contains("part(1:1)") && !tree.contains("other"), "{tree}");
    bench.dropforge(&["get", "parts", "--status", "Done"]).exits(2).says(&["there is no such phase"]);
    bench
        .dropforge(&["get", "parts", "--node-field-selector", "colour=red"])
        .exits(2)
        .says(&["unknown field"]);
}

#[test]
fn list_selects_by_labels_fields_phases_names_and_times() {
    let bench = bench();
    let listed = |more: &[&str]| self::listed(&bench, more).join(" ");
    for (flags, expected) in [
        (&[][..], "bad good waiting"),
        (&["-l", "team=b"], "bad waiting"),
        (&["-l", "team in (a, b),tier"], "good"),
        (&["-l", "!tier"], "bad waiting"),
        (&["-l", "workflows.argoproj.io/phase=Failed"], "bad"),
        (&["--field-selector", "metadata.name=good"], "good"),
        (&["--field-selector", "status.phase!=Failed"], "good waiting"),
        (&["--status", "failed,Pending"], "bad waiting"),
        (&["--running"], "waiting"),
        (&["--completed"], "bad good"),
        (&["--prefix", "go"], "good"),
        (&["--since", "1h"], "bad good waiting"),
        (&["--since", "2999-01-01T00:00:00Z"], ""),
        (&["--older", "1h"], ""),
        (&["--older", "2999-01-01T00:00:00Z"], "bad good"),
        (&["--resubmitted"], ""),
    ] {
        assert_eq!(listed(flags), expected, "{flags:?}");
    }
    assert_eq!(listed(&["--limit", "1"]), "waiting");
    let everywhere = bench.dropforge(&["list", "-A", "-n", "other"]).exits(0).stdout;
    assert!(
        everywhere.starts_with("NAMESPACE  NAME") && everywhere.contains("default    good"),
        "{everywhere}"
    );
    assert_eq!(bench.dropforge(&["list", "--no-headers"]).exits(0).stdout.lines().count(), 3);
    assert!(bench.dropforge(&["list", "-o", "wide"]).exits(0).stdout.contains("person tester"));
    assert!(bench.dropforge(&["list", "-o", "yaml"]).exits(0).stdout.contains("name: \"good\""));
}

#[test]
fn a_selector_that_is_none_is_named() {
    let bench = bench();
    for (flags, said) in [
        (["-l", "team is a"], "--selector: \"team is a\""),
        (["--field-selector", "colour=red"], "\"colour\" is no field of a run: there are metadata.name"),
        (["--status", "Dead"], "\"Dead\" is no phase of a run: there are Pending"),
        (["--since", "yesterday"], "--since \"yesterday\""),
    ] {
        bench.dropforge(&[&["list"], &flags[..]].concat()).exits(2).says(&[said]);
    }
    bench.dropforge(&["list", "--running", "--completed"]).exits(2).says(&["cannot be used with"]);
}

#[test]
fn a_deleted_run_is_hidden_and_its_journal_stays() {
    let bench = bench();
    let journals = bench.journals().len();
    let uid = bench.dropforge(&["get", "good", "-o", "json"]).exits(0).json()["metadata"]["uid"].clone();
    assert_eq!(
        bench.dropforge(&["delete", "good", "--dry-run"]).exits(0).stdout,
        "Workflow 'good' deleted (dry-run)\n"
    );
    assert_eq!(listed(&bench, &[]), ["bad", "good", "waiting"]);
    assert_eq!(bench.dropforge(&["delete", "good"]).exits(0).stdout, "Workflow 'good' deleted\n");
    assert_eq!(listed(&bench, &[]), ["bad", "waiting"]);
    for wanted in ["good", uid.as_str().unwrap()] {
        bench.dropforge(&["get", wanted]).exits(2).says(&["there is no run"]);
        bench.dropforge(&["delete", wanted]).exits(2).says(&["there is no run"]);
        bench.dropforge(&["run", "--continue", wanted]).exits(2);
    }
    assert_eq!(bench.journals().len(), journals);
    // Its name is free, its uid is not.
    bench.dropforge(&["run", "flow.yaml", "--name", "good"]).exits(0);
}

#[test]
fn a_live_run_is_deleted_by_force_alone() {
    let bench = bench();
    bench.dropforge(&["delete", "waiting"]).exits(1).says(&["waiting is Pending", "--force"]);
    bench.dropforge(&["delete", "--all"]).exits(1).says(&["waiting is Pending"]);
    assert_eq!(listed(&bench, &[]), ["waiting"]);
    let running = bench.start(&["run", "suspended.yaml", "--name", "running"]);
    running.wait_until_said("waits to be resumed");
    bench.dropforge(&["delete", "running", "--force"]).exits(0);
    running.end().exits(1);
    assert_eq!(listed(&bench, &[]), ["waiting"]);
    bench.dropforge(&["delete", "--force", "-l", "team=b"]).exits(0);
    assert_eq!(listed(&bench, &[]), Vec::<String>::new());
}

#[test]
fn delete_needs_to_be_told_which_runs() {
    let bench = bench();
    bench.dropforge(&["delete"]).exits(2).says(&["name runs, or say which: --all"]);
    bench.dropforge(&["delete", "--prefix", "none"]).exits(0).says(&["nothing was deleted"]);
    // All or none of those that are named.
    bench.dropforge(&["delete", "good", "gone"]).exits(2).says(&["there is no run \"gone\""]);
    bench.dropforge(&["delete", "--older", "2999-01-01T00:00:00Z", "--status", "Failed"]).exits(0);
    assert_eq!(listed(&bench, &[]), ["good", "waiting"]);
}

#[test]
fn several_workflows_run_beside_each_other_and_the_worst_end_counts() {
    let bench = Bench::new();
    let named = |name: &str, code: &str| {
        FLOW.replace("generateName: flow-", &format!("name: {name}")).replace("\"0\"", code)
    };
    bench.write("two.yaml", format!("{}---{}", named("one", "\"0\""), named("two", "\"3\"")));
    bench.write("three.yaml", named("three", "\"0\""));
    let answer = bench.dropforge(&["run", "two.yaml", "three.yaml", "-o", "name"]).exits(1);
    assert_eq!(answer.stdout, "one\ntwo\nthree\n");
    assert_eq!(listed(&bench, &["--status", "Succeeded"]), ["one", "three"]);
    bench
        .dropforge(&["run", "two.yaml", "--name", "x"])
        .exits(2)
        .says(&["--name x is for one run: there are 2"]);
    bench.write("twice.yaml", format!("{}---{}", named("same", "\"0\""), named("same", "\"0\"")));
    bench.dropforge(&["run", "twice.yaml"]).exits(2).says(&["same"]);
}

#[test]
fn what_is_given_on_the_line_stands_in_the_place_of_what_the_manifest_says() {
    let bench = Bench::new();
    let two = FLOW.to_owned()
        + "  - name: other\n    container: {image: busybox, command: [echo, \"{{workflow.parameters.word}} {{workflow.labels.team}}\"]}\n";
    bench.write("flow.yaml", two);
    bench.write("parameters.json", r#"{"word": "from the file", "code": 7}"#);
    let line = [
        "flow.yaml",
        "-f",
        "parameters.json",
        "-p",
        "code=0",
        "--entrypoint",
        "other",
        "-l",
        "team=a",
        "--generate-name",
        "mine-",
        "--serviceaccount",
        "robot",
        "--priority",
        "5",
    ];
    let preview =
        bench.dropforge(&[&["submit"], &line[..], &["--dry-run", "-o", "json"]].concat()).exits(0).json();
    assert!(preview["metadata"]["name"].as_str().unwrap().starts_with("mine-"), "{preview}");
    assert_eq!(preview["metadata"]["labels"], json!({"team": "a"}));
    assert_eq!((&preview["spec"]["entrypoint"], &preview["spec"]["priority"]), (&json!("other"), &json!(5)));
    assert_eq!(
        preview["spec"]["arguments"]["parameters"],
        json!([{"name": "code", "value": "0"}, {"name": "word", "value": "from the file"}])
    );
    assert!(!bench.store().exists());
    let name =
        bench.dropforge(&[&["run"], &line[..], &["-o", "name", "--wait", "--log"]].concat()).exits(0).stdout;
    assert_eq!(bench.dropforge(&["logs", name.trim(), "--no-prefix"]).exits(0).stdout, "from the file a\n");
    for (flags, said) in [
        (&["-f", "gone.yaml"][..], "read gone.yaml"),
        (&["-f", "list.yaml"], "list.yaml: expected a mapping"),
        (&["--entrypoint", "gone", "-p", "word=x"], "gone"),
        (&["-l", "team"], "expected NAME=VALUE"),
        (&["--name", "a", "--generate-name", "b"], "cannot be used with"),
        (&["--from", "workflowtemplate/x"], "not a Workflow"),
    ] {
        bench.write("list.yaml", "- a\n");
        bench.dropforge(&[&["run", "flow.yaml"], flags].concat()).exits(2).says(&[said]);
    }
}

#[test]
fn submit_waits_watches_and_shows_logs_where_somebody_runs_the_store() {
    let bench = Bench::new();
    bench.write("flow.yaml", FLOW.replace("exit {{", "echo said; exit {{"));
    std::fs::create_dir(bench.path("served")).unwrap();
    let dev = bench.start(&["dev", "served", "--port", "0", "--config", "dropforge.toml"]);
    dev.wait_until_said("ready:");
    bench.dropforge(&["submit", "flow.yaml", "--name", "a", "--wait"]).exits(0);
    bench.dropforge(&["submit", "flow.yaml", "--name", "b", "--wait", "-p", "code=1"]).exits(1);
    let answer = bench.dropforge(&["submit", "flow.yaml", "--name", "c", "--log"]).exits(0);
    assert_eq!(answer.stdout, "c\nc: said\n");
    assert!(
        bench
            .dropforge(&["submit", "flow.yaml", "--name", "d", "--watch"])
            .exits(0)
            .stdout
            .contains("Succeeded")
    );
    dev.signal(rustix::process::Signal::INT);
    dev.end().exits(0);
    bench
        .dropforge(&["submit", "flow.yaml", "--name", "e", "--wait"])
        .exits(3)
        .says(&["nothing runs this store now"]);
}
