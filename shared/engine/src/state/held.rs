//! The tasks of a DAG that could start but for a limit, in the order in which they start: of a hundred thousand only the
//! first is looked for. Stored are their names, since places are the compiled template's.

use std::fmt;
use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::program::Compiled;

/// Tasks of one DAG.
#[derive(Clone, Default)]
pub struct Held {
    /// By their places in the visiting order.
    placed: RedBlackTreeMapSync<usize, Arc<str>>,
    /// As they were stored, until the next change looks up their places.
    stored: RedBlackTreeSetSync<Arc<str>>,
}

impl Held {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.stored.is_empty()
    }

    /// Whether this task of the template is among them.
    pub fn contains(&self, task: &str, dag: &Compiled) -> bool {
        dag.place(task).is_some_and(|place| self.placed.contains_key(&place)) || self.stored.contains(task)
    }

    /// The place of the first of them from this place on.
    pub fn first_from(&self, place: usize, dag: &Compiled) -> Option<usize> {
        let placed = self.placed.range(place..).next().map(|(place, _)| *place);
        let stored = self.stored.iter().filter_map(|task| dag.place(task)).filter(|other| *other >= place);
        stored.chain(placed).min()
    }

    /// Adds a task of the template.
    pub fn insert_mut(&mut self, task: &str, dag: Option<&Compiled>) {
        self.stored.insert_mut(task.into());
        self.place(dag);
    }

    /// Takes a task of the template out, if it is there.
    pub fn remove_mut(&mut self, task: &str, dag: Option<&Compiled>) {
        self.place(dag);
        self.stored.remove_mut(task);
        if let Some(place) = dag.and_then(|dag| dag.place(task)) {
            self.placed.remove_mut(&place);
        }
    }

    fn place(&mut self, dag: Option<&Compiled>) {
        let Some(dag) = dag.filter(|_| !self.stored.is_empty()) else { return };
        for task in std::mem::take(&mut self.stored).iter() {
            match dag.place(task) {
                Some(place) => self.placed.insert_mut(place, task.clone()),
                None => self.stored.insert_mut(task.clone()),
            }
        }
    }

    fn names(&self) -> Vec<&Arc<str>> {
        let mut names: Vec<&Arc<str>> = self.placed.values().chain(self.stored.iter()).collect();
        names.sort_unstable();
        names
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
        let stored = RedBlackTreeSetSync::<Arc<str>>::deserialize(deserializer)?;
        Ok(Held { stored, ..Held::default() })
    }
}
