//! Folding one record into the state. Replay and live use this same function.
//!
//! Every counter is kept here and nowhere else, so that a replayed state and a live one can't differ.

mod daemons;
mod endings;
mod locks;
mod reopening;

use std::sync::Arc;

use jiff::Timestamp;
use rpds::RedBlackTreeSetSync;

use crate::attempt::{Attempt, Outcome, Progress, Reason, Verdict};
use crate::effect::{Effect, EffectKey};
use crate::ids::{AttemptId, NodeId};
use crate::phase::{NodePhase, RunPhase};
use crate::program::Compiled;
use crate::record::{Block, NodeCreated, NodeKind, Record, Role};
use crate::resources::{self, ResourcesDuration};
use crate::state::{Body, Bound, FailedChild, Fired, Node, Phases, RunState, given};

use endings::{Ending, hook_done, node_finished, note_failure, position_in_group, settled};

/// What the gathered outputs of one loop may take: they become one JSON text.
pub const RESULTS_BYTES_MAX: usize = if cfg!(test) { 1024 * 1024 } else { 16 * 1024 * 1024 };

/// The failed nodes that `workflow.failures` names: they stand in the state and in each snapshot of it.
pub const FAILURES_MAX: usize = 1000;

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
        Record::AttemptRunning { attempt, at, host } => {
            touch(state, *at);
            if let Some(node) = state.outbox.node_of(attempt) {
                hold_hooks(state, node);
                runs_at(state, node, host.as_deref().unwrap_or_default());
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
        Record::NodeFinished { node, phase, message, outputs, at, exit_handler, hooks, returned } => {
            touch(state, *at);
            let (exit_handler, returned) = (*exit_handler, *returned);
            let ending = Ending { phase: *phase, message, outputs, at: *at, exit_handler, hooks, returned };
            node_finished(state, *node, &ending);
        }
        Record::HookPassed { node } => {
            on_node(state, *node, |n| n.hooks.exit_due = false);
            hook_done(state, *node);
        }
        Record::Blocked { node, by } => set_blocked(state, *node, Some(*by)),
        Record::Unblocked { node } => set_blocked(state, *node, None),
        Record::TaskReady { node, task } => {
            let dag = state.node(*node).and_then(|n| state.template_of(n)).cloned();
            on_node(state, *node, |n| {
                if let Body::Dag { ready, .. } = &mut n.body {
                    ready.insert_mut(task, dag.as_deref());
                }
            });
        }
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
            on_node(state, *node, |n| n.memo = Some(Box::new(memo.clone())));
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
        Record::LocksTaken { holder } => {
            locks::taken(state, *holder);
            hold_opened(state);
        }
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
        returned: false,
        outputs: given::no_outputs(),
        resources: ResourcesDuration::new(),
        daemoned: false,
        tried: None,
        replaced: false,
        ip: None,
        host: None,
        depth: depth(parent, created),
        on_exit: parent.is_some_and(|p| p.on_exit) || matches!(created.role, Role::WorkflowExit | Role::Exit),
        hooks_open: count_of(&created.hooks),
        hooks: Fired { names: created.hooks.clone(), due: created.hooks.clone(), ..Fired::default() }.into(),
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

/// What a retry has opened goes on once it has its locks: its hooks too, but not before the run does.
fn hold_opened(state: &mut RunState) {
    if !state.suspended || state.generation == 0 {
        return;
    }
    let all: Vec<NodeId> = state.nodes.values().map(|node| node.id).collect();
    all.into_iter().for_each(|id| hold_hooks(state, id));
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
            Body::Steps { calls, groups, open: 0, failed: None, bound: Bound::default() }
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

/// Enters a new child into its parent, and a step into the Steps node of its group, which finds it by its name.
fn hang(state: &mut RunState, parent: NodeId, created: &NodeCreated) {
    let child = created.id;
    if matches!(created.role, Role::Hook(_) | Role::Exit) {
        return on_node(state, parent, |owner| hang_hook(&mut owner.hooks_open, &mut owner.hooks, created));
    }
    let position = state.node(child).map_or(0, |child| position_in_group(state, child));
    let is_dag = |node: &&Arc<Node>| node.kind == NodeKind::Dag;
    let dag = state.node(parent).filter(is_dag).and_then(|node| state.template_of(node)).cloned();
    let mut replaced = None;
    on_node(state, parent, |node| replaced = hang_in(&mut node.body, created, position, dag.as_deref()));
    if let (Some(Role::Group(_)), Role::Call(name)) = (state.node(parent).map(|p| &p.role), &created.role)
        && let Some(steps) = state.node(parent).and_then(|group| group.parent)
    {
        let template = state.node(steps).and_then(|node| state.template_of(node)).cloned();
        on_node(state, steps, |node| {
            if let Body::Steps { calls, .. } = &mut node.body {
                calls.insert_mut(name, child, template.as_deref());
            }
        });
    }
    if let Some(old) = replaced {
        forget(state, old);
    }
}

/// Enters a hook or an exit handler into its owner, which waits for it.
fn hang_hook(hooks_open: &mut u32, hooks: &mut Fired, created: &NodeCreated) {
    if let Role::Hook(name) = &created.role {
        let counted = hooks.due.iter().any(|due| **due == **name);
        hooks.due.retain(|due| **due != **name);
        if !counted {
            *hooks_open += 1;
            hooks.names.push(name.to_string());
        }
    } else {
        hooks.exit_due = false;
    }
    hooks.open.push(created.id);
}

/// Enters a new child into the body of its parent; gives the attempt that it takes the place of.
fn hang_in(body: &mut Body, created: &NodeCreated, position: u32, dag: Option<&Compiled>) -> Option<NodeId> {
    let child = created.id;
    match (body, &created.role) {
        (Body::Group { cursor, again, open, .. }, Role::Call(_)) => {
            started(cursor, again, position);
            *open += 1;
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
            ready.remove_mut(name, dag);
            calls.insert_mut(name, child, dag);
        }
        (Body::Retry { attempts, last, until }, Role::Attempt(number)) => {
            *attempts = number + 1;
            *until = None;
            return last.replace(child);
        }
        (Body::Pod { containers, .. }, Role::Container(_)) => containers.push_back_mut(child),
        _ => {}
    }
    None
}

/// Notes that the child at `position` has been started. Children start in order, but for steps that are skipped behind what a
/// limit holds back, and for what a retry of the run took away: they leave gaps behind the cursor.
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
        node.replaced = node.daemoned;
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
        runs_at(state, ended.node, &verdict.usage.host);
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

/// Where an attempt of this node runs or ran. A node of several attempts shows what its last one does (rule V-3).
fn runs_at(state: &mut RunState, id: NodeId, host: &str) {
    if !state.program.hosts_read || host.is_empty() {
        return;
    }
    let retry = state
        .node(id)
        .and_then(|node| node.parent)
        .filter(|parent| state.node(*parent).is_some_and(|parent| parent.kind == NodeKind::Retry));
    for id in [Some(id), retry].into_iter().flatten() {
        on_node(state, id, |node| node.host = Some(host.into()));
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
        Body::Steps { calls, groups, .. } => calls.nodes().chain(groups.iter().copied()).collect(),
        Body::Dag { calls, .. } => calls.nodes().collect(),
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
