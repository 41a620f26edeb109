//! What the end of a run touches on AWS.

use std::sync::Arc;

use dropforge_cluster::kubernetes::KubernetesCluster;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::owner::Ends;
use dropforge_driver::reminders::Reminders;
use dropforge_driver::store::{Artifacts, Attempts, Documents, Runs, StoreError};
use dropforge_driver::{ends, garbage};
use dropforge_engine::garbage::Fate;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::RunSpec;

/// Ends of runs whose steps are pods.
pub struct CloudEnds<S, R> {
    /// Where everything is kept.
    pub store: Arc<S>,
    /// Where their volume claims are; none: there are none.
    pub cluster: Arc<KubernetesCluster<S>>,
    /// Who is told that a schedule or trigger may go on.
    pub reminders: R,
}

impl<S, R> Ends for CloudEnds<S, R>
where
    S: Runs + Attempts + Documents + Artifacts + 'static,
    R: Reminders,
{
    async fn ended(&self, spec: &RunSpec, phase: RunPhase) -> Result<(), StoreError> {
        let now = SystemClock.now();
        match ends::told(&*self.store, spec, phase, now).await? {
            // What waited for this run's end goes on with whoever starts runs.
            Some(starter) => self.reminders.remind(&starter, now).await,
            None => Ok(()),
        }
    }

    async fn remove_artifacts(&self, spec: &RunSpec) -> Result<(), StoreError> {
        let gone = garbage::artifacts(&*self.store, &spec.uid, Fate::Completed).await?;
        garbage::remove(&*self.store, spec.namespace(), &gone).await
    }

    async fn remove_volumes(&self, spec: &RunSpec) -> Result<(), StoreError> {
        self.cluster.remove_volumes(spec).await.map_err(|why| StoreError::Io {
            action: "remove the volume claims of",
            key: spec.uid.to_string(),
            source: std::io::Error::other(dropforge_driver::owner::chain(&why)),
        })
    }
}
