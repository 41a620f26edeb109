//! pip's commands, its report, and the files it downloads.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Job;
use crate::environments::lockfile::Package;
use crate::environments::{Error, Phase, Target};
use crate::python::Interpreter;

/// Asks pip for a report of what it would install.
pub(super) fn resolve(
    job: &Job,
    file: &Path,
    work: &Path,
    python: &Interpreter,
    target: Option<&Target>,
    report: &dyn Fn(Phase),
) -> Result<Vec<Package>, Error> {
    let list = work.join("report.json");
    let mut command = match target {
        None => pip_command(job, &python.executable, None, "install"),
        Some(target) => target_command(job, &python.executable, target, "install"),
    };
    if target.is_some() {
        // pip takes another platform only with a folder of its own, which a dry run leaves empty.
        command.arg("--target").arg(work.join("nothing"));
    }
    command.args(["--dry-run", "--ignore-installed", "--report"]).arg(&list).arg("-r").arg(file);
    job.run(&mut command, work, true, report)?;
    let unread =
        |reason: String| Error::Resolve { environment: job.environment.to_owned(), package: None, reason };
    let text = std::fs::read(&list).map_err(|error| unread(format!("pip wrote no report: {error}")))?;
    let said: Report = serde_json::from_slice(&text)
        .map_err(|error| unread(format!("pip's report cannot be read: {error}")))?;
    said.install.into_iter().map(|item| item.package(job)).collect()
}

/// For a pip that is too old to write a report: its downloads say the same.
pub(super) fn resolve_by_download(
    job: &Job,
    file: &Path,
    work: &Path,
    python: &Interpreter,
    target: Option<&Target>,
    report: &dyn Fn(Phase),
) -> Result<Vec<Package>, Error> {
    let home = work.join("venv");
    let folder = work.join("files");
    create(job, &home, python, &[])?;
    let inside = home.join("bin/python");
    let mut command = match target {
        None => pip_command(job, &inside, None, "download"),
        Some(target) => target_command(job, &inside, target, "download"),
    };
    command.arg("--dest").arg(&folder).arg("-r").arg(file);
    job.run(&mut command, work, true, report)?;
    let unread = |error: std::io::Error| job.unwritten(&folder, error);
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let requirement = file_requirement(name).ok_or_else(|| Error::Resolve {
            environment: job.environment.to_owned(),
            package: Some(name.to_owned()),
            reason: "its file's name does not say its version, and this Python's pip tells nothing else; install uv".to_owned(),
        })?;
        packages.push(Package {
            requirement,
            hashes: vec![format!("sha256:{}", digest(&path).map_err(unread)?)],
        });
    }
    Ok(packages)
}

/// Makes an empty environment.
pub(super) fn create(job: &Job, home: &Path, python: &Interpreter, options: &[&str]) -> Result<(), Error> {
    let mut command = Command::new(&python.executable);
    command.args(["-I", "-m", "venv"]).args(options).arg(home);
    job.run(&mut command, home, false, &|_| ()).map(drop)
}

/// Installs a locked file into the environment at `home`, by the interpreter's pip or by the environment's.
pub(super) fn install(
    job: &Job,
    file: &Path,
    home: &Path,
    python: &Interpreter,
    from_outside: bool,
    is_hashed: bool,
    report: &dyn Fn(Phase),
) -> Result<(), Error> {
    let inside = home.join("bin/python");
    let mut command = match from_outside {
        true => pip_command(job, &python.executable, Some(&inside), "install"),
        false => pip_command(job, &inside, None, "install"),
    };
    command.args(["--no-deps", "--compile", "-r"]).arg(file);
    if is_hashed {
        command.arg("--require-hashes");
    }
    job.run(&mut command, home, false, report).map(drop)
}

/// Installs a locked file for another machine into the folder `into`.
pub(super) fn collect(
    job: &Job,
    file: &Path,
    (into, target): (&Path, &Target),
    python: &Path,
    is_hashed: bool,
    report: &dyn Fn(Phase),
) -> Result<(), Error> {
    let mut command = target_command(job, python, target, "install");
    command.args(["--no-deps", "--no-compile", "--target"]).arg(into).arg("-r").arg(file);
    if is_hashed {
        command.arg("--require-hashes");
    }
    job.run(&mut command, into, false, report).map(drop)
}

/// Lets pip read the conditions of requirements, such as `platform_machine == "x86_64"`, as the other machine would:
/// of itself it reads them as its own interpreter, whatever platform it is asked for.
const AS_TARGET: &str = r#"
import runpy, sys
from pip._vendor.packaging import markers
python, machine = sys.argv[1:3]
del sys.argv[1:3]
own = markers.default_environment
def other():
    return {**own(), "python_version": python, "python_full_version": python + ".0", "implementation_version": python + ".0",
            "implementation_name": "cpython", "platform_python_implementation": "CPython", "platform_machine": machine,
            "platform_system": "Linux", "sys_platform": "linux", "os_name": "posix"}
markers.default_environment = other
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"#;

fn target_command(job: &Job, python: &Path, target: &Target, verb: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-I", "-u", "-c", AS_TARGET, &target.python(), target.machine.name()]);
    with_options(&mut command, job, verb);
    command.args(target.pip_arguments());
    command
}

fn pip_command(job: &Job, python: &Path, target: Option<&Path>, verb: &str) -> Command {
    let mut command = Command::new(python);
    // `-I` hides the person's own packages, `-u` lets progress through a pipe at once.
    command.args(["-I", "-u", "-m", "pip"]);
    if let Some(target) = target {
        command.arg("--python").arg(target);
    }
    with_options(&mut command, job, verb);
    command
}

fn with_options(command: &mut Command, job: &Job, verb: &str) {
    command.args([verb, "--no-input", "--progress-bar", "off"]);
    if job.options.offline {
        command.arg("--no-index");
    }
    if let Some(wheels) = &job.options.wheels {
        command.arg("--find-links").arg(wheels);
    }
}

#[derive(Deserialize)]
struct Report {
    install: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    download_info: Download,
    /// Whether the person named a URL rather than a version.
    is_direct: bool,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Download {
    url: String,
    archive_info: Option<Archive>,
    vcs_info: Option<Commit>,
    subdirectory: Option<String>,
}

#[derive(Deserialize)]
struct Archive {
    /// `sha256=…`; older pips write only this.
    hash: Option<String>,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Commit {
    vcs: String,
    commit_id: String,
}

impl Item {
    fn package(self, job: &Job) -> Result<Package, Error> {
        let Self { metadata: Metadata { name, version }, download_info: from, is_direct } = self;
        let folder = from.subdirectory.map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
        match (from.archive_info, from.vcs_info) {
            (Some(archive), _) => {
                let sha256 = archive.hashes.get("sha256").map(|hex| format!("sha256:{hex}"));
                let old = || archive.hash.as_ref().map(|hash| hash.replacen('=', ":", 1));
                let requirement = match is_direct {
                    true => job.relative(&from.url).unwrap_or_else(|| format!("{name} @ {}{folder}", from.url)),
                    false => format!("{name}=={version}"),
                };
                Ok(Package { requirement, hashes: sha256.or_else(old).into_iter().collect() })
            }
            (None, Some(Commit { vcs, commit_id })) => {
                let requirement = format!("{name} @ {vcs}+{}@{commit_id}{folder}", from.url);
                Ok(Package { requirement, hashes: Vec::new() })
            }
            (None, None) => Err(Error::Resolve {
                environment: job.environment.to_owned(),
                package: Some(name),
                reason: "a folder cannot be locked; name a built wheel, or include the folder's files with [code] include"
                    .to_owned(),
            }),
        }
    }
}

/// `six-1.16.0-py2.py3-none-any.whl` and `six-1.16.0.tar.gz` are `six==1.16.0`.
fn file_requirement(file: &str) -> Option<String> {
    let (name, version) = match file.strip_suffix(".whl") {
        Some(wheel) => {
            let mut parts = wheel.split('-');
            (parts.next()?, parts.next()?)
        }
        None => {
            [".tar.gz", ".zip", ".tar.bz2"].iter().find_map(|end| file.strip_suffix(end))?.rsplit_once('-')?
        }
    };
    Some(format!("{name}=={version}"))
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut digest = Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_downloaded_file_names_its_package_and_version() {
        let of = |file| file_requirement(file);
        assert_eq!(of("six-1.16.0-py2.py3-none-any.whl").as_deref(), Some("six==1.16.0"));
        assert_eq!(of("scikit-learn-1.0.tar.gz").as_deref(), Some("scikit-learn==1.0"));
        assert_eq!(of("README"), None);
    }
}
