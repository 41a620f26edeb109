//! Stored documents outlive the code. `golden/format-N` is a store as that format wrote it: every later program reads
//! it, and this one still writes the last of them, to the byte. The second keeps claims and verdicts in one file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dropforge_driver::store::{Attempts, Documents, INDEX_FORMAT, Inbox, Index, IndexEntry, Logs, Runs};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::NodeId;
use dropforge_engine::phase::{NodePhase, RunPhase};
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, DroppedObject, RunSpec, SPEC_FORMAT, Settings};
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};
use dropforge_storage::directory::{Access, DirectoryStore};
use jiff::Timestamp;

const DOCUMENT: &str = "definitions/default/Trigger/churn.yaml";

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("pending"),
    }
}

/// What is written.
const FORMAT: u32 = 2;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}

fn at(second: u8) -> Timestamp {
    format!("2026-01-02T03:04:{second:02}Z").parse().unwrap()
}

fn spec() -> RunSpec {
    let object = DroppedObject {
        bucket: "uploads".to_owned(),
        key: "churn/größe.csv".to_owned(),
        version_id: String::new(),
        etag: "5d41402abc4b2a76b9719d911017c592".to_owned(),
        size: 5,
        time: at(0),
    };
    RunSpec {
        format: SPEC_FORMAT,
        uid: "u-1".into(),
        metadata: ObjectMeta { name: Some("churn-x7k2".to_owned()), ..ObjectMeta::default() },
        spec: WorkflowSpec { entrypoint: Some("main".to_owned()), ..WorkflowSpec::default() },
        library: BTreeMap::new(),
        created_at: at(1),
        cause: Cause::Drop { trigger: "churn".to_owned(), objects: vec![object] },
        settings: Settings::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

fn verdict() -> Verdict {
    Verdict::without_outputs("churn-x7k2-train-01".into(), Outcome::Lost, Reason::Vanished, "lost", at(9))
}

fn commits() -> [Vec<Record>; 2] {
    let finished = Record::NodeFinished {
        node: NodeId(0),
        phase: NodePhase::Succeeded,
        message: String::new(),
        outputs: Default::default(),
        at: at(4),
        exit_handler: false,
        hooks: Vec::new(),
        returned: false,
    };
    [
        vec![Record::RunStarted { at: at(2) }],
        vec![Record::AttemptEnded { verdict: verdict().into() }, finished],
    ]
}

fn command() -> Command {
    let verb = Verb::Resume { selector: None, outputs: [("ok".to_owned(), "yes".to_owned())].into() };
    Command { id: "c-1".into(), by: "ada".to_owned(), at: at(3), verb }
}

fn entry() -> IndexEntry {
    IndexEntry {
        format: INDEX_FORMAT,
        uid: "u-1".into(),
        name: "churn-x7k2".to_owned(),
        namespace: "default".to_owned(),
        position: 0,
        phase: RunPhase::Running,
        message: String::new(),
        created_at: at(1),
        started_at: Some(at(2)),
        finished_at: None,
        progress: "1/2".to_owned(),
        metrics: [("accuracy".to_owned(), 0.75)].into(),
        cause: "trigger churn".to_owned(),
        expires_at: None,
        labels: BTreeMap::new(),
    }
}

fn write(root: &Path) {
    let store = DirectoryStore::open(root, Access::Owner { what: "a test" }).unwrap();
    now(store.create_run(&spec())).unwrap();
    let mut position = 0;
    for records in commits() {
        now(store.commit(&"u-1".into(), position, &records)).unwrap();
        position = now(store.load_run(&"u-1".into())).unwrap().position;
    }
    now(store.put_command(&"u-1".into(), &command())).unwrap();
    now(store.claim("default", &verdict().attempt, "mine")).unwrap();
    now(store.put_verdict("default", &verdict())).unwrap();
    now(store.put_entry(&entry())).unwrap();
    now(store.swap(DOCUMENT, None, b"kind: Trigger\n")).unwrap();
    now(store.append_log("default", &verdict().attempt, "main", b"hello\n")).unwrap();
}

#[test]
fn a_store_of_every_format_is_read() {
    (1..=FORMAT).for_each(|format| is_read(&golden(format)));
}

fn is_read(golden: &Path) {
    let store = DirectoryStore::open(golden, Access::Reader).unwrap();
    assert_eq!(now(store.live_runs()).unwrap(), ["u-1".into()]);
    let run = now(store.load_run(&"u-1".into())).unwrap();
    assert_eq!((run.spec, run.records), (spec(), commits().concat()));
    assert_eq!(now(store.commands(&"u-1".into())).unwrap(), [command()]);
    assert!(now(store.claimed("default", &verdict().attempt)).unwrap());
    assert_eq!(now(store.verdict("default", &verdict().attempt)).unwrap(), Some(verdict()));
    assert_eq!(now(store.entries(None)).unwrap(), [entry()]);
    assert_eq!(now(store.keys("")).unwrap(), [DOCUMENT]);
    assert_eq!(now(store.get(DOCUMENT)).unwrap().unwrap().body, b"kind: Trigger\n");
    assert_eq!(now(store.read_log("default", &verdict().attempt, "main", 0, 9)).unwrap(), b"hello\n");
}

#[test]
fn the_last_format_is_still_written() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    assert_eq!(files(folder.path()), files(&golden(FORMAT)));
}

/// The golden files are written once, when a format is born, and never again.
#[test]
#[ignore = "writes the golden files of a new format"]
fn write_the_golden_files() {
    let golden = golden(FORMAT);
    assert!(!golden.exists(), "a format that exists does not change");
    write(&golden);
    for lock in ["owner.lock", "live.lock", "documents.lock"] {
        fs::remove_file(golden.join(lock)).unwrap();
    }
    fs::remove_dir(golden.join(".tmp")).unwrap();
}

/// Every stored file with its bytes; a journal's but for its nonces and so its checksums.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            match (path.is_dir(), extension) {
                (true, _) => folders.push(path),
                (false, Some("lock")) => {}
                (false, Some("journal")) => {
                    let length = fs::read(&path).unwrap().len();
                    files
                        .insert(path.strip_prefix(root).unwrap().to_owned(), length.to_string().into_bytes());
                }
                (false, _) => {
                    files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}
