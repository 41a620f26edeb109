//! What an owner looks at when it is rung.

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_engine::attempt::Attempt;
use dropforge_engine::effect::{Effect, TimerId};
use dropforge_engine::event::{Command, Event};
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};

use super::{Ends, OwnError, Owner, chain};
use crate::clock::Clock;
use crate::cluster::{Cluster, Observed};
use crate::store::{ErrorKind, RunStore, StoreError};
use crate::timers::Timers;
use crate::verdicts::verdicts;

/// A part of a run that may have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// All of it: every attempt, every timer, the inbox; and what is in the outbox is performed again.
    Everything,
    /// All timers in its outbox, which are then set again: whoever committed them may have died before it set them.
    Timers,
    /// Its inbox.
    Inbox,
    /// One command in it.
    Command(CommandId),
    /// One attempt.
    Attempt(AttemptId),
    /// One timer, whose time has come.
    Timer(TimerId),
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    /// The commands among them.
    pub(super) commands: Vec<CommandId>,
    /// Attempts that are not to be started: the cluster has them in hand, or was not asked for them.
    pub(super) there: BTreeSet<AttemptId>,
    /// Whether some were not asked for.
    pub(super) is_partial: bool,
}

impl Seen {
    fn observed(&mut self, observed: Observed) {
        self.there.extend(observed.events.iter().filter_map(attempt_of).cloned());
        self.events.extend(observed.events);
        self.not_asked_for(observed.unseen);
    }

    fn not_asked_for(&mut self, attempts: impl IntoIterator<Item = AttemptId>) {
        let before = self.there.len();
        self.there.extend(attempts);
        self.is_partial |= self.there.len() > before;
    }

    fn has_end_of(&self, attempt: &AttemptId) -> bool {
        let ends = |event: &Event| matches!(event, Event::AttemptFinished { verdict } if verdict.attempt == *attempt);
        self.events.iter().any(ends)
    }
}

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    pub(super) async fn look(&mut self, run: &RunUid, looks: &[Look]) -> Result<Seen, OwnError> {
        let mut seen = Seen::default();
        if looks.contains(&Look::Everything) {
            self.look_at_everything(run, &mut seen).await?;
        }
        let attempts: BTreeSet<&AttemptId> = looks.iter().filter_map(Look::attempt).collect();
        let attempts = attempts.into_iter().filter(|attempt| !seen.has_end_of(attempt)).cloned().collect();
        self.look_at_attempts(run, attempts, &mut seen).await?;
        seen.events.extend(looks.iter().filter_map(Look::timer).map(|timer| Event::TimerFired { timer }));
        for command in self.commands(run, looks).await? {
            seen.events.push(self.commanded(run, &command).await?);
            seen.commands.push(command.id);
        }
        Ok(seen)
    }

    async fn look_at_everything(&mut self, run: &RunUid, seen: &mut Seen) -> Result<(), OwnError> {
        if self.held.get(run).is_some_and(|held| !held.current) {
            self.catch_up(run).await?;
        }
        let Some(held) = self.held.get_mut(run) else { return Ok(()) };
        if !held.state.submitted() {
            seen.events.push(Event::Submitted);
            return Ok(());
        }
        let attempts: Vec<Arc<Attempt>> = held.state.outbox.attempts().cloned().collect();
        match self.cluster.observe(&held.state.program.spec, &attempts).await {
            Ok(observed) => seen.observed(observed),
            Err(why) => {
                tracing::warn!(%run, error = %chain(&why), "its attempts could not be observed");
                seen.not_asked_for(attempts.iter().map(|attempt| attempt.id.clone()));
            }
        }
        let now = held.now(self.clock.now());
        // The sweep has each live run looked at several times an hour, so that this needs no timer of its own.
        if !held.state.phase.completed() && held.state.program.spec.over_at() <= now {
            seen.events.push(Event::TimeOver);
        }
        let due = held.state.outbox.values().filter_map(|effect| match &**effect {
            Effect::SetTimer { timer, due } if *due <= now => Some(timer.clone()),
            _ => None,
        });
        seen.events.extend(due.map(|timer| Event::TimerFired { timer }));
        Ok(())
    }

    /// Reads the verdicts of these attempts; asks the cluster about those that have none.
    async fn look_at_attempts(
        &mut self,
        run: &RunUid,
        attempts: Vec<AttemptId>,
        seen: &mut Seen,
    ) -> Result<(), OwnError> {
        let Some(namespace) = self.namespace(run) else { return Ok(()) };
        let found = verdicts(&*self.store, namespace, attempts).await;
        seen.not_asked_for(found.unread);
        let mut open = Vec::new();
        for (attempt, verdict) in found.read {
            match verdict? {
                Some(verdict) => seen.events.push(Event::AttemptFinished { verdict: Arc::new(verdict) }),
                None if seen.there.contains(&attempt) => {}
                None => open.push(attempt),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let known = |owner: &Self| owner.known(run, &open);
        if known(self).len() < open.len() && self.held.get(run).is_some_and(|held| !held.current) {
            self.catch_up(run).await?;
        }
        let known = known(self);
        let Some(spec) = self.spec(run).filter(|_| !known.is_empty()) else { return Ok(()) };
        match self.cluster.observe(spec, &known).await {
            Ok(observed) => seen.observed(observed),
            Err(why) => tracing::warn!(%run, error = %chain(&why), "an attempt could not be observed"),
        }
        Ok(())
    }

    fn known(&self, run: &RunUid, attempts: &[AttemptId]) -> Vec<Arc<Attempt>> {
        let Some(held) = self.held.get(run) else { return Vec::new() };
        attempts.iter().filter_map(|attempt| held.state.outbox.attempt(attempt)).cloned().collect()
    }

    async fn commands(&self, run: &RunUid, looks: &[Look]) -> Result<Vec<Command>, StoreError> {
        if looks.iter().any(|look| matches!(look, Look::Everything | Look::Inbox)) {
            return self.store.commands(run).await;
        }
        let mut commands = Vec::new();
        for look in looks {
            if let Look::Command(id) = look {
                match self.store.command(run, id).await {
                    Ok(command) => commands.extend(command),
                    // Anybody may ring with any words: a name that can't be one names nothing.
                    Err(StoreError::BadName { .. }) => {}
                    // As in the list of the inbox: it holds up nothing else.
                    Err(why) if why.kind() == ErrorKind::Corrupt => {
                        tracing::warn!(%run, "a command was passed over: {}", chain(&why));
                    }
                    Err(why) => return Err(why),
                }
            }
        }
        Ok(commands)
    }
}

impl Look {
    fn attempt(&self) -> Option<&AttemptId> {
        match self {
            Look::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }

    fn timer(&self) -> Option<TimerId> {
        match self {
            Look::Timer(timer) => Some(timer.clone()),
            _ => None,
        }
    }
}

fn attempt_of(event: &Event) -> Option<&AttemptId> {
    match event {
        Event::AttemptRunning { attempt, .. }
        | Event::AttemptReady { attempt, .. }
        | Event::AttemptWaiting { attempt, .. }
        | Event::AttemptProgress { attempt, .. } => Some(attempt),
        Event::AttemptFinished { verdict } => Some(&verdict.attempt),
        _ => None,
    }
}
