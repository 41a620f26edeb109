//! Metrics of nodes and of the run.

use std::sync::Arc;

use dropforge_manifest::types::{Metrics, Outputs};

use super::{Decider, NodePhase, Record, Role};
use crate::ids::NodeId;
use crate::metric::{Moment, computed};
use crate::state::Node;

impl Decider {
    /// A node has been created: what can be known of it while it runs.
    pub(super) fn begin_metrics(&mut self, id: NodeId) {
        let node = self.state.node(id).filter(|node| !node.phase.fulfilled());
        let Some((node, metrics)) = node.and_then(|node| Some((node.clone(), self.metrics_of(node)?))) else {
            return;
        };
        self.measure(&metrics, &node, Moment::Begin);
    }

    /// A node ends like this. The attempts of a Retry node are measured by [`Self::attempt_metrics`].
    pub(super) fn end_metrics(&mut self, node: &Node, phase: NodePhase, outputs: &Outputs) {
        if matches!(node.role, Role::Attempt(_)) {
            return;
        }
        let Some(metrics) = self.metrics_of(node) else { return };
        let at = Some(self.now);
        let ended = Node { phase, outputs: Arc::new(outputs.clone()), finished_at: at, ..node.clone() };
        self.measure(&metrics, &ended, Moment::End);
    }

    /// A failed attempt after which there is another one: it counts as well (the last one counts as the Retry node).
    pub(super) fn attempt_metrics(&mut self, attempt: &Node) {
        if let Some(metrics) = self.metrics_of(attempt) {
            self.measure(&metrics, attempt, Moment::End);
        }
    }

    /// The run begins or ends; its values are its entry node's.
    pub(super) fn run_metrics(&mut self, entry: &Node, moment: Moment) {
        let program = self.state.program.clone();
        if let Some(metrics) = &program.spec.spec.metrics {
            self.measure(metrics, entry, moment);
        }
    }

    fn metrics_of(&self, node: &Node) -> Option<Metrics> {
        self.state.template_of(node)?.template.metrics.clone()
    }

    fn measure(&mut self, metrics: &Metrics, node: &Node, moment: Moment) {
        for result in computed(&self.state, self.now, metrics, node, moment) {
            self.emit(match result {
                Ok(metric) => Record::Measured { metric: Box::new(metric) },
                Err(why) => Record::NotMeasured { why },
            });
        }
    }
}
