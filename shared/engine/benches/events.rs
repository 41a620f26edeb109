//! How many events the engine takes in a second, on one core, and whether that depends on the run's size.
//!
//! `cargo bench -p dropforge-engine --bench events [-- SHAPE… NODES…]`. Each event is decided on a
//! state that takes the decision's records, as an owner's does.

#![expect(clippy::unwrap_used, reason = "a measurement may fail")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::decide::advance;
use dropforge_engine::effect::Effect;
use dropforge_engine::event::Event;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::Program;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::{AnyObject, parse};
use jiff::Timestamp;

/// That of the functions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LEAF: &str = "  - {name: leaf, container: {image: \"busybox:1\", command: [\"true\"]}}\n";

fn wide(nodes: usize) -> String {
    format!(
        "  entrypoint: main\n  templates:\n{LEAF}  - name: main\n    steps:\n    - - {{name: s, template: leaf, withSequence: {{count: {nodes}}}}}\n"
    )
}

fn chain(nodes: usize) -> String {
    let steps: String = (0..nodes).map(|i| format!("    - - {{name: s{i}, template: leaf}}\n")).collect();
    format!("  entrypoint: main\n  templates:\n{LEAF}  - name: main\n    steps:\n{steps}")
}

fn diamonds(nodes: usize) -> String {
    let task = |i: usize| {
        let (row, place) = (i / 3, i % 3);
        let names = |list: &[usize]| list.iter().map(|t| format!("t{t}")).collect::<Vec<_>>().join(", ");
        let first = row * 3;
        let needs = match (row, place) {
            (0, 0) => String::new(),
            (_, 0) => format!(", dependencies: [{}]", names(&[first - 2, first - 1])),
            _ => format!(", dependencies: [{}]", names(&[first])),
        };
        format!("      - {{name: t{i}, template: leaf{needs}}}\n")
    };
    let tasks: String = (0..nodes).map(task).collect();
    format!("  entrypoint: main\n  templates:\n{LEAF}  - name: main\n    dag:\n      tasks:\n{tasks}")
}

/// Tasks that wait for nothing but their turn, two at a time.
fn held(nodes: usize) -> String {
    let tasks: String = (0..nodes).map(|i| format!("      - {{name: t{i}, template: leaf}}\n")).collect();
    format!(
        "  entrypoint: main\n  parallelism: 2\n  templates:\n{LEAF}  - name: main\n    dag:\n      tasks:\n{tasks}"
    )
}

fn program(spec: &str) -> Arc<Program> {
    let text =
        format!("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wf}}\nspec:\n{spec}");
    let parsed = parse("bench", &text);
    let Some(AnyObject::Workflow(workflow)) = parsed.documents.into_iter().next().map(|d| d.object) else {
        panic!("no workflow")
    };
    let run = RunSpec {
        format: SPEC_FORMAT,
        uid: "uid".into(),
        metadata: workflow.metadata.clone(),
        spec: workflow.spec.clone(),
        library: Default::default(),
        created_at: Timestamp::UNIX_EPOCH,
        cause: Cause::Person { by: "bench".to_owned() },
        settings: Settings::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    };
    Arc::new(Program::compile(run).unwrap())
}

/// Runs a workflow to its end; gives the events taken.
fn run(program: Arc<Program>) -> u64 {
    let mut state = RunState::new(program);
    let mut events = VecDeque::from([Event::Submitted]);
    let mut now = Timestamp::UNIX_EPOCH;
    let mut taken = 0;
    while let Some(event) = events.pop_front() {
        if let Event::TimerFired { .. } = &event {
            now = state.last.max(now) + jiff::SignedDuration::from_secs(3600);
        }
        let (after, decision) = advance(state, &event, now);
        state = after;
        let decision = decision.unwrap();
        taken += 1;
        for effect in &decision.effects {
            match &**effect {
                Effect::StartAttempt(attempt) => {
                    events.push_back(Event::AttemptRunning {
                        attempt: attempt.id.clone(),
                        at: now,
                        host: None,
                    });
                    let verdict = Verdict::without_outputs(
                        attempt.id.clone(),
                        Outcome::Succeeded,
                        Reason::Exited,
                        "",
                        now,
                    );
                    events.push_back(Event::AttemptFinished { verdict: Arc::new(verdict) });
                }
                Effect::SetTimer { timer, .. } => {
                    events.push_back(Event::TimerFired { timer: timer.clone() })
                }
                effect => events.push_back(Event::Performed { effect: effect.key(), generation: 0 }),
            }
        }
    }
    assert_eq!(state.phase, RunPhase::Succeeded);
    taken
}

/// Nanoseconds per event, over enough runs that a small one is not measured by its first allocations.
fn cost(program: &Arc<Program>, nodes: usize) -> f64 {
    run(program.clone());
    let (from, mut events) = (Instant::now(), 0);
    for _ in 0..(NODES_MEASURED / nodes).max(1) {
        events += run(program.clone());
    }
    from.elapsed().as_nanos() as f64 / events as f64
}

const NODES_MEASURED: usize = 20_000;

type Shape = (&'static str, fn(usize) -> String);

const SHAPES: [Shape; 4] = [("wide", wide), ("chain", chain), ("diamonds", diamonds), ("held", held)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let sizes: Vec<usize> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1_000, 10_000, 100_000] } else { sizes };
    let named = |shape: &&Shape| arguments.iter().any(|a| a == shape.0);
    let any_named = SHAPES.iter().any(|shape| named(&shape));
    let titles: String = sizes.iter().map(|nodes| format!("{nodes:>12}")).collect();
    println!("events per second\n   nodes{titles}   last : first, cost of an event");
    for (shape, make) in SHAPES.iter().filter(|shape| !any_named || named(shape)) {
        let costs: Vec<f64> = sizes.iter().map(|&nodes| cost(&program(&make(nodes)), nodes)).collect();
        let rates: String = costs.iter().map(|cost| format!("{:>12.0}", 1e9 / cost)).collect();
        println!("{shape:>8}{rates}   {:.2}", costs[costs.len() - 1] / costs[0]);
    }
}
