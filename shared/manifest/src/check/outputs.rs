//! Outputs: each has exactly one source, of the kind that its template has.

use crate::codes::Code;
use crate::types::{Parameter, Template, ValueFrom};

use super::{SpecCheck, expressions, garbage, git, inputs, language, names, template::label};

pub(super) fn declared(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let path = format!("{path}.outputs");
    let outputs = &template.outputs;
    let parameters: Vec<&str> = outputs.parameters.iter().map(|p| p.name.as_str()).collect();
    // An artifact's name may hold tags of the template's inputs.
    let artifacts: Vec<String> = outputs.artifacts.iter().map(|a| language::filled(&a.name)).collect();
    let artifacts: Vec<&str> = artifacts.iter().map(String::as_str).collect();
    inputs::names(check, &parameters, &format!("{path}.parameters"));
    inputs::names(check, &artifacts, &format!("{path}.artifacts"));
    for (index, output) in outputs.parameters.iter().enumerate() {
        let path = format!("{path}.parameters[{index}]");
        parameter(check, template, output, &path);
        global_name(check, output.global_name.as_deref(), &path);
    }
    for (index, artifact) in outputs.artifacts.iter().enumerate() {
        let path = format!("{path}.artifacts[{index}]");
        global_name(check, artifact.global_name.as_deref(), &path);
        inputs::expression(check, artifact, &path);
        inputs::place(check, artifact, &path);
        garbage::artifacts(check, artifact.artifact_gc.as_ref(), &path);
        let label = format!("{}.outputs.artifacts.{}", label(template), artifact.name);
        if template.is_pod() && artifact.path.as_deref().unwrap_or_default().is_empty() {
            let message = format!("{label}.path must be specified for Container templates");
            check.report(Code::E303, &path, message, "add `path`, where the step leaves the file or folder");
        }
        let composite = template.steps.is_some() || template.dag.is_some();
        if artifact.from.is_some() && artifact.from_expression.is_some() {
            let message =
                format!("{} shouldn't have both 'from' and 'fromExpression' in Artifact", artifact.name);
            check.report(Code::E303, &path, message, "keep one of them");
        }
        if composite && artifact.from.is_none() && artifact.from_expression.is_none() {
            let message = format!("{label}.from must be specified for Steps and DAG templates");
            check.report(Code::E303, &path, message, "write `from: \"{{steps.a.outputs.artifacts.x}}\"`");
        }
        git::output(check, artifact, &label, &path);
        if artifact.raw.is_some() {
            let message = format!("{label}.raw is not valid in outputs");
            check.report(
                Code::E303,
                &format!("{path}.raw"),
                message,
                "write the text to a file and set `path`",
            );
        }
    }
}

fn global_name(check: &SpecCheck<'_>, name: Option<&str>, path: &str) {
    let Some(name) = name.filter(|name| !language::has_tag(name)) else { return };
    if let Some(why) = names::parameter(name) {
        check.report(
            Code::E101,
            &format!("{path}.globalName"),
            format!("globalName '{name}' {why}"),
            "choose a name such as best-accuracy",
        );
    }
}

fn parameter(check: &SpecCheck<'_>, template: &Template, parameter: &Parameter, path: &str) {
    let label = format!("{}.outputs.parameters.{}", label(template), parameter.name);
    let from = match (&parameter.value_from, &parameter.value) {
        (Some(_), Some(_)) => {
            let message = format!("{label} has both valueFrom and value specified, choose one");
            return check.report(Code::E304, path, message, "keep one of the two");
        }
        (None, None) => {
            let message = format!("{label} does not have valueFrom or value specified");
            return check.report(Code::E304, path, message, "add `valueFrom`");
        }
        (None, Some(_)) => return,
        (Some(from), None) => from,
    };
    let path = format!("{path}.valueFrom");
    match sources(from).as_slice() {
        [] => {
            let message = format!(
                "{label}.valueFrom type unspecified. choose one of: path, parameter, expression, supplied"
            );
            return check.report(Code::E304, &path, message, "say where the value comes from");
        }
        [_] => {}
        several => {
            let message = format!("{label}.valueFrom multiple types specified: {}", several.join(", "));
            return check.report(Code::E304, &path, message, "keep one of them");
        }
    }
    if template.is_pod() && from.path.is_none() {
        let message = format!("{label}.path must be specified for Container templates");
        check.report(
            Code::E304,
            &path,
            message,
            "write `valueFrom: {path: /tmp/x}` and let the step write that file",
        );
    }
    let composite = template.steps.is_some() || template.dag.is_some();
    if composite && from.parameter.is_none() && from.expression.is_none() {
        let message = format!("{label}.parameter or expression must be specified for Steps templates");
        check.report(
            Code::E304,
            &path,
            message,
            "write `valueFrom: {parameter: \"{{steps.a.outputs.parameters.x}}\"}`",
        );
    }
    if let Some(expression) = &from.expression {
        expressions::field(check.subject, &format!("{path}.expression"), expression, "the expression", "");
    }
}

fn sources(from: &ValueFrom) -> Vec<&'static str> {
    [
        ("path", from.path.is_some()),
        ("parameter", from.parameter.is_some()),
        ("expression", from.expression.is_some()),
        ("supplied", from.supplied.is_some()),
        ("configMapKeyRef", from.config_map_key_ref.is_some()),
        ("jsonPath", from.json_path.is_some()),
        ("jqFilter", from.jq_filter.is_some()),
        ("event", from.event.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect()
}
