//! Lifecycle hooks, exit handlers and memoized steps, run as processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::Bench;
use serde_json::{Value, json};

/// Each template says its name in a file of the shared volume, in the order in which they ran.
const HOOKS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: hooks-}
spec:
  entrypoint: main
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  hooks:
    running: {template: note, expression: workflow.status == "Running", arguments: {parameters: [{name: m, value: the workflow runs}]}}
    exit: {template: note, arguments: {parameters: [{name: m, value: "exit {{workflow.status}}"}]}}
  templates:
  - name: main
    steps:
    - - name: train
        template: train
        withItems: [p, q]
        hooks:
          begun: {template: note, expression: 'steps["train"].status == "Running"', arguments: {parameters: [{name: m, value: "begun {{item}}"}]}}
          bad: {template: fails, expression: 'steps.train.status == "Succeeded" && "{{item}}" == "q"'}
          exit: {template: note, arguments: {parameters: [{name: m, value: "{{item}} gave {{steps.train.outputs.parameters.o}}"}]}}
        arguments: {parameters: [{name: item, value: "{{item}}"}]}
    - - {name: after, template: note, arguments: {parameters: [{name: m, value: after}]}}
  - name: train
    inputs: {parameters: [{name: item}]}
    container:
      image: busybox
      command: [sh, -c]
      args: ["printf '%s' {{inputs.parameters.item}}-out > /tmp/o; while ! grep -q 'begun {{inputs.parameters.item}}' /box/said; do sleep 0.02; done"]
      volumeMounts: [{name: box, mountPath: /box}]
    outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}
  - name: fails
    container: {image: busybox, command: ["false"]}
  - name: note
    inputs: {parameters: [{name: m}]}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo {{inputs.parameters.m}} >> /box/said"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;

fn nodes(bench: &Bench, run: &str) -> Vec<Value> {
    let object = bench.dropforge(&["get", run, "-o", "json"]).exits(0).json();
    object["status"]["nodes"].as_object().unwrap().values().cloned().collect()
}

fn node(bench: &Bench, run: &str, name: &str) -> Value {
    let name = json!(format!("{run}{name}"));
    nodes(bench, run).into_iter().find(|n| n["name"] == name).unwrap_or_else(|| panic!("no node {name}"))
}

#[test]
fn hooks_fire_while_their_step_runs_and_their_failure_fails_nothing() {
    let bench = Bench::new();
    bench.write("box/said", "");
    bench.write("hooked.yaml", HOOKS);
    // The steps wait for their hooks, which take places of their own.
    bench.dropforge(&["run", "hooked.yaml", "--name", "hooked", "--jobs", "8"]).exits(0);
    let mut said = bench.lines("said");
    assert_eq!((said.pop().as_deref(), said.pop().as_deref()), (Some("exit Succeeded"), Some("after")));
    said.sort();
    assert_eq!(said, ["begun p", "begun q", "p gave p-out", "q gave q-out", "the workflow runs"]);
    let bad = node(&bench, "hooked", "[0].train(1:q).hooks.bad");
    assert_eq!((&bad["phase"], &bad["nodeFlag"]), (&json!("Failed"), &json!({"hooked": true})));
    assert_eq!(node(&bench, "hooked", ".hooks.running")["phase"], json!("Succeeded"));
    let why = bench.dropforge(&["explain", "hooked", "train(0:p).hooks.begun"]).exits(0).stdout;
    assert!(why.contains("hook begun of train(0:p) fired"), "{why}");
    let tree = bench.dropforge(&["get", "hooked"]).exits(0).stdout;
    assert!(tree.contains("train(1:q).hooks.bad"), "{tree}");
}

const MEMOIZED: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: memoized-}
spec:
  entrypoint: main
  arguments: {parameters: [{name: age, value: 1h}]}
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: show, template: show, arguments: {parameters: [{name: o, value: "{{steps.make.outputs.parameters.o}}"}]}}
  - name: make
    memoize: {key: "cache-key", maxAge: "{{workflow.parameters.age}}", cache: {configMap: {name: cache-config}}}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo made >> /box/said; printf world > /tmp/o"]
      volumeMounts: [{name: box, mountPath: /box}]
    outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}
  - name: show
    inputs: {parameters: [{name: o}]}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo got {{inputs.parameters.o}} >> /box/said"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;

#[test]
fn a_memoized_step_runs_once_and_its_outputs_are_taken_from_then_on_until_they_are_too_old() {
    let bench = Bench::new();
    bench.write("box/said", "");
    bench.run(MEMOIZED, "first").exits(0);
    bench.run(MEMOIZED, "second").exits(0);
    let tree = bench.dropforge(&["get", "second"]).exits(0).stdout;
    assert!(tree.contains("(memoized)"), "{tree}");
    assert_eq!(bench.lines("said"), ["made", "got world", "got world"]);
    let status = |run: &str| node(&bench, run, "[0].make")["memoizationStatus"].clone();
    let expected = |hit: bool| json!({"hit": hit, "key": "cache-key", "cacheName": "cache-config"});
    assert_eq!((status("first"), status("second")), (expected(false), expected(true)));
    let make = node(&bench, "second", "[0].make");
    assert_eq!((&make["type"], &make["phase"]), (&json!("Pod"), &json!("Succeeded")));
    assert_eq!(make["outputs"]["parameters"][0]["value"], json!("world"));
    let why = bench.dropforge(&["explain", "second", "make"]).exits(0).stdout;
    assert!(why.contains("memoized: entry cache-key of cache cache-config, which first-"), "{why}");
    bench.write("third.yaml", MEMOIZED);
    bench.dropforge(&["run", "third.yaml", "--name", "third", "-p", "age=1ns"]).exits(0);
    assert_eq!(status("third"), expected(false));
    assert_eq!(bench.lines("said").len(), 5);
}
