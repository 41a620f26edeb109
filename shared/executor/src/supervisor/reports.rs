//! What the owner is told: written by whoever tells it, so that nobody is woken for it. Only what the owner does not
//! take at once is left to a thread.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use serde::Serialize;

/// How long an owner may not read. A stopped one must not keep the supervisor from leaving.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to one owner. It is closed when this is dropped and everything is written.
pub struct Reports {
    way: Arc<Way>,
}

struct Way {
    connection: UnixStream,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What the owner did not take at once.
    left: Vec<u8>,
    /// Whether the thread is writing: then everything else comes after it.
    writing: bool,
    /// Whether nobody tells anything any more.
    closed: bool,
    /// Whether the connection is closed, or of no use.
    over: bool,
}

impl Way {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking holder leaves at worst lines unwritten.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is left until all is closed.
    fn drain(&self) {
        loop {
            let mut state = self.state();
            state.writing = false;
            while state.left.is_empty() && !state.closed {
                state = self.wait(state);
            }
            if state.left.is_empty() {
                return self.end(state);
            }
            let left = std::mem::take(&mut state.left);
            state.writing = true;
            drop(state);
            if (&self.connection).write_all(&left).is_err() {
                return self.end(self.state());
            }
        }
    }

    fn end(&self, mut state: MutexGuard<'_, State>) {
        state.over = true;
        // It may be closed already, by the other side; the reading side sees it, too.
        let _ = shutdown(&self.connection, Shutdown::Both);
        self.changed.notify_all();
    }

    fn tell(&self, lines: &[u8]) {
        let mut state = self.state();
        if state.over {
            return;
        }
        let taken = if state.writing || !state.left.is_empty() { 0 } else { sent(&self.connection, lines) };
        if taken < lines.len() {
            state.left.extend(&lines[taken..]);
            self.changed.notify_all();
        }
    }
}

/// How many of these bytes the owner takes at once. What is wrong with the connection is found by who writes the rest.
fn sent(connection: &UnixStream, lines: &[u8]) -> usize {
    loop {
        match send(connection, lines, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent.unwrap_or(0),
        }
    }
}

impl Reports {
    /// The way to who listens on this connection.
    ///
    /// # Errors
    /// When there is no thread for what it does not take at once.
    pub fn to(connection: UnixStream) -> io::Result<Reports> {
        connection.set_write_timeout(Some(PATIENCE))?;
        let way = Way { connection, state: Mutex::default(), changed: Condvar::new() };
        let way = Arc::new(way);
        let draining = Arc::clone(&way);
        thread::Builder::new().name("reports".to_owned()).spawn(move || draining.drain())?;
        Ok(Reports { way })
    }

    /// Tells the owner, in one go. One that is gone is noticed by who reads from it.
    pub fn tell(&self, reports: &[impl Serialize]) {
        let mut lines = Vec::new();
        for report in reports {
            if let Err(error) = serde_json::to_writer(&mut lines, report) {
                tracing::error!(%error, "a report could not be written");
                continue;
            }
            lines.push(b'\n');
        }
        self.way.tell(&lines);
    }

    /// Waits until everything is written, or nobody reads it.
    pub fn finish(self) {
        let way = Arc::clone(&self.way);
        drop(self);
        let mut state = way.state();
        while !state.over {
            state = way.wait(state);
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.way.state().closed = true;
        self.way.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use dropforge_driver::supervision::Report;

    use super::*;

    fn report(what: &str) -> Report {
        Report::Progress { attempt: "a".into(), what: what.into() }
    }

    fn lines(from: UnixStream) -> Vec<Report> {
        let lines = BufReader::new(from).lines();
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }

    #[test]
    fn all_is_told_in_its_order_however_late_the_owner_reads() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reports = Reports::to(ours).unwrap();
        // More than the kernel keeps for who does not read.
        let long = "x".repeat(100_000);
        let all: Vec<Report> = (0..20).map(|n| report(&format!("{n} {long}"))).collect();
        reports.tell(&all[..1]);
        all[1..].chunks(3).for_each(|some| reports.tell(some));
        let reading = thread::spawn(move || lines(theirs));
        reports.finish();
        assert!(reading.join().unwrap() == all);
    }

    #[test]
    fn who_does_not_listen_any_more_holds_nobody_up() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reports = Reports::to(ours).unwrap();
        drop(theirs);
        reports.tell(&[report("nobody hears it")]);
        reports.tell(&[report("nor this")]);
        reports.finish();
    }

    #[test]
    fn a_connection_that_nobody_tells_anything_is_closed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        drop(Reports::to(ours).unwrap());
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
    }
}
