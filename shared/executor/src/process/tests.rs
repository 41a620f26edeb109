//! Real processes. Most claims are tried as the user who runs the tests, as an unprivileged one, and as one to
//! whom user namespaces are refused.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use super::*;
use crate::isolation::{Bind, isolation};

/// Says that this process is one of [`everywhere`]'s own.
const INNER: &str = "DROPFORGE_TEST_SETTING";

/// A user without rights and without a name of meaning.
const NOBODY: u32 = 65534;

/// As a user namespace's root: no further one may be made, and no right is kept.
const REFUSE: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
    exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"";

/// Runs `body` here, and this test once more in every other setting that the machine allows.
pub fn everywhere(test: &str, body: impl FnOnce(&'static Isolation)) {
    body(isolation());
    if std::env::var_os(INNER).is_some() {
        println!("ran with {:?}", isolation());
        return;
    }
    if rustix::process::geteuid().is_root() {
        again(test, "unprivileged", |exe| {
            let mut command = std::process::Command::new(exe);
            // The library drops further groups when root changes its user.
            command.uid(NOBODY).gid(NOBODY);
            command
        });
    } else {
        println!("SKIPPED unprivileged: the tests run so already");
    }
    again(test, "refused", |exe| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", REFUSE, exe]);
        command
    });
}

fn again(test: &str, setting: &str, command: impl Fn(&str) -> std::process::Command) {
    let prepare = |mut command: std::process::Command| {
        command.env(INNER, setting).env("TMPDIR", "/tmp").current_dir("/").stdin(std::process::Stdio::null());
        command
    };
    // The child's own program, whatever folder it lies in; another program's child must be told where.
    let mut probe = prepare(command("/proc/self/exe"));
    if probe.get_program() != "/proc/self/exe" {
        probe = prepare(command(std::env::current_exe().unwrap().to_str().unwrap()));
    }
    let output = probe.args(["--exact", test, "--nocapture"]).output();
    let Ok(output) = output else {
        println!("SKIPPED {setting}: {:?}", output.err());
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if !text.contains("running 1 test") {
        println!("SKIPPED {setting}: {text}");
        return;
    }
    assert!(output.status.success(), "{setting}: {text}");
    let said =
        text.lines().filter(|line| ["ran with", "guarded", "SKIPPED"].iter().any(|word| line.contains(word)));
    println!("{setting}: {}", said.collect::<Vec<_>>().join("; "));
}

/// A step's folder and what its command shall be.
pub struct Trial {
    pub at: tempfile::TempDir,
    pub layout: Layout,
    pub working_dir: PathBuf,
    pub env: Vec<(OsString, OsString)>,
    pub limit: Option<u64>,
    pub name: String,
}

impl Trial {
    pub fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let at = tempfile::tempdir().unwrap();
        let layout = Layout { scratch: at.path().join("scratch"), ..Layout::default() };
        let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
        let name = format!("trial-{}-{count}", std::process::id());
        Trial { at, layout, working_dir: "/".into(), env: vec![path], limit: None, name }
    }

    pub fn bind(mut self, source: &str, target: &str, read_only: bool) -> Self {
        let source = self.at.path().join(source);
        self.layout.binds.push(Bind { source, target: target.into(), read_only });
        self
    }

    pub fn output(&self) -> PathBuf {
        self.at.path().join("output")
    }

    pub fn start(&self, argv: &[&str], isolation: &Isolation) -> Result<Running, SpawnError> {
        let output = File::create(self.output()).unwrap();
        let command = Command {
            program: None,
            argv: argv.iter().map(OsString::from).collect(),
            env: self.env.clone(),
            working_dir: self.working_dir.clone(),
            stdout: output.try_clone().unwrap().into(),
            stderr: output.into(),
            layout: self.layout.clone(),
            entrance: None,
            memory_limit_bytes: self.limit,
            name: self.name.clone(),
            container: None,
        };
        spawn(command, isolation)
    }

    pub fn run(&self, argv: &[&str], isolation: &Isolation) -> (Exit, String) {
        let ended = self.start(argv, isolation).unwrap().wait();
        (ended.exit, fs::read_to_string(self.output()).unwrap())
    }

    pub fn sh(&self, script: &str, isolation: &Isolation) -> (Exit, String) {
        self.run(&["sh", "-c", script], isolation)
    }
}

/// Reads a pipe that a step's process holds open: what it says, and that it is gone when nothing comes.
fn pipe_trial(trial: &Trial, script: &str, isolation: &Isolation) -> (Running, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let command = Command {
        program: Some("/bin/sh".into()),
        argv: ["step", "-c", script].map(OsString::from).into(),
        env: trial.env.clone(),
        working_dir: "/".into(),
        stdout: writer.try_clone().unwrap().into(),
        stderr: writer.into(),
        layout: trial.layout.clone(),
        entrance: None,
        memory_limit_bytes: trial.limit,
        name: trial.name.clone(),
        container: None,
    };
    (spawn(command, isolation).unwrap(), reader)
}

fn read_line(reader: &mut io::PipeReader) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while reader.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn ends_are_told_as_kubernetes_tells_them() {
    everywhere("process::tests::ends_are_told_as_kubernetes_tells_them", |isolation| {
        let trial = Trial::new();
        let ends = |script: &str| trial.sh(script, isolation).0;
        assert_eq!(ends("exit 0"), Exit::Code(0));
        assert_eq!(ends("exit 37"), Exit::Code(37));
        assert_eq!(ends("kill -SEGV $$"), Exit::Signal(libc::SIGSEGV));
        assert_eq!([Exit::Code(37).code(), Exit::Signal(9).code()], [37, 137]);
    });
}

#[test]
fn what_can_not_start_says_why() {
    everywhere("process::tests::what_can_not_start_says_why", |isolation| {
        let mut trial = Trial::new();
        let fails = |trial: &Trial, argv: &[&str]| trial.start(argv, isolation).unwrap_err();
        assert!(matches!(fails(&trial, &["no-such-command"]), SpawnError::NotFound { .. }));
        assert!(matches!(fails(&trial, &["/no/such/command"]), SpawnError::NotFound { .. }));
        assert!(matches!(fails(&trial, &["/etc/passwd"]), SpawnError::NotExecutable { .. }));
        assert!(matches!(fails(&trial, &["/etc"]), SpawnError::NotExecutable { .. }));
        assert!(matches!(fails(&trial, &[]), SpawnError::BadWord { .. }));
        assert!(matches!(fails(&trial, &["a\0b"]), SpawnError::BadWord { .. }));
        trial.working_dir = "/etc/passwd".into();
        let SpawnError::BadWorkingDir { folder, source } = fails(&trial, &["true"]) else { panic!() };
        assert_eq!(folder, Path::new("/etc/passwd"));
        assert_eq!(source.kind(), io::ErrorKind::NotADirectory);
    });
}

#[test]
fn a_text_without_an_interpreter_is_not_handed_to_a_shell() {
    let trial = Trial::new();
    let file = trial.at.path().join("script");
    fs::write(&file, "exit 0\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let rewrite = Isolation::Rewrite { reason: String::new() };
    let error = trial.start(&[file.to_str().unwrap()], &rewrite).unwrap_err();
    let SpawnError::NotExecutable { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.raw_os_error(), Some(libc::ENOEXEC));
}

#[test]
fn nothing_of_this_process_reaches_the_step() {
    everywhere("process::tests::nothing_of_this_process_reaches_the_step", |isolation| {
        let mut trial = Trial::new();
        trial.env.push(("A".into(), "b c".into()));
        // A descriptor that is meant to survive exec, as a careless library would leave it.
        let leak = File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let script = "readlink /proc/self/fd/0; umask; \
            grep -E 'SigBlk|SigIgn' /proc/self/status; cut -d' ' -f6,7 /proc/$$/stat; echo $$";
        let (exit, output) = trial.sh(script, isolation);
        let mut lines: Vec<&str> = output.lines().collect();
        let pid = lines.pop().unwrap().to_owned();
        let session = format!("{pid} 0");
        let none = "0000000000000000";
        let (blocked, ignored) = (format!("SigBlk:\t{none}"), format!("SigIgn:\t{none}"));
        assert_eq!(exit, Exit::Code(0));
        assert_eq!(lines, ["/dev/null", "0022", &blocked, &ignored, &session]);
        // The fourth is the folder that is being listed.
        assert_eq!(trial.run(&["ls", "/proc/self/fd"], isolation).1, "0\n1\n2\n3\n");
        let (_, output) = trial.run(&["env"], isolation);
        let mut variables: Vec<&str> = output.lines().collect();
        variables.retain(|line| !line.starts_with("HOME=") && !line.starts_with("TMPDIR="));
        let marker = format!("{MARKER}={}", trial.name);
        assert_eq!(variables, ["PATH=/usr/local/bin:/usr/bin:/bin", "A=b c", &marker]);
        drop(leak);
    });
}

#[test]
fn without_a_namespace_home_and_temporary_files_are_private_unless_given() {
    let mut trial = Trial::new();
    let rewrite = Isolation::Rewrite { reason: String::new() };
    let scratch = trial.layout.scratch.display().to_string();
    let (_, output) = trial.sh("echo $HOME $TMPDIR; touch $HOME/x $TMPDIR/x", &rewrite);
    assert_eq!(output, format!("{scratch}/home {scratch}/tmp\n"));
    trial.env.push(("HOME".into(), "/given".into()));
    assert_eq!(trial.sh("echo $HOME", &rewrite).1, "/given\n");
}

#[test]
fn whatever_a_step_leaves_running_is_ended_with_it() {
    everywhere("process::tests::whatever_a_step_leaves_running_is_ended_with_it", |isolation| {
        // In the group; in a session of its own; that and without a parent or an environment.
        for hidden in ["sleep 1000 &", "setsid sleep 1000 &", "(setsid env -i sh -c 'sleep 1000; :' &) &"] {
            let trial = Trial::new();
            let script = format!("{hidden} echo started");
            let (mut running, mut reader) = pipe_trial(&trial, &script, isolation);
            assert_eq!(read_line(&mut reader), "started");
            assert_eq!(running.wait().exit, Exit::Code(0), "{hidden}");
            // End of file: nobody holds the pipe any more.
            assert_eq!(read_line(&mut reader), "", "{hidden}");
            assert_eq!(survivors(OsStr::new(&trial.name)), []);
        }
    });
}

#[test]
fn a_daemon_without_session_parent_and_marker_is_known_by_its_namespace() {
    let isolation = isolation();
    if !isolation.can_mount() {
        println!("SKIPPED: no mount namespace here");
        return;
    }
    let trial = Trial::new();
    let script = "(setsid env -i sh -c 'echo ready; sleep 1000; :' &) & read x </dev/null; \
        until [ -e /tmp/go ]; do :; done";
    let (mut running, mut reader) = pipe_trial(&trial, script, isolation);
    assert_eq!(read_line(&mut reader), "ready");
    fs::write(trial.layout.scratch.join("root/tmp/go"), "").unwrap();
    assert_eq!(running.wait().exit, Exit::Code(0));
    assert_eq!(read_line(&mut reader), "");
}

/// A dead process that this one has adopted from another, begun with these words.
fn dead_orphan(begun: &str) -> i32 {
    let script = format!("{begun} sh -c 'exec sleep 0' >&2 & echo $!");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let pid = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    while !table::entry(pid).unwrap().is_zombie {
        std::thread::yield_now();
    }
    pid
}

/// As in a container that another's session began: `docker exec`, a CI runner's job.
#[test]
fn strays_are_told_from_own_children_in_a_session_begun_elsewhere() {
    if std::env::var_os(INNER).is_none() {
        let test = "process::tests::strays_are_told_from_own_children_in_a_session_begun_elsewhere";
        return again(test, "a foreign session", |exe| {
            let mut command = std::process::Command::new("unshare");
            command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", exe]);
            command
        });
    }
    assert_eq!(table::entry(std::process::id().cast_signed()).unwrap().session, 0);
    println!("ran with {:?}", isolation());
    let (stray, own) = (dead_orphan("setsid"), dead_orphan(""));
    let trial = Trial::new();
    assert_eq!(trial.sh("true", isolation()).0, Exit::Code(0));
    assert_eq!(table::entry(stray), None);
    assert!(table::entry(own).unwrap().is_zombie);
}

#[test]
fn a_stop_is_asked_for_first_and_then_forced() {
    everywhere("process::tests::a_stop_is_asked_for_first_and_then_forced", |isolation| {
        let trial = Trial::new();
        let polite = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done";
        let (mut running, mut reader) = pipe_trial(&trial, polite, isolation);
        assert_eq!(read_line(&mut reader), "ready");
        assert_eq!(running.stop(Duration::from_secs(60)).exit, Exit::Code(5));
        assert_eq!(read_line(&mut reader), "bye");
        let deaf = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo ready; while :; do sleep 1000; done'";
        let (mut running, mut reader) = pipe_trial(&trial, deaf, isolation);
        assert_eq!(read_line(&mut reader), "ready");
        assert_eq!(running.stop(Duration::from_millis(20)).exit, Exit::Signal(libc::SIGKILL));
        // Whatever it still said, the end of the file comes.
        reader.read_to_end(&mut Vec::new()).unwrap();
        let again = running.kill();
        assert_eq!(running.wait(), again);
    });
}

#[test]
fn a_wait_ends_when_told_or_when_its_time_is_over() {
    let trial = Trial::new();
    let mut running = trial.start(&["sleep", "1000"], isolation()).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    use std::os::fd::AsFd;
    assert_eq!(running.wait_until(Some(Duration::from_millis(1)), Some(reader.as_fd())), Waited::Late);
    writer.write_all(b"!").unwrap();
    assert_eq!(running.wait_until(None, Some(reader.as_fd())), Waited::Woken);
    assert_eq!(running.kill().exit, Exit::Signal(libc::SIGKILL));
}

#[test]
fn a_dropped_command_is_ended() {
    let trial = Trial::new();
    let (running, mut reader) = pipe_trial(&trial, "setsid sleep 1000 & echo ready; wait", isolation());
    assert_eq!(read_line(&mut reader), "ready");
    drop(running);
    assert_eq!(read_line(&mut reader), "");
}

/// Takes 100 MB and keeps it.
const GREEDY: &str = "head -c 100000000 /dev/zero | tail";

#[test]
fn a_step_over_its_memory_limit_is_ended_and_told_so() {
    everywhere("process::tests::a_step_over_its_memory_limit_is_ended_and_told_so", |isolation| {
        let mut trial = Trial::new();
        let (exit, _) = trial.sh(GREEDY, isolation);
        assert_eq!(exit, Exit::Code(0));
        trial.limit = Some(30_000_000);
        let mut running = trial.start(&["sh", "-c", GREEDY], isolation).unwrap();
        println!("guarded by {}", if running.group.is_some() { "a control group" } else { "samples" });
        let group = running.group.as_ref().map(|group| group.folder.clone());
        let ended = running.wait();
        assert!(ended.out_of_memory, "{ended:?}");
        assert!(ended.usage.memory_bytes_max >= 30_000_000, "{ended:?}");
        assert!(group.is_none_or(|folder| !folder.exists()));
        trial.limit = Some(2_000_000_000);
        let ended = trial.start(&["sh", "-c", GREEDY], isolation).unwrap().wait();
        assert_eq!((ended.exit, ended.out_of_memory), (Exit::Code(0), false));
    });
}

#[test]
fn what_a_step_used_is_counted_with_its_children() {
    let trial = Trial::new();
    let script =
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done & wait; head -c 100000000 /dev/zero | tail | true";
    let usage = trial.start(&["sh", "-c", script], isolation()).unwrap().wait().usage;
    assert!(usage.cpu_seconds > 0.0, "{usage:?}");
    assert!(usage.memory_bytes_max > 500_000, "{usage:?}");
}

#[test]
fn survivors_of_a_dead_supervisor_are_ended_and_nobody_else() {
    let mine = format!("survivor-{}", std::process::id());
    let start = |name: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 1000 & echo ready; wait"]).env(MARKER, name);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        child
    };
    let (mut ours, mut other) = (start(&mine), start(&format!("{mine}-other")));
    let found = survivors(OsStr::new(&mine));
    assert_eq!(found.len(), 2);
    assert!(found.iter().any(|one| one.pid == ours.id().cast_signed()));
    // The other's id with a start time that is not its own: the id was given anew.
    let recycled = Survivor { pid: other.id().cast_signed(), start_time: 1 };
    assert_eq!(end_survivors(Some(recycled), OsStr::new(&mine)), []);
    assert!(!ours.wait().unwrap().success());
    assert!(other.try_wait().unwrap().is_none());
    let start_time = table::entry(other.id().cast_signed()).unwrap().start_time;
    let known = Survivor { start_time, ..recycled };
    // A name that no process carries: the command is known by its id alone.
    assert_eq!(end_survivors(Some(known), OsStr::new("nobody")), []);
    assert!(!other.wait().unwrap().success());
}

#[test]
fn orphans_that_died_unseen_are_not_kept() {
    let trial = Trial::new();
    let (mut running, _reader) = pipe_trial(&trial, "(setsid true &) & wait", isolation());
    running.wait();
    let mut next = trial.start(&["true"], isolation()).unwrap();
    next.wait();
    let own = std::process::id().cast_signed();
    let session = table::entry(own).unwrap().session;
    let zombies = table::all().into_iter().filter(|entry| entry.parent == own && entry.is_zombie);
    // Other tests' commands may be dead and not yet waited for; those lead their sessions.
    let strays: Vec<_> =
        zombies.filter(|entry| entry.session != session && entry.session != entry.pid).collect();
    assert_eq!(strays, []);
}
