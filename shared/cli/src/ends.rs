//! What the end of a run touches on a laptop: its volumes, and the schedule or trigger that made it.

use std::sync::Arc;

use dropforge_driver::owner::Ends;
use dropforge_driver::store::StoreError;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::RunSpec;
use dropforge_storage::directory::DirectoryStore;

/// Ends of runs in a directory store.
pub struct LocalEnds {
    store: Arc<DirectoryStore>,
}

impl LocalEnds {
    /// For this store.
    pub fn new(store: Arc<DirectoryStore>) -> LocalEnds {
        LocalEnds { store }
    }
}

impl Ends for LocalEnds {
    async fn ended(&self, _spec: &RunSpec, _phase: RunPhase) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_volumes(&self, spec: &RunSpec) -> Result<(), StoreError> {
        let folder = self.store.volumes().join(spec.uid.as_str());
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::Io { action: "remove", key: folder.display().to_string(), source })
            }
            _ => Ok(()),
        }
    }
}
