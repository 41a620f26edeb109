//! How nodes hang together in Argo's object: a later step group under the last nodes of the one before, a task under the
//! last nodes of what it depends on.

use std::collections::{HashMap, HashSet};

use super::{View, ViewNode};
use crate::apply::executable;
use crate::ids::NodeId;
use crate::record::{NodeKind, Role};
use crate::resources::{self, ResourcesDuration};

/// Argo's links between nodes (rules N-9 to N-13).
pub(crate) struct Graph {
    pub(super) children: HashMap<NodeId, Vec<NodeId>>,
    /// The same, to be asked: a wide loop has very many.
    linked: HashSet<(NodeId, NodeId)>,
    pub(super) outbound: HashMap<NodeId, Vec<NodeId>>,
}

impl Graph {
    pub(crate) fn of(view: &View) -> Graph {
        let mut graph = Graph { children: HashMap::new(), linked: HashSet::new(), outbound: HashMap::new() };
        // Children are numbered after their parents, so that from the back every child is known first.
        for node in view.nodes.values().rev() {
            graph.add(view, node);
        }
        graph
    }

    /// The nodes that hang under a node in Argo's graph.
    pub(crate) fn children_of(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.children.get(&id).into_iter().flatten().copied()
    }

    fn add(&mut self, view: &View, node: &ViewNode) {
        let shown = shown_children(view, node);
        let hooks: Vec<NodeId> = shown.iter().copied().filter(|c| is_hook(view, *c)).collect();
        let own: Vec<NodeId> = shown.iter().copied().filter(|c| !is_hook(view, *c)).collect();
        match node.kind {
            NodeKind::Steps => self.link_steps(view, node, &own),
            NodeKind::Dag => self.link_dag(view, node, &own),
            NodeKind::Pod => self.link_containers(view, node, &own),
            _ => self.link(node.id, &own),
        }
        self.link(node.id, &hooks);
        let outbound = self.outbound_of(view, node, &own);
        self.outbound.insert(node.id, outbound);
    }

    fn link(&mut self, parent: NodeId, children: &[NodeId]) {
        let list = self.children.entry(parent).or_default();
        list.extend(children.iter().filter(|child| self.linked.insert((parent, **child))));
    }

    fn link_steps(&mut self, view: &View, node: &ViewNode, groups: &[NodeId]) {
        let mut before: Option<NodeId> = None;
        for group in groups {
            match before {
                None => self.link(node.id, &[*group]),
                Some(previous) => {
                    let members =
                        view.nodes.get(&previous).map(|g| shown_children(view, g)).unwrap_or_default();
                    let mut ends: Vec<NodeId> = members.iter().flat_map(|m| self.ends(*m)).collect();
                    if ends.is_empty() {
                        ends.push(previous);
                    }
                    for end in ends {
                        self.link(end, &[*group]);
                    }
                }
            }
            before = Some(*group);
        }
    }

    fn link_dag(&mut self, view: &View, node: &ViewNode, tasks: &[NodeId]) {
        let by_name: HashMap<&str, NodeId> = tasks
            .iter()
            .filter_map(|t| match &view.nodes.get(t)?.role {
                Role::Call(name) => Some((&**name, *t)),
                _ => None,
            })
            .collect();
        let compiled = view.compiled(node);
        let Some(graph) = compiled.and_then(|c| c.graph.as_ref()) else { return };
        for &position in &graph.order {
            let Some(task) = by_name.get(graph.calls[position].step.name.as_str()) else { continue };
            if graph.dependencies[position].is_empty() {
                self.link(node.id, &[*task]);
            }
            for &dependency in &graph.dependencies[position] {
                if let Some(before) = by_name.get(graph.calls[dependency].step.name.as_str()) {
                    for end in self.ends(*before) {
                        self.link(end, &[*task]);
                    }
                }
            }
        }
    }

    fn link_containers(&mut self, view: &View, node: &ViewNode, containers: &[NodeId]) {
        let set = view.compiled(node).and_then(|t| t.template.container_set.as_ref());
        let Some(set) = set else {
            return self.link(node.id, containers);
        };
        let by_name: HashMap<&str, NodeId> = containers
            .iter()
            .filter_map(|id| match &view.nodes.get(id)?.role {
                Role::Container(name) => Some((&**name, *id)),
                _ => None,
            })
            .collect();
        for container in &set.containers {
            let Some(id) = by_name.get(container.name()) else { continue };
            if container.dependencies.is_empty() {
                self.link(node.id, &[*id]);
            }
            for before in container.dependencies.iter().filter_map(|d| by_name.get(d.as_str())) {
                self.link(*before, &[*id]);
            }
        }
    }

    /// The last nodes of a node: what follows hangs under them.
    fn ends(&self, id: NodeId) -> Vec<NodeId> {
        self.outbound.get(&id).cloned().unwrap_or_else(|| vec![id])
    }

    fn outbound_of(&self, view: &View, node: &ViewNode, own: &[NodeId]) -> Vec<NodeId> {
        let through = |children: &[NodeId]| -> Vec<NodeId> {
            let mut seen = HashSet::new();
            children.iter().flat_map(|c| self.ends(*c)).filter(|end| seen.insert(*end)).collect()
        };
        match node.kind {
            // The containers that no other one waits for; the pod itself where it has no nodes for them.
            NodeKind::Pod => {
                let ends: Vec<NodeId> =
                    own.iter().copied().filter(|c| self.children.get(c).is_none_or(Vec::is_empty)).collect();
                if ends.is_empty() { vec![node.id] } else { ends }
            }
            NodeKind::Http | NodeKind::Suspend | NodeKind::Skipped | NodeKind::Container => vec![node.id],
            NodeKind::StepGroup | NodeKind::TaskGroup | NodeKind::Loop => {
                let ends = through(own);
                if ends.is_empty() { vec![node.id] } else { ends }
            }
            // A hook that came after the last attempt is Argo's last child (rule N-12).
            NodeKind::Retry => match node.children.last() {
                Some(last) if is_hook(view, *last) => vec![*last],
                _ => own.last().map_or_else(Vec::new, |last| self.ends(*last)),
            },
            NodeKind::Steps | NodeKind::Dag if node.memo.as_ref().is_some_and(|m| m.hit == Some(true)) => {
                vec![node.id]
            }
            NodeKind::Steps => own.last().map_or_else(Vec::new, |last| self.group_ends(*last)),
            NodeKind::Dag => through(&targets(view, node, own)),
        }
    }

    fn group_ends(&self, group: NodeId) -> Vec<NodeId> {
        self.ends(group).into_iter().filter(|e| *e != group).collect()
    }

    /// How far the executables below a node in Argo's graph are, and what they held, each counted once: a step group
    /// counts the groups after it too.
    pub(super) fn sums(&self, view: &View, node: &ViewNode) -> ((u32, u32), ResourcesDuration) {
        let mut seen: HashSet<NodeId> = HashSet::new();
        let mut open = vec![node.id];
        let mut sum: (u32, u32) = (0, 0);
        let mut held = ResourcesDuration::new();
        while let Some(id) = open.pop() {
            let Some(next) = view.nodes.get(&id) else { continue };
            if executable(next.kind) {
                let own = next.counted();
                sum = (sum.0.saturating_add(own.done), sum.1.saturating_add(own.total));
                resources::add(&mut held, &next.resources);
            }
            // A leaf's own progress is its own: what hangs under it only comes after it.
            if id != node.id || !executable(node.kind) {
                open.extend(self.children.get(&id).into_iter().flatten().filter(|c| seen.insert(**c)));
            }
        }
        (sum, held)
    }
}

/// The tasks of a DAG that its outcome depends on.
fn targets(view: &View, node: &ViewNode, tasks: &[NodeId]) -> Vec<NodeId> {
    let compiled = view.compiled(node);
    let Some(graph) = compiled.and_then(|c| c.graph.as_ref()) else { return tasks.to_vec() };
    let names: Vec<&str> = graph.targets.iter().map(|t| graph.calls[*t].step.name.as_str()).collect();
    let is_target = |id: &&NodeId| match view.nodes.get(id).map(|n| &n.role) {
        Some(Role::Call(name)) => names.contains(&&**name),
        _ => false,
    };
    tasks.iter().filter(is_target).copied().collect()
}

fn is_hook(view: &View, id: NodeId) -> bool {
    view.nodes.get(&id).is_some_and(|n| matches!(n.role, Role::Exit | Role::Hook(_)))
}

/// A node's children with the loops over steps looked through.
fn shown_children(view: &View, node: &ViewNode) -> Vec<NodeId> {
    let mut shown = Vec::new();
    for child in &node.children {
        match view.nodes.get(child) {
            Some(c) if c.kind == NodeKind::Loop => shown.extend(&c.children),
            Some(_) => shown.push(*child),
            None => {}
        }
    }
    shown
}
