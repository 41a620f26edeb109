//! The path on which runs advance: load, decide, commit, perform.
//!
//! An owner keeps the state it has decided on; the commit validates it. Others may advance the same runs at the same
//! time: who loses a race reads what the others committed and decides again. A decision that comes to nothing is
//! validated too, since what it was about may have begun in a commit that this owner has not seen. Whatever fails after
//! the commit stays in the outbox and is performed again by whoever looks at everything next.

mod effects;
mod listing;
mod loading;
mod locks;
mod looks;
mod together;
mod turns;

pub use listing::index_entry;
pub use looks::Look;
pub use together::{at_most, contained};

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use dropforge_engine::decide::{Rejected, advance};
use dropforge_engine::effect::{Effect, EffectKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::CompileError;
use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::RunState;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::store::{Commit, Created, IndexEntry, RunStore, StoreError};
use crate::timers::Timers;
use listing::worth_storing;

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
    /// Others were faster again and again. Nothing is lost: whatever this was about is still there to be looked at.
    #[error("commit to run {run}: others committed first {TRIES_MAX} times; look at it again later")]
    Contended {
        /// The run.
        run: RunUid,
    },
    /// The program broke while it looked at the run: a mistake of ours.
    #[error("look at run {run}: the program broke ({why}); please report it")]
    Broke {
        /// The run.
        run: RunUid,
        /// What it said.
        why: String,
    },
}

/// How often a decision is made again because others committed first: a try costs a read and a write, and of many who
/// race one always wins, so that more tries here only keep a crowd together.
pub const TRIES_MAX: u32 = 8;

/// Who else advances the same runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody: this process owns the store.
    None,
    /// Any number of functions, each of them any run.
    Many,
}

/// A run in an owner's hands.
pub struct Held {
    /// Its state.
    pub state: RunState,
    position: u64,
    indexed: Option<IndexEntry>,
    /// Whether somebody else is believed to have stored that line.
    believed: bool,
    /// Whether the state is as new as what this owner was last rung for.
    current: bool,
    /// Whether others had committed when this owner last looked: then they have most likely done so again.
    raced: bool,
    /// Whether others were faster at this owner's last commit.
    lost: bool,
    /// How far the run's time is ahead of this owner's clock.
    ahead: SignedDuration,
}

impl Held {
    /// The run's time: it is never before what its records say, and goes on from there, also where the clock that wrote
    /// them was ahead of this one. Else whatever is due a minute later would wait for all that the clocks differ.
    fn now(&mut self, clock: Timestamp) -> Timestamp {
        self.ahead = self.ahead.max(self.state.last.duration_since(clock));
        clock.saturating_add(self.ahead).unwrap_or(clock)
    }

    /// When this owner's clock tells that time of the run's.
    fn on_clock(&self, time: Timestamp) -> Timestamp {
        time.saturating_sub(self.ahead).unwrap_or(time)
    }
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
    others: Others,
    held: BTreeMap<RunUid, Held>,
    /// Runs with an effect that could not be performed.
    unperformed: BTreeSet<RunUid>,
    /// Timers that could not be set.
    unset: BTreeSet<(RunUid, EffectKey)>,
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// An owner that holds no run yet, and that nobody else works beside.
    pub fn new(store: Arc<S>, cluster: Arc<C>, timers: T, ends: E, clock: K, watcher: Watcher) -> Self {
        Owner {
            store,
            cluster,
            timers,
            ends,
            clock,
            watcher,
            others: Others::None,
            held: BTreeMap::new(),
            unperformed: BTreeSet::new(),
            unset: BTreeSet::new(),
        }
    }

    /// The same, beside these others.
    pub fn beside(mut self, others: Others) -> Self {
        self.others = others;
        self
    }

    /// A run in this owner's hands.
    pub fn run(&self, run: &RunUid) -> Option<&RunState> {
        self.held.get(run).map(|h| &h.state)
    }

    /// The runs in this owner's hands.
    pub fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.held.values().map(|h| &h.state)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets go of a run: it is loaded again when it is rung for.
    pub fn let_go(&mut self, run: &RunUid) {
        self.held.remove(run);
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
        self.let_go(run);
        self.ring(run, &[Look::Everything]).await
    }

    /// Reads the commands left for a run in this owner's hands.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn read_inbox(&mut self, run: &RunUid) -> Result<(), OwnError> {
        if self.held.contains_key(run) { self.ring(run, &[Look::Inbox]).await } else { Ok(()) }
    }

    /// Looks at these parts of a run and does what follows, with one load at most and one commit for all that is found.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn ring(&mut self, run: &RunUid, looks: &[Look]) -> Result<(), OwnError> {
        self.take(run, looks).await?;
        let seen = self.look(run, looks).await?;
        if seen.is_partial {
            self.unperformed.insert(run.clone());
        }
        let committed = self.commit(run, seen.events).await?;
        let everything = looks.contains(&Look::Everything);
        let effects = match everything {
            true => self.open_effects(run, &seen.there, &committed.effects, looks.contains(&Look::Timers)),
            false => committed.effects,
        };
        self.finish(run, effects, &committed.ended).await?;
        for command in seen.commands.iter().filter(|command| self.has_answered(run, command)) {
            self.store.remove_command(run, command).await?;
        }
        if everything || committed.any || !seen.commands.is_empty() { self.settle(run).await } else { Ok(()) }
    }

    /// Whether a command's record is committed: then its object has done its work. One that was heard of before the run
    /// has begun stays for who begins it.
    fn has_answered(&self, run: &RunUid, command: &CommandId) -> bool {
        self.held.get(run).is_some_and(|held| held.state.commands.contains(command))
    }

    /// Decides on events in order, commits what follows as one commit, and performs the effects.
    ///
    /// # Errors
    /// See [`OwnError`]. Events that change nothing are no error.
    pub async fn handle(&mut self, run: &RunUid, events: Vec<Event>) -> Result<(), OwnError> {
        let committed = self.commit(run, events).await?;
        self.finish(run, committed.effects, &committed.ended).await?;
        if committed.any { self.settle(run).await } else { Ok(()) }
    }

    /// Performs effects; then lets the cluster remove what is left of attempts: what comes next is what is waited for.
    async fn finish(
        &mut self,
        run: &RunUid,
        effects: Vec<Arc<Effect>>,
        ended: &[AttemptId],
    ) -> Result<(), OwnError> {
        // A run whose end an effect has told is let go of.
        let program = self.held.get(run).map(|held| held.state.program.clone());
        let tidied = self.perform(run, effects, ended).await?;
        if let Some(program) = program.filter(|_| !ended.is_empty() && !tidied) {
            self.tidy(&program.spec, ended).await;
        }
        Ok(())
    }

    /// Decides, and commits; decides again on what others committed first.
    async fn commit(&mut self, run: &RunUid, mut events: Vec<Event>) -> Result<Committed, OwnError> {
        if self.seems_behind(run) && !events.is_empty() && self.catch_up(run).await? {
            events = self.planned_again(run, events).await?;
        }
        for tries in 0..TRIES_MAX {
            let clock = self.clock.now();
            let Some(held) = self.held.get_mut(run).filter(|_| !events.is_empty()) else {
                return Ok(Committed::default());
            };
            let now = held.now(clock);
            let decided = decide_all(held.state.clone(), &events, now);
            let Decided { state, records, effects } = decided;
            if records.is_empty() {
                if held.current || !self.catch_up(run).await? {
                    return Ok(Committed { effects, ..Committed::default() });
                }
                continue;
            }
            if let Commit::Committed { position } = self.store.commit(run, held.position, &records).await? {
                (held.state, held.position, held.current) = (state, position, true);
                held.lost = tries > 0;
                (self.watcher)(&held.state, &records, Told::New);
                let ended = records.iter().filter_map(ended).cloned().collect();
                return Ok(Committed { any: true, effects, ended });
            }
            self.catch_up(run).await?;
            events = self.planned_again(run, events).await?;
        }
        self.let_go(run);
        Err(OwnError::Contended { run: run.clone() })
    }

    /// Whether others were faster at this owner's last commit to a run.
    pub fn is_contended(&self, run: &RunUid) -> bool {
        self.held.get(run).is_some_and(|held| held.lost)
    }

    /// Whether a commit would most likely be lost, which costs more than a look.
    fn seems_behind(&self, run: &RunUid) -> bool {
        self.held.get(run).is_some_and(|held| held.raced && !held.current)
    }

    /// Keeps the run list up to date, and lets go of a run that is done.
    async fn settle(&mut self, run: &RunUid) -> Result<(), OwnError> {
        let Some(held) = self.held.get_mut(run) else { return Ok(()) };
        let entry = index_entry(&held.state, held.position);
        let (done, position) = (held.state.done(), held.position);
        // Nobody looks at everything of a run without a marker: who takes it away believes nobody.
        let is_unsure = done && held.believed;
        if is_unsure || held.indexed.as_ref().is_none_or(|old| worth_storing(old, &entry)) {
            self.store.put_entry(&entry).await?;
            (held.indexed, held.believed) = (Some(entry), false);
        }
        if let Err(why) = self.store.keep_snapshot(run, position, &held.state).await {
            tracing::warn!(%run, error = %chain(&why), "a snapshot was not kept");
        }
        if done && self.store.commands(run).await?.is_empty() {
            self.store.unmark_live(run, position).await?;
            self.unset.retain(|(of, _)| of != run);
            self.held.remove(run);
        }
        Ok(())
    }

    /// Performs again what could not be performed; to be called from time to time.
    ///
    /// # Errors
    /// See [`OwnError`].
    pub async fn retry(&mut self) -> Result<(), OwnError> {
        for run in self.take_unperformed() {
            if self.held.contains_key(&run) {
                self.ring(&run, &[Look::Everything]).await?;
            }
        }
        self.ask_again_for_locks().await
    }

    /// The runs with an effect that could not be performed since the last call: they are to be rung again.
    pub fn take_unperformed(&mut self) -> BTreeSet<RunUid> {
        std::mem::take(&mut self.unperformed)
    }
}

/// What came of events.
#[derive(Default)]
struct Committed {
    /// Whether anything was committed.
    any: bool,
    /// What is to be done.
    effects: Vec<Arc<Effect>>,
    /// The attempts whose end is on record.
    ended: Vec<AttemptId>,
}

fn ended(record: &Record) -> Option<&AttemptId> {
    match record {
        Record::AttemptEnded { verdict } => Some(&verdict.attempt),
        _ => None,
    }
}

/// What follows from events, nothing of which is kept yet.
struct Decided {
    state: RunState,
    records: Vec<Record>,
    effects: Vec<Arc<Effect>>,
}

fn decide_all(state: RunState, events: &[Event], now: Timestamp) -> Decided {
    let mut decided = Decided { state, records: Vec::new(), effects: Vec::new() };
    for event in events {
        let (after, decision) = advance(decided.state, event, now);
        decided.state = after;
        match decision {
            Ok(decision) => {
                decided.records.extend(decision.records);
                decided.effects.extend(decision.effects);
            }
            Err(rejected) => {
                tracing::debug!(run = %decided.state.program.spec.uid, ?event, %rejected, "an event changed nothing");
                decided.effects.extend(set_again(&decided.state, &rejected));
            }
        }
    }
    decided
}

/// A timer that fired early is set again.
fn set_again(state: &RunState, rejected: &Rejected) -> Option<Arc<Effect>> {
    match rejected {
        Rejected::EarlyTimer { timer, .. } => state.outbox.get(&EffectKey::Timer(timer.clone())).cloned(),
        _ => None,
    }
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
