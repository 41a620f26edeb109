//! Folding what concerns locks.

use std::sync::Arc;

use super::{counted, executable, on_bound, on_node, outbox};
use crate::effect::{Effect, EffectKey};
use crate::ids::{AttemptId, NodeId};
use crate::lock::{Holder, LockName, LockRequest, LockWait};
use crate::phase::NodePhase;
use crate::record::NodeKind;
use crate::state::locks::{LockBlock, Stage};
use crate::state::{Body, RunState};

/// A block asks for its locks.
pub(super) fn asked(state: &mut RunState, request: &Arc<LockRequest>) {
    begin(state, request, Stage::Asked);
    if let Some(node) = request.holder {
        unqueue(state, node, request);
    }
    for lock in &request.locks {
        state.locks.pending.insert_mut((lock.clone(), request.holder));
    }
    // Taken again before they were given back: they are kept.
    state.outbox.remove_mut(&EffectKey::ReleaseLocks(request.holder));
    outbox(state, Effect::TakeLocks(request.clone()));
}

/// A block waits behind another one of this run.
pub(super) fn queued(state: &mut RunState, request: &Arc<LockRequest>, behind: &LockName) {
    begin(state, request, Stage::Queued { behind: behind.clone() });
    if let Some(node) = request.holder {
        for lock in &request.locks {
            state.locks.queued.insert_mut((lock.clone(), node));
        }
    }
}

/// A node that waits for locks is no active pod yet.
fn begin(state: &mut RunState, request: &Arc<LockRequest>, stage: Stage) {
    let block = LockBlock { request: request.clone(), stage, stopping: 0 };
    state.locks.blocks.insert_mut(request.holder, Arc::new(block));
    let node = request.holder.and_then(|id| state.nodes.get(&id)).filter(|n| !n.idle);
    let Some((id, kind)) = node.map(|n| (n.id, n.kind)) else { return };
    if kind == NodeKind::Pod {
        state.active_pods = state.active_pods.saturating_sub(1);
    }
    on_node(state, id, |n| n.idle = true);
}

/// One of the locks refused.
pub(super) fn waiting(state: &mut RunState, holder: Holder, wait: &LockWait) {
    not_pending(state, holder, Some(&wait.lock));
    state.locks.pending.insert_mut((wait.lock.clone(), holder));
    set_stage(state, holder, Stage::Waiting(wait.clone()));
    say(state, holder, wait.message());
}

/// All of the locks are held.
pub(super) fn taken(state: &mut RunState, holder: Holder) {
    not_pending(state, holder, None);
    state.outbox.remove_mut(&EffectKey::TakeLocks(holder));
    set_stage(state, holder, Stage::Held);
    say(state, holder, String::new());
}

/// A node that waited for locks begins.
pub(super) fn begun(state: &mut RunState, id: NodeId) {
    let Some(node) = state.nodes.get(&id).filter(|n| n.idle).cloned() else { return };
    if node.kind == NodeKind::Pod {
        state.active_pods += 1;
    }
    on_node(state, id, |n| {
        n.idle = false;
        if !matches!(n.kind, NodeKind::Pod | NodeKind::Http) {
            n.phase = NodePhase::Running;
        }
    });
}

/// The locks can't be had at all: a node is left as one that was never made.
pub(super) fn refused(state: &mut RunState, holder: Holder) {
    drop_block(state, holder);
    let Some(node) = holder.and_then(|id| state.nodes.get(&id)).cloned() else { return };
    if let Some(boundary) = node.boundary.filter(|_| counted(node.kind)) {
        on_bound(state, boundary, |b| b.active = b.active.saturating_sub(1));
    }
    if executable(node.kind) {
        state.progress.1 = state.progress.1.saturating_sub(1);
    }
    if node.kind == NodeKind::Pod && !node.idle {
        state.active_pods = state.active_pods.saturating_sub(1);
    }
    on_node(state, node.id, |n| {
        n.kind = NodeKind::Skipped;
        n.body = Body::None;
        n.idle = false;
    });
}

/// A holder needs its locks no longer, or no longer waits for them.
pub(super) fn released(state: &mut RunState, holder: Holder) {
    let Some(block) = state.locks.blocks.get(&holder).cloned() else { return };
    drop_block(state, holder);
    if !matches!(block.stage, Stage::Queued { .. }) {
        outbox(state, Effect::ReleaseLocks(block.request.clone()));
    }
}

fn drop_block(state: &mut RunState, holder: Holder) {
    let Some(block) = state.locks.blocks.get(&holder).cloned() else { return };
    not_pending(state, holder, None);
    if let Some(node) = holder {
        unqueue(state, node, &block.request);
    }
    state.outbox.remove_mut(&EffectKey::TakeLocks(holder));
    state.locks.blocks.remove_mut(&holder);
}

fn unqueue(state: &mut RunState, node: NodeId, request: &LockRequest) {
    for lock in &request.locks {
        state.locks.queued.remove_mut(&(lock.clone(), node));
    }
}

fn not_pending(state: &mut RunState, holder: Holder, but: Option<&LockName>) {
    let Some(block) = state.locks.blocks.get(&holder).cloned() else { return };
    for lock in block.request.locks.iter().filter(|lock| Some(*lock) != but) {
        state.locks.pending.remove_mut(&(lock.clone(), holder));
    }
}

fn set_stage(state: &mut RunState, holder: Holder, stage: Stage) {
    if let Some(block) = state.locks.blocks.get_mut(&holder) {
        Arc::make_mut(block).stage = stage;
    }
}

fn say(state: &mut RunState, holder: Holder, message: String) {
    match holder {
        Some(node) => on_node(state, node, |n| n.message = message),
        None => state.message = message,
    }
}

/// An attempt is asked to end: whoever above it holds locks keeps them until it has.
pub(super) fn stopping(state: &mut RunState, attempt: &AttemptId) {
    if state.locks.blocks.is_empty() {
        return;
    }
    let mut holders: Vec<Holder> = vec![None];
    let mut next = state.outbox.node_of(attempt);
    while let Some(node) = next.and_then(|id| state.nodes.get(&id)) {
        holders.push(Some(node.id));
        next = node.parent;
    }
    holders.retain(|holder| state.locks.holds(*holder));
    for holder in holders {
        if !state.locks.stopping.contains(&(attempt.clone(), holder)) {
            state.locks.stopping.insert_mut((attempt.clone(), holder));
            count(state, holder, |n| n + 1);
        }
    }
}

/// An attempt has ended.
pub(super) fn stopped(state: &mut RunState, attempt: &AttemptId) {
    for holder in state.locks.kept_for(attempt) {
        state.locks.stopping.remove_mut(&(attempt.clone(), holder));
        count(state, holder, |n| n.saturating_sub(1));
    }
}

fn count(state: &mut RunState, holder: Holder, change: impl Fn(u32) -> u32) {
    if let Some(block) = state.locks.blocks.get_mut(&holder) {
        let block = Arc::make_mut(block);
        block.stopping = change(block.stopping);
    }
}
