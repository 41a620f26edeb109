//! Runs: of any manifest, and one whose journal and snapshots are the seeds of what reads such things.
#![allow(dead_code, reason = "shared by several targets")]

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use dropforge_engine::apply::apply;
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::decide::decide;
use dropforge_engine::effect::Effect;
use dropforge_engine::event::Event;
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::parse;
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};
use jiff::Timestamp;
use serde_json::json;

/// The run of a workflow.
pub fn run_of(spec: WorkflowSpec) -> RunSpec {
    let name = Some("fuzz".to_owned());
    RunSpec {
        format: SPEC_FORMAT,
        uid: "0b54a5e2-6f43-4c9d-9d9e-3f3c1f6f0c11".into(),
        metadata: ObjectMeta { name: name.clone(), namespace: name, ..ObjectMeta::default() },
        spec,
        library: Default::default(),
        created_at: Timestamp::UNIX_EPOCH,
        cause: Cause::Person { by: "fuzz".to_owned() },
        settings: Default::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

/// The run whose journal is played with.
pub fn looped() -> RunSpec {
    let parsed = parse("loop.yaml", include_str!("seeds/loop.yaml"));
    let (spec, _) = parsed.documents[0].object.workflow_spec().expect("a workflow");
    run_of(spec.clone())
}

/// One commit of that run, and what it came to.
pub struct Step {
    records: Vec<Record>,
    state: RunState,
}

impl Step {
    /// The commit as a folder keeps it.
    pub fn commit(&self) -> Vec<u8> {
        let document = json!({"format": 1, "nonce": "n", "records": self.records});
        serde_json::to_vec(&document).expect("it can be written")
    }

    /// The state after it, as it is kept.
    pub fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&Snapshot::of(&self.state)).expect("it can be written")
    }
}

/// Writes a seed for each commit of the run to the folder that `DROPFORGE_FUZZ_SEEDS` names.
pub fn plant(seed: impl Fn(&Step) -> Vec<u8>) {
    let Some(folder) = std::env::var_os("DROPFORGE_FUZZ_SEEDS") else { return };
    for (index, step) in steps().iter().enumerate() {
        fs::write(Path::new(&folder).join(format!("step-{index}")), seed(step)).expect("a seed");
    }
}

/// The run's commits; every other attempt fails.
fn steps() -> Vec<Step> {
    let mut state = RunState::new(Arc::new(Program::compile(looped()).expect("it compiles")));
    let mut events = VecDeque::from([Event::Submitted]);
    let (mut steps, mut number) = (Vec::new(), 0);
    while let Some(event) = events.pop_front() {
        number += 1;
        let now = Timestamp::from_second(1000 + number).expect("a time");
        let Ok(decision) = decide(&state, &event, now) else { continue };
        decision.records.iter().for_each(|record| apply(&mut state, record));
        for effect in &decision.effects {
            if let Effect::StartAttempt(attempt) = &**effect {
                let verdict = verdict(attempt, now, number % 2 == 0);
                events.push_back(Event::AttemptFinished { verdict: Arc::new(verdict) });
            }
        }
        steps.push(Step { records: decision.records, state: state.clone() });
    }
    steps
}

fn verdict(attempt: &Attempt, now: Timestamp, fails: bool) -> Verdict {
    let outcome = if fails { Outcome::Failed } else { Outcome::Succeeded };
    Verdict::without_outputs(attempt.id.clone(), outcome, Reason::Exited, "", now)
}
