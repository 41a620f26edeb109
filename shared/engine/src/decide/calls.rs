//! Calls of templates: from arguments to nodes, and from a node's end back to its caller.

use dropforge_manifest::types::{Arguments, Inputs, LifecycleHook, Outputs, Parameter};

use super::{Decider, NodeKind, NodePhase, Record, Role, Work};
use crate::apply::DEPTH_MAX;
use crate::effect::{EffectKey, TimerId, TimerKind};
use crate::ids::NodeId;
use crate::program::Compiled;
use crate::record::{Block, NodeCreated, ShutdownStrategy, TemplateKey};
use crate::resolve;
use crate::scope::Locals;
use crate::state::{Body, Node};

/// Where a new node will hang.
pub(super) struct Place {
    pub parent: Option<NodeId>,
    pub role: Role,
    pub label: String,
    pub boundary: Option<NodeId>,
}

/// Argo's message of a Steps or DAG node that its template's `failFast` ended.
pub(crate) const FAIL_FAST: &str = "template has failed or errored children and failFast enabled";

impl Decider {
    /// A call of a template: makes its node, or the node that says why it can't be made.
    pub(super) fn start_call(
        &mut self,
        place: Place,
        key: TemplateKey,
        arguments: &Arguments,
        absent: &[String],
    ) {
        match self.prepare_call(&place, &key, arguments, absent) {
            Ok((compiled, inputs)) => self.start_template(place, &compiled, inputs),
            Err(why) => {
                let message = match (&place.role, self.parent_kind(&place)) {
                    (Role::Call(name), Some(NodeKind::Dag)) => format!("task '{name}' errored: {why}"),
                    _ => why,
                };
                self.create_ended(place, Some(key), NodePhase::Error, message);
            }
        }
    }

    fn parent_kind(&self, place: &Place) -> Option<NodeKind> {
        place.parent.and_then(|p| self.state.node(p)).map(|n| n.kind)
    }

    fn prepare_call(
        &self,
        place: &Place,
        key: &TemplateKey,
        arguments: &Arguments,
        absent: &[String],
    ) -> Result<(std::sync::Arc<Compiled>, Inputs), String> {
        let compiled = self.state.program.template(key).cloned().ok_or_else(|| not_found(key))?;
        let depth = place.parent.and_then(|p| self.state.node(p)).map_or(0, |n| n.depth);
        if depth >= DEPTH_MAX {
            return Err("Maximum recursion depth exceeded".to_owned());
        }
        let inputs = resolve::inputs(&compiled.template, arguments, absent)?;
        Ok((compiled, inputs))
    }

    fn start_template(&mut self, place: Place, compiled: &std::sync::Arc<Compiled>, inputs: Inputs) {
        let retried = compiled.template.retry_strategy.is_some()
            || self.state.program.spec.spec.retry_strategy.is_some();
        if retried {
            let retry = self.create_running(place, NodeKind::Retry, &compiled.key, inputs);
            self.start_attempt(retry);
        } else {
            self.start_body(place, compiled, inputs, &Locals::default());
        }
    }

    /// The body of a template, without its retry strategy.
    pub(super) fn start_body(&mut self, place: Place, compiled: &Compiled, inputs: Inputs, attempt: &Locals) {
        let template = &compiled.template;
        if template.steps.is_some() {
            let steps = self.create_running(place, NodeKind::Steps, &compiled.key, inputs);
            self.start_group(steps, 0);
        } else if template.dag.is_some() {
            let dag = self.create_running(place, NodeKind::Dag, &compiled.key, inputs);
            self.start_dag(dag);
        } else if template.suspend.is_some() {
            let node = self.create_running(place, NodeKind::Suspend, &compiled.key, inputs);
            self.start_suspend(node, compiled);
        } else if template.main().is_some() {
            let inputs = self.enter_inputs(&place, inputs);
            let key = Some(compiled.key.clone());
            let node = self.create(place, NodeKind::Pod, key, inputs, NodePhase::Pending, String::new());
            self.start_pod(node, attempt);
        } else {
            // `check` refuses such a manifest before a run is born; a stored library may be older than the check.
            let why = format!("template {} has no body that this version can run", compiled.key.name);
            self.create_ended(place, Some(compiled.key.clone()), NodePhase::Error, why);
        }
    }

    fn create_running(&mut self, place: Place, kind: NodeKind, key: &TemplateKey, inputs: Inputs) -> NodeId {
        let at = self.enter_inputs(&place, inputs);
        self.create(place, kind, Some(key.clone()), at, NodePhase::Running, String::new())
    }

    /// Input values may hold tags of globals, which are replaced when the template starts.
    fn enter_inputs(&self, place: &Place, inputs: Inputs) -> Inputs {
        let near = place.parent.or(place.boundary).unwrap_or(NodeId(self.state.next_node));
        let locals = Locals::default();
        resolve::entered_inputs(&self.state, self.now, near, &inputs, &locals).unwrap_or(inputs)
    }

    /// Makes a node and counts it with its parent.
    pub(super) fn create(
        &mut self,
        place: Place,
        kind: NodeKind,
        template: Option<TemplateKey>,
        inputs: Inputs,
        phase: NodePhase,
        message: String,
    ) -> NodeId {
        self.create_with(place, kind, template, inputs, phase, message, None)
    }

    /// As [`Self::create`], with a loop's items.
    #[expect(clippy::too_many_arguments, reason = "these are the fields of one record, given once each")]
    pub(super) fn create_with(
        &mut self,
        place: Place,
        kind: NodeKind,
        template: Option<TemplateKey>,
        inputs: Inputs,
        phase: NodePhase,
        message: String,
        items: Option<std::sync::Arc<crate::record::LoopItems>>,
    ) -> NodeId {
        let id = NodeId(self.state.next_node);
        let Place { parent, role, label, boundary } = place;
        let settled = phase.fulfilled().then(|| Work::ChildSettled { parent, role: role.clone() });
        let at = self.now;
        let created = NodeCreated {
            id,
            parent,
            role,
            label,
            kind,
            boundary,
            template,
            inputs,
            items,
            phase,
            message,
            at,
        };
        self.emit(Record::NodeCreated(Box::new(created)));
        self.work.extend(settled);
        id
    }

    /// A node that never ran: skipped, omitted, or in error before anything could start.
    pub(super) fn create_ended(
        &mut self,
        place: Place,
        key: Option<TemplateKey>,
        phase: NodePhase,
        message: String,
    ) {
        self.create(place, NodeKind::Skipped, key, Inputs::default(), phase, message);
    }

    /// Ends a node: exports its global outputs, starts its exit handler or lets its parent go on.
    pub(super) fn finish(
        &mut self,
        id: NodeId,
        phase: NodePhase,
        message: impl Into<String>,
        outputs: Outputs,
    ) {
        let Some(node) = self.state.node(id).cloned() else { return };
        if node.phase.fulfilled() {
            return;
        }
        self.end_timers(id);
        self.export(&node, phase, &outputs);
        let hook = self.exit_hook(&node, phase);
        let (at, exit_handler) = (self.now, hook.is_some());
        self.emit(Record::NodeFinished {
            node: id,
            phase,
            message: message.into(),
            outputs,
            at,
            exit_handler,
        });
        match hook {
            Some((owner, hook)) => self.start_exit_handler(id, owner, &hook),
            None => self.work.push_back(Work::ChildSettled { parent: node.parent, role: node.role.clone() }),
        }
        if let Some(boundary) = node.boundary {
            self.work.push_back(Work::WakeBoundary(boundary));
        }
        if node.kind == NodeKind::Pod {
            self.work.push_back(Work::WakeRun);
        }
    }

    /// Global outputs are exported by pods, suspends and steps; a DAG does not export its own (Argo's rule D-17).
    fn export(&mut self, node: &Node, phase: NodePhase, outputs: &Outputs) {
        if !matches!(node.kind, NodeKind::Pod | NodeKind::Steps | NodeKind::Suspend)
            || phase == NodePhase::Skipped
        {
            return;
        }
        let Some(compiled) = self.state.template_of(node).cloned() else { return };
        for declared in &compiled.template.outputs.parameters {
            let given =
                outputs.parameters.iter().find(|p| p.name == declared.name).and_then(|p| p.value.clone());
            if let (Some(name), Some(value)) = (&declared.global_name, given) {
                let parameter = Parameter { name: name.clone(), value: Some(value), ..Parameter::default() };
                self.emit(Record::GlobalParameter { parameter: Box::new(parameter) });
            }
        }
        for declared in &compiled.template.outputs.artifacts {
            let given = outputs.artifacts.iter().find(|a| a.name == declared.name);
            if let (Some(name), Some(given)) = (&declared.global_name, given) {
                let artifact = dropforge_manifest::types::Artifact {
                    name: name.clone(),
                    path: None,
                    global_name: None,
                    ..given.clone()
                };
                self.emit(Record::GlobalArtifact { artifact: Box::new(artifact) });
            }
        }
    }

    /// The exit handler that a call's node has to run now, with the composite that made the call.
    fn exit_hook(&self, node: &Node, phase: NodePhase) -> Option<(NodeId, LifecycleHook)> {
        let terminated = matches!(self.state.shutdown, Some((ShutdownStrategy::Terminate, _)));
        let looped = matches!(node.kind, NodeKind::Loop | NodeKind::TaskGroup | NodeKind::StepGroup);
        if !phase.completed() || terminated || looped || !matches!(node.role, Role::Call(_) | Role::Item(_)) {
            return None;
        }
        let (owner, name) = self.state.caller(node.id)?;
        let compiled = self.state.template_of(self.state.node(owner)?)?;
        Some((owner, compiled.call(&name)?.step.exit_hook()?))
    }

    fn start_exit_handler(&mut self, id: NodeId, owner: NodeId, hook: &LifecycleHook) {
        let (Some(node), Some(composite)) = (self.state.node(id).cloned(), self.state.node(owner).cloned())
        else {
            return;
        };
        let wanted = hook
            .expression
            .as_ref()
            .map(|e| resolve::hook_expression(&self.state, self.now, &composite, id, e));
        if wanted == Some(Ok(false)) {
            self.emit(Record::HookPassed { node: id });
            return self.work.push_back(Work::ChildSettled { parent: node.parent, role: node.role.clone() });
        }
        let place = Place {
            parent: Some(id),
            role: Role::Exit,
            label: ".onExit".to_owned(),
            boundary: node.boundary,
        };
        let scope = composite.template.as_ref().map(|t| t.scope.clone()).unwrap_or_default();
        let key = self.state.program.resolve(&scope, &hook.template, hook.template_ref.as_ref());
        let arguments = match wanted {
            Some(Err(why)) => Err(why),
            _ => resolve::hook_arguments(&self.state, self.now, &composite, id, &hook.arguments),
        };
        match arguments {
            Ok((arguments, absent)) => self.start_call(place, key, &arguments, &absent),
            Err(why) => self.create_ended(place, Some(key), NodePhase::Error, why),
        }
    }

    fn end_timers(&mut self, node: NodeId) {
        for kind in [TimerKind::Timeout, TimerKind::Backoff, TimerKind::Suspend] {
            let from = EffectKey::Timer(TimerId { kind, node: Some(node), generation: 0 });
            let to = EffectKey::Timer(TimerId { kind, node: Some(node), generation: u32::MAX });
            let set: Vec<TimerId> = self
                .state
                .outbox
                .range(from..=to)
                .filter_map(|(key, _)| match key {
                    EffectKey::Timer(timer) => Some(timer.clone()),
                    _ => None,
                })
                .collect();
            for timer in set {
                self.emit(Record::TimerEnded { timer });
            }
        }
    }

    /// Whether a limit of the whole run allows nothing more to start.
    pub(super) fn run_is_full(&self) -> bool {
        self.run_block().is_some()
    }

    fn run_block(&self) -> Option<Block> {
        if self.state.suspended {
            return Some(Block::Suspended);
        }
        if self.starts >= self.state.program.spec.settings.starts_per_decision_max {
            return Some(Block::Admission);
        }
        let limit = self.state.program.spec.spec.parallelism.filter(|p| *p > 0)?;
        (i64::from(self.state.active_pods) >= limit).then_some(Block::WorkflowParallelism)
    }

    /// What holds back a child of `boundary` that could start otherwise.
    pub(super) fn block(&self, boundary: Option<NodeId>) -> Option<Block> {
        if let Some(block) = self.run_block() {
            return Some(block);
        }
        let node = self.state.node(boundary?)?;
        let (Body::Steps { bound, .. } | Body::Dag { bound, .. }) = &node.body else { return None };
        let template = &self.state.template_of(node)?.template;
        if template.fail_fast == Some(true) && bound.failed {
            return Some(Block::TemplateParallelism);
        }
        let limit = template.parallelism.filter(|p| *p > 0)?;
        (i64::from(bound.active) >= limit).then_some(Block::TemplateParallelism)
    }

    /// Keeps it on record that a node has more to start and may not.
    pub(super) fn hold(&mut self, node: NodeId, by: Block) {
        if self.state.node(node).is_some_and(|n| n.blocked != Some(by)) {
            self.emit(Record::Blocked { node, by });
        }
    }

    /// A node has started all it had to.
    pub(super) fn release(&mut self, node: NodeId) {
        if self.state.node(node).is_some_and(|n| n.blocked.is_some()) {
            self.emit(Record::Unblocked { node });
        }
    }

    /// A child of this boundary ended.
    pub(super) fn wake_boundary(&mut self, boundary: NodeId) {
        let Some(node) = self.state.node(boundary).cloned() else { return };
        let (Body::Steps { bound, .. } | Body::Dag { bound, .. }) = &node.body else { return };
        if bound.blocked.is_empty() {
            return;
        }
        let fail_fast = self.state.template_of(&node).is_some_and(|t| t.template.fail_fast == Some(true));
        if fail_fast && bound.failed {
            if bound.active == 0 {
                self.fail_fast(boundary);
            }
            return;
        }
        for held in bound.blocked.iter().copied().collect::<Vec<_>>() {
            match self.block(Some(boundary)) {
                None => self.pump(held),
                Some(Block::TemplateParallelism) => return,
                // The template has room and the run has not: from here on the run holds it back, and wakes it.
                Some(run) => self.hold(held, run),
            }
        }
    }

    /// `failFast` of a template: a child failed, none is active, and there was more to start.
    pub(super) fn fail_fast(&mut self, boundary: NodeId) {
        let Some(node) = self.state.node(boundary).cloned() else { return };
        if let Body::Steps { groups, .. } = &node.body
            && let Some(group) = groups.last().copied()
        {
            self.finish(group, NodePhase::Failed, FAIL_FAST, Outputs::default());
        }
        self.finish(boundary, NodePhase::Failed, FAIL_FAST, Outputs::default());
    }
}

fn not_found(key: &TemplateKey) -> String {
    match key.scope.strip_prefix("namespaced/") {
        Some(object) => format!("template reference {object}.{} not found", key.name),
        None => format!("template name '{}' undefined", key.name),
    }
}
