//! A store in a directory, with one owner.
//!
//! The owner holds a kernel lock on `owner.lock`, which its death frees; only the owner writes journals. Every
//! other process opens the store as a reader: it takes no lock for long and writes only what is conditional by
//! itself (specs, markers, commands, claims, verdicts, documents, objects) or has one writer (a log, whose
//! container's supervisor writes it).
//!
//! | path | holds |
//! |---|---|
//! | `live/<uid>` | markers of live runs |
//! | `runs/<hh>/<uid>/spec.json`, `…/inbox/<id>.json` | specs, unread commands |
//! | `journals/<hh>/<uid>.journal` | all records of a run |
//! | `attempts/journal` | claims and verdicts, until no run is live |
//! | `logs/<namespace>/<attempt>/<container>/00000` | logs |
//! | `artifacts/<namespace>/…`, `buckets/<bucket>/…` | objects, as ordinary files |
//! | `definitions/…`, `folders/…`, `triggers/…`, `crons/…` | documents |
//! | `index/<namespace>/…` | the run list |
//! | `volumes/`, `work/` | the steps' own |
//! | `owner.lock`, `live.lock`, `documents.lock`, `.tmp/` | locks, files being written |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use dropforge_driver::store::StoreError;
use dropforge_engine::ids::RunUid;

use crate::files::{self, Lock, failed};
use crate::keys;
use crate::nonces::Nonces;
use crate::objects::Objects;

mod artifacts;
mod attempts;
mod documents;
mod frames;
mod inbox;
mod index;
mod journal;
mod logs;
mod runs;

/// What a process wants of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// To commit; one process at a time.
    Owner {
        /// What it runs, told to whoever wants to own the store meanwhile: `dropforge dev`.
        what: &'a str,
    },
    /// Everything but commits.
    Reader,
}

/// Run state, definitions and artifacts in a directory.
#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
    owner: Option<Lock>,
    durable: bool,
    buckets: Objects,
    artifacts: Objects,
    attempts: attempts::Table,
    journals: Mutex<BTreeMap<RunUid, runs::Slot>>,
    nonces: Nonces,
}

impl DirectoryStore {
    /// Opens the store; an owner makes it where there is none.
    ///
    /// # Errors
    /// `Owned` when another process owns it, `NotFound` when a reader finds no store, `Io` when the path is no
    /// folder or must not be written.
    pub fn open(path: &Path, access: Access<'_>) -> Result<DirectoryStore, StoreError> {
        let owner = match access {
            Access::Owner { what } => Some(own(path, what)?),
            Access::Reader => {
                check_store(path)?;
                None
            }
        };
        let root = fs::canonicalize(path).map_err(failed("open the store", path))?;
        Ok(DirectoryStore {
            owner,
            durable: false,
            buckets: Objects::buckets(&root),
            artifacts: Objects::artifacts(&root),
            attempts: attempts::Table::new(&root),
            journals: Mutex::default(),
            nonces: Nonces::new(),
            root,
        })
    }

    /// With `durable`, whatever was answered outlives a power failure: each commit costs one `fdatasync`, each
    /// other document and object an `fsync` of itself and its folder.
    pub fn durable(mut self, durable: bool) -> DirectoryStore {
        self.durable = durable;
        if durable {
            self.durability().begin();
        }
        self
    }

    /// Where the store is durable, the same of all that was stored before: the run that goes on may have begun without.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn catch_up(&self) -> Result<(), StoreError> {
        if self.durable { self.durability().catch_up() } else { Ok(()) }
    }

    /// Makes buckets and artifacts alone durable: enough for who runs the steps of an owner, whose commits hold the
    /// verdicts.
    pub fn durability(&self) -> Durability {
        let objects = [self.buckets.clone(), self.artifacts.clone()];
        Durability { root: self.root.clone(), objects }
    }

    /// The store's directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this process owns the store.
    pub fn is_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// The buckets, as the S3 endpoint serves them.
    pub fn buckets(&self) -> &Objects {
        &self.buckets
    }

    /// The folder of persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join(keys::VOLUMES)
    }

    /// The folder where running steps work.
    pub fn work(&self) -> PathBuf {
        self.root.join(keys::WORK)
    }

    fn at(&self, key: PathBuf) -> PathBuf {
        self.root.join(key)
    }

    fn temporaries(&self) -> PathBuf {
        self.root.join(".tmp")
    }

    fn create_only(&self, path: &Path, bytes: &[u8]) -> Result<dropforge_driver::store::Created, StoreError> {
        files::create_only(&self.temporaries(), path, bytes, self.durable)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        files::replace(&self.temporaries(), path, bytes, self.durable)
    }

    fn live_lock(&self) -> PathBuf {
        self.root.join("live.lock")
    }
}

/// The way to make a store's objects outlive a power failure, also while others store some.
#[derive(Clone, Debug)]
pub struct Durability {
    root: PathBuf,
    objects: [Objects; 2],
}

impl Durability {
    /// Whatever is stored from now on is on the disk before it is seen.
    pub fn begin(&self) {
        self.objects.iter().for_each(Objects::sync);
    }

    /// The same of all that was stored before. What is being stored meanwhile is covered too: its content was written
    /// before this call or is written to the disk by itself, and so is its name.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn catch_up(&self) -> Result<(), StoreError> {
        self.begin();
        let system = File::open(&self.root).and_then(|root| Ok(rustix::fs::syncfs(root)?));
        system.map_err(failed("write", &self.root))
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.objects.iter().all(Objects::is_synced)
    }
}

const OWNER_LOCK: &str = "owner.lock";

fn own(path: &Path, what: &str) -> Result<Lock, StoreError> {
    match check_store(path) {
        Err(StoreError::NotFound { .. }) => {
            fs::create_dir_all(path).map_err(failed("make the store", path))?;
        }
        checked => checked?,
    }
    let file = path.join(OWNER_LOCK);
    let mut lock = match Lock::take(&file)? {
        Ok(lock) => lock,
        Err(held) => {
            return Err(StoreError::Owned { store: path.display().to_string(), owner: owner_of(held) });
        }
    };
    lock.file.set_len(0).map_err(failed("write", &file))?;
    writeln!(lock.file, "{} {what}", std::process::id()).map_err(failed("write", &file))?;
    for folder in [path.to_owned(), path.join(keys::BUCKETS), path.join(keys::ARTIFACTS)] {
        files::sweep(&folder.join(".tmp"));
    }
    Ok(lock)
}

/// How often the lock of an owner that is just being born is read again, and how long to wait in between.
const BIRTH: (u32, Duration) = (100, Duration::from_millis(2));

/// What the owner wrote into its lock: `4242 (dropforge dev)`.
fn owner_of(mut held: File) -> String {
    for _ in 0..BIRTH.0 {
        let mut text = String::new();
        let read = held.rewind().and_then(|()| held.read_to_string(&mut text));
        match (read, text.trim().split_once(' ')) {
            (Ok(_), Some((pid, what))) => return format!("{pid} ({what})"),
            // The owner has the lock and has not written yet.
            (Ok(_), None) => std::thread::park_timeout(BIRTH.1),
            (Err(_), _) => break,
        }
    }
    "unknown".to_owned()
}

fn check_store(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => {
            let why = io::Error::new(ErrorKind::NotADirectory, "it is a file, not a directory");
            Err(failed("open the store", path)(why))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(StoreError::NotFound { what: "store", name: path.display().to_string() })
        }
        Err(error) => Err(failed("open the store", path)(error)),
    }
}

#[cfg(test)]
mod tests;
