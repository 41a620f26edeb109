//! Folding one record into the state. Replay and live use this same function.
//!
//! Every counter is kept here and nowhere else, so that a replayed state and a live one can't differ.

mod daemons;
mod locks;
mod reopening;

use std::sync::Arc;

use dropforge_manifest::types::Outputs;
use jiff::Timestamp;
use rpds::RedBlackTreeSetSync;

use crate::attempt::{Attempt, Outcome, Progress, Reason, Verdict};
use crate::effect::{Effect, EffectKey};
use crate::ids::{AttemptId, NodeId};
use crate::memo::{Memo, MemoEntry};
use crate::phase::{NodePhase, RunPhase};
use crate::program::Compiled;
use crate::record::{Block, NodeCreated, NodeKind, Record, Role};
use crate::resources::{self, ResourcesDuration};
use crate::state::{Body, Bound, FailedChild, Failure, Fired, Node, Phases, RunState};

/// Changes the state by one record.
pub fn apply(state: &mut RunState, record: &Record) {
    match record {
        Record::RunStarted { at } => {
            state.phase = RunPhase::Running;
            state.started_at = Some(*at);
            touch(state, *at);
        }
        Record::NodeCreated(created) => node_created(state, created),
        Record::AttemptStarted { attempt, at } => {
            touch(state, *at);
            attempt_started(state, attempt);
        }
        Record::AttemptWaiting { attempt, why } => on_attempt(state, attempt, |node| {
            if let Body::Pod { waiting, .. } = &mut node.body {
                *waiting = Some(why.clone());
            }
        }),
        Record::AttemptRunning { attempt, at, .. } => {
            touch(state, *at);
            if let Some(node) = state.outbox.node_of(attempt) {
                hold_hooks(state, node);
            }
            on_attempt(state, attempt, |node| {
                node.phase = NodePhase::Running;
                if let Body::Pod { waiting, .. } = &mut node.body {
                    *waiting = None;
                }
            });
            // Argo's containers of a set all start at once, those that wait for others too.
            daemons::containers_are(state, attempt, NodePhase::Running);
        }
        Record::AttemptReady { attempt, at, ip } => {
            touch(state, *at);
            daemons::ready(state, attempt, ip);
        }
        Record::StopAsked { attempt, why } => {
            outbox(state, Effect::StopAttempt { attempt: attempt.clone(), why: why.clone() });
            locks::stopping(state, attempt);
        }
        Record::AttemptEnded { verdict } => attempt_ended(state, verdict),
        Record::NodeMessage { node, message } => on_node(state, *node, |n| n.message.clone_from(message)),
        Record::NodeFinished { node, phase, message, outputs, at, exit_handler, hooks } => {
            touch(state, *at);
            let exit_handler = *exit_handler;
            let ending = Ending { phase: *phase, message, outputs, at: *at, exit_handler, hooks };
            node_finished(state, *node, &ending);
        }
        Record::HookPassed { node } => {
            on_node(state, *node, |n| n.hooks.exit_due = false);
            hook_done(state, *node);
        }
        Record::Blocked { node, by } => set_blocked(state, *node, Some(*by)),
        Record::Unblocked { node } => set_blocked(state, *node, None),
        Record::TaskReady { node, task } => on_node(state, *node, |n| {
            if let Body::Dag { ready, .. } = &mut n.body {
                ready.insert_mut(task.clone());
            }
        }),
        Record::TimerSet { timer, due } => {
            state.next_timer = state.next_timer.max(timer.generation + 1);
            if let Some(node) = timer.node {
                on_node(state, node, |n| match &mut n.body {
                    Body::Suspend { until } | Body::Retry { until, .. } => *until = Some(*due),
                    _ => {}
                });
            }
            outbox(state, Effect::SetTimer { timer: timer.clone(), due: *due });
        }
        Record::TimerEnded { timer } => {
            if let Some(node) = timer.node {
                on_node(state, node, |n| match &mut n.body {
                    Body::Suspend { until } | Body::Retry { until, .. } => *until = None,
                    _ => {}
                });
            }
            state.outbox.remove_mut(&EffectKey::Timer(timer.clone()));
        }
        Record::GlobalParameter { parameter } => {
            let value = parameter.value.clone().unwrap_or_default().0;
            state.global_parameters.insert_mut(parameter.name.clone(), value);
        }
        Record::GlobalArtifact { artifact } => {
            state.global_artifacts.insert_mut(artifact.name.clone(), Arc::new((**artifact).clone()));
        }
        Record::MemoAsked { node, memo } => {
            on_node(state, *node, |n| n.memo = Some(memo.clone()));
            outbox(state, Effect::ReadMemo { node: *node, entry: memo.entry.clone() });
        }
        Record::MemoRead { node, hit, .. } => {
            state.outbox.remove_mut(&EffectKey::ReadMemo(*node));
            hold_hooks(state, *node);
            on_node(state, *node, |n| memo_read(n, *hit));
        }
        // Whoever keeps metrics takes them from the records.
        Record::Measured { .. } => {}
        Record::NotMeasured { why } => state.metrics_error = Some(why.clone()),
        Record::AttemptProgress { attempt, progress } => attempt_progress(state, attempt, *progress),
        Record::ConfigAsked { config } => outbox(state, Effect::ReadConfig(config.clone())),
        Record::HookHeld { node } => state.config_hooks.insert_mut(*node),
        Record::ConfigRead { config, found } => {
            state.outbox.remove_mut(&EffectKey::Config(config.clone()));
            state.config.insert_mut(config.clone(), Arc::new(found.clone()));
            state.config_hooks = RedBlackTreeSetSync::default();
        }
        Record::LocksAsked { request } => locks::asked(state, request),
        Record::LocksQueued { request, behind } => locks::queued(state, request, behind),
        Record::LocksWaiting { holder, wait } => locks::waiting(state, *holder, wait),
        Record::LocksTaken { holder } => locks::taken(state, *holder),
        Record::LocksRefused { holder, .. } => locks::refused(state, *holder),
        Record::LocksReleased { holder } => locks::released(state, *holder),
        Record::NodeBegun { node } => locks::begun(state, *node),
        Record::Suspended => state.suspended = true,
        Record::Resumed => {
            state.suspended = false;
            state.held_hooks = RedBlackTreeSetSync::default();
        }
        Record::Shutdown { strategy, message } => state.shutdown = Some((*strategy, message.clone())),
        Record::DeadlinePassed { at } => {
            touch(state, *at);
            state.deadline_passed = true;
        }
        // What a command changes stands in records of its own; only that it was read is kept here.
        Record::CommandRead { command, .. } => state.commands.insert_mut(command.id.clone()),
        Record::RunFinished { phase, message, at, delete_volumes, delete_artifacts } => {
            touch(state, *at);
            state.phase = *phase;
            state.message.clone_from(message);
            state.finished_at = Some(*at);
            // A run that never began has no other beginning.
            state.started_at.get_or_insert(*at);
            outbox(state, Effect::AnnounceEnd { phase: *phase });
            if *delete_volumes {
                outbox(state, Effect::DeleteVolumes);
            }
            if *delete_artifacts {
                outbox(state, Effect::DeleteArtifacts);
            }
        }
        Record::RunRetried(retried) => reopening::run_retried(state, retried),
        Record::NodeInputs { node, inputs } => on_node(state, *node, |n| n.inputs = Arc::new(inputs.clone())),
        Record::NodeOutputs { node, outputs } => {
            on_node(state, *node, |n| n.outputs = Arc::new(outputs.clone()))
        }
        Record::Performed { effect } => {
            state.outbox.remove_mut(effect);
        }
    }
}

fn touch(state: &mut RunState, at: Timestamp) {
    state.last = state.last.max(at);
}

fn outbox(state: &mut RunState, effect: Effect) {
    state.outbox.insert_mut(effect.key(), Arc::new(effect));
}

fn on_node(state: &mut RunState, id: NodeId, change: impl FnOnce(&mut Node)) {
    if let Some(node) = state.nodes.get_mut(&id) {
        change(Arc::make_mut(node));
    }
}

fn on_attempt(state: &mut RunState, attempt: &AttemptId, change: impl FnOnce(&mut Node)) {
    if let Some(id) = state.outbox.node_of(attempt) {
        on_node(state, id, change);
    }
}

/// The children that a boundary's limits count.
fn counted(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Pod | NodeKind::Steps | NodeKind::Dag)
}

/// Argo's limit of nested template calls.
pub const DEPTH_MAX: u32 = 100;

/// Kinds that Argo counts in a run's progress.
pub(crate) fn executable(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Pod | NodeKind::Http | NodeKind::Suspend | NodeKind::Container)
}

fn on_bound(state: &mut RunState, id: NodeId, change: impl FnOnce(&mut Bound)) {
    on_node(state, id, |node| match &mut node.body {
        Body::Steps { bound, .. } | Body::Dag { bound, .. } => change(bound),
        _ => {}
    });
}

fn node_created(state: &mut RunState, created: &NodeCreated) {
    touch(state, created.at);
    state.next_node = state.next_node.max(created.id.0 + 1);
    let parent = created.parent.and_then(|p| state.nodes.get(&p)).map(|p| &**p);
    let node = Node {
        id: created.id,
        parent: created.parent,
        role: created.role.clone(),
        label: created.label.clone(),
        kind: created.kind,
        boundary: created.boundary,
        template: created.template.clone(),
        own: own(parent, created),
        inputs: created.inputs.clone(),
        phase: created.phase,
        message: created.message.clone(),
        started_at: created.at,
        finished_at: created.phase.fulfilled().then_some(created.at),
        outputs: Arc::default(),
        resources: ResourcesDuration::new(),
        daemoned: false,
        ip: None,
        depth: depth(parent, created),
        on_exit: parent.is_some_and(|p| p.on_exit) || matches!(created.role, Role::WorkflowExit | Role::Exit),
        hooks_open: count_of(&created.hooks),
        hooks: Fired { names: created.hooks.clone(), due: created.hooks.clone(), ..Fired::default() },
        memo: None,
        idle: false,
        blocked: None,
        body: body(created),
    };
    match created.role {
        Role::Root => state.root = Some(created.id),
        Role::WorkflowExit => state.exit = Some(created.id),
        _ => {}
    }
    state.nodes.insert_mut(created.id, Arc::new(node));
    if let Some(parent) = created.parent {
        hang(state, parent, created);
    }
    if executable(created.kind) {
        state.progress.1 += 1;
    }
    hold_hooks(state, created.id);
    if !created.phase.fulfilled() {
        watch_run(state, created.id);
        count(state, created);
    } else {
        note_failure(state, created.id);
        if created.hooks.is_empty() {
            settled(state, created.id);
        }
    }
}

fn count_of(names: &[String]) -> u32 {
    u32::try_from(names.len()).unwrap_or(u32::MAX)
}

/// A node with hooks or an exit handler changed: nothing starts while the run is suspended, so it is looked at when the
/// run goes on.
fn hold_hooks(state: &mut RunState, id: NodeId) {
    if !state.suspended {
        return;
    }
    let Some(node) = state.nodes.get(&id) else { return };
    if node.hooks_open > 0 || !state.hooks_of(node).is_empty() {
        state.held_hooks.insert_mut(id);
    }
}

/// The workflow's own hooks are known without being kept here.
fn watch_run(state: &mut RunState, id: NodeId) {
    if !state.program.hooked {
        return;
    }
    let Some(node) = state.nodes.get(&id).filter(|n| n.role != Role::Root) else { return };
    if state.hooks_of(node).iter().any(|h| !h.reads.run.is_empty()) {
        state.watchers.insert_mut(id);
    }
}

/// A template that is one node's alone: what could not be compiled was refused before it came on record.
fn own(parent: Option<&Node>, created: &NodeCreated) -> Option<Arc<Compiled>> {
    match (&created.own, &created.template, &created.role) {
        (Some(own), Some(key), _) => Compiled::new(key.clone(), own).ok().map(Arc::new),
        (None, _, Role::Attempt(_)) => parent.and_then(|retry| retry.own.clone()),
        _ => None,
    }
}

/// Frames of template calls: a call of a template adds one; groups, loops and attempts are part of their call.
fn depth(parent: Option<&Node>, created: &NodeCreated) -> u32 {
    let above = parent.map_or(0, |p| p.depth);
    match created.role {
        Role::Group(_) | Role::Attempt(_) | Role::Item(_) | Role::Container(_) => above,
        Role::Root | Role::WorkflowExit | Role::Call(_) | Role::Exit | Role::Hook(_) => above + 1,
    }
}

fn body(created: &NodeCreated) -> Body {
    match created.kind {
        NodeKind::Pod | NodeKind::Http => {
            let (progress, containers) = (Progress::NOT_SAID, Default::default());
            Body::Pod { attempt: None, next: 0, lost: 0, waiting: None, progress, containers }
        }
        NodeKind::Suspend => Body::Suspend { until: None },
        NodeKind::Steps => {
            let (calls, groups) = Default::default();
            Body::Steps { calls, groups, open: 0, bound: Bound::default() }
        }
        NodeKind::StepGroup => {
            let Role::Group(index) = created.role else { return Body::None };
            Body::Group { index, cursor: 0, again: Default::default(), open: 0, failed: None }
        }
        NodeKind::Dag => Body::Dag {
            calls: Default::default(),
            ready: Default::default(),
            settled: 0,
            hook_error: None,
            bound: Bound::default(),
        },
        NodeKind::TaskGroup | NodeKind::Loop => {
            let Some(items) = created.items.clone() else { return Body::None };
            let phases = Phases::open(items.items.len());
            Body::Loop {
                items,
                cursor: 0,
                again: Default::default(),
                open: 0,
                phases,
                results: Default::default(),
                results_bytes: 0,
                failed: None,
            }
        }
        NodeKind::Retry => Body::Retry { attempts: 0, last: None, until: None },
        NodeKind::Skipped | NodeKind::Container => Body::None,
    }
}

/// Enters a new child into its parent.
fn hang(state: &mut RunState, parent: NodeId, created: &NodeCreated) {
    let child = created.id;
    let mut replaced = None;
    let mut owner = None;
    let position = match &created.role {
        Role::Call(name) => position_in_group(state, created.boundary, name),
        _ => 0,
    };
    on_node(state, parent, |node| match (&mut node.body, &created.role) {
        (Body::Group { cursor, again, open, .. }, Role::Call(name)) => {
            started(cursor, again, position);
            *open += 1;
            owner = node.parent.map(|steps| (steps, name.clone()));
        }
        (Body::Loop { cursor, again, open, .. }, Role::Item(index)) => {
            started(cursor, again, *index);
            *open += 1;
        }
        (Body::Steps { groups, open, .. }, Role::Group(_)) => {
            groups.push_back_mut(child);
            *open += 1;
        }
        (Body::Dag { calls, ready, .. }, Role::Call(name)) => {
            ready.remove_mut(&**name);
            calls.insert_mut(name.clone(), child);
        }
        (Body::Retry { attempts, last, until }, Role::Attempt(number)) => {
            *attempts = number + 1;
            *until = None;
            replaced = last.replace(child);
        }
        (_, Role::Hook(name)) => {
            let counted = node.hooks.due.iter().any(|due| **due == **name);
            node.hooks.due.retain(|due| **due != **name);
            if !counted {
                node.hooks_open += 1;
                node.hooks.names.push(name.to_string());
            }
            node.hooks.open.push(child);
        }
        (_, Role::Exit) => {
            node.hooks.exit_due = false;
            node.hooks.open.push(child);
        }
        (Body::Pod { containers, .. }, Role::Container(_)) => containers.push_back_mut(child),
        _ => {}
    });
    if let Some((steps, name)) = owner {
        on_node(state, steps, |node| {
            if let Body::Steps { calls, .. } = &mut node.body {
                calls.insert_mut(name, child);
            }
        });
    }
    if let Some(old) = replaced {
        forget(state, old);
    }
}

/// Notes that the child at `position` has been started. Children start in order, but for those that a retry of the
/// run took away: it leaves gaps behind the cursor.
fn started(cursor: &mut u32, again: &mut RedBlackTreeSetSync<u32>, position: u32) {
    if position < *cursor {
        again.remove_mut(&position);
        return;
    }
    (*cursor..position).for_each(|gap| again.insert_mut(gap));
    *cursor = position + 1;
}

fn count(state: &mut RunState, created: &NodeCreated) {
    if created.kind == NodeKind::Pod {
        state.active_pods += 1;
    }
    if let Some(boundary) = created.boundary.filter(|_| counted(created.kind)) {
        on_bound(state, boundary, |b| b.active += 1);
    }
}

fn attempt_started(state: &mut RunState, attempt: &Arc<Attempt>) {
    on_node(state, attempt.node, |node| {
        node.phase = NodePhase::Pending;
        if let Body::Pod { attempt: live, next, .. } = &mut node.body {
            *live = Some(attempt.id.clone());
            *next = attempt.number + 1;
        }
    });
    state.next_attempt = state.next_attempt.max(attempt.number + 1);
    outbox(state, Effect::StartAttempt(attempt.clone()));
    daemons::containers_are(state, &attempt.id, NodePhase::Pending);
}

/// Counts a leaf's own units in place of those it was counted by before.
fn attempt_progress(state: &mut RunState, attempt: &AttemptId, new: Progress) {
    let mut old = new;
    on_attempt(state, attempt, |node| {
        if let Body::Pod { progress, .. } = &mut node.body {
            old = std::mem::replace(progress, new);
        }
    });
    recount(state, old, new);
}

fn recount(state: &mut RunState, old: Progress, new: Progress) {
    let count = |sum: u32, old: u32, new: u32| sum.saturating_add(new).saturating_sub(old);
    let (done, total) = state.progress;
    state.progress = (count(done, old.done, new.done), count(total, old.total, new.total));
}

fn attempt_ended(state: &mut RunState, verdict: &Verdict) {
    touch(state, verdict.finished_at);
    if let Some(progress) = verdict.progress {
        attempt_progress(state, &verdict.attempt, progress);
    }
    locks::stopped(state, &verdict.attempt);
    state.metrics.extend(verdict.metrics.iter().map(|(k, v)| (k.clone(), *v)));
    if let Some(ended) = state.outbox.attempt(&verdict.attempt).cloned() {
        state.outbox.remove_mut(&EffectKey::Start(verdict.attempt.clone()));
        state.outbox.remove_mut(&EffectKey::Stop(verdict.attempt.clone()));
        on_node(state, ended.node, |node| {
            resources::add(&mut node.resources, &resources::duration(&ended.work, verdict));
            if let Body::Pod { attempt, lost, waiting, .. } = &mut node.body {
                *attempt = None;
                *waiting = None;
                *lost += u32::from(verdict.outcome == Outcome::Lost && verdict.reason != Reason::Interrupted);
            }
        });
    }
}

fn memo_read(node: &mut Node, hit: bool) {
    if let Some(memo) = &mut node.memo {
        memo.hit = Some(hit);
    }
    if !hit && matches!(node.kind, NodeKind::Steps | NodeKind::Dag | NodeKind::Retry | NodeKind::Suspend) {
        node.phase = NodePhase::Running;
    }
}

/// What a memoized node gave is kept for the next one, if it ran and succeeded (Argo's rule M-5).
fn keep_memo(state: &mut RunState, node: &Node, ending: &Ending<'_>) {
    let Some(memo) = &node.memo else { return };
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

struct Ending<'a> {
    phase: NodePhase,
    message: &'a str,
    outputs: &'a Arc<Outputs>,
    at: Timestamp,
    exit_handler: bool,
    hooks: &'a [String],
}

fn node_finished(state: &mut RunState, id: NodeId, ending: &Ending<'_>) {
    let Some(node) = state.nodes.get(&id).cloned() else { return };
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
        n.message = ending.message.to_owned();
        n.outputs = ending.outputs.clone();
        n.finished_at = Some(ending.at);
        n.hooks_open += u32::from(ending.exit_handler) + count_of(ending.hooks);
        n.hooks.exit_due = ending.exit_handler;
        n.hooks.names.extend_from_slice(ending.hooks);
        n.hooks.due.extend_from_slice(ending.hooks);
        n.idle = false;
        // A loop's phases and results are still read by its enclosing template.
        if !matches!(n.body, Body::Loop { .. }) {
            n.body = Body::None;
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
            if let (Body::Steps { open, .. }, true) = (&mut parent.body, group) {
                *open = open.saturating_sub(1);
            }
        });
    }
}

fn note_failure(state: &mut RunState, id: NodeId) {
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
fn settled(state: &mut RunState, id: NodeId) {
    let Some(node) = state.nodes.get(&id).cloned() else { return };
    let Some(parent) = node.parent else { return };
    state.watchers.remove_mut(&id);
    match &node.role {
        Role::Call(name) => call_settled(state, parent, &node, name),
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
fn hook_done(state: &mut RunState, id: NodeId) {
    on_node(state, id, |node| node.hooks_open = node.hooks_open.saturating_sub(1));
    if state.nodes.get(&id).is_some_and(|node| node.settled()) {
        settled(state, id);
    }
}

/// Why a hook could not be started, which fails what encloses its owner; one that ran and failed does not. A DAG passes over
/// an exit handler that could not be started (Argo's rules H-4, H-12).
fn start_error(state: &RunState, hook: &Node) -> Option<String> {
    let in_dag = hook.boundary.and_then(|b| state.node(b)).is_some_and(|b| b.kind == NodeKind::Dag);
    let passed_over = hook.role == Role::Exit && in_dag;
    (hook.returned_error() && !passed_over).then(|| hook.message.clone())
}

fn call_settled(state: &mut RunState, parent: NodeId, node: &Node, name: &str) {
    let failed = failed_call(state, node, name);
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
fn failed_call(state: &RunState, node: &Node, name: &str) -> Option<FailedChild> {
    let step = position_in_group(state, node.boundary, name);
    if let Body::Loop { failed, .. } = &node.body {
        return failed.clone().map(|f| FailedChild { position: (step, f.position.1), ..f });
    }
    failed_child(state, node, name, (step, 0))
}

/// A node as the child that fails its group. One that could not be made at all takes the whole group into Error,
/// whatever `continueOn` says (Argo's rule ST-2); only too deep a recursion is an ordinary failure.
fn failed_child(state: &RunState, node: &Node, call: &str, position: (u32, u32)) -> Option<FailedChild> {
    let unmade = node.depth < DEPTH_MAX && node.returned_error();
    let child =
        || format!("step group deemed errored due to child {} error: {}", state.name(node.id), node.message);
    let error = unmade.then(child).or_else(|| node.hooks.error.clone());
    (error.is_some() || fails(state, node, call)).then(|| FailedChild {
        position,
        id: state.argo_id(node.id),
        error,
    })
}

fn position_in_group(state: &RunState, boundary: Option<NodeId>, name: &str) -> u32 {
    let enclosing = boundary.and_then(|b| state.node(b)).and_then(|b| state.template_of(b));
    enclosing.and_then(|t| t.position(name)).map_or(0, |(_, p)| u32::try_from(p).unwrap_or(u32::MAX))
}

/// Whether a child's phase fails its parent, `continueOn` considered.
fn fails(state: &RunState, node: &Node, call: &str) -> bool {
    let enclosing = node.boundary.and_then(|b| state.node(b)).and_then(|b| state.template_of(b));
    let on = enclosing.map(|t| t.continue_on(call)).unwrap_or_default();
    match node.phase {
        NodePhase::Failed => !on.failed,
        NodePhase::Error => !on.error,
        _ => false,
    }
}

fn keep_first(first: &mut Option<FailedChild>, new: Option<FailedChild>) {
    let Some(new) = new else { return };
    if first.as_ref().is_none_or(|f| new.position < f.position) {
        *first = Some(new);
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
fn item_ended(state: &mut RunState, parent: NodeId, node: &Node, index: u32) {
    let Some(group) = state.nodes.get(&parent) else { return };
    let Role::Call(call) = &group.role else { return };
    let failed = failed_child(state, node, call, (0, index));
    let enclosing = group.boundary.and_then(|b| state.node(b)).and_then(|b| state.template_of(b));
    let keeps = enclosing.and_then(|t| t.call(call)).is_some_and(|c| c.keeps_outputs);
    on_node(state, parent, |p| {
        let Body::Loop { phases, results, results_bytes, failed: first, .. } = &mut p.body else { return };
        phases.set(index as usize, phase_byte(node.phase));
        if keeps && gave(node) {
            *results_bytes = results_bytes.saturating_add(size(&node.outputs));
            if *results_bytes <= RESULTS_BYTES_MAX {
                results.insert_mut(index, node.outputs.clone());
            }
        }
        keep_first(first, failed);
    });
    forget_ended(state, node);
}

/// What the gathered outputs of one loop may take: they become one JSON text.
pub const RESULTS_BYTES_MAX: usize = 16 * 1024 * 1024;

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
pub fn phase_byte(phase: NodePhase) -> u8 {
    match phase {
        NodePhase::Succeeded => b'S',
        NodePhase::Skipped => b'K',
        NodePhase::Failed => b'F',
        NodePhase::Error => b'E',
        NodePhase::Omitted => b'O',
        NodePhase::Pending | NodePhase::Running => Phases::OPEN,
    }
}

fn set_blocked(state: &mut RunState, id: NodeId, by: Option<Block>) {
    let Some(node) = state.nodes.get(&id).filter(|n| n.blocked != by) else { return };
    let Some(holder) = node.boundary_of_children() else { return };
    match node.blocked {
        Some(Block::TemplateParallelism) => on_bound(state, holder, |b| {
            b.blocked.remove_mut(&id);
        }),
        Some(_) => {
            state.blocked.remove_mut(&id);
        }
        None => {}
    }
    match by {
        Some(Block::TemplateParallelism) => on_bound(state, holder, |b| b.blocked.insert_mut(id)),
        Some(_) => state.blocked.insert_mut(id),
        None => {}
    }
    on_node(state, id, |n| n.blocked = by);
}

impl Node {
    /// The Steps or DAG node whose parallelism holds for what this node starts.
    pub fn boundary_of_children(&self) -> Option<NodeId> {
        match self.kind {
            NodeKind::Steps | NodeKind::Dag => Some(self.id),
            _ => Some(self.boundary.unwrap_or(self.id)),
        }
    }
}

/// Forgets a node and everything below it.
fn forget(state: &mut RunState, id: NodeId) {
    let Some(node) = state.nodes.get(&id).cloned() else { return };
    forget_children(state, &node);
    for hook in &node.hooks.open {
        forget(state, *hook);
    }
    set_blocked(state, id, None);
    if node.memo.is_some() {
        state.outbox.remove_mut(&EffectKey::ReadMemo(id));
    }
    state.watchers.remove_mut(&id);
    state.held_hooks.remove_mut(&id);
    state.daemons.remove_mut(&(node.boundary, id));
    state.nodes.remove_mut(&id);
}

fn forget_children(state: &mut RunState, node: &Node) {
    let children: Vec<NodeId> = match &node.body {
        Body::Steps { calls, groups, .. } => calls.values().chain(groups.iter()).copied().collect(),
        Body::Dag { calls, .. } => calls.values().copied().collect(),
        Body::Retry { last, .. } => last.iter().copied().collect(),
        Body::Pod { containers, .. } => containers.iter().copied().collect(),
        Body::None | Body::Suspend { .. } | Body::Group { .. } | Body::Loop { .. } => {
            return;
        }
    };
    for child in children {
        forget(state, child);
    }
}
