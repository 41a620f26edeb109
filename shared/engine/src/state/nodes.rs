//! The nodes of the active tree by number. A copy shares every branch with the original, and a change copies at most the
//! few branches above it; finding a node costs the same few steps in a run of a hundred nodes and in one of a million.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Node;
use crate::ids::NodeId;

/// Bits of a number that choose the way at one branch.
const BITS: u32 = 5;
const WIDTH: usize = 1 << BITS;

/// Nodes by number, in the order of their numbers.
#[derive(Clone, Default)]
pub struct Nodes {
    root: Option<Branch>,
    /// Branches between the root and a node.
    height: u32,
    size: usize,
}

#[derive(Clone)]
enum Branch {
    Above(Arc<[Option<Branch>; WIDTH]>),
    Leaves(Arc<[Option<Arc<Node>>; WIDTH]>),
}

impl Branch {
    fn new(height: u32) -> Branch {
        match height {
            0 => Branch::Leaves(Arc::default()),
            _ => Branch::Above(Arc::default()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Branch::Above(below) => below.iter().all(Option::is_none),
            Branch::Leaves(nodes) => nodes.iter().all(Option::is_none),
        }
    }

    fn insert(&mut self, height: u32, id: NodeId, node: Arc<Node>) -> Option<Arc<Node>> {
        match self {
            Branch::Leaves(nodes) => Arc::make_mut(nodes)[way(id, 0)].replace(node),
            Branch::Above(below) => Arc::make_mut(below)[way(id, height)]
                .get_or_insert_with(|| Branch::new(height - 1))
                .insert(height - 1, id, node),
        }
    }

    /// Takes a node out that is there; a branch that is empty then goes too.
    fn remove(&mut self, height: u32, id: NodeId) {
        match self {
            Branch::Leaves(nodes) => Arc::make_mut(nodes)[way(id, 0)] = None,
            Branch::Above(below) => {
                let place = &mut Arc::make_mut(below)[way(id, height)];
                if let Some(branch) = place {
                    branch.remove(height - 1, id);
                    if branch.is_empty() {
                        *place = None;
                    }
                }
            }
        }
    }

    fn collect<'b>(&'b self, found: &mut Vec<&'b Arc<Node>>) {
        match self {
            Branch::Above(below) => below.iter().flatten().for_each(|branch| branch.collect(found)),
            Branch::Leaves(nodes) => found.extend(nodes.iter().flatten()),
        }
    }
}

fn way(id: NodeId, height: u32) -> usize {
    (id.0 >> (height * BITS)) as usize % WIDTH
}

/// Whether a tree of this height has a place for the number.
fn fits(id: NodeId, height: u32) -> bool {
    id.0.checked_shr((height + 1) * BITS).unwrap_or(0) == 0
}

impl Nodes {
    /// How many there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The node with this number.
    pub fn get(&self, id: &NodeId) -> Option<&Arc<Node>> {
        let mut branch = self.root.as_ref().filter(|_| fits(*id, self.height))?;
        let mut height = self.height;
        loop {
            match branch {
                Branch::Leaves(nodes) => return nodes[way(*id, 0)].as_ref(),
                Branch::Above(below) => branch = below[way(*id, height)].as_ref()?,
            }
            height -= 1;
        }
    }

    /// The node with this number, to be changed.
    pub fn get_mut(&mut self, id: &NodeId) -> Option<&mut Arc<Node>> {
        // Nothing is copied for a node that is not there.
        self.get(id)?;
        let mut branch = self.root.as_mut()?;
        let mut height = self.height;
        loop {
            match branch {
                Branch::Leaves(nodes) => return Arc::make_mut(nodes)[way(*id, 0)].as_mut(),
                Branch::Above(below) => branch = Arc::make_mut(below)[way(*id, height)].as_mut()?,
            }
            height -= 1;
        }
    }

    /// Adds a node, or replaces the one with this number.
    pub fn insert_mut(&mut self, id: NodeId, node: Arc<Node>) {
        while !fits(id, self.height) {
            self.height += 1;
            if let Some(root) = self.root.take() {
                let mut below: [Option<Branch>; WIDTH] = Default::default();
                below[0] = Some(root);
                self.root = Some(Branch::Above(Arc::new(below)));
            }
        }
        let root = self.root.get_or_insert_with(|| Branch::new(self.height));
        if root.insert(self.height, id, node).is_none() {
            self.size += 1;
        }
    }

    /// Takes a node out, if it is there.
    pub fn remove_mut(&mut self, id: &NodeId) {
        if self.get(id).is_some()
            && let Some(root) = &mut self.root
        {
            root.remove(self.height, *id);
            self.size -= 1;
        }
    }

    /// The nodes in the order of their numbers.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Node>> {
        let mut found = Vec::with_capacity(self.size);
        if let Some(root) = &self.root {
            root.collect(&mut found);
        }
        found.into_iter()
    }
}

impl FromIterator<Arc<Node>> for Nodes {
    fn from_iter<I: IntoIterator<Item = Arc<Node>>>(nodes: I) -> Nodes {
        let mut all = Nodes::default();
        nodes.into_iter().for_each(|node| all.insert_mut(node.id, node));
        all
    }
}

/// What they are, however the tree grew.
impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

/// Stored as a list.
impl Serialize for Nodes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values())
    }
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nodes, D::Error> {
        let nodes = Vec::<Arc<Node>>::deserialize(deserializer)?;
        // Whoever goes from a node to those above it comes to an end.
        let above = |node: &Node| node.parent.max(node.boundary);
        if let Some(node) = nodes.iter().find(|node| above(node) >= Some(node.id)) {
            let why = format!("node {} hangs under itself or under one that is newer", node.id);
            return Err(serde::de::Error::custom(why));
        }
        Ok(nodes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dropforge_manifest::types::Inputs;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::phase::NodePhase;
    use crate::record::{NodeKind, Role};
    use crate::state::{Body, Fired};

    fn node(id: u64) -> Arc<Node> {
        Arc::new(Node {
            id: NodeId(id),
            parent: None,
            role: Role::Root,
            label: "".into(),
            kind: NodeKind::Skipped,
            boundary: None,
            template: None,
            own: None,
            inputs: Arc::new(Inputs::default()),
            phase: NodePhase::Skipped,
            message: String::new(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
            returned: false,
            outputs: Arc::default(),
            resources: BTreeMap::new(),
            daemoned: false,
            tried: None,
            replaced: false,
            ip: None,
            host: None,
            depth: 0,
            on_exit: false,
            hooks_open: 0,
            hooks: Fired::default(),
            memo: None,
            idle: false,
            blocked: None,
            body: Body::None,
        })
    }

    fn numbers(nodes: &Nodes) -> Vec<u64> {
        nodes.values().map(|node| node.id.0).collect()
    }

    proptest! {
        #[test]
        fn they_are_a_sorted_map_whose_copies_do_not_change(
            changes in proptest::collection::vec((0..3_u8, prop_oneof![0..40_u64, 0..40_000_u64, any::<u64>()]), 0..200)
        ) {
            let (mut nodes, mut expected) = (Nodes::default(), BTreeMap::new());
            for (change, id) in changes {
                let (copy, before) = (nodes.clone(), numbers(&nodes));
                match change {
                    0 => {
                        nodes.insert_mut(NodeId(id), node(id));
                        expected.insert(id, String::new());
                    }
                    1 => {
                        nodes.remove_mut(&NodeId(id));
                        expected.remove(&id);
                    }
                    _ => {
                        let found = nodes.get_mut(&NodeId(id)).map(|node| Arc::make_mut(node).message.push('x'));
                        prop_assert_eq!(found, expected.get_mut(&id).map(|message| message.push('x')));
                    }
                }
                prop_assert_eq!(numbers(&copy), before);
            }
            let found: BTreeMap<u64, String> = nodes.values().map(|n| (n.id.0, n.message.clone())).collect();
            prop_assert_eq!(nodes.size(), expected.len());
            prop_assert!(expected.keys().all(|id| nodes.get(&NodeId(*id)).is_some_and(|n| n.id.0 == *id)));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn nodes_that_hang_in_a_circle_are_refused() {
        let above = |parent: u64, id: u64| Node { parent: Some(NodeId(parent)), ..Node::clone(&node(id)) };
        let read = |nodes: &[Node]| serde_json::from_value::<Nodes>(serde_json::to_value(nodes).unwrap());
        assert_eq!(read(&[above(1, 2), above(2, 3)]).unwrap().size(), 2);
        for (parent, id) in [(2, 2), (3, 2)] {
            let why = read(&[above(parent, id)]).unwrap_err().to_string();
            assert_eq!(why, "node 2 hangs under itself or under one that is newer");
        }
    }

    #[test]
    fn nothing_is_left_of_nodes_that_were_taken_out() {
        let mut nodes: Nodes = (0..5_000).map(node).collect();
        (0..5_000).for_each(|id| nodes.remove_mut(&NodeId(id)));
        assert!(nodes.root.is_some_and(|root| root.is_empty()));
    }
}
