//! The way into a mount namespace, walked by the child before exec.
//!
//! Nothing here allocates, locks or panics: the child shares the memory of a process with many threads, which go on. Everything it needs lies ready in a [`Plan`].

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::io::{self, Errno, write};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};
use rustix::thread::{CapabilitySet, UnshareFlags, remove_capability_from_bounding_set};

use crate::process::system;

/// All that the child does, in the order in which it is done.
#[derive(Debug)]
pub struct Plan {
    /// The folder that becomes `/`.
    pub root: CString,
    /// Of the host, read-only.
    pub host: Vec<Attach>,
    /// Mounts below those, where each has to be made read-only by itself.
    pub inner: Vec<CString>,
    /// The kernel's own file systems and private folders, as they are.
    pub as_they_are: Vec<Attach>,
    /// The step's.
    pub binds: Vec<Attach>,
    /// Whether one call makes a whole tree read-only.
    pub recursive_attributes: bool,
    /// Maps of the user namespace, if one is made.
    pub user: Option<UserMaps>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    pub source: CString,
    pub target: CString,
    pub read_only: bool,
}

/// The user and group of the step, which are those of this process.
#[derive(Debug)]
pub struct UserMaps {
    uid: String,
    gid: String,
}

impl UserMaps {
    pub fn of_this_process() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        UserMaps { uid: format!("{uid} {uid} 1"), gid: format!("{gid} {gid} 1") }
    }
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Streams,
    Session,
    MemoryGroup,
    Unshare,
    UserMaps,
    Private,
    Root,
    Host,
    ReadOnly,
    AsTheyAre,
    Bind,
    Pivot,
    Entrance,
    Capabilities,
    WorkingDir,
    Exec,
}

/// Why the child did not get there: the stage, which of its parts, and the kernel's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub stage: Stage,
    pub index: u16,
    pub errno: Errno,
}

pub fn at(stage: Stage) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { stage, index: 0, errno }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Streams => "take its output",
            Stage::Session => "make a session",
            Stage::MemoryGroup => "join the memory control group",
            Stage::Unshare => "make a mount namespace",
            Stage::UserMaps => "map the user into its namespace",
            Stage::Private => "make the mounts private",
            Stage::Root => "mount the step's root",
            Stage::Host | Stage::AsTheyAre | Stage::Bind => "mount",
            Stage::ReadOnly => "make the host's folders read-only",
            Stage::Pivot => "change to the step's root",
            Stage::Entrance => "enter the mount namespace",
            Stage::Capabilities => "give up the right to mount",
            Stage::WorkingDir => "enter the working directory",
            Stage::Exec => "start the command",
        })
    }
}

impl Plan {
    /// Where something is mounted, as the host names it.
    pub fn targets(&self) -> Vec<PathBuf> {
        let mounts = self.host.iter().chain(&self.as_they_are).chain(&self.binds);
        mounts.map(|mount| Path::new(OsStr::from_bytes(mount.target.to_bytes())).to_path_buf()).collect()
    }

    /// What a failure was about, for people.
    pub fn describe(&self, stage: Stage, index: u16) -> String {
        let mounts = match stage {
            Stage::Unshare if self.user.is_some() => return "make a user and mount namespace".to_owned(),
            Stage::Root => return format!("{stage} {}", self.root.to_string_lossy()),
            Stage::Host => &self.host,
            Stage::AsTheyAre => &self.as_they_are,
            Stage::Bind => &self.binds,
            _ => return stage.to_string(),
        };
        let attach = mounts.get(usize::from(index));
        let (source, target) = attach.map_or((c"?", c"?"), |a| (a.source.as_c_str(), a.target.as_c_str()));
        format!("{stage} {} on {}", source.to_string_lossy(), target.to_string_lossy())
    }
}

/// Moves this single-threaded process onto the plan's root.
pub fn enter(plan: &Plan) -> Result<(), Failure> {
    unshare(plan)?;
    // Otherwise what is mounted here would appear on the host too.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", private).map_err(at(Stage::Private))?;
    mount_bind(&*plan.root, &*plan.root).map_err(at(Stage::Root))?;
    // The host folder that holds the root is bound into it below; without this, it would bring the root along.
    mount_change(&*plan.root, MountPropagationFlags::UNBINDABLE).map_err(at(Stage::Root))?;
    attach_all(&plan.host, Stage::Host, plan.recursive_attributes)?;
    seal(plan).map_err(at(Stage::ReadOnly))?;
    attach_all(&plan.as_they_are, Stage::AsTheyAre, plan.recursive_attributes)?;
    attach_all(&plan.binds, Stage::Bind, plan.recursive_attributes)?;
    pivot(&plan.root).map_err(at(Stage::Pivot))
}

/// A root user who keeps the right could make everything writable again; containers don't have it either.
pub fn give_up_mounting() -> Result<(), Failure> {
    remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN).map_err(at(Stage::Capabilities))
}

fn unshare(plan: &Plan) -> Result<(), Failure> {
    let user = if plan.user.is_some() { UnshareFlags::NEWUSER } else { UnshareFlags::empty() };
    system::unshare(UnshareFlags::NEWNS | user).map_err(at(Stage::Unshare))?;
    let Some(maps) = &plan.user else { return Ok(()) };
    // Without it an unprivileged process may not map its group.
    write_file(c"/proc/self/setgroups", b"deny").map_err(at(Stage::UserMaps))?;
    write_file(c"/proc/self/uid_map", maps.uid.as_bytes()).map_err(at(Stage::UserMaps))?;
    write_file(c"/proc/self/gid_map", maps.gid.as_bytes()).map_err(at(Stage::UserMaps))
}

fn write_file(path: &CStr, content: &[u8]) -> io::Result<()> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, content).map(drop)
}

fn attach_all(mounts: &[Attach], stage: Stage, recursive: bool) -> Result<(), Failure> {
    for (index, mount) in (0..).zip(mounts) {
        let failed = |errno| Failure { stage, index, errno };
        // Recursive always: in a user namespace a tree can't be taken without what is mounted on it.
        mount_bind_recursive(&*mount.source, &*mount.target).map_err(failed)?;
        if mount.read_only {
            make_read_only(&mount.target, recursive).map_err(failed)?;
        }
    }
    Ok(())
}

/// Makes everything that is there so far read-only, but for the root itself.
fn seal(plan: &Plan) -> io::Result<()> {
    if plan.recursive_attributes {
        system::set_read_only(&plan.root, true, true)?;
        return system::set_read_only(&plan.root, false, false);
    }
    plan.host.iter().try_for_each(|mount| make_read_only(&mount.target, false))?;
    for inner in &plan.inner {
        // One that has been covered or that this user can't see can't be written to by the step either.
        match make_read_only(inner, false) {
            Err(Errno::NOENT | Errno::ACCESS | Errno::INVAL | Errno::NOTDIR) | Ok(()) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn make_read_only(target: &CStr, recursive: bool) -> io::Result<()> {
    if recursive {
        return system::set_read_only(target, true, true);
    }
    // A remount must repeat what the mount has, or a user namespace is refused it.
    let has = statvfs(target)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let kept = pairs.iter().filter(|(flag, _)| has.contains(*flag));
    let flags = kept.fold(MountFlags::BIND | MountFlags::RDONLY, |flags, (_, flag)| flags | *flag);
    mount_remount(target, flags, c"")
}

/// The old root ends up on top of the new one, whence it is taken away: no folder is needed for it.
fn pivot(root: &CStr) -> io::Result<()> {
    chdir(root)?;
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    chdir(c"/")
}
