//! What a run does about one event.
//!
//! Nothing here awaits, and nothing is read but the arguments. The work is done on a copy of the state (copying
//! costs nothing that depends on its size): each record is applied as soon as it is decided, so that what
//! follows sees it, and the caller folds the same records into its own state once they are stored.

mod calls;
mod commands;
mod configs;
mod daemons;
mod dags;
mod groups;
mod hooks;
mod locks;
mod memos;
mod metrics;
mod names;
mod pods;
mod reopening;
mod retries;
mod runs;

pub(crate) use calls::FAIL_FAST;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::apply::apply;
use crate::effect::{Effect, EffectKey, TimerId};
use crate::event::Event;
use crate::ids::{AttemptId, CommandId, NodeId};
use crate::phase::{NodePhase, RunPhase};
use crate::program::hooks::RunFacts;
use crate::record::{NodeKind, Record, Role};
use crate::state::RunState;
use crate::waiting::{Waiting, waiting_on};

/// Everything that follows from one event, in the order in which it is to be used: the records are stored, then
/// the effects are performed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Changes of the state, to be stored together.
    pub records: Vec<Record>,
    /// What applying the records adds to the outbox.
    pub effects: Vec<Arc<Effect>>,
    /// Why the nodes this event touched do not move further.
    pub waiting: Vec<Waiting>,
}

/// Why an event changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The run has begun already.
    #[error("the run has been submitted already")]
    AlreadySubmitted,
    /// The attempt has ended, or was never started: late and doubled messages end here.
    #[error("attempt {attempt} is not live: it has ended, or another one took its place")]
    StaleAttempt {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Nobody waits for the timer any more.
    #[error("timer {timer} is not set: it has fired, or nobody waits for it any more")]
    StaleTimer {
        /// The timer.
        timer: TimerId,
    },
    /// The timer's time has not come; it stays in the outbox.
    #[error("timer {timer} is due at {due}")]
    EarlyTimer {
        /// The timer.
        timer: TimerId,
        /// Its time.
        due: Timestamp,
    },
    /// The run's time is not over.
    #[error("the run has time until {until}")]
    TimeLeft {
        /// When it is.
        until: Timestamp,
    },
    /// The run has ended, or is being ended because its time is over.
    #[error("the run has ended, or is being ended")]
    Ended,
    /// The command has been read.
    #[error("command {command} has been read already")]
    CommandRead {
        /// The command.
        command: CommandId,
    },
    /// The effect has been answered.
    #[error("the effect has been answered already")]
    Answered {
        /// The effect.
        effect: EffectKey,
    },
    /// The run has not begun: only its submission can come first.
    #[error("the run has not been submitted")]
    NotSubmitted,
}

/// Decides what follows from one event. `now` may lie behind the last record's time: then that time is taken.
///
/// # Errors
/// [`Rejected`] when the event changes nothing, with the reason.
pub fn decide(state: &RunState, event: &Event, now: Timestamp) -> Result<Decision, Rejected> {
    advance(state.clone(), event, now).1
}

/// As [`decide`], for who has a state to give: gives back the state with the decision's records folded into it, or as
/// it was when the event was rejected.
pub fn advance(state: RunState, event: &Event, now: Timestamp) -> (RunState, Result<Decision, Rejected>) {
    let mut decider = Decider {
        now: now.max(state.last),
        state,
        records: Vec::new(),
        asked: Vec::new(),
        work: VecDeque::new(),
        facts: RunFacts::default(),
        starts: 0,
        made: 0,
    };
    if let Err(rejected) = decider.take(event) {
        debug_assert!(decider.records.is_empty(), "{event:?} changed the state and was rejected");
        return (decider.state, Err(rejected));
    }
    decider.run_down();
    decider.into_decision()
}

/// What is left to look at after a change. Worked off in order, so that deep trees need no deep stack.
enum Work {
    /// A child of this node is settled: the node may go on.
    ChildSettled { parent: Option<NodeId>, role: Role },
    /// A hook or exit handler of `owner` is done: the owner, which hangs under `above` so, may be settled.
    HookSettled { owner: NodeId, above: Option<NodeId>, role: Role },
    /// A node changed: its hooks may fire.
    Hooks(NodeId),
    /// A child of this boundary ended: what its parallelism held back may start.
    WakeBoundary(NodeId),
    /// A limit of the whole run has room: what it held back may start.
    WakeRun,
    /// A retry of the run has opened this node, or taken its exit handler away: it goes on.
    GoOn(NodeId),
}

struct Decider {
    state: RunState,
    now: Timestamp,
    records: Vec<Record>,
    /// What the records have put into the outbox, in their order, so that what was decided first is started first.
    asked: Vec<EffectKey>,
    work: VecDeque<Work>,
    /// What of the run as a whole has changed since its readers were looked at.
    facts: RunFacts,
    starts: u32,
    /// Nodes begun by this decision.
    made: u32,
}

impl Decider {
    fn take(&mut self, event: &Event) -> Result<(), Rejected> {
        if !self.state.submitted() && *event != Event::Submitted {
            return Err(Rejected::NotSubmitted);
        }
        match event {
            Event::Submitted if self.state.submitted() => return Err(Rejected::AlreadySubmitted),
            // `settle_run` begins it as soon as it can.
            Event::Submitted => {}
            Event::AttemptRunning { attempt, at, host } => {
                self.attempt_running(attempt, *at, host.as_deref())?
            }
            Event::AttemptReady { attempt, at, ip } => self.attempt_ready(attempt, *at, ip)?,
            Event::AttemptWaiting { attempt, why } => self.attempt_waiting(attempt, why)?,
            Event::AttemptProgress { attempt, progress } => self.attempt_progress(attempt, *progress)?,
            Event::AttemptFinished { verdict } => self.attempt_finished(verdict)?,
            Event::TimerFired { timer } => self.timer_fired(timer)?,
            Event::TimeOver => self.time_over()?,
            Event::Commanded { command } => self.commanded(command)?,
            Event::MemoRead { node, found } => self.memo_read(*node, found.as_deref())?,
            Event::ConfigRead { config, found } => self.config_read(config, found)?,
            Event::LocksTaken { holder, generation } => self.locks_taken(*holder, *generation)?,
            Event::LocksWaiting { holder, generation, wait } => {
                self.locks_waiting(*holder, *generation, wait)?;
            }
            Event::LocksRefused { holder, generation, why, hint } => {
                self.locks_refused(*holder, *generation, why, hint)?;
            }
            Event::RetryPlanned { command, plan } => self.retry_planned(command, plan)?,
            Event::Performed { effect, generation } => self.performed(effect, *generation)?,
        }
        Ok(())
    }

    fn performed(&mut self, effect: &EffectKey, generation: u32) -> Result<(), Rejected> {
        let asked = self.state.outbox.get(effect).map(|asked| &**asked);
        let is_answered = match (effect, asked) {
            (EffectKey::WriteMemo(_), Some(_)) => true,
            // Of the generation that took them, in which the run may not be any more.
            (EffectKey::ReleaseLocks(_), Some(Effect::ReleaseLocks(request))) => {
                generation == request.generation
            }
            (EffectKey::Volumes | EffectKey::Artifacts | EffectKey::End, Some(_)) => {
                generation == self.state.generation
            }
            // Attempts and timers are answered by what became of them, not by having been asked for.
            _ => false,
        };
        if !is_answered {
            return Err(Rejected::Answered { effect: effect.clone() });
        }
        self.emit(Record::Performed { effect: effect.clone() });
        Ok(())
    }

    fn emit(&mut self, record: Record) {
        self.note_facts(&record);
        let asked: Vec<_> = asks(&self.state, &record)
            .into_iter()
            .map(|key| (self.state.outbox.get(&key).cloned(), key))
            .collect();
        apply(&mut self.state, &record);
        let new = asked.into_iter().filter(|(old, key)| self.state.outbox.get(key) != old.as_ref());
        self.asked.extend(new.map(|(_, key)| key));
        self.records.push(record);
    }

    fn run_down(&mut self) {
        loop {
            while let Some(work) = self.work.pop_front() {
                match work {
                    Work::ChildSettled { parent: Some(parent), role } => self.child_settled(parent, &role),
                    // The root or the workflow's exit handler: `settle_run` looks at both.
                    Work::ChildSettled { parent: None, .. } => {}
                    Work::HookSettled { owner, above, role } => self.hook_settled(owner, above, role),
                    Work::Hooks(node) => self.look_at_hooks(node),
                    Work::WakeBoundary(node) => self.wake_boundary(node),
                    Work::WakeRun => self.wake_run(),
                    Work::GoOn(node) => self.go_on(node),
                }
            }
            // When nothing follows any more, so that a state that lasted no longer than this decision is not seen.
            self.look_at_readers_of_run();
            self.settle_run();
            if self.work.is_empty() && self.facts.is_empty() {
                break;
            }
        }
        self.arm_admission();
    }

    /// What follows once a node in this place is settled. To be asked before it is: a loop's item is gone then.
    fn settled(&self, parent: Option<NodeId>, role: &Role) -> Work {
        match (role, parent.and_then(|p| self.state.node(p))) {
            (Role::Exit | Role::Hook(_), Some(owner)) => {
                Work::HookSettled { owner: owner.id, above: owner.parent, role: owner.role.clone() }
            }
            _ => Work::ChildSettled { parent, role: role.clone() },
        }
    }

    fn child_settled(&mut self, parent: NodeId, role: &Role) {
        // Not held meanwhile: what is held is copied before it is changed.
        let Some(kind) = self.state.node(parent).map(|node| node.kind) else { return };
        match (kind, role) {
            (NodeKind::StepGroup, _) => self.check_group(parent),
            (NodeKind::Loop | NodeKind::TaskGroup, _) => self.check_loop(parent),
            (NodeKind::Dag, Role::Call(task)) => self.task_settled(parent, task),
            (NodeKind::Retry, Role::Attempt(_)) => self.attempt_settled(parent),
            _ => {}
        }
    }

    /// Starts whatever a node can start now.
    fn pump(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id) else { return };
        if node.idle {
            return self.begin_node(id);
        }
        if node.held_after_memo() {
            return self.begin_missed(id);
        }
        match node.kind {
            NodeKind::StepGroup => self.pump_group(id),
            NodeKind::Loop | NodeKind::TaskGroup => self.pump_loop(id),
            NodeKind::Dag => self.pump_dag(id),
            NodeKind::Retry => self.pump_retry(id),
            NodeKind::Pod
            | NodeKind::Http
            | NodeKind::Steps
            | NodeKind::Suspend
            | NodeKind::Skipped
            | NodeKind::Container => {}
        }
    }

    fn wake_run(&mut self) {
        let held: Vec<NodeId> = self.state.blocked.iter().copied().collect();
        for node in held {
            if self.run_is_full() {
                return;
            }
            self.pump(node);
        }
    }

    fn into_decision(self) -> (RunState, Result<Decision, Rejected>) {
        let mut seen = BTreeSet::new();
        let asked = self.asked.iter().filter(|key| seen.insert(*key));
        let effects = asked.filter_map(|key| self.state.outbox.get(key).cloned()).collect();
        let waiting = touched(&self.records).iter().filter_map(|id| waiting_on(&self.state, *id)).collect();
        (self.state, Ok(Decision { records: self.records, effects, waiting }))
    }
}

/// The effects that a record puts into the outbox.
fn asks(state: &RunState, record: &Record) -> Vec<EffectKey> {
    let only = |key| vec![key];
    match record {
        Record::AttemptStarted { attempt, .. } => only(EffectKey::Start(attempt.id.clone())),
        Record::StopAsked { attempt, .. } => only(EffectKey::Stop(attempt.clone())),
        Record::TimerSet { timer, .. } => only(EffectKey::Timer(timer.clone())),
        Record::MemoAsked { node, .. } => only(EffectKey::ReadMemo(*node)),
        Record::NodeFinished { node, .. } if state.node(*node).is_some_and(|n| n.memo.is_some()) => {
            only(EffectKey::WriteMemo(*node))
        }
        Record::LocksAsked { request } => only(EffectKey::TakeLocks(request.holder)),
        Record::LocksReleased { holder } => only(EffectKey::ReleaseLocks(*holder)),
        Record::ConfigAsked { config } => only(EffectKey::Config(config.clone())),
        Record::RunFinished { .. } => vec![EffectKey::Volumes, EffectKey::End, EffectKey::Artifacts],
        _ => Vec::new(),
    }
}

fn touched(records: &[Record]) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = records
        .iter()
        .filter_map(|record| match record {
            Record::NodeCreated(created) => Some(created.id),
            Record::AttemptStarted { attempt, .. } => Some(attempt.node),
            Record::Blocked { node, .. } | Record::NodeMessage { node, .. } => Some(*node),
            Record::TimerSet { timer, .. } => timer.node,
            Record::MemoAsked { node, .. } => Some(*node),
            Record::LocksWaiting { holder, .. } => *holder,
            _ => None,
        })
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
