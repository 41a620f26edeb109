//! Objects out of S3: several ranges at a time, written and hashed in order.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use aws_sdk_s3::types::ChecksumMode;
use bytes::{Buf, Bytes};
use dropforge_driver::store::{ObjectFacts, StoreError};
use sha2::{Digest, Sha256};

use super::ahead::Ahead;
use super::bucket::{Bucket, quoted, unquoted};
use super::patience::patiently;
use super::requests::Failure;
use super::upload::{SHA256, version};
use crate::files::{ensure_room, failed};
use crate::objects::hex;

/// Ranges lie in memory, for a moment twice, until those before them are written: six of them stay below 64 MiB.
const RANGE_BYTES: u64 = 4 * 1024 * 1024;
const RANGES_AHEAD: usize = 6;

/// How often a range is asked for that breaks off.
const TRIES: u32 = 5;

impl Bucket {
    /// Brings an object to the file `to`, instead of the one that may be there. What changes meanwhile is an error.
    pub(super) async fn download(
        &self,
        key: &str,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let missing = || StoreError::NotFound { what: "object", name: format!("{}/{key}", self.name) };
        let facts = self.facts(key).await?.ok_or_else(missing)?;
        ensure_room(to.parent().unwrap_or(to), facts.size)?;
        crate::files::remove(to)?;
        let written = self.write(key, &facts, to, progress).await;
        if written.is_err() {
            // A part of an object is of no use to anyone.
            let _ = std::fs::remove_file(to);
        }
        Ok(ObjectFacts { sha256: written?, ..facts })
    }

    /// Writes the object and gives its SHA-256.
    async fn write(
        &self,
        key: &str,
        facts: &ObjectFacts,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<String, StoreError> {
        let mut file = File::create(to).map_err(failed("write", to))?;
        let (mut hasher, mut done) = (Sha256::new(), 0);
        let ranges = (0..facts.size.div_ceil(RANGE_BYTES)).map(|index| {
            let (bucket, key, etag) = (self.clone(), key.to_owned(), facts.etag.clone());
            let begin = index * RANGE_BYTES;
            let end = (begin + RANGE_BYTES).min(facts.size);
            async move { bucket.range(&key, &etag, begin, end).await }
        });
        let mut ahead = Ahead::new(RANGES_AHEAD, ranges);
        while let Some(range) = ahead.next().await {
            let range = range?;
            hasher.update(&range);
            file.write_all(&range).map_err(failed("write", to))?;
            done += range.len() as u64;
            progress(done, facts.size);
        }
        let sha256 = hex(&hasher.finalize());
        if !facts.sha256.is_empty() && facts.sha256 != sha256 {
            let why = format!("its SHA-256 is {sha256}, it was stored as {}", facts.sha256);
            return Err(StoreError::Damaged { key: key.to_owned(), offset: 0, why });
        }
        Ok(sha256)
    }

    async fn range(&self, key: &str, etag: &str, begin: u64, end: u64) -> Result<Bytes, StoreError> {
        let read = patiently(self.patience, || self.whole_range(key, etag, begin, end)).await;
        read.map_err(|failure| match failure {
            Failure::Refused => {
                let source = io::Error::new(ErrorKind::ResourceBusy, "the object was changed meanwhile");
                StoreError::Io { action: "read", key: key.to_owned(), source }
            }
            failure => failure.at("read", key),
        })
    }

    async fn whole_range(&self, key: &str, etag: &str, begin: u64, end: u64) -> Result<Bytes, Failure> {
        let mut last = None;
        for _ in 0..TRIES {
            // The entity tag says which version: not every S3 gives ranges of a version that is named.
            let get = self.client.get_object().bucket(&self.name).key(key).if_match(quoted(etag));
            let get = get.range(format!("bytes={begin}-{}", end - 1));
            match get.send().await.map_err(Failure::of)?.body.collect().await {
                Ok(body) if body.remaining() as u64 == end - begin => return Ok(body.into_bytes()),
                Ok(_) => last = Some(io::Error::other("another range came than was asked for")),
                Err(broken) => last = Some(io::Error::other(broken)),
            }
        }
        Err(Failure::Unknown(last.unwrap_or_else(|| io::Error::other("it was not read"))))
    }

    /// The facts about an object; its SHA-256 is empty where only reading the object would tell.
    pub(super) async fn facts(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        let ask = || async { head.clone().send().await.map_err(Failure::of) };
        let head = match patiently(self.patience, ask).await {
            Ok(head) => head,
            Err(Failure::Missing) => return Ok(None),
            Err(failure) => return Err(failure.at("read", key)),
        };
        let sha256 = head.metadata().and_then(|metadata| metadata.get(SHA256)).cloned();
        Ok(Some(ObjectFacts {
            size: u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0),
            sha256: sha256.unwrap_or_default(),
            etag: unquoted(head.e_tag()),
            version_id: version(head.version_id()),
        }))
    }
}
