use std::fs;

use dropforge_engine::ids::NodeId;

use super::*;

fn record(task: &str) -> Record {
    Record::TaskReady { node: NodeId(1), task: task.to_owned() }
}

/// A journal of three commits, and where each of them begins.
fn journal() -> (tempfile::TempDir, PathBuf, [u64; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hh/u.journal");
    let mut journal = Journal::open(path.clone()).unwrap();
    let begins = ["a", "b", "c"].map(|task| {
        let begin = journal.end();
        journal.append(task, &[record(task), record("again")], false).unwrap();
        begin
    });
    (folder, path, begins)
}

/// The commits that were read, by their first records.
fn tasks(records: &[Record]) -> Vec<&str> {
    let tasks = records.iter().filter_map(|record| match record {
        Record::TaskReady { task, .. } => Some(task.as_str()),
        _ => None,
    });
    tasks.filter(|task| *task != "again").collect()
}

#[test]
fn a_commit_is_one_frame_of_checksummed_json() {
    let (_folder, path, begins) = journal();
    let bytes = fs::read(path).unwrap();
    let first = &bytes[..begins[1] as usize];
    let json = br#"{"format":1,"nonce":"a","records":[{"record":"taskReady","node":1,"task":"a"},{"record":"taskReady","node":1,"task":"again"}]}"#;
    let size = (json.len() as u32).to_le_bytes();
    let crc = crc32fast::hash(json).to_le_bytes();
    let header = crc32fast::hash(&[size, crc].concat()).to_le_bytes();
    assert_eq!(first, [&size[..], &crc, &header, json].concat());
}

#[test]
fn a_journal_that_is_not_there_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(&folder.path().join("none")).unwrap(), Content::default());
}

#[test]
fn a_torn_last_commit_is_ignored_by_readers_and_cut_off_by_the_owner() {
    let (_folder, path, begins) = journal();
    let whole = fs::read(&path).unwrap();
    let last = begins[2] as usize;
    for cut in last + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let content = read(&path).unwrap();
        assert_eq!((tasks(&content.records), content.end, content.torn), (vec!["a", "b"], begins[2], true));
        assert_eq!(fs::read(&path).unwrap(), &whole[..cut]);
        let mut journal = Journal::open(path.clone()).unwrap();
        let records = read(&path).unwrap().records;
        assert_eq!((tasks(&records), fs::read(&path).unwrap().as_slice()), (vec!["a", "b"], &whole[..last]));
        journal.append("c", &[record("c"), record("again")], false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_last_commit_with_any_byte_wrong_is_a_torn_one() {
    let (_folder, path, begins) = journal();
    let whole = fs::read(&path).unwrap();
    for at in begins[2] as usize..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        let content = read(&path).unwrap();
        assert_eq!((tasks(&content.records), content.end, content.torn), (vec!["a", "b"], begins[2], true));
    }
}

#[test]
fn what_a_power_failure_leaves_at_the_end_is_a_torn_commit() {
    let (_folder, path, _) = journal();
    let whole = fs::read(&path).unwrap();
    for tail in [vec![0; 5], vec![0; 4096], vec![0xff; 4096]] {
        fs::write(&path, [whole.clone(), tail].concat()).unwrap();
        let content = read(&path).unwrap();
        assert_eq!(
            (tasks(&content.records), content.end, content.torn),
            (vec!["a", "b", "c"], whole.len() as u64, true)
        );
    }
}

#[test]
fn damage_before_the_end_names_file_and_byte_and_changes_nothing() {
    let (_folder, path, begins) = journal();
    let whole = fs::read(&path).unwrap();
    for at in 0..begins[2] as usize {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        let StoreError::Damaged { key, offset, .. } = Journal::open(path.clone()).unwrap_err() else {
            panic!("byte {at}")
        };
        let begin = *begins.iter().rfind(|begin| **begin <= at as u64).unwrap();
        assert_eq!((key, offset), (path.display().to_string(), begin));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_lost_piece_before_the_end_is_damage() {
    let (_folder, path, begins) = journal();
    let whole = fs::read(&path).unwrap();
    for lost in 1..begins[1] as usize {
        fs::write(&path, &whole[lost..]).unwrap();
        let error = Journal::open(path.clone()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { offset: 0, .. }), "{lost}: {error:?}");
    }
}

#[test]
fn a_newer_format_is_left_untouched() {
    let (_folder, path, _) = journal();
    let newer = frame(br#"{"format":2,"something":"else"}"#).unwrap();
    let bytes = [fs::read(&path).unwrap(), newer].concat();
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(path.clone()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_payload_that_is_no_record_is_damage_at_its_byte() {
    let (_folder, path, _) = journal();
    let whole = fs::read(&path).unwrap();
    let strange = frame(br#"{"format":1,"records":[{"record":"unheardOf"}]}"#).unwrap();
    fs::write(&path, [whole.clone(), strange].concat()).unwrap();
    let StoreError::Damaged { offset, .. } = read(&path).unwrap_err() else { panic!() };
    assert!(offset > whole.len() as u64 + HEADER_BYTES as u64);
}

#[test]
fn a_closed_journal_goes_on_where_it_ended() {
    let (_folder, path, _) = journal();
    let mut journal = Journal::open(path.clone()).unwrap();
    journal.close();
    journal.append("d", &[record("d")], true).unwrap();
    assert_eq!(tasks(&read(&path).unwrap().records), ["a", "b", "c", "d"]);
}
