//! Compares a run with what is expected of it. Pure: what is on disk comes in as functions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::expected::{Expect, Wanted};

#[cfg(test)]
mod tests;

/// A run's entry in the list, as `list -o json` prints it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// When it began.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub finished_at: Option<jiff::Timestamp>,
    /// Its numbers.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

impl Entry {
    /// Whether the run is over.
    pub fn over(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// What is known of a run.
pub struct Seen<'a> {
    /// Its entry in the list.
    pub entry: Entry,
    /// The Argo Workflow object with its status.
    pub workflow: Value,
    /// An object's bytes: a key of the default artifact repository, or an S3 URL.
    pub object: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// A node's log, by its full name.
    pub log: &'a dyn Fn(&str) -> String,
}

/// Everything in which a run is not as expected.
pub fn differences(expect: &Expect, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    phases(expect, seen, &mut found);
    outputs(expect, seen, &mut found);
    objects(expect, seen, &mut found);
    for (name, bounds) in &expect.metrics {
        let number = seen.entry.metrics.get(name);
        if !number.is_some_and(|n| bounds.hold(*n)) {
            found.push(format!("metric {name} is {number:?}, expected {bounds:?}"));
        }
    }
    for (node, end) in &expect.log_ends {
        let log = (seen.log)(&seen.full_name(node));
        if !log.trim_end().ends_with(end.as_str()) {
            found.push(format!("the log of {node:?} ends {:?}, expected {end:?}", tail(&log, 200)));
        }
    }
    found
}

fn phases(expect: &Expect, seen: &Seen, found: &mut Vec<String>) {
    if let Some(phase) = &expect.phase {
        if seen.entry.phase != *phase {
            found.push(format!("the list says {}, expected {phase}", seen.entry.phase));
        }
        if seen.workflow["status"]["phase"] != **phase {
            found.push(format!("status.phase is {}, expected {phase}", seen.workflow["status"]["phase"]));
        }
    }
    for (node, phase) in &expect.nodes {
        let is = seen.node(node).map(|n| &n["phase"]);
        if is.is_none_or(|is| is != phase.as_str()) {
            found.push(format!("node {node:?} is {is:?}, expected {phase}"));
        }
    }
    for (template, count) in &expect.executed {
        let pods = seen.nodes().filter(|n| n["type"] == "Pod" && n["templateName"] == template.as_str());
        let pods = pods.count();
        if pods != *count {
            found.push(format!("template {template} was executed {pods} times, expected {count}"));
        }
    }
}

fn outputs(expect: &Expect, seen: &Seen, found: &mut Vec<String>) {
    for (node, parameters) in &expect.outputs {
        for (name, wanted) in parameters {
            let value = seen.parameter(node, name);
            let holds = value.is_some_and(|value| match wanted {
                Wanted::Text(text) => value == text,
                Wanted::Number(bounds) => value.trim().parse().is_ok_and(|n| bounds.hold(n)),
            });
            if !holds {
                found.push(format!("output {name} of {node:?} is {value:?}, expected {wanted:?}"));
            }
        }
    }
}

fn objects(expect: &Expect, seen: &Seen, found: &mut Vec<String>) {
    for place in &expect.artifacts {
        match seen.object(place) {
            None => found.push(format!("{place} does not exist")),
            Some(bytes) if bytes.is_empty() => found.push(format!("{place} is empty")),
            Some(_) => {}
        }
    }
    for place in &expect.absent {
        if seen.object(place).is_some() {
            found.push(format!("{place} exists"));
        }
    }
    for (place, texts) in &expect.contains {
        let bytes = seen.object(place).unwrap_or_default();
        let content = String::from_utf8_lossy(&bytes);
        for text in texts.iter().filter(|text| !content.contains(text.as_str())) {
            found.push(format!("{place} does not contain {text:?}"));
        }
    }
    for (place, source) in &expect.sha256 {
        let sum = seen.object(place).map(|bytes| format!("{:x}", Sha256::digest(bytes)));
        let wanted = seen.parameter(&source.node, &source.parameter).map(str::trim);
        if sum.is_none() || sum.as_deref() != wanted {
            found.push(format!("the SHA-256 of {place} is {sum:?}, expected {wanted:?}, {source:?}"));
        }
    }
}

impl Seen<'_> {
    fn nodes(&self) -> impl Iterator<Item = &Value> {
        self.workflow["status"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values())
    }

    /// Steps are named `run[0].step`, tasks `run.task`.
    fn full_name(&self, node: &str) -> String {
        let run = &self.entry.name;
        if node.is_empty() || node.starts_with('[') {
            format!("{run}{node}")
        } else {
            format!("{run}.{node}")
        }
    }

    fn node(&self, node: &str) -> Option<&Value> {
        let name = self.full_name(node);
        self.nodes().find(|n| n["name"] == name.as_str())
    }

    fn parameter(&self, node: &str, parameter: &str) -> Option<&str> {
        let all = self.node(node)?["outputs"]["parameters"].as_array()?;
        all.iter().find(|p| p["name"] == parameter)?["value"].as_str()
    }

    fn object(&self, place: &str) -> Option<Vec<u8>> {
        (self.object)(&place.replace("{{run}}", &self.entry.name))
    }
}

/// In what the runs of one case are not as expected beside each other.
pub fn differences_beside(active: Option<usize>, distinct: &[String], runs: &[Entry]) -> Vec<String> {
    let mut found = Vec::new();
    let most = runs.iter().map(|run| running_at_start_of(run, runs)).max().unwrap_or(0);
    if let Some(active) = active
        && most > active
    {
        found.push(format!("{most} runs were active at one time, expected {active} at most"));
    }
    for name in distinct {
        let mut numbers: Vec<Option<&f64>> = runs.iter().map(|run| run.metrics.get(name)).collect();
        numbers.sort_by(|a, b| a.partial_cmp(b).expect("a metric is a number of JSON, which has no NaN"));
        if numbers.contains(&None) || numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            found
                .push(format!("metric {name} of the runs is {numbers:?}, expected a different one for each"));
        }
    }
    found
}

fn running_at_start_of(run: &Entry, runs: &[Entry]) -> usize {
    let goes_on = |other: &&Entry| {
        other.started_at <= run.started_at && other.finished_at.is_none_or(|end| Some(end) > run.started_at)
    };
    runs.iter().filter(goes_on).count()
}

/// The end of a text.
pub fn tail(text: &str, characters: usize) -> String {
    let skip = text.chars().count().saturating_sub(characters);
    text.chars().skip(skip).collect()
}
