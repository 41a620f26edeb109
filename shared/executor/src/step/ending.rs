//! What a command's end means.

use std::borrow::Cow;

use dropforge_engine::attempt::{Outcome, Reason};
use serde::{Deserialize, Serialize};

use super::control::Ask;

/// What is said of a step whose pod is taken away.
pub const EVICTED: &str =
    "the cluster took the pod away: its node is drained or reclaimed, or the pod was preempted or deleted";

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that nobody here sent.
    Signalled(i32),
    /// For going over its memory limit.
    OutOfMemory,
    /// Ended by us, as asked.
    Asked(Ask),
    /// Ended by us, since its time was over; with what is said then.
    Deadline(Cow<'static, str>),
}

impl End {
    /// Whether nothing that the command left counts: it is tried again.
    pub fn is_lost(&self) -> bool {
        matches!(self, End::Asked(Ask::Interrupt | Ask::Evict))
    }
}

/// What goes into the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub outcome: Outcome,
    pub reason: Reason,
    pub message: String,
    pub exit_code: i32,
}

/// Judges a container's end, given what went wrong with the outputs. A command's own failure is the one that is told.
pub fn judge(container: &str, end: &End, outputs: Option<String>) -> Judgement {
    let judgement =
        |outcome, reason, message: String, exit_code| Judgement { outcome, reason, message, exit_code };
    let main = |exit_code| format!("{container}: Error (exit code {exit_code})");
    match (end, outputs) {
        (End::Exited(0), None) => judgement(Outcome::Succeeded, Reason::Exited, String::new(), 0),
        (End::Exited(0), Some(why)) => {
            judgement(Outcome::Error, Reason::Outputs, format!("wait: Error (exit code 64): {why}"), 0)
        }
        (End::Exited(code), _) => judgement(Outcome::Failed, Reason::Exited, main(*code), *code),
        // A machine that shuts down, or a person who ends its processes, sends SIGTERM; a program has no reason
        // to send it to itself.
        (End::Signalled(libc::SIGTERM), _) => {
            let code = 128 + libc::SIGTERM;
            judgement(Outcome::Lost, Reason::Signalled, main(code), code)
        }
        (End::Signalled(signal), _) => {
            judgement(Outcome::Failed, Reason::Signalled, main(128 + signal), 128 + signal)
        }
        (End::OutOfMemory, _) => {
            let code = 128 + libc::SIGKILL;
            let message = format!("{container}: OOMKilled (exit code {code})");
            judgement(Outcome::Failed, Reason::OutOfMemory, message, code)
        }
        // Told apart by its exit code before it is judged.
        (End::Asked(Ask::Over), _) => {
            let code = 128 + libc::SIGTERM;
            judgement(Outcome::Failed, Reason::Stopped, main(code), code)
        }
        (End::Asked(Ask::Stop(why)), _) => {
            judgement(Outcome::Failed, Reason::Stopped, why.clone(), 128 + libc::SIGTERM)
        }
        (End::Asked(Ask::Interrupt), _) => {
            judgement(Outcome::Lost, Reason::Interrupted, "interrupted".to_owned(), 128 + libc::SIGTERM)
        }
        (End::Asked(Ask::Evict), _) => {
            let code = 128 + libc::SIGTERM;
            judgement(Outcome::Lost, Reason::Vanished, EVICTED.to_owned(), code)
        }
        (End::Deadline(message), _) => {
            let message = message.clone().into_owned();
            judgement(Outcome::Failed, Reason::DeadlineExceeded, message, 128 + libc::SIGTERM)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(end: End, outputs: Option<&str>) -> (Outcome, Reason, String, i32) {
        let Judgement { outcome, reason, message, exit_code } =
            judge("main", &end, outputs.map(str::to_owned));
        (outcome, reason, message, exit_code)
    }

    #[test]
    fn ends_are_told_in_argos_words() {
        use Outcome::{Error, Failed, Lost, Succeeded};
        let table = [
            (End::Exited(0), None, (Succeeded, Reason::Exited, "", 0)),
            (
                End::Exited(0),
                Some("open x"),
                (Error, Reason::Outputs, "wait: Error (exit code 64): open x", 0),
            ),
            (End::Exited(1), None, (Failed, Reason::Exited, "main: Error (exit code 1)", 1)),
            (End::Exited(1), Some("open x"), (Failed, Reason::Exited, "main: Error (exit code 1)", 1)),
            (End::Signalled(11), None, (Failed, Reason::Signalled, "main: Error (exit code 139)", 139)),
            (End::Signalled(15), None, (Lost, Reason::Signalled, "main: Error (exit code 143)", 143)),
            (End::OutOfMemory, None, (Failed, Reason::OutOfMemory, "main: OOMKilled (exit code 137)", 137)),
            (End::Deadline("late".into()), Some("open x"), (Failed, Reason::DeadlineExceeded, "late", 143)),
            (End::Asked(Ask::Stop("enough".into())), None, (Failed, Reason::Stopped, "enough", 143)),
            (End::Asked(Ask::Interrupt), None, (Lost, Reason::Interrupted, "interrupted", 143)),
            (End::Asked(Ask::Evict), None, (Lost, Reason::Vanished, EVICTED, 143)),
        ];
        for (end, outputs, (outcome, reason, message, code)) in table {
            assert_eq!(told(end, outputs), (outcome, reason, message.to_owned(), code));
        }
    }
}
