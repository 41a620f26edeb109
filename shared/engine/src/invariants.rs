//! What holds of every state between two events. Counted anew from the nodes, so that a counter which drifted is found
//! where it drifted.

use std::sync::Arc;

use crate::attempt::Attempt;
use crate::effect::{Effect, EffectKey};
use crate::ids::NodeId;
use crate::record::{Block, NodeKind, Role};
use crate::state::locks::Stage;
use crate::state::{Body, Node, RunState};

/// Everything that does not hold; empty for a sound state.
pub fn violations(state: &RunState) -> Vec<String> {
    let mut found = Vec::new();
    pods(state, &mut found);
    attempts(state, &mut found);
    bounds(state, &mut found);
    groups(state, &mut found);
    hooks(state, &mut found);
    blocked(state, &mut found);
    daemons(state, &mut found);
    ending(state, &mut found);
    locks(state, &mut found);
    found
}

fn pods(state: &RunState, found: &mut Vec<String>) {
    let active =
        state.nodes.values().filter(|n| n.kind == NodeKind::Pod && !n.phase.fulfilled() && !n.idle).count();
    if active != state.active_pods as usize {
        found.push(format!("{active} pods are active, {} are counted", state.active_pods));
    }
}

fn attempts(state: &RunState, found: &mut Vec<String>) {
    for attempt in state.outbox.attempts() {
        // A pod that was given up is fulfilled, or gone with its parent, before its attempt has ended.
        if let Some(Body::Pod { attempt: Some(own), .. }) = state.node(attempt.node).map(|n| &n.body)
            && *own != attempt.id
        {
            found.push(format!("node {} has attempt {own}, not {}", attempt.node, attempt.id));
        }
    }
    for node in state.nodes.values() {
        if let Body::Pod { attempt: Some(own), .. } = &node.body
            && state.outbox.attempt(own).is_none()
        {
            found.push(format!("attempt {own} of node {} does not stand in the outbox", node.id));
        }
    }
    for effect in state.outbox.values() {
        if let Effect::StopAttempt { attempt, .. } = &**effect
            && state.outbox.attempt(attempt).is_none()
        {
            found.push(format!("the end of attempt {attempt} stands in the outbox and it is not live"));
        }
    }
}

fn bounds(state: &RunState, found: &mut Vec<String>) {
    for node in state.nodes.values() {
        let (Body::Steps { bound, .. } | Body::Dag { bound, .. }) = &node.body else { continue };
        let counted = |kind| matches!(kind, NodeKind::Pod | NodeKind::Steps | NodeKind::Dag);
        let active = state
            .nodes
            .values()
            .filter(|n| n.boundary == Some(node.id) && counted(n.kind) && !n.phase.fulfilled())
            .count();
        if active != bound.active as usize {
            found.push(format!(
                "{active} children of node {} are active, {} are counted",
                node.id, bound.active
            ));
        }
    }
}

fn groups(state: &RunState, found: &mut Vec<String>) {
    let hook = |role: &Role| matches!(role, Role::Hook(_) | Role::Exit);
    let child = |n: &&Arc<Node>, of: NodeId| n.parent == Some(of) && !hook(&n.role) && !n.settled();
    let unsettled = |parent: NodeId| state.nodes.values().filter(|n| child(n, parent)).count();
    for node in state.nodes.values().filter(|n| !n.phase.fulfilled()) {
        let open = match &node.body {
            Body::Group { open, .. } | Body::Loop { open, .. } | Body::Steps { open, .. } => *open as usize,
            _ => continue,
        };
        if open != unsettled(node.id) {
            found.push(format!(
                "{} children of node {} are open, {open} are counted",
                unsettled(node.id),
                node.id
            ));
        }
    }
}

fn hooks(state: &RunState, found: &mut Vec<String>) {
    for node in state.nodes.values() {
        let started =
            node.hooks.open.iter().filter(|id| state.node(**id).is_some_and(|n| !n.settled())).count();
        let open = started + node.hooks.due.len() + usize::from(node.hooks.exit_due);
        if open != node.hooks_open as usize || started != node.hooks.open.len() {
            found.push(format!("{open} hooks of node {} are open, {} are counted", node.id, node.hooks_open));
        }
    }
}

fn blocked(state: &RunState, found: &mut Vec<String>) {
    for id in state.blocked.iter() {
        if state.node(*id).is_none_or(|n| n.phase.fulfilled() || n.blocked.is_none()) {
            found.push(format!("node {id} is held back by the run and does not know it"));
        }
    }
    for node in state.nodes.values() {
        match node.blocked {
            Some(Block::TemplateParallelism) | None => {}
            Some(_) if !state.blocked.contains(&node.id) => {
                found.push(format!("node {} is held back by the run, which does not know it", node.id));
            }
            Some(_) => {}
        }
    }
}

/// Whoever waits for a lock has asked for it, or stands behind somebody who has.
fn locks(state: &RunState, found: &mut Vec<String>) {
    for (holder, block) in &state.locks.blocks {
        let asked = state.outbox.contains_key(&EffectKey::TakeLocks(*holder));
        let what = match &block.stage {
            Stage::Held if asked => "holds its locks and still asks for them",
            Stage::Asked | Stage::Waiting(_) if !asked => "wants locks and does not ask for them",
            Stage::Queued { .. } if state.locks.in_the_way(&block.request.locks).is_none() => {
                "waits for locks that nobody of this run asks for"
            }
            _ => continue,
        };
        found.push(format!("{} {what}", block.request.key));
    }
    for node in state.nodes.values().filter(|n| n.idle) {
        if !state.locks.blocks.contains_key(&Some(node.id)) {
            found.push(format!("node {} waits for no lock", node.id));
        }
    }
}

fn daemons(state: &RunState, found: &mut Vec<String>) {
    let running = state.nodes.values().filter(|n| n.daemoned).map(|n| (n.boundary, n.id));
    let running: std::collections::BTreeSet<_> = running.collect();
    let counted: std::collections::BTreeSet<_> = state.daemons.iter().copied().collect();
    if running != counted {
        found.push(format!("the daemons {running:?} run, {counted:?} are counted"));
    }
    if state.phase.completed() && !counted.is_empty() {
        found.push(format!("the run is over and the daemons {counted:?} run"));
    }
}

fn ending(state: &RunState, found: &mut Vec<String>) {
    let root_settled = state.root.and_then(|r| state.node(r)).is_some_and(|n| n.settled());
    if state.phase.completed() && state.root.is_some() && !root_settled {
        found.push("the run is over and its entry node is not".to_owned());
    }
    for Attempt { id: attempt, .. } in state.outbox.attempts().map(|a| &**a) {
        let stopped = state.outbox.contains_key(&EffectKey::Stop(attempt.clone()));
        if state.phase.completed() && !stopped {
            found.push(format!("the run is over and attempt {attempt} was never asked to end"));
        }
    }
}
