//! What a world sees of the requests that its bucket takes: what was committed, born and claimed by them.

use dropforge_engine::record::Record;
use dropforge_engine::spec::RunSpec;
use dropforge_storage::s3::requests::Bytes;
use serde_json::Value;

use crate::bugs::Bug;
use crate::world::{Handle, World};
use crate::{births, steps};

/// The tables that hold no documents.
const TABLES: [&str; 6] = ["live", "runs", "journals", "attempts", "logs", "index"];

/// An object was written on a condition that held: that there was none, if it `is_new`.
pub fn put(world: &Handle, key: &str, body: &Bytes, is_new: bool) {
    let (table, name) = key.split_once('/').unwrap_or_default();
    let text = || String::from_utf8_lossy(body);
    match table {
        "journals" if !name.contains("/pieces/") => {
            let mut segment: Value = serde_json::from_slice(body).expect("segments are JSON");
            let records: Vec<Record> = serde_json::from_value(segment["records"].take()).expect("records");
            world.note(format_args!("{key}: {} records", records.len()));
            // Below a folder that spreads them.
            let run = name.split('/').nth(1).unwrap_or_default();
            steps::committed(world, &run.into(), &records);
        }
        "runs" if name.ends_with("/spec.json") => {
            // A tombstone is none.
            match serde_json::from_slice::<RunSpec>(body) {
                Ok(spec) if is_new => births::born(world, &spec),
                // It was to be deleted, and is live.
                Ok(_) => {}
                Err(_) if world.breaks(Bug::TombstoneForgotten) => world.bucket.forget(key),
                Err(_) => {}
            }
        }
        "attempts" if name.ends_with("/claim.json") => claimed(world, key, body),
        "attempts" if name.ends_with("/result.json") => {
            steps::decided(world, &serde_json::from_slice(body).expect("verdicts are JSON"));
        }
        "index" => {
            steps::listed(world, key.to_owned(), &serde_json::from_slice(body).expect("lines are JSON"));
        }
        _ if !TABLES.contains(&table) => {
            world.inner().done.documents += 1;
            world.note(format_args!("{key} is {}", text().lines().skip(1).collect::<String>()));
        }
        _ => {}
    }
}

/// An object was taken away.
pub fn removed(world: &World, key: &str) {
    world.inner().lines.remove(key);
}

/// Nobody claims an attempt that has its verdict.
fn claimed(world: &World, key: &str, body: &Bytes) {
    let folder = key.trim_end_matches("/claim.json");
    let attempt = folder.rsplit('/').next().unwrap_or_default();
    let claim: Value = serde_json::from_slice(body).expect("claims are JSON");
    let nonce = claim["nonce"].as_str().unwrap_or_default().to_owned();
    world.inner().pods.holders.entry(attempt.into()).or_insert(nonce);
    if world.bucket.found(&format!("{folder}/result.json")).is_some() {
        world.wrong(format_args!("attempt {attempt} is claimed after its verdict"));
    }
}

/// Whether both bodies are segments that hold the same records, whoever wrote them.
pub fn same_records(key: &str, one: &Bytes, other: &Bytes) -> bool {
    let records =
        |body: &Bytes| serde_json::from_slice::<Value>(body).ok().map(|segment| segment["records"].clone());
    key.starts_with("journals/") && records(one) == records(other)
}

/// The body that is stored: as it came, unless a planted bug has its number used once forgotten.
pub fn kept(world: &World, key: &str, body: &Bytes) -> Bytes {
    let marks = key.starts_with("live/") && world.breaks(Bug::MarkerUnchanging);
    if marks { Bytes::from_static(b"live") } else { body.clone() }
}
