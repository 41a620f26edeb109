//! The store as a world has it: requests that are refused, and answers that are lost.

mod documents;
mod index;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dropforge_driver::store::{
    Attempts, Buried, Commit, Created, Inbox, LoadedRun, Resumed, Runs, StoreError, Tail, Tombstone,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_storage::s3::ObjectStore;
use jiff::SignedDuration;

use crate::bucket::Remote;
use crate::bugs::Bug;
use crate::inside::Inside;
use crate::plan::Fault;
use crate::world::Handle;
use crate::{births, checks, steps};

/// Kept snapshots as text, each with where the commits after it go.
pub type Snapshots = BTreeMap<RunUid, (u64, String)>;

/// What an old function says of the version of what it can't read.
const NEWER: u32 = 99;

/// So much too early a commit is dated, where that is the bug.
const DATED_BEFORE: SignedDuration = SignedDuration::from_mins(5);

/// The store in somebody's hands.
#[derive(Clone)]
pub struct Store {
    /// The world.
    pub world: Handle,
    /// Whether it is in the hands of an older version, which can't read some of what there is.
    pub old: bool,
    /// Tells it from the others.
    pub number: u64,
    /// Runs that it has created, or found there, and that nobody has rung for since.
    pub unrung: Arc<Mutex<BTreeMap<RunUid, Created>>>,
    /// Through which it sees what is stored.
    inside: Inside<Remote>,
}

impl Store {
    /// For somebody who begins: nothing is remembered.
    pub fn new(world: &Handle, old: bool) -> Store {
        let remote = Remote::new(world.clone());
        let inside = match &world.kept {
            Inside::Memory(memory) => Inside::Memory(memory.clone()),
            Inside::Objects(_) => Inside::Objects(Arc::new(ObjectStore::over(remote.clone(), remote))),
        };
        let number = {
            let mut inner = world.inner();
            inner.stores += 1;
            inner.stores
        };
        Store { world: world.clone(), old, number, unrung: Arc::default(), inside }
    }

    async fn read<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.inside.is_objects() {
            return asked.await;
        }
        self.world.turn().await;
        if self.world.fault(Fault::StoreRefuses) {
            return Err(unanswered(what));
        }
        asked.await
    }

    /// What is asked happens between two moments at which others go on; where it takes several requests, each of these
    /// does.
    async fn write<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = self.read(what, asked).await?;
        if self.inside.is_objects() {
            return Ok(answer);
        }
        self.world.turn().await;
        if self.world.fault(Fault::StoreAnswerLost) { Err(unanswered(what)) } else { Ok(answer) }
    }

    /// Whether only a newer version can read what has this name.
    fn is_newer(&self, name: &str) -> bool {
        self.old && name.bytes().fold(0u8, u8::wrapping_add).is_multiple_of(2)
    }

    /// An old function may read this run.
    fn readable(&self, run: &RunUid) -> Result<(), StoreError> {
        let key = format!("runs/{run}");
        if self.is_newer(run.as_str()) {
            return Err(StoreError::NewerFormat { key, found: NEWER, known: 1 });
        }
        Ok(())
    }

    /// Has the marker of a run go whatever came meanwhile; gives the end of its journal.
    async fn blinded(&self, run: &RunUid) -> Result<u64, StoreError> {
        for command in self.world.kept.commands(run).await? {
            self.world.kept.remove_command(run, &command.id).await?;
        }
        Ok(self.world.kept.tail(run, 0).await?.position)
    }

    /// Runs that it has brought into the world and not rung for.
    pub fn unrung(&self) -> MutexGuard<'_, BTreeMap<RunUid, Created>> {
        self.unrung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has somebody who reads records overlook that a node has finished.
    fn overlooks(&self, records: &mut Vec<Record>) {
        let finished = records.iter().position(|record| matches!(record, Record::NodeFinished { .. }));
        if let Some(finished) = finished.filter(|_| self.breaks(Bug::FinishForgotten))
            && self.world.inner().random.chance(1, 10)
        {
            records.remove(finished);
        }
    }

    /// Records as they are committed.
    fn dated<'a>(&self, records: &'a [Record]) -> Cow<'a, [Record]> {
        let mut records = Cow::Borrowed(records);
        if self.breaks(Bug::DatedBefore) && self.world.inner().random.chance(1, 10) {
            for record in records.to_mut() {
                if let Record::AttemptStarted { at, .. } | Record::NodeFinished { at, .. } = record {
                    *at -= DATED_BEFORE;
                }
            }
        }
        records
    }

    fn breaks(&self, bug: Bug) -> bool {
        self.world.breaks(bug)
    }
}

/// A request that was refused, or whose answer was lost.
pub fn unanswered(what: &'static str) -> StoreError {
    StoreError::Io { action: what, key: "an object".to_owned(), source: io::Error::other("503 SlowDown") }
}

impl Runs for Store {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        let mut spec = spec.clone();
        if self.breaks(Bug::UidDrawnAnew) && !matches!(spec.cause, Cause::Person { .. }) {
            spec.uid = self.world.nonce("uid").into();
        }
        let asked = async {
            let created = self.inside.create_run(&spec).await?;
            if created == Created::New && !self.inside.is_objects() {
                births::born(&self.world, &spec);
            }
            Ok(created)
        };
        let created = self.write("create", asked).await?;
        self.unrung().insert(spec.uid.clone(), created.clone());
        if self.breaks(Bug::BornUnmarked) {
            self.world.kept.unmark_live(&spec.uid, 0).await?;
        }
        Ok(created)
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        self.readable(run)?;
        self.read("load", self.inside.load_run(run)).await
    }

    async fn spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        match self.inside.is_objects() {
            true => self.inside.spec(run).await,
            false => Ok(self.load_run(run).await?.spec),
        }
    }

    async fn resume(&self, run: &RunUid) -> Result<Resumed, StoreError> {
        self.readable(run)?;
        let mut resumed = self.read("resume", self.inside.resume(run)).await?;
        self.overlooks(&mut resumed.records);
        if self.inside.is_objects() {
            return Ok(resumed);
        }
        let kept = self.world.inner().snapshots.get(run).cloned();
        let Some((position, text)) = kept else { return Ok(resumed) };
        let mut tail = self.world.kept.tail(run, position).await?;
        if self.breaks(Bug::TailCutOff) && !tail.records.is_empty() {
            tail.records.remove(0);
        }
        let snapshot: Snapshot = serde_json::from_str(&text).expect("it was written here");
        Ok(Resumed {
            spec: resumed.spec,
            snapshot: Some(snapshot),
            records: tail.records,
            position: tail.position,
            more: false,
        })
    }

    async fn keep_snapshot(&self, run: &RunUid, position: u64, state: &RunState) -> Result<(), StoreError> {
        if self.inside.is_objects() {
            return self.inside.keep_snapshot(run, position, state).await;
        }
        if !self.world.has(Fault::Snapshots) || !self.world.inner().random.chance(1, 3) {
            return Ok(());
        }
        let text = serde_json::to_string(&Snapshot::of(state)).expect("states are JSON");
        let asked = async {
            let mut inner = self.world.inner();
            if inner.snapshots.get(run).is_none_or(|(kept, _)| *kept < position) {
                inner.snapshots.insert(run.clone(), (position, text));
            }
            Ok(())
        };
        self.write("keep a snapshot of", asked).await
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        if self.breaks(Bug::TailUnread) {
            return Ok(Tail { records: Vec::new(), position });
        }
        self.readable(run)?;
        let mut tail = self.read("read the tail of", self.inside.tail(run, position)).await?;
        self.overlooks(&mut tail.records);
        Ok(tail)
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        if self.breaks(Bug::CommitDropped) && self.world.inner().random.chance(1, 50) {
            return Ok(Commit::Committed { position: position + 1 });
        }
        if self.breaks(Bug::EffectFirst) {
            let started = records.iter().filter_map(checks::started);
            started.for_each(|(_, attempt)| self.world.make_pod(run, &attempt));
        }
        let dated = self.dated(records);
        let asked = async {
            let answer = self.inside.commit(run, position, &dated).await?;
            if let Commit::Committed { position } = answer {
                steps::won(&self.world, run, position, records);
                if !self.inside.is_objects() {
                    steps::committed(&self.world, run, &dated);
                }
                if self.breaks(Bug::OutboxForgotten) {
                    let started = records.iter().filter_map(checks::started);
                    self.world.inner().starters.extend(started.map(|(id, _)| (id, self.number)));
                }
            }
            self.world
                .note(format_args!("commit {run} at {position}: {answer:?}, {} records", records.len()));
            Ok(answer)
        };
        let answered = self.write("commit", asked).await;
        if answered.is_err() && self.breaks(Bug::CommittedTwice) {
            let end = self.world.kept.tail(run, 0).await?.position;
            return self.world.kept.commit(run, end, records).await;
        }
        match answered? {
            Commit::Conflict if self.breaks(Bug::LostRaceFails) => Err(unanswered("commit")),
            Commit::Conflict if self.breaks(Bug::LostCommitTaken) => {
                Ok(Commit::Committed { position: position + 1 })
            }
            Commit::Committed { position } if self.breaks(Bug::UnmarkedAtEnd) && checks::ends(records) => {
                self.world.kept.unmark_live(run, position).await?;
                Ok(Commit::Committed { position })
            }
            answer => Ok(answer),
        }
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        let live = self.read("list", self.inside.live_runs()).await;
        // Others go on: what was listed is old.
        self.world.turn().await;
        let mut live = live?;
        live.retain(|run| !self.world.inner().unmarked.contains(run));
        Ok(live)
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        self.write("mark", self.inside.mark_live(run)).await
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        let asked = async {
            let needed = !self.inside.is_objects() && steps::is_needed(&self.world, run);
            let position =
                if self.breaks(Bug::UnmarkedBlindly) { self.blinded(run).await? } else { position };
            self.inside.unmark_live(run, position).await?;
            if needed && !self.world.kept.live_runs().await?.contains(run) {
                self.world.wrong(format_args!("{run} is unmarked and has something left to do"));
            }
            Ok(())
        };
        self.write("unmark", asked).await
    }

    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        self.write("unmark unborn", self.inside.unmark_unborn(run)).await
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        if self.breaks(Bug::LiveBuried) {
            let end = self.world.kept.tail(&tombstone.uid, 0).await?.position;
            self.world.kept.unmark_live(&tombstone.uid, end).await?;
        }
        let asked = async {
            let before = self.world.kept.load_run(&tombstone.uid).await;
            let buried = self.inside.bury(tombstone).await?;
            let live = before.is_ok_and(|run| !checks::was_done(&self.world, run.spec));
            if buried == Buried::Hidden && live {
                self.world.wrong(format_args!("{} is deleted and was live", tombstone.uid));
            }
            Ok(buried)
        };
        self.write("bury", asked).await
    }
}

impl Attempts for Store {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let asked = async {
            // Who claims it again, since the answer was lost, has claimed it before.
            let given_up = self.world.kept.verdict(namespace, attempt).await?.is_some()
                && !self.world.kept.claimed(namespace, attempt).await?;
            let created = match self.breaks(Bug::ClaimUnkept) {
                true => Created::New,
                false => self.inside.claim(namespace, attempt, nonce).await?,
            };
            if created == Created::New {
                let holders = &mut self.world.inner().pods.holders;
                holders.entry(attempt.clone()).or_insert_with(|| nonce.to_owned());
            }
            if given_up && created == Created::New && !self.inside.is_objects() {
                self.world.wrong(format_args!("attempt {attempt} is claimed after its verdict"));
            }
            Ok(created)
        };
        self.write("claim", asked).await
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        self.read("read", self.inside.claimed(namespace, attempt)).await
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        self.world
            .note(format_args!("verdict {:?} {:?} {}", verdict.outcome, verdict.reason, verdict.attempt));
        let asked = async {
            let first = self.inside.put_verdict(namespace, verdict).await?;
            if first == *verdict && !self.inside.is_objects() {
                steps::decided(&self.world, verdict);
            }
            Ok(first)
        };
        let first = self.write("write", asked).await?;
        Ok(if self.breaks(Bug::VerdictReplaced) { verdict.clone() } else { first })
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        self.read("read", self.inside.verdict(namespace, attempt)).await
    }
}

impl Inbox for Store {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        let mut command = command.clone();
        let asked = async {
            if self.breaks(Bug::CommandUnnamed) {
                command.id = self.world.nonce("command").as_str().into();
            }
            let live = self.world.kept.live_runs().await?.contains(run);
            let created = self.inside.put_command(run, &command).await?;
            if self.breaks(Bug::CommandUnmarked) && !live {
                self.world.inner().unmarked.insert(run.clone());
            }
            Ok(created)
        };
        self.write("command", asked).await
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        let listed = self.read("list", self.inside.commands(run)).await?;
        self.world.turn().await;
        if self.breaks(Bug::InboxUnlisted) {
            return Ok(Vec::new());
        }
        if self.breaks(Bug::CommandRemovedFirst) {
            for command in &listed {
                self.world.kept.remove_command(run, &command.id).await?;
            }
        }
        Ok(listed)
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        let found = self.read("read", self.inside.command(run, command)).await?;
        if self.breaks(Bug::CommandRemovedFirst) {
            self.world.kept.remove_command(run, command).await?;
        }
        Ok(found)
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        self.write("remove", self.inside.remove_command(run, command)).await
    }
}
