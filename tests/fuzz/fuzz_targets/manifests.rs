//! Manifests: read, checked, judged as Argo judges them, compiled, and begun.
#![no_main]

use std::sync::Arc;

use dropforge_engine::decide::decide;
use dropforge_engine::event::Event;
use dropforge_engine::invariants::violations;
use dropforge_engine::program::Program;
use dropforge_engine::state::RunState;
use dropforge_manifest::argo::{self, File};
use dropforge_manifest::check::{Options, check};
use dropforge_manifest::parse::parse_bytes;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

#[path = "../runs.rs"]
mod runs;

fuzz_target!(|data: &[u8]| {
    let parsed = parse_bytes("fuzz.yaml", data);
    for options in [Options::default(), Options { pods: true, ..Options::default() }] {
        let _ = check(&parsed.documents, &options);
    }
    let _ = argo::lint(&[File { name: "fuzz.yaml", bytes: data }]);
    if parsed.has_errors() {
        return;
    }
    for document in &parsed.documents {
        let Some((spec, _)) = document.object.workflow_spec() else { continue };
        let Ok(program) = Program::compile(runs::run_of(spec.clone())) else { continue };
        let mut state = RunState::new(Arc::new(program));
        let Ok(decision) = decide(&state, &Event::Submitted, Timestamp::UNIX_EPOCH) else { continue };
        decision.records.iter().for_each(|record| dropforge_engine::apply::apply(&mut state, record));
        assert_eq!(violations(&state), [""; 0]);
    }
});
