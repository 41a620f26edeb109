//! One bucket, with every outcome of a conditional write told apart.
//!
//! The SDK never repeats such a write by itself: it would take the refusal of its second try for a lost race although
//! the first had been made.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use dropforge_driver::store::StoreError;

use super::ahead::Ahead;
use super::error::Failure;
use super::patience::patiently;

/// As much of an object is read to see whose it is: more than any document of ours takes.
const READ_BACK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Pauses before a conditional write is tried again: four seconds in all, so that a function still has time to put its
/// message back.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(400),
    Duration::from_millis(1_000),
    Duration::from_millis(2_400),
    Duration::ZERO,
];

/// Longer bodies have longer to arrive: a slow line still carries this much in a second.
const BYTES_PER_SECOND_MIN: u64 = 1024 * 1024;

/// Objects read at a time.
const READS_AHEAD: usize = 16;

/// One bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) try_timeout: Duration,
    pub(super) patience: Duration,
}

/// A stored object.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) body: Bytes,
    pub(super) etag: String,
}

/// Short texts that an object carries beside its body.
pub(super) type Notes = HashMap<String, String>;

/// A stored object without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) notes: Notes,
}

/// What must hold for a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    /// There is no such object.
    Absent,
    /// The object has this entity tag.
    Unchanged(&'a str),
}

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

/// An object in a listing.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) size: u64,
}

impl Bucket {
    pub(super) fn new(client: Client, name: &str) -> Bucket {
        Bucket {
            client,
            name: name.to_owned(),
            try_timeout: Duration::from_secs(10),
            patience: Duration::ZERO,
        }
    }

    /// Writes an object if the condition holds.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    pub(super) async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition<'_>,
    ) -> Result<Put, StoreError> {
        let body = Bytes::from(body);
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
            tokio::time::sleep(pause).await;
        }
        let source = last.unwrap_or_else(|| io::Error::other("it comes and goes"));
        Err(StoreError::Io { action: "write", key: key.to_owned(), source })
    }

    /// Tries once to write an object if the condition holds; gives its entity tag, or none where the condition does not
    /// hold. Nothing is read back: it is for writes that others may make as well, and later.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    pub(super) async fn put_once(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition<'_>,
        notes: Notes,
    ) -> Result<Option<String>, StoreError> {
        match self.try_put(key, &Bytes::from(body), condition, Some(notes)).await {
            Ok(etag) => Ok(Some(etag)),
            Err(Failure::Refused | Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.at("write", key)),
        }
    }

    async fn try_put(
        &self,
        key: &str,
        body: &Bytes,
        condition: Condition<'_>,
        notes: Option<Notes>,
    ) -> Result<String, Failure> {
        let (if_none_match, if_match) = match condition {
            Condition::Absent => (Some("*".to_owned()), None),
            Condition::Unchanged(etag) => (None, Some(quoted(etag))),
        };
        let put = self.client.put_object().bucket(&self.name).key(key).body(ByteStream::from(body.clone()));
        let put = put.set_if_none_match(if_none_match).set_if_match(if_match).set_metadata(notes);
        let once = self.once(body.len() as u64);
        let sent = put.customize().config_override(once).send().await.map_err(Failure::of)?;
        Ok(unquoted(sent.e_tag()))
    }

    fn once(&self, bytes: u64) -> config::Builder {
        let limit = self.try_timeout + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
        let timeouts = TimeoutConfig::builder().operation_timeout(limit).build();
        config::Builder::new().retry_config(RetryConfig::disabled()).timeout_config(timeouts)
    }

    /// Writes an object in place of whatever is there; writing it twice is as good as once.
    pub(super) async fn replace(&self, key: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let put = self.client.put_object().bucket(&self.name).key(key).body(ByteStream::from(body));
        put.send().await.map(drop).map_err(|error| Failure::of(error).at("write", key))
    }

    /// The object, if there is one.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Found>, StoreError> {
        self.read(key, None, u64::MAX).await
    }

    /// A part of the object, `bytes=0-9`.
    pub(super) async fn get_range(&self, key: &str, range: String) -> Result<Option<Found>, StoreError> {
        self.read(key, Some(range), u64::MAX).await
    }

    /// The object, if there is one. One of more than `bytes_max` bytes is damaged and not read.
    pub(super) async fn get_small(&self, key: &str, bytes_max: u64) -> Result<Option<Found>, StoreError> {
        self.read(key, None, bytes_max).await
    }

    async fn read(
        &self,
        key: &str,
        range: Option<String>,
        bytes_max: u64,
    ) -> Result<Option<Found>, StoreError> {
        let mut last = None;
        for pause in PAUSES {
            let get = self.client.get_object().bucket(&self.name).key(key).set_range(range.clone());
            let answer = match get.send().await.map_err(Failure::of) {
                Ok(answer) => answer,
                Err(Failure::Missing) => return Ok(None),
                Err(failure) => return Err(failure.at("read", key)),
            };
            let size = u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
            if size > bytes_max {
                let why = format!("it has {size} bytes, at most {bytes_max} are possible");
                return Err(StoreError::Damaged { key: key.to_owned(), offset: 0, why });
            }
            let etag = unquoted(answer.e_tag());
            // The SDK repeats what fails before the first byte, not what breaks off.
            match answer.body.collect().await {
                Ok(body) => return Ok(Some(Found { body: body.into_bytes(), etag })),
                Err(broken) => last = Some(io::Error::other(broken)),
            }
            tokio::time::sleep(pause).await;
        }
        let source = last.unwrap_or_else(|| io::Error::other("it was not read"));
        Err(StoreError::Io { action: "read", key: key.to_owned(), source })
    }

    /// Objects in the order of their keys; none for those that are not there.
    pub(super) async fn get_all(&self, keys: Vec<String>) -> Result<Vec<Option<Found>>, StoreError> {
        let reads = keys.into_iter().map(|key| {
            let bucket = self.clone();
            async move { bucket.get(&key).await }
        });
        let (mut ahead, mut found) = (Ahead::new(READS_AHEAD, reads), Vec::new());
        while let Some(read) = ahead.next().await {
            found.push(read?);
        }
        Ok(found)
    }

    /// The object's entity tag, if there is one.
    pub(super) async fn etag(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.head(key).await?.map(|head| head.etag))
    }

    /// What is known of an object without reading it, if there is one.
    pub(super) async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        match self.client.head_object().bucket(&self.name).key(key).send().await.map_err(Failure::of) {
            Ok(head) => {
                let size = u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0);
                let etag = unquoted(head.e_tag());
                Ok(Some(Head { etag, size, notes: head.metadata.unwrap_or_default() }))
            }
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.at("read", key)),
        }
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(&self, key: &str) -> Result<(), StoreError> {
        match self.client.delete_object().bucket(&self.name).key(key).send().await.map_err(Failure::of) {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure.at("remove", key)),
        }
    }

    /// Removes an object if its entity tag is still this one.
    ///
    /// # Errors
    /// When it is unknown whether it was removed.
    pub(super) async fn remove_unchanged(&self, key: &str, etag: &str) -> Result<Removed, StoreError> {
        let mut last = None;
        for pause in PAUSES {
            let remove = self.client.delete_object().bucket(&self.name).key(key).if_match(quoted(etag));
            match remove.customize().config_override(self.once(0)).send().await.map_err(Failure::of) {
                Ok(_) => return Ok(Removed::Gone),
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
            tokio::time::sleep(pause).await;
        }
        let source = last.unwrap_or_else(|| io::Error::other("it was not answered"));
        Err(StoreError::Io { action: "remove", key: key.to_owned(), source })
    }

    /// The objects whose keys begin with `prefix`, by key.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = patiently(self.patience, || self.list_all(prefix)).await;
        listed.map_err(|failure| failure.at("list", prefix))
    }

    async fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        let mut listed = Vec::new();
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            for object in page.map_err(Failure::of)?.contents.unwrap_or_default() {
                let size = u64::try_from(object.size.unwrap_or(0)).unwrap_or(0);
                listed.extend(object.key.map(|key| Listed { key, size }));
            }
        }
        Ok(listed)
    }

    /// The first `many` keys below `prefix` after this one.
    pub(super) async fn list_after(
        &self,
        prefix: &str,
        after: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let request = request.max_keys(i32::try_from(many).unwrap_or(i32::MAX));
        let mut pages = request.set_start_after(after.map(str::to_owned)).into_paginator().send();
        while keys.len() < many
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(|error| Failure::of(error).at("list", prefix))?;
            keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
        }
        keys.truncate(many);
        Ok(keys)
    }

    /// Whether there is any object below `prefix`.
    pub(super) async fn has_any(&self, prefix: &str) -> Result<bool, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix).max_keys(1);
        let page = request.send().await.map_err(|error| Failure::of(error).at("list", prefix))?;
        Ok(page.contents.is_some_and(|objects| !objects.is_empty()))
    }

    /// The folders directly below the top of the bucket, without their slash.
    pub(super) async fn folders(&self) -> Result<Vec<String>, StoreError> {
        let mut folders = Vec::new();
        let request = self.client.list_objects_v2().bucket(&self.name).delimiter("/");
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| Failure::of(error).at("list", "")).map(|page| page.common_prefixes);
            let prefixes = page?.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            folders.extend(prefixes.map(|folder| folder.trim_end_matches('/').to_owned()));
        }
        Ok(folders)
    }
}

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

/// Entity tags are kept without their quotes.
pub(super) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
