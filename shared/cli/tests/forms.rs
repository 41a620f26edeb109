//! What is printed of manifests, schemas and the command itself, and the project that `init` writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::Bench;
use serde_json::json;

const TEMPLATES: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: library}
spec:
  templates:
  - {name: shout, container: {image: busybox, command: [echo, HEY]}}
"#;

const FLOW: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: flow-}
spec:
  entrypoint: main
  onExit: bye
  arguments: {parameters: [{name: who, value: world}]}
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: say}
      - {name: b, template: inner, depends: a.Failed}
      - {name: c, templateRef: {name: library, template: shout}, depends: a && b, when: "'x' == 'x'"}
  - name: inner
    steps:
    - - {name: one, template: say, withItems: [1, 2]}
      - {name: two, template: say}
    - - {name: three, template: main, when: "false"}
  - {name: say, container: {image: busybox, command: [echo, hi]}}
  - {name: bye, container: {image: busybox, command: [echo, bye]}}
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("library.yaml", TEMPLATES);
    bench.write("flow.yaml", FLOW);
    bench.dropforge(&["apply", "library.yaml"]).exits(0);
    bench
}

#[test]
fn graph_draws_a_manifest_as_mermaid_and_dot() {
    let bench = bench();
    let mermaid = bench.dropforge(&["graph", "flow.yaml"]).exits(0).stdout;
    for line in [
        "flowchart TD",
        "    n1[\"a<br/>say\"]",
        "    subgraph n2 [\"b<br/>inner\"]",
        "      n3[\"one<br/>say<br/>× 2\"]",
        "      n5[\"three<br/>main<br/>(again)<br/>when false\"]",
        "    n6[\"c<br/>library/shout<br/>when 'x' == 'x'\"]",
        "  n3 --> n5",
        "  n4 --> n5",
        "  n1 -->|\"a.Failed\"| n2",
        "  n2 --> n6",
        "  n0 -->|\"exit\"| n7",
    ] {
        assert!(mermaid.lines().any(|own| own == line), "no {line:?} in\n{mermaid}");
    }
    let dot = bench.dropforge(&["graph", "flow.yaml", "-o", "dot"]).exits(0).stdout;
    assert!(
        dot.starts_with("digraph workflow {\n")
            && dot.contains("n1 -> n3 [label=\"a.Failed\", lhead=cluster_n2]"),
        "{dot}"
    );
    bench.write("broken.yaml", FLOW.replace("template: inner", "template: inenr"));
    bench.dropforge(&["graph", "broken.yaml"]).exits(2).says(&["inenr"]);
    bench.dropforge(&["graph", "gone.yaml"]).exits(2).says(&["there is no run \"gone.yaml\""]);
}

#[test]
fn graph_draws_a_run_with_its_phases() {
    let bench = bench();
    bench.dropforge(&["run", "flow.yaml", "--name", "flow"]).exits(0);
    let drawn = bench.dropforge(&["graph", "flow"]).exits(0).stdout;
    assert!(drawn.contains("[\"a\"]:::Succeeded") && drawn.contains("classDef Succeeded"), "{drawn}");
    assert!(drawn.contains(":::Omitted") || drawn.contains(":::Skipped"), "{drawn}");
    assert!(
        bench.dropforge(&["graph", "@latest", "-o", "dot"]).exits(0).stdout.contains("fillcolor=\"#c8e6c9\"")
    );
}

#[test]
fn what_render_prints_is_whole_and_can_be_run() {
    let bench = bench();
    let rendered = bench.dropforge(&["render", "flow.yaml", "-p", "who=moon"]).exits(0).stdout;
    assert!(
        rendered.contains("kind: \"WorkflowTemplate\"") && rendered.contains("value: \"moon\""),
        "{rendered}"
    );
    assert!(
        rendered.contains("generateName: \"flow-\"") && !rendered.contains("  name: \"flow-"),
        "{rendered}"
    );
    bench.write("rendered.yaml", &rendered);
    bench.dropforge(&["--store", "fresh", "run", "rendered.yaml", "--name", "again"]).exits(0);
    let from =
        bench.dropforge(&["render", "library.yaml", "--entrypoint", "shout", "-o", "json"]).exits(0).json();
    assert_eq!(from["spec"]["templates"][0]["name"], json!("shout"));
    let defaults = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: d-}\nspec:\n  entrypoint: main\n  templateDefaults: {timeout: 30s, container: {env: [{name: A, value: b}]}}\n  templates: [{name: main, container: {image: busybox, command: [\"true\"]}}]\n";
    bench.write("defaults.yaml", defaults);
    let rendered = bench.dropforge(&["render", "defaults.yaml", "-o", "json"]).exits(0).json();
    let main = &rendered["spec"]["templates"][0];
    assert_eq!(main["timeout"], json!("30s"));
    assert_eq!(main["container"]["env"], json!([{"name": "A", "value": "b"}]));
    bench.dropforge(&["render", "gone.yaml"]).exits(2).says(&["read gone.yaml"]);
}

#[test]
fn schemas_and_completions_are_printed() {
    let bench = Bench::new();
    let schema = bench.dropforge(&["schema"]).exits(0).json();
    assert_eq!(schema["$defs"]["WorkflowSpec"]["properties"]["entrypoint"], json!({"type": "string"}));
    assert_eq!(bench.dropforge(&["schema", "trigger"]).exits(0).json()["title"], json!("Trigger"));
    bench.dropforge(&["schema", "pod"]).exits(2).says(&["manifest, trigger"]);
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef dropforge"), ("fish", "complete -c dropforge")]
    {
        assert!(bench.dropforge(&["completion", shell]).exits(0).stdout.contains(word), "{shell}");
    }
    bench.dropforge(&["completion", "basic"]).exits(2).says(&["bash"]);
}

#[test]
fn the_project_that_init_writes_runs_and_drops_start_it() {
    let bench = Bench::new();
    bench.dropforge(&["init", "churn"]).exits(0).says(&["cd churn"]);
    bench
        .dropforge(&["init", "churn"])
        .exits(2)
        .says(&["pipeline.yaml is there already: nothing was written"]);
    for wrong in ["Churn", "my_project", "-x", ""] {
        bench.dropforge(&["init", "--", wrong]).exits(2).says(&["can't be a project's name"]);
    }
    let lint = bench.dropforge(&["lint", "churn"]).exits(0);
    assert_eq!(lint.stdout, "", "{lint}");
    let answer = bench.dropforge(&["run", "churn/pipeline.yaml", "--name", "first", "--offline"]).exits(0);
    answer.says(&["gate: accuracy 0.9"]);
    bench.dropforge(&["run", "churn/pipeline.yaml", "--offline", "-p", "accuracy-at-least=1.1"]).exits(1);
    let metrics = &bench.dropforge(&["list", "-o", "json", "--completed"]).exits(0).json()[1]["metrics"];
    assert!(metrics["accuracy"].as_f64().unwrap() > 0.8, "{metrics}");
    let dev = bench.start(&["dev", "churn", "--port", "0", "--offline"]);
    dev.wait_until_said("ready: 1 template, 1 trigger");
    let dropped = bench.store().join("buckets/uploads/churn/second.csv");
    std::fs::create_dir_all(dropped.parent().unwrap()).unwrap();
    std::fs::copy(bench.path("churn/data/first.csv"), dropped).unwrap();
    dev.wait_until_said("train: /tmp/table.csv: 120 rows");
    dev.wait_until_said("gate: accuracy 0.9");
}
