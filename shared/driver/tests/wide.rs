//! Loops of several thousand items on a memory store: more than one piece of everything that is kept in pieces.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::owner::{Ends, Look, Owner};
use dropforge_driver::store::{Attempts, Inbox, Index, Runs, StoreError};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::{Command, Event, RetryOptions, Verb};
use dropforge_engine::ids::AttemptId;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::snapshot::apart::apart;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_queue::local::LocalTimers;
use dropforge_storage::memory::MemoryStore;

const ITEMS: usize = 5000;

/// Remembers what is to run, and how often each item's step ran.
#[derive(Default)]
struct Played {
    waiting: Mutex<VecDeque<Arc<Attempt>>>,
    stopping: Mutex<BTreeSet<AttemptId>>,
}

impl Cluster for Played {
    async fn start(&self, _: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        self.waiting.lock().unwrap().push_back(attempt);
        Ok(None)
    }

    async fn stop(&self, _: &RunSpec, attempt: &AttemptId, _: &str) -> Result<(), ClusterError> {
        self.stopping.lock().unwrap().insert(attempt.clone());
        Ok(())
    }

    async fn observe(&self, _: &RunSpec, _: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        Ok(Observed::default())
    }

    async fn config(&self, _: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        Ok(None)
    }
}

struct Nothing;

impl Ends for Nothing {
    async fn ended(&self, _: &RunSpec, _: RunPhase) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_artifacts(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_volumes(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Scene {
    store: Arc<MemoryStore>,
    cluster: Arc<Played>,
    owner: Owner<MemoryStore, Played, LocalTimers, Nothing, SystemClock>,
    spec: RunSpec,
    /// How often a step of each item ran.
    ran: BTreeMap<String, usize>,
    /// The most that ran side by side.
    most: usize,
}

impl Scene {
    async fn new(bounds: &str) -> Scene {
        let (store, cluster) = (Arc::new(MemoryStore::new()), Arc::new(Played::default()));
        let watcher = Box::new(|_: &_, _: &[_], _| {});
        let timers = LocalTimers::default();
        let mut owner = Owner::new(store.clone(), cluster.clone(), timers, Nothing, SystemClock, watcher);
        let spec = spec(bounds);
        owner.submit(&spec).await.unwrap();
        Scene { store, cluster, owner, spec, ran: BTreeMap::new(), most: 0 }
    }

    /// Ends at most `count` steps, the first of ten and the last of them first; a step gives its item's number and fails where
    /// `fails` says so.
    async fn play(&mut self, count: usize, fails: impl Fn(usize) -> bool) {
        let mut left = count;
        while left > 0 {
            let mut batch: Vec<Arc<Attempt>> = {
                let mut waiting = self.cluster.waiting.lock().unwrap();
                self.most = self.most.max(waiting.len());
                let size = waiting.len().min(10).min(left);
                waiting.drain(..size).collect()
            };
            if batch.is_empty() {
                return;
            }
            left -= batch.len();
            batch.reverse();
            for attempt in &batch {
                *self.ran.entry(attempt.node_name.clone()).or_default() += 1;
                let index = index_of(&attempt.node_name);
                let outcome = if fails(index) { Outcome::Failed } else { Outcome::Succeeded };
                let now = SystemClock.now();
                let mut verdict =
                    Verdict::without_outputs(attempt.id.clone(), outcome, Reason::Exited, "", now);
                verdict.outputs.result = Some((index + 7).to_string());
                self.store.put_verdict("default", &verdict).await.unwrap();
            }
            let looks: Vec<Look> = batch.iter().map(|attempt| Look::Attempt(attempt.id.clone())).collect();
            self.owner.ring(&self.spec.uid, &looks).await.unwrap();
        }
    }

    async fn say(&mut self, id: &str, verb: Verb) {
        let command = Command { id: id.into(), by: "test".to_owned(), at: SystemClock.now(), verb };
        self.store.put_command(&self.spec.uid, &command).await.unwrap();
        self.owner.adopt(&self.spec.uid).await.unwrap();
    }

    async fn phase(&self) -> RunPhase {
        self.store.entries(None).await.unwrap()[0].phase
    }

    /// The state as it is kept in parts, read back; and as the journal gives it.
    async fn is_kept_whole(&self) {
        let state = self.owner.run(&self.spec.uid).unwrap();
        let (snapshot, beside, texts) = apart(state);
        let text = serde_json::to_string(&snapshot).unwrap();
        assert!(text.len() < 300_000, "{} bytes", text.len());
        let texts = texts.iter().map(|text| (text.name().clone(), text.json().to_owned())).collect();
        let read: Snapshot = serde_json::from_str(&text).unwrap();
        let restored = beside.put_back(read, &texts).unwrap().restore(self.spec.clone()).unwrap();
        assert_eq!(kept(&restored), kept(state));
        let replayed = self.store.resume(&self.spec.uid).await.unwrap().state().unwrap();
        assert_eq!(kept(&replayed), kept(state));
    }
}

fn kept(state: &RunState) -> String {
    let (snapshot, beside, _) = apart(state);
    serde_json::to_string(&(snapshot, beside)).unwrap()
}

fn index_of(node: &str) -> usize {
    node.split(['(', ':']).nth(1).and_then(|index| index.parse().ok()).unwrap_or(0)
}

/// A loop, and a step that gets what all of its children gave.
fn spec(bounds: &str) -> RunSpec {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wf}}\nspec:\n  entrypoint: main\n  \
         templates:\n  - name: main\n    {bounds}\n    steps:\n    - - {{name: a, template: leaf, withSequence: {{count: \
         {ITEMS}}}}}\n    - - {{name: b, template: sum, withParam: '{{{{steps.a.outputs.result}}}}', when: '{{{{item}}}} == {}'}}\n  \
         - {{name: leaf, script: {{image: busybox, source: x, command: [sh]}}}}\n  - {{name: sum, container: {{image: busybox}}}}\n",
        ITEMS + 6
    );
    let Some(AnyObject::Workflow(workflow)) =
        parse("t", &text).documents.into_iter().next().map(|d| d.object)
    else {
        panic!("no workflow");
    };
    let identity = Identity { uid: "uid-1".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "test".to_owned() };
    let (library, site, overrides) = (Library::default(), Site::default(), Overrides::default());
    run_spec(*workflow, &library, &site, &overrides, &identity, cause, SystemClock.now()).unwrap()
}

#[tokio::test]
async fn a_loop_over_what_a_wide_loop_gave_has_its_results_in_their_order() {
    let mut scene = Scene::new("parallelism: 50").await;
    for _ in 0..5 {
        scene.play(ITEMS / 5 - 10, |_| false).await;
        scene.is_kept_whole().await;
        scene.owner.adopt(&scene.spec.uid.clone()).await.unwrap();
        // What is in the outbox is asked for again.
        let mut waiting = scene.cluster.waiting.lock().unwrap();
        let mut seen = BTreeSet::new();
        waiting.retain(|attempt| seen.insert(attempt.id.clone()));
    }
    scene.play(usize::MAX, |_| false).await;
    assert_eq!(scene.phase().await, RunPhase::Succeeded);
    assert!(scene.ran.values().all(|ran| *ran == 1) && scene.most == 50, "{} at once", scene.most);
    // Of the second loop's items only the last is what it asks for: the results came in the order of the list.
    let last = format!("wf[1].b({}:{})", ITEMS - 1, ITEMS + 6);
    let second: Vec<&String> = scene.ran.keys().filter(|name| name.starts_with("wf[1]")).collect();
    assert_eq!((second, scene.ran.len()), (vec![&last], ITEMS + 1));
}

#[tokio::test]
async fn a_stopped_run_goes_on_with_what_is_left_and_failed_items_alone_run_again() {
    let mut scene = Scene::new("parallelism: 50").await;
    scene.play(2000, |_| false).await;
    scene.say("stop", Verb::Stop { message: None }).await;
    scene.play(usize::MAX, |_| true).await;
    assert_eq!((scene.phase().await, scene.ran.len()), (RunPhase::Failed, 2050));
    scene.say("again", Verb::Retry(RetryOptions::default())).await;
    let before = std::mem::take(&mut scene.ran);
    scene.play(usize::MAX, |index| index % 1000 == 999).await;
    assert_eq!((scene.phase().await, scene.ran.len()), (RunPhase::Failed, ITEMS - 2000));
    assert!(scene.ran.keys().all(|name| !before.contains_key(name) || index_of(name) >= 1950));
    scene.ran.clear();
    scene.say("and again", Verb::Retry(RetryOptions::default())).await;
    scene.is_kept_whole().await;
    scene.play(usize::MAX, |_| false).await;
    let mut again: Vec<usize> =
        scene.ran.keys().filter(|name| name.starts_with("wf[0]")).map(|name| index_of(name)).collect();
    again.sort_unstable();
    assert_eq!(again, [2999, 3999, 4999]);
    assert_eq!(scene.phase().await, RunPhase::Succeeded);
}

#[tokio::test]
async fn with_fail_fast_a_wide_loop_starts_nothing_after_a_failure() {
    let mut scene = Scene::new("parallelism: 50\n    failFast: true").await;
    scene.play(usize::MAX, |index| index == 3000).await;
    assert_eq!(scene.phase().await, RunPhase::Failed);
    assert!((3001..3100).contains(&scene.ran.len()), "{} ran", scene.ran.len());
}

#[tokio::test]
async fn a_terminated_run_ends_every_step_that_runs() {
    let mut scene = Scene::new("parallelism: 50").await;
    scene.play(2500, |_| false).await;
    scene.say("end", Verb::Terminate).await;
    assert_eq!(scene.cluster.stopping.lock().unwrap().len(), 50);
    scene.play(usize::MAX, |_| true).await;
    assert_eq!((scene.phase().await, scene.ran.len()), (RunPhase::Failed, 2550));
}
