//! Mutexes and semaphores between runs: one document for each lock, changed by compare and swap.
//!
//! A lock is granted by whoever changes its document, in the same write: to those in its queue, first by priority, then
//! by the age of their run, then by the order within the run. So nobody is forgotten, and there are never more holders
//! than the limit allows, unless the limit was lowered under them.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use dropforge_engine::ids::{NodeId, RunUid};
use dropforge_engine::lock::{HeldBy, LockName, LockWait};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub mod keep;
#[cfg(test)]
mod tests;

/// The version of the lock documents that this code writes.
pub const LOCK_FORMAT: u32 = 1;

/// How many holders are told to whoever waits.
const TOLD_MAX: usize = 8;

/// One that holds a lock or waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claimant {
    /// The run.
    pub run: RunUid,
    /// The node; none: the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Argo's name of it: `<namespace>/<run>`, and `/<node id>` for a node.
    pub key: String,
    /// The run's generation that asked.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u32,
    /// `spec.priority` of its run.
    #[serde(default)]
    pub priority: i64,
    /// When its run was submitted.
    pub created_at: Timestamp,
}

fn is_first(generation: &u32) -> bool {
    *generation == 0
}

impl Claimant {
    /// What tells it from others.
    pub fn id(&self) -> (RunUid, Option<NodeId>) {
        (self.run.clone(), self.node)
    }

    /// As one that leaves.
    pub fn leaving(&self) -> Leaving<'_> {
        Leaving { run: &self.run, node: self.node, generation: self.generation }
    }

    fn is(&self, other: &Claimant) -> bool {
        (&self.run, self.node) == (&other.run, other.node)
    }

    fn rank(&self) -> impl Ord + '_ {
        (Reverse(self.priority), self.created_at, &self.run, self.node)
    }
}

/// Who gives a lock back, or leaves its queue.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// The run.
    pub run: &'a RunUid,
    /// The node; none: the run itself.
    pub node: Option<NodeId>,
    /// The run's generation that asked for it.
    pub generation: u32,
}

/// The document of a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockState {
    /// Version of this document.
    pub format: u32,
    /// The lock.
    pub lock: LockName,
    /// How many may hold it, as last known.
    pub limit: i64,
    /// Who holds it, oldest first.
    #[serde(default)]
    pub holders: Vec<Claimant>,
    /// Who waits for it, in their order.
    #[serde(default)]
    pub waiters: Vec<Claimant>,
}

/// Which runs somebody advances: only they are granted a lock.
pub type Present<'a> = dyn Fn(&RunUid) -> bool + Send + Sync + 'a;

impl LockState {
    /// A lock that nobody holds.
    pub fn new(lock: &LockName, limit: i64) -> LockState {
        LockState { format: LOCK_FORMAT, lock: lock.clone(), limit, holders: Vec::new(), waiters: Vec::new() }
    }

    /// Whether anybody holds it or waits for it.
    pub fn in_use(&self) -> bool {
        !(self.holders.is_empty() && self.waiters.is_empty())
    }

    /// Puts a claimant into the queue, unless it holds the lock already, and grants what is free. Gives why it has to
    /// wait, if it has to, and who else was granted the lock.
    pub fn take(
        &mut self,
        claimant: &Claimant,
        limit: i64,
        present: &Present<'_>,
    ) -> (Option<LockWait>, Vec<Claimant>) {
        self.limit = limit;
        let claimant = &self.newest(claimant);
        if let Some(holder) = self.holders.iter_mut().find(|holder| holder.is(claimant)) {
            holder.generation = claimant.generation;
        } else {
            self.waiters.retain(|waiter| !waiter.is(claimant));
            let behind = self.waiters.iter().position(|other| other.rank() > claimant.rank());
            self.waiters.insert(behind.unwrap_or(self.waiters.len()), claimant.clone());
        }
        // Who asks is there, whatever is known of the others.
        let there = |run: &RunUid| *run == claimant.run || present(run);
        let mut granted = self.grant(&there);
        granted.retain(|other| !other.is(claimant));
        let waits = !self.holders.iter().any(|holder| holder.is(claimant));
        (waits.then(|| self.wait()), granted)
    }

    /// The claimant as of the last generation that has asked: a slow owner may ask for an earlier one.
    fn newest(&self, claimant: &Claimant) -> Claimant {
        let asked = self.claimants().filter(|other| other.is(claimant)).map(|other| other.generation);
        let generation = asked.max().unwrap_or(0).max(claimant.generation);
        Claimant { generation, ..claimant.clone() }
    }

    /// Takes who has asked in this generation or an earlier one out of the lock and its queue, and grants what is free.
    /// What a later one holds stays: whoever gives back is slow, and the run has been retried.
    pub fn leave(&mut self, claimant: &Leaving<'_>, present: &Present<'_>) -> Vec<Claimant> {
        let stays = |other: &Claimant| {
            (&other.run, other.node) != (claimant.run, claimant.node)
                || other.generation > claimant.generation
        };
        self.holders.retain(stays);
        self.waiters.retain(stays);
        self.grant(present)
    }

    /// Takes claimants out of the lock and its queue, and grants what is free.
    pub fn forget(
        &mut self,
        over: &BTreeSet<(RunUid, Option<NodeId>)>,
        present: &Present<'_>,
    ) -> Vec<Claimant> {
        self.holders.retain(|holder| !over.contains(&holder.id()));
        self.waiters.retain(|waiter| !over.contains(&waiter.id()));
        self.grant(present)
    }

    /// Who holds it, then who waits for it.
    pub fn claimants(&self) -> impl Iterator<Item = &Claimant> {
        self.holders.iter().chain(&self.waiters)
    }

    fn grant(&mut self, present: &Present<'_>) -> Vec<Claimant> {
        let mut granted = Vec::new();
        while i64::try_from(self.holders.len()).is_ok_and(|held| held < self.limit)
            && let Some(next) = self.waiters.iter().position(|waiter| present(&waiter.run))
        {
            let next = self.waiters.remove(next);
            self.holders.push(next.clone());
            granted.push(next);
        }
        granted
    }

    fn wait(&self) -> LockWait {
        let held = i64::try_from(self.holders.len()).unwrap_or(i64::MAX);
        let told = self.holders.iter().take(TOLD_MAX);
        LockWait {
            lock: self.lock.clone(),
            free: self.limit.saturating_sub(held),
            limit: self.limit,
            held_by: told.map(|h| HeldBy { key: h.key.clone(), run: h.run.clone() }).collect(),
        }
    }
}
