//! A retry of the finished run, or a memoized resubmission: what is open goes on.

use dropforge_manifest::types::Inputs;

use super::calls::Place;
use super::{Decider, NodeKind, Record, Rejected, Role, Work};
use crate::event::Command;
use crate::ids::NodeId;
use crate::record::RunRetried;
use crate::resolve::{self, Resolved};
use crate::retry::{Refused, RetryPlan};
use crate::scope::Viewer;
use crate::state::{Body, Node};

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
        let open = |node: &Node| !(node.phase.fulfilled() && node.hooks_open == 0);
        let opened: Vec<NodeId> = self.state.nodes.values().filter(|n| open(n)).map(|n| n.id).collect();
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
        if node.phase.fulfilled() {
            return self.look_at_hooks(id);
        }
        self.hooks_read(id);
        match node.kind {
            NodeKind::StepGroup => self.pump_group(id),
            NodeKind::Loop | NodeKind::TaskGroup => self.pump_loop(id),
            NodeKind::Dag => self.start_dag(id),
            NodeKind::Steps => self.next_group(id),
            NodeKind::Retry => self.go_on_retrying(&node),
            // Leaves are made again, never opened.
            NodeKind::Pod | NodeKind::Http | NodeKind::Suspend | NodeKind::Skipped | NodeKind::Container => {}
        }
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
            Role::Call(name) => self.arguments_anew(node, name)?,
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

    fn arguments_anew(
        &self,
        node: &Node,
        name: &str,
    ) -> Option<(dropforge_manifest::types::Arguments, Vec<String>)> {
        let owner = self.state.node(node.boundary?)?;
        let compiled = self.state.template_of(owner)?;
        let (group, position) = compiled.position(name)?;
        let viewer = match owner.kind {
            NodeKind::Dag => Viewer::Task(position),
            _ => Viewer::Group(u32::try_from(group).ok()?),
        };
        match resolve::call(&self.state, self.now, owner, viewer, compiled.call(name)?).ok()? {
            Resolved::Once(ready) => Some((ready.step.arguments.clone(), ready.absent)),
            Resolved::Skip(_) | Resolved::Loop(_) => None,
        }
    }
}
