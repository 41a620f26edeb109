//! A new process, the way into the step, exec; and what went wrong on it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, WaitOptions, chdir, setsid, umask, waitpid};

use super::system::{self, Descriptors, Image};
use crate::isolation::Namespace;
use crate::isolation::enter::{Attach, Failure, Plan, Stage, UserMaps, at, enter, give_up_mounting};
use crate::isolation::entrance::Entrance;

/// All that a child needs.
pub struct Start {
    /// Where it lives.
    pub root: Root,
    /// Its working directory, as it sees it.
    pub working_dir: CString,
    /// What it becomes; none: nothing, it ends.
    pub image: Option<Image>,
    /// The open `cgroup.procs` of its control group.
    pub group: Option<File>,
}

/// Where a command lives.
pub enum Root {
    /// On the host's root.
    Host,
    /// In a mount namespace of its own, made by the command's process on its way.
    New(Plan),
    /// In one that was made before.
    Made(Arc<Entrance>),
}

impl Root {
    fn describe(&self, stage: Stage, index: u16) -> String {
        match self {
            Root::New(plan) => plan.describe(stage, index),
            Root::Host | Root::Made(_) => stage.to_string(),
        }
    }
}

/// What went wrong.
#[derive(Debug)]
pub enum NotStarted {
    /// There was no child.
    Fork(io::Error),
    /// The child failed at this stage.
    Child {
        /// Where.
        stage: Stage,
        /// For people.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Starts it; the streams that are not given lead nowhere.
pub fn launch(start: &Start, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> Result<Pid, NotStarted> {
    let nowhere = nowhere().map_err(NotStarted::Fork)?;
    let stream = |given: &Option<OwnedFd>| given.as_ref().map_or(nowhere.as_raw_fd(), |fd| fd.as_raw_fd());
    let streams = [nowhere.as_raw_fd(), stream(&stdout), stream(&stderr)];
    // The child has this memory, and this thread waits for it: so it tells what went wrong.
    let mut failure = None;
    let mut way = || failure = Some(way_in(start, streams));
    let pid = system::spawn(&mut way, Descriptors::Own).map_err(NotStarted::Fork)?;
    let Some(Failure { stage, index, errno }) = failure else { return Ok(pid) };
    wait(pid);
    let what = start.root.describe(stage, index);
    Err(NotStarted::Child { stage, what, source: errno.into() })
}

/// What swallows everything, opened once.
fn nowhere() -> io::Result<&'static File> {
    static NOWHERE: OnceLock<File> = OnceLock::new();
    if let Some(open) = NOWHERE.get() {
        return Ok(open);
    }
    let open = File::options().read(true).write(true).open("/dev/null")?;
    Ok(NOWHERE.get_or_init(|| open))
}

/// Waits for a child that is about to end; says whether it has ended well.
fn wait(pid: Pid) -> bool {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            ended => {
                return ended
                    .is_ok_and(|ended| ended.is_some_and(|(_, status)| status.exit_status() == Some(0)));
            }
        }
    }
}

/// Returns only with a failure. Runs in the child, where nothing may allocate or lock.
fn way_in(start: &Start, streams: [RawFd; 3]) -> Failure {
    match prepare(start, streams) {
        Err(failure) => failure,
        Ok(()) => match &start.image {
            None => system::exit_now(),
            Some(image) => at(Stage::Exec)(image.exec()),
        },
    }
}

fn prepare(start: &Start, streams: [RawFd; 3]) -> Result<(), Failure> {
    system::take_streams(streams).map_err(at(Stage::Streams))?;
    // A session of its own: no terminal's Ctrl-C and no hang-up reaches it.
    setsid().map_err(at(Stage::Session))?;
    umask(Mode::WGRP | Mode::WOTH);
    system::reset_signals();
    system::close_others_at_exec();
    if let Some(procs) = &start.group {
        // Zero means the writer.
        rustix::io::write(procs, b"0").map_err(at(Stage::MemoryGroup))?;
    }
    match &start.root {
        Root::Host => {}
        Root::New(plan) => {
            enter(plan)?;
            give_up_mounting()?;
        }
        Root::Made(entrance) => entrance.enter()?,
    }
    chdir(&*start.working_dir).map_err(at(Stage::WorkingDir))
}

/// Makes the plan's mount namespace without starting anything in it; gives what holds it, with the user namespace
/// where one was made.
pub fn settle(plan: &Plan) -> Result<(Option<OwnedFd>, OwnedFd), NotStarted> {
    let mut made = None;
    let mut way = || made = Some(settled(plan));
    let pid = system::spawn(&mut way, Descriptors::Shared).map_err(NotStarted::Fork)?;
    wait(pid);
    match made {
        Some(Ok(namespaces)) => Ok(namespaces),
        Some(Err(Failure { stage, index, errno })) => {
            let what = plan.describe(stage, index);
            Err(NotStarted::Child { stage, what, source: errno.into() })
        }
        None => Err(NotStarted::Fork(io::Error::other(
            "the process that should make a mount namespace was killed",
        ))),
    }
}

/// In the child, whose descriptors are this process's: they stay when it ends.
fn settled(plan: &Plan) -> Result<(Option<OwnedFd>, OwnedFd), Failure> {
    enter(plan)?;
    let namespace = |path: &CStr| {
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(at(Stage::Entrance))
    };
    let user = plan.user.is_some().then(|| namespace(c"/proc/self/ns/user")).transpose()?;
    Ok((user, namespace(c"/proc/self/ns/mnt")?))
}

/// Tries the way into a mount namespace without making anything on disk; the error says why there is none.
pub fn rehearse(namespace: Namespace) -> Result<(), String> {
    let attach = |source: &CStr, target: &CStr| Attach {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: false,
    };
    let plan = Plan {
        // A folder that every Linux has, with one in it to mount on, and on which nothing is ever mounted.
        root: c"/sys/dev".to_owned(),
        host: vec![attach(c"/proc", c"/sys/dev/block")],
        inner: Vec::new(),
        as_they_are: Vec::new(),
        binds: Vec::new(),
        recursive_attributes: namespace.recursive_attributes,
        user: namespace.user_namespace.then(UserMaps::of_this_process),
    };
    let start = Start { root: Root::New(plan), working_dir: c"/".to_owned(), image: None, group: None };
    match launch(&start, None, None) {
        Ok(pid) if wait(pid) => Ok(()),
        Ok(_) => Err("the trial did not end well".to_owned()),
        Err(NotStarted::Fork(error)) => Err(error.to_string()),
        // The kernel's words for it are "no space left on device", which sends people to their disks.
        Err(NotStarted::Child { stage: Stage::Unshare, what, source })
            if source.kind() == io::ErrorKind::StorageFull =>
        {
            Err(format!("{what}: user.max_user_namespaces or user.max_mnt_namespaces allows no more"))
        }
        Err(NotStarted::Child { what, source, .. }) => Err(format!("{what}: {source}")),
    }
}
