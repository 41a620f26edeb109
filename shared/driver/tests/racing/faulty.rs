//! A memory store that counts what is asked of it, and refuses commits as if others had been faster.

use std::sync::{Arc, Mutex, MutexGuard};

use dropforge_driver::store::{
    Attempts, Buried, Commit, Created, Documents, Inbox, Index, IndexEntry, LoadedRun, Runs, StoreError,
    Swap, Tail, Tombstone, Versioned,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;
use dropforge_storage::memory::MemoryStore;

#[derive(Clone, Default)]
pub struct FaultyStore {
    memory: Arc<MemoryStore>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    counted: Counted,
    conflicts: u32,
    losing: u32,
    damaged: Option<RunUid>,
    newer: Option<RunUid>,
}

/// How often something was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub loads: u32,
    pub tails: u32,
    pub commits: u32,
    pub inboxes: u32,
}

impl FaultyStore {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("not poisoned")
    }

    pub fn counted(&self) -> Counted {
        self.faults().counted
    }

    /// Commits that were told that others had been faster.
    pub fn conflicts(&self) -> u32 {
        self.faults().conflicts
    }

    /// Lets the next commits lose their race.
    pub fn lose(&self, times: u32) {
        self.faults().losing = times;
    }
}

impl FaultyStore {
    /// Lets a run's journal be damaged.
    pub fn damage(&self, run: &RunUid) {
        self.faults().damaged = Some(run.clone());
    }

    /// Lets a run's journal be one of a newer version, or not.
    pub fn newer(&self, run: &RunUid, is_newer: bool) {
        self.faults().newer = is_newer.then(|| run.clone());
    }
}

impl Runs for FaultyStore {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        self.memory.create_run(spec).await
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        self.faults().counted.loads += 1;
        if self.faults().damaged.as_ref() == Some(run) {
            return Err(StoreError::Damaged { key: run.to_string(), offset: 0, why: "a test".to_owned() });
        }
        if self.faults().newer.as_ref() == Some(run) {
            return Err(StoreError::NewerFormat { key: run.to_string(), found: 2, known: 1 });
        }
        self.memory.load_run(run).await
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        self.faults().counted.tails += 1;
        self.memory.tail(run, position).await
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        let loses = {
            let mut faults = self.faults();
            let loses = faults.losing > 0;
            faults.losing = faults.losing.saturating_sub(1);
            loses
        };
        let answer = match loses {
            true => Commit::Conflict,
            false => self.memory.commit(run, position, records).await?,
        };
        match answer {
            Commit::Conflict => self.faults().conflicts += 1,
            Commit::Committed { .. } => self.faults().counted.commits += 1,
        }
        Ok(answer)
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        self.memory.live_runs().await
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        self.memory.mark_live(run).await
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        self.memory.unmark_live(run, position).await
    }

    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        self.memory.unmark_unborn(run).await
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        self.memory.bury(tombstone).await
    }
}

impl Attempts for FaultyStore {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        self.memory.claim(namespace, attempt, nonce).await
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        self.memory.claimed(namespace, attempt).await
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        self.memory.put_verdict(namespace, verdict).await
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        self.memory.verdict(namespace, attempt).await
    }
}

impl Inbox for FaultyStore {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        self.memory.put_command(run, command).await
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        self.faults().counted.inboxes += 1;
        self.memory.commands(run).await
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        // As where a name becomes part of a key.
        if command.as_str().is_empty() {
            let why = "it is empty".to_owned();
            return Err(StoreError::BadName { what: "command", name: String::new(), why });
        }
        assert!(command.as_str() != "breaks", "broken on purpose");
        if command.as_str() == "newer" {
            return Err(StoreError::NewerFormat { key: "inbox".to_owned(), found: 99, known: 1 });
        }
        self.memory.command(run, command).await
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        self.memory.remove_command(run, command).await
    }
}

impl Index for FaultyStore {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        self.memory.put_entry(entry).await
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        self.memory.entries(namespace).await
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        self.memory.remove_entry(entry).await
    }
}

impl Documents for FaultyStore {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.memory.get(key).await
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        self.memory.swap(key, expected, body).await
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        Documents::remove(&*self.memory, key, expected).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.memory.keys(prefix).await
    }
}
