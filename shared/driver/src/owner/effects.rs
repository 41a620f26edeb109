//! The effects of a run's decisions, performed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use dropforge_engine::attempt::Attempt;
use dropforge_engine::effect::{Effect, EffectKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;

use super::together::at_most;
use super::turns::Turns;
use super::{Ends, Others, OwnError, Owner, chain};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError};
use crate::locks::Claimant;
use crate::memos;
use crate::store::{RunStore, StoreError};
use crate::timers::Timers;

/// Effects performed side by side that have nothing to do with one another: as many as answers are waited for at once.
const APART_AT_ONCE: usize = 16;

/// What is said of a start that was not tried. Always the same words, so that they are put on record once.
const NO_ROOM: &str =
    "there was no room for another attempt that needs the same, and that one is tried first";

/// What came of an effect.
#[derive(Default)]
pub(super) struct Done {
    /// For the run's engine.
    pub(super) answer: Option<Event>,
    /// Others that were granted a lock by it.
    pub(super) granted: Vec<Claimant>,
}

impl Done {
    /// Whether an attempt was not started, since there is no room for it now.
    fn waits(&self) -> bool {
        matches!(self.answer, Some(Event::AttemptWaiting { .. }))
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PerformError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// An effect, and what came of it.
pub(super) type Outcome = (Arc<Effect>, Result<Done, PerformError>);

fn has_no_room((_, outcome): &Outcome) -> bool {
    outcome.as_ref().is_ok_and(Done::waits)
}

/// What an attempt needs of where steps run, as far as the manifest says: where one found no room, another with the same
/// needs finds none. The steps of a run differ in that, and a quota may have room for some of them.
fn needs(attempt: &Attempt) -> String {
    let (template, pod) = (&attempt.work.template, &attempt.work.pod);
    let containers = template.container.iter().chain(&template.script);
    let containers: Vec<_> = containers.map(|container| (&container.image, &container.resources)).collect();
    // Without them each template would only be taken for one that needs always the same.
    serde_json::to_string(&(&template.name, containers, &pod.spec, &pod.patches)).unwrap_or_default()
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// What stands in a run's outbox, but for the starts of attempts that the cluster has in hand or was not asked about,
    /// and for timers that somebody has set: only those of this commit are set, and those that this owner knows not to be; all of them
    /// where `timers` says that somebody may have died. One that is lost all the same fires at the first look at
    /// everything after its time.
    pub(super) fn open_effects(
        &self,
        run: &RunUid,
        there: &BTreeSet<AttemptId>,
        committed: &[Arc<Effect>],
        timers: bool,
    ) -> Vec<Arc<Effect>> {
        let Some(held) = self.held.get(run) else { return Vec::new() };
        let new: BTreeSet<EffectKey> = committed.iter().map(|effect| effect.key()).collect();
        let unset = |effect: &Effect| {
            // The timers of one process die with it.
            timers
                || self.others == Others::None
                || new.contains(&effect.key())
                || self.unset.contains(&(run.clone(), effect.key()))
        };
        let open = |effect: &&Arc<Effect>| match &***effect {
            Effect::StartAttempt(attempt) => C::STARTS_AGAIN || !there.contains(&attempt.id),
            timer @ Effect::SetTimer { .. } => unset(timer),
            _ => true,
        };
        held.state.outbox.values().filter(open).cloned().collect()
    }

    /// Performs effects. What is left of attempts that have `ended` is in their way where there was no room for a start:
    /// then it is removed first, which is told.
    pub(super) async fn perform(
        &mut self,
        run: &RunUid,
        effects: Vec<Arc<Effect>>,
        ended: &[AttemptId],
    ) -> Result<bool, OwnError> {
        if effects.is_empty() {
            return Ok(false);
        }
        let Turns { ending, stops, starts, apart, others } = self.turns(run, effects);
        let mut outcomes = self.start_all(run, &ending).await;
        outcomes.extend(self.perform_apart(run, &stops).await);
        let starts = self.startable(run, starts, &outcomes);
        let mut started = self.start_all(run, &starts).await;
        let full = started.iter().any(has_no_room) && !ended.is_empty();
        if let Some(spec) = self.spec(run).filter(|_| full) {
            self.tidy(spec, ended).await;
            self.start_rest(run, &mut started).await;
        }
        outcomes.extend(started);
        outcomes.extend(self.perform_apart(run, &apart).await);
        for effect in &others {
            outcomes.push((effect.clone(), self.perform_one(run, effect).await));
        }
        let (answers, granted) = self.take_outcomes(run, outcomes);
        self.answered(run, answers, &others).await?;
        self.ring_granted(granted).await?;
        Ok(full)
    }

    /// Notes what could not be performed; gives the answers, and who was granted a lock.
    fn take_outcomes(&mut self, run: &RunUid, outcomes: Vec<Outcome>) -> (Vec<Event>, Vec<Claimant>) {
        let (mut answers, mut granted) = (Vec::new(), Vec::new());
        for (effect, outcome) in outcomes {
            self.note_unset(run, &effect, outcome.is_err());
            match outcome {
                Ok(done) => {
                    if done.waits() {
                        self.unperformed.insert(run.clone());
                    }
                    answers.extend(done.answer);
                    granted.extend(done.granted);
                }
                // It stays in the outbox: `retry`, or whoever looks at everything next, performs it again.
                Err(why) => {
                    tracing::warn!(%run, effect = ?effect.key(), error = %chain(&why), "an effect was not performed");
                    self.unperformed.insert(run.clone());
                }
            }
        }
        (answers, granted)
    }

    async fn perform_apart(&self, run: &RunUid, effects: &[Arc<Effect>]) -> Vec<Outcome> {
        let performing = effects.iter().map(|effect| self.perform_one(run, effect)).collect();
        effects.iter().cloned().zip(at_most(APART_AT_ONCE, performing).await).collect()
    }

    async fn start_all(&self, run: &RunUid, starts: &[Arc<Effect>]) -> Vec<Outcome> {
        let full = Mutex::default();
        let starting: Vec<_> = starts.iter().map(|effect| self.start(run, effect, &full)).collect();
        starts.iter().cloned().zip(at_most(C::STARTS_AT_ONCE, starting).await).collect()
    }

    /// Starts what found no room once more.
    async fn start_rest(&self, run: &RunUid, started: &mut [Outcome]) {
        let waiting: Vec<usize> = (0..started.len()).filter(|at| has_no_room(&started[*at])).collect();
        let again: Vec<_> = waiting.iter().map(|at| started[*at].0.clone()).collect();
        for (at, outcome) in waiting.into_iter().zip(self.start_all(run, &again).await) {
            started[at] = outcome;
        }
    }

    /// Starts an attempt, unless one with the same needs has just found no room: of a thousand that wait one asks for all.
    async fn start(
        &self,
        run: &RunUid,
        effect: &Effect,
        full: &Mutex<BTreeSet<String>>,
    ) -> Result<Done, PerformError> {
        let Effect::StartAttempt(attempt) = effect else { return self.perform_one(run, effect).await };
        let needs = needs(attempt);
        if full.lock().unwrap_or_else(PoisonError::into_inner).contains(&needs) {
            let (attempt, why) = (attempt.id.clone(), NO_ROOM.to_owned());
            return Ok(Done { answer: Some(Event::AttemptWaiting { attempt, why }), granted: Vec::new() });
        }
        let done = self.perform_one(run, effect).await?;
        if done.waits() {
            full.lock().unwrap_or_else(PoisonError::into_inner).insert(needs);
        }
        Ok(done)
    }

    /// Notes whether a timer is known not to be set.
    fn note_unset(&mut self, run: &RunUid, effect: &Effect, failed: bool) {
        if !matches!(effect, Effect::SetTimer { .. }) {
            return;
        }
        let timer = (run.clone(), effect.key());
        if failed {
            self.unset.insert(timer)
        } else {
            self.unset.remove(&timer)
        };
    }

    /// Lets the cluster remove what is left of attempts.
    pub(super) async fn tidy(&self, spec: &RunSpec, ended: &[AttemptId]) {
        if let Err(why) = self.cluster.tidy(spec, ended).await {
            let run = &spec.uid;
            tracing::warn!(%run, error = %chain(&why), "what is left of its ended attempts was not removed");
        }
    }

    /// Takes the answers of effects. While they were performed others may have gone on.
    async fn answered(
        &mut self,
        run: &RunUid,
        answers: Vec<Event>,
        effects: &[Arc<Effect>],
    ) -> Result<(), OwnError> {
        if answers.is_empty() {
            return Ok(());
        }
        if let Some(held) = self.held.get_mut(run) {
            held.current = self.others == Others::None;
        }
        let taken: Vec<_> = answers.iter().filter_map(taken).collect();
        Box::pin(self.handle(run, answers)).await?;
        self.give_back_unwanted(run, &taken, effects).await
    }

    async fn perform_one(&self, run: &RunUid, effect: &Effect) -> Result<Done, PerformError> {
        let generation = self.held.get(run).map_or(0, |held| held.state.generation);
        let answer = |answer| Done { answer, granted: Vec::new() };
        let performed = |key: EffectKey| answer(Some(Event::Performed { effect: key, generation }));
        let Some(spec) = self.spec(run) else { return Ok(Done::default()) };
        let namespace = spec.namespace();
        match effect {
            Effect::StartAttempt(attempt) => Ok(answer(self.cluster.start(spec, attempt.clone()).await?)),
            Effect::StopAttempt { attempt, why } => {
                self.cluster.stop(spec, attempt, why).await?;
                Ok(Done::default())
            }
            Effect::SetTimer { timer, due } => {
                let due = self.held.get(run).map_or(*due, |held| held.on_clock(*due));
                self.timers.set(run, timer, due).await?;
                Ok(Done::default())
            }
            Effect::DeleteVolumes => {
                self.ends.remove_volumes(spec).await?;
                Ok(performed(effect.key()))
            }
            Effect::ReadMemo { node, entry } => {
                let found = memos::read(&*self.store, namespace, entry, self.clock.now()).await?;
                Ok(answer(Some(Event::MemoRead { node: *node, found: found.map(Box::new) })))
            }
            Effect::WriteMemo { entry, gave, .. } => {
                memos::write(&*self.store, namespace, entry, gave).await?;
                Ok(performed(effect.key()))
            }
            Effect::DeleteArtifacts => {
                self.ends.remove_artifacts(spec).await?;
                Ok(performed(effect.key()))
            }
            Effect::TakeLocks(request) => self.take_locks(run, request).await,
            Effect::ReleaseLocks(request) => self.release_locks(run, request).await,
            Effect::ReadConfig(config) => {
                let found = self.cluster.config(config).await?;
                Ok(answer(found.map(|found| Event::ConfigRead { config: config.clone(), found })))
            }
            Effect::AnnounceEnd { phase } => {
                self.ends.ended(spec, *phase).await?;
                Ok(performed(effect.key()))
            }
        }
    }

    pub(super) fn spec(&self, run: &RunUid) -> Option<&RunSpec> {
        self.held.get(run).map(|held| &held.state.program.spec)
    }

    pub(super) fn namespace(&self, run: &RunUid) -> Option<&str> {
        self.spec(run).map(RunSpec::namespace)
    }
}

/// Whose locks an answer says are held.
fn taken(answer: &Event) -> Option<dropforge_engine::lock::Holder> {
    match answer {
        Event::LocksTaken { holder, .. } => Some(*holder),
        _ => None,
    }
}
