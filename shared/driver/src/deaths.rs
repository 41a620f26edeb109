//! The end of a run's time in the list: a tombstone in the place of its spec. Journals stay, and go by age alone.

use dropforge_engine::garbage::Fate;
use jiff::Timestamp;

use crate::garbage;
use crate::store::{
    Artifacts, Buried, ErrorKind, Index, IndexEntry, Runs, StoreError, TOMBSTONE_FORMAT, Tombstone,
};

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
        // Which artifacts it had can't be told any more: they stay, as its journal does.
        Err(why @ StoreError::Damaged { .. }) => {
            tracing::warn!(run = %entry.uid, %why, "a deleted run can't be read; its artifacts stay");
            Vec::new()
        }
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

/// As [`delete`], for who tidies up unasked: a run that a newer version wrote, or that can't be read, stays as it is and
/// keeps nothing else from going on.
///
/// # Errors
/// When the store fails.
pub async fn tidy_away<S: Runs + Index + Artifacts>(
    store: &S,
    entry: &IndexEntry,
    by: &str,
    now: Timestamp,
) -> Result<Buried, StoreError> {
    match delete(store, entry, by, now).await {
        Err(why) if why.kind() == ErrorKind::Corrupt => {
            tracing::warn!(run = %entry.uid, %why, "a run that is due to be deleted stays");
            Ok(Buried::Live)
        }
        other => other,
    }
}
