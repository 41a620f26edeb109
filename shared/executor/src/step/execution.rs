//! The command, as a process or in a container: start, wait or end, and what it used.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Attempt, Outcome, Reason};
use dropforge_manifest::types::MAIN;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::control::{Ask, Control};
use super::counted::LOOK;
use super::ending::End;
use super::preparation::{Prepared, Process, Runs};
use super::{Refused, refused, told};
use crate::container::running::{self, StartError};
use crate::isolation::isolation;
use crate::logs::spare::{Late, PLACE_AFTER};
use crate::logs::{self, Pumps};
use crate::process::{self, Command, Ended, Exit, SpawnError, Waited, spawn};
use crate::usage::Usage;

/// How long a command runs before anybody is told: what is over sooner is one message, one event's commit and one line
/// on its way.
const SHORT: Duration = Duration::from_millis(10);

/// A started command.
pub struct Execution {
    running: Running,
    log: Log,
}

/// Where its output goes.
enum Log {
    /// To its place.
    Placed(File),
    /// To a file that gets its place when it is needed.
    Late(Late),
}

impl Log {
    fn open(prepared: &Prepared) -> io::Result<Log> {
        match &prepared.spare_log {
            Some(spare) => spare.open(&prepared.log).map(Log::Late),
            None => logs::open(&prepared.log).map(Log::Placed),
        }
    }

    fn file(&self) -> &File {
        match self {
            Log::Placed(file) => file,
            Log::Late(late) => late.file(),
        }
    }

    /// How long it can do without being looked after, when the command has run for this long. A place that was refused
    /// once is asked for again when the command is looked at.
    fn patience(&self, running: Duration) -> Duration {
        match self {
            Log::Late(late) if !late.is_placed() && running < PLACE_AFTER => PLACE_AFTER - running,
            Log::Late(_) | Log::Placed(_) => Duration::MAX,
        }
    }

    /// Looks after it when the command has run for this long.
    fn place_after(&mut self, running: Duration) {
        if let Log::Late(late) = self
            && running >= PLACE_AFTER
            && let Err(error) = late.place()
        {
            tracing::warn!(%error, "a log can't be followed: it could not be given its place");
        }
    }

    fn settle(self) -> io::Result<()> {
        match self {
            Log::Placed(_) => Ok(()),
            Log::Late(late) => late.settle(),
        }
    }
}

/// What runs it.
enum Running {
    /// This machine, with what copies its output.
    Process(Box<process::Running>, Pumps),
    /// A container engine; with whether the end of standard output is wanted.
    Container(Box<running::Running>, bool),
}

/// What a command's end left.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finished {
    pub end: End,
    /// The end of standard output, where it was captured.
    pub result: Option<Vec<u8>>,
    /// The exit code itself, whoever ended it.
    pub exit_code: i32,
    /// Why the log, or what it left, is not complete.
    pub failure: Option<String>,
    pub usage: Usage,
}

impl Execution {
    /// Starts the command.
    pub fn start(prepared: &Prepared, attempt: &Attempt) -> Result<Execution, Refused> {
        let log = Log::open(prepared).map_err(|error| no_log(prepared, &error))?;
        let captured = attempt.work.capture_result && prepared.name == MAIN;
        let running = match &prepared.runs {
            Runs::Process(process) => {
                let streams = match prepared.teed {
                    true => logs::teed(log.file(), captured),
                    false if captured => logs::captured(log.file()),
                    false => logs::straight(log.file()),
                };
                let streams = streams.map_err(|error| no_log(prepared, &error))?;
                let argv = process.command.iter().map(OsString::from).collect();
                let command = command(prepared, process, attempt, argv, (streams.stdout, streams.stderr));
                let spawned = spawn(command, isolation());
                spawned
                    .map(|running| Running::Process(Box::new(running), streams.pumps))
                    .map_err(|e| e.into())
            }
            Runs::Container(container) => container
                .start(log.file().try_clone().map_err(|error| no_log(prepared, &error))?)
                .map(|running| Running::Container(Box::new(running), captured))
                .map_err(|e| e.into()),
        };
        let running = running.map_err(|error: NotStarted| not_started(&prepared.name, error))?;
        Ok(Execution { running, log })
    }

    /// The process that leads the command, and when it was started, in the kernel's ticks.
    pub fn process(&self) -> Option<(u32, u64)> {
        match &self.running {
            Running::Process(process, _) => Some((process.pid(), process.start_time())),
            Running::Container(..) => None,
        }
    }

    /// Waits for the command's end; ends it when asked or when its time is over. Nothing of it is left then. `look` is
    /// called when it goes on for longer than [`SHORT`], and from time to time then.
    pub fn finish(
        mut self,
        prepared: &Prepared,
        control: &Control,
        deadline: Option<(Timestamp, &'static str)>,
        grace: Duration,
        look: &mut dyn FnMut(),
    ) -> Finished {
        let (by_us, ended) = self.wait_or_end(control, deadline, grace, look);
        let interrupted = by_us.as_ref().is_some_and(End::is_lost);
        let (result, mut failure) = self.running.left(prepared, !interrupted);
        if let Err(error) = self.log.settle() {
            failure.get_or_insert(format!("keep the log: {error}"));
        }
        let exit_code = ended.exit.code();
        let end = match by_us {
            Some(End::Asked(Ask::Over)) => End::Exited(exit_code),
            Some(end) => end,
            None => by_itself(&ended),
        };
        Finished { exit_code, end, result, failure, usage: ended.usage }
    }

    /// The end, with why when it was our doing.
    fn wait_or_end(
        &mut self,
        control: &Control,
        deadline: Option<(Timestamp, &'static str)>,
        grace: Duration,
        look: &mut dyn FnMut(),
    ) -> (Option<End>, Ended) {
        let begun = Instant::now();
        let mut next = SHORT;
        loop {
            let left =
                |at: Timestamp| at.duration_since(SystemClock.now()).max(SignedDuration::ZERO).unsigned_abs();
            let patience = self.log.patience(begun.elapsed());
            let limit = deadline.map_or(next, |(at, _)| left(at).min(next)).min(patience);
            let why = match self.running.wait_until(limit, control.woken.as_fd()) {
                Waited::Ended(ended) => return (None, ended),
                Waited::Woken => control.asked().map(End::Asked),
                Waited::Late => {
                    next = LOOK;
                    self.log.place_after(begun.elapsed());
                    look();
                    deadline
                        .filter(|(at, _)| *at <= SystemClock.now())
                        .map(|(_, message)| End::Deadline(message.into()))
                }
            };
            if why.is_some() {
                return (why, self.running.stop(grace));
            }
        }
    }
}

impl Running {
    fn wait_until(&mut self, limit: Duration, other: BorrowedFd<'_>) -> Waited {
        match self {
            Running::Process(process, _) => process.wait_until(Some(limit), Some(other)),
            Running::Container(container, _) => container.wait_until(Some(limit), Some(other)),
        }
    }

    fn stop(&mut self, grace: Duration) -> Ended {
        match self {
            Running::Process(process, _) => process.stop(grace),
            Running::Container(container, _) => container.stop(grace),
        }
    }

    /// After the end: the end of standard output where it is kept, and why something is not complete. A container's
    /// files are brought to this machine where they are `wanted`.
    fn left(self, prepared: &Prepared, wanted: bool) -> (Option<Vec<u8>>, Option<String>) {
        let incomplete = |error: io::Error| Some(format!("write the log: {error}"));
        match self {
            Running::Process(_, pumps) => match pumps.finish() {
                Ok(kept) => (kept, None),
                Err(error) => (None, incomplete(error)),
            },
            Running::Container(mut container, captured) => {
                let (kept, failure) = match container.output() {
                    Ok(kept) => (captured.then_some(kept), None),
                    Err(error) => (None, incomplete(error)),
                };
                let leaves = match &prepared.runs {
                    Runs::Container(contained) if wanted => contained.leaves.as_slice(),
                    _ => &[],
                };
                let fetched = container.fetch(leaves, &prepared.places);
                (kept, fetched.err().map(|error| told(&error)).or(failure))
            }
        }
    }
}

/// A command of a process's container, in its environment and among its files.
pub fn command(
    prepared: &Prepared,
    process: &Process,
    attempt: &Attempt,
    argv: Vec<OsString>,
    (stdout, stderr): (OwnedFd, OwnedFd),
) -> Command {
    let variable = |(name, value): (&String, &String)| (OsString::from(name), OsString::from(value));
    Command {
        program: None,
        argv,
        env: process.variables.iter().map(variable).collect(),
        working_dir: process.working_dir.clone(),
        stdout,
        stderr,
        layout: process.layout.clone(),
        entrance: process.entrance.clone(),
        memory_limit_bytes: process.memory_limit_bytes,
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

/// Why nothing was started, by a process or a container.
enum NotStarted {
    /// There is no such program.
    NotFound { command: String },
    /// What the manifest got wrong otherwise.
    Users(String),
    /// The system's own trouble.
    Systems(String),
}

impl From<SpawnError> for NotStarted {
    fn from(error: SpawnError) -> Self {
        match &error {
            SpawnError::NotFound { command, .. } => {
                NotStarted::NotFound { command: command.to_string_lossy().into_owned() }
            }
            SpawnError::NotExecutable { .. }
            | SpawnError::BadWorkingDir { .. }
            | SpawnError::BadWord { .. } => NotStarted::Users(told(&error)),
            SpawnError::Layout(_) | SpawnError::Isolate { .. } | SpawnError::Start(_) => {
                NotStarted::Systems(told(&error))
            }
        }
    }
}

impl From<StartError> for NotStarted {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NotFound { command } => NotStarted::NotFound { command },
            other => NotStarted::Systems(told(&other)),
        }
    }
}

/// What the manifest got wrong is the user's failure, in the words of Argo's executor, which ends with 64 then;
/// the rest is the system's.
fn not_started(name: &str, error: NotStarted) -> Refused {
    let users = |why: String| {
        refused(Outcome::Failed, Reason::NotStarted, format!("{name}: Error (exit code 64): {why}"))
    };
    match error {
        NotStarted::NotFound { command } => {
            let why = if command.contains('/') {
                format!("stat {command}: no such file or directory")
            } else {
                "executable file not found in $PATH".to_owned()
            };
            users(format!("failed to find name in PATH: exec: \"{command}\": {why}"))
        }
        NotStarted::Users(why) => users(format!("failed to {why}")),
        NotStarted::Systems(why) => refused(Outcome::Error, Reason::Environment, format!("failed to {why}")),
    }
}

fn no_log(prepared: &Prepared, error: &io::Error) -> Refused {
    let why = format!("the log {} can't be opened: {error}", prepared.log.display());
    refused(Outcome::Error, Reason::Environment, why)
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
        if let Err(error) = logs::ship(&prepared.log, 0, &ended, &mut sink) {
            tracing::error!(log = %prepared.log.display(), %error, "the log could not be shipped");
        }
    });
    Ok(Some(ending))
}
