//! Requests that read objects.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops;

use s3s::dto::{Checksum, Range, StreamingBlob};
use s3s::{S3Result, s3_error};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::condition::ReadCondition;
use super::error::from_store;
use super::headers;
use super::put::{need_bucket, no_such_key, still_there};
use crate::objects::{Facts, Objects, Stat};
use dropforge_driver::store::StoreError;

/// Objects are sent in pieces of this size: large enough that the calls do not count.
const PIECE_BYTES: usize = 256 * 1024;

/// What a read answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) stat: Stat,
    pub(super) facts: Facts,
    /// The bytes to send.
    pub(super) bytes: ops::Range<u64>,
    /// The `Content-Range`, where a part was asked for.
    pub(super) content_range: Option<String>,
}

impl Answer {
    /// What is sent of an object that was found.
    pub(super) fn new(
        (stat, facts): (Stat, Facts),
        condition: &ReadCondition,
        range: Option<Range>,
    ) -> S3Result<Answer> {
        condition.check(&facts.etag, stat.modified)?;
        let (bytes, content_range) = match range {
            None => (0..stat.size, None),
            Some(range) => {
                let bytes = range.check(stat.size).map_err(|_| out_of_range(stat.size))?;
                let text = format!("bytes {}-{}/{}", bytes.start, bytes.end.saturating_sub(1), stat.size);
                (bytes, Some(text))
            }
        };
        Ok(Answer { stat, facts, bytes, content_range })
    }

    pub(super) fn length(&self) -> i64 {
        i64::try_from(self.bytes.end - self.bytes.start).expect("files are smaller than 8 EiB")
    }

    /// The checksums to send: they are of the whole, so a part has none.
    pub(super) fn checksum(&self) -> Checksum {
        match self.content_range {
            None => headers::checksum(&self.facts.metadata),
            Some(_) => Checksum::default(),
        }
    }
}

fn out_of_range(size: u64) -> s3s::S3Error {
    s3_error!(InvalidRange, "The requested range does not lie in the object's {size} bytes.")
}

/// Opens an object, with the facts of exactly the file that was opened.
pub(super) fn open(objects: &Objects, bucket: &str, key: &str) -> S3Result<(File, (Stat, Facts))> {
    need_bucket(objects, bucket)?;
    loop {
        let (file, stat) = objects.open(bucket, key).map_err(|error| match error {
            StoreError::NotFound { .. } => no_such_key(key),
            error => from_store(error),
        })?;
        let facts = objects.facts(&stat).map_err(from_store)?;
        if still_there(objects, &stat, &facts)? {
            return Ok((file, (stat, facts)));
        }
    }
}

/// The bytes of an open file as a response's body.
pub(super) fn stream(mut file: File, bytes: &ops::Range<u64>) -> S3Result<StreamingBlob> {
    file.seek(SeekFrom::Start(bytes.start)).map_err(s3s::S3Error::internal_error)?;
    let file = tokio::fs::File::from_std(file).take(bytes.end - bytes.start);
    Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file, PIECE_BYTES)))
}
