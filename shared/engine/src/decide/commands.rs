//! Commands of people: Argo's verbs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{Outputs, Parameter};

use super::pods::{LATE, allowed};
use super::{Decider, NodeKind, NodePhase, Record, Rejected, Work};
use crate::event::{Command, Verb};
use crate::ids::NodeId;
use crate::record::ShutdownStrategy;
use crate::retry::Refused;
use crate::selector::Selector;
use crate::state::Node;

impl Decider {
    pub(super) fn commanded(&mut self, command: &Command) -> Result<(), Rejected> {
        if self.state.commands.contains(&command.id) {
            return Err(Rejected::CommandRead { command: command.id.clone() });
        }
        let refused = self.obey(command).err();
        self.emit(Record::CommandRead { command: Box::new(command.clone()), refused });
        Ok(())
    }

    fn obey(&mut self, command: &Command) -> Result<(), String> {
        if self.state.phase.completed() {
            let what = match command.verb {
                Verb::Stop { .. } | Verb::Terminate => "shutdown",
                Verb::Suspend => "suspend",
                Verb::Resume { .. } => "resume",
                Verb::Set { .. } => "set nodes of",
                // It comes with its plan, as an event of its own.
                Verb::Retry(_) => "retry",
            };
            return Err(format!("cannot {what} a completed workflow: it is {}", self.state.phase));
        }
        match &command.verb {
            Verb::Stop { message } => self.shut_down(ShutdownStrategy::Stop, message.clone()),
            Verb::Retry(_) => return Err(Refused::Phase(self.state.phase).to_string()),
            Verb::Set { selector, phase, message, outputs } => {
                let change = Change { phase: *phase, message: message.clone(), outputs: outputs.clone() };
                self.set(selector, &change)?;
            }
            Verb::Terminate => self.shut_down(ShutdownStrategy::Terminate, None),
            Verb::Suspend if self.state.suspended => {
                return Err("the workflow is suspended already".to_owned());
            }
            Verb::Suspend => self.emit(Record::Suspended),
            Verb::Resume { selector, outputs } => {
                self.resume(&format!("Resumed by: {}", command.by), selector.as_deref(), outputs)?;
            }
        }
        Ok(())
    }

    /// Kills what runs (rules SD-2, SD-3). What could still start meets the shutdown when its turn comes.
    fn shut_down(&mut self, strategy: ShutdownStrategy, message: Option<String>) {
        self.emit(Record::Shutdown { strategy, message });
        let spares_exit = strategy == ShutdownStrategy::Stop;
        // Two spaces, as Argo writes it.
        let killed = format!("workflow shutdown with strategy:  {strategy:?}");
        let idle = format!("Stopped with strategy '{strategy:?}'");
        self.end_leaves(spares_exit, &killed, &idle);
        match self.state.suspended {
            true => self.lift_suspension(),
            false => self.work.push_back(Work::WakeRun),
        }
    }

    /// Ends a run that has had its time, without its exit handlers: they had it too.
    pub(super) fn time_over(&mut self) -> Result<(), Rejected> {
        let spec = &self.state.program.spec;
        let (until, days) = (spec.over_at(), spec.settings.days_max);
        if self.now < until {
            return Err(Rejected::TimeLeft { until });
        }
        if self.state.phase.completed() || self.state.out_of_time().is_some() {
            return Err(Rejected::Ended);
        }
        let why = format!("the run is older than {days} days, which is all the time it has; submit it anew");
        self.shut_down(ShutdownStrategy::Terminate, Some(why));
        Ok(())
    }

    /// The workflow's deadline: as a shutdown that spares exit handlers (rule TM-2).
    pub(super) fn deadline_passed(&mut self) {
        let at = self.now;
        self.emit(Record::DeadlinePassed { at });
        self.end_leaves(true, LATE, LATE);
        self.work.push_back(Work::WakeRun);
    }

    fn end_leaves(&mut self, spares_exit: bool, killed: &str, idle: &str) {
        let mut leaves: Vec<NodeId> = self
            .state
            .nodes
            .values()
            // A daemon that serves ends with what needs it (rule DM-2); what waits for one that starts again would wait for
            // ever.
            .filter(|n| {
                !(n.phase.fulfilled() || n.serves() && n.kind == NodeKind::Pod || spares_exit && n.on_exit)
            })
            .filter(|n| {
                let leaf = matches!(n.kind, NodeKind::Pod | NodeKind::Http | NodeKind::Suspend);
                leaf || n.idle || waits(n)
            })
            .map(|n| n.id)
            .collect();
        // Newest first: one that still waits for room must not be given the room of one that was just ended.
        leaves.reverse();
        for id in leaves {
            let Some(node) = self.state.node(id).cloned() else { continue };
            match node.kind {
                NodeKind::Pod if !node.idle => self.give_up(&node, killed),
                NodeKind::Http if !node.idle => self.give_up(&node, idle),
                _ => self.finish(id, NodePhase::Failed, idle, Outputs::default()),
            }
        }
    }

    fn resume(
        &mut self,
        message: &str,
        selector: Option<&str>,
        outputs: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let selector = selector.map(Selector::parse).transpose()?;
        let waiting = self.waiting_suspends(selector.as_ref());
        if selector.is_none() && self.state.suspended {
            self.lift_suspension();
        } else if waiting.is_empty() {
            return Err(match selector {
                Some(s) => none_matches(&s),
                None => "the workflow is not suspended, and no suspend node waits".to_owned(),
            });
        }
        if let Some(unknown) = self.unexpected_output(&waiting, outputs) {
            return Err(format!("node is not expecting output parameter '{unknown}'"));
        }
        // A value that is missing refuses the whole command: nothing is half resumed.
        for node in &waiting {
            self.supplied(node, outputs)?;
        }
        for node in waiting {
            self.resume_node(node.id, message, outputs);
        }
        Ok(())
    }

    /// The suspend nodes that wait, or those of them that match.
    fn waiting_suspends(&self, selector: Option<&Selector>) -> Vec<Arc<Node>> {
        let waits = |n: &&Arc<Node>| n.kind == NodeKind::Suspend && !n.phase.fulfilled();
        let matches = |n: &&Arc<Node>| selector.is_none_or(|s| s.matches(|field| self.state.field(n, field)));
        self.state.nodes.values().filter(waits).filter(matches).cloned().collect()
    }

    /// Changes waiting suspend nodes (rule SD-7); refused as a whole where one of them can't take it.
    fn set(&mut self, selector: &str, change: &Change) -> Result<(), String> {
        let selector = Selector::parse(selector)?;
        let matching = self.waiting_suspends(Some(&selector));
        if matching.is_empty() || *change == Change::default() {
            return Err(none_matches(&selector));
        }
        let mut changed = Vec::new();
        for node in matching {
            let outputs = self.with_outputs(&node, &change.outputs)?;
            changed.push((node, outputs));
        }
        for (node, outputs) in changed {
            let message = change.message.clone().filter(|m| !m.is_empty()).unwrap_or(node.message.clone());
            match change.phase.filter(|p| p.fulfilled()) {
                Some(phase) => self.finish(node.id, phase, message, outputs),
                None => {
                    if message != node.message {
                        self.emit(Record::NodeMessage { node: node.id, message });
                    }
                    if outputs != *node.outputs {
                        self.emit(Record::NodeOutputs { node: node.id, outputs });
                    }
                }
            }
        }
        Ok(())
    }

    /// The outputs that a suspend node has so far, with those that a person gives now.
    fn with_outputs(&self, node: &Node, given: &BTreeMap<String, String>) -> Result<Outputs, String> {
        let declared = self.state.template_of(node).map(|t| &t.template.outputs.parameters);
        let mut outputs = (*node.outputs).clone();
        for (name, value) in given {
            let Some(parameter) = declared.into_iter().flatten().find(|p| p.name == *name) else {
                return Err(format!("node is not expecting output parameter '{name}'"));
            };
            let supplied = parameter.value_from.as_ref().is_some_and(|v| v.supplied.is_some());
            if !supplied || outputs.parameters.iter().any(|p| p.name == *name) {
                return Err(format!(
                    "cannot set output parameter '{name}' because it does not use valueFrom.raw or it was already set"
                ));
            }
            let value = AnyString(value.clone());
            allowed(parameter, node, &value)?;
            outputs.parameters.push(Parameter { value: Some(value), value_from: None, ..parameter.clone() });
        }
        Ok(outputs)
    }

    fn unexpected_output(
        &self,
        nodes: &[std::sync::Arc<Node>],
        given: &BTreeMap<String, String>,
    ) -> Option<String> {
        let declared: Vec<&str> = nodes
            .iter()
            .filter_map(|n| self.state.template_of(n))
            .flat_map(|t| t.template.outputs.parameters.iter().map(|p| p.name.as_str()))
            .collect();
        given.keys().find(|name| !declared.contains(&name.as_str())).cloned()
    }
}

/// What `set` changes of a waiting suspend node.
#[derive(Default, PartialEq)]
struct Change {
    phase: Option<NodePhase>,
    message: Option<String>,
    outputs: BTreeMap<String, String>,
}

fn none_matches(selector: &Selector) -> String {
    format!(
        "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: {selector}"
    )
}

/// Whether nothing of the node runs: it waits for its cache, or for the time of its next attempt.
fn waits(node: &Node) -> bool {
    node.awaits_memo()
        || node.held_after_memo()
        || matches!(&node.body, crate::state::Body::Retry { until: Some(_), .. })
}
