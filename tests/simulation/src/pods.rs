//! What happens in a pod: it waits for a node, claims its attempt, runs its command, tells how that ended, and rings. In
//! between anything may end it.

use std::sync::Arc;

use dropforge_driver::doorbells::Why;
use dropforge_driver::heard::Heard;
use dropforge_driver::store::{Attempts, Created};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::ids::AttemptId;

use crate::bugs::Bug;
use crate::cluster::{Pod, PodState};
use crate::flow::{self, End};
use crate::plan::Fault;
use crate::queue::{Body, Queue};
use crate::samples;
use crate::store::Store;
use crate::world::{Handle, World};

/// How often infrastructure takes an attempt of one node at most: as often as the engine tries it again.
const LOSSES_MAX: u32 = 3;

/// How long a daemon serves that nobody ends: longer than any world lasts.
const FOR_EVER: i64 = 1_000_000_000;

/// After so long a node without contact is gone, in milliseconds.
const GONE: i64 = 600_000;

/// What infrastructure does to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    VanishesPending,
    VanishesRunning,
    VanishesAfter,
    EvictedPending,
    EvictedRunning,
    Silent,
}

/// A pod from its making to its end.
pub async fn life(world: Handle, number: u64, attempt: Arc<Attempt>) {
    let store = Store::new(&world, false);
    let fate = world.fate(&attempt);
    let (begins, takes) = world.durations();
    let pod = OnePod { world, store, number, attempt };
    pod.world.sleep(begins).await;
    match fate {
        Fate::VanishesPending => return pod.vanish(),
        Fate::EvictedPending => return pod.shows(PodState::Evicted),
        _ => {}
    }
    let now = pod.world.inner().now;
    pod.shows(PodState::Running(now));
    pod.world.turn().await;
    if fate == Fate::Silent {
        pod.fall_silent();
    }
    if !pod.claims().await && !pod.world.breaks(Bug::ClaimIgnored) {
        return pod.shows(PodState::Ended);
    }
    pod.begins();
    pod.world.sleep(takes / 2).await;
    if flow::is_daemon(&pod.attempt) {
        pod.serves().await;
    }
    match fate {
        Fate::VanishesRunning => return pod.vanish(),
        Fate::EvictedRunning => {
            pod.ends();
            return pod.shows(PodState::Evicted);
        }
        _ => {}
    }
    if flow::is_daemon(&pod.attempt) {
        // Nobody ends one on a node without contact: it ends with its node.
        pod.world.sleep(if fate == Fate::Silent { GONE } else { FOR_EVER }).await;
        return pod.ends();
    }
    pod.world.sleep(takes / 2).await;
    pod.ends();
    let end = flow::end(&pod.world, &pod.attempt);
    if end == End::OutOfMemory {
        pod.shows(PodState::OutOfMemory);
        return pod.rings();
    }
    pod.tells(end).await;
    if fate == Fate::VanishesAfter {
        return pod.vanish();
    }
    pod.rings();
    pod.shows(PodState::Ended);
}

/// A pod that was told to end does so before its grace is over.
pub async fn told_to_end(world: Handle, number: u64, attempt: Arc<Attempt>) {
    let grace = world.inner().random.between(10, 29_000);
    world.sleep(grace).await;
    let there = world.inner().pods.shown.get(&attempt.id).map(|pod| (pod.number, pod.life));
    let Some((_, life)) = there.filter(|(there, _)| *there == number) else { return };
    life.into_iter().for_each(|life| world.kill(life));
    world.inner().pods.running.remove(&number);
    let lost =
        Verdict::without_outputs(attempt.id.clone(), Outcome::Lost, Reason::Vanished, "SIGTERM", world.now());
    let store = Store::new(&world, false);
    let claimed = store.claimed(&attempt.namespace, &attempt.id).await;
    if claimed.is_ok_and(|claimed| claimed) {
        // Where that fails, the pod's absence tells.
        let _ = store.put_verdict(&attempt.namespace, &lost).await;
    }
    world.remove_pod(&attempt.id);
}

struct OnePod {
    world: Handle,
    store: Store,
    number: u64,
    attempt: Arc<Attempt>,
}

impl OnePod {
    /// Changes what the API shows of this pod, if it still shows it and its node answers.
    fn change(&self, with: impl FnOnce(&mut Pod)) {
        let mut inner = self.world.inner();
        let shown = inner.pods.shown.get_mut(&self.attempt.id);
        if let Some(pod) = shown.filter(|pod| pod.number == self.number && !pod.silent) {
            with(pod);
        }
    }

    fn shows(&self, state: PodState) {
        self.world.note(format_args!("pod {} is {state:?}", self.number));
        self.change(|pod| pod.state = state);
    }

    fn vanish(&self) {
        self.ends();
        let shown = self.world.inner().pods.shown.get(&self.attempt.id).map(|pod| pod.number);
        if shown == Some(self.number) {
            self.world.remove_pod(&self.attempt.id);
        }
    }

    /// Its node is cut off: the API wants it gone, and it goes on.
    fn fall_silent(&self) {
        let now = self.world.inner().now;
        self.world.note(format_args!("pod {} falls silent", self.number));
        self.change(|pod| {
            pod.deleted = Some(now);
            pod.silent = true;
            pod.life = None;
        });
        self.world.inner().pods.silent.push(self.number);
        let (world, id, number) = (self.world.clone(), self.attempt.id.clone(), self.number);
        self.world.spawn(Box::pin(async move {
            world.sleep(GONE).await;
            forget(&world, &id, number);
        }));
    }

    /// A daemon says that it is ready, and serves for a while before anything may take it.
    async fn serves(&self) {
        let now = self.world.inner().now;
        self.change(|pod| pod.ready = Some(now));
        self.world.note(format_args!("pod {} serves", self.number));
        self.rings();
        let serves = self.world.inner().random.between(0, 60_000);
        self.world.sleep(serves).await;
    }

    /// Whether this pod, and no other of its name, executes the attempt.
    async fn claims(&self) -> bool {
        let mut nonce = self.world.nonce("pod");
        let mut mine = vec![nonce.clone()];
        let id = match self.world.breaks(Bug::ClaimOfNode) {
            true => AttemptId::from(self.attempt.node_name.as_str()),
            false => self.attempt.id.clone(),
        };
        loop {
            match self.store.claim(&self.attempt.namespace, &id, &nonce).await {
                Ok(created) => {
                    let holder = self.world.inner().pods.holders.get(&id).cloned();
                    let own = holder.is_some_and(|holder| mine.contains(&holder));
                    if created == Created::Exists && own {
                        self.world
                            .wrong(format_args!("pod {} takes its own claim for another's", self.number));
                    }
                    return created == Created::New;
                }
                Err(_) => self.world.sleep(1_000).await,
            }
            if self.world.breaks(Bug::ClaimedWithAnotherNonce) {
                nonce = self.world.nonce("pod");
                mine.push(nonce.clone());
            }
        }
    }

    fn begins(&self) {
        let id = &self.attempt.id;
        let mut inner = self.world.inner();
        let pods = &mut inner.pods;
        let times = pods.begun.entry(id.clone()).or_default();
        *times += 1;
        let twice = *times > 1;
        // Those that are told to end, and those that nobody hears of, are given up.
        let given_up = |number: u64, id: &AttemptId| {
            let pod = pods.shown.get(id).filter(|pod| pod.number == number);
            pods.silent.contains(&number) || pod.is_none_or(|pod| pod.deleted.is_some())
        };
        let beside = |(number, other): &(&u64, &Arc<Attempt>)| {
            !given_up(**number, &other.id)
                && other.run == self.attempt.run
                && other.node_name == self.attempt.node_name
        };
        let other = pods.running.iter().find(beside).map(|(number, _)| *number);
        let lock = flow::lock_of(&self.attempt);
        let holds = |(number, other): &(&u64, &Arc<Attempt>)| {
            !given_up(**number, &other.id) && lock.is_some() && flow::lock_of(other) == lock
        };
        let holders = pods.running.iter().filter(holds).count();
        let silent = pods.silent.contains(&self.number);
        let on_record = pods.started.contains(id);
        pods.nodes.insert(id.clone(), (self.attempt.run.clone(), self.attempt.node_name.clone()));
        pods.running.insert(self.number, self.attempt.clone());
        drop(inner);
        self.world.note(format_args!("pod {} begins {}", self.number, self.attempt.node_name));
        if !on_record {
            self.world.wrong(format_args!("attempt {id} executes and its start is not on record"));
        }
        if twice {
            self.world.wrong(format_args!("attempt {id} executes twice"));
        }
        if let Some(other) = other.filter(|_| !silent) {
            self.world.wrong(format_args!(
                "pods {other} and {} execute {} at once",
                self.number, self.attempt.node_name
            ));
        }
        if let Some((name, limit)) = lock.filter(|(_, limit)| !silent && holders >= *limit) {
            self.world.wrong(format_args!(
                "lock {name} of {limit} is held {} times by running commands",
                holders + 1
            ));
        }
    }

    fn ends(&self) {
        self.world.note(format_args!("pod {} ends", self.number));
        self.world.inner().pods.running.remove(&self.number);
    }

    /// Stores how it ended, until that is known to be stored.
    async fn tells(&self, end: End) {
        let (outcome, message) = match end {
            End::Good => (Outcome::Succeeded, ""),
            End::Bad | End::OutOfMemory => (Outcome::Failed, "main: Error (exit code 1)"),
        };
        let id = self.attempt.id.clone();
        let mut verdict = Verdict::without_outputs(id, outcome, Reason::Exited, message, self.world.now());
        if !flow::is_made_up(&self.attempt) {
            verdict.outputs = samples::outputs(&self.attempt);
        } else if end == End::Good {
            verdict.outputs.result = flow::result(&self.attempt);
        }
        while self.store.put_verdict(&self.attempt.namespace, &verdict).await.is_err() {
            self.world.sleep(1_000).await;
        }
    }

    fn rings(&self) {
        if self.world.fault(Fault::PodMute) {
            return;
        }
        let why = Why::Attempt(self.attempt.id.clone());
        let heard = Heard { run: self.attempt.run.clone(), why, hops: 0, again: false };
        self.world.send(Queue::Events, Body::Bell(heard), 0);
    }
}

/// The API gives up a pod whose node never came back.
fn forget(world: &World, attempt: &AttemptId, number: u64) {
    let shown = world.inner().pods.shown.get(attempt).map(|pod| pod.number);
    if shown == Some(number) {
        world.inner().pods.shown.remove(attempt);
        world.note(format_args!("pod {number} is forgotten"));
    }
}

impl World {
    /// A number used once.
    pub fn nonce(&self, by: &str) -> String {
        format!("{by}-{:x}", self.inner().random.draw())
    }

    /// What infrastructure does to a pod, as long as the engine would try its node again.
    fn fate(&self, attempt: &Attempt) -> Fate {
        let mut fate = Fate::Lives;
        let fates = [
            (Fault::PodVanishesPending, Fate::VanishesPending),
            (Fault::PodVanishesRunning, Fate::VanishesRunning),
            (Fault::PodVanishesAfter, Fate::VanishesAfter),
            (Fault::PodEvicted, Fate::EvictedRunning),
            (Fault::PodSilent, Fate::Silent),
        ];
        for (fault, brings) in fates {
            if self.fault(fault) {
                fate = brings;
            }
        }
        let mut inner = self.inner();
        if fate == Fate::EvictedRunning && inner.random.chance(1, 2) {
            fate = Fate::EvictedPending;
        }
        if fate != Fate::Lives {
            let losses =
                inner.pods.losses.entry((attempt.run.clone(), attempt.node_name.clone())).or_default();
            if *losses >= LOSSES_MAX {
                return Fate::Lives;
            }
            *losses += 1;
        }
        fate
    }

    /// How long a pod waits for its node, and how long its command takes.
    fn durations(&self) -> (i64, i64) {
        let unscheduled = self.fault(Fault::PodUnscheduled);
        let mut inner = self.inner();
        let begins =
            if unscheduled { inner.random.between(60_000, 900_000) } else { inner.random.between(20, 3_000) };
        let long = inner.random.chance(1, 8);
        (begins, if long { inner.random.between(10_000, 120_000) } else { inner.random.between(10, 4_000) })
    }
}
