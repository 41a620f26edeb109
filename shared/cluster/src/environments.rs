//! Python environments: requirements locked to exact versions and hashes, installed once, cached by the lock's hash.
//!
//! An environment is built where it will stay, since virtual environments cannot be moved. A kernel lock is held
//! while it is built; the installer inherits it, so that an installer whose Dropforge was killed still keeps others
//! out. The marker is written last: a folder without one is half built, and is removed and built again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::python::{Chosen, Interpreter, Version, Wanted};
use crate::settings::Requirements;

mod folder;
mod lockfile;
mod output;
mod pip_settings;
mod target;
#[cfg(test)]
mod tests;
mod tool;
mod trees;

use folder::{Held, Marker};
use lockfile::{Entry, LockFile};
pub use target::{Machine, Target};
use tool::Tool;
pub use trees::{Tree, TreeLock};

/// The lock file's name, beside `dropforge.toml`.
pub const LOCK_FILE_NAME: &str = "dropforge.lock";

/// How packages are fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether no index may be asked.
    pub offline: bool,
    /// A folder of wheels that is looked at beside the index.
    pub wheels: Option<PathBuf>,
    /// `uv`, where it is to be used; see [`find_uv`].
    pub uv: Option<PathBuf>,
}

/// The `uv` on PATH.
pub fn find_uv() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    crate::python::program(&std::env::split_paths(&path).collect::<Vec<_>>(), "uv")
}

/// What an environment is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The environment's name: the image it stands for.
    pub environment: String,
    /// What is done for it.
    pub phase: Phase,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment {}: ", self.environment)?;
        match &self.phase {
            Phase::Resolving => f.write_str("choosing versions"),
            Phase::Downloading { package } => write!(f, "downloading {package}"),
            Phase::Building { package } => write!(f, "building {package}"),
            Phase::Installing { package } => write!(f, "installing {package}"),
            Phase::Waiting => f.write_str("waiting for another process that makes it"),
            Phase::Done => f.write_str("ready"),
        }
    }
}

/// What is done for an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Versions are chosen.
    Resolving,
    /// A package is downloaded.
    Downloading {
        /// Its name as the installer writes it, with the size where it tells one.
        package: String,
    },
    /// A package is built from its source.
    Building {
        /// Its name.
        package: String,
    },
    /// Packages are put in place.
    Installing {
        /// Their names.
        package: String,
    },
    /// Another process builds the same environment or writes the same lock file.
    Waiting,
    /// It can be used.
    Done,
}

/// Why an environment cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requirements have no solution.
    #[error("resolve the requirements of {environment}{}: {reason}", package.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
    Resolve {
        /// The environment's name.
        environment: String,
        /// The package in the way, where the installer names one.
        package: Option<String>,
        /// What the installer says.
        reason: String,
    },
    /// A package is not here, and no index may be asked.
    #[error(
        "find {package} for {environment} offline{}; run once with a network, or put its wheel and those it needs into \
         a folder and name it: [pip] wheels = \"…\" in dropforge.toml",
        wheels.as_ref().map(|folder| format!(" (looked in {})", folder.display())).unwrap_or_default()
    )]
    Offline {
        /// The environment's name.
        environment: String,
        /// The package that is missing.
        package: String,
        /// The wheel folder that was looked at.
        wheels: Option<PathBuf>,
    },
    /// The package index does not answer.
    #[error(
        "reach the package index for {environment}; check network, proxy and index settings, or go offline:\n{tail}"
    )]
    Unreachable {
        /// The environment's name.
        environment: String,
        /// The last lines of the installer.
        tail: String,
    },
    /// The installer failed for another reason.
    #[error("install the packages of {environment}:\n{tail}")]
    Install {
        /// The environment's name.
        environment: String,
        /// The last lines of the installer.
        tail: String,
    },
    /// What the index or wheel folder has is not what was locked.
    #[error(
        "install {environment} as locked: a file differs from the hashes in {}; delete its entry there to lock again:\n{tail}",
        lock_file.display()
    )]
    Hashes {
        /// The environment's name.
        environment: String,
        /// The lock file.
        lock_file: PathBuf,
        /// The last lines of the installer.
        tail: String,
    },
    /// The interpreter can make no environment.
    #[error(
        "install packages with {}, which has neither pip nor ensurepip; install uv, or Python's pip and venv (Debian, Ubuntu: \
         apt install python3-pip python3-venv)",
        python.display()
    )]
    NoInstaller {
        /// The interpreter.
        python: PathBuf,
    },
    /// The wheel folder of the settings is not there.
    #[error("find the wheel folder {}: make it, or correct [pip] wheels in dropforge.toml", path.display())]
    NoWheels {
        /// The folder.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("build {environment} in {}: the disk is full; free some space, or move the cache", path.display())]
    DiskFull {
        /// The environment's name.
        environment: String,
        /// The folder that was written.
        path: PathBuf,
    },
    /// The cache cannot be written.
    #[error("write the cache at {}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `uv` or Python cannot be started.
    #[error("start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The lock file cannot be read or written.
    #[error("use the lock file {}", path.display())]
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The lock file does not say what a lock file says.
    #[error("read the lock file {}{}: {reason}; restore it, or delete it to lock again", path.display(),
        place.map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default())]
    BadLockFile {
        /// The lock file.
        path: PathBuf,
        /// Where in it.
        place: Option<crate::settings::Place>,
        /// What is wrong.
        reason: String,
    },
}

/// Requirements with exact versions and hashes, for one Python on one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The environment's name.
    pub name: String,
    /// SHA-256 of the locked packages, the Python's minor version and the platform.
    pub hash: String,
    /// The Python it is for.
    pub python: Chosen,
    /// Whether it was resolved just now rather than found in the lock file.
    pub is_new: bool,
    file: PathBuf,
    entry: Entry,
    options: Vec<String>,
}

impl Lock {
    /// The locked packages as requirements, such as `six==1.16.0`.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.entry.packages.iter().map(|package| package.requirement.as_str())
    }
}

/// An environment that is ready for use. Nothing may be written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The interpreter in it.
    pub python: PathBuf,
    /// The folder that goes first into PATH.
    pub bin: PathBuf,
    /// What it is cached under: the lock's hash with the exact Python version and platform.
    pub hash: String,
    /// The Python that was asked for.
    pub wanted_python: Option<Wanted>,
    /// The Python it has.
    pub python_version: Version,
    /// The lock's hash.
    pub lock_hash: String,
}

/// The environments of a cache folder.
#[derive(Clone, Debug)]
pub struct Environments {
    cache: PathBuf,
    options: Options,
}

impl Environments {
    /// Environments below `cache`; the folder is made when it is needed.
    pub fn new(cache: impl Into<PathBuf>, options: Options) -> Self {
        Self { cache: cache.into(), options }
    }

    /// The lock of an image's requirements for a Python: the lock file's, where it has one for the same
    /// requirements, Python and platform; else resolved and written there.
    ///
    /// # Errors
    /// Where the requirements cannot be resolved, or the lock file cannot be read or written.
    pub fn lock(
        &self,
        name: &str,
        requirements: &Requirements,
        python: &Chosen,
        lock_file: &Path,
        progress: &dyn Fn(Progress),
    ) -> Result<Lock, Error> {
        let seeker = Entry::wish(name, requirements, &python.interpreter);
        let found = LockFile::load(lock_file)?.find(&seeker);
        let (entry, is_new) = match found {
            Some(entry) => (entry, false),
            None => self.resolve(seeker, &python.interpreter, None, lock_file, progress)?,
        };
        Ok(Lock {
            name: name.to_owned(),
            hash: entry.hash(),
            python: python.clone(),
            is_new,
            file: lock_file.to_owned(),
            entry,
            options: requirements.options.clone(),
        })
    }

    /// Resolves under a lock per lock file, so that two processes neither resolve the same nor lose each other's
    /// entries.
    fn resolve(
        &self,
        wish: Entry,
        python: &Interpreter,
        target: Option<&Target>,
        lock_file: &Path,
        progress: &dyn Fn(Progress),
    ) -> Result<(Entry, bool), Error> {
        let report = |phase| progress(Progress { environment: wish.image.clone(), phase });
        let real = std::path::absolute(lock_file).unwrap_or_else(|_| lock_file.to_owned());
        let guard =
            self.cache.join("locks").join(format!("{}.lock", sha256(real.as_os_str().as_encoded_bytes())));
        let held = Held::take(&guard, || report(Phase::Waiting))?;
        let mut locks = LockFile::load(lock_file)?;
        if let Some(entry) = locks.find(&wish) {
            return Ok((entry, false));
        }
        if let Some(entry) = locks.same_packages(&wish) {
            locks.replace(entry.clone());
            locks.save(lock_file)?;
            return Ok((entry, false));
        }
        report(Phase::Resolving);
        let tool = Tool::of(&self.options, python)?;
        let job = self.job(&wish.image, lock_file, &held);
        let packages = tool.resolve(&job, &wish, python, target, &report)?;
        let entry = Entry { packages, ..wish.clone() };
        locks.replace(entry.clone());
        locks.save(lock_file)?;
        Ok((entry, true))
    }

    /// The environment of a lock, installed where the cache does not have it.
    ///
    /// # Errors
    /// Where its packages cannot be fetched or installed, or the cache cannot be written.
    pub fn ensure(&self, lock: &Lock, progress: &dyn Fn(Progress)) -> Result<Environment, Error> {
        let report = |phase| progress(Progress { environment: lock.name.clone(), phase });
        let python = &lock.python.interpreter;
        let hash = sha256(format!("{}\n{}\n{}\n", lock.hash, python.version, python.platform).as_bytes());
        let home = self.cache.join("environments").join(&hash);
        let marker = Marker { format: 1, lock_hash: lock.hash.clone(), python: python.executable.clone() };
        if !marker.is_at(&home) {
            let held = Held::take(&home.with_extension("lock"), || report(Phase::Waiting))?;
            // Whoever held the lock before may have built it.
            if !marker.is_at(&home) {
                self.build(lock, &home, &held, &report)?;
                folder::finish(&home, &marker).map_err(|error| self.unwritable(lock, &home, error))?;
            }
        }
        report(Phase::Done);
        let bin = home.join("bin");
        Ok(Environment {
            python: bin.join("python"),
            bin,
            hash,
            wanted_python: lock.python.wanted,
            python_version: python.version,
            lock_hash: lock.hash.clone(),
        })
    }

    fn build(&self, lock: &Lock, home: &Path, held: &Held, report: &dyn Fn(Phase)) -> Result<(), Error> {
        folder::remove(home).map_err(|error| self.unwritable(lock, home, error))?;
        let tool = Tool::of(&self.options, &lock.python.interpreter)?;
        let job = self.job(&lock.name, &lock.file, held);
        tool.install(&job, lock, home, report)
    }

    fn job<'a>(&'a self, environment: &'a str, lock_file: &'a Path, held: &'a Held) -> tool::Job<'a> {
        tool::Job { environment, lock_file, held, options: &self.options }
    }

    fn unwritable(&self, lock: &Lock, path: &Path, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::StorageFull {
            return Error::DiskFull { environment: lock.name.clone(), path: path.to_owned() };
        }
        Error::Unwritable { path: path.to_owned(), source }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
