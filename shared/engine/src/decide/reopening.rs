//! A retry of the finished run, or a memoized resubmission: what is open goes on.

use std::sync::Arc;

use dropforge_manifest::types::{Arguments, Inputs};

use super::calls::Place;
use super::{Decider, NodeKind, Record, Rejected, Role, Work};
use crate::event::Command;
use crate::ids::NodeId;
use crate::program::Compiled;
use crate::record::RunRetried;
use crate::resolve::{self, Resolved};
use crate::retry::{Refused, RetryPlan};
use crate::scope::Viewer;
use crate::state::{Body, Node};

fn is_open(node: &Node) -> bool {
    !(node.phase.fulfilled() && node.hooks_open == 0)
}

impl Decider {
    pub(super) fn retry_planned(
        &mut self,
        command: &Command,
        plan: &Result<Box<RetryPlan>, String>,
    ) -> Result<(), Rejected> {
        if self.state.commands.contains(&command.id) {
            return Err(Rejected::CommandRead { command: command.id.clone() });
        }
        let refused = match plan {
            Err(why) => Some(why.clone()),
            // It was planned from a finished run; another retry may have come first.
            Ok(_) if !self.state.phase.completed() => Some(Refused::Phase(self.state.phase).to_string()),
            Ok(_) if self.now >= self.state.program.spec.over_at() => Some(format!(
                "cannot retry a workflow that is older than {} days: submit it anew",
                self.state.program.spec.settings.days_max
            )),
            Ok(plan) => {
                self.reopen(plan);
                None
            }
        };
        self.emit(Record::CommandRead { command: Box::new(command.clone()), refused });
        Ok(())
    }

    fn reopen(&mut self, plan: &RetryPlan) {
        let RetryPlan { generation, removed, reset, parameters, tree } = plan.clone();
        let at = self.now;
        let retried = RunRetried { generation, at, removed, reset, parameters, tree };
        self.emit(Record::RunRetried(Box::new(retried)));
        self.arm_deadline();
        self.go_on_where_open(!plan.parameters.is_empty());
    }

    /// A memoized resubmission begins with what it took over.
    pub(super) fn take_over(&mut self) {
        let program = self.state.program.clone();
        for record in &program.spec.reused {
            let mut record = record.clone();
            match &mut record {
                Record::NodeCreated(created) => created.at = self.now,
                Record::NodeFinished { at, .. } => *at = self.now,
                _ => {}
            }
            self.emit(record);
        }
        self.go_on_where_open(true);
    }

    pub(super) fn go_on_where_open(&mut self, new_parameters: bool) {
        let opened: Vec<NodeId> = self.state.nodes.values().filter(|n| is_open(n)).map(|n| n.id).collect();
        for id in opened.iter().filter(|_| new_parameters) {
            self.take_parameters(*id);
        }
        // A retried run takes its own locks again; `locks_taken` goes on with it.
        if !self.lacks_locks() {
            self.work.extend(opened.into_iter().map(Work::GoOn));
        }
    }

    /// Goes on with a node of a retried run: starts what is missing, and ends it when nothing is.
    pub(super) fn go_on(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id).cloned() else { return };
        if self.waits_for_locks(&node) {
            return;
        }
        if node.phase.fulfilled() {
            return self.look_at_hooks(id);
        }
        self.hooks_read(id);
        match node.kind {
            NodeKind::StepGroup => self.begin_group(id),
            NodeKind::Loop | NodeKind::TaskGroup => self.pump_loop(id),
            NodeKind::Dag => self.start_dag(id),
            NodeKind::Steps => self.next_group(id),
            NodeKind::Retry => self.go_on_retrying(&node),
            // Leaves are made again, never opened.
            NodeKind::Pod | NodeKind::Http | NodeKind::Suspend | NodeKind::Skipped | NodeKind::Container => {}
        }
    }

    /// Whether an opened node, or one above it, waits for its template's locks: what was given back when it ended is
    /// taken again before anything below it runs. `begin_node` goes on with it.
    fn waits_for_locks(&mut self, node: &Node) -> bool {
        if self.is_below(node, |above| above.idle) {
            return true;
        }
        let Some(compiled) = self.locked_template(node) else { return false };
        if !self.state.locks.blocks.contains_key(&Some(node.id)) {
            self.take_locks(node.id, &compiled);
        }
        !self.state.locks.holds(Some(node.id))
    }

    /// The template of an opened node that holds locks: leaves are made again, and a try's locks are its Retry node's.
    fn locked_template(&self, node: &Node) -> Option<Arc<Compiled>> {
        let opened = matches!(node.kind, NodeKind::Steps | NodeKind::Dag | NodeKind::Retry);
        if !opened || node.phase.fulfilled() || matches!(node.role, Role::Attempt(_)) {
            return None;
        }
        let compiled = self.state.template_of(node)?;
        let locked = compiled.template.synchronization.as_ref().is_some_and(|block| !block.is_empty());
        locked.then(|| compiled.clone())
    }

    /// Goes on with an opened node that has its locks, and with all that is open below it; none where it is a new one.
    pub(super) fn go_on_below(&mut self, id: NodeId) -> bool {
        if self.state.generation == 0 && self.state.program.spec.reused.is_empty() {
            return false;
        }
        let below = self.state.nodes.values().filter(|node| self.is_below(node, |above| above.id == id));
        let open = below.filter(|node| is_open(node)).map(|node| node.id);
        let open: Vec<NodeId> = open.collect();
        let opened = self.state.nodes.values().any(|node| node.parent == Some(id));
        if opened {
            self.work.push_back(Work::GoOn(id));
            self.work.extend(open.into_iter().map(Work::GoOn));
        }
        opened
    }

    /// Whether this holds of a node above another.
    fn is_below(&self, node: &Node, holds: impl Fn(&Node) -> bool) -> bool {
        let mut next = node.parent;
        while let Some(above) = next.and_then(|id| self.state.node(id)) {
            if holds(above) {
                return true;
            }
            next = above.parent;
        }
        false
    }

    fn go_on_retrying(&mut self, node: &Node) {
        let Body::Retry { last, .. } = &node.body else { return };
        match last.and_then(|last| self.state.node(last)) {
            None => self.start_attempt(node.id),
            Some(attempt) if attempt.settled() => self.attempt_settled(node.id),
            // It was opened too, and goes on by itself.
            Some(_) => {}
        }
    }

    /// The inputs of an opened node may come from the workflow's parameters, which a retry can change.
    fn take_parameters(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id).cloned().filter(|n| !n.phase.fulfilled()) else { return };
        if let Some(inputs) = self.inputs_anew(&node).filter(|inputs| *inputs != *node.inputs) {
            self.emit(Record::NodeInputs { node: id, inputs });
        }
    }

    fn inputs_anew(&self, node: &Node) -> Option<Inputs> {
        let compiled = self.state.template_of(node)?;
        let (arguments, absent) = match &node.role {
            Role::Root => (self.state.program.spec.spec.arguments.clone(), Vec::new()),
            Role::Call(_) => self.arguments_anew(node)?,
            Role::Attempt(_) => return Some((*self.state.node(node.parent?)?.inputs).clone()),
            // Groups have none; loops are made again with new parameters, exit handlers with every retry.
            Role::Group(_)
            | Role::Item(_)
            | Role::WorkflowExit
            | Role::Exit
            | Role::Hook(_)
            | Role::Container(_) => return None,
        };
        let config = |reference: &_| resolve::config(&self.state, reference);
        let inputs = resolve::inputs(&compiled.template, &arguments, &absent, &config).ok()?;
        let Node { parent, role, label, boundary, .. } = node.clone();
        Some(self.enter_inputs(&Place { parent, role, label, boundary }, inputs))
    }

    fn arguments_anew(&self, node: &Node) -> Option<(Arguments, Vec<String>)> {
        let owner = self.state.node(node.boundary?)?;
        let (_, call) = self.state.call_of(node)?;
        let viewer = Viewer::of(&self.state, node)?;
        match resolve::call(&self.state, self.now, owner, viewer, call).ok()? {
            Resolved::Once(ready) => Some((ready.step.arguments.clone(), ready.absent)),
            Resolved::Skip(_) | Resolved::Loop(_) => None,
        }
    }
}
