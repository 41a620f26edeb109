//! How one container ended.

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{ContainerEnd, Outcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::Refused;
use super::super::ending::End;
use super::super::execution::Finished;
use super::super::preparation::Prepared;

/// A container's end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ended {
    pub name: String,
    /// Whether its attempt has no other container.
    pub alone: bool,
    /// When its command was started.
    pub started: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub how: How,
}

/// How it came to it.
#[derive(Debug, Serialize, Deserialize)]
pub enum How {
    /// Its command was started.
    Ran(Finished),
    /// Its command could not be started.
    NotStarted(Refused),
    /// One that it depends on has failed.
    Forsaken {
        /// Which.
        dependency: String,
        /// With this exit code.
        code: i32,
    },
    /// All was over before its turn came.
    Unneeded,
}

/// The exit code of Argo's executor for what is no command's own end.
const EXECUTOR: i32 = 64;

impl Ended {
    /// A container that has just ended.
    pub fn now(container: &Prepared, how: How) -> Ended {
        let (name, alone) = (container.name.clone(), container.alone);
        Ended { name, alone, started: None, finished_at: SystemClock.now(), how }
    }

    /// What its command left, if it was started.
    pub fn finished(&self) -> Option<&Finished> {
        match &self.how {
            How::Ran(finished) => Some(finished),
            _ => None,
        }
    }

    /// Whether its command was taken away, so that nothing it left counts.
    pub fn is_lost(&self) -> bool {
        self.finished().is_some_and(|finished| finished.end.is_lost())
    }

    /// Its exit code, as Argo shows it.
    pub fn code(&self) -> i32 {
        match &self.how {
            How::Ran(finished) => finished.exit_code,
            How::NotStarted(_) | How::Forsaken { .. } => EXECUTOR,
            How::Unneeded => 128 + libc::SIGTERM,
        }
    }

    /// The exit code that those see which depend on it: one that did not run hands on why.
    pub fn code_for_others(&self) -> i32 {
        match &self.how {
            How::Forsaken { code, .. } => *code,
            _ => self.code(),
        }
    }

    /// Whether its command failed, and nobody here was the cause.
    pub fn failed_by_itself(&self) -> bool {
        let ended = self.finished().map(|finished| &finished.end);
        matches!(ended, Some(End::Exited(code)) if *code != 0)
            || matches!(ended, Some(End::Signalled(_) | End::OutOfMemory))
    }

    /// In Argo's words; empty when it ended well.
    pub fn message(&self) -> String {
        let (reason, detail) = match &self.how {
            How::NotStarted(why) => return why.message.clone(),
            How::Ran(Finished { end: End::OutOfMemory, .. }) => ("OOMKilled", String::new()),
            How::Forsaken { dependency, code } => {
                ("Error", format!("dependency {dependency:?} exited with non-zero code: {code}"))
            }
            _ => ("Error", String::new()),
        };
        match self.code() {
            0 => String::new(),
            code => format!("{}: {reason} (exit code {code}): {detail}", self.name),
        }
    }

    /// For the verdict.
    pub fn told(&self) -> ContainerEnd {
        let outcome = match self.code() {
            0 => Outcome::Succeeded,
            EXECUTOR => Outcome::Error,
            _ => Outcome::Failed,
        };
        ContainerEnd {
            name: self.name.clone(),
            outcome,
            message: self.message(),
            exit_code: Some(self.code()),
            started_at: self.started,
            finished_at: self.finished_at,
        }
    }
}
