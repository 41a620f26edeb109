//! DAG templates: tasks, what each waits for, and what they may name.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::Value;

use super::arguments;
use super::calls::{check_composite, has_exit_hook, inline_inputs, is_aggregate};
use super::json::{Read, encode};
use super::names::{self, Named, is_parameter};
use super::refusal::{Checked, Place, Refusal, refuse};
use super::scope::Scope;
use super::validation::{Arguments, Base, Call, Found, Validation};
use crate::codes::Code;

/// Argo finds the names in a `depends` by this pattern, whatever stands between them.
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([a-zA-Z0-9][-a-zA-Z0-9]*?\.[A-Z][a-zA-Z]+)|([a-zA-Z0-9][-a-zA-Z0-9]*)")
        .expect("the pattern is valid")
});
static RESULTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([a-zA-Z0-9][-a-zA-Z0-9]*?\.[A-Z][a-zA-Z]+)").expect("the pattern is valid")
});

const KNOWN_RESULTS: [&str; 8] =
    ["Succeeded", "Failed", "Skipped", "Omitted", "Errored", "Daemoned", "AnySucceeded", "AllFailed"];

/// What a task waits for, and whether it asks for a loop's items.
type Waits = BTreeMap<String, bool>;

fn waits(task: &Value) -> Waits {
    let depends = match task.text("depends") {
        "" => {
            let names = task.list("dependencies").iter().filter_map(Value::as_str);
            let each = names.map(|name| format!("({name}.Succeeded || {name}.Skipped || {name}.Daemoned)"));
            each.collect::<Vec<_>>().join(" && ")
        }
        depends => depends.to_owned(),
    };
    let mut waits = Waits::new();
    for found in NAMES.captures_iter(&depends) {
        if let Some((name, result)) = found.get(1).and_then(|with| with.as_str().split_once('.')) {
            let items = matches!(result, "AnySucceeded" | "AllFailed");
            let known = waits.entry(name.to_owned()).or_default();
            *known |= items;
        } else if let Some(name) = found.get(2) {
            waits.insert(name.as_str().to_owned(), false);
        }
    }
    waits
}

/// The tasks of a DAG in an order in which each comes after what it waits for.
struct Tasks<'t> {
    ordered: Vec<(&'t Value, String)>,
    waits: HashMap<&'t str, Waits>,
}

impl<'t> Tasks<'t> {
    fn new(template: &'t Value) -> Result<Self, String> {
        let tasks = template.field("dag").list("tasks");
        let mut index: HashMap<&str, usize> = HashMap::new();
        for (at, task) in tasks.iter().enumerate() {
            if index.insert(task.text("name"), at).is_some() {
                return Err(format!("duplicated nodeName {}", task.text("name")));
            }
        }
        let waits: HashMap<&str, Waits> =
            tasks.iter().map(|task| (task.text("name"), self::waits(task))).collect();
        let mut followers: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut open: Vec<usize> = Vec::new();
        for (at, task) in tasks.iter().enumerate() {
            let before = &waits[task.text("name")];
            open.push(before.len());
            for name in before.keys() {
                let Some((name, _)) = index.get_key_value(name.as_str()) else {
                    return Err(format!("invalid dependency {name}"));
                };
                followers.entry(name).or_default().push(at);
            }
        }
        let mut ready: VecDeque<usize> = (0..tasks.len()).filter(|at| open[*at] == 0).collect();
        let mut ordered = Vec::new();
        while let Some(at) = ready.pop_front() {
            ordered.push((&tasks[at], format!("dag.tasks[{at}]")));
            for next in followers.get(tasks[at].text("name")).into_iter().flatten() {
                open[*next] -= 1;
                if open[*next] == 0 {
                    ready.push_back(*next);
                }
            }
        }
        if ordered.len() < tasks.len() {
            return Err("graph with cycle".to_owned());
        }
        Ok(Tasks { ordered, waits })
    }

    /// Whether `task` waits for `other`, directly or by others.
    fn waits_for(&self, task: &str, other: &str) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![task];
        while let Some(next) = open.pop() {
            let Some(waits) = self.waits.get(next) else { continue };
            if waits.contains_key(other) {
                return true;
            }
            open.extend(waits.keys().map(String::as_str).filter(|name| seen.insert(*name)));
        }
        false
    }
}

impl Validation<'_> {
    pub(super) fn dag(&mut self, template: &Value, place: &Place, base: &Base, scope: &mut Scope) -> Checked {
        check_composite(template)?;
        let label = format!("templates.{}", template.text("name"));
        let dag = template.field("dag");
        if dag.list("tasks").is_empty() {
            return refuse(Code::E108, format!("{label} must have at least one task"), "dag");
        }
        let tasks = Tasks::new(template).map_err(|why| {
            let code = if why.starts_with("duplicated") { Code::E102 } else { Code::E403 };
            Refusal::new(code, format!("{label} sorting failed: {why}")).at("dag.tasks")
        })?;
        let sorted: Vec<Value> = tasks.ordered.iter().map(|(task, _)| (*task).clone()).collect();
        names::check(&sorted, Named::Field, &format!("{label}.tasks"), "dag.tasks")
            .map_err(|refusal| misplaced(refusal, &tasks))?;
        let uses_depends = sorted.iter().any(|task| task.says("depends"));
        let mut called: HashMap<&str, Option<Arc<Found>>> = HashMap::new();
        for (task, path) in &tasks.ordered {
            check_waits(task, uses_depends, &label, path)?;
            let name = task.text("name");
            let call = Call::of(task, place, path);
            let template = self
                .called(&call, base, Arguments::Any)
                .map_err(|refusal| refusal.after(format!("{label}.tasks.{name} ")).under(path))?;
            self.add_outputs(template.as_deref(), "tasks", name, scope, is_aggregate(task));
            called.insert(name, template);
            check_results(task, &tasks, &label, path)?;
        }
        self.targets(dag.text("target"), &tasks, &label, scope)?;
        for (task, path) in &tasks.ordered {
            let call = Call::of(task, place, path);
            let name = task.text("name");
            if task.has("hooks") {
                scope.add(format!("tasks.{name}.status"));
            }
            self.add_outputs(called[name].as_deref(), "tasks", name, scope, false);
            if has_exit_hook(task) {
                self.add_outputs(called[name].as_deref(), "tasks", name, scope, false);
            }
            self.task(task, &tasks, &called, &label, scope).map_err(|refusal| refusal.under(path))?;
            self.called(&call, base, Arguments::Given(task.field("arguments")))
                .map_err(|refusal| refusal.after(format!("{label}.tasks.{name} ")).under(path))?;
        }
        Ok(())
    }

    fn task(
        &self,
        task: &Value,
        tasks: &Tasks<'_>,
        called: &HashMap<&str, Option<Arc<Found>>>,
        label: &str,
        scope: &Scope,
    ) -> Checked {
        let name = task.text("name");
        let prefix = format!("{label}.tasks.{name} ");
        let mut own = Scope::default();
        own.add_items(task).map_err(|refusal| refusal.after(&prefix))?;
        let inputs = inline_inputs(task);
        let status = |tag: &str| {
            let ancestor = tag.strip_prefix("tasks.").and_then(|rest| rest.strip_suffix(".status"));
            ancestor.is_some_and(|other| {
                called.get(other).is_some_and(Option::is_some) && tasks.waits_for(name, other)
            })
        };
        let any_item = |tag: &str| tag.starts_with("item.") && own.has("item.*");
        let more = |tag: &str| own.has(tag) || any_item(tag) || inputs.contains(tag) || status(tag);
        self.resolve(scope, more, &encode(task, "DAGTask")).map_err(|refusal| refusal.after(&prefix))?;
        let label = format!("{label}.tasks.{name}.arguments.");
        arguments::check(task.field("arguments"), &label, "arguments", false)?;
        read_without_waiting(task.field("arguments"), |other| tasks.waits_for(name, other))
            .map_or(Ok(()), |why| Err(Refusal::new(Code::E202, format!("{prefix}{why}"))))
    }

    fn targets(&self, targets: &str, tasks: &Tasks<'_>, label: &str, scope: &Scope) -> Checked {
        self.resolve(scope, |_| false, targets)
            .map_err(|refusal| refusal.after(format!("{label}.targets ")).at("dag.target"))?;
        if targets.is_empty() {
            return Ok(());
        }
        for target in targets.split(' ').filter(|target| !is_parameter(target)) {
            if !tasks.waits.contains_key(target) {
                let message = format!("{label}.targets: target '{target}' is not defined");
                return refuse(Code::E404, message, "dag.target");
            }
        }
        Ok(())
    }
}

/// The names are looked at in the sorted order; the place is the written one's.
fn misplaced(refusal: Refusal, tasks: &Tasks<'_>) -> Refusal {
    let number = refusal.path().strip_prefix("dag.tasks[").and_then(|rest| rest.split(']').next());
    let at = number.and_then(|number| number.parse::<usize>().ok()).and_then(|at| tasks.ordered.get(at));
    let path = at.map_or("dag.tasks", |(_, path)| path.as_str());
    Refusal::new(refusal.code, refusal.message).at(path)
}

fn check_waits(task: &Value, uses_depends: bool, label: &str, path: &str) -> Checked {
    let name = task.text("name");
    let dependencies = !task.list("dependencies").is_empty();
    if (uses_depends || dependencies) && name.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!(
            "{label}.tasks.{name} name cannot begin with a digit when using either 'depends' or 'dependencies'"
        );
        return refuse(Code::E101, message, format!("{path}.name"));
    }
    if uses_depends && dependencies {
        let message =
            format!("{label} cannot use both 'depends' and 'dependencies' in the same DAG template");
        return refuse(Code::E403, message, format!("{path}.dependencies"));
    }
    if uses_depends && task.has("continueOn") {
        let message = format!(
            "{label} cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'"
        );
        return refuse(Code::E403, message, format!("{path}.continueOn"));
    }
    Ok(())
}

fn check_results(task: &Value, tasks: &Tasks<'_>, label: &str, path: &str) -> Checked {
    let name = task.text("name");
    let at = format!("{path}.depends");
    for found in RESULTS.find_iter(task.text("depends")) {
        let (other, result) = found.as_str().split_once('.').unwrap_or_default();
        if !KNOWN_RESULTS.contains(&result) {
            let message =
                format!("{label}.tasks.{name} task result '{result}' for task '{other}' is invalid");
            return refuse(Code::E403, message, at);
        }
    }
    let by_name = |name: &str| tasks.ordered.iter().find(|(task, _)| task.text("name") == name);
    for other in tasks.waits[name].iter().filter(|(_, items)| **items).map(|(other, _)| other) {
        let is_loop = |task: &Value| is_aggregate(task) || task.has("withSequence");
        if by_name(other).is_some_and(|(task, _)| !is_loop(task)) {
            let message = format!(
                "{label}.tasks.{other} dependency '{other}' uses an items-based condition such as .AnySucceeded or .AllFailed but does not contain any items"
            );
            return refuse(Code::E403, message, at);
        }
    }
    Ok(())
}

/// The argument that is another task's output although this task does not wait for it.
fn read_without_waiting(arguments: &Value, waits_for: impl Fn(&str) -> bool) -> Option<String> {
    for (list, field, word) in [("parameters", "value", "parameter"), ("artifacts", "from", "artifact")] {
        for argument in
            arguments.list(list).iter().filter(|argument| argument.text(field).starts_with("{{tasks."))
        {
            let other = argument.text(field).split('.').nth(1).unwrap_or_default();
            if !waits_for(other) {
                let name = argument.text("name");
                return Some(format!("missing dependency '{other}' for {word} '{name}'"));
            }
        }
    }
    None
}
