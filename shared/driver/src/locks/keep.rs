//! The documents of locks, read and written.

use std::collections::BTreeSet;

use dropforge_engine::ids::{NodeId, RunUid};
use dropforge_engine::lock::{LockName, LockWait};

use super::{Claimant, LOCK_FORMAT, Leaving, LockState, Present};
use crate::documents::{change, change_or_remove, component, decode, encode, escaped, read};
use crate::owner::{at_most, chain};
use crate::store::{Documents, Runs, StoreError, Swap, Versioned};

/// Documents read at once: as many as answers of a store are waited for side by side.
const READS_AT_ONCE: usize = 16;

/// What became of a request for locks.
#[derive(Clone, Debug, PartialEq)]
pub struct Taking {
    /// Why it waits; none: it holds them all.
    pub wait: Option<LockWait>,
    /// Others that were granted a lock meanwhile.
    pub granted: Vec<Claimant>,
}

/// The key of a lock's document.
pub fn key(lock: &LockName) -> String {
    let name = match lock {
        LockName::Mutex { name, .. } => format!("mutex-{}", escaped(name)),
        LockName::Semaphore { name, key, .. } => format!("semaphore-{}.{}", escaped(name), escaped(key)),
        LockName::Runs { .. } => "runs".to_owned(),
    };
    match lock.namespace() {
        Some(namespace) => format!("locks/{}/{}.json", component(escaped(namespace)), component(name)),
        None => format!("locks/{name}.json"),
    }
}

/// The document of a lock, if anybody holds it or waits for it.
///
/// # Errors
/// When it can't be read.
pub async fn state<S: Documents>(store: &S, lock: &LockName) -> Result<Option<LockState>, StoreError> {
    read(store, &key(lock), LOCK_FORMAT).await
}

/// Takes all of these locks, in the order of their names, or none: where one refuses, the claimant stands in its queue
/// and in no other, and what it took before is given back, so that nobody holds while waiting. Doing it twice is
/// harmless.
///
/// # Errors
/// When it is unknown what is stored; doing it again is right.
pub async fn take<S: Documents>(
    store: &S,
    claimant: &Claimant,
    locks: &[(LockName, i64)],
    present: &Present<'_>,
) -> Result<Taking, StoreError> {
    let mut locks = locks.to_vec();
    locks.sort();
    let mut granted = Vec::new();
    for (lock, limit) in &locks {
        let (wait, others) = change(store, &key(lock), LOCK_FORMAT, |old: Option<LockState>| {
            let mut state = old.unwrap_or_else(|| LockState::new(lock, *limit));
            let answer = state.take(claimant, *limit, present);
            (state, answer)
        })
        .await?;
        granted.extend(others);
        if wait.is_some() {
            let others = locks.iter().map(|(other, _)| other).filter(|other| *other != lock);
            for other in others {
                granted.extend(leave(store, other, &claimant.leaving(), present).await?);
            }
            return Ok(Taking { wait, granted });
        }
    }
    Ok(Taking { wait: None, granted })
}

/// Takes a claimant out of a lock and its queue; gives who was granted the lock in its place.
///
/// # Errors
/// When it is unknown what is stored; doing it again is right.
pub async fn leave<S: Documents>(
    store: &S,
    lock: &LockName,
    claimant: &Leaving<'_>,
    present: &Present<'_>,
) -> Result<Vec<Claimant>, StoreError> {
    edit(store, lock, |state| state.leave(claimant, present)).await
}

/// A lock's document as it was read.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it says.
    pub state: LockState,
    version: String,
}

/// A lock's document, to be changed by what is found elsewhere.
///
/// # Errors
/// When it can't be read.
pub async fn seen<S: Documents>(store: &S, lock: &LockName) -> Result<Option<Seen>, StoreError> {
    seen_at(store, &key(lock)).await
}

async fn seen_at<S: Documents>(store: &S, key: &str) -> Result<Option<Seen>, StoreError> {
    let Some(Versioned { body, version }) = store.get(key).await? else { return Ok(None) };
    Ok(Some(Seen { state: decode(key, &body, LOCK_FORMAT)?, version }))
}

/// Takes claimants out of a lock; gives who was granted it in their place. Where the document has changed since it was
/// read, nothing is done: what was found to be over then may be there again, and whoever looks next finds the rest.
///
/// # Errors
/// When it is unknown what is stored; finding again and doing it again is right.
pub async fn forget<S: Documents>(
    store: &S,
    seen: Seen,
    over: &BTreeSet<(RunUid, Option<NodeId>)>,
    present: &Present<'_>,
) -> Result<Vec<Claimant>, StoreError> {
    let Seen { mut state, version } = seen;
    let granted = state.forget(over, present);
    let key = key(&state.lock);
    let changed = match state.in_use() {
        true => store.swap(&key, Some(&version), &encode(&key, &state)?).await?,
        false => store.remove(&key, &version).await?,
    };
    match changed {
        Swap::Stored { .. } => Ok(granted),
        Swap::Conflict => Ok(Vec::new()),
    }
}

/// Changes a lock that somebody holds or waits for, and removes its document when nobody does any more: the sweep reads
/// them all. Whoever takes the lock meanwhile changes the document, which is then not removed, or finds none and makes
/// one. A document says all that counts of its lock, so that one that is there again with the same content is the same.
async fn edit<S: Documents>(
    store: &S,
    lock: &LockName,
    mut with: impl FnMut(&mut LockState) -> Vec<Claimant>,
) -> Result<Vec<Claimant>, StoreError> {
    change_or_remove(store, &key(lock), LOCK_FORMAT, |old: Option<LockState>| {
        let Some(mut state) = old else { return (None, Vec::new()) };
        let granted = with(&mut state);
        (Some(state).filter(LockState::in_use), granted)
    })
    .await
}

/// Takes runs that are over out of all locks; gives who was granted one in their place. A document that can't be read is
/// passed over, and told of.
///
/// # Errors
/// When it is unknown what is stored; doing it again is right.
pub async fn sweep<S: Documents + Runs>(store: &S) -> Result<Vec<Claimant>, StoreError> {
    let held = locks(store).await?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    // Listed after the locks were read: whoever holds one then was marked live before it took it.
    let live: BTreeSet<RunUid> = store.live_runs().await?.into_iter().collect();
    let mut granted = Vec::new();
    for seen in held {
        let over = |claimant: &&Claimant| !live.contains(&claimant.run);
        let over: BTreeSet<_> = seen.state.claimants().filter(over).map(Claimant::id).collect();
        // One that nobody uses was left by a version that removed none.
        if !over.is_empty() || !seen.state.in_use() {
            granted.extend(forget(store, seen, &over, &|run| live.contains(run)).await?);
        }
    }
    Ok(granted)
}

/// All locks whose documents can be read.
async fn locks<S: Documents>(store: &S) -> Result<Vec<Seen>, StoreError> {
    let keys = store.keys("locks/").await?;
    let reading: Vec<_> = keys.iter().map(|key| seen_at(store, key)).collect();
    let mut locks = Vec::new();
    for (key, read) in keys.iter().zip(at_most(READS_AT_ONCE, reading).await) {
        match read {
            Ok(seen) => locks.extend(seen),
            Err(why) => tracing::warn!(key, "a lock is passed over: failed to {}", chain(&why)),
        }
    }
    Ok(locks)
}
