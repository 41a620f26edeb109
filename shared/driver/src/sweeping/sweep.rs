//! One sweep. What fails is told and left to the next one, so that one broken part keeps none of the others from being
//! swept.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;

use dropforge_engine::garbage::removes_volumes;
use dropforge_engine::ids::{AttemptId, RunUid};
use jiff::Timestamp;

use super::{Glimpse, Plan, expiry, minutes, plan};
use crate::cluster::ClusterError;
use crate::doorbells::{Doorbells, Ring, Why};
use crate::owner::chain;
use crate::reminders::Reminders;
use crate::replay::{ReplayError, replay};
use crate::store::{Artifacts, Buried, RunStore, StoreError, TOMBSTONE_FORMAT, Tombstone};
use crate::{locks, starters};

/// Pods are looked at in every sweep while a run is live, else in every tenth: left over ones only cost.
const IDLE_TURNS: u64 = 10;

/// The minute of an hour in which runs begin to be deleted whose time is over: that reads the whole run list.
const DELETING_MINUTE: u64 = 7;

/// How many runs one sweep looks at whose volume claims may be left over: each is read whole. With more, they have turns.
const OUTLIVED_MAX: usize = 50;

/// The pods of all runs at once.
pub trait AllPods: Send + Sync {
    /// All of them, at a glance.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    fn glimpses(&self) -> impl Future<Output = Result<Vec<Glimpse>, ClusterError>> + Send;

    /// Removes pods of a namespace; those that are gone already are fine.
    ///
    /// # Errors
    /// When the cluster can't be asked; the next sweep finds what is left.
    fn remove(
        &self,
        namespace: &str,
        attempts: &[AttemptId],
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// The runs that have volume claims, each with its namespace; none where steps have no such thing.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    fn volume_owners(&self) -> impl Future<Output = Result<Vec<(RunUid, String)>, ClusterError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Removes the volume claims of a run.
    ///
    /// # Errors
    /// When the cluster can't be asked; the next sweep finds what is left.
    fn remove_claims(
        &self,
        _run: &RunUid,
        _namespace: &str,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send {
        async { Ok(()) }
    }
}

/// The sweep with its parts.
pub struct Sweep<'a, S, P, D, M> {
    /// Where runs are kept.
    pub store: &'a S,
    /// Where their steps run.
    pub pods: &'a P,
    /// Where runs are rung.
    pub doorbells: &'a D,
    /// Where triggers and schedules are reminded of.
    pub reminders: &'a M,
    /// When the sweep before this was, where that is known.
    pub since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What a sweep saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Live runs.
    pub live: u64,
    /// Pods that wait for something that may not come; none where nobody looked.
    pub stuck: Option<u64>,
}

impl<S: RunStore + Artifacts, P: AllPods, D: Doorbells, M: Reminders> Sweep<'_, S, P, D, M> {
    /// Sweeps once.
    ///
    /// # Errors
    /// When the live runs can't be listed, or rung.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let minutes = minutes(self.since, self.now);
        let is_due = |every: u64, at: u64| minutes.clone().any(|minute| minute % every == at);
        let mut live = self.live().await?;
        let mut looked = None;
        if !live.is_empty() || is_due(IDLE_TURNS, 0) {
            looked = told("look at the pods", self.pods.glimpses().await);
        }
        let stuck = looked.as_ref().map(|pods| pods.iter().filter(|pod| pod.stuck).count() as u64);
        let swept = Swept { live: live.len() as u64, stuck };
        let pods = looked.unwrap_or_default();
        if pods.iter().any(|pod| !live.contains(&pod.run)) {
            live = self.live().await?;
        }
        let planned = plan(&live, &pods, minutes.clone());
        self.doorbells.ring(&planned.rings()).await?;
        self.remove_left(&planned).await;
        told("remind of triggers and schedules", self.remind().await);
        if !live.is_empty() {
            told("sweep the locks", self.locks().await);
        }
        told(
            "delete the runs whose time is over",
            expiry::go_on(self.store, is_due(60, DELETING_MINUTE), self.now).await,
        );
        if is_due(60, DELETING_MINUTE) {
            told("look for volume claims that are left over", self.remove_claims().await);
        }
        Ok(swept)
    }

    async fn live(&self) -> Result<BTreeSet<RunUid>, StoreError> {
        Ok(self.store.live_runs().await?.into_iter().collect())
    }

    async fn remove_left(&self, planned: &Plan) {
        for ((run, namespace), attempts) in &planned.left {
            let ours = match self.ours(run, namespace, attempts).await {
                Ok(ours) => ours,
                Err(why) => {
                    tracing::warn!(%run, "pods that are left over can't be told to be its: {}", chain(&why));
                    continue;
                }
            };
            if ours.is_empty() {
                tracing::warn!(%run, "pods name a run that is not here, and are left alone");
                continue;
            }
            tracing::info!(%run, pods = ours.len(), "pods of a run that is over are removed");
            told("remove the pods that are left over", self.pods.remove(namespace, &ours).await);
        }
    }

    /// Removes volume claims that outlived their run: a function that was still starting steps when the run ended has made
    /// them again, or the run was deleted since.
    async fn remove_claims(&self) -> Result<(), SweepError> {
        let mut owners = self.pods.volume_owners().await?;
        if owners.is_empty() {
            return Ok(());
        }
        // Listed afterwards: a run's marker is made before its first claim.
        let live = self.live().await?;
        owners.retain(|(run, _)| !live.contains(run));
        for (run, namespace) in of_this_hour(owners, self.now) {
            match self.outlived(&run, &namespace).await {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(%run, namespace, "volume claims of a run that is over are removed");
                    told(
                        "remove volume claims that are left over",
                        self.pods.remove_claims(&run, &namespace).await,
                    );
                }
                Err(why) => tracing::warn!(%run, "its volume claims stay: {}", chain(&why)),
            }
        }
        Ok(())
    }

    /// Whether a run that is not live needs its volume claims no more: `volumeClaimGC` keeps those of one that failed, for
    /// a retry, until it is deleted.
    async fn outlived(&self, run: &RunUid, namespace: &str) -> Result<bool, ReplayError> {
        match replay(self.store, run, |_, _| ()).await {
            Ok((state, _)) => {
                Ok(state.phase.completed() && removes_volumes(&state.program.spec, state.phase))
            }
            Err(ReplayError::Store(StoreError::NotFound { .. })) => {
                Ok(self.is_deleted(run, namespace).await?)
            }
            Err(why) => Err(why),
        }
    }

    /// Whether a run that is not found has been deleted here: another deployment may have its own in the same namespace.
    async fn is_deleted(&self, run: &RunUid, namespace: &str) -> Result<bool, StoreError> {
        let tombstone = Tombstone {
            format: TOMBSTONE_FORMAT,
            uid: run.clone(),
            name: String::new(),
            namespace: namespace.to_owned(),
            deleted_at: self.now,
            deleted_by: "sweep".to_owned(),
        };
        // One that has a tombstone keeps it, and one that never was gets none.
        match self.store.bury(&tombstone).await {
            Ok(buried) => Ok(buried == Buried::Hidden),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(why) => Err(why),
        }
    }

    /// Those of the pods of a run that are this store's: another deployment may have its own in the same namespace.
    async fn ours(
        &self,
        run: &RunUid,
        namespace: &str,
        attempts: &[AttemptId],
    ) -> Result<Vec<AttemptId>, StoreError> {
        match self.store.resume(run).await {
            // A run that was deleted leaves the verdicts of its attempts, all of which have ended.
            Err(StoreError::NotFound { .. }) => {}
            other => return other.map(|_| attempts.to_vec()),
        }
        let mut ours = Vec::new();
        for attempt in attempts {
            ours.extend(self.store.verdict(namespace, attempt).await?.map(|_| attempt.clone()));
        }
        Ok(ours)
    }

    /// Reminds of triggers and schedules that have something left to do, whose own reminder may be lost.
    async fn remind(&self) -> Result<(), StoreError> {
        for starter in starters::marked(self.store).await? {
            self.reminders.remind(&starter, self.now).await?;
        }
        Ok(())
    }

    /// Removes holders that are over, and rings those that were granted a lock in their place.
    async fn locks(&self) -> Result<(), StoreError> {
        let granted = locks::keep::sweep(self.store).await?;
        let rings: Vec<Ring> =
            granted.into_iter().map(|claimant| Ring::new(claimant.run, Why::Sweep)).collect();
        self.doorbells.ring(&rings).await
    }
}

/// Those whose turn it is.
fn of_this_hour<T>(mut all: Vec<T>, now: Timestamp) -> Vec<T> {
    let turns = all.len().div_ceil(OUTLIVED_MAX).max(1);
    let turn = usize::try_from(now.as_second() / 3600).unwrap_or(0) % turns;
    all.drain(..turn * OUTLIVED_MAX);
    all.truncate(OUTLIVED_MAX);
    all
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn told<T, E: std::error::Error + fmt::Debug + 'static>(what: &str, outcome: Result<T, E>) -> Option<T> {
    outcome.inspect_err(|why| tracing::warn!("failed to {what}: {}", chain(why))).ok()
}
