//! Calls of templates: steps, tasks and hooks.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::text::Item;
use crate::types::{Holder, LifecycleHook, Sequence, Step, Template, TemplateRef};

use super::{Found, SpecCheck, World, did_you_mean, expressions, inputs, language, names, template};

/// The steps of a template with the path of each, in order.
pub(super) fn steps<'t>(template: &'t Template, path: &str) -> Vec<(&'t Step, String)> {
    let groups = template.steps.iter().flatten().enumerate();
    groups
        .flat_map(|(i, group)| group.iter().enumerate().map(move |(j, step)| (step, i, j)))
        .map(|(step, i, j)| (step, format!("{path}.steps[{i}][{j}]")))
        .collect()
}

/// The tasks of a template with the path of each, in order.
pub(super) fn tasks<'t>(template: &'t Template, path: &str) -> Vec<(&'t Step, String)> {
    let tasks = template.dag.iter().flat_map(|dag| &dag.tasks).enumerate();
    tasks.map(|(index, task)| (task, format!("{path}.dag.tasks[{index}]"))).collect()
}

/// All calls of a template.
pub(super) fn all<'t>(template: &'t Template, path: &str) -> Vec<(&'t Step, String)> {
    let mut calls = steps(template, path);
    calls.extend(tasks(template, path));
    calls
}

/// All calls of a template, those of the inline templates in it included.
pub(super) fn deep<'t>(template: &'t Template, path: &str) -> Vec<(&'t Step, String)> {
    let mut found = Vec::new();
    for (call, path) in all(template, path) {
        let inner = call.inline.as_deref().map(|inline| deep(inline, &format!("{path}.inline")));
        found.push((call, path));
        found.extend(inner.into_iter().flatten());
    }
    found
}

pub(super) fn check_steps(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let steps = steps(template, path);
    // A step's name may hold tags of what its template knows when it starts.
    unique_names(check, &steps, language::filled);
    for (step, path) in &steps {
        for (field, set) in
            [("dependencies", !step.dependencies.is_empty()), ("depends", step.depends.is_some())]
        {
            if set {
                let remedy =
                    "step groups run one after the other; use a `dag` template to order by dependency";
                check.report(
                    Code::E005,
                    &format!("{path}.{field}"),
                    format!("unknown field \"{field}\""),
                    remedy,
                );
            }
        }
        call(check, template, step, path);
    }
}

/// Names are allowed and stand once; `shape` gives what is looked at of each.
pub(super) fn unique_names(check: &SpecCheck<'_>, calls: &[(&Step, String)], shape: fn(&str) -> String) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (call, path) in calls {
        let name_path = format!("{path}.name");
        if let Some(why) = names::workflow_field(&shape(&call.name)) {
            check.report(
                Code::E101,
                &name_path,
                format!("{name_path} '{}' {why}", call.name),
                "choose a name such as train-model",
            );
        } else if let Some(other) = first.insert(&call.name, path) {
            let line = check.subject.document.node.at(other).line;
            let message = format!("{name_path} '{}' is not unique: line {line} has it too", call.name);
            check.report(Code::E102, &name_path, message, "rename one of the two");
        }
    }
}

/// A step or a task.
pub(super) fn call(check: &SpecCheck<'_>, caller: &Template, call: &Step, path: &str) {
    loops(check, call, path);
    if let Some(when) = &call.when
        && let Err(why) = language::when(when)
    {
        let remedy = "compare with == != < > =~ and join with && ||; quote text that holds spaces or signs: '{{x}}' == 'a b'";
        check.report(
            Code::E204,
            &format!("{path}.when"),
            format!("invalid 'when' expression: {why}"),
            remedy,
        );
    }
    if let Some(on_exit) = &call.on_exit {
        let path = format!("{path}.onExit");
        missing(check, check.local(on_exit), on_exit, None, &path);
    }
    for (name, hook) in &call.hooks {
        self::hook(check, name, hook, &format!("{path}.hooks.{name}"));
    }
    inputs::given(check, &call.arguments, &format!("{path}.arguments"));
    if let Some(inline) = &call.inline {
        if !call.template.is_empty() || call.template_ref.is_some() {
            let message = "a call has one of template, templateRef and inline";
            return check.report(Code::E106, path, message, "keep one of them");
        }
        template::check_inline(check, inline, &format!("{path}.inline"));
        return inputs::supplied(check, caller, call, inline, path);
    }
    if let Some(callee) = named(check, &call.template, call.template_ref.as_ref(), path) {
        inputs::supplied(check, caller, call, callee, path);
    }
}

pub(super) fn hook(check: &SpecCheck<'_>, name: &str, hook: &LifecycleHook, path: &str) {
    match &hook.expression {
        None if name != "exit" => {
            let message = format!("hook {name}: Expression required");
            check.report(Code::E405, path, message, "add `expression`, or call the hook `exit`");
        }
        Some(expression) => {
            let (path, example) =
                (format!("{path}.expression"), "for example: workflow.status == \"Failed\"");
            expressions::field(check.subject, &path, expression, "the hook's expression", example);
        }
        None => {}
    }
    inputs::given(check, &hook.arguments, &format!("{path}.arguments"));
    named(check, &hook.template, hook.template_ref.as_ref(), path);
}

/// The template that a call names; what is wrong with the name is reported.
fn named<'c>(
    check: &'c SpecCheck<'_>,
    template: &str,
    reference: Option<&TemplateRef>,
    path: &str,
) -> Option<&'c Template> {
    match reference {
        Some(_) if !template.is_empty() => {
            let message = "template name cannot be specified with templateRef";
            check.report(
                Code::E106,
                path,
                message,
                "keep `template` for a template of this file, `templateRef` for a stored one",
            );
            return None;
        }
        Some(reference) if reference.name.is_empty() || reference.template.is_empty() => {
            let what = if reference.name.is_empty() { "resource name" } else { "template name" };
            check.report(
                Code::E106,
                &format!("{path}.templateRef"),
                format!("{what} is required"),
                "write templateRef: {name: …, template: …}",
            );
            return None;
        }
        None if template.is_empty() => {
            check.report(Code::E106, path, "template name is required", "add `template: NAME`");
            return None;
        }
        _ => {}
    }
    let field = if reference.is_some() { "templateRef" } else { "template" };
    missing(check, check.named(template, reference), template, reference, &format!("{path}.{field}"))
}

fn missing<'c>(
    check: &'c SpecCheck<'_>,
    found: Found<'c>,
    name: &str,
    reference: Option<&TemplateRef>,
    path: &str,
) -> Option<&'c Template> {
    match found {
        Found::Template(template) => Some(template),
        Found::Unknown => None,
        Found::Missing(message) => {
            let remedy = match reference {
                None => {
                    let known = check.merged.templates.iter().map(|template| template.name.as_str());
                    did_you_mean(name, known, "define a template of this name under `templates`")
                }
                Some(reference) => match check.subject.world.stored(reference.holder()) {
                    Some(stored) => {
                        let known = stored.templates.iter().map(|template| template.name.as_str());
                        did_you_mean(
                            &reference.template,
                            known,
                            format!("define it in {} {}", reference.holder().kind(), reference.name),
                        )
                    }
                    None => {
                        let world = check.subject.world;
                        not_stored(world, reference.holder())
                    }
                },
            };
            check.report(Code::E104, path, message, remedy);
            None
        }
    }
}

/// What to do about a stored object that no document defines.
pub(super) fn not_stored(world: &World<'_>, wanted: Holder<'_>) -> String {
    let other = Holder { cluster: !wanted.cluster, ..wanted };
    if world.stored(other).is_some() {
        let scope = if other.cluster { "add" } else { "leave out" };
        return format!("'{}' is a {}: {scope} `clusterScope: true`", wanted.name, other.kind());
    }
    did_you_mean(
        wanted.name,
        world.names(wanted.cluster),
        format!("give the file that defines the {} in the same call", wanted.kind()),
    )
}

fn loops(check: &SpecCheck<'_>, call: &Step, path: &str) {
    let kinds = [!call.with_items.is_empty(), call.with_param.is_some(), call.with_sequence.is_some()];
    if kinds.iter().filter(|set| **set).count() > 1 {
        let message = "only one of withItems, withParam, withSequence can be specified";
        check.report(Code::E401, path, message, "keep one of them");
    }
    if let Some(text) = &call.with_param
        && !language::has_tag(text)
        && let Err(why) = Item::list(text)
    {
        let message = format!("withParam value could not be parsed as a JSON list: {why}");
        check.report(
            Code::E401,
            &format!("{path}.withParam"),
            message,
            "write a JSON list, or a tag that gives one: \"{{steps.list.outputs.result}}\"",
        );
    }
    if let Some(sequence) = &call.with_sequence {
        self::sequence(check, sequence, &format!("{path}.withSequence"));
    }
}

fn sequence(check: &SpecCheck<'_>, sequence: &Sequence, path: &str) {
    let message = match (&sequence.count, &sequence.end) {
        (Some(_), Some(_)) => Some("only one of count or end can be defined in withSequence"),
        (None, None) => Some("neither end nor count was specified in withSequence"),
        _ => None,
    };
    if let Some(message) = message {
        check.report(Code::E401, path, message, "give `count`, or `end` (and `start`)");
    }
    for (field, value) in [("count", &sequence.count), ("start", &sequence.start), ("end", &sequence.end)] {
        let Some(value) = value.as_ref().filter(|value| !language::has_tag(value.as_str())) else { continue };
        if value.as_str().parse::<i64>().is_err() {
            let message = format!("withSequence.{field} '{value}' is not an integer");
            check.report(
                Code::E401,
                &format!("{path}.{field}"),
                message,
                "write an integer or a tag that gives one",
            );
        }
    }
}
