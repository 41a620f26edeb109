//! Whatever ends the command, no finished step is lost and none is executed twice or beside itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;
#[path = "support/moments.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod moments;

use std::fs;
use std::io::{self, Write};

use bench::{Bench, PROGRAM, Running, lives, signal, until};
use moments::{finish, kill_at, progress};
use rustix::process::Signal;

/// Three groups of steps that append their names to `done`, and say so when they meet themselves.
const CHAIN: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: chain-}
spec:
  entrypoint: main
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    steps:
    - - {name: first, template: one, arguments: {parameters: [{name: n, value: first}]}}
    - - {name: wide, template: one, arguments: {parameters: [{name: n, value: "wide-{{item}}"}]}, withItems: [1, 2, 3]}
    - - {name: last, template: one, arguments: {parameters: [{name: n, value: last}]}}
  - name: one
    inputs: {parameters: [{name: n}]}
    retryStrategy: {limit: 0}
    container:
      image: busybox
      command: [sh, -c]
      args:
      - |
        mkdir /box/lock-{{inputs.parameters.n}} || { echo {{inputs.parameters.n}} >> /box/clashes; exit 9; }
        echo {{inputs.parameters.n}} >> /box/done
        rmdir /box/lock-{{inputs.parameters.n}}
      volumeMounts: [{name: box, mountPath: /box}]
"#;

const CHAIN_STEPS: [&str; 5] = ["first", "last", "wide-1", "wide-2", "wide-3"];

/// Waits as long as the test holds it; leaves its process in `pid-<n>` and the end of a polite stop in `ended`.
const HELD: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: held-}
spec:
  entrypoint: main
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    steps:
    - - {name: before, template: before}
    - - {name: held, template: held}
    - - {name: after, template: after}
  - name: before
    container: {image: busybox, command: [sh, -c, "echo before >> /box/done"], volumeMounts: [{name: box, mountPath: /box}]}
  - name: held
    retryStrategy: {limit: 0}
    container:
      image: busybox
      command: [sh, -c]
      args:
      - |
        trap 'echo ended >> /box/ended; exit 143' TERM
        if test -e /box/pid; then
          read other < /box/pid
          read pid name state rest < /proc/$other/stat || state=gone
          case $state in Z|X|gone) ;; *) echo held >> /box/clashes; exit 9 ;; esac
        fi
        read me rest < /proc/self/stat
        echo $me > /box/pid
        echo held has begun
        while test -e /box/hold || { ! test -e /box/pid && kill -0 TESTER; }; do sleep 0.05; done
        echo held >> /box/done
      volumeMounts: [{name: box, mountPath: /box}]
  - name: after
    container: {image: busybox, command: [sh, -c, "echo after >> /box/done"], volumeMounts: [{name: box, mountPath: /box}]}
"#;

/// The step also goes on where its folders vanish below it, so that only who ends it ends it.
fn held() -> String {
    HELD.replace("TESTER", &std::process::id().to_string())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn none(bench: &Bench, file: &str) {
    assert_eq!(bench.lines(file), Vec::<String>::new(), "{file}");
}

#[test]
fn a_run_killed_at_any_moment_executes_each_step_once_and_ends_as_if_undisturbed() {
    let undisturbed = Bench::new();
    undisturbed.run(CHAIN, "chain").exits(0);
    let expected = undisturbed.phases("chain");
    let moments = progress(&undisturbed);
    assert_eq!(sorted(undisturbed.lines("done")), CHAIN_STEPS);
    for moment in (0..moments).step_by(2) {
        let bench = Bench::new();
        kill_at(&bench, bench.start_run(CHAIN, "chain"), moment);
        finish(&bench, "chain", CHAIN);
        assert_eq!(sorted(bench.lines("done")), CHAIN_STEPS, "killed at moment {moment}");
        none(&bench, "clashes");
        assert_eq!(bench.phases("chain"), expected, "killed at moment {moment}");
    }
}

#[test]
fn a_run_killed_again_and_again_comes_to_its_end() {
    let bench = Bench::new();
    kill_at(&bench, bench.start_run(CHAIN, "chain"), 12);
    // Each owner is killed a little further on than the one before it.
    for _ in 0..8 {
        let moment = progress(&bench) + 2;
        kill_at(&bench, bench.start(&["run", "--continue", "chain"]), moment);
    }
    finish(&bench, "chain", CHAIN);
    assert_eq!(sorted(bench.lines("done")), CHAIN_STEPS);
    none(&bench, "clashes");
}

#[test]
fn a_step_that_survives_its_killed_owner_goes_on_and_its_end_is_taken_over() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(&held(), "held");
    let pid: i32 = bench.wait_for_file("pid").trim().parse().unwrap();
    running.kill();
    assert!(lives(pid));
    let again = bench.start(&["run", "--continue", "held"]);
    again.wait_until_said("held");
    bench.let_go();
    again.end().exits(0);
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
    none(&bench, "clashes");
    assert_eq!(attempts(&bench, "held"), ["Succeeded"]);
}

#[test]
fn a_step_that_ends_while_no_owner_lives_is_not_executed_again() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(&held(), "held");
    bench.wait_for_file("pid");
    let supervisor = bench.supervisor().unwrap();
    running.kill();
    bench.let_go();
    until("the supervisor's end", || (!lives(supervisor)).then_some(()));
    bench.dropforge(&["run", "--continue", "held"]).exits(0);
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
    assert_eq!(attempts(&bench, "held"), ["Succeeded"]);
}

/// The outcomes of a leaf's attempts, the retry node's leaf first.
fn attempts(bench: &Bench, run: &str) -> Vec<String> {
    let explained = bench.explain_node(run, "held(0)");
    let attempts = explained["attempts"].as_array().cloned().unwrap_or_default();
    attempts.iter().map(|a| a["verdict"]["outcome"].as_str().unwrap_or("none").to_owned()).collect()
}

#[test]
fn where_the_supervisor_died_with_its_owner_survivors_are_ended_and_the_step_is_tried_again() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(&held(), "held");
    let survivor: i32 = bench.wait_for_file("pid").trim().parse().unwrap();
    let supervisor = bench.supervisor().unwrap();
    running.kill();
    signal(supervisor, Signal::KILL);
    until("the supervisor's end", || (!lives(supervisor)).then_some(()));
    assert!(lives(survivor));
    let again = bench.start(&["run", "--continue", "held"]);
    until("the second execution", || {
        (bench.wait_for_file("pid").trim() != survivor.to_string()).then_some(())
    });
    assert!(!lives(survivor));
    bench.let_go();
    again.end().exits(0);
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
    none(&bench, "clashes");
    assert_eq!(attempts(&bench, "held"), ["Lost", "Succeeded"]);
}

#[test]
fn an_owner_whose_supervisor_dies_starts_another_and_tries_the_step_again() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(&held(), "held");
    let survivor = bench.wait_for_file("pid");
    signal(bench.supervisor().unwrap(), Signal::KILL);
    until("the second execution", || (bench.wait_for_file("pid") != survivor).then_some(()));
    bench.let_go();
    running.end().exits(0);
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
    none(&bench, "clashes");
    assert_eq!(attempts(&bench, "held"), ["Lost", "Succeeded"]);
}

#[test]
fn a_run_whose_program_is_removed_meanwhile_as_an_upgrade_does_starts_its_steps_all_the_same() {
    let bench = Bench::new();
    let program = bench.path("dropforge");
    fs::copy(PROGRAM, &program).unwrap();
    let (manifest, mut writer) = io::pipe().unwrap();
    let mut command = bench.command_of(&program, ["run", "-", "--name", "run"]);
    let running = bench.start_command(command.stdin(manifest));
    drop(command);
    fs::remove_file(program).unwrap();
    writer.write_all(CHAIN.as_bytes()).unwrap();
    drop(writer);
    running.end().exits(0);
    assert_eq!(sorted(bench.lines("done")), CHAIN_STEPS);
}

#[test]
fn interrupted_runs_end_their_steps_say_how_to_go_on_and_use_up_no_retries() {
    let bench = Bench::new();
    bench.hold();
    let mut running = bench.start_run(&held(), "held");
    for which in [Signal::INT, Signal::TERM, Signal::HUP, Signal::INT] {
        let pid: i32 = bench.wait_for_file("pid").trim().parse().unwrap();
        running.signal(which);
        running.end().exits(130).says(&["`dropforge run --continue held`"]);
        until("the step's end", || (!lives(pid)).then_some(()));
        fs::remove_file(bench.in_box("pid")).unwrap();
        running = bench.start(&["run", "--continue", "held"]);
    }
    bench.wait_for_file("pid");
    assert_eq!(bench.lines("ended").len(), 4);
    bench.let_go();
    running.end().exits(0);
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
    assert_eq!(attempts(&bench, "held"), ["Lost", "Lost", "Lost", "Lost", "Succeeded"]);
}

#[test]
fn a_second_interrupt_does_not_wait_for_a_step_that_does_not_listen() {
    let bench = Bench::new();
    bench.hold();
    let deaf = held().replace("trap 'echo ended >> /box/ended; exit 143' TERM", "trap '' TERM");
    let running = bench.start_run(&deaf, "deaf");
    let pid: i32 = bench.wait_for_file("pid").trim().parse().unwrap();
    running.signal(Signal::INT);
    running.wait_until_said("ending the steps");
    assert!(lives(pid));
    running.signal(Signal::INT);
    running.end().exits(130).says(&["killed when their grace is over", "`dropforge run --continue deaf`"]);
    assert!(lives(pid));
    // The supervisor has taken the interrupt: the step is lost, whatever it does now.
    bench.let_go();
    bench.dropforge(&["run", "--continue", "deaf"]).exits(0);
    none(&bench, "clashes");
    assert_eq!(attempts(&bench, "deaf").last().map(String::as_str), Some("Succeeded"));
}

/// As `CHAIN`, but its steps look whether the process that holds their lock lives.
fn chain_that_survives_its_locks() -> String {
    let (before, rest) = CHAIN.split_once("        mkdir /box/lock").unwrap();
    let (_, after) = rest.split_once("        rmdir /box/lock-{{inputs.parameters.n}}\n").unwrap();
    let step = "        exec 9> /box/lock-{{inputs.parameters.n}}\n\
                \x20       flock -n 9 || { echo {{inputs.parameters.n}} >> /box/clashes; exit 9; }\n\
                \x20       echo {{inputs.parameters.n}} >> /box/done\n";
    format!("{before}{step}{after}")
}

/// What a step did before its supervisor died may be done again, but only where its attempt is `lost`.
#[test]
fn a_run_whose_supervisor_is_killed_with_it_at_any_moment_ends_as_if_undisturbed() {
    let chain = chain_that_survives_its_locks();
    let undisturbed = Bench::new();
    undisturbed.run(&chain, "chain").exits(0);
    let expected = undisturbed.phases("chain");
    for moment in (0..progress(&undisturbed)).step_by(3) {
        let bench = Bench::new();
        let mut running = bench.start_run(&chain, "chain");
        until("the moment", || (running.has_ended() || progress(&bench) >= moment).then_some(()));
        let supervisor = bench.supervisor();
        running.kill();
        supervisor.into_iter().for_each(|pid| signal(pid, Signal::KILL));
        finish(&bench, "chain", &chain);
        assert_eq!(bench.phases("chain"), expected, "killed at moment {moment}");
        none(&bench, "clashes");
        let records = bench.explain("chain")["records"].to_string();
        let (done, lost) = (bench.lines("done"), records.matches("\"outcome\":\"Lost\"").count());
        assert!(
            CHAIN_STEPS.iter().all(|s| done.iter().any(|d| d == s)),
            "killed at moment {moment}: {done:?}"
        );
        assert!(done.len() <= CHAIN_STEPS.len() + lost, "killed at moment {moment}: {done:?}, {lost} lost");
    }
}

#[test]
fn a_run_goes_on_from_any_folder_with_its_own_settings_and_shows_no_log_twice() {
    let bench = Bench::new();
    bench.hold();
    let store = bench.store().display().to_string();
    fs::create_dir(bench.path("elsewhere")).unwrap();
    let running =
        bench.start_run(&held().replace("echo before >>", "echo first words; echo before >>"), "held");
    bench.wait_for_file("pid");
    running.signal(Signal::INT);
    running.end().exits(130).says(&["before: first words"]);
    fs::remove_file(bench.in_box("pid")).unwrap();
    let line = ["run", "--continue", "held", "--store", &store];
    let running = bench.start_command(bench.command(line).current_dir(bench.path("elsewhere")));
    bench.wait_for_file("pid");
    bench.let_go();
    let answer = running.end().exits(0).says(&["going on with run held", "held(0): held has begun"]);
    assert!(!answer.stderr.contains("first words"), "{answer}");
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
}

#[test]
fn going_on_with_a_finished_run_shows_it_and_executes_nothing() {
    let bench = Bench::new();
    bench.run(CHAIN, "chain").exits(0);
    let answer = bench.dropforge(&["run", "--continue", "chain", "-o", "name"]).exits(0);
    assert_eq!(answer.stdout, "chain\n");
    assert_eq!(sorted(bench.lines("done")), CHAIN_STEPS);
    bench.dropforge(&["run", "--continue", "other"]).exits(2).says(&["there is no run \"other\""]);
}

const APPROVAL: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: approval-}
spec:
  entrypoint: main
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    steps:
    - - {name: approve, template: approve}
    - - {name: publish, template: publish}
  - name: approve
    suspend: {}
  - name: publish
    container: {image: busybox, command: [sh, -c, "echo published >> /box/done"], volumeMounts: [{name: box, mountPath: /box}]}
"#;

#[test]
fn going_on_never_releases_a_suspend() {
    let bench = Bench::new();
    let mut running = bench.start_run(APPROVAL, "approval");
    for which in [Signal::KILL, Signal::INT, Signal::TERM] {
        until("the suspend", || {
            bench.dropforge(&["get", "approval"]).stdout.contains("approve").then_some(())
        });
        let explained = bench.dropforge(&["explain", "approval"]).exits(0);
        assert!(explained.stdout.contains("waits: "), "{explained}");
        running.signal(which);
        let answer = running.end();
        assert_eq!(answer.code, (which != Signal::KILL).then_some(130), "{answer}");
        none(&bench, "done");
        running = bench.start(&["run", "--continue", "approval"]);
        running.wait_until_said("approval");
    }
    bench.dropforge(&["resume", "approval"]).exits(0).says(&["approval resumed"]);
    running.end().exits(0);
    assert_eq!(bench.lines("done"), ["published"]);
}

#[test]
fn of_two_runs_racing_to_own_a_store_one_runs_and_the_other_names_it() {
    let bench = Bench::new();
    bench.hold();
    bench.write("held.yaml", held());
    let mut racers: Vec<Running> =
        (0..4).map(|n| bench.start(&["run", "held.yaml", "--name", &format!("held-{n}")])).collect();
    bench.wait_for_file("pid");
    until("three to give up", || {
        (racers.iter_mut().filter_map(|r| r.has_ended().then_some(())).count() == 3).then_some(())
    });
    let winner = racers.iter_mut().position(|r| !r.has_ended()).unwrap();
    let winner = racers.swap_remove(winner);
    for loser in racers {
        let owner = winner.pid().to_string();
        loser.end().exits(3).says(&[&owner, "dropforge run", "help: "]);
    }
    bench.let_go();
    winner.end().exits(0);
    assert_eq!(bench.lines("done"), ["before", "held", "after"]);
}
