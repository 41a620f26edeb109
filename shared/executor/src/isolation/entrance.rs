//! A mount namespace that is made once and entered again and again: making one takes longer than starting a command.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::enter::{Failure, Plan, Stage, at, give_up_mounting};
use crate::process::launch::{self, NotStarted};

/// The way into a namespace that somebody has made. It is there as long as this is.
#[derive(Debug)]
pub struct Entrance {
    /// The user namespace that owns it, where this process may not mount by itself.
    user: Option<OwnedFd>,
    mounts: OwnedFd,
    /// What the system calls it.
    name: Option<PathBuf>,
    /// The machine's mounts, watched for changes.
    host: File,
}

impl Entrance {
    /// Makes a namespace as the plan says.
    ///
    /// # Errors
    /// Which of the plan's mounts failed.
    pub fn make(plan: &Plan) -> Result<Entrance, NotStarted> {
        let host = File::open("/proc/self/mounts").map_err(NotStarted::Fork)?;
        let (user, mounts) = launch::settle(plan)?;
        let name = fs::read_link(format!("/proc/self/fd/{}", mounts.as_raw_fd())).ok();
        Ok(Entrance { user, mounts, name, host })
    }

    /// What names the namespace.
    pub fn namespace(&self) -> Option<&PathBuf> {
        self.name.as_ref()
    }

    /// Whether something was mounted on the machine, or taken away, since it was made: it shows in no namespace that
    /// was there before.
    pub fn is_stale(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.host.as_fd(), PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // What can't be asked counts as changed.
        poll(&mut polled, Some(&now)).map_or(true, |changed| changed > 0)
    }

    /// Moves this single-threaded process there.
    pub fn enter(&self) -> Result<(), Failure> {
        let join = |namespace: BorrowedFd<'_>, kind| {
            move_into_link_name_space(namespace, Some(kind)).map_err(at(Stage::Entrance))
        };
        if let Some(user) = &self.user {
            join(user.as_fd(), LinkNameSpaceType::User)?;
        }
        join(self.mounts.as_fd(), LinkNameSpaceType::Mount)?;
        give_up_mounting()
    }
}
