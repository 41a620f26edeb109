use dropforge_driver::store::Inbox;
use dropforge_driver::store::{
    Buried, Commit, Created, LoadedRun, Runs, StoreError, TOMBSTONE_FORMAT, Tail, Tombstone,
};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::RunUid;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};

pub async fn contract<S: Runs + Inbox>(store: &S) {
    a_run_is_created_once(store).await;
    a_run_that_is_not_there_is_not_found(store).await;
    records_come_back_in_order(store).await;
    a_commit_at_another_position_is_a_conflict_and_changes_nothing(store).await;
    an_empty_commit_changes_nothing(store).await;
    of_racing_commits_one_wins(store).await;
    a_tail_is_what_was_committed_since(store).await;
    markers_are_set_and_removed(store).await;
    a_run_that_went_on_keeps_its_marker(store).await;
    a_marker_without_a_run_is_removed(store).await;
    an_unread_command_keeps_the_marker(store).await;
    a_command_that_comes_meanwhile_keeps_the_marker(store).await;
    a_live_run_is_not_buried(store).await;
    a_buried_run_is_not_found_and_its_uid_is_not_given_again(store).await;
}

fn tombstone(uid: &str) -> Tombstone {
    Tombstone {
        format: TOMBSTONE_FORMAT,
        uid: uid.into(),
        name: "wf".to_owned(),
        namespace: "default".to_owned(),
        deleted_at: "2026-01-03T00:00:00Z".parse().unwrap(),
        deleted_by: "ada".to_owned(),
    }
}

async fn a_live_run_is_not_buried<S: Runs>(store: &S) {
    let gone = store.bury(&tombstone("never-was")).await;
    assert!(matches!(gone, Err(StoreError::NotFound { what: "run", .. })));
    store.create_run(&spec("undying")).await.unwrap();
    assert_eq!(store.bury(&tombstone("undying")).await.unwrap(), Buried::Live);
    assert_eq!(store.load_run(&"undying".into()).await.unwrap().spec, spec("undying"));
}

async fn a_buried_run_is_not_found_and_its_uid_is_not_given_again<S: Runs + Inbox>(store: &S) {
    let run = RunUid::from("buried");
    store.create_run(&spec("buried")).await.unwrap();
    let end = committed(store, &run, 0, &[record("a")]).await;
    store.unmark_live(&run, end).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.bury(&tombstone("buried")).await.unwrap(), Buried::Hidden);
    }
    assert!(matches!(store.load_run(&run).await, Err(StoreError::NotFound { what: "run", .. })));
    let command = Command {
        id: "late".into(),
        by: "ada".to_owned(),
        at: "2026-01-03T00:00:01Z".parse().unwrap(),
        verb: Verb::Terminate,
    };
    assert!(store.put_command(&run, &command).await.is_err());
    assert_eq!(store.create_run(&spec("buried")).await.unwrap(), Created::Exists);
    assert!(!store.live_runs().await.unwrap().contains(&run));
    // Somebody slow, who creates it once more, dies after the marker.
    store.mark_live(&run).await.unwrap();
    store.unmark_unborn(&run).await.unwrap();
    assert!(!store.live_runs().await.unwrap().contains(&run));
}

pub fn spec(uid: &str) -> RunSpec {
    RunSpec {
        format: SPEC_FORMAT,
        uid: uid.into(),
        metadata: ObjectMeta { name: Some("wf".to_owned()), ..ObjectMeta::default() },
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

pub fn record(task: &str) -> Record {
    Record::TaskReady { node: dropforge_engine::ids::NodeId(7), task: task.to_owned() }
}

fn content(run: LoadedRun) -> (RunSpec, Vec<Record>, u64) {
    (run.spec, run.records, run.position)
}

async fn committed<S: Runs>(store: &S, run: &RunUid, position: u64, records: &[Record]) -> u64 {
    match store.commit(run, position, records).await.unwrap() {
        Commit::Committed { position } => position,
        Commit::Conflict => panic!("conflict at {position}"),
    }
}

async fn a_run_is_created_once<S: Runs>(store: &S) {
    let first = spec("once");
    assert_eq!(store.create_run(&first).await.unwrap(), Created::New);
    let second = RunSpec { source: Some("other".to_owned()), ..first.clone() };
    assert_eq!(store.create_run(&second).await.unwrap(), Created::Exists);
    assert_eq!(content(store.load_run(&first.uid).await.unwrap()), (first, vec![], 0));
}

async fn a_run_that_is_not_there_is_not_found<S: Runs>(store: &S) {
    let run = RunUid::from("nobody");
    assert!(matches!(store.load_run(&run).await, Err(StoreError::NotFound { what: "run", .. })));
    assert!(matches!(store.commit(&run, 0, &[record("a")]).await, Err(StoreError::NotFound { .. })));
}

async fn records_come_back_in_order<S: Runs>(store: &S) {
    let spec = spec("order");
    store.create_run(&spec).await.unwrap();
    let mut position = 0;
    for commit in [&["a", "b"][..], &["c"], &["ü", ""]] {
        let records: Vec<Record> = commit.iter().map(|task| record(task)).collect();
        position = committed(store, &spec.uid, position, &records).await;
    }
    let all = ["a", "b", "c", "ü", ""].map(record).to_vec();
    assert_eq!(content(store.load_run(&spec.uid).await.unwrap()), (spec, all, position));
}

async fn a_tail_is_what_was_committed_since<S: Runs>(store: &S) {
    let spec = spec("tail");
    store.create_run(&spec).await.unwrap();
    assert_eq!(store.tail(&spec.uid, 0).await.unwrap(), Tail::default());
    let first = committed(store, &spec.uid, 0, &[record("a"), record("b")]).await;
    let second = committed(store, &spec.uid, first, &[record("c")]).await;
    let position = committed(store, &spec.uid, second, &[record("d")]).await;
    let tail = |tasks: &[&str]| Tail { records: tasks.iter().map(|task| record(task)).collect(), position };
    assert_eq!(store.tail(&spec.uid, 0).await.unwrap(), tail(&["a", "b", "c", "d"]));
    assert_eq!(store.tail(&spec.uid, first).await.unwrap(), tail(&["c", "d"]));
    assert_eq!(store.tail(&spec.uid, position).await.unwrap(), tail(&[]));
}

async fn a_run_that_went_on_keeps_its_marker<S: Runs>(store: &S) {
    let spec = spec("went-on");
    store.create_run(&spec).await.unwrap();
    let done = committed(store, &spec.uid, 0, &[record("a")]).await;
    let end = committed(store, &spec.uid, done, &[record("b")]).await;
    store.unmark_live(&spec.uid, done).await.unwrap();
    assert!(store.live_runs().await.unwrap().contains(&spec.uid));
    store.unmark_live(&spec.uid, end).await.unwrap();
    assert!(!store.live_runs().await.unwrap().contains(&spec.uid));
}

async fn a_commit_at_another_position_is_a_conflict_and_changes_nothing<S: Runs>(store: &S) {
    let spec = spec("conflict");
    store.create_run(&spec).await.unwrap();
    assert_eq!(store.commit(&spec.uid, 1, &[record("x")]).await.unwrap(), Commit::Conflict);
    let end = committed(store, &spec.uid, 0, &[record("a")]).await;
    for wrong in [0, end - 1, end + 1].into_iter().filter(|wrong| *wrong != end) {
        assert_eq!(store.commit(&spec.uid, wrong, &[record("x")]).await.unwrap(), Commit::Conflict);
    }
    assert_eq!(content(store.load_run(&spec.uid).await.unwrap()), (spec, vec![record("a")], end));
}

async fn an_empty_commit_changes_nothing<S: Runs>(store: &S) {
    let spec = spec("empty");
    store.create_run(&spec).await.unwrap();
    let end = committed(store, &spec.uid, 0, &[record("a")]).await;
    assert_eq!(committed(store, &spec.uid, end, &[]).await, end);
    assert_eq!(store.commit(&spec.uid, end + 1, &[]).await.unwrap(), Commit::Conflict);
}

async fn of_racing_commits_one_wins<S: Runs>(store: &S) {
    let spec = spec("race");
    store.create_run(&spec).await.unwrap();
    let commit = |n: usize| {
        let answer =
            dropforge_contracts::wait(store.commit(&spec.uid, 0, &[record(&n.to_string())])).unwrap();
        (answer != Commit::Conflict).then_some(n)
    };
    let winners: Vec<usize> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|n| scope.spawn(move || commit(n))).collect();
        racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
    });
    let [winner] = winners[..] else { panic!("{winners:?} won") };
    assert_eq!(store.load_run(&spec.uid).await.unwrap().records, [record(&winner.to_string())]);
}

async fn markers_are_set_and_removed<S: Runs>(store: &S) {
    let spec = spec("marked");
    store.create_run(&spec).await.unwrap();
    let marked = async || store.live_runs().await.unwrap().contains(&spec.uid);
    assert!(marked().await);
    store.unmark_live(&spec.uid, 0).await.unwrap();
    store.unmark_live(&spec.uid, 0).await.unwrap();
    assert!(!marked().await);
    store.mark_live(&spec.uid).await.unwrap();
    store.mark_live(&spec.uid).await.unwrap();
    assert!(marked().await);
    // A creator that lost the race marks it all the same: the first may have died half-way.
    store.unmark_live(&spec.uid, 0).await.unwrap();
    store.create_run(&spec).await.unwrap();
    assert!(marked().await);
    assert!(store.live_runs().await.unwrap().is_sorted());
}

/// Whoever was about to create the run died after the marker.
async fn a_marker_without_a_run_is_removed<S: Runs>(store: &S) {
    let spec = spec("unborn");
    let marked = async || store.live_runs().await.unwrap().contains(&spec.uid);
    store.unmark_unborn(&spec.uid).await.unwrap();
    store.mark_live(&spec.uid).await.unwrap();
    store.unmark_unborn(&spec.uid).await.unwrap();
    assert!(!marked().await);
    store.create_run(&spec).await.unwrap();
    store.unmark_unborn(&spec.uid).await.unwrap();
    assert!(marked().await);
}

async fn an_unread_command_keeps_the_marker<S: Runs + Inbox>(store: &S) {
    let spec = spec("unread");
    store.create_run(&spec).await.unwrap();
    let command = command();
    store.put_command(&spec.uid, &command).await.unwrap();
    store.unmark_live(&spec.uid, 0).await.unwrap();
    assert!(store.live_runs().await.unwrap().contains(&spec.uid));
    store.remove_command(&spec.uid, &command.id).await.unwrap();
    store.unmark_live(&spec.uid, 0).await.unwrap();
    assert!(!store.live_runs().await.unwrap().contains(&spec.uid));
}

fn command() -> Command {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    Command { id: "c".into(), by: "ada".to_owned(), at, verb: Verb::Terminate }
}

async fn a_command_that_comes_meanwhile_keeps_the_marker<S: Runs + Inbox>(store: &S) {
    for n in 0..100 {
        let run = &RunUid::from(format!("meanwhile-{n}"));
        std::thread::scope(|scope| {
            scope.spawn(|| dropforge_contracts::wait(store.unmark_live(run, 0)).unwrap());
            scope.spawn(|| dropforge_contracts::wait(store.put_command(run, &command())).unwrap());
        });
        assert!(store.live_runs().await.unwrap().contains(run), "{run}");
    }
}
