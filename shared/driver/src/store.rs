//! What is kept: a trait for each table, and the documents in them.
//!
//! Every write is conditional, and losing a race is an answer, not an error.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dropforge_engine::apply::apply;
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::{CompileError, Program};
use dropforge_engine::record::Record;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::RunState;
use dropforge_manifest::types::S3Location;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Input or output failed.
    #[error("{action} {key}")]
    Io {
        /// `read`, `write`, `list`, `lock`, …
        action: &'static str,
        /// The file or key.
        key: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is stored can't be what was written.
    #[error("read {key} at byte {offset}: {why}")]
    Damaged {
        /// The file or key.
        key: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A newer version of the program wrote this.
    #[error(
        "read {key}: its format is {found}, this program knows formats up to {known}; use a newer dropforge"
    )]
    NewerFormat {
        /// The file or key.
        key: String,
        /// The document's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Somebody else owns the store.
    #[error("own the store {store}: process {owner} owns it")]
    Owned {
        /// The store.
        store: String,
        /// Who: a process id and what it runs, where known.
        owner: String,
    },
    /// There is no such thing.
    #[error("find {what} {name}")]
    NotFound {
        /// `run`, `artifact`, `definition`, …
        what: &'static str,
        /// Its name or key.
        name: String,
    },
    /// A name can't be stored.
    #[error("store {what} {name:?}: {why}")]
    BadName {
        /// `key`, `bucket`, …
        what: &'static str,
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
}

/// What the caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Ask again later.
    Retry,
    /// The asker must change the question.
    Invalid,
    /// The asker may not.
    Denied,
    /// What is stored is damaged; nothing may be written.
    Corrupt,
}

impl StoreError {
    /// What the caller does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    ErrorKind::Denied
                }
                _ => ErrorKind::Retry,
            },
            StoreError::Damaged { .. } | StoreError::NewerFormat { .. } => ErrorKind::Corrupt,
            StoreError::Owned { .. } => ErrorKind::Denied,
            StoreError::NotFound { .. } | StoreError::BadName { .. } => ErrorKind::Invalid,
        }
    }
}

/// The answer to a conditional creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was not there and is now.
    New,
    /// It was there already and stays as it was.
    Exists,
}

/// The answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The records are kept; `position` is the journal's new end.
    Committed {
        /// Where the next commit goes.
        position: u64,
    },
    /// Somebody else committed first: reload, decide again.
    Conflict,
}

/// A run as stored.
#[derive(Clone, Debug)]
pub struct LoadedRun {
    /// Its spec.
    pub spec: RunSpec,
    /// All records, oldest first.
    pub records: Vec<Record>,
    /// Where the next commit goes.
    pub position: u64,
}

/// A run as whoever advances it needs it.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Its spec.
    pub spec: RunSpec,
    /// Its state after its first records, where one is kept.
    pub snapshot: Option<Snapshot>,
    /// The records after those, oldest first.
    pub records: Vec<Record>,
    /// Where they end: where the next commit goes, unless there is more.
    pub position: u64,
    /// Whether records follow that were not read at once: [`Runs::part`] gives them.
    pub more: bool,
}

impl Resumed {
    /// The run's state after these records.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn state(self) -> Result<RunState, CompileError> {
        let mut state = match self.snapshot {
            Some(snapshot) => snapshot.restore(self.spec)?,
            None => RunState::new(Arc::new(Program::compile(self.spec)?)),
        };
        self.records.iter().for_each(|record| apply(&mut state, record));
        Ok(state)
    }
}

/// What was committed after a known position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    /// Its records, oldest first.
    pub records: Vec<Record>,
    /// Where the next commit goes.
    pub position: u64,
}

/// The version of the tombstones that this code writes.
pub const TOMBSTONE_FORMAT: u32 = 1;

/// What takes the place of a deleted run's spec, so that its uid is never given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// Version of this document.
    pub format: u32,
    /// The run.
    pub uid: RunUid,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// Who or what deleted it, for people.
    pub deleted_by: String,
}

/// The answer to a burial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buried {
    /// The run is hidden.
    Hidden,
    /// The run is live and stays as it is.
    Live,
}

/// Specs and journals of runs, and the markers of live ones.
pub trait Runs: Send + Sync {
    /// Marks the run live, then stores its spec (in this order, so that a half-born run is found).
    ///
    /// # Errors
    /// When it can't be stored.
    fn create_run(&self, spec: &RunSpec) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// The run with all its records.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `NewerFormat`, `Io`.
    fn load_run(&self, run: &RunUid) -> impl Future<Output = Result<LoadedRun, StoreError>> + Send;

    /// The run's spec alone.
    ///
    /// # Errors
    /// As [`Runs::load_run`].
    fn spec(&self, run: &RunUid) -> impl Future<Output = Result<RunSpec, StoreError>> + Send {
        async { self.load_run(run).await.map(|loaded| loaded.spec) }
    }

    /// The run as an advance needs it, which costs one snapshot and a short tail where the store keeps snapshots.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `NewerFormat`, `Io`.
    fn resume(&self, run: &RunUid) -> impl Future<Output = Result<Resumed, StoreError>> + Send {
        async {
            let LoadedRun { spec, records, position } = self.load_run(run).await?;
            Ok(Resumed { spec, snapshot: None, records, position, more: false })
        }
    }

    /// Offers the state after the commit that ended at `position`. The store keeps it when reading the run without it
    /// would cost too much; one that never does needs no method.
    ///
    /// # Errors
    /// When it can't be stored, which is harmless: the records are.
    fn keep_snapshot(
        &self,
        _run: &RunUid,
        _position: u64,
        _state: &RunState,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// What was committed after `position`, which a commit or another read gave: empty where nothing was, and then it
    /// costs least.
    ///
    /// # Errors
    /// As [`Runs::load_run`].
    fn tail(&self, run: &RunUid, position: u64) -> impl Future<Output = Result<Tail, StoreError>> + Send;

    /// As much of what was committed after `position` as is read at once, so that a journal may be longer than the memory:
    /// 0 is its beginning. None at its end.
    ///
    /// # Errors
    /// As [`Runs::load_run`].
    fn part(
        &self,
        run: &RunUid,
        position: u64,
    ) -> impl Future<Output = Result<Option<Tail>, StoreError>> + Send {
        async move {
            let tail = self.tail(run, position).await?;
            Ok((tail.position != position).then_some(tail))
        }
    }

    /// Appends `records` at `position` as one commit: all of them or none.
    ///
    /// # Errors
    /// When it is unknown whether they are kept.
    fn commit(
        &self,
        run: &RunUid,
        position: u64,
        records: &[Record],
    ) -> impl Future<Output = Result<Commit, StoreError>> + Send;

    /// The uids of live runs: not terminal, or with effects not yet answered, or with an unread command.
    ///
    /// # Errors
    /// When they can't be listed.
    fn live_runs(&self) -> impl Future<Output = Result<Vec<RunUid>, StoreError>> + Send;

    /// Marks the run live (again).
    ///
    /// # Errors
    /// When it can't be stored.
    fn mark_live(&self, run: &RunUid) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the live marker of a run that was never born, or was deleted: whoever was about to create it died after the
    /// marker. A run that is born meanwhile keeps its marker.
    ///
    /// # Errors
    /// When it can't be removed.
    fn unmark_unborn(&self, run: &RunUid) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the live marker of a run that is done at `position`. It stays where somebody has committed since, or a
    /// command lies in the inbox: the run lives on.
    ///
    /// # Errors
    /// When it can't be removed.
    fn unmark_live(&self, run: &RunUid, position: u64)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts a tombstone in the place of a run's spec, unless the run is live: from then on it is not found. Its journal
    /// stays. Doing it twice is harmless.
    ///
    /// # Errors
    /// `NotFound` when there never was such a run.
    fn bury(&self, tombstone: &Tombstone) -> impl Future<Output = Result<Buried, StoreError>> + Send;
}

/// Claims and verdicts of attempts. Keys hold the namespace and the attempt's id alone.
pub trait Attempts: Send + Sync {
    /// Creates the claim with the claimer's own nonce. `Created::New` also when the stored claim has this nonce
    /// (the first answer was lost).
    ///
    /// # Errors
    /// When it is unknown who holds the claim.
    fn claim(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        nonce: &str,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// Whether a claim exists.
    ///
    /// # Errors
    /// When it can't be read.
    fn claimed(
        &self,
        namespace: &str,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores the verdict unless there is one; gives the one that counts.
    ///
    /// # Errors
    /// When it is unknown which counts.
    fn put_verdict(
        &self,
        namespace: &str,
        verdict: &Verdict,
    ) -> impl Future<Output = Result<Verdict, StoreError>> + Send;

    /// The verdict, if the attempt has ended.
    ///
    /// # Errors
    /// When it can't be read.
    fn verdict(
        &self,
        namespace: &str,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<Option<Verdict>, StoreError>> + Send;
}

/// Launch documents that are too large for their pods.
pub trait Launches: Send + Sync {
    /// Keeps the launch document of an attempt, in the place of one that may be there, under
    /// [`launch_key`](crate::pods::launch_key).
    ///
    /// # Errors
    /// When it can't be stored.
    fn put_launch(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        document: Vec<u8>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Commands left for a run.
pub trait Inbox: Send + Sync {
    /// Leaves a command; marks the run live first.
    ///
    /// # Errors
    /// When it can't be stored.
    fn put_command(
        &self,
        run: &RunUid,
        command: &Command,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// The unread commands, by time.
    ///
    /// # Errors
    /// When they can't be listed.
    fn commands(&self, run: &RunUid) -> impl Future<Output = Result<Vec<Command>, StoreError>> + Send;

    /// One of them, if it is unread.
    ///
    /// # Errors
    /// When it can't be read.
    fn command(
        &self,
        run: &RunUid,
        command: &CommandId,
    ) -> impl Future<Output = Result<Option<Command>, StoreError>> + Send;

    /// Removes a command whose record is committed.
    ///
    /// # Errors
    /// When it can't be removed.
    fn remove_command(
        &self,
        run: &RunUid,
        command: &CommandId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// One line of the run list; small, so that listing runs never loads runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexEntry {
    /// Version of this document.
    pub format: u32,
    /// The run.
    pub uid: RunUid,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The end of its journal when the entry was made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub position: u64,
    /// Its phase then.
    pub phase: RunPhase,
    /// Its message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Leaves done and in all, as Argo shows it: `3/5`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// Numbers from outputs named `metrics`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The trigger, schedule or person, for people: `trigger churn`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// When it is deleted, by its `ttlStrategy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The run's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn is_zero(position: &u64) -> bool {
    *position == 0
}

/// The version of the index entries that this code writes.
pub const INDEX_FORMAT: u32 = 1;

/// The list of runs.
pub trait Index: Send + Sync {
    /// Stores the entry in place of an older one of the same run. Where several write, none replaces one of a later
    /// position: who is slow would undo what the others told.
    ///
    /// # Errors
    /// When it can't be stored.
    fn put_entry(&self, entry: &IndexEntry) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All entries of a namespace (all namespaces when none), newest first. One that can't be read is told and passed over.
    ///
    /// # Errors
    /// When they can't be listed.
    fn entries(
        &self,
        namespace: Option<&str>,
    ) -> impl Future<Output = Result<Vec<IndexEntry>, StoreError>> + Send;

    /// So many entries of all namespaces, in an order of the store's own, after those that ended in `after`: for who can't
    /// have all at once. A store whose list is short gives it whole.
    ///
    /// # Errors
    /// When they can't be listed.
    fn entries_after(
        &self,
        _after: Option<&str>,
        _many: usize,
    ) -> impl Future<Output = Result<EntryPage, StoreError>> + Send {
        async { Ok(EntryPage { entries: self.entries(None).await?, end: None }) }
    }

    /// Removes a run's entry, so that it is no longer listed.
    ///
    /// # Errors
    /// When it can't be removed.
    fn remove_entry(&self, entry: &IndexEntry) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Some entries of the list of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryPage {
    /// They.
    pub entries: Vec<IndexEntry>,
    /// Where they end; none: the list does.
    pub end: Option<String>,
}

/// A document that is changed by compare and swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub body: Vec<u8>,
    /// What a change must name.
    pub version: String,
}

/// The answer to a compare and swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Stored, under this version.
    Stored {
        /// The new version.
        version: String,
    },
    /// Somebody else changed it first.
    Conflict,
}

/// Small documents under a key: definitions, the state of triggers and schedules.
pub trait Documents: Send + Sync {
    /// The document, or none.
    ///
    /// # Errors
    /// When it can't be read.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Versioned>, StoreError>> + Send;

    /// Stores `body` if the document's version is still `expected` (none: if there is no document).
    ///
    /// # Errors
    /// When it is unknown whether it was stored.
    fn swap(
        &self,
        key: &str,
        expected: Option<&str>,
        body: &[u8],
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send;

    /// Removes the document if its version is still `expected`.
    ///
    /// # Errors
    /// When it is unknown whether it was removed.
    fn remove(&self, key: &str, expected: &str) -> impl Future<Output = Result<Swap, StoreError>> + Send;

    /// The keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// When they can't be listed.
    fn keys(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;
}

/// An artifact's place: in a bucket, or in the default artifact repository (whose keys are relative to the
/// namespace's prefix).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The bucket; none: the default artifact repository.
    pub bucket: Option<String>,
    /// The key as the manifest or Argo's key format gives it.
    pub key: String,
}

impl Place {
    /// The place an artifact's `s3` names.
    pub fn of(s3: &S3Location) -> Place {
        Place { bucket: s3.bucket.clone(), key: s3.key.clone().unwrap_or_default() }
    }
}

/// Facts about one stored object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectFacts {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal; empty where somebody else stored the object and only reading it would tell.
    pub sha256: String,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The version id, where the bucket keeps versions.
    pub version_id: Option<String>,
}

/// Files and directories as objects. Moves are streamed: memory stays flat whatever the size.
pub trait Artifacts: Send + Sync {
    /// Brings one object to the file `to` (whose folder exists). It may be a read-only link where the storage
    /// is this machine's; the caller never changes it in place.
    ///
    /// # Errors
    /// `NotFound` when there is no such object; `Io` with `StorageFull` before anything is written when the
    /// disk has no room.
    fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> impl Future<Output = Result<ObjectFacts, StoreError>> + Send;

    /// Keys below `place.key` + `/`, relative to it, sorted: the files of a directory artifact.
    ///
    /// # Errors
    /// When they can't be listed.
    fn list(
        &self,
        namespace: &str,
        place: &Place,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Stores the file `from` as one object, whole or not at all. The file may be moved or linked away when
    /// `consume` is set.
    ///
    /// # Errors
    /// When it can't be stored.
    fn store(
        &self,
        namespace: &str,
        from: &Path,
        place: &Place,
        consume: bool,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> impl Future<Output = Result<ObjectFacts, StoreError>> + Send;

    /// Removes the object, or every object below `place.key` + `/` where there is no object of this key. Doing it twice
    /// is harmless.
    ///
    /// # Errors
    /// When it can't be removed.
    fn remove_object(
        &self,
        namespace: &str,
        place: &Place,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The facts about an object without moving it; none when it is not there.
    ///
    /// # Errors
    /// When it can't be asked.
    fn head(
        &self,
        namespace: &str,
        place: &Place,
    ) -> impl Future<Output = Result<Option<ObjectFacts>, StoreError>> + Send;
}

/// Where an attempt's log is kept, as chunks that are the same objects live and afterwards.
pub trait Logs: Send + Sync {
    /// Appends bytes to a container's log.
    ///
    /// # Errors
    /// When they can't be stored.
    fn append_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        bytes: &[u8],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The log from byte `offset` on, at most `limit` bytes.
    ///
    /// # Errors
    /// When it can't be read; a log that does not exist is empty.
    fn read_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        offset: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<u8>, StoreError>> + Send;

    /// The file that holds the log on this machine, where there is one.
    fn log_file(&self, namespace: &str, attempt: &AttemptId, container: &str) -> Option<PathBuf>;
}

/// Everything an owner of runs needs.
pub trait RunStore: Runs + Attempts + Inbox + Index + Documents {}

impl<T: Runs + Attempts + Inbox + Index + Documents> RunStore for T {}
