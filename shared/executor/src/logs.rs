//! A command's standard output and error on their way to the store.
//!
//! Where the log is a file of this machine the command writes it itself: nothing copies, and nothing is lost
//! whoever is killed. Only a step whose result somebody reads has its standard output copied, since the result
//! is standard output alone while the log holds both.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::outputs::TEXT_BYTES_MAX;

pub mod spare;

/// How long output of processes that outlived the command is waited for; they have been killed by then, and
/// what they wrote is in the pipe.
const DRAIN: Duration = Duration::from_millis(100);

/// Where a command's output goes.
pub struct Streams {
    /// For the command.
    pub stdout: OwnedFd,
    /// For the command.
    pub stderr: OwnedFd,
    /// What copies.
    pub pumps: Pumps,
}

/// The copying of a command's output.
#[derive(Default)]
pub struct Pumps {
    /// Of standard output, where its end is wanted.
    captured: Option<Pump>,
    others: Vec<Pump>,
}

impl Pumps {
    /// The end of standard output where it is wanted, once the command has ended.
    ///
    /// # Errors
    /// When the log could not be written.
    pub fn finish(self) -> io::Result<Option<Vec<u8>>> {
        let kept = self.captured.map(Pump::finish).transpose();
        let others: io::Result<Vec<_>> = self.others.into_iter().map(Pump::finish).collect();
        others.and(kept)
    }
}

/// The log file, opened so that several writers never overwrite each other.
///
/// # Errors
/// When it can't be made.
pub fn open(file: &Path) -> io::Result<File> {
    let append = |file: &Path| OpenOptions::new().append(true).create(true).open(file);
    match append(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
            append(file)
        }
        opened => opened,
    }
}

/// Both streams straight into the log.
///
/// # Errors
/// When the descriptors can't be doubled.
pub fn straight(log: &File) -> io::Result<Streams> {
    Ok(Streams { stdout: log.try_clone()?.into(), stderr: log.try_clone()?.into(), pumps: Pumps::default() })
}

/// Standard error straight into the log, standard output copied there and kept.
///
/// # Errors
/// When no pipe or thread can be made.
pub fn captured(log: &File) -> io::Result<Streams> {
    let (pipe, stdout) = io::pipe()?;
    let stderr = log.try_clone()?.into();
    let mut log = log.try_clone()?;
    let pump = Pump::start(pipe, move |bytes| log.write_all(bytes))?;
    let pumps = Pumps { captured: Some(pump), others: Vec::new() };
    Ok(Streams { stdout: stdout.into(), stderr, pumps })
}

/// Both streams copied into the log and to this process's own, where a container's engine reads them; standard output
/// is kept where it is `wanted`.
///
/// # Errors
/// When no pipe or thread can be made.
pub fn teed(log: &File, wanted: bool) -> io::Result<Streams> {
    let (stdout, first) = tee(log, io::stdout().as_fd().try_clone_to_owned()?)?;
    let (stderr, second) = tee(log, io::stderr().as_fd().try_clone_to_owned()?)?;
    let pumps = match wanted {
        true => Pumps { captured: Some(first), others: vec![second] },
        false => Pumps { captured: None, others: vec![first, second] },
    };
    Ok(Streams { stdout, stderr, pumps })
}

fn tee(log: &File, own: OwnedFd) -> io::Result<(OwnedFd, Pump)> {
    let (pipe, end) = io::pipe()?;
    let (mut log, mut own) = (log.try_clone()?, File::from(own));
    let pump = Pump::start(pipe, move |bytes| {
        // The log is what counts; who reads the other may have gone.
        let _ = own.write_all(bytes);
        log.write_all(bytes)
    })?;
    Ok((end.into(), pump))
}

/// How often a log is brought to a store that is elsewhere: at first, and after a long time, since each time is paid for.
const SHIP_SOON: Duration = Duration::from_secs(1);
const SHIP_LATE: Duration = Duration::from_secs(10);

/// The most that is brought at once.
const CHUNK_BYTES: usize = 1024 * 1024;

/// How long between the tries of the last of a log; then it is given up.
const LAST_PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Brings what is appended to `log`, from byte `from` on, to `sink` until `ended` is closed. What the sink refuses is
/// tried again.
///
/// # Errors
/// When the log can't be read, or the sink's last error.
pub fn ship(
    log: &Path,
    from: u64,
    ended: &PipeReader,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let begun = Instant::now();
    let mut at = from;
    loop {
        let pause = (begun.elapsed() / 10).clamp(SHIP_SOON, SHIP_LATE);
        let over = wait_for(ended, None, Some(pause))?;
        if over {
            return bring_last(log, &mut at, &mut sink);
        }
        // What is refused now is brought with what comes next.
        let _ = bring(log, &mut at, &mut sink);
    }
}

/// Brings what is left, after which nobody tries again.
fn bring_last(log: &Path, at: &mut u64, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    for pause in LAST_PAUSES {
        if bring(log, at, sink).is_ok() {
            return Ok(());
        }
        std::thread::park_timeout(pause);
    }
    bring(log, at, sink)
}

/// Brings what there is from byte `at` on, which moves.
fn bring(log: &Path, at: &mut u64, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let log = match File::open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match log.read_at(&mut buffer, *at)? {
            0 => return Ok(()),
            read => {
                sink(&buffer[..read])?;
                *at += read as u64;
            }
        }
    }
}

/// A thread that copies a pipe and keeps its end.
pub struct Pump {
    thread: JoinHandle<io::Result<Vec<u8>>>,
    /// Closed to say that the command has ended.
    ended: io::PipeWriter,
}

impl Pump {
    fn start(
        pipe: PipeReader,
        sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Pump> {
        let (hear, ended) = io::pipe()?;
        let thread = std::thread::Builder::new().name("log".to_owned());
        Ok(Pump { thread: thread.spawn(move || copy(pipe, &hear, sink))?, ended })
    }

    /// The end of what was written, once the command has ended.
    ///
    /// # Errors
    /// When the log could not be written.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        drop(self.ended);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the log's thread panicked")))
    }
}

/// Copies until the pipe is closed, or the command has ended and the pipe is empty: a process that escaped may
/// hold it open for ever.
fn copy(
    mut pipe: PipeReader,
    ended: &PipeReader,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut kept = Tail::default();
    let mut buffer = vec![0; 1 << 16];
    let mut written = Ok(());
    loop {
        if !wait_for(&pipe, Some(ended), None)? && !wait_for(&pipe, None, Some(DRAIN))? {
            break;
        }
        let read = match pipe.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            break;
        }
        kept.push(&buffer[..read]);
        // A full disk must not stop the command, which would wait for a reader for ever: read on, tell later.
        if written.is_ok() {
            written = sink(&buffer[..read]);
        }
    }
    written.map(|()| kept.bytes())
}

/// Whether the pipe has something to read before `ended` is closed or the time is over.
fn wait_for(pipe: &PipeReader, ended: Option<&PipeReader>, limit: Option<Duration>) -> io::Result<bool> {
    let mut polled = vec![PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    polled.extend(ended.map(|ended| PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)));
    let limit = limit.map(|limit| rustix::event::Timespec {
        tv_sec: limit.as_secs() as i64,
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    loop {
        match poll(&mut polled, limit.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(!polled[0].revents().is_empty()),
        }
    }
}

/// The last [`TEXT_BYTES_MAX`] bytes, and one more for the newline that does not count.
#[derive(Default)]
pub(crate) struct Tail(VecDeque<u8>);

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(TEXT_BYTES_MAX + 1);
        self.0.drain(..excess);
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, File) {
        let at = tempfile::tempdir().unwrap();
        let file = open(&at.path().join("new/folder/main")).unwrap();
        (at, file)
    }

    #[test]
    fn standard_output_is_kept_and_both_are_logged_in_order() {
        let (at, file) = log();
        let streams = captured(&file).unwrap();
        File::from(streams.stdout).write_all(b"out \xff\n").unwrap();
        let kept = streams.pumps.finish().unwrap().unwrap();
        File::from(streams.stderr).write_all(b"err\n").unwrap();
        assert_eq!(kept, b"out \xff\n");
        assert_eq!(fs::read(at.path().join("new/folder/main")).unwrap(), b"out \xff\nerr\n");
    }

    #[test]
    fn a_pipe_that_stays_open_does_not_hold_the_step() {
        let (_at, file) = log();
        let streams = captured(&file).unwrap();
        let mut escaped = File::from(streams.stdout);
        escaped.write_all(b"last words").unwrap();
        assert_eq!(streams.pumps.finish().unwrap().unwrap(), b"last words");
        drop(escaped);
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let mut tail = Tail::default();
        tail.push(&vec![b'a'; TEXT_BYTES_MAX]);
        tail.push(b"bcd");
        let bytes = tail.bytes();
        assert_eq!((bytes.len(), &bytes[bytes.len() - 4..]), (TEXT_BYTES_MAX + 1, &b"abcd"[..]));
    }
}
