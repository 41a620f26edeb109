//! How a running attempt is told to end, from another thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde::{Deserialize, Serialize};

/// What an attempt is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A person or the engine stops it: the user's failure, with this message.
    Stop(String),
    /// The owner ends: the attempt is lost and can be tried again.
    Interrupt,
    /// The cluster takes the pod away: drained, preempted, deleted.
    Evict,
    /// The other containers of its attempt have ended, or one of them has failed: its exit code says how it ended.
    Over,
}

/// The way to a running attempt. The first word counts.
pub struct Control {
    asked: Mutex<Option<Ask>>,
    /// Readable once something was asked.
    pub woken: OwnedFd,
}

impl Control {
    /// A way that nothing has been said on.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Control> {
        Ok(Control { asked: Mutex::new(None), woken: eventfd(0, EventfdFlags::CLOEXEC)? })
    }

    /// Tells the attempt.
    pub fn ask(&self, ask: Ask) {
        let mut asked = self.asked.lock().unwrap_or_else(|broken| broken.into_inner());
        if asked.is_none() {
            *asked = Some(ask);
            // To count to one can't fail or block.
            let _ = rustix::io::write(&self.woken, &1_u64.to_ne_bytes());
        }
    }

    /// Waits this long, or until something was asked.
    pub fn pause(&self, limit: Duration) {
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
        let mut polled = [PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN)];
        // An interrupted pause is a short one; who pauses looks again anyway.
        let _ = poll(&mut polled, Some(&limit));
    }

    /// What was asked.
    pub fn asked(&self) -> Option<Ask> {
        self.asked.lock().unwrap_or_else(|broken| broken.into_inner()).clone()
    }
}
