//! Names that last: run uids, node numbers, attempt ids.

use std::fmt::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text.into())
            }
        }
    };
}

text_id! {
    /// Names one run for ever; never reused, also when a manifest with a fixed name runs again.
    RunUid
}
text_id! {
    /// Names one try to execute a leaf node; it is the pod's name.
    AttemptId
}
text_id! {
    /// Names one command a person left in a run's inbox; saying it twice is harmless.
    CommandId
}

/// A node of a run's state, numbered in the order of creation within the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Argo's node id for a full node name: the run's name for the root, else the run's name and FNV-1a.
pub fn argo_node_id(run_name: &str, node_name: &str) -> String {
    if node_name == run_name {
        return run_name.to_owned();
    }
    format!("{run_name}-{}", fnv1a(node_name))
}

/// The name that Argo gives a pod; `hash` is the node's, with its hyphen, and empty for the root.
pub fn argo_pod_name(run_name: &str, template: Option<&str>, hash: &str) -> String {
    let mut name = run_name.to_owned();
    if let Some(template) = template {
        name = name + "-" + template;
    }
    let end = name.char_indices().nth(ARGO_POD_NAME_PREFIX_MAX).map_or(name.len(), |(end, _)| end);
    name.truncate(end);
    name + hash
}

fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What Argo leaves of run and template: 253 characters less ten of the hash, less one.
const ARGO_POD_NAME_PREFIX_MAX: usize = 253 - 10 - 1;

/// A pod's name may have 253 characters; the hash and its hyphen take 17.
const POD_NAME_PREFIX_MAX: usize = 253 - 17;

/// The id of attempt `number` of the node called `node_name`: Argo's form `<run>-<template>-<hash>`, with 64
/// bits of SHA-256 instead of Argo's 32 of FNV, which collide within 100,000 children. An inline template has no name.
pub fn attempt_id(run: &RunUid, run_name: &str, template: &str, node_name: &str, number: u32) -> AttemptId {
    let mut hasher = Sha256::new();
    for part in [run.as_str(), node_name, &number.to_string()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let hash = hasher.finalize()[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    let mut id = String::with_capacity(run_name.len() + template.len() + 18);
    id.push_str(run_name);
    if !template.is_empty() {
        id.push('-');
        id.push_str(template);
    }
    if let Some((end, _)) = id.char_indices().nth(POD_NAME_PREFIX_MAX) {
        id.truncate(end);
    }
    // Writing to a String can't fail.
    let _ = write!(id, "-{hash:016x}");
    AttemptId(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_keeps_the_runs_name_and_others_get_argos_hash() {
        assert_eq!(argo_node_id("wf", "wf"), "wf");
        // FNV-1a 32 of "a" is 0xe40c292c.
        assert_eq!(argo_node_id("wf", "a"), format!("wf-{}", 0xe40c_292c_u32));
    }

    #[test]
    fn attempt_ids_differ_by_run_node_and_number() {
        let id = |run: &str, node: &str, n| attempt_id(&run.into(), "wf", "train", node, n);
        let all = [id("u1", "wf.a", 0), id("u1", "wf.a", 1), id("u1", "wf.b", 0), id("u2", "wf.a", 0)];
        for (i, a) in all.iter().enumerate() {
            assert!(a.as_str().starts_with("wf-train-"));
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}
