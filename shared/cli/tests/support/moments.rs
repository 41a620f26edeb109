//! Moments at which a command is killed, and how its work goes on.

use std::fs;
use std::path::Path;

use crate::bench::{Bench, Running, until};

/// How far a store has come, as a number that grows: its files, and the commits of its journals.
pub fn progress(bench: &Bench) -> usize {
    files(&bench.store()) + bench.journals().iter().map(|journal| commits(journal)).sum::<usize>()
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| if e.file_type().is_ok_and(|t| t.is_dir()) { files(&e.path()) } else { 1 }).sum()
}

/// How many runs are stored.
pub fn specs(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| usize::from(e.file_name() == "spec.json") + specs(&e.path())).sum()
}

fn commits(journal: &Path) -> usize {
    let bytes = fs::read(journal).unwrap_or_default();
    let (mut at, mut count) = (0, 0);
    while let Some(header) = bytes.get(at..at + 12) {
        at += 12 + u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        count += usize::from(at <= bytes.len());
    }
    count
}

/// Waits for the moment; it ends earlier when the command does.
pub fn kill_at(bench: &Bench, mut running: Running<'_>, moment: usize) {
    until("the moment of the kill", || (running.has_ended() || progress(bench) >= moment).then_some(()));
    running.kill();
}

/// Goes on until the run is over; a run that was never stored begins.
pub fn finish(bench: &Bench, name: &str, manifest: &str) {
    let answer = bench.dropforge(&["run", "--continue", name]);
    if answer.code == Some(2) {
        assert_eq!(specs(&bench.store().join("runs")), 0, "{answer}");
        bench.run(manifest, name).exits(0);
    } else {
        answer.exits(0);
    }
}
