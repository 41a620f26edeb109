//! Workflows that Hera, Argo's Python SDK, writes run as they are: `python pipeline.py | dropforge run -`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use bench::Bench;

/// The release that is tested, with what it needs to write YAML.
const HERA: &str = "hera[yaml]==7.1.0";

/// A Python with Hera, installed once for each build folder; or why there is none.
fn python() -> Result<&'static Path, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hera");
        let python = environment.join("bin/python");
        if Command::new(&python)
            .args(["-c", "import hera.workflows, yaml"])
            .output()
            .is_ok_and(|o| o.status.success())
        {
            return Ok(python);
        }
        said(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        said(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            HERA,
        ]))?;
        Ok(python)
    });
    made.as_deref().map_err(Clone::clone)
}

fn said(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|why| why.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed");
    if output.status.success() { Ok(()) } else { Err(last.to_owned()) }
}

/// Pipes what a script prints into `run -`; gives the lines of the run's logs, or nothing where Hera can't be had.
#[track_caller]
fn run(bench: &Bench, script: &str) -> Option<Vec<String>> {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            println!("SKIPPED: Hera's {script} ({HERA} can't be installed: {why})");
            return None;
        }
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hera").join(script);
    let mut hera = Command::new(python).arg(path).stdout(Stdio::piped()).spawn().unwrap();
    let mut command = bench.command(["run", "-", "--name", "piped", "--no-logs", "--offline"]);
    command.stdin(hera.stdout.take().unwrap());
    bench.start_command(&mut command).end().exits(0);
    assert!(hera.wait().unwrap().success());
    let mut lines: Vec<String> =
        bench.dropforge(&["logs", "piped"]).exits(0).stdout.lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}

#[test]
fn scripts_in_a_dag_pass_parameters_results_artifacts_and_lists() {
    let Some(lines) = run(&Bench::new(), "dag.py") else { return };
    assert_eq!(lines, ["each(0:1): 1", "each(1:2): 4", "each(2:3): 9", "last: 81", "show: last 81 of 14"]);
}

#[test]
fn steps_run_beside_each_other_with_conditions_loops_retries_and_an_exit_handler() {
    let Some(lines) = run(&Bench::new(), "steps.py") else { return };
    let expected = [
        "both(0:a)(0): a",
        "both(1:b)(0): b",
        "flip: heads",
        "heads(0): it is heads",
        "piped.onExit: bye Succeeded",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn templates_and_schedules_are_stored_beside_the_workflow_that_calls_them() {
    let bench = Bench::new();
    let Some(lines) = run(&bench, "stored.py") else { return };
    assert_eq!(lines, ["moon: hello moon"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hera/stored.py");
    let written = Command::new(python().unwrap()).arg(path).output().unwrap().stdout;
    let text = String::from_utf8(written).unwrap();
    let definitions: Vec<&str> =
        text.split("---\n").filter(|part| !part.contains("kind: Workflow\n")).collect();
    bench.write("definitions.yaml", definitions.join("---\n"));
    bench.dropforge(&["apply", "definitions.yaml"]).exits(0);
    assert!(bench.dropforge(&["cron", "list"]).exits(0).stdout.contains("0 6 * * * (Europe/Vienna)"));
    bench.dropforge(&["run", "--from", "cronwf/daily", "--name", "by-hand", "--offline"]).exits(0);
    assert_eq!(bench.dropforge(&["logs", "by-hand", "--no-prefix"]).exits(0).stdout, "hello world\n");
}
