//! Variables: each one a text names exists where the text stands. A step sees the groups before it, a DAG's task
//! what it depends on, a template's body its own inputs.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes::Code;
use crate::source::{Node, join};
use crate::types::{LifecycleHook, Step, Template};

use super::order::Order;
use super::{Found, SpecCheck, calls, did_you_mean, expressions, language, mentions};

/// What a text may name.
struct Scope<'t> {
    template: Option<&'t Template>,
    /// `steps` or `tasks`, in a template that has them.
    word: &'static str,
    /// All calls of the template.
    calls: &'t BTreeMap<&'t str, &'t Step>,
    /// Which of them have ended when the text is read.
    ended: Ended<'t>,
    /// The call whose hook the text is in, which has ended too.
    hooked: Option<&'t str>,
    /// Whether `{{item}}` is set, and the keys it has where they are known.
    item: Option<Option<BTreeSet<String>>>,
    /// What the call sees that an inline template stands in: the template's texts are replaced with the call's.
    outer: Option<&'t Scope<'t>>,
}

/// Which calls have ended.
#[derive(Clone, Copy)]
enum Ended<'t> {
    None,
    All,
    /// Those of the groups before this one.
    Groups(&'t BTreeMap<&'t str, usize>, usize),
    /// Those that this task waits for.
    Before(&'t Order, &'t str),
}

impl Scope<'_> {
    fn sees(&self, call: &str) -> bool {
        let ended = match self.ended {
            Ended::None => false,
            Ended::All => true,
            Ended::Groups(groups, group) => groups.get(call).is_some_and(|other| *other < group),
            Ended::Before(order, task) => order.is_before(call, task),
        };
        ended || self.hooked == Some(call)
    }
}

/// A variable that does not exist: the code, what is wrong, what to do.
type Wrong = (Code, String, String);

/// The texts of a spec that are in no template.
pub(super) fn check_spec(check: &SpecCheck<'_>) {
    let none = BTreeMap::new();
    let scope = Scope {
        template: None,
        word: "",
        calls: &none,
        ended: Ended::None,
        hooked: None,
        item: None,
        outer: None,
    };
    for (name, hook) in &check.spec.hooks {
        hook_expression(check, &scope, &format!("{}.hooks.{name}.expression", check.path), hook);
    }
    let Some(spec) = check.subject.node(check.path) else { return };
    for entry in spec.entries().iter().filter(|entry| !matches!(entry.key.as_str(), "templates" | "hooks")) {
        for (path, text) in mentions::texts(&entry.value, &join(check.path, &entry.key)) {
            // Metrics and the like name variables of a node, which only exist when it ends, and volumes of the calls
            // before the step that mounts them.
            let later = entry.key == "metrics" || entry.key == "volumes" && names_calls(text);
            if !later {
                self::text(check, &scope, &path, text);
            }
        }
    }
}

/// Whether a text names a step or a task.
fn names_calls(text: &str) -> bool {
    let tags = crate::tags::scan(text).unwrap_or_default();
    tags.iter().any(|tag| tag.content.contains("steps.") || tag.content.contains("tasks."))
}

/// The texts of a template and of the inline templates in it.
pub(super) fn check_template(check: &SpecCheck<'_>, template: &Template, path: &str) {
    check_within(check, template, None, path);
}

fn check_within(check: &SpecCheck<'_>, template: &Template, outer: Option<&Scope<'_>>, path: &str) {
    let Some(node) = check.subject.node(path) else { return };
    let word = if template.dag.is_some() { "tasks" } else { "steps" };
    let all = calls::all(template, path);
    let by_name: BTreeMap<&str, &Step> = all.iter().map(|(call, _)| (call.name.as_str(), *call)).collect();
    let scope = |ended, item| Scope {
        template: Some(template),
        word,
        calls: &by_name,
        ended,
        hooked: None,
        item,
        outer,
    };
    for entry in node.entries() {
        let path = join(path, &entry.key);
        let scope = scope(if entry.key == "outputs" { Ended::All } else { Ended::None }, None);
        match entry.key.as_str() {
            "steps" | "dag" | "metrics" => {}
            _ => mentions::texts(&entry.value, &path).into_iter().for_each(|(at, text)| {
                self::text(check, &scope, &at, text);
                if is_expression(&at) {
                    expression(check, &scope, &at, text);
                }
            }),
        }
    }
    let groups = || template.steps.iter().flatten().enumerate();
    let group_of: BTreeMap<&str, usize> = groups()
        .flat_map(|(index, group)| group.iter().map(move |step| (step.name.as_str(), index)))
        .collect();
    let indices = groups().flat_map(|(index, group)| group.iter().map(move |_| index));
    for ((step, path), group) in calls::steps(template, path).iter().zip(indices) {
        call(check, &scope(Ended::Groups(&group_of, group), item(step)), step, path);
    }
    let order = Order::new(template);
    for (task, path) in calls::tasks(template, path) {
        call(check, &scope(Ended::Before(&order, &task.name), item(task)), task, &path);
    }
}

/// Whether the call is a loop, and the keys of its items where all are literal mappings.
fn item(call: &Step) -> Option<Option<BTreeSet<String>>> {
    if !call.is_loop() {
        return None;
    }
    let keys: Option<Vec<BTreeSet<String>>> = call
        .with_items
        .iter()
        .map(|item| item.value().as_object().map(|fields| fields.keys().cloned().collect()))
        .collect();
    Some(keys.filter(|keys| !keys.is_empty()).map(|keys| keys.into_iter().flatten().collect()))
}

fn call<'t>(check: &SpecCheck<'_>, scope: &Scope<'t>, call: &'t Step, path: &str) {
    let Some(node) = check.subject.node(path) else { return };
    for entry in node.entries() {
        let path = join(path, &entry.key);
        match entry.key.as_str() {
            "hooks" => hooks(check, scope, call, &entry.value, &path),
            "inline" => {
                if let Some(inline) = &call.inline {
                    check_within(check, inline, Some(scope), &path);
                }
            }
            _ => mentions::texts(&entry.value, &path).into_iter().for_each(|(at, text)| {
                self::text(check, scope, &at, text);
                if is_expression(&at) {
                    expression(check, scope, &at, text);
                }
            }),
        }
    }
}

/// Whether the field at `path` is an expression as a whole.
fn is_expression(path: &str) -> bool {
    path.ends_with(".valueFrom.expression") || path.ends_with(".fromExpression")
}

/// The arguments of a hook see its call's own outputs; its expression looks at the steps beside the call too.
fn hooks<'t>(check: &SpecCheck<'_>, scope: &Scope<'t>, call: &'t Step, node: &Node, path: &str) {
    let hooked = |ended| Scope { hooked: Some(&call.name), item: scope.item.clone(), ended, ..*scope };
    let hook = hooked(scope.ended);
    for (at, text) in mentions::texts(node, path) {
        self::text(check, &hook, &at, text);
    }
    let beside = hooked(match scope.ended {
        Ended::Groups(groups, group) => Ended::Groups(groups, group + 1),
        ended => ended,
    });
    for (name, hook) in &call.hooks {
        hook_expression(check, &beside, &format!("{path}.{name}.expression"), hook);
    }
}

/// The names in a hook's expression; that it can be read is checked with its call.
fn hook_expression(check: &SpecCheck<'_>, scope: &Scope<'_>, path: &str, hook: &LifecycleHook) {
    let (names, _) = language::expression(hook.expression.as_deref().unwrap_or("nil"));
    for name in names {
        // The item of a loop may be named by its index and description: steps['a(0:x)'].
        if !name.contains('(')
            && let Some((code, message, remedy)) = wrong(check, scope, &name)
        {
            check.report(code, path, message, remedy);
        }
    }
}

fn text(check: &SpecCheck<'_>, scope: &Scope<'_>, path: &str, text: &str) {
    let subject = check.subject;
    match language::tags(text) {
        Ok(tags) => {
            for tag in tags {
                let at = subject.place_in_text(path, text, tag.offset);
                if let Some(broken) = &tag.broken {
                    let example = "names with a dash need brackets: inputs.parameters['learning-rate']";
                    expressions::report(subject, path, text, broken, "the expression", example);
                }
                for name in &tag.needs {
                    if let Some((code, message, remedy)) = wrong(check, scope, name) {
                        subject.report_at(code, at, path, message, remedy);
                    }
                }
            }
        }
        Err((offset, why)) => {
            let at = subject.place_in_text(path, text, offset);
            subject.report_at(
                Code::E203,
                at,
                path,
                why,
                "close the tag; to write `{{` itself use {{=\"{{\"}}",
            );
        }
    }
}

/// A field that is an expression as a whole.
fn expression(check: &SpecCheck<'_>, scope: &Scope<'_>, path: &str, text: &str) {
    for name in language::expression(text).0 {
        if let Some((code, message, remedy)) = wrong(check, scope, &name) {
            check.report(code, path, message, remedy);
        }
    }
}

const ROOTS: &[&str] = &["workflow", "inputs", "outputs", "steps", "tasks", "item", "pod", "node"];

fn wrong(check: &SpecCheck<'_>, scope: &Scope<'_>, name: &str) -> Option<Wrong> {
    let found = wrong_here(check, scope, name)?;
    // What the call sees is replaced before the inline template starts.
    match scope.outer {
        Some(outer) if wrong(check, outer, name).is_none() => None,
        _ => Some(found),
    }
}

fn wrong_here(check: &SpecCheck<'_>, scope: &Scope<'_>, name: &str) -> Option<Wrong> {
    let (root, rest) = name.split_once('.').unwrap_or((name, ""));
    // An expression that reads a whole map, or guards the rest of the name.
    if rest.is_empty() && root != "item" {
        return None;
    }
    match root {
        "workflow" => workflow(check, rest).map(|remedy| unresolved(name, remedy)),
        "inputs" => input(scope, rest).map(|remedy| unresolved(name, remedy)),
        "steps" | "tasks" => called(check, scope, root, rest, name),
        "item" => item_key(scope, rest).map(|remedy| unresolved(name, remedy)),
        "trigger" => Some((
            Code::E505,
            format!("failed to resolve {{{{{name}}}}}"),
            "trigger variables exist only in a Trigger's `spec.arguments`: hand the value on as an argument"
                .to_owned(),
        )),
        "pod" if name != "pod.name" => Some(unresolved(name, "only {{pod.name}} exists".to_owned())),
        // Argo leaves what it does not know as it is, so a near miss reaches the step as text.
        _ if !ROOTS.contains(&root) && name.contains('.') => {
            let near = crate::decode::nearest::nearest(root, ROOTS.iter().copied())?;
            Some(unresolved(name, format!("did you mean {{{{{near}.{rest}}}}}?")))
        }
        _ => None,
    }
}

fn unresolved(name: &str, remedy: String) -> Wrong {
    (Code::E201, format!("failed to resolve {{{{{name}}}}}"), remedy)
}

const WORKFLOW: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "serviceAccountName",
    "mainEntrypoint",
    "creationTimestamp",
    "priority",
    "scheduledTime",
    "parameters",
    "labels",
    "annotations",
    "outputs",
    "status",
    "failures",
    "duration",
];

/// The remedy for a name below `workflow` that does not exist.
fn workflow(check: &SpecCheck<'_>, name: &str) -> Option<String> {
    let (field, rest) = name.split_once('.').unwrap_or((name, ""));
    if field == "parameters" && !matches!(rest, "" | "json") {
        let arguments = &check.merged.arguments.parameters;
        let known = arguments.iter().map(|parameter| parameter.name.as_str());
        // A library's templates see the arguments of the workflow that calls them.
        let fine = check.at_rest
            || check.references_elsewhere()
            || known.clone().any(|other| other == rest)
            || check.subject.world.options.given.contains(rest);
        return (!fine).then(|| {
            did_you_mean(rest, known, format!("add '{rest}' to the workflow's `arguments.parameters`"))
        });
    }
    (!WORKFLOW.contains(&field)).then(|| {
        did_you_mean(field, WORKFLOW.iter().copied(), format!("use one of workflow.{}", WORKFLOW.join(", ")))
    })
}

/// The remedy for a name below `inputs` that does not exist.
fn input(scope: &Scope<'_>, name: &str) -> Option<String> {
    let Some(template) = scope.template else {
        return Some("inputs exist only within a template; use {{workflow.parameters.…}}".to_owned());
    };
    let (kind, rest) = name.split_once('.').unwrap_or((name, ""));
    let (known, wanted): (Vec<&str>, &str) = match kind {
        "parameters" => (template.inputs.parameters.iter().map(|p| p.name.as_str()).collect(), rest),
        "artifacts" => {
            let wanted = rest.strip_suffix(".path").unwrap_or(rest);
            (template.inputs.artifacts.iter().map(|a| a.name.as_str()).collect(), wanted)
        }
        _ => return Some("inputs have `parameters` and `artifacts`".to_owned()),
    };
    // A name that begins with a known one reads into a value, which an expression may do.
    let fine = wanted.is_empty()
        || known.iter().any(|k| *k == wanted || wanted.strip_prefix(k).is_some_and(|r| r.starts_with('.')));
    let declare = format!("declare '{wanted}' under `inputs.{kind}` of template '{}'", template.name);
    (!fine).then(|| did_you_mean(wanted, known, declare))
}

/// The remedy for an item that does not exist.
fn item_key(scope: &Scope<'_>, key: &str) -> Option<String> {
    match &scope.item {
        None => Some("`item` exists only in a step or task with withItems, withParam or withSequence; hand it to the template as an argument".to_owned()),
        Some(Some(keys)) if !key.is_empty() && !keys.contains(key) => {
            let known = keys.iter().map(String::as_str);
            Some(did_you_mean(key, known, format!("the items have the keys {}", keys.iter().cloned().collect::<Vec<_>>().join(", "))))
        }
        Some(_) => None,
    }
}

fn called(check: &SpecCheck<'_>, scope: &Scope<'_>, root: &str, rest: &str, name: &str) -> Option<Wrong> {
    if rest == "name" {
        return None;
    }
    let call_name = rest.split('.').next().unwrap_or_default();
    let composite = scope.template.is_some_and(|template| template.steps.is_some() || template.dag.is_some());
    if !composite {
        let remedy = format!(
            "{root} are known only to the template that calls them: hand the value on as an argument"
        );
        return Some(unresolved(name, remedy));
    }
    if root != scope.word {
        return Some(unresolved(
            name,
            format!("this template has {}: write {{{{{}.{rest}}}}}", scope.word, scope.word),
        ));
    }
    let Some(call) = scope.calls.get(call_name) else {
        let known = scope.calls.keys().copied();
        return Some(unresolved(
            name,
            did_you_mean(
                call_name,
                known,
                format!("this template has no {} '{call_name}'", root.trim_end_matches('s')),
            ),
        ));
    };
    if !scope.sees(call_name) {
        let (why, remedy) = match scope.word {
            "tasks" => (
                "this task does not depend on it",
                format!("add '{call_name}' to `depends` or `dependencies`"),
            ),
            _ => (
                "it is not in an earlier step group",
                format!("move this step into a group after '{call_name}'"),
            ),
        };
        return Some((Code::E202, format!("failed to resolve {{{{{name}}}}}: {why}"), remedy));
    }
    let field = rest.strip_prefix(call_name).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    let callee = check.callee(call);
    output(call, &callee, field).map(|remedy| unresolved(name, remedy))
}

const CALL_FIELDS: &[&str] =
    &["id", "status", "startedAt", "finishedAt", "hostNodeName", "ip", "exitCode", "outputs"];

/// The remedy for a field of a call that does not exist.
fn output(call: &Step, callee: &Found<'_>, field: &str) -> Option<String> {
    let (first, rest) = field.split_once('.').unwrap_or((field, ""));
    if let (Found::Template(template), "ip") = (callee, first)
        && !template.is_daemon()
    {
        return Some(format!(
            "only a daemon has an address: set `daemon: true` on template '{}'",
            template.name
        ));
    }
    if first != "outputs" {
        let fine = CALL_FIELDS.contains(&first);
        return (!fine).then(|| {
            did_you_mean(first, CALL_FIELDS.iter().copied(), format!("use one of {}", CALL_FIELDS.join(", ")))
        });
    }
    let Found::Template(template) = callee else { return None };
    let (kind, wanted) = rest.split_once('.').unwrap_or((rest, ""));
    let known: Vec<&str> = match kind {
        "result" => {
            let composite = template.steps.is_some() || template.dag.is_some() || template.suspend.is_some();
            return composite.then(|| {
                format!("template '{}' prints nothing itself: give it an output parameter", template.name)
            });
        }
        "exitCode" => return Some(format!("write {}.exitCode", call.name)),
        "parameters" if wanted.is_empty() => {
            return (!call.is_loop())
                .then(|| "name one of the parameters; only a loop gives them all as a list".to_owned());
        }
        "parameters" => template.outputs.parameters.iter().map(|p| p.name.as_str()).collect(),
        "artifacts" => template.outputs.artifacts.iter().map(|a| a.name.as_str()).collect(),
        _ => return Some("outputs have `result`, `parameters` and `artifacts`".to_owned()),
    };
    let fine =
        known.iter().any(|k| *k == wanted || wanted.strip_prefix(k).is_some_and(|r| r.starts_with('.')));
    (!fine).then(|| {
        did_you_mean(
            wanted,
            known,
            format!("declare '{wanted}' under `outputs.{kind}` of template '{}'", template.name),
        )
    })
}
