//! `run --durable` on a machine that loses its power: what the store answered is still there afterwards, whatever of the
//! rest the disk kept. `tests/crash/run 200` cuts the power at that many moments.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;
#[path = "support/chance.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod chance;
#[path = "support/moments.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod moments;
#[path = "support/traced.rs"]
mod traced;
#[path = "support/world.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod world;

use std::fs;
use std::process::Command;

use bench::{Bench, lives, until};
use chance::Chance;
use moments::specs;
use traced::{CALLS, Call, Disk};
use world::{NAME, WORLD, World};

/// The calls of a whole run, and all that it said; none where they can't be seen.
fn traced(bench: &Bench) -> Option<Vec<Call>> {
    let folder = bench.path("calls");
    fs::create_dir(&folder).unwrap();
    bench.write("world.yaml", WORLD);
    let program = bench.command([] as [&str; 0]).get_program().to_owned();
    let mut command = Command::new("strace");
    command.args(["-f", "-ff", "--seccomp-bpf", "-qq", "-ttt", "-y", "-xx", "-s", "10000000", "-e"]);
    command.arg(format!("trace={CALLS}")).arg("-o").arg(folder.join("of")).arg(program);
    command.args(["run", "--durable", "world.yaml", "--name", NAME]).current_dir(bench.path(""));
    command.env("HOME", bench.path("")).stdout(fs::File::create(bench.path("stdout")).unwrap());
    command.stderr(fs::File::create(bench.path("stderr")).unwrap());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) if !fs::read_to_string(bench.path("stderr")).unwrap().contains("strace") => {
            panic!("{status}: {}", fs::read_to_string(bench.path("stderr")).unwrap())
        }
        _ => {
            println!("SKIPPED: runs on a machine that loses its power (strace is missing or may not trace)");
            return None;
        }
    }
    if let Some(supervisor) = bench.supervisor() {
        until("the supervisor's end", || (!lives(supervisor)).then_some(()));
    }
    Some(traced::calls(&folder))
}

#[test]
fn a_durable_run_whose_machine_loses_its_power_goes_on_with_all_that_was_answered() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let cuts = number("DROPFORGE_CRASHES", 12);
    let mut chance = Chance::new(number("DROPFORGE_CRASH_SEED", 1) as u64);
    let world = World::undisturbed();
    let bench = Bench::new();
    let Some(calls) = traced(&bench) else { return };
    assert!(calls.iter().filter(|call| Disk::is_sync(call)).count() > 20, "it syncs what it commits");
    let mut moments: Vec<usize> = (0..cuts).map(|_| chance.below(calls.len())).collect();
    moments.push(calls.len());
    moments.sort_unstable();
    // The calls name files as the kernel does.
    let stderr = fs::canonicalize(bench.path("stderr")).unwrap();
    let mut disk = Disk::new(&fs::canonicalize(bench.store()).unwrap());
    let (mut taken, mut said) = (0, String::new());
    for moment in moments {
        for call in &calls[taken..moment] {
            disk.take(call);
            said.extend(call.said(&stderr));
        }
        taken = moment;
        disk.leave(&mut chance);
        check(&bench, &world, &said, &format!("cut after {moment} of {} calls", calls.len()));
    }
    assert!(told(&said).len() >= 7, "the last cut comes after all was told: {said}");
    assert_eq!(specs(&bench.store().join("runs")), 1);
}

/// Goes on after the cut and compares.
fn check(bench: &Bench, world: &World, said: &str, what: &str) {
    let _ = fs::remove_dir_all(bench.in_box(""));
    fs::create_dir(bench.in_box("")).unwrap();
    if specs(&bench.store().join("runs")) == 0 {
        assert!(!said.contains("world started"), "{what}: the run was told of, and is lost");
        return;
    }
    let over = succeeded(bench);
    for told in told(said) {
        assert!(over.contains(&told), "{what}: {told} was told of, and is lost: {over:?}\n{said}");
    }
    bench.dropforge(&["run", "--durable", "--continue", NAME]).exits(0);
    if let Some(supervisor) = bench.supervisor() {
        until("the supervisor's end", || (!lives(supervisor)).then_some(()));
    }
    world.check_phases(bench, what);
    let done = bench.lines("done").join("\n");
    for node in over {
        let line = line_of(&node);
        assert!(!done.contains(&line), "{what}: {node} was done again\n{done}");
    }
    if done.contains("read ") {
        assert!(done.contains(world::DONE[8]), "{what}: the artifact or the results were damaged\n{done}");
    }
}

/// The nodes that the store says succeeded.
fn succeeded(bench: &Bench) -> Vec<String> {
    let phases = bench.phases(NAME).into_iter().filter(|(_, phase)| phase == "Succeeded");
    phases.map(|(node, _)| node).filter(|node| !line_of(node).is_empty()).collect()
}

/// What the step of a node notes.
fn line_of(node: &str) -> String {
    match node.split(['(', ':']).collect::<Vec<_>>().as_slice() {
        ["part", index, ..] => format!("part-{}", index.parse::<u32>().unwrap() + 1),
        ["flaky", attempt] => format!("flaky-{}", attempt.trim_end_matches(')')),
        ["make"] => "make".to_owned(),
        ["read"] => "read ".to_owned(),
        [exit] if exit.ends_with(".onExit") => "bye".to_owned(),
        _ => String::new(),
    }
}

/// The steps that the command said had succeeded.
fn told(said: &str) -> Vec<String> {
    let steps = said.lines().filter_map(|line| line.strip_suffix(" Succeeded"));
    steps.filter(|step| !line_of(step).is_empty()).map(str::to_owned).collect()
}
