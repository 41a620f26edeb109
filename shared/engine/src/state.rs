//! The state of a run: what folding its records gives. Only the active part of the tree is kept; a finished
//! composite's children and a loop's finished children are folded into what others may still read of them.

pub mod locks;

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_manifest::tags::{self, Scope, Strictness};
use dropforge_manifest::types::{Artifact, Inputs, Outputs, Parameter};
use jiff::Timestamp;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync, VectorSync};
use serde::{Deserialize, Serialize};

use crate::attempt::Progress;
use crate::config::{ConfigFound, ConfigKey};
use crate::ids::{AttemptId, CommandId, NodeId, argo_node_id};
use crate::memo::Memo;
use crate::phase::{NodePhase, RunPhase};
use crate::program::hooks::Hook;
use crate::program::{Call, Compiled, Program};
use crate::record::{Block, LoopItems, NodeKind, Role, ShutdownStrategy, TemplateKey};
use crate::resolve::{self, plain_config_key};
use crate::resources::ResourcesDuration;
use crate::scope::{Globals, Layers, Own};
use crate::selector::Fields;
use crate::state::locks::Locks;

pub(crate) mod as_pairs;
mod called;
pub(crate) mod given;
mod held;
mod hooks;
mod nodes;
mod outbox;
mod phases;
mod results;
mod trie;

pub use called::Called;
pub use held::Held;
pub use hooks::{Fired, Hooks};
pub use nodes::Nodes;
pub use outbox::Outbox;
pub use phases::Phases;
pub(crate) use results::PIECE;
pub use results::Results;

/// A run's state. Cloning it costs nothing that depends on the run's size.
#[derive(Clone, Debug)]
pub struct RunState {
    /// The compiled spec.
    pub program: Arc<Program>,
    /// How often the whole run has been retried.
    pub generation: u32,
    /// The run's phase.
    pub phase: RunPhase,
    /// The run's message.
    pub message: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The entry node.
    pub root: Option<NodeId>,
    /// The workflow's exit handler.
    pub exit: Option<NodeId>,
    /// Nodes by number.
    pub nodes: Nodes,
    /// The number of the next node.
    pub next_node: u64,
    /// The generation of the next timer.
    pub next_timer: u32,
    /// The number of a new leaf's first attempt. A retry of the run raises it above every number used so far, so that
    /// a leaf that is made again never takes an old attempt's id.
    pub first_attempt: u32,
    /// Above every attempt's number so far.
    pub next_attempt: u32,
    /// Effects that no event has answered.
    pub outbox: Outbox,
    /// Nodes held back by a limit of the whole run.
    pub blocked: RedBlackTreeSetSync<NodeId>,
    /// Nodes with hooks that look at the run as a whole.
    pub watchers: RedBlackTreeSetSync<NodeId>,
    /// Nodes whose hooks and exit handlers wait for the run to be resumed.
    pub held_hooks: RedBlackTreeSetSync<NodeId>,
    /// Pods pending or running.
    pub active_pods: u32,
    /// Daemons that run, each with the Steps or DAG node whose end ends it.
    pub daemons: RedBlackTreeSetSync<(Option<NodeId>, NodeId)>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// The shutdown asked for, with the person's words.
    pub shutdown: Option<(ShutdownStrategy, Option<String>)>,
    /// Whether the workflow's deadline has passed.
    pub deadline_passed: bool,
    /// Values exported under global names.
    pub global_parameters: RedBlackTreeMapSync<String, String>,
    /// Artifacts exported under global names.
    pub global_artifacts: RedBlackTreeMapSync<String, Arc<Artifact>>,
    /// Values of config maps, as they were when this run first needed them.
    pub config: RedBlackTreeMapSync<ConfigKey, Arc<ConfigFound>>,
    /// Nodes with a hook or exit handler that waits for the value of a config map.
    pub config_hooks: RedBlackTreeSetSync<NodeId>,
    /// Locks held and wanted.
    pub locks: Locks,
    /// The first failed nodes, for `workflow.failures`.
    pub failures: VectorSync<Arc<Failure>>,
    /// Executable nodes that succeeded, and all of them.
    pub progress: (u32, u32),
    /// Numbers from outputs named `metrics`.
    pub metrics: BTreeMap<String, f64>,
    /// Why the last metric that could not be computed was not.
    pub metrics_error: Option<String>,
    /// Commands read.
    pub commands: RedBlackTreeSetSync<CommandId>,
    /// Time of the last record; `decide` never goes back behind it.
    pub last: Timestamp,
}

/// One entry of `workflow.failures`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Failure {
    pub display_name: String,
    pub message: String,
    pub template_name: String,
    pub phase: NodePhase,
    pub pod_name: String,
    pub finished_at: Timestamp,
}

/// The active tree of a run: what a retry of the run begins with, and what its record keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tree {
    /// The entry node.
    pub root: Option<NodeId>,
    /// The nodes, parents before their children.
    pub nodes: Vec<Arc<Node>>,
    /// Failed nodes, for `workflow.failures`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Arc<Failure>>,
    /// Executable nodes that succeeded, and all of them.
    pub progress: (u32, u32),
}

/// A node that may still change, or that others may still read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// The node it hangs under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<NodeId>,
    /// How it hangs there.
    pub role: Role,
    /// What it adds to its parent's full name.
    pub label: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// The nearest enclosing Steps or DAG node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<NodeId>,
    /// The template it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateKey>,
    /// That template, where it is this node's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Arc<Compiled>>,
    /// Its inputs with values.
    pub inputs: Arc<Inputs>,
    /// Its phase.
    pub phase: NodePhase,
    /// Its message.
    pub message: String,
    /// When it was created.
    pub started_at: Timestamp,
    /// When it was fulfilled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Whether it ended by an error that its caller was handed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// What it gave.
    pub outputs: Arc<Outputs>,
    /// What it and everything below it held of the cluster's resources, as far as that has ended.
    pub resources: ResourcesDuration,
    /// Whether it is a daemon that is, or has been, ready and that runs: its parent goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub daemoned: bool,
    /// Whether such a daemon starts again, since infrastructure took its pod: it serves nobody at the moment, and has come
    /// to nothing either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// A daemon's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The machine or Kubernetes node of its last attempt, where anybody reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// The last attempt of a Retry node that has ended: who reads the step is shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Box<Tried>>,
    /// Frames of template calls above it; Argo allows 100.
    pub depth: u32,
    /// Whether it runs below an exit handler.
    pub on_exit: bool,
    /// Exit handlers and hooks of it that are not done, those that have not started among them.
    pub hooks_open: u32,
    /// What has become of its hooks.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Its entry in a cache, if it is memoized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<Box<Memo>>,
    /// Whether it waits for locks and has not begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
    /// What holds it back from starting more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Block>,
    /// What depends on its kind.
    pub body: Body,
}

/// What is kept of an attempt that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// Its number.
    pub number: u32,
    /// When it was created.
    pub started_at: Timestamp,
}

/// What depends on a node's kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Body {
    /// Nothing: skipped, or finished.
    None,
    /// A pod, or a request.
    Pod {
        /// Its live attempt.
        attempt: Option<AttemptId>,
        /// The number of its next attempt.
        next: u32,
        /// Attempts that infrastructure lost.
        lost: u32,
        /// Why it can't start, in the cluster's words.
        waiting: Option<String>,
        /// How far its attempt says it is.
        progress: Progress,
        /// The nodes of its containers, where it has several that count.
        #[serde(default, skip_serializing_if = "VectorSync::is_empty")]
        containers: VectorSync<NodeId>,
    },
    /// A suspend node.
    Suspend {
        /// When it goes on by itself.
        until: Option<Timestamp>,
    },
    /// A Steps node.
    Steps {
        /// Its calls by step name.
        calls: Box<Called>,
        /// Its groups so far.
        groups: VectorSync<NodeId>,
        /// How many of them are not over: one, or several after a retry of the run.
        open: u32,
        /// The message of the first of them that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
        /// Its children as its limits see them.
        bound: Bound,
    },
    /// A step group.
    Group {
        /// Which.
        index: u32,
        /// The position after the last of its steps that has been started.
        cursor: u32,
        /// Steps before the cursor that are still to be started: a limit held them back, or a retry of the run took them
        /// away.
        again: RedBlackTreeSetSync<u32>,
        /// Children that are not settled.
        open: u32,
        /// The first child, in order, that failed without `continueOn`.
        failed: Option<Box<FailedChild>>,
    },
    /// A DAG node.
    Dag {
        /// Its calls by task name.
        calls: Box<Called>,
        /// Tasks that could start but for a limit.
        ready: Box<Held>,
        /// How many of its tasks are settled.
        settled: u32,
        /// Why a hook of one of its tasks could not be started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hook_error: Option<String>,
        /// Its children as its limits see them.
        bound: Bound,
    },
    /// A loop.
    Loop {
        /// What it repeats.
        items: Arc<LoopItems>,
        /// The index after the last of its items that has been started.
        cursor: u32,
        /// Items before the cursor that a retry of the run took away: they are started again.
        again: RedBlackTreeSetSync<u32>,
        /// Children that are not settled.
        open: u32,
        /// The final phase of each settled child.
        phases: Phases,
        /// Outputs of succeeded children, where somebody reads them.
        results: Box<Results>,
        /// About how many bytes these take, or would take were they few enough to be kept.
        #[serde(default)]
        results_bytes: usize,
        /// The first child, in order, that failed without `continueOn`.
        failed: Option<Box<FailedChild>>,
    },
    /// A Retry node.
    Retry {
        /// Attempts so far.
        attempts: u32,
        /// The newest attempt.
        last: Option<NodeId>,
        /// When the next attempt starts, if one waits.
        until: Option<Timestamp>,
    },
}

/// The children of a Steps or DAG node, as its limits see them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bound {
    /// Pod, Steps and DAG children that are pending or running.
    pub active: u32,
    /// Whether one of them failed.
    pub failed: bool,
    /// Nodes held back by this template's parallelism.
    pub blocked: RedBlackTreeSetSync<NodeId>,
}

/// A child that fails its group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedChild {
    /// Its position: step, item.
    pub position: (u32, u32),
    /// Its Argo node id.
    pub id: String,
    /// Set when the child's error was handed to the group: it makes nothing more and ends with this message.
    pub error: Option<String>,
}

impl FailedChild {
    /// How the group ends.
    pub fn outcome(&self) -> (NodePhase, String) {
        match &self.error {
            None => (NodePhase::Failed, format!("child '{}' failed", self.id)),
            Some(why) if why == TIMEOUT => (NodePhase::Failed, why.clone()),
            Some(why) => (NodePhase::Error, why.clone()),
        }
    }
}

/// Argo's word for a node that was pending longer than its template allows: the only error that fails a group instead of
/// making it one.
pub const TIMEOUT: &str = "timeout";

/// Makes nodes that were read as those that were kept: packs what loops have gathered, and finds the places of calls in
/// their templates.
pub(crate) fn settle_in(nodes: &mut Nodes, program: &Program) {
    let composite =
        |node: &&Arc<Node>| matches!(node.body, Body::Loop { .. } | Body::Steps { .. } | Body::Dag { .. });
    let composites: Vec<NodeId> = nodes.values().filter(composite).map(|node| node.id).collect();
    for id in composites {
        let Some(node) = nodes.get_mut(&id).map(Arc::make_mut) else { continue };
        let template = node.template_in(program).cloned();
        match (&mut node.body, template) {
            (Body::Loop { results, phases, .. }, _) => results.pack(phases),
            (Body::Steps { calls, .. }, Some(template)) => calls.place(&template),
            (Body::Dag { calls, ready, .. }, Some(template)) => {
                calls.place(&template);
                ready.place(&template);
            }
            _ => {}
        }
    }
}

impl Node {
    /// Whether Argo's controller would have handed an error to this node's caller: it could not be made, a Steps or DAG
    /// node's own references and outputs could not be resolved, a retry strategy is wrong, or a timeout passed while it was pending.
    pub fn returned_error(&self) -> bool {
        let composite = matches!(self.kind, NodeKind::Skipped | NodeKind::Steps | NodeKind::Dag);
        self.returned || composite && self.phase == NodePhase::Error && !self.message.is_empty()
    }

    /// The compiled template that it runs.
    pub fn template_in<'a>(&'a self, program: &'a Program) -> Option<&'a Arc<Compiled>> {
        self.own.as_ref().or_else(|| program.template(self.template.as_ref()?))
    }

    /// Whether it waits for the entry of its cache.
    pub fn awaits_memo(&self) -> bool {
        !self.phase.fulfilled() && self.memo.as_ref().is_some_and(|m| m.hit.is_none())
    }

    /// Whether it would have begun when its cache gave nothing, had the run not been suspended.
    pub fn held_after_memo(&self) -> bool {
        let missed = self.memo.as_ref().is_some_and(|m| m.hit == Some(false));
        let begun = match &self.body {
            Body::Pod { next, .. } => *next > 0,
            Body::Steps { groups, .. } => !groups.is_empty(),
            Body::Dag { calls, ready, .. } => !calls.is_empty() || !ready.is_empty(),
            Body::Retry { attempts, .. } => *attempts > 0,
            _ => false,
        };
        missed && !begun && self.blocked == Some(Block::Suspended)
    }

    /// Whether it is a daemon that others can use now.
    pub fn serves(&self) -> bool {
        self.daemoned && !self.replaced
    }

    /// Fulfilled or a daemon that is ready, with its exit handler and hooks done: its parent may go on.
    pub fn settled(&self) -> bool {
        (self.phase.fulfilled() || self.daemoned) && self.hooks_open == 0
    }
}

impl RunState {
    /// The state before the first record.
    pub fn new(program: Arc<Program>) -> RunState {
        let suspended = program.spec.spec.suspend.unwrap_or(false);
        let last = program.spec.created_at;
        RunState {
            program,
            generation: 0,
            phase: RunPhase::Pending,
            message: String::new(),
            started_at: None,
            finished_at: None,
            root: None,
            exit: None,
            nodes: Nodes::default(),
            next_node: 0,
            next_timer: 0,
            first_attempt: 0,
            next_attempt: 0,
            outbox: Outbox::default(),
            blocked: RedBlackTreeSetSync::default(),
            watchers: RedBlackTreeSetSync::default(),
            held_hooks: RedBlackTreeSetSync::default(),
            active_pods: 0,
            daemons: RedBlackTreeSetSync::default(),
            suspended,
            shutdown: None,
            deadline_passed: false,
            global_parameters: RedBlackTreeMapSync::default(),
            global_artifacts: RedBlackTreeMapSync::default(),
            config: RedBlackTreeMapSync::default(),
            config_hooks: RedBlackTreeSetSync::default(),
            locks: Locks::default(),
            failures: VectorSync::default(),
            progress: (0, 0),
            metrics: BTreeMap::new(),
            metrics_error: None,
            commands: RedBlackTreeSetSync::default(),
            last,
        }
    }

    /// A node that may still change or be read.
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// The compiled template a node runs.
    pub fn template_of<'a>(&'a self, node: &'a Node) -> Option<&'a Arc<Compiled>> {
        node.template_in(&self.program)
    }

    /// The node's full name, as Argo builds it.
    pub fn name(&self, id: NodeId) -> String {
        let above = |node: &&Node| self.nodes.get(&node.parent?).map(|parent| &**parent);
        let Some(node) = self.node(id) else { return String::new() };
        let mut labels: Vec<&str> = std::iter::successors(Some(&**node), above).map(|n| &*n.label).collect();
        labels.reverse();
        labels.concat()
    }

    /// The node's full name without its boundary's, as people see it.
    pub fn display_name(&self, id: NodeId) -> String {
        if let Some(given) =
            self.node(id).and_then(|n| self.given_name(&n.role, n.template.as_ref(), &n.inputs))
        {
            return given;
        }
        let name = self.name(id);
        let boundary = self.node(id).and_then(|n| n.boundary).map(|b| self.name(b));
        display_name(&name, boundary.as_deref())
    }

    /// The name that the annotation of a node's template gives it in place of its own (Argo's rule N-5).
    pub fn given_name(&self, role: &Role, template: Option<&TemplateKey>, inputs: &Inputs) -> Option<String> {
        let text = self.program.template(template?)?.template.annotations.get(DISPLAY_NAME)?;
        if matches!(role, Role::Attempt(_)) {
            return None;
        }
        let globals = Globals { state: self, now: self.last, seed: 0 };
        let own = Own { inputs, outputs: &Outputs::default() };
        let text = tags::replace(text, &Layers(vec![&globals, &own]), Strictness::Lenient).ok()?;
        is_display_name(&text).then_some(text)
    }

    /// Argo's id of a node.
    pub fn argo_id(&self, id: NodeId) -> String {
        argo_node_id(self.program.spec.name(), &self.name(id))
    }

    /// The last attempt of a Retry node.
    pub fn last_try(&self, node: &Node) -> Option<Tried> {
        let Body::Retry { last: Some(last), .. } = node.body else { return node.tried.as_deref().cloned() };
        let last = self.node(last)?;
        let Role::Attempt(number) = last.role else { return None };
        Some(Tried { number, started_at: last.started_at })
    }

    /// A field of a node, by the name that a node field selector has for it.
    pub fn field(&self, node: &Node, field: &str) -> Option<String> {
        let fields = Fields {
            display_name: self.display_name(node.id),
            name: self.name(node.id),
            id: self.argo_id(node.id),
            phase: node.phase,
            template: node.template.as_ref(),
            inputs: &node.inputs,
        };
        fields.get(field)
    }

    /// The step or task that called this node, looking through retries and loops: the enclosing composite and the
    /// call's name.
    pub fn caller(&self, id: NodeId) -> Option<(NodeId, Arc<str>)> {
        let node = self.called(id)?;
        let Role::Call(name) = &node.role else { return None };
        Some((node.boundary?, name.clone()))
    }

    /// The node of the step or task that a node is part of, looking through retries and loops.
    pub fn called(&self, id: NodeId) -> Option<&Arc<Node>> {
        let mut node = self.node(id)?;
        loop {
            match &node.role {
                Role::Call(_) => return Some(node),
                Role::Item(_) | Role::Attempt(_) => node = self.node(node.parent?)?,
                Role::Root
                | Role::WorkflowExit
                | Role::Group(_)
                | Role::Exit
                | Role::Hook(_)
                | Role::Container(_) => return None,
            }
        }
    }

    /// The group that the node of a step hangs in; 0 for a task.
    pub fn group_of(&self, called: &Node) -> usize {
        match called.parent.and_then(|parent| self.node(parent)).map(|parent| &parent.role) {
            Some(Role::Group(index)) => *index as usize,
            _ => 0,
        }
    }

    /// What the node of a step or task stands for in its template, with its position there.
    pub fn call_of(&self, called: &Node) -> Option<(usize, &Call)> {
        let Role::Call(name) = &called.role else { return None };
        self.template_of(self.node(called.boundary?)?)?.call(self.group_of(called), name)
    }

    /// The run's global variables, `workflow.*`, as they are at its last record.
    pub fn globals(&self) -> impl Scope {
        resolve::globals(self, self.last, NodeId(0))
    }

    /// The hooks with expressions that look at this node: the workflow's at its entry node, a step's or task's at each node
    /// that stands for it. A loop over a step has them at each item, a loop over a task at the whole group, as in Argo.
    pub fn hooks_of(&self, node: &Node) -> &[Arc<Hook>] {
        if !self.program.hooked {
            return &[];
        }
        let called = match &node.role {
            Role::Root => return &self.program.hooks,
            Role::Call(_) if node.kind != NodeKind::Loop => Some(node),
            Role::Item(_) => {
                node.parent.and_then(|p| self.node(p)).map(|p| &**p).filter(|p| p.kind == NodeKind::Loop)
            }
            _ => None,
        };
        called
            .and_then(|called| self.call_of(called))
            .map(|(_, call)| call.hooks.as_slice())
            .unwrap_or_default()
    }

    /// The value of one of the run's arguments, its own or its config map's; none while that is not known.
    pub fn argument(&self, parameter: &Parameter) -> Option<Result<String, String>> {
        if let Some(value) = &parameter.value {
            return Some(Ok(value.0.clone()));
        }
        let from = parameter.value_from.as_ref()?;
        let key = plain_config_key(&self.program.spec, from.config_map_key_ref.as_ref()?);
        let value = self.config.get(&key)?.value(&key);
        Some(match (value, &from.default) {
            (Ok(value), _) => Ok(value.to_owned()),
            (Err(_), Some(default)) => Ok(default.0.clone()),
            (Err(why), None) => Err(why),
        })
    }

    /// Whether the first event has been decided: the run began, or asked for what it needs to begin.
    pub fn submitted(&self) -> bool {
        self.started_at.is_some() || !self.outbox.is_empty() || self.phase.completed()
    }

    /// Why the run is ended although nobody asked for it: its time is over. A person's `terminate` says nothing.
    pub fn out_of_time(&self) -> Option<&str> {
        match &self.shutdown {
            Some((ShutdownStrategy::Terminate, why)) => why.as_deref(),
            Some((ShutdownStrategy::Stop, _)) | None => None,
        }
    }

    /// Whether nothing remains to be done: terminal, and every effect answered.
    pub fn done(&self) -> bool {
        self.phase.completed() && self.outbox.is_empty()
    }
}

/// The annotation of a template that names its nodes for people.
const DISPLAY_NAME: &str = "workflows.argoproj.io/display-name";

/// Argo's form of such a name: letters, digits, dashes and points between a letter or digit at each end.
fn is_display_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (2..=63).contains(&text.len())
        && text.chars().all(inner)
        && end(text.chars().next())
        && end(text.chars().next_back())
}

/// Argo's display name: the boundary's name removed from the front, then `[i]` and a point.
pub fn display_name(name: &str, boundary: Option<&str>) -> String {
    let Some(rest) = boundary.and_then(|b| name.strip_prefix(b)) else {
        return name.to_owned();
    };
    let after_group = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((index, after)) if index.bytes().all(|b| b.is_ascii_digit()) && after.starts_with('.') => after,
        _ => rest,
    };
    after_group.strip_prefix('.').unwrap_or(after_group).to_owned()
}
