//! The effects of a run's decisions, performed.

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_engine::effect::{Effect, EffectKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;

use super::together::at_most;
use super::{Ends, Others, OwnError, Owner, chain};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError};
use crate::locks::Claimant;
use crate::memos;
use crate::store::{RunStore, StoreError};
use crate::timers::Timers;

/// What came of an effect.
#[derive(Default)]
pub(super) struct Done {
    /// For the run's engine.
    pub(super) answer: Option<Event>,
    /// Others that were granted a lock by it.
    pub(super) granted: Vec<Claimant>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PerformError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn starts(effect: &Effect) -> bool {
    matches!(effect, Effect::StartAttempt(_))
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// What stands in a run's outbox, but for the starts of attempts that the cluster has in hand.
    pub(super) fn open_effects(&self, run: &RunUid, there: &BTreeSet<AttemptId>) -> Vec<Arc<Effect>> {
        let Some(held) = self.held.get(run) else { return Vec::new() };
        let open = |effect: &&Arc<Effect>| match &***effect {
            Effect::StartAttempt(attempt) => C::STARTS_AGAIN || !there.contains(&attempt.id),
            _ => true,
        };
        held.state.outbox.values().filter(open).cloned().collect()
    }

    /// Whether an attempt that was not started yet, as far as is known, is asked to end already. It is not begun for
    /// that: another of its node may be on its way, since the run was retried. Where starts are done again this process
    /// needs them to know what it ends.
    fn is_stopping(&self, run: &RunUid, effect: &Effect) -> bool {
        let Effect::StartAttempt(attempt) = effect else { return false };
        let stop = EffectKey::Stop(attempt.id.clone());
        !C::STARTS_AGAIN && self.held.get(run).is_some_and(|held| held.state.outbox.contains_key(&stop))
    }

    pub(super) async fn perform(&mut self, run: &RunUid, effects: Vec<Arc<Effect>>) -> Result<(), OwnError> {
        if effects.is_empty() {
            return Ok(());
        }
        let (mut starts, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(|effect| starts(effect));
        starts.retain(|effect| !self.is_stopping(run, effect));
        let starting: Vec<_> = starts.iter().map(|effect| self.perform_one(run, effect)).collect();
        let mut outcomes = at_most(C::STARTS_AT_ONCE, starting).await;
        for effect in &others {
            outcomes.push(self.perform_one(run, effect).await);
        }
        let (mut answers, mut granted) = (Vec::new(), Vec::new());
        for (effect, outcome) in starts.iter().chain(&others).zip(outcomes) {
            match outcome {
                Ok(done) => {
                    // It was not started: there is no room for it now.
                    if matches!(done.answer, Some(Event::AttemptWaiting { .. })) {
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
        self.answered(run, answers, &others).await?;
        self.ring_granted(granted).await
    }

    /// Lets the cluster remove what is left of attempts.
    pub(super) async fn tidy(&self, run: &RunUid, ended: &[AttemptId]) {
        let Some(spec) = self.spec(run).filter(|_| !ended.is_empty()) else { return };
        if let Err(why) = self.cluster.tidy(spec, ended).await {
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
                self.timers.set(run, timer, *due).await?;
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
        Event::LocksTaken { holder } => Some(*holder),
        _ => None,
    }
}
