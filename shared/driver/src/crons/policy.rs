//! The conditions that a person writes: `stopStrategy` and `when`, over `cronworkflow.*`.

use std::collections::BTreeMap;

use dropforge_manifest::expr::{self, Env};
use dropforge_manifest::tags::{Lookup, Scope, Strictness, TagError, replace};
use dropforge_manifest::types::CronWorkflow;
use dropforge_manifest::when::{self, WhenError, Words};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::CronState;

/// Why a condition has no truth value.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The expression can't be read or computed.
    #[error("failed to evaluate stop expression {expression:?}: {why}")]
    Stop {
        /// The expression.
        expression: String,
        /// Why.
        why: String,
    },
    /// A tag in `when` has no value.
    #[error("unable to evaluate 'when': {0}")]
    Tag(#[from] TagError),
    /// The condition in `when` is wrong.
    #[error("{0}")]
    When(#[from] WhenError),
}

/// Whether the stop strategy's condition holds.
pub(super) fn stops(cron: &CronWorkflow, state: &CronState, now: Timestamp) -> Result<bool, PolicyError> {
    let Some(strategy) = cron.spec.stop_strategy.as_ref().filter(|s| !s.expression.is_empty()) else {
        return Ok(false);
    };
    let failed = |why: String| PolicyError::Stop { expression: strategy.expression.clone(), why };
    let scope = Variables::of(cron, state, now);
    let parsed = expr::parse(&strategy.expression).map_err(|why| failed(why.to_string()))?;
    expr::evaluate_bool(&parsed, &Env::of(&scope)).map_err(|why| failed(why.to_string()))
}

/// Whether `when` holds; without one it does.
pub(super) fn when_holds(
    cron: &CronWorkflow,
    state: &CronState,
    now: Timestamp,
) -> Result<bool, PolicyError> {
    let Some(text) = cron.spec.when.as_deref().filter(|text| !text.is_empty()) else { return Ok(true) };
    let text = replace(text, &Variables::of(cron, state, now), Strictness::All)?;
    // Bare words are names here, unlike in a step's `when`.
    Ok(when::evaluate_with(&text, Words::AreNames)?)
}

/// `cronworkflow.*`.
struct Variables {
    tree: Value,
    now: Timestamp,
}

impl Variables {
    fn of(cron: &CronWorkflow, state: &CronState, now: Timestamp) -> Variables {
        let metadata = &cron.metadata;
        let tree = json!({
            "name": metadata.name,
            "namespace": metadata.namespace.as_deref().unwrap_or("default"),
            "labels": texts(&metadata.labels),
            "annotations": texts(&metadata.annotations),
            "lastScheduledTime": state.last_scheduled_time.map(|time| time.to_string()),
            "succeeded": state.succeeded,
            "failed": state.failed,
        });
        Variables { tree, now }
    }
}

/// With `.json`, the whole as text.
fn texts(texts: &BTreeMap<String, String>) -> Value {
    let mut map: Map<String, Value> = texts.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    map.insert("json".to_owned(), json!(json!(texts).to_string()));
    Value::Object(map)
}

impl Scope for Variables {
    fn get(&self, name: &str) -> Lookup {
        let mut at = &self.tree;
        let Some(mut rest) = name.strip_prefix("cronworkflow.") else { return Lookup::Unknown };
        // A label's name may hold dots.
        loop {
            if let Some(value) = at.get(rest) {
                return Lookup::Value(value.clone());
            }
            let Some((first, after)) = rest.split_once('.') else { return Lookup::Unknown };
            let Some(below) = at.get(first) else { return Lookup::Unknown };
            (at, rest) = (below, after);
        }
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        (prefix == "cronworkflow").then(|| self.tree.clone())
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
