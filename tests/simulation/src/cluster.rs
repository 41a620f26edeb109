//! Pods that vanish, are evicted, find no node, are made twice, and go on after they were given up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::store::{Attempts, StoreError};
use dropforge_driver::sweeping::{AllPods, Glimpse};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;
use jiff::Timestamp;

use crate::bugs::Bug;
use crate::outside::Outside;
use crate::plan::Fault;
use crate::pods::life;
use crate::world::{TaskId, timestamp};

/// How long a pod's node may be without contact after the pod should be gone, in milliseconds.
const CONTACT: i64 = 60_000;

/// How long a pod has to end, in milliseconds.
const GRACE: i64 = 30_000;

/// How many attempts without a pod one look looks for.
const SOUGHT_MAX: usize = 3;

/// A pod as the Kubernetes API shows it.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its run.
    pub run: RunUid,
    /// What it executes.
    pub attempt: Arc<Attempt>,
    /// Which of all pods it is: one name may be used twice.
    pub number: u64,
    /// How it is.
    pub state: PodState,
    /// Since when it serves.
    pub ready: Option<i64>,
    /// When it should be gone.
    pub deleted: Option<i64>,
    /// Its node answers no more.
    pub silent: bool,
    /// What happens in it.
    pub life: Option<TaskId>,
}

/// How a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// It has no node.
    Pending,
    /// Its containers run, since then.
    Running(i64),
    /// Its containers have ended, and its wrapper said what it had to say.
    Ended,
    /// Its node threw it out.
    Evicted,
    /// The kernel ended its main container and the wrapper with it.
    OutOfMemory,
}

/// All pods, and what became of their attempts.
#[derive(Debug, Default)]
pub struct Pods {
    /// Those that the API shows.
    pub shown: BTreeMap<AttemptId, Pod>,
    /// How often each attempt's command was begun.
    pub begun: BTreeMap<AttemptId, u32>,
    /// Commands that run: each pod's number with its attempt.
    pub running: BTreeMap<u64, Arc<Attempt>>,
    /// Pods whose node is without contact.
    pub silent: Vec<u64>,
    /// With which nonce each attempt was claimed first.
    pub holders: BTreeMap<AttemptId, String>,
    /// Attempts whose start is on record.
    pub started: BTreeSet<AttemptId>,
    /// The nodes of the attempts whose command was begun.
    pub nodes: BTreeMap<AttemptId, (RunUid, String)>,
    /// How often infrastructure took an attempt of a node.
    pub losses: BTreeMap<(RunUid, String), u32>,
    next: u64,
}

impl Pods {
    /// Another attempt of the same node that was begun.
    fn before(&self, attempt: &Attempt) -> Option<AttemptId> {
        let nodes = self.nodes.iter().filter(|(id, _)| **id != attempt.id);
        let same = |(_, node): &(&AttemptId, &(RunUid, String))| {
            (&node.0, &node.1) == (&attempt.run, &attempt.node_name)
        };
        nodes.filter(same).map(|(id, _)| id.clone()).next()
    }
}

fn unreachable(why: &str) -> ClusterError {
    ClusterError::Unreachable { what: "Kubernetes API", source: io::Error::other(why.to_owned()) }
}

fn unreadable(why: &StoreError) -> ClusterError {
    unreachable(&why.to_string())
}

impl Outside {
    async fn ask(&self) -> Result<(), ClusterError> {
        self.world.turn().await;
        if self.world.fault(Fault::ClusterRefuses) { Err(unreachable("429")) } else { Ok(()) }
    }

    async fn answered(&self) -> Result<(), ClusterError> {
        self.world.turn().await;
        if self.world.fault(Fault::ClusterAnswerLost) { Err(unreachable("timeout")) } else { Ok(()) }
    }

    /// Deletes a pod: at once where it does not run, else it is told to end.
    async fn delete(&self, attempt: &AttemptId) -> Result<(), ClusterError> {
        self.ask().await?;
        self.world.delete_pod(attempt);
        self.answered().await
    }

    /// Whether a planted bug leaves it to whoever committed its start.
    fn is_left_undone(&self, attempt: &AttemptId) -> bool {
        let starter = self.world.inner().starters.get(attempt).copied();
        self.world.breaks(Bug::OutboxForgotten) && starter != Some(self.store.number)
    }

    fn pod(&self, attempt: &AttemptId) -> Option<Pod> {
        self.world.inner().pods.shown.get(attempt).cloned()
    }

    fn verdict(&self, attempt: &AttemptId, outcome: Outcome, reason: Reason, why: &str) -> Verdict {
        Verdict::without_outputs(attempt.clone(), outcome, reason, why, self.time())
    }

    async fn fence(&self, namespace: &str, verdict: Verdict) -> Result<Verdict, ClusterError> {
        let nonce = self.world.nonce("cluster");
        if self.world.breaks(Bug::Unfenced) {
            return self.store.put_verdict(namespace, &verdict).await.map_err(|e| unreadable(&e));
        }
        self.store.claim(namespace, &verdict.attempt, &nonce).await.map_err(|e| unreadable(&e))?;
        self.store.put_verdict(namespace, &verdict).await.map_err(|e| unreadable(&e))
    }

    /// The stored verdict of an attempt.
    async fn told(&self, spec: &RunSpec, attempt: &Attempt) -> Result<Option<Verdict>, ClusterError> {
        let of = |id: AttemptId| async move {
            self.store.verdict(spec.namespace(), &id).await.map_err(|e| unreadable(&e))
        };
        let own = of(attempt.id.clone()).await?;
        let before = match self.world.breaks(Bug::OldVerdictTaken) && own.is_none() {
            true => self.world.inner().pods.before(attempt),
            false => None,
        };
        let Some(before) = before else { return Ok(own) };
        Ok(of(before).await?.map(|verdict| Verdict { attempt: attempt.id.clone(), ..verdict }))
    }

    /// What a pod without a stored verdict says of its attempt.
    async fn look_at(&self, attempt: &Attempt, pod: Option<&Pod>) -> Result<Option<Event>, ClusterError> {
        let id = attempt.id.clone();
        let Some(pod) = pod else { return self.absent(attempt).await };
        let blames = self.world.breaks(Bug::LossBlamed);
        let now = self.time();
        let silent = pod.deleted.is_some_and(|due| timestamp(due + CONTACT) < now);
        let ended = match pod.state {
            PodState::Ended => Some((Outcome::Lost, Reason::Vanished, "the pod ended without a result")),
            PodState::Evicted => Some((Outcome::Lost, Reason::Vanished, "Evicted")),
            PodState::OutOfMemory => {
                Some((Outcome::Failed, Reason::OutOfMemory, "main: OOMKilled (exit code 137)"))
            }
            _ if silent => Some((Outcome::Lost, Reason::Vanished, "NodeLost")),
            PodState::Pending => {
                return Ok(Some(Event::AttemptWaiting { attempt: id, why: "Unschedulable".to_owned() }));
            }
            PodState::Running(_) if self.world.breaks(Bug::GivenUpRunning) => {
                Some((Outcome::Lost, Reason::Vanished, "it takes long"))
            }
            PodState::Running(since) => {
                if let Some(ready) = pod.ready {
                    let (at, ip) = (timestamp(ready), "10.0.0.1".to_owned());
                    return Ok(Some(Event::AttemptReady { attempt: id, at, ip }));
                }
                return Ok(Some(Event::AttemptRunning { attempt: id, at: timestamp(since), host: None }));
            }
        };
        let Some((outcome, reason, why)) = ended else { return Ok(None) };
        let outcome = if blames { Outcome::Failed } else { outcome };
        let verdict = self.fence(&attempt.namespace, self.verdict(&id, outcome, reason, why)).await?;
        Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }))
    }

    /// As `cluster::kubernetes` does it.
    async fn absent(&self, attempt: &Attempt) -> Result<Option<Event>, ClusterError> {
        let (namespace, id) = (&attempt.namespace, &attempt.id);
        let unseen = self.world.breaks(Bug::LossUnseen);
        if unseen || !self.store.claimed(namespace, id).await.map_err(|e| unreadable(&e))? {
            let invented = Event::AttemptWaiting { attempt: id.clone(), why: "it is on its way".to_owned() };
            return Ok(self.world.breaks(Bug::PodInvented).then_some(invented));
        }
        self.ask().await?;
        if self.pod(id).is_some() {
            return Ok(None);
        }
        let outcome =
            if self.world.breaks(Bug::AbsenceSucceeds) { Outcome::Succeeded } else { Outcome::Lost };
        let lost = self.verdict(id, outcome, Reason::Vanished, "pod deleted");
        let verdict = self.store.put_verdict(namespace, &lost).await.map_err(|e| unreadable(&e))?;
        Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }))
    }
}

impl Cluster for Outside {
    const STARTS_AT_ONCE: usize = 4;
    const STARTS_AGAIN: bool = false;

    async fn start(&self, spec: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        self.ask().await?;
        if self.world.fault(Fault::ClusterFull) {
            return Ok(Some(Event::AttemptWaiting {
                attempt: attempt.id.clone(),
                why: "exceeded quota".to_owned(),
            }));
        }
        if !self.is_left_undone(&attempt.id) {
            self.world.make_pod(&spec.uid, &attempt);
        }
        self.answered().await?;
        Ok(None)
    }

    async fn stop(&self, spec: &RunSpec, attempt: &AttemptId, why: &str) -> Result<(), ClusterError> {
        let stopped = self.verdict(attempt, Outcome::Failed, Reason::Stopped, why);
        if self.world.breaks(Bug::StoppedFirst) {
            self.fence(spec.namespace(), stopped).await?;
            return self.delete(attempt).await;
        }
        let nonce = self.world.nonce("cluster");
        self.store.claim(spec.namespace(), attempt, &nonce).await.map_err(|e| unreadable(&e))?;
        self.delete(attempt).await?;
        self.store.put_verdict(spec.namespace(), &stopped).await.map_err(|e| unreadable(&e))?;
        Ok(())
    }

    async fn observe(&self, spec: &RunSpec, attempts: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        if attempts.is_empty() {
            return Ok(Observed::default());
        }
        self.ask().await?;
        let of_run =
            |pod: &&Pod| pod.run == spec.uid && (attempts.len() > 1 || pod.attempt.id == attempts[0].id);
        let pods: BTreeMap<AttemptId, Pod> = {
            let inner = self.world.inner();
            inner
                .pods
                .shown
                .values()
                .filter(of_run)
                .map(|pod| (pod.attempt.id.clone(), pod.clone()))
                .collect()
        };
        self.world.turn().await;
        let unseen = unsought(attempts, &pods, self.time());
        let mut events = Vec::new();
        for attempt in attempts.iter().filter(|attempt| !unseen.contains(&attempt.id)) {
            let verdict = self.told(spec, attempt).await?;
            events.extend(match verdict {
                Some(verdict) => Some(Event::AttemptFinished { verdict: Arc::new(verdict) }),
                None => self.look_at(attempt, pods.get(&attempt.id)).await?,
            });
        }
        // Whose end was on record before: somebody died before deleting them.
        for left in pods.keys().filter(|id| !attempts.iter().any(|attempt| attempt.id == **id)) {
            if self.store.verdict(spec.namespace(), left).await.map_err(|e| unreadable(&e))?.is_some() {
                self.delete(left).await?;
            }
        }
        Ok(Observed { events, unseen })
    }

    async fn tidy(&self, _: &RunSpec, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        for attempt in attempts {
            self.delete(attempt).await?;
        }
        Ok(())
    }

    async fn config(&self, _: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        self.ask().await?;
        Ok(Some(ConfigFound::Value { value: "2".to_owned() }))
    }
}

/// Of the attempts without a pod those that this look does not look for: other ones each time.
fn unsought(
    attempts: &[Arc<Attempt>],
    pods: &BTreeMap<AttemptId, Pod>,
    now: Timestamp,
) -> BTreeSet<AttemptId> {
    let absent = attempts.iter().map(|attempt| attempt.id.clone()).filter(|id| !pods.contains_key(id));
    let mut absent: Vec<AttemptId> = absent.collect();
    if absent.len() > SOUGHT_MAX {
        let first = usize::try_from(now.as_millisecond()).unwrap_or(0) % absent.len();
        absent.rotate_left(first);
    }
    absent.into_iter().skip(SOUGHT_MAX).collect()
}

impl AllPods for Outside {
    async fn glimpses(&self) -> Result<Vec<Glimpse>, ClusterError> {
        self.ask().await?;
        let pods: Vec<Pod> = self.world.inner().pods.shown.values().cloned().collect();
        self.world.turn().await;
        let now = self.time();
        let glimpse = |pod: Pod| {
            let stuck = pod.deleted.is_some_and(|due| timestamp(due + CONTACT) < now);
            let calls = stuck || !matches!(pod.state, PodState::Pending | PodState::Running(_));
            let namespace = pod.attempt.namespace.clone();
            Glimpse { run: pod.run, attempt: pod.attempt.id.clone(), namespace, calls, stuck }
        };
        Ok(pods.into_iter().map(glimpse).collect())
    }

    async fn remove(&self, _: &str, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        for attempt in attempts {
            self.delete(attempt).await?;
        }
        Ok(())
    }
}

impl crate::world::World {
    /// Makes a pod, unless there is one of this name.
    pub fn make_pod(self: &Arc<Self>, run: &RunUid, attempt: &Arc<Attempt>) {
        let number = {
            let mut inner = self.inner();
            if inner.pods.shown.contains_key(&attempt.id) {
                return;
            }
            inner.pods.next += 1;
            inner.done.starts += 1;
            inner.pods.next
        };
        self.note(format_args!("pod {number} of {} ({}) is made", attempt.id, attempt.node_name));
        let life = self.spawn(Box::pin(life(self.clone(), number, attempt.clone())));
        let pod = Pod {
            run: run.clone(),
            attempt: attempt.clone(),
            number,
            state: PodState::Pending,
            ready: None,
            deleted: None,
            silent: false,
            life: Some(life),
        };
        self.inner().pods.shown.insert(attempt.id.clone(), pod);
    }

    /// Deletes a pod, if there is one.
    pub fn delete_pod(self: &Arc<Self>, attempt: &AttemptId) {
        let mut inner = self.inner();
        let now = inner.now;
        let Some(pod) = inner.pods.shown.get_mut(attempt) else { return };
        if matches!(pod.state, PodState::Running(_)) {
            let first = pod.deleted.is_none();
            pod.deleted.get_or_insert(now + GRACE);
            if first && !pod.silent {
                let (number, attempt) = (pod.number, pod.attempt.clone());
                drop(inner);
                self.note(format_args!("pod {number} is told to end"));
                self.spawn(Box::pin(crate::pods::told_to_end(self.clone(), number, attempt)));
            }
            return;
        }
        drop(inner);
        self.remove_pod(attempt);
    }

    /// Takes a pod away with all that happens in it.
    pub fn remove_pod(&self, attempt: &AttemptId) {
        let removed = self.inner().pods.shown.remove(attempt);
        if let Some(pod) = removed {
            self.note(format_args!("pod {} is gone", pod.number));
            self.inner().pods.running.remove(&pod.number);
            if let Some(life) = pod.life {
                self.kill(life);
            }
        }
    }
}
