//! A run's line in the run list.

use dropforge_engine::garbage::expires_at;
use dropforge_engine::spec::Cause;
use dropforge_engine::state::RunState;

use crate::store::{INDEX_FORMAT, IndexEntry};

/// The line for a state that is folded up to `position`.
pub fn index_entry(state: &RunState, position: u64) -> IndexEntry {
    let spec = &state.program.spec;
    IndexEntry {
        format: INDEX_FORMAT,
        uid: spec.uid.clone(),
        name: spec.name().to_owned(),
        namespace: spec.namespace().to_owned(),
        position,
        phase: state.phase,
        message: state.message.clone(),
        created_at: spec.created_at,
        started_at: state.started_at,
        finished_at: state.finished_at,
        progress: format!("{}/{}", state.progress.0, state.progress.1),
        metrics: state.metrics.clone(),
        cause: cause_text(&spec.cause),
        expires_at: expires_at(&spec.spec, state.phase, state.finished_at),
        labels: spec.metadata.labels.clone(),
    }
}

fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Person { by } => format!("person {by}"),
        Cause::Schedule { cron, .. } => format!("schedule {cron}"),
        Cause::Drop { trigger, .. } => format!("trigger {trigger}"),
    }
}

/// The list shows phases and numbers at once; progress alone only with them, so that a wide run does not write its
/// line for every step.
pub(super) fn worth_storing(old: &IndexEntry, new: &IndexEntry) -> bool {
    let essence = |e: &IndexEntry| (e.phase, e.message.clone(), e.finished_at, e.metrics.clone());
    essence(old) != essence(new)
}
