//! One command, run as a container would run it, without a container engine: in its own session, on its own
//! root where that can be had, with nothing of this process but its environment and its output, watched for
//! memory, and ended with everything it started.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open};

use crate::isolation::enter::Stage;
use crate::isolation::entrance::Entrance;
use crate::isolation::layout::lay_out;
use crate::isolation::{Isolation, Layout, LayoutError};
use crate::memory::{Group, Kills};
use crate::usage::Meter;

pub(crate) mod family;
pub(crate) mod launch;
pub(crate) mod system;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod tests;

use family::{Family, STARTING, adopt_orphans, timespec};
use launch::{NotStarted, Root, Start, launch};
use system::{Image, Reaped};

pub use crate::usage::Usage;
pub use family::{MARKER, Survivor, end_survivors, survivors};

/// What is run.
#[derive(Debug)]
pub struct Command {
    /// The program as the step sees it; none: `argv[0]`, looked up in the environment's `PATH`.
    pub program: Option<PathBuf>,
    /// Its name and arguments.
    pub argv: Vec<OsString>,
    /// The whole environment; only [`MARKER`] is added, and, without a mount namespace, `HOME` and `TMPDIR`
    /// where they are not given.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory as the step sees it.
    pub working_dir: PathBuf,
    /// Takes standard output.
    pub stdout: OwnedFd,
    /// Takes standard error; it may be a copy of the same.
    pub stderr: OwnedFd,
    /// What it sees where.
    pub layout: Layout,
    /// A namespace that was made for this very layout and working directory.
    pub entrance: Option<Arc<Entrance>>,
    /// The most memory that it may use.
    pub memory_limit_bytes: Option<u64>,
    /// The attempt's id.
    pub name: String,
    /// The container's name, where the attempt has several.
    pub container: Option<String>,
}

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program, or its interpreter is missing.
    #[error("find {command:?}")]
    NotFound {
        /// The command's first word.
        command: OsString,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The file is there and can't be run.
    #[error("run {command:?}")]
    NotExecutable {
        /// The command's first word.
        command: OsString,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The working directory can't be entered.
    #[error("enter the working directory {}", folder.display())]
    BadWorkingDir {
        /// As the step sees it.
        folder: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A word or a variable holds a NUL, or there is no word.
    #[error("pass {word:?} to a program: it holds a NUL byte, or there is no command")]
    BadWord {
        /// Which.
        word: OsString,
    },
    /// The step's files can't be laid out.
    #[error("lay out the step's files")]
    Layout(#[from] LayoutError),
    /// The mount namespace was refused though it can be had.
    #[error("isolate the step: {what}")]
    Isolate {
        /// What was being done.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The system has no room for another process or descriptor.
    #[error("start a process")]
    Start(#[source] io::Error),
}

/// How a command's main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// As Kubernetes gives it: the code, or 128 and the signal.
    pub fn code(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }

    fn of(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// The end of a command and of everything it started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// How the main process ended.
    pub exit: Exit,
    /// Whether the memory limit was the cause.
    pub out_of_memory: bool,
    /// What all of it used.
    pub usage: Usage,
}

/// What a wait brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waited {
    /// The command ended by itself.
    Ended(Ended),
    /// The other descriptor became readable.
    Woken,
    /// The time was over.
    Late,
}

/// Starts a command. It must leave the person's files alone, so the isolation decides what its layout becomes:
/// mounts, or nothing, when the caller has rewritten the paths.
///
/// # Errors
/// When it did not start; nothing of it is left.
pub fn spawn(command: Command, isolation: &Isolation) -> Result<Running, SpawnError> {
    adopt_orphans();
    let root = match (&command.entrance, isolation) {
        (Some(made), _) => Root::Made(Arc::clone(made)),
        (None, Isolation::MountNamespace(namespace)) => {
            Root::New(lay_out(&command.layout, &command.working_dir, *namespace)?)
        }
        (None, Isolation::Rewrite { .. } | Isolation::Container) => Root::Host,
    };
    let image = image(&command, private_folders(&command.layout.scratch, isolation)?)?;
    let working_dir = c_string(command.working_dir.as_os_str())?;
    let mark = family::mark(&command.name, command.container.as_deref());
    let group = command
        .memory_limit_bytes
        .and_then(|limit| Group::make(&command.name, command.container.as_deref(), limit));
    let procs = group.as_ref().map(Group::procs).transpose().map_err(SpawnError::Start)?;
    let kills = (*isolation == Isolation::Container).then(Kills::watch);
    // A limit that no group guards is guarded by the samples.
    let meter = Meter::new(command.memory_limit_bytes, group.is_none());
    let start = Start { root, working_dir, image: Some(image), group: procs };
    let Command { argv, working_dir, stdout, stderr, .. } = command;
    // Until it is registered, the child must not be taken for a stray.
    let starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let before = system::boot_ticks();
    let pid =
        launch(&start, Some(stdout), Some(stderr)).map_err(|error| explain(error, argv, working_dir))?;
    let raw = pid.as_raw_nonzero().get();
    let namespace = match &start.root {
        Root::Host => None,
        Root::Made(entrance) => entrance.namespace().cloned(),
        Root::New(_) => table::mount_namespace(raw),
    };
    let family = Family::register(pid, mark, namespace);
    drop(starting);
    let start_time = table::start_time(raw, before);
    let mut running =
        Running { family, process: None, start_time, group, kills, meter, over_limit: false, ended: None };
    // When it fails, dropping `running` ends the command.
    running.process =
        Some(pidfd_open(pid, PidfdFlags::empty()).map_err(|error| SpawnError::Start(error.into()))?);
    Ok(running)
}

fn explain(error: NotStarted, argv: Vec<OsString>, folder: PathBuf) -> SpawnError {
    let command = argv.into_iter().next().unwrap_or_default();
    match error {
        NotStarted::Fork(source) => SpawnError::Start(source),
        NotStarted::Child { stage: Stage::WorkingDir, source, .. } => {
            SpawnError::BadWorkingDir { folder, source }
        }
        NotStarted::Child { stage: Stage::Exec, source, .. } => match Errno::from_io_error(&source) {
            Some(Errno::NOENT | Errno::NOTDIR) => SpawnError::NotFound { command, source },
            // A folder of PATH that may not be looked into; what else lies there is not there for the step.
            Some(Errno::ACCESS) if !command.as_encoded_bytes().contains(&b'/') => {
                SpawnError::NotFound { command, source }
            }
            Some(Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE) => SpawnError::Start(source),
            _ => SpawnError::NotExecutable { command, source },
        },
        NotStarted::Child { stage: Stage::Streams | Stage::Session | Stage::MemoryGroup, source, .. } => {
            SpawnError::Start(source)
        }
        NotStarted::Child { what, source, .. } => SpawnError::Isolate { what, source },
    }
}

/// On the host's root, the step must be kept from the person's home and from the common `/tmp`.
fn private_folders(
    scratch: &Path,
    isolation: &Isolation,
) -> Result<Vec<(&'static str, PathBuf)>, LayoutError> {
    if !matches!(isolation, Isolation::Rewrite { .. }) {
        return Ok(Vec::new());
    }
    [("HOME", "home"), ("TMPDIR", "tmp")]
        .into_iter()
        .map(|(variable, name)| {
            let path = scratch.join(name);
            let made = std::fs::create_dir_all(&path);
            made.map_err(|source| LayoutError::Io { action: "make", path: path.clone(), source })?;
            Ok((variable, path))
        })
        .collect()
}

fn c_string(word: &OsStr) -> Result<CString, SpawnError> {
    CString::new(word.as_bytes()).map_err(|_| SpawnError::BadWord { word: word.to_owned() })
}

fn image(command: &Command, missing: Vec<(&'static str, PathBuf)>) -> Result<Image, SpawnError> {
    let Some(name) = command.argv.first().filter(|name| !name.is_empty()) else {
        return Err(SpawnError::BadWord { word: OsString::new() });
    };
    let mut variables = command.env.clone();
    variables.retain(|(name, _)| name != MARKER && name != family::CONTAINER_MARKER);
    for (variable, path) in missing {
        if variables.iter().all(|(name, _)| name != variable) {
            variables.push((variable.into(), path.into()));
        }
    }
    let mut lines: Vec<CString> = variables
        .iter()
        .map(|(name, value)| c_string(&[name.as_os_str(), value.as_os_str()].join(OsStr::new("="))))
        .collect::<Result<_, _>>()?;
    lines.push(c_string(OsStr::from_bytes(&family::marker(OsStr::new(&command.name))))?);
    if command.container.is_some() {
        let mark = family::mark(&command.name, command.container.as_deref());
        lines.push(c_string(OsStr::from_bytes(&mark))?);
    }
    let path = variables.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
    let candidates = match &command.program {
        Some(program) => vec![c_string(program.as_os_str())?],
        None => candidates(name, path)?,
    };
    let arguments = command.argv.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?;
    Ok(Image::new(candidates, arguments, lines))
}

/// What container engines take for `PATH` when there is none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn candidates(name: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>, SpawnError> {
    if name.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(name)?]);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
    let folders = path.split(|byte| *byte == b':').filter(|folder| !folder.is_empty());
    folders.map(|folder| c_string(Path::new(OsStr::from_bytes(folder)).join(name).as_os_str())).collect()
}

/// A started command. Dropping it ends the command: nobody else would.
#[derive(Debug)]
pub struct Running {
    family: Family,
    /// Always there once [`spawn`] has returned.
    process: Option<OwnedFd>,
    start_time: u64,
    group: Option<Group>,
    kills: Option<Kills>,
    meter: Meter,
    over_limit: bool,
    ended: Option<Ended>,
}

impl Running {
    /// The main process.
    pub fn pid(&self) -> u32 {
        self.family.leader.as_raw_nonzero().get().cast_unsigned()
    }

    /// When the main process started, in clock ticks since boot: with the id, it names the process for ever.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Ended {
        loop {
            if let Waited::Ended(ended) = self.wait_until(None, None) {
                return ended;
            }
        }
    }

    /// Waits for the end, for at most `limit`, and no longer than until `other` is readable. The end is that of
    /// the main process; what it left running is killed.
    pub fn wait_until(&mut self, limit: Option<Duration>, other: Option<BorrowedFd<'_>>) -> Waited {
        if let Some(ended) = self.ended {
            return Waited::Ended(ended);
        }
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let (ended, woken) = self.poll(left.unwrap_or(Duration::MAX).min(self.meter.pause()), other);
            if ended {
                return Waited::Ended(self.finish());
            }
            if woken {
                return Waited::Woken;
            }
            self.sample();
            if until.is_some_and(|until| until <= Instant::now()) {
                return Waited::Late;
            }
        }
    }

    /// Whether the main process is dead, and whether the other descriptor is readable.
    fn poll(&self, limit: Duration, other: Option<BorrowedFd<'_>>) -> (bool, bool) {
        let Some(process) = &self.process else { return (true, false) };
        let mut polled = vec![PollFd::new(process, PollFlags::IN)];
        polled.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        if poll(&mut polled, Some(&timespec(limit))).is_err() {
            return (false, false);
        }
        let ready = |index: usize| polled.get(index).is_some_and(|polled| !polled.revents().is_empty());
        (ready(0), ready(1))
    }

    fn sample(&mut self) {
        if self.meter.sample(&self.family.members()) {
            self.over_limit = true;
            self.family.signal(Signal::KILL);
        }
    }

    /// Ends it: TERM to all of it, then, when the main process goes on for longer than `grace`, KILL.
    pub fn stop(&mut self, grace: Duration) -> Ended {
        if self.ended.is_none() {
            self.family.signal(Signal::TERM);
        }
        match self.wait_until(Some(grace), None) {
            Waited::Ended(ended) => ended,
            Waited::Woken | Waited::Late => self.kill(),
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Ended {
        if self.ended.is_none() {
            self.family.signal(Signal::KILL);
        }
        self.wait()
    }

    /// The main process is dead: ends and counts what is left.
    fn finish(&mut self) -> Ended {
        let reaped = self.family.end();
        let exit = reaped.first().map_or(Exit::Signal(libc::SIGKILL), |main: &Reaped| Exit::of(main.status));
        // By its own memory limit a container's kernel may end one process and leave this one.
        let by_the_container =
            exit == Exit::Signal(libc::SIGKILL) && self.kills.as_ref().is_some_and(Kills::is_more);
        let killed =
            self.over_limit || self.group.as_ref().is_some_and(Group::has_killed) || by_the_container;
        let mut usage = self.meter.total(&reaped);
        let out_of_memory = killed && exit != Exit::Code(0);
        if out_of_memory && let Some(limit) = self.meter.limit() {
            usage.memory_bytes_max = usage.memory_bytes_max.max(limit);
        }
        self.group = None;
        let ended = Ended { exit, out_of_memory, usage };
        self.ended = Some(ended);
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.family.signal(Signal::KILL);
            if let Some(process) = &self.process {
                family::await_end(process, Instant::now() + family::PATIENCE);
            }
            self.family.end();
        }
    }
}
