//! An environment's folder: who may build it, whether it is complete, and that nobody changes it.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use super::Error;

/// A kernel lock on a file. It is released when the last process that has the file open ends, also by `kill -9`.
pub(super) struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Takes the lock, and tells `waiting` once where another has it.
    pub fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Unwritable { path: path.to_owned(), source };
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// A standard input for an installer: always at its end, and keeping the lock for as long as the installer or
    /// anything it started lives. Were Dropforge killed and the lock freed, the next one would build into the same
    /// folder beside the orphan.
    pub fn stdin(&self) -> Result<Stdio, Error> {
        let copy = self.file.try_clone();
        copy.map(Stdio::from).map_err(|source| Error::Unwritable { path: self.path.clone(), source })
    }
}

/// A folder for the installer's own files. Its name comes from the lock, so that the next holder finds and removes
/// what a killed one left.
pub(super) struct Work {
    path: PathBuf,
}

impl Work {
    /// An empty folder beside the lock.
    pub fn new(held: &Held) -> Result<Self, Error> {
        let path = held.path.with_extension("work");
        let made = remove(&path).and_then(|()| fs::create_dir(&path));
        made.map_err(|source| Error::Unwritable { path: path.clone(), source })?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a work folder is left for the next one to remove");
        }
    }
}

/// What the marker of a complete environment says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub format: u32,
    pub lock_hash: String,
    /// The interpreter the environment leads to.
    pub python: PathBuf,
}

const MARKER: &str = "complete.json";

impl Marker {
    /// Whether the folder is a complete environment of this lock, and its interpreter still is there. One that was
    /// built with another interpreter of the same version serves: steps may be running in it.
    pub fn is_at(&self, home: &Path) -> bool {
        let read =
            fs::read(home.join(MARKER)).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        read.is_some_and(|marker| (marker.format, marker.lock_hash) == (self.format, self.lock_hash.clone()))
            && home.join("bin/python").exists()
    }
}

/// Makes a built environment read-only and, as the last step, complete.
pub(super) fn finish(home: &Path, marker: &Marker) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        seal(&entry?.path())?;
    }
    let file = tempfile::NamedTempFile::new_in(home)?;
    serde_json::to_writer(&file, marker)?;
    file.as_file().sync_all()?;
    file.as_file().set_permissions(Permissions::from_mode(0o444))?;
    file.persist(home.join(MARKER)).map_err(|error| error.error)?;
    fs::set_permissions(home, Permissions::from_mode(0o555))
}

/// Takes the right to write from everything below `path`. Files with several names are the installer's cache as
/// well, whose permissions are not ours to change; nobody can replace or remove them in a sealed folder.
fn seal(path: &Path) -> io::Result<()> {
    let data = fs::symlink_metadata(path)?;
    if data.is_symlink() || (data.is_file() && data.nlink() > 1) {
        return Ok(());
    }
    if data.is_dir() {
        for entry in fs::read_dir(path)? {
            seal(&entry?.path())?;
        }
    }
    fs::set_permissions(path, Permissions::from_mode(data.mode() & 0o555))
}

/// Removes an environment, sealed or half built; none there is well.
pub(super) fn remove(home: &Path) -> io::Result<()> {
    unseal(home)?;
    match fs::remove_dir_all(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn unseal(path: &Path) -> io::Result<()> {
    let data = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !data.is_dir() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(path)? {
        unseal(&entry?.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_installer_keeps_the_lock_when_its_owner_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/one.lock");
        let other = || File::open(&path).unwrap();
        let held = Held::take(&path, || panic!("nobody has it")).unwrap();
        let mut installer = Command::new("sleep").arg("1000").stdin(held.stdin().unwrap()).spawn().unwrap();
        drop(held);
        let is_free = other().try_lock().is_ok();
        installer.kill().unwrap();
        installer.wait().unwrap();
        assert!(!is_free, "while the installer lives");
        // Waits: a process that another test starts holds a copy for the moment before it becomes its program.
        other().lock().unwrap();
    }

    #[test]
    fn files_shared_with_the_installers_cache_keep_their_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs::create_dir_all(home.join("lib")).unwrap();
        fs::write(folder.path().join("cached"), "").unwrap();
        fs::hard_link(folder.path().join("cached"), home.join("lib/linked")).unwrap();
        fs::write(home.join("lib/own"), "").unwrap();
        let before = fs::metadata(folder.path().join("cached")).unwrap().mode();
        let marker = Marker { format: 1, lock_hash: "h".to_owned(), python: "/p".into() };
        finish(&home, &marker).unwrap();
        let mode = |name: &str| fs::metadata(home.join(name)).unwrap().mode();
        assert_eq!((mode("lib/linked"), mode("lib/own") & 0o222, mode("lib") & 0o222), (before, 0, 0));
        remove(&home).unwrap();
        assert!(!home.exists());
        remove(&home).unwrap();
    }
}
