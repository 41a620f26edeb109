//! Which variables a text may name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::Read;
use super::kind::Kind;
use super::names::is_parameter;
use super::refusal::{Checked, Refusal};
use super::replace;
use super::validation::{Found, Validation};
use crate::codes::Code;

/// Only tags that begin so are looked at; `{{item}}` is not among them.
const CHECKED: [&str; 7] = ["item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks."];

/// What only a run knows, and is therefore taken for good.
const LATE: [&str; 7] = [
    "outputs.",
    "workflow.creationTimestamp",
    "workflow.scheduledTime",
    "workflow.duration",
    "tasks.name",
    "steps.name",
    "node.name",
];

/// Names of variables; `item.*` and the like stand for any name of that beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    names: BTreeSet<String>,
}

impl Scope {
    pub(super) fn add(&mut self, name: impl Into<String>) {
        self.names.insert(name.into());
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The variables that a loop sets.
    ///
    /// # Errors
    /// What is wrong with the loop, in Argo's words.
    pub(super) fn add_items(&mut self, call: &Value) -> Result<(), Refusal> {
        let loops = [!call.list("withItems").is_empty(), call.says("withParam"), call.has("withSequence")];
        if loops.into_iter().filter(|set| *set).count() > 1 {
            let message = "only one of withItems, withParam, withSequence can be specified";
            return Err(Refusal::new(Code::E401, message));
        }
        if loops[0] {
            call.list("withItems").iter().for_each(|item| self.add_item(item));
        } else if loops[1] {
            self.add("item");
            self.add("item.*");
        } else if loops[2] {
            let sequence = call.field("withSequence");
            if sequence.has("count") && sequence.has("end") {
                let message = "only one of count or end can be defined in withSequence";
                return Err(Refusal::new(Code::E401, message).at("withSequence"));
            }
            self.add("item");
        }
        Ok(())
    }

    fn add_item(&mut self, item: &Value) {
        match item {
            Value::Array(items) => (0..items.len()).for_each(|index| self.add(format!("item.[{index}]"))),
            Value::Object(fields) => fields.keys().for_each(|key| self.add(format!("item.{key}"))),
            Value::Null => {}
            _ => self.add("item"),
        }
    }
}

impl Validation<'_> {
    /// Every tag of the text can be resolved.
    pub(super) fn resolve(&self, scope: &Scope, more: impl Fn(&str) -> bool, text: &str) -> Checked {
        let resolves = |tag: &str| {
            let name = tag.trim();
            let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
            let any = |magic: &str| scope.has(magic) || self.globals.contains_key(magic);
            !begins(&CHECKED)
                || scope.has(name)
                || self.globals.contains_key(name)
                || (name.starts_with("item.") && scope.has("item.*"))
                || (name.starts_with("workflow.outputs.parameters.")
                    && scope.has("workflow.outputs.parameters.*"))
                || (name.starts_with("workflow.outputs.artifacts.") && any("workflow.outputs.artifacts.*"))
                || begins(&LATE)
                || (self.options.template && name.starts_with("workflow.parameters"))
                || more(name)
        };
        let mut wrong = None;
        let checked = replace::check(text, |tag| {
            (!resolves(tag)).then(|| {
                wrong = Some(format!("{{{{{tag}}}}}"));
                format!("failed to resolve {{{{{tag}}}}}")
            })
        });
        checked.map_err(|message| Refusal::new(Code::E201, message).about(wrong))
    }

    /// What a call leaves behind for those that follow it; `word` is `steps` or `tasks`.
    pub(super) fn add_outputs(
        &mut self,
        called: Option<&Found>,
        word: &str,
        name: &str,
        scope: &mut Scope,
        aggregate: bool,
    ) {
        for field in ["id", "startedAt", "finishedAt", "hostNodeName"] {
            scope.add(format!("{word}.{name}.{field}"));
        }
        let Some(Found { template, .. }) = called else { return };
        if template.is_true("daemon") {
            scope.add(format!("{word}.{name}.ip"));
        }
        let kind = Kind::of(template);
        if kind.is_some_and(|kind| kind.has_result(template)) {
            scope.add(format!("{word}.{name}.outputs.result"));
            scope.add(format!("{word}.{name}.exitCode"));
        }
        for what in ["parameters", "artifacts"] {
            for output in template.field("outputs").list(what) {
                scope.add(format!("{word}.{name}.outputs.{what}.{}", output.text("name")));
                let global = output.text("globalName");
                if global.is_empty() {
                    continue;
                }
                if is_parameter(global) {
                    scope.add(format!("workflow.outputs.{what}.*"));
                } else {
                    let global = format!("workflow.outputs.{what}.{global}");
                    scope.add(&global);
                    self.set_global(&global);
                }
            }
        }
        if aggregate {
            if matches!(kind, Some(Kind::Script | Kind::ContainerSet)) {
                scope.add(format!("{word}.{name}.outputs.result"));
                scope.add(format!("{word}.{name}.exitCode"));
            }
            scope.add(format!("{word}.{name}.outputs.parameters"));
        }
    }
}
