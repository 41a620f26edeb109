//! What the containers of an attempt know of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Shared by the threads of an attempt's containers.
pub struct Board {
    posted: Mutex<Posted>,
    changed: Condvar,
}

struct Posted {
    /// Exit codes of those that have ended.
    codes: BTreeMap<String, i32>,
    /// Nothing starts any more.
    closed: bool,
    is_running: bool,
    /// Those that have not answered yet.
    unready: BTreeSet<String>,
    told_ready: bool,
}

impl Board {
    /// Nothing has happened; these containers are asked whether they are ready.
    pub fn new(probed: impl Iterator<Item = String>) -> Board {
        let posted = Posted {
            codes: BTreeMap::new(),
            closed: false,
            is_running: false,
            unready: probed.collect(),
            told_ready: false,
        };
        Board { posted: Mutex::new(posted), changed: Condvar::new() }
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        // Each change is a single step, so that a panic elsewhere leaves it whole.
        self.posted.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// A container has ended.
    pub fn post(&self, name: &str, code: i32) {
        self.posted().codes.insert(name.to_owned(), code);
        self.changed.notify_all();
    }

    /// Nothing starts any more.
    pub fn close(&self) {
        self.posted().closed = true;
        self.changed.notify_all();
    }

    /// Whether the container has ended.
    pub fn has_ended(&self, name: &str) -> bool {
        self.posted().codes.contains_key(name)
    }

    /// Waits for a container's end; none when nothing starts any more.
    pub fn code_of(&self, name: &str) -> Option<i32> {
        let waits = |posted: &mut Posted| !posted.closed && !posted.codes.contains_key(name);
        let posted = self.changed.wait_while(self.posted(), waits);
        posted.unwrap_or_else(|broken| broken.into_inner()).codes.get(name).copied()
    }

    /// Waits this long; true as soon as the container has ended or nothing starts any more.
    pub fn pause(&self, name: &str, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut posted = self.posted();
        loop {
            if posted.closed || posted.codes.contains_key(name) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(posted, left);
            posted = waited.unwrap_or_else(|broken| broken.into_inner()).0;
        }
    }

    /// A container that counts runs: tells it the first time, and that all are ready where that is so.
    pub fn is_running(&self, tell: impl FnOnce(), tell_ready: impl FnOnce()) {
        let mut posted = self.posted();
        if !posted.is_running {
            posted.is_running = true;
            tell();
        }
        posted.ready(tell_ready);
    }

    /// A container has answered: tells it when all have.
    pub fn is_ready(&self, name: &str, tell_ready: impl FnOnce()) {
        let mut posted = self.posted();
        posted.unready.remove(name);
        posted.ready(tell_ready);
    }
}

impl Posted {
    fn ready(&mut self, tell_ready: impl FnOnce()) {
        if self.is_running && self.unready.is_empty() && !self.told_ready {
            self.told_ready = true;
            tell_ready();
        }
    }
}
