//! The documents of a trigger, read and written.

use std::collections::BTreeSet;

use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::DroppedObject;
use dropforge_manifest::types::Trigger;
use jiff::Timestamp;
use serde::Serialize;

use super::{TRIGGER_FORMAT, Told, TriggerAct, TriggerState, identity};
use crate::births::Identity;
use crate::documents::{change, change_by, create, read};
use crate::store::{Documents, StoreError};

/// The key of a trigger's document.
pub fn key(namespace: &str, name: &str) -> String {
    format!("triggers/{namespace}/{name}/state.json")
}

fn seen_key(namespace: &str, name: &str, identity: &str) -> String {
    format!("triggers/{namespace}/{name}/seen/{identity}")
}

/// What the mark of a seen version holds.
#[derive(Serialize)]
struct Seen {
    format: u32,
}

/// The document of a trigger, if it was ever watched.
///
/// # Errors
/// When it can't be read.
pub async fn state<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
) -> Result<Option<TriggerState>, StoreError> {
    read(store, &key(namespace, name), TRIGGER_FORMAT).await
}

async fn edit<S: Documents, T>(
    store: &S,
    namespace: &str,
    name: &str,
    mut with: impl FnMut(&mut TriggerState) -> T,
) -> Result<(TriggerState, T), StoreError> {
    change(store, &key(namespace, name), TRIGGER_FORMAT, |old: Option<TriggerState>| {
        let mut state = old.unwrap_or_default();
        let answer = with(&mut state);
        (state.clone(), (state, answer))
    })
    .await
}

/// Begins to watch a trigger; gives its document, whose `since` says from when on objects count. `changed`: a person
/// has saved it anew, so that one that was suspended as a loop goes on.
///
/// # Errors
/// When the document can't be stored.
pub async fn begin<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    changed: bool,
    now: Timestamp,
) -> Result<TriggerState, StoreError> {
    let begun = edit(store, namespace, name, |state| {
        state.begin(now);
        if changed {
            state.resume();
        }
    });
    Ok(begun.await?.0)
}

/// Forgets a trigger that was taken away; its runs go on.
///
/// # Errors
/// When the document can't be stored.
pub async fn forget<S: Documents>(store: &S, namespace: &str, name: &str) -> Result<(), StoreError> {
    if state(store, namespace, name).await?.is_some() {
        edit(store, namespace, name, TriggerState::forget).await?;
    }
    Ok(())
}

/// Offers objects that match a trigger; gives how many of them nobody had offered before. Offering an object version
/// again changes nothing, except with another `replay` id.
///
/// # Errors
/// When the documents can't be stored; offering the same again is right.
pub async fn offer<S: Documents>(
    store: &S,
    namespace: &str,
    trigger: &Trigger,
    objects: &[DroppedObject],
    replay: Option<&str>,
    now: Timestamp,
    new: &mut (dyn FnMut() -> Identity + Send),
) -> Result<usize, StoreError> {
    let name = trigger.metadata.name.as_deref().unwrap_or_default();
    mark(store, namespace, name).await?;
    let mut named = BTreeSet::new();
    let offered = objects.iter().map(|object| (object.clone(), identity(object, replay)));
    let offered: Vec<(DroppedObject, String)> =
        offered.filter(|(_, identity)| named.insert(identity.clone())).collect();
    // Marks are looked for after the document was read, and made before it forgets: whatever another process assigned
    // meanwhile is in the document, or marked, or makes this change a conflict.
    let unseen = async |state: &TriggerState| {
        let mut unseen = Vec::new();
        for one in &offered {
            let assigned = state.unmarked.contains(&one.1);
            if !assigned && store.get(&seen_key(namespace, name, &one.1)).await?.is_none() {
                unseen.push(one.clone());
            }
        }
        Ok(unseen)
    };
    let take = |state: &mut TriggerState, fresh: Vec<(DroppedObject, String)>| {
        let count = fresh.len();
        state.take(&trigger.spec, fresh, now, new);
        count
    };
    let count = change_by(store, &key(namespace, name), TRIGGER_FORMAT, unseen, take).await?;
    if count > 0 {
        mark(store, namespace, name).await?;
    }
    Ok(count)
}

/// Marks what is assigned as seen, so that the document needs not keep it.
async fn mark<S: Documents>(store: &S, namespace: &str, name: &str) -> Result<(), StoreError> {
    let unmarked = state(store, namespace, name).await?.map(|state| state.unmarked).unwrap_or_default();
    if unmarked.is_empty() {
        return Ok(());
    }
    for identity in &unmarked {
        create(store, &seen_key(namespace, name, identity), &Seen { format: TRIGGER_FORMAT }).await?;
    }
    edit(store, namespace, name, |state| state.unmarked.retain(|id| !unmarked.contains(id))).await?;
    Ok(())
}

/// Moves on whatever `now` allows and writes that down; gives what a person should know, what is to be done, and the
/// document.
///
/// # Errors
/// When the document can't be stored; asking again is right.
pub async fn due<S: Documents>(
    store: &S,
    namespace: &str,
    trigger: &Trigger,
    now: Timestamp,
    new: &mut (dyn FnMut() -> Identity + Send),
) -> Result<(Vec<Told>, Vec<TriggerAct>, TriggerState), StoreError> {
    let name = trigger.metadata.name.as_deref().unwrap_or_default();
    let (state, told) = edit(store, namespace, name, |state| state.advance(&trigger.spec, now, new)).await?;
    Ok((told, state.acts(), state))
}

/// Notes that runs were created.
///
/// # Errors
/// When the document can't be stored.
pub async fn born<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    runs: &[RunUid],
) -> Result<(), StoreError> {
    edit(store, namespace, name, |state| runs.iter().for_each(|run| state.born(run))).await.map(drop)
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
    edit(store, namespace, name, |state| state.reminded = Some(due)).await.map(drop)
}

/// Notes that a run can't be created.
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
    edit(store, namespace, name, |state| state.unborn(uid, why)).await.map(drop)
}

/// Notes the end of a run, told by the run's outbox; gives whether it was active.
///
/// # Errors
/// When the document can't be stored.
pub async fn ended<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    (uid, phase): (&RunUid, RunPhase),
    now: Timestamp,
) -> Result<bool, StoreError> {
    if state(store, namespace, name).await?.is_none() {
        return Ok(false);
    }
    Ok(edit(store, namespace, name, |state| state.ended(uid, phase, now)).await?.1)
}
