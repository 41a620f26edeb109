use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dropforge_driver::store::{
    Artifacts, Attempts, Buried, Commit, Created, Documents, ErrorKind as Kind, Inbox, Index, Logs, Place,
    Runs, TOMBSTONE_FORMAT, Tombstone,
};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::NodeId;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};

use super::*;

const OWNER: Access<'static> = Access::Owner { what: "a test" };

/// The directory store never waits for a runtime.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("pending"),
    }
}

fn spec(uid: &str) -> RunSpec {
    RunSpec {
        format: SPEC_FORMAT,
        uid: uid.into(),
        metadata: ObjectMeta::default(),
        spec: WorkflowSpec::default(),
        library: BTreeMap::default(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        cause: Cause::Person { by: "ada".to_owned() },
        settings: Settings::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

fn record(task: &str) -> Record {
    Record::TaskReady { node: NodeId(1), task: task.to_owned() }
}

fn commit(store: &DirectoryStore, uid: &str, position: u64, task: &str) -> u64 {
    match now(store.commit(&uid.into(), position, &[record(task)])).unwrap() {
        Commit::Committed { position } => position,
        Commit::Conflict => panic!("conflict"),
    }
}

#[test]
fn a_run_is_held_from_its_birth_until_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let run = "one".into();
    assert!(!store.holds(&run));
    now(store.create_run(&spec("one"))).unwrap();
    assert!(store.holds(&run));
    now(store.unmark_live(&run, 0)).unwrap();
    let tombstone = Tombstone {
        format: TOMBSTONE_FORMAT,
        uid: run.clone(),
        name: "wf".to_owned(),
        namespace: "default".to_owned(),
        deleted_at: "2026-01-03T00:00:00Z".parse().unwrap(),
        deleted_by: "ada".to_owned(),
    };
    assert_eq!(now(store.bury(&tombstone)).unwrap(), Buried::Hidden);
    assert!(!store.holds(&run));
}

#[test]
fn a_store_has_one_owner_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/store");
    let first = DirectoryStore::open(&path, Access::Owner { what: "dropforge dev" }).unwrap();
    let error = DirectoryStore::open(&path, OWNER).unwrap_err();
    let StoreError::Owned { owner, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*owner, format!("{} (dropforge dev)", std::process::id()));
    DirectoryStore::open(&path, Access::Reader).unwrap();
    drop(first);
    DirectoryStore::open(&path, OWNER).unwrap();
}

#[test]
fn a_reader_finds_a_store_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let error = DirectoryStore::open(&path, Access::Reader).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "store", .. }), "{error:?}");
    assert!(!path.exists());
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    for access in [OWNER, Access::Reader] {
        let error = DirectoryStore::open(&path, access).unwrap_err();
        let StoreError::Io { action: "open the store", source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), ErrorKind::NotADirectory);
    }
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[test]
fn a_reader_leaves_runs_and_commands_but_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let owner = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let reader = DirectoryStore::open(folder.path(), Access::Reader).unwrap();
    now(reader.create_run(&spec("u"))).unwrap();
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let command = Command { id: "c".into(), by: "ada".to_owned(), at, verb: Verb::Terminate };
    now(reader.put_command(&"u".into(), &command)).unwrap();
    let error = now(reader.commit(&"u".into(), 0, &[record("a")])).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(now(owner.live_runs()).unwrap(), ["u".into()]);
    assert_eq!(now(owner.commands(&"u".into())).unwrap(), [command]);
    let end = commit(&owner, "u", 0, "a");
    let loaded = now(reader.load_run(&"u".into())).unwrap();
    assert_eq!((loaded.records, loaded.position), (vec![record("a")], end));
}

#[test]
fn a_reader_leaves_a_torn_commit_to_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let owner = DirectoryStore::open(folder.path(), OWNER).unwrap();
    now(owner.create_run(&spec("u"))).unwrap();
    let end = commit(&owner, "u", 0, "a");
    commit(&owner, "u", end, "b");
    drop(owner);
    let path = folder.path().join(keys::journal(&"u".into()).unwrap());
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length - 1).unwrap();
    let reader = DirectoryStore::open(folder.path(), Access::Reader).unwrap();
    assert_eq!(now(reader.load_run(&"u".into())).unwrap().records, [record("a")]);
    assert_eq!(fs::metadata(&path).unwrap().len(), length - 1);
    // The owner commits at the end of what is whole, also without having loaded the run.
    let owner = DirectoryStore::open(folder.path(), OWNER).unwrap();
    assert_eq!(now(owner.commit(&"u".into(), length - 1, &[record("x")])).unwrap(), Commit::Conflict);
    commit(&owner, "u", end, "c");
    assert_eq!(now(reader.load_run(&"u".into())).unwrap().records, [record("a"), record("c")]);
}

#[test]
fn a_damaged_journal_takes_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let owner = DirectoryStore::open(folder.path(), OWNER).unwrap();
    now(owner.create_run(&spec("u"))).unwrap();
    let end = commit(&owner, "u", 0, "a");
    let end = commit(&owner, "u", end, "b");
    drop(owner);
    let path = folder.path().join(keys::journal(&"u".into()).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let owner = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let error = now(owner.commit(&"u".into(), end, &[record("c")])).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(now(owner.load_run(&"u".into())).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn damaged_and_newer_documents_are_told_apart_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), OWNER).unwrap();
    now(store.create_run(&spec("u"))).unwrap();
    let path = folder.path().join(keys::spec(&"u".into()).unwrap());
    fs::write(&path, "{\"format\":1,\n\"uid\":!").unwrap();
    let error = now(store.load_run(&"u".into())).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { offset: 19, .. }), "{error:?}");
    fs::write(&path, "{\"format\":2,\"uid\":7}").unwrap();
    let error = now(store.load_run(&"u".into())).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
    assert_eq!(now(store.create_run(&spec("u"))).unwrap(), dropforge_driver::store::Created::Exists);
    assert_eq!(fs::read(&path).unwrap(), b"{\"format\":2,\"uid\":7}");
}

#[test]
fn more_runs_than_open_files_are_committed_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let uids: Vec<String> = (0..300).map(|n| format!("u{n}")).collect();
    let ends: Vec<u64> = uids
        .iter()
        .map(|uid| {
            now(store.create_run(&spec(uid))).unwrap();
            commit(&store, uid, 0, "a")
        })
        .collect();
    let open = |store: &DirectoryStore| {
        let journals = store.journals.lock().unwrap();
        journals.values().filter(|slot| slot.lock().unwrap().as_ref().unwrap().is_open()).count()
    };
    assert!(open(&store) <= 256);
    for (uid, end) in uids.iter().zip(ends) {
        commit(&store, uid, end, "b");
        assert_eq!(now(store.load_run(&uid.as_str().into())).unwrap().records, [record("a"), record("b")]);
    }
    assert!(open(&store) <= 256);
}

#[test]
fn a_document_changed_by_hand_has_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let key = "definitions/default/Trigger/churn.yaml";
    now(store.swap(key, None, b"kind: Trigger\n")).unwrap();
    let before = now(store.get(key)).unwrap().unwrap();
    fs::write(folder.path().join(key), "kind: Trigger\nspec: {}\n").unwrap();
    let after = now(store.get(key)).unwrap().unwrap();
    assert_eq!(after.body, b"kind: Trigger\nspec: {}\n");
    assert_ne!(before.version, after.version);
}

#[test]
fn objects_are_files_a_person_recognises() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let from = folder.path().join("out");
    for (bucket, key, path) in [
        (
            None,
            "churn-x7k2/churn-x7k2-train-0123/main.tgz",
            "artifacts/default/churn-x7k2/churn-x7k2-train-0123/main.tgz",
        ),
        (Some("models"), "churn/latest.json", "buckets/models/churn/latest.json"),
    ] {
        fs::write(&from, "x").unwrap();
        let place = Place { bucket: bucket.map(str::to_owned), key: key.to_owned() };
        now(store.store("default", &from, &place, true, &|_, _| {})).unwrap();
        assert_eq!(fs::read(folder.path().join(path)).unwrap(), b"x");
    }
}

/// On a thread of its own without root's rights, where this process has them.
fn unprivileged<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let drop_rights = || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        act()
    };
    std::thread::scope(|scope| scope.spawn(drop_rights).join().unwrap())
}

#[test]
fn a_store_that_may_only_be_read_is_read_and_says_no_to_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let owner = DirectoryStore::open(&path, OWNER).unwrap();
    now(owner.create_run(&spec("u"))).unwrap();
    commit(&owner, "u", 0, "a");
    fs::create_dir_all(path.join("buckets/bbb")).unwrap();
    fs::write(path.join("buckets/bbb/k"), "hello").unwrap();
    drop(owner);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    set_modes(&path, 0o555, 0o444);
    unprivileged(|| {
        let error = DirectoryStore::open(&path, OWNER).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error:?}");
        let reader = DirectoryStore::open(&path, Access::Reader).unwrap();
        assert_eq!(now(reader.load_run(&"u".into())).unwrap().records, [record("a")]);
        assert_eq!(now(reader.entries(None)).unwrap(), []);
        assert_eq!(now(reader.verdict("default", &"a".into())).unwrap(), None);
        let place = Place { bucket: Some("bbb".to_owned()), key: "k".to_owned() };
        assert_eq!(now(reader.head("default", &place)).unwrap().unwrap().size, 5);
        let denied = [
            now(reader.create_run(&spec("v"))).unwrap_err(),
            now(reader.mark_live(&"v".into())).unwrap_err(),
            now(reader.claim("default", &"a".into(), "n")).unwrap_err(),
            now(reader.swap("crons/default/x.json", None, b"")).unwrap_err(),
            now(reader.append_log("default", &"a".into(), "main", b"x")).unwrap_err(),
        ];
        for error in denied {
            assert_eq!(error.kind(), Kind::Denied, "{error:?}");
        }
    });
    set_modes(&path, 0o755, 0o644);
}

fn set_modes(path: &Path, folder: u32, file: u32) {
    let is_folder = path.is_dir();
    if is_folder {
        // Looked through before it can't be.
        for entry in fs::read_dir(path).unwrap() {
            set_modes(&entry.unwrap().path(), folder, file);
        }
    }
    let mode = if is_folder { folder } else { file };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_claim_of_the_first_format_whose_claimer_died_as_it_made_it_is_a_claim() {
    let folder = tempfile::tempdir().unwrap();
    let _owner = DirectoryStore::open(folder.path(), OWNER).unwrap();
    for (attempt, left) in [("empty", ""), ("begun", "{\"format\":1,\"no")] {
        let place = folder.path().join("attempts/default").join(attempt);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("claim.json"), left).unwrap();
        let store = DirectoryStore::open(folder.path(), Access::Reader).unwrap();
        assert!(now(store.claimed("default", &attempt.into())).unwrap());
        assert_eq!(now(store.claim("default", &attempt.into(), "n")).unwrap(), Created::Exists);
    }
}
