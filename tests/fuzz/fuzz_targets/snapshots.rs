//! Snapshots: read, restored, and written again as they were.
#![no_main]

use std::cell::LazyCell;

use dropforge_engine::decide::decide;
use dropforge_engine::event::Event;
use dropforge_engine::invariants::violations;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::spec::RunSpec;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

#[path = "../runs.rs"]
mod runs;

thread_local! {
    static RUN: LazyCell<RunSpec> = const { LazyCell::new(runs::looped) };
}

fuzz_target!(init: runs::plant(|step| step.snapshot()), |data: &[u8]| {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(data) else { return };
    let Ok(state) = snapshot.restore(RUN.with(|run| RunSpec::clone(run))) else { return };
    let written = serde_json::to_vec(&Snapshot::of(&state)).expect("what was read can be written");
    let read: Snapshot = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&read).expect("it can be written"), written);
    if violations(&state).is_empty() {
        let _ = decide(&state, &Event::Submitted, Timestamp::UNIX_EPOCH);
    }
});
