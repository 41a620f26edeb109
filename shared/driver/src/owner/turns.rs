//! The order in which a run's effects are performed: stops before starts.
//!
//! Where a run is retried, or a step tried again, the attempt before may still be there: it was asked to end by a record,
//! and who was to perform that may have died, or was refused. Its stop stands in the outbox until its end is on record, so
//! that every state in which the next attempt is to be started tells of it. Whoever starts that one performs the stop
//! first, also where others have done so already, and starts nothing where the stop fails.
//!
//! What this gives is that the attempt before was asked to end: it can't begin any more, and the cluster has accepted that
//! it is to go. It does not give that it is gone. A command that runs has its grace (30 seconds on Kubernetes, and ten more
//! until its node must have removed the pod), in which the next one may begin beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_engine::effect::{Effect, EffectKey};
use dropforge_engine::ids::RunUid;
use dropforge_engine::state::RunState;

use super::effects::Outcome;
use super::{Ends, Others, Owner};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::store::RunStore;
use crate::timers::Timers;

/// Attempts that one look starts where others look as well, whose calls end: at the 20 a second of a cluster they take ten
/// seconds. One decision starts fewer; more wait where somebody died before it had started them.
const STARTS_MAX: usize = 200;

/// Effects in the order in which they are performed.
pub(super) struct Turns {
    /// Starts of attempts that are asked to end, of which this process is to know.
    pub(super) ending: Vec<Arc<Effect>>,
    /// Stops; also those that stand in the outbox and that one of the `starts` comes after.
    pub(super) stops: Vec<Arc<Effect>>,
    pub(super) starts: Vec<Arc<Effect>>,
    /// Those that have nothing to do with one another.
    pub(super) apart: Vec<Arc<Effect>>,
    pub(super) others: Vec<Arc<Effect>>,
}

fn starts(effect: &Effect) -> bool {
    matches!(effect, Effect::StartAttempt(_))
}

fn stops(effect: &Effect) -> bool {
    matches!(effect, Effect::StopAttempt { .. })
}

/// Whether it touches nothing that another effect of the run touches: locks and memos are asked for in their order.
fn stands_apart(effect: &Effect) -> bool {
    matches!(effect, Effect::SetTimer { .. } | Effect::ReadConfig(_))
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// Sorts effects into the order in which they are performed.
    pub(super) fn turns(&mut self, run: &RunUid, effects: Vec<Arc<Effect>>) -> Turns {
        let (starts, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(|effect| starts(effect));
        let (mut ending, starts): (Vec<_>, Vec<_>) =
            starts.into_iter().partition(|effect| self.is_stopping(run, effect));
        if !C::STARTS_AGAIN {
            ending.clear();
        }
        let starts = self.by_turns(run, starts);
        let (mut stops, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|effect| stops(effect));
        let new: BTreeSet<EffectKey> = stops.iter().map(|effect| effect.key()).collect();
        stops.extend(self.stops_before(run, &starts).into_iter().filter(|stop| !new.contains(&stop.key())));
        let (apart, others) = others.into_iter().partition(|effect| stands_apart(effect));
        Turns { ending, stops, starts, apart, others }
    }

    /// As many starts as one look performs: by turns, so that those which the cluster refuses don't stand before the
    /// others for ever, and calls that look side by side seldom start the same ones.
    fn by_turns(&mut self, run: &RunUid, mut starts: Vec<Arc<Effect>>) -> Vec<Arc<Effect>> {
        if self.others == Others::Many && starts.len() > STARTS_MAX {
            let turns = starts.len().div_ceil(STARTS_MAX);
            let turn = usize::try_from(self.clock.now().as_millisecond()).unwrap_or(0) % turns;
            starts.rotate_left(turn * STARTS_MAX);
            starts.truncate(STARTS_MAX);
            self.unperformed.insert(run.clone());
        }
        starts
    }

    /// Whether an attempt is asked to end already. One that was not started yet, as far as is known, is not begun for
    /// that: another of its node may be on its way, since the run was retried. Where starts are done again this process
    /// needs them to know what it ends.
    fn is_stopping(&self, run: &RunUid, effect: &Effect) -> bool {
        let Effect::StartAttempt(attempt) = effect else { return false };
        let stop = EffectKey::Stop(attempt.id.clone());
        self.held.get(run).is_some_and(|held| held.state.outbox.contains_key(&stop))
    }

    /// The stops in the outbox that come before these starts.
    fn stops_before(&self, run: &RunUid, starts: &[Arc<Effect>]) -> Vec<Arc<Effect>> {
        let Some(state) = self.run(run).filter(|_| !starts.is_empty()) else { return Vec::new() };
        let steps: BTreeSet<&str> = starts.iter().filter_map(|start| step_of(state, start)).collect();
        let all = state.outbox.range(EffectKey::Stop("".into())..);
        let stops = all.take_while(|key| matches!(key, EffectKey::Stop(_)));
        let stops = stops.filter_map(|key| state.outbox.get(key));
        stops.filter(|stop| step_of(state, stop).is_some_and(|step| steps.contains(step))).cloned().collect()
    }

    /// The starts that no failed stop comes before. The others stay in the outbox as the stop does.
    pub(super) fn startable(
        &self,
        run: &RunUid,
        mut starts: Vec<Arc<Effect>>,
        stopped: &[Outcome],
    ) -> Vec<Arc<Effect>> {
        let Some(state) = self.run(run) else { return starts };
        let failed = stopped.iter().filter(|(_, outcome)| outcome.is_err());
        let failed: BTreeSet<&str> = failed.filter_map(|(stop, _)| step_of(state, stop)).collect();
        starts.retain(|start| step_of(state, start).is_none_or(|step| !failed.contains(step)));
        starts
    }
}

/// The step that an effect's attempt executes: all tries of a retryStrategy are one.
fn step_of<'a>(state: &'a RunState, effect: &'a Effect) -> Option<&'a str> {
    let attempt = match effect {
        Effect::StartAttempt(attempt) => attempt,
        Effect::StopAttempt { attempt, .. } => state.outbox.attempt(attempt)?,
        _ => return None,
    };
    Some(without_try(&attempt.node_name))
}

/// A node's name without the number of its try.
fn without_try(name: &str) -> &str {
    let numbered = name.strip_suffix(')').and_then(|name| name.rsplit_once('('));
    numbered.filter(|(_, number)| number.parse::<u32>().is_ok()).map_or(name, |(step, _)| step)
}
