//! Multipart uploads: parts wait as files beside the buckets and survive a restart, and completing joins them
//! without reading them through the program where the file system can share or copy blocks itself.
//!
//! An upload is a bucket of a second folder of objects, `.uploads` beside the buckets: its parts are objects
//! `parts/00001` …, so that a part is whole or absent, and its description is the object `upload`.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;

use dropforge_driver::store::StoreError;
use jiff::Timestamp;
use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, CompletedPart};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::body::{Received, same};
use super::error::from_store;
use super::headers::{Metadata, add_checksum};
use super::put::{Source, need_bucket, stored};
use crate::files::{self, Temporary, failed};
use crate::objects::{Condition, Facts, Objects, Put, Stat, Upload, hex};

/// S3's limits.
const PART_NUMBER_MAX: i32 = 10_000;
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

const FOLDER: &str = ".uploads";
const DESCRIPTION: &str = "upload";
const PARTS: &str = "parts/";

/// The version of the descriptions that this code writes.
const FORMAT: u32 = 1;

/// What an upload will become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    format: u32,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) metadata: Metadata,
}

/// A part that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) number: i32,
    pub(super) stat: Stat,
    pub(super) etag: String,
}

/// Uploads that are neither completed nor aborted.
#[derive(Clone, Debug)]
pub(super) struct Uploads {
    objects: Objects,
    parts: Objects,
}

impl Uploads {
    pub(super) fn new(objects: Objects) -> Uploads {
        let parts = Objects::at(objects.root().join(FOLDER));
        Uploads { objects, parts }
    }

    /// Removes what killed processes were writing.
    pub(super) fn sweep(&self) {
        files::sweep(&self.objects.root().join(".tmp"));
        files::sweep(&self.parts.root().join(".tmp"));
    }

    /// Where parts are received.
    pub(super) fn parts(&self) -> &Objects {
        &self.parts
    }

    pub(super) fn create(&self, bucket: &str, key: &str, metadata: Metadata) -> S3Result<String> {
        need_bucket(&self.objects, bucket)?;
        // An object that can't be stored is refused before its parts are sent.
        self.objects.stat(bucket, key).map_err(from_store)?;
        let id = new_id();
        let description =
            Description { format: FORMAT, bucket: bucket.to_owned(), key: key.to_owned(), metadata };
        let json = serde_json::to_vec(&description).expect("text is always JSON");
        let mut upload = self.parts.upload(json.len() as u64).map_err(from_store)?;
        io::Write::write_all(&mut upload, &json).map_err(|source| {
            from_store(StoreError::Io { action: "write", key: DESCRIPTION.to_owned(), source })
        })?;
        upload.finish(&id, DESCRIPTION, None, Metadata::new(), &Condition::Absent).map_err(from_store)?;
        Ok(id)
    }

    /// The upload `id`, which must be one of this object.
    pub(super) fn find(&self, id: &str, bucket: &str, key: &str) -> S3Result<Description> {
        self.describe(id)
            .map_err(from_store)?
            .map(|(description, _)| description)
            .filter(|description| (description.bucket.as_str(), description.key.as_str()) == (bucket, key))
            .ok_or_else(|| s3_error!(NoSuchUpload, "There is no upload {id:?} of this object."))
    }

    fn describe(&self, id: &str) -> Result<Option<(Description, Timestamp)>, StoreError> {
        let Some(stat) = self.parts.stat(id, DESCRIPTION)? else { return Ok(None) };
        let Some(json) = files::read(&stat.path)? else { return Ok(None) };
        let description: Option<Description> = serde_json::from_slice(&json).ok();
        Ok(description.filter(|description| description.format == FORMAT).map(|found| (found, stat.modified)))
    }

    /// Keeps a part that has been received, in place of one with this number.
    pub(super) fn keep(&self, id: &str, number: i32, received: Received) -> S3Result<Part> {
        let key = part_key(number)?;
        let mut metadata = Metadata::new();
        add_checksum(&mut metadata, &received.checksum);
        let put = received.upload.finish(id, &key, None, metadata, &Condition::Always).map_err(from_store)?;
        let stat = stored(&self.parts, put, (id, &key), &Condition::Always)?;
        self.part(stat).map_err(from_store)
    }

    /// Keeps a piece of an object as a part; `range` as the header gives it.
    pub(super) fn keep_copy(
        &self,
        id: &str,
        number: i32,
        source: &Source,
        range: Option<&str>,
    ) -> S3Result<Part> {
        let (stat, _) = source.look_up(&self.objects)?;
        let bytes = match range.map(s3s::dto::Range::parse) {
            None => 0..stat.size,
            Some(Ok(range)) => range.check(stat.size)?,
            Some(Err(_)) => return Err(s3_error!(InvalidArgument, "The copy's range can't be read.")),
        };
        let mut upload = self.parts.upload(bytes.end - bytes.start).map_err(from_store)?;
        copy_piece(&stat, bytes, &mut upload).map_err(from_store)?;
        self.keep(id, number, Received { upload, checksum: Checksum::default() })
    }

    /// The parts of an upload, by number.
    pub(super) fn list(&self, id: &str) -> S3Result<Vec<Part>> {
        let stats = self.parts.list(id, PARTS).map_err(from_store)?.objects;
        stats.into_iter().map(|stat| self.part(stat)).collect::<Result<_, _>>().map_err(from_store)
    }

    fn part(&self, stat: Stat) -> Result<Part, StoreError> {
        let etag = self.parts.facts(&stat)?.etag;
        let number = stat.key.strip_prefix(PARTS).and_then(|number| number.parse().ok());
        Ok(Part { number: number.unwrap_or_default(), stat, etag })
    }

    /// The uploads to a bucket: key, id, description's time; sorted.
    pub(super) fn of_bucket(&self, bucket: &str) -> S3Result<Vec<(String, String, Timestamp)>> {
        let mut uploads = Vec::new();
        for id in self.parts.bucket_names().map_err(from_store)? {
            if let Some((description, time)) = self.describe(&id).map_err(from_store)?
                && description.bucket == bucket
            {
                uploads.push((description.key, id, time));
            }
        }
        uploads.sort_unstable();
        Ok(uploads)
    }

    /// Removes an upload and its parts.
    pub(super) fn forget(&self, id: &str) -> S3Result<()> {
        // The description goes first: from then on nobody adds a part.
        self.parts.remove(id, DESCRIPTION).map_err(from_store)?;
        for stat in self.parts.list(id, PARTS).map_err(from_store)?.objects {
            self.parts.remove(id, &stat.key).map_err(from_store)?;
        }
        let folder = self.parts.bucket(id).map_err(from_store)?;
        files::unless_missing(fs::remove_dir(&folder))
            .map_err(failed("remove", &folder))
            .map_err(from_store)?;
        Ok(())
    }

    /// Makes the object of the parts that are named. The parts stay until it is there: a client may try again.
    pub(super) fn complete(
        &self,
        id: &str,
        description: Description,
        named: &[CompletedPart],
        claimed: &Checksum,
        condition: &Condition,
    ) -> S3Result<(Stat, String)> {
        let parts = choose(named, self.list(id)?)?;
        let etag = combined_etag(&parts);
        let whole = self.join(&parts).map_err(from_store)?;
        let mut metadata = description.metadata;
        add_checksum(&mut metadata, &verify(&whole, claimed)?);
        // Its SHA-256 is found out when somebody first needs it: bytes are read once, not twice.
        let facts = Facts::new(etag.clone(), None, metadata);
        let name = (description.bucket.as_str(), description.key.as_str());
        let put: Put =
            self.objects.place(&whole.path, name.0, name.1, &facts, condition).map_err(from_store)?;
        let stat = stored(&self.objects, put, name, condition)?;
        Ok((stat, etag))
    }

    fn join(&self, parts: &[Part]) -> Result<Temporary, StoreError> {
        let size = parts.iter().map(|part| part.stat.size).sum();
        // An upload of this size that is dropped at once: it only asks whether there is room.
        drop(self.objects.upload(size)?);
        let mut whole = Temporary::new(&self.parts.root().join(".tmp"))?;
        for part in parts {
            let mut file = fs::File::open(&part.stat.path).map_err(failed("read", &part.stat.path))?;
            // The kernel copies, by reference where the file system can.
            io::copy(&mut file, &mut whole.file).map_err(failed("write", &whole.path))?;
        }
        Ok(whole)
    }
}

fn copy_piece(stat: &Stat, bytes: std::ops::Range<u64>, upload: &mut Upload) -> Result<(), StoreError> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(&stat.path).map_err(failed("read", &stat.path))?;
    file.seek(SeekFrom::Start(bytes.start)).map_err(failed("read", &stat.path))?;
    let mut piece = file.take(bytes.end - bytes.start);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match piece.read(&mut buffer).map_err(failed("read", &stat.path))? {
            0 => return Ok(()),
            read => io::Write::write_all(upload, &buffer[..read]).map_err(failed("write", &stat.path))?,
        }
    }
}

/// The parts that the client names, which must have arrived as it says.
fn choose(named: &[CompletedPart], arrived: Vec<Part>) -> S3Result<Vec<Part>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "An upload is completed with one part or more."));
    }
    let mut chosen: Vec<Part> = Vec::with_capacity(named.len());
    for name in named {
        let number = name.part_number.unwrap_or_default();
        if chosen.last().is_some_and(|before| before.number >= number) {
            return Err(s3_error!(InvalidPartOrder, "The parts are not listed in ascending order."));
        }
        let wanted = name.e_tag.as_ref().map(|etag| etag.value());
        let part = arrived.iter().find(|part| part.number == number && wanted.is_none_or(|e| e == part.etag));
        let part = part.ok_or_else(|| {
            s3_error!(InvalidPart, "Part {number} has not been uploaded, or its entity tag is another.")
        })?;
        chosen.push(part.clone());
    }
    let (_, all_but_last) = chosen.split_last().expect("one part or more is named");
    if let Some(part) = all_but_last.iter().find(|part| part.stat.size < PART_BYTES_MIN) {
        return Err(s3_error!(
            EntityTooSmall,
            "Part {} has {} bytes; all but the last need at least {PART_BYTES_MIN}.",
            part.number,
            part.stat.size
        ));
    }
    Ok(chosen)
}

/// MD5 of the parts' MD5s, and how many there are.
fn combined_etag(parts: &[Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(unhex(&part.etag));
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).filter_map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

/// Checks what the client claims of the whole content. A checksum of checksums (it ends in `-` and the number of
/// parts) says nothing more than the parts' own, which were checked as they arrived.
fn verify(whole: &Temporary, claimed: &Checksum) -> S3Result<Checksum> {
    let full = |sum: &Option<String>| sum.clone().filter(|sum| !sum.contains('-'));
    let claimed = Checksum {
        checksum_crc32: full(&claimed.checksum_crc32),
        checksum_crc32c: full(&claimed.checksum_crc32c),
        checksum_crc64nvme: full(&claimed.checksum_crc64nvme),
        checksum_sha1: full(&claimed.checksum_sha1),
        checksum_sha256: full(&claimed.checksum_sha256),
        checksum_type: None,
    };
    if claimed == Checksum::default() {
        return Ok(claimed);
    }
    let mut hasher = ChecksumHasher {
        crc32: claimed.checksum_crc32.as_ref().map(|_| Default::default()),
        crc32c: claimed.checksum_crc32c.as_ref().map(|_| Default::default()),
        crc64nvme: claimed.checksum_crc64nvme.as_ref().map(|_| Default::default()),
        sha1: claimed.checksum_sha1.as_ref().map(|_| Default::default()),
        sha256: claimed.checksum_sha256.as_ref().map(|_| Default::default()),
    };
    hash(whole, &mut hasher).map_err(from_store)?;
    let computed = hasher.finalize();
    same(&claimed, &computed)?;
    Ok(computed)
}

fn hash(whole: &Temporary, hasher: &mut ChecksumHasher) -> Result<(), StoreError> {
    let mut file = fs::File::open(&whole.path).map_err(failed("read", &whole.path))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer).map_err(failed("read", &whole.path))? {
            0 => return Ok(()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn part_key(number: i32) -> S3Result<String> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        return Ok(format!("{PARTS}{number:05}"));
    }
    Err(s3_error!(InvalidArgument, "A part's number lies between 1 and {PART_NUMBER_MAX}."))
}

/// An id that no upload had before: 128 random bits.
fn new_id() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests;
