//! Argo's Workflow object with its `status`, folded from the records when somebody asks for it.
//!
//! The state forgets what is finished; the view forgets nothing. Children form a graph, as in Argo: a later step
//! group hangs under the last nodes of the one before, a task under the last nodes of what it depends on.

mod graph;
mod locks;
mod streamed;
mod wide;

pub(crate) use graph::Graph;
pub use streamed::Streamed;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use dropforge_manifest::types::{Artifact, Holder, Inputs, Outputs, Parameter, TemplateRef};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::apply::apply;
use crate::attempt::{Attempt, Progress, Verdict};
use crate::decide::FAIL_FAST;
use crate::ids::{AttemptId, NodeId, argo_node_id};
use crate::lock::LockWait;
use crate::memo::{Memo, MemoKey};
use crate::phase::{NodePhase, NodeType, RunPhase};
use crate::program::{Compiled, LOCAL, Program};
use crate::record::{NodeCreated, NodeKind, Record, Role, RunRetried, TemplateKey};
use crate::resources::{self, ResourcesDuration};
use crate::scope::whole_seconds;
use crate::selector::{Fields, Selector};
use crate::state::{RunState, display_name};

/// Everything that the records say of a run.
pub struct View {
    program: Arc<Program>,
    /// The state that the records fold to.
    pub state: RunState,
    /// Nodes by number.
    pub nodes: BTreeMap<NodeId, ViewNode>,
    attempts: HashMap<AttemptId, NodeId>,
    /// Attempts of leaves that a retry of the run removed, by the leaf's name, until it is made again.
    past: HashMap<String, Vec<ViewAttempt>>,
    /// Items of loops that are over since [`View::fold_ended`] was last called; none where it is not to be.
    ended: Option<Vec<NodeId>>,
    /// Nodes that are not to be shown; what is said of the others counts them all the same.
    hidden: HashSet<NodeId>,
}

/// A node with all that happened to it.
#[derive(Clone, Debug)]
pub struct ViewNode {
    /// Its number.
    pub id: NodeId,
    /// The node it hangs under in the state.
    pub parent: Option<NodeId>,
    /// How it hangs there.
    pub role: Role,
    /// Its full name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The nearest enclosing Steps or DAG node.
    pub boundary: Option<NodeId>,
    /// The template it runs.
    pub template: Option<TemplateKey>,
    /// That template, where it is this node's alone.
    own: Option<Arc<Compiled>>,
    /// Its inputs.
    pub inputs: Inputs,
    /// Its outputs.
    pub outputs: Outputs,
    /// Its phase.
    pub phase: NodePhase,
    /// Its message.
    pub message: String,
    /// When it was created.
    pub started_at: Timestamp,
    /// When it was fulfilled.
    pub finished_at: Option<Timestamp>,
    /// Its attempts, oldest first.
    pub attempts: Vec<ViewAttempt>,
    /// Where it ran, where known.
    pub host: Option<String>,
    /// Its entry in a cache, if it is memoized.
    pub memo: Option<Memo>,
    /// The node that gave the entry which was found, and when.
    pub memo_from: Option<(String, Timestamp)>,
    /// What its own attempts held of the cluster's resources.
    pub resources: ResourcesDuration,
    /// How far a leaf says it is.
    pub progress: Progress,
    /// Whether it is a daemon that its caller counts as done while it runs.
    pub daemoned: bool,
    /// A daemon's address.
    pub ip: Option<String>,
    /// How many of a loop's items are over and folded: nothing else is known of them.
    pub folded: usize,
    children: Vec<NodeId>,
}

/// An attempt with its end, if it has one.
#[derive(Clone, Debug)]
pub struct ViewAttempt {
    /// The attempt.
    pub attempt: Arc<Attempt>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When its command started.
    pub running_at: Option<Timestamp>,
    /// How it ended.
    pub verdict: Option<Arc<Verdict>>,
}

impl ViewNode {
    fn ended(&mut self, verdict: &Arc<Verdict>) {
        self.progress = verdict.progress.unwrap_or(self.progress);
        if let Some(own) = self.attempts.iter_mut().find(|a| a.attempt.id == verdict.attempt) {
            own.verdict = Some(verdict.clone());
            resources::add(&mut self.resources, &resources::duration(&own.attempt.work, verdict));
        }
    }

    fn counted(&self) -> Progress {
        if self.phase == NodePhase::Succeeded { self.progress.complete() } else { self.progress }
    }
}

impl View {
    /// Folds a run's records.
    pub fn fold<'a>(program: Arc<Program>, records: impl IntoIterator<Item = &'a Record>) -> View {
        let mut view = View {
            state: RunState::new(program.clone()),
            program,
            nodes: BTreeMap::new(),
            attempts: HashMap::new(),
            past: HashMap::new(),
            ended: None,
            hidden: HashSet::new(),
        };
        for record in records {
            view.add(record);
        }
        view
    }

    /// Folds one more record.
    pub fn add(&mut self, record: &Record) {
        apply(&mut self.state, record);
        match record {
            Record::NodeCreated(created) => self.created(created),
            Record::AttemptStarted { attempt, at } => {
                self.attempts.insert(attempt.id.clone(), attempt.node);
                self.containers_are(attempt.node, NodePhase::Pending);
                if let Some(node) = self.nodes.get_mut(&attempt.node) {
                    node.phase = NodePhase::Pending;
                    let asked = ViewAttempt {
                        attempt: attempt.clone(),
                        asked_at: *at,
                        running_at: None,
                        verdict: None,
                    };
                    node.attempts.push(asked);
                }
            }
            Record::AttemptRunning { attempt, at, host } => {
                if let Some(id) = self.attempts.get(attempt) {
                    self.containers_are(*id, NodePhase::Running);
                }
                if let Some(node) = self.node_of(attempt) {
                    node.phase = NodePhase::Running;
                    node.host.clone_from(host);
                    if let Some(last) = node.attempts.last_mut() {
                        last.running_at = Some(*at);
                    }
                }
            }
            Record::AttemptProgress { attempt, progress } => {
                if let Some(node) = self.node_of(attempt) {
                    node.progress = *progress;
                }
            }
            Record::AttemptReady { attempt, ip, .. } => self.ready(attempt, ip),
            Record::AttemptEnded { verdict } => {
                if let Some(node) = self.node_of(&verdict.attempt) {
                    node.ended(verdict);
                }
            }
            Record::MemoAsked { node, memo } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.memo = Some(memo.clone());
                }
            }
            Record::MemoRead { node, hit, from, written } => {
                if let Some(own) = self.nodes.get_mut(node) {
                    own.memo.iter_mut().for_each(|memo| memo.hit = Some(*hit));
                    own.memo_from = from.clone().zip(*written);
                    // Leaves stay pending until they run.
                    if let Some(phase) = self.state.node(*node).map(|n| n.phase) {
                        own.phase = phase;
                    }
                }
            }
            Record::LocksWaiting { holder: Some(node), .. }
            | Record::LocksTaken { holder: Some(node) }
            | Record::NodeBegun { node } => self.waited(*node),
            Record::LocksQueued { request, .. } => {
                if let Some(node) = request.holder {
                    self.waited(node);
                }
            }
            Record::LocksRefused { holder: Some(node), .. } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.kind = NodeKind::Skipped;
                }
            }
            Record::NodeMessage { node, message } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.message.clone_from(message);
                }
            }
            Record::NodeFinished { node, phase, message, outputs, at, .. } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.phase = *phase;
                    node.message.clone_from(message);
                    node.outputs = (**outputs).clone();
                    node.finished_at = Some(*at);
                    node.daemoned = false;
                }
            }
            Record::RunRetried(retried) => self.retried(retried),
            Record::NodeInputs { node, inputs } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.inputs = inputs.clone();
                }
            }
            Record::NodeOutputs { node, outputs } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.outputs = outputs.clone();
                }
            }
            _ => {}
        }
        self.note_ended(record);
    }

    fn retried(&mut self, retried: &RunRetried) {
        self.program = self.state.program.clone();
        for id in &retried.removed {
            if let Some(node) = self.nodes.remove(id).filter(|n| !n.attempts.is_empty()) {
                self.past.insert(node.name, node.attempts);
            }
        }
        for id in &retried.reset {
            if let Some(node) = self.nodes.get_mut(id) {
                node.phase = NodePhase::Running;
                node.message.clear();
                node.started_at = retried.at;
                node.finished_at = None;
            }
        }
    }

    /// A node waits for its locks, or has them.
    fn waited(&mut self, id: NodeId) {
        let wait = self.state.locks.waits_for(Some(id)).and_then(|(_, wait)| wait);
        let message = wait.map_or_else(String::new, LockWait::message);
        let phase = self.state.node(id).map(|n| n.phase);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.message = message;
            node.phase = phase.unwrap_or(node.phase);
        }
    }

    fn node_of(&mut self, attempt: &AttemptId) -> Option<&mut ViewNode> {
        let id = self.attempts.get(attempt)?;
        self.nodes.get_mut(id)
    }

    fn containers_are(&mut self, pod: NodeId, phase: NodePhase) {
        let below = self.nodes.get(&pod).map(|n| n.children.clone()).unwrap_or_default();
        for id in below {
            if let Some(container) = self.nodes.get_mut(&id).filter(|n| n.kind == NodeKind::Container) {
                container.phase = phase;
            }
        }
    }

    fn ready(&mut self, attempt: &AttemptId, ip: &str) {
        let mut next = self.attempts.get(attempt).copied();
        while let Some(node) = next.and_then(|id| self.nodes.get_mut(&id)) {
            node.phase = NodePhase::Running;
            node.daemoned = true;
            node.ip = Some(ip.to_owned());
            next = node.parent.filter(|_| matches!(node.role, Role::Attempt(_)));
        }
    }

    fn created(&mut self, created: &NodeCreated) {
        let above = created.parent.and_then(|p| self.nodes.get(&p)).map_or("", |p| p.name.as_str());
        let name = format!("{above}{}", created.label);
        let attempts = self.past.remove(&name).unwrap_or_default();
        for old in &attempts {
            self.attempts.insert(old.attempt.id.clone(), created.id);
        }
        let node = ViewNode {
            id: created.id,
            parent: created.parent,
            role: created.role.clone(),
            name,
            kind: created.kind,
            boundary: created.boundary,
            template: created.template.clone(),
            own: self.state.node(created.id).and_then(|n| n.own.clone()),
            inputs: (*created.inputs).clone(),
            outputs: Outputs::default(),
            phase: created.phase,
            message: created.message.clone(),
            started_at: created.at,
            finished_at: created.phase.fulfilled().then_some(created.at),
            attempts,
            host: None,
            memo: None,
            memo_from: None,
            resources: ResourcesDuration::new(),
            progress: Progress::NOT_SAID,
            daemoned: false,
            ip: None,
            folded: 0,
            children: Vec::new(),
        };
        if let Some(parent) = created.parent.and_then(|p| self.nodes.get_mut(&p)) {
            parent.children.push(created.id);
        }
        self.nodes.insert(created.id, node);
    }

    /// The node's name as people see it.
    pub fn display_name(&self, node: &ViewNode) -> String {
        if let Some(given) = self.state.given_name(&node.role, node.template.as_ref(), &node.inputs) {
            return given;
        }
        let boundary = node.boundary.and_then(|b| self.nodes.get(&b)).map(|b| b.name.as_str());
        display_name(&node.name, boundary)
    }

    /// A field of a node, by the name that a node field selector has for it.
    pub fn field(&self, node: &ViewNode, field: &str) -> Option<String> {
        let fields = Fields {
            display_name: self.display_name(node),
            name: node.name.clone(),
            id: argo_node_id(self.program.spec.name(), &node.name),
            phase: node.phase,
            template: node.template.as_ref(),
            inputs: &node.inputs,
        };
        fields.get(field)
    }

    /// Shows the nodes that all these selectors want, and those above them, and no others.
    pub fn choose(&mut self, selectors: &[&Selector]) {
        let wanted = |node: &&ViewNode| {
            let fits = |selector: &&Selector| selector.matches(|field| self.field(node, field));
            node.kind != NodeKind::Loop && selectors.iter().all(fits)
        };
        let mut kept = HashSet::new();
        for node in self.nodes.values().filter(wanted) {
            let mut next = Some(node);
            while let Some(node) = next.filter(|node| kept.insert(node.id)) {
                next = node.parent.and_then(|parent| self.nodes.get(&parent));
            }
        }
        self.hidden = self.nodes.keys().filter(|id| !kept.contains(id)).copied().collect();
    }

    /// The nodes that hang under a node in the state, oldest first: groups, calls, items, attempts, hooks.
    pub fn below(&self, node: &ViewNode) -> impl Iterator<Item = &ViewNode> {
        node.children
            .iter()
            .filter_map(|id| self.nodes.get(id))
            .filter(|child| !self.hidden.contains(&child.id))
    }

    /// The nodes that hang under none: the root, and the workflow's exit handler and hooks.
    pub fn roots(&self) -> impl Iterator<Item = &ViewNode> {
        self.nodes.values().filter(|node| node.parent.is_none() && !self.hidden.contains(&node.id))
    }

    /// The node that an attempt executes.
    pub fn of_attempt(&self, attempt: &AttemptId) -> Option<&ViewNode> {
        self.nodes.get(self.attempts.get(attempt)?)
    }

    /// A node by full name, Argo's id, attempt id, display name, or the name of the template it runs.
    pub fn find(&self, wanted: &str) -> Option<&ViewNode> {
        let run = self.program.spec.name();
        let visible = || self.nodes.values().filter(|n| n.kind != NodeKind::Loop);
        visible()
            .find(|n| n.name == wanted || argo_node_id(run, &n.name) == wanted)
            .or_else(|| visible().find(|n| n.attempts.iter().any(|a| a.attempt.id.as_str() == wanted)))
            .or_else(|| visible().find(|n| self.display_name(n) == wanted))
            .or_else(|| visible().find(|n| n.template.as_ref().is_some_and(|t| *t.name == *wanted)))
    }

    /// The Workflow object, with `status` in Argo's shape.
    pub fn workflow(&self) -> Value {
        let name = self.program.spec.name();
        let graph = Graph::of(self);
        let nodes = self.shown().map(|n| (argo_node_id(name, &n.name), self.node_json(n, &graph)));
        self.workflow_with(nodes.collect())
    }

    /// The nodes that Argo has too.
    fn shown(&self) -> impl Iterator<Item = &ViewNode> {
        self.nodes.values().filter(|n| n.kind != NodeKind::Loop && !self.hidden.contains(&n.id))
    }

    fn workflow_with(&self, nodes: Map<String, Value>) -> Value {
        let spec = &self.program.spec;
        let mut metadata = json!(spec.metadata);
        metadata["uid"] = json!(spec.uid);
        metadata["namespace"] = json!(spec.namespace());
        metadata["creationTimestamp"] = json!(whole_seconds(spec.created_at));
        let completed = self.state.phase.completed();
        metadata["labels"]["workflows.argoproj.io/completed"] = json!(completed.to_string());
        metadata["labels"]["workflows.argoproj.io/phase"] = json!(self.state.phase);
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": metadata,
            "spec": self.spec_json(),
            "status": self.status_json(nodes),
        })
    }

    fn spec_json(&self) -> Value {
        let mut spec = json!(self.program.spec.spec);
        if self.state.suspended {
            spec["suspend"] = json!(true);
        }
        if let Some((strategy, _)) = &self.state.shutdown {
            spec["shutdown"] = json!(strategy);
        }
        spec
    }

    fn status_json(&self, nodes: Map<String, Value>) -> Value {
        let state = &self.state;
        let mut status =
            json!({ "phase": state.phase, "progress": progress(state.progress), "nodes": nodes });
        let mut set = |key: &str, value: Value| {
            if !value.is_null() {
                status[key] = value;
            }
        };
        set("startedAt", state.started_at.map_or(Value::Null, |t| json!(whole_seconds(t))));
        set("finishedAt", state.finished_at.map_or(Value::Null, |t| json!(whole_seconds(t))));
        set("message", if state.message.is_empty() { Value::Null } else { json!(state.message) });
        set("conditions", conditions(state));
        let mut held = ResourcesDuration::new();
        self.nodes.values().for_each(|node| resources::add(&mut held, &node.resources));
        set("resourcesDuration", if held.is_empty() { Value::Null } else { json!(held) });
        set("outputs", self.global_outputs());
        set("synchronization", locks::status(&self.state.locks));
        status
    }

    fn global_outputs(&self) -> Value {
        let parameters: Vec<Parameter> = self
            .state
            .global_parameters
            .iter()
            .map(|(name, value)| Parameter {
                name: name.clone(),
                value: Some(value.as_str().into()),
                ..Parameter::default()
            })
            .collect();
        let artifacts: Vec<Artifact> = self.state.global_artifacts.values().map(|a| (**a).clone()).collect();
        let outputs = Outputs { parameters, artifacts, ..Outputs::default() };
        if outputs.is_empty() { Value::Null } else { json!(outputs) }
    }

    fn node_json(&self, node: &ViewNode, graph: &Graph) -> Value {
        let run = self.program.spec.name();
        let id = |n: &NodeId| self.nodes.get(n).map(|n| argo_node_id(run, &n.name));
        let ids = |list: Option<&Vec<NodeId>>| -> Vec<String> {
            list.into_iter().flatten().filter_map(id).collect()
        };
        let mut json = json!({
            "id": argo_node_id(run, &node.name),
            "name": node.name,
            "displayName": self.display_name(node),
            "type": node_type(node.kind),
            "phase": node.phase,
            "startedAt": whole_seconds(node.started_at),
            "templateScope": self.template_scope(node),
        });
        let mut set = |key: &str, value: Value| {
            let empty = value.is_null() || value == json!([]) || value == json!("") || value == json!({});
            if !empty {
                json[key] = value;
            }
        };
        set("message", json!(node.message));
        set("finishedAt", node.finished_at.map_or(Value::Null, |t| json!(whole_seconds(t))));
        match node.template.as_ref().map(|t| (t, Holder::of_scope(&t.scope))) {
            Some((key, Some(object))) if *key.scope != *self.caller_scope(node) => {
                let (name, template) = (object.name.to_owned(), key.name.to_string());
                set("templateRef", json!(TemplateRef { name, template, cluster_scope: object.cluster }));
            }
            Some((key, _)) => set("templateName", json!(key.template_name())),
            None => {}
        }
        set("boundaryID", json!(node.boundary.as_ref().and_then(id)));
        set("inputs", json!(node.inputs));
        set("outputs", json!(node.outputs));
        set("children", json!(ids(graph.children.get(&node.id))));
        // Argo notes them when the node succeeds or fails, not when its failFast or an error of its own ends it.
        let errored = node.kind == NodeKind::Steps && node.phase == NodePhase::Error;
        let ended = node.phase.fulfilled() && node.message != FAIL_FAST && !errored;
        if matches!(node.kind, NodeKind::Steps | NodeKind::Dag) && ended {
            set("outboundNodes", json!(ids(graph.outbound.get(&node.id))));
        }
        set("hostNodeName", json!(node.host));
        let waiting = self.state.locks.waits_for(Some(node.id)).map(|(lock, _)| lock.to_string());
        set("synchronizationStatus", waiting.map_or(Value::Null, |lock| json!({ "waiting": lock })));
        set("daemoned", if node.daemoned { json!(true) } else { Value::Null });
        set("podIP", json!(node.ip.as_ref().filter(|_| node.kind == NodeKind::Pod)));
        set("nodeFlag", self.node_flag(self.caller_of(node)));
        set("memoizationStatus", self.memoization(node));
        let (count, held) = graph.sums(self, node);
        set("progress", if count.1 == 0 { Value::Null } else { json!(progress(count)) });
        set("resourcesDuration", json!(held));
        json
    }

    /// Argo's `local/<workflow>`, `namespaced/<object>` or `cluster/<object>`: where the names of this node's caller
    /// resolve. A workflow that takes its spec from a stored template has no name there.
    fn template_scope(&self, node: &ViewNode) -> String {
        let spec = &self.program.spec;
        match self.caller_scope(node) {
            LOCAL if spec.spec.workflow_template_ref.is_some() => format!("{LOCAL}/"),
            LOCAL => format!("{LOCAL}/{}", spec.name()),
            scope => scope.to_owned(),
        }
    }

    /// The compiled template that a node runs.
    fn compiled<'a>(&'a self, node: &'a ViewNode) -> Option<&'a Arc<Compiled>> {
        node.own.as_ref().or_else(|| self.program.template(node.template.as_ref()?))
    }

    /// An attempt shows the entry of its Retry node, which it did not find.
    fn memoization(&self, node: &ViewNode) -> Value {
        let wrapper =
            node.parent.and_then(|p| self.nodes.get(&p)).filter(|_| matches!(node.role, Role::Attempt(_)));
        let Some(memo) = node.memo.as_ref().or_else(|| wrapper?.memo.as_ref()) else { return Value::Null };
        let MemoKey { cache, key } = &memo.entry;
        json!({ "hit": memo.hit.unwrap_or(false), "key": key, "cacheName": cache })
    }

    /// The attempts of a hook's Retry node are hooked too, and the wrapper of them retried: Argo hands one flag down.
    fn node_flag(&self, node: &ViewNode) -> Value {
        let hook = |n: &ViewNode| matches!(n.role, Role::Exit | Role::Hook(_) | Role::WorkflowExit);
        let wrapper =
            node.parent.and_then(|p| self.nodes.get(&p)).filter(|_| matches!(node.role, Role::Attempt(_)));
        match (hook(node), node.kind == NodeKind::Retry, wrapper) {
            (true, true, _) => json!({ "hooked": true, "retried": true }),
            (true, false, _) => json!({ "hooked": true }),
            (false, _, Some(wrapper)) if hook(wrapper) => json!({ "hooked": true, "retried": true }),
            (false, _, Some(_)) => json!({ "retried": true }),
            (false, _, None) => Value::Null,
        }
    }

    /// The node itself, or the pod that a container belongs to: Argo writes the same of both.
    fn caller_of<'a>(&'a self, node: &'a ViewNode) -> &'a ViewNode {
        match node.role {
            Role::Container(_) => node.parent.and_then(|p| self.nodes.get(&p)).unwrap_or(node),
            _ => node,
        }
    }

    fn caller_scope(&self, node: &ViewNode) -> &str {
        let node = self.caller_of(node);
        let caller = node.boundary.and_then(|b| self.nodes.get(&b)).and_then(|b| b.template.as_ref());
        caller.map_or(LOCAL, |t| &*t.scope)
    }
}

fn progress((done, total): (u32, u32)) -> String {
    format!("{done}/{total}")
}

fn conditions(state: &RunState) -> Value {
    let running = if state.phase == RunPhase::Running { "True" } else { "False" };
    let mut all = vec![json!({ "type": "PodRunning", "status": running })];
    if state.phase.completed() {
        all.push(json!({ "type": "Completed", "status": "True" }));
    }
    if let Some(why) = &state.metrics_error {
        all.push(json!({ "type": "MetricsError", "status": "True", "message": why }));
    }
    Value::Array(all)
}

fn node_type(kind: NodeKind) -> NodeType {
    match kind {
        NodeKind::Pod => NodeType::Pod,
        NodeKind::Steps => NodeType::Steps,
        NodeKind::StepGroup => NodeType::StepGroup,
        NodeKind::Dag => NodeType::DAG,
        // A loop over a step is not shown; its type is never asked for.
        NodeKind::TaskGroup | NodeKind::Loop => NodeType::TaskGroup,
        NodeKind::Retry => NodeType::Retry,
        NodeKind::Suspend => NodeType::Suspend,
        NodeKind::Http => NodeType::HTTP,
        NodeKind::Skipped => NodeType::Skipped,
        NodeKind::Container => NodeType::Container,
    }
}
