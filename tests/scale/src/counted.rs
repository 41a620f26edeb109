//! A store that counts what it is asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dropforge_driver::store::{
    Attempts, Buried, Commit, Created, Documents, Inbox, Index, IndexEntry, LoadedRun, Runs, StoreError,
    Swap, Tail, Tombstone, Versioned,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;

/// A store, and how many requests it has answered.
pub struct Counted<S> {
    store: S,
    requests: AtomicU64,
    forgetful: Option<Mutex<Forgetful>>,
}

/// What is remembered of what a run's owner writes: where its journal ends, and verdicts until they are read. What is then
/// in memory is the owner's own.
#[derive(Default)]
struct Forgetful {
    position: u64,
    verdicts: BTreeMap<AttemptId, Verdict>,
}

impl<S> Counted<S> {
    pub fn new(store: S) -> Self {
        Counted { store, requests: AtomicU64::new(0), forgetful: None }
    }

    /// The same, of a store in memory that keeps neither journals nor attempts.
    pub fn forgetful(store: S) -> Self {
        Counted { forgetful: Some(Mutex::default()), ..Counted::new(store) }
    }

    fn forgets(&self) -> Option<MutexGuard<'_, Forgetful>> {
        Some(self.forgetful.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn ask(&self) -> &S {
        self.requests.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

impl<S: Runs> Runs for Counted<S> {
    fn create_run(&self, spec: &RunSpec) -> impl Future<Output = Result<Created, StoreError>> + Send {
        self.ask().create_run(spec)
    }

    fn load_run(&self, run: &RunUid) -> impl Future<Output = Result<LoadedRun, StoreError>> + Send {
        self.ask().load_run(run)
    }

    fn tail(&self, run: &RunUid, position: u64) -> impl Future<Output = Result<Tail, StoreError>> + Send {
        self.ask().tail(run, position)
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        let store = self.ask();
        if let Some(mut forgets) = self.forgets() {
            forgets.position += u64::from(!records.is_empty());
            return Ok(Commit::Committed { position: forgets.position });
        }
        store.commit(run, position, records).await
    }

    fn live_runs(&self) -> impl Future<Output = Result<Vec<RunUid>, StoreError>> + Send {
        self.ask().live_runs()
    }

    fn mark_live(&self, run: &RunUid) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.ask().mark_live(run)
    }

    fn unmark_live(
        &self,
        run: &RunUid,
        position: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.ask().unmark_live(run, position)
    }

    fn unmark_unborn(&self, run: &RunUid) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.ask().unmark_unborn(run)
    }

    fn bury(&self, tombstone: &Tombstone) -> impl Future<Output = Result<Buried, StoreError>> + Send {
        self.ask().bury(tombstone)
    }
}

impl<S: Attempts> Attempts for Counted<S> {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let store = self.ask();
        if self.forgetful.is_some() {
            return Ok(Created::New);
        }
        store.claim(namespace, attempt, nonce).await
    }

    fn claimed(
        &self,
        namespace: &str,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        self.ask().claimed(namespace, attempt)
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        let store = self.ask();
        if let Some(mut forgets) = self.forgets() {
            forgets.verdicts.insert(verdict.attempt.clone(), verdict.clone());
            return Ok(verdict.clone());
        }
        store.put_verdict(namespace, verdict).await
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        let store = self.ask();
        if let Some(mut forgets) = self.forgets() {
            return Ok(forgets.verdicts.remove(attempt));
        }
        store.verdict(namespace, attempt).await
    }
}

impl<S: Inbox> Inbox for Counted<S> {
    fn put_command(
        &self,
        run: &RunUid,
        command: &Command,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send {
        self.ask().put_command(run, command)
    }

    fn commands(&self, run: &RunUid) -> impl Future<Output = Result<Vec<Command>, StoreError>> + Send {
        self.ask().commands(run)
    }

    fn command(
        &self,
        run: &RunUid,
        command: &CommandId,
    ) -> impl Future<Output = Result<Option<Command>, StoreError>> + Send {
        self.ask().command(run, command)
    }

    fn remove_command(
        &self,
        run: &RunUid,
        command: &CommandId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.ask().remove_command(run, command)
    }
}

impl<S: Index> Index for Counted<S> {
    fn put_entry(&self, entry: &IndexEntry) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.ask().put_entry(entry)
    }

    fn entries(
        &self,
        namespace: Option<&str>,
    ) -> impl Future<Output = Result<Vec<IndexEntry>, StoreError>> + Send {
        self.ask().entries(namespace)
    }

    fn remove_entry(&self, entry: &IndexEntry) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.ask().remove_entry(entry)
    }
}

impl<S: Documents> Documents for Counted<S> {
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Versioned>, StoreError>> + Send {
        self.ask().get(key)
    }

    fn swap(
        &self,
        key: &str,
        expected: Option<&str>,
        body: &[u8],
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send {
        self.ask().swap(key, expected, body)
    }

    fn remove(&self, key: &str, expected: &str) -> impl Future<Output = Result<Swap, StoreError>> + Send {
        self.ask().remove(key, expected)
    }

    fn keys(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        self.ask().keys(prefix)
    }
}
