//! Commands of people: Argo's verbs.

use std::collections::BTreeMap;

use dropforge_manifest::types::Outputs;

use super::{Decider, NodeKind, NodePhase, Record, Rejected, Work};
use crate::event::{Command, Verb};
use crate::ids::NodeId;
use crate::record::ShutdownStrategy;
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
            return Err(match command.verb {
                Verb::Stop { .. } | Verb::Terminate => {
                    format!("cannot shutdown a completed workflow: it is {}", self.state.phase)
                }
                Verb::Suspend => format!("cannot suspend a completed workflow: it is {}", self.state.phase),
                Verb::Resume { .. } => {
                    format!("cannot resume a completed workflow: it is {}", self.state.phase)
                }
            });
        }
        match &command.verb {
            Verb::Stop { message } => self.shut_down(ShutdownStrategy::Stop, message.clone()),
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

    /// The workflow's deadline: as a shutdown that spares exit handlers (rule TM-2).
    pub(super) fn deadline_passed(&mut self) {
        let at = self.now;
        self.emit(Record::DeadlinePassed { at });
        const WHY: &str = "Step exceeded its deadline";
        self.end_leaves(true, WHY, WHY);
        self.work.push_back(Work::WakeRun);
    }

    fn end_leaves(&mut self, spares_exit: bool, killed: &str, idle: &str) {
        let mut leaves: Vec<NodeId> = self
            .state
            .nodes
            .values()
            .filter(|n| !(n.phase.fulfilled() || spares_exit && n.on_exit))
            .filter(|n| matches!(n.kind, NodeKind::Pod | NodeKind::Http | NodeKind::Suspend) || waits(n))
            .map(|n| n.id)
            .collect();
        // Newest first: one that still waits for room must not be given the room of one that was just ended.
        leaves.reverse();
        for id in leaves {
            let Some(node) = self.state.node(id).cloned() else { continue };
            match node.kind {
                NodeKind::Pod => self.give_up(&node, killed),
                NodeKind::Http => self.give_up(&node, idle),
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
        let waiting: Vec<_> = self
            .state
            .nodes
            .values()
            .filter(|n| n.kind == NodeKind::Suspend && !n.phase.fulfilled())
            .filter(|n| selector.as_ref().is_none_or(|s| s.matches(&self.state, n)))
            .cloned()
            .collect();
        if selector.is_none() && self.state.suspended {
            self.lift_suspension();
        } else if waiting.is_empty() {
            return Err(match selector {
                Some(s) => format!(
                    "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: {s}"
                ),
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

/// Whether nothing of the node runs: it waits for its cache, or for the time of its next attempt.
fn waits(node: &Node) -> bool {
    node.awaits_memo()
        || node.held_after_memo()
        || matches!(&node.body, crate::state::Body::Retry { until: Some(_), .. })
}
