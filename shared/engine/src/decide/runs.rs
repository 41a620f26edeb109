//! The run as a whole: its beginning, its exit handler, its end.

use dropforge_manifest::types::Arguments;
use serde_json::Value;

use super::calls::{End, Place};
use super::{Decider, NodePhase, Record, Role, RunPhase};
use crate::effect::{EffectKey, TimerId, TimerKind};
use crate::garbage::{Fate, removes, removes_volumes};
use crate::ids::NodeId;
use crate::metric::Moment;
use crate::program::{LOCAL, Program};
use crate::record::Block;
use crate::resolve;

/// Argo's message of a run that was terminated while it waited for its locks (rule SD-4).
const TERMINATED: &str = "Stopped with strategy 'Terminate'";

impl Decider {
    /// Begins the run once everything is known that it needs for that.
    fn begin_when_ready(&mut self) {
        if self.terminated() {
            return self.end_unbegun();
        }
        if self.lacks_arguments() {
            return;
        }
        if let Some(why) = self.missing_argument() {
            return self.end_run(RunPhase::Failed, why);
        }
        if !self.lacks_locks() {
            self.begin();
        }
    }

    /// Ends a run that was terminated before anything of it could begin.
    fn end_unbegun(&mut self) {
        let (phase, why) = match self.state.out_of_time() {
            Some(why) => (RunPhase::Error, why),
            None => (RunPhase::Failed, TERMINATED),
        };
        let why = why.to_owned();
        self.end_run(phase, why);
    }

    /// Ends what a retry opened in a run that was terminated before any of it went on: the newest first, so that nobody
    /// is ended after what it hangs on, and nothing follows.
    fn end_opened(&mut self) {
        let open = self.state.nodes.values().filter(|node| !node.phase.fulfilled());
        let open: Vec<NodeId> = open.map(|node| node.id).collect();
        for id in open.into_iter().rev() {
            if let Some(node) = self.state.node(id).cloned() {
                self.conclude(node, End::unseen(NodePhase::Failed, TERMINATED));
            }
        }
    }

    fn begin(&mut self) {
        let at = self.now;
        self.emit(Record::RunStarted { at });
        self.arm_deadline();
        self.take_over();
    }

    pub(super) fn arm_deadline(&mut self) {
        if let Some(due) = self.workflow_deadline() {
            let timer =
                TimerId { kind: TimerKind::WorkflowDeadline, node: None, generation: self.state.next_timer };
            self.emit(Record::TimerSet { timer, due });
        }
    }

    /// Starts the entry node, then the exit handler, then ends the run: whichever is due.
    pub(super) fn settle_run(&mut self) {
        if self.state.phase.completed() {
            return;
        }
        if self.state.started_at.is_none() {
            self.begin_when_ready();
        }
        if self.state.phase.completed() || self.state.started_at.is_none() {
            return;
        }
        // A retried run takes its own locks first.
        if self.state.locks.waits_for(None).is_some() {
            if self.terminated() {
                self.end_opened();
                self.end_unbegun();
            }
            return;
        }
        let Some(root) = self.state.root else {
            return match self.state.out_of_time() {
                Some(_) => self.end_unbegun(),
                None => self.start_root(),
            };
        };
        // While the run is suspended nothing starts, the exit handler neither.
        if self.state.suspended || self.state.node(root).is_none_or(|n| !n.settled()) {
            return;
        }
        // An entry node or an exit handler that is a daemon serves nobody.
        self.end_daemons(None);
        let Some(entry) = self.state.node(root).cloned() else { return };
        match self.state.exit {
            // Argo ends the run at once by an error that the entry template hands it (rule R-7).
            None if entry.returned_error() || self.terminated() => self.finish_run(&entry, None),
            None if self.state.program.exit_hook().is_some() => self.start_workflow_exit(),
            None => self.finish_run(&entry, None),
            Some(exit) => {
                if let Some(node) = self.state.node(exit).cloned().filter(|n| n.settled()) {
                    self.finish_run(&entry, Some(&node));
                }
            }
        }
    }

    fn start_root(&mut self) {
        if self.state.suspended && self.state.shutdown.is_none() {
            return;
        }
        let place = Place {
            parent: None,
            role: Role::Root,
            label: self.state.program.spec.name().into(),
            boundary: None,
        };
        let program = self.state.program.clone();
        let (key, arguments) = (program.entrypoint(), &program.spec.spec.arguments);
        if self.lacks_config(&key, None, arguments) {
            return;
        }
        self.start_call(place, key, arguments, &[]);
        if let Some(entry) = self.state.root.and_then(|root| self.state.node(root)).cloned() {
            self.run_metrics(&entry, Moment::Begin);
        }
    }

    fn start_workflow_exit(&mut self) {
        let program = self.state.program.clone();
        let Some(hook) = program.exit_hook() else { return };
        let place = Place {
            parent: None,
            role: Role::WorkflowExit,
            label: format!("{}.onExit", program.spec.name()).into(),
            boundary: None,
        };
        let key = Program::resolve(&LOCAL.into(), &hook.template, hook.template_ref.as_ref());
        let given = if hook.arguments.is_empty() { &program.spec.spec.arguments } else { &hook.arguments };
        match self.exit_arguments(given) {
            Ok(arguments) => {
                if !self.lacks_config(&key, None, &arguments) {
                    self.start_call(place, key, &arguments, &[]);
                }
            }
            Err(why) => self.create_ended(place, Some(key), NodePhase::Error, why),
        }
    }

    /// Arguments of the exit handler and of the workflow's hooks: globals, the run's outputs among them.
    pub(super) fn exit_arguments(&self, given: &Arguments) -> Result<Arguments, String> {
        let near = self.state.root.unwrap_or(NodeId(0));
        let globals = resolve::globals(&self.state, self.now, near);
        resolve::global_arguments(given, &globals)
    }

    fn finish_run(&mut self, entry: &crate::state::Node, exit: Option<&crate::state::Node>) {
        let (phase, message) = self.outcome(entry, exit);
        self.run_metrics(entry, Moment::End);
        self.end_run(phase, message);
    }

    pub(super) fn end_run(&mut self, phase: RunPhase, message: String) {
        for timer in self.live_timers() {
            self.emit(Record::TimerEnded { timer });
        }
        let (at, delete_volumes) = (self.now, self.deletes_volumes(phase));
        let delete_artifacts = removes(&self.state.program, Fate::Completed);
        self.emit(Record::RunFinished { phase, message, at, delete_volumes, delete_artifacts });
        self.release_locks(None);
    }

    /// Argo's rules P-4 and P-5.
    fn outcome(&self, entry: &crate::state::Node, exit: Option<&crate::state::Node>) -> (RunPhase, String) {
        let phase = |node: NodePhase| match node {
            NodePhase::Failed => RunPhase::Failed,
            NodePhase::Error => RunPhase::Error,
            _ => RunPhase::Succeeded,
        };
        if let Some(why) = self.state.out_of_time() {
            return (RunPhase::Error, why.to_owned());
        }
        if let Some(why) = &entry.hooks.error {
            return (RunPhase::Error, why.clone());
        }
        if let Some(exit) = exit.filter(|e| e.returned_error()) {
            return (RunPhase::Error, format!("error in exit template execution : {}", exit.message));
        }
        if let Some(exit) = exit.filter(|e| e.phase.failed() && !entry.phase.failed()) {
            return (phase(exit.phase), exit.message.clone());
        }
        match &self.state.shutdown {
            Some((strategy, said)) if entry.phase.failed() => {
                let message = said.clone().unwrap_or_else(|| format!("Stopped with strategy '{strategy:?}'"));
                (phase(entry.phase), message)
            }
            _ if entry.returned_error() => {
                (RunPhase::Error, format!("error in entry template execution: {}", entry.message))
            }
            _ if entry.phase == NodePhase::Skipped => (RunPhase::Succeeded, String::new()),
            _ => (phase(entry.phase), entry.message.clone()),
        }
    }

    /// The timers of the outbox; found by their range in it, which holds every live attempt too.
    fn live_timers(&self) -> Vec<TimerId> {
        let first = TimerId { kind: TimerKind::WorkflowDeadline, node: None, generation: 0 };
        let timers = self.state.outbox.range(EffectKey::Timer(first)..EffectKey::Volumes);
        timers
            .filter_map(|key| match key {
                EffectKey::Timer(timer) => Some(timer.clone()),
                _ => None,
            })
            .collect()
    }

    fn deletes_volumes(&self, phase: RunPhase) -> bool {
        let spec = &self.state.program.spec;
        let named = |v: &Value| v.pointer("/metadata/name").is_some();
        spec.spec.volume_claim_templates.iter().any(named) && removes_volumes(spec, phase)
    }

    /// More may be started than this decision was allowed to: rings again at once.
    pub(super) fn arm_admission(&mut self) {
        let held = self
            .state
            .blocked
            .iter()
            .any(|id| self.state.node(*id).is_some_and(|n| n.blocked == Some(Block::Admission)));
        let armed = self.live_timers().iter().any(|t| t.kind == TimerKind::Admission);
        if held && !armed {
            let timer = TimerId { kind: TimerKind::Admission, node: None, generation: self.state.next_timer };
            let due = self.now;
            self.emit(Record::TimerSet { timer, due });
        }
    }
}
