//! What runs, and probably not as meant.

use std::sync::LazyLock;

use regex::Regex;

use crate::codes::Code;
use crate::types::{Container, Step, Template};

use super::{SpecCheck, calls, language, mentions, pods, volumes};

pub(super) fn check_template(check: &SpecCheck<'_>, template: &Template, path: &str) {
    for (path, container) in pods::containers(template, path) {
        image(check, container, &path);
        paths(check, template, container, &path);
    }
    if let Some(script) = &template.script {
        script_arguments(check, script, &format!("{path}.script"));
    }
    unread_inputs(check, template, path);
    skipped_outputs(check, template, path);
}

fn image(check: &SpecCheck<'_>, container: &Container, path: &str) {
    let Some(image) =
        container.image.as_deref().filter(|image| !image.is_empty() && !language::has_tag(image))
    else {
        return;
    };
    if image.contains('@') {
        return;
    }
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let what = match tag {
        None => format!("image '{image}' has no tag, which means `latest`"),
        Some("latest") => format!("image '{image}' is `latest`"),
        Some(_) => return,
    };
    let message = format!("{what}: tomorrow's run may get another image");
    check.report(
        Code::W701,
        &format!("{path}.image"),
        message,
        "name a version, such as python:3.12, or a digest",
    );
}

static PYTHON_ARGUMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\bsys\.argv\b").expect("the pattern is valid"));
static NODE_ARGUMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\bprocess\.argv\b").expect("the pattern is valid"));
static SHELL_ARGUMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\$(?:[1-9@*]|\{[1-9@*][^}]*\})"#).expect("the pattern is valid"));

/// A script's interpreter gets one argument, the script's file.
fn script_arguments(check: &SpecCheck<'_>, script: &Container, path: &str) {
    let source = script.source.as_deref().unwrap_or_default();
    let interpreter = script
        .command
        .iter()
        .flatten()
        .next()
        .map_or("", |command| command.rsplit('/').next().unwrap_or(command));
    let shell = interpreter.ends_with("sh");
    let found = if shell {
        shell_argument(source)
    } else {
        PYTHON_ARGUMENTS
            .find(source)
            .or_else(|| NODE_ARGUMENTS.find(source))
            .map(|found| (found.start(), found.as_str().to_owned()))
    };
    let Some((offset, what)) = found else { return };
    if script.args.as_ref().is_some_and(|args| !args.is_empty()) {
        return;
    }
    let path = format!("{path}.source");
    let at = check.subject.place_in_text(&path, source, offset);
    let message = format!("the script reads {what}, but a script template is given only its own file");
    check.subject.report_at(
        Code::W707,
        at,
        &path,
        message,
        "write {{inputs.parameters.NAME}} into the source instead",
    );
}

/// The first `$1` or `$@` that is the script's own: not one of a function's, nor in quotes for another program.
fn shell_argument(source: &str) -> Option<(usize, String)> {
    if source.contains("()") || source.contains("function ") || source.contains("set -- ") {
        return None;
    }
    let found = SHELL_ARGUMENTS.find_iter(source).find(|found| {
        let line = source[..found.start()].rsplit('\n').next().unwrap_or_default();
        line.matches('\'').count().is_multiple_of(2) && !line.ends_with('\\')
    });
    found.map(|found| (found.start(), found.as_str().to_owned()))
}

static MOUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"/mnt/[A-Za-z0-9_.\-]+(?:/[A-Za-z0-9_.\-]+)*").expect("the pattern is valid")
});

/// A path under /mnt is meant to be a volume or an artifact; without one it is the step's own and is lost.
fn paths(check: &SpecCheck<'_>, template: &Template, container: &Container, path: &str) {
    let provided = volumes::provided_paths(template, container);
    let Some(node) = check.subject.node(path) else { return };
    let mut told: Vec<String> = Vec::new();
    for (at, text) in mentions::texts(node, path) {
        let field = at[path.len()..].trim_start_matches('.');
        if !["command", "args", "source", "env", "workingDir"].iter().any(|known| field.starts_with(known)) {
            continue;
        }
        for found in MOUNT.find_iter(text) {
            let file = found.as_str();
            let covered = provided.iter().any(|p| {
                language::has_tag(p)
                    || file == *p
                    || file.strip_prefix(p).is_some_and(|rest| rest.starts_with('/'))
                    // A folder that the step makes itself and from which an output is taken.
                    || p.strip_prefix(file).is_some_and(|rest| rest.starts_with('/'))
            });
            let folder: String = file.split('/').take(3).collect::<Vec<_>>().join("/");
            if covered || told.contains(&folder) {
                continue;
            }
            told.push(folder.clone());
            let place = check.subject.place_in_text(&at, text, found.start());
            let message =
                format!("{file} is used, but no volume or input artifact of this template provides {folder}");
            let remedy = format!(
                "mount a volume there (`volumeMounts: [{{name: …, mountPath: {folder}}}]`), or place an input artifact there"
            );
            check.subject.report_at(Code::W708, place, &at, message, remedy);
        }
    }
}

fn unread_inputs(check: &SpecCheck<'_>, template: &Template, path: &str) {
    // A suspend template's inputs are what it shows to the person.
    if template.suspend.is_some() {
        return;
    }
    let Some(node) = check.subject.node(path) else { return };
    let texts = mentions::readers(node, "inputs.parameters");
    for (index, input) in template.inputs.parameters.iter().enumerate() {
        let read = texts.iter().any(|text| {
            mentions::names(text, "inputs.parameters", &input.name)
                || mentions::names_all(text, "inputs.parameters")
        });
        if !read && !input.name.is_empty() {
            let path = format!("{path}.inputs.parameters[{index}]");
            let message = format!("nothing in template '{}' reads its input '{}'", template.name, input.name);
            check.report(
                Code::W702,
                &path,
                message,
                format!("write {{{{inputs.parameters.{}}}}} where it is meant, or remove it", input.name),
            );
        }
    }
}

/// Workflow arguments that neither a template nor the entry template's inputs take.
pub(super) fn check_unused(check: &SpecCheck<'_>) {
    if check.spec.workflow_template_ref.is_some() {
        return;
    }
    let Some(node) = check.subject.node(check.path) else { return };
    let texts = mentions::readers(node, "workflow.parameters");
    let taken = |name: &str| {
        check.spec.templates.iter().any(|t| t.inputs.parameters.iter().any(|input| input.name == name))
    };
    let elsewhere = check
        .spec
        .templates
        .iter()
        .flat_map(|t| calls::deep(t, ""))
        .any(|(call, _)| call.template_ref.is_some());
    for (index, argument) in check.spec.arguments.parameters.iter().enumerate() {
        let read = texts.iter().any(|text| {
            mentions::names(text, "workflow.parameters", &argument.name)
                || mentions::names_all(text, "workflow.parameters")
        });
        if !read && !taken(&argument.name) && !elsewhere && !argument.name.is_empty() {
            let path = format!("{}.arguments.parameters[{index}]", check.path);
            let message = format!("nothing reads the argument '{}'", argument.name);
            check.report(
                Code::W702,
                &path,
                message,
                format!(
                    "write {{{{workflow.parameters.{}}}}} where it is meant, or remove it",
                    argument.name
                ),
            );
        }
    }
}

/// A step with `when` may be skipped; then its outputs do not exist.
fn skipped_outputs(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let all = calls::all(template, path);
    let skippable: Vec<&Step> =
        all.iter().map(|(call, _)| *call).filter(|call| call.when.is_some() && !call.is_loop()).collect();
    for (call, call_path) in &all {
        for (index, argument) in call.arguments.parameters.iter().enumerate() {
            let Some(value) = argument.value.as_ref().map(|value| value.as_str()) else { continue };
            let path = format!("{call_path}.arguments.parameters[{index}]");
            for producer in skippable.iter().filter(|producer| !skipped_together(call, producer)) {
                let callee = check.callee(call).template();
                let input = callee.and_then(|callee| {
                    callee.inputs.parameters.iter().find(|input| input.name == argument.name)
                });
                let alone = value.trim().starts_with("{{")
                    && value.matches("{{").count() == 1
                    && value.trim().ends_with("}}");
                let has_default =
                    alone && input.is_some_and(|input| input.default.is_some() || input.value.is_some());
                if !has_default {
                    skipped_read(check, producer, value, &path);
                }
            }
        }
    }
    for (index, output) in template.outputs.parameters.iter().enumerate() {
        let Some(from) = &output.value_from else { continue };
        if let (Some(value), None) = (&from.parameter, &from.default) {
            let path = format!("{path}.outputs.parameters[{index}].valueFrom.parameter");
            skippable.iter().for_each(|producer| skipped_read(check, producer, value, &path));
        }
    }
}

/// Whether the reader does not run either when the producer is skipped, as far as its condition shows.
fn skipped_together(reader: &Step, producer: &Step) -> bool {
    let name = &producer.name;
    let by_when = reader
        .when
        .as_ref()
        .is_some_and(|when| Some(when) == producer.when.as_ref() || when.contains(name.as_str()));
    by_when || reader.depends.as_ref().is_some_and(|depends| depends.contains(&format!("{name}.Succeeded")))
}

fn skipped_read(check: &SpecCheck<'_>, producer: &Step, value: &str, path: &str) {
    // An expression may choose another value: only plain tags are read without fail.
    for tag in language::tags(value).unwrap_or_default().iter().filter(|tag| !tag.is_expression) {
        for name in &tag.needs {
            let output = ["steps", "tasks"]
                .iter()
                .find_map(|word| name.strip_prefix(&format!("{word}.{}.outputs.", producer.name)));
            let Some(output) = output.filter(|output| !output.starts_with("artifacts")) else { continue };
            let callee = check.callee(producer).template();
            let declared = output.strip_prefix("parameters.").and_then(|wanted| {
                callee.and_then(|callee| {
                    callee.outputs.parameters.iter().find(|parameter| parameter.name == wanted)
                })
            });
            let defaulted = declared
                .and_then(|parameter| parameter.value_from.as_ref())
                .is_some_and(|from| from.default.is_some());
            if !defaulted {
                let message = format!(
                    "'{}' may be skipped by its `when`, and then {{{{{name}}}}} does not exist",
                    producer.name
                );
                check.report(Code::W706, path, message, "give the output a `valueFrom.default` or the input a `default`, or write an expression with `??`");
            }
        }
    }
}
