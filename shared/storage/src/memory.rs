//! A store in memory, for tests and simulations: the same answers as the others, gone with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dropforge_driver::store::{
    Artifacts, Attempts, Buried, Commit, Created, Documents, EntryPage, Inbox, Index, IndexEntry, LoadedRun,
    Logs, ObjectFacts, Place, Runs, StoreError, Swap, Tail, Tombstone, Versioned,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::files::failed;
use crate::objects::hex;
use crate::tombstone::no_such_run;

/// Run state, definitions and artifacts in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

/// A namespace and an attempt.
type AttemptKey = (String, AttemptId);

#[derive(Debug, Default)]
struct Tables {
    live: BTreeSet<RunUid>,
    specs: BTreeMap<RunUid, RunSpec>,
    tombstones: BTreeMap<RunUid, Tombstone>,
    journals: BTreeMap<RunUid, Vec<Vec<Record>>>,
    inboxes: BTreeMap<RunUid, BTreeMap<CommandId, Command>>,
    claims: BTreeMap<AttemptKey, String>,
    verdicts: BTreeMap<AttemptKey, Verdict>,
    index: BTreeMap<RunUid, IndexEntry>,
    documents: BTreeMap<String, Versioned>,
    versions: u64,
    objects: BTreeMap<(Option<String>, String, String), Vec<u8>>,
    logs: BTreeMap<(AttemptKey, String), Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs for MemoryStore {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        let mut tables = self.tables();
        if tables.tombstones.contains_key(&spec.uid) {
            return Ok(Created::Exists);
        }
        tables.live.insert(spec.uid.clone());
        Ok(create(&mut tables.specs, spec.uid.clone(), spec.clone()))
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        let tables = self.tables();
        let spec = tables.specs.get(run).cloned().ok_or_else(|| no_such_run(run))?;
        let commits = tables.journals.get(run).map(Vec::as_slice).unwrap_or_default();
        Ok(LoadedRun { spec, records: commits.concat(), position: commits.len() as u64 })
    }

    async fn spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        self.tables().specs.get(run).cloned().ok_or_else(|| no_such_run(run))
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        let tables = self.tables();
        let commits = tables.journals.get(run).map(Vec::as_slice).unwrap_or_default();
        let since = usize::try_from(position).unwrap_or(usize::MAX).min(commits.len());
        Ok(Tail { records: commits[since..].concat(), position: commits.len() as u64 })
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        let mut tables = self.tables();
        if !tables.specs.contains_key(run) {
            return Err(no_such_run(run));
        }
        let commits = tables.journals.entry(run.clone()).or_default();
        if commits.len() as u64 != position {
            return Ok(Commit::Conflict);
        }
        if !records.is_empty() {
            commits.push(records.to_vec());
        }
        Ok(Commit::Committed { position: commits.len() as u64 })
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        Ok(self.tables().live.iter().cloned().collect())
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        self.tables().live.insert(run.clone());
        Ok(())
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let end = tables.journals.get(run).map_or(0, Vec::len) as u64;
        if end == position && tables.inboxes.get(run).is_none_or(BTreeMap::is_empty) {
            tables.live.remove(run);
        }
        Ok(())
    }

    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if !tables.specs.contains_key(run) {
            tables.live.remove(run);
        }
        Ok(())
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        let mut tables = self.tables();
        if tables.tombstones.contains_key(&tombstone.uid) {
            return Ok(Buried::Hidden);
        }
        if !tables.specs.contains_key(&tombstone.uid) {
            return Err(no_such_run(&tombstone.uid));
        }
        if tables.live.contains(&tombstone.uid) {
            return Ok(Buried::Live);
        }
        tables.specs.remove(&tombstone.uid);
        tables.tombstones.insert(tombstone.uid.clone(), tombstone.clone());
        Ok(Buried::Hidden)
    }
}

impl Attempts for MemoryStore {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let mut tables = self.tables();
        let key = (namespace.to_owned(), attempt.clone());
        let holder = tables.claims.entry(key).or_insert_with(|| nonce.to_owned());
        Ok(if holder == nonce { Created::New } else { Created::Exists })
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        Ok(self.tables().claims.contains_key(&(namespace.to_owned(), attempt.clone())))
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        let key = (namespace.to_owned(), verdict.attempt.clone());
        Ok(self.tables().verdicts.entry(key).or_insert_with(|| verdict.clone()).clone())
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        Ok(self.tables().verdicts.get(&(namespace.to_owned(), attempt.clone())).cloned())
    }
}

impl Inbox for MemoryStore {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        let mut tables = self.tables();
        if tables.tombstones.contains_key(run) {
            return Err(no_such_run(run));
        }
        tables.live.insert(run.clone());
        let inbox = tables.inboxes.entry(run.clone()).or_default();
        Ok(create(inbox, command.id.clone(), command.clone()))
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        let mut commands: Vec<Command> =
            self.tables().inboxes.get(run).into_iter().flat_map(BTreeMap::values).cloned().collect();
        commands.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(commands)
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        Ok(self.tables().inboxes.get(run).and_then(|inbox| inbox.get(command)).cloned())
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        self.tables().inboxes.entry(run.clone()).or_default().remove(command);
        Ok(())
    }
}

impl Index for MemoryStore {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if tables.index.get(&entry.uid).is_none_or(|old| old.position <= entry.position) {
            tables.index.insert(entry.uid.clone(), entry.clone());
        }
        Ok(())
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        let tables = self.tables();
        let wanted = |entry: &&IndexEntry| namespace.is_none_or(|namespace| entry.namespace == namespace);
        let mut entries: Vec<IndexEntry> = tables.index.values().filter(wanted).cloned().collect();
        entries.sort_by(|a, b| (b.created_at, &a.uid).cmp(&(a.created_at, &b.uid)));
        Ok(entries)
    }

    async fn entries_after(&self, after: Option<&str>, many: usize) -> Result<EntryPage, StoreError> {
        let tables = self.tables();
        let later = |entry: &&IndexEntry| after.is_none_or(|after| entry.uid.as_str() > after);
        let entries: Vec<IndexEntry> = tables.index.values().filter(later).take(many).cloned().collect();
        let end = entries.last().filter(|_| entries.len() >= many).map(|entry| entry.uid.to_string());
        Ok(EntryPage { entries, end })
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        self.tables().index.remove(&entry.uid);
        Ok(())
    }
}

impl Documents for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        crate::keys::document(key)?;
        Ok(self.tables().documents.get(key).cloned())
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        crate::keys::document(key)?;
        let mut tables = self.tables();
        if tables.documents.get(key).map(|document| document.version.as_str()) != expected {
            return Ok(Swap::Conflict);
        }
        tables.versions += 1;
        let version = tables.versions.to_string();
        tables
            .documents
            .insert(key.to_owned(), Versioned { body: body.to_owned(), version: version.clone() });
        Ok(Swap::Stored { version })
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        let mut tables = self.tables();
        if tables.documents.get(key).is_none_or(|document| document.version != expected) {
            return Ok(Swap::Conflict);
        }
        tables.documents.remove(key);
        Ok(Swap::Stored { version: expected.to_owned() })
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.tables().documents.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

impl Artifacts for MemoryStore {
    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let tables = self.tables();
        let Some(bytes) = tables.objects.get(&object_key(namespace, place)) else {
            let name = format!("{}/{}", place.bucket.as_deref().unwrap_or(namespace), place.key);
            return Err(StoreError::NotFound { what: "object", name });
        };
        fs::write(to, bytes).map_err(failed("write", to))?;
        progress(bytes.len() as u64, bytes.len() as u64);
        Ok(facts_of(bytes))
    }

    async fn remove_object(&self, namespace: &str, place: &Place) -> Result<(), StoreError> {
        let (bucket, namespace, key) = object_key(namespace, place);
        let key = key.trim_end_matches('/').to_owned();
        let mut tables = self.tables();
        if tables.objects.remove(&(bucket.clone(), namespace.clone(), key.clone())).is_none() {
            let below = format!("{key}/");
            tables.objects.retain(|(b, n, k), _| (b, n) != (&bucket, &namespace) || !k.starts_with(&below));
        }
        Ok(())
    }

    async fn list(&self, namespace: &str, place: &Place) -> Result<Vec<String>, StoreError> {
        let (bucket, namespace, key) = object_key(namespace, place);
        let prefix = format!("{}/", key.strip_suffix('/').unwrap_or(&key));
        let tables = self.tables();
        let all = tables.objects.keys().filter(|(b, n, _)| (b, n) == (&bucket, &namespace));
        let below = all.filter_map(|(_, _, key)| key.strip_prefix(&prefix));
        Ok(below.filter(|key| !key.is_empty() && !key.ends_with('/')).map(str::to_owned).collect())
    }

    async fn store(
        &self,
        namespace: &str,
        from: &Path,
        place: &Place,
        consume: bool,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        crate::keys::key_path(&place.key)?;
        place.bucket.as_deref().map(crate::keys::check_bucket).transpose()?;
        let bytes = fs::read(from).map_err(failed("read", from))?;
        if consume {
            fs::remove_file(from).map_err(failed("remove", from))?;
        }
        progress(bytes.len() as u64, bytes.len() as u64);
        let facts = facts_of(&bytes);
        self.tables().objects.insert(object_key(namespace, place), bytes);
        Ok(facts)
    }

    async fn head(&self, namespace: &str, place: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        Ok(self.tables().objects.get(&object_key(namespace, place)).map(|bytes| facts_of(bytes)))
    }
}

impl Logs for MemoryStore {
    async fn append_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let key = ((namespace.to_owned(), attempt.clone()), container.to_owned());
        self.tables().logs.entry(key).or_default().extend(bytes);
        Ok(())
    }

    async fn read_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let key = ((namespace.to_owned(), attempt.clone()), container.to_owned());
        let tables = self.tables();
        let log = tables.logs.get(&key).map(Vec::as_slice).unwrap_or_default();
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(log.len());
        Ok(log[begin..].iter().take(limit).copied().collect())
    }

    fn log_file(&self, _: &str, _: &AttemptId, _: &str) -> Option<PathBuf> {
        None
    }
}

fn create<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: V) -> Created {
    use std::collections::btree_map::Entry;
    match table.entry(key) {
        Entry::Occupied(_) => Created::Exists,
        Entry::Vacant(place) => {
            place.insert(value);
            Created::New
        }
    }
}

/// Buckets belong to no namespace.
fn object_key(namespace: &str, place: &Place) -> (Option<String>, String, String) {
    let namespace = if place.bucket.is_some() { "" } else { namespace };
    (place.bucket.clone(), namespace.to_owned(), place.key.clone())
}

fn facts_of(bytes: &[u8]) -> ObjectFacts {
    ObjectFacts {
        size: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
        etag: hex(&Md5::digest(bytes)),
        version_id: None,
    }
}
