//! Facts that arrive, and commands of people.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attempt::{Progress, Verdict};
use crate::config::{ConfigFound, ConfigKey};
use crate::effect::{EffectKey, TimerId};
use crate::ids::{AttemptId, CommandId, NodeId};
use crate::lock::{Holder, LockWait};
use crate::memo::MemoEntry;
use crate::phase::NodePhase;
use crate::retry::RetryPlan;

/// A fact that arrived from the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The run was born; the first event of every run.
    Submitted,
    /// The attempt's command has been started.
    AttemptRunning {
        /// The attempt.
        attempt: AttemptId,
        /// When.
        at: Timestamp,
        /// On which machine, where known.
        host: Option<String>,
    },
    /// The attempt of a daemon is ready: what waits for it may go on.
    AttemptReady {
        /// The attempt.
        attempt: AttemptId,
        /// When.
        at: Timestamp,
        /// The address by which others reach it.
        ip: String,
    },
    /// The attempt can't start yet.
    AttemptWaiting {
        /// The attempt.
        attempt: AttemptId,
        /// Why, for people: `0 of 1 GPUs free`.
        why: String,
    },
    /// The attempt said how far it is.
    AttemptProgress {
        /// The attempt.
        attempt: AttemptId,
        /// How far.
        progress: Progress,
    },
    /// The attempt has ended.
    AttemptFinished {
        /// The first verdict stored for it.
        verdict: Arc<Verdict>,
    },
    /// A timer's time has come.
    TimerFired {
        /// Which.
        timer: TimerId,
    },
    /// The run may have had its time: nothing of a run is kept for ever.
    TimeOver,
    /// A person or tool asked something of the run.
    Commanded {
        /// What.
        command: Command,
    },
    /// A cache was looked at for a node that waits for it.
    MemoRead {
        /// The node.
        node: NodeId,
        /// What the cache holds, however old.
        found: Option<Box<MemoEntry>>,
    },
    /// A config map was looked at.
    ConfigRead {
        /// The value asked for.
        config: ConfigKey,
        /// What was found.
        found: ConfigFound,
    },
    /// All the locks of a block are held.
    LocksTaken {
        /// Whose.
        holder: Holder,
        /// Which of the run's generations asked: one that was given back since answers no later one.
        generation: u32,
    },
    /// One of a block's locks refused; none of them is held.
    LocksWaiting {
        /// Whose.
        holder: Holder,
        /// Which of the run's generations asked.
        generation: u32,
        /// Which, and who holds it.
        wait: Box<LockWait>,
    },
    /// A block's locks can't be had at all.
    LocksRefused {
        /// Whose.
        holder: Holder,
        /// Which of the run's generations asked.
        generation: u32,
        /// Why, in Argo's words.
        why: String,
        /// What is wrong and where, for people.
        hint: String,
    },
    /// An effect that brings back nothing but its completion has been performed.
    Performed {
        /// Which.
        effect: EffectKey,
        /// How often the run had been retried when it was asked for. Attempts and timers have names that no retry uses
        /// again.
        generation: u32,
    },
    /// A person asked for a retry of the whole run, which was planned from everything on record.
    RetryPlanned {
        /// The command.
        command: Command,
        /// What follows; or why it can't be done.
        plan: Result<Box<RetryPlan>, String>,
    },
}

/// What a person or tool asks of a run: an object in the run's inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Its id; the same id is applied once.
    pub id: CommandId,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub verb: Verb,
}

/// Argo's verbs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// End the steps, still run exit handlers.
    Stop {
        /// For people.
        message: Option<String>,
    },
    /// End the steps, run no exit handler.
    Terminate,
    /// Start nothing new.
    Suspend,
    /// Clear `spec.suspend` and complete active suspend nodes.
    Resume {
        /// Argo's node field selector, e.g. `displayName=approve`; none: every active suspend node.
        selector: Option<String>,
        /// Values for the suspend nodes' supplied outputs.
        #[serde(default)]
        outputs: BTreeMap<String, String>,
    },
    /// Run again what failed in a finished run. Whoever reads it plans it from the records.
    Retry(RetryOptions),
    /// Change waiting suspend nodes.
    Set {
        /// Argo's node field selector.
        selector: String,
        /// Their new phase, if they get one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<NodePhase>,
        /// Their new message, if they get one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Values for their supplied outputs.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
    },
}

/// How a finished run is retried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryOptions {
    /// Run again the nodes of `selector` too, whatever became of them.
    pub restart_successful: bool,
    /// Argo's node field selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// New values of the workflow's parameters, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
}
