//! What is stored in a world: whole answers in memory, or the objects of a bucket, on which the product's own store for
//! S3 stands and is asked request by request.

use dropforge_driver::store::{
    Attempts, Buried, Commit, Created, Documents, EntryPage, Inbox, Index, IndexEntry, LoadedRun, Resumed,
    Runs, StoreError, Swap, Tail, Tombstone, Versioned,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::RunState;
use dropforge_storage::memory::MemoryStore;
use dropforge_storage::s3::ObjectStore;
use dropforge_storage::s3::requests::Requests;

use std::sync::Arc;

/// A store, with what its process remembers.
#[derive(Clone, Debug)]
pub enum Inside<R> {
    /// In memory.
    Memory(Arc<MemoryStore>),
    /// In a bucket.
    Objects(Arc<ObjectStore<R>>),
}

impl<R> Inside<R> {
    /// Whether it is asked request by request.
    pub fn is_objects(&self) -> bool {
        matches!(self, Inside::Objects(_))
    }
}

/// Asks whichever it is.
macro_rules! asked {
    ($self:ident, $store:ident => $asked:expr) => {
        match $self {
            Inside::Memory($store) => $asked.await,
            Inside::Objects($store) => $asked.await,
        }
    };
}

impl<R: Requests> Runs for Inside<R> {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        asked!(self, store => store.create_run(spec))
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        asked!(self, store => store.load_run(run))
    }

    async fn spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        asked!(self, store => store.spec(run))
    }

    async fn resume(&self, run: &RunUid) -> Result<Resumed, StoreError> {
        asked!(self, store => store.resume(run))
    }

    async fn keep_snapshot(&self, run: &RunUid, position: u64, state: &RunState) -> Result<(), StoreError> {
        asked!(self, store => store.keep_snapshot(run, position, state))
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        asked!(self, store => store.tail(run, position))
    }

    async fn part(&self, run: &RunUid, position: u64) -> Result<Option<Tail>, StoreError> {
        asked!(self, store => store.part(run, position))
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        asked!(self, store => store.commit(run, position, records))
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        asked!(self, store => store.live_runs())
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        asked!(self, store => store.mark_live(run))
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        asked!(self, store => store.unmark_live(run, position))
    }

    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        asked!(self, store => store.unmark_unborn(run))
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        asked!(self, store => store.bury(tombstone))
    }
}

impl<R: Requests> Attempts for Inside<R> {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        asked!(self, store => store.claim(namespace, attempt, nonce))
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        asked!(self, store => store.claimed(namespace, attempt))
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        asked!(self, store => store.put_verdict(namespace, verdict))
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        asked!(self, store => store.verdict(namespace, attempt))
    }
}

impl<R: Requests> Inbox for Inside<R> {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        asked!(self, store => store.put_command(run, command))
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        asked!(self, store => store.commands(run))
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        asked!(self, store => store.command(run, command))
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        asked!(self, store => store.remove_command(run, command))
    }
}

impl<R: Requests> Index for Inside<R> {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        asked!(self, store => store.put_entry(entry))
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        asked!(self, store => store.entries(namespace))
    }

    async fn entries_after(&self, after: Option<&str>, many: usize) -> Result<EntryPage, StoreError> {
        asked!(self, store => store.entries_after(after, many))
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        asked!(self, store => store.remove_entry(entry))
    }
}

impl<R: Requests> Documents for Inside<R> {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        asked!(self, store => store.get(key))
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        asked!(self, store => store.swap(key, expected, body))
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        match self {
            Inside::Memory(store) => Documents::remove(&**store, key, expected).await,
            Inside::Objects(store) => Documents::remove(&**store, key, expected).await,
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        asked!(self, store => store.keys(prefix))
    }
}
