//! `dev` starts runs for what is dropped and for what is due, once each, whatever happens to it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;

use bench::{Bench, Running, until};
use rustix::process::Signal;
use serde_json::Value;

/// Appends the key and the size of what was dropped to `box/done`; waits while the test holds it.
const DEFINITIONS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: note}
spec:
  entrypoint: main
  arguments: {parameters: [{name: what}]}
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo '{{workflow.parameters.what}}' >> /box/begun; while [ -e /box/hold ]; do sleep 0.02; done; echo '{{workflow.parameters.what}}' >> /box/done"]
      volumeMounts: [{name: box, mountPath: /box}]
---
apiVersion: dropforge.dev/v1alpha1
kind: Trigger
metadata: {name: churn}
spec:
  s3: {bucket: uploads, prefix: churn/, suffix: .csv}
  workflowTemplateRef: {name: note}
  arguments:
    parameters: [{name: what, value: "{{trigger.key}} {{trigger.size}}"}]
"#;

fn bench(definitions: &str) -> Bench {
    let bench = Bench::new();
    bench.write("definitions/all.yaml", definitions);
    bench
}

fn dev(bench: &Bench) -> Running<'_> {
    let dev = bench.start(&["dev", "definitions", "--port", "0", "--config", "dropforge.toml"]);
    dev.wait_until_said("ready:");
    dev
}

fn bucket(bench: &Bench, key: &str) -> PathBuf {
    let path = bench.store().join("buckets/uploads").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn drop_file(bench: &Bench, key: &str, text: &str) {
    fs::write(bucket(bench, key), text).unwrap();
}

/// Waits until these lines, sorted, are what the runs have noted.
#[track_caller]
fn wait_for_done(bench: &Bench, expected: &[&str]) {
    let done = || {
        let mut lines = bench.lines("done");
        lines.sort();
        lines
    };
    until(&format!("{expected:?}"), || (done().len() >= expected.len()).then_some(()));
    assert_eq!(done(), expected);
}

/// The runs of the store, as `list` shows them.
fn runs(bench: &Bench) -> Vec<Value> {
    let list = bench.dropforge(&["list", "-o", "json"]).exits(0).json();
    list.as_array().cloned().unwrap()
}

/// Waits until so many runs have succeeded.
#[track_caller]
fn wait_for_succeeded(bench: &Bench, count: usize) {
    until(&format!("{count} succeeded runs"), || {
        let succeeded = runs(bench).iter().filter(|run| run["phase"] == "Succeeded").count();
        (succeeded >= count).then_some(())
    });
}

#[test]
fn a_file_copied_into_the_bucket_starts_the_triggers_run_once() {
    let bench = bench(DEFINITIONS);
    let dev = dev(&bench);
    drop_file(&bench, "churn/a.csv", "1,2\n");
    wait_for_done(&bench, &["churn/a.csv 4"]);
    wait_for_succeeded(&bench, 1);
    assert_eq!(runs(&bench)[0]["cause"], "trigger churn");
    // Written again: another version.
    drop_file(&bench, "churn/a.csv", "1,2,3\n");
    wait_for_done(&bench, &["churn/a.csv 4", "churn/a.csv 6"]);
    drop_file(&bench, "churn/notes.txt", "no csv\n");
    dev.wait_until_said("s3://uploads/churn/notes.txt: no trigger takes it");
    wait_for_succeeded(&bench, 2);
    dev.signal(Signal::INT);
    dev.end().exits(0).says(&[
        "export AWS_ENDPOINT_URL=http://127.0.0.1:",
        "trigger churn: takes s3://uploads/churn/a.csv",
    ]);
    // What was taken is not taken again, and what comes meanwhile is not forgotten.
    drop_file(&bench, "churn/meanwhile.csv", "1\n");
    let dev = self::dev(&bench);
    wait_for_done(&bench, &["churn/a.csv 4", "churn/a.csv 6", "churn/meanwhile.csv 2"]);
    wait_for_succeeded(&bench, 3);
    drop(dev);
    assert_eq!(runs(&bench).len(), 3);
}

#[test]
fn a_file_that_is_still_written_does_not_fire() {
    let bench = bench(DEFINITIONS);
    let dev = dev(&bench);
    let mut file = File::create(bucket(&bench, "churn/growing.csv")).unwrap();
    file.write_all(b"half ").unwrap();
    // Comes later and is told of first.
    drop_file(&bench, "churn/whole.csv", "1\n");
    wait_for_done(&bench, &["churn/whole.csv 2"]);
    file.write_all(b"whole\n").unwrap();
    drop(file);
    wait_for_done(&bench, &["churn/growing.csv 11", "churn/whole.csv 2"]);
    drop(dev);
}

#[test]
fn a_port_in_use_is_named() {
    let bench = bench(DEFINITIONS);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let answer = bench.dropforge(&["dev", "definitions", "--port", &port]);
    answer.exits(3).says(&[&format!("127.0.0.1:{port}"), "another program listens there", "--port"]);
}

#[test]
fn a_definition_with_an_error_is_named_and_the_rest_works() {
    let bench = bench(DEFINITIONS);
    bench.write("definitions/wrong.yaml", "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {name: wrong}\nspec:\n  s3: {bukket: uploads}\n");
    let dev = dev(&bench);
    dev.wait_until_said("definitions/wrong.yaml:5:");
    drop_file(&bench, "churn/a.csv", "1\n");
    wait_for_done(&bench, &["churn/a.csv 2"]);
    // A definition that gets an error stays as it was.
    bench.write("definitions/all.yaml", DEFINITIONS.replace("prefix: churn/", "prefixx: other/"));
    dev.wait_until_said("prefixx");
    drop_file(&bench, "churn/b.csv", "1\n");
    wait_for_done(&bench, &["churn/a.csv 2", "churn/b.csv 2"]);
    // Repaired, it is reloaded.
    bench.write("definitions/all.yaml", DEFINITIONS.replace("prefix: churn/", "prefix: other/"));
    fs::remove_file(bench.path("definitions/wrong.yaml")).unwrap();
    dev.wait_until_said("the definitions have no errors any more");
    drop_file(&bench, "churn/c.csv", "1\n");
    dev.wait_until_said("s3://uploads/churn/c.csv: no trigger takes it");
    drop_file(&bench, "other/d.csv", "1\n");
    wait_for_done(&bench, &["churn/a.csv 2", "churn/b.csv 2", "other/d.csv 2"]);
    // Taken away and brought back.
    fs::rename(bench.path("definitions/all.yaml"), bench.path("all.yaml")).unwrap();
    dev.wait_until_said("trigger churn: taken away");
    fs::rename(bench.path("all.yaml"), bench.path("definitions/all.yaml")).unwrap();
    until("the trigger again", || {
        let list = bench.dropforge(&["trigger", "list"]).exits(0).stdout;
        list.contains("churn").then_some(())
    });
    drop_file(&bench, "other/f.csv", "1\n");
    wait_for_done(&bench, &["churn/a.csv 2", "churn/b.csv 2", "other/d.csv 2", "other/f.csv 2"]);
}

#[test]
fn after_a_kill_the_next_one_goes_on_with_runs_and_drops() {
    let bench = bench(DEFINITIONS);
    let first = dev(&bench);
    bench.hold();
    drop_file(&bench, "churn/a.csv", "1\n");
    bench.wait_for_file("begun");
    first.kill();
    drop_file(&bench, "churn/b.csv", "12\n");
    let second = dev(&bench);
    until("both runs", || (bench.lines("begun").len() == 2).then_some(()));
    bench.let_go();
    wait_for_done(&bench, &["churn/a.csv 2", "churn/b.csv 3"]);
    wait_for_succeeded(&bench, 2);
    drop(second);
    assert_eq!(bench.lines("begun"), ["churn/a.csv 2", "churn/b.csv 3"]);
    assert_eq!(runs(&bench).len(), 2);
}

#[test]
fn an_interrupted_server_ends_its_steps_and_says_so() {
    let bench = bench(DEFINITIONS);
    let dev = dev(&bench);
    bench.hold();
    drop_file(&bench, "churn/a.csv", "1\n");
    bench.wait_for_file("begun");
    dev.signal(Signal::INT);
    dev.end().exits(130).says(&["the next `dropforge dev` goes on with churn-"]);
}

#[test]
fn queued_drops_run_one_after_another() {
    let bench = bench(
        &DEFINITIONS.replace("  workflowTemplateRef", "  concurrencyPolicy: Queue\n  workflowTemplateRef"),
    );
    let dev = dev(&bench);
    bench.hold();
    drop_file(&bench, "churn/a.csv", "1\n");
    bench.wait_for_file("begun");
    drop_file(&bench, "churn/b.csv", "1\n");
    dev.wait_until_said("trigger churn: waiting 1, active 1");
    assert_eq!(bench.lines("begun"), ["churn/a.csv 2"]);
    bench.let_go();
    wait_for_done(&bench, &["churn/a.csv 2", "churn/b.csv 2"]);
}

const EVERY_SECOND: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: often}
spec:
  schedules: ["@every 1s"]
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  stopStrategy: {expression: "cronworkflow.succeeded >= 2"}
  workflowSpec:
    entrypoint: main
    volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
    templates:
    - name: main
      container:
        image: busybox
        command: [sh, -c]
        args: ["echo {{workflow.name}} >> /box/done"]
        volumeMounts: [{name: box, mountPath: /box}]
"#;

#[test]
fn a_schedule_fires_stops_and_keeps_its_history() {
    let bench = bench(EVERY_SECOND);
    let dev = dev(&bench);
    until("two runs", || (bench.lines("done").len() == 2).then_some(()));
    dev.wait_until_said("schedule often: stopped by its stopStrategy");
    let names = bench.lines("done");
    assert!(names.iter().all(|name| name.starts_with("often-1")), "{names:?}");
    until("one run is kept", || (runs(&bench).len() == 1).then_some(()));
    let about = bench.dropforge(&["cron", "get", "often"]).exits(0).stdout;
    assert!(about.contains("Succeeded:    2") && about.contains("stopped by its stopStrategy"), "{about}");
    let list = bench.dropforge(&["cron", "list"]).exits(0).stdout;
    assert!(list.contains("@every 1s (UTC)"), "{list}");
    assert_eq!(bench.lines("done").len(), 2);
    drop(dev);
}

#[test]
fn triggers_are_tested_listed_and_replayed() {
    let bench = bench(DEFINITIONS);
    let test = |url: &str| bench.dropforge(&["trigger", "test", url, "definitions"]);
    assert_eq!(
        test("s3://uploads/churn/a.csv").exits(0).stdout,
        "churn  matches  starts workflowtemplate/note\n"
    );
    assert_eq!(
        test("s3://uploads/a.csv").exits(1).stdout,
        "churn  no  the key does not begin with \"churn/\"\n"
    );
    test("uploads/a.csv").exits(2);
    drop_file(&bench, "churn/old.csv", "1\n");
    let dev = dev(&bench);
    // It lay there before the trigger did.
    assert_eq!(bench.lines("done").len(), 0);
    let replay = bench.dropforge(&["trigger", "replay", "churn", "--prefix", "churn/o"]).exits(0);
    assert_eq!(replay.stdout, "s3://uploads/churn/old.csv\n");
    wait_for_done(&bench, &["churn/old.csv 2"]);
    wait_for_succeeded(&bench, 1);
    let list = bench.dropforge(&["trigger", "list"]).exits(0).stdout;
    assert!(list.contains("churn  s3://uploads/churn/*.csv  0       0        1"), "{list}");
    let schema = bench.dropforge(&["trigger", "schema"]).exits(0).json();
    assert!(schema["$defs"].is_object());
    bench.dropforge(&["trigger", "replay", "chrun"]).exits(2).says(&["there are: churn"]);
    drop(dev);
}

/// Each run writes an object where its trigger looks; the check can't know it, for the key is an argument.
const LOOP: &str = r#"
apiVersion: dropforge.dev/v1alpha1
kind: Trigger
metadata: {name: mirror}
spec:
  s3: {bucket: uploads, prefix: loop/}
  workflow:
    entrypoint: main
    arguments: {parameters: [{name: key}]}
    templates:
    - name: main
      container: {image: "busybox:1", command: [sh, -c], args: ["echo x > /tmp/out"]}
      outputs:
        artifacts:
        - {name: out, path: /tmp/out, archive: {none: {}}, s3: {bucket: uploads, key: "{{workflow.parameters.key}}x"}}
  arguments: {parameters: [{name: key, value: "{{trigger.key}}"}]}
"#;

#[test]
fn runs_that_start_each_other_are_stopped() {
    let bench = bench(LOOP);
    let dev = dev(&bench);
    drop_file(&bench, "loop/a", "1\n");
    dev.wait_until_said("trigger mirror: suspended: 20 runs");
    assert_eq!(runs(&bench).len(), 20);
    let list = bench.dropforge(&["trigger", "list"]).exits(0).stdout;
    assert!(list.contains("suspended: 20 runs"), "{list}");
    drop(dev);
}
