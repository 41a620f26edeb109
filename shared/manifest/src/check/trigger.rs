//! Triggers: what starts a run, with what, and whether it would start itself.

use crate::codes::Code;
use crate::source::{Node, join};
use crate::types::{S3Location, Template, TriggerBatch, TriggerSpec, WorkflowSpec};

use super::template::DURATION_REMEDY;
use super::{Subject, calls, did_you_mean, language, mentions, object, schedule, stored};

const VARIABLES: &[&str] = &["bucket", "key", "versionId", "etag", "size", "time", "objects"];

pub(super) fn check(subject: &Subject<'_>, spec: &TriggerSpec) {
    bucket(subject, spec);
    waits(subject, spec);
    schedule::policy(subject, spec.concurrency_policy.as_deref(), &["Allow", "Forbid", "Replace", "Queue"]);
    if spec.max_active == Some(0) {
        subject.report(
            Code::E504,
            "spec.maxActive",
            "maxActive must be at least 1",
            "use `suspend: true` to switch the trigger off",
        );
    }
    variables(subject);
    if let Some(workflow) = target(subject, spec) {
        arguments(subject, spec, workflow);
        writes_to_itself(subject, spec, workflow);
    }
}

fn bucket(subject: &Subject<'_>, spec: &TriggerSpec) {
    let bucket = &spec.s3.bucket;
    if bucket.is_empty() {
        let remedy = "add `s3: {bucket: uploads, prefix: churn/}`";
        return subject.report(Code::E504, "spec.s3", "spec.s3.bucket is required", remedy);
    }
    let letters =
        bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let edges = edge(bucket.as_bytes().first()) && edge(bucket.as_bytes().last());
    if !(3..=63).contains(&bucket.len()) || !letters || !edges || bucket.contains("..") {
        let message = format!("'{bucket}' is not a bucket name");
        let remedy = match bucket.strip_prefix("s3://") {
            Some(rest) => format!("write the name alone: {}", rest.split('/').next().unwrap_or(rest)),
            None => "use 3 to 63 lower case letters, digits, '-' and '.', beginning and ending with a letter or digit".to_owned(),
        };
        subject.report(Code::E504, "spec.s3.bucket", message, remedy);
    }
    if spec.s3.prefix.as_deref().is_some_and(|prefix| prefix.starts_with('/')) {
        let message = "prefix begins with '/', and keys do not";
        subject.warn(Code::E504, "spec.s3.prefix", message, "remove the slash at its beginning");
    }
}

fn waits(subject: &Subject<'_>, spec: &TriggerSpec) {
    let duration = |text: Option<&str>, path: &str| {
        let Some(text) = text else { return };
        let wrong = match language::duration(text) {
            Ok(()) if text.starts_with('-') => "it is negative".to_owned(),
            Ok(()) => return,
            Err(why) => why,
        };
        let field = path.rsplit('.').next().unwrap_or(path);
        subject.report(Code::E407, path, format!("{field} is no duration: {wrong}"), DURATION_REMEDY);
    };
    duration(spec.s3.debounce.as_deref(), "spec.s3.debounce");
    let Some(batch) = &spec.s3.batch else { return };
    duration(batch.window.as_deref(), "spec.s3.batch.window");
    match (batch.count, &batch.window) {
        (Some(0), _) => subject.report(
            Code::E504,
            "spec.s3.batch.count",
            "count must be greater than 0",
            "leave `batch` out for one run per object",
        ),
        (Some(count), _) if count > TriggerBatch::COUNT_MAX => subject.report(
            Code::E504,
            "spec.s3.batch.count",
            format!(
                "a batch has at most {} objects: its run's document holds them all",
                TriggerBatch::COUNT_MAX
            ),
            "make several smaller batches",
        ),
        (None, None) => subject.report(
            Code::E504,
            "spec.s3.batch",
            "a batch needs `count` or `window`",
            "say when a batch is full: `count: 100`, `window: 10m`, or both",
        ),
        (Some(_), None) => subject.warn(
            Code::E504,
            "spec.s3.batch",
            "without `window` the last objects wait until the batch is full",
            "add `window`, the longest wait",
        ),
        _ => {}
    }
}

/// The trigger's variables are spelt right.
fn variables(subject: &Subject<'_>) {
    let Some(node) = subject.node("spec") else { return };
    for entry in node.entries().iter().filter(|entry| entry.key != "workflow") {
        for (path, text) in mentions::texts(&entry.value, &join("spec", &entry.key)) {
            for tag in language::tags(text).unwrap_or_default() {
                tag.needs.iter().for_each(|name| variable(subject, &entry.key, &path, name));
            }
        }
    }
}

fn variable(subject: &Subject<'_>, field: &str, path: &str, name: &str) {
    let message = format!("failed to resolve {{{{{name}}}}}");
    match name.strip_prefix("trigger.") {
        Some(_) if field != "arguments" => {
            subject.report(Code::E505, path, message, "trigger variables exist only in `spec.arguments`");
        }
        Some(variable) if !VARIABLES.contains(&variable) => {
            let all = VARIABLES.iter().map(|name| format!("trigger.{name}")).collect::<Vec<_>>().join(", ");
            subject.report(
                Code::E505,
                path,
                message,
                did_you_mean(variable, VARIABLES.iter().copied(), format!("use one of {all}")),
            );
        }
        None if field == "arguments" && !name.starts_with("workflow.") => {
            subject.report(
                Code::E505,
                path,
                message,
                "only trigger.* is known here, such as {{trigger.key}}",
            );
        }
        _ => {}
    }
}

/// The spec that the trigger runs, where it is known.
fn target<'s>(subject: &'s Subject<'_>, spec: &'s TriggerSpec) -> Option<&'s WorkflowSpec> {
    match (&spec.workflow_template_ref, &spec.workflow) {
        (Some(_), Some(_)) => {
            let message = "only one of workflowTemplateRef and workflow can be specified";
            subject.report(Code::E504, "spec.workflow", message, "keep one of the two");
            None
        }
        (None, None) => {
            let message = "one of workflowTemplateRef and workflow is required";
            subject.report(
                Code::E504,
                "spec",
                message,
                "add `workflowTemplateRef: {name: …}`, the template to run",
            );
            None
        }
        (None, Some(workflow)) => Some(workflow),
        (Some(reference), None) => {
            let world = subject.world;
            let (stored, what) = (world.stored(reference.holder()), object::not_found(reference));
            if stored.is_none() && !world.options.stored_elsewhere {
                let message = format!("{what} '{}' not found", reference.name);
                let remedy = calls::not_stored(world, reference.holder());
                subject.report(Code::E104, "spec.workflowTemplateRef", message, remedy);
            }
            if stored.is_some_and(|stored| stored.entrypoint.is_none()) {
                let message = format!("{what} '{}' has no entrypoint", reference.name);
                let remedy = format!("add `entrypoint` to the {}", reference.holder().kind());
                subject.report(Code::E103, "spec.workflowTemplateRef", message, remedy);
            }
            stored
        }
    }
}

fn arguments(subject: &Subject<'_>, spec: &TriggerSpec, workflow: &WorkflowSpec) {
    let given = &spec.arguments.parameters;
    if spec.workflow_template_ref.is_some() {
        for parameter in
            workflow.arguments.parameters.iter().filter(|p| p.value.is_none() && p.value_from.is_none())
        {
            if !given.iter().any(|argument| argument.name == parameter.name) {
                let message = format!("argument '{}' of the workflow template has no value", parameter.name);
                subject.report(
                    Code::E301,
                    "spec.arguments",
                    message,
                    format!("add '{}' to the trigger's `arguments.parameters`", parameter.name),
                );
            }
        }
    }
    let entry =
        workflow.entrypoint.as_ref().and_then(|name| workflow.templates.iter().find(|t| t.name == *name));
    for (index, argument) in given.iter().enumerate() {
        let declared = workflow.arguments.parameters.iter().any(|parameter| parameter.name == argument.name)
            || entry
                .is_some_and(|entry| entry.inputs.parameters.iter().any(|input| input.name == argument.name));
        if !declared && workflow.workflow_template_ref.is_none() {
            let known = workflow.arguments.parameters.iter().map(|parameter| parameter.name.as_str());
            let message = format!("the workflow has no argument '{}'", argument.name);
            let remedy =
                did_you_mean(&argument.name, known, "declare it under the workflow's `arguments.parameters`");
            subject.report(Code::W703, &format!("spec.arguments.parameters[{index}]"), message, remedy);
        }
    }
}

/// A run that drops objects where its trigger looks would start the next run, without end.
fn writes_to_itself(subject: &Subject<'_>, spec: &TriggerSpec, workflow: &WorkflowSpec) {
    let stored =
        stored::reached(subject.world, &workflow.templates).into_iter().map(|(_, template)| template);
    for template in workflow.templates.iter().chain(stored) {
        for artifact in &template.outputs.artifacts {
            let Some(s3) = artifact.s3.as_ref().filter(|s3| fires(spec, s3)) else { continue };
            let key = s3.key.as_deref().unwrap_or_default();
            let message = format!(
                "the output '{}' of template '{}' is written to s3://{}/{key}, where this trigger looks: each run would start another",
                artifact.name, template.name, spec.s3.bucket
            );
            let path = place(subject, template, &artifact.name);
            subject.report(
                Code::E506,
                &path,
                message,
                "write to another prefix or bucket, or narrow `s3.prefix` and `s3.suffix`",
            );
        }
    }
}

/// Whether an object written there would fire the trigger; a tag in the key stands for any text.
fn fires(spec: &TriggerSpec, s3: &S3Location) -> bool {
    let bucket = s3.bucket.as_deref().unwrap_or_default();
    let same_bucket = bucket == spec.s3.bucket;
    let key = s3.key.as_deref().unwrap_or_default();
    let prefix = spec.s3.prefix.as_deref().unwrap_or_default();
    let suffix = spec.s3.suffix.as_deref().unwrap_or_default();
    let head = key.split("{{").next().unwrap_or_default();
    let tail = key.rsplit("}}").next().unwrap_or_default();
    let (begins, ends) = match language::has_tag(key) {
        // What the tag becomes is not known: only what is written out decides.
        true => (head.starts_with(prefix), tail.is_empty() || tail.ends_with(suffix)),
        false => (key.starts_with(prefix), key.ends_with(suffix)),
    };
    same_bucket && begins && ends
}

/// The artifact's own place where the workflow is written in the trigger, else the reference to it.
fn place(subject: &Subject<'_>, template: &Template, artifact: &str) -> String {
    let named = |node: &Node, name: &str| node.get("name").and_then(Node::as_str) == Some(name);
    let position = |list: &str, name: &str| {
        subject.node(list).and_then(|node| node.items().iter().position(|item| named(item, name)))
    };
    let Some(index) = position("spec.workflow.templates", &template.name) else {
        let reference = if subject.node("spec.workflow").is_some() {
            "spec.workflow"
        } else {
            "spec.workflowTemplateRef"
        };
        return reference.to_owned();
    };
    let outputs = format!("spec.workflow.templates[{index}].outputs.artifacts");
    match position(&outputs, artifact) {
        Some(at) => format!("{outputs}[{at}]"),
        None => outputs,
    }
}
