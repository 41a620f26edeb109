//! What the verbs print, beside a running run and without one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::fs;

use bench::{Bench, until};
use serde_json::{Value, json};

/// A step with every kind of output, then one that reads them and waits to be let go.
const FLOW: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: flow-}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: world}]}
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts: [{name: model, from: "{{steps.make.outputs.artifacts.model}}"}]
          parameters: [{name: size, value: "{{steps.make.outputs.parameters.size}}"}]
  - name: make
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo making for {{workflow.parameters.who}}; echo model > /tmp/model; printf 5 > /tmp/size; mkdir /tmp/plots; echo a > /tmp/plots/a; echo b > /tmp/plots/b; printf '{\"accuracy\": 0.75}' > /tmp/metrics"]
    outputs:
      parameters: [{name: size, valueFrom: {path: /tmp/size}}]
      artifacts:
      - {name: model, path: /tmp/model, archive: {none: {}}}
      - {name: plots, path: /tmp/plots, archive: {none: {}}}
      - {name: metrics, path: /tmp/metrics, archive: {none: {}}}
  - name: use
    inputs: {parameters: [{name: size}], artifacts: [{name: model, path: /tmp/in}]}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo using {{inputs.parameters.size}}; cat /tmp/in; echo begun > /box/begun; while test -e /box/hold; do sleep 0.02; done; echo used"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;

const SUSPENDED: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: suspended-}
spec:
  entrypoint: main
  onExit: bye
  templates:
  - name: main
    steps:
    - - {name: approve, template: approve}
    - - {name: after, template: say}
  - name: approve
    suspend: {}
  - name: say
    container: {image: busybox, command: [echo, after]}
  - name: bye
    container: {image: busybox, command: [echo, bye]}
"#;

#[test]
fn list_and_get_print_every_form() {
    let bench = Bench::new();
    bench.run(FLOW, "flow").exits(0);
    let table = bench.dropforge(&["list"]).exits(0).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "STATUS", "AGE", "DURATION", "PROGRESS"]);
    assert_eq!((rows[1][0], rows[1][1], rows[1][4]), ("flow", "Succeeded", "2/2"));
    let wide = bench.dropforge(&["list", "-o", "wide"]).exits(0).stdout;
    assert!(wide.contains("accuracy=0.75") && wide.contains("tester"), "{wide}");
    let list = bench.dropforge(&["list", "-o", "json"]).exits(0).json();
    assert_eq!((&list[0]["name"], &list[0]["metrics"]), (&json!("flow"), &json!({"accuracy": 0.75})));
    assert_eq!(bench.dropforge(&["list", "-o", "name"]).exits(0).stdout, "flow\n");
    assert_eq!(bench.dropforge(&["list", "-o", "name", "--running"]).exits(0).stdout, "");
    assert_eq!(
        bench.dropforge(&["list", "-o", "name", "--status", "failed,succeeded"]).exits(0).stdout,
        "flow\n"
    );
    let tree = bench.dropforge(&["get", "@latest"]).exits(0).stdout;
    for part in ["flow", "Succeeded", "make", "use"] {
        assert!(tree.contains(part), "{tree}");
    }
    assert_eq!(bench.dropforge(&["get", "flow", "-o", "name"]).exits(0).stdout, "flow\n");
}

#[test]
fn get_as_json_is_an_argo_workflow_with_its_status() {
    let bench = Bench::new();
    bench.run(FLOW, "flow").exits(0);
    let object = bench.dropforge(&["get", "flow", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&object["apiVersion"], &object["kind"]),
        (&json!("argoproj.io/v1alpha1"), &json!("Workflow"))
    );
    assert_eq!(object["metadata"]["labels"]["workflows.argoproj.io/phase"], json!("Succeeded"));
    assert_eq!(object["spec"]["entrypoint"], json!("main"));
    let status = &object["status"];
    assert_eq!((&status["phase"], &status["progress"]), (&json!("Succeeded"), &json!("2/2")));
    let nodes = status["nodes"].as_object().unwrap();
    let named = |name: &str| nodes.values().find(|n| n["displayName"] == json!(name)).unwrap();
    let make = named("make");
    assert_eq!(
        (&make["type"], &make["phase"], &make["templateName"]),
        (&json!("Pod"), &json!("Succeeded"), &json!("make"))
    );
    assert_eq!(make["outputs"]["parameters"][0]["value"], json!("5"));
    assert_eq!(make["outputs"]["exitCode"], json!("0"));
    let root = nodes.values().find(|n| n["name"] == json!("flow")).unwrap();
    assert_eq!((&root["type"], &root["id"]), (&json!("Steps"), &json!("flow")));
    for (id, node) in nodes {
        assert_eq!(node["id"], json!(id));
        for child in node["children"].as_array().into_iter().flatten() {
            assert!(nodes.contains_key(child.as_str().unwrap()), "{child} of {id}");
        }
    }
}

#[test]
fn get_as_yaml_is_read_back_as_the_manifest_it_came_from() {
    let bench = Bench::new();
    bench.run(FLOW, "flow").exits(0);
    let yaml = bench.dropforge(&["get", "flow", "-o", "yaml"]).exits(0).stdout;
    bench.write("again.yaml", yaml);
    bench.dropforge(&["run", "again.yaml", "--name", "again"]).exits(0);
    let spec = |run: &str| bench.dropforge(&["get", run, "-o", "json"]).json()["spec"].clone();
    assert_eq!(spec("again"), spec("flow"));
    assert_eq!(bench.phases("again"), renamed(bench.phases("flow"), "flow", "again"));
}

fn renamed(phases: Vec<(String, String)>, from: &str, to: &str) -> Vec<(String, String)> {
    let mut renamed: Vec<_> =
        phases.into_iter().map(|(n, p)| (if n == from { to.to_owned() } else { n }, p)).collect();
    renamed.sort();
    renamed
}

#[test]
fn logs_are_complete_and_can_be_narrowed() {
    let bench = Bench::new();
    bench.run(FLOW, "flow").exits(0);
    let logs = |more: &[&str]| bench.dropforge(&[&["logs", "flow"], more].concat()).exits(0).stdout;
    assert_eq!(logs(&[]), "make: making for world\nuse: using 5\nuse: model\nuse: used\n");
    assert_eq!(logs(&["--no-prefix", "--tail", "1"]), "making for world\nused\n");
    assert_eq!(logs(&["make"]), "making for world\n");
    assert_eq!(logs(&["flow[1].use", "--tail", "2"]), "model\nused\n");
    assert_eq!(logs(&["--grep", "us(ed|ing)$"]), "use: used\n");
    assert_eq!(logs(&["--grep", "mak|mod", "--tail", "1"]), "make: making for world\n");
    let many = FLOW.replace("echo used", "seq 1 50000");
    bench.run(&many, "many").exits(0);
    let lines = bench.dropforge(&["logs", "many", "use", "--tail", "50000"]).exits(0).stdout;
    assert!(lines.lines().eq((1..=50000).map(|n| n.to_string())), "{} lines", lines.lines().count());
}

#[test]
fn run_shows_the_whole_log_of_a_step_also_its_last_line_without_an_end() {
    let bench = Bench::new();
    let answer = bench.run(&FLOW.replace("echo used", "seq 1 3000; printf unended"), "flow").exits(0);
    let shown: Vec<&str> = answer.stderr.lines().filter_map(|l| l.strip_prefix("use: ")).collect();
    let numbers = (1..=3000).map(|n| n.to_string());
    let expected: Vec<String> = ["using 5", "model"]
        .map(str::to_owned)
        .into_iter()
        .chain(numbers)
        .chain(["unended".to_owned()])
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn explain_tells_causes_and_lineage_from_the_records() {
    let bench = Bench::new();
    bench.run(FLOW, "flow").exits(0);
    let text = bench.dropforge(&["explain", "flow"]).exits(0).stdout;
    assert!(text.contains("tester submitted it") && text.contains("parameter who = world"), "{text}");
    let made = bench.explain_node("flow", "make");
    let wrote = &made["attempts"][0]["verdict"]["provenance"]["outputs"];
    let model = wrote.as_array().unwrap().iter().find(|o| o["name"] == json!("model")).unwrap();
    // SHA-256 of "model\n".
    assert_eq!(model["size"], json!(6));
    let used = bench.explain_node("flow", "use");
    let read = &used["attempts"][0]["verdict"]["provenance"]["inputs"][0];
    assert_eq!(
        (&read["name"], &read["sha256"], &read["key"]),
        (&json!("model"), &model["sha256"], &model["key"])
    );
    assert_eq!(used["inputs"]["parameters"][0]["value"], json!("5"));
    let text = bench.dropforge(&["explain", "flow", "use"]).exits(0).stdout;
    assert!(
        text.contains("flow calls it as use")
            && text.contains("input size = 5")
            && text.contains("  read: model from "),
        "{text}"
    );
}

#[test]
fn cp_copies_files_and_folders_that_are_the_persons_own() {
    let bench = Bench::new();
    bench.run(FLOW, "flow").exits(0);
    let answer = bench.dropforge(&["cp", "flow", "out"]).exits(0);
    let read = |name: &str| fs::read_to_string(bench.path("out").join(name)).unwrap();
    assert_eq!((read("make/plots/a"), read("make/plots/b")), ("a\n".to_owned(), "b\n".to_owned()));
    assert_eq!(read("make/model"), "model\n");
    let mut copied: Vec<&str> = answer.stdout.lines().collect();
    copied.sort_unstable();
    assert_eq!(copied, ["out/make/metrics", "out/make/model", "out/make/plots/a", "out/make/plots/b"]);
    bench.write("out/make/model", "changed");
    bench.dropforge(&["cp", "flow", "again", "--artifact-name", "model", "--node", "make"]).exits(0);
    assert_eq!(fs::read_to_string(bench.path("again/make/model")).unwrap(), "model\n");
    assert!(!bench.path("again/make/plots").exists());
    bench.dropforge(&["cp", "flow", "none", "--artifact-name", "gone"]).exits(1).says(&["no such artifact"]);
}

#[test]
fn every_verb_works_beside_a_running_run() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(FLOW, "flow");
    bench.wait_for_file("begun");
    running.wait_until_said("use: model");
    let list = bench.dropforge(&["list", "--running"]).exits(0).stdout;
    assert!(list.contains("flow") && list.contains("Running"), "{list}");
    let object = bench.dropforge(&["get", "flow", "-o", "json"]).exits(0).json();
    assert_eq!(object["status"]["phase"], json!("Running"));
    assert!(bench.dropforge(&["get", "flow"]).exits(0).stdout.contains("use"));
    assert_eq!(
        bench.dropforge(&["logs", "flow"]).exits(0).stdout,
        "make: making for world\nuse: using 5\nuse: model\n"
    );
    let explained = bench.explain("flow");
    assert_eq!(explained["phase"], json!("Running"));
    bench.dropforge(&["explain", "flow", "use"]).exits(0);
    bench.dropforge(&["cp", "flow", "out", "--artifact-name", "model"]).exits(0);
    bench.dropforge(&["resume", "flow"]).exits(1).says(&["refused: "]);
    let watch = bench.start(&["watch", "flow"]);
    let follow = bench.start(&["logs", "-f", "flow"]);
    until("the log's first lines", || follow.stdout().contains("use: model\n").then_some(()));
    watch.wait_until_said("flow Running");
    bench.let_go();
    running.end().exits(0);
    assert!(watch.end().exits(0).stdout.contains("Succeeded"));
    assert_eq!(follow.end().exits(0).stdout, "make: making for world\nuse: using 5\nuse: model\nuse: used\n");
}

#[test]
fn stop_ends_the_step_that_runs_and_terminate_runs_no_exit_handler() {
    for (verb, handled) in [("stop", true), ("terminate", false)] {
        let bench = Bench::new();
        bench.hold();
        let manifest = FLOW.replace("  entrypoint: main\n", "  entrypoint: main\n  onExit: bye\n")
            + "  - name: bye\n    container: {image: busybox, command: [echo, bye]}\n";
        let running = bench.start_run(&manifest, "flow");
        bench.wait_for_file("begun");
        bench.dropforge(&[verb, "flow"]).exits(0);
        let answer = running.end().exits(1);
        assert_eq!(answer.stderr.contains("flow.onExit: bye"), handled, "{answer}");
        bench.dropforge(&[verb, "flow"]).exits(1).says(&["refused: "]);
        assert_eq!(bench.dropforge(&["watch", "flow"]).exits(1).stderr, "");
    }
}

#[test]
fn stop_ends_steps_that_wait_for_their_turn_or_for_approval() {
    let bench = Bench::new();
    bench.hold();
    let wide = FLOW.replace("    - - {name: make, template: make}\n", "    - - {name: make, template: make}\n    - - {name: wide, template: wide, arguments: {parameters: [{name: n, value: \"{{item}}\"}]}, withItems: [1, 2, 3]}\n")
        + "  - name: wide\n    inputs: {parameters: [{name: n}]}\n    container: {image: busybox, command: [sh, -c, \"echo {{inputs.parameters.n}} >> /box/wide; while test -e /box/hold; do sleep 0.02; done; echo {{inputs.parameters.n}} >> /box/finished\"], volumeMounts: [{name: box, mountPath: /box}]}\n";
    bench.write("wide.yaml", wide);
    let running = bench.start(&["run", "wide.yaml", "--name", "wide", "--jobs", "1"]);
    bench.wait_for_file("wide");
    running.wait_until_said("waits: 1 steps run already");
    bench.dropforge(&["stop", "wide"]).exits(0);
    running.end().exits(1);
    assert_eq!(bench.lines("finished"), Vec::<String>::new());
    let running = bench.start_run(SUSPENDED, "suspended");
    running.wait_until_said("waits to be resumed: dropforge resume suspended");
    bench.dropforge(&["stop", "suspended", "-m", "not now"]).exits(0);
    let answer = running.end().exits(1);
    assert!(
        answer.stderr.contains("suspended.onExit: bye") && !answer.stderr.contains("after: after"),
        "{answer}"
    );
}

#[test]
fn without_an_owner_commands_are_recorded_and_start_no_step() {
    let bench = Bench::new();
    bench.write("suspended.yaml", SUSPENDED);
    let running = bench.start(&["run", "suspended.yaml", "--name", "a"]);
    running.wait_until_said("waits to be resumed");
    running.kill();
    bench.dropforge(&["resume", "a"]).exits(0).says(&["a resumed", "dropforge run --continue"]);
    assert_eq!(bench.dropforge(&["logs", "a"]).exits(0).stdout, "");
    bench.dropforge(&["run", "--continue", "a"]).exits(0);
    assert_eq!(bench.dropforge(&["logs", "a"]).exits(0).stdout, "after: after\na.onExit: bye\n");
    let submitted = bench
        .dropforge(&["submit", "suspended.yaml", "--name", "b"])
        .exits(0)
        .says(&["nothing runs this store now"]);
    assert_eq!(submitted.stdout, "b\n");
    assert_eq!(phase(&bench, "b"), json!("Pending"));
    bench.dropforge(&["terminate", "b"]).exits(0);
    bench.dropforge(&["run", "--continue", "b"]).exits(1);
    assert_eq!(bench.dropforge(&["logs", "b"]).exits(0).stdout, "");
}

#[test]
fn labels_and_fields_choose_the_runs_that_a_verb_is_for() {
    let bench = Bench::new();
    bench.write("suspended.yaml", SUSPENDED);
    for (name, team) in [("a", "x"), ("b", "x"), ("c", "y")] {
        bench
            .dropforge(&["submit", "suspended.yaml", "--name", name, "-l", &format!("team={team}")])
            .exits(0);
    }
    let stopped = bench.dropforge(&["terminate", "-l", "team=x", "a"]).exits(0);
    assert_eq!(stopped.stderr.matches(" terminated").count(), 2, "{stopped}");
    assert_eq!(["a", "b", "c"].map(|run| phase(&bench, run)), ["Failed", "Failed", "Pending"]);
    // Those that are over are not chosen again; one that is named is told of.
    bench.dropforge(&["stop", "-l", "team=x"]).exits(0).says(&["no run is meant"]);
    bench.dropforge(&["stop", "a", "-l", "team=y"]).exits(1).says(&["refused: "]);
    let failing = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: d}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox, command: [\"false\"]}\n";
    bench.write("failing.yaml", failing);
    bench.dropforge(&["run", "failing.yaml"]).exits(1);
    let retried = bench.dropforge(&["retry", "--field-selector", "metadata.name notin (a,b)"]).exits(2);
    retried.says(&["--field-selector"]);
    let retried =
        bench.dropforge(&["retry", "--field-selector", "metadata.name!=a,metadata.name!=b"]).exits(0);
    assert!(retried.stderr.contains("d retried") && !retried.stderr.contains("c retried"), "{retried}");
    bench.dropforge(&["resubmit", "-l", "team=y"]).exits(0);
    let listed = bench.dropforge(&["list", "-l", "team=y", "-o", "json"]).exits(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    bench.dropforge(&["stop"]).exits(2);
    bench.dropforge(&["stop", "-l", "="]).exits(2).says(&["--selector"]);
}

fn phase(bench: &Bench, run: &str) -> Value {
    let list = bench.dropforge(&["list", "-o", "json"]).exits(0).json();
    list.as_array().unwrap().iter().find(|e| e["name"] == json!(run)).unwrap()["phase"].clone()
}

#[test]
fn following_a_run_that_nobody_runs_says_so_instead_of_waiting() {
    let bench = Bench::new();
    bench.write("suspended.yaml", SUSPENDED);
    let running = bench.start(&["run", "suspended.yaml", "--name", "a"]);
    running.wait_until_said("waits to be resumed");
    running.kill();
    for follow in [&["watch", "a"][..], &["logs", "-f", "a"]] {
        bench.dropforge(follow).exits(3).says(&["nothing runs this store now", "run --continue"]);
    }
}

#[test]
fn the_list_shows_the_end_of_a_run_whose_owner_had_no_time_to_list_it() {
    let bench = Bench::new();
    bench.write("suspended.yaml", SUSPENDED);
    let running = bench.start(&["run", "suspended.yaml", "--name", "a"]);
    running.wait_until_said("waits to be resumed");
    let index = bench.store().join("index/default");
    // The display is told before the list is.
    let file =
        until("the run's line in the list", || Some(std::fs::read_dir(&index).ok()?.next()?.ok()?.path()));
    let before = std::fs::read(&file).unwrap();
    running.kill();
    bench.dropforge(&["terminate", "a"]).exits(0);
    // As if the owner had died between the commit and the list.
    let uid = bench.dropforge(&["get", "a", "-o", "json"]).exits(0).json()["metadata"]["uid"].clone();
    std::fs::write(&file, before).unwrap();
    std::fs::write(bench.store().join("live").join(uid.as_str().unwrap()), "").unwrap();
    assert_eq!(phase(&bench, "a"), json!("Failed"));
}

#[test]
fn a_run_that_ends_before_one_submitted_beside_it_says_so() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(FLOW, "flow");
    bench.wait_for_file("begun");
    bench.write("other.yaml", SUSPENDED);
    bench.dropforge(&["submit", "other.yaml", "--name", "other"]).exits(0);
    running.wait_until_said("dropforge resume other");
    bench.let_go();
    running.end().exits(0).says(&["run other is not over: `dropforge run --continue other`"]);
    bench.dropforge(&["resume", "other"]).exits(0);
    bench.dropforge(&["run", "--continue", "other"]).exits(0);
}

#[test]
fn a_run_submitted_beside_a_running_one_starts_there() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(FLOW, "flow");
    bench.wait_for_file("begun");
    bench.write("other.yaml", SUSPENDED);
    bench.dropforge(&["submit", "other.yaml", "--name", "other"]).exits(0);
    running.wait_until_said("dropforge resume other");
    bench.dropforge(&["resume", "other"]).exits(0);
    until("the other run's end", || (phase(&bench, "other") == json!("Succeeded")).then_some(()));
    bench.let_go();
    running.end().exits(0);
}
