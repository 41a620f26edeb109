//! What the end of a run touches on a laptop: its volumes, and the schedule or trigger that made it.

use std::sync::Arc;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::owner::Ends;
use dropforge_driver::store::StoreError;
use dropforge_driver::{crons, triggers};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_executor::removal::remove_folder;
use dropforge_storage::directory::DirectoryStore;
use tokio::sync::Notify;

/// Ends of runs in a directory store.
#[derive(Clone)]
pub struct LocalEnds {
    store: Arc<DirectoryStore>,
    told: Arc<Notify>,
}

impl LocalEnds {
    /// For this store.
    pub fn new(store: Arc<DirectoryStore>) -> LocalEnds {
        LocalEnds { store, told: Arc::default() }
    }

    /// Waits until a schedule or a trigger was told of a run's end since the last call: what waited for it may go on.
    pub async fn told(&self) {
        self.told.notified().await;
    }
}

impl Ends for LocalEnds {
    async fn ended(&self, spec: &RunSpec, phase: RunPhase) -> Result<(), StoreError> {
        let (namespace, end, now) = (spec.namespace(), (&spec.uid, phase), SystemClock.now());
        match &spec.cause {
            Cause::Person { .. } => return Ok(()),
            Cause::Schedule { cron, .. } => {
                crons::keep::ended(&*self.store, namespace, cron, end, now).await?
            }
            Cause::Drop { trigger, .. } => {
                triggers::keep::ended(&*self.store, namespace, trigger, end, now).await?
            }
        };
        self.told.notify_one();
        Ok(())
    }

    async fn remove_volumes(&self, spec: &RunSpec) -> Result<(), StoreError> {
        let folder = self.store.volumes().join(spec.uid.as_str());
        remove_folder(&folder).map_err(|source| StoreError::Io {
            action: "remove",
            key: folder.display().to_string(),
            source,
        })
    }
}
