//! Steps templates: groups one after the other, their steps side by side; and loops, which DAGs share.

use std::sync::Arc;

use dropforge_manifest::go;
use dropforge_manifest::types::{Inputs, Outputs, Step, Template};

use super::calls::{More, Place};
use super::{Decider, NodeKind, NodePhase, Role, Work};
use crate::apply::RESULTS_BYTES_MAX;
use crate::ids::NodeId;
use crate::program::{Call, LOCAL};
use crate::record::{Block, LoopItems, TemplateKey};
use crate::resolve::{self, Ready, Resolved, Uncallable};
use crate::scope::{Viewer, unreadable_result};
use crate::state::{Body, FailedChild, Node};

/// One decision is one commit: a loop that has added so much to it goes on in the next.
const RECORDS_PER_DECISION_MAX: usize = if cfg!(test) { 500 } else { 20_000 };

impl Decider {
    /// Starts group `index` of a Steps node, or ends the node when there is none.
    pub(super) fn start_group(&mut self, steps: NodeId, index: u32) {
        let Some(node) = self.state.node(steps) else { return };
        let groups = self.state.template_of(node).map_or(0, |t| t.groups.len());
        if index as usize >= groups {
            return self.finish_composite(steps);
        }
        let place = Place {
            parent: Some(steps),
            role: Role::Group(index),
            label: format!("[{index}]").into(),
            boundary: Some(steps),
        };
        let group = self.create(
            place,
            NodeKind::StepGroup,
            None,
            Inputs::default(),
            NodePhase::Running,
            String::new(),
        );
        self.begin_group(group);
    }

    /// Resolves all that is left of a group before any of it starts, as Argo does: one bad reference and no step begins. A
    /// retry of the run begins it again, since it may have changed what is read.
    pub(super) fn begin_group(&mut self, group: NodeId) {
        match self.resolve_group(group, usize::MAX) {
            Ok(resolved) => {
                self.fill_group(group, resolved);
            }
            Err(why) => self.fail_group(group, NodePhase::Error, why),
        }
    }

    /// Goes on with a group that a limit held back, step by step: all of it was resolved when it began.
    pub(super) fn pump_group(&mut self, group: NodeId) {
        loop {
            match self.resolve_group(group, 1) {
                Ok(resolved) => {
                    if !self.fill_group(group, resolved) {
                        return;
                    }
                }
                Err(why) => return self.fail_group(group, NodePhase::Error, why),
            }
        }
    }

    /// The next steps of a group that are still to be started, at most so many, with their positions.
    fn resolve_group(&self, group: NodeId, most: usize) -> Result<Vec<(u32, Resolved)>, String> {
        let Some((steps, index, calls)) = self.calls_of(group) else { return Ok(Vec::new()) };
        let call = |position: u32| calls.get(position as usize).map(|call| (position, call));
        let left = self.left_of(group).map_while(call).take(most);
        let resolved = left.map(|(position, call)| {
            let resolved = resolve::call(&self.state, self.now, steps, Viewer::Group(index), call)?;
            Ok((position, resolved))
        });
        resolved.collect::<Result<_, _>>().map_err(|uncallable| match uncallable {
            Uncallable::References(why) => format!("failed to resolve references: {why}"),
            Uncallable::Items(why) => why,
        })
    }

    /// A group's Steps node, its index there, and its steps.
    fn calls_of(&self, group: NodeId) -> Option<(&Node, u32, &[Call])> {
        let node = self.state.node(group)?;
        let Body::Group { index, .. } = node.body else { return None };
        let steps = self.state.node(node.parent?)?;
        let calls = self.state.template_of(steps)?.groups.get(index as usize)?;
        Some((steps, index, calls))
    }

    /// The positions of a group that are still to be started, and what lies behind its last step.
    fn left_of(&self, group: NodeId) -> impl Iterator<Item = u32> {
        let left = match self.state.node(group).map(|node| &node.body) {
            Some(Body::Group { cursor, again, .. }) => Some(again.iter().copied().chain(*cursor..)),
            _ => None,
        };
        left.into_iter().flatten()
    }

    /// Starts these; says whether more of the group may start then. What a limit holds back is passed over, so that a step
    /// behind it that does not run is skipped at once, as in Argo.
    fn fill_group(&mut self, group: NodeId, resolved: Vec<(u32, Resolved)>) -> bool {
        let mut held = None;
        for (position, next) in resolved {
            if self.makes_no_more(group) {
                break;
            }
            if held.is_some() && !next.runs_nothing() {
                continue;
            }
            match self.start_in_group(group, position, next) {
                // An item that can't be made ends the group too, once those before it have ended.
                Ok(Some(made)) if self.makes_no_more(made) => {
                    self.close_group(group);
                    return false;
                }
                Ok(_) => {}
                Err(block) => held = Some(block),
            }
        }
        if let Some(block) = held {
            self.hold(group, block);
            return false;
        }
        if self.has_more(group) {
            return true;
        }
        self.close_group(group);
        false
    }

    /// Nothing more of the group starts.
    fn close_group(&mut self, group: NodeId) {
        self.release(group);
        self.check_group(group);
    }

    /// Whether steps of the group are still to be started.
    fn has_more(&self, group: NodeId) -> bool {
        let steps = self.calls_of(group).map_or(0, |(_, _, calls)| calls.len());
        !self.makes_no_more(group) && self.left_of(group).next().is_some_and(|next| (next as usize) < steps)
    }

    /// Whether a child of a group or loop handed it an error: nothing after that child is made.
    fn makes_no_more(&self, id: NodeId) -> bool {
        match self.state.node(id).map(|n| &n.body) {
            Some(Body::Group { failed: Some(child), .. } | Body::Loop { failed: Some(child), .. }) => {
                child.error.is_some()
            }
            _ => false,
        }
    }

    /// Starts a step of a group; gives its node.
    fn start_in_group(
        &mut self,
        group: NodeId,
        position: u32,
        resolved: Resolved,
    ) -> Result<Option<NodeId>, Block> {
        let Some((steps, _, calls)) = self.calls_of(group) else { return Ok(None) };
        let Some(call) = calls.get(position as usize) else { return Ok(None) };
        let (place, key) = (Place::of(call, group, Some(steps.id)), call.callee.clone());
        let made = NodeId(self.state.next_node);
        match resolved {
            Resolved::Skip(why) => self.create_ended(place, Some(key), NodePhase::Skipped, why),
            Resolved::Loop(items) => self.start_loop(place, NodeKind::Loop, Some(key), items),
            Resolved::Once(ready) => {
                if let Some(block) = self.call_block(&place, &ready) {
                    return Err(self.closed_or(place.boundary, block));
                }
                self.start_ready(place, &ready);
            }
        }
        Ok(Some(made))
    }

    pub(super) fn start_ready(&mut self, place: Place, ready: &Ready) {
        let own = self.own_template(&place, &ready.step);
        self.start_own(place, ready.key.clone(), own, &ready.step.arguments, &ready.absent);
    }

    /// The template that is a call's alone, if there is one.
    pub(super) fn own_template<'s>(&self, place: &Place, step: &'s Step) -> Option<&'s Template> {
        let inline = step.inline.as_deref()?;
        let caller = self.state.node(place.boundary?)?.template.as_ref()?;
        // Argo keeps the inline templates of a stored object as they are written, but for the items of a loop.
        let kept = *caller.scope != *LOCAL && !matches!(place.role, Role::Item(_));
        (!kept).then_some(inline)
    }

    /// With `failFast` a failed child closes its boundary: nothing more starts, and it fails once nothing is active.
    pub(super) fn closed_or(&mut self, boundary: Option<NodeId>, block: Block) -> Block {
        if let Some(id) = boundary
            && block == Block::TemplateParallelism
        {
            self.work.push_back(Work::WakeBoundary(id));
        }
        block
    }

    /// Ends a group whose children are all settled, and its Steps node or the next group with it.
    pub(super) fn check_group(&mut self, group: NodeId) {
        let Some(node) = self.state.node(group) else { return };
        let Body::Group { index, cursor, again, open, failed } = &node.body else { return };
        let parent = node.parent;
        let compiled = parent.and_then(|s| self.state.node(s)).and_then(|s| self.state.template_of(s));
        let size = compiled.and_then(|t| t.groups.get(*index as usize)).map_or(0, Vec::len);
        let stopped = failed.as_ref().is_some_and(|f| f.error.is_some());
        let all_started = (*cursor as usize >= size && again.is_empty()) || stopped;
        if !all_started || *open > 0 || node.phase.fulfilled() {
            return;
        }
        let index = *index;
        match failed.as_deref().map(FailedChild::outcome) {
            Some((phase, message)) => self.fail_group(group, phase, message),
            None => {
                self.finish(group, NodePhase::Succeeded, "", Outputs::default());
                let Some(steps) = parent else { return };
                match self.unreadable_loop(steps, index) {
                    Some(why) => self.hand_back(steps, why),
                    None => self.next_group(steps),
                }
            }
        }
    }

    /// Goes on with a Steps node: starts the group after those it has once all of them are over. A retry of the run may
    /// have opened several of them again.
    pub(super) fn next_group(&mut self, steps: NodeId) {
        let Some(Body::Steps { groups, open: 0, failed, .. }) = self.state.node(steps).map(|n| &n.body)
        else {
            return;
        };
        if let Some(message) = failed.clone() {
            return self.finish(steps, NodePhase::Failed, message, Outputs::default());
        }
        let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        self.start_group(steps, next);
    }

    /// Argo gathers a loop's results when its group has succeeded, each taken as JSON (rule O-10).
    fn unreadable_loop(&self, steps: NodeId, group: u32) -> Option<String> {
        let node = self.state.node(steps)?;
        let Body::Steps { calls, .. } = &node.body else { return None };
        let compiled = self.state.template_of(node)?;
        let loops = compiled.groups.get(group as usize)?.iter().filter(|c| c.looped);
        loops
            .filter_map(|c| self.state.node(calls.named(&c.name, compiled)?))
            .find_map(|n| unreadable_result(n))
    }

    /// A group that failed or errored makes its Steps node Failed with the same message (Argo's rule ST-5), once others
    /// that a retry of the run has opened are over too: an exit handler may still run in one of them.
    fn fail_group(&mut self, group: NodeId, phase: NodePhase, message: String) {
        let steps = self.state.node(group).and_then(|n| n.parent);
        self.finish(group, phase, message, Outputs::default());
        if let Some(steps) = steps {
            self.next_group(steps);
        }
    }

    /// Ends a Steps or DAG node that succeeded, with its outputs.
    pub(super) fn finish_composite(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id) else { return };
        match resolve::outputs(&self.state, self.now, node) {
            Ok(outputs) => self.finish(id, NodePhase::Succeeded, "", outputs),
            Err(why) => self.hand_back(id, why),
        }
    }

    /// Makes a loop and starts what it may; a list without items is one skipped node.
    pub(super) fn start_loop(
        &mut self,
        place: Place,
        kind: NodeKind,
        key: Option<TemplateKey>,
        items: LoopItems,
    ) {
        if items.items.is_empty() {
            return self.create_ended(place, key, NodePhase::Skipped, "Skipped, empty params".to_owned());
        }
        let more = More { items: Some(Arc::new(items)), ..More::default() };
        let group =
            self.create_with(place, kind, key, Inputs::default(), NodePhase::Running, String::new(), more);
        self.pump_loop(group);
    }

    /// Starts the next items of a loop, as far as the limits allow.
    pub(super) fn pump_loop(&mut self, group: NodeId) {
        while let Some((items, index)) = self.next_item(group) {
            // Items that are passed over are nodes too.
            if self.records.len() >= RECORDS_PER_DECISION_MAX {
                return self.hold(group, Block::Admission);
            }
            if let Err(block) = self.start_item(group, &items, index) {
                let boundary = self.state.node(group).and_then(|n| n.boundary);
                let block = self.closed_or(boundary, block);
                return self.hold(group, block);
            }
        }
        self.release(group);
        self.check_loop(group);
    }

    fn next_item(&self, group: NodeId) -> Option<(Arc<LoopItems>, u32)> {
        let node = self.state.node(group)?;
        let Body::Loop { items, cursor, again, .. } = &node.body else { return None };
        let (items, index) = (items.clone(), *again.first().unwrap_or(cursor));
        let more = (index as usize) < items.items.len() && !node.phase.fulfilled();
        (more && !self.makes_no_more(group)).then_some((items, index))
    }

    fn start_item(&mut self, group: NodeId, items: &LoopItems, index: u32) -> Result<(), Block> {
        let resolved = resolve::item(&self.state, self.now, group, items, index as usize);
        let (boundary, template) =
            self.state.node(group).map(|n| (n.boundary, n.template.clone())).unwrap_or_default();
        let description =
            items.items.get(index as usize).map(|i| go::item_description(&i.0)).unwrap_or_default();
        let place = Place {
            parent: Some(group),
            role: Role::Item(index),
            label: format!("({index}:{description})").into(),
            boundary,
        };
        match resolved {
            Ok(Resolved::Once(ready)) => {
                if let Some(block) = self.call_block(&place, &ready) {
                    return Err(block);
                }
                self.start_ready(place, &ready);
            }
            Ok(Resolved::Skip(why)) => self.create_ended(place, template, NodePhase::Skipped, why),
            Ok(Resolved::Loop(_)) => {
                let why = "a loop's item can't be a loop".to_owned();
                self.create_ended(place, template, NodePhase::Error, why);
            }
            Err(why) => self.create_ended(place, template, NodePhase::Error, why),
        }
        Ok(())
    }

    /// Ends a loop whose items are all settled: Succeeded, or the phase of the last item that failed.
    pub(super) fn check_loop(&mut self, group: NodeId) {
        let Some(node) = self.state.node(group) else { return };
        let Body::Loop { items, cursor, again, open, phases, results_bytes, .. } = &node.body else { return };
        let all_started = *cursor as usize >= items.items.len() && again.is_empty();
        if !(all_started || self.makes_no_more(group)) || *open > 0 || node.phase.fulfilled() {
            return;
        }
        if *results_bytes > RESULTS_BYTES_MAX {
            let why = format!(
                "the outputs of the loop's items take {results_bytes} bytes, more than {RESULTS_BYTES_MAX}: write them \
                 as artifacts"
            );
            return self.finish(group, NodePhase::Error, why, Outputs::default());
        }
        let phase = match phases.iter().rev().find(|b| matches!(*b, b'F' | b'E')) {
            Some(b'F') => NodePhase::Failed,
            Some(_) => NodePhase::Error,
            None => NodePhase::Succeeded,
        };
        self.finish(group, phase, "", Outputs::default());
    }
}
