//! The nodes of a composite's calls by name. A DAG may have a hundred thousand tasks, and each event looks for some of
//! them: they are found by a hash, in as many steps however many there are, and never walked in its order.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use rpds::HashTrieMapSync;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::NodeId;

/// Nodes by the name of the call.
#[derive(Clone, Default, PartialEq)]
pub struct Called(HashTrieMapSync<Arc<str>, NodeId, BuildHasherDefault<DefaultHasher>>);

impl Called {
    /// Whether nothing was called.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The node of a call.
    pub fn get(&self, name: &str) -> Option<NodeId> {
        self.0.get(name).copied()
    }

    /// Whether this was called.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Adds a call, in place of an older one of its name.
    pub fn insert_mut(&mut self, name: Arc<str>, node: NodeId) {
        self.0.insert_mut(name, node);
    }

    /// All of them in the order of their names.
    pub fn sorted(&self) -> BTreeMap<&Arc<str>, NodeId> {
        self.0.iter().map(|(name, node)| (name, *node)).collect()
    }
}

/// In an order that says nothing of how it came about.
impl fmt::Debug for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sorted().fmt(f)
    }
}

/// Stored as a map.
impl Serialize for Called {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.sorted())
    }
}

impl<'de> Deserialize<'de> for Called {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Called, D::Error> {
        let stored = BTreeMap::<Arc<str>, NodeId>::deserialize(deserializer)?;
        Ok(Called(stored.into_iter().collect()))
    }
}
