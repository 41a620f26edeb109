//! DAG templates: each task starts when what it depends on is settled.

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_manifest::expr::depends::DependsResult;
use dropforge_manifest::types::Outputs;

use super::calls::Place;
use super::{Decider, NodeKind, NodePhase, Record};
use crate::ids::NodeId;
use crate::program::{Compiled, Graph};
use crate::record::Block;
use crate::resolve::{self, Resolved, Uncallable};
use crate::scope::{Viewer, unreadable_result};
use crate::state::{Body, Node};

impl Decider {
    /// Starts every task that waits for nothing.
    pub(super) fn start_dag(&mut self, dag: NodeId) {
        let Some(compiled) = self.compiled(dag) else { return };
        for &task in compiled.graph.iter().flat_map(|g| &g.order) {
            self.try_task(dag, &compiled, task);
        }
        self.check_dag(dag, &compiled);
    }

    fn compiled(&self, dag: NodeId) -> Option<Arc<Compiled>> {
        self.state.template_of(self.state.node(dag)?).cloned()
    }

    /// Starts the tasks that a limit held back.
    pub(super) fn pump_dag(&mut self, dag: NodeId) {
        let Some(compiled) = self.compiled(dag) else { return };
        let Some(graph) = &compiled.graph else { return };
        let mut place = 0;
        while let Some(next) = self.first_held(dag, place) {
            place = next + 1;
            let held = graph.order.get(next).and_then(|&task| self.try_task(dag, &compiled, task));
            // A config map holds back its own readers only, any other limit all tasks of the DAG.
            if held.is_some_and(|block| block != Block::Config) {
                break;
            }
        }
        let none_left = match self.state.node(dag).map(|n| &n.body) {
            Some(Body::Dag { ready, .. }) => ready.is_empty(),
            _ => false,
        };
        if none_left {
            self.release(dag);
        }
        self.check_dag(dag, &compiled);
    }

    fn first_held(&self, dag: NodeId, from: usize) -> Option<usize> {
        match &self.state.node(dag)?.body {
            Body::Dag { ready, .. } => ready.first_from(from),
            _ => None,
        }
    }

    /// A task is settled: those that wait for it may start.
    pub(super) fn task_settled(&mut self, dag: NodeId, task: &str) {
        let Some(compiled) = self.compiled(dag) else { return };
        let Some((graph, position)) = compiled.graph.as_ref().zip(compiled.task(task)) else {
            return;
        };
        for &dependent in &graph.dependents[position] {
            self.try_task(dag, &compiled, dependent);
        }
        self.check_dag(dag, &compiled);
    }

    /// Starts a task if nothing but a limit is in its way; gives the limit that is.
    fn try_task(&mut self, dag: NodeId, compiled: &Compiled, task: usize) -> Option<Block> {
        let (node, graph) = (self.state.node(dag)?, compiled.graph.as_ref()?);
        let Body::Dag { calls, .. } = &node.body else { return None };
        let waits = graph.dependencies[task].iter().any(|&d| {
            let dependency = calls.get(d).and_then(|id| self.state.node(id));
            // Whoever needs a daemon that starts again waits, and gets its new address.
            !dependency.is_some_and(|n| n.settled() && !n.replaced)
        });
        if calls.get(task).is_some() || waits || node.phase.fulfilled() {
            return None;
        }
        let block = self.start_task(dag, graph, task).err()?;
        let block = self.closed_or(Some(dag), block);
        if let Some(Body::Dag { ready, .. }) = self.state.node(dag).map(|n| &n.body)
            && !graph.place(task).is_some_and(|place| ready.contains(place))
        {
            let task = graph.calls[task].name.to_string();
            self.emit(Record::TaskReady { node: dag, task });
        }
        self.hold(dag, block);
        Some(block)
    }

    fn start_task(&mut self, dag: NodeId, graph: &Graph, task: usize) -> Result<(), Block> {
        let call = &graph.calls[task];
        let place = Place::of(call, dag, Some(dag));
        let key = || Some(call.callee.clone());
        let Some(node) = self.state.node(dag) else { return Ok(()) };
        if !self.depends(node, graph, task) {
            let why = "omitted: depends condition not met".to_owned();
            self.create_ended(place, key(), NodePhase::Omitted, why);
            return Ok(());
        }
        if let Some(why) = self.unreadable_loop_of(node, graph, |other| graph.sees(task, other)) {
            self.create_ended(place, key(), NodePhase::Error, why);
            return Ok(());
        }
        match resolve::call(&self.state, self.now, node, Viewer::Task(task), call) {
            Err(Uncallable::References(why) | Uncallable::Items(why)) => {
                self.create_ended(place, key(), NodePhase::Error, why);
            }
            Ok(Resolved::Skip(why)) => self.create_ended(place, key(), NodePhase::Skipped, why),
            Ok(Resolved::Loop(items)) => self.start_loop(place, NodeKind::TaskGroup, key(), items),
            Ok(Resolved::Once(ready)) => {
                if let Some(block) = self.call_block(&place, &ready) {
                    return Err(block);
                }
                self.start_ready(place, &ready);
            }
        }
        Ok(())
    }

    /// Argo gathers the results of every loop before a task when the task's turn comes, each taken as JSON, whether the
    /// task reads them or not, and those of all loops when the DAG has succeeded (rule O-10).
    fn unreadable_loop_of(
        &self,
        dag: &Node,
        graph: &Graph,
        counts: impl Fn(usize) -> bool,
    ) -> Option<String> {
        let Body::Dag { calls, .. } = &dag.body else { return None };
        let unreadable = |position: usize| {
            let loop_node = self.state.node(calls.get(position)?)?;
            Some((position, unreadable_result(loop_node)?))
        };
        // Few are, so each is looked at before its place in the graph.
        let mut found = graph.gathered.iter().filter_map(|&position| unreadable(position));
        found.find(|(position, _)| counts(*position)).map(|(_, why)| why)
    }

    /// A DAG that has succeeded exports the global outputs of the DAGs among its tasks (Argo's rule D-17).
    fn export_inner_dags(&mut self, dag: NodeId, graph: &Graph) {
        let Some(Body::Dag { calls, .. }) = self.state.node(dag).map(|n| &n.body) else { return };
        let tasks = (0..graph.calls.len()).filter_map(|task| self.state.node(calls.get(task)?));
        let inner = |node: &&Arc<Node>| {
            let template = || self.state.template_of(node);
            !node.outputs.is_empty() && template().is_some_and(|t| t.template.dag.is_some())
        };
        let tasks: Vec<Arc<Node>> = tasks.filter(inner).cloned().collect();
        for task in tasks {
            self.export_outputs(&task, &task.outputs);
        }
    }

    fn depends(&self, dag: &Node, graph: &Graph, task: usize) -> bool {
        let Some(depends) = &graph.depends[task] else { return true };
        let Body::Dag { calls, .. } = &dag.body else { return false };
        depends.evaluate(&|task, result| {
            calls.get(*task).and_then(|id| self.state.node(id)).is_some_and(|node| has_result(node, result))
        })
    }

    fn check_dag(&mut self, dag: NodeId, compiled: &Compiled) {
        let (Some(node), Some(graph)) = (self.state.node(dag), compiled.graph.as_ref()) else {
            return;
        };
        let Body::Dag { settled, hook_error, .. } = &node.body else { return };
        if (*settled as usize) < graph.order.len() || node.phase.fulfilled() {
            return;
        }
        if let Some(why) = hook_error.clone() {
            return self.hand_back(dag, why);
        }
        match self.dag_phase(node, graph) {
            NodePhase::Succeeded => match self.unreadable_loop_of(node, graph, |_| true) {
                Some(why) => self.hand_back(dag, why),
                None => {
                    self.export_inner_dags(dag, graph);
                    self.finish_composite(dag);
                }
            },
            phase => self.finish(dag, phase, "", Outputs::default()),
        }
    }

    /// Argo walks the branches from the roots: a completed task sets its branch's phase, a skipped or omitted one
    /// passes on what reached it; the first target whose branch failed decides, or the last without `failFast` (rules D-11 to D-14).
    fn dag_phase(&self, dag: &Node, graph: &Graph) -> NodePhase {
        let Body::Dag { calls, .. } = &dag.body else { return NodePhase::Error };
        let mut branches: Vec<BTreeSet<NodePhase>> = vec![BTreeSet::new(); graph.calls.len()];
        for &task in &graph.order {
            let node = calls.get(task).and_then(|id| self.state.node(id));
            let phase = node.map_or(NodePhase::Error, |n| n.phase);
            branches[task] = if phase.completed() {
                BTreeSet::from([phase])
            } else if graph.dependencies[task].is_empty() {
                BTreeSet::from([NodePhase::Succeeded])
            } else {
                graph.dependencies[task].iter().flat_map(|&d| branches[d].clone()).collect()
            };
        }
        let fails = |task: &usize| {
            let on = graph.calls[*task].step.continue_on.clone().unwrap_or_default();
            let bad = |phase: &&NodePhase| match phase {
                NodePhase::Failed => !on.failed,
                NodePhase::Error => !on.error,
                _ => false,
            };
            branches[*task].iter().find(bad).copied()
        };
        let compiled = self.state.template_of(dag);
        let dag = compiled.and_then(|compiled| compiled.template.dag.as_ref());
        let fail_fast = dag.and_then(|dag| dag.fail_fast) != Some(false);
        let mut failing = graph.targets.iter().filter_map(fails);
        let decides = if fail_fast { failing.next() } else { failing.next_back() };
        decides.unwrap_or(NodePhase::Succeeded)
    }
}

/// Whether a settled task's node has a result of `depends` (Argo's rule D-5).
fn has_result(node: &Node, result: DependsResult) -> bool {
    let phases = || match &node.body {
        Body::Loop { phases, .. } if node.kind == NodeKind::TaskGroup => Some(phases),
        _ => None,
    };
    match result {
        DependsResult::Succeeded => node.phase == NodePhase::Succeeded,
        DependsResult::Failed => node.phase == NodePhase::Failed,
        DependsResult::Errored => node.phase == NodePhase::Error,
        DependsResult::Skipped => node.phase == NodePhase::Skipped,
        DependsResult::Omitted => node.phase == NodePhase::Omitted,
        DependsResult::Daemoned => node.serves(),
        DependsResult::AnySucceeded => phases().is_some_and(|p| p.iter().any(|b| b == b'S')),
        DependsResult::AllFailed => phases().is_some_and(|p| !p.is_empty() && p.iter().all(|b| b == b'F')),
    }
}
