//! `kill -9` at random moments of `run` and `dev`, a full disk and a jumping clock: nothing is lost, nothing is done
//! twice. `tests/crash/run 200` makes that many crashes of each kind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;
#[path = "support/chance.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod chance;
#[path = "support/disk.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod disk;
#[path = "support/moments.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod moments;
#[path = "support/world.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bench::{Bench, Running, lives, signal, until};
use chance::Chance;
use disk::Disk;
use moments::{progress, specs};
use rustix::process::Signal;
use world::{NAME, WORLD, World};

/// How many crashes each test makes, and the number that decides them.
fn asked() -> (usize, Chance) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let seed = number("DROPFORGE_CRASH_SEED", 1);
    (number("DROPFORGE_CRASHES", 8) as usize, Chance::new(seed))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Owner,
    Supervisor,
    Both,
}

const VICTIMS: [Victim; 4] = [Victim::Owner, Victim::Owner, Victim::Supervisor, Victim::Both];

impl Victim {
    fn has_owner(self) -> bool {
        self != Victim::Supervisor
    }
}

/// Waits for a moment that chance picks, or for the command's end, and kills.
fn crash<'b>(
    bench: &'b Bench,
    mut running: Running<'b>,
    victim: Victim,
    chance: &mut Chance,
) -> Option<Running<'b>> {
    let moment = progress(bench) + chance.below(12);
    // A server that has nothing left to do comes no further.
    let mut looks = 1 + chance.below(300);
    until("the moment of the crash", || {
        looks -= 1;
        (looks == 0 || running.has_ended() || progress(bench) >= moment).then_some(())
    });
    chance.pause();
    let supervisor = bench.supervisor().filter(|_| victim != Victim::Owner);
    let running = if victim.has_owner() {
        running.kill();
        None
    } else {
        Some(running)
    };
    if let Some(pid) = supervisor {
        signal(pid, Signal::KILL);
        until("the supervisor's end", || (!lives(pid)).then_some(()));
    }
    running
}

/// Starts the run, or goes on with it where it was stored.
fn go_on(bench: &Bench) -> Running<'_> {
    if specs(&bench.store().join("runs")) == 0 {
        return bench.start_run(WORLD, NAME);
    }
    bench.start(&["run", "--continue", NAME])
}

#[test]
fn runs_killed_at_random_moments_lose_nothing_and_do_nothing_twice() {
    let (crashes, mut chance) = asked();
    let world = World::undisturbed();
    let mut made = 0;
    while made < crashes {
        let bench = Bench::new();
        let mut victims = Vec::new();
        let mut running = Some(bench.start_run(WORLD, NAME));
        for _ in 0..=chance.below(5) {
            let victim = chance.pick(&VICTIMS);
            let running_now = running.take().unwrap_or_else(|| go_on(&bench));
            running = crash(&bench, running_now, victim, &mut chance);
            victims.push(victim);
        }
        running.unwrap_or_else(|| go_on(&bench)).end().exits(0);
        let what = format!("after {made} crashes: {victims:?}");
        world.check(&bench, victims.iter().all(|victim| *victim == Victim::Owner), &what);
        made += victims.len();
    }
}

#[test]
fn runs_on_a_disk_that_fills_at_random_moments_go_on_when_there_is_room() {
    let (crashes, mut chance) = asked();
    let world = World::undisturbed();
    for made in 0..crashes.div_ceil(4) {
        let bench = Bench::new();
        let Some(disk) = Disk::mount(&bench.store(), 4096) else { return };
        let mut running = bench.start_run(WORLD, NAME);
        let moment = chance.below(40);
        until("the moment", || (running.has_ended() || progress(&bench) >= moment).then_some(()));
        disk.fill();
        chance.pause();
        // Some notice it and leave, others wait for room: who leaves says why.
        if chance.below(2) == 0 {
            running.kill();
            disk.make_room();
        } else {
            chance.pause();
            disk.make_room();
            let answer = running.end();
            assert!(answer.code == Some(0) || answer.stderr.contains("No space left"), "{answer}");
        }
        let what = format!("filled {made} times, at moment {moment}");
        let answer = go_on(&bench).end();
        if answer.code == Some(0) {
            world.check(&bench, true, &what);
            continue;
        }
        // A step whose log or input found no room has failed by that, and can be retried.
        let full = |words: &&str| answer.stdout.contains(*words);
        assert!(["No space left", "the disk has"].iter().any(full), "{what}: {answer}");
        bench.dropforge(&["retry", NAME]).exits(0);
        bench.dropforge(&["run", "--continue", NAME]).exits(0);
        world.check_phases(&bench, &what);
    }
}

/// The library that gives a program another clock, Debian's package `faketime`.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let found =
        folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    if found.is_none() {
        println!(
            "SKIPPED: runs while the clock jumps (there is no libfaketime: install the package faketime)"
        );
    }
    found
}

/// The clock jumps for the owner of the store, or for its supervisor, which outlives owners and keeps the clock of the
/// first: the two differ by months. The steps keep the true one.
#[test]
fn runs_end_as_always_while_the_clock_jumps() {
    let Some(library) = faketime() else { return };
    let (crashes, mut chance) = asked();
    let world = World::undisturbed();
    for made in 0..crashes.div_ceil(4) {
        let bench = Bench::new();
        bench.write("world.yaml", WORLD);
        const CLOCKS: [&str; 2] = ["clock of the first owner", "clock of the others"];
        CLOCKS.iter().for_each(|clock| bench.write(clock, "+0"));
        let mut jumps = Vec::new();
        let start = |arguments: &[&str], clock: &str| {
            let mut command = bench.command(arguments);
            command.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", bench.path(clock));
            command.env("FAKETIME_NO_CACHE", "1").env("NO_FAKE_STAT", "1");
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
            bench.start_command(&mut command)
        };
        let mut running = start(&["run", "world.yaml", "--name", NAME], CLOCKS[0]);
        for _ in 0..3 {
            let moment = progress(&bench) + chance.below(12);
            until("the moment", || (running.has_ended() || progress(&bench) >= moment).then_some(()));
            let jump = chance.pick(&["+90d", "+3h", "+1s", "-1s", "-3h", "-90d"]);
            let clock = chance.pick(&CLOCKS);
            bench.write(clock, jump);
            jumps.push((clock, jump));
            if chance.below(3) == 0 && specs(&bench.store().join("runs")) > 0 {
                running.kill();
                running = start(&["run", "--continue", NAME], CLOCKS[1]);
            }
        }
        running.end().exits(0);
        world.check(&bench, true, &format!("run {made}, jumps {jumps:?}"));
    }
}

/// Notes what they were started for.
const DEFINITIONS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: note}
spec:
  entrypoint: main
  arguments: {parameters: [{name: what}]}
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo '{{workflow.parameters.what}}' >> /box/done"]
      volumeMounts: [{name: box, mountPath: /box}]
---
apiVersion: dropforge.dev/v1alpha1
kind: Trigger
metadata: {name: churn}
spec:
  s3: {bucket: uploads, prefix: churn/}
  workflowTemplateRef: {name: note}
  arguments: {parameters: [{name: what, value: "{{trigger.key}}"}]}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: often}
spec:
  schedules: ["@every 1s"]
  stopStrategy: {expression: "cronworkflow.succeeded >= 3"}
  workflowSpec:
    entrypoint: main
    volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
    templates:
    - name: main
      container:
        image: busybox
        command: [sh, -c]
        args: ["echo {{workflow.name}} >> /box/done"]
        volumeMounts: [{name: box, mountPath: /box}]
"#;

/// A server of the bench's definitions, and what it has been asked for.
struct Server<'b> {
    bench: &'b Bench,
    dev: Option<Running<'b>>,
    expected: Vec<String>,
}

impl Server<'_> {
    fn start(&mut self) {
        let line = ["dev", "definitions", "--port", "0", "--config", "dropforge.toml"];
        self.dev = Some(self.bench.start(&line));
    }

    /// A file arrives whole, as the S3 endpoint lets it.
    fn drop_file(&mut self) {
        let key = format!("churn/{}.csv", self.expected.len());
        let place = self.bench.store().join("buckets/uploads").join(&key);
        self.bench.write("arriving", "1,2\n");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(self.bench.path("arriving"), place).unwrap();
        self.expected.push(key);
    }

    fn submit(&mut self) {
        let what = format!("submitted/{}", self.expected.len());
        let line = ["submit", "--from", "workflowtemplate/note", "-p", &format!("what={what}")];
        self.bench.dropforge(&line).exits(0);
        self.expected.push(what);
    }
}

#[test]
fn a_server_killed_at_random_moments_starts_a_run_once_for_whatever_came() {
    let (crashes, mut chance) = asked();
    let mut made = 0;
    while made < crashes {
        let bench = Bench::new();
        bench.write("definitions/all.yaml", DEFINITIONS);
        let mut server = Server { bench: &bench, dev: None, expected: Vec::new() };
        server.start();
        // What lay in a bucket before its trigger did is not taken.
        server.dev.as_ref().unwrap().wait_until_said("ready:");
        let mut victims = Vec::new();
        for _ in 0..=chance.below(5) {
            if server.dev.is_none() {
                server.start();
            }
            (0..chance.below(4)).for_each(|_| server.drop_file());
            if chance.below(3) == 0 {
                server.submit();
            }
            let victim = chance.pick(&VICTIMS);
            server.dev = crash(&bench, server.dev.take().unwrap(), victim, &mut chance);
            victims.push(victim);
        }
        if server.dev.is_none() {
            server.start();
        }
        check_server(&server, victims.iter().all(|victim| *victim == Victim::Owner), &format!("{victims:?}"));
        made += victims.len();
    }
}

/// Each file and each submission has one run, which succeeded; ticks have at most one each.
fn check_server(server: &Server<'_>, exactly: bool, what: &str) {
    let bench = server.bench;
    let list = || bench.dropforge(&["list", "-o", "json"]).exits(0).json();
    let mut seen = String::new();
    until(&format!("all runs, {what}"), || {
        let stopped =
            bench.dropforge(&["cron", "get", "often"]).stdout.contains("stopped by its stopStrategy");
        let runs = list().as_array().cloned().unwrap();
        let over = runs.iter().all(|run| run["phase"] == "Succeeded");
        let asked_for = runs.iter().filter(|run| run["cause"] != "schedule often").count();
        let names = runs.iter().map(|run| format!("{} {} {}", run["cause"], run["name"], run["phase"]));
        let now = format!("{:?}, stopped {stopped}: {:?}", server.expected, names.collect::<Vec<_>>());
        if now != seen {
            println!("{now}");
            seen = now;
        }
        (stopped && over && asked_for >= server.expected.len()).then_some(())
    });
    let runs = list();
    let of_schedule = |run: &&serde_json::Value| run["cause"] == "schedule often";
    let asked_for = runs.as_array().unwrap().iter().filter(|run| !of_schedule(run)).count();
    assert_eq!(asked_for, server.expected.len(), "{what}: {runs:#}");
    let mut noted: BTreeMap<String, usize> = BTreeMap::new();
    bench.lines("done").into_iter().for_each(|line| *noted.entry(line).or_default() += 1);
    for key in &server.expected {
        assert!(noted.contains_key(key), "{what}: {key} was lost: {noted:?}");
    }
    let twice: Vec<_> = noted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(!exactly || twice.is_empty(), "{what}: done twice: {twice:?}");
}
