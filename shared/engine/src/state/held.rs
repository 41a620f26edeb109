//! The tasks of a DAG that could start but for a limit, in the order in which they start: of a hundred thousand only the
//! first is looked for. Stored are their names, since places are the compiled template's.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::trie::Trie;
use crate::program::Compiled;

/// Tasks of one DAG.
#[derive(Clone, Default)]
pub struct Held {
    /// By their places in the visiting order.
    placed: Trie<Arc<str>>,
    /// As they were stored, and tasks that the template does not have.
    unplaced: BTreeSet<Arc<str>>,
}

impl Held {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.placed.size() == 0 && self.unplaced.is_empty()
    }

    /// Whether the task in this place of the visiting order is among them.
    pub fn contains(&self, place: usize) -> bool {
        self.placed.get(place as u64).is_some()
    }

    /// The place of the first of them from this place on.
    pub fn first_from(&self, place: usize) -> Option<usize> {
        self.placed.first_from(place as u64).and_then(|place| usize::try_from(place).ok())
    }

    /// Adds a task of the template.
    pub fn insert_mut(&mut self, task: &str, dag: Option<&Compiled>) {
        match dag.and_then(|dag| dag.place(task)) {
            Some(place) => self.placed.insert_mut(place as u64, task.into()),
            None => {
                self.unplaced.insert(task.into());
            }
        }
    }

    /// Takes a task of the template out, if it is there.
    pub fn remove_mut(&mut self, task: &str, dag: Option<&Compiled>) {
        self.unplaced.remove(task);
        if let Some(place) = dag.and_then(|dag| dag.place(task)) {
            self.placed.remove_mut(place as u64);
        }
    }

    /// Finds the places of what was stored.
    pub fn place(&mut self, dag: &Compiled) {
        for task in std::mem::take(&mut self.unplaced) {
            self.insert_mut(&task, Some(dag));
        }
    }

    fn names(&self) -> BTreeSet<&Arc<str>> {
        self.placed.values().chain(&self.unplaced).collect()
    }
}

/// What they are, however they came here.
impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.names() == other.names()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Stored as a list of names.
impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Held, D::Error> {
        let unplaced = BTreeSet::deserialize(deserializer)?;
        Ok(Held { unplaced, ..Held::default() })
    }
}
