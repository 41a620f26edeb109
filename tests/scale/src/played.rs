//! One run from its birth to its end, as the owner of runs drives it; steps take no time and do nothing.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::owner::{Ends, Look, Owner};
use dropforge_driver::store::{RunStore, StoreError};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::AttemptId;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_queue::local::LocalTimers;

/// As many as a function takes from its queue at once.
const BATCH: usize = 10;
/// As many as a loop may have.
const ITEMS_MAX: usize = 1_000_000;
const NAMESPACE: &str = "default";

/// A loop of `steps` steps, a hundred side by side; a second loop comes after the first where one may not have so many.
fn manifest(steps: usize) -> String {
    let loops = (0..steps.div_ceil(ITEMS_MAX)).map(|number| {
        let count = ITEMS_MAX.min(steps - number * ITEMS_MAX);
        format!("    - - {{name: loop{number}, template: leaf, withSequence: {{count: {count}}}}}\n")
    });
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: scale}}\nspec:\n  entrypoint: main\n  \
         parallelism: 100\n  templates:\n  - {{name: leaf, container: {{image: \"busybox:1\", command: [\"true\"]}}}}\n  \
         - name: main\n    steps:\n{}",
        loops.collect::<String>()
    )
}

fn spec(steps: usize) -> Result<RunSpec, Box<dyn Error>> {
    let parsed = parse("scale", &manifest(steps));
    let Some(AnyObject::Workflow(workflow)) = parsed.documents.into_iter().next().map(|d| d.object) else {
        return Err("the manifest holds no workflow".into());
    };
    let identity = Identity { uid: "scale".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "scale".to_owned() };
    let (library, site, overrides) = (Library::default(), Site::default(), Overrides::default());
    Ok(run_spec(*workflow, &library, &site, &overrides, &identity, cause, SystemClock.now())?)
}

/// Remembers what it was asked to start.
#[derive(Default)]
struct Started(Mutex<VecDeque<AttemptId>>);

impl Started {
    fn take(&self, at_most: usize) -> Vec<AttemptId> {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = at_most.min(started.len());
        started.drain(..count).collect()
    }
}

impl Cluster for Started {
    async fn start(&self, _: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(attempt.id.clone());
        Ok(None)
    }

    async fn stop(&self, _: &RunSpec, _: &AttemptId, _: &str) -> Result<(), ClusterError> {
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

/// Plays a run of `steps` steps: each is claimed and judged in the store as a pod does it, and rings.
pub async fn play<S: RunStore>(store: Arc<S>, steps: usize) -> Result<(), Box<dyn Error>> {
    let spec = spec(steps)?;
    let cluster = Arc::new(Started::default());
    let watcher = Box::new(|_: &_, _: &[_], _| {});
    let timers = LocalTimers::default();
    let mut owner = Owner::new(store.clone(), cluster.clone(), timers.clone(), Nothing, SystemClock, watcher);
    owner.submit(&spec).await?;
    let mut played = 0;
    loop {
        let attempts = cluster.take(BATCH);
        let due = timers.take_due(SystemClock.now()).into_iter().map(|(_, timer)| Look::Timer(timer));
        let mut looks: Vec<Look> = due.collect();
        if attempts.is_empty() && looks.is_empty() {
            break;
        }
        for attempt in &attempts {
            store.claim(NAMESPACE, attempt, "nonce").await?;
            let (outcome, reason) = (Outcome::Succeeded, Reason::Exited);
            let verdict = Verdict::without_outputs(attempt.clone(), outcome, reason, "", SystemClock.now());
            store.put_verdict(NAMESPACE, &verdict).await?;
        }
        played += attempts.len();
        looks.extend(attempts.into_iter().map(Look::Attempt));
        owner.ring(&spec.uid, &looks).await?;
    }
    let phase = store.entries(None).await?.first().map(|entry| entry.phase);
    if played == steps && phase == Some(RunPhase::Succeeded) {
        return Ok(());
    }
    Err(format!("the run ended {phase:?} after {played} of {steps} steps").into())
}
