//! The command's process: start, wait or end, and what it used.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Attempt, Outcome, Reason};
use dropforge_manifest::types::MAIN;
use jiff::{SignedDuration, Timestamp};

use super::control::{Ask, Control};
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
    /// The exit code itself, whoever ended it.
    pub exit_code: i32,
    /// Why the log is not complete.
    pub log_failure: Option<String>,
    pub usage: Usage,
}

impl Execution {
    /// Starts the command.
    pub fn start(prepared: &Prepared, attempt: &Attempt) -> Result<Execution, Refused> {
        let captured = attempt.work.capture_result && prepared.name == MAIN;
        let streams = streams(prepared, captured).map_err(|error| {
            let why = format!("the log {} can't be opened: {error}", prepared.log.display());
            refused(Outcome::Error, Reason::Environment, why)
        })?;
        let argv = prepared.command.iter().map(OsString::from).collect();
        match spawn(command(prepared, attempt, argv, streams.stdout, streams.stderr), isolation()) {
            Ok(running) => Ok(Execution { running, pump: streams.pump }),
            Err(error) => Err(not_started(&prepared.name, &error)),
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
        let exit_code = ended.exit.code();
        let end = match by_us {
            Some(End::Asked(Ask::Over)) => End::Exited(exit_code),
            Some(end) => end,
            None => by_itself(&ended),
        };
        Finished { exit_code, end, result, log_failure, usage: ended.usage }
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

/// A command of the container, in its environment and among its files.
pub fn command(
    prepared: &Prepared,
    attempt: &Attempt,
    argv: Vec<OsString>,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> Command {
    let variable = |(name, value): (&String, &String)| (OsString::from(name), OsString::from(value));
    Command {
        program: None,
        argv,
        env: prepared.variables.iter().map(variable).collect(),
        working_dir: prepared.working_dir.clone(),
        stdout,
        stderr,
        layout: prepared.layout.clone(),
        memory_limit_bytes: prepared.memory_limit_bytes,
        name: attempt.id.to_string(),
        container: (!prepared.alone).then(|| prepared.name.clone()),
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
fn not_started(name: &str, error: &SpawnError) -> Refused {
    let users = |why: String| {
        refused(Outcome::Failed, Reason::NotStarted, format!("{name}: Error (exit code 64): {why}"))
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

fn streams(prepared: &Prepared, captured: bool) -> io::Result<Streams> {
    let log: File = logs::open(&prepared.log)?;
    if captured { logs::captured(&log) } else { logs::straight(&log) }
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
