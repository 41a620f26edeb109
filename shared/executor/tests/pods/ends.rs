//! What comes of steps that are ended, killed, or started twice.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_manifest::types::{Artifact, Container, ContainerSet, Template};
use rustix::process::Signal;

use super::pod::{TestPod, until};

/// A command that says in a file that it runs, once each time, and goes on for long.
fn long(pod: &TestPod) -> String {
    format!("echo runs >> {}; echo logged; exec sleep 1000", pod.at.path().join("runs").display())
}

fn runs(pod: &TestPod) -> usize {
    fs::read_to_string(pod.at.path().join("runs")).unwrap_or_default().lines().count()
}

fn plain() -> TestPod {
    let pod = TestPod::new(Container::default());
    pod.init();
    pod
}

#[test]
fn a_second_pod_of_the_attempt_ends_quietly_and_starts_nothing() {
    let mut pod = plain();
    let script = long(&pod);
    let mut first = pod.start("main", &["sh", "-c", &script]);
    until("the first runs", || runs(&pod) == 1);
    pod.again();
    pod.init();
    assert_eq!(pod.run("main", &["sh", "-c", &script]), 0);
    assert_eq!((runs(&pod), pod.verdict(), pod.bells()), (1, None, Vec::new()));
    assert!(first.is_running());
}

#[test]
fn a_wrapper_that_is_killed_before_the_claim_leaves_the_attempt_to_another_pod() {
    let container = |name: &str, dependencies: &[&str]| Container {
        name: Some(name.to_owned()),
        dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
        ..Container::default()
    };
    let containers = vec![container("main", &["a"]), container("a", &[])];
    let set = ContainerSet { containers, ..ContainerSet::default() };
    let mut pod = TestPod::of(Template { container_set: Some(set), ..Template::default() });
    pod.init();
    let mut waiting = pod.start("main", &["true"]);
    until("it waits", || pod.folder.join("containers/main/lock").exists());
    waiting.signal(Signal::KILL);
    waiting.end();
    assert!(!pod.claimed());
    pod.again();
    pod.init();
    let mut main = pod.start("main", &["true"]);
    assert_eq!((pod.run("a", &["true"]), main.end().code()), (0, Some(0)));
    assert_eq!(pod.verdict().unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn a_wrapper_that_is_killed_after_the_claim_is_reported_by_the_witness_until_somebody_judges() {
    let pod = plain();
    let mut witness = pod.start("witness", &[]);
    let script = long(&pod);
    let mut main = pod.start("main", &["sh", "-c", &script]);
    until("it runs", || {
        fs::read_to_string(pod.folder.join("containers/main/log")).is_ok_and(|log| log == "logged\n")
    });
    main.signal(Signal::KILL);
    main.end();
    until("the witness rings twice", || pod.bells().len() >= 2);
    assert_eq!((pod.verdict(), pod.log("main")), (None, "logged\n".to_owned()));
    assert_eq!(pod.run("main", &["sh", "-c", &script]), 0, "what was started once is not started again");
    assert_eq!(runs(&pod), 1);
    let (id, now) = (pod.launch.attempt.id.clone(), SystemClock.now());
    let judged = Verdict::without_outputs(id, Outcome::Failed, Reason::OutOfMemory, "main: OOMKilled", now);
    pod.judge(&judged);
    witness.signal(Signal::TERM);
    assert_eq!(witness.end().code(), Some(0));
}

#[test]
fn a_witness_stores_what_a_wrapper_had_noted_and_could_not_tell() {
    let told = plain();
    assert_eq!(told.run("main", &["true"]), 0);
    let verdict = told.verdict().unwrap();
    // As if the wrapper of another one had been killed between the note and the store.
    let pod = plain();
    fs::copy(told.folder.join("verdict.json"), pod.folder.join("verdict.json")).unwrap();
    fs::write(pod.folder.join("containers/main/lock"), "").unwrap();
    let mut witness = pod.start("witness", &[]);
    until("it is told", || pod.folder.join("told").exists());
    assert_eq!((pod.verdict(), pod.bells().len()), (Some(verdict), 1));
    witness.signal(Signal::TERM);
    assert_eq!(witness.end().code(), Some(0));
}

#[test]
fn a_pod_that_is_taken_away_is_lost_whatever_its_command_says_then() {
    let pod = plain();
    let said = pod.at.path().join("said");
    let script =
        format!("trap 'echo bye > {}; exit 0' TERM; echo runs; while :; do sleep 0.05; done", said.display());
    let mut main = pod.start("main", &["sh", "-c", &script]);
    until("it runs", || {
        fs::read_to_string(pod.folder.join("containers/main/log")).is_ok_and(|log| log == "runs\n")
    });
    main.signal(Signal::TERM);
    assert_eq!(main.end().code(), Some(143));
    assert_eq!(fs::read_to_string(said).unwrap(), "bye\n");
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Lost, Reason::Vanished));
    assert!(verdict.message.contains("drained"), "{}", verdict.message);
    assert_eq!(pod.bells().len(), 1);
}

#[test]
fn a_pod_that_was_stopped_before_keeps_that_verdict() {
    let pod = plain();
    let mut main = pod.start("main", &["sleep", "1000"]);
    until("it runs", || pod.folder.join("containers/main/started").exists());
    let (id, now) = (pod.launch.attempt.id.clone(), SystemClock.now());
    let stopped =
        Verdict::without_outputs(id, Outcome::Failed, Reason::Stopped, "Stopped with strategy 'Stop'", now);
    pod.judge(&stopped);
    main.signal(Signal::TERM);
    main.end();
    assert_eq!(pod.verdict(), Some(stopped));
}

#[test]
fn a_command_that_goes_on_after_its_deadline_is_ended() {
    let mut pod = TestPod::new(Container::default());
    pod.work().active_deadline_seconds = Some(1);
    pod.launch.grace_seconds = 1;
    assert_eq!(pod.sh("trap '' TERM; while :; do sleep 0.05; done"), 143);
    let verdict = pod.verdict().unwrap();
    let why = "Pod was active on the node longer than the specified deadline";
    assert_eq!(
        (verdict.outcome, verdict.reason, verdict.message.as_str()),
        (Outcome::Failed, Reason::DeadlineExceeded, why)
    );
}

#[test]
fn a_step_whose_deadline_passes_while_its_inputs_come_does_not_start() {
    let mut pod = TestPod::new(Container::default());
    pod.work().deadline = Some(SystemClock.now());
    assert_eq!(pod.init(), 64);
    let verdict = pod.verdict().unwrap();
    assert_eq!(
        (verdict.reason, verdict.message.as_str()),
        (Reason::DeadlineExceeded, "Step exceeded its deadline")
    );
}

#[test]
fn a_helper_is_ended_with_the_pod_and_is_no_failure() {
    let mut pod = TestPod::new(Container::default());
    pod.template().sidecars = vec![Container { name: Some("db".into()), ..Container::default() }];
    pod.init();
    let mut helper = pod.start("db", &["sh", "-c", "echo up; exec sleep 1000"]);
    until("it runs", || {
        fs::read_to_string(pod.folder.join("containers/db/log")).is_ok_and(|log| log == "up\n")
    });
    assert_eq!(pod.run("main", &["true"]), 0);
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.message.as_str()), (Outcome::Succeeded, ""));
    helper.signal(Signal::TERM);
    assert_eq!(helper.end().code(), Some(143));
    assert_eq!((pod.log("db"), pod.verdict()), ("up\n".to_owned(), Some(verdict)));
}

#[test]
fn a_helper_that_ended_stays_so_that_it_is_not_started_again() {
    let mut pod = TestPod::new(Container::default());
    pod.template().sidecars = vec![Container { name: Some("once".into()), ..Container::default() }];
    pod.init();
    let mut helper = pod.start("once", &["sh", "-c", "exit 3"]);
    until("it has ended", || pod.folder.join("containers/once/ended.json").exists());
    assert!(helper.is_running());
    assert_eq!(pod.run("main", &["true"]), 0);
    assert_eq!(pod.verdict().unwrap().message, "once: Error (exit code 3)");
    helper.signal(Signal::TERM);
    assert_eq!(helper.end().code(), Some(3));
}

#[test]
fn a_container_before_the_others_that_fails_is_the_end() {
    let mut pod = TestPod::new(Container::default());
    pod.template().init_containers = vec![Container { name: Some("check".into()), ..Container::default() }];
    pod.init();
    assert_eq!(pod.run("check", &["sh", "-c", "exit 4"]), 4);
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.message.as_str()), (Outcome::Failed, "check: Error (exit code 4)"));
    assert_eq!(pod.bells().len(), 1);
}

/// More than the executor may ever hold.
const MEMORY_BYTES_MAX: u64 = 64 << 20;

#[test]
fn a_large_output_is_packed_and_stored_with_little_memory() {
    let mut pod = TestPod::new(Container::default());
    let out = pod.at.path().join("out").to_string_lossy().into_owned();
    let artifact = Artifact { name: "big".into(), path: Some(out.clone()), ..Artifact::default() };
    pod.template().outputs.artifacts.push(artifact);
    pod.init();
    let mut main = pod.start("main", &["sh", "-c", &format!("head -c 100000000 /dev/urandom > {out}")]);
    let mut most = 0;
    until("it has ended", || {
        most = most.max(main.memory_bytes_max().unwrap_or(0));
        !main.is_running()
    });
    let verdict = pod.verdict().unwrap();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert!(verdict.provenance.outputs[0].size > 100_000_000);
    assert!(most > 1 << 20 && most < MEMORY_BYTES_MAX, "{most} bytes");
}

/// Another user than the test's, in a mount namespace whose root can't be written, where this user may make one.
fn confined(pod: &TestPod, role: &str, command: &[&str]) -> Option<std::process::Command> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let inner = pod.process(role, command);
    let mut outer = std::process::Command::new("unshare");
    let at = pod.at.path().display();
    let script = format!(
        "mount --bind {at} {at} && mount -o remount,ro,bind / && ! touch /x 2>/dev/null && \
         exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \"$@\""
    );
    outer.args(["--mount", "sh", "-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.process_group(0);
    Some(outer)
}

#[test]
fn another_user_and_a_root_that_cannot_be_written_are_enough() {
    let mut pod = TestPod::new(Container::default());
    pod.work().capture_result = true;
    pod.work().archive_logs = true;
    pod.make(&pod.store_path());
    assert_eq!(pod.init(), 0);
    let Some(mut process) = confined(&pod, "main", &["id", "-u"]) else {
        println!("SKIPPED: a user of its own and a read-only root (this test is not run by root)");
        return;
    };
    open_tree(&pod, &pod.store_path());
    let status = process.status().unwrap();
    assert_eq!(status.code(), Some(0));
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.outputs.result.as_deref()), (Outcome::Succeeded, Some("65534")));
    assert_eq!(verdict.outputs.artifacts[0].name, "main-logs");
}

fn open_tree(pod: &TestPod, folder: &Path) {
    pod.open_to_all(folder);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { open_tree(pod, &path) } else { pod.open_to_all(&path) }
    }
}

#[test]
fn what_a_command_leaves_running_is_ended_with_it() {
    let pod = plain();
    let pid = pod.at.path().join("pid");
    let script = format!(
        "setsid sh -c 'echo $$ > {}; exec sleep 1000' & until [ -s {} ]; do sleep 0.02; done",
        pid.display(),
        pid.display()
    );
    let begun = std::time::Instant::now();
    assert_eq!(pod.run("main", &["sh", "-c", &script]), 0);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}
