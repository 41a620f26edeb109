//! What `infra/examples/retraining` uploads and schedules, read as Dropforge reads it.

use std::sync::LazyLock;

use dropforge_driver::crons::recurring::{Recurring, recurring};
use dropforge_infra_tests::rendered::state;
use dropforge_manifest::check::{Options, check};
use dropforge_manifest::parse::{AnyObject, Document, parse};
use serde_json::Value;

/// What the example makes; where Terraform or its provider is missing, none, and a line that says so for this test.
fn made(test: &str) -> Option<&'static Value> {
    static MADE: LazyLock<Result<Value, String>> = LazyLock::new(|| state("retraining", "retraining"));
    MADE.as_ref().map_err(|why| println!("SKIPPED: infra: {test} ({why})")).ok()
}

/// The resources of an address's kind and name, `aws_s3_object.definition`, in all modules.
fn resources<'a>(module: &'a Value, address: &str) -> Vec<&'a Value> {
    let list = |field: &str| module[field].as_array().into_iter().flatten();
    let is = |one: &&Value| {
        [&one["type"], &one["name"]].into_iter().filter_map(Value::as_str).eq(address.split('.'))
    };
    let own = list("resources").filter(is).map(|one| &one["values"]);
    own.chain(list("child_modules").flat_map(|child| resources(child, address))).collect()
}

fn text<'a>(values: &'a Value, field: &str) -> &'a str {
    values[field].as_str().unwrap_or_else(|| panic!("there is no {field} in {values}"))
}

/// The definitions in the control bucket.
fn uploaded(made: &Value) -> Vec<Document> {
    let objects = resources(&made["root_module"], "aws_s3_object.definition");
    let parsed = objects.into_iter().map(|object| parse(text(object, "key"), text(object, "content")));
    parsed
        .flat_map(|parsed| {
            assert_eq!(parsed.diagnostics, []);
            parsed.documents
        })
        .collect()
}

#[test]
fn what_terraform_uploads_are_definitions_in_which_nothing_is_found_wrong() {
    let Some(made) = made("the definitions of examples/retraining") else { return };
    let documents = uploaded(made);
    let told: Vec<_> =
        documents.iter().map(|one| (&*one.file, one.object.kind(), one.object.name())).collect();
    let wanted = [
        ("definitions/retraining/cronworkflow/ml-pipeline.yaml", "CronWorkflow", "ml-pipeline"),
        ("definitions/retraining/trigger/ml-pipeline.yaml", "Trigger", "ml-pipeline"),
        ("definitions/retraining/workflowtemplate/ml-pipeline.yaml", "WorkflowTemplate", "ml-pipeline"),
    ];
    assert_eq!(told, wanted);
    assert_eq!(check(&documents, &Options::default()), []);
}

#[test]
fn eventbridge_fires_when_the_uploaded_schedule_says() {
    let Some(made) = made("the schedule of examples/retraining") else { return };
    let mut documents = uploaded(made).into_iter();
    let cron = documents.find_map(|document| match document.object {
        AnyObject::CronWorkflow(cron) => Some(cron),
        _ => None,
    });
    let schedules = resources(&made["root_module"], "aws_scheduler_schedule.cron");
    let kept = schedules.iter().map(|kept| Recurring {
        expression: text(kept, "schedule_expression").to_owned(),
        timezone: text(kept, "schedule_expression_timezone").to_owned(),
    });
    assert_eq!(kept.collect::<Vec<_>>(), recurring(&cron.expect("a CronWorkflow is uploaded")));
}
