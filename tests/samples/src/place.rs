//! A folder with a copy of a sample, where the command runs, and as whom.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use walkdir::WalkDir;

use crate::program::{Ended, Running};

/// Settings of the person at the keyboard that would lead a test elsewhere.
const UNSET: [&str; 5] =
    ["DROPFORGE_STORE", "DROPFORGE_LOG", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"];

/// Who types the commands.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Another user, where this one may become any.
    pub user: Option<u32>,
    /// What every command is run by.
    pub wrapper: Vec<OsString>,
    /// Their environment where it differs.
    pub variables: Vec<(String, OsString)>,
}

impl Person {
    /// A command of this person.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let program = program.into();
        let mut words = self.wrapper.iter().chain([&program]);
        let mut command = Command::new(words.next().expect("the program is one word at least"));
        command.args(words).envs(self.variables.iter().cloned());
        for name in UNSET {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            // The library drops further groups when root changes its user.
            command.uid(user).gid(user);
        }
        command
    }
}

/// A sample's copy, in which its person is at work.
pub struct Place {
    folder: TempDir,
    sample: PathBuf,
    binary: PathBuf,
    person: Person,
    calls: AtomicUsize,
}

impl Place {
    /// Copies a sample. Neither a store nor a lock file comes along, and none is left behind.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn of(sample: &str, binary: &Path, person: &Person) -> Place {
        let folder = tempfile::Builder::new().prefix("dropforge-sample-").tempdir();
        let folder = folder.expect("there is a folder for temporary files");
        let place = Place {
            sample: folder.path().join(sample),
            binary: person.user.map_or(binary.to_path_buf(), |_| folder.path().join("dropforge")),
            folder,
            person: person.clone(),
            calls: AtomicUsize::new(0),
        };
        copy(&samples().join(sample), &place.sample);
        if let Some(user) = person.user {
            // The build's folder may be one that only this user can enter.
            fs::copy(binary, &place.binary).expect("there is room for the binary");
            give(place.folder.path(), user);
        }
        place
    }

    /// The sample's copy.
    pub fn sample(&self) -> &Path {
        &self.sample
    }

    /// Where its store keeps an object: a key of the default artifact repository, or an S3 URL.
    pub fn object(&self, place: &str) -> PathBuf {
        let store = self.sample.join(".dropforge");
        match place.strip_prefix("s3://") {
            Some(place) => store.join("buckets").join(place),
            None => store.join("artifacts/default").join(place),
        }
    }

    /// Puts a file of the sample where a bucket is, as a person copies it there.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn put(&self, file: &str, to: &str) {
        let to = self.object(to);
        let mut command = self.by_person("sh");
        command.args(["-c", "mkdir -p \"$(dirname \"$1\")\" && cp \"$0\" \"$1\"", file]).arg(&to);
        let status = command.status().expect("there is a shell");
        assert!(status.success(), "cp {file} {}: {status}", to.display());
    }

    /// Calls the command and waits for its end.
    pub fn call(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// Calls the command.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.by_person(&self.binary);
        command.args(arguments);
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let line = format!("dropforge {}", arguments.join(" "));
        Running::start(command, line, self.folder.path().join(format!("call-{number}")))
    }

    fn by_person(&self, program: impl Into<OsString>) -> Command {
        let mut command = self.person.command(program);
        command.current_dir(&self.sample);
        command
    }
}

/// The folder of all samples.
pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samplepipelines")
}

fn copy(from: &Path, to: &Path) {
    let made_by_a_run = |name: &std::ffi::OsStr| {
        [".dropforge", "dropforge.lock", "__pycache__"].iter().any(|made| name == *made)
    };
    let files = WalkDir::new(from).into_iter().filter_entry(|entry| !made_by_a_run(entry.file_name()));
    for entry in files {
        let entry = entry.unwrap_or_else(|why| panic!("{why}"));
        let target = to.join(entry.path().strip_prefix(from).expect("it lies below"));
        let done = if entry.file_type().is_dir() {
            fs::create_dir_all(&target)
        } else {
            fs::copy(entry.path(), &target).map(drop)
        };
        done.unwrap_or_else(|why| panic!("copy {}: {why}", entry.path().display()));
    }
}

/// Makes a folder and all below it another user's.
fn give(folder: &Path, user: u32) {
    for entry in WalkDir::new(folder) {
        let entry = entry.unwrap_or_else(|why| panic!("{why}"));
        let given = std::os::unix::fs::lchown(entry.path(), Some(user), Some(user));
        given.unwrap_or_else(|why| panic!("chown {}: {why}", entry.path().display()));
    }
}
