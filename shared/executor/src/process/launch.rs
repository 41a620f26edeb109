//! Fork, the way into the step, exec; and what went wrong on it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::{chdir, setsid, umask};

use super::system::{self, Image};
use crate::isolation::Namespace;
use crate::isolation::enter::{Attach, Failure, Plan, Stage, UserMaps, at, enter};

/// All that a child needs.
pub struct Start {
    /// Where it lives; none: on the host's root.
    pub plan: Option<Plan>,
    /// Its working directory, as it sees it.
    pub working_dir: CString,
    /// What it becomes; none: nothing, it ends.
    pub image: Option<Image>,
    /// The open `cgroup.procs` of its control group.
    pub group: Option<File>,
}

/// What went wrong.
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

/// Starts it.
pub fn launch(start: Start, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> Result<Child, NotStarted> {
    let (read, write) = io::pipe().map_err(NotStarted::Fork)?;
    let start = Arc::new(start);
    let in_child = Arc::clone(&start);
    // The program's name is never used: the image is what is started, by the last line of the way in.
    let mut command = Command::new("/");
    command.stdin(Stdio::null());
    command.stdout(stdout.map_or_else(Stdio::null, Stdio::from));
    command.stderr(stderr.map_or_else(Stdio::null, Stdio::from));
    let spawned = system::spawn(&mut command, move || {
        let failure = way_in(&in_child);
        let [high, low] = failure.index.to_be_bytes();
        // The parent can do without; the error itself takes another way.
        let _ = rustix::io::write(&write, &[failure.stage as u8, high, low]);
        Err(failure.errno.into())
    });
    // Only then are all ends of the pipe for writing closed in this process.
    drop(command);
    spawned.map_err(|source| explain(read, start.plan.as_ref(), source))
}

/// Returns only with a failure. Runs in the child, where nothing may allocate or lock.
fn way_in(start: &Start) -> Failure {
    match prepare(start) {
        Err(failure) => failure,
        Ok(()) => match &start.image {
            None => system::exit_now(),
            Some(image) => at(Stage::Exec)(image.exec()),
        },
    }
}

fn prepare(start: &Start) -> Result<(), Failure> {
    // A session of its own: no terminal's Ctrl-C and no hang-up reaches it.
    setsid().map_err(at(Stage::Session))?;
    umask(Mode::WGRP | Mode::WOTH);
    system::reset_signals();
    system::close_others_at_exec();
    if let Some(procs) = &start.group {
        // Zero means the writer.
        rustix::io::write(procs, b"0").map_err(at(Stage::MemoryGroup))?;
    }
    if let Some(plan) = &start.plan {
        enter(plan)?;
    }
    chdir(&*start.working_dir).map_err(at(Stage::WorkingDir))
}

fn explain(mut read: PipeReader, plan: Option<&Plan>, source: io::Error) -> NotStarted {
    let mut said = [0; 3];
    if read.read_exact(&mut said).is_err() {
        return NotStarted::Fork(source);
    }
    let Some(stage) = Stage::ALL.get(usize::from(said[0])).copied() else { return NotStarted::Fork(source) };
    let index = u16::from_be_bytes([said[1], said[2]]);
    let what = plan.map(|plan| plan.describe(stage, index)).unwrap_or_default();
    NotStarted::Child { stage, what, source }
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
    let start = Start { plan: Some(plan), working_dir: c"/".to_owned(), image: None, group: None };
    match launch(start, None, None) {
        Ok(mut child) => match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the trial ended with {status}")),
            Err(error) => Err(error.to_string()),
        },
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
