//! Memory stays flat whatever an artifact's size. A process of its own, since it measures the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::Write;

use dropforge_contracts::{emulator, store, wait};
use dropforge_driver::store::{Artifacts, Place};

const MIB: u64 = 1024 * 1024;

/// What an executor may take, whatever it moves.
const BOUND: u64 = 64 * MIB;

/// Several times the bound.
const SIZE: u64 = 256 * MIB;

#[test]
fn an_artifact_of_four_times_the_bound_is_moved_within_it() {
    wait(async {
        let Some(endpoint) = emulator::endpoint() else { return };
        let (store, _) = store(endpoint).await;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut file = File::create(&from).unwrap();
        let piece: Vec<u8> = (0..MIB).map(|n| (n * 31) as u8).collect();
        (0..SIZE / MIB).for_each(|_| file.write_all(&piece).unwrap());
        let place = Place { bucket: None, key: "large".to_owned() };
        let before = peak();
        let stored = store.store("ns", &from, &place, false, &|_, _| {}).await.unwrap();
        let fetched = store.fetch("ns", &place, &to, &|_, _| {}).await.unwrap();
        assert_eq!((fetched, fs::metadata(&to).unwrap().len()), (stored, SIZE));
        let grown = peak() - before;
        assert!(grown <= BOUND, "it took {} MiB", grown / MIB);
    });
}

/// The most memory that this process ever had.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
