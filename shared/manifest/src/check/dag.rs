//! DAG templates: what waits for what.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::types::{Step, Template};

use super::order::Order;
use super::{SpecCheck, calls, did_you_mean, language};

const RESULTS: &[&str] =
    &["Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"];

pub(super) fn check(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let Some(dag) = &template.dag else { return };
    if dag.tasks.is_empty() {
        let message = format!("templates.{} must have at least one task", template.name);
        check.report(Code::E108, &format!("{path}.dag"), message, "add `tasks`");
    }
    let tasks = calls::tasks(template, path);
    calls::unique_names(check, &tasks, str::to_owned);
    let by_name: BTreeMap<&str, &Step> = tasks.iter().map(|(task, _)| (task.name.as_str(), *task)).collect();
    for (task, path) in &tasks {
        waits(check, &by_name, task, path);
        calls::call(check, template, task, path);
    }
    mixed(check, template, &tasks, path);
    cycle(check, template, path);
    for target in dag.target.iter().flat_map(|target| target.split(' ')).filter(|target| !target.is_empty()) {
        if !language::has_tag(target) && !tasks.iter().any(|(task, _)| task.name == target) {
            let known = tasks.iter().map(|(task, _)| task.name.as_str());
            let message = format!("templates.{}.targets: target '{target}' is not defined", template.name);
            check.report(
                Code::E404,
                &format!("{path}.dag.target"),
                message,
                did_you_mean(target, known, "name tasks of this DAG"),
            );
        }
    }
}

fn waits(check: &SpecCheck<'_>, tasks: &BTreeMap<&str, &Step>, task: &Step, path: &str) {
    let named: Vec<(String, Option<String>, String)> = match &task.depends {
        Some(depends) => match language::depends(depends) {
            Ok(named) => {
                named.into_iter().map(|(name, result)| (name, result, format!("{path}.depends"))).collect()
            }
            Err(why) => {
                let message = format!("depends cannot be read: {why}");
                check.report(
                    Code::E403,
                    &format!("{path}.depends"),
                    message,
                    "join tasks with && || ! and parentheses: a.Succeeded && (b || c.Failed)",
                );
                return;
            }
        },
        None => {
            let each = task.dependencies.iter().enumerate();
            each.map(|(index, name)| (name.clone(), None, format!("{path}.dependencies[{index}]"))).collect()
        }
    };
    if !named.is_empty() && task.name.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!(
            "task '{}' name cannot begin with a digit when using either 'depends' or 'dependencies'",
            task.name
        );
        check.report(Code::E101, &format!("{path}.name"), message, "begin the name with a letter");
    }
    if task.depends.is_some() && task.continue_on.is_some() {
        let message =
            "cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'";
        check.report(
            Code::E403,
            &format!("{path}.continueOn"),
            message,
            "move the condition into the `depends` of the tasks that follow",
        );
    }
    for (name, result, path) in named {
        let Some(dependency) = tasks.get(name.as_str()) else {
            let known = tasks.keys().copied();
            let message = format!("dependency '{name}' not defined");
            check.report(Code::E403, &path, message, did_you_mean(&name, known, "name a task of this DAG"));
            continue;
        };
        let Some(result) = result else { continue };
        if !RESULTS.contains(&result.as_str()) {
            let message = format!("task result '{result}' for task '{name}' is invalid");
            check.report(
                Code::E403,
                &path,
                message,
                did_you_mean(&result, RESULTS.iter().copied(), format!("use one of {}", RESULTS.join(", "))),
            );
        } else if matches!(result.as_str(), "AnySucceeded" | "AllFailed") && !dependency.is_loop() {
            let message = format!(
                "dependency '{name}' uses an items-based condition such as .AnySucceeded or .AllFailed but does not contain any items"
            );
            check.report(Code::E403, &path, message, "use .Succeeded or .Failed, or make the task a loop");
        }
    }
}

fn mixed(check: &SpecCheck<'_>, template: &Template, tasks: &[(&Step, String)], path: &str) {
    let depends = tasks.iter().find(|(task, _)| task.depends.is_some());
    let dependencies = tasks.iter().any(|(task, _)| !task.dependencies.is_empty());
    if let (Some((_, at)), true) = (depends, dependencies) {
        let message = format!(
            "templates.{} cannot use both 'depends' and 'dependencies' in the same DAG template",
            template.name
        );
        let _ = path;
        check.report(
            Code::E403,
            &format!("{at}.depends"),
            message,
            "write `depends: \"a && b\"` instead of `dependencies: [a, b]`",
        );
    }
}

fn cycle(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let order = Order::new(template);
    let Some(chain) = order.circle() else { return };
    let first = |(task, _): &(&Step, String)| chain.first() == Some(&task.name.as_str());
    let Some((_, task_path)) = calls::tasks(template, path).into_iter().find(first) else { return };
    let message =
        format!("templates.{}.tasks dependency cycle detected: {}", template.name, chain.join("->"));
    check.report(
        Code::E402,
        &task_path,
        message,
        "remove one of these dependencies; to repeat work use recursion or `retryStrategy`",
    );
}
