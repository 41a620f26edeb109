//! Claims and verdicts, each created once: one file of checksummed frames for all attempts, because a folder and two
//! files for each take longer than a short step.
//!
//! Several processes append to it: the supervisor, and the owner for attempts that never reach one. Each takes the
//! file's kernel lock, reads what others have appended since, and appends one frame by one write. The file goes when
//! no run is live: what it says stands in the runs' journals by then.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dropforge_driver::store::{Attempts, Created, StoreError};
use dropforge_engine::attempt::{VERDICT_FORMAT, Verdict};
use dropforge_engine::ids::AttemptId;
use rustix::fs::{FlockOperation, flock};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::DirectoryStore;
use super::frames::{Frame, HEADER_BYTES, Reader, frame};
use crate::files::{self, failed, unless_missing, with_parent};
use crate::json;

mod folders;

use folders::Folders;

/// The version of the frames that this code writes.
const FORMAT: u32 = 1;

/// A smaller file is kept when no run is live: to make it anew costs as much as many steps.
const KEPT_BYTES_MAX: u64 = 1 << 20;

impl Attempts for DirectoryStore {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        if self.attempts.folders.claimed(namespace, attempt)? {
            return Ok(Created::Exists);
        }
        let claim = Entry { claim: Some(nonce), ..Entry::of(namespace, attempt) };
        Ok(match self.attempts.create(&claim, self.durable)? {
            None => Created::New,
            Some(stored) => {
                let stored: StoredClaim = self.attempts.parse(&stored, FORMAT)?;
                if stored.claim == nonce { Created::New } else { Created::Exists }
            }
        })
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        let found = self.attempts.find(&Entry { claim: Some(""), ..Entry::of(namespace, attempt) })?;
        Ok(found.is_some() || self.attempts.folders.claimed(namespace, attempt)?)
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        if let Some(first) = self.attempts.folders.verdict(namespace, &verdict.attempt)? {
            return Ok(first);
        }
        let entry = Entry { verdict: Some(verdict), ..Entry::of(namespace, &verdict.attempt) };
        match self.attempts.create(&entry, self.durable)? {
            None => Ok(verdict.clone()),
            Some(first) => self.attempts.parse_verdict(&first),
        }
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        match self.attempts.find_verdict(&Entry::of(namespace, attempt))? {
            Some(stored) => self.attempts.parse_verdict(&stored).map(Some),
            None => self.attempts.folders.verdict(namespace, attempt),
        }
    }
}

/// A frame's payload: a claim or a verdict.
#[derive(Serialize)]
struct Entry<'a> {
    format: u32,
    namespace: &'a str,
    attempt: &'a AttemptId,
    /// The claimer's nonce.
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a Verdict>,
}

impl<'a> Entry<'a> {
    fn of(namespace: &'a str, attempt: &'a AttemptId) -> Self {
        Entry { format: FORMAT, namespace, attempt, claim: None, verdict: None }
    }
}

/// As much of an entry as finding it takes.
#[derive(Deserialize)]
struct StoredKey {
    namespace: String,
    attempt: AttemptId,
    claim: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct StoredClaim {
    claim: String,
}

#[derive(Deserialize)]
struct StoredVerdict {
    verdict: Box<serde_json::value::RawValue>,
}

/// What is told apart: an attempt's claim from its verdict, and from all other attempts'. A hash, because a store with
/// a million attempts has twice as many of these in memory; that two of them are equal is less likely than one in 10^16.
type Key = [u8; 12];

fn key(namespace: &str, attempt: &AttemptId, is_claim: bool) -> Key {
    let mut hash = Sha256::new();
    // No namespace holds a slash.
    hash.update([u8::from(is_claim)]);
    hash.update(namespace);
    hash.update("/");
    hash.update(attempt.as_str());
    let mut key = Key::default();
    let length = key.len();
    key.copy_from_slice(&hash.finalize()[..length]);
    key
}

/// A payload with its place in the file.
struct Stored {
    payload: Vec<u8>,
    offset: u64,
}

/// All claims and verdicts.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    /// Where they lay in stores of an older format.
    folders: Folders,
    known: Mutex<Known>,
}

/// What this process has read of the file.
#[derive(Debug, Default)]
struct Known {
    file: Option<Arc<File>>,
    is_writable: bool,
    /// Where each begins. A tree, which never holds twice of itself to grow as a hash table does.
    places: BTreeMap<Key, u64>,
    /// To here.
    end: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Read,
    Write,
}

impl Table {
    pub(super) fn new(root: &Path) -> Table {
        let folder = root.join(crate::keys::ATTEMPTS);
        Table { path: folder.join("journal"), folders: Folders::below(folder), known: Mutex::default() }
    }

    /// Stores the entry, unless there is one of its key: then gives that.
    fn create(&self, entry: &Entry<'_>, durable: bool) -> Result<Option<Stored>, StoreError> {
        let key = key(entry.namespace, entry.attempt, entry.claim.is_some());
        let payload = json::bytes(&self.path, entry)?;
        let (file, first) = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(held) = known.hold(&self.path, Use::Write)? else { return Ok(None) };
            if let Some(place) = known.places.get(&key) {
                return self.read(&held.0, *place).map(Some);
            }
            let first = known.end == 0;
            known.append(&self.path, key, &payload)?;
            (Arc::clone(&held.0), first)
        };
        // Outside of the lock, so that one write to the disk serves several.
        if durable {
            file.sync_data().map_err(failed("write", &self.path))?;
        }
        if first {
            files::sync_folder(&self.path, durable)?;
        }
        Ok(None)
    }

    fn find(&self, entry: &Entry<'_>) -> Result<Option<Stored>, StoreError> {
        let key = key(entry.namespace, entry.attempt, entry.claim.is_some());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = known.hold(&self.path, Use::Read)? else { return Ok(None) };
        known.places.get(&key).map(|place| self.read(&held.0, *place)).transpose()
    }

    fn find_verdict(&self, entry: &Entry<'_>) -> Result<Option<Stored>, StoreError> {
        debug_assert!(entry.claim.is_none(), "a claim is no verdict");
        self.find(entry)
    }

    fn read(&self, file: &File, place: u64) -> Result<Stored, StoreError> {
        let offset = place + HEADER_BYTES as u64;
        match Reader::new(&self.path, file, place)?.next()? {
            Frame::Whole(payload) => Ok(Stored { payload, offset }),
            Frame::End | Frame::Torn => Err(StoreError::Damaged {
                key: self.path.display().to_string(),
                offset: place,
                why: "what was read here before is gone".to_owned(),
            }),
        }
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, stored: &Stored, known: u32) -> Result<T, StoreError> {
        json::parse_at(&self.path, stored.offset, &stored.payload, known)
    }

    fn parse_verdict(&self, stored: &Stored) -> Result<Verdict, StoreError> {
        let entry: StoredVerdict = self.parse(stored, FORMAT)?;
        json::parse_at(&self.path, stored.offset, entry.verdict.get().as_bytes(), VERDICT_FORMAT)
    }

    /// Lets go of everything; for when no run is live.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.hold(&self.path, Use::Read)?.is_none() || known.end <= KEPT_BYTES_MAX {
            return Ok(());
        }
        let Some(_held) = known.hold(&self.path, Use::Write)? else { return Ok(()) };
        files::remove(&self.path)
    }
}

/// The file, locked until this is dropped.
struct Held(Arc<File>);

impl Drop for Held {
    fn drop(&mut self) {
        // It can't fail for a file that is open.
        let _ = flock(&*self.0, FlockOperation::Unlock);
    }
}

impl Known {
    /// Locks the file and reads what is new in it. None: there is no file to read.
    fn hold(&mut self, path: &Path, how: Use) -> Result<Option<Held>, StoreError> {
        loop {
            let Some(file) = self.open(path, how)? else { return Ok(None) };
            let operation = match how {
                Use::Read => FlockOperation::LockShared,
                Use::Write => FlockOperation::LockExclusive,
            };
            rustix::io::retry_on_intr(|| flock(&*file, operation))
                .map_err(|error| failed("lock", path)(error.into()))?;
            let held = Held(file);
            let metadata = held.0.metadata().map_err(failed("read", path))?;
            // Cleared meanwhile: what is written now goes into the next file.
            if metadata.nlink() == 0 {
                *self = Known::default();
                continue;
            }
            if metadata.len() != self.end {
                self.catch_up(path, &held.0, how)?;
            }
            return Ok(Some(held));
        }
    }

    fn open(&mut self, path: &Path, how: Use) -> Result<Option<Arc<File>>, StoreError> {
        if let Some(file) = self.file.as_ref().filter(|_| self.is_writable || how == Use::Read) {
            return Ok(Some(Arc::clone(file)));
        }
        *self = Known::default();
        let mut options = OpenOptions::new();
        options.read(true);
        let opened = match how {
            Use::Read => unless_missing(options.open(path)),
            Use::Write => {
                options.write(true).create(true).truncate(false);
                with_parent(path, || options.open(path)).map(Some)
            }
        };
        self.file = opened.map_err(failed("open", path))?.map(Arc::new);
        self.is_writable = how == Use::Write;
        Ok(self.file.clone())
    }

    fn catch_up(&mut self, path: &Path, file: &File, how: Use) -> Result<(), StoreError> {
        let mut reader = Reader::new(path, file, self.end)?;
        loop {
            let begin = reader.at();
            self.end = begin;
            match reader.next()? {
                Frame::Whole(payload) => {
                    let entry: StoredKey =
                        json::parse_at(path, begin + HEADER_BYTES as u64, &payload, FORMAT)?;
                    let key = key(&entry.namespace, &entry.attempt, entry.claim.is_some());
                    self.places.entry(key).or_insert(begin);
                }
                Frame::End => return Ok(()),
                // Who wrote it has died, or it would hold the lock.
                Frame::Torn if how == Use::Write => {
                    return file.set_len(begin).map_err(failed("write", path));
                }
                Frame::Torn => return Ok(()),
            }
        }
    }

    /// After an error the file is as before; where even that fails, the next writer finds a torn last frame.
    fn append(&mut self, path: &Path, key: Key, payload: &[u8]) -> Result<(), StoreError> {
        let frame = frame(payload).map_err(failed("write", path))?;
        let Some(file) = &self.file else { return Ok(()) };
        if let Err(error) = file.write_all_at(&frame, self.end) {
            if let Err(cut) = file.set_len(self.end) {
                tracing::warn!(file = %path.display(), %cut, "a failed write could not be cut off");
            }
            return Err(failed("write", path)(error));
        }
        self.places.insert(key, self.end);
        self.end += frame.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
