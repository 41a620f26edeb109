//! Stored definitions: applied, listed, changed and deleted, beside a running `dev` and without one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::{Bench, Running, until};
use serde_json::{Value, json};

const TEMPLATE: &str = r#"# How to say something.
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: say, labels: {team: a}}
spec:
  entrypoint: main
  arguments: {parameters: [{name: what, value: hello}]}
  templates:
  - name: main
    container: {image: busybox, command: [echo, "{{workflow.parameters.what}}"]}
"#;

const CRON: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedules: ["0 2 * * *"]
  workflowSpec: {workflowTemplateRef: {name: say}}
"#;

const TRIGGER: &str = r#"apiVersion: dropforge.dev/v1alpha1
kind: Trigger
metadata: {name: drops}
spec:
  s3: {bucket: uploads, suffix: .csv}
  workflowTemplateRef: {name: say}
  arguments: {parameters: [{name: what, value: "{{trigger.key}}"}]}
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("template.yaml", TEMPLATE);
    bench.write("cron.yaml", CRON);
    bench.write("trigger.yaml", TRIGGER);
    bench
}

fn dev(bench: &Bench) -> Running<'_> {
    std::fs::create_dir_all(bench.path("served")).unwrap();
    let dev = bench.start(&["dev", "served", "--port", "0", "--config", "dropforge.toml"]);
    dev.wait_until_said("ready:");
    dev
}

#[track_caller]
fn names(bench: &Bench, verb: &str) -> Vec<String> {
    let text = bench.dropforge(&[verb, "list", "-o", "name"]).exits(0).stdout;
    text.lines().map(str::to_owned).collect()
}

#[test]
fn apply_stores_definitions_and_says_what_changed() {
    let bench = bench();
    let apply = |paths: &[&str]| bench.dropforge(&[&["apply"], paths].concat()).exits(0).stdout;
    assert_eq!(
        apply(&["template.yaml", "cron.yaml", "trigger.yaml"]),
        "workflowtemplate/say created\ncronworkflow/nightly created\ntrigger/drops created\n"
    );
    bench.write("cron.yaml", CRON.replace("0 2", "0 3"));
    assert_eq!(
        apply(&["cron.yaml", "template.yaml"]),
        "cronworkflow/nightly configured\nworkflowtemplate/say unchanged\n"
    );
    bench.dropforge(&["run", "--from", "workflowtemplate/say", "--name", "a", "-p", "what=moon"]).exits(0);
    assert_eq!(bench.dropforge(&["logs", "a"]).exits(0).stdout, "a: moon\n");
    bench.dropforge(&["run", "--from", "cronwf/nightly", "--name", "b"]).exits(0);
    assert_eq!(bench.dropforge(&["logs", "b"]).exits(0).stdout, "b: hello\n");
    assert!(bench.dropforge(&["trigger", "list"]).exits(0).stdout.contains("s3://uploads/*.csv"));
}

#[test]
fn apply_refuses_what_is_wrong_or_no_definition_and_stores_nothing() {
    let bench = bench();
    bench.write("wrong.yaml", CRON.replace("schedules", "schedulez"));
    bench.dropforge(&["apply", "template.yaml", "wrong.yaml"]).exits(2).says(&["wrong.yaml:5:", "schedules"]);
    let workflow = TEMPLATE.replace("WorkflowTemplate", "Workflow");
    bench.write("workflow.yaml", workflow);
    bench.dropforge(&["apply", "template.yaml", "workflow.yaml"]).exits(2).says(&["dropforge run"]);
    bench.dropforge(&["apply", "gone.yaml"]).exits(2).says(&["read gone.yaml"]);
    assert_eq!(names(&bench, "template"), Vec::<String>::new());
}

#[test]
fn templates_are_created_shown_updated_and_deleted() {
    let bench = bench();
    let shown = bench.dropforge(&["template", "create", "template.yaml"]).exits(0).stdout;
    assert!(shown.contains("Name:        say") && shown.contains("Parameter:   what = hello"), "{shown}");
    bench
        .dropforge(&["template", "create", "template.yaml"])
        .exits(2)
        .says(&["workflowtemplate/say is stored already"]);
    bench
        .dropforge(&["template", "create", "cron.yaml"])
        .exits(2)
        .says(&["a CronWorkflow is no WorkflowTemplate"]);
    bench.write("template.yaml", TEMPLATE.replace("hello", "good day"));
    assert_eq!(
        bench.dropforge(&["template", "update", "template.yaml", "-o", "name"]).exits(0).stdout,
        "say\n"
    );
    let object = bench.dropforge(&["template", "get", "say", "-o", "json"]).exits(0).json();
    assert_eq!(object["spec"]["arguments"]["parameters"][0]["value"], json!("good day"));
    let table = bench.dropforge(&["template", "list", "-l", "team=a"]).exits(0).stdout;
    assert_eq!(table, "NAME  ENTRYPOINT  TEMPLATES\nsay   main        1\n");
    assert_eq!(bench.dropforge(&["template", "list", "-l", "team!=a", "-o", "name"]).exits(0).stdout, "");
    bench.dropforge(&["template", "list", "-l", "team is a"]).exits(2).says(&["--selector", "team is a"]);
    bench.dropforge(&["template", "get", "sya"]).exits(2).says(&["there are: say"]);
    assert!(bench.dropforge(&["template", "lint", "template.yaml"]).exits(0).stderr.contains("0 errors"));
    bench.dropforge(&["template", "lint", "cron.yaml"]).exits(2).says(&["there is no WorkflowTemplate"]);
    assert_eq!(
        bench.dropforge(&["template", "delete", "say"]).exits(0).stdout,
        "WorkflowTemplate 'say' deleted\n"
    );
    bench.dropforge(&["template", "delete", "say"]).exits(2).says(&["none is stored"]);
    bench
        .dropforge(&["template", "update", "template.yaml"])
        .exits(2)
        .says(&["workflowtemplate/say is not stored"]);
    bench.dropforge(&["template", "delete", "--all"]).exits(0);
}

#[test]
fn schedules_are_created_with_overrides_suspended_resumed_and_deleted() {
    let bench = bench();
    bench.write("parameters.yaml", "what: moon\n");
    let create = [
        "cron",
        "create",
        "cron.yaml",
        "--name",
        "weekly",
        "--schedule",
        "0 4 * * 0",
        "-f",
        "parameters.yaml",
    ];
    let shown = bench.dropforge(&create).exits(0).stdout;
    assert!(shown.contains("weekly") && shown.contains("0 4 * * 0 (UTC)"), "{shown}");
    let object = bench.dropforge(&["cron", "get", "weekly", "-o", "json"]).exits(0).json();
    assert_eq!(
        object["spec"]["workflowSpec"]["arguments"]["parameters"],
        json!([{"name": "what", "value": "moon"}])
    );
    assert_eq!((&object["status"]["phase"], &object["status"]["active"]), (&json!("Active"), &json!([])));
    let wrong = bench.dropforge(&["cron", "create", "cron.yaml", "--schedule", "every night"]);
    wrong.exits(2).says(&["every night"]);
    bench.dropforge(&["cron", "update", "cron.yaml"]).exits(2).says(&["cronworkflow/nightly is not stored"]);
    bench.dropforge(&["cron", "create", "cron.yaml", "-o", "name"]).exits(0);
    assert_eq!(names(&bench, "cron"), ["nightly", "weekly"]);
    assert_eq!(
        bench.dropforge(&["cron", "suspend", "nightly", "weekly"]).exits(0).stdout,
        "CronWorkflow 'nightly' suspended\nCronWorkflow 'weekly' suspended\n"
    );
    let list = bench.dropforge(&["cron", "list"]).exits(0).stdout;
    assert_eq!(list.matches("suspended (`suspend: true`)").count(), 2, "{list}");
    bench.dropforge(&["cron", "resume", "weekly"]).exits(0);
    let suspended = |name: &str| {
        bench.dropforge(&["cron", "get", name, "-o", "json"]).exits(0).json()["spec"]["suspend"].clone()
    };
    assert_eq!((suspended("nightly"), suspended("weekly")), (json!(true), Value::Null));
    bench.dropforge(&["cron", "suspend", "gone"]).exits(2).says(&["there are: nightly, weekly"]);
    bench.dropforge(&["cron", "lint", "cron.yaml", "template.yaml"]).exits(0);
    bench.dropforge(&["cron", "delete", "--all"]).exits(0);
    assert_eq!(names(&bench, "cron"), Vec::<String>::new());
}

#[test]
fn a_backfill_makes_the_runs_of_a_time_that_is_past_once() {
    let bench = bench();
    bench.dropforge(&["apply", "template.yaml", "cron.yaml"]).exits(0);
    let backfill = |more: &[&str]| {
        let line = ["cron", "backfill", "nightly", "--start", "2026-01-01", "--name", "again", "--parallel"];
        bench.dropforge(&[&line, more].concat())
    };
    let first = backfill(&["--end", "2026-01-02T12:00:00Z", "--argname", "what"]).exits(0);
    assert_eq!(first.stdout, "nightly-again-1767232800\nnightly-again-1767319200\n");
    let next = backfill(&["--end", "2026-01-03T12:00:00Z", "--argname", "what"]).exits(0);
    assert_eq!(next.stdout, "nightly-again-1767405600\n");
    next.says(&["1 runs submitted, 2 were there already"]);
    bench.dropforge(&["run", "--continue", "nightly-again-1767232800"]).exits(0);
    let said = bench.dropforge(&["logs", "nightly-again-1767232800", "--no-prefix"]).exits(0).stdout;
    assert_eq!(said, "2026-01-01 02:00:00 +0000 UTC\n");
    let selector = "workflows.argoproj.io/cron-workflow-backfill=nightly";
    assert_eq!(bench.dropforge(&["list", "-l", selector, "-o", "name"]).exits(0).stdout.lines().count(), 3);
    backfill(&["--end", "2026-01-01T01:00:00Z"]).exits(0).says(&["no tick"]);
    backfill(&["--end", "2025-01-01"]).exits(2).says(&["lies before --start"]);
    backfill(&["--maxworkflowcount", "2", "--end", "2026-02-01"]).exits(2).says(&["more than 2 ticks"]);
    bench.dropforge(&["cron", "backfill", "nightly", "--start", "soon"]).exits(2).says(&["--start \"soon\""]);
}

#[test]
fn a_dev_that_runs_looks_at_once_at_what_is_applied_and_deleted() {
    let bench = bench();
    let dev = dev(&bench);
    bench.dropforge(&["apply", "template.yaml", "trigger.yaml"]).exits(0).says(&["bucket uploads: made"]);
    std::fs::write(bench.store().join("buckets/uploads/a.csv"), "1\n").unwrap();
    dev.wait_until_said("trigger drops: takes s3://uploads/a.csv");
    until("the run", || {
        let ended = bench.dropforge(&["list", "--status", "Succeeded", "-o", "name"]).exits(0).stdout;
        ended.starts_with("drops-").then_some(())
    });
    // What people applied is no business of the folder's.
    bench.write("served/cron.yaml", CRON);
    dev.wait_until_said("cronworkflow nightly: loaded from served/cron.yaml");
    assert_eq!(names(&bench, "template"), ["say"]);
    bench
        .dropforge(&["cron", "delete", "nightly"])
        .exits(2)
        .says(&["stands in served/cron.yaml: take it out there"]);
    bench.dropforge(&["cron", "suspend", "nightly"]).exits(0).says(&["also stands in served/cron.yaml"]);
    // Whoever changed it last has the say.
    bench.write("served/template.yaml", TEMPLATE.replace("name: say", "name: other"));
    dev.wait_until_said("workflowtemplate other: loaded");
    assert!(bench.dropforge(&["cron", "list"]).exits(0).stdout.contains("suspended"));
    bench.write("served/cron.yaml", CRON.replace("0 2", "0 5"));
    until("the file's schedule", || {
        let list = bench.dropforge(&["cron", "list"]).exits(0).stdout;
        (list.contains("0 5 * * *") && !list.contains("suspended")).then_some(())
    });
    std::fs::remove_file(bench.path("served/template.yaml")).unwrap();
    dev.wait_until_said("workflowtemplate other: taken away");
    assert_eq!(names(&bench, "template"), ["say"]);
}
