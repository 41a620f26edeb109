//! The documents of a trigger, read and written.

use std::collections::BTreeSet;

use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_manifest::types::Trigger;
use jiff::Timestamp;
use serde::Serialize;

use super::pages::{Page, Paged};
use super::{Arrival, TRIGGER_FORMAT, Told, TriggerAct, TriggerState, identity};
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

fn page_key(namespace: &str, name: &str, page: &Page) -> String {
    format!("triggers/{namespace}/{name}/waiting/{}", page.name)
}

/// The version of marks and pages.
const SEEN_FORMAT: u32 = 1;

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
        let (_, gone) = edit(store, namespace, name, |state| {
            let gone = state.pages.clone();
            state.forget();
            gone
        })
        .await?;
        remove_pages(store, namespace, name, &gone).await?;
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
    objects: &[impl Clone + Into<Arrival> + Sync],
    replay: Option<&str>,
    now: Timestamp,
    new: &mut (dyn FnMut() -> Identity + Send),
) -> Result<usize, StoreError> {
    let name = trigger.metadata.name.as_deref().unwrap_or_default();
    mark(store, namespace, name).await?;
    let mut named = BTreeSet::new();
    let offered = objects.iter().cloned().map(Into::into).map(|arrival: Arrival| {
        let identity = identity(&arrival.object, replay);
        (arrival, identity)
    });
    let offered: Vec<(Arrival, String)> =
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
    let take = |state: &mut TriggerState, fresh: Vec<(Arrival, String)>| {
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
        create(store, &seen_key(namespace, name, identity), &Seen { format: SEEN_FORMAT }).await?;
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
    let mut told = Vec::new();
    loop {
        let (state, (news, gone)) = edit(store, namespace, name, |state| {
            let before = state.pages.clone();
            let news = state.advance(&trigger.spec, now, new);
            state.set_format();
            (news, before.into_iter().filter(|page| !state.pages.contains(page)).collect::<Vec<_>>())
        })
        .await?;
        told.extend(news);
        remove_pages(store, namespace, name, &gone).await?;
        let state = put_out(store, namespace, name, state).await?;
        match state.pages.first().filter(|_| state.queue.is_empty()) {
            Some(page) => take_in(store, namespace, name, page).await?,
            None => return Ok((told, state.acts(), state)),
        }
    }
}

/// Moves what waits far behind into pages, each stored before the document names it.
async fn put_out<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    mut state: TriggerState,
) -> Result<TriggerState, StoreError> {
    while let Some(page) = state.surplus() {
        create(store, &page_key(namespace, name, &page.page()), &page).await?;
        state = edit(store, namespace, name, |state| state.put_out(&page)).await?.0;
    }
    Ok(state)
}

/// Brings a page back, and removes it once the document does not name it any more.
async fn take_in<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    page: &Page,
) -> Result<(), StoreError> {
    let key = page_key(namespace, name, page);
    if let Some(paged) = read::<_, Paged>(store, &key, SEEN_FORMAT).await? {
        edit(store, namespace, name, |state| state.take_in(page, paged.births.clone())).await?;
        return remove_pages(store, namespace, name, std::slice::from_ref(page)).await;
    }
    // One that is gone was brought back by somebody else, who had the document forget it before.
    let is_named = state(store, namespace, name).await?.is_some_and(|state| state.pages.contains(page));
    let why = || "it is gone, and the trigger's document names it: its runs never start".to_owned();
    if is_named { Err(StoreError::Damaged { key, offset: 0, why: why() }) } else { Ok(()) }
}

/// What a process that dies before this leaves there is named by nobody.
async fn remove_pages<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
    pages: &[Page],
) -> Result<(), StoreError> {
    for page in pages {
        let key = page_key(namespace, name, page);
        if let Some(stored) = store.get(&key).await? {
            store.remove(&key, &stored.version).await?;
        }
    }
    Ok(())
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
