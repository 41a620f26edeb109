//! The calls of a template, and its steps.

use std::collections::BTreeSet;

use serde_json::Value;

use super::arguments;
use super::json::{Read, encode};
use super::names::{Named, invalid};
use super::refusal::{Checked, Place, Refusal, refuse};
use super::replace::PLACEHOLDER;
use super::scope::Scope;
use super::validation::{Arguments, Base, Call, Validation};
use crate::codes::Code;

/// The steps of a template with the group of each and its path.
fn steps(template: &Value) -> Vec<(&Value, usize, String)> {
    let groups = template.list("steps").iter().enumerate();
    groups
        .flat_map(|(group, steps)| {
            steps.as_array().into_iter().flatten().enumerate().map(move |s| (group, s))
        })
        .map(|(group, (index, step))| (step, group, format!("steps[{group}][{index}]")))
        .collect()
}

/// The steps and tasks of a template with their paths.
pub(super) fn all(template: &Value) -> Vec<(&Value, String)> {
    let tasks = template.field("dag").list("tasks").iter().enumerate();
    let tasks = tasks.map(|(index, task)| (task, format!("dag.tasks[{index}]")));
    steps(template).into_iter().map(|(step, _, path)| (step, path)).chain(tasks).collect()
}

/// Only leaves have a deadline.
pub(super) fn check_composite(template: &Value) -> Checked {
    if template.has("activeDeadlineSeconds") {
        let message = format!(
            "templates.{}.activeDeadlineSeconds is only valid for leaf templates",
            template.text("name")
        );
        return refuse(Code::E107, message, "activeDeadlineSeconds");
    }
    Ok(())
}

/// Hooks other than `exit` say when they run.
pub(super) fn check_hooks(hooks: &Value, label: &str, path: &str) -> Checked {
    for (name, hook) in hooks.as_object().into_iter().flatten() {
        if name != "exit" && !hook.says("expression") {
            return refuse(
                Code::E405,
                format!("{label}.{name} Expression required"),
                format!("{path}.{name}"),
            );
        }
    }
    Ok(())
}

/// Whether something is called when the call ends.
pub(super) fn has_exit_hook(call: &Value) -> bool {
    call.says("onExit") || call.field("hooks").has("exit")
}

/// Whether the call is a loop whose outputs are lists: a sequence's are not known to be.
pub(super) fn is_aggregate(call: &Value) -> bool {
    !call.list("withItems").is_empty() || call.says("withParam")
}

/// The inputs of a call's inline template, which its texts may name.
pub(super) fn inline_inputs(call: &Value) -> BTreeSet<String> {
    let inputs = call.field("inline").field("inputs").list("parameters").iter();
    inputs.map(|input| format!("inputs.parameters.{}", input.text("name"))).collect()
}

/// A step's name, in which placeholders stand for what is filled in.
fn invalid_step_name(name: &str) -> Option<String> {
    let mut sane = String::new();
    let mut rest = name;
    while let Some(at) = rest.find(PLACEHOLDER) {
        let after = &rest[at + PLACEHOLDER.len()..];
        let number = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if number == 0 {
            break;
        }
        sane.push_str(&rest[..at]);
        sane.push('x');
        rest = &after[number..];
    }
    sane.push_str(rest);
    invalid(&sane, Named::Field)
}

impl Validation<'_> {
    pub(super) fn steps(
        &mut self,
        template: &Value,
        place: &Place,
        base: &Base,
        scope: &mut Scope,
    ) -> Checked {
        check_composite(template)?;
        let mut names = BTreeSet::new();
        for (step, group, path) in steps(template) {
            let label = format!("templates.{}.steps[{group}]", template.text("name"));
            let name = step.text("name");
            let at = || format!("{path}.name");
            if name.is_empty() {
                return refuse(Code::E101, format!("{label}.name is required"), path);
            }
            if !names.insert(name) {
                return refuse(Code::E102, format!("{label}.name '{name}' is not unique"), at());
            }
            if let Some(why) = invalid_step_name(name) {
                return refuse(Code::E101, format!("{label}.name '{name}' is invalid: {why}"), at());
            }
            self.step(step, &label, &path, place, base, scope).map_err(|refusal| refusal.at(path.clone()))?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        step: &Value,
        label: &str,
        path: &str,
        place: &Place,
        base: &Base,
        scope: &mut Scope,
    ) -> Checked {
        let name = step.text("name");
        let prefix = format!("{label}.{name} ");
        scope.add(format!("steps.{name}.status"));
        scope.add_items(step).map_err(|refusal| refusal.after(&prefix).under(path))?;
        arguments::check(
            step.field("arguments"),
            &format!("{label}.{name}.arguments."),
            &format!("{path}.arguments"),
            false,
        )?;
        let call = Call::of(step, place, path);
        let within = |refusal: Refusal| refusal.after(&prefix).under(path);
        let called = self.called(&call, base, Arguments::Any).map_err(within)?;
        if has_exit_hook(step) {
            self.add_outputs(called.as_deref(), "steps", name, scope, false);
        }
        check_hooks(step.field("hooks"), &format!("{label}.{name}"), &format!("{path}.hooks"))?;
        let inputs = inline_inputs(step);
        self.resolve(scope, |tag| inputs.contains(tag), &encode(step, "WorkflowStep"))
            .map_err(|refusal| refusal.after(format!("{} ", label.split("[").next().unwrap_or(label))))?;
        self.add_outputs(called.as_deref(), "steps", name, scope, is_aggregate(step));
        self.called(&call, base, Arguments::Given(step.field("arguments"))).map_err(within)?;
        Ok(())
    }
}
