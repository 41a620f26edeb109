//! uv's commands and what they print.

use std::path::Path;
use std::process::Command;

use super::Job;
use crate::environments::lockfile::Package;
use crate::environments::pip_settings::{Handed, PipSettings};
use crate::environments::{Error, Phase, Target};
use crate::python::Interpreter;

pub(super) fn resolve(
    uv: &Path,
    job: &Job,
    file: &Path,
    lines: &[String],
    python: &Interpreter,
    target: Option<&Target>,
    report: &dyn Fn(Phase),
) -> Result<Vec<Package>, Error> {
    let mut command = pip_command(uv, job, "compile", python);
    command.args(target.map(Target::uv_arguments).into_iter().flatten());
    command
        .args(["--generate-hashes", "--no-header", "--no-annotate", "--python"])
        .arg(&python.executable)
        .arg(file);
    if lines.iter().any(|line| line == "--pre") {
        command.arg("--prerelease=allow");
    }
    // As with pip's own setting, see `PipSettings::for_uv`.
    if lines.iter().any(|line| line.starts_with("--extra-index-url"))
        && std::env::var_os("UV_INDEX_STRATEGY").is_none()
    {
        command.env("UV_INDEX_STRATEGY", "unsafe-best-match");
    }
    let transcript = job.run(&mut command, file, true, report)?;
    Ok(compiled(&transcript.stdout))
}

pub(super) fn create(uv: &Path, job: &Job, home: &Path, python: &Interpreter) -> Result<(), Error> {
    let mut command = Command::new(uv);
    command.args(["venv", "--no-project", "--python"]).arg(&python.executable).arg(home);
    job.run(&mut command, home, false, &|_| ()).map(drop)
}

pub(super) fn install(
    uv: &Path,
    job: &Job,
    file: &Path,
    home: &Path,
    python: &Interpreter,
    is_hashed: bool,
    report: &dyn Fn(Phase),
) -> Result<(), Error> {
    let mut command = pip_command(uv, job, "install", python);
    command
        .args(["--no-deps", "--compile-bytecode", "--python"])
        .arg(home.join("bin/python"))
        .arg("-r")
        .arg(file);
    if is_hashed {
        command.arg("--require-hashes");
    }
    job.run(&mut command, home, false, report).map(drop)
}

/// Installs a locked file for another machine into the folder `into`. Copies: a link would be the cache's own file.
pub(super) fn collect(
    uv: &Path,
    job: &Job,
    file: &Path,
    (into, target): (&Path, &Target),
    python: &Interpreter,
    is_hashed: bool,
    report: &dyn Fn(Phase),
) -> Result<(), Error> {
    let mut command = pip_command(uv, job, "install", python);
    command.args(["--no-deps", "--link-mode", "copy"]).args(target.uv_arguments());
    command.arg("--python").arg(&python.executable).arg("--target").arg(into).arg("-r").arg(file);
    if is_hashed {
        command.arg("--require-hashes");
    }
    job.run(&mut command, into, false, report).map(drop)
}

fn pip_command(uv: &Path, job: &Job, verb: &str, python: &Interpreter) -> Command {
    let Handed { environment, arguments } =
        PipSettings::of(&python.executable).for_uv(|name| std::env::var_os(name).is_some());
    let mut command = Command::new(uv);
    command.args(["pip", verb]).args(arguments).envs(environment);
    if job.options.offline {
        // Not `--no-index`: what uv has in its cache serves as well.
        command.arg("--offline");
    }
    if let Some(wheels) = &job.options.wheels {
        command.arg("--find-links").arg(wheels);
    }
    command
}

/// Reads the requirements that `uv pip compile` writes: one a line, its hashes on the lines after it.
fn compiled(text: &str) -> Vec<Package> {
    let joined = text.replace("\\\n", " ");
    let lines =
        joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
    lines.map(package).collect()
}

fn package(line: &str) -> Package {
    let mut parts = line.split(" --hash=");
    let requirement = parts.next().unwrap_or_default().trim().to_owned();
    let mut hashes: Vec<String> = parts.map(|hash| hash.trim().to_owned()).collect();
    hashes.sort();
    Package { requirement, hashes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_requirements_are_read_with_their_hashes() {
        let text =
            "six==1.16.0 \\\n    --hash=sha256:bb \\\n    --hash=sha256:aa\nmine @ git+https://h/r@c0ffee\n";
        let hashes = vec!["sha256:aa".to_owned(), "sha256:bb".to_owned()];
        let expected = [
            Package { requirement: "six==1.16.0".to_owned(), hashes },
            Package { requirement: "mine @ git+https://h/r@c0ffee".to_owned(), hashes: Vec::new() },
        ];
        assert_eq!(compiled(text), expected);
    }
}
