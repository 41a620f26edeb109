//! The document of a schedule, read and written.

use std::collections::{BTreeMap, BTreeSet};

use dropforge_engine::ids::RunUid;
use dropforge_manifest::types::{CronWorkflow, CronWorkflowSpec};
use jiff::Timestamp;

use super::recurring::Recurring;
use super::{CRON_FORMAT, CronAct, CronEnd, CronState, Ticked, Times, Watch, decide};
use crate::deaths::tidy_away;
use crate::definitions;
use crate::documents::{change, read};
use crate::store::{
    Artifacts, Buried, Documents, ErrorKind, INDEX_FORMAT, Index, IndexEntry, Runs, StoreError,
};

/// The key of a schedule's document.
pub fn key(namespace: &str, name: &str) -> String {
    format!("crons/{namespace}/{name}.json")
}

/// The document of a schedule, if it was ever watched.
///
/// # Errors
/// When it can't be read.
pub async fn state<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
) -> Result<Option<CronState>, StoreError> {
    read(store, &key(namespace, name), CRON_FORMAT).await
}

/// Begins to watch a schedule: from `now` on, unless it was watched before and what came since then was missed.
///
/// # Errors
/// When the document can't be stored.
pub async fn begin<S: Documents>(
    store: &S,
    namespace: &str,
    cron: &CronWorkflow,
    now: Timestamp,
) -> Result<CronState, StoreError> {
    let key = key(namespace, cron.metadata.name.as_deref().unwrap_or_default());
    change(store, &key, CRON_FORMAT, |old: Option<CronState>| {
        let mut state = old.unwrap_or_else(|| CronState::new(&cron.spec, now));
        state.begin(&cron.spec, now);
        (state.clone(), state)
    })
    .await
}

/// Forgets a schedule that was taken away; its runs go on.
///
/// # Errors
/// When the document can't be stored.
pub async fn forget<S: Documents>(store: &S, namespace: &str, name: &str) -> Result<(), StoreError> {
    edit(store, namespace, name, CronState::forget).await
}

/// Decides on the ticks that are due and writes that down; gives what became of each, and what is to be done.
///
/// # Errors
/// When the document can't be stored; deciding again is right.
pub async fn tick<S: Documents>(
    store: &S,
    namespace: &str,
    cron: &CronWorkflow,
    times: &Times,
    (watch, now): (Watch, Timestamp),
    new_uid: &mut (dyn FnMut() -> RunUid + Send),
) -> Result<(Vec<Ticked>, Vec<CronAct>), StoreError> {
    let key = key(namespace, cron.metadata.name.as_deref().unwrap_or_default());
    change(store, &key, CRON_FORMAT, |old: Option<CronState>| {
        let mut state = old.unwrap_or_else(|| CronState::new(&cron.spec, now));
        let ticked = decide(cron, times, &mut state, watch, now, new_uid);
        let acts = state.acts();
        (state, (ticked, acts))
    })
    .await
}

async fn edit<S: Documents, T: Default>(
    store: &S,
    namespace: &str,
    name: &str,
    mut with: impl FnMut(&mut CronState) -> T,
) -> Result<T, StoreError> {
    let key = key(namespace, name);
    if store.get(&key).await?.is_none() {
        return Ok(T::default());
    }
    change(store, &key, CRON_FORMAT, |old: Option<CronState>| {
        // Nothing removes the document, so that there is one; else an empty one says as much.
        let mut state =
            old.unwrap_or_else(|| CronState::new(&CronWorkflowSpec::default(), Timestamp::UNIX_EPOCH));
        let answer = with(&mut state);
        (state, answer)
    })
    .await
}

/// Notes that a run was created.
///
/// # Errors
/// When the document can't be stored.
pub async fn born<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    uid: &RunUid,
) -> Result<(), StoreError> {
    edit(store, namespace, name, |state| state.born(uid)).await
}

/// Notes the schedules of EventBridge that are there for it.
///
/// # Errors
/// When the document can't be stored.
pub async fn armed<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    recurring: &[Recurring],
) -> Result<(), StoreError> {
    edit(store, namespace, name, |state| state.recurring = recurring.to_vec()).await
}

/// Notes that a reminder for `due` was asked for.
///
/// # Errors
/// When the document can't be stored.
pub async fn reminded<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    due: Timestamp,
) -> Result<(), StoreError> {
    edit(store, namespace, name, |state| state.reminded = Some(due)).await
}

/// Notes that an admitted run can't be created.
///
/// # Errors
/// When the document can't be stored.
pub async fn unborn<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    uid: &RunUid,
    why: &str,
) -> Result<(), StoreError> {
    edit(store, namespace, name, |state| state.unborn(uid, why)).await
}

/// Notes the end of a run, told by the run's outbox; gives whether it was active.
///
/// # Errors
/// When the document can't be stored.
pub async fn ended<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    end: &CronEnd,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let cron = match definitions::cron(store, namespace, name).await {
        // Whether the schedule stops is decided at its next tick.
        Err(why) if why.kind() == ErrorKind::Corrupt => None,
        cron => cron?,
    };
    edit(store, namespace, name, |state| state.ended(cron.as_ref(), end.clone(), now)).await
}

/// Deletes what is beyond a schedule's history limits; gives how many.
///
/// # Errors
/// When the document or a run can't be read or changed; the next tick does what is left.
pub async fn trim_history<S: Documents + Runs + Index + Artifacts>(
    store: &S,
    namespace: &str,
    cron: &CronWorkflow,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let name = cron.metadata.name.as_deref().unwrap_or_default();
    let Some(state) = state(store, namespace, name).await? else { return Ok(0) };
    let by = format!("history limit of schedule {name}");
    let mut gone = BTreeSet::new();
    for end in state.beyond_history(cron) {
        // One that still has something to do goes another time; one that somebody has deleted is gone.
        if tidy_away(store, &entry(namespace, &end), &by, now).await? == Buried::Hidden {
            gone.insert(end.uid);
        }
    }
    if !gone.is_empty() {
        edit(store, namespace, name, |state| state.ends.retain(|end| !gone.contains(&end.uid))).await?;
    }
    Ok(gone.len())
}

/// The run's line of the list, as far as it names it.
fn entry(namespace: &str, end: &CronEnd) -> IndexEntry {
    IndexEntry {
        format: INDEX_FORMAT,
        uid: end.uid.clone(),
        name: end.name.clone(),
        namespace: namespace.to_owned(),
        position: 0,
        phase: end.phase,
        message: String::new(),
        created_at: end.created_at,
        started_at: None,
        finished_at: None,
        progress: String::new(),
        metrics: BTreeMap::new(),
        cause: String::new(),
        expires_at: None,
        labels: BTreeMap::new(),
    }
}
