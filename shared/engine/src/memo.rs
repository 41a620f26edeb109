//! Memoization: what a template gave before, under a key, taken instead of running it again.

use dropforge_manifest::types::Outputs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names an entry of a cache; the cache is of the run's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoKey {
    /// The cache: in Argo's manifests, a config map's name.
    pub cache: String,
    /// The key within it.
    pub key: String,
}

/// What a cache holds under a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoEntry {
    /// Argo's id of the node that gave it.
    #[serde(rename = "nodeID")]
    pub node_id: String,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Outputs::is_empty")]
    pub outputs: Outputs,
    /// When.
    pub created_at: Timestamp,
}

/// A memoized node's cache entry, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memo {
    /// Which entry.
    pub entry: MemoKey,
    /// How old it may be, in nanoseconds; none: it never gets old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_nanos: Option<i64>,
    /// Whether the entry was found; none: that is still being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<bool>,
}

impl Memo {
    /// Whether an entry is young enough.
    pub fn accepts(&self, entry: &MemoEntry, now: Timestamp) -> bool {
        let age = now.as_nanosecond() - entry.created_at.as_nanosecond();
        self.max_age_nanos.is_none_or(|max| age <= i128::from(max))
    }
}
