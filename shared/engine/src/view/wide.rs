//! Views of runs that are wider than anybody reads: what is over of a loop's items is counted and forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::View;
use crate::ids::NodeId;
use crate::program::Program;
use crate::record::{Record, Role};

impl View {
    /// An empty view that can be folded.
    pub fn foldable(program: Arc<Program>) -> View {
        View { ended: Some(Vec::new()), ..View::fold(program, std::iter::empty()) }
    }

    /// Notes the item that ends with a record: the state knows it no more.
    pub(super) fn note_ended(&mut self, record: &Record) {
        let touched = match record {
            Record::NodeFinished { node, .. } | Record::HookPassed { node } => *node,
            Record::NodeCreated(created) if created.phase.fulfilled() => created.id,
            _ => return,
        };
        let Some(ended) = &mut self.ended else { return };
        let above = |id: &NodeId| self.nodes.get(id)?.parent;
        let mut way = std::iter::successors(Some(touched), above);
        let item = way.find(|id| self.nodes.get(id).is_some_and(|n| matches!(n.role, Role::Item(_))));
        ended.extend(item.filter(|id| self.state.node(*id).is_none()));
    }

    /// Forgets items that are over: of each loop the first `most` children stay, and as many that failed.
    pub fn fold_ended(&mut self, most: usize) {
        let mut kept: BTreeMap<NodeId, usize> = BTreeMap::new();
        for id in self.ended.as_mut().map(std::mem::take).unwrap_or_default() {
            let Some(item) = self.nodes.get(&id) else { continue };
            let Some(group) = item.parent.and_then(|p| self.nodes.get(&p)) else { continue };
            if group.children.iter().take(most).any(|child| *child == id) {
                continue;
            }
            let (failed, group) = (item.phase.failed(), group.id);
            if failed && *kept.entry(group).or_insert_with(|| self.failed_beyond(group, most)) < most {
                *kept.entry(group).or_default() += 1;
                continue;
            }
            self.forget(id);
            if let Some(group) = self.nodes.get_mut(&group) {
                group.children.retain(|child| *child != id);
                group.folded += 1;
            }
        }
    }

    /// Failed children of a loop that are over and kept, beyond the first.
    fn failed_beyond(&self, group: NodeId, most: usize) -> usize {
        let children = self.nodes.get(&group).map(|g| g.children.as_slice()).unwrap_or_default();
        let over = |id: &&NodeId| {
            self.nodes.get(id).is_some_and(|n| n.phase.failed()) && self.state.node(**id).is_none()
        };
        children.iter().skip(most).filter(over).count()
    }

    fn forget(&mut self, id: NodeId) {
        let mut open = vec![id];
        while let Some(node) = open.pop().and_then(|id| self.nodes.remove(&id)) {
            open.extend(&node.children);
            for attempt in &node.attempts {
                self.attempts.remove(&attempt.attempt.id);
            }
        }
    }
}
