//! The end of a run's time in the list: a tombstone in the place of its spec. Journals stay, and go by age alone.

use dropforge_engine::garbage::Fate;
use jiff::Timestamp;

use crate::garbage;
use crate::store::{Artifacts, Buried, Index, IndexEntry, Runs, StoreError, TOMBSTONE_FORMAT, Tombstone};

/// Deletes a run unless it is live, whoever asks: its spec becomes a tombstone, the artifacts that go with it are
/// removed, and it leaves the list. Whoever dies between the first two leaves artifacts that nobody removes (never a
/// live run without its artifacts); between the last two, a line that deleting again removes.
///
/// # Errors
/// When it can't be stored.
pub async fn delete<S: Runs + Index + Artifacts>(
    store: &S,
    entry: &IndexEntry,
    by: &str,
    now: Timestamp,
) -> Result<Buried, StoreError> {
    let tombstone = Tombstone {
        format: TOMBSTONE_FORMAT,
        uid: entry.uid.clone(),
        name: entry.name.clone(),
        namespace: entry.namespace.clone(),
        deleted_at: now,
        deleted_by: by.to_owned(),
    };
    let gone = match garbage::artifacts(store, &entry.uid, Fate::Deleted).await {
        // A line of the list whose run is gone already.
        Err(StoreError::NotFound { .. }) => Vec::new(),
        other => other?,
    };
    let buried = match store.bury(&tombstone).await {
        // A line of the list whose run is not there says nothing.
        Err(StoreError::NotFound { .. }) => Buried::Hidden,
        other => other?,
    };
    if buried == Buried::Hidden {
        garbage::remove(store, &entry.namespace, &gone).await?;
        store.remove_entry(entry).await?;
    }
    Ok(buried)
}
