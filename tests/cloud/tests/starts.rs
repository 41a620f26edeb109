//! What starts runs: schedules, and objects with names that nobody expects.

use std::path::Path;

use dropforge_cloud_tests::bed::{scenario, until};
use dropforge_cloud_tests::desk::Desk;
use dropforge_cloud_tests::small::step;

/// Longer than two firings and the run that each starts.
const FIRING_SECONDS_MAX: u64 = 240;

#[test]
fn a_schedule_of_the_scheduler_starts_a_run() {
    scenario("a schedule", |bed| {
        let desk = Desk::new(bed, Path::new("/"));
        let spec = format!("entrypoint: main\n    templates:\n{}", indent(&step("main", "true", "")));
        desk.apply(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {{name: minutely}}\nspec:\n  \
             schedules: [\"* * * * *\"]\n  workflowSpec:\n    {spec}"
        ));
        let ended = until("a scheduled run to end", FIRING_SECONDS_MAX, || {
            desk.list().into_iter().find(|run| run.name.starts_with("minutely-") && run.over())
        });
        desk.call(&["cron", "delete", "minutely"]).data();
        assert_eq!(ended.phase, "Succeeded");
    });
}

#[test]
fn keys_that_nobody_expects_start_runs_with_those_keys() {
    scenario("keys with odd names", |bed| {
        let desk = Desk::new(bed, Path::new("/"));
        let template =
            step("main", "echo \\\"$KEY\\\"", ", env: [{name: KEY, value: \"{{workflow.parameters.key}}\"}]");
        desk.apply(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {{name: odd}}\nspec:\n  entrypoint: main\n  \
             arguments: {{parameters: [{{name: key}}]}}\n  templates:\n{template}"
        ));
        desk.apply(
            "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {name: odd}\nspec:\n  \
             s3: {bucket: uploads, prefix: odd/}\n  workflowTemplateRef: {name: odd}\n  \
             arguments: {parameters: [{name: key, value: \"{{trigger.key}}\"}]}\n",
        );
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

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
