//! The folder of definitions, watched.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::CliError;

/// Editors save in several goes (write, rename, touch), within milliseconds.
const SETTLE: Duration = Duration::from_millis(150);

/// A folder whose changes are told of; those below it count, hidden ones and the store do not.
pub struct Folder {
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Folder {
    /// Watches a folder from now on.
    ///
    /// # Errors
    /// When the kernel can't watch it.
    pub fn watch(dir: &Path, store: &Path) -> Result<Folder, CliError> {
        let failed = |source| CliError::Machine { what: format!("watch {}", dir.display()), source };
        let begin = || {
            let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            // SAFETY: the descriptor is owned, so that it stays open and the same as long as this does.
            let notify = unsafe { AsyncFd::register(fd) }?;
            add(&notify, &folders(dir, store))?;
            io::Result::Ok(notify)
        };
        let notify = begin().map_err(failed)?;
        let changed = Arc::new(Notify::new());
        let task = tokio::spawn(tell(notify, dir.to_path_buf(), store.to_path_buf(), changed.clone()));
        Ok(Folder { changed, task })
    }

    /// Waits until something changed since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

async fn tell(notify: AsyncFd<OwnedFd>, dir: PathBuf, store: PathBuf, changed: Arc<Notify>) {
    while let Ok(mut ready) = notify.readable().await {
        ready.clear_ready();
        // Only names of manifests and settings matter: whatever else lies in the folder may change all the time.
        if !drain(&notify) {
            continue;
        }
        tokio::time::sleep(SETTLE).await;
        drain(&notify);
        if let Err(error) = add(&notify, &folders(&dir, &store)) {
            tracing::warn!(%error, folder = %dir.display(), "a folder of definitions is not watched");
        }
        changed.notify_one();
    }
}

/// Reads all events; gives whether one of them matters.
fn drain(notify: &AsyncFd<OwnedFd>) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut reader = Reader::new(notify.get_ref(), &mut buffer);
    let mut matters = false;
    while let Ok(event) = reader.next() {
        let name = event.file_name().map(|name| name.to_bytes().to_owned()).unwrap_or_default();
        matters |= event.events().intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::ISDIR)
            || [b".yaml".as_slice(), b".yml", b"dropforge.toml"].iter().any(|end| name.ends_with(end));
    }
    matters
}

fn add(notify: &AsyncFd<OwnedFd>, folders: &BTreeSet<PathBuf>) -> io::Result<()> {
    let flags = WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::ONLYDIR;
    for folder in folders {
        match inotify::add_watch(notify.get_ref(), folder, flags) {
            // Gone since it was listed.
            Ok(_) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}

/// The folder and those below it.
fn folders(dir: &Path, store: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !hidden && !is_same(&entry.path(), store)
            {
                open.push(entry.path());
            }
        }
        found.insert(folder);
    }
    found
}

/// Whether two paths are the same place.
pub fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
