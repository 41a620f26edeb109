//! Arguments and inputs: what is asked for, and whether it is given.

use crate::codes::Code;
use crate::parse::AnyObject;
use crate::types::{Arguments, Artifact, Parameter, Step, Template, ValueFrom};

use super::{SpecCheck, did_you_mean, expressions, git, http, language, names, template::label};

/// `spec.arguments`.
pub(super) fn workflow_arguments(check: &SpecCheck<'_>) {
    let path = format!("{}.arguments", check.path);
    let arguments = &check.spec.arguments;
    names_of(check, arguments, &path);
    for (index, parameter) in arguments.parameters.iter().enumerate() {
        let path = format!("{path}.parameters[{index}]");
        choices(check, parameter, &format!("spec.arguments.{}", parameter.name), &path);
        if let Some(from) = &parameter.value_from {
            allowed_sources(check, from, &parameter.name, &path);
        }
    }
    values(check, &path);
}

/// Where the workflow is started as it stands, each argument needs a value.
fn values(check: &SpecCheck<'_>, path: &str) {
    let options = check.subject.world.options;
    let required = match check.subject.document.object {
        AnyObject::Workflow(_) => options.submit,
        AnyObject::CronWorkflow(_) | AnyObject::Trigger(_) => true,
        AnyObject::WorkflowTemplate(_) | AnyObject::ClusterWorkflowTemplate(_) => false,
    };
    if !required {
        return;
    }
    for parameter in &check.merged.arguments.parameters {
        let given = options.submit && options.given.contains(&parameter.name);
        if parameter.value.is_none() && parameter.value_from.is_none() && !given {
            let own = check.spec.arguments.parameters.iter().position(|p| p.name == parameter.name);
            let path = own.map_or_else(|| path.to_owned(), |index| format!("{path}.parameters[{index}]"));
            let message = format!(
                "spec.arguments.{0}.value or spec.arguments.{0}.valueFrom is required",
                parameter.name
            );
            let remedy = match check.subject.document.object {
                AnyObject::Workflow(_) => format!("add `value`, or give it by -p {}=…", parameter.name),
                _ => "add `value`; nobody is there to give one".to_owned(),
            };
            check.report(Code::E301, &path, message, remedy);
        }
    }
}

fn allowed_sources(check: &SpecCheck<'_>, from: &ValueFrom, name: &str, path: &str) {
    let ValueFrom { path: file, parameter, expression, json_path, jq_filter, event, .. } = from;
    let others = [file, parameter, expression, json_path, jq_filter, event];
    if others.iter().any(|field| field.is_some()) {
        let message = format!("{name}.valueFrom only allows: default, configMapKeyRef and supplied");
        check.report(Code::E301, &format!("{path}.valueFrom"), message, "write the text as `value`");
    }
}

/// `arguments` of a call or a hook.
pub(super) fn given(check: &SpecCheck<'_>, arguments: &Arguments, path: &str) {
    names_of(check, arguments, path);
    for (index, parameter) in arguments.parameters.iter().enumerate() {
        if parameter.value.is_none() && parameter.value_from.is_none() {
            let message = format!("{}.value is required", parameter.name);
            check.report(
                Code::E301,
                &format!("{path}.parameters[{index}]"),
                message,
                "add `value`, or leave the argument out to use the template's default",
            );
        }
    }
    for (index, artifact) in arguments.artifacts.iter().enumerate() {
        let path = format!("{path}.artifacts[{index}]");
        if artifact.from.is_some() && artifact.from_expression.is_some() {
            let message =
                format!("{} shouldn't have both 'from' and 'fromExpression' in Artifact", artifact.name);
            check.report(Code::E303, &path, message, "keep `from`");
        } else if artifact.from.is_none() && artifact.from_expression.is_none() && !artifact.has_location() {
            let message = format!("{}.from, artifact location, or key is required", artifact.name);
            check.report(
                Code::E303,
                &path,
                message,
                "write `from: \"{{steps.a.outputs.artifacts.x}}\"`, `s3`, `http`, `git` or `raw`",
            );
        }
        expression(check, artifact, &path);
        place(check, artifact, &path);
    }
}

/// An artifact's `fromExpression` can be read.
pub(super) fn expression(check: &SpecCheck<'_>, artifact: &Artifact, path: &str) {
    if let Some(expression) = &artifact.from_expression {
        let example = "for example: steps.a.status == 'Succeeded' ? steps.a.outputs.artifacts.x : steps.b.outputs.artifacts.x";
        let path = format!("{path}.fromExpression");
        expressions::field(check.subject, &path, expression, "the expression", example);
    }
}

/// What is wrong with an artifact's location or mode, wherever it stands.
pub(super) fn place(check: &SpecCheck<'_>, artifact: &Artifact, path: &str) {
    http::location(check, artifact, path);
    git::location(check, artifact, path);
    http::mode(check, artifact, path);
    if let Some(s3) = &artifact.s3
        && s3.key.as_deref().unwrap_or_default().is_empty()
    {
        let message = format!("{}.s3.key is required", artifact.name);
        check.report(Code::E303, &format!("{path}.s3"), message, "add the object's `key`");
    }
}

/// `inputs` of a template.
pub(super) fn declared(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let path = format!("{path}.inputs");
    names_of(check, &template.inputs, &path);
    for (index, parameter) in template.inputs.parameters.iter().enumerate() {
        let path = format!("{path}.parameters[{index}]");
        choices(
            check,
            parameter,
            &format!("{}.inputs.parameters.{}", label(template), parameter.name),
            &path,
        );
    }
    let leaf = template.is_pod();
    for (index, artifact) in template.inputs.artifacts.iter().enumerate() {
        let path = format!("{path}.artifacts[{index}]");
        let label = format!("{}.inputs.artifacts.{}", label(template), artifact.name);
        match artifact.path.as_deref().filter(|path| !path.is_empty()) {
            None if leaf => {
                let message = format!("error in {label}: path not specified");
                check.report(Code::E303, &path, message, "add `path`, where the step finds the artifact");
            }
            Some(target) if leaf && !target.starts_with('/') && !language::has_tag(target) => {
                let message = format!("error in {label}: path '{target}' is not absolute");
                check.subject.warn(Code::E303, &format!("{path}.path"), message, "begin it with /");
            }
            Some(_) if template.steps.is_some() || template.dag.is_some() => {
                let message = format!("{label}.path only valid in container/script templates");
                check.report(
                    Code::E303,
                    &format!("{path}.path"),
                    message,
                    "remove it here and set it on the template that reads the artifact",
                );
            }
            _ => {}
        }
        for (field, set) in
            [("from", artifact.from.is_some()), ("fromExpression", artifact.from_expression.is_some())]
        {
            if set {
                let message = format!("{label}.{field} not valid in inputs");
                check.report(
                    Code::E303,
                    &format!("{path}.{field}"),
                    message,
                    "move it to `arguments.artifacts` of the call",
                );
            }
        }
        place(check, artifact, &path);
    }
}

/// Names are allowed and stand once.
pub(super) fn names_of(check: &SpecCheck<'_>, arguments: &Arguments, path: &str) {
    let parameters: Vec<&str> = arguments.parameters.iter().map(|p| p.name.as_str()).collect();
    let artifacts: Vec<&str> = arguments.artifacts.iter().map(|a| a.name.as_str()).collect();
    names(check, &parameters, &format!("{path}.parameters"));
    names(check, &artifacts, &format!("{path}.artifacts"));
}

pub(super) fn names(check: &SpecCheck<'_>, all: &[&str], path: &str) {
    for (index, name) in all.iter().enumerate() {
        let path = format!("{path}[{index}].name");
        if let Some(why) = names::parameter(name) {
            check.report(
                Code::E101,
                &path,
                format!("name '{name}' {why}"),
                "choose a name such as learning-rate",
            );
        } else if all[..index].contains(name) {
            check.report(Code::E102, &path, format!("name '{name}' is not unique"), "remove one of the two");
        }
    }
}

fn choices(check: &SpecCheck<'_>, parameter: &Parameter, label: &str, path: &str) {
    let Some(choices) = &parameter.enumeration else { return };
    let path = format!("{path}.enum");
    if choices.is_empty() {
        check.report(
            Code::E305,
            &path,
            format!("{label}.enum should contain at least one value"),
            "list the values that are allowed",
        );
    }
    for (field, value) in [("value", &parameter.value), ("default", &parameter.default)] {
        let Some(value) = value.as_ref().filter(|value| !language::has_tag(value.as_str())) else { continue };
        if !choices.is_empty() && !choices.contains(value) {
            let known = choices.iter().map(|choice| choice.as_str());
            let listed = known.clone().collect::<Vec<_>>().join(", ");
            let remedy = did_you_mean(value.as_str(), known, format!("use one of {listed}"));
            check.report(
                Code::E305,
                &path,
                format!("{label}.{field} should be present in {label}.enum list"),
                remedy,
            );
        }
    }
}

fn has_own_value(parameter: &Parameter) -> bool {
    parameter.value.is_some() || parameter.default.is_some() || parameter.value_from.is_some()
}

/// What the callee asks for is given by the call, and the other way round.
pub(super) fn supplied(check: &SpecCheck<'_>, caller: &Template, call: &Step, callee: &Template, path: &str) {
    let arguments = &call.arguments;
    for parameter in callee.inputs.parameters.iter().filter(|parameter| !has_own_value(parameter)) {
        if !arguments.parameters.iter().any(|argument| argument.name == parameter.name) {
            let message = format!("{} inputs.parameters.{} was not supplied", label(callee), parameter.name);
            let remedy = format!(
                "add it under `arguments.parameters` here, or give it a `default` in template '{}'",
                callee.name
            );
            check.report(Code::E302, path, message, remedy);
        }
    }
    for artifact in
        callee.inputs.artifacts.iter().filter(|artifact| !artifact.optional && !artifact.has_location())
    {
        if !arguments.artifacts.iter().any(|argument| argument.name == artifact.name) {
            let message = format!("{} inputs.artifacts.{} was not supplied", label(callee), artifact.name);
            check.report(
                Code::E302,
                path,
                message,
                "add it under `arguments.artifacts` here, or make it `optional: true`",
            );
        }
    }
    let parameters = arguments.parameters.iter().map(|argument| &argument.name).enumerate();
    for (index, name) in parameters {
        let declared = callee.inputs.parameters.iter().map(|parameter| parameter.name.as_str());
        if !declared.clone().any(|other| other == name) {
            let path = format!("{path}.arguments.parameters[{index}]");
            let message = format!(
                "template '{}' does not declare the input parameter '{name}' and ignores it",
                callee.name
            );
            check.report(
                Code::W703,
                &path,
                message,
                did_you_mean(name, declared, declare(check, caller, callee, name)),
            );
        }
    }
    for (index, artifact) in arguments.artifacts.iter().enumerate() {
        if !callee.inputs.artifacts.iter().any(|other| other.name == artifact.name) {
            let path = format!("{path}.arguments.artifacts[{index}]");
            let message = format!(
                "template '{}' does not declare the input artifact '{}' and ignores it",
                callee.name, artifact.name
            );
            check.report(
                Code::W703,
                &path,
                message,
                "declare it under `inputs.artifacts` of that template, or remove it here",
            );
        }
    }
}

fn declare(check: &SpecCheck<'_>, _caller: &Template, callee: &Template, name: &str) -> String {
    let declare = format!("declare it under `inputs.parameters` of '{}'", callee.name);
    let first = check.merged.entrypoint.as_deref() == Some(&callee.name);
    match first && !check.merged.arguments.parameters.iter().any(|argument| argument.name == name) {
        true => format!(
            "{declare} with a `default` (such as \"0\"), because the run's first call, the entrypoint, gives none"
        ),
        false => format!("{declare}, or remove it here"),
    }
}

/// The workflow's arguments are the entry template's.
pub(super) fn supplied_by_workflow(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let arguments = &check.merged.arguments;
    let given = &check.subject.world.options.given;
    for parameter in template.inputs.parameters.iter().filter(|parameter| !has_own_value(parameter)) {
        let named = arguments.parameters.iter().any(|argument| argument.name == parameter.name);
        if !named && !given.contains(&parameter.name) {
            let message =
                format!("{} inputs.parameters.{} was not supplied", label(template), parameter.name);
            let remedy = format!(
                "add '{}' to the workflow's `arguments.parameters`, or give the input a `default`",
                parameter.name
            );
            check.report(Code::E302, path, message, remedy);
        }
    }
    for artifact in
        template.inputs.artifacts.iter().filter(|artifact| !artifact.optional && !artifact.has_location())
    {
        if !arguments.artifacts.iter().any(|argument| argument.name == artifact.name) {
            let message = format!("{} inputs.artifacts.{} was not supplied", label(template), artifact.name);
            check.report(
                Code::E302,
                path,
                message,
                "add it to the workflow's `arguments.artifacts`, or make it `optional: true`",
            );
        }
    }
}
