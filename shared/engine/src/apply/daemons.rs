//! Daemons, whose parents go on before they end, and the containers of a pod.

use super::endings::{failed_call, item_ended, keep_first, settled};
use super::{AttemptId, Body, FailedChild, NodeId, NodePhase, Role, RunState};
use super::{forget, on_node};

/// The containers of an attempt's pod, as far as they have nodes, are in this phase.
pub(super) fn containers_are(state: &mut RunState, attempt: &AttemptId, phase: NodePhase) {
    let node = state.outbox.node_of(attempt).and_then(|id| state.nodes.get(&id));
    let Some(Body::Pod { containers, .. }) = node.map(|n| &n.body) else { return };
    let containers: Vec<NodeId> = containers.iter().copied().collect();
    for container in containers {
        on_node(state, container, |n| n.phase = phase);
    }
}

/// A daemon's node, and the Retry node above it, let their parents go on.
pub(super) fn ready(state: &mut RunState, attempt: &AttemptId, ip: &str) {
    let mut next = state.outbox.node_of(attempt);
    while let Some(node) = next.and_then(|id| state.nodes.get(&id)).cloned() {
        let was_settled = node.settled();
        on_node(state, node.id, |n| {
            n.phase = NodePhase::Running;
            n.daemoned = true;
            n.replaced = false;
            n.ip = Some(ip.to_owned());
        });
        state.daemons.insert_mut((node.boundary, node.id));
        if !was_settled && state.nodes.get(&node.id).is_some_and(|n| n.settled()) {
            settled(state, node.id);
        }
        next = node.parent.filter(|_| matches!(node.role, Role::Attempt(_)));
    }
}

/// A daemon that its parent had counted as done has ended: its final phase counts as far as its parent still looks.
pub(super) fn ended(state: &mut RunState, id: NodeId) {
    let Some(node) = state.nodes.get(&id).cloned() else { return };
    let Some(parent) = node.parent else { return };
    match &node.role {
        Role::Call(_) => {
            let failed = failed_call(state, &node);
            fail_open_group(state, parent, failed);
        }
        Role::Item(index) => {
            item_ended(state, parent, &node, *index);
            if let Some(looped) = state.nodes.get(&parent).cloned()
                && let (Role::Call(_), Some(group)) = (&looped.role, looped.parent)
            {
                let failed = failed_call(state, &looped);
                fail_open_group(state, group, failed);
            }
        }
        Role::Exit | Role::Hook(_) => forget(state, id),
        Role::Root | Role::WorkflowExit | Role::Group(_) | Role::Attempt(_) | Role::Container(_) => {}
    }
}

fn fail_open_group(state: &mut RunState, group: NodeId, failed: Option<FailedChild>) {
    on_node(state, group, |g| {
        if let Body::Group { failed: first, .. } = &mut g.body {
            keep_first(first, failed);
        }
    });
}

/// A daemon that its parent had counted as done has ended, and its exit handler holds the parent up once more.
pub(super) fn unsettled(state: &mut RunState, id: NodeId) {
    let Some(parent) = state.nodes.get(&id).and_then(|n| n.parent) else { return };
    on_node(state, parent, |p| match &mut p.body {
        Body::Group { open, .. } | Body::Loop { open, .. } => *open += 1,
        Body::Dag { settled, .. } => *settled = settled.saturating_sub(1),
        _ => {}
    });
}
