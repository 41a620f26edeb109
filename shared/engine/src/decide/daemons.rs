//! Daemons: pods that their callers need running, not done; and the containers of a pod that has several.

use std::sync::Arc;

use dropforge_manifest::types::{Inputs, Template};
use jiff::Timestamp;

use super::calls::{End, Place};
use super::{Decider, NodeKind, NodePhase, Record, Rejected, Role};
use crate::attempt::{Outcome, Verdict};
use crate::effect::TimerKind;
use crate::ids::{AttemptId, NodeId};
use crate::state::{Body, Node};

/// Why a daemon is asked to end when all is well.
const SERVED: &str = "the steps that needed it have ended";

impl Decider {
    /// A daemon serves: its caller goes on (rule DM-1).
    pub(super) fn attempt_ready(
        &mut self,
        attempt: &AttemptId,
        at: Timestamp,
        ip: &str,
    ) -> Result<(), Rejected> {
        let id = self.live(attempt)?;
        let Some(node) = self.state.node(id).cloned() else {
            return Err(Rejected::StaleAttempt { attempt: attempt.clone() });
        };
        // A second report, or one that comes after the node was given up, says nothing new.
        let said = node.phase.fulfilled() || node.serves();
        if said || !self.is_daemon(&node) {
            return Err(Rejected::StaleAttempt { attempt: attempt.clone() });
        }
        let mut top = node;
        while let (Role::Attempt(_), Some(retry)) = (&top.role, top.parent.and_then(|p| self.state.node(p))) {
            top = retry.clone();
        }
        let settled = self.settled(top.parent, &top.role);
        self.emit(Record::AttemptReady { attempt: attempt.clone(), at, ip: ip.to_owned() });
        self.end_timers_of(id, &[TimerKind::PendingTimeout]);
        // A daemon that serves counts as fulfilled: what it locked was for its start.
        self.release_locks(Some(top.id));
        self.work.push_back(settled);
        Ok(())
    }

    pub(super) fn is_daemon(&self, node: &Node) -> bool {
        self.state.template_of(node).is_some_and(|t| t.template.is_daemon())
    }

    /// Ends the daemons that serve the children of `boundary`, which have ended (rule DM-2).
    pub(super) fn end_daemons(&mut self, boundary: Option<NodeId>) {
        let all = (boundary, NodeId(0))..=(boundary, NodeId(u64::MAX));
        let daemons: Vec<NodeId> = self.state.daemons.range(all).map(|(_, id)| *id).collect();
        // An attempt has a higher number than its Retry node, which would forget it.
        for id in daemons.into_iter().rev() {
            let Some(node) = self.state.node(id).cloned() else { continue };
            // Between two attempts the newest one is no daemon yet, and ends all the same.
            if let Body::Retry { last: Some(last), .. } = node.body
                && let Some(attempt) = self.state.node(last).filter(|a| !a.phase.fulfilled()).cloned()
            {
                self.dismiss(attempt);
            }
            self.dismiss(node);
        }
    }

    /// A daemon has done its work: no exit handler follows, as nobody looks at it any more.
    fn dismiss(&mut self, node: Arc<Node>) {
        if let Body::Pod { attempt: Some(attempt), .. } = &node.body {
            self.emit(Record::StopAsked { attempt: attempt.clone(), why: SERVED.to_owned() });
        }
        self.conclude(node, End::unseen(NodePhase::Succeeded, ""));
    }

    /// The active children of a composite that are no daemons which serve.
    pub(super) fn active_but_daemons(&self, boundary: NodeId, active: u32) -> u32 {
        let all = (Some(boundary), NodeId(0))..=(Some(boundary), NodeId(u64::MAX));
        let pods = self.state.daemons.range(all).filter_map(|(_, id)| self.state.node(*id));
        let serving = pods.filter(|n| n.kind == NodeKind::Pod).count();
        active.saturating_sub(u32::try_from(serving).unwrap_or(u32::MAX))
    }

    /// Makes a node for each container of a `containerSet` (rule CS-1).
    pub(super) fn create_containers(&mut self, pod: NodeId, template: &Template) {
        let Some(set) = &template.container_set else { return };
        let key = self.state.node(pod).and_then(|pod| pod.template.clone());
        for container in &set.containers {
            let name: Arc<str> = container.name().into();
            let place = Place {
                parent: Some(pod),
                label: format!(".{name}").into(),
                role: Role::Container(name),
                boundary: Some(pod),
            };
            let (key, inputs) = (key.clone(), Inputs::default());
            self.create(place, NodeKind::Container, key, inputs, NodePhase::Pending, String::new());
        }
    }

    /// Ends the containers of a pod as its verdict says.
    pub(super) fn end_containers(&mut self, pod: &Node, verdict: &Verdict) {
        for container in self.open_containers(pod) {
            let Role::Container(name) = &container.role else { continue };
            let Some(end) = verdict.containers.iter().find(|end| *end.name == **name) else { continue };
            let phase = match end.outcome {
                Outcome::Succeeded => NodePhase::Succeeded,
                Outcome::Failed => NodePhase::Failed,
                Outcome::Error | Outcome::Lost => NodePhase::Error,
            };
            self.end_container(container.id, phase, &end.message, end.finished_at);
        }
    }

    /// Containers that nothing is known of share their pod's fate.
    pub(super) fn end_other_containers(&mut self, pod: &Node, phase: NodePhase, message: &str) {
        for container in self.open_containers(pod) {
            self.end_container(container.id, phase, message, self.now);
        }
    }

    fn end_container(&mut self, node: NodeId, phase: NodePhase, message: &str, at: Timestamp) {
        let message = message.to_owned();
        let outputs = Arc::default();
        let (hooks, exit_handler, returned) = (Vec::new(), false, false);
        self.emit(Record::NodeFinished { node, phase, message, outputs, at, exit_handler, hooks, returned });
    }

    fn open_containers(&self, pod: &Node) -> Vec<Arc<Node>> {
        let Body::Pod { containers, .. } = &pod.body else { return Vec::new() };
        let nodes = containers.iter().filter_map(|id| self.state.node(*id));
        nodes.filter(|n| !n.phase.fulfilled()).cloned().collect()
    }
}
