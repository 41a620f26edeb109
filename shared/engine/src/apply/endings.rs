//! Folding the end of a node: what its parents count and gather, and what is forgotten with it.

use std::sync::Arc;

use dropforge_manifest::types::Outputs;
use dropforge_manifest::when;
use jiff::Timestamp;

use super::{
    DEPTH_MAX, FAILURES_MAX, RESULTS_BYTES_MAX, count_of, counted, daemons, executable, forget,
    forget_children, hold_hooks, on_bound, on_node, outbox, recount, set_blocked,
};
use crate::attempt::Progress;
use crate::effect::{Effect, EffectKey};
use crate::ids::NodeId;
use crate::memo::{Memo, MemoEntry};
use crate::phase::NodePhase;
use crate::record::{NodeKind, Role};
use crate::resources;
use crate::state::{Body, FailedChild, Failure, Node, Phases, RunState};

/// What a memoized node gave is kept for the next one, if it ran and succeeded (Argo's rule M-5).
fn keep_memo(state: &mut RunState, node: &Node, ending: &Ending<'_>) {
    let Some(memo) = node.memo.as_deref() else { return };
    state.outbox.remove_mut(&EffectKey::ReadMemo(node.id));
    let Memo { entry, hit: Some(false), .. } = memo else { return };
    if ending.phase == NodePhase::Succeeded && node.kind != NodeKind::Suspend {
        let gave = MemoEntry {
            node_id: state.argo_id(node.id),
            outputs: (**ending.outputs).clone(),
            created_at: ending.at,
        };
        outbox(state, Effect::WriteMemo { node: node.id, entry: entry.clone(), gave: Box::new(gave) });
    }
}

/// How a node ended.
pub(super) struct Ending<'a> {
    pub(super) phase: NodePhase,
    pub(super) message: &'a str,
    pub(super) outputs: &'a Arc<Outputs>,
    pub(super) at: Timestamp,
    pub(super) exit_handler: bool,
    pub(super) hooks: &'a [String],
    pub(super) returned: bool,
}

pub(super) fn node_finished(state: &mut RunState, id: NodeId, ending: &Ending<'_>) {
    let Some(node) = state.nodes.get(&id).cloned() else { return };
    let tried = state.last_try(&node);
    forget_children(state, &node);
    set_blocked(state, id, None);
    keep_memo(state, &node, ending);
    count_end(state, &node, ending);
    let was_settled = node.settled();
    // What is held elsewhere is copied before it is changed.
    drop(node);
    on_node(state, id, |n| {
        n.phase = ending.phase;
        n.daemoned = false;
        n.replaced = false;
        n.tried = tried.map(Box::new);
        n.message = ending.message.to_owned();
        n.returned = ending.returned;
        n.outputs = ending.outputs.clone();
        n.finished_at = Some(ending.at);
        n.hooks_open += u32::from(ending.exit_handler) + count_of(ending.hooks);
        if n.hooks.exit_due != ending.exit_handler || !ending.hooks.is_empty() {
            n.hooks.exit_due = ending.exit_handler;
            n.hooks.names.extend_from_slice(ending.hooks);
            n.hooks.due.extend_from_slice(ending.hooks);
        }
        n.idle = false;
        // A loop's phases and results are still read by its enclosing template; of its items none starts any more, and
        // no hook of one: a daemon among them that ends later fires none.
        match &mut n.body {
            Body::Loop { items, .. } => *items = Arc::default(),
            body => *body = Body::None,
        }
    });
    note_failure(state, id);
    hold_hooks(state, id);
    match (was_settled, state.nodes.get(&id).is_some_and(|n| n.settled())) {
        (false, true) => settled(state, id),
        // Only a daemon was settled before it ended.
        (true, true) => daemons::ended(state, id),
        (true, false) => daemons::unsettled(state, id),
        (false, false) => {}
    }
}

/// Counts a node that ends wherever it was counted as active.
fn count_end(state: &mut RunState, node: &Node, ending: &Ending<'_>) {
    state.daemons.remove_mut(&(node.boundary, node.id));
    if node.kind == NodeKind::Pod && !node.idle {
        state.active_pods = state.active_pods.saturating_sub(1);
    }
    if let Some(boundary) = node.boundary.filter(|_| counted(node.kind)) {
        on_bound(state, boundary, |b| {
            b.active = b.active.saturating_sub(1);
            b.failed |= ending.phase.failed();
        });
    }
    if executable(node.kind) && ending.phase == NodePhase::Succeeded {
        let said = match node.body {
            Body::Pod { progress, .. } => progress,
            _ => Progress::NOT_SAID,
        };
        recount(state, said, said.complete());
    }
    let group = matches!(node.role, Role::Group(_));
    if let Some(parent) = node.parent.filter(|_| group || !node.resources.is_empty()) {
        on_node(state, parent, |parent| {
            resources::add(&mut parent.resources, &node.resources);
            if let (Body::Steps { open, failed, .. }, true) = (&mut parent.body, group) {
                *open = open.saturating_sub(1);
                if ending.phase.failed() {
                    failed.get_or_insert_with(|| ending.message.to_owned());
                }
            }
        });
    }
}

pub(super) fn note_failure(state: &mut RunState, id: NodeId) {
    if state.failures.len() >= FAILURES_MAX {
        return;
    }
    let Some(node) = state.nodes.get(&id).filter(|n| n.phase.failed() && n.kind != NodeKind::Loop) else {
        return;
    };
    let failure = Failure {
        display_name: state.display_name(id),
        message: node.message.clone(),
        template_name: node.template.as_ref().and_then(|t| t.template_name()).unwrap_or_default().to_owned(),
        phase: node.phase,
        pod_name: state.argo_id(id),
        finished_at: node.finished_at.unwrap_or(state.last),
    };
    state.failures.push_back_mut(Arc::new(failure));
}

/// A node will not change any more and its parent may go on: counts it there, and folds it where the parent
/// keeps no more than its outcome.
pub(super) fn settled(state: &mut RunState, id: NodeId) {
    let Some(node) = state.nodes.get(&id).cloned() else { return };
    let Some(parent) = node.parent else { return };
    state.watchers.remove_mut(&id);
    match &node.role {
        Role::Call(_) => call_settled(state, parent, &node),
        Role::Item(index) => item_settled(state, parent, &node, *index),
        Role::Exit | Role::Hook(_) => {
            let why = start_error(state, &node);
            forget_ended(state, &node);
            on_node(state, parent, |owner| {
                owner.hooks.open.retain(|open| *open != id);
                owner.hooks.error = owner.hooks.error.take().or(why);
            });
            hook_done(state, parent);
        }
        Role::Root | Role::WorkflowExit | Role::Group(_) | Role::Attempt(_) | Role::Container(_) => {}
    }
}

/// Forgets a node that has ended; a daemon is kept until it does.
fn forget_ended(state: &mut RunState, node: &Node) {
    if !node.daemoned {
        forget(state, node.id);
    }
}

/// One of a node's exit handlers and hooks is done.
pub(super) fn hook_done(state: &mut RunState, id: NodeId) {
    on_node(state, id, |node| node.hooks_open = node.hooks_open.saturating_sub(1));
    if state.nodes.get(&id).is_some_and(|node| node.settled()) {
        settled(state, id);
    } else {
        // Its exit handler was to follow.
        hold_hooks(state, id);
    }
}

/// Why a hook could not be started, which fails what encloses its owner; one that ran and failed does not. A DAG passes over
/// an exit handler that could not be started (Argo's rules H-4, H-12).
fn start_error(state: &RunState, hook: &Node) -> Option<String> {
    let in_dag = hook.boundary.and_then(|b| state.node(b)).is_some_and(|b| b.kind == NodeKind::Dag);
    let passed_over = hook.role == Role::Exit && in_dag;
    (hook.returned_error() && !passed_over).then(|| hook.message.clone())
}

fn call_settled(state: &mut RunState, parent: NodeId, node: &Node) {
    let failed = failed_call(state, node);
    on_node(state, parent, |p| match &mut p.body {
        Body::Group { open, failed: first, .. } => {
            *open = open.saturating_sub(1);
            keep_first(first, failed);
        }
        Body::Dag { settled, hook_error, .. } => {
            *settled += 1;
            *hook_error = hook_error.take().or_else(|| node.hooks.error.clone());
        }
        _ => {}
    });
}

/// The child by which a settled call of a step group fails the group, if it does.
pub(super) fn failed_call(state: &RunState, node: &Node) -> Option<FailedChild> {
    let step = position_in_group(state, node);
    if let Body::Loop { failed, .. } = &node.body {
        let child = failed.as_deref().cloned();
        let child = child.map(|f| FailedChild { position: (step, f.position.1), ..f });
        return child.or_else(|| ungathered(state, node, step));
    }
    failed_child(state, node, node, (step, 0))
}

/// A loop whose children did not fail, and that has an error of its own: what they gave is too much to be read.
fn ungathered(state: &RunState, group: &Node, step: u32) -> Option<FailedChild> {
    let own = group.phase == NodePhase::Error && !group.message.is_empty();
    own.then(|| FailedChild {
        position: (step, 0),
        id: state.argo_id(group.id),
        error: Some(unmade_child(state, group)),
    })
}

fn unmade_child(state: &RunState, node: &Node) -> String {
    format!("step group deemed errored due to child {} error: {}", state.name(node.id), node.message)
}

/// A node as the child that fails its group. An error that the group is handed ends it, whatever `continueOn` says (Argo's
/// rule ST-2).
fn failed_child(state: &RunState, node: &Node, called: &Node, position: (u32, u32)) -> Option<FailedChild> {
    let in_dag = node.boundary.and_then(|b| state.node(b)).is_some_and(|b| b.kind == NodeKind::Dag);
    let error = if in_dag { item_error(node) } else { group_error(state, node) };
    (error.is_some() || fails(state, node, called)).then(|| FailedChild {
        position,
        id: state.argo_id(node.id),
        error,
    })
}

/// The message by which a step ends its group. Too deep a recursion is an ordinary failure.
fn group_error(state: &RunState, node: &Node) -> Option<String> {
    let error = match node.phase {
        NodePhase::Failed if node.returned => Some(node.message.clone()),
        _ if node.depth >= DEPTH_MAX || !node.returned_error() => None,
        _ if unmade_by_condition(node) => Some(node.message.clone()),
        _ => Some(unmade_child(state, node)),
    };
    error.or_else(|| node.hooks.error.clone())
}

/// Why a DAG makes no item after this one: Argo tries it again in each pass, and goes no further. A wrong condition and too
/// deep a recursion it passes over.
fn item_error(node: &Node) -> Option<String> {
    let unmade = node.kind == NodeKind::Skipped && node.returned_error() && node.depth < DEPTH_MAX;
    (unmade && !unmade_by_condition(node)).then(|| node.message.clone())
}

/// Whether a node was not made since its `when` is none.
fn unmade_by_condition(node: &Node) -> bool {
    node.kind == NodeKind::Skipped && when::is_error(&node.message)
}

pub(super) fn position_in_group(state: &RunState, called: &Node) -> u32 {
    state.call_of(called).map_or(0, |(position, _)| u32::try_from(position).unwrap_or(u32::MAX))
}

/// Whether a child's phase fails its parent, `continueOn` of the step or task that it is part of considered.
fn fails(state: &RunState, node: &Node, called: &Node) -> bool {
    let on = || state.call_of(called).and_then(|(_, call)| call.step.continue_on.clone()).unwrap_or_default();
    match node.phase {
        NodePhase::Failed => !on().failed,
        NodePhase::Error => !on().error,
        _ => false,
    }
}

pub(super) fn keep_first(first: &mut Option<Box<FailedChild>>, new: Option<FailedChild>) {
    let Some(new) = new else { return };
    if first.as_ref().is_none_or(|f| new.position < f.position) {
        *first = Some(Box::new(new));
    }
}

fn item_settled(state: &mut RunState, parent: NodeId, node: &Node, index: u32) {
    on_node(state, parent, |p| {
        if let Body::Loop { open, .. } = &mut p.body {
            *open = open.saturating_sub(1);
        }
    });
    item_ended(state, parent, node, index);
}

/// Keeps in the loop what others may still read of an item.
pub(super) fn item_ended(state: &mut RunState, parent: NodeId, node: &Node, index: u32) {
    let Some(group) = state.nodes.get(&parent) else { return };
    let Some((_, call)) = state.call_of(group) else { return };
    let failed = failed_child(state, node, group, (0, index));
    let keeps = call.keeps_outputs;
    on_node(state, parent, |p| {
        let Body::Loop { phases, results, results_bytes, failed: first, .. } = &mut p.body else { return };
        phases.set(index as usize, phase_byte(node.phase));
        if keeps && gave(node) {
            *results_bytes = results_bytes.saturating_add(size(&node.outputs));
            if *results_bytes <= RESULTS_BYTES_MAX {
                results.insert(index, read_of(&node.outputs));
            }
        }
        results.pack_around(index, phases);
        keep_first(first, failed);
    });
    forget_ended(state, node);
}

/// What a loop's readers can read of a child's outputs.
fn read_of(outputs: &Outputs) -> Arc<Outputs> {
    let (parameters, result) = (outputs.parameters.clone(), outputs.result.clone());
    Arc::new(Outputs { parameters, result, ..Outputs::default() })
}

/// About how many bytes outputs take.
fn size(outputs: &Outputs) -> usize {
    let values = outputs.parameters.iter().map(|p| p.name.len() + p.value.as_ref().map_or(0, |v| v.0.len()));
    values.sum::<usize>() + outputs.result.as_ref().map_or(0, String::len) + outputs.artifacts.len() * 256
}

/// A child whose outputs its loop gathers: it succeeded, or it did in the run that this one repeats.
fn gave(node: &Node) -> bool {
    match node.phase {
        NodePhase::Succeeded => node.kind != NodeKind::Skipped,
        NodePhase::Skipped => !node.outputs.is_empty(),
        _ => false,
    }
}

/// The byte that a loop keeps of a settled child.
fn phase_byte(phase: NodePhase) -> u8 {
    match phase {
        NodePhase::Succeeded => b'S',
        NodePhase::Skipped => b'K',
        NodePhase::Failed => b'F',
        NodePhase::Error => b'E',
        NodePhase::Omitted => b'O',
        NodePhase::Pending | NodePhase::Running => Phases::OPEN,
    }
}
