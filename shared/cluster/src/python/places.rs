//! Where interpreters may lie.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Wanted;
use crate::probe;

/// The folders that are searched for interpreters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The folders of PATH, in order.
    pub path: Vec<PathBuf>,
    /// pyenv's root folder.
    pub pyenv: Option<PathBuf>,
    /// The folder in which uv keeps the interpreters it installed.
    pub uv: Option<PathBuf>,
}

/// A program that may be an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub program: PathBuf,
    /// The version that its name promises, such as `3.9`.
    pub version: Option<Wanted>,
    /// A shim answers differently as pyenv's settings change, though its file does not: never remembered.
    pub is_shim: bool,
}

impl Candidate {
    pub fn is_named(&self, wanted: Wanted) -> bool {
        self.version.is_some_and(|named| {
            named.major == wanted.major && wanted.minor.is_some() && named.minor == wanted.minor
        })
    }
}

impl Places {
    /// The places of this machine, as its environment names them.
    pub fn of_this_machine() -> Self {
        let path: Vec<PathBuf> =
            env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        let home = env::home_dir();
        let pyenv =
            env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| home.map(|home| home.join(".pyenv")));
        let uv = program(&path, "uv")
            .and_then(|uv| probe::ask(Command::new(uv).args(["python", "dir", "--offline"])))
            .map(|folder| PathBuf::from(folder.trim()));
        Self { pyenv: pyenv.filter(|root| root.join("versions").is_dir()), uv, path }
    }

    /// Programs in order of preference: the default first, then PATH, pyenv and uv.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for name in ["python3", "python"] {
            for folder in &self.path {
                add(&mut all, folder.join(name), None, self.is_shims(folder));
            }
        }
        // A shim for python3.9 only leads to pyenv's versions, which are listed themselves.
        for folder in self.path.iter().filter(|folder| !self.is_shims(folder)) {
            for (name, version) in versions(folder, "python") {
                add(&mut all, folder.join(name), Some(version), false);
            }
        }
        let pyenv = self.pyenv.as_ref().map(|root| (root.join("versions"), ""));
        let uv = self.uv.clone().map(|folder| (folder, "cpython-"));
        for (folder, prefix) in pyenv.into_iter().chain(uv) {
            for (name, version) in versions(&folder, prefix) {
                add(&mut all, folder.join(name).join("bin/python3"), Some(version), false);
            }
        }
        all
    }

    fn is_shims(&self, folder: &Path) -> bool {
        self.pyenv.as_ref().is_some_and(|root| root.join("shims") == folder)
    }
}

fn add(all: &mut Vec<Candidate>, program: PathBuf, version: Option<Wanted>, is_shim: bool) {
    if program.is_file() && all.iter().all(|known| known.program != program) {
        all.push(Candidate { program, version, is_shim });
    }
}

/// The entries of a folder that are called `<prefix><version>`, newest first; what follows a `-` or `+` after the
/// version is not looked at (`cpython-3.11.7-linux-x86_64-gnu`).
fn versions(folder: &Path, prefix: &str) -> Vec<(String, Wanted)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |name: String| {
        let rest = name.strip_prefix(prefix)?;
        let digits = rest.split(['-', '+']).next()?;
        let version: Wanted = digits.parse().ok().filter(|wanted: &Wanted| wanted.minor.is_some())?;
        // `python3.11-config` is a script beside the interpreter.
        (prefix != "python" || digits == rest).then_some((name, version))
    };
    let mut found: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter_map(named).collect();
    found.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    found
}

/// The first file of that name in the folders of a PATH.
pub(crate) fn program(path: &[PathBuf], name: &str) -> Option<PathBuf> {
    path.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}
