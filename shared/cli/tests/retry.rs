//! Finished runs that are opened again, by the real command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::fs;

use bench::Bench;
use serde_json::{Value, json};

/// Steps that note that they ran; `flaky` fails until `box/ok` exists, and then waits as long as `box/hold` does.
const FLAKY: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: flaky-}
spec:
  entrypoint: main
  onExit: bye
  arguments: {parameters: [{name: word, value: old}]}
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    dag:
      tasks:
      - {name: make, template: make}
      - name: flaky
        template: flaky
        dependencies: [make]
        arguments: {parameters: [{name: made, value: "{{tasks.make.outputs.parameters.made}}"}]}
      - {name: beside, template: note, dependencies: [make], arguments: {parameters: [{name: what, value: beside}]}}
      - {name: after, template: note, dependencies: [flaky], arguments: {parameters: [{name: what, value: after}]}}
  - name: make
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo make >> /box/ran; printf made-once > /tmp/made"]
      volumeMounts: [{name: box, mountPath: /box}]
    outputs: {parameters: [{name: made, valueFrom: {path: /tmp/made}}]}
  - name: flaky
    inputs: {parameters: [{name: made}]}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo flaky {{inputs.parameters.made}} {{workflow.parameters.word}} >> /box/ran; test -e /box/ok || exit 3; echo begun > /box/begun; while test -e /box/hold; do sleep 0.02; done"]
      volumeMounts: [{name: box, mountPath: /box}]
  - name: note
    inputs: {parameters: [{name: what}]}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo {{inputs.parameters.what}} >> /box/ran"]
      volumeMounts: [{name: box, mountPath: /box}]
  - name: bye
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo bye {{workflow.status}} >> /box/ran"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;

fn ran(bench: &Bench) -> Vec<String> {
    let mut lines = bench.lines("ran");
    lines.sort();
    lines
}

fn allow(bench: &Bench) {
    fs::write(bench.in_box("ok"), "").unwrap();
}

const FIRST: [&str; 4] = ["beside", "bye Failed", "flaky made-once old", "make"];
const ALL: [&str; 7] =
    ["after", "beside", "bye Failed", "bye Succeeded", "flaky made-once old", "flaky made-once old", "make"];

#[test]
fn a_retried_run_runs_again_what_failed_and_reuses_the_outputs_of_the_rest() {
    let bench = Bench::new();
    bench.run(FLAKY, "flaky").exits(1);
    assert_eq!(ran(&bench), FIRST);
    allow(&bench);
    bench.dropforge(&["retry", "flaky"]).exits(0).says(&["flaky retried", "nothing runs this store now"]);
    let listed = bench.dropforge(&["list", "-o", "json"]).exits(0).json();
    assert_eq!(listed[0]["phase"], "Running");
    bench.dropforge(&["run", "--continue", "flaky"]).exits(0);
    assert_eq!(ran(&bench), ALL);
    let phases = bench.phases("flaky");
    let names: Vec<&str> = phases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["after", "beside", "flaky", "flaky", "flaky.onExit", "make"]);
    assert!(phases.iter().all(|(_, phase)| phase == "Succeeded"), "{phases:?}");
}

#[test]
fn a_run_that_is_not_over_or_succeeded_is_not_retried() {
    let bench = Bench::new();
    allow(&bench);
    bench.hold();
    let run = bench.start_run(FLAKY, "flaky");
    bench.wait_for_file("begun");
    bench.dropforge(&["retry", "flaky"]).exits(1).says(&["Cannot retry a workflow in phase Running"]);
    bench.let_go();
    run.end().exits(0);
    let why = "To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector";
    bench.dropforge(&["retry", "flaky"]).exits(1).says(&[why]);
    bench
        .dropforge(&["retry", "flaky", "--restart-successful", "--node-field-selector", "displayName=after"])
        .exits(0);
    bench.dropforge(&["run", "--continue", "@latest"]).exits(0);
    assert_eq!(ran(&bench).iter().filter(|line| *line == "after").count(), 2);
    assert_eq!(ran(&bench).iter().filter(|line| *line == "make").count(), 1);
}

#[test]
fn new_parameters_reach_the_steps_that_run_again() {
    let bench = Bench::new();
    bench.run(FLAKY, "flaky").exits(1);
    allow(&bench);
    bench.dropforge(&["retry", "flaky", "-p", "word=new"]).exits(0);
    bench.dropforge(&["run", "--continue", "flaky"]).exits(0);
    assert!(ran(&bench).contains(&"flaky made-once new".to_owned()), "{:?}", ran(&bench));
    let object = bench.dropforge(&["get", "flaky", "-o", "json"]).exits(0).json();
    assert_eq!(object["spec"]["arguments"]["parameters"], json!([{"name": "word", "value": "new"}]));
}

#[test]
fn a_killed_owner_leaves_a_retried_run_that_another_one_ends() {
    let bench = Bench::new();
    bench.run(FLAKY, "flaky").exits(1);
    allow(&bench);
    bench.hold();
    bench.dropforge(&["retry", "flaky"]).exits(0);
    let owner = bench.start(&["run", "--continue", "flaky"]);
    bench.wait_for_file("begun");
    owner.kill();
    let next = bench.start(&["run", "--continue", "flaky"]);
    next.wait_until_said("going on with run flaky");
    bench.let_go();
    next.end().exits(0);
    assert_eq!(ran(&bench), ALL);
    let node = bench.explain_node("flaky", "flaky.flaky");
    let numbers: Vec<&Value> = node["attempts"].as_array().unwrap().iter().map(|a| &a["number"]).collect();
    assert_eq!(numbers, [&json!(0), &json!(1)], "what was tried before is still told of");
}

#[test]
fn an_owner_that_lives_goes_on_with_a_retried_run_at_once() {
    let bench = Bench::new();
    bench.run(FLAKY, "flaky").exits(1);
    allow(&bench);
    let dev = bench.start(&["dev", ".", "--port", "0"]);
    // Its socket may be that of the owner before it.
    dev.wait_until_said("ready:");
    bench.dropforge(&["retry", "flaky"]).exits(0).says(&["flaky retried"]);
    bench.dropforge(&["watch", "flaky"]).exits(0);
    assert_eq!(ran(&bench), ALL);
    drop(dev);
}

#[test]
fn a_resubmitted_run_begins_anew_and_a_memoized_one_with_what_succeeded() {
    let bench = Bench::new();
    bench.run(FLAKY, "flaky").exits(1);
    let name = |answer: bench::Answer| answer.exits(0).stdout.trim().to_owned();
    let whole = name(bench.dropforge(&["resubmit", "flaky", "--labels", "team=x"]));
    assert!(whole.starts_with("flaky-") && whole != "flaky", "{whole}");
    let labels =
        bench.dropforge(&["get", &whole, "-o", "json"]).exits(0).json()["metadata"]["labels"].clone();
    assert_eq!(
        (&labels["team"], &labels["workflows.argoproj.io/resubmitted-from-workflow"]),
        (&json!("x"), &json!("flaky"))
    );
    bench.dropforge(&["run", "--continue", &whole]).exits(1);
    bench.dropforge(&["wait", &whole, "nobody", "--ignore-not-found"]).exits(1);
    bench.dropforge(&["wait", "nobody"]).exits(2);
    assert_eq!(ran(&bench).iter().filter(|line| *line == "make").count(), 2);
    allow(&bench);
    let memoized = name(bench.dropforge(&["resubmit", &whole, "--memoized", "-p", "word=new"]));
    bench.dropforge(&["run", "--continue", &memoized]).exits(0);
    assert_eq!(ran(&bench).iter().filter(|line| *line == "make").count(), 2);
    assert!(ran(&bench).contains(&"flaky made-once new".to_owned()), "{:?}", ran(&bench));
    bench.dropforge(&["resubmit", &memoized, "--memoized"]).exits(1).says(&["workflow must be Failed/Error"]);
}

const APPROVAL: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: approval-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: approve, template: approve}
    - - name: use
        template: use
        arguments: {parameters: [{name: verdict, value: "{{steps.approve.outputs.parameters.verdict}}"}]}
  - name: approve
    suspend: {}
    outputs: {parameters: [{name: verdict, valueFrom: {supplied: {}}}]}
  - name: use
    inputs: {parameters: [{name: verdict}]}
    container: {image: busybox, command: [echo, "{{inputs.parameters.verdict}}"]}
"#;

#[test]
fn a_waiting_node_is_set_and_then_resumed_or_stopped_alone() {
    let bench = Bench::new();
    let approve = ["--node-field-selector", "displayName=approve"];
    let run = bench.start_run(APPROVAL, "one");
    run.wait_until_said("dropforge resume one");
    let set = |rest: &[&str]| bench.dropforge(&[&["node", "set", "one"], &approve[..], rest].concat());
    set(&["-p", "nothing=1"]).exits(1).says(&["node is not expecting output parameter 'nothing'"]);
    set(&["-p", "verdict=\"good enough\"", "-m", "seen"]).exits(0);
    set(&["--phase", "Done"]).exits(2).says(&["phases are Pending"]);
    assert_eq!(bench.explain_node("one", "approve")["message"], "seen");
    bench.dropforge(&[&["resume", "one"], &approve[..]].concat()).exits(0);
    run.end().exits(0);
    assert_eq!(bench.dropforge(&["logs", "one", "--no-prefix"]).exits(0).stdout, "good enough\n");

    let run = bench.start_run(APPROVAL, "two");
    run.wait_until_said("dropforge resume two");
    let other = ["stop", "two", "--node-field-selector", "displayName=other"];
    bench
        .dropforge(&other)
        .exits(1)
        .says(&["no suspend nodes matching nodeFieldSelector: displayName=other"]);
    bench.dropforge(&[&["stop", "two", "-m", "not good"], &approve[..]].concat()).exits(0);
    run.end().exits(1);
    assert_eq!(bench.explain_node("two", "approve")["message"], "not good");
}

#[test]
fn several_runs_are_suspended_and_resumed_in_one_call() {
    let bench = Bench::new();
    let run = bench.start_run(APPROVAL, "one");
    run.wait_until_said("dropforge resume one");
    bench.write("two.yaml", APPROVAL);
    bench.dropforge(&["submit", "two.yaml", "--name", "two"]).exits(0);
    run.wait_until_said("dropforge resume two");
    bench.dropforge(&["suspend", "one", "two"]).exits(0).says(&["one suspended", "two suspended"]);
    bench
        .dropforge(&["resume", "one", "two", "-p", "verdict=yes"])
        .exits(0)
        .says(&["one resumed", "two resumed"]);
    run.end().exits(0);
}
