//! What a supervisor does first: it settles what the one before it left, which can only have been killed.

use std::ffi::OsStr;
use std::fs;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::StoreError;
use dropforge_engine::attempt::{Outcome, Reason, Verdict};

use super::records::{Note, Records};
use crate::process::{Survivor, end_survivors};
use crate::removal::remove_folder;
use crate::step::{Site, StepStore, clear, record};

/// Ends survivors, writes `lost` for attempts that were claimed and have no verdict, and removes what they
/// left. An attempt that was not claimed never began and is left for whoever starts it.
pub fn recover<S: StepStore>(site: &Site<S>, records: &Records) -> Result<(), StoreError> {
    let left = records.left();
    left.iter().for_each(end);
    for note in &left {
        if site.wait(site.store.claimed(&note.namespace, &note.attempt))? {
            record(site, &note.namespace, &lost(note))?;
        }
        clear(site, &note.attempt);
        records.remove(&note.attempt);
    }
    remove_rest(site);
    Ok(())
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

/// Folders of attempts that ended just before the supervisor did.
fn remove_rest<S>(site: &Site<S>) {
    for entry in fs::read_dir(&site.steps).into_iter().flatten().flatten() {
        if let Err(error) = remove_folder(&entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "a folder could not be removed");
        }
    }
}
