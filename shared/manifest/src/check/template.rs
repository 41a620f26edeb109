//! One template: its name, its one body, and the fields that only some bodies have.

use crate::codes::Code;
use crate::merge::with_template_defaults;
use crate::patch::{self, PatchError};
use crate::types::{Template, TemplateType};

use super::{
    SpecCheck, calls, dag, http, inputs, language, lint, locks, memoize, metrics, names, outputs, pods,
    retry, variables,
};

pub(super) fn check(check: &SpecCheck<'_>, template: &Template, path: &str) {
    name(check, template, path);
    body(check, template, path);
    variables::check_template(check, template, path);
}

/// A template that stands in the call that calls it; it needs no name.
pub(super) fn check_inline(check: &SpecCheck<'_>, template: &Template, path: &str) {
    body(check, template, path);
}

fn body(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let bodies = template.bodies();
    match bodies.as_slice() {
        [] => {
            let message = format!(
                "{} template type unspecified. choose one of: container, containerSet, script, steps, dag, suspend",
                label(template)
            );
            check.report(
                Code::E105,
                path,
                message,
                "add what the template does: `container`, `containerSet`, `script`, `steps`, `dag`, `suspend` or `http`",
            );
        }
        [_] => {}
        several => {
            let message = format!(
                "{} multiple template types specified. choose one of: {}",
                label(template),
                words(several)
            );
            check.report(
                Code::E105,
                path,
                message,
                "make a template of each, and call them from a `steps` or `dag` template",
            );
        }
    }
    inputs::declared(check, template, path);
    outputs::declared(check, template, path);
    if let Some(kind) = bodies.first() {
        fields_of_kind(check, template, *kind, path);
    }
    pod_spec_patch(check, template.pod_spec_patch.as_deref(), path);
    if let Some(strategy) = &template.retry_strategy {
        retry::check(check, strategy, &format!("{path}.retryStrategy"));
    }
    if let Some(memoize) = &template.memoize {
        memoize::check(check, template, memoize, &format!("{path}.memoize"));
    }
    if let Some(block) = &template.synchronization {
        locks::check(check, block, &format!("{path}.synchronization"));
    }
    container(check, template, path);
    pods::check(check, template, path);
    http::check(check, template, path);
    metrics::check(check, template.metrics.as_ref(), path);
    if let Some(suspend) = &template.suspend
        && let Some(duration) = &suspend.duration
    {
        let duration_path = format!("{path}.suspend.duration");
        if let Err(why) = language::duration_or_seconds(duration.as_str()) {
            check.report(
                Code::E407,
                &duration_path,
                format!("suspend has invalid duration format: {why}"),
                DURATION_REMEDY,
            );
        }
    }
    calls::check_steps(check, template, path);
    dag::check(check, template, path);
    lint::check_template(check, template, path);
}

/// A patch can be read, and sets only what there is; one whose tags make no YAML is read when the step starts.
pub(super) fn pod_spec_patch(check: &SpecCheck<'_>, text: Option<&str>, path: &str) {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return };
    let path = format!("{path}.podSpecPatch");
    match patch::parse(text) {
        Ok(patch) => {
            for (field, instead) in
                patch::of_pods(&patch).into_iter().filter(|_| !check.subject.world.options.pods)
            {
                let message = format!("`{field}` of a podSpecPatch is not supported on one machine");
                check.report(Code::E601, &path, message, instead);
            }
        }
        Err(PatchError::Unreadable { .. }) if language::has_tag(text) => {}
        Err(PatchError::NotHere { field, instead }) => {
            let message = format!("`{field}` of a podSpecPatch is not supported yet");
            check.report(Code::E601, &path, message, instead);
        }
        Err(why) => {
            let remedy = "for example: containers: [{name: main, resources: {limits: {memory: 1Gi}}}]";
            check.report(Code::E006, &path, why.to_string(), remedy);
        }
    }
}

pub(super) const DURATION_REMEDY: &str = "write a duration such as 30s, 5m or 1h30m";

/// `templates.NAME`, as Argo begins its messages.
pub(super) fn label(template: &Template) -> String {
    format!("templates.{}", template.name)
}

fn name(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let name = &template.name;
    let name_path = format!("{path}.name");
    if let Some(why) = names::workflow_field(name) {
        check.report(
            Code::E101,
            &name_path,
            format!("{path}.name: '{name}' {why}"),
            "choose a name such as train-model",
        );
    }
    let first = check.spec.templates.iter().position(|other| other.name == *name);
    let own = check.spec.templates.iter().position(|other| std::ptr::eq(other, template));
    if let (false, Some(first), true) = (name.is_empty(), first, first != own) {
        let line = check.subject.document.node.at(&format!("{}.templates[{first}].name", check.path)).line;
        let message = format!("{path}.name '{name}' is not unique: line {line} has it too");
        check.report(Code::E102, &name_path, message, "rename one of the two templates");
    }
}

fn words(kinds: &[TemplateType]) -> String {
    kinds.iter().map(|kind| word(*kind)).collect::<Vec<_>>().join(", ")
}

fn word(kind: TemplateType) -> &'static str {
    match kind {
        TemplateType::Container => "container",
        TemplateType::Script => "script",
        TemplateType::Steps => "steps",
        TemplateType::Dag => "dag",
        TemplateType::Suspend => "suspend",
        TemplateType::ContainerSet => "containerSet",
        TemplateType::Resource => "resource",
        TemplateType::Data => "data",
        TemplateType::Http => "http",
        TemplateType::Plugin => "plugin",
    }
}

fn fields_of_kind(check: &SpecCheck<'_>, template: &Template, kind: TemplateType, path: &str) {
    let composite = matches!(kind, TemplateType::Steps | TemplateType::Dag);
    let label = label(template);
    let at = |field: &str| format!("{path}.{field}");
    if let Some(seconds) = &template.active_deadline_seconds {
        if composite {
            let message = format!("{label}.activeDeadlineSeconds is only valid for leaf templates");
            check.report(
                Code::E107,
                &at("activeDeadlineSeconds"),
                message,
                "set it on the templates that this one calls, or on the spec for the whole run",
            );
        } else if !seconds.as_str().contains("{{") && !seconds.as_str().parse::<i64>().is_ok_and(|n| n > 0) {
            let message =
                format!("{label}.activeDeadlineSeconds must be a positive integer > 0 or an argo variable");
            check.report(
                Code::E408,
                &at("activeDeadlineSeconds"),
                message,
                "write a number of seconds such as 600",
            );
        }
    }
    if let Some(timeout) = &template.timeout {
        if composite {
            let message = format!("{label} {} template doesn't support timeout field", word(kind));
            check.report(Code::E107, &at("timeout"), message, "set it on the templates that this one calls");
        } else if let Err(why) = language::duration(timeout) {
            let message = format!("{label} has invalid duration format in timeout: {why}");
            check.report(Code::E407, &at("timeout"), message, DURATION_REMEDY);
        }
    }
    if let Some(timeout) = &template.pending_timeout {
        if composite {
            let message = format!("{label} {} template doesn't support pendingTimeout field", word(kind));
            let remedy = "set it on the templates that this one calls";
            check.report(Code::E107, &at("pendingTimeout"), message, remedy);
        } else if !language::has_tag(timeout)
            && let Err(why) = language::duration_or_seconds(timeout)
        {
            let message = format!("{label} has invalid duration format in pendingTimeout: {why}");
            check.report(Code::E407, &at("pendingTimeout"), message, DURATION_REMEDY);
        }
    }
    match template.parallelism {
        Some(_) if !composite => {
            let message = format!("{label}.parallelism is only valid for steps and dag templates");
            check.report(
                Code::E107,
                &at("parallelism"),
                message,
                "set it on the template that calls this one, or on the spec",
            );
        }
        Some(value) if value < 1 => {
            let message = format!("{label}.parallelism must be at least 1");
            check.report(Code::E408, &at("parallelism"), message, "leave it out for no limit");
        }
        _ => {}
    }
    if template.fail_fast.is_some() && !composite {
        let message = format!("{label}.failFast has no meaning in a {} template", word(kind));
        check.subject.warn(Code::E107, &at("failFast"), message, "set it on the `steps` or `dag` template");
    }
}

/// The container or script as it runs: with the workflow's `templateDefaults` beneath.
fn container(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let defaults = check.merged.template_defaults.as_deref();
    let defaulted = defaults.map(|defaults| with_template_defaults(template, defaults));
    let template = defaulted.as_ref().unwrap_or(template);
    let (body, container) = match (&template.container, &template.script) {
        (Some(container), _) => ("container", container),
        (None, Some(script)) => ("script", script),
        (None, None) => return,
    };
    let body_path = format!("{path}.{body}");
    if container.image.as_deref().unwrap_or_default().is_empty() {
        let message = format!("{}.{body}.image may not be empty", label(template));
        check.report(Code::E108, &body_path, message, "name the image, such as `image: python:3.12`");
    }
    if body == "script" && container.source.as_deref().unwrap_or_default().is_empty() {
        let message = format!("{}.script.source is empty: nothing is run", label(template));
        check.subject.warn(Code::E108, &body_path, message, "write the script's text into `source`");
    }
    if body == "script" && container.command.as_deref().unwrap_or_default().is_empty() {
        let message = format!(
            "{}.script.command is empty: the image's own command gets the script's file",
            label(template)
        );
        check.subject.warn(
            Code::E108,
            &body_path,
            message,
            "name the interpreter, such as `command: [python]`",
        );
    }
}
