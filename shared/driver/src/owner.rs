//! The path on which runs advance: load, decide, commit, perform.
//!
//! An owner keeps the state it has decided on; the commit validates it. Whatever fails after the commit stays in
//! the outbox and is performed again by whoever loads the run next.

mod locks;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use dropforge_engine::apply::apply;
use dropforge_engine::attempt::Attempt;
use dropforge_engine::decide::{Rejected, advance};
use dropforge_engine::effect::{Effect, EffectKey};
use dropforge_engine::event::{Command, Event, RetryOptions, Verb};
use dropforge_engine::garbage::expires_at;
use dropforge_engine::ids::{NodeId, RunUid};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::{CompileError, Program};
use dropforge_engine::record::Record;
use dropforge_engine::retry;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;

use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError};
use crate::locks::Claimant;
use crate::memos;
use crate::store::{Commit, Created, INDEX_FORMAT, IndexEntry, RunStore, StoreError};
use crate::timers::Timers;

/// What else the end of a run touches.
pub trait Ends: Send + Sync {
    /// The run has ended: tells the schedule or trigger that made it. Saying it twice is harmless.
    fn ended(&self, spec: &RunSpec, phase: RunPhase) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the artifacts that the manifest has removed at the run's end. Doing it twice is harmless.
    fn remove_artifacts(&self, spec: &RunSpec) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the run's volume claims. Doing it twice is harmless.
    fn remove_volumes(&self, spec: &RunSpec) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a run could not advance.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored spec can't be compiled by this version.
    #[error("compile run {run}")]
    Compile {
        /// The run.
        run: RunUid,
        /// Why.
        #[source]
        source: CompileError,
    },
    /// Somebody else writes this run's journal although this process owns it.
    #[error("commit to run {run}: its journal was written by somebody else")]
    NotAlone {
        /// The run.
        run: RunUid,
    },
}

/// A run in an owner's hands.
pub struct Held {
    /// Its state.
    pub state: RunState,
    position: u64,
    indexed: Option<IndexEntry>,
}

/// Whether records are new, or were folded again because the run was taken in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Just committed.
    New,
    /// Read from the journal.
    Replayed,
}

/// Called with what became of a run: its state after the records.
pub type Watcher = Box<dyn Fn(&RunState, &[Record], Told) + Send + Sync>;

/// Advances runs.
pub struct Owner<S, C, T, E, K> {
    /// Where runs are kept.
    pub store: Arc<S>,
    /// Where their steps run.
    pub cluster: Arc<C>,
    timers: T,
    ends: E,
    clock: K,
    watcher: Watcher,
    held: BTreeMap<RunUid, Held>,
    /// Runs with an effect that could not be performed.
    unperformed: BTreeSet<RunUid>,
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// An owner that holds no run yet.
    pub fn new(store: Arc<S>, cluster: Arc<C>, timers: T, ends: E, clock: K, watcher: Watcher) -> Self {
        Owner {
            store,
            cluster,
            timers,
            ends,
            clock,
            watcher,
            held: BTreeMap::new(),
            unperformed: BTreeSet::new(),
        }
    }

    /// A run in this owner's hands.
    pub fn run(&self, run: &RunUid) -> Option<&RunState> {
        self.held.get(run).map(|h| &h.state)
    }

    /// The runs in this owner's hands.
    pub fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.held.values().map(|h| &h.state)
    }

    /// Begins a new run.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn submit(&mut self, spec: &RunSpec) -> Result<(), OwnError> {
        let created = self.store.create_run(spec).await?;
        match self.adopt(&spec.uid).await {
            // Begun earlier, and deleted since.
            Err(OwnError::Store(StoreError::NotFound { .. })) if created == Created::Exists => Ok(()),
            other => other,
        }
    }

    /// Takes a stored run in hand: folds its journal, asks what became of its attempts, reads its inbox, and performs
    /// again what nobody has answered.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn adopt(&mut self, run: &RunUid) -> Result<(), OwnError> {
        let loaded = self.store.load_run(run).await?;
        let compile = |source| OwnError::Compile { run: run.clone(), source };
        let program = Arc::new(Program::compile(loaded.spec).map_err(compile)?);
        let mut state = RunState::new(program);
        for record in &loaded.records {
            apply(&mut state, record);
        }
        (self.watcher)(&state, &loaded.records, Told::Replayed);
        let fresh = !state.submitted();
        self.held.insert(run.clone(), Held { state, position: loaded.position, indexed: None });
        if fresh {
            self.handle(run, vec![Event::Submitted]).await?;
        } else {
            self.perform_again(run).await?;
        }
        self.read_inbox(run).await
    }

    /// Reads the commands left for a run.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn read_inbox(&mut self, run: &RunUid) -> Result<(), OwnError> {
        let commands: Vec<Command> = self.store.commands(run).await?;
        if commands.is_empty() {
            return Ok(());
        }
        for command in &commands {
            let event = match &command.verb {
                Verb::Retry(options) => self.planned_retry(run, command, options).await?,
                _ => Event::Commanded { command: command.clone() },
            };
            self.handle(run, vec![event]).await?;
        }
        // Its record is committed: the object has done its work.
        for command in &commands {
            self.store.remove_command(run, &command.id).await?;
        }
        self.settle(run).await
    }

    /// A retry is planned from everything on record, which the state of a finished run forgot.
    async fn planned_retry(
        &self,
        run: &RunUid,
        command: &Command,
        options: &RetryOptions,
    ) -> Result<Event, OwnError> {
        let loaded = self.store.load_run(run).await?;
        let compile = |source| OwnError::Compile { run: run.clone(), source };
        let program = Arc::new(Program::compile(loaded.spec).map_err(compile)?);
        let plan =
            retry::plan(program, &loaded.records, options).map(Box::new).map_err(|why| why.to_string());
        Ok(Event::RetryPlanned { command: command.clone(), plan })
    }

    /// Decides on events in order, commits what follows as one commit, and performs the effects.
    ///
    /// # Errors
    /// See [`OwnError`]. Events that change nothing are no error.
    pub async fn handle(&mut self, run: &RunUid, events: Vec<Event>) -> Result<(), OwnError> {
        let now = self.clock.now();
        let Some(held) = self.held.get_mut(run) else { return Ok(()) };
        let mut next = held.state.clone();
        let mut records = Vec::new();
        let mut effects = Vec::new();
        for event in &events {
            let (after, decided) = advance(next, event, now);
            next = after;
            match decided {
                Ok(decision) => {
                    records.extend(decision.records);
                    effects.extend(decision.effects);
                }
                Err(rejected) => note(run, event, &rejected),
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        match self.store.commit(run, held.position, &records).await? {
            Commit::Committed { position } => held.position = position,
            Commit::Conflict => return Err(OwnError::NotAlone { run: run.clone() }),
        }
        held.state = next;
        (self.watcher)(&held.state, &records, Told::New);
        self.perform(run, effects).await?;
        self.settle(run).await
    }

    /// Keeps the run list up to date, and lets go of a run that is done.
    async fn settle(&mut self, run: &RunUid) -> Result<(), OwnError> {
        let Some(held) = self.held.get_mut(run) else { return Ok(()) };
        let entry = index_entry(&held.state);
        let done = held.state.done();
        if held.indexed.as_ref().is_none_or(|old| worth_storing(old, &entry)) {
            self.store.put_entry(&entry).await?;
            held.indexed = Some(entry);
        }
        if done && self.store.commands(run).await?.is_empty() {
            self.store.unmark_live(run).await?;
            self.held.remove(run);
        }
        Ok(())
    }

    async fn perform(&mut self, run: &RunUid, effects: Vec<Arc<Effect>>) -> Result<(), OwnError> {
        let (mut answers, mut granted) = (Vec::new(), Vec::new());
        for effect in effects {
            match self.perform_one(run, &effect).await {
                Ok(done) => {
                    answers.extend(done.answer);
                    granted.extend(done.granted);
                }
                // It stays in the outbox: `retry`, or the next owner, performs it again.
                Err(why) => {
                    tracing::warn!(%run, effect = ?effect.key(), error = %chain(&why), "an effect was not performed");
                    self.unperformed.insert(run.clone());
                }
            }
        }
        if !answers.is_empty() {
            Box::pin(self.handle(run, answers)).await?;
        }
        self.ring_granted(granted).await
    }

    async fn perform_one(&self, run: &RunUid, effect: &Effect) -> Result<Done, PerformError> {
        let generation = self.held.get(run).map_or(0, |held| held.state.generation);
        let answer = |answer| Done { answer, granted: Vec::new() };
        let performed = |key: EffectKey| answer(Some(Event::Performed { effect: key, generation }));
        match effect {
            Effect::StartAttempt(attempt) => {
                if let Some(spec) = self.spec(run) {
                    self.cluster.start(spec, attempt.clone()).await?;
                }
                Ok(Done::default())
            }
            Effect::StopAttempt { attempt, why } => {
                if let Some(spec) = self.spec(run) {
                    self.cluster.stop(spec, attempt, why).await?;
                }
                Ok(Done::default())
            }
            Effect::SetTimer { timer, due } => {
                self.timers.set(run, timer, *due).await?;
                Ok(Done::default())
            }
            Effect::DeleteVolumes => {
                if let Some(spec) = self.spec(run) {
                    self.ends.remove_volumes(spec).await?;
                }
                Ok(performed(effect.key()))
            }
            Effect::ReadMemo { node, entry } => {
                let Some(namespace) = self.namespace(run) else { return Ok(Done::default()) };
                let found = memos::read(&*self.store, namespace, entry, self.clock.now()).await?;
                Ok(answer(Some(Event::MemoRead { node: *node, found: found.map(Box::new) })))
            }
            Effect::WriteMemo { entry, gave, .. } => {
                let Some(namespace) = self.namespace(run) else { return Ok(Done::default()) };
                memos::write(&*self.store, namespace, entry, gave).await?;
                Ok(performed(effect.key()))
            }
            Effect::DeleteArtifacts => {
                if let Some(spec) = self.spec(run) {
                    self.ends.remove_artifacts(spec).await?;
                }
                Ok(performed(effect.key()))
            }
            Effect::TakeLocks(request) => self.take_locks(run, request).await,
            Effect::ReleaseLocks(request) => self.release_locks(run, request).await,
            Effect::ReadConfig(config) => {
                let found = self.cluster.config(config).await?;
                Ok(answer(found.map(|found| Event::ConfigRead { config: config.clone(), found })))
            }
            Effect::AnnounceEnd { phase } => {
                if let Some(spec) = self.spec(run) {
                    self.ends.ended(spec, *phase).await?;
                }
                Ok(performed(effect.key()))
            }
        }
    }

    fn spec(&self, run: &RunUid) -> Option<&RunSpec> {
        self.held.get(run).map(|held| &held.state.program.spec)
    }

    fn namespace(&self, run: &RunUid) -> Option<&str> {
        self.spec(run).map(RunSpec::namespace)
    }

    /// Performs again what could not be performed; to be called from time to time.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn retry(&mut self) -> Result<(), OwnError> {
        for run in std::mem::take(&mut self.unperformed) {
            self.perform_again(&run).await?;
        }
        self.ask_again_for_locks().await
    }

    /// Performs again what stands in a run's outbox: after a cluster came back, or when somebody else held it before.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn perform_again(&mut self, run: &RunUid) -> Result<(), OwnError> {
        let Some(held) = self.held.get(run) else { return Ok(()) };
        let mut effects: Vec<Arc<Effect>> = held.state.outbox.values().cloned().collect();
        // The outbox is sorted by names that are hashes; steps start in the order in which they were decided.
        effects.sort_by_key(|e| match &**e {
            Effect::StartAttempt(attempt) => attempt.node,
            _ => NodeId(0),
        });
        let started: Vec<Arc<Attempt>> = effects
            .iter()
            .filter_map(|e| match &**e {
                Effect::StartAttempt(attempt) => Some(attempt.clone()),
                _ => None,
            })
            .collect();
        match self.cluster.observe(&held.state.program.spec, &started).await {
            Ok(events) if !events.is_empty() => self.handle(run, events).await?,
            Ok(_) => {}
            Err(why) => tracing::warn!(%run, error = %chain(&why), "its attempts could not be observed"),
        }
        let Some(held) = self.held.get(run) else { return Ok(()) };
        let open = effects.into_iter().filter(|e| held.state.outbox.contains_key(&e.key())).collect();
        self.perform(run, open).await?;
        self.settle(run).await
    }
}

/// What came of an effect.
#[derive(Default)]
struct Done {
    /// For the run's engine.
    answer: Option<Event>,
    /// Others that were granted a lock by it.
    granted: Vec<Claimant>,
}

#[derive(Debug, thiserror::Error)]
enum PerformError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// An error with its reasons on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn note(run: &RunUid, event: &Event, rejected: &Rejected) {
    tracing::debug!(%run, ?event, %rejected, "an event changed nothing");
}

/// The line of the run list for a state.
pub fn index_entry(state: &RunState) -> IndexEntry {
    let spec = &state.program.spec;
    IndexEntry {
        format: INDEX_FORMAT,
        uid: spec.uid.clone(),
        name: spec.name().to_owned(),
        namespace: spec.namespace().to_owned(),
        phase: state.phase,
        message: state.message.clone(),
        created_at: spec.created_at,
        started_at: state.started_at,
        finished_at: state.finished_at,
        progress: format!("{}/{}", state.progress.0, state.progress.1),
        metrics: state.metrics.clone(),
        cause: cause_text(&spec.cause),
        expires_at: expires_at(&spec.spec, state.phase, state.finished_at),
        labels: spec.metadata.labels.clone(),
    }
}

fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Person { by } => format!("person {by}"),
        Cause::Schedule { cron, .. } => format!("schedule {cron}"),
        Cause::Drop { trigger, .. } => format!("trigger {trigger}"),
    }
}

/// The list shows phases and numbers at once; progress alone only with them, so that a wide run does not write its
/// line for every step.
fn worth_storing(old: &IndexEntry, new: &IndexEntry) -> bool {
    let essence = |e: &IndexEntry| (e.phase, e.message.clone(), e.finished_at, e.metrics.clone());
    essence(old) != essence(new)
}
