//! Every (phase, event) pair of each kind of leaf against a table that is checked in as text.

use super::*;
use crate::effect::TimerKind;
use crate::ids::AttemptId;
use crate::lock::LockWait;

/// A run whose entry node is of one kind, and how to bring it into a phase it can be in.
struct Kind {
    name: &'static str,
    /// The node that is looked at.
    node: &'static str,
    spec: &'static str,
    phases: &'static [NodePhase],
    enter: fn(&mut World, NodePhase),
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "Pod",
        node: "",
        spec: "  entrypoint: main\n  templates:\n  - name: main\n    timeout: 1h\n    container: {image: busybox}",
        phases: &[
            NodePhase::Pending,
            NodePhase::Running,
            NodePhase::Succeeded,
            NodePhase::Failed,
            NodePhase::Error,
        ],
        enter: enter_pod,
    },
    Kind {
        name: "Suspend",
        node: "",
        spec: "  entrypoint: main\n  templates:\n  - name: main\n    suspend: {duration: 1h}",
        phases: &[NodePhase::Running, NodePhase::Succeeded, NodePhase::Failed],
        enter: enter_suspend,
    },
    // It waits for its lock, holds it, or has given it back.
    Kind {
        name: "Locked",
        node: "",
        spec: "  entrypoint: main\n  templates:\n  - name: main\n    synchronization: {mutexes: [{name: x}]}\n    container: {image: busybox}",
        phases: &[NodePhase::Pending, NodePhase::Running, NodePhase::Succeeded, NodePhase::Error],
        enter: enter_locked,
    },
    // Its first attempt has failed and the next one waits for its time; or all are over.
    Kind {
        name: "Retry",
        node: "",
        spec: "  entrypoint: main\n  templates:\n  - name: main\n    retryStrategy: {limit: 1, backoff: {duration: 1h}}\n    container: {image: busybox}",
        phases: &[NodePhase::Running, NodePhase::Succeeded, NodePhase::Failed],
        enter: enter_retry,
    },
    // Pending: its cache is being asked; or it was found there.
    Kind {
        name: "Memo",
        node: "",
        spec: "  entrypoint: main\n  templates:\n  - name: main\n    memoize: {key: k, cache: {configMap: {name: c}}}\n    steps: [[{name: a, template: leaf, onExit: leaf}]]\n  - name: leaf\n    container: {image: busybox}",
        phases: &[NodePhase::Pending, NodePhase::Running, NodePhase::Succeeded],
        enter: enter_memo,
    },
    // Running: it is ready, and a client needs it.
    Kind {
        name: "Daemon",
        node: "[0].s",
        spec: "  entrypoint: main\n  templates:\n  - name: main\n    steps: [[{name: s, template: s}], [{name: c, template: c}]]\n  - name: s\n    daemon: true\n    container: {image: busybox}\n  - name: c\n    container: {image: busybox}",
        phases: &[NodePhase::Pending, NodePhase::Running, NodePhase::Succeeded, NodePhase::Failed],
        enter: enter_daemon,
    },
];

fn enter_pod(w: &mut World, phase: NodePhase) {
    match phase {
        NodePhase::Running => {
            let attempt = w.attempt("wf").id.clone();
            w.event(Event::AttemptRunning { attempt, at: at(1001), host: None });
        }
        NodePhase::Succeeded => w.succeed("wf"),
        NodePhase::Failed => w.fail("wf"),
        NodePhase::Error => w.finish_with("wf", |v| v.outcome = Outcome::Error),
        NodePhase::Pending | NodePhase::Skipped | NodePhase::Omitted => {}
    }
}

fn enter_daemon(w: &mut World, phase: NodePhase) {
    if phase != NodePhase::Pending {
        w.ready("wf[0].s");
    }
    match phase {
        NodePhase::Succeeded => w.succeed("wf[1].c"),
        NodePhase::Failed => w.succeed("wf[0].s"),
        _ => {}
    }
}

fn enter_suspend(w: &mut World, phase: NodePhase) {
    match phase {
        NodePhase::Succeeded => w.command("c0", Verb::Resume { selector: None, outputs: Default::default() }),
        NodePhase::Failed => w.command("c0", Verb::Terminate),
        _ => {}
    }
}

fn enter_locked(w: &mut World, phase: NodePhase) {
    let holder = w.taking[0].holder;
    match phase {
        NodePhase::Running => {
            w.event(Event::LocksTaken { holder, generation: 0 });
            enter_pod(w, phase);
        }
        NodePhase::Succeeded => {
            w.event(Event::LocksTaken { holder, generation: 0 });
            w.succeed("wf");
        }
        NodePhase::Error => {
            w.event(Event::LocksRefused {
                holder,
                generation: 0,
                why: "no limit".to_owned(),
                hint: String::new(),
            });
        }
        _ => {}
    }
}

fn enter_retry(w: &mut World, phase: NodePhase) {
    w.fail("wf(0)");
    match phase {
        NodePhase::Succeeded => {
            w.fire();
            w.succeed("wf(1)");
        }
        NodePhase::Failed => {
            w.fire();
            w.fail("wf(1)");
        }
        _ => {}
    }
}

fn enter_memo(w: &mut World, phase: NodePhase) {
    if phase != NodePhase::Pending {
        let node = w.asked[0].0;
        w.event(memo_read(node, phase == NodePhase::Succeeded));
    }
}

fn memo_read(node: NodeId, hit: bool) -> Event {
    let entry = MemoEntry { node_id: "wf-1".into(), outputs: Default::default(), created_at: at(1000) };
    Event::MemoRead { node, found: hit.then(|| Box::new(entry)) }
}

fn events(w: &World) -> Vec<(String, Event)> {
    let mut events = vec![("Submitted".to_owned(), Event::Submitted)];
    if let Some(attempt) = w.started.first() {
        let finished =
            |outcome| Event::AttemptFinished { verdict: Arc::new(verdict(attempt, outcome, w.now)) };
        let id: AttemptId = attempt.id.clone();
        let running = Event::AttemptRunning { attempt: id.clone(), at: at(1002), host: None };
        events.push(("AttemptRunning".to_owned(), running));
        let ip = "127.0.0.1".to_owned();
        let ready = Event::AttemptReady { attempt: id.clone(), at: at(1003), ip };
        events.push(("AttemptReady".to_owned(), ready));
        events.push((
            "AttemptWaiting".to_owned(),
            Event::AttemptWaiting { attempt: id, why: "0 of 1 GPUs free".into() },
        ));
        for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Error, Outcome::Lost] {
            events.push((format!("AttemptFinished {outcome:?}"), finished(outcome)));
        }
    }
    if let Some(request) = w.taking.first() {
        let holder = request.holder;
        let wait = LockWait { lock: request.locks[0].clone(), free: 0, limit: 1, held_by: Vec::new() };
        events.push(("LocksTaken".to_owned(), Event::LocksTaken { holder, generation: 0 }));
        events.push((
            "LocksWaiting".to_owned(),
            Event::LocksWaiting { holder, generation: 0, wait: Box::new(wait) },
        ));
        let refused =
            Event::LocksRefused { holder, generation: 0, why: "no limit".to_owned(), hint: String::new() };
        events.push(("LocksRefused".to_owned(), refused));
        let effect = EffectKey::ReleaseLocks(holder);
        events.push(("Performed ReleaseLocks".to_owned(), Event::Performed { effect, generation: 0 }));
    }
    for (timer, _) in w.timers.iter().filter(|(t, _)| t.kind != TimerKind::Admission) {
        events.push((format!("TimerFired {:?}", timer.kind), Event::TimerFired { timer: timer.clone() }));
    }
    events.push(("TimeOver".to_owned(), Event::TimeOver));
    let verbs = [
        ("Stop", Verb::Stop { message: None }),
        ("Terminate", Verb::Terminate),
        ("Suspend", Verb::Suspend),
        ("Resume", Verb::Resume { selector: None, outputs: Default::default() }),
        (
            "Set",
            Verb::Set {
                selector: "name=wf".to_owned(),
                phase: Some(NodePhase::Skipped),
                message: None,
                outputs: Default::default(),
            },
        ),
    ];
    for (name, verb) in verbs {
        let command = Command { id: "c".into(), by: "t".into(), at: at(1), verb };
        events.push((format!("Commanded {name}"), Event::Commanded { command }));
    }
    if let Some((node, _)) = w.asked.first() {
        events.push(("MemoRead hit".to_owned(), memo_read(*node, true)));
        events.push(("MemoRead miss".to_owned(), memo_read(*node, false)));
    }
    let options = RetryOptions::default();
    let verb = Verb::Retry(options.clone());
    let command = Command { id: "c".into(), by: "t".into(), at: at(1), verb };
    let plan = plan(w.program.clone(), &w.records, &options).map(Box::new).map_err(|e| e.to_string());
    events.push(("RetryPlanned".to_owned(), Event::RetryPlanned { command, plan }));
    events.push(("Performed End".to_owned(), Event::Performed { effect: EffectKey::End, generation: 0 }));
    events
}

fn entered(kind: &Kind, phase: NodePhase) -> World {
    let mut w = world(kind.spec);
    (kind.enter)(&mut w, phase);
    assert_eq!(w.phase_of(kind.node), Some(phase), "{} can be {phase}", kind.name);
    w
}

fn outcome(kind: &Kind, phase: NodePhase, event: &str) -> String {
    let mut w = entered(kind, phase);
    w.now += if event == "TimeOver" { 366 * 24 * 3600 } else { 4000 };
    let (_, event) = events(&w).into_iter().find(|(name, _)| name == event).unwrap();
    match w.try_event(event) {
        Err(rejected) => {
            let text = rejected.to_string();
            let text = w.started.iter().fold(text, |text, a| text.replace(a.id.as_str(), "A"));
            format!("- {text}")
        }
        Ok(decision) => decision.records.iter().map(short).collect::<Vec<_>>().join(", "),
    }
}

fn short(record: &Record) -> String {
    match record {
        Record::NodeFinished { phase, .. } => format!("NodeFinished {phase}"),
        Record::RunFinished { phase, .. } => format!("RunFinished {phase}"),
        Record::CommandRead { refused: Some(_), .. } => "CommandRead refused".to_owned(),
        other => {
            let text = format!("{other:?}");
            text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn every_phase_and_event_leads_where_the_table_says() {
    let mut table = String::new();
    for kind in &KINDS {
        for &phase in kind.phases {
            for (name, _) in events(&entered(kind, phase)) {
                let line = format!("{:<8} {phase:<10} {name:<26} {}", kind.name, outcome(kind, phase, &name));
                table.push_str(line.trim_end());
                table.push('\n');
            }
        }
    }
    if std::env::var_os("DROPFORGE_WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/tests/transitions.txt"), &table)
            .unwrap();
    }
    assert_eq!(table, include_str!("transitions.txt"), "DROPFORGE_WRITE_GOLDEN=1 writes the table anew");
}
