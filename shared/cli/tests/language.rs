//! Argo's language where the command's own parts meet: what is stored for all namespaces, what the settings say of
//! every run, and templates that stand in a call.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::Bench;
use rustix::process::Signal;
use serde_json::{Value, json};

/// A cluster template whose steps name another template of it, and an inline one.
const SHARED: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: ClusterWorkflowTemplate
metadata: {name: shared}
spec:
  entrypoint: both
  arguments: {parameters: [{name: who, value: world}]}
  templates:
  - name: both
    steps:
    - - {name: greet, template: greet, withItems: [hello, bye], arguments: {parameters: [{name: word, value: "{{item}}"}]}}
    - - name: inline
        inline:
          script: {image: busybox, command: [sh], source: "echo inline {{workflow.labels.team}}"}
  - name: greet
    inputs: {parameters: [{name: word}]}
    script: {image: busybox, command: [sh], source: "echo {{inputs.parameters.word}} {{workflow.parameters.who}}"}
"#;

/// The node of this name in what `-o json` printed.
fn node(workflow: &Value, display_name: &str) -> Value {
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    nodes.values().find(|n| n["displayName"] == display_name).cloned().unwrap_or_default()
}

#[test]
fn cluster_templates_of_a_folder_run_in_every_namespace() {
    let bench = Bench::new();
    bench.write("definitions/shared.yaml", SHARED);
    let dev = bench.start(&["dev", "definitions", "--port", "0", "--config", "dropforge.toml"]);
    dev.wait_until_said("ready:");
    dev.signal(Signal::INT);
    dev.end();
    // The folder of another namespace does not take away what it never had.
    bench.write("others/README", "");
    let dev =
        bench.start(&["--namespace", "other", "dev", "others", "--port", "0", "--config", "dropforge.toml"]);
    dev.wait_until_said("ready:");
    dev.signal(Signal::INT);
    dev.end();
    bench.write("dropforge.toml", "[workflow-defaults.metadata.labels]\nteam = \"ml\"\n");
    let from = [
        "--namespace",
        "other",
        "run",
        "--from",
        "clusterworkflowtemplate/shared",
        "--name",
        "far",
        "-o",
        "json",
    ];
    let ran = bench.dropforge(&from).exits(0).says(&["hello world", "bye world", "inline ml"]).json();
    assert_eq!(ran["metadata"]["labels"]["workflows.argoproj.io/cluster-workflow-template"], "shared");
    assert_eq!(node(&ran, "greet(1:bye)")["templateScope"], "local/");
    assert_eq!(node(&ran, "inline")["templateName"], Value::Null);
}

#[test]
fn a_file_may_hold_the_cluster_template_that_it_calls() {
    let bench = Bench::new();
    let calls = r#"---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: calls-}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: you}, {name: side, value: left}]}
  workflowMetadata: {labelsFrom: {team: {expression: "workflow.parameters.side + '-team'"}}}
  templateDefaults: {retryStrategy: {limit: 1}}
  podSpecPatch: "{containers: [{name: main, env: [{name: SIDE, value: '{{workflow.parameters.side}}'}]}]}"
  templates:
  - name: main
    dag:
      target: "{{workflow.parameters.side}} chosen"
      tasks:
      - {name: shared, templateRef: {name: shared, template: both, clusterScope: true}}
      - {name: left, template: make, depends: shared}
      - {name: right, template: make}
      - name: chosen
        depends: left
        arguments: {artifacts: [{name: in, from: "{{tasks.left.outputs.artifacts.made}}"}]}
        inline:
          inputs: {artifacts: [{name: in, path: /tmp/in}]}
          script: {image: busybox, command: [sh], source: "cat /tmp/in; echo from $SIDE"}
  - name: make
    outputs: {artifacts: [{name: made, path: /tmp/made}]}
    script: {image: busybox, command: [sh], source: "test {{retries}} = 1 && echo made > /tmp/made"}
"#;
    bench.write("calls.yaml", format!("{SHARED}{calls}"));
    let ran = bench.dropforge(&["run", "calls.yaml", "-o", "json"]).exits(0).says(&[
        "hello you",
        "inline left-team",
        "made",
    ]);
    let ran = ran.json();
    let reference = json!({"name": "shared", "template": "both", "clusterScope": true});
    assert_eq!(node(&ran, "shared")["templateRef"], reference);
    assert_eq!(node(&ran, "right"), Value::Null, "no target needs it");
    assert_eq!(node(&ran, "left(1)")["phase"], "Succeeded", "the defaults' retry");
}

#[test]
fn restricted_to_stored_templates_a_workflow_of_its_own_is_refused() {
    let bench = Bench::new();
    bench.write("dropforge.toml", "[workflow-restrictions]\ntemplate-referencing = \"Strict\"\n");
    bench.write("shared.yaml", SHARED);
    bench.dropforge(&["apply", "shared.yaml"]).exits(0);
    let own = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: own-}\nspec:\n  entrypoint: m\n  templates: [{name: m, script: {image: busybox, command: [sh], source: echo no}}]\n";
    bench.run(own, "own").exits(2).says(&["workflows must use workflowTemplateRef"]);
    let reference = |more: &str| {
        format!(
            "{SHARED}---\napiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{generateName: r-}}\nspec: {{workflowTemplateRef: {{name: shared, clusterScope: true}}{more}}}\n"
        )
    };
    bench
        .run(&reference(", parallelism: 1"), "set")
        .exits(2)
        .says(&["fields [parallelism] are not permitted"]);
    bench
        .run(&reference(", workflowMetadata: {labels: {team: x}}"), "fine")
        .exits(0)
        .says(&["hello world", "inline x"]);
}
