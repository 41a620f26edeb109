//! What the sample pipelines read and write, from their manifests and their `expected.json`.

use std::collections::BTreeSet;

use dropforge_driver::store::Place;
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_manifest::types::WorkflowSpec;
use serde_json::Value;

use crate::in_repository;

/// A sample pipeline.
#[derive(Debug)]
pub struct Sample {
    /// Its folder's name.
    pub name: String,
    /// Where its steps put artifacts: those of its manifests, and what its `expected.json` looks for. Tags stand for
    /// themselves, as a name would.
    pub writes: BTreeSet<Object>,
}

/// An object; no bucket: the default artifact repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// The bucket that the manifest names.
    pub bucket: Option<String>,
    /// The key.
    pub key: String,
}

/// All samples.
pub fn all() -> Vec<Sample> {
    let folders = std::fs::read_dir(in_repository("samplepipelines")).expect("there are samples");
    let folders =
        folders.map(|entry| entry.expect("the folder can be read").path()).filter(|path| path.is_dir());
    let mut samples: Vec<Sample> = folders.map(|folder| of(&folder)).collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

fn of(folder: &std::path::Path) -> Sample {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a sample's file can be read");
    let mut writes = expected(&serde_json::from_str(&read("expected.json")).expect("it is JSON"));
    for document in parse("pipeline.yaml", &read("pipeline.yaml")).documents {
        match document.object {
            AnyObject::Workflow(workflow) => writes.extend(outputs(&workflow.spec)),
            AnyObject::WorkflowTemplate(template) => writes.extend(outputs(&template.spec)),
            _ => {}
        }
    }
    Sample { name: folder.file_name().expect("a folder has a name").to_string_lossy().into_owned(), writes }
}

/// Artifacts without a place get one by Argo's key format, which begins with the run's name.
fn outputs(spec: &WorkflowSpec) -> impl Iterator<Item = Object> {
    let artifacts = spec.templates.iter().flat_map(|template| &template.outputs.artifacts);
    artifacts.map(|artifact| match &artifact.s3 {
        Some(s3) => {
            let place = Place::of(s3);
            Object { bucket: place.bucket, key: place.key }
        }
        None => Object { bucket: None, key: format!("run/pod/{}.tgz", artifact.name) },
    })
}

fn expected(expected: &Value) -> BTreeSet<Object> {
    let cases = expected["cases"].as_array().expect("there are cases").iter();
    let places = cases.flat_map(|case| case["artifacts"].as_array().into_iter().flatten());
    places.map(|place| object(place.as_str().expect("a place is text"))).collect()
}

fn object(place: &str) -> Object {
    match place.strip_prefix("s3://").and_then(|place| place.split_once('/')) {
        Some((bucket, key)) => Object { bucket: Some(bucket.to_owned()), key: key.to_owned() },
        None => Object { bucket: None, key: place.to_owned() },
    }
}
