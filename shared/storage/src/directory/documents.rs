//! Documents changed by compare and swap.
//!
//! A document's file begins with a line that holds its number, then its bytes. Numbers are drawn from one counter
//! for the whole store, so that equal bytes never share a version, not even after the document was removed and
//! stored again. A file that a person made or changed by hand is taken as it is: the version holds a hash too.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dropforge_driver::store::{Documents, StoreError, Swap, Versioned};
use sha2::{Digest, Sha256};

use super::DirectoryStore;
use crate::files::{self, Lock, failed, unless_missing};
use crate::keys;
use crate::objects::hex;

const LOCK: &str = "documents.lock";

const HEADER: &str = "#dropforge-version ";

impl Documents for DirectoryStore {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(self.document(&self.at(keys::document(key)?))?.map(|(_, document)| document))
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        let path = self.at(keys::document(key)?);
        let lock = Lock::exclusive(&self.root.join(LOCK))?;
        let (number, version) = match self.document(&path)? {
            Some((number, document)) => (number, Some(document.version)),
            None => (0, None),
        };
        if version.as_deref() != expected {
            return Ok(Swap::Conflict);
        }
        // The document's own number matters only where somebody deleted the counter.
        let number = self.next_number(&lock, number)?;
        let mut bytes = format!("{HEADER}{number}\n").into_bytes();
        bytes.extend(body);
        self.replace(&path, &bytes)?;
        Ok(Swap::Stored { version: version_of(number, body) })
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        let path = self.at(keys::document(key)?);
        let _lock = Lock::exclusive(&self.root.join(LOCK))?;
        match self.document(&path)? {
            Some((_, document)) if document.version == expected => {
                files::remove(&path)?;
                files::sync_folder(&path, self.durable)?;
                Ok(Swap::Stored { version: document.version })
            }
            _ => Ok(Swap::Conflict),
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        match prefix.rsplit_once('/') {
            Some((folder, _)) => self.walk(&self.at(keys::folder_of_documents(folder)?), &mut keys)?,
            None => {
                for name in files::names(&self.root)?.iter().filter(|name| !keys::is_table(name)) {
                    self.walk(&self.root.join(name), &mut keys)?;
                }
            }
        }
        keys.retain(|key| key.starts_with(prefix));
        keys.sort_unstable();
        Ok(keys)
    }
}

impl DirectoryStore {
    fn document(&self, path: &Path) -> Result<Option<(u64, Versioned)>, StoreError> {
        let Some(bytes) = files::read(path)? else { return Ok(None) };
        let (number, body) = split(&bytes);
        Ok(Some((number, Versioned { body: body.to_owned(), version: version_of(number, body) })))
    }

    fn walk(&self, folder: &Path, keys: &mut Vec<String>) -> Result<(), StoreError> {
        let read = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(()),
            read => unless_missing(read).map_err(failed("list", folder))?,
        };
        for entry in read.into_iter().flatten() {
            let entry = entry.map_err(failed("list", folder))?;
            let path: PathBuf = entry.path();
            let kind = entry.file_type().map_err(failed("list", &path))?;
            if kind.is_dir() {
                self.walk(&path, keys)?;
            } else if kind.is_file() {
                keys.extend(path.strip_prefix(&self.root).ok().and_then(keys::key_of));
            }
        }
        Ok(())
    }

    /// Draws the store's next number; the lock's file holds the last one.
    fn next_number(&self, lock: &Lock, at_least: u64) -> Result<u64, StoreError> {
        let path = self.root.join(LOCK);
        let mut text = [0; 20];
        let read = lock.file.read_at(&mut text, 0).map_err(failed("read", &path))?;
        let last = str::from_utf8(&text[..read]).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let next = at_least.max(last) + 1;
        // Always twenty digits: an overwritten number is never a mixture of two lengths.
        let written = lock.file.write_all_at(format!("{next:020}").as_bytes(), 0);
        let synced = written.and_then(|()| if self.durable { lock.file.sync_data() } else { Ok(()) });
        synced.map_err(failed("write", &path))?;
        Ok(next)
    }
}

/// The number in the first line, where there is one, and the bytes after it.
fn split(bytes: &[u8]) -> (u64, &[u8]) {
    let header = bytes.strip_prefix(HEADER.as_bytes()).and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let number = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((number, &rest[end + 1..]))
    });
    header.unwrap_or((0, bytes))
}

fn version_of(number: u64, body: &[u8]) -> String {
    format!("{number}-{}", &hex(&Sha256::digest(body))[..16])
}
