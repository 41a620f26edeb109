//! The command's process: start, wait or end, and what it used.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::fd::AsFd;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Attempt, Outcome, Reason};
use jiff::{SignedDuration, Timestamp};

use super::control::Control;
use super::counted::LOOK;
use super::ending::End;
use super::preparation::Prepared;
use super::{Refused, refused, told};
use crate::isolation::isolation;
use crate::logs::{self, Pump, Streams};
use crate::process::{Command, Ended, Exit, Running, SpawnError, Waited, spawn};
use crate::usage::Usage;

/// A started command.
pub struct Execution {
    running: Running,
    pump: Option<Pump>,
}

/// What a command's end left.
pub struct Finished {
    pub end: End,
    /// The end of standard output, where it was captured.
    pub result: Option<Vec<u8>>,
    /// Why the log is not complete.
    pub log_failure: Option<String>,
    pub usage: Usage,
}

impl Execution {
    /// Starts the command.
    pub fn start(prepared: &Prepared, attempt: &Attempt) -> Result<Execution, Refused> {
        let streams = streams(prepared, attempt).map_err(|error| {
            let why = format!("the log {} can't be opened: {error}", prepared.log.display());
            refused(Outcome::Error, Reason::Environment, why)
        })?;
        let variable = |(name, value): (&String, &String)| (OsString::from(name), OsString::from(value));
        let command = Command {
            program: None,
            argv: prepared.command.iter().map(OsString::from).collect(),
            env: prepared.variables.iter().map(variable).collect(),
            working_dir: prepared.working_dir.clone(),
            stdout: streams.stdout,
            stderr: streams.stderr,
            layout: prepared.layout.clone(),
            memory_limit_bytes: prepared.memory_limit_bytes,
            name: attempt.id.to_string(),
        };
        match spawn(command, isolation()) {
            Ok(running) => Ok(Execution { running, pump: streams.pump }),
            Err(error) => Err(not_started(&error)),
        }
    }

    /// The process that leads the command, and when it was started, in the kernel's ticks.
    pub fn process(&self) -> (u32, u64) {
        (self.running.pid(), self.running.start_time())
    }

    /// Waits for the command's end; ends it when asked or when its time is over. Nothing of it is left then. `look` is
    /// called from time to time.
    pub fn finish(
        mut self,
        control: &Control,
        deadline: Option<(Timestamp, &'static str)>,
        grace: Duration,
        look: &mut dyn FnMut(),
    ) -> Finished {
        let (by_us, ended) = self.wait_or_end(control, deadline, grace, look);
        let (result, log_failure) = match self.pump.map(Pump::finish) {
            None => (None, None),
            Some(Ok(kept)) => (Some(kept), None),
            Some(Err(error)) => (None, Some(format!("write the log: {error}"))),
        };
        Finished { end: by_us.unwrap_or_else(|| by_itself(&ended)), result, log_failure, usage: ended.usage }
    }

    /// The end, with why when it was our doing.
    fn wait_or_end(
        &mut self,
        control: &Control,
        deadline: Option<(Timestamp, &'static str)>,
        grace: Duration,
        look: &mut dyn FnMut(),
    ) -> (Option<End>, Ended) {
        loop {
            let left =
                |at: Timestamp| at.duration_since(SystemClock.now()).max(SignedDuration::ZERO).unsigned_abs();
            let limit = deadline.map_or(LOOK, |(at, _)| left(at).min(LOOK));
            let why = match self.running.wait_until(Some(limit), Some(control.woken.as_fd())) {
                Waited::Ended(ended) => return (None, ended),
                Waited::Woken => control.asked().map(End::Asked),
                Waited::Late => {
                    look();
                    deadline
                        .filter(|(at, _)| *at <= SystemClock.now())
                        .map(|(_, message)| End::Deadline(message))
                }
            };
            if why.is_some() {
                return (why, self.running.stop(grace));
            }
        }
    }
}

fn by_itself(ended: &Ended) -> End {
    match ended.exit {
        _ if ended.out_of_memory => End::OutOfMemory,
        Exit::Code(code) => End::Exited(code),
        Exit::Signal(signal) => End::Signalled(signal),
    }
}

/// What the manifest got wrong is the user's failure, in the words of Argo's executor, which ends with 64 then;
/// the rest is the system's.
fn not_started(error: &SpawnError) -> Refused {
    let users = |why: String| {
        refused(Outcome::Failed, Reason::NotStarted, format!("main: Error (exit code 64): {why}"))
    };
    match error {
        SpawnError::NotFound { command, .. } => {
            let command = command.to_string_lossy();
            let why = if command.contains('/') {
                format!("stat {command}: no such file or directory")
            } else {
                "executable file not found in $PATH".to_owned()
            };
            users(format!("failed to find name in PATH: exec: \"{command}\": {why}"))
        }
        SpawnError::NotExecutable { .. } | SpawnError::BadWorkingDir { .. } | SpawnError::BadWord { .. } => {
            users(format!("failed to {}", told(error)))
        }
        SpawnError::Layout(_) | SpawnError::Isolate { .. } | SpawnError::Start(_) => {
            refused(Outcome::Error, Reason::Environment, format!("failed to {}", told(error)))
        }
    }
}

fn streams(prepared: &Prepared, attempt: &Attempt) -> io::Result<Streams> {
    let log: File = logs::open(&prepared.log)?;
    if attempt.work.capture_result { logs::captured(&log) } else { logs::straight(&log) }
}

/// Brings the log to a store that is elsewhere while the command runs, on a thread of `scope`. Dropping what
/// this gives says that the command has ended.
pub fn ship<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    prepared: &'scope Prepared,
    mut sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'scope,
) -> io::Result<Option<PipeWriter>> {
    if !prepared.log_is_shipped {
        return Ok(None);
    }
    let (ended, ending) = io::pipe()?;
    scope.spawn(move || {
        if let Err(error) = logs::ship(&prepared.log, &ended, &mut sink) {
            tracing::error!(log = %prepared.log.display(), %error, "the log could not be shipped");
        }
    });
    Ok(Some(ending))
}
