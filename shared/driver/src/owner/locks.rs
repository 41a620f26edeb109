//! The locks of the runs in an owner's hands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dropforge_engine::config::ConfigKey;
use dropforge_engine::effect::{Effect, EffectKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::RunUid;
use dropforge_engine::lock::{Holder, LockName, LockRequest};
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::locks::Stage;

use super::effects::{Done, PerformError};
use super::{Ends, Others, OwnError, Owner, chain};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::locks::{Claimant, Leaving, LockState, keep};
use crate::replay::{ReplayError, replay};
use crate::store::{ErrorKind, RunStore, StoreError};
use crate::timers::Timers;

/// Runs whose states are read to see whether they still need a lock that somebody waits for.
const HOLDERS_READ_MAX: usize = 8;

/// How many may hold a lock.
enum Limit {
    /// This many.
    Known(i64),
    /// Nobody here can look.
    Unseen,
    /// None, for this reason.
    Wrong(String),
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// Takes a block's locks, or says why it has to wait.
    pub(super) async fn take_locks(&self, run: &RunUid, request: &LockRequest) -> Result<Done, PerformError> {
        let Some(held) = self.held.get(run).filter(|_| C::STARTS) else { return Ok(Done::default()) };
        let spec = &held.state.program.spec;
        let LockRequest { holder, generation, .. } = *request;
        let claimant = Claimant {
            run: run.clone(),
            node: holder,
            key: request.key.clone(),
            generation,
            priority: spec.spec.priority.unwrap_or(0),
            created_at: spec.created_at,
        };
        let mut locks = Vec::with_capacity(request.locks.len());
        for lock in &request.locks {
            match self.limit(spec, lock).await? {
                Limit::Known(limit) => locks.push((lock.clone(), limit)),
                Limit::Unseen => return Ok(Done::default()),
                Limit::Wrong(hint) => {
                    let granted = self.leave_locks(run, request).await?;
                    let why = format!("failed to initialize semaphore {lock} with limit");
                    return Ok(Done {
                        answer: Some(Event::LocksRefused { holder, generation, why, hint }),
                        granted,
                    });
                }
            }
        }
        let present = |run: &RunUid| self.is_advanced(run);
        let mut taking = keep::take(&*self.store, &claimant, &locks, &present).await?;
        let mut granted = std::mem::take(&mut taking.granted);
        if let Some(wait) = &taking.wait
            && let Some(seen) = keep::seen(&*self.store, &wait.lock).await?
        {
            let over = self.over(&seen.state).await?;
            if !over.is_empty() {
                granted.extend(keep::forget(&*self.store, seen, &over, &present).await?);
                granted.retain(|other| (&other.run, other.node) != (run, holder));
                taking = keep::take(&*self.store, &claimant, &locks, &present).await?;
                granted.append(&mut taking.granted);
            }
        }
        let answer = match taking.wait {
            None => Event::LocksTaken { holder, generation },
            Some(wait) => Event::LocksWaiting { holder, generation, wait: Box::new(wait) },
        };
        Ok(Done { answer: Some(answer), granted })
    }

    /// Gives a block's locks back.
    pub(super) async fn release_locks(
        &self,
        run: &RunUid,
        request: &LockRequest,
    ) -> Result<Done, PerformError> {
        let granted = self.leave_locks(run, request).await?;
        let LockRequest { holder, generation, .. } = *request;
        let answer = Event::Performed { effect: EffectKey::ReleaseLocks(holder), generation };
        Ok(Done { answer: Some(answer), granted })
    }

    async fn leave_locks(&self, run: &RunUid, request: &LockRequest) -> Result<Vec<Claimant>, StoreError> {
        let present = |run: &RunUid| self.is_advanced(run);
        let leaving = Leaving { run, node: request.holder, generation: request.generation };
        let mut granted = Vec::new();
        for lock in &request.locks {
            granted.extend(keep::leave(&*self.store, lock, &leaving, &present).await?);
        }
        Ok(granted)
    }

    /// Gives back what was taken for a block that is not there any more: while it was taken, another owner took it too,
    /// and the block ended. Where this owner dies first, the run's end gives it back.
    pub(super) async fn give_back_unwanted(
        &mut self,
        run: &RunUid,
        taken: &[Holder],
        effects: &[Arc<Effect>],
    ) -> Result<(), OwnError> {
        let mut granted = Vec::new();
        for effect in effects {
            let Effect::TakeLocks(request) = &**effect else { continue };
            let gone = |owner: &Self| {
                let held = owner.held.get(run);
                held.is_none_or(|held| !held.state.locks.blocks.contains_key(&request.holder))
            };
            if taken.contains(&request.holder) && gone(self) {
                granted.extend(self.leave_locks(run, request).await?);
            }
        }
        self.ring_granted(granted).await
    }

    /// Whether somebody advances a run.
    fn is_advanced(&self, run: &RunUid) -> bool {
        self.others == Others::Many || self.held.contains_key(run)
    }

    /// The holders that need a lock no more, and whose process died before it could say so: their run has ended or is
    /// gone, or it goes on and has forgotten the block, or asks for it in another generation, since somebody slow took the
    /// lock once more after it was given back. The lock's document was read before; whoever takes it after that changes it.
    async fn over(&self, lock: &LockState) -> Result<BTreeSet<(RunUid, Holder)>, PerformError> {
        let mut runs: BTreeSet<&RunUid> = lock.holders.iter().map(|holder| &holder.run).collect();
        if self.others == Others::None {
            runs.retain(|run| !self.held.contains_key(*run));
        }
        if runs.is_empty() {
            return Ok(BTreeSet::new());
        }
        let live: BTreeSet<RunUid> = self.store.live_runs().await?.into_iter().collect();
        let mut over = BTreeSet::new();
        for (looked, run) in runs.into_iter().enumerate() {
            let holders = lock.holders.iter().filter(|holder| holder.run == *run);
            if !live.contains(run) {
                over.extend(holders.map(Claimant::id));
            } else if self.others == Others::Many
                && looked < HOLDERS_READ_MAX
                && let Some(blocks) = self.blocks(run).await?
            {
                let is_known = |holder: &&Claimant| blocks.get(&holder.node) == Some(&holder.generation);
                over.extend(holders.filter(|holder| !is_known(holder)).map(Claimant::id));
            }
        }
        Ok(over)
    }

    /// The blocks of a run that hold locks or want them, each with the generation of the run that asked for it, as its
    /// journal has them now; none where it can't be told.
    async fn blocks(&self, run: &RunUid) -> Result<Option<BTreeMap<Holder, u32>>, PerformError> {
        match replay(&*self.store, run, |_, _| {}).await {
            Ok((state, _)) => {
                let blocks = state.locks.blocks.values();
                let blocks = blocks.map(|block| (block.request.holder, block.request.generation));
                Ok(Some(blocks.collect()))
            }
            Err(ReplayError::Store(why)) if why.kind() == ErrorKind::Retry => Err(why.into()),
            // Gone, or not to be read: another's run must not hold this one up.
            Err(_) => Ok(None),
        }
    }

    /// How many may hold a lock that this run asks for.
    async fn limit(&self, spec: &RunSpec, lock: &LockName) -> Result<Limit, PerformError> {
        let (namespace, name, key) = match lock {
            LockName::Mutex { .. } => return Ok(Limit::Known(1)),
            LockName::Runs { namespace } => {
                let settings = &spec.settings;
                let limit =
                    namespace.as_ref().map_or(settings.parallelism, |_| settings.namespace_parallelism);
                return Ok(Limit::Known(limit.map_or(i64::MAX, i64::from)));
            }
            LockName::Semaphore { namespace, name, key } => (namespace, name, key),
        };
        let config = ConfigKey { namespace: namespace.clone(), name: name.clone(), key: key.clone() };
        let Some(found) = self.cluster.limit(&config).await? else { return Ok(Limit::Unseen) };
        let wrong = match found.value(&config) {
            Ok(text) => match text.trim().parse::<i64>() {
                Ok(limit) if limit > 0 => return Ok(Limit::Known(limit)),
                _ => format!("ConfigMap '{name}', key '{key}' is {text:?}: write a whole number above 0"),
            },
            Err(why) => why,
        };
        // As long as somebody holds it the last limit stands: a file may be in the middle of being written.
        match keep::state(&*self.store, lock).await?.filter(|state| state.in_use()) {
            Some(state) => {
                tracing::warn!(%lock, limit = state.limit, why = %wrong, "the last known limit of a lock stands");
                Ok(Limit::Known(state.limit))
            }
            None => Ok(Limit::Wrong(wrong)),
        }
    }

    /// Lets those that were granted a lock ask again: it is theirs. Where this can't be said, the sweep finds them.
    pub(super) async fn ring_granted(&mut self, granted: Vec<Claimant>) -> Result<(), OwnError> {
        for claimant in granted {
            if self.others == Others::Many {
                if let Err(why) = self.timers.rouse(&claimant.run).await {
                    tracing::warn!(run = %claimant.run, error = %chain(&why), "it was not told that it holds a lock");
                }
                continue;
            }
            let key = EffectKey::TakeLocks(claimant.node);
            let effect = self.held.get(&claimant.run).and_then(|held| held.state.outbox.get(&key)).cloned();
            if let Some(effect) = effect {
                Box::pin(self.perform(&claimant.run, vec![effect], &[])).await?;
            }
        }
        Ok(())
    }

    /// Asks again for what was refused: a limit may have been raised, a holder may be gone.
    pub(super) async fn ask_again_for_locks(&mut self) -> Result<(), OwnError> {
        let mut again: Vec<(RunUid, Arc<Effect>)> = Vec::new();
        for (run, held) in &self.held {
            let waiting = held.state.locks.blocks.values().filter(|b| matches!(b.stage, Stage::Waiting(_)));
            let effects =
                waiting.filter_map(|b| held.state.outbox.get(&EffectKey::TakeLocks(b.request.holder)));
            again.extend(effects.map(|effect| (run.clone(), effect.clone())));
        }
        for (run, effect) in again {
            self.perform(&run, vec![effect], &[]).await?;
        }
        Ok(())
    }
}
