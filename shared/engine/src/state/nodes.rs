//! The nodes of the active tree by number.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Node;
use super::trie::Trie;
use crate::ids::NodeId;

/// Nodes by number, in the order of their numbers. A copy costs nothing.
#[derive(Clone, Default)]
pub struct Nodes(Trie<Arc<Node>>);

impl Nodes {
    /// How many there are.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// The node with this number.
    pub fn get(&self, id: &NodeId) -> Option<&Arc<Node>> {
        self.0.get(id.0)
    }

    /// The node with this number, to be changed.
    pub fn get_mut(&mut self, id: &NodeId) -> Option<&mut Arc<Node>> {
        self.0.get_mut(id.0)
    }

    /// Adds a node, or replaces the one with this number.
    pub fn insert_mut(&mut self, id: NodeId, node: Arc<Node>) {
        self.0.insert_mut(id.0, node);
    }

    /// Takes a node out, if it is there.
    pub fn remove_mut(&mut self, id: &NodeId) {
        self.0.remove_mut(id.0);
    }

    /// The nodes in the order of their numbers.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.0.values()
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

    use super::*;
    use crate::phase::NodePhase;
    use crate::record::{NodeKind, Role};
    use crate::state::{Body, Hooks};

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
            hooks: Hooks::default(),
            memo: None,
            idle: false,
            blocked: None,
            body: Body::None,
        })
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
}
