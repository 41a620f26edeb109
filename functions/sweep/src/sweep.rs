//! The sweep of a deployment, with what it tells.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dropforge_cluster::kubernetes::{Glance, KubernetesCluster, OurPod, OurPods};
use dropforge_deployment::metrics::Counts;
use dropforge_deployment::parts::Parts;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::ClusterError;
use dropforge_driver::owner::chain;
use dropforge_driver::store::StoreError;
use dropforge_driver::sweeping::{self, AllPods, Glimpse};
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_storage::s3::S3Store;
use jiff::Timestamp;

/// The sweep with its parts.
pub struct Sweep {
    pub parts: Parts,
    pub pods: Pods,
    /// When this function swept last.
    last: Mutex<Option<Timestamp>>,
}

/// The pods of a deployment.
pub struct Pods {
    pub cluster: KubernetesCluster<S3Store>,
    /// The namespaces of steps.
    pub namespaces: Vec<String>,
}

impl Sweep {
    /// A sweep of these pods.
    pub fn new(parts: Parts, pods: Pods) -> Self {
        Sweep { parts, pods, last: Mutex::default() }
    }

    /// Sweeps once.
    ///
    /// # Errors
    /// When the live runs can't be listed, or rung.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = SystemClock.now();
        let sweep = sweeping::Sweep {
            store: &*self.parts.store,
            pods: &self.pods,
            doorbells: &self.parts.events,
            reminders: &self.parts.reminders,
            since: *self.last(),
            now,
        };
        let swept = sweep.sweep().await?;
        *self.last() = Some(now);
        let mut counts = Counts::default();
        counts.add("RunsLive", swept.live);
        swept.stuck.into_iter().for_each(|stuck| counts.add("PodsStuck", stuck));
        counts.tell();
        Ok(())
    }

    fn last(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllPods for Pods {
    async fn glimpses(&self) -> Result<Vec<Glimpse>, ClusterError> {
        let OurPods { pods, refused } = self.cluster.pods(&self.namespaces).await?;
        for (namespace, why) in &refused {
            tracing::warn!(namespace, "its pods were not looked at: {}", chain(why));
        }
        let mut counts = Counts::default();
        counts.add("NamespacesRefused", refused.len() as u64);
        counts.tell();
        Ok(pods.into_iter().map(glimpse).collect())
    }

    async fn remove(&self, namespace: &str, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        self.cluster.remove_pods_in(namespace, attempts).await
    }

    async fn volume_owners(&self) -> Result<Vec<(RunUid, String)>, ClusterError> {
        let mut owners = Vec::new();
        for namespace in &self.namespaces {
            match self.cluster.volume_owners(namespace).await {
                Ok(runs) => owners.extend(runs.into_iter().map(|run| (run.into(), namespace.clone()))),
                Err(why) => {
                    tracing::warn!(namespace, "its volume claims were not looked at: {}", chain(&why))
                }
            }
        }
        Ok(owners)
    }

    async fn remove_claims(&self, run: &RunUid, namespace: &str) -> Result<(), ClusterError> {
        self.cluster.remove_volumes_in(namespace, run).await
    }
}

fn glimpse(pod: OurPod) -> Glimpse {
    Glimpse {
        run: pod.run.as_str().into(),
        attempt: pod.attempt,
        namespace: pod.namespace,
        calls: pod.state != Glance::Going,
        stuck: pod.state == Glance::Stuck,
    }
}
