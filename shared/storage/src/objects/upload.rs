//! An object on its way in: written under a temporary name, hashed as it passes, then given its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use dropforge_driver::store::StoreError;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::facts::read_through;
use super::{Condition, Facts, Objects, Put, hex};
use crate::files::{Temporary, ensure_room, failed};

/// An object being written; dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    objects: Objects,
    pub(super) temporary: Temporary,
    /// The file shares its blocks with the one it is made from: passing bytes are only hashed.
    cloned: bool,
    size: u64,
    sha256: Sha256,
    md5: Md5,
}

impl Objects {
    /// Begins an object of about `size` bytes (0 when nobody knows).
    ///
    /// # Errors
    /// `Io` with `StorageFull` when the disk has no room for it; when it can't be written.
    pub fn upload(&self, size: u64) -> Result<Upload, StoreError> {
        let upload = self.empty_upload()?;
        ensure_room(&upload.temporary.path, size)?;
        Ok(upload)
    }

    /// Begins an object that will be a copy of `file`, sharing its blocks where wanted and possible.
    pub(crate) fn upload_of(&self, file: &File, share: bool, size: u64) -> Result<Upload, StoreError> {
        let mut upload = self.empty_upload()?;
        upload.cloned = share && rustix::fs::ioctl_ficlone(&upload.temporary.file, file).is_ok();
        if !upload.cloned {
            ensure_room(&upload.temporary.path, size)?;
        }
        Ok(upload)
    }

    fn empty_upload(&self) -> Result<Upload, StoreError> {
        Ok(Upload {
            objects: self.clone(),
            temporary: Temporary::new(&self.temporaries())?,
            cloned: false,
            size: 0,
            sha256: Sha256::new(),
            md5: Md5::new(),
        })
    }

    /// Stores a copy of the file `from`, hashed in the same pass.
    ///
    /// # Errors
    /// When it can't be read or stored.
    pub fn put_file(
        &self,
        from: &Path,
        bucket: &str,
        key: &str,
        metadata: BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<Put, StoreError> {
        let mut file = File::open(from).map_err(failed("read", from))?;
        let size = file.metadata().map_err(failed("read", from))?.len();
        let mut upload = self.upload(size)?;
        upload.append(&mut file, from, &|_| {})?;
        upload.finish(bucket, key, None, metadata, condition)
    }
}

impl Upload {
    /// Bytes written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// MD5 of the bytes written: the entity tag of a plain put, and what a multipart upload's is made of.
    pub fn md5(&self) -> [u8; 16] {
        self.md5.clone().finalize().into()
    }

    /// SHA-256 of the bytes written, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&self.sha256.clone().finalize())
    }

    /// Gives the object its place, whole, if the condition holds. Without an `etag` it is the content's MD5.
    ///
    /// # Errors
    /// `BadName`, or when it can't be stored.
    pub fn finish(
        self,
        bucket: &str,
        key: &str,
        etag: Option<String>,
        metadata: BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<Put, StoreError> {
        let Upload { temporary, objects, .. } = &self;
        temporary.sync(objects.is_synced()).map_err(failed("write", &temporary.path))?;
        let etag = etag.unwrap_or_else(|| hex(&self.md5()));
        let facts = Facts::new(etag, Some(self.sha256()), metadata);
        objects.place(&temporary.path, bucket, key, &facts, condition)
    }

    /// Appends the rest of a file.
    pub(crate) fn append(
        &mut self,
        file: &mut File,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), StoreError> {
        read_through(file, path, |bytes, done| {
            self.write_all(bytes).map_err(failed("write", &self.temporary.path.clone()))?;
            progress(done);
            Ok(())
        })?;
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = if self.cloned { bytes.len() } else { self.temporary.file.write(bytes)? };
        self.sha256.update(&bytes[..written]);
        self.md5.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
