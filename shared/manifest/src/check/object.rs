//! Metadata, and the fields of a spec that are not templates.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::parse::{AnyObject, Document};
use crate::types::{LifecycleHook, WorkflowTemplateRef};

use super::{
    Found, SpecCheck, Subject, calls, did_you_mean, garbage, inputs, metadata, metrics, names, retry,
    template, variables, volumes,
};

/// Two objects of one kind and name would replace each other.
pub(super) fn check_unique(documents: &[Document]) -> Vec<Diagnostic> {
    let mut first: BTreeMap<(&str, &str, Option<&str>), &Document> = BTreeMap::new();
    let mut findings = Vec::new();
    for document in documents.iter().filter(|document| !document.object.name().is_empty()) {
        let object = &document.object;
        let key = (object.kind(), object.name(), object.metadata().namespace.as_deref());
        let Some(other) = first.insert(key, document) else { continue };
        let message = format!(
            "{} '{}' is not unique: it is also defined in {}:{}",
            object.kind(),
            object.name(),
            other.file,
            other.node.at("metadata.name").line
        );
        let at = document.node.at("metadata.name");
        findings.push(
            Diagnostic::new(Code::E102, &document.file, at, "metadata.name", message)
                .remedy("rename one of them"),
        );
    }
    findings
}

pub(super) fn check(subject: &Subject<'_>) {
    let object = &subject.document.object;
    // A run's name gets a suffix of a dash and ten digits from its schedule.
    let length_max = if matches!(object, AnyObject::CronWorkflow(_)) { 52 } else { 63 };
    let name = object.name();
    if !name.is_empty() {
        if let Some(why) = names::object(name, length_max) {
            subject.report(
                Code::E101,
                "metadata.name",
                format!("{} name \"{name}\" {why}", object.kind()),
                "choose another name",
            );
        }
    } else if !matches!(object, AnyObject::Workflow(_)) {
        let message = format!("a {} needs a name", object.kind());
        subject.report(Code::E101, "metadata", message, "add `metadata.name`, by which others refer to it");
    }
}

pub(super) fn check_spec(check: &SpecCheck<'_>) {
    let spec = check.spec;
    template_reference(check);
    entrypoint(check);
    inputs::workflow_arguments(check);
    if let Some(on_exit) = &spec.on_exit {
        called_by_spec(check, on_exit, &format!("{}.onExit", check.path));
    }
    for (name, hook) in &spec.hooks {
        hooked(check, name, hook);
    }
    if let Some(strategy) = &spec.retry_strategy {
        retry::check(check, strategy, &format!("{}.retryStrategy", check.path));
    }
    numbers(check);
    volumes::declared(check, &spec.volumes, &format!("{}.volumes", check.path));
    volumes::claims(check);
    template::pod_spec_patch(check, spec.pod_spec_patch.as_deref(), check.path);
    metadata::check(check);
    garbage::check(check);
    metrics::check(check, spec.metrics.as_ref(), check.path);
    variables::check_spec(check);
}

/// The object that a reference looks for, in Argo's words.
pub(super) fn not_found(reference: &WorkflowTemplateRef) -> &'static str {
    if reference.cluster_scope { "cluster workflow template" } else { "workflow template" }
}

fn template_reference(check: &SpecCheck<'_>) {
    let Some(reference) = &check.spec.workflow_template_ref else { return };
    let path = format!("{}.workflowTemplateRef", check.path);
    let world = check.subject.world;
    if reference.name.is_empty() {
        check.report(Code::E106, &path, "workflowTemplateRef.name is required", "name a WorkflowTemplate");
    } else if world.stored(reference.holder()).is_none() && !world.options.stored_elsewhere {
        let message = format!("{} '{}' not found", not_found(reference), reference.name);
        check.report(Code::E104, &path, message, calls::not_stored(world, reference.holder()));
    }
    if !check.spec.templates.is_empty() {
        let message = "Templates is invalid field in spec if workflow referred WorkflowTemplate reference";
        let remedy = "move the templates into the WorkflowTemplate, or leave `workflowTemplateRef` out and call by `templateRef`";
        check.report(Code::E107, &format!("{}.templates", check.path), message, remedy);
    }
}

fn entrypoint(check: &SpecCheck<'_>) {
    let path = format!("{}.entrypoint", check.path);
    match check.merged.entrypoint.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => {
            if check.spec.entrypoint.is_some() {
                called_by_spec(check, name, &path);
            }
            if let (false, Some(template)) = (check.at_rest, check.local(name).template()) {
                inputs::supplied_by_workflow(check, template, &path);
            }
        }
        None if check.at_rest || check.references_elsewhere() => {}
        None => {
            let first = check.spec.templates.first().map_or("a template", |template| template.name.as_str());
            let message = format!("{path} is required");
            check.report(
                Code::E103,
                &path,
                message,
                format!("name the template that the run begins with, such as `entrypoint: {first}`"),
            );
        }
    }
}

fn called_by_spec(check: &SpecCheck<'_>, name: &str, path: &str) {
    if let Found::Missing(message) = check.local(name) {
        let known = check.merged.templates.iter().map(|template| template.name.as_str());
        check.report(
            Code::E104,
            path,
            message,
            did_you_mean(name, known, "define a template of this name under `templates`"),
        );
    }
}

fn hooked(check: &SpecCheck<'_>, name: &str, hook: &LifecycleHook) {
    let path = format!("{}.hooks.{name}", check.path);
    calls::hook(check, name, hook, &path);
}

fn numbers(check: &SpecCheck<'_>) {
    let spec = check.spec;
    if spec.parallelism.is_some_and(|value| value < 1) {
        let path = format!("{}.parallelism", check.path);
        check.report(Code::E408, &path, "parallelism must be at least 1", "leave it out for no limit");
    }
    // Argo takes 0 and ends such a run at once, which nobody means.
    if spec.active_deadline_seconds.is_some_and(|value| value < 1) {
        let path = format!("{}.activeDeadlineSeconds", check.path);
        let message = "activeDeadlineSeconds must be a positive integer > 0";
        check.report(Code::E408, &path, message, "leave it out for no limit");
    }
    let strategy = spec.volume_claim_gc.as_ref().and_then(|gc| gc.strategy.as_deref());
    if let Some(word) =
        strategy.filter(|word| !matches!(*word, "" | "OnWorkflowCompletion" | "OnWorkflowSuccess"))
    {
        let path = format!("{}.volumeClaimGC.strategy", check.path);
        let message = format!("volumeClaimGC.strategy unknown strategy '{word}'");
        check.report(
            Code::E503,
            &path,
            message,
            "use OnWorkflowSuccess (the default) or OnWorkflowCompletion",
        );
    }
}
