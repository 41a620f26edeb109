//! Requests that put, copy and delete objects, as functions on files.

use dropforge_driver::store::StoreError;
use s3s::{S3Error, S3Result, s3_error};

use super::condition::{self, ReadCondition};
use super::error::from_store;
use super::headers::Metadata;
use crate::objects::{Condition, Facts, Objects, Put, Stat, Upload};

/// Fails unless the bucket exists.
pub(super) fn need_bucket(objects: &Objects, bucket: &str) -> S3Result<()> {
    if objects.bucket(bucket).map_err(from_store)?.is_dir() {
        return Ok(());
    }
    Err(s3_error!(NoSuchBucket, "The bucket {bucket:?} does not exist."))
}

/// An object and what is known of it.
pub(super) fn look_up(objects: &Objects, bucket: &str, key: &str) -> S3Result<(Stat, Facts)> {
    need_bucket(objects, bucket)?;
    loop {
        let stat = objects.stat(bucket, key).map_err(from_store)?.ok_or_else(|| no_such_key(key))?;
        let facts = objects.facts(&stat).map_err(from_store)?;
        if still_there(objects, &stat, &facts)? {
            return Ok((stat, facts));
        }
    }
}

/// Facts are forgotten when their object is replaced: where none are remembered, the object must still be the
/// one they are asked for.
pub(super) fn still_there(objects: &Objects, stat: &Stat, facts: &Facts) -> S3Result<bool> {
    if facts.etag != stat.etag() {
        return Ok(true);
    }
    let current = objects.stat(&stat.bucket, &stat.key).map_err(from_store)?;
    Ok(current.is_some_and(|current| current.same_version(stat)))
}

pub(super) fn no_such_key(key: &str) -> S3Error {
    s3_error!(NoSuchKey, "There is no object {key:?}.")
}

/// Gives a body that has been received its place.
pub(super) fn finish(
    objects: &Objects,
    upload: Upload,
    (bucket, key): (&str, &str),
    metadata: Metadata,
    condition: &Condition,
) -> S3Result<Stat> {
    let put = upload.finish(bucket, key, None, metadata, condition).map_err(from_store)?;
    stored(objects, put, (bucket, key), condition)
}

/// What is stored, or why it was refused.
pub(super) fn stored(
    objects: &Objects,
    put: Put,
    (bucket, key): (&str, &str),
    condition: &Condition,
) -> S3Result<Stat> {
    match (put, condition) {
        (Put::Stored(stat), _) => Ok(stat),
        // `If-Match` on a missing key answers 404.
        (Put::Refused, Condition::Etag(_)) if objects.stat(bucket, key).map_err(from_store)?.is_none() => {
            Err(no_such_key(key))
        }
        (Put::Refused, _) => Err(condition::precondition_failed()),
    }
}

/// An object to be copied.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) condition: ReadCondition,
}

impl Source {
    pub(super) fn look_up(&self, objects: &Objects) -> S3Result<(Stat, Facts)> {
        let (stat, facts) = look_up(objects, &self.bucket, &self.key)?;
        self.condition.check_source(&facts.etag, stat.modified)?;
        Ok((stat, facts))
    }
}

/// Copies an object; without `metadata` the copy has its source's.
pub(super) fn copy(
    objects: &Objects,
    source: &Source,
    (bucket, key): (&str, &str),
    metadata: Option<Metadata>,
) -> S3Result<(Stat, Facts)> {
    if metadata.is_none() && (source.bucket.as_str(), source.key.as_str()) == (bucket, key) {
        return Err(s3_error!(InvalidRequest, "A copy onto itself must change the metadata."));
    }
    let (from, facts) = source.look_up(objects)?;
    let metadata = metadata.unwrap_or(facts.metadata);
    let put = objects.put_file(&from.path, bucket, key, metadata, &Condition::Always).map_err(from_store)?;
    let stat = stored(objects, put, (bucket, key), &Condition::Always)?;
    let facts = objects.facts(&stat).map_err(from_store)?;
    Ok((stat, facts))
}

/// Deletes an object; that there was none is no error.
pub(super) fn delete(objects: &Objects, bucket: &str, key: &str) -> S3Result<bool> {
    need_bucket(objects, bucket)?;
    objects.remove(bucket, key).map_err(from_store)
}

/// Deletes a bucket without objects, and nothing but empty folders.
pub(super) fn delete_bucket(objects: &Objects, bucket: &str) -> S3Result<()> {
    need_bucket(objects, bucket)?;
    let folder = objects.bucket(bucket).map_err(from_store)?;
    remove_empty(&folder).map_err(|source| match source.kind() {
        std::io::ErrorKind::DirectoryNotEmpty => {
            s3_error!(BucketNotEmpty, "The bucket {bucket:?} is not empty.")
        }
        _ => from_store(StoreError::Io { action: "remove", key: folder.display().to_string(), source }),
    })
}

fn remove_empty(folder: &std::path::Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            return Err(std::io::ErrorKind::DirectoryNotEmpty.into());
        }
        remove_empty(&entry.path())?;
    }
    std::fs::remove_dir(folder)
}
