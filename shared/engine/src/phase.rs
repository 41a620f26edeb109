//! Argo's phases.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The phase of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's own words")]
pub enum NodePhase {
    Pending,
    Running,
    Succeeded,
    Skipped,
    Failed,
    Error,
    Omitted,
}

impl NodePhase {
    /// Succeeded, Failed or Error.
    pub fn completed(self) -> bool {
        matches!(self, NodePhase::Succeeded | NodePhase::Failed | NodePhase::Error)
    }

    /// Whether the node will not change any more.
    pub fn fulfilled(self) -> bool {
        !matches!(self, NodePhase::Pending | NodePhase::Running)
    }

    /// Failed or Error.
    pub fn failed(self) -> bool {
        matches!(self, NodePhase::Failed | NodePhase::Error)
    }
}

impl fmt::Display for NodePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's own words")]
pub enum RunPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Error,
}

impl RunPhase {
    /// Succeeded, Failed or Error.
    pub fn completed(self) -> bool {
        !matches!(self, RunPhase::Pending | RunPhase::Running)
    }
}

impl fmt::Display for RunPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// Argo's node types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's own words")]
pub enum NodeType {
    Pod,
    Steps,
    StepGroup,
    DAG,
    TaskGroup,
    Retry,
    Skipped,
    Suspend,
    HTTP,
    Container,
}
