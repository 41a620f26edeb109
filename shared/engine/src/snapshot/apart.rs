//! The parts of a snapshot that are kept beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::frozen::{Frozen, PieceName};
use crate::ids::NodeId;
use crate::items::Items;
use crate::record::LoopItems;
use crate::state::{Body, PIECE, Phases, RunState};

/// Names what stands beside a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Apart {
    loops: Vec<ApartLoop>,
}

/// What a wide loop holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApartLoop {
    node: NodeId,
    /// Its items; none once all of it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<PieceName>,
    /// How many children it has, and their final phases in a short form.
    children: usize,
    phases: String,
    /// What its children gave: the number of each packed piece, and its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    results: Vec<(u32, PieceName)>,
}

/// Why a snapshot and what stands beside it give no state.
#[derive(Debug, thiserror::Error)]
pub enum Incomplete {
    /// Something named is not there.
    #[error("piece {0} of the snapshot is missing")]
    Missing(PieceName),
    /// It is not what was kept under its name.
    #[error("piece {0} of the snapshot is not what was written")]
    Changed(PieceName),
    /// It can't be read.
    #[error("read piece {name} of the snapshot: {why}")]
    Unreadable {
        /// Which.
        name: PieceName,
        /// Why.
        #[source]
        why: serde_json::Error,
    },
    /// What is said of a loop can't be.
    #[error("the snapshot contradicts itself about the loop {0}")]
    Contradiction(NodeId),
}

/// The snapshot of a state without what can stand beside it; what is taken out, by name; and the texts that it names. They
/// are the same texts from one snapshot to the next: each is to be kept once.
pub fn apart(state: &RunState) -> (Snapshot, Apart, Vec<Frozen>) {
    let mut snapshot = Snapshot::of(state);
    let (mut loops, mut texts) = (Vec::new(), Vec::new());
    for node in state.nodes.values() {
        if let Body::Loop { phases, .. } = &node.body
            && phases.len() > PIECE as usize
            && let Some(short) = snapshot.nodes.get_mut(&node.id)
        {
            loops.extend(take_apart(node.id, &mut Arc::make_mut(short).body, &mut texts));
        }
    }
    (snapshot, Apart { loops }, texts)
}

fn take_apart(node: NodeId, body: &mut Body, texts: &mut Vec<Frozen>) -> Option<ApartLoop> {
    let Body::Loop { items, phases, results, .. } = body else { return None };
    let packed = results.take_packed();
    let all = items.items.clone();
    *items = Arc::new(LoopItems::new(Items::default(), items.call.clone()));
    let letters = std::mem::replace(phases, Phases::open(0));
    let apart = ApartLoop {
        node,
        items: (!all.is_empty()).then(|| all.frozen().name().clone()),
        children: letters.len(),
        phases: letters.runs(),
        results: packed.iter().map(|(number, text)| (*number, text.name().clone())).collect(),
    };
    texts.extend((!all.is_empty()).then(|| all.frozen().clone()));
    texts.extend(packed.into_iter().map(|(_, text)| text));
    Some(apart)
}

impl Apart {
    /// Whether nothing stands beside the snapshot.
    pub fn is_empty(&self) -> bool {
        self.loops.is_empty()
    }

    /// The names of what stands there.
    pub fn names(&self) -> impl Iterator<Item = &PieceName> {
        self.loops.iter().flat_map(|one| one.items.iter().chain(one.results.iter().map(|(_, name)| name)))
    }

    /// The whole snapshot.
    ///
    /// # Errors
    /// See [`Incomplete`].
    pub fn put_back(
        &self,
        mut snapshot: Snapshot,
        texts: &BTreeMap<PieceName, String>,
    ) -> Result<Snapshot, Incomplete> {
        for one in &self.loops {
            let body = snapshot.nodes.get_mut(&one.node).map(|node| &mut Arc::make_mut(node).body);
            one.put_back(body.ok_or(Incomplete::Contradiction(one.node))?, texts)?;
        }
        Ok(snapshot)
    }
}

impl ApartLoop {
    fn put_back(&self, body: &mut Body, texts: &BTreeMap<PieceName, String>) -> Result<(), Incomplete> {
        let contradiction = || Incomplete::Contradiction(self.node);
        let Body::Loop { items, phases, results, .. } = body else { return Err(contradiction()) };
        let all = Phases::of_runs(&self.phases, self.children).filter(|p| p.len() == self.children);
        *phases = all.ok_or_else(contradiction)?;
        if let Some(name) = &self.items {
            let unreadable = |why| Incomplete::Unreadable { name: name.clone(), why };
            let all = Items::read(text(name, texts)?.json()).map_err(unreadable)?;
            *items = Arc::new(LoopItems::new(all, items.call.clone()));
        }
        for (number, name) in &self.results {
            let why = |why| Incomplete::Unreadable { name: name.clone(), why };
            results.put_packed(*number, text(name, texts)?).map_err(why)?;
        }
        Ok(())
    }
}

/// A text that was kept; two loops over the same have one.
fn text(name: &PieceName, texts: &BTreeMap<PieceName, String>) -> Result<Frozen, Incomplete> {
    let text = texts.get(name).cloned().ok_or_else(|| Incomplete::Missing(name.clone()))?;
    Frozen::kept(text, name).ok_or_else(|| Incomplete::Changed(name.clone()))
}
