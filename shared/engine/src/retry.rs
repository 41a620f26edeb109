//! A retry of a finished run (Argo's rules RR-1 to RR-6): which nodes are removed, which are opened again, and the
//! tree that remains.
//!
//! Planning reads everything on record, which the state forgot; the plan itself holds all that `apply` needs. The tree
//! is what folding the same records would have given, had what is removed and what is opened again never ended: no
//! counter is computed a second way.
//!
//! Two departures from Argo, where it leaves a run that can't end well: hooks and exit handlers do not count as what
//! came of a failed step, and those of a node that is opened again are removed and run again with it; and an older
//! attempt of a Retry node is history, never opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dropforge_manifest::types::Parameter;
use serde::{Deserialize, Serialize};

use crate::apply::apply;
use crate::event::RetryOptions;
use crate::ids::{AttemptId, NodeId};
use crate::phase::{NodePhase, RunPhase};
use crate::program::{CompileError, Program};
use crate::record::{NodeKind, Record, Role};
use crate::selector::Selector;
use crate::spec::RunSpec;
use crate::state::{RunState, Tree};
use crate::view::{Graph, View, ViewNode};

/// What a retry does with the nodes of a finished run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetryPlan {
    /// The generation it opens.
    pub generation: u32,
    /// Nodes that exist no more.
    pub removed: Vec<NodeId>,
    /// Nodes that are Running again.
    pub reset: Vec<NodeId>,
    /// New values of the workflow's parameters.
    pub parameters: Vec<(String, String)>,
    /// The active tree that it leaves.
    pub tree: Tree,
}

/// Why a run can't be retried.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not over.
    #[error("Cannot retry a workflow in phase {0}")]
    Phase(RunPhase),
    /// It succeeded, and nothing says what to do again.
    #[error("To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector")]
    Succeeded,
    /// The selector is none.
    #[error("{0}")]
    Selector(String),
    /// No step has failed by itself, and nothing else was named.
    #[error(
        "there is nothing to run again: no step of it failed by itself; name nodes with --restart-successful --node-field-selector"
    )]
    Nothing,
    /// A parameter is given a value that it can't have.
    #[error("spec.arguments.{name}.value {value:?} should be present in the enum list {allowed:?}")]
    NotInEnum {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: Vec<String>,
    },
    /// With the new parameters the spec contradicts itself.
    #[error("invalid spec: {0}")]
    Spec(#[from] CompileError),
}

/// Plans the retry of a run from everything on record.
///
/// # Errors
/// See [`Refused`]; the first two in Argo's words.
pub fn plan(program: Arc<Program>, records: &[Record], options: &RetryOptions) -> Result<RetryPlan, Refused> {
    let view = View::fold(program, records);
    let selector = options.selector.as_deref().filter(|s| !s.is_empty() && options.restart_successful);
    match view.state.phase {
        RunPhase::Failed | RunPhase::Error => {}
        RunPhase::Succeeded if selector.is_some() => {}
        RunPhase::Succeeded => return Err(Refused::Succeeded),
        phase => return Err(Refused::Phase(phase)),
    }
    let selector = selector.map(Selector::parse).transpose().map_err(Refused::Selector)?;
    let program = reopened(&view.state.program, &options.parameters)?
        .map_or_else(|| view.state.program.clone(), Arc::new);
    let selection = Selection::of(&view, selector.as_ref(), !options.parameters.is_empty());
    if selection.removed.is_empty() {
        return Err(Refused::Nothing);
    }
    let generation = view.state.generation + 1;
    // The tree is made anew: both together take twice the memory.
    drop(view);
    let mut history = history(records);
    history.prune(&selection.removed, &selection.reset);
    Ok(RetryPlan {
        generation,
        tree: tree(program, &history),
        removed: selection.removed.into_iter().collect(),
        reset: selection.reset.into_iter().collect(),
        parameters: options.parameters.clone(),
    })
}

/// The program of a retried run, where it differs: with the new parameters, and without a deadline of 0, by which a
/// run was once terminated.
///
/// # Errors
/// A value outside its enum; a spec that contradicts itself.
pub fn reopened(program: &Program, parameters: &[(String, String)]) -> Result<Option<Program>, Refused> {
    let expired = program.spec.spec.active_deadline_seconds == Some(0);
    if parameters.is_empty() && !expired {
        return Ok(None);
    }
    let mut spec: RunSpec = program.spec.clone();
    if expired {
        spec.spec.active_deadline_seconds = None;
    }
    for (name, value) in parameters {
        set_parameter(&mut spec.spec.arguments.parameters, name, value)?;
    }
    Ok(Some(Program::compile(spec)?))
}

fn set_parameter(parameters: &mut Vec<Parameter>, name: &str, value: &str) -> Result<(), Refused> {
    let Some(parameter) = parameters.iter_mut().find(|p| p.name == name) else {
        parameters.push(Parameter {
            name: name.to_owned(),
            value: Some(value.into()),
            ..Parameter::default()
        });
        return Ok(());
    };
    if let Some(allowed) = parameter.enumeration.as_ref().filter(|e| !e.iter().any(|v| v.0 == value)) {
        return Err(Refused::NotInEnum {
            name: name.to_owned(),
            value: value.to_owned(),
            allowed: allowed.iter().map(|v| v.0.clone()).collect(),
        });
    }
    parameter.value = Some(value.into());
    parameter.value_from = None;
    Ok(())
}

/// The records that made the tree as it is: retries before have taken theirs away.
fn history(records: &[Record]) -> History<'_> {
    let mut history = History::default();
    for record in records {
        match record {
            Record::RunRetried(retried) => {
                let removed = retried.removed.iter().copied().collect();
                history.prune(&removed, &retried.reset.iter().copied().collect());
            }
            Record::AttemptStarted { attempt, .. } => {
                history.attempts.insert(&attempt.id, attempt.node);
                history.kept.push((attempt.node, record));
            }
            _ => history.kept.extend(history.node_of(record).map(|node| (node, record))),
        }
    }
    history
}

#[derive(Default)]
struct History<'a> {
    kept: Vec<(NodeId, &'a Record)>,
    attempts: BTreeMap<&'a AttemptId, NodeId>,
}

impl History<'_> {
    /// The node that a record shapes. Limits, timers and values that were exported do not shape what has ended.
    fn node_of(&self, record: &Record) -> Option<NodeId> {
        match record {
            Record::NodeCreated(created) => Some(created.id),
            Record::NodeFinished { node, .. }
            | Record::NodeInputs { node, .. }
            | Record::MemoAsked { node, .. }
            | Record::MemoRead { node, .. }
            | Record::HookPassed { node } => Some(*node),
            Record::AttemptEnded { verdict } => self.attempts.get(&verdict.attempt).copied(),
            Record::AttemptProgress { attempt, .. } => self.attempts.get(attempt).copied(),
            _ => None,
        }
    }

    fn prune(&mut self, removed: &BTreeSet<NodeId>, reset: &BTreeSet<NodeId>) {
        self.kept.retain(|(node, record)| {
            let end = matches!(record, Record::NodeFinished { .. } | Record::HookPassed { .. });
            !(removed.contains(node) || end && reset.contains(node))
        });
    }
}

fn tree(program: Arc<Program>, history: &History<'_>) -> Tree {
    let mut state = RunState::new(program);
    for (_, record) in &history.kept {
        apply(&mut state, record);
    }
    Tree {
        root: state.root,
        nodes: state.nodes.values().cloned().collect(),
        failures: state.failures.iter().cloned().collect(),
        progress: state.progress,
    }
}

/// Which nodes are removed, and which are opened again.
#[derive(Default)]
struct Selection {
    removed: BTreeSet<NodeId>,
    reset: BTreeSet<NodeId>,
}

impl Selection {
    fn of(view: &View, selector: Option<&Selector>, new_parameters: bool) -> Selection {
        let tree = Finished { view, graph: Graph::of(view) };
        let matched = tree.matched(selector);
        let succeeded = tree.succeeded_after(&matched);
        let mut selection = Selection::default();
        for node in view.nodes.values().filter(|n| !tree.is_history(n)) {
            if matched.contains(&node.id) || failed_for_good(node, &succeeded) {
                selection.remove(&tree, node.id);
            }
        }
        for exit in view.nodes.values().filter(|n| n.role == Role::WorkflowExit) {
            selection.remove(&tree, exit.id);
        }
        selection.reset_above(&tree);
        if new_parameters {
            selection.expand_again(&tree);
        }
        selection.reset = &selection.reset - &selection.removed;
        selection
    }

    /// Removes a node and everything that came after it or hangs below it.
    fn remove(&mut self, tree: &Finished<'_>, id: NodeId) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if self.removed.insert(id) {
                open.extend(tree.graph.children_of(id));
                open.extend(
                    tree.view.nodes.get(&id).into_iter().flat_map(|n| tree.view.below(n)).map(|n| n.id),
                );
            }
        }
    }

    /// Opens what lost a part of itself. A node of which only a hook was removed stays finished: the hook runs again.
    fn reset_above(&mut self, tree: &Finished<'_>) {
        let mut touched = self.removed.clone();
        // Children are numbered after their parents.
        for node in tree.view.nodes.values().rev() {
            if self.removed.contains(&node.id) {
                continue;
            }
            let (hooks, own): (Vec<_>, Vec<_>) = tree.view.below(node).partition(|n| n.role.is_hook());
            let opened = own.iter().any(|n| touched.contains(&n.id));
            let again: Vec<NodeId> =
                hooks.iter().map(|n| n.id).filter(|id| opened || touched.contains(id)).collect();
            if opened {
                self.reset.insert(node.id);
            }
            if opened || !again.is_empty() {
                touched.insert(node.id);
            }
            for hook in again {
                self.remove(tree, hook);
            }
        }
    }

    /// New parameters may make other loops: what is opened again is filled anew (Argo's rule RR-6).
    fn expand_again(&mut self, tree: &Finished<'_>) {
        for id in &self.reset.clone() {
            match tree.view.nodes.get(id).map(|n| n.kind) {
                Some(NodeKind::TaskGroup | NodeKind::Loop) => self.remove(tree, *id),
                // The group itself stays.
                Some(NodeKind::StepGroup) if !self.removed.contains(id) => {
                    self.remove(tree, *id);
                    self.removed.remove(id);
                }
                _ => {}
            }
        }
    }
}

/// A leaf that failed, and nothing that came after it succeeded (Argo's rule RR-2).
fn failed_for_good(node: &ViewNode, succeeded: &BTreeSet<NodeId>) -> bool {
    let of = match node.role {
        Role::Attempt(_) => node.parent.unwrap_or(node.id),
        _ => node.id,
    };
    node.phase.failed() && node.kind.is_execution() && !succeeded.contains(&of)
}

/// The tree of a finished run, and Argo's graph over it.
struct Finished<'a> {
    view: &'a View,
    graph: Graph,
}

impl Finished<'_> {
    fn matched(&self, selector: Option<&Selector>) -> BTreeSet<NodeId> {
        let Some(selector) = selector else { return BTreeSet::new() };
        let visible = self.view.nodes.values().filter(|n| n.kind != NodeKind::Loop);
        visible.filter(|n| selector.matches(|field| self.view.field(n, field))).map(|n| n.id).collect()
    }

    /// The nodes after which something succeeded that is not to be run again.
    fn succeeded_after(&self, matched: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let mut succeeded = BTreeSet::new();
        // What comes after a node is numbered after it.
        for id in self.view.nodes.keys().rev() {
            let good = self.graph.children_of(*id).filter_map(|c| self.view.nodes.get(&c)).any(|after| {
                // A pod's own containers do not come after it.
                let own = after.kind == NodeKind::Container;
                let succeeds = after.phase == NodePhase::Succeeded && !own && !matched.contains(&after.id);
                !after.role.is_hook() && (succeeds || succeeded.contains(&after.id))
            });
            if good {
                succeeded.insert(*id);
            }
        }
        succeeded
    }

    /// Whether a node hangs below an attempt that another one followed.
    fn is_history(&self, node: &ViewNode) -> bool {
        let above = |n: &ViewNode| n.parent.and_then(|p| self.view.nodes.get(&p));
        let mut next = above(node);
        while let Some(attempt) = next {
            next = above(attempt);
            let (Role::Attempt(_), Some(retry)) = (&attempt.role, next) else { continue };
            let last = self.view.below(retry).filter(|n| matches!(n.role, Role::Attempt(_))).last();
            if last.is_some_and(|last| last.id != attempt.id) {
                return true;
            }
        }
        false
    }
}
