//! The store's metrics: `metrics/metrics.prom`, which Prometheus' node exporter reads from there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dropforge_driver::metrics::{METRICS_FORMAT, Registry};
use dropforge_engine::record::Record;

/// What the runs of a store have counted, with the files that show it.
pub struct StoreMetrics {
    folder: PathBuf,
    registry: Mutex<Option<Registry>>,
}

impl StoreMetrics {
    /// The metrics of the store in this folder; nothing is read before a run counts something.
    pub fn of(store: &Path) -> Self {
        StoreMetrics { folder: store.join("metrics"), registry: Mutex::new(None) }
    }

    /// Counts what new records hold.
    pub fn records(&self, records: &[Record]) {
        let mut measured = records.iter().filter_map(|record| match record {
            Record::Measured { metric } => Some(&**metric),
            _ => None,
        });
        let Some(first) = measured.next() else { return };
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = registry.get_or_insert_with(|| self.read());
        for metric in std::iter::once(first).chain(measured) {
            if let Err(why) = registry.add(metric) {
                tracing::warn!(%why, "a metric is not counted");
            }
        }
        if let Err(error) = self.write(registry) {
            tracing::warn!(folder = %self.folder.display(), %error, "the metrics could not be written");
        }
    }

    /// What earlier processes counted. A file that can't be read is begun anew, as a counter may.
    fn read(&self) -> Registry {
        let bytes = std::fs::read(self.folder.join("metrics.json"));
        let stored = bytes.ok().and_then(|bytes| serde_json::from_slice::<Registry>(&bytes).ok());
        stored.filter(|registry| registry.format <= METRICS_FORMAT).unwrap_or_default()
    }

    /// Each file is replaced as a whole: who reads it never sees half of it.
    fn write(&self, registry: &Registry) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let state = serde_json::to_vec(registry)?;
        for (name, content) in [("metrics.json", state), ("metrics.prom", registry.text().into_bytes())] {
            let new = self.folder.join(format!(".{name}"));
            std::fs::write(&new, content)?;
            std::fs::rename(&new, self.folder.join(name))?;
        }
        Ok(())
    }
}
