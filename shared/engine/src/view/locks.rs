//! `status.synchronization`: what a run holds and what it waits for. A place among the runs is no lock there, as in Argo.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::lock::{LockName, LockWait};
use crate::state::locks::{Locks, Stage};

/// Argo's object; null when there is nothing to say.
pub(super) fn status(locks: &Locks) -> Value {
    let mut held: BTreeMap<&LockName, Vec<&str>> = BTreeMap::new();
    let mut wanted: BTreeMap<&LockName, &LockWait> = BTreeMap::new();
    for block in locks.blocks.values() {
        match &block.stage {
            Stage::Held => block.request.locks.iter().for_each(|lock| {
                held.entry(lock).or_default().push(&block.request.key);
            }),
            Stage::Waiting(wait) => drop(wanted.insert(&wait.lock, wait)),
            Stage::Asked | Stage::Queued { .. } => {}
        }
    }
    let holders = |lock: &LockName, holders: Vec<&str>| match lock {
        LockName::Mutex { .. } => json!({ "mutex": lock.to_string(), "holder": holders.first() }),
        _ => json!({ "semaphore": lock.to_string(), "holders": holders }),
    };
    let of = |mutex: bool| {
        let kind = |lock: &LockName| match lock {
            LockName::Mutex { .. } => mutex,
            LockName::Semaphore { .. } => !mutex,
            LockName::Runs { .. } => false,
        };
        let holding: Vec<Value> =
            held.iter().filter(|(lock, _)| kind(lock)).map(|(lock, by)| holders(lock, by.clone())).collect();
        let waiting: Vec<Value> = wanted
            .iter()
            .filter(|(lock, _)| kind(lock))
            .map(|(lock, wait)| holders(lock, wait.held_by.iter().map(|by| by.key.as_str()).collect()))
            .collect();
        without_empty([("holding", json!(holding)), ("waiting", json!(waiting))])
    };
    without_empty([("semaphore", of(false)), ("mutex", of(true))])
}

fn without_empty(fields: [(&str, Value); 2]) -> Value {
    let said = |value: &Value| !value.is_null() && *value != json!([]);
    let fields: serde_json::Map<String, Value> = fields
        .into_iter()
        .filter(|(_, value)| said(value))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    if fields.is_empty() { Value::Null } else { Value::Object(fields) }
}
