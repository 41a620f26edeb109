//! Files that are copied straight into the buckets' folder, changed, renamed and deleted there.
//!
//! A file counts as put when its writer has closed it and nobody wrote to it for [`SETTLE`]. The kernel tells of
//! that (inotify); where it lost events, and where folders appear whole, the tree is looked through instead.
//!
//! The order that makes it complete: a folder is watched first and looked through then, so that a file that
//! appears meanwhile is found twice rather than never. The [`Announcer`] tells of it once.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dropforge_driver::store::StoreError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Announcer;
use crate::keys;
use crate::objects::Stat;

mod inotify;

use inotify::{Inotify, Seen};

/// How long a closed file must stay as it is. Programs that write in several goes (open, append, close, open …)
/// do so within milliseconds; a trigger's own debounce is for longer pauses.
const SETTLE: Duration = Duration::from_millis(250);

/// Why a folder can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The buckets could not be looked through.
    #[error("look through the buckets")]
    List(#[source] StoreError),
    /// The kernel's notifications could not be set up.
    #[error("watch the folder {}", folder.display())]
    Notify {
        /// Which folder.
        folder: PathBuf,
        /// Why; most often the limit `fs.inotify.max_user_watches`.
        #[source]
        source: io::Error,
    },
}

/// A running watch; dropped, it stops.
#[derive(Debug)]
pub struct Watch {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The closed pipe wakes the thread.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by the panic itself.
            let _ = thread.join();
        }
    }
}

/// Watches the announcer's buckets from this moment on. What is there already is not told of: after this call,
/// [`existing`](super::existing) has it.
///
/// # Errors
/// When the folder can't be watched or looked through.
pub fn watch(announcer: Announcer) -> Result<Watch, WatchError> {
    let watcher = Watcher::begin(announcer)?;
    let root = watcher.root.clone();
    let setting_up = |source: io::Error| WatchError::Notify { folder: root.clone(), source };
    let (stopped, stop) = io::pipe().map_err(setting_up)?;
    let thread = std::thread::Builder::new()
        .name("bucket watch".to_owned())
        .spawn(move || watcher.run(&stopped))
        .map_err(setting_up)?;
    Ok(Watch { stop: Some(stop), thread: Some(thread) })
}

/// A file that was closed and may be whole.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    due: Instant,
    size: u64,
    changed_ns: i128,
}

struct Watcher {
    root: PathBuf,
    notify: Inotify,
    announcer: Announcer,
    candidates: HashMap<PathBuf, Candidate>,
    /// Names that can't be keys, so that each is warned of once.
    warned: HashSet<PathBuf>,
}

impl Watcher {
    /// Watches what there is, and takes note of it.
    fn begin(announcer: Announcer) -> Result<Watcher, WatchError> {
        let root = announcer.objects().root().to_owned();
        let setting_up = |source: io::Error| WatchError::Notify { folder: root.clone(), source };
        fs::create_dir_all(&root).map_err(setting_up)?;
        let notify = Inotify::new().map_err(setting_up)?;
        let (candidates, warned) = (HashMap::new(), HashSet::new());
        let mut watcher = Watcher { root: root.clone(), notify, announcer, candidates, warned };
        let mut there = Vec::new();
        watcher
            .watch_below(&root, &mut there)
            .map_err(|(folder, source)| WatchError::Notify { folder, source })?;
        watcher.announcer.learn().map_err(WatchError::List)?;
        Ok(watcher)
    }

    fn run(mut self, stopped: &PipeReader) {
        loop {
            match self.wait(stopped) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, folder = %self.root.display(), "the watch of the buckets ended");
                    return;
                }
            }
            if let Err(error) = self.take_events() {
                tracing::error!(%error, folder = %self.root.display(), "the watch of the buckets ended");
                return;
            }
            self.settle(Instant::now());
        }
    }

    /// Waits for an event or for a candidate to be due; false when the watch is stopped.
    fn wait(&self, stopped: &PipeReader) -> io::Result<bool> {
        let due = self.candidates.values().map(|candidate| candidate.due).min();
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = [PollFd::new(&self.notify, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
        Ok(fds[1].revents().is_empty())
    }

    fn take_events(&mut self) -> io::Result<()> {
        for seen in self.notify.read()? {
            self.take(seen);
        }
        Ok(())
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Overflow => {
                tracing::warn!("the kernel lost events of the buckets' folder; looking through it");
                self.look_through();
            }
            Seen::FolderAppeared(folder) => self.watch_appeared(&folder),
            // The files in it were removed before, each with an event of its own.
            Seen::FolderRemoved(folder) => self.forget(&folder),
            Seen::FolderMoved(folder) => {
                self.forget(&folder);
                self.announcer.removed_below(&folder);
            }
            Seen::FileWritten(path) => drop(self.candidates.remove(&path)),
            Seen::FileAppeared(path) => {
                // A bucket may be a link to a folder elsewhere.
                if path.parent() == Some(&self.root) && path.is_dir() {
                    self.watch_appeared(&path);
                }
                // A new link to a finished file is never closed by a writer.
                else if fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink() || m.nlink() > 1) {
                    self.propose(path);
                }
            }
            Seen::FileClosed(path) => self.propose(path),
            Seen::FileGone(path) => {
                self.candidates.remove(&path);
                if let Some((bucket, key)) = self.name_of(&path) {
                    self.announcer.removed(&bucket, &key);
                }
            }
        }
    }

    fn forget(&mut self, folder: &Path) {
        self.notify.forget(folder);
        self.candidates.retain(|path, _| !path.starts_with(folder));
    }

    /// Looks at a file again when it had time to change.
    fn propose(&mut self, path: PathBuf) {
        if let Ok(metadata) = fs::metadata(&path)
            && metadata.is_file()
        {
            self.candidates.insert(path, candidate(&metadata));
        }
    }

    /// Tells of candidates that stayed as they were.
    fn settle(&mut self, now: Instant) {
        let due: Vec<PathBuf> = self
            .candidates
            .iter()
            .filter(|(_, candidate)| candidate.due <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in due {
            let Some(before) = self.candidates.remove(&path) else { continue };
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let after = candidate(&metadata);
            if (before.size, before.changed_ns) != (after.size, after.changed_ns) {
                self.candidates.insert(path, after);
                continue;
            }
            if let Some(stat) = self.object_at(&path) {
                self.announcer.created(&stat, None);
            }
        }
    }

    fn object_at(&mut self, path: &Path) -> Option<Stat> {
        let (bucket, key) = self.name_of(path)?;
        let stat = self.announcer.objects().stat(&bucket, &key).ok().flatten()?;
        // An object has one file: where another one holds this key, `path` is not it.
        (stat.path == path).then_some(stat)
    }

    /// The bucket and key of a file; warns once of a name that can't be one.
    fn name_of(&mut self, path: &Path) -> Option<(String, String)> {
        let below = path.strip_prefix(&self.root).ok()?;
        let mut components = below.components();
        let folder = components.next()?.as_os_str();
        let rest = components.as_path();
        if is_ours(folder) || rest.as_os_str().is_empty() {
            return None;
        }
        let bucket = folder.to_str().and_then(keys::name_of);
        let name = bucket.zip(keys::key_of(rest));
        if name.is_none() && self.warned.insert(path.to_owned()) {
            tracing::warn!(
                file = %path.display(),
                "a file's name can't be an object's key (it is not UTF-8, or reads as an escape); it is left out"
            );
        }
        name
    }

    fn watch_appeared(&mut self, folder: &Path) {
        if let Err((folder, error)) = self.watch_folder(folder) {
            tracing::error!(%error, folder = %folder.display(), "a folder of the buckets is not watched");
        }
    }

    /// Watches a folder and all below it, and proposes the files that are there.
    fn watch_folder(&mut self, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
        let mut found = Vec::new();
        self.watch_below(folder, &mut found)?;
        self.propose_found(found);
        Ok(())
    }

    fn watch_below(&mut self, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
        let at_root = folder == self.root;
        if folder.parent() == Some(&self.root) && folder.file_name().is_some_and(is_ours) {
            return Ok(());
        }
        match self.notify.watch(folder) {
            Ok(()) => {}
            // Gone again, or replaced by a file: then there are events of that.
            Err(error) if is_gone(&error) && !at_root => return Ok(()),
            Err(error) => return Err((folder.to_owned(), error)),
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err((folder.to_owned(), error)),
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() || (at_root && entry.path().is_dir()) => {
                    self.watch_below(&entry.path(), found)?;
                }
                Ok(_) if !at_root => found.push(entry.path()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Proposes files whose events may have been missed; one that is still open will be closed, and that is seen.
    fn propose_found(&mut self, found: Vec<PathBuf>) {
        if found.is_empty() {
            return;
        }
        let writing = being_written(&self.root);
        for path in found.into_iter().filter(|path| !writing.contains(path)) {
            self.propose(path);
        }
    }

    /// Finds out by looking what events would have told.
    fn look_through(&mut self) {
        let root = self.root.clone();
        // Folders whose creation was lost are not watched yet.
        let mut ignored = Vec::new();
        if let Err((folder, error)) = self.watch_below(&root, &mut ignored) {
            tracing::error!(%error, folder = %folder.display(), "a folder of the buckets is not watched");
        }
        match self.announcer.compare() {
            Ok(untold) => self.propose_found(untold.into_iter().map(|stat| stat.path).collect()),
            Err(error) => tracing::error!(%error, "the buckets could not be looked through"),
        }
    }
}

fn candidate(metadata: &fs::Metadata) -> Candidate {
    Candidate {
        due: Instant::now() + SETTLE,
        size: metadata.len(),
        changed_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
    }
}

/// Beside the buckets lie folders of our own, whose names begin with a dot.
fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The files below `root` that a process has open for writing, as far as this user may see: of processes of other
/// users only root sees the files. What can't be seen counts as closed.
pub(super) fn being_written(root: &Path) -> HashSet<PathBuf> {
    // The kernel shows paths without links.
    let Ok(real) = root.canonicalize() else { return HashSet::new() };
    let mut open = HashSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        for fd in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(file) = fs::read_link(fd.path()) else { continue };
            if let Ok(below) = file.strip_prefix(&real)
                && open_for_writing(&process.path(), &fd.file_name())
            {
                open.insert(root.join(below));
            }
        }
    }
    open
}

fn open_for_writing(process: &Path, fd: &OsStr) -> bool {
    let info = fs::read_to_string(process.join("fdinfo").join(fd)).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    // The access mode: 0 reads, 1 writes, 2 does both.
    flags.is_some_and(|flags| flags & 3 != 0)
}

#[cfg(test)]
mod tests;
