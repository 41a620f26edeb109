//! Rule 11: reading an advance costs one snapshot and a short tail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dropforge_contracts::proxy::Proxy;
use dropforge_contracts::{configuration, emulator, store, wait};
use dropforge_driver::pods::Stores;
use dropforge_driver::replay::replay;
use dropforge_driver::store::{Commit, Runs};
use dropforge_engine::apply::apply;
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::decide::decide;
use dropforge_engine::event::Event;
use dropforge_engine::record::Record;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use dropforge_engine::state::RunState;
use dropforge_manifest::types::{ObjectMeta, Parameter, WorkflowSpec};
use dropforge_storage::s3::S3Store;
use serde_json::json;

fn spec() -> RunSpec {
    RunSpec {
        format: SPEC_FORMAT,
        uid: "long".into(),
        metadata: ObjectMeta { name: Some("wf".to_owned()), ..ObjectMeta::default() },
        spec: WorkflowSpec { entrypoint: Some("main".to_owned()), ..WorkflowSpec::default() },
        library: Default::default(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        cause: Cause::Person { by: "ada".to_owned() },
        settings: Settings::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

/// A process that advances the run.
struct Process {
    store: S3Store,
    state: RunState,
    position: u64,
}

impl Process {
    async fn resumed(store: S3Store) -> Process {
        let resumed = store.resume(&"long".into()).await.unwrap();
        let position = resumed.position;
        Process { store, position, state: resumed.state().unwrap() }
    }

    /// Commits one record.
    async fn commit(&mut self, name: &str, value: &str) -> Commit {
        let parameter =
            Parameter { name: name.to_owned(), value: Some(value.into()), ..Parameter::default() };
        let record = Record::GlobalParameter { parameter: Box::new(parameter) };
        let records = std::slice::from_ref(&record);
        let commit = self.store.commit(&"long".into(), self.position, records).await.unwrap();
        if let Commit::Committed { position } = commit {
            self.position = position;
            apply(&mut self.state, &record);
        }
        commit
    }

    /// Decides on an event, commits what follows, and offers the state.
    async fn hear(&mut self, event: Event) {
        let now = self.state.last;
        let records = decide(&self.state, &event, now).unwrap().records;
        let commit = self.store.commit(&"long".into(), self.position, &records).await.unwrap();
        let Commit::Committed { position } = commit else { panic!("nobody else commits") };
        self.position = position;
        records.iter().for_each(|record| apply(&mut self.state, record));
        self.keep().await;
    }

    async fn keep(&self) {
        self.store.keep_snapshot(&"long".into(), self.position, &self.state).await.unwrap();
    }

    /// Commits one record and offers the state, as an owner does.
    async fn advance(&mut self, name: &str, value: &str) {
        assert_ne!(self.commit(name, value).await, Commit::Conflict);
        self.keep().await;
    }
}

struct Bed {
    proxy: Proxy,
    stores: Stores,
}

impl Bed {
    async fn new() -> Option<Bed> {
        Bed::of(spec()).await
    }

    async fn of(spec: RunSpec) -> Option<Bed> {
        let endpoint = emulator::endpoint()?;
        let (store, stores) = store(endpoint).await;
        store.create_run(&spec).await.unwrap();
        Some(Bed { proxy: Proxy::before(endpoint), stores })
    }

    async fn process(&self) -> Process {
        Process::resumed(self.store().await).await
    }

    async fn store(&self) -> S3Store {
        let endpoint = Some(self.proxy.endpoint.clone());
        S3Store::new(&configuration().await, &Stores { endpoint, ..self.stores.clone() })
    }

    async fn snapshot_bytes(&self) -> i64 {
        let client = dropforge_contracts::client(emulator::endpoint().unwrap()).await;
        let runs =
            client.list_objects_v2().bucket(&self.stores.control).prefix("runs/").send().await.unwrap();
        let snapshot = runs.contents().iter().find(|o| o.key().is_some_and(|k| k.ends_with("snapshot.json")));
        snapshot.unwrap().size().unwrap()
    }
}

fn text(state: &RunState) -> String {
    serde_json::to_string(&Snapshot::of(state)).unwrap()
}

#[test]
fn a_run_of_a_hundred_commits_is_resumed_from_a_snapshot_and_a_short_tail() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let mut process = bed.process().await;
        for n in 0..100 {
            process.advance(&format!("p{}", n % 7), &n.to_string()).await;
        }
        assert_eq!(bed.proxy.count("PUT", "snapshot.json"), 3, "after 32 segments each");
        let whole = process.store.load_run(&"long".into()).await.unwrap();
        assert_eq!((whole.records.len(), whole.position), (100, 100));
        bed.proxy.take();
        let resumed = process.store.resume(&"long".into()).await.unwrap();
        assert_eq!((resumed.records.len(), resumed.position), (4, 100));
        assert_eq!(text(&resumed.state().unwrap()), text(&process.state));
        // Spec, snapshot, four segments, and those asked for beyond the end.
        let asked = bed.proxy.take().len();
        assert!(asked <= 2 + 4 + 8, "{asked} requests");
    });
}

/// A loop whose items take 200,000 bytes, and what whose children give is read.
fn wide() -> RunSpec {
    let templates = json!([
        {"name": "main", "parallelism": 2, "steps": [
            [{"name": "a", "template": "leaf", "withSequence": {"count": "2000", "format": "%0100d"}}],
            [{"name": "b", "template": "leaf", "withParam": "{{steps.a.outputs.result}}"}],
        ]},
        {"name": "leaf", "script": {"image": "busybox", "source": "x", "command": ["sh"]}},
    ]);
    let spec = json!({"entrypoint": "main", "templates": templates});
    RunSpec { spec: serde_json::from_value(spec).unwrap(), ..self::spec() }
}

#[test]
fn what_a_wide_loop_holds_is_kept_once_and_every_snapshot_stays_small() {
    wait(async {
        let Some(bed) = Bed::of(wide()).await else { return };
        let mut process = bed.process().await;
        process.hear(Event::Submitted).await;
        assert_eq!((bed.proxy.count("PUT", "snapshot.json"), bed.proxy.count("PUT", "/pieces/")), (1, 1));
        for n in 0..1_100 {
            let attempt = process.state.outbox.attempts().next().unwrap().id.clone();
            let (outcome, reason) = (Outcome::Succeeded, Reason::Exited);
            let mut verdict = Verdict::without_outputs(attempt, outcome, reason, "", process.state.last);
            verdict.outputs.result = Some(n.to_string());
            process.hear(Event::AttemptFinished { verdict: verdict.into() }).await;
        }
        assert_eq!(bed.proxy.count("PUT", "/pieces/"), 2, "the items, and what the first 1,024 gave");
        assert!(bed.snapshot_bytes().await < 50_000);
        let client = dropforge_contracts::client(emulator::endpoint().unwrap()).await;
        let resumed = bed.store().await.resume(&"long".into()).await.unwrap();
        assert!(resumed.records.len() < 1_000, "{} records", resumed.records.len());
        assert_eq!(text(&resumed.state().unwrap()), text(&process.state));
        let list =
            |prefix: String| client.list_objects_v2().bucket(&bed.stores.control).prefix(prefix).send();
        let first = list("journals/".to_owned()).await.unwrap().contents()[0].key().unwrap().to_owned();
        let folder = first.rsplit_once('/').unwrap().0;
        let pieces = list(format!("{folder}/pieces/")).await.unwrap();
        let piece = pieces.contents()[0].key().unwrap();
        client.delete_object().bucket(&bed.stores.control).key(piece).send().await.unwrap();
        let store = bed.store().await;
        let (state, position) = replay(&store, &"long".into(), |_, _| {}).await.unwrap();
        assert_eq!(
            (position, text(&state)),
            (process.position, text(&process.state)),
            "the journal is whole"
        );
        store.keep_snapshot(&"long".into(), position, &state).await.unwrap();
        let resumed = bed.store().await.resume(&"long".into()).await.unwrap();
        assert_eq!(resumed.records.len(), 0, "the next snapshot is whole again");
        assert_eq!(text(&resumed.state().unwrap()), text(&process.state));
    });
}

/// Letters that can't be compressed to less than what they take as letters again.
fn noise(letters: usize) -> String {
    let mut number = 1u64;
    let mut letter = |_| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"[(number >> 58) as usize],
        )
    };
    (0..letters).map(&mut letter).collect()
}

#[test]
fn a_heavy_tail_is_not_read_twice() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let mut process = bed.process().await;
        let large = noise(40_000);
        process.advance("a", &large).await;
        assert_eq!(bed.proxy.count("PUT", "snapshot.json"), 0, "light");
        process.advance("b", &large).await;
        assert_eq!(bed.proxy.count("PUT", "snapshot.json"), 1, "heavier than no snapshot");
        process.advance("a", &large).await;
        process.advance("a", &large).await;
        assert_eq!(bed.proxy.count("PUT", "snapshot.json"), 1, "as heavy as the snapshot");
        process.advance("a", &large).await;
        assert_eq!(bed.proxy.count("PUT", "snapshot.json"), 2);
    });
}

/// A function that was frozen wakes up behind another and offers what is old.
#[test]
fn an_older_snapshot_never_takes_the_place_of_a_newer_one() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let mut slow = bed.process().await;
        for n in 0..31 {
            slow.advance("p", &n.to_string()).await;
        }
        slow.commit("p", "the 32nd").await;
        let mut fast = bed.process().await;
        fast.advance("p", "fast").await;
        slow.keep().await;
        assert_eq!(bed.proxy.count("PUT", "snapshot.json"), 1, "it looked first");
        let resumed = bed.store().await.resume(&"long".into()).await.unwrap();
        assert_eq!((resumed.records.len(), resumed.position), (0, 33));
        assert_eq!(text(&resumed.state().unwrap()), text(&fast.state));
        assert_eq!(slow.commit("p", "slow").await, Commit::Conflict);
    });
}

#[test]
fn of_two_snapshots_at_once_the_first_stays_and_the_other_is_not_read() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let mut slow = bed.process().await;
        for n in 0..31 {
            slow.advance("p", &n.to_string()).await;
        }
        slow.commit("p", "the 32nd").await;
        let mut fast = bed.process().await;
        bed.proxy.before_next("PUT", "snapshot.json", move || {
            wait(fast.advance("p", "fast"));
        });
        slow.keep().await;
        let counts = ["PUT", "GET"].map(|method| bed.proxy.count(method, "snapshot.json"));
        assert_eq!(counts, [2, 2], "both read it when they began, and then no more");
        let resumed = bed.store().await.resume(&"long".into()).await.unwrap();
        assert_eq!((resumed.records.len(), resumed.position), (0, 33));
    });
}

/// Functions that advance a run together are a few commits behind one another all the time.
#[test]
fn what_others_committed_is_read_once_and_their_snapshots_are_not() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let (mut one, mut other) = (bed.process().await, bed.process().await);
        for n in 0..31 {
            one.advance("p", &n.to_string()).await;
        }
        bed.proxy.take();
        assert_eq!(other.commit("p", "lost").await, Commit::Conflict);
        let tail = other.store.tail(&"long".into(), 0).await.unwrap();
        assert_eq!((tail.position, tail.records.len()), (31, 31));
        assert!(bed.proxy.count("GET", "/journals/") <= 31 + 16, "and some beyond the end");
        assert_eq!(bed.proxy.count("HEAD", "/journals/"), 0);
        (other.position, other.state) = (31, one.state.clone());
        one.advance("p", "the 32nd").await;
        bed.proxy.take();
        assert_eq!(other.commit("p", "lost").await, Commit::Conflict);
        let tail = other.store.tail(&"long".into(), 31).await.unwrap();
        assert_eq!(tail.position, 32);
        let counts = ["PUT", "GET", "HEAD"].map(|method| bed.proxy.count(method, "/journals/"));
        assert_eq!(counts, [1, 2, 0], "the 32nd as it was lost to it, and that there is no 33rd");
        tail.records.iter().for_each(|record| apply(&mut other.state, record));
        other.position = 32;
        bed.proxy.take();
        other.advance("p", "the 33rd").await;
        let counts = ["PUT", "GET", "HEAD"].map(|method| bed.proxy.count(method, "snapshot.json"));
        assert_eq!(counts, [0, 0, 1], "the other's is as good");
    });
}

/// A thousand pods that are open say much the same of themselves.
#[test]
fn a_large_snapshot_is_compressed_and_read_as_it_was() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let mut process = bed.process().await;
        for n in 0..32 {
            process.advance(&format!("p{n}"), &"the same ".repeat(1_000)).await;
        }
        assert!(bed.snapshot_bytes().await < 20_000, "of 288,000");
        let resumed = bed.store().await.resume(&"long".into()).await.unwrap();
        assert!(resumed.records.len() < 32);
        assert_eq!(text(&resumed.state().unwrap()), text(&process.state));
    });
}

/// Equal states at different times are different objects, so that `If-Match` can tell them apart.
#[test]
fn equal_states_are_kept_under_different_versions() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let client = dropforge_contracts::client(emulator::endpoint().unwrap()).await;
        let mut process = bed.process().await;
        let mut versions = Vec::new();
        for _ in 0..2 {
            for _ in 0..32 {
                process.advance("p", "same").await;
            }
            let listed =
                client.list_objects_v2().bucket(&bed.stores.control).prefix("runs/").send().await.unwrap();
            let key = listed.contents().iter().filter_map(|o| o.key()).find(|k| k.ends_with("snapshot.json"));
            let get = client.get_object().bucket(&bed.stores.control).key(key.unwrap()).send().await.unwrap();
            let body = get.body.collect().await.unwrap().into_bytes();
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
            versions.push((
                document["format"].clone(),
                document["version"].clone(),
                document["journal_seq"].clone(),
            ));
        }
        assert_eq!(versions, [(1.into(), 1.into(), 32.into()), (1.into(), 2.into(), 64.into())]);
    });
}
