//! Reminders: "something of this trigger or schedule is due". They are to triggers and schedules what timers are to
//! runs: hints that may come late, early or twice.

use std::fmt;
use std::future::Future;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// What may start runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Starter {
    /// A Trigger.
    Trigger {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A CronWorkflow.
    CronWorkflow {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Starter {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        match self {
            Starter::Trigger { namespace, .. } | Starter::CronWorkflow { namespace, .. } => namespace,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Starter::Trigger { name, .. } | Starter::CronWorkflow { name, .. } => name,
        }
    }
}

impl fmt::Display for Starter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Starter::Trigger { .. } => "trigger",
            Starter::CronWorkflow { .. } => "cronworkflow",
        };
        write!(f, "{kind} {}/{}", self.namespace(), self.name())
    }
}

/// Keeps reminders.
pub trait Reminders: Send + Sync {
    /// Sees to it that somebody looks at `of` at `due`, or at once when that has passed. Asking twice is harmless.
    ///
    /// # Errors
    /// When it is unknown whether it will be.
    fn remind(&self, of: &Starter, due: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;
}
