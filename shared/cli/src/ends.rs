//! What the end of a run touches on a laptop: its volumes, and the schedule or trigger that made it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::owner::Ends;
use dropforge_driver::store::StoreError;
use dropforge_driver::{ends, garbage};
use dropforge_engine::garbage::Fate;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::RunSpec;
use dropforge_executor::removal::remove_folder;
use dropforge_storage::directory::DirectoryStore;
use tokio::sync::Notify;

/// Ends of runs in a directory store.
#[derive(Clone)]
pub struct LocalEnds {
    store: Arc<DirectoryStore>,
    told: Arc<Notify>,
    /// Whether a run has ended since somebody asked.
    ended: Arc<AtomicBool>,
}

impl LocalEnds {
    /// For this store.
    pub fn new(store: Arc<DirectoryStore>) -> LocalEnds {
        LocalEnds { store, told: Arc::default(), ended: Arc::default() }
    }

    /// Whether a run has ended since the last call.
    pub fn any(&self) -> bool {
        self.ended.swap(false, Ordering::SeqCst)
    }

    /// Waits until a schedule or a trigger was told of a run's end since the last call: what waited for it may go on.
    pub async fn told(&self) {
        self.told.notified().await;
    }
}

impl Ends for LocalEnds {
    async fn ended(&self, spec: &RunSpec, phase: RunPhase) -> Result<(), StoreError> {
        self.ended.store(true, Ordering::SeqCst);
        if ends::told(&*self.store, spec, phase, SystemClock.now()).await?.is_some() {
            self.told.notify_one();
        }
        Ok(())
    }

    async fn remove_artifacts(&self, spec: &RunSpec) -> Result<(), StoreError> {
        let gone = garbage::artifacts(&*self.store, &spec.uid, Fate::Completed).await?;
        garbage::remove(&*self.store, spec.namespace(), &gone).await
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
