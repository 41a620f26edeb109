//! What a supervisor does first: it settles what the one before it left, which can only have been killed.

use std::ffi::OsStr;
use std::fs;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::supervision::ContainerEngine;
use dropforge_engine::attempt::{Outcome, Reason, Verdict};

use super::SupervisorError;
use super::records::{Note, Records};
use crate::container::client::EngineError;
use crate::process::{Survivor, end_survivors};
use crate::step::room::remove;
use crate::step::{Site, StepStore, record};

/// Ends survivors, writes `lost` for attempts that were claimed and have no verdict, and removes what they
/// left. An attempt that was not claimed never began and is left for whoever starts it.
///
/// # Errors
/// When it is not sure that none of them runs any more, or the store fails.
pub fn recover<S: StepStore>(site: &Site<S>, records: &Records) -> Result<(), SupervisorError> {
    let left = records.in_hand();
    for note in &left {
        match &note.engine {
            None => end(note),
            Some(engine) => end_containers(site, note, engine).map_err(SupervisorError::Containers)?,
        }
    }
    for note in &left {
        let claimed = site.wait(site.store.claimed(&note.namespace, &note.attempt));
        if claimed.map_err(SupervisorError::Recover)? {
            record(site, &note.namespace, &lost(note)).map_err(SupervisorError::Recover)?;
        }
        records.remove(&note.attempt);
    }
    remove_rest(site);
    Ok(())
}

/// They are known by their label, also where the last supervisor did not live to see them start.
fn end_containers<S>(site: &Site<S>, note: &Note, engine: &ContainerEngine) -> Result<(), EngineError> {
    site.engines.client(engine, &site.runtime)?.end_left(&note.attempt)
}

/// Who can't be ended hangs in the kernel; waiting for it would stop everything else.
fn end(note: &Note) {
    let leader = note.pid.zip(note.process_start_ticks);
    let leader = leader.map(|(pid, start_time)| Survivor { pid: pid.cast_signed(), start_time });
    for left in end_survivors(leader, OsStr::new(note.attempt.as_str())) {
        tracing::error!(attempt = %note.attempt, pid = left.pid, "a process of a lost step can't be ended");
    }
}

/// The first verdict counts, so that one that was stored before the supervisor died stays.
fn lost(note: &Note) -> Verdict {
    Verdict::without_outputs(
        note.attempt.clone(),
        Outcome::Lost,
        Reason::Vanished,
        "the supervisor of the steps died while the step ran",
        SystemClock.now(),
    )
}

/// The rooms of the supervisor that is gone.
fn remove_rest<S>(site: &Site<S>) {
    for entry in fs::read_dir(site.rooms.folder()).into_iter().flatten().flatten() {
        if let Err(error) = remove(&entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "what a step left could not be removed");
        }
    }
}
