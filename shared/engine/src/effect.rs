//! What the world is asked to do. Every effect has an identity that makes doing it twice harmless.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::config::ConfigKey;
use crate::ids::{AttemptId, NodeId};
use crate::lock::{Holder, LockRequest};
use crate::memo::{MemoEntry, MemoKey};
use crate::phase::RunPhase;

/// A request to the world; it stays in the outbox until an event answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Create the pod, or the process; answered by `AttemptFinished`.
    StartAttempt(Arc<Attempt>),
    /// End it (TERM, a grace time, KILL), or see to it that it never starts; answered by `AttemptFinished`.
    StopAttempt {
        /// Which.
        attempt: AttemptId,
        /// The verdict's message if the attempt has not ended by itself.
        why: String,
    },
    /// Ring at `due`; answered by `TimerFired`.
    SetTimer {
        /// Which.
        timer: TimerId,
        /// When.
        due: Timestamp,
    },
    /// Remove the run's volume claims; answered by `Performed`.
    DeleteVolumes,
    /// Remove the artifacts that the manifest has removed at the run's end; answered by `Performed`.
    DeleteArtifacts,
    /// Tell the schedule or trigger that made the run that it has ended; answered by `Performed`.
    AnnounceEnd {
        /// How.
        phase: RunPhase,
    },
    /// Look into a cache; answered by `MemoRead`.
    ReadMemo {
        /// The node that waits for it.
        node: NodeId,
        /// Which entry.
        entry: MemoKey,
    },
    /// Keep what a memoized node gave; answered by `Performed`.
    WriteMemo {
        /// The node.
        node: NodeId,
        /// Under which entry.
        entry: MemoKey,
        /// What it gave.
        gave: Box<MemoEntry>,
    },
    /// Read a value of a config map; answered by `ConfigRead`.
    ReadConfig(ConfigKey),
    /// Take these locks, all or none; answered by `LocksTaken`, `LocksRefused`, and as long as one of them refuses by
    /// `LocksWaiting`.
    TakeLocks(Arc<LockRequest>),
    /// Give these locks back, and leave their queues; answered by `Performed`.
    ReleaseLocks(Arc<LockRequest>),
}

impl Effect {
    /// The effect's identity within its run.
    pub fn key(&self) -> EffectKey {
        match self {
            Effect::StartAttempt(attempt) => EffectKey::Start(attempt.id.clone()),
            Effect::StopAttempt { attempt, .. } => EffectKey::Stop(attempt.clone()),
            Effect::SetTimer { timer, .. } => EffectKey::Timer(timer.clone()),
            Effect::DeleteVolumes => EffectKey::Volumes,
            Effect::DeleteArtifacts => EffectKey::Artifacts,
            Effect::AnnounceEnd { .. } => EffectKey::End,
            Effect::ReadMemo { node, .. } => EffectKey::ReadMemo(*node),
            Effect::WriteMemo { node, .. } => EffectKey::WriteMemo(*node),
            Effect::ReadConfig(config) => EffectKey::Config(config.clone()),
            Effect::TakeLocks(request) => EffectKey::TakeLocks(request.holder),
            Effect::ReleaseLocks(request) => EffectKey::ReleaseLocks(request.holder),
        }
    }
}

/// Identity of an effect within its run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EffectKey {
    /// The start of an attempt.
    Start(AttemptId),
    /// The end of an attempt.
    Stop(AttemptId),
    /// A timer.
    Timer(TimerId),
    /// Removal of the run's volumes.
    Volumes,
    /// The announcement of the run's end.
    End,
    /// A look into a cache for a node.
    ReadMemo(NodeId),
    /// What a node gave, for a cache.
    WriteMemo(NodeId),
    /// Removal of the run's artifacts.
    Artifacts,
    /// The reading of a config map's value.
    Config(ConfigKey),
    /// The taking of a holder's locks.
    TakeLocks(Holder),
    /// Their release.
    ReleaseLocks(Holder),
}

/// Identity of a timer. A timer that is set again gets the next generation, so that a stale firing is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId {
    /// What for.
    pub kind: TimerKind,
    /// The node it belongs to; none for the run's own.
    pub node: Option<NodeId>,
    /// Counts the times it was set.
    pub generation: u32,
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{:?}-{node}-{}", self.kind, self.generation),
            None => write!(f, "{:?}-{}", self.kind, self.generation),
        }
    }
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimerKind {
    /// `spec.activeDeadlineSeconds`.
    WorkflowDeadline,
    /// A template's `timeout`, counted from the node's start.
    Timeout,
    /// A template's `pendingTimeout`, counted from the node's start.
    PendingTimeout,
    /// The wait before the next attempt.
    Backoff,
    /// A suspend node's duration.
    Suspend,
    /// More may be started than one decision is allowed to.
    Admission,
}
