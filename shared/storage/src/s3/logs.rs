//! Logs in pieces, each created once and numbered. One process writes a container's log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use dropforge_driver::store::{Logs, StoreError};
use dropforge_engine::ids::AttemptId;

use super::conditional::{Conditional, Put};
use super::requests::{Condition, Listed, Requests};
use super::{ObjectStore, key};
use crate::keys;

impl<R: Requests> Logs for ObjectStore<R> {
    /// Appending nothing does nothing. A piece that was stored by a try whose answer was lost is not stored twice.
    async fn append_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let folder = key(keys::log(namespace, attempt, container)?);
        loop {
            let number = self.next_piece(&folder).await?;
            let put = self.control.put(&piece(&folder, number), bytes.to_vec(), Condition::Absent).await?;
            match put {
                Put::Committed { .. } | Put::Mine { .. } => {
                    self.pieces().insert(folder, number + 1);
                    return Ok(());
                }
                // A process before this one has written it.
                Put::Lost(_) => drop(self.pieces().remove(&folder)),
            }
        }
    }

    async fn read_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let folder = key(keys::log(namespace, attempt, container)?);
        let (mut skip, mut log) = (offset, Vec::new());
        for Listed { key, size } in self.control.list(&format!("{folder}/")).await? {
            let wanted = size.saturating_sub(skip).min((limit - log.len()) as u64);
            if wanted > 0 {
                let range = format!("bytes={skip}-{}", skip + wanted - 1);
                let found = self.control.get_range(&key, range).await?;
                log.extend_from_slice(&found.map(|found| found.body).unwrap_or_default());
            }
            skip = skip.saturating_sub(size);
        }
        Ok(log)
    }

    fn log_file(&self, _: &str, _: &AttemptId, _: &str) -> Option<PathBuf> {
        None
    }
}

impl<R: Requests> ObjectStore<R> {
    /// The number of the next piece of each log that this process writes.
    fn pieces(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next_piece(&self, folder: &str) -> Result<u32, StoreError> {
        if let Some(number) = self.pieces().get(folder) {
            return Ok(*number);
        }
        let listed = self.control.list(&format!("{folder}/")).await?;
        let number =
            |piece: &Listed| piece.key.rsplit('/').next()?.trim_start_matches('a').parse::<u32>().ok();
        Ok(listed.iter().filter_map(number).max().map_or(0, |last| last + 1))
    }
}

/// Five digits; a log of more than 100,000 pieces goes on with names that sort behind them.
fn piece(folder: &str, number: u32) -> String {
    if number < 100_000 { format!("{folder}/{number:05}") } else { format!("{folder}/a{number:09}") }
}
