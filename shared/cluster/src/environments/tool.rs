//! The installers: `uv`, or the interpreter's pip.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder::{Held, Work};
use super::lockfile::{Entry, Package};
use super::output::{self, Attempt, Transcript};
use super::trees::TreeLock;
use super::{Error, Lock, Options, Phase, Target};
use crate::python::Interpreter;

mod pip;
mod uv;

/// What chooses versions and installs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// uv.
    Uv(PathBuf),
    /// The interpreter's own pip, which installs into environments that have none.
    Pip,
    /// The pip that ensurepip puts into an environment: the interpreter has none, or one too old to do the above.
    EnsuredPip,
}

/// The pip that first has both `--report` (22.2) and `--python`.
const CAPABLE_PIP: (u32, u32) = (22, 3);

/// The Python that uv still installs for.
const UV_SINCE: (u32, u32) = (3, 8);

/// One use of an installer.
pub(super) struct Job<'a> {
    pub environment: &'a str,
    pub lock_file: &'a Path,
    pub held: &'a Held,
    pub options: &'a Options,
}

impl Tool {
    pub fn of(options: &Options, python: &Interpreter) -> Result<Self, Error> {
        if let Some(path) = options.wheels.as_ref().filter(|path| !path.is_dir()) {
            return Err(Error::NoWheels { path: path.clone() });
        }
        let minor = (python.version.major, python.version.minor);
        match &options.uv {
            Some(uv) if minor >= UV_SINCE => Ok(Self::Uv(uv.clone())),
            _ if python.pip.is_some_and(|pip| pip >= CAPABLE_PIP) => Ok(Self::Pip),
            _ if python.ensurepip => Ok(Self::EnsuredPip),
            _ => Err(Error::NoInstaller { python: python.executable.clone() }),
        }
    }

    /// The exact packages that answer a wish, sorted; those for another machine where there is a target.
    pub fn resolve(
        &self,
        job: &Job,
        wish: &Entry,
        python: &Interpreter,
        target: Option<&Target>,
        report: &dyn Fn(Phase),
    ) -> Result<Vec<Package>, Error> {
        let work = Work::new(job.held)?;
        let file = work.path().join("requirements.in");
        let lines: Vec<String> = wish.requirements.iter().map(|line| job.rooted(line)).collect();
        job.write(&file, &lines)?;
        let mut packages = match self {
            Self::Uv(uv) => uv::resolve(uv, job, &file, &lines, python, target, report)?,
            Self::Pip => pip::resolve(job, &file, work.path(), python, target, report)?,
            Self::EnsuredPip => pip::resolve_by_download(job, &file, work.path(), python, target, report)?,
        };
        packages.sort();
        Ok(packages)
    }

    /// Makes an environment with a lock's packages at `home`, compiled to bytecode.
    pub fn install(&self, job: &Job, lock: &Lock, home: &Path, report: &dyn Fn(Phase)) -> Result<(), Error> {
        let python = &lock.python.interpreter;
        match self {
            Self::Uv(uv) => uv::create(uv, job, home, python)?,
            Self::Pip => pip::create(job, home, python, &["--without-pip"])?,
            Self::EnsuredPip => pip::create(job, home, python, &[])?,
        }
        let count = lock.entry.packages.len();
        report(Phase::Installing {
            package: format!("{count} package{}", if count == 1 { "" } else { "s" }),
        });
        let work = Work::new(job.held)?;
        for Locked { file, is_hashed } in job.locked(&work, &lock.entry, &lock.options)? {
            match self {
                Self::Uv(uv) => uv::install(uv, job, &file, home, python, is_hashed, report)?,
                Self::Pip | Self::EnsuredPip => {
                    pip::install(job, &file, home, python, *self == Self::Pip, is_hashed, report)?;
                }
            }
        }
        Ok(())
    }

    /// Puts a lock's packages for another machine into the folder `into`, as files alone: nothing is compiled.
    pub fn collect(
        &self,
        job: &Job,
        lock: &TreeLock,
        into: &Path,
        report: &dyn Fn(Phase),
    ) -> Result<(), Error> {
        let work = Work::new(job.held)?;
        let inside = work.path().join("venv");
        let python = match self {
            Self::EnsuredPip => {
                pip::create(job, &inside, &lock.python, &[])?;
                &inside.join("bin/python")
            }
            Self::Uv(_) | Self::Pip => &lock.python.executable,
        };
        for Locked { file, is_hashed } in job.locked(&work, &lock.entry, &lock.options)? {
            match self {
                Self::Uv(uv) => {
                    uv::collect(uv, job, &file, (into, &lock.target), &lock.python, is_hashed, report)?
                }
                Self::Pip | Self::EnsuredPip => {
                    pip::collect(job, &file, (into, &lock.target), python, is_hashed, report)?;
                }
            }
        }
        Ok(())
    }
}

/// A requirements file that names what is locked.
struct Locked {
    file: PathBuf,
    is_hashed: bool,
}

impl Job<'_> {
    /// Writes what is locked. In one file with hashes, everything must have one; a package from a commit cannot.
    fn locked(&self, work: &Work, entry: &Entry, options: &[String]) -> Result<Vec<Locked>, Error> {
        let (hashed, plain): (Vec<_>, Vec<_>) =
            entry.packages.iter().partition(|package| !package.hashes.is_empty());
        let mut files = Vec::new();
        for (packages, is_hashed) in [(hashed, true), (plain, false)] {
            if packages.is_empty() {
                continue;
            }
            let file = work.path().join(if is_hashed { "hashed.txt" } else { "plain.txt" });
            let options = options.iter().map(|line| self.rooted(line));
            let lines: Vec<String> = options.chain(packages.iter().map(|package| package.line())).collect();
            self.write(&file, &lines)?;
            files.push(Locked { file, is_hashed });
        }
        Ok(files)
    }

    /// Runs a step of the installer in the lock file's folder, where the person's relative paths start.
    fn run(
        &self,
        command: &mut Command,
        target: &Path,
        is_resolving: bool,
        report: &dyn Fn(Phase),
    ) -> Result<Transcript, Error> {
        for name in [
            // The person's own environments and install targets: the packages go to ours.
            "VIRTUAL_ENV",
            "CONDA_PREFIX",
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONSTARTUP",
            "PYTHONUSERBASE",
            "PYTHONDONTWRITEBYTECODE",
            "PIP_TARGET",
            "PIP_PREFIX",
            "PIP_ROOT",
            "PIP_PYTHON",
            "PIP_LOG",
            "UV_PYTHON",
            "UV_TARGET",
            "UV_PREFIX",
            "UV_SYSTEM_PYTHON",
            "UV_PROJECT",
            "UV_PROJECT_ENVIRONMENT",
            "UV_WORKING_DIRECTORY",
        ] {
            command.env_remove(name);
        }
        command
            .current_dir(self.root())
            .env("NO_COLOR", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("PIP_USER", "0")
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("UV_PYTHON_DOWNLOADS", "never");
        let mut hear = |line: &str| {
            if let Some(phase) = output::phase(line) {
                report(phase);
            }
        };
        let program = PathBuf::from(command.get_program());
        let (status, transcript) = output::run(command, self.held.stdin()?, &mut hear)
            .map_err(|source| Error::Start { program, source })?;
        if status.success() {
            return Ok(transcript);
        }
        let attempt = Attempt {
            environment: self.environment,
            options: self.options,
            lock_file: self.lock_file,
            target,
            is_resolving,
        };
        Err(output::failure(&attempt, &transcript.log))
    }

    fn root(&self) -> &Path {
        self.lock_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn write(&self, file: &Path, lines: &[String]) -> Result<(), Error> {
        let written = std::fs::File::create(file)
            .and_then(|mut file| file.write_all((lines.join("\n") + "\n").as_bytes()));
        written.map_err(|error| self.unwritten(file, error))
    }

    pub fn unwritten(&self, path: &Path, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::StorageFull {
            return Error::DiskFull { environment: self.environment.to_owned(), path: path.to_owned() };
        }
        Error::Unwritable { path: path.to_owned(), source }
    }

    /// A file of the project by its path from the root, so that the lock means the same on another machine.
    fn relative(&self, url: &str) -> Option<String> {
        let root = std::path::absolute(self.root()).ok()?;
        let path = Path::new(url.strip_prefix("file://")?).strip_prefix(root).ok()?;
        // An encoded name would have to be decoded to be a path again.
        path.to_str().filter(|path| !path.contains('%')).map(|path| format!("./{path}"))
    }

    /// A `--find-links` folder of the requirements, which is meant from the root, as pip and uv both read it from
    /// the file in our work folder.
    fn rooted(&self, line: &str) -> String {
        let folder = line.split_once([' ', '=']).filter(|(word, _)| ["-f", "--find-links"].contains(word));
        match folder.map(|(_, folder)| std::path::absolute(self.root().join(folder))) {
            Some(Ok(path)) if path.is_dir() => format!("--find-links {}", path.display()),
            _ => line.to_owned(),
        }
    }
}
