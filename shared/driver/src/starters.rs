//! Marks of triggers and schedules that have something left to do, so that the sweep finds them when every message was
//! lost: an open batch, a run that waits for its turn, a tick without a run yet.
//!
//! A mark is made anew before whatever it marks, and names all who are at it. Whoever is done takes his name out; who
//! finds nothing left to do takes the mark away with it, unless others are named: they may be about to write. Who died
//! stays named for as long as a function lives at most.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::documents::{component, decode, encode, escaped};
use crate::reminders::Starter;
use crate::store::{Documents, StoreError, Swap};

/// The version of the mark that this code writes.
const MARK_FORMAT: u32 = 1;

/// How long somebody is taken to be at work: no function lives longer.
const AT_WORK: SignedDuration = SignedDuration::from_mins(15);

/// Where the marks are.
pub const MARKS: &str = "starters/";

#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
    starter: Starter,
    /// Who made it last.
    #[serde(flatten)]
    last: Made,
    /// All who are at work, as far as is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    makers: Vec<Made>,
    /// How often it had been made when somebody last left something to do: only who made it later may take it away, for
    /// the others looked before that was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

/// A mark as somebody made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Grows, so that two marks are never the same bytes.
    times: u64,
    since: Timestamp,
}

impl Made {
    fn is_at_work(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) < AT_WORK
    }
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
        let old = match stored.as_ref().map(|stored| decode::<Mark>(&key, &stored.body, MARK_FORMAT)) {
            Some(Ok(mark)) => Some(mark),
            // A newer version's stays as it is: who can read it does what it asks for.
            Some(Err(why @ StoreError::NewerFormat { .. })) => return Err(why),
            Some(Err(_)) | None => None,
        };
        let last = Made { times: old.as_ref().map_or(0, |old| old.last.times + 1), since: now };
        let left = old.as_ref().and_then(|old| old.left);
        let others = old.into_iter().flat_map(|old| old.makers).filter(|other| other.is_at_work(now));
        let makers = others.chain([last.clone()]).collect();
        let mark = Mark { format: MARK_FORMAT, starter: starter.clone(), last: last.clone(), makers, left };
        let body = encode(&key, &mark)?;
        let expected = stored.as_ref().map(|stored| stored.version.as_str());
        if let Swap::Stored { .. } = store.swap(&key, expected, &body).await? {
            return Ok(last);
        }
    }
}

/// Its maker is done and found nothing left to do: takes the mark away, unless others are at work. Gives whether nobody
/// has made it anew since: then somebody else was at work at the same time, and perhaps on something newer.
///
/// # Errors
/// When it is unknown whether it is gone.
pub async fn unmark<S: Documents>(
    store: &S,
    starter: &Starter,
    made: &Made,
    now: Timestamp,
) -> Result<bool, StoreError> {
    done(store, starter, made, now, false).await
}

/// Its maker is done and something is left to do: the mark stays. Gives the same.
///
/// # Errors
/// When it can't be read or written.
pub async fn leave<S: Documents>(
    store: &S,
    starter: &Starter,
    made: &Made,
    now: Timestamp,
) -> Result<bool, StoreError> {
    done(store, starter, made, now, true).await
}

async fn done<S: Documents>(
    store: &S,
    starter: &Starter,
    made: &Made,
    now: Timestamp,
    stays: bool,
) -> Result<bool, StoreError> {
    let key = key(starter);
    loop {
        let Some(stored) = store.get(&key).await? else { return Ok(false) };
        let mut mark: Mark = decode(&key, &stored.body, MARK_FORMAT)?;
        let alone = mark.last == *made;
        mark.makers.retain(|maker| maker != made && maker.is_at_work(now));
        if stays {
            mark.left = Some(mark.last.times);
        }
        let may_go = !stays && mark.left.is_none_or(|left| made.times > left);
        let swapped = match mark.makers.is_empty() && may_go {
            true => store.remove(&key, &stored.version).await?,
            false => store.swap(&key, Some(&stored.version), &encode(&key, &mark)?).await?,
        };
        if let Swap::Stored { .. } = swapped {
            return Ok(alone);
        }
    }
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

    const EARLY: Timestamp = Timestamp::UNIX_EPOCH;

    fn churn() -> Starter {
        Starter::Trigger { namespace: "ml".to_owned(), name: "../churn é".to_owned() }
    }

    #[test]
    fn a_mark_stays_until_all_who_are_at_work_are_done() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let again = || done(mark(&store, &starter, EARLY)).unwrap();
        let (first, second) = (again(), again());
        assert!(done(unmark(&store, &starter, &second, EARLY)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), std::slice::from_ref(&starter));
        assert!(!done(unmark(&store, &starter, &first, EARLY)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), []);
    }

    #[test]
    fn a_mark_with_something_left_to_do_stays_and_nobody_is_at_work() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let again = || done(mark(&store, &starter, EARLY)).unwrap();
        assert!(done(leave(&store, &starter, &again(), EARLY)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), std::slice::from_ref(&starter));
        assert!(done(unmark(&store, &starter, &again(), EARLY)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), []);
    }

    #[test]
    fn who_looked_before_something_was_left_to_do_does_not_take_the_mark_away() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let again = || done(mark(&store, &starter, EARLY)).unwrap();
        let (first, second) = (again(), again());
        assert!(done(leave(&store, &starter, &second, EARLY)).unwrap());
        assert!(!done(unmark(&store, &starter, &first, EARLY)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), std::slice::from_ref(&starter));
        assert!(done(unmark(&store, &starter, &again(), EARLY)).unwrap());
        assert_eq!(done(marked(&store)).unwrap(), []);
    }

    #[test]
    fn who_died_is_at_work_for_as_long_as_a_function_lives() {
        let (store, starter) = (FakeDocuments::default(), churn());
        let _died = done(mark(&store, &starter, EARLY)).unwrap();
        for (later, left) in [(AT_WORK / 2, 1), (AT_WORK, 0)] {
            let now = EARLY + later;
            let made = done(mark(&store, &starter, now)).unwrap();
            assert!(done(unmark(&store, &starter, &made, now)).unwrap());
            assert_eq!(done(marked(&store)).unwrap().len(), left, "{later:?}");
        }
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
