//! The owner on a memory store and a cluster that a test plays.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::clock::Clock;
use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::garbage;
use dropforge_driver::owner::{Ends, Look, Owner};
use dropforge_driver::store::{Artifacts, Inbox, Index, ObjectFacts, Place, Runs, StoreError};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::{Command, Event, RetryOptions, Verb};
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_queue::local::LocalTimers;
use dropforge_storage::memory::MemoryStore;
use jiff::Timestamp;

#[derive(Clone, Copy)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_790_000_000).expect("a moment of this century")
    }
}

/// What a cluster was asked.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Start(AttemptId),
    Stop(AttemptId),
}

/// Remembers what it was asked; refuses starts while `down`, and stops while `deaf`.
#[derive(Default)]
struct Played {
    started: Mutex<Vec<Arc<Attempt>>>,
    stopped: Mutex<Vec<AttemptId>>,
    /// Both, in order.
    asked: Mutex<Vec<Asked>>,
    deaf: Mutex<bool>,
    tidied: Mutex<Vec<AttemptId>>,
    down: Mutex<bool>,
    /// What stands in every config map.
    found: Mutex<Option<ConfigFound>>,
}

fn unreachable() -> ClusterError {
    let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    ClusterError::Unreachable { what: "supervisor", source }
}

impl Cluster for Played {
    async fn start(&self, _: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        if *self.down.lock().expect("not poisoned") {
            return Err(unreachable());
        }
        self.asked.lock().expect("not poisoned").push(Asked::Start(attempt.id.clone()));
        self.started.lock().expect("not poisoned").push(attempt);
        Ok(None)
    }

    async fn stop(&self, _: &RunSpec, attempt: &AttemptId, _: &str) -> Result<(), ClusterError> {
        if *self.deaf.lock().expect("not poisoned") {
            return Err(unreachable());
        }
        self.asked.lock().expect("not poisoned").push(Asked::Stop(attempt.clone()));
        self.stopped.lock().expect("not poisoned").push(attempt.clone());
        Ok(())
    }

    async fn observe(&self, _: &RunSpec, _: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        Ok(Observed::default())
    }

    async fn tidy(&self, _: &RunSpec, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        self.tidied.lock().expect("not poisoned").extend_from_slice(attempts);
        Ok(())
    }

    async fn config(&self, _: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        Ok(self.found.lock().expect("not poisoned").clone())
    }
}

/// Remembers which runs were said to have ended.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<RunPhase>>>);

impl Ends for Told {
    async fn ended(&self, _: &RunSpec, phase: RunPhase) -> Result<(), StoreError> {
        self.0.lock().expect("not poisoned").push(phase);
        Ok(())
    }

    async fn remove_artifacts(&self, spec: &RunSpec) -> Result<(), StoreError> {
        garbage::remove(&Forbidding, spec.namespace(), &[Place { bucket: None, key: "models/m".to_owned() }])
            .await
    }

    async fn remove_volumes(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A bucket of which nothing may be read or removed.
struct Forbidding;

fn forbidden<T>() -> Result<T, StoreError> {
    let source = std::io::ErrorKind::PermissionDenied.into();
    Err(StoreError::Io { action: "use", key: "models/m".to_owned(), source })
}

impl Artifacts for Forbidding {
    async fn fetch(
        &self,
        _: &str,
        _: &Place,
        _: &Path,
        _: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        forbidden()
    }

    async fn list(&self, _: &str, _: &Place) -> Result<Vec<String>, StoreError> {
        forbidden()
    }

    async fn store(
        &self,
        _: &str,
        _: &Path,
        _: &Place,
        _: bool,
        _: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        forbidden()
    }

    async fn remove_object(&self, _: &str, _: &Place) -> Result<(), StoreError> {
        forbidden()
    }

    async fn head(&self, _: &str, _: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        forbidden()
    }
}

type TestOwner = Owner<MemoryStore, Played, LocalTimers, Told, Still>;

struct Scene {
    store: Arc<MemoryStore>,
    cluster: Arc<Played>,
    told: Told,
}

impl Scene {
    fn new() -> Scene {
        Scene { store: Arc::new(MemoryStore::new()), cluster: Arc::default(), told: Told::default() }
    }

    fn owner(&self) -> TestOwner {
        let watcher = Box::new(|_: &_, _: &[_], _| {});
        Owner::new(
            self.store.clone(),
            self.cluster.clone(),
            LocalTimers::default(),
            self.told.clone(),
            Still,
            watcher,
        )
    }

    fn starts(&self) -> Vec<AttemptId> {
        self.cluster.started.lock().expect("not poisoned").iter().map(|a| a.id.clone()).collect()
    }
}

fn spec() -> RunSpec {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wf}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox}\n";
    let Some(AnyObject::Workflow(workflow)) = parse("t", text).documents.into_iter().next().map(|d| d.object)
    else {
        panic!("no workflow");
    };
    let identity = Identity { uid: "uid-1".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "test".to_owned() };
    run_spec(
        *workflow,
        &Library::default(),
        &Site::default(),
        &Overrides::default(),
        &identity,
        cause,
        Still.now(),
    )
    .expect("a good spec")
}

fn succeeded(attempt: &AttemptId) -> Event {
    let verdict =
        Verdict::without_outputs(attempt.clone(), Outcome::Succeeded, Reason::Exited, "", Still.now());
    Event::AttemptFinished { verdict: Arc::new(verdict) }
}

#[tokio::test]
async fn a_run_goes_from_its_birth_to_its_end_and_is_let_go() {
    let scene = Scene::new();
    let mut owner = scene.owner();
    let spec = spec();
    owner.submit(&spec).await.unwrap();
    let attempt = scene.starts()[0].clone();
    assert_eq!(scene.store.live_runs().await.unwrap(), std::slice::from_ref(&spec.uid));
    owner.handle(&spec.uid, vec![succeeded(&attempt), succeeded(&attempt)]).await.unwrap();
    assert!(owner.run(&spec.uid).is_none());
    assert_eq!(
        *scene.cluster.tidied.lock().unwrap(),
        [attempt],
        "the last one's pod goes with the run's end"
    );
    assert_eq!(scene.store.live_runs().await.unwrap(), []);
    assert_eq!(*scene.told.0.lock().unwrap(), [RunPhase::Succeeded]);
    assert_eq!(scene.store.entries(None).await.unwrap()[0].phase, RunPhase::Succeeded);
}

#[tokio::test]
async fn a_line_that_whoever_ended_the_run_could_not_store_is_stored_by_who_takes_the_marker_away() {
    let scene = Scene::new();
    let (mut owner, uid) = (scene.owner(), spec().uid);
    owner.submit(&spec()).await.unwrap();
    owner.handle(&uid, vec![succeeded(&scene.starts()[0])]).await.unwrap();
    let line = scene.store.entries(None).await.unwrap().remove(0);
    scene.store.remove_entry(&line).await.unwrap();
    scene.says(&mut scene.owner(), "c-late", Verb::Suspend).await;
    assert_eq!(scene.store.live_runs().await.unwrap(), []);
    let phases: Vec<_> = scene.store.entries(None).await.unwrap().iter().map(|line| line.phase).collect();
    assert_eq!(phases, [RunPhase::Succeeded]);
}

#[tokio::test]
async fn artifacts_that_may_not_be_removed_keep_no_run_live() {
    let scene = Scene::new();
    let mut spec = spec();
    let gc = serde_json::json!({"strategy": "OnWorkflowCompletion"});
    spec.spec.artifact_gc = Some(serde_json::from_value(gc).unwrap());
    let mut owner = scene.owner();
    owner.submit(&spec).await.unwrap();
    owner.handle(&spec.uid, vec![succeeded(&scene.starts()[0])]).await.unwrap();
    assert_eq!(scene.store.live_runs().await.unwrap(), []);
    assert_eq!(*scene.told.0.lock().unwrap(), [RunPhase::Succeeded]);
}

#[tokio::test]
async fn what_could_not_be_performed_is_performed_by_the_next_owner_under_the_same_name() {
    let scene = Scene::new();
    *scene.cluster.down.lock().unwrap() = true;
    let spec = spec();
    scene.owner().submit(&spec).await.unwrap();
    assert_eq!(scene.starts(), []);
    *scene.cluster.down.lock().unwrap() = false;
    let mut second = scene.owner();
    second.adopt(&spec.uid).await.unwrap();
    let mut third = scene.owner();
    third.adopt(&spec.uid).await.unwrap();
    let starts = scene.starts();
    assert_eq!(starts.len(), 2, "each owner asks again");
    assert_eq!(starts[0], starts[1], "and asks for the same attempt");
}

#[tokio::test]
async fn what_could_not_be_performed_is_tried_again_by_the_same_owner() {
    let scene = Scene::new();
    *scene.cluster.down.lock().unwrap() = true;
    let spec = spec();
    let mut owner = scene.owner();
    owner.submit(&spec).await.unwrap();
    owner.retry().await.unwrap();
    assert_eq!(scene.starts(), []);
    *scene.cluster.down.lock().unwrap() = false;
    owner.retry().await.unwrap();
    owner.retry().await.unwrap();
    assert_eq!(scene.starts().len(), 1, "once it is performed nothing is left to try");
}

#[tokio::test]
async fn a_command_is_applied_once_although_its_object_is_read_twice() {
    let scene = Scene::new();
    let spec = spec();
    let mut owner = scene.owner();
    owner.submit(&spec).await.unwrap();
    let command = Command { id: "c1".into(), by: "test".to_owned(), at: Still.now(), verb: Verb::Terminate };
    for _ in 0..2 {
        scene.store.put_command(&spec.uid, &command).await.unwrap();
        owner.read_inbox(&spec.uid).await.unwrap();
    }
    let records = scene.store.load_run(&spec.uid).await.unwrap().records;
    let read = records.iter().filter(|r| matches!(r, Record::CommandRead { .. })).count();
    assert_eq!(read, 1);
    assert_eq!(*scene.cluster.stopped.lock().unwrap(), scene.starts());
    assert!(scene.store.commands(&spec.uid).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_terminal_run_stays_live_until_its_stopped_attempt_has_ended() {
    let scene = Scene::new();
    let spec = spec();
    let mut owner = scene.owner();
    owner.submit(&spec).await.unwrap();
    let command = Command { id: "c1".into(), by: "test".to_owned(), at: Still.now(), verb: Verb::Terminate };
    scene.store.put_command(&spec.uid, &command).await.unwrap();
    owner.read_inbox(&spec.uid).await.unwrap();
    assert_eq!(owner.run(&spec.uid).unwrap().phase, RunPhase::Failed);
    assert_eq!(scene.store.live_runs().await.unwrap().len(), 1);
    owner.handle(&spec.uid, vec![succeeded(&scene.starts()[0])]).await.unwrap();
    assert_eq!(scene.store.live_runs().await.unwrap(), []);
}

#[tokio::test]
async fn a_finished_run_that_is_retried_is_live_again_until_its_end_is_told_once_more() {
    let scene = Scene::new();
    let mut owner = scene.owner();
    let spec = spec();
    owner.submit(&spec).await.unwrap();
    let failed = |attempt: &AttemptId| {
        let verdict =
            Verdict::without_outputs(attempt.clone(), Outcome::Failed, Reason::Exited, "", Still.now());
        Event::AttemptFinished { verdict: Arc::new(verdict) }
    };
    owner.handle(&spec.uid, vec![failed(&scene.starts()[0])]).await.unwrap();
    assert!(scene.store.live_runs().await.unwrap().is_empty());

    let retry = |id: &str| Command {
        id: id.into(),
        by: "test".to_owned(),
        at: Still.now(),
        verb: Verb::Retry(RetryOptions::default()),
    };
    scene.store.put_command(&spec.uid, &retry("c-1")).await.unwrap();
    assert_eq!(
        scene.store.live_runs().await.unwrap(),
        std::slice::from_ref(&spec.uid),
        "its marker comes first"
    );
    owner.adopt(&spec.uid).await.unwrap();
    let phase = |entries: Vec<dropforge_driver::store::IndexEntry>| entries[0].phase;
    assert_eq!(phase(scene.store.entries(None).await.unwrap()), RunPhase::Running);
    assert_eq!(scene.starts().len(), 2, "the failed step is started again, under another name");
    assert_ne!(scene.starts()[0], scene.starts()[1]);

    // A second retry comes too late, and the next owner knows as much as this one.
    scene.store.put_command(&spec.uid, &retry("c-2")).await.unwrap();
    let mut next = scene.owner();
    next.adopt(&spec.uid).await.unwrap();
    assert_eq!(next.run(&spec.uid).map(|s| (s.phase, s.generation)), Some((RunPhase::Running, 1)));
    next.handle(&spec.uid, vec![succeeded(&scene.starts()[1])]).await.unwrap();
    assert_eq!(*scene.told.0.lock().unwrap(), [RunPhase::Failed, RunPhase::Succeeded]);
    assert!(scene.store.live_runs().await.unwrap().is_empty());
}

impl Scene {
    /// A run whose only step was started, and that was stopped, which its cluster did not hear.
    async fn stopped_unheard(&self) -> RunUid {
        let mut owner = self.owner();
        let uid = spec().uid;
        owner.submit(&spec()).await.expect("the store works");
        *self.cluster.deaf.lock().expect("not poisoned") = true;
        self.says(&mut owner, "c-stop", Verb::Terminate).await;
        uid
    }

    /// A command, and its doorbell.
    async fn says(&self, owner: &mut TestOwner, id: &str, verb: Verb) {
        let command = Command { id: id.into(), by: "test".to_owned(), at: Still.now(), verb };
        self.store.put_command(&spec().uid, &command).await.expect("the store works");
        owner.ring(&spec().uid, &[Look::Command(id.into())]).await.expect("the store works");
    }

    /// What the cluster was asked since this was asked last.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.cluster.asked.lock().expect("not poisoned"))
    }
}

#[tokio::test]
async fn who_retries_a_run_performs_a_stop_that_another_has_left_before_the_next_attempt_begins() {
    let scene = Scene::new();
    scene.stopped_unheard().await;
    let first = scene.starts()[0].clone();
    *scene.cluster.deaf.lock().unwrap() = false;
    scene.asked();
    scene.says(&mut scene.owner(), "c-retry", Verb::Retry(RetryOptions::default())).await;
    let second = scene.starts()[1].clone();
    assert_ne!(first, second);
    assert_eq!(scene.asked(), [Asked::Stop(first), Asked::Start(second)]);
}

#[tokio::test]
async fn an_attempt_is_not_started_as_long_as_the_one_before_it_can_not_be_stopped() {
    let scene = Scene::new();
    let run = scene.stopped_unheard().await;
    let first = scene.starts()[0].clone();
    let mut owner = scene.owner();
    scene.says(&mut owner, "c-retry", Verb::Retry(RetryOptions::default())).await;
    assert_eq!(owner.run(&run).map(|state| state.phase), Some(RunPhase::Running));
    assert_eq!(scene.asked(), [Asked::Start(first.clone())]);
    *scene.cluster.deaf.lock().unwrap() = false;
    owner.retry().await.unwrap();
    let second = scene.starts().last().cloned().unwrap();
    assert_ne!(first, second);
    // An owner of this kind of cluster tells it of all attempts once more, so that it knows what it ends.
    assert_eq!(scene.asked(), [Asked::Start(first.clone()), Asked::Stop(first), Asked::Start(second)]);
}

const LOCKED: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: wf-}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    synchronization: {semaphores: [{configMapKeyRef: {name: limits, key: gpu}}]}\n    container: {image: busybox}\n";

impl Scene {
    /// Lets every config map say this.
    fn limit(&self, text: &str) {
        *self.cluster.found.lock().expect("not poisoned") =
            Some(ConfigFound::Value { value: text.to_owned() });
    }

    /// The runs whose steps were started, in that order.
    fn ran(&self) -> Vec<String> {
        self.cluster.started.lock().expect("not poisoned").iter().map(|a| a.run.to_string()).collect()
    }

    async fn end(&self, owner: &mut TestOwner, run: &str) {
        let started = self.cluster.started.lock().expect("not poisoned").clone();
        let attempt = started.iter().rev().find(|a| a.run.as_str() == run).expect("it runs");
        owner.handle(&run.into(), vec![succeeded(&attempt.id)]).await.expect("the store works");
    }
}

fn locked(uid: &str, priority: i64) -> RunSpec {
    let Some(AnyObject::Workflow(mut workflow)) =
        parse("t", LOCKED).documents.into_iter().next().map(|d| d.object)
    else {
        panic!("no workflow");
    };
    workflow.spec.priority = Some(priority);
    let identity = Identity { uid: uid.into(), suffix: uid.to_owned() };
    let cause = Cause::Person { by: "test".to_owned() };
    run_spec(
        *workflow,
        &Library::default(),
        &Site::default(),
        &Overrides::default(),
        &identity,
        cause,
        Still.now(),
    )
    .expect("a good spec")
}

#[tokio::test]
async fn a_lock_goes_from_run_to_run_by_priority() {
    let scene = Scene::new();
    scene.limit("1");
    let mut owner = scene.owner();
    for (uid, priority) in [("a", 0), ("b", 0), ("c", 5)] {
        owner.submit(&locked(uid, priority)).await.unwrap();
    }
    assert_eq!(scene.ran(), ["a"]);
    scene.end(&mut owner, "a").await;
    assert_eq!(scene.ran(), ["a", "c"]);
    scene.end(&mut owner, "c").await;
    scene.end(&mut owner, "b").await;
    assert_eq!(scene.ran(), ["a", "c", "b"]);
    assert_eq!(scene.store.live_runs().await.unwrap(), []);
}

#[tokio::test]
async fn a_limit_that_was_raised_is_picked_up_and_one_that_is_no_number_fails_the_step() {
    let scene = Scene::new();
    scene.limit("1");
    let mut owner = scene.owner();
    for uid in ["a", "b"] {
        owner.submit(&locked(uid, 0)).await.unwrap();
    }
    assert_eq!(scene.ran(), ["a"]);
    scene.limit("");
    owner.retry().await.unwrap();
    assert_eq!(scene.ran(), ["a"], "while it is held the last known limit stands");
    scene.limit("2\n");
    owner.retry().await.unwrap();
    assert_eq!(scene.ran(), ["a", "b"]);
    for uid in ["a", "b"] {
        scene.end(&mut owner, uid).await;
    }
    scene.limit("0");
    owner.submit(&locked("c", 0)).await.unwrap();
    let entries = scene.store.entries(None).await.unwrap();
    let failed = entries.iter().find(|e| e.uid.as_str() == "c").unwrap();
    let why = "error in entry template execution: failed to initialize semaphore default/ConfigMap/limits/gpu with limit";
    assert_eq!((failed.phase, failed.message.as_str()), (RunPhase::Error, why));
}

#[tokio::test]
async fn the_next_owner_finds_who_holds_and_who_waits_and_a_holder_that_is_gone_holds_nothing() {
    let scene = Scene::new();
    scene.limit("1");
    let mut first = scene.owner();
    for uid in ["a", "b"] {
        first.submit(&locked(uid, 0)).await.unwrap();
    }
    drop(first);
    let mut second = scene.owner();
    second.adopt(&"b".into()).await.unwrap();
    assert!(scene.ran().iter().all(|run| run == "a"), "a is live and holds the lock: {:?}", scene.ran());
    // As if somebody had deleted it.
    let end = scene.store.load_run(&"a".into()).await.unwrap().position;
    scene.store.unmark_live(&"a".into(), end).await.unwrap();
    second.retry().await.unwrap();
    assert_eq!(scene.ran().last().map(String::as_str), Some("b"));
}
