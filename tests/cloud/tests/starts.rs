//! What starts runs: schedules, and objects with names that nobody expects.

use std::collections::BTreeSet;
use std::path::Path;

use dropforge_cloud_tests::bed::{scenario, until};
use dropforge_cloud_tests::desk::Desk;
use dropforge_cloud_tests::faults::Network;
use dropforge_cloud_tests::small::{Run, step};
use dropforge_samples_tests::check::Entry;
use serde_json::json;

/// Longer than two firings and the run that each starts.
const FIRING_SECONDS_MAX: u64 = 240;

#[test]
fn a_schedule_of_the_scheduler_starts_a_run() {
    scenario("a schedule", |bed| {
        let desk = Desk::new(bed, Path::new("/"));
        desk.apply(&cron("minutely", "* * * * *"));
        let ended = until("a scheduled run to end", FIRING_SECONDS_MAX, || {
            desk.list().into_iter().find(|run| run.name.starts_with("minutely-") && run.over())
        });
        desk.call(&["cron", "delete", "minutely"]).data();
        assert_eq!(ended.phase, "Succeeded");
    });
}

#[test]
fn an_upload_starts_one_run_whatever_goes_wrong() {
    scenario("an upload among faults", |bed| {
        let desk = Desk::new(bed, Path::new("/"));
        desk.apply(&template("faulty", &step("main", "true", "")));
        desk.apply(&trigger("faulty"));
        let network = Network::with(&json!([
            {"method": "PUT", "path": "/triggers/", "do": {"answer": 503}},
            {"method": "PUT", "path": "/triggers/", "times": 2, "do": "lose"},
            {"method": "PUT", "path": "/starters/", "do": "lose"},
            {"method": "PUT", "path": "/live/", "do": "lose"},
            {"method": "PUT", "path": "/journals/", "do": {"answer": 409}},
            {"method": "PUT", "path": "/journals/", "times": 2, "do": "lose"},
            {"target": "AmazonSQS.SendMessage", "times": 1000, "do": "twice"},
        ]));
        let before = names(&desk);
        // Another one each time: what was taken in is not taken in again.
        let key = format!("faulty/data-{}.csv", std::process::id());
        bed.emulator.put("uploads", &key, b"x");
        // As S3 tells of it, who may do so more than once.
        let object = json!({"key": key, "size": 1, "sequencer": "0A"});
        let record = json!({"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "uploads"}, "object": object}});
        let queue = bed.named("upload_queue_url");
        for _ in 0..3 {
            bed.emulator.send(queue, &json!({"Records": [record]}).to_string());
        }
        until("all that was told to be read", FIRING_SECONDS_MAX, || {
            (bed.emulator.depth(queue) == 0).then_some(())
        });
        let acted = network.acted();
        assert!(acted.iter().all(|times| *times > 0), "a fault never happened: {acted:?}");
        let runs = until("its run to end", FIRING_SECONDS_MAX, || {
            let mut runs = desk.list();
            runs.retain(|run| run.name.starts_with("faulty-") && !before.contains(&run.name));
            (!runs.is_empty() && runs.iter().all(Entry::over)).then_some(runs)
        });
        assert_eq!(runs.iter().map(|run| run.phase.as_str()).collect::<Vec<_>>(), ["Succeeded"]);
        let run = Run::known(bed, runs[0].name.clone(), runs[0].uid.clone());
        assert_eq!((run.executions(), run.claims().len()), (1, 1));
    });
}

#[test]
fn a_tick_starts_one_run_whatever_goes_wrong() {
    scenario("ticks among faults", |bed| {
        let desk = Desk::new(bed, Path::new("/"));
        let network = Network::with(&json!([
            {"method": "PUT", "path": "/crons/", "do": {"answer": 503}},
            {"method": "PUT", "path": "/crons/", "times": 2, "do": "lose"},
            {"method": "PUT", "path": "/live/", "do": "lose"},
            {"method": "PUT", "path": "/journals/", "times": 3, "do": "lose"},
            {"target": "AmazonSQS.SendMessage", "times": 1000, "do": "twice"},
        ]));
        let before = names(&desk);
        desk.apply(&cron("ticks", "* * * * *"));
        let ended = until("two ticks' runs to end", FIRING_SECONDS_MAX, || {
            let mut runs = desk.list();
            runs.retain(|run| run.name.starts_with("ticks-") && !before.contains(&run.name) && run.over());
            (runs.len() >= 2).then_some(runs)
        });
        desk.call(&["cron", "delete", "ticks"]).data();
        let acted = network.acted();
        assert!(acted.iter().all(|times| *times > 0), "a fault never happened: {acted:?}");
        // A run's name ends with its tick.
        let names: BTreeSet<&str> = ended.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names.len(), ended.len(), "a tick has two runs: {names:?}");
        for run in &ended {
            assert_eq!(run.phase, "Succeeded", "{}", run.name);
            let run = Run::known(bed, run.name.clone(), run.uid.clone());
            assert_eq!((run.executions(), run.claims().len()), (1, 1), "{}", run.name);
        }
    });
}

#[test]
fn keys_that_nobody_expects_start_runs_with_those_keys() {
    scenario("keys with odd names", |bed| {
        let desk = Desk::new(bed, Path::new("/"));
        let main =
            step("main", "echo \\\"$KEY\\\"", ", env: [{name: KEY, value: \"{{workflow.parameters.key}}\"}]");
        desk.apply(&template("odd", &main));
        desk.apply(&trigger("odd"));
        let longest = format!("odd/{}", "k".repeat(1020));
        for key in ["odd/a b+c.csv", "odd/é/ü.csv", "odd/../up.csv", &longest] {
            let before: Vec<String> = desk.list().into_iter().map(|run| run.uid).collect();
            bed.emulator.put("uploads", key, b"x");
            let run = until(&format!("the run of {key}"), FIRING_SECONDS_MAX, || {
                desk.list().into_iter().find(|run| !before.contains(&run.uid) && run.over())
            });
            let workflow = desk.get(&run.uid);
            assert_eq!(workflow["spec"]["arguments"]["parameters"][0]["value"], key, "{workflow}");
            assert_eq!(run.phase, "Succeeded");
        }
    });
}

/// Those of the runs that other scenarios, or earlier plays, have left.
fn names(desk: &Desk) -> BTreeSet<String> {
    desk.list().into_iter().map(|run| run.name).collect()
}

/// A CronWorkflow of one step.
fn cron(name: &str, schedule: &str) -> String {
    let templates = indent(&step("main", "true", ""));
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {{name: {name}}}\nspec:\n  \
         schedules: [\"{schedule}\"]\n  workflowSpec:\n    entrypoint: main\n    templates:\n{templates}"
    )
}

/// A WorkflowTemplate that is told the key of an object.
fn template(name: &str, templates: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {{name: {name}}}\nspec:\n  entrypoint: main\n  \
         arguments: {{parameters: [{{name: key}}]}}\n  templates:\n{templates}"
    )
}

/// A Trigger that starts the template of its name for what is dropped below its name.
fn trigger(name: &str) -> String {
    format!(
        "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec:\n  \
         s3: {{bucket: uploads, prefix: {name}/}}\n  workflowTemplateRef: {{name: {name}}}\n  \
         arguments: {{parameters: [{{name: key, value: \"{{{{trigger.key}}}}\"}}]}}\n"
    )
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
