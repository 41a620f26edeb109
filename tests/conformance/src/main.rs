//! `dropforge-conformance MANIFEST DOCUMENT GOLDEN SECONDS [PREREQUISITE…]`: runs one manifest through the engine, each leaf's
//! outcome taken from the recording and as long as SECONDS, and prints the Workflow object with its status.

#[cfg(test)]
mod language;

use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use std::sync::Arc;

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::definitions::Definitions;
use dropforge_engine::apply::apply;
use dropforge_engine::attempt::{Attempt, ContainerEnd, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey, PARAMETER_TYPE, TYPE_LABEL};
use dropforge_engine::decide::decide;
use dropforge_engine::effect::{Effect, EffectKey, TimerId};
use dropforge_engine::event::{Command, Event, Verb};
use dropforge_engine::ids::CommandId;
use dropforge_engine::lock::{Holder, LockName, LockRequest, LockWait};
use dropforge_engine::memo::{MemoEntry, MemoKey};
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_engine::view::View;
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_manifest::source::{self, Node};
use dropforge_manifest::types::{Artifact, Outputs, Parameter, S3Location, Workflow};
use jiff::Timestamp;
use serde_json::Value;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [manifest, document, golden, seconds, prerequisites @ ..] = args.as_slice() else {
        eprintln!("usage: dropforge-conformance MANIFEST DOCUMENT GOLDEN SECONDS [PREREQUISITE…]");
        return ExitCode::from(2);
    };
    match recording(manifest, document, golden, seconds, prerequisites) {
        Ok(workflow) => {
            println!("{workflow}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
}

fn objects(path: &str) -> Result<Vec<AnyObject>, String> {
    let parsed = parse(path, &read(path)?);
    match parsed.diagnostics.iter().find(|d| d.is_error()) {
        Some(error) => Err(error.to_string()),
        None => Ok(parsed.documents.into_iter().map(|d| d.object).collect()),
    }
}

fn recording(
    manifest: &str,
    document: &str,
    golden: &str,
    seconds: &str,
    prerequisites: &[String],
) -> Result<Value, String> {
    let golden = serde_json::from_str(&read(golden)?).map_err(|e| e.to_string())?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text} is no number"));
    replay(manifest, number(document)?, golden, number(seconds)?, prerequisites)
}

fn replay(
    manifest: &str,
    document: usize,
    golden: Value,
    seconds: usize,
    prerequisites: &[String],
) -> Result<Value, String> {
    let own = objects(manifest)?;
    let mut known = Definitions::default();
    let mut workflows = Vec::new();
    let mut config_maps = Vec::new();
    for path in prerequisites {
        config_maps.extend(source::read(&read(path)?).0.iter().filter_map(config_map));
        objects(path)?.into_iter().for_each(|object| known.add(object));
    }
    for object in own {
        match object {
            AnyObject::Workflow(workflow) => workflows.push(workflow),
            other => known.add(other),
        }
    }
    let workflow = workflows.into_iter().nth(document).ok_or("no such document")?;
    let program = Arc::new(Program::compile(born(*workflow, &known.templates)?).map_err(|e| e.to_string())?);
    let mut run = Run::new(program, golden, seconds);
    run.config_maps = config_maps.into_iter().collect();
    run.go()?;
    let live = View::fold(run.state.program.clone(), &run.records);
    Ok(live.workflow())
}

/// The run that is born as `dropforge run` bears it.
fn born(mut workflow: Workflow, library: &Library) -> Result<RunSpec, String> {
    // The recordings were made in this namespace.
    workflow.metadata.namespace.get_or_insert_with(|| "argo".to_owned());
    let identity =
        Identity { uid: "4b6fd0c5-3b0a-4b5e-9a4e-2f5d3c1b0a99".into(), suffix: "x7k2p".to_owned() };
    let cause = Cause::Person { by: "conformance".to_owned() };
    let now = Timestamp::from_second(1_790_000_000).map_err(|e| e.to_string())?;
    run_spec(workflow, library, &Site::default(), &Overrides::default(), &identity, cause, now)
        .map_err(|e| e.to_string())
}

/// A config map of the recordings' namespace.
struct ConfigMap {
    kind: Option<String>,
    data: BTreeMap<String, String>,
}

impl ConfigMap {
    /// As Argo's controller finds a value for a parameter in it.
    fn find(maps: &BTreeMap<String, ConfigMap>, wanted: &ConfigKey) -> ConfigFound {
        match maps.get(&wanted.name) {
            None | Some(ConfigMap { kind: None, .. }) => ConfigFound::NoMap { expected: String::new() },
            Some(map) if map.kind.as_deref() != Some(PARAMETER_TYPE) => ConfigFound::NotParameters,
            Some(map) => match map.data.get(&wanted.key) {
                Some(value) => ConfigFound::Value { value: value.clone() },
                None => ConfigFound::NoKey { expected: String::new() },
            },
        }
    }
}

fn config_map(node: &Node) -> Option<(String, ConfigMap)> {
    let text = |node: &Node| node.as_str().map(str::to_owned);
    let metadata =
        node.get("metadata").filter(|_| node.get("kind").and_then(Node::as_str) == Some("ConfigMap"))?;
    let kind = metadata.get("labels").and_then(|labels| text(labels.get(TYPE_LABEL)?));
    let data = node.get("data").map(Node::entries).unwrap_or_default();
    let data = data.iter().filter_map(|entry| Some((entry.key.clone(), text(&entry.value)?))).collect();
    Some((text(metadata.get("name")?)?, ConfigMap { kind, data }))
}

struct Run {
    state: RunState,
    records: Vec<Record>,
    golden: Value,
    config_maps: BTreeMap<String, ConfigMap>,
    /// How long each attempt takes.
    seconds: usize,
    now: Timestamp,
    /// Commands, each given when the run waits for nothing else.
    verbs: VecDeque<Verb>,
    attempts: Vec<Arc<Attempt>>,
    /// Daemons that are ready and that Argo saw end by themselves: they end when nothing else does.
    ending: Vec<Arc<Attempt>>,
    timers: Vec<(Timestamp, TimerId)>,
    /// Caches begin empty: the recordings' own were.
    memos: BTreeMap<MemoKey, MemoEntry>,
    answers: Vec<Event>,
    held: Vec<(LockName, Holder)>,
    wanted: Vec<LockRequest>,
}

impl Run {
    fn new(program: Arc<Program>, golden: Value, seconds: usize) -> Run {
        let now = program.spec.created_at;
        let verbs = serde_json::from_value(golden["commands"].clone()).unwrap_or_default();
        Run {
            verbs,
            state: RunState::new(program),
            records: Vec::new(),
            golden,
            config_maps: BTreeMap::new(),
            seconds,
            now,
            attempts: Vec::new(),
            ending: Vec::new(),
            timers: Vec::new(),
            memos: BTreeMap::new(),
            answers: Vec::new(),
            held: Vec::new(),
            wanted: Vec::new(),
        }
    }

    fn go(&mut self) -> Result<(), String> {
        self.event(&Event::Submitted);
        while !self.state.phase.completed() {
            if !self.answers.is_empty() {
                let answer = self.answers.remove(0);
                self.event(&answer);
            } else if !self.attempts.is_empty() {
                let attempt = self.attempts.remove(0);
                let at = self.tick();
                self.event(&Event::AttemptRunning { attempt: attempt.id.clone(), at, host: None });
                if attempt.work.template.is_daemon() && self.became_ready(&attempt)? {
                    self.ready(attempt)?;
                } else {
                    let verdict = Arc::new(self.verdict(&attempt)?);
                    self.event(&Event::AttemptFinished { verdict });
                }
            } else if let Some(next) = self.timers.iter().min().cloned() {
                self.timers.retain(|t| *t != next);
                self.now = self.now.max(next.0);
                self.event(&Event::TimerFired { timer: next.1 });
            } else if !self.ending.is_empty() {
                let attempt = self.ending.remove(0);
                let verdict = Arc::new(self.verdict(&attempt)?);
                self.event(&Event::AttemptFinished { verdict });
            } else if let Some(verb) = self.verbs.pop_front() {
                self.command(verb);
            } else {
                return Err(format!("stuck: {:?}", dropforge_engine::waiting::waiting(&self.state)));
            }
        }
        match self.verbs.front() {
            Some(verb) => Err(format!("ended before it waited for {verb:?}")),
            None => Ok(()),
        }
    }

    /// What a person asks of a run that nothing else moves.
    fn command(&mut self, verb: Verb) {
        let id = CommandId::from(format!("command-{}", self.verbs.len()).as_str());
        let command = Command { id, by: "conformance".to_owned(), at: self.now, verb };
        self.event(&Event::Commanded { command });
    }

    fn tick(&mut self) -> Timestamp {
        self.now = Timestamp::from_second(self.now.as_second() + 1).unwrap_or(self.now);
        self.now
    }

    fn event(&mut self, event: &Event) {
        let Ok(decision) = decide(&self.state, event, self.now) else { return };
        for record in &decision.records {
            apply(&mut self.state, record);
        }
        self.records.extend(decision.records);
        let mut answers = Vec::new();
        for effect in decision.effects {
            match &*effect {
                Effect::StartAttempt(attempt) => self.attempts.push(attempt.clone()),
                Effect::SetTimer { timer, due } => self.timers.push((*due, timer.clone())),
                Effect::ReadMemo { node, entry } => {
                    let found = self.memos.get(entry).cloned().map(Box::new);
                    answers.push(Event::MemoRead { node: *node, found });
                }
                Effect::WriteMemo { entry, gave, .. } => {
                    self.memos.insert(entry.clone(), (**gave).clone());
                    answers.push(Event::Performed { effect: effect.key(), generation: 0 });
                }
                Effect::ReadConfig(config) => {
                    let found = ConfigMap::find(&self.config_maps, config);
                    self.answers.push(Event::ConfigRead { config: config.clone(), found });
                }
                // One run alone: its locks are its own.
                Effect::TakeLocks(request) => self.take(request),
                Effect::ReleaseLocks(request) => self.release(request),
                _ => {}
            }
        }
        for answer in answers {
            self.event(&answer);
        }
    }

    fn take(&mut self, request: &LockRequest) {
        let LockRequest { holder, generation, .. } = *request;
        let limits: Vec<Option<i64>> = request.locks.iter().map(|lock| self.limit(lock)).collect();
        let bad = request.locks.iter().zip(&limits).find(|(_, limit)| limit.is_none());
        if let Some((lock, _)) = bad {
            let why = format!("failed to initialize semaphore {lock} with limit");
            return self.answers.push(Event::LocksRefused { holder, generation, why, hint: String::new() });
        }
        let full = |(lock, limit): &(&LockName, i64)| {
            let held = self.held.iter().filter(|(held, _)| held == *lock).count();
            i64::try_from(held).is_ok_and(|held| held >= *limit)
        };
        let refuses = request.locks.iter().zip(limits.into_iter().flatten()).find(full);
        let answer = match refuses {
            Some((lock, limit)) => {
                self.wanted.push(request.clone());
                let wait = LockWait { lock: lock.clone(), free: 0, limit, held_by: Vec::new() };
                Event::LocksWaiting { holder, generation, wait: Box::new(wait) }
            }
            None => {
                self.held.extend(request.locks.iter().map(|lock| (lock.clone(), holder)));
                Event::LocksTaken { holder, generation }
            }
        };
        self.answers.push(answer);
    }

    fn release(&mut self, request: &LockRequest) {
        self.held.retain(|(_, holder)| *holder != request.holder);
        self.wanted.retain(|wanted| wanted.holder != request.holder);
        self.answers
            .push(Event::Performed { effect: EffectKey::ReleaseLocks(request.holder), generation: 0 });
        for wanted in std::mem::take(&mut self.wanted) {
            self.take(&wanted);
        }
    }

    fn limit(&self, lock: &LockName) -> Option<i64> {
        match lock {
            LockName::Mutex { .. } => Some(1),
            // A replay is one run.
            LockName::Runs { .. } => Some(i64::MAX),
            LockName::Semaphore { name, key, .. } => {
                self.config_maps.get(name)?.data.get(key)?.parse().ok().filter(|limit| *limit > 0)
            }
        }
    }

    fn recorded(&self, attempt: &Attempt) -> Result<Value, String> {
        let generic = attempt.node_name.replace(&attempt.run_name, "{{workflow.name}}");
        let node =
            self.golden["nodes"].get(&generic).or_else(|| self.golden["nodes"].get(&attempt.node_name));
        node.or_else(|| self.golden.get("otherwise"))
            .cloned()
            .ok_or_else(|| format!("Argo had no pod {generic}"))
    }

    /// A daemon that Argo ended was ready; of one that ended by itself what follows it tells: it began.
    fn became_ready(&self, attempt: &Attempt) -> Result<bool, String> {
        let node = self.recorded(attempt)?;
        let began = |name: &Value| {
            let phase = name.as_str().and_then(|name| self.golden["nodes"][name]["phase"].as_str());
            !matches!(phase, None | Some("Omitted" | "Skipped"))
        };
        let follows = node["children"].as_array().into_iter().flatten().any(began);
        Ok(node["phase"] == "Succeeded" || node["daemoned"] == true || follows)
    }

    fn ready(&mut self, attempt: Arc<Attempt>) -> Result<(), String> {
        let at = self.tick();
        let ended = self.recorded(&attempt)?["phase"] != "Succeeded";
        let ip = "127.0.0.1".to_owned();
        self.event(&Event::AttemptReady { attempt: attempt.id.clone(), at, ip });
        if ended {
            self.ending.push(attempt);
        }
        Ok(())
    }

    fn verdict(&mut self, attempt: &Attempt) -> Result<Verdict, String> {
        let node = self.recorded(attempt)?;
        let outcome = outcome(&node);
        let at = (0..self.seconds).fold(self.now, |_, _| self.tick());
        let message = node["message"].as_str().unwrap_or_default();
        let mut verdict = Verdict::without_outputs(attempt.id.clone(), outcome, Reason::Exited, message, at);
        verdict.outputs = outputs(&node["outputs"], attempt);
        verdict.containers = self.containers(attempt, at);
        // A step that ended badly may have left its declared outputs without values.
        if outcome == Outcome::Succeeded || node["outputs"].get("parameters").is_some() {
            fill_empty(&mut verdict.outputs, attempt, (outcome == Outcome::Succeeded).then_some(""));
        }
        Ok(verdict)
    }

    /// The containers of a set, each a node of the recording.
    fn containers(&self, attempt: &Attempt, finished_at: Timestamp) -> Vec<ContainerEnd> {
        let pod = attempt.node_name.replace(&attempt.run_name, "{{workflow.name}}");
        let set = attempt.work.template.container_set.iter().flat_map(|set| &set.containers);
        set.filter_map(|container| {
            let name = container.name().to_owned();
            let node = self.golden["nodes"].get(format!("{pod}.{name}"))?;
            let message = node["message"].as_str().unwrap_or_default().to_owned();
            let outcome = outcome(node);
            Some(ContainerEnd { name, outcome, message, exit_code: None, started_at: None, finished_at })
        })
        .collect()
    }
}

fn outcome(node: &Value) -> Outcome {
    match node["phase"].as_str() {
        Some("Succeeded") => Outcome::Succeeded,
        Some("Error") => Outcome::Error,
        _ => Outcome::Failed,
    }
}

/// Recordings leave out empty texts and missing ones: a declared output parameter that is not there was one.
fn fill_empty(outputs: &mut Outputs, attempt: &Attempt, value: Option<&str>) {
    for declared in &attempt.work.template.outputs.parameters {
        if !outputs.parameters.iter().any(|p| p.name == declared.name) {
            outputs.parameters.push(Parameter {
                value: value.map(Into::into),
                value_from: None,
                ..declared.clone()
            });
        }
    }
}

fn outputs(recorded: &Value, attempt: &Attempt) -> Outputs {
    let text = |v: &Value| v.as_str().map(|s| s.replace("{{workflow.name}}", &attempt.run_name));
    let parameters = recorded["parameters"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| Parameter {
            name: name.clone(),
            value: text(value).map(Into::into),
            ..Parameter::default()
        })
        .collect();
    let artifacts = recorded["artifacts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| Artifact {
            name: name.to_owned(),
            s3: Some(S3Location {
                key: Some(format!("{}/{name}", attempt.work.artifact_prefix)),
                ..S3Location::default()
            }),
            ..Artifact::default()
        })
        .collect();
    Outputs {
        parameters,
        artifacts,
        result: text(&recorded["result"]),
        exit_code: text(&recorded["exitCode"]),
    }
}
