//! Steps templates: groups one after the other, their steps side by side; and loops, which DAGs share.

use std::sync::Arc;

use dropforge_manifest::go;
use dropforge_manifest::types::{Inputs, Outputs, Step, Template};

use super::calls::{More, Place};
use super::{Decider, NodeKind, NodePhase, Role, Work};
use crate::ids::NodeId;
use crate::program::LOCAL;
use crate::record::{Block, LoopItems, TemplateKey};
use crate::resolve::{self, Ready, Resolved};
use crate::scope::{Viewer, unreadable_result};
use crate::state::{Body, FailedChild, Node};

impl Decider {
    /// Starts group `index` of a Steps node, or ends the node when there is none.
    pub(super) fn start_group(&mut self, steps: NodeId, index: u32) {
        let Some(node) = self.state.node(steps).cloned() else { return };
        let groups = self.state.template_of(&node).map_or(0, |t| t.groups.len());
        if index as usize >= groups {
            return self.finish_composite(&node);
        }
        let place = Place {
            parent: Some(steps),
            role: Role::Group(index),
            label: format!("[{index}]"),
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
        // Argo resolves the whole group before it starts any of it: one bad reference and no step begins.
        match self.resolve_group(&node, index, group) {
            Ok(resolved) => self.fill_group(group, resolved),
            Err(why) => {
                self.fail_group(group, NodePhase::Error, format!("failed to resolve references: {why}"))
            }
        }
    }

    /// Every step of the group that is still to be started, in the order in which [`Self::next_step`] names them.
    fn resolve_group(&self, steps: &Node, index: u32, group: NodeId) -> Result<Vec<Resolved>, resolve::Why> {
        let Some(compiled) = self.state.template_of(steps).cloned() else { return Ok(Vec::new()) };
        let calls = compiled.groups.get(index as usize).map(Vec::as_slice).unwrap_or_default();
        let Some(Body::Group { cursor, again, .. }) = self.state.node(group).map(|g| &g.body) else {
            return Ok(Vec::new());
        };
        let left =
            again.iter().filter_map(|p| calls.get(*p as usize)).chain(calls.iter().skip(*cursor as usize));
        left.map(|call| resolve::call(&self.state, self.now, steps, Viewer::Group(index), call)).collect()
    }

    /// Goes on with a group that a limit held back.
    pub(super) fn pump_group(&mut self, group: NodeId) {
        let Some(node) = self.state.node(group).cloned() else { return };
        let Body::Group { index, .. } = node.body else { return };
        let Some(steps) = node.parent.and_then(|s| self.state.node(s)).cloned() else { return };
        match self.resolve_group(&steps, index, group) {
            Ok(resolved) => self.fill_group(group, resolved),
            Err(why) => {
                self.fail_group(group, NodePhase::Error, format!("failed to resolve references: {why}"))
            }
        }
    }

    fn fill_group(&mut self, group: NodeId, resolved: Vec<Resolved>) {
        for next in resolved {
            if self.group_error(group).is_some() {
                break;
            }
            if let Err(block) = self.start_in_group(group, next) {
                return self.hold(group, block);
            }
        }
        self.release(group);
        self.check_group(group);
    }

    fn group_error(&self, group: NodeId) -> Option<String> {
        match &self.state.node(group)?.body {
            Body::Group { failed: Some(FailedChild { error: Some(why), .. }), .. } => Some(why.clone()),
            _ => None,
        }
    }

    fn start_in_group(&mut self, group: NodeId, resolved: Resolved) -> Result<(), Block> {
        let Some((node, name)) = self.next_step(group) else { return Ok(()) };
        let place = || Place {
            parent: Some(group),
            role: Role::Call(name.clone()),
            label: format!(".{name}"),
            boundary: node.parent,
        };
        let key = self.call_key(node.parent, &name);
        match resolved {
            Resolved::Skip(why) => self.create_ended(place(), key, NodePhase::Skipped, why),
            Resolved::Loop(items) => self.start_loop(place(), NodeKind::Loop, key, items),
            Resolved::Once(ready) => {
                if let Some(block) = self.call_block(&place(), &ready) {
                    return Err(self.closed_or(node.parent, block));
                }
                self.start_ready(place(), &ready);
            }
        }
        Ok(())
    }

    fn next_step(&self, group: NodeId) -> Option<(Arc<Node>, String)> {
        let node = self.state.node(group)?.clone();
        let Body::Group { index, cursor, again, .. } = &node.body else { return None };
        let compiled = self.state.template_of(self.state.node(node.parent?)?)?;
        let position = again.first().unwrap_or(cursor);
        let name = compiled.groups.get(*index as usize)?.get(*position as usize)?.step.name.clone();
        Some((node, name))
    }

    /// The template that a step or task names, as far as its name holds no tag.
    pub(super) fn call_key(&self, composite: Option<NodeId>, name: &str) -> Option<TemplateKey> {
        let node = self.state.node(composite?)?;
        let step = &self.state.template_of(node)?.call(name)?.step;
        Some(self.state.program.callee(node.template.as_ref()?, step))
    }

    pub(super) fn start_ready(&mut self, place: Place, ready: &Ready) {
        if let Some((key, own)) = self.callee(&place, &ready.step) {
            self.start_own(place, key, own, &ready.step.arguments, &ready.absent);
        }
    }

    /// What a step or task calls, and the template that is this call's alone, if there is one.
    pub(super) fn callee<'s>(
        &self,
        place: &Place,
        step: &'s Step,
    ) -> Option<(TemplateKey, Option<&'s Template>)> {
        let caller = self.state.node(place.boundary?)?.template.as_ref()?;
        let key = self.state.program.callee(caller, step);
        // Argo keeps the inline templates of a stored object as they are written, but for the items of a loop.
        let kept = caller.scope != LOCAL && !matches!(place.role, Role::Item(_));
        Some((key, step.inline.as_deref().filter(|_| !kept)))
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
        let Some(node) = self.state.node(group).cloned() else { return };
        let Body::Group { index, cursor, again, open, failed } = &node.body else { return };
        let steps = node.parent.and_then(|s| self.state.node(s));
        let size = steps
            .and_then(|s| self.state.template_of(s))
            .and_then(|t| t.groups.get(*index as usize))
            .map_or(0, Vec::len);
        let error = failed.as_ref().and_then(|f| f.error.clone());
        let all_started = (*cursor as usize >= size && again.is_empty()) || error.is_some();
        if !all_started || *open > 0 || node.phase.fulfilled() {
            return;
        }
        match (error, failed) {
            (Some(why), _) => self.fail_group(group, NodePhase::Error, why),
            (None, Some(child)) => {
                self.fail_group(group, NodePhase::Failed, format!("child '{}' failed", child.id))
            }
            (None, None) => {
                self.finish(group, NodePhase::Succeeded, "", Outputs::default());
                let Some(steps) = node.parent else { return };
                match self.unreadable_loop(steps, *index) {
                    Some(why) => self.finish(steps, NodePhase::Error, why, Outputs::default()),
                    None => self.next_group(steps),
                }
            }
        }
    }

    /// Goes on with a Steps node: starts the group after those it has once all of them are over. A retry of the run may
    /// have opened several of them again.
    pub(super) fn next_group(&mut self, steps: NodeId) {
        let Some(Body::Steps { groups, open: 0, .. }) = self.state.node(steps).map(|n| &n.body) else {
            return;
        };
        let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        self.start_group(steps, next);
    }

    /// Argo gathers a loop's results when its group has succeeded, each taken as JSON (rule O-10).
    fn unreadable_loop(&self, steps: NodeId, group: u32) -> Option<String> {
        let node = self.state.node(steps)?;
        let Body::Steps { calls, .. } = &node.body else { return None };
        let compiled = self.state.template_of(node)?;
        let loops = compiled.groups.get(group as usize)?.iter().filter(|c| c.looped);
        loops.filter_map(|c| self.state.node(*calls.get(&c.step.name)?)).find_map(|n| unreadable_result(n))
    }

    /// A group that failed or errored makes its Steps node Failed with the same message (Argo's rule ST-5).
    fn fail_group(&mut self, group: NodeId, phase: NodePhase, message: String) {
        let steps = self.state.node(group).and_then(|n| n.parent);
        self.finish(group, phase, message.clone(), Outputs::default());
        if let Some(steps) = steps {
            self.finish(steps, NodePhase::Failed, message, Outputs::default());
        }
    }

    /// Ends a Steps or DAG node that succeeded, with its outputs.
    pub(super) fn finish_composite(&mut self, node: &Node) {
        match resolve::outputs(&self.state, self.now, node) {
            Ok(outputs) => self.finish(node.id, NodePhase::Succeeded, "", outputs),
            Err(why) => self.finish(node.id, NodePhase::Error, why, Outputs::default()),
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
        while let Some((node, items, index)) = self.next_item(group) {
            match self.start_item(&node, &items, index) {
                Ok(()) => {}
                Err(block) => {
                    let block = self.closed_or(node.boundary, block);
                    return self.hold(group, block);
                }
            }
        }
        self.release(group);
        self.check_loop(group);
    }

    fn next_item(&self, group: NodeId) -> Option<(Arc<Node>, Arc<LoopItems>, u32)> {
        let node = self.state.node(group)?.clone();
        let Body::Loop { items, cursor, again, .. } = &node.body else { return None };
        let (items, index) = (items.clone(), *again.first().unwrap_or(cursor));
        let more = (index as usize) < items.items.len() && !node.phase.fulfilled();
        more.then_some((node, items, index))
    }

    fn start_item(&mut self, group: &Node, items: &LoopItems, index: u32) -> Result<(), Block> {
        let resolved = resolve::item(&self.state, self.now, group.id, items, index as usize);
        let description =
            items.items.get(index as usize).map(|i| go::item_description(&i.0)).unwrap_or_default();
        let place = Place {
            parent: Some(group.id),
            role: Role::Item(index),
            label: format!("({index}:{description})"),
            boundary: group.boundary,
        };
        match resolved {
            Ok(Resolved::Once(ready)) => {
                if let Some(block) = self.call_block(&place, &ready) {
                    return Err(block);
                }
                self.start_ready(place, &ready);
            }
            Ok(Resolved::Skip(why)) => {
                self.create_ended(place, group.template.clone(), NodePhase::Skipped, why)
            }
            Ok(Resolved::Loop(_)) => {
                let why = "a loop's item can't be a loop".to_owned();
                self.create_ended(place, group.template.clone(), NodePhase::Error, why);
            }
            Err(why) => self.create_ended(place, group.template.clone(), NodePhase::Error, why),
        }
        Ok(())
    }

    /// Ends a loop whose items are all settled: Succeeded, or the phase of the last item that failed.
    pub(super) fn check_loop(&mut self, group: NodeId) {
        let Some(node) = self.state.node(group).cloned() else { return };
        let Body::Loop { items, cursor, again, open, phases, .. } = &node.body else { return };
        let all_started = *cursor as usize >= items.items.len() && again.is_empty();
        if !all_started || *open > 0 || node.phase.fulfilled() {
            return;
        }
        let phase = match phases.iter().rev().find(|b| matches!(*b, b'F' | b'E')) {
            Some(b'F') => NodePhase::Failed,
            Some(_) => NodePhase::Error,
            None => NodePhase::Succeeded,
        };
        self.finish(group, phase, "", Outputs::default());
    }
}
