//! What is known of an object's content, remembered so that it is read once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dropforge_driver::store::{ObjectFacts, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Objects, Stat, hex};
use crate::files::{self, failed};

/// The version of the facts documents that this code writes.
const FORMAT: u32 = 1;

/// Moves and hashes go through a buffer of this size, whatever the object's: large enough that the calls do not
/// count, small enough for the processor's cache.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

/// What is known of an object's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Version of this document.
    format: u32,
    /// The bucket and key, for people.
    object: String,
    /// The entity tag, without quotes.
    pub etag: String,
    /// SHA-256 in hexadecimal, once somebody needed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What the writer says about it: `content-type`, `x-amz-meta-…`, in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Facts {
    /// The facts of an object that is about to be put.
    pub fn new(etag: String, sha256: Option<String>, metadata: BTreeMap<String, String>) -> Facts {
        Facts { etag, sha256, metadata, ..Facts::default() }
    }

    pub(crate) fn of_object(self, size: u64) -> ObjectFacts {
        ObjectFacts { size, sha256: self.sha256.unwrap_or_default(), etag: self.etag, version_id: None }
    }
}

impl Objects {
    /// What is known of an object; reads nothing of its content.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn facts(&self, stat: &Stat) -> Result<Facts, StoreError> {
        let kept = files::read(&self.facts_path(stat))?;
        // They are a memory, not a truth: what can't be understood is found out again.
        let kept = kept.and_then(|json| serde_json::from_slice::<Facts>(&json).ok());
        Ok(kept
            .filter(|facts| facts.format == FORMAT)
            .unwrap_or_else(|| Facts::new(stat.etag(), None, BTreeMap::new())))
    }

    /// All facts; reads the content the first time.
    ///
    /// # Errors
    /// When it can't be read, or is changed meanwhile.
    pub fn full_facts(
        &self,
        file: &mut File,
        stat: &Stat,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let mut facts = self.facts(stat)?;
        if facts.sha256.is_none() {
            let mut hasher = Sha256::new();
            read_through(file, &stat.path, |bytes, done| {
                hasher.update(bytes);
                progress(done, stat.size);
                Ok(())
            })?;
            self.unchanged(file, stat)?;
            facts.sha256 = Some(hex(&hasher.finalize()));
            self.try_to_remember(stat, &facts);
        }
        Ok(facts.of_object(stat.size))
    }

    /// Fails when the file was written to since `stat`.
    pub(crate) fn unchanged(&self, file: &File, stat: &Stat) -> Result<(), StoreError> {
        let metadata = file.metadata().map_err(failed("read", &stat.path))?;
        if Stat::of(&stat.bucket, &stat.key, &stat.path, &metadata).same_version(stat) {
            return Ok(());
        }
        let why = std::io::Error::new(std::io::ErrorKind::ResourceBusy, "it was changed while it was read");
        Err(failed("read", &stat.path)(why))
    }

    pub(crate) fn remember(&self, stat: &Stat, facts: &Facts) -> Result<(), StoreError> {
        let object = format!("{}/{}", stat.bucket, stat.key);
        let facts = Facts { format: FORMAT, object, ..facts.clone() };
        let json = serde_json::to_vec(&facts).expect("text and numbers are always JSON");
        files::replace(&self.temporaries(), &self.facts_path(stat), &json, false)
    }

    /// For facts that can be found out again: a store that only may be read answers all the same.
    pub(crate) fn try_to_remember(&self, stat: &Stat, facts: &Facts) {
        if let Err(error) = self.remember(stat, facts) {
            tracing::debug!(object = %stat.path.display(), %error, "its facts are not remembered");
        }
    }

    pub(crate) fn forget(&self, stat: &Stat) {
        // What stays behind is never found again; it only takes room.
        let _ = files::remove(&self.facts_path(stat));
    }

    fn facts_path(&self, stat: &Stat) -> PathBuf {
        let version =
            format!("{}/{}\n{} {} {}", stat.bucket, stat.key, stat.inode, stat.size, stat.changed_ns);
        let hash = hex(&Sha256::digest(version));
        self.root.join(".facts").join(&hash[..2]).join(format!("{}.json", &hash[2..]))
    }
}

/// Reads a file to its end, giving each piece and how much has been read with it.
pub(crate) fn read_through(
    file: &mut File,
    path: &Path,
    mut each: impl FnMut(&[u8], u64) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read", path)(error)),
        };
        done += read as u64;
        each(&buffer[..read], done)?;
    }
}
