//! Variables of every kind.

use dropforge_manifest::tags::{Lookup, Scope};
use serde_json::{Value, json};

/// What a step sees of the others.
pub struct Sample(Value);

impl Sample {
    /// A few of each kind; `text` is one of them.
    pub fn new(text: &str) -> Self {
        Sample(json!({
            "text": text, "number": 7, "fraction": 1.5, "truth": true, "none": null, "list": [3, "b", [1], {"k": "v"}],
            "inputs": {"parameters": {"a": text, "items": "[1,2,{\"k\":\"v\"}]", "n": "12"}},
            "steps": {"a": {"outputs": {"result": text, "parameters": {"accuracy": "0.93"}}, "status": "Succeeded"}},
            "item": {"name": "x", "lr": 0.1}, "workflow": {"name": "wf", "uid": "u", "parameters": "[]"}, "pod": {"name": "p"},
        }))
    }
}

impl Scope for Sample {
    fn get(&self, name: &str) -> Lookup {
        match name.split('.').try_fold(&self.0, |at, part| at.get(part)) {
            Some(Value::Object(_)) | None if name.starts_with("absent") => {
                Lookup::Absent { why: String::new() }
            }
            Some(Value::Object(_)) | None => Lookup::Unknown,
            Some(found) => Lookup::Value(found.clone()),
        }
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        let at = if prefix.is_empty() {
            Some(&self.0)
        } else {
            prefix.split('.').try_fold(&self.0, |at, part| at.get(part))
        };
        at.filter(|found| found.is_object()).cloned()
    }
}
