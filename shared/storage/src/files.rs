//! Writing files so that no reader ever sees half of one, and locks that die with their process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dropforge_driver::store::{Created, StoreError};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

/// A file being written, under a name nobody looks at; removed unless it is given its place.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
}

impl Temporary {
    /// A new file in `folder`, which lies in the same file system as the place it will be given.
    pub(crate) fn new(folder: &Path) -> Result<Temporary, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            let made =
                with_parent(&path, || OpenOptions::new().read(true).write(true).create_new(true).open(&path));
            match made {
                Ok(file) => return Ok(Temporary { file, path }),
                // A process that had our id left it, or one in another container has the same id.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
    }

    /// What will be `path`; a failure names that, which people know.
    fn holding(folder: &Path, path: &Path, bytes: &[u8], sync: bool) -> Result<Temporary, StoreError> {
        let mut temporary = Temporary::new(folder)?;
        let write = temporary.file.write_all(bytes).and_then(|()| temporary.sync(sync));
        write.map_err(failed("write", path))?;
        Ok(temporary)
    }

    pub(crate) fn sync(&self, sync: bool) -> io::Result<()> {
        if sync { self.file.sync_all() } else { Ok(()) }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Where it has been renamed there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what processes that no longer live left in a folder of temporary files.
pub(crate) fn sweep(folder: &Path) {
    for name in names(folder).unwrap_or_default() {
        let pid = name.split('-').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        let lives = pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
        if !lives {
            let _ = fs::remove_file(folder.join(name));
        }
    }
}

/// Stores a whole file under `path` unless there is one.
pub(crate) fn create_only(
    temporaries: &Path,
    path: &Path,
    bytes: &[u8],
    sync: bool,
) -> Result<Created, StoreError> {
    let temporary = Temporary::holding(temporaries, path, bytes, sync)?;
    let linked = with_parent(path, || fs::hard_link(&temporary.path, path));
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Created::Exists),
        Err(error) => return Err(failed("create", path)(error)),
    }
    sync_folder(path, sync)?;
    Ok(Created::New)
}

/// Stores a whole file under `path`, instead of the one that may be there.
pub(crate) fn replace(temporaries: &Path, path: &Path, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
    let temporary = Temporary::holding(temporaries, path, bytes, sync)?;
    with_parent(path, || fs::rename(&temporary.path, path)).map_err(failed("write", path))?;
    sync_folder(path, sync)
}

/// Makes an empty file unless there is one.
pub(crate) fn touch(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    with_parent(path, || options.open(path)).map(drop).map_err(failed("write", path))
}

/// Makes a file's name as lasting as its content.
pub(crate) fn sync_folder(path: &Path, sync: bool) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|_| sync) else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write", folder))
}

/// The file's bytes, or none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    unless_missing(fs::read(path)).map_err(failed("read", path))
}

/// Removes a file, unless it is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    unless_missing(fs::remove_file(path)).map(drop).map_err(failed("remove", path))
}

/// The names in a folder, sorted; none where there is no folder. Names that are not UTF-8 are not ours.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let read = unless_missing(fs::read_dir(folder)).map_err(failed("list", folder))?;
    let mut names = Vec::new();
    for entry in read.into_iter().flatten() {
        let entry = entry.map_err(failed("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Tries again after making the folder that was missing; folders are made by need, since most exist.
pub(crate) fn with_parent<T>(path: &Path, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match (act(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            act()
        }
        (answer, _) => answer,
    }
}

/// No value instead of the error that there is none.
pub(crate) fn unless_missing<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names the file an operation failed on.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let key = path.display().to_string();
    move |source| StoreError::Io { action, key, source }
}

/// Fails before anything is written when the file system of `path` has no room for `size` more bytes.
pub(crate) fn ensure_room(path: &Path, size: u64) -> Result<(), StoreError> {
    let system = rustix::fs::statvfs(path).map_err(|e| failed("write", path)(e.into()))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if size <= free {
        return Ok(());
    }
    let why = format!("it needs {size} bytes, the disk has {free} free");
    Err(failed("write", path)(io::Error::new(ErrorKind::StorageFull, why)))
}

/// A kernel lock on a file, held until dropped or the process ends. It excludes threads of the same process too,
/// because each holder opens the file anew.
#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock.
    pub(crate) fn exclusive(path: &Path) -> Result<Lock, StoreError> {
        Lock::wait(path, FlockOperation::LockExclusive)
    }

    /// Waits until nobody holds the lock exclusively.
    pub(crate) fn shared(path: &Path) -> Result<Lock, StoreError> {
        Lock::wait(path, FlockOperation::LockShared)
    }

    fn wait(path: &Path, how: FlockOperation) -> Result<Lock, StoreError> {
        let file = Lock::open(path)?;
        rustix::io::retry_on_intr(|| flock(&file, how)).map_err(|e| failed("lock", path)(e.into()))?;
        Ok(Lock { file })
    }

    /// Takes the lock if nobody holds it; otherwise the file, to see what its holder wrote.
    pub(crate) fn take(path: &Path) -> Result<Result<Lock, File>, StoreError> {
        let file = Lock::open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Ok(Lock { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Err(file)),
            Err(error) => Err(failed("lock", path)(error.into())),
        }
    }

    fn open(path: &Path) -> Result<File, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        with_parent(path, || options.open(path)).map_err(failed("lock", path))
    }
}
