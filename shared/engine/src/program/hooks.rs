//! Lifecycle hooks: what the expression of each one looks at, so that an event looks again at those that read what it
//! changed and at no others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dropforge_manifest::expr::{self, Expr};
use dropforge_manifest::types::LifecycleHook;

use super::Call;

/// The hook that runs when its owner has ended; it is no hook with an expression of its own.
const EXIT: &str = "exit";

/// A lifecycle hook with an expression: it fires once, when the expression is true.
#[derive(Debug)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// As written.
    pub hook: LifecycleHook,
    /// The expression, unless tags stand in it or it can't be read; then it is parsed when it is evaluated.
    pub parsed: Option<Expr>,
    /// What it looks at.
    pub reads: Reads,
}

/// What an expression looks at of all that can change while it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Steps or tasks of the enclosing template; its own call is always looked at.
    pub calls: BTreeSet<String>,
    /// What it looks at of the run.
    pub run: RunFacts,
}

/// What of a run as a whole an expression looks at, or an event changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// `workflow.status`.
    pub status: bool,
    /// `workflow.failures`.
    pub failures: bool,
    /// `workflow.outputs.*`.
    pub outputs: bool,
}

impl RunFacts {
    /// Everything.
    pub const ALL: RunFacts = RunFacts { status: true, failures: true, outputs: true };

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == RunFacts::default()
    }

    /// Whether the two have one in common.
    pub fn meets(self, other: RunFacts) -> bool {
        self.status && other.status || self.failures && other.failures || self.outputs && other.outputs
    }

    /// Those of either.
    pub fn and(self, other: RunFacts) -> RunFacts {
        RunFacts {
            status: self.status || other.status,
            failures: self.failures || other.failures,
            outputs: self.outputs || other.outputs,
        }
    }

    fn of(name: &str) -> RunFacts {
        match name.strip_prefix("workflow").map(|rest| rest.trim_start_matches('.')) {
            None => RunFacts::default(),
            // The whole object.
            Some("") => RunFacts::ALL,
            Some(rest) => {
                let is = |fact: &str| rest.split('.').next() == Some(fact);
                RunFacts { status: is("status"), failures: is("failures"), outputs: is("outputs") }
            }
        }
    }
}

impl Reads {
    fn of(expression: &Expr) -> Reads {
        let mut reads = Reads::default();
        for name in expression.reads() {
            reads.run = reads.run.and(RunFacts::of(&name));
            if let Some(("steps" | "tasks", rest)) = name.split_once('.') {
                // A name may hold points of its own (an item's description): what it starts with is enough.
                let call = rest.split(['.', '(']).next().unwrap_or(rest);
                reads.calls.insert(call.to_owned());
            }
        }
        reads
    }

    /// For a text with tags in it, which may name anything of the run.
    fn unknown() -> Reads {
        Reads { calls: BTreeSet::new(), run: RunFacts::ALL }
    }
}

/// The hooks that fire by an expression.
pub(super) fn compile(hooks: &BTreeMap<String, LifecycleHook>) -> Vec<Arc<Hook>> {
    hooks
        .iter()
        .filter(|(name, _)| *name != EXIT)
        .map(|(name, hook)| {
            let text = hook.expression.as_deref().unwrap_or_default();
            let parsed = if text.contains("{{") { None } else { expr::parse(text).ok() };
            let reads = parsed.as_ref().map_or_else(Reads::unknown, Reads::of);
            Arc::new(Hook { name: name.clone(), hook: hook.clone(), parsed, reads })
        })
        .collect()
}

/// The workflow's own. One that reads nothing that changes is looked at when the run's status does.
pub(super) fn compile_workflows(hooks: &BTreeMap<String, LifecycleHook>) -> Vec<Arc<Hook>> {
    let mut compiled = compile(hooks);
    for hook in compiled.iter_mut().filter_map(Arc::get_mut) {
        hook.reads.run.status |= hook.reads.run.is_empty();
    }
    compiled
}

/// For each step or task, the others whose hooks look at it.
pub(super) fn readers<'c>(calls: impl Iterator<Item = &'c Call> + Clone) -> HashMap<String, Vec<String>> {
    let mut readers: HashMap<String, Vec<String>> = HashMap::new();
    for call in calls {
        let read: BTreeSet<&String> = call.hooks.iter().flat_map(|h| &h.reads.calls).collect();
        for other in read.into_iter().filter(|name| **name != call.step.name) {
            readers.entry(other.clone()).or_default().push(call.step.name.clone());
        }
    }
    readers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(expression: &str) -> Reads {
        let hook = LifecycleHook { expression: Some(expression.to_owned()), ..LifecycleHook::default() };
        compile(&BTreeMap::from([("h".to_owned(), hook)]))[0].reads.clone()
    }

    #[test]
    fn what_an_expression_looks_at_is_known_before_it_runs() {
        let calls = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let status = RunFacts { status: true, ..RunFacts::default() };
        assert_eq!(
            reads("steps['step-1'].status == 'Running' && workflow.status != 'Failed'"),
            Reads { calls: calls(&["step-1"]), run: status }
        );
        assert_eq!(
            reads("tasks.a.outputs.parameters.x == tasks['b(0:x)'].status"),
            Reads { calls: calls(&["a", "b"]), run: RunFacts::default() }
        );
        assert_eq!(reads("workflow.parameters.x == 'y'"), Reads::default());
        assert_eq!(reads("workflow.duration > '5'"), Reads::default());
        assert_eq!(reads("toJson(workflow) contains 'x'").run, RunFacts::ALL);
        assert_eq!(reads("'{{inputs.parameters.x}}' == 'y'").run, RunFacts::ALL);
    }

    #[test]
    fn the_hook_called_exit_is_none_of_them() {
        let hook = LifecycleHook { expression: Some("true".to_owned()), ..LifecycleHook::default() };
        assert!(compile(&BTreeMap::from([("exit".to_owned(), hook)])).is_empty());
    }
}
