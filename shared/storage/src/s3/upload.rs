//! Files into S3: small ones as they are, large ones in parts, read from the disk as they are sent.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::Path;

use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use dropforge_driver::store::{ObjectFacts, StoreError};
use sha2::{Digest, Sha256};

use super::ahead::Ahead;
use super::bucket::{Bucket, unquoted};
use super::patience::patiently;
use super::requests::Failure;
use crate::files::failed;
use crate::objects::hex;

/// What the object's SHA-256 is kept under, among its metadata.
pub(super) const SHA256: &str = "dropforge-sha256";

/// A file up to this size is one request.
const WHOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A part's size, unless the file needs larger ones.
const PART_BYTES: u64 = 16 * 1024 * 1024;

/// S3 takes at most this many parts.
const PARTS_MAX: u64 = 10_000;

/// Parts sent at a time; each is read from the file in small pieces.
const PARTS_AHEAD: usize = 4;

/// A multipart upload that is aborted unless it comes to an end.
struct Begun {
    bucket: Bucket,
    key: String,
    id: String,
    done: bool,
}

impl Bucket {
    /// Stores a file as one object, whole or not at all. The file is read twice, since an object's metadata goes first.
    pub(super) async fn upload(
        &self,
        from: &Path,
        key: &str,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let file = from.to_owned();
        let read = tokio::task::spawn_blocking(move || digest(&file)).await;
        let (size, sha256) = read.map_err(io::Error::other).flatten().map_err(failed("read", from))?;
        let (etag, version_id) = if size <= WHOLE_BYTES_MAX {
            self.upload_whole(from, key, size, &sha256).await?
        } else {
            self.upload_parts(from, key, size, &sha256, progress).await?
        };
        progress(size, size);
        Ok(ObjectFacts { size, sha256, etag, version_id })
    }

    async fn upload_whole(
        &self,
        from: &Path,
        key: &str,
        size: u64,
        sha256: &str,
    ) -> Result<(String, Option<String>), StoreError> {
        let ask = || async {
            let body = section(from, 0, size).await?;
            let put = self.client.put_object().bucket(&self.name).key(key).metadata(SHA256, sha256);
            put.body(body).send().await.map_err(Failure::of)
        };
        let put = patiently(self.patience, ask).await.map_err(|failure| failure.at("write", key))?;
        Ok((unquoted(put.e_tag()), version(put.version_id())))
    }

    async fn upload_parts(
        &self,
        from: &Path,
        key: &str,
        size: u64,
        sha256: &str,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<(String, Option<String>), StoreError> {
        let create =
            self.client.create_multipart_upload().bucket(&self.name).key(key).metadata(SHA256, sha256);
        let ask = || async { create.clone().send().await.map_err(Failure::of) };
        let created = patiently(self.patience, ask).await.map_err(|failure| failure.at("write", key))?;
        let id = created.upload_id().unwrap_or_default().to_owned();
        let mut begun = Begun { bucket: self.clone(), key: key.to_owned(), id, done: false };
        let outcome = begun.finish(from, size, sha256, progress).await;
        begun.done = true;
        if outcome.is_err() {
            begun.abort().await;
        }
        outcome
    }
}

impl Begun {
    async fn finish(
        &self,
        from: &Path,
        size: u64,
        sha256: &str,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<(String, Option<String>), StoreError> {
        let parts = self.send(from, size, progress).await?;
        let failure = match patiently(self.bucket.patience, || self.complete(parts.clone())).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        // The answer to a completion may be lost, and asking again then finds no upload.
        match self.bucket.facts(&self.key).await {
            Ok(Some(facts)) if facts.sha256 == sha256 && facts.size == size => {
                Ok((facts.etag, facts.version_id))
            }
            _ => Err(failure.at("write", &self.key)),
        }
    }

    async fn send(
        &self,
        from: &Path,
        size: u64,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Vec<CompletedPart>, StoreError> {
        let step = PART_BYTES.max(size.div_ceil(PARTS_MAX));
        let sent = (0..size.div_ceil(step)).map(|index| {
            let (begin, from) = (index * step, from.to_owned());
            let length = step.min(size - begin);
            let (bucket, key, id) = (self.bucket.clone(), self.key.clone(), self.id.clone());
            async move {
                let ask = || async {
                    bucket.upload_part(&key, &id, index, section(&from, begin, length).await?).await
                };
                patiently(bucket.patience, ask).await.map_err(|failure| failure.at("write", &key))
            }
        });
        let (mut ahead, mut parts) = (Ahead::new(PARTS_AHEAD, sent), Vec::new());
        while let Some(part) = ahead.next().await {
            parts.push(part?);
            progress((parts.len() as u64 * step).min(size), size);
        }
        Ok(parts)
    }

    async fn complete(&self, parts: Vec<CompletedPart>) -> Result<(String, Option<String>), Failure> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.bucket.client.complete_multipart_upload().bucket(&self.bucket.name);
        let request = request.key(&self.key).upload_id(&self.id).multipart_upload(parts);
        let answer = request.send().await.map_err(Failure::of)?;
        Ok((unquoted(answer.e_tag()), version(answer.version_id())))
    }
}

impl Begun {
    /// What was sent of an upload that comes to nothing would be paid for until the bucket's lifecycle finds it.
    fn abort(&self) -> impl Future<Output = ()> + Send + 'static {
        let abort = self.bucket.client.abort_multipart_upload().bucket(&self.bucket.name);
        let abort = abort.key(&self.key).upload_id(&self.id);
        let key = self.key.clone();
        async move {
            if let Err(error) = abort.send().await {
                let why = Failure::of(error).at("abort", &key);
                tracing::warn!(%key, error = %dropforge_driver::owner::chain(&why), "an upload was not aborted");
            }
        }
    }
}

/// Whoever waits for an upload may go away.
impl Drop for Begun {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.done, tokio::runtime::Handle::try_current()) {
            runtime.spawn(self.abort());
        }
    }
}

impl Bucket {
    async fn upload_part(
        &self,
        key: &str,
        id: &str,
        index: u64,
        body: ByteStream,
    ) -> Result<CompletedPart, Failure> {
        let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let part = self.client.upload_part().bucket(&self.name).key(key).upload_id(id);
        let sent = part.part_number(number).body(body).send().await.map_err(Failure::of)?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned));
        Ok(part.set_checksum_crc32(sent.checksum_crc32().map(str::to_owned)).build())
    }
}

/// A part of a file, which the SDK reads as it sends it, and again where it has to.
async fn section(from: &Path, begin: u64, length: u64) -> Result<ByteStream, Failure> {
    let part = ByteStream::read_from().path(from).offset(begin).length(Length::Exact(length)).build().await;
    part.map_err(|error| Failure::Final(io::Error::other(format!("read {}: {error}", from.display()))))
}

fn digest(file: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hasher) = (File::open(file)?, Sha256::new());
    let (mut buffer, mut size) = (vec![0; 128 * 1024], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hex(&hasher.finalize()))),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// A bucket that keeps no versions calls every object's version `null`, or nothing.
pub(super) fn version(id: Option<&str>) -> Option<String> {
    id.filter(|id| *id != "null").map(str::to_owned)
}
