//! Changes of a run's state. The store keeps them; folding them gives the state, and Argo's `status.nodes`.
//!
//! Records name templates and nodes, never positions in compiled tables: they outlive the code.

use std::fmt;
use std::sync::{Arc, OnceLock};

use dropforge_manifest::types::{Artifact, Inputs, Outputs, Parameter, Step, Template};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::{Attempt, Progress, Verdict};
use crate::config::{ConfigFound, ConfigKey};
use crate::effect::{EffectKey, TimerId};
use crate::event::Command;
use crate::ids::{AttemptId, NodeId};
use crate::items::Items;
use crate::lock::{Holder, LockName, LockRequest, LockWait};
use crate::memo::Memo;
use crate::metric::Metric;
use crate::phase::{NodePhase, RunPhase};
use crate::program::has_tags;
use crate::state::Tree;

/// One change of a run's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "record")]
pub enum Record {
    /// The run began.
    RunStarted {
        /// When.
        at: Timestamp,
    },
    /// A node exists.
    NodeCreated(Box<NodeCreated>),
    /// An attempt is asked for; it stands in the outbox from here on.
    AttemptStarted {
        /// With everything needed to run it.
        attempt: Arc<Attempt>,
        /// When.
        at: Timestamp,
    },
    /// An attempt can't start yet.
    AttemptWaiting {
        /// Which.
        attempt: AttemptId,
        /// Why, for people.
        why: String,
    },
    /// An attempt's command runs.
    AttemptRunning {
        /// Which.
        attempt: AttemptId,
        /// Since when.
        at: Timestamp,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// The attempt of a daemon is ready: its node, and the Retry node above it, count as done while they run.
    AttemptReady {
        /// Which.
        attempt: AttemptId,
        /// Since when.
        at: Timestamp,
        /// The address by which others reach it.
        ip: String,
    },
    /// An attempt is asked to end.
    StopAsked {
        /// Which.
        attempt: AttemptId,
        /// The verdict's message if it has not ended by itself.
        why: String,
    },
    /// An attempt has ended; it leaves the outbox.
    AttemptEnded {
        /// How.
        verdict: Arc<Verdict>,
    },
    /// A node's message changed while it goes on.
    NodeMessage {
        /// Which.
        node: NodeId,
        /// The new message.
        message: String,
    },
    /// A node will not change any more.
    NodeFinished {
        /// Which.
        node: NodeId,
        /// Its final phase.
        phase: NodePhase,
        /// Its final message.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// What it gave.
        #[serde(default, skip_serializing_if = "Outputs::is_empty")]
        outputs: Arc<Outputs>,
        /// When.
        at: Timestamp,
        /// Whether an exit handler follows before its parent goes on.
        #[serde(default, skip_serializing_if = "is_false")]
        exit_handler: bool,
        /// Names of the hooks that its end fires.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hooks: Vec<String>,
        /// Whether it ended by an error that its caller is handed, whatever `continueOn` says.
        #[serde(default, skip_serializing_if = "is_false")]
        returned: bool,
    },
    /// The exit handler of a finished node does not run: its expression is false.
    HookPassed {
        /// The node.
        node: NodeId,
    },
    /// A node has more to start and may not: a limit holds it back.
    Blocked {
        /// The group, loop, DAG or retry.
        node: NodeId,
        /// What holds it back.
        by: Block,
    },
    /// A blocked node has started everything it had to.
    Unblocked {
        /// Which.
        node: NodeId,
    },
    /// A DAG's task could start and may not yet.
    TaskReady {
        /// The DAG.
        node: NodeId,
        /// The task's name.
        task: String,
    },
    /// A timer stands in the outbox.
    TimerSet {
        /// Which.
        timer: TimerId,
        /// When it fires.
        due: Timestamp,
    },
    /// A timer fired, or nobody waits for it any more.
    TimerEnded {
        /// Which.
        timer: TimerId,
    },
    /// A value was exported under a global name.
    GlobalParameter {
        /// Name and value.
        parameter: Box<Parameter>,
    },
    /// An artifact was exported under a global name.
    GlobalArtifact {
        /// Name and location.
        artifact: Box<Artifact>,
    },
    /// A memoized node waits for the entry of its cache.
    MemoAsked {
        /// The node.
        node: NodeId,
        /// Which entry, and how old it may be.
        memo: Memo,
    },
    /// The cache was looked at: the node ends with what it holds, or begins.
    MemoRead {
        /// The node.
        node: NodeId,
        /// Whether the entry is there and young enough.
        hit: bool,
        /// Argo's id of the node that gave the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// When the entry was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<Timestamp>,
    },
    /// A metric got a value.
    Measured {
        /// Which and what.
        metric: Box<Metric>,
    },
    /// A metric could not be computed (Argo's condition `MetricsError`).
    NotMeasured {
        /// Why, in Argo's words.
        why: String,
    },
    /// A step said how far it is.
    AttemptProgress {
        /// Which.
        attempt: AttemptId,
        /// How far.
        progress: Progress,
    },
    /// A value of a config map is asked for.
    ConfigAsked {
        /// Which.
        config: ConfigKey,
    },
    /// A hook or exit handler of a node can't start before the value of a config map is known.
    HookHeld {
        /// The node.
        node: NodeId,
    },
    /// A config map was looked at; what was found holds for the whole run.
    ConfigRead {
        /// The value asked for.
        config: ConfigKey,
        /// What was found.
        found: ConfigFound,
    },
    /// A block's locks are asked for.
    LocksAsked {
        /// Which.
        request: Arc<LockRequest>,
    },
    /// A block wants a lock that another block of this run asks for first.
    LocksQueued {
        /// Which.
        request: Arc<LockRequest>,
        /// The lock that both want.
        behind: LockName,
    },
    /// One of a block's locks refused.
    LocksWaiting {
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Holder,
        /// Which, and who holds it.
        wait: Box<LockWait>,
    },
    /// All the locks of a block are held.
    LocksTaken {
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Holder,
    },
    /// A block's locks can't be had at all.
    LocksRefused {
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Holder,
        /// What is wrong and where, for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        hint: String,
    },
    /// A holder's locks are given back.
    LocksReleased {
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Holder,
    },
    /// A node that waited for its locks begins.
    NodeBegun {
        /// Which.
        node: NodeId,
    },
    /// Nothing new starts (`spec.suspend`).
    Suspended,
    /// `spec.suspend` was cleared.
    Resumed,
    /// The run is being shut down.
    Shutdown {
        /// `Stop` or `Terminate`.
        strategy: ShutdownStrategy,
        /// The person's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The workflow's deadline passed.
    DeadlinePassed {
        /// When.
        at: Timestamp,
    },
    /// A command was read.
    CommandRead {
        /// What was asked.
        command: Box<Command>,
        /// Why it was refused; none: it was applied.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The run is terminal; its end is announced and, where the manifest says so, its volumes are removed.
    RunFinished {
        /// How.
        phase: RunPhase,
        /// Argo's message.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// When.
        at: Timestamp,
        /// Whether the run's volumes are removed.
        #[serde(default, skip_serializing_if = "is_false")]
        delete_volumes: bool,
        /// Whether artifacts of the run are removed.
        #[serde(default, skip_serializing_if = "is_false")]
        delete_artifacts: bool,
    },
    /// The finished run was opened again.
    RunRetried(Box<RunRetried>),
    /// A node that a retry opened again takes its inputs from the new parameters.
    NodeInputs {
        /// Which.
        node: NodeId,
        /// Its inputs with values.
        inputs: Inputs,
    },
    /// A waiting suspend node has these outputs so far.
    NodeOutputs {
        /// Which.
        node: NodeId,
        /// Its outputs.
        outputs: Outputs,
    },
    /// An effect that brings back nothing was performed; it leaves the outbox.
    Performed {
        /// Which.
        effect: EffectKey,
    },
}

/// A new node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCreated {
    /// Its number: the state's next.
    pub id: NodeId,
    /// The node it hangs under; none for the root and the workflow's exit handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<NodeId>,
    /// How it hangs there.
    pub role: Role,
    /// What it adds to its parent's full name: `[0]`, `.train`, `(0:x)`, `(1)`, `.onExit`. The whole name for the
    /// root and the workflow's exit handler.
    pub label: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// The nearest enclosing Steps or DAG node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<NodeId>,
    /// The template it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateKey>,
    /// The template as its call resolved it, where that is this node's alone: an inline one that holds tags of the
    /// template around it, a DAG whose targets are tags. An attempt has its Retry node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Arc<Template>>,
    /// Its inputs with values.
    #[serde(default, skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Arc<Inputs>,
    /// A loop's items, frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Arc<LoopItems>>,
    /// Its first phase.
    pub phase: NodePhase,
    /// Its first message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Names of the hooks that fire because it was skipped or omitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// A retry of a finished run. It opens the next generation: within one, a finished node never un-finishes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRetried {
    /// The generation it opens, from 1.
    pub generation: u32,
    /// When.
    pub at: Timestamp,
    /// Nodes that exist no more; those of them that are still needed are made again.
    pub removed: Vec<NodeId>,
    /// Nodes that are Running again.
    pub reset: Vec<NodeId>,
    /// New values of the workflow's parameters, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// The active tree that it leaves.
    pub tree: Tree,
}

/// How a node hangs under its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The entry node.
    Root,
    /// The workflow's exit handler.
    WorkflowExit,
    /// A step group, by its position in the Steps template.
    Group(u32),
    /// A step or task, or the loop over it, by its name in the enclosing template.
    Call(Arc<str>),
    /// A loop's child, by its index.
    Item(u32),
    /// An attempt of a Retry node, from 0.
    Attempt(u32),
    /// The exit handler of a step or task.
    Exit,
    /// A lifecycle hook of a step or task, or of the workflow (under its entry node), by its name.
    Hook(Arc<str>),
    /// A container of a `containerSet`, by its name.
    Container(Arc<str>),
}

impl Role {
    /// An exit handler or lifecycle hook of another node.
    pub fn is_hook(&self) -> bool {
        matches!(self, Role::Exit | Role::Hook(_))
    }
}

impl NodeKind {
    /// Kinds that are attempts of something outside; Argo retries those of a run that failed.
    pub fn is_execution(self) -> bool {
        matches!(self, NodeKind::Pod | NodeKind::Http)
    }
}

/// What a node is. `Loop` is a loop over a step, which Argo's tree does not show: its children appear under the
/// step group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's own words but one")]
pub enum NodeKind {
    Pod,
    Steps,
    StepGroup,
    Dag,
    TaskGroup,
    Loop,
    Retry,
    Suspend,
    Skipped,
    Http,
    Container,
}

/// Names a template: the object it stands in, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateKey {
    /// `local`, or `namespaced/<object>` or `cluster/<object>` for a template of a stored object.
    pub scope: Arc<str>,
    /// The template's name; for an inline one the caller's and the call's, joined by `/`.
    pub name: Arc<str>,
}

impl TemplateKey {
    /// The key of the inline template of this one's call `call`. No name that a person gives holds a `/`.
    pub fn inline(&self, call: &str) -> TemplateKey {
        TemplateKey { scope: self.scope.clone(), name: format!("{}/{call}", self.name).into() }
    }

    /// The template's name; none for an inline one.
    pub fn template_name(&self) -> Option<&str> {
        (!self.name.contains('/')).then_some(&self.name)
    }
}

/// What a loop repeats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopItems {
    /// The items, in order.
    pub items: Items,
    /// The step or task as JSON, every tag replaced but those of `item`.
    pub call: Value,
    #[serde(skip)]
    same: Same,
}

/// The call of a loop where it is the same for every item; found when the first item needs it, and no part of what is
/// kept.
#[derive(Clone, Default)]
struct Same(OnceLock<Option<Arc<Step>>>);

impl fmt::Debug for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Same")
    }
}

impl PartialEq for Same {
    fn eq(&self, _: &Same) -> bool {
        true
    }
}

impl LoopItems {
    /// A loop that repeats `call` for each item.
    pub fn new(items: Items, call: Value) -> LoopItems {
        LoopItems { items, call, same: Same::default() }
    }

    /// The call, where it is the same for every item.
    pub(crate) fn same(&self) -> Option<&Arc<Step>> {
        let read = || {
            let varies = self.call.get("when").is_some() || self.call.get("inline").is_some();
            if varies || has_tags(&self.call) {
                return None;
            }
            serde_json::from_value(self.call.clone()).ok().map(Arc::new)
        };
        self.same.0.get_or_init(read).as_ref()
    }
}

/// What holds a node back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Block {
    /// `spec.parallelism`, or the bound on open pods where there is none.
    WorkflowParallelism,
    /// `parallelism` of the enclosing template.
    TemplateParallelism,
    /// The run is suspended.
    Suspended,
    /// More may be started than one decision is allowed to.
    Admission,
    /// The value of a config map is not known yet.
    Config,
}

/// How a run is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's own words")]
pub enum ShutdownStrategy {
    Stop,
    Terminate,
}

fn is_false(value: &bool) -> bool {
    !value
}
