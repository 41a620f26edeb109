//! Rings: "look at this run". Whoever rings names what happened; whoever hears it looks for itself.

use std::future::Future;

use dropforge_engine::effect::TimerId;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// Why a doorbell rings; a hint that saves a look at everything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// The run was born.
    Submitted,
    /// An attempt reported something: read its verdict.
    Attempt(AttemptId),
    /// A command lies in the inbox.
    Command(CommandId),
    /// A timer is due.
    Timer(TimerId),
    /// The sweep: look at everything.
    Sweep,
    /// Stored definitions have changed; the doorbell names no run.
    Definitions,
}

/// A doorbell to be rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The run to look at.
    pub run: RunUid,
    /// Why.
    pub why: Why,
    /// How often the doorbell that made its listener ring this one was itself rung so, without progress from outside.
    pub hops: u32,
    /// How long it waits before it rings, at most [`DELAY_MAX`].
    pub after: SignedDuration,
}

/// The longest delay of a message in SQS.
pub const DELAY_MAX: SignedDuration = SignedDuration::from_mins(15);

impl Ring {
    /// A ring at once, by somebody outside the run's own chain.
    pub fn new(run: RunUid, why: Why) -> Ring {
        Ring { run, why, hops: 0, after: SignedDuration::ZERO }
    }
}

/// Rings. A doorbell may be lost, doubled or late; the sweep repairs what a lost one left.
pub trait Doorbells: Send + Sync {
    /// Rings all of these.
    ///
    /// # Errors
    /// When it is unknown whether all of them ring; ringing again is harmless.
    fn ring(&self, rings: &[Ring]) -> impl Future<Output = Result<(), StoreError>> + Send;
}
