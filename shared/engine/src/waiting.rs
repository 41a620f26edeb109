//! Why a node does not move, as data a person can read.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// A node and what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The node; none: the run itself.
    pub node: Option<NodeId>,
    /// Its full name.
    pub name: String,
    /// What it waits for.
    pub on: On,
}

/// What a node waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum On {
    /// A slot of a parallelism limit.
    Slot {
        /// Whose limit: the workflow's, or the template's name.
        of: String,
        /// The limit.
        limit: i64,
    },
    /// The next decision: this one has started as many attempts as it may.
    Admission,
    /// `spec.suspend` to be cleared.
    Suspension,
    /// A person to resume it.
    Approval {
        /// Since when.
        since: Timestamp,
    },
    /// A moment.
    Time {
        /// When it goes on.
        until: Timestamp,
        /// What for: `backoff`, `suspend`.
        what: String,
    },
    /// Resources, images, nodes: in the cluster's words.
    Resources {
        /// The words.
        why: String,
    },
    /// Its attempt to end.
    Attempt {
        /// Since when.
        since: Timestamp,
    },
    /// Its own children to end.
    Children {
        /// How many are not done.
        open: u32,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.on {
            On::Slot { of, limit } => write!(f, "waits for a slot of parallelism {limit} of {of}"),
            On::Admission => {
                f.write_str("waits for the next decision: this one has started as many as it may")
            }
            On::Suspension => f.write_str("waits for the run to be resumed"),
            On::Approval { since } => write!(f, "waits for a person to resume it since {since}"),
            On::Time { until, what } => write!(f, "waits until {until} ({what})"),
            On::Resources { why } => write!(f, "waits for resources: {why}"),
            On::Attempt { since } => write!(f, "runs since {since}"),
            On::Children { open } => write!(f, "waits for {open} of its children"),
        }
    }
}
