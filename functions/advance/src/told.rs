//! What is told of runs while they advance: lines of the log, and numbers.

use std::sync::{Arc, Mutex, PoisonError};

use dropforge_deployment::metrics::Counts;
use dropforge_driver::owner::{Told, Watcher};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::record::Record;
use dropforge_engine::state::RunState;

/// Counts that watchers of several runs share.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Counts>>);

impl Shared {
    /// What was counted since the last call.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(name, 1);
    }
}

/// Tells what was committed; what others committed they tell.
pub fn watcher(counts: Shared) -> Watcher {
    Box::new(move |state: &RunState, records: &[Record], told| {
        if told == Told::New {
            records.iter().for_each(|record| tell(state, record, &counts));
        }
    })
}

fn tell(state: &RunState, record: &Record, counts: &Shared) {
    let run = &state.program.spec.uid;
    match record {
        Record::AttemptStarted { attempt, .. } => {
            tracing::info!(%run, node = attempt.node_name, attempt = %attempt.id, "an attempt is started");
            counts.add("AttemptsStarted");
        }
        Record::AttemptEnded { verdict } => {
            let (outcome, reason) = (verdict.outcome, verdict.reason);
            tracing::info!(%run, attempt = %verdict.attempt, ?outcome, ?reason, "an attempt has ended");
        }
        Record::RunFinished { phase, message, .. } => {
            let name = state.program.spec.name();
            tracing::info!(%run, name, ?phase, message, "a run has ended");
            counts.add(match phase {
                RunPhase::Succeeded => "RunsSucceeded",
                _ => "RunsFailed",
            });
        }
        _ => {}
    }
}
