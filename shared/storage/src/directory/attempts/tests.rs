use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Outcome, Reason};

use super::*;

fn verdict(attempt: &str, message: &str) -> Verdict {
    Verdict::without_outputs(attempt.into(), Outcome::Lost, Reason::Vanished, message, SystemClock.now())
}

fn table(root: &Path) -> Table {
    Table::new(root)
}

fn claim(table: &Table, attempt: &str) -> bool {
    let attempt = attempt.into();
    table.create(&Entry { claim: Some("n"), ..Entry::of("default", &attempt) }, false).unwrap().is_none()
}

fn is_claimed(table: &Table, attempt: &str) -> bool {
    let attempt = attempt.into();
    table.find(&Entry { claim: Some(""), ..Entry::of("default", &attempt) }).unwrap().is_some()
}

#[test]
fn what_one_process_appends_another_sees() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = (table(root.path()), table(root.path()));
    assert!(!is_claimed(&other, "a"));
    assert!(claim(&one, "a"));
    assert!(is_claimed(&other, "a") && !claim(&other, "a"));
    assert!(claim(&other, "b"));
    assert!(!claim(&one, "b"), "read before it appends");
}

#[test]
fn a_torn_last_frame_is_cut_off_and_nothing_before_it_is_lost() {
    let root = tempfile::tempdir().unwrap();
    assert!(claim(&table(root.path()), "a"));
    let path = root.path().join("attempts/journal");
    let whole = std::fs::read(&path).unwrap();
    for torn in 1..whole.len() {
        std::fs::write(&path, [&whole[..], &whole[..torn]].concat()).unwrap();
        let table = table(root.path());
        assert!(is_claimed(&table, "a") && !is_claimed(&table, "b"), "{torn}");
        assert!(claim(&table, "b") && !claim(&table, "a"), "{torn}");
        assert!(is_claimed(&super::Table::new(root.path()), "b"), "{torn}");
    }
}

#[test]
fn damage_before_the_end_is_told_with_its_place() {
    let root = tempfile::tempdir().unwrap();
    let first = table(root.path());
    assert!(claim(&first, "a"));
    let path = root.path().join("attempts/journal");
    let end = std::fs::metadata(&path).unwrap().len();
    assert!(claim(&first, "b") && claim(&first, "c"));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[end as usize + HEADER_BYTES] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let attempt = "a".into();
    let error = table(root.path()).find(&Entry::of("default", &attempt)).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { offset, .. } if offset == end), "{error:?}");
}

#[test]
fn a_cleared_table_is_empty_for_all_who_hold_it_and_a_small_one_stays() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = (table(root.path()), table(root.path()));
    assert!(claim(&one, "a") && is_claimed(&other, "a"));
    one.clear().unwrap();
    assert!(is_claimed(&other, "a"), "it is small");
    let long = verdict("long", &"x".repeat(KEPT_BYTES_MAX as usize));
    one.create(&Entry { verdict: Some(&long), ..Entry::of("default", &long.attempt) }, false).unwrap();
    one.clear().unwrap();
    assert!(!root.path().join("attempts/journal").exists());
    assert!(!is_claimed(&other, "a") && !is_claimed(&one, "a"));
    assert!(claim(&other, "a") && !claim(&one, "a"), "both write into the new file");
}
