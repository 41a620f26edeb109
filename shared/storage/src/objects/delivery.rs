//! Whole files out of and into the store, without a copy where a link serves.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use dropforge_driver::store::{ObjectFacts, StoreError};
use md5::Md5;
use rustix::fs::{AtFlags, CWD, ioctl_ficlone, linkat};
use sha2::{Digest, Sha256};

use super::facts::read_through;
use super::{Condition, Facts, Objects, Put, Stat, hex};
use crate::files::{self, ensure_room, failed};

impl Objects {
    /// Brings an object to the file `to`, instead of the file that may be there.
    ///
    /// A large object is not copied: `to` is a reflink (its own file, sharing blocks until one of them changes)
    /// where the file system can, otherwise a hard link. A hard link is the stored file itself, whose mode becomes
    /// 0444. Root ignores modes: whoever runs a step as root must show it `to` through a read-only mount.
    ///
    /// # Errors
    /// `NotFound`, or `Io`: with `StorageFull` before anything is written.
    pub fn fetch(
        &self,
        bucket: &str,
        key: &str,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let (mut file, stat) = self.open(bucket, key)?;
        files::remove(to)?;
        if stat.size >= self.linked_bytes_min && (reflink_to(&file, to) || link_to(&file, &stat, to)) {
            return self.full_facts(&mut file, &stat, progress);
        }
        let copied = self.copy(&mut file, &stat, to, progress);
        if copied.is_err() {
            // A part of an object is of no use to anyone.
            let _ = fs::remove_file(to);
        }
        copied
    }

    fn copy(
        &self,
        file: &mut File,
        stat: &Stat,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        ensure_room(to.parent().unwrap_or(to), stat.size)?;
        let mut facts = self.facts(stat)?;
        let mut hasher = facts.sha256.is_none().then(Sha256::new);
        let mut copy = File::create(to).map_err(failed("write", to))?;
        read_through(file, &stat.path, |bytes, done| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            progress(done, stat.size);
            copy.write_all(bytes).map_err(failed("write", to))
        })?;
        self.unchanged(file, stat)?;
        if let Some(hasher) = hasher {
            facts.sha256 = Some(hex(&hasher.finalize()));
            self.try_to_remember(stat, &facts);
        }
        Ok(facts.of_object(stat.size))
    }

    /// Stores the file `from` as an object, hashing it in the one pass that reads it. With `consume` it is moved
    /// where that needs no copy; nobody may write to it any more.
    ///
    /// # Errors
    /// `BadName`, or `Io`: with `StorageFull` before anything is written.
    pub fn take(
        &self,
        from: &Path,
        bucket: &str,
        key: &str,
        consume: bool,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        if consume
            && self.can_move(from)?
            && let Some(facts) = self.move_in(from, bucket, key, progress)?
        {
            return Ok(facts);
        }
        let mut file = File::open(from).map_err(failed("read", from))?;
        let size = file.metadata().map_err(failed("read", from))?.len();
        let cloneable = size >= self.linked_bytes_min;
        let mut upload = self.upload_of(&file, cloneable, size)?;
        upload.append(&mut file, from, &|done| progress(done, size))?;
        let facts = ObjectFacts {
            size: upload.size(),
            sha256: upload.sha256(),
            etag: hex(&upload.md5()),
            version_id: None,
        };
        upload.finish(bucket, key, None, BTreeMap::new(), &Condition::Always)?;
        Ok(facts)
    }

    /// A file with another name elsewhere could be written to there afterwards.
    fn can_move(&self, from: &Path) -> Result<bool, StoreError> {
        fs::create_dir_all(&self.root).map_err(failed("create", &self.root))?;
        let root = fs::metadata(&self.root).map_err(failed("read", &self.root))?;
        let from = fs::symlink_metadata(from).map_err(failed("read", from))?;
        Ok(from.is_file() && from.nlink() == 1 && from.dev() == root.dev())
    }

    /// None where the system refuses to move it after all.
    fn move_in(
        &self,
        from: &Path,
        bucket: &str,
        key: &str,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Option<ObjectFacts>, StoreError> {
        // Whatever mode its step left: whoever may read the store may read it.
        fs::set_permissions(from, Permissions::from_mode(0o644)).map_err(failed("read", from))?;
        let mut file = File::open(from).map_err(failed("read", from))?;
        let size = file.metadata().map_err(failed("read", from))?.len();
        let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
        read_through(&mut file, from, |bytes, done| {
            sha256.update(bytes);
            md5.update(bytes);
            progress(done, size);
            Ok(())
        })?;
        if self.is_synced() {
            file.sync_all().map_err(failed("write", from))?;
        }
        let facts = Facts::new(hex(&md5.finalize()), Some(hex(&sha256.finalize())), BTreeMap::new());
        match self.place(from, bucket, key, &facts, &Condition::Always) {
            Ok(Put::Stored(stat)) => Ok(Some(facts.of_object(stat.size))),
            Ok(Put::Refused) => Ok(None),
            // The same file system, mounted twice.
            Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::CrossesDevices => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes `to` a file that shares the blocks of `file`, where the file system can.
fn reflink_to(file: &File, to: &Path) -> bool {
    let Ok(copy) = OpenOptions::new().write(true).create_new(true).open(to) else { return false };
    let shared = ioctl_ficlone(&copy, file).is_ok();
    if !shared {
        let _ = fs::remove_file(to);
    }
    shared
}

/// Makes `to` another name of exactly the opened file, once it is read-only. A file behind a symbolic link is not
/// the store's own: its mode is not ours to change.
fn link_to(file: &File, stat: &Stat, to: &Path) -> bool {
    let own = fs::symlink_metadata(&stat.path).is_ok_and(|metadata| metadata.is_file());
    own && file.set_permissions(Permissions::from_mode(0o444)).is_ok() && link_opened(file, to).is_ok()
}

/// By the descriptor, since the path may lead to a newer object by now.
fn link_opened(file: &File, to: &Path) -> io::Result<()> {
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, opened, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
}
