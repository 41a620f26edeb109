//! One sweep. What fails is told and left to the next one, so that one broken part keeps none of the others from being
//! swept.

use std::collections::BTreeSet;
use std::fmt;

use dropforge_cluster::kubernetes::{Glance, KubernetesCluster, OurPod};
use dropforge_deployment::metrics::Counts;
use dropforge_deployment::parts::Parts;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::doorbells::{Doorbells, Ring, Why};
use dropforge_driver::owner::chain;
use dropforge_driver::reminders::Reminders;
use dropforge_driver::store::{Buried, Index, Runs, StoreError};
use dropforge_driver::sweeping::{Glimpse, Plan, plan};
use dropforge_driver::{deaths, garbage, locks, starters};
use dropforge_engine::ids::RunUid;
use dropforge_storage::s3::S3Store;

/// Pods are looked at in every sweep while a run is live, else in every tenth: left over ones only cost.
const IDLE_TURNS: u64 = 10;

/// The minute of an hour in which runs are deleted whose time is over: that reads the whole run list.
const DELETING_MINUTE: u64 = 7;

/// The sweep with its parts.
pub struct Sweep {
    pub parts: Parts,
    pub cluster: KubernetesCluster<S3Store>,
    /// The namespaces of steps.
    pub namespaces: Vec<String>,
}

impl Sweep {
    /// Sweeps once.
    ///
    /// # Errors
    /// When the live runs can't be listed, or rung.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let minute = u64::try_from(SystemClock.now().as_second() / 60).unwrap_or_default();
        let mut live = self.live().await?;
        let mut counts = Counts::default();
        counts.add("RunsLive", live.len() as u64);
        let mut pods = Vec::new();
        if !live.is_empty() || minute.is_multiple_of(IDLE_TURNS) {
            pods = self.pods(&mut counts).await;
        }
        if pods.iter().any(|pod| !live.contains(&pod.run)) {
            live = self.live().await?;
        }
        let planned = plan(&live, &pods, minute);
        self.ring(&planned).await?;
        self.remove_left(&planned).await;
        told("remind of triggers and schedules", self.remind().await);
        if !live.is_empty() {
            told("sweep the locks", self.locks().await);
        }
        if minute % 60 == DELETING_MINUTE {
            told("delete the runs whose time is over", self.delete_expired().await);
        }
        counts.tell();
        Ok(())
    }

    async fn live(&self) -> Result<BTreeSet<RunUid>, StoreError> {
        Ok(self.parts.store.live_runs().await?.into_iter().collect())
    }

    async fn pods(&self, counts: &mut Counts) -> Vec<Glimpse> {
        match self.cluster.pods(&self.namespaces).await {
            Ok(pods) => {
                counts.add("PodsStuck", pods.iter().filter(|pod| pod.state == Glance::Stuck).count() as u64);
                pods.into_iter().map(glimpse).collect()
            }
            Err(why) => {
                tracing::warn!("failed to look at the pods: {}", chain(&why));
                Vec::new()
            }
        }
    }

    async fn ring(&self, planned: &Plan) -> Result<(), StoreError> {
        let rings: Vec<Ring> = planned.ring.iter().map(|run| Ring::new(run.clone(), Why::Sweep)).collect();
        self.parts.events.ring(&rings).await
    }

    async fn remove_left(&self, planned: &Plan) {
        for (run, attempts) in &planned.left {
            let loaded = match self.parts.store.resume(run).await {
                Ok(loaded) => loaded,
                Err(why) => {
                    tracing::warn!(%run, "pods that are left over can't be told to be its: {}", chain(&why));
                    continue;
                }
            };
            tracing::info!(%run, pods = attempts.len(), "pods of a run that is over are removed");
            told(
                "remove the pods that are left over",
                self.cluster.remove_pods(&loaded.spec, attempts).await,
            );
        }
    }

    /// Reminds of triggers and schedules that have something left to do, whose own reminder may be lost.
    async fn remind(&self) -> Result<(), StoreError> {
        for starter in starters::marked(&*self.parts.store).await? {
            self.parts.reminders.remind(&starter, SystemClock.now()).await?;
        }
        Ok(())
    }

    /// Removes holders that are over, and rings those that were granted a lock in their place.
    async fn locks(&self) -> Result<(), StoreError> {
        let granted = locks::keep::sweep(&*self.parts.store).await?;
        let rings: Vec<Ring> =
            granted.into_iter().map(|claimant| Ring::new(claimant.run, Why::Sweep)).collect();
        self.parts.events.ring(&rings).await
    }

    async fn delete_expired(&self) -> Result<(), StoreError> {
        let (store, now) = (&*self.parts.store, SystemClock.now());
        let entries = store.entries(None).await?;
        for entry in garbage::expired(&entries, now).0 {
            if deaths::tidy_away(store, entry, "ttlStrategy", now).await? == Buried::Hidden {
                tracing::info!(run = %entry.uid, name = entry.name, "a run was deleted, as its ttlStrategy says");
            }
        }
        Ok(())
    }
}

fn glimpse(pod: OurPod) -> Glimpse {
    Glimpse { run: pod.run.as_str().into(), attempt: pod.attempt, calls: pod.state != Glance::Going }
}

fn told<E: std::error::Error + fmt::Debug + 'static>(what: &str, outcome: Result<(), E>) {
    if let Err(why) = outcome {
        tracing::warn!("failed to {what}: {}", chain(&why));
    }
}
