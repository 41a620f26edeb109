//! Journals of older programs: `golden/NAME-FORMAT.jsonl` holds a run's spec, its records and the state that they gave then.
//! Every later program reads them to that state, and goes on with it to the run's end.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::ConfigFound;
use crate::lock::{HeldBy, LockName, LockWait};
use crate::snapshot::{SNAPSHOT_FORMAT, Snapshot};

type Story = fn() -> World;

/// Runs that end in the middle, and between them hold a record of every kind.
const STORIES: [(&str, Story); 5] =
    [("wide", wide), ("locked", locked), ("told", told), ("stopped", stopped), ("retried", retried)];

fn wide() -> World {
    let mut w = snapshots::told();
    let running = w.attempt("wf[0].s").id.clone();
    w.event(Event::AttemptRunning { attempt: running, at: at(w.now), host: Some("node-1".to_owned()) });
    w.ready("wf[0].s");
    w.command("c-2", Verb::Resume { selector: None, outputs: Default::default() });
    w.fire();
    for _ in 0..2 {
        let node = w.live().into_iter().rfind(|node| node != "wf[0].s").expect("something runs");
        w.succeed(&node);
    }
    w
}

fn locked() -> World {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: locked, withItems: [1, 2, 3, 4], continueOn: {error: true}}
  - name: locked
    synchronization: {mutexes: [{name: x}]}
    container: {image: busybox}",
    );
    let holder = |w: &World| w.taking.last().expect("somebody asks").holder;
    w.event(Event::LocksTaken { holder: holder(&w), generation: 0 });
    w.succeed("wf[0].a(0:1)");
    w.event(Event::LocksTaken { holder: holder(&w), generation: 0 });
    let lock = LockName::Mutex { namespace: "default".to_owned(), name: "x".to_owned() };
    let held_by = vec![HeldBy { key: "default/other".to_owned(), run: "other".into() }];
    let wait = Box::new(LockWait { lock, free: 0, limit: 1, held_by });
    w.event(Event::LocksWaiting { holder: holder(&w), generation: 0, wait });
    w.succeed("wf[0].a(1:2)");
    let (why, hint) = ("the config map is not there".to_owned(), "make it".to_owned());
    w.event(Event::LocksRefused { holder: holder(&w), generation: 0, why, hint });
    w
}

/// Values of config maps and caches, metrics, globals, hooks, an approval.
fn told() -> World {
    let mut w = world(
        "  entrypoint: main
  onExit: leaf
  arguments: {parameters: [{name: m, valueFrom: {configMapKeyRef: {name: maps, key: msg}}}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: cached, onExit: said, hooks: {never: {template: leaf, expression: steps.a.status == 'Error'}}}
    - - {name: wait, template: approve}
      - {name: b, template: leaf, hooks: {exit: {template: leaf, expression: 'false'}}}
  - name: approve
    suspend: {}
    outputs: {parameters: [{name: ok, valueFrom: {supplied: {}}}, {name: by, valueFrom: {supplied: {}}}]}
  - name: cached
    memoize: {key: one, maxAge: 10s, cache: {configMap: {name: c}}}
    metrics:
      prometheus:
      - {name: done, help: Done, counter: {value: 1}}
      - {name: bad, help: Bad, gauge: {value: '{{outputs.parameters.o}}'}}
    container: {image: busybox}
    outputs:
      parameters: [{name: o, globalName: g, valueFrom: {path: /tmp/o}}]
      artifacts: [{name: f, path: /tmp/f, globalName: gf}]
  - name: said
    inputs: {parameters: [{name: k, valueFrom: {configMapKeyRef: {name: maps, key: other}}}]}
    container: {image: busybox, args: ['{{inputs.parameters.k}}']}
  - name: leaf
    container: {image: busybox, args: ['{{workflow.parameters.m}}']}",
    );
    let tell = |w: &mut World| {
        for config in std::mem::take(&mut w.configs) {
            w.event(Event::ConfigRead { config, found: ConfigFound::Value { value: "hello".to_owned() } });
        }
    };
    tell(&mut w);
    let (node, _) = w.asked.last().cloned().expect("a cache is asked");
    w.event(Event::MemoRead { node, found: None });
    let attempt = w.attempt("wf[0].a").id.clone();
    w.event(Event::AttemptWaiting { attempt: attempt.clone(), why: "no room".to_owned() });
    w.event(Event::AttemptRunning { attempt: attempt.clone(), at: at(w.now), host: None });
    w.event(Event::AttemptProgress { attempt, progress: crate::attempt::Progress { done: 1, total: 4 } });
    w.finish_with("wf[0].a", |verdict| {
        verdict.outputs.parameters = vec![dropforge_manifest::types::Parameter {
            name: "o".into(),
            value: Some("no number".into()),
            ..Default::default()
        }];
        let s3 =
            dropforge_manifest::types::S3Location { key: Some("f.tgz".to_owned()), ..Default::default() };
        verdict.outputs.artifacts = vec![dropforge_manifest::types::Artifact {
            name: "f".into(),
            s3: Some(s3),
            ..Default::default()
        }];
    });
    tell(&mut w);
    w.succeed("wf[0].a.onExit");
    w.succeed("wf[1].b");
    let set = Verb::Set {
        selector: "displayName=wait".to_owned(),
        message: Some("half".to_owned()),
        outputs: [("ok".to_owned(), "yes".to_owned())].into(),
        phase: None,
    };
    w.command("c-1", set);
    w
}

fn stopped() -> World {
    let mut w = world(
        "  entrypoint: main
  activeDeadlineSeconds: 60
  onExit: leaf
  templates:
  - name: main
    parallelism: 1
    dag:
      tasks:
      - {name: x, template: leaf}
      - {name: y, template: leaf, depends: x.Failed}
      - {name: z, template: leaf}
  - name: leaf
    timeout: 30s
    container: {image: busybox}",
    );
    w.command("c-1", Verb::Stop { message: Some("enough".to_owned()) });
    let deadline = w.timers.iter().find(|(timer, _)| timer.node.is_none()).cloned();
    let (timer, due) = deadline.expect("the deadline is a timer");
    w.now = due.as_second();
    w.event(Event::TimerFired { timer });
    w
}

fn retried() -> World {
    let mut w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: p, value: old}]}
  templates:
  - name: main
    inputs: {parameters: [{name: w, value: '{{workflow.parameters.p}}'}]}
    steps:
    - - {name: a, template: leaf}
    - - {name: b, template: group, arguments: {parameters: [{name: q, value: '{{workflow.parameters.p}}'}]}}
  - name: group
    inputs: {parameters: [{name: q}]}
    steps: [[{name: c, template: leaf}, {name: d, template: leaf}]]
  - name: leaf
    container: {image: busybox, args: ['{{workflow.parameters.p}}']}",
    );
    w.succeed("wf[0].a");
    w.succeed("wf[1].b[0].c");
    w.fail("wf[1].b[0].d");
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    let parameters = vec![("p".to_owned(), "new".to_owned())];
    assert_eq!(w.retry(RetryOptions { parameters, ..RetryOptions::default() }), None);
    w
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decide/tests/golden")
}

/// What is kept of a story: a line of the spec, a line a record, a line of the state.
fn lines(world: &World) -> Vec<String> {
    let records = world.records.iter().map(|record| serde_json::to_string(record).unwrap());
    let spec = serde_json::to_string(&world.program.spec).unwrap();
    let state = serde_json::to_string(&Snapshot::of(&world.state)).unwrap();
    [spec].into_iter().chain(records).chain([state]).collect()
}

/// A golden file: its name, spec, records and state.
fn read(path: &Path) -> (String, RunSpec, Vec<Record>, Snapshot) {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (Some((spec, rest)), name) = (lines.split_first(), path.file_name().unwrap().to_string_lossy())
    else {
        panic!("{} is empty", path.display())
    };
    let (state, records) = rest.split_last().unwrap();
    let records = records.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    (name.into_owned(), serde_json::from_str(spec).unwrap(), records, serde_json::from_str(state).unwrap())
}

fn all() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = entries.collect();
    all.sort();
    all
}

#[test]
fn journals_of_every_format_are_read_to_the_states_they_gave() {
    assert!(all().len() >= STORIES.len());
    for path in all() {
        let (name, spec, records, kept) = read(&path);
        let mut state = RunState::new(Arc::new(Program::compile(spec.clone()).unwrap()));
        records.iter().for_each(|record| apply(&mut state, record));
        let kept = kept.restore(spec).unwrap();
        assert_eq!(violations(&state), Vec::<String>::new(), "{name}");
        snapshots::assert_same(&state, &kept);
    }
}

#[test]
fn runs_of_every_format_go_on_to_their_end() {
    for path in all() {
        let (name, spec, records, kept) = read(&path);
        let mut state = kept.restore(spec.clone()).unwrap();
        let mut all = records;
        let mut now = state.last.as_second();
        for number in 0..200 {
            let Some(event) = next(&state, number, &mut now) else { break };
            let decision =
                decide(&state, &event, at(now)).unwrap_or_else(|why| panic!("{name}: {event:?}: {why}"));
            decision.records.iter().for_each(|record| apply(&mut state, record));
            all.extend(decision.records);
        }
        assert!(
            state.phase.completed() && state.outbox.is_empty(),
            "{name}: {:?} {:?}",
            state.phase,
            state.outbox
        );
        // What the old program wrote and what this one did since is one history.
        let view = View::fold(Arc::new(Program::compile(spec).unwrap()), &all);
        assert!(view.nodes.values().all(|node| node.phase.completed()), "{name}");
    }
}

/// What the world says next: the answer to an effect, timers last; a person resumes what waits for that.
fn next(state: &RunState, number: u32, now: &mut i64) -> Option<Event> {
    *now += 1;
    let is_timer = |effect: &Effect| matches!(effect, Effect::SetTimer { .. });
    let is_answered =
        |effect: &&Arc<Effect>| !is_timer(effect) && !matches!(***effect, Effect::StopAttempt { .. });
    let effects = || state.outbox.values();
    if let Some(effect) = effects().find(is_answered) {
        return Some(answer(effect, state, *now));
    }
    if let Some(Effect::SetTimer { timer, due }) = effects().map(|e| &**e).find(|effect| is_timer(effect)) {
        *now = (*now).max(due.as_second());
        return Some(Event::TimerFired { timer: timer.clone() });
    }
    if state.phase.completed() {
        return None;
    }
    let outputs = [("by".to_owned(), "me".to_owned())].into();
    let verb = Verb::Resume { selector: None, outputs };
    let command =
        Command { id: format!("resume-{number}").as_str().into(), by: "test".to_owned(), at: at(*now), verb };
    Some(Event::Commanded { command })
}

fn answer(effect: &Effect, state: &RunState, now: i64) -> Event {
    match effect {
        Effect::StartAttempt(attempt) => {
            Event::AttemptFinished { verdict: Arc::new(verdict(attempt, Outcome::Succeeded, now)) }
        }
        Effect::ReadMemo { node, .. } => Event::MemoRead { node: *node, found: None },
        Effect::ReadConfig(config) => {
            let found = ConfigFound::Value { value: "later".to_owned() };
            Event::ConfigRead { config: config.clone(), found }
        }
        Effect::TakeLocks(request) => {
            Event::LocksTaken { holder: request.holder, generation: request.generation }
        }
        Effect::StopAttempt { .. } | Effect::SetTimer { .. } => unreachable!("they are answered otherwise"),
        Effect::DeleteVolumes
        | Effect::DeleteArtifacts
        | Effect::AnnounceEnd { .. }
        | Effect::WriteMemo { .. }
        | Effect::ReleaseLocks(_) => Event::Performed { effect: effect.key(), generation: state.generation },
    }
}

#[test]
fn records_of_the_last_format_are_still_written() {
    for path in all().iter().filter(|path| path.to_string_lossy().ends_with(&last())) {
        let (name, _, records, _) = read(path);
        let text = std::fs::read_to_string(path).unwrap();
        for (line, record) in text.lines().skip(1).zip(&records) {
            assert_eq!(serde_json::to_string(record).unwrap(), line, "{name}");
        }
    }
}

#[test]
fn the_golden_journals_hold_a_record_of_every_kind() {
    let records: Vec<Record> = all().iter().flat_map(|path| read(path).2).collect();
    let missing: Vec<&str> =
        KINDS.into_iter().filter(|kind| !records.iter().any(|record| kind_of(record) == *kind)).collect();
    assert_eq!(missing, [""; 0], "tell a story that has it, and write its golden file");
}

/// Whoever adds a kind of record is stopped here, and tells a story of it.
fn kind_of(record: &Record) -> &'static str {
    match record {
        Record::RunStarted { .. } => "RunStarted",
        Record::NodeCreated(_) => "NodeCreated",
        Record::AttemptStarted { .. } => "AttemptStarted",
        Record::AttemptWaiting { .. } => "AttemptWaiting",
        Record::AttemptRunning { .. } => "AttemptRunning",
        Record::AttemptReady { .. } => "AttemptReady",
        Record::StopAsked { .. } => "StopAsked",
        Record::AttemptEnded { .. } => "AttemptEnded",
        Record::NodeMessage { .. } => "NodeMessage",
        Record::NodeFinished { .. } => "NodeFinished",
        Record::HookPassed { .. } => "HookPassed",
        Record::Blocked { .. } => "Blocked",
        Record::Unblocked { .. } => "Unblocked",
        Record::TaskReady { .. } => "TaskReady",
        Record::TimerSet { .. } => "TimerSet",
        Record::TimerEnded { .. } => "TimerEnded",
        Record::GlobalParameter { .. } => "GlobalParameter",
        Record::GlobalArtifact { .. } => "GlobalArtifact",
        Record::MemoAsked { .. } => "MemoAsked",
        Record::MemoRead { .. } => "MemoRead",
        Record::Measured { .. } => "Measured",
        Record::NotMeasured { .. } => "NotMeasured",
        Record::AttemptProgress { .. } => "AttemptProgress",
        Record::ConfigAsked { .. } => "ConfigAsked",
        Record::HookHeld { .. } => "HookHeld",
        Record::ConfigRead { .. } => "ConfigRead",
        Record::LocksAsked { .. } => "LocksAsked",
        Record::LocksQueued { .. } => "LocksQueued",
        Record::LocksWaiting { .. } => "LocksWaiting",
        Record::LocksTaken { .. } => "LocksTaken",
        Record::LocksRefused { .. } => "LocksRefused",
        Record::LocksReleased { .. } => "LocksReleased",
        Record::NodeBegun { .. } => "NodeBegun",
        Record::Suspended => "Suspended",
        Record::Resumed => "Resumed",
        Record::Shutdown { .. } => "Shutdown",
        Record::DeadlinePassed { .. } => "DeadlinePassed",
        Record::CommandRead { .. } => "CommandRead",
        Record::RunFinished { .. } => "RunFinished",
        Record::RunRetried(_) => "RunRetried",
        Record::NodeInputs { .. } => "NodeInputs",
        Record::NodeOutputs { .. } => "NodeOutputs",
        Record::Performed { .. } => "Performed",
    }
}

const KINDS: [&str; 43] = [
    "RunStarted",
    "NodeCreated",
    "AttemptStarted",
    "AttemptWaiting",
    "AttemptRunning",
    "AttemptReady",
    "StopAsked",
    "AttemptEnded",
    "NodeMessage",
    "NodeFinished",
    "HookPassed",
    "Blocked",
    "Unblocked",
    "TaskReady",
    "TimerSet",
    "TimerEnded",
    "GlobalParameter",
    "GlobalArtifact",
    "MemoAsked",
    "MemoRead",
    "Measured",
    "NotMeasured",
    "AttemptProgress",
    "ConfigAsked",
    "HookHeld",
    "ConfigRead",
    "LocksAsked",
    "LocksQueued",
    "LocksWaiting",
    "LocksTaken",
    "LocksRefused",
    "LocksReleased",
    "NodeBegun",
    "Suspended",
    "Resumed",
    "Shutdown",
    "DeadlinePassed",
    "CommandRead",
    "RunFinished",
    "RunRetried",
    "NodeInputs",
    "NodeOutputs",
    "Performed",
];

/// How the names of this format's files end.
fn last() -> String {
    format!("-{SNAPSHOT_FORMAT}.jsonl")
}

/// Golden files are only ever added: what an older program wrote does not change.
#[test]
#[ignore = "writes the golden files that are not there yet"]
fn write_the_golden_files() {
    for (name, story) in STORIES {
        let path = folder().join(format!("{name}{}", last()));
        if !path.exists() {
            std::fs::write(path, lines(&story()).join("\n") + "\n").unwrap();
        }
    }
}
