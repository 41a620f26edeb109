//! Journals of a folder: as the bytes of the file, and as the document of one commit, whose frame is put around it. What is
//! read is folded and asked what to do next.
#![no_main]

use std::cell::LazyCell;
use std::fs;
use std::sync::Arc;

use dropforge_driver::store::Runs;
use dropforge_engine::decide::decide;
use dropforge_engine::event::Event;
use dropforge_engine::program::Program;
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::RunState;
use dropforge_storage::directory::{Access, DirectoryStore};
use dropforge_storage::keys;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

#[path = "../runs.rs"]
mod runs;

/// The store that takes each journal in turn.
struct Scene {
    runtime: tokio::runtime::Runtime,
    store: DirectoryStore,
    folder: tempfile::TempDir,
    run: RunSpec,
    program: Arc<Program>,
}

thread_local! {
    static SCENE: LazyCell<Scene> = const { LazyCell::new(scene) };
}

fn scene() -> Scene {
    let run = runs::looped();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = DirectoryStore::open(folder.path(), Access::Reader).expect("a store");
    let program = Arc::new(Program::compile(run.clone()).expect("it compiles"));
    Scene { runtime, store, folder, run, program }
}

fuzz_target!(init: runs::plant(|step| step.commit()), |data: &[u8]| {
    SCENE.with(|scene| {
        let path = scene.folder.path().join(keys::journal(&scene.run.uid).expect("a key"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let bytes = if data.first() == Some(&b'{') { frame(data) } else { data.to_vec() };
        fs::write(path, bytes).expect("a file");
        let tail = scene.runtime.block_on(scene.store.tail(&scene.run.uid, 0));
        let Ok(tail) = tail else { return };
        let mut state = RunState::new(Arc::clone(&scene.program));
        tail.records.iter().for_each(|record| dropforge_engine::apply::apply(&mut state, record));
        let _ = decide(&state, &Event::Submitted, Timestamp::UNIX_EPOCH);
    });
});

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    frame.extend(payload);
    frame
}
