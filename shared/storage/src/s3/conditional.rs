//! Conditional writes, with every outcome told apart.
//!
//! Nobody repeats such a write but this: whoever did would take the refusal of the second try for a lost race although
//! the first had been made.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use dropforge_driver::owner::at_most;
use dropforge_driver::store::StoreError;

use super::requests::{Condition, Failure, Found, Listed, Metadata, Requests};

/// As much of an object is read to see whose it is: more than any document of ours takes.
const READ_BACK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Pauses before a conditional write is tried again: four seconds in all, so that a function still has time to put its
/// message back.
pub(super) const PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(400),
    Duration::from_millis(1_000),
    Duration::from_millis(2_400),
    Duration::ZERO,
];

/// Objects read at a time.
const READS_AHEAD: usize = 16;

/// What became of a conditional write.
#[derive(Debug)]
pub(super) enum Put {
    /// It was made.
    Committed {
        /// The object's new entity tag.
        etag: String,
    },
    /// What is stored is what was to be written, byte for byte: it was made by a try whose answer was lost, or by
    /// somebody who wrote the very same.
    Mine {
        /// The object's entity tag.
        etag: String,
    },
    /// Somebody else's object is there, or the one to be replaced is gone.
    Lost(Option<Found>),
}

/// What became of a conditional removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is gone.
    Gone,
    /// There was none.
    Missing,
    /// Somebody changed it.
    Changed,
}

/// What the store does with a bucket.
pub(super) trait Conditional: Requests {
    /// Writes an object if the condition holds.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition<'_>,
    ) -> impl Future<Output = Result<Put, StoreError>> + Send {
        let body = Bytes::from(body);
        async move {
            let mut last = None;
            for pause in PAUSES {
                match self.try_put(key, &body, condition, None).await {
                    Ok(etag) => return Ok(Put::Committed { etag }),
                    Err(Failure::Refused) => {
                        let found = self.get_small(key, READ_BACK_BYTES_MAX).await?;
                        if let Some(outcome) = refused(&body, condition, found) {
                            return Ok(outcome);
                        }
                    }
                    Err(Failure::Missing) if matches!(condition, Condition::Unchanged(_)) => {
                        return Ok(Put::Lost(None));
                    }
                    Err(Failure::Unknown(why)) => {
                        // Where not even that is answered, the next try's answer tells.
                        let found = self.get_small(key, READ_BACK_BYTES_MAX).await.ok();
                        if let Some(outcome) = found.and_then(|found| unanswered(&body, condition, found)) {
                            return Ok(outcome);
                        }
                        last = Some(why);
                    }
                    Err(Failure::Conflict(why)) => last = Some(why),
                    Err(failure) => return Err(failure.at("write", key)),
                }
                self.pause(pause).await;
            }
            let source = last.unwrap_or_else(|| io::Error::other("it comes and goes"));
            Err(StoreError::Io { action: "write", key: key.to_owned(), source })
        }
    }

    /// Tries once to write an object if the condition holds; gives its entity tag, or none where the condition does not
    /// hold. Nothing is read back: it is for writes that others may make as well, and later.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    fn put_once(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition<'_>,
        metadata: Metadata,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send {
        let body = Bytes::from(body);
        async move {
            match self.try_put(key, &body, condition, Some(metadata)).await {
                Ok(etag) => Ok(Some(etag)),
                Err(Failure::Refused | Failure::Missing) => Ok(None),
                Err(failure) => Err(failure.at("write", key)),
            }
        }
    }

    /// The object's entity tag, if there is one.
    fn etag(&self, key: &str) -> impl Future<Output = Result<Option<String>, StoreError>> + Send {
        async move { Ok(self.head(key).await?.map(|head| head.etag)) }
    }

    /// Removes an object if its entity tag is still this one.
    ///
    /// # Errors
    /// When it is unknown whether it was removed.
    fn remove_unchanged(
        &self,
        key: &str,
        etag: &str,
    ) -> impl Future<Output = Result<Removed, StoreError>> + Send {
        async move {
            let mut last = None;
            for pause in PAUSES {
                match self.try_remove(key, etag).await {
                    Ok(()) => return Ok(Removed::Gone),
                    Err(Failure::Missing) => return Ok(Removed::Missing),
                    Err(Failure::Refused) => {
                        let there = self.etag(key).await?;
                        return Ok(if there.is_some() { Removed::Changed } else { Removed::Missing });
                    }
                    Err(Failure::Unknown(why)) => {
                        match self.etag(key).await {
                            Ok(None) => return Ok(Removed::Gone),
                            Ok(Some(there)) if there != etag => return Ok(Removed::Changed),
                            _ => {}
                        }
                        last = Some(why);
                    }
                    Err(Failure::Conflict(why)) => last = Some(why),
                    Err(failure) => return Err(failure.at("remove", key)),
                }
                self.pause(pause).await;
            }
            let source = last.unwrap_or_else(|| io::Error::other("it was not answered"));
            Err(StoreError::Io { action: "remove", key: key.to_owned(), source })
        }
    }

    /// The object, if there is one.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send {
        self.read(key, None, u64::MAX)
    }

    /// A part of the object, `bytes=0-9`.
    fn get_range(
        &self,
        key: &str,
        range: String,
    ) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send {
        self.read(key, Some(range), u64::MAX)
    }

    /// The object, if there is one. One of more than `bytes_max` bytes is damaged and not read.
    fn get_small(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send {
        self.read(key, None, bytes_max)
    }

    /// Objects in the order of their keys; none for those that are not there.
    fn get_all(
        &self,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<Found>>, StoreError>> + Send {
        let reads = keys.into_iter().map(move |key| async move { self.get(&key).await }).collect();
        async move { at_most(READS_AHEAD, reads).await.into_iter().collect() }
    }

    /// The objects whose keys begin with `prefix`, by key.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send {
        self.listed(prefix, None, usize::MAX)
    }

    /// The first `many` keys below `prefix` after this one.
    fn list_after(
        &self,
        prefix: &str,
        after: Option<&str>,
        many: usize,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        async move {
            let listed = self.listed(prefix, after, many).await?;
            Ok(listed.into_iter().map(|object| object.key).collect())
        }
    }

    /// Whether there is any object below `prefix`.
    fn has_any(&self, prefix: &str) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async move { Ok(!self.listed(prefix, None, 1).await?.is_empty()) }
    }
}

impl<R: Requests> Conditional for R {}

/// What a refusal means, by what is stored; none: nothing yet, try again.
fn refused(body: &Bytes, condition: Condition<'_>, found: Option<Found>) -> Option<Put> {
    match (found, condition) {
        (Some(found), _) if found.body == *body => Some(Put::Mine { etag: found.etag }),
        // Somebody took it away in between.
        (None, Condition::Absent) => None,
        (found, _) => Some(Put::Lost(found)),
    }
}

/// What a write without an answer has done, by what is stored; none: nothing, as far as that shows.
fn unanswered(body: &Bytes, condition: Condition<'_>, found: Option<Found>) -> Option<Put> {
    match (&found, condition) {
        (Some(there), Condition::Unchanged(etag)) if there.etag == etag => None,
        _ => refused(body, condition, found),
    }
}
