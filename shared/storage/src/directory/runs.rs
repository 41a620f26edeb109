//! Specs, journals and markers.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dropforge_driver::store::{
    Buried, Commit, Created, LoadedRun, Resumed, Runs, StoreError, Tail, Tombstone,
};
use dropforge_engine::ids::RunUid;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{RunSpec, SPEC_FORMAT};

use super::DirectoryStore;
use super::journal::{self, Journal};
use crate::files::{self, Lock, failed};
use crate::tombstone::{is_tombstone, no_such_run};
use crate::{json, keys};

/// Journals kept open at a time: most systems allow a process 1,024 files, and steps' pipes need some.
const OPEN_JOURNALS_MAX: usize = 256;

/// As much of a journal is in memory at once where it is read part by part.
const PART_BYTES: u64 = 4 * 1024 * 1024;

/// A journal that this process has read, or none yet.
pub(super) type Slot = Arc<Mutex<Option<Journal>>>;

impl Runs for DirectoryStore {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        // Shared with other births and commands, but never with the removal of a marker.
        let _lock = Lock::shared(&self.live_lock())?;
        if self.is_buried(&spec.uid)? {
            return Ok(Created::Exists);
        }
        self.mark(&spec.uid)?;
        let path = self.at(keys::spec(&spec.uid)?);
        self.create_only(&path, &json::bytes(&path, spec)?)
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        let spec = self.read_spec(run)?;
        self.check_journal(run)?;
        let content = journal::read(&self.at(keys::journal(run)?))?;
        Ok(LoadedRun { spec, records: content.records, position: content.end })
    }

    async fn spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        self.read_spec(run)
    }

    async fn resume(&self, run: &RunUid) -> Result<Resumed, StoreError> {
        let spec = self.read_spec(run)?;
        self.check_journal(run)?;
        Ok(Resumed { spec, snapshot: None, records: Vec::new(), position: 0, more: true })
    }

    async fn part(&self, run: &RunUid, position: u64) -> Result<Option<Tail>, StoreError> {
        let content = journal::read_from(&self.at(keys::journal(run)?), position, PART_BYTES)?;
        let (records, end) = (content.records, content.end);
        Ok((end > position).then_some(Tail { records, position: end }))
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        // Nobody else commits beside the owner; whoever only reads looks at a frame's end, as every position is.
        let content = journal::read_from(&self.at(keys::journal(run)?), position, u64::MAX)?;
        Ok(Tail { records: content.records, position: content.end })
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        self.check_owner(run)?;
        let slot = self.slot(run);
        let mut slot = locked(&slot);
        let journal = match &mut *slot {
            Some(journal) => journal,
            none => none.insert(self.open_journal(run)?),
        };
        if journal.end() != position {
            return Ok(Commit::Conflict);
        }
        if records.is_empty() {
            return Ok(Commit::Committed { position });
        }
        if !journal.is_open() {
            self.spare_descriptors();
        }
        if let Err(error) = journal.append(&self.nonces.next(), records, self.durable) {
            // What the file holds is found out again before the next commit.
            *slot = None;
            return Err(error);
        }
        Ok(Commit::Committed { position: journal.end() })
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        let names = files::names(&self.root.join(keys::LIVE))?;
        Ok(names.iter().filter_map(|name| keys::name_of(name)).map(RunUid::from).collect())
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        self.mark(run)
    }

    /// A command that came meanwhile keeps the marker.
    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        let _lock = Lock::exclusive(&self.live_lock())?;
        // Who commits is this process, which knows its journals.
        if locked(&self.slot(run)).as_ref().is_some_and(|journal| journal.end() != position) {
            return Ok(());
        }
        if !files::names(&self.at(keys::inbox(run)?))?.is_empty() {
            return Ok(());
        }
        self.forget_journal(run);
        files::remove(&self.at(keys::live(run)?))?;
        // Whoever makes a run live again starts new attempts only.
        if files::names(&self.root.join(keys::LIVE))?.is_empty() { self.attempts.clear() } else { Ok(()) }
    }

    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        let _lock = Lock::exclusive(&self.live_lock())?;
        match files::read(&self.at(keys::spec(run)?))? {
            Some(bytes) if !is_tombstone(&bytes) => Ok(()),
            _ => files::remove(&self.at(keys::live(run)?)),
        }
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        let run = &tombstone.uid;
        // Nobody marks it live meanwhile: commands and births share the lock.
        let _lock = Lock::exclusive(&self.live_lock())?;
        let path = self.at(keys::spec(run)?);
        match files::read(&path)? {
            None => return Err(no_such_run(run)),
            Some(bytes) if is_tombstone(&bytes) => return Ok(Buried::Hidden),
            Some(_) if exists(&self.at(keys::live(run)?))? => return Ok(Buried::Live),
            Some(_) => {}
        }
        self.replace(&path, &json::bytes(&path, tombstone)?)?;
        self.forget_journal(run);
        Ok(Buried::Hidden)
    }
}

impl DirectoryStore {
    fn read_spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        let path = self.at(keys::spec(run)?);
        let bytes =
            files::read(&path)?.filter(|bytes| !is_tombstone(bytes)).ok_or_else(|| no_such_run(run))?;
        json::parse(&path, &bytes, SPEC_FORMAT)
    }

    /// The owner cuts off what a commit left that nobody finished, before anybody reads.
    fn check_journal(&self, run: &RunUid) -> Result<(), StoreError> {
        if self.is_owner() {
            let slot = self.slot(run);
            let mut slot = locked(&slot);
            *slot = Some(Journal::open(self.at(keys::journal(run)?))?);
        }
        Ok(())
    }

    pub(super) fn mark(&self, run: &RunUid) -> Result<(), StoreError> {
        let path = self.at(keys::live(run)?);
        files::touch(&path)?;
        files::sync_folder(&path, self.durable)
    }

    /// Whether the run is there, as far as its spec can be read: it was born, and nobody has deleted it.
    pub fn holds(&self, run: &RunUid) -> bool {
        let spec = keys::spec(run).and_then(|key| files::read(&self.at(key)));
        spec.is_ok_and(|spec| spec.is_some_and(|bytes| !is_tombstone(&bytes)))
    }

    /// Whether a tombstone stands in the place of the run's spec.
    pub(super) fn is_buried(&self, run: &RunUid) -> Result<bool, StoreError> {
        Ok(files::read(&self.at(keys::spec(run)?))?.is_some_and(|bytes| is_tombstone(&bytes)))
    }

    fn check_owner(&self, run: &RunUid) -> Result<(), StoreError> {
        if self.is_owner() {
            return Ok(());
        }
        let why = io::Error::new(ErrorKind::PermissionDenied, "only the store's owner commits");
        Err(failed("write", &self.at(keys::journal(run)?))(why))
    }

    /// The run's place among the known journals. Whoever reads or writes the journal holds its lock, so that no
    /// thread takes another's half-written commit for a torn one.
    fn slot(&self, run: &RunUid) -> Slot {
        Arc::clone(locked(&self.journals).entry(run.clone()).or_default())
    }

    fn open_journal(&self, run: &RunUid) -> Result<Journal, StoreError> {
        if !exists(&self.at(keys::spec(run)?))? {
            return Err(no_such_run(run));
        }
        Journal::open(self.at(keys::journal(run)?))
    }

    /// Where somebody still uses the journal it stays known, so that there is never a second lock for it.
    fn forget_journal(&self, run: &RunUid) {
        let mut journals = locked(&self.journals);
        if journals.get(run).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            journals.remove(run);
        }
    }

    /// Closes the journals nobody uses right now, when there are too many; they are opened again by need.
    fn spare_descriptors(&self) {
        let journals = locked(&self.journals);
        let idle = || journals.values().filter_map(|slot| slot.try_lock().ok());
        if idle().filter(|slot| slot.as_ref().is_some_and(Journal::is_open)).count() < OPEN_JOURNALS_MAX {
            return;
        }
        idle().for_each(|mut slot| slot.iter_mut().for_each(Journal::close));
    }
}

/// Nothing here panics while it holds a lock half changed, so a poisoned lock is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(failed("read", path))
}
