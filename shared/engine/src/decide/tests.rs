//! Whole runs through `decide`, the transition table, and what holds whatever order events come in.

mod configs;
mod daemons;
mod endings;
mod errors;
mod flow;
mod history;
mod hooks;
mod hostile;
mod language;
mod locks;
mod memos;
mod metrics;
mod orders;
mod pods;
mod reopened;
mod requests;
mod snapshots;
mod table;
mod wide;

use std::sync::Arc;

use dropforge_manifest::parse::{AnyObject, parse};
use jiff::Timestamp;

use super::{Decision, Rejected, decide};
use crate::apply::apply;
use crate::attempt::{Attempt, Outcome, Reason, Verdict};
use crate::config::ConfigKey;
use crate::effect::{Effect, EffectKey, TimerId};
use crate::event::{Command, Event, RetryOptions, Verb};
use crate::ids::NodeId;
use crate::invariants::violations;
use crate::lock::LockRequest;
use crate::memo::{MemoEntry, MemoKey};
use crate::phase::{NodePhase, RunPhase};
use crate::program::Program;
use crate::record::Record;
use crate::retry::plan;
use crate::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use crate::state::RunState;
use crate::view::View;

/// A run under test: its state, everything on record, and what the world was asked.
pub(super) struct World {
    pub program: Arc<Program>,
    pub state: RunState,
    pub records: Vec<Record>,
    pub started: Vec<Arc<Attempt>>,
    pub timers: Vec<(TimerId, Timestamp)>,
    pub stopped: Vec<String>,
    /// Cache entries asked for, and kept.
    pub asked: Vec<(NodeId, MemoKey)>,
    pub kept: Vec<(NodeId, MemoKey, MemoEntry)>,
    pub configs: Vec<ConfigKey>,
    pub taking: Vec<Arc<LockRequest>>,
    pub released: Vec<String>,
    pub now: i64,
}

/// A run of `spec` (YAML below `spec:`, two spaces in), submitted.
pub(super) fn world(spec: &str) -> World {
    let mut world = World::unborn(spec, Settings::default());
    world.event(Event::Submitted);
    world
}

impl World {
    pub fn unborn(spec: &str, settings: Settings) -> World {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wf}}\nspec:\n{spec}"
        );
        let parsed = parse("test", &text);
        assert!(!parsed.has_errors(), "{:?}\n{text}", parsed.diagnostics);
        let Some(AnyObject::Workflow(workflow)) = parsed.documents.into_iter().next().map(|d| d.object)
        else {
            panic!("no workflow in {text}");
        };
        let run = RunSpec {
            format: SPEC_FORMAT,
            uid: "uid-1".into(),
            metadata: workflow.metadata.clone(),
            spec: workflow.spec.clone(),
            library: Default::default(),
            created_at: at(1000),
            cause: Cause::Person { by: "test".to_owned() },
            settings,
            reused: Vec::new(),
            source: None,
            packed: Default::default(),
        };
        let program = Arc::new(Program::compile(run).unwrap());
        let state = RunState::new(program.clone());
        World {
            program,
            state,
            records: Vec::new(),
            started: Vec::new(),
            timers: Vec::new(),
            stopped: Vec::new(),
            asked: Vec::new(),
            kept: Vec::new(),
            configs: Vec::new(),
            taking: Vec::new(),
            released: Vec::new(),
            now: 1000,
        }
    }

    pub fn try_event(&mut self, event: Event) -> Result<Decision, Rejected> {
        self.now += 1;
        let decision = decide(&self.state, &event, at(self.now))?;
        self.take(&decision);
        Ok(decision)
    }

    pub fn event(&mut self, event: Event) {
        self.try_event(event.clone()).unwrap_or_else(|why| panic!("{event:?}: {why}"));
    }

    /// Folds a decision as an owner does, and checks what must hold of it.
    fn take(&mut self, decision: &Decision) {
        let before = self.state.outbox.clone();
        let mut resumed = snapshots::stored_and_restored(&self.state, &self.program);
        for record in &decision.records {
            apply(&mut self.state, record);
            apply(&mut resumed, record);
        }
        snapshots::assert_same(&resumed, &self.state);
        self.records.extend(decision.records.clone());
        let mut added: Vec<EffectKey> = self
            .state
            .outbox
            .values()
            .filter(|effect| before.get(&effect.key()) != Some(effect))
            .map(|effect| effect.key())
            .collect();
        added.sort();
        let mut effects: Vec<EffectKey> = decision.effects.iter().map(|e| e.key()).collect();
        effects.sort();
        assert_eq!(effects, added, "effects are exactly what the records add to the outbox");
        assert_eq!(violations(&self.state), Vec::<String>::new());
        for effect in &decision.effects {
            match &**effect {
                Effect::StartAttempt(attempt) => self.started.push(attempt.clone()),
                Effect::SetTimer { timer, due } => self.timers.push((timer.clone(), *due)),
                Effect::StopAttempt { attempt, .. } => self.stopped.push(attempt.to_string()),
                Effect::ReadMemo { node, entry } => self.asked.push((*node, entry.clone())),
                Effect::WriteMemo { node, entry, gave } => {
                    self.kept.push((*node, entry.clone(), (**gave).clone()));
                }
                Effect::DeleteVolumes | Effect::DeleteArtifacts | Effect::AnnounceEnd { .. } => {}
                Effect::ReadConfig(config) => self.configs.push(config.clone()),
                Effect::TakeLocks(request) => self.taking.push(request.clone()),
                Effect::ReleaseLocks(request) => self.released.push(request.key.clone()),
            }
        }
    }

    /// The live attempt of the node with this full name.
    pub fn attempt(&self, node: &str) -> Arc<Attempt> {
        let live = |a: &&Arc<Attempt>| a.node_name == node && self.state.outbox.attempt(&a.id).is_some();
        let found = self.started.iter().rev().find(live);
        found.unwrap_or_else(|| panic!("no live attempt of {node}; live: {:?}", self.live())).clone()
    }

    /// Full names of the nodes with live attempts, in the order in which they were started.
    pub fn live(&self) -> Vec<String> {
        let live = self.started.iter().filter(|a| self.state.outbox.attempt(&a.id).is_some());
        live.map(|a| a.node_name.clone()).collect()
    }

    pub fn finish_with(&mut self, node: &str, change: impl FnOnce(&mut Verdict)) {
        let attempt = self.attempt(node);
        let mut verdict = verdict(&attempt, Outcome::Succeeded, self.now);
        change(&mut verdict);
        self.event(Event::AttemptFinished { verdict: Arc::new(verdict) });
    }

    /// The attempt of this node runs.
    pub fn run(&mut self, node: &str) {
        let (attempt, at) = (self.attempt(node).id.clone(), at(self.now));
        self.event(Event::AttemptRunning { attempt, at, host: None });
    }

    /// The daemon of this name serves.
    pub fn ready(&mut self, node: &str) {
        let attempt = self.attempt(node).id.clone();
        self.event(Event::AttemptReady { attempt, at: at(self.now), ip: "127.0.0.1".to_owned() });
    }

    pub fn succeed(&mut self, node: &str) {
        self.finish_with(node, |_| {});
    }

    pub fn fail(&mut self, node: &str) {
        self.finish_with(node, |v| {
            v.outcome = Outcome::Failed;
            v.message = "main: Error (exit code 1)".to_owned();
            v.outputs.exit_code = Some("1".to_owned());
        });
    }

    pub fn command(&mut self, id: &str, verb: Verb) {
        let command = Command { id: id.into(), by: "test".to_owned(), at: at(self.now), verb };
        self.event(Event::Commanded { command });
    }

    /// Fires the timer that was set last, at its time.
    pub fn fire(&mut self) {
        let (timer, due) = self.timers.last().cloned().expect("a timer is set");
        self.now = self.now.max(due.as_second());
        self.event(Event::TimerFired { timer });
    }

    pub fn view(&self) -> View {
        View::fold(self.program.clone(), &self.records)
    }

    /// A retry of the whole run, as an owner plans it; gives why it was refused.
    pub fn retry(&mut self, options: RetryOptions) -> Option<String> {
        let id = format!("retry-{}", self.now);
        let verb = Verb::Retry(options.clone());
        let command = Command { id: id.as_str().into(), by: "test".to_owned(), at: at(self.now), verb };
        let plan =
            plan(self.program.clone(), &self.records, &options).map(Box::new).map_err(|e| e.to_string());
        self.event(Event::RetryPlanned { command, plan });
        match self.records.iter().rev().find(|r| matches!(r, Record::CommandRead { .. })) {
            Some(Record::CommandRead { refused, .. }) => refused.clone(),
            _ => None,
        }
    }

    /// Every node's full name without the run's, with its phase.
    pub fn phases(&self) -> Vec<(String, NodePhase)> {
        let view = self.view();
        view.nodes.values().map(|n| (n.name.trim_start_matches("wf").to_owned(), n.phase)).collect()
    }

    pub fn phase_of(&self, node: &str) -> Option<NodePhase> {
        self.phases().into_iter().find(|(name, _)| name == node).map(|(_, phase)| phase)
    }

    pub fn message_of(&self, node: &str) -> String {
        let view = self.view();
        view.nodes
            .values()
            .find(|n| n.name == format!("wf{node}"))
            .map(|n| n.message.clone())
            .unwrap_or_default()
    }

    /// Why the run does not move, a line for each node.
    pub fn waiting(&self) -> Vec<String> {
        crate::waiting::waiting(&self.state).iter().map(ToString::to_string).collect()
    }

    pub fn ended(&self) -> Option<(RunPhase, String)> {
        self.state.phase.completed().then(|| (self.state.phase, self.state.message.clone()))
    }
}

pub(super) fn verdict(attempt: &Attempt, outcome: Outcome, now: i64) -> Verdict {
    let mut verdict = Verdict::without_outputs(attempt.id.clone(), outcome, Reason::Exited, "", at(now));
    verdict.outputs.exit_code = Some("0".to_owned());
    verdict
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
