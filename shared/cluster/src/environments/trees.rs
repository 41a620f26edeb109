//! Locked packages for pods: an importable folder for another machine's Python, as one file whose bytes depend on
//! nothing but the packages, so that it is named by its hash and stored once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{Held, remove};
use super::lockfile::{Entry, LockFile};
use super::tool::{Job, Tool};
use super::{Environments, Error, Phase, Progress, Target};
use crate::parcel::{self, Entry as Packed, Parcel};
use crate::python::Interpreter;
use crate::settings::Requirements;

/// Requirements with exact versions and hashes, for a Python of another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLock {
    /// SHA-256 of the locked packages, the Python and the machine.
    pub hash: String,
    /// What they are for.
    pub target: Target,
    pub(super) python: Interpreter,
    pub(super) entry: Entry,
    pub(super) options: Vec<String>,
    file: PathBuf,
}

/// A packed folder.
pub type Tree = Parcel;

impl Environments {
    /// The lock of an image's requirements for another machine's Python. `python` is the interpreter whose installer
    /// chooses; it need not be of the target's version.
    ///
    /// # Errors
    /// Where the requirements cannot be resolved, or the lock file cannot be read or written.
    pub fn lock_tree(
        &self,
        name: &str,
        requirements: &Requirements,
        target: Target,
        python: &Interpreter,
        lock_file: &Path,
        progress: &dyn Fn(Progress),
    ) -> Result<TreeLock, Error> {
        let wish = Entry::wish_for(name, requirements, &target);
        let entry = match LockFile::load(lock_file)?.find(&wish) {
            Some(entry) => entry,
            None => self.resolve(wish, python, Some(&target), lock_file, progress)?.0,
        };
        Ok(TreeLock {
            hash: entry.hash(),
            target,
            python: python.clone(),
            entry,
            options: requirements.options.clone(),
            file: lock_file.to_owned(),
        })
    }

    /// The packed folder of a lock, made where the cache does not have it.
    ///
    /// # Errors
    /// Where its packages cannot be fetched, one has no wheel for the target, or the cache cannot be written.
    pub fn tree(&self, lock: &TreeLock, progress: &dyn Fn(Progress)) -> Result<Tree, Error> {
        let environment = format!("{} ({})", lock.entry.image, lock.target);
        let report = |phase| progress(Progress { environment: environment.clone(), phase });
        let home = self.cache.join("packed").join(&lock.hash);
        if let Some(tree) = Parcel::at(&home) {
            return Ok(tree);
        }
        let held = Held::take(&home.with_extension("lock"), || report(Phase::Waiting))?;
        if let Some(tree) = Parcel::at(&home) {
            return Ok(tree);
        }
        let folder = home.with_extension("files");
        let job = self.job(&environment, &lock.file, &held);
        let tree = self.collect(&job, lock, &folder, &report).and_then(|()| {
            let files = importable(&folder).map_err(|error| job.unwritten(&folder, error))?;
            Parcel::make(&home, &files).map_err(|error| job.unwritten(&home, error))
        });
        // The next one to build it removes what cannot be removed now.
        let _ = remove(&folder);
        report(Phase::Done);
        tree
    }

    fn collect(
        &self,
        job: &Job,
        lock: &TreeLock,
        folder: &Path,
        report: &dyn Fn(Phase),
    ) -> Result<(), Error> {
        let made = remove(folder).and_then(|()| fs::create_dir(folder));
        made.map_err(|error| job.unwritten(folder, error))?;
        let count = lock.entry.packages.len();
        report(Phase::Installing {
            package: format!("{count} package{}", if count == 1 { "" } else { "s" }),
        });
        Tool::of(&self.options, &lock.python)?.collect(job, lock, folder, report)
    }
}

/// Files that tell of this machine: who installed, from which path, when.
const OWN_NOTES: [&str; 4] = ["INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"];

/// The folder's files, without what tells of the machine that made it.
fn importable(folder: &Path) -> io::Result<Vec<Packed>> {
    let mut files = Vec::new();
    for found in parcel::files_below(folder)? {
        let path = Path::new(&found.path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_info = path.parent().is_some_and(is_info);
        if path.components().any(|part| part.as_os_str() == "__pycache__") || name == ".lock" {
            continue;
        }
        match name {
            name if is_info && OWN_NOTES.contains(&name) => continue,
            "RECORD" if is_info => files.push(found.rewritten(record)?),
            _ if path.starts_with("bin") => files.push(found.rewritten(program)?),
            _ => files.push(found),
        }
    }
    Ok(files)
}

fn is_info(folder: &Path) -> bool {
    folder.extension().is_some_and(|extension| extension == "dist-info")
}

/// A package's list of files without those that are not as its wheel had them.
fn record(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(text) = String::from_utf8(bytes) else { return Vec::new() };
    let changes = |line: &&str| {
        let path = Path::new(line.split(',').next().unwrap_or_default());
        let is_note = path.file_name().is_some_and(|name| OWN_NOTES.iter().any(|note| name == *note));
        let is_program = path.components().any(|part| part.as_os_str() == "bin");
        let is_compiled = path.extension().is_some_and(|extension| extension == "pyc");
        is_program || is_compiled || (is_note && path.parent().is_some_and(is_info))
    };
    let mut lines: Vec<&str> = text.lines().filter(|line| !changes(line)).collect();
    lines.sort_unstable();
    lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
}

/// What a script begins with wherever Python lies in an image.
const SHEBANG: &str = "#!/usr/bin/env python3\n";

/// A script whose first line names this machine's interpreter, with one that finds the image's. Where that name is
/// long or has blanks, installers write three lines for the shell that start it.
fn program(bytes: Vec<u8>) -> Vec<u8> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return bytes };
    let first = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let rest = &bytes[end + 1..];
    let body = match first.as_str() {
        "#!/bin/sh" if rest.starts_with(b"'''exec'") => {
            let mut lines = rest.splitn(3, |byte| *byte == b'\n');
            lines.nth(2).unwrap_or_default()
        }
        line if line.starts_with("#!") && line.contains("python") => rest,
        _ => return bytes,
    };
    [SHEBANG.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_finds_the_python_of_its_image() {
        let of = |text: &str| String::from_utf8(program(text.as_bytes().to_vec())).unwrap();
        assert_eq!(of("#!/home/me/.cache/python3.11\nimport x\n"), "#!/usr/bin/env python3\nimport x\n");
        let long = "#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''\nimport x\n";
        assert_eq!(of(long), "#!/usr/bin/env python3\nimport x\n");
        assert_eq!(of("#!/bin/sh\necho 1\n"), "#!/bin/sh\necho 1\n");
        assert_eq!(of("\u{7f}ELF"), "\u{7f}ELF");
    }

    #[test]
    fn a_record_names_only_what_the_wheel_held() {
        let text = "x/b.py,sha256=1,2\nx-1.dist-info/INSTALLER,sha256=2,3\n../../bin/x,sha256=9,9\nx/a.py,sha256=1,2\n\
                    x/__pycache__/a.cpython-311.pyc,,\nx/INSTALLER,,\n";
        let kept = String::from_utf8(record(text.as_bytes().to_vec())).unwrap();
        assert_eq!(kept, "x/INSTALLER,,\nx/a.py,sha256=1,2\nx/b.py,sha256=1,2\n");
    }
}
