//! The deletion of runs whose time is over, a part in each sweep: the list of runs may be longer than one call can read.

use dropforge_engine::ids::RunUid;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deaths::tidy_away;
use crate::documents::{change_or_remove, read};
use crate::garbage;
use crate::store::{Artifacts, Buried, RunStore, StoreError};

/// Where it is kept how far the list was read; there is none between two readings.
const KEY: &str = "sweeping/expiry.json";

/// The version of the document that this code writes.
const FORMAT: u32 = 1;

/// How many lines one sweep reads: sixteen at once of 20 ms each take three seconds.
const READS_MAX: usize = 2_000;

/// How many runs one sweep deletes: each is read whole, for the artifacts that go with it.
const DELETIONS_MAX: usize = 50;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Progress {
    format: u32,
    /// The end of what was read.
    after: Option<String>,
    /// The run whose deletion the last call did not finish, if there is one: its journal may be more than a call can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleting: Option<RunUid>,
}

/// Goes on where the last sweep ended, or begins anew where that is due. A run whose deletion did not come to its end keeps
/// none of the others: it is passed over until the list is read again.
///
/// # Errors
/// When the list can't be read or changed; the next sweep goes on in the same place.
pub(super) async fn go_on<S: RunStore + Artifacts>(
    store: &S,
    begins: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let at: Option<Progress> = read(store, KEY, FORMAT).await?;
    if at.is_none() && !begins {
        return Ok(());
    }
    let (after, passed) = at.map_or((None, None), |at| (at.after, at.deleting));
    if let Some(run) = &passed {
        tracing::warn!(%run, "the last sweep did not finish deleting a run whose time is over: it stays until the list is read again");
    }
    let page = store.entries_after(after.as_deref(), READS_MAX).await?;
    let (expired, _) = garbage::expired(&page.entries, now);
    let mut deleted = 0;
    for entry in expired.iter().filter(|entry| Some(&entry.uid) != passed.as_ref()).take(DELETIONS_MAX) {
        let deleting = Some(entry.uid.clone());
        keep(store, Some(Progress { format: FORMAT, after: after.clone(), deleting })).await?;
        if tidy_away(store, entry, "ttlStrategy", now).await? == Buried::Hidden {
            tracing::info!(run = %entry.uid, name = entry.name, "a run was deleted, as its ttlStrategy says");
            deleted += 1;
        }
    }
    // What is left of these lines is read again, as long as that leads anywhere.
    let is_done = expired.len() <= DELETIONS_MAX || deleted == 0;
    let next = if is_done { page.end.map(|end| (Some(end), None)) } else { Some((after, passed)) };
    keep(store, next.map(|(after, deleting)| Progress { format: FORMAT, after, deleting })).await
}

async fn keep<S: RunStore>(store: &S, progress: Option<Progress>) -> Result<(), StoreError> {
    change_or_remove(store, KEY, FORMAT, |_: Option<Progress>| (progress.clone(), ())).await
}
