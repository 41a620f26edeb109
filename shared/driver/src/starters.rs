//! Marks of triggers and schedules that have something left to do, so that the sweep finds them when every message was
//! lost: an open batch, a run that waits for its turn, a tick without a run yet.
//!
//! A mark is made anew before whatever it marks; its maker takes it away when nothing is left to do, and only if nobody
//! has made it anew since.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::documents::{component, decode, escaped};
use crate::reminders::Starter;
use crate::store::{Documents, StoreError, Swap};

/// The version of the mark that this code writes.
const MARK_FORMAT: u32 = 1;

/// Where the marks are.
pub const MARKS: &str = "starters/";

#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
    starter: Starter,
    /// Grows, so that two marks are never the same bytes.
    times: u64,
    since: Timestamp,
}

fn key(starter: &Starter) -> String {
    let kind = match starter {
        Starter::Trigger { .. } => "trigger",
        Starter::CronWorkflow { .. } => "cronworkflow",
    };
    let part = |text: &str| component(escaped(text));
    format!("{MARKS}{}/{kind}/{}.json", part(starter.namespace()), part(starter.name()))
}

/// Marks it, before anything of it is written.
///
/// # Errors
/// When it is unknown whether it is marked.
pub async fn mark<S: Documents>(store: &S, starter: &Starter, now: Timestamp) -> Result<Made, StoreError> {
    let key = key(starter);
    loop {
        let stored = store.get(&key).await?;
        let times = match stored.as_ref().map(|stored| decode::<Mark>(&key, &stored.body, MARK_FORMAT)) {
            Some(Ok(mark)) => mark.times + 1,
            // A newer version's stays as it is: who can read it does what it asks for.
            Some(Err(why @ StoreError::NewerFormat { .. })) => return Err(why),
            Some(Err(_)) | None => 0,
        };
        let mark = Mark { format: MARK_FORMAT, starter: starter.clone(), times, since: now };
        let body = serde_json::to_vec(&mark).map_err(|why| StoreError::Io {
            action: "encode",
            key: key.clone(),
            source: std::io::Error::other(why),
        })?;
        let expected = stored.as_ref().map(|stored| stored.version.as_str());
        if let Swap::Stored { version } = store.swap(&key, expected, &body).await? {
            return Ok(Made(version));
        }
    }
}

/// A mark as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made(String);

/// Takes a mark away whose maker found nothing left to do, unless it was made anew since; gives whether it was not: then
/// somebody else was at work at the same time, and perhaps on something newer.
///
/// # Errors
/// When it is unknown whether it is gone.
pub async fn unmark<S: Documents>(store: &S, starter: &Starter, made: &Made) -> Result<bool, StoreError> {
    let swapped = store.remove(&key(starter), &made.0).await?;
    Ok(matches!(swapped, Swap::Stored { .. }))
}

/// Whether a mark has not been made anew since.
///
/// # Errors
/// When it can't be read.
pub async fn stands<S: Documents>(store: &S, starter: &Starter, made: &Made) -> Result<bool, StoreError> {
    Ok(store.get(&key(starter)).await?.is_some_and(|stored| stored.version == made.0))
}

/// All that are marked; the sweep reminds of them.
///
/// # Errors
/// When they can't be listed or read.
pub async fn marked<S: Documents>(store: &S) -> Result<Vec<Starter>, StoreError> {
    let mut marked = Vec::new();
    for key in store.keys(MARKS).await? {
        let Some(stored) = store.get(&key).await? else { continue };
        // What can't be read is a newer version's, which will look for itself.
        marked.extend(serde_json::from_slice::<Mark>(&stored.body).ok().map(|mark| mark.starter));
    }
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::fake::{FakeDocuments, now as done};

    fn churn() -> Starter {
        Starter::Trigger { namespace: "ml".to_owned(), name: "../churn é".to_owned() }
    }

    #[test]
    fn a_mark_that_was_made_anew_stays() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let again = || done(mark(&store, &starter, Timestamp::UNIX_EPOCH)).unwrap();
        let (first, second) = (again(), again());
        assert!(!done(unmark(&store, &starter, &first)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), std::slice::from_ref(&starter));
        assert!(done(unmark(&store, &starter, &second)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), []);
    }

    #[test]
    fn a_mark_of_a_newer_version_is_left_as_it_is() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let newer = br#"{"format":2,"what":"else"}"#;
        done(store.swap(&key(&starter), None, newer)).unwrap();
        let refused = done(mark(&store, &starter, Timestamp::UNIX_EPOCH)).unwrap_err();
        assert!(matches!(refused, StoreError::NewerFormat { found: 2, .. }), "{refused}");
        assert_eq!(done(store.get(&key(&starter))).unwrap().unwrap().body, newer);
    }

    #[test]
    fn two_marks_are_never_the_same_bytes() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let body = || {
            done(mark(&store, &starter, Timestamp::UNIX_EPOCH)).unwrap();
            done(store.get(&key(&starter))).unwrap().unwrap().body
        };
        assert_ne!(body(), body());
    }
}
