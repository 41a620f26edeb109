//! The end of a run's time in the list: a tombstone in the place of its spec. Journals stay, and go by age alone.

use jiff::Timestamp;

use crate::store::{Buried, Index, IndexEntry, Runs, StoreError, TOMBSTONE_FORMAT, Tombstone};

/// Deletes a run unless it is live: first its spec becomes a tombstone, then it leaves the list. Whoever dies between
/// the two leaves a line that deleting again removes.
///
/// # Errors
/// When it can't be stored.
pub async fn delete<S: Runs + Index>(
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
    let buried = match store.bury(&tombstone).await {
        // A line of the list whose run is not there says nothing.
        Err(StoreError::NotFound { .. }) => Buried::Hidden,
        other => other?,
    };
    if buried == Buried::Hidden {
        store.remove_entry(entry).await?;
    }
    Ok(buried)
}
