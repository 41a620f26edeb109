//! The kernel's notifications, as what they mean for a tree of folders.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Events are read in batches of this size: some hundreds at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What happened in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Events were lost.
    Overflow,
    /// A folder was made or moved here.
    FolderAppeared(PathBuf),
    /// A folder was removed, which was empty.
    FolderRemoved(PathBuf),
    /// A folder was moved away, with what is in it.
    FolderMoved(PathBuf),
    /// A file was made; its writer has it open, or it is a link.
    FileAppeared(PathBuf),
    /// Bytes of a file changed.
    FileWritten(PathBuf),
    /// A writer closed a file, or a file was moved here.
    FileClosed(PathBuf),
    /// A file was removed or moved away.
    FileGone(PathBuf),
}

/// Folders that are watched.
#[derive(Debug)]
pub(super) struct Inotify {
    fd: OwnedFd,
    folders: HashMap<i32, PathBuf>,
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Inotify {
    pub(super) fn new() -> io::Result<Inotify> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Inotify { fd, folders: HashMap::new() })
    }

    /// Watches one folder, not those below it. To watch it again changes nothing.
    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        let watch = inotify::add_watch(&self.fd, folder, flags)?;
        self.folders.insert(watch, folder.to_owned());
        Ok(())
    }

    /// Ends the watches of a folder and of all below it, which may live on under another name.
    pub(super) fn forget(&mut self, folder: &Path) {
        let fd = &self.fd;
        self.folders.retain(|watch, path| {
            let below = path.starts_with(folder);
            if below {
                // A removed folder's watch has ended by itself.
                let _ = inotify::remove_watch(fd, *watch);
            }
            !below
        });
    }

    /// The events there are.
    pub(super) fn read(&mut self) -> io::Result<Vec<Seen>> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut seen = Vec::new();
        let mut ended = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                seen.push(Seen::Overflow);
            }
            if event.events().contains(ReadFlags::IGNORED) {
                ended.push(event.wd());
            }
            if let (Some(folder), Some(name)) = (self.folders.get(&event.wd()), event.file_name()) {
                let path = folder.join(OsStr::from_bytes(name.to_bytes()));
                seen.extend(meaning(event.events(), path));
            }
        }
        for watch in ended {
            self.folders.remove(&watch);
        }
        Ok(seen)
    }
}

fn meaning(events: ReadFlags, path: PathBuf) -> Option<Seen> {
    let any = |flags: ReadFlags| events.intersects(flags);
    if any(ReadFlags::ISDIR) {
        return if any(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            Some(Seen::FolderAppeared(path))
        } else if any(ReadFlags::MOVED_FROM) {
            Some(Seen::FolderMoved(path))
        } else if any(ReadFlags::DELETE) {
            Some(Seen::FolderRemoved(path))
        } else {
            None
        };
    }
    if any(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
        Some(Seen::FileClosed(path))
    } else if any(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        Some(Seen::FileGone(path))
    } else if any(ReadFlags::MODIFY) {
        Some(Seen::FileWritten(path))
    } else if any(ReadFlags::CREATE) {
        Some(Seen::FileAppeared(path))
    } else {
        None
    }
}
