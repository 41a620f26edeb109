//! Several owners on one store, as functions are: raced, killed, told twice, told late.

mod faulty;
mod listening;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::clock::Clock;
use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::doorbells::Ring;
use dropforge_driver::locks::keep;
use dropforge_driver::owner::{Ends, Look, Others, OwnError, Owner};
use dropforge_driver::store::{Attempts, Created, Documents, Inbox, Index, Runs, StoreError};
use dropforge_driver::timers::Timers;
use dropforge_engine::apply::apply;
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::effect::{Effect, TimerId};
use dropforge_engine::event::{Command, Event, RetryOptions, Verb};
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::lock::LockName;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::{AnyObject, parse};
use faulty::FaultyStore;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// What all owners share: the store, the pods, the messages on their way, the time.
#[derive(Default)]
struct World {
    store: FaultyStore,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Pods that were made and have not ended.
    pods: BTreeSet<AttemptId>,
    /// How often each command was started.
    executed: BTreeMap<AttemptId, u32>,
    /// How often a pod was asked for.
    asked: u32,
    /// Templates whose attempts find no room.
    full: BTreeSet<String>,
    /// Of how many attempts without a pod one look tells; none: of all.
    sought_max: Option<usize>,
    /// There is room for all of them once pods that have ended are removed.
    room_by_tidying: bool,
    /// The next call of the cluster never returns: whoever made it is killed.
    kills: bool,
    /// How often a timer was set.
    set: u32,
    /// Timers can't be set.
    unsettable: bool,
    timers: BTreeSet<(RunUid, TimerId)>,
    roused: Vec<RunUid>,
    rung: Vec<Ring>,
    told: Vec<RunPhase>,
    seconds: i64,
}

impl World {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("not poisoned")
    }

    fn now(&self) -> Timestamp {
        let since = SignedDuration::from_secs(self.inner().seconds);
        Timestamp::from_second(1_790_000_000).expect("a moment of this century") + since
    }

    /// Lets a pod run to its end: claim, command, verdict. Gives whether it executed.
    fn run_pod(&self, id: &AttemptId, outcome: Outcome) -> bool {
        self.inner().pods.remove(id);
        let nonce = format!("pod-{}", self.inner().asked);
        if now(self.store.claim("default", id, &nonce)).expect("a memory store") == Created::Exists {
            return false;
        }
        *self.inner().executed.entry(id.clone()).or_default() += 1;
        let verdict = Verdict::without_outputs(id.clone(), outcome, Reason::Exited, "", self.now());
        now(self.store.put_verdict("default", &verdict)).expect("a memory store");
        true
    }
}

#[derive(Clone, Default)]
struct Handle(Arc<World>);

impl Clock for Handle {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Cluster for Handle {
    const STARTS_AT_ONCE: usize = 4;
    const STARTS_AGAIN: bool = false;

    async fn start(&self, _: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        if std::mem::take(&mut self.0.inner().kills) {
            std::future::pending::<()>().await;
        }
        let mut inner = self.0.inner();
        inner.asked += 1;
        if inner.full.contains(&attempt.work.template.name) {
            let why = format!("no room for {}", attempt.id);
            return Ok(Some(Event::AttemptWaiting { attempt: attempt.id.clone(), why }));
        }
        inner.pods.insert(attempt.id.clone());
        Ok(None)
    }

    async fn stop(&self, spec: &RunSpec, attempt: &AttemptId, why: &str) -> Result<(), ClusterError> {
        self.0.inner().pods.remove(attempt);
        let stopped =
            Verdict::without_outputs(attempt.clone(), Outcome::Failed, Reason::Stopped, why, self.now());
        now(self.0.store.claim(spec.namespace(), attempt, "stop")).expect("a memory store");
        now(self.0.store.put_verdict(spec.namespace(), &stopped)).expect("a memory store");
        Ok(())
    }

    async fn observe(&self, spec: &RunSpec, attempts: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        let (mut events, mut unseen) = (Vec::new(), BTreeSet::new());
        let sought_max = self.0.inner().sought_max.unwrap_or(usize::MAX);
        let mut sought = 0;
        for attempt in attempts {
            let id = attempt.id.clone();
            match now(self.0.store.verdict(spec.namespace(), &id)).expect("a memory store") {
                Some(verdict) => events.push(Event::AttemptFinished { verdict: Arc::new(verdict) }),
                None if self.0.inner().pods.contains(&id) => {
                    events.push(Event::AttemptRunning { attempt: id, at: self.now(), host: None });
                }
                None if sought == sought_max => drop(unseen.insert(id)),
                None => sought += 1,
            }
        }
        Ok(Observed { events, unseen })
    }

    async fn tidy(&self, _: &RunSpec, _: &[AttemptId]) -> Result<(), ClusterError> {
        let mut inner = self.0.inner();
        if inner.room_by_tidying {
            inner.full.clear();
        }
        Ok(())
    }

    async fn config(&self, _: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        Ok(None)
    }
}

impl Timers for Handle {
    async fn set(&self, run: &RunUid, timer: &TimerId, _: Timestamp) -> Result<(), StoreError> {
        let mut inner = self.0.inner();
        if inner.unsettable {
            let key = timer.to_string();
            return Err(StoreError::Io { action: "set", key, source: std::io::Error::other("a test") });
        }
        inner.set += 1;
        inner.timers.insert((run.clone(), timer.clone()));
        Ok(())
    }

    async fn rouse(&self, run: &RunUid) -> Result<(), StoreError> {
        self.0.inner().roused.push(run.clone());
        Ok(())
    }
}

impl Ends for Handle {
    async fn ended(&self, _: &RunSpec, phase: RunPhase) -> Result<(), StoreError> {
        self.0.inner().told.push(phase);
        Ok(())
    }

    async fn remove_artifacts(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_volumes(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }
}

type Function = Owner<FaultyStore, Handle, Handle, Handle, Handle>;

impl Handle {
    fn function(&self) -> Function {
        let store = Arc::new(self.0.store.clone());
        let watcher = Box::new(|_: &_, _: &[_], _| {});
        Owner::new(store, Arc::new(self.clone()), self.clone(), self.clone(), self.clone(), watcher)
            .beside(Others::Many)
    }

    fn born(&self, text: &str, uid: &str) -> RunUid {
        let spec = spec(text, uid, self.now());
        now(self.0.store.create_run(&spec)).expect("a memory store");
        spec.uid
    }

    /// What a sweep would make of a run: its state, folded from the journal alone.
    fn state(&self, run: &RunUid) -> RunState {
        let loaded = now(self.0.store.load_run(run)).expect("it is there");
        let mut state = RunState::new(Arc::new(Program::compile(loaded.spec).expect("it compiles")));
        loaded.records.iter().for_each(|record| apply(&mut state, record));
        state
    }

    fn pods(&self) -> Vec<AttemptId> {
        self.0.inner().pods.iter().cloned().collect()
    }

    fn executed(&self) -> Vec<u32> {
        self.0.inner().executed.values().copied().collect()
    }
}

fn spec(text: &str, uid: &str, now: Timestamp) -> RunSpec {
    let Some(AnyObject::Workflow(workflow)) = parse("t", text).documents.into_iter().next().map(|d| d.object)
    else {
        panic!("no workflow");
    };
    let identity = Identity { uid: uid.into(), suffix: uid.to_owned() };
    let (library, site, overrides) = (Library::default(), Site::default(), Overrides::default());
    let cause = Cause::Person { by: "test".to_owned() };
    run_spec(*workflow, &library, &site, &overrides, &identity, cause, now).expect("a good spec")
}

/// What a future gives that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    killed(future).expect("it waits for nothing")
}

/// The same, or none where it waits: then whoever waits is killed there.
fn killed<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(given) => Some(given),
        Poll::Pending => None,
    }
}

const ONE: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: wf-}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox}\n";

const WIDE: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: wf-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: step, withSequence: {count: 3}}
      - {name: b, template: step}
      - {name: c, template: step, dependencies: [a]}
      - {name: wait, template: nap, dependencies: [b]}
      - {name: d, template: step, dependencies: [b, c, wait]}
  - name: nap
    suspend: {duration: 10}
  - name: step
    retryStrategy: {limit: 100}
    container: {image: busybox}
";

/// Two kinds of steps, which differ in what they need.
const KINDS: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: wf-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: large, withSequence: {count: 50}}
      - {name: b, template: small, withSequence: {count: 2}}
  - name: large
    container: {image: busybox, resources: {limits: {nvidia.com/gpu: 8}}}
  - name: small
    container: {image: busybox}
";

const NAPS: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: wf-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: nap, withSequence: {count: 3}}
  - name: nap
    suspend: {duration: 600}
";

/// Steps that succeed at last: a, a, a, b, c and d.
const STEPS: u32 = 6;

#[test]
fn who_lost_a_race_decides_again_on_what_the_other_committed() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let (mut first, mut second) = (world.function(), world.function());
    now(first.ring(&run, &[Look::Everything])).unwrap();
    now(second.ring(&run, &[Look::Everything])).unwrap();
    let pods = world.pods();
    assert_eq!(pods.len(), 4);
    for pod in &pods {
        world.0.run_pod(pod, Outcome::Succeeded);
    }
    now(first.ring(&run, &[Look::Attempt(pods[0].clone())])).unwrap();
    let conflicts = world.0.store.conflicts();
    now(second.ring(&run, &[Look::Attempt(pods[1].clone())])).unwrap();
    assert_eq!(world.0.store.conflicts(), conflicts + 1, "the second did not know of the first's commit");
    now(first.ring(&run, &[Look::Attempt(pods[2].clone()), Look::Attempt(pods[3].clone())])).unwrap();
    assert_eq!(world.pods().len(), 1, "c was started by the one that learned of all of a");
    assert_eq!(world.executed(), [1; 4]);
}

#[test]
fn a_look_starts_what_a_call_has_time_for_and_the_next_one_goes_on() {
    let world = Handle::default();
    let mut spec = spec(&KINDS.replace("count: 50", "count: 500"), "u", world.now());
    spec.settings.starts_per_decision_max = 1000;
    now(world.0.store.create_run(&spec)).unwrap();
    let mut looks = Vec::new();
    for _ in 0..4 {
        let mut function = world.function();
        now(function.ring(&spec.uid, &[Look::Everything])).unwrap();
        looks.push((world.pods().len(), function.take_unperformed().len()));
    }
    assert_eq!(looks, [(200, 1), (400, 1), (502, 0), (502, 0)], "pods, and whether more is to be done");
}

#[test]
fn what_began_in_a_commit_that_a_warm_function_has_not_seen_is_not_lost_on_it() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let (mut warm, mut other) = (world.function(), world.function());
    now(warm.ring(&run, &[Look::Everything])).unwrap();
    let first = world.pods();
    world.0.run_pod(&first[0], Outcome::Failed);
    now(other.ring(&run, &[Look::Attempt(first[0].clone())])).unwrap();
    let again = world.pods().into_iter().find(|pod| !first.contains(pod)).expect("a second try");
    world.0.run_pod(&again, Outcome::Succeeded);
    now(warm.ring(&run, &[Look::Attempt(again.clone())])).unwrap();
    assert!(world.state(&run).outbox.attempt(&again).is_none(), "its end is on record");
}

#[test]
fn who_loses_every_race_says_so_and_keeps_nothing_and_nothing_is_lost() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let mut function = world.function();
    world.0.store.lose(u32::MAX);
    let lost = now(function.ring(&run, &[Look::Everything]));
    assert!(matches!(lost, Err(OwnError::Contended { .. })), "{lost:?}");
    assert!(function.run(&run).is_none());
    assert_eq!(world.pods(), []);
    world.0.store.lose(0);
    now(function.ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.pods().len(), 1);
}

#[test]
fn who_is_killed_between_commit_and_effect_is_made_good_by_the_next_look_at_everything() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    world.0.inner().kills = true;
    assert!(killed(world.function().ring(&run, &[Look::Everything])).is_none(), "it is killed");
    assert_eq!(world.pods().len() + 1, 4, "of four starts one was never made");
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.pods().len(), 4);
    assert_eq!(world.0.inner().asked, 4, "and those that were made were not made again");
}

#[test]
fn a_run_that_has_had_its_time_is_ended_by_the_next_look_at_everything() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let look = || now(world.function().ring(&run, &[Look::Everything])).unwrap();
    look();
    world.0.inner().seconds += 365 * 24 * 3600 - 1;
    look();
    assert!(!world.state(&run).phase.completed());
    world.0.inner().seconds += 1;
    look();
    assert_eq!((world.state(&run).phase, world.pods()), (RunPhase::Error, vec![]));
    look();
    assert_eq!(now(world.0.store.live_runs()).unwrap(), [], "what was stopped has its verdict");
}

#[test]
fn an_attempt_that_is_asked_to_end_before_it_was_started_is_never_started() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    world.0.inner().kills = true;
    assert!(killed(world.function().ring(&run, &[Look::Everything])).is_none(), "it is killed");
    let verb = Verb::Stop { message: None };
    let stop = Command { id: "c".into(), by: "test".to_owned(), at: world.now(), verb };
    now(world.0.store.put_command(&run, &stop)).unwrap();
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.0.inner().asked, 0);
    assert_eq!(world.state(&run).phase, RunPhase::Failed);
}

#[test]
fn a_batch_of_doorbells_costs_one_load_and_one_commit() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    let looks: Vec<Look> = world.pods().into_iter().map(Look::Attempt).collect();
    for pod in world.pods() {
        world.0.run_pod(&pod, Outcome::Succeeded);
    }
    let before = world.0.store.counted();
    let mut function = world.function();
    now(function.ring(&run, &looks)).unwrap();
    let after = world.0.store.counted();
    assert_eq!((after.loads - before.loads, after.commits - before.commits), (1, 1));
    // A warm function has what it needs.
    for pod in world.pods() {
        world.0.run_pod(&pod, Outcome::Succeeded);
        now(function.ring(&run, &[Look::Attempt(pod)])).unwrap();
    }
    let warm = world.0.store.counted();
    assert_eq!((warm.loads - after.loads, warm.tails - after.tails, warm.commits - after.commits), (0, 0, 1));
}

#[test]
fn a_command_that_its_doorbell_names_is_read_without_a_list_of_the_inbox() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let mut function = world.function();
    now(function.ring(&run, &[Look::Everything])).unwrap();
    let suspend = Command { id: "c".into(), by: "test".to_owned(), at: world.now(), verb: Verb::Suspend };
    now(world.0.store.put_command(&run, &suspend)).unwrap();
    let before = world.0.store.counted();
    now(function.ring(&run, &[Look::Command("c".into())])).unwrap();
    assert!(world.state(&run).suspended);
    assert_eq!(world.0.store.counted().inboxes, before.inboxes);
    assert_eq!(now(world.0.store.commands(&run)).unwrap(), []);
}

#[test]
fn a_command_that_is_heard_of_before_its_run_begins_is_kept_for_who_begins_it() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let suspend = Command { id: "c".into(), by: "test".to_owned(), at: world.now(), verb: Verb::Suspend };
    now(world.0.store.put_command(&run, &suspend)).unwrap();
    now(world.function().ring(&run, &[Look::Command("c".into())])).unwrap();
    assert_eq!(now(world.0.store.commands(&run)).unwrap(), [suspend]);
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert!(world.state(&run).suspended);
    assert_eq!(now(world.0.store.commands(&run)).unwrap(), []);
}

#[test]
fn two_functions_that_read_one_retry_open_the_run_once() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let mut first = world.function();
    now(first.ring(&run, &[Look::Everything])).unwrap();
    let pod = world.pods()[0].clone();
    world.0.run_pod(&pod, Outcome::Failed);
    now(first.ring(&run, &[Look::Attempt(pod)])).unwrap();
    assert_eq!(now(world.0.store.live_runs()).unwrap(), []);
    let retry = |id: &str| {
        let verb = Verb::Retry(RetryOptions::default());
        Command { id: id.into(), by: "test".to_owned(), at: world.now(), verb }
    };
    now(world.0.store.put_command(&run, &retry("c-1"))).unwrap();
    now(world.0.store.put_command(&run, &retry("c-2"))).unwrap();
    let mut second = world.function();
    now(first.ring(&run, &[Look::Command("c-1".into())])).unwrap();
    now(second.ring(&run, &[Look::Command("c-1".into()), Look::Command("c-2".into())])).unwrap();
    assert_eq!(world.state(&run).generation, 1);
    assert_eq!(world.pods().len(), 1);
    assert_eq!(now(world.0.store.live_runs()).unwrap(), [run]);
}

#[test]
fn a_timer_that_fires_early_is_set_again() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let mut function = world.function();
    now(function.ring(&run, &[Look::Everything])).unwrap();
    for pod in world.pods() {
        world.0.run_pod(&pod, Outcome::Succeeded);
        now(function.ring(&run, &[Look::Attempt(pod)])).unwrap();
    }
    let timer = world.0.inner().timers.pop_first().expect("the nap has one").1;
    now(function.ring(&run, &[Look::Timer(timer.clone())])).unwrap();
    assert_eq!(world.0.inner().timers.first().map(|(_, timer)| timer), Some(&timer));
    world.0.inner().seconds += 10;
    now(function.ring(&run, &[Look::Timer(timer.clone())])).unwrap();
    now(function.ring(&run, &[Look::Timer(timer)])).unwrap();
    let waits = |effect: &Arc<Effect>| matches!(&**effect, Effect::SetTimer { .. });
    assert!(!world.state(&run).outbox.values().any(waits), "it has fired once");
}

#[test]
fn a_timer_is_not_delayed_by_how_far_the_last_functions_clock_was_ahead() {
    let world = Handle::default();
    let run = world.born(NAPS, "u");
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    let timers: BTreeSet<_> = world.0.inner().timers.clone();
    world.0.inner().seconds -= 3600;
    let mut behind = world.function();
    let fire = |function: &mut Function| {
        for (run, timer) in &timers {
            now(function.ring(run, &[Look::Timer(timer.clone())])).unwrap();
        }
    };
    fire(&mut behind);
    assert_eq!(world.0.inner().told, []);
    world.0.inner().seconds += 660;
    fire(&mut behind);
    assert_eq!(world.0.inner().told, [RunPhase::Succeeded]);
}

#[test]
fn starts_that_the_cluster_refuses_do_not_stand_before_the_others_for_ever() {
    let world = Handle::default();
    let kinds = KINDS.replace("count: 50", "count: 500").replace("count: 2", "count: 20");
    let mut spec = spec(&kinds, "u", world.now());
    spec.settings.starts_per_decision_max = 1000;
    now(world.0.store.create_run(&spec)).unwrap();
    world.0.inner().full.insert("large".to_owned());
    for _ in 0..3 {
        now(world.function().ring(&spec.uid, &[Look::Everything])).unwrap();
        world.0.inner().seconds += 60;
    }
    assert_eq!(world.pods().len(), 20, "all that are small, wherever they stand among the large ones");
}

#[test]
fn of_many_attempts_that_were_never_started_each_look_starts_those_that_it_looked_for() {
    let world = Handle::default();
    let run = world.born(KINDS, "u");
    world.0.inner().full = ["large".to_owned(), "small".to_owned()].into();
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.pods().len(), 0);
    {
        let mut inner = world.0.inner();
        inner.full.clear();
        (inner.asked, inner.sought_max) = (0, Some(20));
    }
    let mut asked = Vec::new();
    let mut function = world.function();
    let mut partial = true;
    while partial {
        now(function.ring(&run, &[Look::Everything])).unwrap();
        partial = !function.take_unperformed().is_empty();
        asked.push(world.0.inner().asked);
    }
    assert_eq!((asked, world.pods().len()), (vec![20, 40, 52], 52), "none is asked for twice");
}

#[test]
fn where_one_attempt_finds_no_room_those_that_need_the_same_are_not_tried() {
    let world = Handle::default();
    let run = world.born(KINDS, "u");
    world.0.inner().full.insert("large".to_owned());
    let mut function = world.function();
    now(function.ring(&run, &[Look::Everything])).unwrap();
    let asked = world.0.inner().asked;
    assert_eq!((asked, world.pods().len()), (3, 2), "one of 50, and both that are small");
    assert_eq!(function.take_unperformed(), [run.clone()].into());
    world.0.inner().full.clear();
    now(function.ring(&run, &[Look::Everything])).unwrap();
    assert_eq!((world.pods().len(), function.take_unperformed()), (52, BTreeSet::new()));
}

#[test]
fn a_look_at_everything_sets_no_timer_again_that_somebody_has_set() {
    let world = Handle::default();
    let run = world.born(NAPS, "u");
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.0.inner().set, 3);
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.0.inner().set, 3);
}

#[test]
fn who_could_not_set_a_timer_sets_it_at_the_next_look_and_of_another_it_is_made_up_for_when_it_is_due() {
    let world = Handle::default();
    let run = world.born(NAPS, "u");
    world.0.inner().unsettable = true;
    let mut function = world.function();
    now(function.ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(function.take_unperformed(), [run.clone()].into());
    world.0.inner().unsettable = false;
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.0.inner().set, 0, "another does not know");
    now(function.ring(&run, &[Look::Everything])).unwrap();
    now(function.ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.0.inner().set, 3, "this one does, and sets them once");
    world.0.inner().seconds += 600;
    now(world.function().ring(&run, &[Look::Everything])).unwrap();
    assert_eq!(world.state(&run).phase, RunPhase::Succeeded, "whatever became of the timers");
}

#[test]
fn the_sweep_passes_over_a_lock_that_cannot_be_read_and_removes_what_is_left_of_others() {
    let world = Handle::default();
    let put = |key: &str, text: &str| {
        now(world.0.store.swap(key, None, text.as_bytes())).unwrap();
    };
    let lock = |name: &str, holders: &str| {
        let mutex = LockName::Mutex { namespace: "ml".to_owned(), name: name.to_owned() };
        let lock = serde_json::to_string(&mutex).unwrap();
        let text = format!(r#"{{"format":1,"lock":{lock},"limit":1,"holders":[{holders}]}}"#);
        put(&keep::key(&mutex), &text);
    };
    put("locks/ml/mutex-a.json", "damaged");
    lock("b", "");
    lock("c", r#"{"run":"over","key":"k","createdAt":"2026-01-01T00:00:00Z"}"#);
    for n in 0..40 {
        lock(&format!("d-{n}"), "");
    }
    assert_eq!(now(keep::sweep(&world.0.store)).unwrap(), []);
    assert_eq!(now(world.0.store.keys("locks/")).unwrap(), ["locks/ml/mutex-a.json"]);
}

#[test]
fn a_slow_function_does_not_undo_what_the_run_list_shows() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let mut slow = world.function();
    now(slow.ring(&run, &[Look::Everything])).unwrap();
    let running = now(world.0.store.entries(None)).unwrap().remove(0);
    let pod = world.pods()[0].clone();
    world.0.run_pod(&pod, Outcome::Succeeded);
    now(world.function().ring(&run, &[Look::Attempt(pod)])).unwrap();
    now(world.0.store.put_entry(&running)).unwrap();
    assert_eq!(now(world.0.store.entries(None)).unwrap()[0].phase, RunPhase::Succeeded);
}

/// One thing that happens in a world of three functions.
#[derive(Clone, Debug)]
enum Step {
    /// A function takes a message, which stays to be delivered again where `twice`.
    Deliver { function: usize, message: usize, twice: bool },
    /// The same, with what else it takes, and it is killed at its next start of a pod.
    Kill { function: usize, message: usize },
    /// A pod comes to its end, and rings unless its doorbell is lost.
    End { pod: usize, fails: bool, rings: bool },
    /// The sweep rings.
    Sweep,
    /// Commits are lost to nobody.
    Lose(u32),
    /// Time goes by.
    Later(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3usize, any::<usize>(), any::<bool>())
            .prop_map(|(function, message, twice)| Step::Deliver { function, message, twice }),
        1 => (0..3usize, any::<usize>()).prop_map(|(function, message)| Step::Kill { function, message }),
        5 => (any::<usize>(), prop::bool::weighted(0.2), prop::bool::weighted(0.7))
            .prop_map(|(pod, fails, rings)| Step::End { pod, fails, rings }),
        1 => Just(Step::Sweep),
        1 => (1..3u32).prop_map(Step::Lose),
        1 => (1..20i64).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 0..80)
}

struct Simulation {
    world: Handle,
    run: RunUid,
    functions: Vec<Function>,
    messages: Vec<Look>,
}

impl Simulation {
    fn new() -> Simulation {
        let world = Handle::default();
        let run = world.born(WIDE, "u");
        let functions = (0..3).map(|_| world.function()).collect();
        Simulation { world, run, functions, messages: vec![Look::Everything] }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Deliver { function, message, twice } => self.deliver(*function, *message, *twice),
            Step::Kill { function, message } => {
                self.world.0.inner().kills = true;
                self.deliver(*function, *message, true);
                self.world.0.inner().kills = false;
            }
            Step::End { pod, fails, rings } => self.end(*pod, *fails, *rings),
            Step::Sweep => self.messages.push(Look::Everything),
            Step::Lose(times) => self.world.0.store.lose(*times),
            Step::Later(seconds) => self.world.0.inner().seconds += seconds,
        }
    }

    fn deliver(&mut self, function: usize, message: usize, twice: bool) {
        if self.messages.is_empty() {
            return;
        }
        let at = message % self.messages.len();
        let look = if twice { self.messages[at].clone() } else { self.messages.remove(at) };
        match killed(self.functions[function].ring(&self.run, &[look])) {
            Some(Err(OwnError::Contended { .. })) => self.messages.push(Look::Everything),
            Some(outcome) => outcome.expect("the store works"),
            None => self.functions[function] = self.world.function(),
        }
        let timers = std::mem::take(&mut self.world.0.inner().timers);
        self.messages.extend(timers.into_iter().map(|(_, timer)| Look::Timer(timer)));
    }

    fn end(&mut self, pod: usize, fails: bool, rings: bool) {
        let pods = self.world.pods();
        if pods.is_empty() {
            return;
        }
        let pod = pods[pod % pods.len()].clone();
        self.world.0.run_pod(&pod, if fails { Outcome::Failed } else { Outcome::Succeeded });
        if rings {
            self.messages.push(Look::Attempt(pod));
        }
    }

    /// The faults are over: sweeps and pods go on until the run has ended.
    fn finish(&mut self) {
        for _ in 0..100 {
            self.world.0.inner().seconds += 60;
            for pod in self.world.pods() {
                self.world.0.run_pod(&pod, Outcome::Succeeded);
            }
            self.messages.push(Look::Everything);
            for message in 0..self.messages.len() {
                self.deliver(message % 3, 0, false);
            }
            if self.world.state(&self.run).done() && self.world.pods().is_empty() {
                return;
            }
        }
        panic!("the run does not end: {:?}", self.world.state(&self.run).outbox);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn functions_that_race_die_and_are_told_twice_lose_nothing_and_execute_nothing_twice(steps in steps()) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.step(step);
        }
        simulation.finish();
        let world = &simulation.world;
        let state = world.state(&simulation.run);
        prop_assert_eq!(state.phase, RunPhase::Succeeded);
        prop_assert!(world.executed().iter().all(|times| *times == 1), "{:?}", world.0.inner().executed);
        let records = now(world.0.store.load_run(&simulation.run)).unwrap().records;
        let succeeded = records.iter().filter(|record| ended_well(record)).count();
        prop_assert_eq!(succeeded, STEPS as usize);
        prop_assert_eq!(now(world.0.store.live_runs()).unwrap(), vec![]);
        prop_assert_eq!(now(world.0.store.entries(None)).unwrap()[0].phase, RunPhase::Succeeded);
        // Once more, and nothing is left to do.
        let asked = world.0.inner().asked;
        let commits = world.0.store.counted().commits;
        now(world.function().ring(&simulation.run, &[Look::Everything])).unwrap();
        prop_assert_eq!(world.0.inner().asked, asked);
        prop_assert_eq!(world.0.store.counted().commits, commits);
    }
}

fn ended_well(record: &Record) -> bool {
    matches!(record, Record::AttemptEnded { verdict } if verdict.outcome == Outcome::Succeeded)
}
