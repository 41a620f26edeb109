//! Objects as ordinary files in a folder: the buckets of the S3 endpoint and the default artifact repository.
//!
//! An object is the file at [`keys::object_path`]; a person may copy files in, rename and delete them, and that
//! counts as putting and deleting objects. Beside the buckets lie two folders of our own:
//! - `.tmp`: files being written. They are renamed into place, so nobody reads half an object.
//! - `.facts`: what is known of a file's content (hashes, entity tag, metadata), under a name made from its key,
//!   inode, size and time of change. A changed file has another name there, so facts are never stale.
//!
//! The entity tag is what the writer gave (MD5 for a plain put, as S3 does). A file that a person copied in has
//! one made from its inode, size and time, which costs no reading.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dropforge_driver::store::StoreError;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::files::{self, Lock, failed, unless_missing};
use crate::keys;

mod delivery;
mod facts;
mod listing;
mod upload;

pub use facts::Facts;
pub use listing::Listing;
pub use upload::Upload;

/// A folder of buckets (or of namespaces), each a folder of objects.
#[derive(Clone, Debug)]
pub struct Objects {
    root: PathBuf,
    /// Whether an object is on the disk before it is seen. Clones share it.
    sync: Arc<AtomicBool>,
    /// Objects from this size on are linked instead of copied.
    linked_bytes_min: u64,
}

/// From this size on a link is worth its price, that the stored file becomes read-only: below it a copy takes less
/// than a millisecond.
const LINKED_BYTES_MIN: u64 = 1 << 20;

/// People copy files over those in their buckets, which a read-only one refuses: only where a copy takes a good part
/// of a second is the link worth that.
const LINKED_BUCKET_BYTES_MIN: u64 = 256 << 20;

/// What the file system knows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// The file that holds it.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// When its content changed.
    pub modified: Timestamp,
    /// The same as `modified`, exact, and the file's number: together they tell versions apart.
    pub(crate) changed_ns: i128,
    pub(crate) inode: u64,
}

/// What must hold for an object to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: the last writer wins.
    Always,
    /// There is no such object (`If-None-Match: *`).
    Absent,
    /// The object has this entity tag (`If-Match`).
    Etag(String),
}

/// The answer to a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored(Stat),
    /// The condition does not hold; nothing was changed.
    Refused,
}

impl Objects {
    /// The folder of a store's buckets.
    pub fn buckets(store: &Path) -> Objects {
        Objects { linked_bytes_min: LINKED_BUCKET_BYTES_MIN, ..Objects::at(store.join(keys::BUCKETS)) }
    }

    /// The folder of a store's default artifact repository, where each namespace is a bucket.
    pub fn artifacts(store: &Path) -> Objects {
        Objects::at(store.join(keys::ARTIFACTS))
    }

    /// Objects in the folder `root`, which is made when something is stored.
    pub fn at(root: PathBuf) -> Objects {
        Objects { root, sync: Arc::default(), linked_bytes_min: LINKED_BYTES_MIN }
    }

    /// From now on an object is on the disk before it is seen, whichever clone stores it.
    pub fn sync(&self) {
        self.sync.store(true, Ordering::SeqCst);
    }

    /// Whether an object is on the disk before it is seen.
    pub fn is_synced(&self) -> bool {
        self.sync.load(Ordering::SeqCst)
    }

    /// The folder of all buckets.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a bucket, which need not exist.
    ///
    /// # Errors
    /// `BadName` when the name can't be a folder.
    pub fn bucket(&self, bucket: &str) -> Result<PathBuf, StoreError> {
        Ok(self.root.join(keys::name("bucket", bucket)?))
    }

    /// The names of the buckets, sorted.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn bucket_names(&self) -> Result<Vec<String>, StoreError> {
        let names = files::names(&self.root)?.into_iter();
        Ok(names.filter(|n| self.root.join(n).is_dir()).filter_map(|n| keys::name_of(&n)).collect())
    }

    /// The object, if there is one. Only regular files are objects; a symbolic link to one is too.
    ///
    /// # Errors
    /// `BadName`, or when it can't be asked.
    pub fn stat(&self, bucket: &str, key: &str) -> Result<Option<Stat>, StoreError> {
        let path = self.root.join(keys::object_path(bucket, key)?);
        // A writer moves `a` to `a%-`, never back: asking in this order always meets it.
        for path in [&path, &keys::beside_folder(&path)] {
            let metadata = unless_no_object(fs::metadata(path)).map_err(failed("read", path))?;
            if let Some(metadata) = metadata.filter(Metadata::is_file) {
                return Ok(Some(Stat::of(bucket, key, path, &metadata)));
            }
        }
        Ok(None)
    }

    /// The object opened for reading, with the facts of exactly the file that was opened.
    ///
    /// # Errors
    /// `NotFound`, `BadName`, or when it can't be read.
    pub fn open(&self, bucket: &str, key: &str) -> Result<(File, Stat), StoreError> {
        loop {
            let Some(stat) = self.stat(bucket, key)? else {
                return Err(StoreError::NotFound { what: "object", name: format!("{bucket}/{key}") });
            };
            let opened = unless_no_object(File::open(&stat.path)).map_err(failed("read", &stat.path))?;
            // None: replaced, moved or deleted since; ask again.
            if let Some(file) = opened {
                let metadata = file.metadata().map_err(failed("read", &stat.path))?;
                return Ok((file, Stat::of(bucket, key, &stat.path, &metadata)));
            }
        }
    }

    /// Removes an object and the folders that it leaves empty, but not the bucket's; false when there was none.
    ///
    /// # Errors
    /// `BadName`, or when it can't be removed.
    pub fn remove(&self, bucket: &str, key: &str) -> Result<bool, StoreError> {
        let _lock = self.lock()?;
        let Some(stat) = self.stat(bucket, key)? else { return Ok(false) };
        files::remove(&stat.path)?;
        self.forget(&stat);
        // Where a person's `a` hid an older `a%-`, both go.
        files::remove(&keys::beside_folder(&self.root.join(keys::object_path(bucket, key)?)))?;
        let bucket = self.bucket(bucket)?;
        for folder in stat.path.ancestors().skip(1).take_while(|folder| **folder != bucket) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// Gives a finished file its place as an object. The file is renamed: it must lie in this file system, and
    /// nobody may write to it any more.
    pub(crate) fn place(
        &self,
        file: &Path,
        bucket: &str,
        key: &str,
        facts: &Facts,
        condition: &Condition,
    ) -> Result<Put, StoreError> {
        let path = self.root.join(keys::object_path(bucket, key)?);
        // Conditions, and names that are also folders, need more than one step.
        let _lock = self.lock()?;
        let before = self.stat(bucket, key)?;
        if !self.holds(condition, before.as_ref())? {
            return Ok(Put::Refused);
        }
        let metadata = fs::metadata(file).map_err(failed("read", file))?;
        let mut stat = Stat::of(bucket, key, &path, &metadata);
        // First the facts, then the object: nobody sees it without its entity tag.
        self.remember(&stat, facts)?;
        stat.path = self.rename(file, &path)?;
        files::sync_folder(&stat.path, self.is_synced())?;
        if let Some(before) = before.filter(|before| !before.same_version(&stat)) {
            self.forget(&before);
        }
        Ok(Put::Stored(stat))
    }

    /// Renames into place, past folders that have the object's name and objects that have its folders' names.
    fn rename(&self, file: &Path, path: &Path) -> Result<PathBuf, StoreError> {
        loop {
            let beside = keys::beside_folder(path);
            match fs::rename(file, path) {
                Ok(()) => {
                    files::remove(&beside)?;
                    return Ok(path.to_owned());
                }
                Err(error) if error.kind() == ErrorKind::IsADirectory => {
                    fs::rename(file, &beside).map_err(failed("write", &beside))?;
                    return Ok(beside);
                }
                Err(error) if error.kind() == ErrorKind::NotFound && file.exists() => {
                    self.make_folders(path)?;
                }
                Err(error) if error.kind() == ErrorKind::NotADirectory => self.make_folders(path)?,
                Err(error) => return Err(failed("write", path)(error)),
            }
        }
    }

    /// Makes the folders above an object; an object in the way moves beside its folder.
    fn make_folders(&self, path: &Path) -> Result<(), StoreError> {
        let above: Vec<_> = path.ancestors().skip(1).take_while(|folder| **folder != self.root).collect();
        for folder in above.into_iter().rev() {
            if folder.is_file() {
                fs::rename(folder, keys::beside_folder(folder)).map_err(failed("write", folder))?;
            }
            fs::create_dir_all(folder).map_err(failed("create", folder))?;
        }
        Ok(())
    }

    fn holds(&self, condition: &Condition, object: Option<&Stat>) -> Result<bool, StoreError> {
        Ok(match (condition, object) {
            (Condition::Always, _) | (Condition::Absent, None) => true,
            (Condition::Etag(etag), Some(stat)) => self.facts(stat)?.etag == *etag,
            (Condition::Absent, Some(_)) | (Condition::Etag(_), None) => false,
        })
    }

    fn lock(&self) -> Result<Lock, StoreError> {
        Lock::exclusive(&self.root.join(".lock"))
    }

    fn temporaries(&self) -> PathBuf {
        self.root.join(".tmp")
    }
}

impl Stat {
    fn of(bucket: &str, key: &str, path: &Path, metadata: &Metadata) -> Stat {
        let changed_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Stat {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            path: path.to_owned(),
            size: metadata.len(),
            // A file's time can lie outside of jiff's years; no person meets such a file.
            modified: Timestamp::from_nanosecond(changed_ns).unwrap_or_default(),
            changed_ns,
            inode: metadata.ino(),
        }
    }

    /// Whether nothing was written between the two.
    pub fn same_version(&self, other: &Stat) -> bool {
        (self.size, self.changed_ns, self.inode) == (other.size, other.changed_ns, other.inode)
    }

    /// The entity tag of a file that was not put through this program. It has a hyphen, so that no client takes
    /// it for the MD5 of the content.
    pub fn etag(&self) -> String {
        let version = format!("{} {} {}", self.inode, self.size, self.changed_ns);
        format!("{}-0", &hex(&Sha256::digest(version))[..32])
    }
}

/// An object's path can lead through another object (`a` and `a/b`) or be longer than the system allows; then
/// there is no such object.
fn unless_no_object<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        answer => unless_missing(answer),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
