//! The store as a world has it: requests that are refused, and answers that are lost.

use std::future::Future;
use std::io;
use std::path::Path;

use dropforge_driver::store::{
    Artifacts, Attempts, Buried, Commit, Created, Documents, Inbox, Index, IndexEntry, LoadedRun,
    ObjectFacts, Place, Resumed, Runs, StoreError, Swap, Tail, Tombstone, Versioned,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;

use crate::bugs::Bug;
use crate::plan::Fault;
use crate::world::Handle;

/// The store in somebody's hands.
#[derive(Clone)]
pub struct Store {
    /// The world.
    pub world: Handle,
}

impl Store {
    async fn read<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.world.turn().await;
        if self.world.fault(Fault::StoreRefuses) {
            return Err(unanswered(what));
        }
        asked.await
    }

    /// What is asked happens between two moments at which others go on.
    async fn write<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = self.read(what, asked).await?;
        self.world.turn().await;
        if self.world.fault(Fault::StoreAnswerLost) { Err(unanswered(what)) } else { Ok(answer) }
    }

    fn breaks(&self, bug: Bug) -> bool {
        self.world.breaks(bug)
    }
}

fn unanswered(what: &'static str) -> StoreError {
    StoreError::Io { action: what, key: "an object".to_owned(), source: io::Error::other("503 SlowDown") }
}

impl Runs for Store {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        let created = self.write("create", self.world.memory.create_run(spec)).await?;
        if self.breaks(Bug::BornUnmarked) {
            self.world.memory.unmark_live(&spec.uid, 0).await?;
        }
        Ok(created)
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        self.read("load", self.world.memory.load_run(run)).await
    }

    async fn resume(&self, run: &RunUid) -> Result<Resumed, StoreError> {
        self.read("resume", self.world.memory.resume(run)).await
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        if self.breaks(Bug::TailUnread) {
            return Ok(Tail { records: Vec::new(), position });
        }
        self.read("read the tail of", self.world.memory.tail(run, position)).await
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        if self.breaks(Bug::CommitDropped) && self.world.inner().random.chance(1, 50) {
            return Ok(Commit::Committed { position: position + 1 });
        }
        let asked = async {
            let answer = self.world.memory.commit(run, position, records).await?;
            if matches!(answer, Commit::Committed { .. }) {
                self.world.inner().done.commits += 1;
            }
            self.world
                .note(format_args!("commit {run} at {position}: {answer:?}, {} records", records.len()));
            Ok(answer)
        };
        match self.write("commit", asked).await? {
            Commit::Conflict if self.breaks(Bug::LostCommitTaken) => {
                Ok(Commit::Committed { position: position + 1 })
            }
            answer => Ok(answer),
        }
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        let live = self.read("list", self.world.memory.live_runs()).await;
        self.world.turn().await;
        live
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        self.write("mark", self.world.memory.mark_live(run)).await
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        let position = match self.breaks(Bug::UnmarkedBlindly) {
            true => {
                for command in self.world.memory.commands(run).await? {
                    self.world.memory.remove_command(run, &command.id).await?;
                }
                self.world.memory.tail(run, 0).await?.position
            }
            false => position,
        };
        self.write("unmark", self.world.memory.unmark_live(run, position)).await
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        self.write("bury", self.world.memory.bury(tombstone)).await
    }
}

impl Attempts for Store {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        self.write("claim", self.world.memory.claim(namespace, attempt, nonce)).await
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        self.read("read", self.world.memory.claimed(namespace, attempt)).await
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        self.world
            .note(format_args!("verdict {:?} {:?} {}", verdict.outcome, verdict.reason, verdict.attempt));
        let first = self.write("write", self.world.memory.put_verdict(namespace, verdict)).await?;
        Ok(if self.breaks(Bug::VerdictReplaced) { verdict.clone() } else { first })
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        self.read("read", self.world.memory.verdict(namespace, attempt)).await
    }
}

impl Inbox for Store {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        self.write("command", self.world.memory.put_command(run, command)).await
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        let listed = self.read("list", self.world.memory.commands(run)).await?;
        self.world.turn().await;
        if self.breaks(Bug::InboxUnlisted) {
            return Ok(Vec::new());
        }
        if self.breaks(Bug::CommandRemovedFirst) {
            for command in &listed {
                self.world.memory.remove_command(run, &command.id).await?;
            }
        }
        Ok(listed)
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        let found = self.read("read", self.world.memory.command(run, command)).await?;
        if self.breaks(Bug::CommandRemovedFirst) {
            self.world.memory.remove_command(run, command).await?;
        }
        Ok(found)
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        self.write("remove", self.world.memory.remove_command(run, command)).await
    }
}

impl Index for Store {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        if self.breaks(Bug::IndexBackwards) {
            self.world.turn().await;
            self.world.memory.remove_entry(entry).await?;
        }
        self.write("write", self.world.memory.put_entry(entry)).await
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        self.read("list", self.world.memory.entries(namespace)).await
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        self.write("remove", self.world.memory.remove_entry(entry)).await
    }
}

impl Documents for Store {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.read("read", self.world.memory.get(key)).await
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        let lock = key.starts_with("locks/");
        if lock && self.breaks(Bug::LockWriteDropped) && self.world.inner().random.chance(1, 4) {
            return Ok(Swap::Stored { version: "none".to_owned() });
        }
        let asked = async {
            let there = self.world.memory.get(key).await?.map(|there| there.version);
            let blind = lock && self.breaks(Bug::LockSwappedBlindly);
            let expected = if blind { there.as_deref() } else { expected };
            let answer = self.world.memory.swap(key, expected, body).await?;
            if matches!(answer, Swap::Stored { .. }) {
                self.world.inner().done.documents += 1;
                self.world.note(format_args!("{key} is {}", String::from_utf8_lossy(body)));
            }
            Ok(answer)
        };
        self.write("swap", asked).await
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        self.write("remove", Documents::remove(&self.world.memory, key, expected)).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let keys = self.read("list", self.world.memory.keys(prefix)).await;
        self.world.turn().await;
        keys
    }
}

impl Artifacts for Store {
    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        self.world.memory.fetch(namespace, place, to, progress).await
    }

    async fn list(&self, namespace: &str, place: &Place) -> Result<Vec<String>, StoreError> {
        self.read("list", self.world.memory.list(namespace, place)).await
    }

    async fn store(
        &self,
        namespace: &str,
        from: &Path,
        place: &Place,
        consume: bool,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        self.world.memory.store(namespace, from, place, consume, progress).await
    }

    async fn remove_object(&self, namespace: &str, place: &Place) -> Result<(), StoreError> {
        self.write("remove", self.world.memory.remove_object(namespace, place)).await
    }

    async fn head(&self, namespace: &str, place: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        self.read("read", self.world.memory.head(namespace, place)).await
    }
}
