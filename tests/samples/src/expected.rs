//! `expected.json` as it is described in `samplepipelines/README.md`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::Error;
use serde_json::{Map, Value};

/// What must happen with a sample.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// In this order, on one store.
    pub cases: Vec<Case>,
}

impl Expected {
    /// Reads a sample's file.
    ///
    /// # Panics
    /// When it is not there or says something this test does not know.
    pub fn read(sample: &Path) -> Expected {
        let path = sample.join("expected.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    }
}

/// One case: what is done, and what must have happened then.
#[derive(Debug)]
pub struct Case {
    /// What is done.
    pub deed: Deed,
    /// What holds for each run it starts.
    pub expect: Expect,
}

/// What is done in a case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deed {
    /// The case as a claim.
    pub name: String,
    /// Objects that are put first.
    #[serde(default)]
    pub drop: Vec<Dropped>,
    /// Arguments of `dropforge run`; without it the drops start the runs.
    pub run: Option<Vec<String>>,
    /// Arguments of `dropforge resume RUN`.
    pub resume: Option<Vec<String>>,
    /// The exit code of `dropforge run`.
    pub exit: Option<i32>,
    /// How many runs the drops start.
    #[serde(default = "one")]
    pub runs: usize,
    /// How many of them at most run at one time.
    pub active: Option<usize>,
    /// Metrics that differ between the runs.
    #[serde(default)]
    pub distinct: Vec<String>,
    /// What else holds where there is a GPU.
    pub with_gpu: Option<Expect>,
    /// What else holds where there is none.
    pub without_gpu: Option<Expect>,
}

fn one() -> usize {
    1
}

/// An object that is put.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// A file of the sample.
    pub file: String,
    /// Where it goes, an S3 URL.
    pub to: String,
}

/// What holds for a run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Its phase.
    pub phase: Option<String>,
    /// Phases by node.
    pub nodes: BTreeMap<String, String>,
    /// How many pods each template has.
    pub executed: BTreeMap<String, usize>,
    /// Output parameters by node.
    pub outputs: BTreeMap<String, BTreeMap<String, Wanted>>,
    /// Objects that exist.
    pub artifacts: Vec<String>,
    /// Objects that do not.
    pub absent: Vec<String>,
    /// Texts in objects.
    pub contains: BTreeMap<String, Vec<String>>,
    /// Objects whose SHA-256 is an output parameter.
    pub sha256: BTreeMap<String, ParameterOf>,
    /// Bounds of numbers in the run's index entry.
    pub metrics: BTreeMap<String, Bounds>,
    /// How logs end.
    pub log_ends: BTreeMap<String, String>,
}

/// What a parameter is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// Exactly this text.
    Text(String),
    /// A number within bounds.
    Number(Bounds),
}

/// Bounds of a number, both of them allowed values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

impl Bounds {
    /// Whether the number lies within.
    pub fn hold(&self, number: f64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

/// An output parameter of a node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterOf {
    /// The node.
    pub node: String,
    /// The parameter.
    pub parameter: String,
}

/// The keys of [`Expect`]; all others are the deed's, so that neither takes a misspelt key for the other's.
const OF_EXPECT: [&str; 10] = [
    "phase",
    "nodes",
    "executed",
    "outputs",
    "artifacts",
    "absent",
    "contains",
    "sha256",
    "metrics",
    "log_ends",
];

impl<'de> Deserialize<'de> for Case {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let all: Map<String, Value> = Map::deserialize(from)?;
        let (expect, deed): (Map<_, _>, Map<_, _>) =
            all.into_iter().partition(|(key, _)| OF_EXPECT.contains(&key.as_str()));
        Ok(Case {
            deed: serde_json::from_value(deed.into()).map_err(D::Error::custom)?,
            expect: serde_json::from_value(expect.into()).map_err(D::Error::custom)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_refused_wherever_it_stands() {
        let refused = |text: &str| serde_json::from_str::<Case>(text).unwrap_err().to_string();
        assert!(refused(r#"{"name": "x", "artefacts": []}"#).contains("unknown field `artefacts`"));
        assert!(refused(r#"{"name": "x", "with_gpu": {"fase": ""}}"#).contains("unknown field `fase`"));
        assert!(refused(r#"{"name": "x", "metrics": {"a": {"mim": 1}}}"#).contains("unknown field `mim`"));
    }
}
