//! The folder that all containers of a pod share, with what they note there for each other.
//!
//! ```text
//! dropforge-executor              the program
//! launch.json                     the attempt, where it is too large for a variable
//! began                           when the pod began
//! script                          the source of a script
//! inputs/<artifact>               what the pod's mounts show at the artifact's path
//! inputs.json                     what was read
//! claim                           the nonce with which this pod claims its attempt
//! containers/<name>/lock          held by the process that wraps the command, as long as it lives
//! containers/<name>/started       made before the command starts: it is never started again
//! containers/<name>/{log,progress,shipped}
//! containers/<name>/ended.json    how it ended
//! over                            one that counts has failed: the others end
//! verdict.json, told              what the attempt came to; that it is stored and the doorbell was rung
//! ```
//!
//! The containers may have different users: each may write here, and reads what the others wrote. A note is there whole
//! or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dropforge_driver::clock::{Clock, SystemClock};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A name that nothing else in the folder has. Processes of different containers may have equal ids.
pub fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemClock.now().as_nanosecond();
    format!("{}-{now}-{}.new", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// At this path.
    pub fn at(path: impl Into<PathBuf>) -> Folder {
        Folder(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.0.join("dropforge-executor")
    }

    /// The attempt, where it is too large for a variable.
    pub fn launch(&self) -> PathBuf {
        self.0.join("launch.json")
    }

    /// The source of a script.
    pub fn script(&self) -> PathBuf {
        self.0.join("script")
    }

    /// An input artifact.
    pub fn input(&self, artifact: &str) -> PathBuf {
        self.0.join("inputs").join(artifact)
    }

    /// What was read.
    pub fn inputs_read(&self) -> PathBuf {
        self.0.join("inputs.json")
    }

    /// That one which counts has failed.
    pub fn over(&self) -> PathBuf {
        self.0.join("over")
    }

    /// What the attempt came to.
    pub fn verdict(&self) -> PathBuf {
        self.0.join("verdict.json")
    }

    /// That the verdict is stored, and the doorbell was rung.
    pub fn told(&self) -> PathBuf {
        self.0.join("told")
    }

    /// A container's own folder.
    pub fn container(&self, name: &str) -> PathBuf {
        self.0.join("containers").join(name)
    }

    /// How a container ended.
    pub fn ended(&self, name: &str) -> PathBuf {
        self.container(name).join("ended.json")
    }

    /// Makes a folder below, in which each user may write.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open_folder(&self, below: &str) -> io::Result<PathBuf> {
        let mut path = self.0.clone();
        for part in Path::new(below).components() {
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => fs::set_permissions(&path, Permissions::from_mode(0o777))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }

    /// Writes a note for others.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn note<T: Serialize>(&self, path: &Path, content: &T) -> io::Result<()> {
        self.place(path, &serde_json::to_vec(content)?)
    }

    /// Notes that something has happened.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn mark(&self, path: &Path) -> io::Result<()> {
        self.place(path, b"")
    }

    /// Puts a file in its place, whole, which everybody may read.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn place(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let new = self.beside(path, content)?;
        fs::rename(new, path)
    }

    fn beside(&self, path: &Path, content: &[u8]) -> io::Result<PathBuf> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", unique()));
        let new = path.with_file_name(name);
        fs::write(&new, content)?;
        fs::set_permissions(&new, Permissions::from_mode(0o644))?;
        Ok(new)
    }

    /// What is noted there; none where nothing is.
    ///
    /// # Errors
    /// When it can't be read, or is no such note.
    pub fn read<T: DeserializeOwned>(&self, path: &Path) -> io::Result<Option<T>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When the pod began: the first time that this is asked.
    ///
    /// # Errors
    /// When it can't be noted.
    pub fn began(&self) -> io::Result<Timestamp> {
        let path = self.0.join("began");
        self.first(&path, &serde_json::to_vec(&SystemClock.now())?)?;
        Ok(self.read(&path)?.unwrap_or_else(|| SystemClock.now()))
    }

    /// The nonce with which this pod claims its attempt: the same for all its containers.
    ///
    /// # Errors
    /// When it can't be noted.
    pub fn nonce(&self) -> io::Result<String> {
        let path = self.0.join("claim");
        let mut bytes = [0; 16];
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
        let new: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.first(&path, new.as_bytes())?;
        fs::read_to_string(path)
    }

    /// Puts a file in its place unless there is one; says whether it did.
    fn first(&self, path: &Path, content: &[u8]) -> io::Result<bool> {
        if path.exists() {
            return Ok(false);
        }
        let new = self.beside(path, content)?;
        let linked = fs::hard_link(&new, path);
        fs::remove_file(&new)?;
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Notes that a container's command is about to be started; false when it was before.
    ///
    /// # Errors
    /// When it can't be noted.
    pub fn start(&self, name: &str) -> io::Result<bool> {
        self.first(&self.container(name).join("started"), b"")
    }

    /// How much of a container's log is in the store.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn shipped(&self, name: &str) -> io::Result<u64> {
        Ok(self.read(&self.container(name).join("shipped"))?.unwrap_or(0))
    }

    /// Notes how much of a container's log is in the store.
    ///
    /// # Errors
    /// When it can't be noted.
    pub fn note_shipped(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.note(&self.container(name).join("shipped"), &bytes)
    }

    /// Holds a container's lock for as long as the answer lives; none when another process holds it.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn hold(&self, name: &str) -> io::Result<Option<File>> {
        let path = self.container(name).join("lock");
        if let Ok(held) = File::open(&path)
            && flock(&held, FlockOperation::NonBlockingLockShared).is_err()
        {
            return Ok(None);
        }
        // Held before it has its name, so that who finds it finds it held.
        let new = self.beside(&path, b"")?;
        let held = OpenOptions::new().read(true).open(&new)?;
        flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(new, path)?;
        Ok(Some(held))
    }

    /// Waits until nobody holds a container's lock any more; false where nobody ever held it.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn wait_for_end(&self, name: &str) -> io::Result<bool> {
        match File::open(self.container(name).join("lock")) {
            Ok(held) => loop {
                match flock(&held, FlockOperation::LockShared) {
                    Ok(()) => return Ok(true),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
