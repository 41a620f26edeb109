//! What runs leave: metrics, artifacts that are removed, and how far they said they were.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::fs;

use bench::Bench;

const TRAIN: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: train-}
spec:
  entrypoint: main
  metrics:
    prometheus:
    - {name: trainings, help: Trainings, labels: [{key: status, value: '{{workflow.status}}'}], counter: {value: '1'}}
  templates:
  - name: main
    metrics:
      prometheus:
      - {name: accuracy, help: Accuracy, gauge: {value: '{{outputs.parameters.acc}}'}}
    outputs: {parameters: [{name: acc, valueFrom: {path: /tmp/acc}}]}
    script:
      image: busybox
      command: [sh]
      source: echo 3/4 > $ARGO_PROGRESS_FILE; echo 0.75 > /tmp/acc
";

#[test]
fn runs_add_up_in_the_stores_metrics() {
    let bench = Bench::new();
    bench.write("train.yaml", TRAIN);
    for _ in 0..2 {
        bench.dropforge(&["run", "train.yaml"]).exits(0);
    }
    let text = fs::read_to_string(bench.store().join("metrics/metrics.prom")).unwrap();
    assert!(text.contains("argo_workflows_trainings{status=\"Succeeded\"} 2\n"), "{text}");
    assert!(text.contains("# TYPE argo_workflows_accuracy gauge\nargo_workflows_accuracy 0.75\n"), "{text}");
    let name =
        bench.dropforge(&["list", "-o", "json"]).exits(0).json()[0]["name"].as_str().unwrap().to_owned();
    let run = bench.dropforge(&["get", &name, "-o", "json"]).exits(0).json();
    assert_eq!(run["status"]["progress"], "4/4", "the units it said, all of them done");
}

const REMOVED: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: short}
spec:
  entrypoint: main
  artifactGC: {strategy: OnWorkflowCompletion}
  templates:
  - name: main
    outputs:
      artifacts:
      - {name: scratch, path: /tmp/scratch, archive: {none: {}}, s3: {bucket: out, key: scratch}}
      - {name: model, path: /tmp/model, archive: {none: {}}, s3: {bucket: out, key: model}, artifactGC: {strategy: Never}}
    script: {image: busybox, command: [sh], source: 'mkdir /tmp/scratch; echo 1 > /tmp/scratch/a; echo 2 > /tmp/model'}
";

#[test]
fn artifacts_go_with_the_runs_end_where_the_manifest_says_so() {
    let bench = Bench::new();
    bench.write("short.yaml", REMOVED);
    bench.dropforge(&["run", "short.yaml"]).exits(0);
    let bucket = bench.store().join("buckets/out");
    assert!(bucket.join("model").is_file());
    assert!(!bucket.join("scratch/a").exists());
}

const SHORT_LIVED: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: NAME}
spec:
  entrypoint: main
  ttlStrategy: {secondsAfterCompletion: 0}
  templates:
  - {name: main, container: {image: busybox, command: ['true']}}
";

#[test]
fn runs_go_when_their_time_is_over_and_a_damaged_one_does_not_keep_dev_from_going_on() {
    let bench = Bench::new();
    for name in ["damaged", "whole"] {
        bench.write("short.yaml", SHORT_LIVED.replace("NAME", name));
        bench.dropforge(&["run", "short.yaml"]).exits(0);
        if name == "damaged" {
            let journal = bench.journals().remove(0);
            let mut bytes = fs::read(&journal).unwrap();
            bytes[40] ^= 0xff;
            fs::write(&journal, bytes).unwrap();
        }
    }
    fs::create_dir(bench.path("served")).unwrap();
    let dev = bench.start(&["dev", "served", "--port", "0"]);
    dev.wait_until_said("run whole: deleted, as its ttlStrategy says");
    dev.wait_until_said("run damaged: deleted, as its ttlStrategy says");
    assert_eq!(bench.dropforge(&["list", "-o", "name"]).exits(0).stdout, "");
    assert_eq!(bench.journals().len(), 2, "journals stay");
}

const WIDE: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wide}
spec:
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: s, template: one, withSequence: {count: 130}, arguments: {parameters: [{name: n, value: '{{item}}'}]}}]]
  - name: one
    inputs: {parameters: [{name: n}]}
    container: {image: busybox, command: [echo, 'item {{inputs.parameters.n}}']}
";

/// What `run` shows at the end is what `get` shows afterwards, however much of a loop was left out meanwhile.
#[test]
fn a_run_ends_with_the_tree_that_can_be_had_later() {
    let wide = "
  - name: main
    steps:
    - - {name: many, template: part, continueOn: {failed: true}, withSequence: {count: 60}, arguments: {parameters: [{name: n, value: '{{item}}'}]}}
    - - {name: once, template: part, arguments: {parameters: [{name: n, value: '0'}]}}";
    let narrow = "
  - name: main
    dag:
      tasks:
      - {name: many, template: part, withSequence: {count: 9}, arguments: {parameters: [{name: n, value: '{{item}}'}]}}
      - {name: once, template: part, depends: many.Failed, arguments: {parameters: [{name: n, value: '0'}]}}";
    let part = "
  - name: part
    inputs: {parameters: [{name: n}]}
    container: {image: busybox, command: [sh, -c, 'test $(({{inputs.parameters.n}} % 5)) != 3']}
";
    for (name, main) in [("wide", wide), ("narrow", narrow)] {
        let bench = Bench::new();
        let head = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec:\n  entrypoint: main\n  templates:"
        );
        bench.write("run.yaml", [&head, main, part].concat());
        for output in ["tree", "wide", "name"] {
            let run = bench.dropforge(&["run", "run.yaml", "--no-logs", "-o", output]).exits(0).stdout;
            let got = bench.dropforge(&["get", name, "-o", output]).exits(0).stdout;
            assert_eq!(run, got, "{output}");
            bench.dropforge(&["delete", name]).exits(0);
        }
    }
}

/// More items than a person is shown, read part by part.
#[test]
fn of_a_wide_run_everything_can_be_had_and_people_are_told_what_is_left_out() {
    let bench = Bench::new();
    bench.write("wide.yaml", WIDE);
    bench.dropforge(&["run", "wide.yaml", "--no-logs", "-o", "name"]).exits(0);
    let said = bench.dropforge(&["logs", "wide", "--no-prefix"]).exits(0).stdout;
    let all: Vec<String> = (0..130).map(|n| format!("item {n}")).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), all);
    let object = bench.dropforge(&["get", "wide", "-o", "json"]).exits(0).json();
    assert_eq!(object["status"]["nodes"].as_object().unwrap().len(), 132, "the run, its group, the items");
    let told = |line: &[&str]| bench.dropforge(line).exits(0).stdout;
    assert!(told(&["explain", "wide"]).contains("30 more of its items are over"));
    let explained = bench.explain("wide");
    let ended = |record: &&serde_json::Value| record["record"] == "attemptEnded";
    assert_eq!(explained["records"].as_array().unwrap().iter().filter(ended).count(), 130);
    assert_eq!(explained["phase"], "Succeeded");
    assert!(told(&["explain", "wide", "s(129:129)"]).contains("it is item 129"));
}
