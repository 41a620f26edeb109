//! What holds between processes: this test program starts itself again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, Waker};

use dropforge_driver::store::{Commit, Documents, LoadedRun, Runs, StoreError, Swap};
use dropforge_engine::ids::NodeId;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};
use dropforge_storage::directory::{Access, DirectoryStore};
use dropforge_storage::keys;

const STORE: &str = "DROPFORGE_TEST_STORE";
const OWNER: Access<'static> = Access::Owner { what: "a test" };

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("pending"),
    }
}

fn store_of_parent() -> PathBuf {
    std::env::var_os(STORE).expect("started by another test").into()
}

/// This program, to run only the test called `part`.
fn part(part: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", part, "--ignored", "--nocapture"]).env(STORE, store);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The line of a part's output that begins with `part:`.
fn answer(child: &mut Child) -> String {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    let line = output.lines().map(Result::unwrap).find(|line| line.contains("part:")).unwrap();
    line.split_once("part:").unwrap().1.to_owned()
}

#[test]
#[ignore = "a part of other tests"]
fn part_owns() {
    let store = DirectoryStore::open(&store_of_parent(), OWNER);
    let answer = match &store {
        Ok(_) => "owns".to_owned(),
        Err(StoreError::Owned { owner, .. }) => format!("owned by {owner}"),
        Err(error) => format!("{error:?}"),
    };
    println!("part:{answer}");
    std::io::stdout().flush().unwrap();
    // Until the parent has seen all answers.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn of_processes_racing_to_own_a_store_exactly_one_wins_and_its_death_frees_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut racers: Vec<Child> = (0..6).map(|_| part("part_owns", folder.path()).spawn().unwrap()).collect();
    let answers: Vec<String> = racers.iter_mut().map(answer).collect();
    let winners: Vec<usize> = (0..6).filter(|n| answers[*n] == "owns").collect();
    let [winner] = winners[..] else { panic!("{answers:?}") };
    assert!(
        answers.iter().enumerate().all(|(n, answer)| n == winner || answer.starts_with("owned by ")),
        "{answers:?}"
    );
    let mut winner = racers.swap_remove(winner);
    let told = format!("owned by {} (a test)", winner.id());
    let mut late = part("part_owns", folder.path()).spawn().unwrap();
    assert_eq!(answer(&mut late), told);
    winner.kill().unwrap();
    winner.wait().unwrap();
    DirectoryStore::open(folder.path(), OWNER).unwrap();
    for mut racer in racers.into_iter().chain([late]) {
        drop(racer.stdin.take());
        assert!(racer.wait().unwrap().success());
    }
}

const COUNT: &str = "crons/default/count.json";

#[test]
#[ignore = "a part of other tests"]
fn part_counts() {
    let store = DirectoryStore::open(&store_of_parent(), Access::Reader).unwrap();
    let mut left = 50;
    while left > 0 {
        let document = now(store.get(COUNT)).unwrap();
        let text = document.as_ref().map_or("0", |document| str::from_utf8(&document.body).unwrap());
        let next = (text.parse::<u32>().unwrap() + 1).to_string();
        let version = document.as_ref().map(|document| document.version.as_str());
        if matches!(now(store.swap(COUNT, version, next.as_bytes())).unwrap(), Swap::Stored { .. }) {
            left -= 1;
        }
    }
}

#[test]
fn swaps_of_several_processes_all_count() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..3).map(|_| part("part_counts", folder.path()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = DirectoryStore::open(folder.path(), Access::Reader).unwrap();
    assert_eq!(now(store.get(COUNT)).unwrap().unwrap().body, b"150");
}

fn spec() -> RunSpec {
    RunSpec {
        format: SPEC_FORMAT,
        uid: "u".into(),
        metadata: ObjectMeta::default(),
        spec: WorkflowSpec::default(),
        library: Default::default(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        cause: Cause::Person { by: "ada".to_owned() },
        settings: Settings::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

fn record(task: String) -> Record {
    Record::TaskReady { node: NodeId(1), task }
}

/// In here no file can grow beyond the limit set by the parent, as on a full disk: a write stops half-way.
#[test]
#[ignore = "a part of other tests"]
fn part_fills_the_disk() {
    let store = DirectoryStore::open(&store_of_parent(), OWNER).unwrap();
    now(store.create_run(&spec())).unwrap();
    let (mut kept, mut end) = (Vec::new(), 0);
    let error = loop {
        let next = record("x".repeat(1000 + kept.len()));
        match now(store.commit(&"u".into(), end, std::slice::from_ref(&next))) {
            Ok(Commit::Committed { position }) => end = position,
            Ok(Commit::Conflict) => panic!("conflict"),
            Err(error) => break error,
        }
        kept.push(next);
    };
    assert!(matches!(error, StoreError::Io { action: "write", .. }), "{error:?}");
    assert!(!kept.is_empty());
    // Nothing of the failed commit is left behind, not even for the next owner to cut off.
    let journal = store.root().join(keys::journal(&"u".into()).unwrap());
    assert_eq!(std::fs::metadata(journal).unwrap().len(), end);
    let content = |run: LoadedRun| (run.records, run.position);
    assert_eq!(content(now(store.load_run(&"u".into())).unwrap()), (kept.clone(), end));
    // What fits is kept, at the same position.
    let small = record("small".to_owned());
    assert!(matches!(
        now(store.commit(&"u".into(), end, std::slice::from_ref(&small))).unwrap(),
        Commit::Committed { .. }
    ));
    kept.push(small);
    assert_eq!(now(store.load_run(&"u".into())).unwrap().records, kept);
    println!("part:{}", kept.len());
}

#[test]
fn a_commit_that_a_full_disk_stops_half_way_leaves_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes or of 1,024, as the shell likes; the signal that would end the process is ignored.
    let limited = "trap '' XFSZ; ulimit -f 10; exec \"$@\"";
    let inner = part("part_fills_the_disk", folder.path());
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh"]).arg(inner.get_program()).args(inner.get_args());
    let output = command.env(STORE, folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let store = DirectoryStore::open(folder.path(), OWNER).unwrap();
    let kept = now(store.load_run(&"u".into())).unwrap().records.len();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("part:{kept}\n")));
}
