//! A folder of a person's own with the real command in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything awaited takes: a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command that is tested.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dropforge");

/// A folder with a store, and with a claim `box` whose files steps and test share.
///
/// Steps that shall not end wait as long as `box/hold` exists: they end at the latest with this folder.
pub struct Bench {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Answer {
    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Answer {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that standard error says all of this.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Answer {
        for part in parts {
            assert!(self.stderr.contains(part), "not said: {part:?}\n{self}");
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}\n{self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Bench {
    /// An empty folder with the claim's settings.
    pub fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.in_box("")).unwrap();
        bench.write("dropforge.toml", "[claims]\nbox = \"box\"\n");
        bench
    }

    /// The folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path(".dropforge")
    }

    /// A file of the claim.
    pub fn in_box(&self, name: &str) -> PathBuf {
        self.path("box").join(name)
    }

    /// Writes a file, with its folders.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The lines of a file of the claim; none where there is no file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.in_box(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Makes steps that look for it wait.
    pub fn hold(&self) {
        File::create(self.in_box("hold")).unwrap();
    }

    /// Lets them go on.
    pub fn let_go(&self) {
        fs::remove_file(self.in_box("hold")).unwrap();
    }

    /// The command, in the folder, with nothing of the person's who runs the tests but PATH.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.command_of(Path::new(PROGRAM), arguments)
    }

    /// The same of a copy of the program.
    pub fn command_of<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("USER", "tester");
        command.stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub fn dropforge(&self, arguments: &[&str]) -> Answer {
        self.start(arguments).end()
    }

    /// Starts the command.
    pub fn start(&self, arguments: &[&str]) -> Running<'_> {
        self.start_command(&mut self.command(arguments))
    }

    /// Starts a command whose output goes to files, so that it never waits for who reads it.
    pub fn start_command(&self, command: &mut Command) -> Running<'_> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Running { bench: self, child, folder }
    }

    /// Writes the manifest and starts `run` with it under this name.
    pub fn start_run(&self, manifest: &str, name: &str) -> Running<'_> {
        self.write(&format!("{name}.yaml"), manifest);
        self.start(&["run", &format!("{name}.yaml"), "--name", name])
    }

    /// Writes the manifest and runs it under this name.
    pub fn run(&self, manifest: &str, name: &str) -> Answer {
        self.start_run(manifest, name).end()
    }

    /// Everything `explain` says of a run.
    #[track_caller]
    pub fn explain(&self, run: &str) -> Value {
        self.dropforge(&["explain", run, "-o", "json"]).exits(0).json()
    }

    /// Waits until a run has a record of this kind.
    #[track_caller]
    pub fn wait_for_record(&self, run: &str, kind: &str) {
        until(&format!("a record {kind} of {run}"), || {
            let explained = self.explain(run);
            let records = explained["records"].as_array();
            records.into_iter().flatten().any(|record| record["record"] == kind).then_some(())
        });
    }

    /// Everything `explain` says of a node.
    #[track_caller]
    pub fn explain_node(&self, run: &str, node: &str) -> Value {
        self.dropforge(&["explain", run, node, "-o", "json"]).exits(0).json()
    }

    /// `(display name, phase)` of all nodes, sorted.
    #[track_caller]
    pub fn phases(&self, run: &str) -> Vec<(String, String)> {
        let object = self.dropforge(&["get", run, "-o", "json"]).exits(0).json();
        let nodes = object["status"]["nodes"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut phases: Vec<_> =
            nodes.values().map(|node| (text(&node["displayName"]), text(&node["phase"]))).collect();
        phases.sort();
        phases
    }

    /// The process that runs the store's steps.
    pub fn supervisor(&self) -> Option<i32> {
        let about = fs::read(self.store().join("supervisor/supervisor.json")).ok()?;
        let about: Value = serde_json::from_slice(&about).ok()?;
        about["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits until a file of the claim is there and not empty; gives its text.
    #[track_caller]
    pub fn wait_for_file(&self, name: &str) -> String {
        until(&format!("file {name}"), || {
            fs::read_to_string(self.in_box(name)).ok().filter(|text| text.ends_with('\n'))
        })
    }

    /// The journals of all runs, whole.
    pub fn journals(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.store().join("journals")).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        files.map(|file| file.path()).collect()
    }
}

impl Drop for Bench {
    /// Nothing a test started outlives it, also when it fails.
    fn drop(&mut self) {
        let _ = fs::remove_file(self.in_box("hold"));
        if let Some(pid) = self.supervisor().filter(|pid| is_supervisor_of(*pid, &self.store())) {
            signal(pid, Signal::KILL);
        }
    }
}

fn is_supervisor_of(pid: i32, store: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let parts: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let store = fs::canonicalize(store).unwrap_or_default();
    parts.contains(&store.as_os_str().as_encoded_bytes()) && parts.contains(&b"supervisor".as_slice())
}

/// A command under way; it is killed when the test is done with it.
pub struct Running<'b> {
    bench: &'b Bench,
    child: Child,
    folder: TempDir,
}

impl Running<'_> {
    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it says this on standard error.
    #[track_caller]
    pub fn wait_until_said(&self, part: &str) {
        until(&format!("{part:?} on standard error"), || self.stderr().contains(part).then_some(()));
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Answer {
        let mut status: Option<ExitStatus> = None;
        let ended = within(|| {
            status = self.child.try_wait().unwrap();
            status
        });
        let answer =
            Answer { code: ended.and_then(|s| s.code()), stdout: self.stdout(), stderr: self.stderr() };
        assert!(ended.is_some(), "it does not end in {}\n{answer}", self.bench.folder.path().display());
        answer
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let has_ended = !matches!(self.child.try_wait(), Ok(None));
        // Of a test that waits in vain, its part is told.
        if std::thread::panicking() {
            println!("{} has ended: {has_ended}\n{}{}", self.pid(), self.stdout(), self.stderr());
        }
        if !has_ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal to a process that may be gone.
pub fn signal(pid: i32, which: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, which);
    }
}

/// Whether there is such a process, and it has not ended.
pub fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in brackets.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for a fact.
#[track_caller]
pub fn until<T>(what: &str, fact: impl FnMut() -> Option<T>) -> T {
    within(fact).unwrap_or_else(|| panic!("waited in vain for {what}"))
}

#[expect(clippy::disallowed_methods, reason = "other processes are watched from outside: there is no event")]
fn within<T>(mut fact: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = fact() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    None
}
