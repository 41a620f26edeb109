//! The nodes of a composite's calls. A DAG may have a hundred thousand tasks, and each event looks for some of them: they
//! are kept by their places in the compiled template, where neighbours lie side by side. Stored are their names, since
//! places are the compiled template's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::trie::Trie;
use crate::ids::NodeId;
use crate::program::Compiled;

/// Nodes by the place of their call.
#[derive(Clone, Default)]
pub struct Called {
    placed: Trie<(Arc<str>, NodeId)>,
    /// As they were stored, and calls that the template does not have.
    unplaced: BTreeMap<Arc<str>, NodeId>,
}

impl Called {
    /// Whether nothing was called.
    pub fn is_empty(&self) -> bool {
        self.placed.size() == 0 && self.unplaced.is_empty()
    }

    /// The node of the call in this place.
    pub fn get(&self, place: usize) -> Option<NodeId> {
        self.placed.get(place as u64).map(|(_, node)| *node)
    }

    /// The node of the template's call of this name.
    pub fn named(&self, name: &str, template: &Compiled) -> Option<NodeId> {
        self.get(template.slot(name)?)
    }

    /// Adds a call of the template, in place of an older one of its name.
    pub fn insert_mut(&mut self, name: &Arc<str>, node: NodeId, template: Option<&Compiled>) {
        match template.and_then(|template| template.slot(name)) {
            Some(place) => self.placed.insert_mut(place as u64, (name.clone(), node)),
            None => {
                self.unplaced.insert(name.clone(), node);
            }
        }
    }

    /// Finds the places of what was stored.
    pub fn place(&mut self, template: &Compiled) {
        for (name, node) in std::mem::take(&mut self.unplaced) {
            self.insert_mut(&name, node, Some(template));
        }
    }

    /// All of them.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.placed.values().map(|(_, node)| *node).chain(self.unplaced.values().copied())
    }

    /// All of them in the order of their names.
    pub fn sorted(&self) -> BTreeMap<&Arc<str>, NodeId> {
        let placed = self.placed.values().map(|(name, node)| (name, *node));
        placed.chain(self.unplaced.iter().map(|(name, node)| (name, *node))).collect()
    }
}

/// What they are, however they came here.
impl PartialEq for Called {
    fn eq(&self, other: &Called) -> bool {
        self.sorted() == other.sorted()
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
        let unplaced = BTreeMap::deserialize(deserializer)?;
        Ok(Called { unplaced, ..Called::default() })
    }
}
