//! Folding the retry of a finished run into its state.

use std::sync::Arc;

use super::{hold_hooks, on_node, touch, watch_run};
use crate::config::ConfigFound;
use crate::effect::EffectKey;
use crate::phase::RunPhase;
use crate::record::RunRetried;
use crate::retry::reopened;
use crate::state::{RunState, settle_in};

/// Opens a finished run again, with the tree that the retry left. What belongs to the run and not to its tree stays:
/// exported values, commands, attempts that are still being ended.
pub(super) fn run_retried(state: &mut RunState, retried: &RunRetried) {
    touch(state, retried.at);
    // Refused before it was recorded if the spec does not allow it.
    if let Ok(Some(program)) = reopened(&state.program, &retried.parameters) {
        state.program = Arc::new(program);
    }
    state.generation = retried.generation;
    state.phase = RunPhase::Running;
    state.message.clear();
    state.started_at = Some(retried.at);
    state.finished_at = None;
    state.shutdown = None;
    state.deadline_passed = false;
    state.first_attempt = state.next_attempt;
    for last in [EffectKey::Volumes, EffectKey::Artifacts, EffectKey::End] {
        state.outbox.remove_mut(&last);
    }
    let tree = &retried.tree;
    state.root = tree.root;
    state.exit = None;
    state.failures = tree.failures.iter().cloned().collect();
    state.progress = tree.progress;
    state.blocked = Default::default();
    state.active_pods = 0;
    state.nodes = tree.nodes.iter().cloned().collect();
    settle_in(&mut state.nodes, &state.program);
    for id in &retried.reset {
        on_node(state, *id, |node| node.started_at = retried.at);
    }
    // What was missing may be there by then.
    state.config = (state.config.iter())
        .filter(|(_, found)| matches!(***found, ConfigFound::Value { .. }))
        .map(|(key, found)| (key.clone(), found.clone()))
        .collect();
    state.config_hooks = Default::default();
    state.watchers = Default::default();
    state.held_hooks = Default::default();
    for node in &tree.nodes {
        if !node.phase.fulfilled() {
            watch_run(state, node.id);
        }
        hold_hooks(state, node.id);
    }
}
