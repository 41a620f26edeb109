//! The command under test, and calls of it that end.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::check::tail;

/// Nothing a sample does takes longer, a cold installation of its packages included; what does hangs.
const DEADLINE: Duration = Duration::from_secs(480);

/// How often something is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So much of an output shows what went wrong.
const SHOWN_CHARACTERS: usize = 4000;

/// The binary: `DROPFORGE_BIN`, or the one of the build that this test belongs to, brought up to date.
///
/// # Panics
/// When it can't be built or is not there.
pub fn binary() -> &'static Path {
    // A build that failed once is not tried again by every test.
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found =
        BINARY.get_or_init(|| std::env::var_os("DROPFORGE_BIN").map_or_else(built, |named| Ok(named.into())));
    match found {
        Ok(binary) if binary.is_file() => binary,
        Ok(binary) => panic!("{} is not there: {BUILD_IT}", binary.display()),
        Err(why) => panic!("{why}: {BUILD_IT}"),
    }
}

const BUILD_IT: &str = "run `cargo build -p dropforge-cli`, or name the binary in DROPFORGE_BIN";

fn built() -> Result<PathBuf, String> {
    let test = std::env::current_exe().expect("a running program has a file");
    // target/PROFILE/deps/this-test
    let profile = test.ancestors().nth(2).expect("cargo puts tests two folders deep");
    // `cargo test` of this package alone does not build another's binary, and an old one would test old code.
    if let (Some(cargo), Some(target)) = (std::env::var_os("CARGO"), profile.parent()) {
        let name = profile.file_name().filter(|name| *name != "debug").map_or("dev".into(), OsString::from);
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "dropforge-cli", "--profile"]).arg(name);
        build.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
        let status = build.status().map_err(|why| format!("start cargo: {why}"))?;
        if !status.success() {
            return Err(format!("building the command failed ({status})"));
        }
    }
    Ok(profile.join("dropforge"))
}

/// A call that goes on.
pub struct Running {
    child: Child,
    line: String,
    output: PathBuf,
    since: Instant,
}

/// A call that has ended.
pub struct Ended {
    /// As it was typed.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Running {
    /// Starts a command. What it says goes to two files of this name, which nobody else writes.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(mut command: Command, line: String, output: PathBuf) -> Running {
        let file =
            |kind| File::create(output.with_extension(kind)).expect("the test's folder can be written");
        let child = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).spawn();
        let child = child.unwrap_or_else(|why| panic!("{line}: {why}"));
        Running { child, line, output, since: Instant::now() }
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn end(mut self) -> Ended {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let read = |kind| {
                    let bytes = std::fs::read(self.output.with_extension(kind)).unwrap_or_default();
                    String::from_utf8_lossy(&bytes).into_owned()
                };
                let (stdout, stderr) = (read("out"), read("err"));
                return Ended { line: self.line.clone(), status, stdout, stderr };
            }
            self.look_again("it to end");
        }
    }

    /// Waits until `look` sees something while this goes on; nothing when it ends before.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Running) -> Option<T>) -> Option<T> {
        loop {
            if let Some(seen) = look(self) {
                return Some(seen);
            }
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return None;
            }
            self.look_again(what);
        }
    }

    /// What it has said so far, standard output and then standard error.
    pub fn said(&self) -> String {
        let read = |kind| std::fs::read(self.output.with_extension(kind)).unwrap_or_default();
        String::from_utf8_lossy(&[read("out"), read("err")].concat()).into_owned()
    }

    /// Interrupts it, as Ctrl-C does, and waits for its end.
    pub fn interrupt(self) -> Ended {
        // It may have ended by itself meanwhile.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        self.end()
    }

    /// Ends it as a crash does, without a chance to say anything.
    pub fn kill(mut self) {
        self.child.kill().expect("the child was not waited for");
        self.child.wait().expect("a child can be waited for");
    }

    #[expect(clippy::disallowed_methods, reason = "what is waited for lies in another process")]
    fn look_again(&self, what: &str) {
        assert!(
            self.since.elapsed() < DEADLINE,
            "waited {} s for {what}\n{}\n{}",
            DEADLINE.as_secs(),
            self.line,
            tail(&self.said(), SHOWN_CHARACTERS)
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing of a failed test goes on; a child that has ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// What was typed, how it ended, and the end of what it said.
    pub fn describe(&self) -> String {
        let shown = tail(&self.stderr, SHOWN_CHARACTERS);
        format!("$ {}\n{}\n{shown}", self.line, self.status)
    }

    /// Its standard output.
    ///
    /// # Panics
    /// When it failed.
    pub fn data(self) -> String {
        assert!(self.status.success(), "{}", self.describe());
        self.stdout
    }
}
