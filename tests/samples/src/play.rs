//! Plays the cases of a sample.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::check::{Entry, Seen, differences, differences_beside};
use crate::expected::{Case, Deed, Expect, Expected};
use crate::place::{Person, Place};
use crate::program::{self, Ended, Running};

/// Plays all cases of a sample and compares what happened.
///
/// # Panics
/// When it is not what is expected.
pub fn play(sample: &str, person: &Person) -> Place {
    let place = Place::of(sample, program::binary(), person);
    for case in Expected::read(place.sample()).cases {
        println!("{sample}: {}", case.deed.name);
        Play { sample, place: &place, case: &case }.play();
    }
    place
}

/// Plays the first case of a sample, breaks the command off while a step runs after another has succeeded, goes on
/// with the run, and compares what happened.
///
/// # Panics
/// When it is not what is expected, or the run ends before it is broken off.
pub fn play_broken_off(sample: &str, break_off: impl FnOnce(Running)) -> Place {
    let place = Place::of(sample, program::binary(), &Person::default());
    let cases = Expected::read(place.sample()).cases;
    let play = Play { sample, place: &place, case: cases.first().expect("a sample has a case") };
    play.judge(play.broken_off(break_off));
    place
}

/// Shows the demo, and shows it again in the same folder, as a person does who liked it.
///
/// # Panics
/// When it does not end with a model.
pub fn demo(person: &Person) {
    let place = Place::of("ml-pipeline", program::binary(), person);
    let mut models = BTreeSet::new();
    for _ in 0..2 {
        let ended = place.call(&["demo"]);
        if ended.stderr.contains(NOT_IN_THIS_BUILD) {
            println!("SKIPPED: the demo (not in this build)");
            return;
        }
        let said = ended.describe();
        let data = ended.data();
        let after = |words: &str| data.lines().find_map(|line| line.strip_prefix(words));
        assert!(after("accuracy").is_some(), "no accuracy\n{data}\n{said}");
        let model = after("the model: ").map(|path| place.sample().join(path));
        let model = model.filter(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
        models.insert(model.unwrap_or_else(|| panic!("no model\n{data}\n{said}")));
    }
    assert_eq!(models.len(), 2, "each keeps a model of its own");
}

struct Play<'a> {
    sample: &'a str,
    place: &'a Place,
    case: &'a Case,
}

/// The runs of a case, and what the command said about them.
struct Played {
    runs: Vec<Entry>,
    wrong: Vec<String>,
    said: String,
}

impl Play<'_> {
    fn play(&self) {
        let deed = &self.case.deed;
        let played = match (&deed.run, deed.runs) {
            (Some(arguments), _) => self.by_a_person(arguments),
            (None, 0) => self.no_trigger(),
            (None, _) => self.by_drops(),
        };
        match played {
            Some(played) => self.judge(played),
            None => println!("SKIPPED: {}: {} (not in this build)", self.sample, deed.name),
        }
    }

    fn judge(&self, mut played: Played) {
        let deed = &self.case.deed;
        for run in &played.runs {
            let name = &run.name;
            let found = self.compare(run);
            played.wrong.extend(found.into_iter().map(|what| format!("{name}: {what}")));
        }
        played.wrong.extend(differences_beside(deed.active, &deed.distinct, &played.runs));
        if !played.wrong.is_empty() {
            let trees = played.runs.iter().map(|run| self.place.call(&["get", &run.name]).stdout);
            panic!(
                "{}: {}\n  {}\n\n{}\n{}",
                self.sample,
                deed.name,
                played.wrong.join("\n  "),
                played.said,
                trees.collect::<String>()
            );
        }
    }

    /// `dropforge run`, and where the case says so `dropforge resume` once it waits.
    fn by_a_person(&self, arguments: &[String]) -> Option<Played> {
        let deed = &self.case.deed;
        let before = self.uids();
        self.drop_files();
        let words: Vec<&str> = ["run"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let mut running = self.place.start(&words);
        if let Some(answer) = &deed.resume {
            let waiting = running.until("the run to wait for a person", |_| {
                self.list(&before).into_iter().find(|r| self.suspended(r))
            });
            if let Some(run) = waiting {
                let words = ["resume", &run.name].into_iter().chain(answer.iter().map(String::as_str));
                self.place.call(&words.collect::<Vec<_>>()).data();
            }
        }
        Some(self.over(&running.end(), &before))
    }

    /// `dropforge run`, broken off, and `dropforge run --continue`.
    fn broken_off(&self, break_off: impl FnOnce(Running)) -> Played {
        let none = BTreeSet::new();
        self.drop_files();
        let words = self.case.deed.run.iter().flatten().map(String::as_str);
        let mut running = self.place.start(&["run"].into_iter().chain(words).collect::<Vec<_>>());
        let name = running.until("a step to run after another", |_| {
            let run = self.list(&none).pop()?;
            let nodes = self.nodes(&run);
            let pod_is = |phase: &str| nodes.iter().any(|n| n["type"] == "Pod" && n["phase"] == phase);
            (pod_is("Succeeded") && pod_is("Running")).then_some(run.name)
        });
        let name = name.expect("the run goes on long enough to be broken off");
        break_off(running);
        let run = self.list(&none).pop().expect("it is in the list, where its name was found");
        assert!(!run.over(), "{name} was over before it was broken off");
        self.over(&self.place.call(&["run", "--continue", &name]), &none)
    }

    /// The one run that a `dropforge run` leaves.
    fn over(&self, ended: &Ended, before: &BTreeSet<String>) -> Played {
        let deed = &self.case.deed;
        let mut played = Played { runs: self.list(before), wrong: Vec::new(), said: ended.describe() };
        if ended.status.code() != deed.exit {
            played.wrong.push(format!("{}, expected exit code {:?}", ended.status, deed.exit));
        }
        if played.runs.len() != 1 {
            played.wrong.push(format!("{} runs, expected 1", played.runs.len()));
        }
        played
    }

    /// Drops under `dropforge dev`, which starts the runs.
    fn by_drops(&self) -> Option<Played> {
        let deed = &self.case.deed;
        let before = self.uids();
        // Tests run beside each other, so each takes any port.
        let mut dev = self.place.start(&["dev", ".", "--port", "0"]);
        let ready = dev.until("dev to be ready", |dev| dev.said().contains("ready:").then_some(()));
        if ready.is_none() {
            return unless_not_in_this_build(dev.end());
        }
        self.drop_files();
        dev.until("the runs to end", |_| {
            let runs = self.list(&before);
            (runs.len() >= deed.runs && runs.iter().all(Entry::over)).then_some(())
        });
        let ended = dev.interrupt();
        let mut played = Played { runs: self.list(&before), wrong: Vec::new(), said: ended.describe() };
        if played.runs.len() != deed.runs {
            played.wrong.push(format!("{} runs, expected {}", played.runs.len(), deed.runs));
        }
        Some(played)
    }

    /// No trigger of the sample wants any of the objects.
    fn no_trigger(&self) -> Option<Played> {
        let mut played = Played { runs: Vec::new(), wrong: Vec::new(), said: String::new() };
        for drop in &self.case.deed.drop {
            self.place.put(&drop.file, &drop.to);
            let ended = self.place.call(&["trigger", "test", &drop.to, "."]);
            if ended.stderr.contains(NOT_IN_THIS_BUILD) {
                return None;
            }
            if ended.status.code() != Some(1) {
                played.wrong.push(format!("{} is wanted by a trigger", drop.to));
            }
            played.said += &format!("{}\n{}", ended.describe(), ended.stdout);
        }
        Some(played)
    }

    fn drop_files(&self) {
        for drop in &self.case.deed.drop {
            self.place.put(&drop.file, &drop.to);
        }
    }

    fn uids(&self) -> BTreeSet<String> {
        self.list(&BTreeSet::new()).into_iter().map(|run| run.uid).collect()
    }

    /// The runs of the store but those before.
    fn list(&self, before: &BTreeSet<String>) -> Vec<Entry> {
        if !self.place.sample().join(".dropforge/index").is_dir() {
            return Vec::new();
        }
        let text = self.place.call(&["list", "-o", "json"]).data();
        let all: Vec<Entry> = serde_json::from_str(&text).expect("`list -o json` prints a JSON list");
        all.into_iter().filter(|run| !before.contains(&run.uid)).collect()
    }

    fn workflow(&self, run: &Entry) -> Value {
        let text = self.place.call(&["get", &run.uid, "-o", "json"]).data();
        serde_json::from_str(&text).expect("`get -o json` prints a JSON object")
    }

    fn suspended(&self, run: &Entry) -> bool {
        self.nodes(run).iter().any(|n| n["type"] == "Suspend" && n["phase"] == "Running")
    }

    fn nodes(&self, run: &Entry) -> Vec<Value> {
        let workflow = self.workflow(run);
        workflow["status"]["nodes"]
            .as_object()
            .into_iter()
            .flat_map(|nodes| nodes.values().cloned())
            .collect()
    }

    fn compare(&self, run: &Entry) -> Vec<String> {
        let object = |place: &str| fs::read(self.place.object(place)).ok();
        let log = |node: &str| self.place.call(&["logs", &run.uid, node]).data();
        let seen = Seen { entry: run.clone(), workflow: self.workflow(run), object: &object, log: &log };
        let mut found = differences(&self.case.expect, &seen);
        let here = self.case.deed.on_this_machine(self.sample);
        found.extend(here.iter().flat_map(|expect| differences(expect, &seen)));
        found
    }
}

const NOT_IN_THIS_BUILD: &str = "not in this build";

fn unless_not_in_this_build(ended: Ended) -> Option<Played> {
    assert!(ended.stderr.contains(NOT_IN_THIS_BUILD), "{}", ended.describe());
    None
}

impl Deed {
    /// What else holds, as this machine has a GPU or none.
    fn on_this_machine(&self, sample: &str) -> Option<&Expect> {
        if has_gpu() {
            return self.with_gpu.as_ref();
        }
        if self.with_gpu.is_some() {
            println!("SKIPPED: {sample} on a GPU (no NVIDIA GPU on this machine)");
        }
        self.without_gpu.as_ref()
    }
}

/// Whether the kernel's driver knows an NVIDIA GPU and it is not hidden from this process.
fn has_gpu() -> bool {
    let hidden =
        std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|list| list.is_empty() || list.starts_with('-'));
    !hidden && (Path::new("/dev/nvidia0").exists() || Path::new("/proc/driver/nvidia/gpus").exists())
}
