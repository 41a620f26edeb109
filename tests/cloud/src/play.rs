//! Plays the cases of a sample on the cluster and compares its runs with the laptop's.

use std::collections::BTreeSet;
use std::path::Path;

use dropforge_samples_tests::check::{self, Entry, Seen};
use dropforge_samples_tests::expected::{Case, Expected};
use dropforge_samples_tests::place::{Person, Place};
use dropforge_samples_tests::play;
use serde_json::Value;

use crate::bed::{Bed, until};
use crate::desk::Desk;
use crate::folder;
use crate::tree;

/// The runs of a case must have come to their end by then.
const CASE_SECONDS_MAX: u64 = 600;

/// Plays all cases of a sample here and on the laptop.
///
/// # Panics
/// When what happened is not what is expected, or not the same.
pub fn sample(bed: &Bed, name: &str) {
    let place = play::play(name, &Person::default());
    folder::for_test_images(place.sample());
    let desk = Desk::new(bed, place.sample());
    let cloud: Vec<Value> = Expected::read(place.sample())
        .cases
        .iter()
        .flat_map(|case| Play { bed, desk: &desk, folder: place.sample(), case }.play())
        .collect();
    let apart = tree_differences(&laptop(&place), &cloud);
    assert!(apart.is_empty(), "{name}: the trees differ:\n  {}", apart.join("\n  "));
}

/// The laptop's runs, oldest first.
fn laptop(place: &Place) -> Vec<Value> {
    let json = |words: &[&str]| -> Value {
        serde_json::from_str(&place.call(words).data()).expect("`-o json` prints JSON")
    };
    let mut runs: Vec<Entry> = serde_json::from_value(json(&["list", "-o", "json"])).expect("a list of runs");
    runs.sort_by_key(|run| run.started_at);
    runs.iter().map(|run| json(&["get", &run.uid, "-o", "json"])).collect()
}

fn tree_differences(laptop: &[Value], cloud: &[Value]) -> Vec<String> {
    if laptop.len() != cloud.len() {
        return vec![format!("{} runs on the laptop, {} on the cluster", laptop.len(), cloud.len())];
    }
    let pairs = laptop.iter().zip(cloud);
    pairs.flat_map(|(l, c)| tree::differences(&tree::shape(l), &tree::shape(c))).collect()
}

struct Play<'a> {
    bed: &'a Bed,
    desk: &'a Desk<'a>,
    folder: &'a Path,
    case: &'a Case,
}

impl Play<'_> {
    /// The runs of the case, oldest first, when they were as expected.
    fn play(&self) -> Vec<Value> {
        let deed = &self.case.deed;
        println!("{}", deed.name);
        self.make_buckets();
        let before: BTreeSet<String> = self.desk.list().into_iter().map(|run| run.uid).collect();
        let runs = match &deed.run {
            Some(words) => vec![self.by_a_person(words)],
            None => self.by_drops(&before),
        };
        let workflows: Vec<Value> = runs.iter().map(|run| self.desk.get(&run.uid)).collect();
        let mut wrong: Vec<String> =
            runs.iter().zip(&workflows).flat_map(|(run, workflow)| self.compare(run, workflow)).collect();
        wrong.extend(check::differences_beside(deed.active, &deed.distinct, &runs));
        assert!(wrong.is_empty(), "{}:\n  {}", deed.name, wrong.join("\n  "));
        workflows
    }

    /// The buckets that a manifest names are there on AWS before it runs; the laptop makes them itself.
    fn make_buckets(&self) {
        let named = self.case.expect.artifacts.iter().filter_map(|place| s3_url(place));
        named.for_each(|(bucket, _)| self.bed.emulator.make_bucket(bucket));
    }

    /// `apply` and `submit`, and where the case says so `resume` once the run waits. A trigger of an earlier case may
    /// start a run of its own for what is dropped here.
    fn by_a_person(&self, words: &[String]) -> Entry {
        self.drop_files();
        let from = words.iter().position(|word| word == "--from");
        // `run` takes files and what starts from them in one call; a cluster keeps definitions.
        let (files, words) = words.split_at(from.unwrap_or(0));
        if !files.is_empty() {
            self.call("apply", files);
        }
        let name = self.call("submit", words).trim().to_owned();
        if let Some(answer) = &self.case.deed.resume {
            until("the run to wait for a person", CASE_SECONDS_MAX, || self.suspended(&name).then_some(()));
            self.call("resume", &[std::slice::from_ref(&name), answer.as_slice()].concat());
        }
        let ended = until("the run to end", CASE_SECONDS_MAX, || {
            self.desk.list().into_iter().find(|run| run.name == name && run.over())
        });
        let code = self.desk.call(&["wait", &ended.uid]).status.code();
        assert_eq!(code, self.case.deed.exit, "the exit code of wait");
        ended
    }

    /// Definitions applied, files dropped.
    fn by_drops(&self, before: &BTreeSet<String>) -> Vec<Entry> {
        let files = ["pipeline.yaml", "trigger.yaml"].map(str::to_owned);
        self.call("apply", &files);
        self.drop_files();
        let count = self.case.deed.runs;
        if count == 0 {
            until("the upload queue to be empty", CASE_SECONDS_MAX, || self.uploads_are_read().then_some(()));
        }
        until("the runs to end", CASE_SECONDS_MAX, || {
            let runs = self.runs(before);
            (runs.len() >= count && runs.iter().all(Entry::over)).then_some(())
        });
        let runs = self.runs(before);
        assert_eq!(runs.len(), count, "runs of this case");
        runs
    }

    fn uploads_are_read(&self) -> bool {
        self.bed.emulator.depth(self.bed.named("upload_queue_url")) == 0
    }

    fn call(&self, verb: &str, words: &[String]) -> String {
        let words: Vec<&str> = [verb].into_iter().chain(words.iter().map(String::as_str)).collect();
        self.desk.call(&words).data()
    }

    fn drop_files(&self) {
        for drop in &self.case.deed.drop {
            let (bucket, key) = s3_url(&drop.to).expect("a drop goes to an S3 URL");
            let body = std::fs::read(self.folder.join(&drop.file)).expect("the sample has the file");
            self.bed.emulator.put(bucket, key, &body);
        }
    }

    fn runs(&self, before: &BTreeSet<String>) -> Vec<Entry> {
        let mut runs = self.desk.list();
        runs.retain(|run| !before.contains(&run.uid));
        runs.sort_by_key(|run| run.started_at);
        runs
    }

    fn suspended(&self, run: &str) -> bool {
        let workflow = self.desk.get(run);
        let nodes = workflow["status"]["nodes"].as_object().into_iter().flatten();
        nodes.into_iter().any(|(_, node)| node["type"] == "Suspend" && node["phase"] == "Running")
    }

    fn compare(&self, run: &Entry, workflow: &Value) -> Vec<String> {
        let object = |place: &str| self.object(place);
        let log = |node: &str| self.desk.call(&["logs", &run.uid, node]).data();
        let seen = Seen { entry: run.clone(), workflow: workflow.clone(), object: &object, log: &log };
        let mut found = check::differences(&self.case.expect, &seen);
        let here = self.case.deed.without_gpu.iter();
        found.extend(here.flat_map(|expect| check::differences(expect, &seen)));
        found.extend(self.unexplained(run));
        found.into_iter().map(|what| format!("{}: {what}", run.name)).collect()
    }

    /// What `explain` says of a run that a file started, where it does not name the file.
    fn unexplained(&self, run: &Entry) -> Option<String> {
        let said = self.desk.call(&["explain", &run.uid]).data();
        let names = |to: &String| said.contains(&format!("{to} ("));
        let named = || {
            said.contains("why it ran: trigger ") && self.case.deed.drop.iter().any(|drop| names(&drop.to))
        };
        let told = self.case.deed.run.is_some() || named();
        (!told).then(|| format!("explain does not say which file started it: {said}"))
    }

    /// A key of the default artifact repository, or an S3 URL.
    fn object(&self, place: &str) -> Option<Vec<u8>> {
        let namespace = self.bed.cluster.namespace();
        match s3_url(place) {
            Some((bucket, key)) => self.bed.emulator.get(bucket, key),
            None => self.bed.emulator.get(self.bed.named("artifact_bucket"), &format!("{namespace}/{place}")),
        }
    }
}

fn s3_url(place: &str) -> Option<(&str, &str)> {
    place.strip_prefix("s3://")?.split_once('/')
}
