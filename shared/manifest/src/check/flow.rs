//! Where a value comes from: back through inputs and outputs to the steps that make it.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Step, Template};

use super::{SpecCheck, calls, language};

/// A call of one of the spec's templates.
#[derive(Clone)]
pub(super) struct Call<'s> {
    /// The template that calls.
    pub(super) caller: &'s Template,
    /// The call.
    pub(super) step: &'s Step,
    /// Where the call stands.
    pub(super) path: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A leaf makes it: the path of the call that runs it.
    Leaf(String),
    /// It is computed from other values, or it is the clock's.
    Computed,
}

/// Template and variable of each name that was followed.
type Seen = BTreeSet<(String, String)>;

/// The calls between templates of one spec.
pub(super) struct Flow<'s> {
    pub(super) calls: Vec<Call<'s>>,
    by_caller: BTreeMap<&'s str, Vec<usize>>,
    templates: &'s [Template],
}

impl<'s> Flow<'s> {
    pub(super) fn new(check: &'s SpecCheck<'_>) -> Self {
        let templates = &check.spec.templates;
        let calls = templates.iter().enumerate().flat_map(|(index, caller)| {
            let path = format!("{}.templates[{index}]", check.path);
            calls::all(caller, &path).into_iter().map(move |(step, path)| Call { caller, step, path })
        });
        let calls: Vec<Call<'s>> = calls.collect();
        let mut by_caller: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, call) in calls.iter().enumerate() {
            by_caller.entry(&call.caller.name).or_default().push(index);
        }
        Flow { calls, by_caller, templates }
    }

    /// The calls that a template makes.
    pub(super) fn of(&self, caller: &str) -> impl Iterator<Item = &Call<'s>> {
        self.by_caller.get(caller).into_iter().flatten().map(|index| &self.calls[*index])
    }

    fn template(&self, name: &str) -> Option<&'s Template> {
        self.templates.iter().find(|template| template.name == name)
    }

    fn called<'f>(&'f self, caller: &str, step: &str) -> Option<&'f Call<'s>> {
        self.of(caller).find(|call| call.step.name == step)
    }

    /// Every origin of the variables in a text of `template`.
    pub(super) fn origins(&self, template: &str, text: &str) -> BTreeSet<Origin> {
        let mut found = BTreeSet::new();
        self.text(template, text, false, &mut BTreeSet::new(), &mut found);
        found
    }

    fn text(&self, template: &str, text: &str, handed: bool, seen: &mut Seen, found: &mut BTreeSet<Origin>) {
        let names = language::reads(text);
        let alone = text.trim().starts_with("{{")
            && text.trim().ends_with("}}")
            && names.len() == 1
            && !text.contains("{{=");
        for name in names {
            // A value that is handed on as more than a copy changes with each round of a recursion.
            if handed && !alone && name.starts_with("inputs.") {
                found.insert(Origin::Computed);
            }
            self.name(template, &name, seen, found);
        }
    }

    fn name(&self, template: &str, name: &str, seen: &mut Seen, found: &mut BTreeSet<Origin>) {
        if !seen.insert((template.to_owned(), name.to_owned())) {
            return;
        }
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["inputs", "parameters", input, ..] => {
                for call in self.calls.iter().filter(|call| call.step.template == template) {
                    for argument in
                        call.step.arguments.parameters.iter().filter(|argument| argument.name == *input)
                    {
                        let value = argument.value.as_ref().map_or("", |value| value.as_str());
                        self.text(&call.caller.name, value, true, seen, found);
                    }
                }
            }
            ["steps" | "tasks", step, rest @ ..] => {
                let Some(call) = self.called(template, step) else { return };
                let Some(callee) = self.template(&call.step.template) else {
                    found.insert(Origin::Leaf(call.path.clone()));
                    return;
                };
                let output = match rest {
                    ["outputs", "parameters", output, ..] => {
                        callee.outputs.parameters.iter().find(|parameter| parameter.name == *output)
                    }
                    _ => None,
                };
                let from = output.and_then(|output| output.value_from.as_ref());
                let inner = output.and_then(|output| output.value.as_ref().map(|value| value.as_str()));
                let inner = inner.or_else(|| from.and_then(|from| from.parameter.as_deref()));
                match inner {
                    Some(text) => self.text(&callee.name, text, true, seen, found),
                    None => _ = found.insert(Origin::Leaf(call.path.clone())),
                }
            }
            ["workflow", "duration" | "status" | "failures" | "outputs", ..] | ["retries", ..] => {
                found.insert(Origin::Computed);
            }
            _ => {}
        }
    }

    /// Whether anything that `call` is given comes from an input of the template `round`.
    pub(super) fn depends_on(&self, call: &Call<'s>, round: &Template) -> bool {
        let mut found = false;
        let mut seen = BTreeSet::new();
        let mut open = vec![(call.caller.name.as_str(), call.step)];
        while let Some((caller, step)) = open.pop() {
            if !seen.insert((caller, step.name.as_str())) {
                continue;
            }
            for name in self.given(step) {
                let parts: Vec<&str> = name.split('.').collect();
                match parts.as_slice() {
                    ["inputs", "parameters", input, ..] if caller == round.name => {
                        let declared =
                            round.inputs.parameters.iter().any(|parameter| parameter.name == *input);
                        found |= declared;
                    }
                    ["inputs", ..] if caller == round.name => found = true,
                    ["inputs", ..] => {
                        let callers = self.calls.iter().filter(|call| call.step.template == caller);
                        open.extend(callers.map(|call| (call.caller.name.as_str(), call.step)));
                    }
                    ["steps" | "tasks", other, ..] => {
                        open.extend(
                            self.called(caller, other).map(|call| (call.caller.name.as_str(), call.step)),
                        );
                    }
                    ["workflow", "outputs", ..] => found = true,
                    _ => {}
                }
            }
        }
        found
    }

    /// The variables in a call's arguments.
    fn given(&self, step: &Step) -> Vec<String> {
        let parameters =
            step.arguments.parameters.iter().filter_map(|p| p.value.as_ref().map(|value| value.as_str()));
        let artifacts = step.arguments.artifacts.iter().filter_map(|artifact| artifact.from.as_deref());
        parameters.chain(artifacts).flat_map(language::reads).collect()
    }
}
