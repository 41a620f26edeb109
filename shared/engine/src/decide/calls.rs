//! Calls of templates: from arguments to nodes, and from a node's end back to its caller.

use std::sync::Arc;

use dropforge_manifest::types::{Arguments, Holder, Inputs, Outputs, Parameter, Template};
use jiff::SignedDuration;

use super::names::with_one_node_each;
use super::{Decider, NodeKind, NodePhase, Record, Role, Work};
use crate::apply::DEPTH_MAX;
use crate::effect::{Effect, EffectKey, TimerId, TimerKind};
use crate::ids::NodeId;
use crate::memo::Memo;
use crate::program::{Call, Compiled};
use crate::record::{Block, LoopItems, NodeCreated, TemplateKey};
use crate::resolve::{self, Ready};
use crate::scope::Locals;
use crate::state::{Body, Node, given};

/// Where a new node will hang.
pub(super) struct Place {
    pub parent: Option<NodeId>,
    pub role: Role,
    pub label: Arc<str>,
    pub boundary: Option<NodeId>,
}

impl Place {
    /// The place of a step or task under its group or DAG.
    pub fn of(call: &Call, parent: NodeId, boundary: Option<NodeId>) -> Place {
        Place {
            parent: Some(parent),
            role: Role::Call(call.name.clone()),
            label: call.label.clone(),
            boundary,
        }
    }
}

/// What only some nodes have.
#[derive(Default)]
pub(super) struct More {
    /// A template of its own.
    pub own: Option<Arc<Template>>,
    /// A loop's items.
    pub items: Option<Arc<LoopItems>>,
}

/// How a node ends.
pub(super) struct End {
    pub phase: NodePhase,
    pub message: String,
    pub outputs: Outputs,
    /// Whether its hooks and its exit handler follow.
    pub looked_at: bool,
    /// Whether its caller is handed the error.
    pub returned: bool,
}

impl End {
    /// An end without outputs that hooks and an exit handler follow.
    pub fn seen(phase: NodePhase, message: impl Into<String>) -> End {
        let (message, outputs) = (message.into(), Outputs::default());
        End { phase, message, outputs, looked_at: true, returned: false }
    }

    /// An end without outputs that nothing follows.
    pub fn unseen(phase: NodePhase, message: impl Into<String>) -> End {
        End { looked_at: false, ..End::seen(phase, message) }
    }
}

/// A call whose template and inputs are known.
struct Prepared {
    compiled: Arc<Compiled>,
    inputs: Inputs,
    /// The entry to look at before it starts, if the template is memoized.
    memo: Option<Memo>,
}

/// So long whoever starts what was decided last is waited for: by then it has died.
const STARTING_MAX: SignedDuration = SignedDuration::from_mins(1);

/// Argo's words for templates that call each other too deeply. To a DAG this is no error of the task.
const TOO_DEEP: &str = "Maximum recursion depth exceeded. See \
                        https://argo-workflows.readthedocs.io/en/release-4.1/scaling/#maximum-recursion-depth";

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
        self.start_own(place, key, None, arguments, absent);
    }

    /// As [`Self::start_call`], of a template that may be this call's alone.
    pub(super) fn start_own(
        &mut self,
        place: Place,
        key: TemplateKey,
        own: Option<&Template>,
        arguments: &Arguments,
        absent: &[String],
    ) {
        match self.prepare_call(&place, &key, own, arguments, absent) {
            Ok(Prepared { compiled, inputs, memo }) => self.start_template(place, &compiled, inputs, memo),
            Err(why) => self.create_unmade(place, key, why),
        }
    }

    /// The node of a call that can't be made.
    fn create_unmade(&mut self, place: Place, key: TemplateKey, why: String) {
        let message =
            if why == TOO_DEEP { why } else { self.handed(place.parent, &place.role, &place.label, why) };
        self.create_ended(place, Some(key), NodePhase::Error, message);
    }

    fn prepare_call(
        &self,
        place: &Place,
        key: &TemplateKey,
        own: Option<&Template>,
        arguments: &Arguments,
        absent: &[String],
    ) -> Result<Prepared, String> {
        let compiled = self.template(key, own)?;
        let depth = place.parent.and_then(|p| self.state.node(p)).map_or(0, |n| n.depth);
        if depth + 1 >= DEPTH_MAX {
            return Err(TOO_DEEP.to_owned());
        }
        let made_max = self.state.program.spec.settings.nodes_per_decision_max;
        if self.made >= made_max {
            return Err(format!(
                "one event would begin more than {made_max} nodes: end the recursion with a `when`, or bound what runs \
                 at once with `parallelism`"
            ));
        }
        let config = |reference: &_| resolve::config(&self.state, reference);
        let inputs = resolve::inputs(&compiled.template, arguments, absent, &config)?;
        let near = self.near(place);
        let memo = self.memo_of(near, &compiled, &inputs)?;
        Ok(Prepared { compiled, inputs, memo })
    }

    /// The compiled template of a key, or one call's own in its place.
    fn template(&self, key: &TemplateKey, own: Option<&Template>) -> Result<Arc<Compiled>, String> {
        let known = self.state.program.template(key);
        match own.filter(|own| known.is_none_or(|known| *known.template != **own)) {
            Some(own) => Compiled::new(key.clone(), own).map(Arc::new).map_err(|why| why.to_string()),
            None => known.cloned().ok_or_else(|| self.not_found(key)),
        }
    }

    /// Argo's words for a template that is not there.
    fn not_found(&self, key: &TemplateKey) -> String {
        match Holder::of_scope(&key.scope) {
            None => format!("template {} not found", key.name),
            Some(object) if self.state.program.holds(&key.scope) => {
                format!("template {} not found in workflow template {}", key.name, object.name)
            }
            Some(object) => format!("workflow template {} not found", object.name),
        }
    }

    /// A template that the program does not hold goes on record with its node.
    fn own(&self, compiled: &Arc<Compiled>) -> Option<Arc<Template>> {
        let known = self.state.program.template(&compiled.key);
        let own = known.is_none_or(|known| !Arc::ptr_eq(known, compiled));
        own.then(|| compiled.template.clone())
    }

    fn start_template(&mut self, place: Place, compiled: &Arc<Compiled>, inputs: Inputs, memo: Option<Memo>) {
        let retried = compiled.template.retry_strategy.is_some()
            || self.state.program.spec.spec.retry_strategy.is_some();
        let kind = if retried { Some(NodeKind::Retry) } else { body_kind(&compiled.template) };
        let locked = compiled.template.synchronization.as_ref().is_some_and(|block| !block.is_empty());
        let waits = locked || memo.is_some();
        let Some(node) = self.create_body(place, kind, compiled, inputs, waits) else { return };
        if locked {
            return self.take_locks(node, compiled);
        }
        match memo {
            Some(memo) => self.emit(Record::MemoAsked { node, memo }),
            None => self.enter_body(node, compiled, &Locals::default()),
        }
    }

    /// The body of a template, without its retry strategy.
    pub(super) fn start_body(
        &mut self,
        place: Place,
        compiled: &Arc<Compiled>,
        inputs: Inputs,
        attempt: &Locals,
    ) {
        let kind = body_kind(&compiled.template);
        let compiled = match self.tried(&place, kind, compiled, &inputs, attempt) {
            Ok(compiled) => compiled,
            Err(why) => {
                return self.create_unmade(place, compiled.key.clone(), why);
            }
        };
        if let Some(node) = self.create_body(place, kind, &compiled, inputs, false) {
            self.enter_body(node, &compiled, attempt);
        }
    }

    /// What only an attempt knows has its value in the whole body before the first of its calls starts.
    fn tried(
        &self,
        place: &Place,
        kind: Option<NodeKind>,
        compiled: &Arc<Compiled>,
        inputs: &Inputs,
        attempt: &Locals,
    ) -> Result<Arc<Compiled>, String> {
        if !matches!(kind, Some(NodeKind::Steps | NodeKind::Dag)) {
            return Ok(compiled.clone());
        }
        match resolve::tried(&self.state, self.now, self.near(place), compiled, inputs, attempt)? {
            Some(own) => with_one_node_each(&compiled.key, own),
            None => Ok(compiled.clone()),
        }
    }

    /// The node of a template's body. What waits before it begins is pending, as a leaf is.
    fn create_body(
        &mut self,
        place: Place,
        kind: Option<NodeKind>,
        compiled: &Arc<Compiled>,
        inputs: Inputs,
        waits: bool,
    ) -> Option<NodeId> {
        let Some(kind) = kind else {
            // `check` refuses such a manifest before a run is born; a stored library may be older than the check.
            let why = format!("template {} has no body that this version can run", compiled.key.name);
            self.create_unmade(place, compiled.key.clone(), why);
            return None;
        };
        let targeted = match kind {
            NodeKind::Dag => self.with_targets(&place, compiled, &inputs),
            NodeKind::Steps => self.with_names(&place, compiled, &inputs),
            _ => Ok(compiled.clone()),
        };
        let pending = waits || matches!(kind, NodeKind::Pod | NodeKind::Http);
        let phase = if pending { NodePhase::Pending } else { NodePhase::Running };
        match targeted {
            Ok(compiled) => Some(self.create_called(place, kind, &compiled, inputs, phase)),
            Err(why) => {
                self.create_unmade(place, compiled.key.clone(), why);
                None
            }
        }
    }

    /// Begins what a node is there for.
    pub(super) fn enter_body(&mut self, node: NodeId, compiled: &Compiled, attempt: &Locals) {
        match self.state.node(node).map(|n| n.kind) {
            Some(NodeKind::Retry) => self.make_attempt(node),
            Some(NodeKind::Steps) => self.start_group(node, 0),
            Some(NodeKind::Dag) => self.start_dag(node),
            Some(NodeKind::Suspend) => self.start_suspend(node, compiled),
            Some(NodeKind::Pod | NodeKind::Http) => self.start_leaf(node, attempt),
            Some(
                NodeKind::StepGroup
                | NodeKind::TaskGroup
                | NodeKind::Loop
                | NodeKind::Skipped
                | NodeKind::Container,
            )
            | None => {}
        }
    }

    /// Makes the node of a call.
    pub(super) fn create_called(
        &mut self,
        place: Place,
        kind: NodeKind,
        compiled: &Arc<Compiled>,
        inputs: Inputs,
        phase: NodePhase,
    ) -> NodeId {
        let inputs = self.enter_inputs(&place, inputs);
        let retry = place.parent.filter(|_| matches!(place.role, Role::Attempt(_)));
        let of_retry = retry.and_then(|retry| self.state.template_of(self.state.node(retry)?));
        let inherits = of_retry.is_some_and(|of_retry| Arc::ptr_eq(of_retry, compiled));
        let own = if inherits { None } else { self.own(compiled) };
        let more = More { own, ..More::default() };
        self.create_with(place, kind, Some(compiled.key.clone()), inputs, phase, String::new(), more)
    }

    /// A node that exists and from which a new one's random numbers are counted.
    pub(super) fn near(&self, place: &Place) -> NodeId {
        place.parent.or(place.boundary).unwrap_or(NodeId(self.state.next_node))
    }

    /// Input values may hold tags of globals, which are replaced when the template starts.
    pub(super) fn enter_inputs(&self, place: &Place, inputs: Inputs) -> Inputs {
        let near = self.near(place);
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
        self.create_with(place, kind, template, inputs, phase, message, More::default())
    }

    /// As [`Self::create`], with what only some nodes have.
    #[expect(clippy::too_many_arguments, reason = "these are the fields of one record, given once each")]
    pub(super) fn create_with(
        &mut self,
        place: Place,
        kind: NodeKind,
        template: Option<TemplateKey>,
        inputs: Inputs,
        phase: NodePhase,
        message: String,
        more: More,
    ) -> NodeId {
        let id = NodeId(self.state.next_node);
        self.made += u32::from(!phase.fulfilled());
        let Place { parent, role, label, boundary } = place;
        let settled = phase.fulfilled().then(|| self.settled(parent, &role));
        let at = self.now;
        let mut created = NodeCreated {
            id,
            parent,
            role,
            label,
            kind,
            boundary,
            template,
            own: more.own,
            inputs: given::inputs(inputs),
            items: more.items,
            phase,
            message,
            hooks: Vec::new(),
            at,
        };
        let fired = self.firing_when_passed_over(&created);
        created.hooks = fired.iter().map(|f| f.name().to_owned()).collect();
        self.emit(Record::NodeCreated(Box::new(created)));
        match settled {
            Some(settled) => self.after_end(id, fired, settled),
            None => self.hooks_read(id),
        }
        self.begin_metrics(id);
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
        self.end(id, End { outputs, ..End::seen(phase, message) });
    }

    /// Ends a node by an error that its caller is handed, as Argo's controller does.
    pub(super) fn hand_back(&mut self, id: NodeId, why: impl Into<String>) {
        let Some(node) = self.state.node(id) else { return };
        let message = self.handed(node.parent, &node.role, &node.label, why.into());
        self.end(id, End { returned: true, ..End::seen(NodePhase::Error, message) });
    }

    /// An error as the caller of what stands there notes it: a DAG names its task.
    fn handed(&self, parent: Option<NodeId>, role: &Role, label: &str, why: String) -> String {
        let called = matches!(role, Role::Call(_) | Role::Item(_));
        match parent.and_then(|p| self.state.node(p)).filter(|_| called) {
            Some(parent) if matches!(parent.kind, NodeKind::Dag | NodeKind::TaskGroup) => {
                format!("task '{}{label}' errored: {why}", self.state.name(parent.id))
            }
            _ => why,
        }
    }

    pub(super) fn end(&mut self, id: NodeId, end: End) {
        if let Some(node) = self.state.node(id).filter(|n| !n.phase.fulfilled()).cloned() {
            self.conclude(node, end);
        }
    }

    /// Ends a node with what hangs on it; its hooks and its exit handler follow if it is looked at, or its parent goes on.
    pub(super) fn conclude(&mut self, node: Arc<Node>, end: End) {
        let End { phase, message, outputs, looked_at, returned } = end;
        let id = node.id;
        self.end_timers(&node);
        self.export(&node, phase, &outputs);
        self.end_metrics(&node, phase, &outputs);
        match node.kind {
            NodeKind::Pod => self.end_other_containers(&node, phase, &message),
            NodeKind::Steps | NodeKind::Dag => self.end_daemons(Some(id)),
            _ => {}
        }
        let over = node.parent.and_then(|p| self.state.node(p)).is_none_or(|p| p.phase.fulfilled());
        // Nobody looks at a daemon any more whose group is over.
        let looked_at = looked_at && !(node.daemoned && over);
        let at = self.now;
        let fired = if looked_at { self.firing_at_end(&node, phase, &message, &outputs) } else { Vec::new() };
        let hooks = fired.iter().map(|f| f.name().to_owned()).collect();
        let exit_handler = looked_at && self.has_exit_handler(&node, phase);
        let settled = self.settled(node.parent, &node.role);
        let readers = self.sibling_readers(&node);
        let (boundary, kind) = (node.boundary, node.kind);
        // What is held elsewhere is copied before it is changed.
        drop(node);
        let outputs = given::outputs(outputs);
        let ended =
            Record::NodeFinished { node: id, phase, message, outputs, at, exit_handler, hooks, returned };
        self.emit(ended);
        self.after_end(id, fired, settled);
        self.work.extend(readers);
        self.release_locks(Some(id));
        if let Some(boundary) = boundary {
            self.work.push_back(Work::WakeBoundary(boundary));
        }
        if kind == NodeKind::Pod {
            self.work.push_back(Work::WakeRun);
        }
    }

    /// Global outputs are exported by pods, suspends and steps; a DAG's by the DAG around it (Argo's rule D-17).
    fn export(&mut self, node: &Node, phase: NodePhase, outputs: &Outputs) {
        if !matches!(node.kind, NodeKind::Pod | NodeKind::Http | NodeKind::Steps | NodeKind::Suspend)
            || phase == NodePhase::Skipped
        {
            return;
        }
        self.export_outputs(node, outputs);
    }

    pub(super) fn export_outputs(&mut self, node: &Node, outputs: &Outputs) {
        let Some(compiled) = self.state.template_of(node).cloned() else { return };
        for declared in &compiled.template.outputs.parameters {
            let given =
                outputs.parameters.iter().find(|p| p.name == declared.name).and_then(|p| p.value.clone());
            if let (Some(name), Some(value)) = (self.global_name(node, &declared.global_name), given) {
                let parameter = Parameter { name: name.clone(), value: Some(value), ..Parameter::default() };
                self.emit(Record::GlobalParameter { parameter: Box::new(parameter) });
            }
        }
        for declared in &compiled.template.outputs.artifacts {
            let called = self.global_name(node, &Some(declared.name.clone()));
            let given = outputs.artifacts.iter().find(|a| called.as_deref() == Some(a.name.as_str()));
            if let (Some(name), Some(given)) = (self.global_name(node, &declared.global_name), given) {
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

    /// A global name may hold tags of globals and of the node's inputs.
    fn global_name(&self, node: &Node, declared: &Option<String>) -> Option<String> {
        let name = declared.as_ref()?;
        let resolved = resolve::own_text(&self.state, self.now, node.id, &node.inputs, name);
        Some(resolved.unwrap_or_else(|_| name.clone()))
    }

    /// Ends the timers of a node, as far as its kind and its template have any.
    fn end_timers(&mut self, node: &Node) {
        let kinds: &[TimerKind] = match node.kind {
            NodeKind::Retry => &[TimerKind::Backoff],
            NodeKind::Suspend => &[TimerKind::Suspend],
            _ if self.has_timeout(node) => &[TimerKind::Timeout, TimerKind::PendingTimeout],
            _ => &[],
        };
        self.end_timers_of(node.id, kinds);
    }

    fn has_timeout(&self, node: &Node) -> bool {
        let template = self.state.template_of(node).map(|t| &t.template);
        template.is_some_and(|t| t.timeout.is_some() || t.pending_timeout.is_some())
    }

    pub(super) fn end_timers_of(&mut self, node: NodeId, kinds: &[TimerKind]) {
        for &kind in kinds {
            for timer in self.timers_of(node, kind) {
                self.emit(Record::TimerEnded { timer });
            }
        }
    }

    /// The timers of one kind that are set for a node.
    pub(super) fn timers_of(&self, node: NodeId, kind: TimerKind) -> Vec<TimerId> {
        let at = |generation| EffectKey::Timer(TimerId { kind, node: Some(node), generation });
        let set = self.state.outbox.range(at(0)..=at(u32::MAX));
        set.filter_map(|key| match key {
            EffectKey::Timer(timer) => Some(timer.clone()),
            _ => None,
        })
        .collect()
    }

    /// Whether a limit of the whole run allows nothing more to start.
    pub(super) fn run_is_full(&self) -> bool {
        self.run_block().is_some()
    }

    pub(super) fn run_block(&self) -> Option<Block> {
        if self.state.suspended {
            return Some(Block::Suspended);
        }
        if self.starts >= self.state.program.spec.settings.starts_per_decision_max || self.is_starting() {
            return Some(Block::Admission);
        }
        let limit = self.state.program.spec.open_pods_max();
        (i64::from(self.state.active_pods) >= limit).then_some(Block::WorkflowParallelism)
    }

    /// Whether what was decided last is still being started: who starts it rings for more then. If each event that comes
    /// meanwhile started as much again, many would wait for the pace of one cluster side by side.
    fn is_starting(&self) -> bool {
        let at =
            |generation| EffectKey::Timer(TimerId { kind: TimerKind::Admission, node: None, generation });
        let mut armed = self.state.outbox.range(at(0)..=at(u32::MAX));
        let timer = armed.next().and_then(|key| self.state.outbox.get(key));
        matches!(timer.map(|timer| &**timer), Some(Effect::SetTimer { due, .. }) if self.now.duration_since(*due) < STARTING_MAX)
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

    /// What holds back the call at this place.
    pub(super) fn call_block(&mut self, place: &Place, ready: &Ready) -> Option<Block> {
        if let Some(block) = self.block(place.boundary) {
            return Some(block);
        }
        let own = self.own_template(place, &ready.step);
        self.lacks_config(&ready.key, own, &ready.step.arguments).then_some(Block::Config)
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
            if self.active_but_daemons(boundary, bound.active) == 0 {
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

fn body_kind(template: &Template) -> Option<NodeKind> {
    if template.steps.is_some() {
        Some(NodeKind::Steps)
    } else if template.dag.is_some() {
        Some(NodeKind::Dag)
    } else if template.suspend.is_some() {
        Some(NodeKind::Suspend)
    } else if template.is_pod() {
        Some(NodeKind::Pod)
    } else {
        template.http.is_some().then_some(NodeKind::Http)
    }
}
