//! Lifecycle hooks and exit handlers of steps and tasks, and the workflow's own hooks.
//!
//! A hook fires once, when its expression is true, and its owner waits for it. The exit handler of a step or task comes
//! after its hooks. Neither takes part in `parallelism`: a limit would hold back what its owner waits for.

use std::sync::Arc;

use dropforge_manifest::types::{Arguments, LifecycleHook, Outputs};

use super::calls::Place;
use super::{Decider, NodeKind, NodePhase, Record, Role, Work};
use crate::apply::apply;
use crate::ids::NodeId;
use crate::program::hooks::{Hook, RunFacts};
use crate::program::{LOCAL, Program};
use crate::record::{NodeCreated, ShutdownStrategy};
use crate::resolve::{self, Why};
use crate::state::{Body, Node, RunState};

/// A hook that fires; the text says why it can't be started.
pub(super) struct Firing {
    hook: Arc<Hook>,
    error: Option<Why>,
}

impl Firing {
    /// The hook's name.
    pub fn name(&self) -> &str {
        &self.hook.name
    }
}

impl Decider {
    /// Notes what of the run as a whole a record changes.
    pub(super) fn note_facts(&mut self, record: &Record) {
        if !self.state.program.hooked {
            return;
        }
        let of = |node: NodeId, phase: NodePhase| RunFacts {
            status: self.state.root == Some(node),
            failures: phase.failed(),
            outputs: false,
        };
        let changed = match record {
            Record::NodeCreated(c) => {
                RunFacts { status: c.role == Role::Root, failures: c.phase.failed(), outputs: false }
            }
            Record::AttemptRunning { attempt, .. } => match self.state.outbox.node_of(attempt) {
                Some(node) => of(node, NodePhase::Running),
                None => RunFacts::default(),
            },
            Record::AttemptStarted { attempt, .. } => of(attempt.node, NodePhase::Pending),
            Record::NodeBegun { node } => of(*node, NodePhase::Running),
            Record::NodeFinished { node, phase, .. } => of(*node, *phase),
            Record::GlobalParameter { .. } | Record::GlobalArtifact { .. } => {
                RunFacts { outputs: true, ..RunFacts::default() }
            }
            // Nothing was looked at while it was suspended, or over.
            Record::Resumed | Record::RunRetried(_) => RunFacts::ALL,
            _ => RunFacts::default(),
        };
        self.facts = self.facts.and(changed);
    }

    /// Looks again at the hooks that read what changed of the run as a whole.
    pub(super) fn look_at_readers_of_run(&mut self) {
        let changed = std::mem::take(&mut self.facts);
        if changed.is_empty() || self.state.suspended || self.state.phase.completed() {
            return;
        }
        let readers: Vec<NodeId> =
            self.state.root.iter().chain(self.state.watchers.iter()).copied().collect();
        for id in readers {
            let Some(node) = self.state.node(id).cloned() else { continue };
            if self.state.hooks_of(&node).iter().any(|h| h.reads.run.meets(changed)) {
                self.look_at_hooks(id);
            }
        }
    }

    /// A node changed: its own hooks and those of its siblings that look at it may fire. The workflow's own wait until nothing
    /// follows any more.
    pub(super) fn hooks_read(&mut self, id: NodeId) {
        if !self.state.program.hooked {
            return;
        }
        let Some(node) = self.state.node(id).cloned() else { return };
        if node.role != Role::Root && !self.state.hooks_of(&node).is_empty() {
            self.work.push_back(Work::Hooks(id));
        }
        let readers = self.sibling_readers(&node);
        self.work.extend(readers);
    }

    /// The hooks of a node's siblings that look at it.
    pub(super) fn sibling_readers(&self, node: &Node) -> Vec<Work> {
        if !self.state.program.hooked {
            return Vec::new();
        }
        let composite = node.boundary.and_then(|b| self.state.node(b));
        let (Role::Call(name), Some(composite)) = (&node.role, composite) else { return Vec::new() };
        let (Body::Steps { calls, .. } | Body::Dag { calls, .. }) = &composite.body else {
            return Vec::new();
        };
        let Some(template) = self.state.template_of(composite) else { return Vec::new() };
        let readers = template.hook_readers(name).iter().filter_map(|reader| calls.named(reader, template));
        readers.map(Work::Hooks).collect()
    }

    /// Starts what is due of a node's hooks, and those whose expression has become true. A settled node is not looked at: its
    /// parent has gone on; only the workflow's own hooks last until the run's end, or an error of the entry template.
    pub(super) fn look_at_hooks(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id).cloned() else { return };
        let over = if node.role == Role::Root { node.returned_error() } else { node.settled() };
        if self.state.suspended || over {
            return;
        }
        for firing in self.due(&node) {
            self.start_hook(id, firing);
        }
        for firing in firing(&self.state, self.now, &node) {
            self.start_hook(id, firing);
        }
        self.start_due_exit(id);
    }

    /// Hooks that fired when their node ended and could not be started then.
    fn due(&self, node: &Node) -> Vec<Firing> {
        let hooks = self.state.hooks_of(node).iter().filter(|h| node.hooks.due.contains(&h.name));
        // Whether its expression could be evaluated is found out once more: nothing it reads can change any more.
        hooks
            .map(|hook| Firing { hook: hook.clone(), error: holds(&self.state, self.now, node, hook).err() })
            .collect()
    }

    /// The hooks that fire when a node ends so, found before it is on record: a node that its parent took for settled can't
    /// be opened again.
    pub(super) fn firing_at_end(
        &self,
        node: &Node,
        phase: NodePhase,
        message: &str,
        outputs: &Outputs,
    ) -> Vec<Firing> {
        if node.role == Role::Root || self.state.hooks_of(node).is_empty() {
            return Vec::new();
        }
        let ended = Node {
            phase,
            message: message.to_owned(),
            outputs: Arc::new(outputs.clone()),
            finished_at: Some(self.now),
            ..node.clone()
        };
        let mut state = self.state.clone();
        state.nodes.insert_mut(node.id, Arc::new(ended.clone()));
        firing(&state, self.now, &ended)
    }

    /// The hooks of a DAG's task that is skipped or omitted, found before it is on record; a step's are not looked at, as in
    /// Argo.
    pub(super) fn firing_when_passed_over(&self, created: &NodeCreated) -> Vec<Firing> {
        let in_dag = created.parent.and_then(|p| self.state.node(p)).is_some_and(|p| p.kind == NodeKind::Dag);
        let passed_over = matches!(created.phase, NodePhase::Skipped | NodePhase::Omitted);
        if !in_dag || !passed_over || !matches!(created.role, Role::Call(_)) {
            return Vec::new();
        }
        let mut state = self.state.clone();
        apply(&mut state, &Record::NodeCreated(Box::new(created.clone())));
        match state.node(created.id).cloned() {
            Some(node) => firing(&state, self.now, &node),
            None => Vec::new(),
        }
    }

    /// What follows the end of a node: its hooks, then its exit handler, or its parent goes on.
    pub(super) fn after_end(&mut self, id: NodeId, fired: Vec<Firing>, settled: Work) {
        if self.state.node(id).is_none_or(|n| n.settled()) {
            return self.work.push_back(settled);
        }
        if !self.state.suspended {
            for firing in fired {
                self.start_hook(id, firing);
            }
            self.start_due_exit(id);
        }
    }

    fn start_hook(&mut self, id: NodeId, firing: Firing) {
        let Some(node) = self.state.node(id).cloned() else { return };
        let Firing { hook, error } = firing;
        let place = Place {
            parent: Some(id),
            role: Role::Hook(hook.name.as_str().into()),
            label: format!(".hooks.{}", hook.name).into(),
            boundary: node.boundary,
        };
        let given = match error {
            Some(why) => Err(why),
            None => self.hook_arguments(&node, &hook.hook.arguments),
        };
        self.start_hooked(place, &hook.hook, given);
    }

    fn start_hooked(
        &mut self,
        place: Place,
        hook: &LifecycleHook,
        given: Result<(Arguments, Vec<String>), Why>,
    ) {
        let composite = place.boundary.and_then(|b| self.state.node(b));
        let scope =
            composite.and_then(|c| c.template.as_ref()).map_or_else(|| LOCAL.into(), |t| t.scope.clone());
        let key = Program::resolve(&scope, &hook.template, hook.template_ref.as_ref());
        match given {
            // Its owner is looked at again when the answer has come.
            Ok((arguments, _)) if self.lacks_config(&key, None, &arguments) => {
                if let Some(node) = place.parent {
                    self.emit(Record::HookHeld { node });
                }
            }
            Ok((arguments, absent)) => self.start_call(place, key, &arguments, &absent),
            Err(why) => self.create_ended(place, Some(key), NodePhase::Error, why),
        }
    }

    fn hook_arguments(&self, node: &Node, given: &Arguments) -> Result<(Arguments, Vec<String>), Why> {
        match self.state.caller(node.id).and_then(|(owner, _)| self.state.node(owner)) {
            Some(composite) => resolve::hook_arguments(&self.state, self.now, composite, node.id, given),
            None => self.exit_arguments(given).map(|arguments| (arguments, Vec::new())),
        }
    }

    /// Whether a call's node has an exit handler to run once it has ended so. With a Retry node that is the wrapper, with a loop
    /// each item.
    pub(super) fn has_exit_handler(&self, node: &Node, phase: NodePhase) -> bool {
        phase.completed() && !self.terminated() && self.exit_hook(node).is_some()
    }

    pub(super) fn terminated(&self) -> bool {
        matches!(self.state.shutdown, Some((ShutdownStrategy::Terminate, _)))
    }

    fn exit_hook(&self, node: &Node) -> Option<&LifecycleHook> {
        let looped = matches!(node.kind, NodeKind::Loop | NodeKind::TaskGroup | NodeKind::StepGroup);
        if looped || !matches!(node.role, Role::Call(_) | Role::Item(_)) {
            return None;
        }
        let (_, call) = self.state.call_of(self.state.called(node.id)?)?;
        call.exit.as_deref()
    }

    /// Starts a node's exit handler if nothing but it is open.
    pub(super) fn start_due_exit(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id).cloned() else { return };
        if !node.hooks.exit_due || node.hooks_open > 1 || self.state.suspended {
            return;
        }
        let Some(hook) = self.exit_hook(&node).filter(|_| !self.terminated()).cloned() else {
            return self.pass_exit(&node);
        };
        let wanted = self.exit_wanted(&node, &hook);
        if wanted == Ok(false) {
            return self.pass_exit(&node);
        }
        let place =
            Place { parent: Some(id), role: Role::Exit, label: ".onExit".into(), boundary: node.boundary };
        // Without arguments of its own it gets the workflow's (Argo's rule I-6).
        let given =
            if hook.arguments.is_empty() { &self.state.program.spec.spec.arguments } else { &hook.arguments };
        let given = wanted.and_then(|_| self.hook_arguments(&node, given));
        self.start_hooked(place, &hook, given);
    }

    fn exit_wanted(&self, node: &Node, hook: &LifecycleHook) -> Result<bool, Why> {
        let Some(expression) = hook.expression.as_deref().filter(|e| !e.is_empty()) else { return Ok(true) };
        resolve::hook_expression(&self.state, self.now, node.id, expression, None)
    }

    fn pass_exit(&mut self, node: &Node) {
        let settled = self.settled(node.parent, &node.role);
        self.emit(Record::HookPassed { node: node.id });
        self.work.push_back(settled);
    }

    /// A hook or exit handler is done: its owner's exit handler or parent may go on.
    pub(super) fn hook_settled(&mut self, owner: NodeId, above: Option<NodeId>, role: Role) {
        // A loop's item is gone as soon as it is settled.
        if self.state.node(owner).is_none_or(|n| n.settled()) {
            self.work.push_back(self.settled(above, &role));
        } else {
            self.start_due_exit(owner);
        }
    }

    /// Whether a node's cache gave nothing while it was held back.
    fn is_missed(&self, id: NodeId) -> bool {
        self.state.node(id).is_some_and(|node| node.held_after_memo())
    }

    /// The run goes on: what its suspension held back is looked at.
    pub(super) fn lift_suspension(&mut self) {
        let held = self.state.held_hooks.clone();
        let missed: Vec<NodeId> =
            self.state.blocked.iter().copied().filter(|id| self.is_missed(*id)).collect();
        self.emit(Record::Resumed);
        // They have had their place in `parallelism` since their caches were asked, so that nothing else makes room.
        missed.into_iter().for_each(|id| self.begin_missed(id));
        self.work.extend(held.iter().map(|id| Work::Hooks(*id)));
        self.work.push_back(Work::WakeRun);
    }
}

/// The hooks of a node that have not fired and do now.
fn firing(state: &RunState, now: jiff::Timestamp, node: &Node) -> Vec<Firing> {
    let waiting = state.hooks_of(node).iter().filter(|h| !node.hooks.names.contains(&h.name));
    waiting
        .filter_map(|hook| match holds(state, now, node, hook) {
            Ok(false) => None,
            found => Some(Firing { hook: hook.clone(), error: found.err() }),
        })
        .collect()
}

fn holds(state: &RunState, now: jiff::Timestamp, node: &Node, hook: &Hook) -> Result<bool, Why> {
    match hook.hook.expression.as_deref().filter(|e| !e.is_empty()) {
        Some(text) => resolve::hook_expression(state, now, node.id, text, hook.parsed.as_ref()),
        None => {
            let name = format!("{}.hooks.{}", state.name(node.id), hook.name);
            Err(format!("Expression required for hook {name}"))
        }
    }
}
