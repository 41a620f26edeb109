//! Every (phase, event) pair of a pod against a table that is checked in as text.

use super::*;
use crate::ids::AttemptId;

const SPEC: &str =
    "  entrypoint: main\n  templates:\n  - name: main\n    timeout: 1h\n    container: {image: busybox}";

/// A pod in each phase that it can be in, and that is still known by its attempt's id.
fn in_phase(phase: NodePhase) -> World {
    let mut w = world(SPEC);
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
    w
}

fn events(w: &World) -> Vec<(&'static str, Event)> {
    let attempt: &Arc<Attempt> = &w.started[0];
    let finished = |outcome| Event::AttemptFinished { verdict: Arc::new(verdict(attempt, outcome, w.now)) };
    let command =
        |verb| Event::Commanded { command: Command { id: "c".into(), by: "t".into(), at: at(1), verb } };
    let id: AttemptId = attempt.id.clone();
    vec![
        ("Submitted", Event::Submitted),
        ("AttemptRunning", Event::AttemptRunning { attempt: id.clone(), at: at(1002), host: None }),
        ("AttemptWaiting", Event::AttemptWaiting { attempt: id.clone(), why: "0 of 1 GPUs free".into() }),
        ("AttemptFinished Succeeded", finished(Outcome::Succeeded)),
        ("AttemptFinished Failed", finished(Outcome::Failed)),
        ("AttemptFinished Error", finished(Outcome::Error)),
        ("AttemptFinished Lost", finished(Outcome::Lost)),
        ("TimerFired Timeout", Event::TimerFired { timer: w.timers[0].0.clone() }),
        ("Commanded Stop", command(Verb::Stop { message: None })),
        ("Commanded Terminate", command(Verb::Terminate)),
        ("Commanded Suspend", command(Verb::Suspend)),
        ("Commanded Resume", command(Verb::Resume { selector: None, outputs: Default::default() })),
        ("Performed End", Event::Performed { effect: EffectKey::End }),
    ]
}

fn outcome(phase: NodePhase, event: &str) -> String {
    let mut w = in_phase(phase);
    w.now += 4000;
    let (_, event) = events(&w).into_iter().find(|(name, _)| *name == event).unwrap();
    match w.try_event(event) {
        Err(rejected) => format!("- {}", rejected.to_string().replace(w.started[0].id.as_str(), "A")),
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
    let phases =
        [NodePhase::Pending, NodePhase::Running, NodePhase::Succeeded, NodePhase::Failed, NodePhase::Error];
    let names: Vec<&str> = events(&in_phase(NodePhase::Pending)).iter().map(|(name, _)| *name).collect();
    let mut table = String::new();
    for phase in phases {
        for name in &names {
            table.push_str(format!("{phase:<10} {name:<26} {}", outcome(phase, name)).trim_end());
            table.push('\n');
        }
    }
    if std::env::var_os("DROPFORGE_WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/tests/transitions.txt"), &table)
            .unwrap();
    }
    assert_eq!(table, include_str!("transitions.txt"), "DROPFORGE_WRITE_GOLDEN=1 writes the table anew");
}
