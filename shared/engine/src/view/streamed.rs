//! The workflow object of a run, written node by node: the nodes of a wide run take many times as much memory as JSON as
//! they do here, and no two of them are made at once.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{Graph, View, argo_node_id};
use crate::ids::NodeId;

/// What [`View::workflow`] gives, to be written once.
pub struct Streamed<'v> {
    view: &'v View,
    graph: Graph,
    /// All of it but the nodes.
    rest: Map<String, Value>,
}

impl View {
    /// The same as [`View::workflow`], made while it is written.
    pub fn streamed(&self) -> Streamed<'_> {
        let rest = match self.workflow_with(Map::new()) {
            Value::Object(rest) => rest,
            _ => Map::new(),
        };
        Streamed { view: self, graph: Graph::of(self), rest }
    }
}

impl Serialize for Streamed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        with_inner(serializer, &self.rest, "status", |status| Status { workflow: self, status })
    }
}

struct Status<'s> {
    workflow: &'s Streamed<'s>,
    status: &'s Value,
}

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.status {
            Value::Object(status) => with_inner(serializer, status, "nodes", |_| Nodes(self.workflow)),
            other => other.serialize(serializer),
        }
    }
}

struct Nodes<'s>(&'s Streamed<'s>);

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Streamed { view, graph, .. } = self.0;
        let name = view.program.spec.name();
        let ids: BTreeMap<String, NodeId> =
            view.shown().map(|node| (argo_node_id(name, &node.name), node.id)).collect();
        let mut map = serializer.serialize_map(Some(ids.len()))?;
        for (key, node) in ids.iter().filter_map(|(key, id)| Some((key, view.nodes.get(id)?))) {
            map.serialize_entry(key, &view.node_json(node, graph))?;
        }
        map.end()
    }
}

/// A map in which the value under `key` is replaced.
fn with_inner<'m, S: Serializer, T: Serialize>(
    serializer: S,
    all: &'m Map<String, Value>,
    key: &str,
    inner: impl Fn(&'m Value) -> T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(all.len()))?;
    for (name, value) in all {
        if name == key {
            map.serialize_entry(name, &inner(value))?;
        } else {
            map.serialize_entry(name, value)?;
        }
    }
    map.end()
}
