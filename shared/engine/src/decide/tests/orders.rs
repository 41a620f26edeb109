//! Whatever the outcomes, and in whatever order, doubled or late, events come.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::lock::LockWait;

const SHAPES: [&str; 10] = [
    "  entrypoint: main
  templates:
  - name: main
    parallelism: 2
    steps:
    - - {name: a, template: leaf, withSequence: {count: 4}, continueOn: {failed: true}}
      - {name: b, template: inner}
    - - {name: c, template: leaf, hooks: {exit: {template: leaf}}}
  - name: inner
    dag:
      tasks:
      - {name: x, template: leaf}
      - {name: y, template: leaf, depends: x.Failed || x.Succeeded}
  - name: leaf
    retryStrategy: {limit: 1}
    container: {image: busybox}",
    "  entrypoint: main
  onExit: leaf
  parallelism: 2
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: leaf}
      - {name: b, template: leaf, dependencies: [a]}
      - {name: c, template: leaf, dependencies: [a], continueOn: {failed: true}}
      - {name: d, template: leaf, dependencies: [b, c], withItems: [1, 2, 3]}
      - {name: e, template: leaf, depends: d.AnySucceeded || d.AllFailed}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  templates:
  - name: main
    failFast: true
    parallelism: 2
    steps:
    - - {name: a, template: leaf, withItems: [1, 2, 3, 4, 5]}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  activeDeadlineSeconds: 50
  templates:
  - name: main
    retryStrategy: {limit: 2, retryPolicy: Always, backoff: {duration: 5s}}
    steps:
    - - {name: a, template: leaf}
      - {name: p, template: pause}
    - - {name: b, template: leaf}
  - name: pause
    suspend: {duration: 3s}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  onExit: leaf
  hooks:
    running: {template: leaf, expression: workflow.status == 'Running'}
    failures: {template: leaf, expression: \"workflow.failures != '\\\"null\\\"'\"}
  templates:
  - name: main
    steps:
    - - name: a
        template: leaf
        withItems: [p, q, r]
        onExit: leaf
        continueOn: {failed: true, error: true}
        hooks:
          begun: {template: leaf, expression: steps.a.status == 'Running'}
          bad: {template: pause, expression: steps.a.status == 'Failed' || workflow.status == 'Failed'}
      - {name: b, template: again, hooks: {a: {template: leaf, expression: steps.a.status == 'Succeeded'}, end: {template: leaf, expression: steps.b.status != 'Running'}}}
    - - {name: c, template: leaf}
  - name: again
    retryStrategy: {limit: 1, backoff: {duration: 5s}}
    container: {image: busybox}
  - name: pause
    suspend: {duration: 3s}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  templates:
  - name: main
    failFast: true
    parallelism: 3
    dag:
      tasks:
      - {name: a, template: leaf, hooks: {h: {template: inner, expression: tasks.a.status == 'Succeeded'}}}
      - {name: b, template: leaf, depends: a.Failed, onExit: leaf, hooks: {gone: {template: leaf, expression: tasks.b.status == 'Omitted'}}}
      - {name: c, template: leaf, depends: a, withItems: [p, q], onExit: leaf, hooks: {begun: {template: leaf, expression: tasks.c.status == 'Running'}, wrong: {template: leaf, expression: tasks.c.status}}}
      - {name: d, template: leaf, depends: c.AnySucceeded}
  - name: inner
    steps:
    - - {name: x, template: leaf, onExit: leaf}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  parallelism: 3
  templates:
  - name: main
    memoize: {key: main, maxAge: 1h, cache: {configMap: {name: c}}}
    steps:
    - - {name: a, template: leaf, withItems: [p, q, r], arguments: {parameters: [{name: k, value: '{{item}}'}]}, onExit: inner}
      - {name: d, template: inner, continueOn: {failed: true}, hooks: {h: {template: inner, expression: steps.d.status == 'Running'}}}
  - name: inner
    memoize: {key: inner, cache: {configMap: {name: c}}}
    dag:
      tasks:
      - {name: x, template: leaf, arguments: {parameters: [{name: k, value: x}]}}
  - name: leaf
    inputs: {parameters: [{name: k}]}
    memoize: {key: 'k-{{inputs.parameters.k}}', cache: {configMap: {name: c}}}
    retryStrategy: {limit: 1}
    container: {image: busybox}",
    "  entrypoint: main
  synchronization: {mutexes: [{name: run}]}
  parallelism: 2
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: leaf, withItems: [1, 2, 3]}
      - {name: b, template: outer}
      - {name: c, template: both, depends: a.Succeeded || a.Failed}
  - name: outer
    synchronization: {mutexes: [{name: y}]}
    steps: [[{name: in, template: both-within, withItems: [1, 2]}]]
  - name: both-within
    synchronization: {mutexes: [{name: x}]}
    container: {image: busybox}
  - name: both
    synchronization: {mutexes: [{name: y}, {name: x}]}
    retryStrategy: {limit: 1}
    container: {image: busybox}
  - name: leaf
    synchronization: {mutexes: [{name: x}]}
    container: {image: busybox}",
    "  entrypoint: main
  onExit: leaf
  parallelism: 4
  templates:
  - name: main
    steps:
    - - {name: a, template: server, hooks: {exit: {template: leaf}}}
      - {name: l, template: server, withItems: [1, 2], continueOn: {failed: true}}
      - {name: b, template: leaf}
    - - {name: c, template: inner}
      - {name: d, template: leaf}
  - name: inner
    dag:
      tasks:
      - {name: s, template: server, hooks: {exit: {template: leaf}}}
      - {name: x, template: leaf, depends: s.Daemoned}
      - {name: y, template: leaf, depends: s.Failed || x}
      - {name: z, template: server}
  - name: server
    daemon: true
    retryStrategy: {limit: 1, backoff: {duration: 5s}}
    container: {image: busybox}
  - name: leaf
    containerSet: {containers: [{name: a, image: busybox}, {name: main, image: busybox, dependencies: [a]}]}",
    "  entrypoint: main
  templates:
  - name: main
    failFast: true
    dag:
      tasks:
      - {name: s, template: server, withItems: [1, 2], hooks: {exit: {template: server}}}
      - {name: x, template: leaf, depends: s}
      - {name: y, template: server, depends: x.Succeeded || x.Failed}
  - name: server
    daemon: true
    pendingTimeout: 20s
    container: {image: busybox}
  - name: leaf
    retryStrategy: {limit: 1}
    container: {image: busybox}",
];

/// One move of the world: which of the possible events comes, and how it turns out.
#[derive(Clone, Debug)]
struct Move {
    choice: usize,
    outcome: u8,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    prop::collection::vec(
        (any::<usize>(), any::<u8>()).prop_map(|(choice, outcome)| Move { choice, outcome }),
        1..60,
    )
}

/// Plays the moves: live attempts end, old verdicts come again, timers fire, people stop and resume.
fn play(shape: &str, moves: &[Move]) -> World {
    let mut w = world(shape);
    let mut sent: Vec<Event> = Vec::new();
    let mut phases: BTreeMap<String, NodePhase> = BTreeMap::new();
    for (n, step) in moves.iter().enumerate() {
        let event = next(&w, &sent, step, n);
        if let Event::TimerFired { timer } = &event
            && let Some((_, due)) = w.timers.iter().find(|(t, _)| t == timer)
        {
            w.now = w.now.max(due.as_second());
        }
        // A rejected event changes nothing; an accepted one is checked by the world.
        let _ = w.try_event(event.clone());
        sent.push(event);
        for (name, phase) in w.phases() {
            let before = phases.insert(name.clone(), phase);
            assert!(
                before.is_none_or(|b| !b.fulfilled() || b == phase),
                "{name} went from {before:?} to {phase}"
            );
        }
    }
    w
}

fn next(w: &World, sent: &[Event], step: &Move, n: usize) -> Event {
    let outcome = match step.outcome % 8 {
        0 | 1 => Outcome::Failed,
        2 => Outcome::Error,
        3 => Outcome::Lost,
        _ => Outcome::Succeeded,
    };
    let live: Vec<&Arc<Attempt>> =
        w.started.iter().filter(|a| w.state.outbox.attempt(&a.id).is_some()).collect();
    let pick = step.choice / 11;
    match step.choice % 11 {
        10 => answer(w, pick),
        8 | 9 if !live.is_empty() => Event::AttemptReady {
            attempt: live[pick % live.len()].id.clone(),
            at: at(w.now),
            ip: "127.0.0.1".to_owned(),
        },
        0 if !sent.is_empty() => sent[pick % sent.len()].clone(),
        1 if !w.timers.is_empty() => Event::TimerFired { timer: w.timers[pick % w.timers.len()].0.clone() },
        2 if step.outcome < 16 => {
            let verb = match step.outcome % 3 {
                0 => Verb::Stop { message: None },
                1 => Verb::Suspend,
                _ => Verb::Resume { selector: None, outputs: BTreeMap::new() },
            };
            let id = format!("c{n}");
            Event::Commanded { command: Command { id: id.as_str().into(), by: "t".into(), at: at(1), verb } }
        }
        4 | 5 if !w.asked.is_empty() => {
            memo_read(w, w.asked[pick % w.asked.len()].0, step.outcome.is_multiple_of(2))
        }
        3 if !live.is_empty() => {
            Event::AttemptRunning { attempt: live[pick % live.len()].id.clone(), at: at(w.now), host: None }
        }
        _ if !live.is_empty() => {
            Event::AttemptFinished { verdict: Arc::new(verdict(live[pick % live.len()], outcome, w.now)) }
        }
        _ => Event::Performed { effect: EffectKey::End, generation: 0 },
    }
}

fn memo_read(w: &World, node: NodeId, hit: bool) -> Event {
    let outputs = Default::default();
    let entry = MemoEntry { node_id: "wf-1".into(), outputs, created_at: at(w.now) };
    Event::MemoRead { node, found: hit.then(|| Box::new(entry)) }
}

/// An answer to one of the holders that ask for locks, or to a release.
fn answer(w: &World, pick: usize) -> Event {
    let asking: Vec<&Arc<LockRequest>> =
        w.taking.iter().filter(|r| w.state.outbox.contains_key(&EffectKey::TakeLocks(r.holder))).collect();
    match (asking.get(pick % asking.len().max(1)), pick % 3) {
        (Some(request), 0) => {
            let lock = request.locks[pick % request.locks.len()].clone();
            let wait = LockWait { lock, free: 0, limit: 1, held_by: Vec::new() };
            Event::LocksWaiting {
                holder: request.holder,
                generation: request.generation,
                wait: Box::new(wait),
            }
        }
        (Some(request), _) => Event::LocksTaken { holder: request.holder, generation: request.generation },
        (None, _) => Event::Performed { effect: EffectKey::ReleaseLocks(None), generation: 0 },
    }
}

/// Lets everything that is open succeed, until nothing is.
fn play_out(w: &mut World) {
    for _ in 0..500 {
        if w.state.phase.completed() && w.state.outbox.attempts().next().is_none() {
            return;
        }
        let asking = w.taking.iter().find(|r| w.state.outbox.contains_key(&EffectKey::TakeLocks(r.holder)));
        if let Some((holder, generation)) = asking.map(|request| (request.holder, request.generation)) {
            w.event(Event::LocksTaken { holder, generation });
        } else if let Some(attempt) =
            w.started.iter().find(|a| w.state.outbox.attempt(&a.id).is_some()).cloned()
        {
            let verdict = Arc::new(verdict(&attempt, Outcome::Succeeded, w.now));
            w.event(Event::AttemptFinished { verdict });
        } else if let Some(node) = w.asked.iter().map(|(node, _)| *node).find(|node| asks(w, *node)) {
            w.event(memo_read(w, node, false));
        } else if let Some((timer, due)) =
            w.timers.iter().find(|(t, _)| w.state.outbox.contains_key(&EffectKey::Timer(t.clone()))).cloned()
        {
            w.now = w.now.max(due.as_second());
            let _ = w.try_event(Event::TimerFired { timer });
        } else {
            let id = format!("resume-{}", w.now);
            w.command(&id, Verb::Resume { selector: None, outputs: BTreeMap::new() });
        }
    }
    panic!("the run does not end: {:?}", crate::waiting::waiting(&w.state));
}

fn asks(w: &World, node: NodeId) -> bool {
    w.state.outbox.contains_key(&EffectKey::ReadMemo(node))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_unfinishes_a_node_or_breaks_a_counter(shape in 0..SHAPES.len(), moves in moves()) {
        play(SHAPES[shape], &moves);
    }

    #[test]
    fn every_run_ends_once_its_steps_do(shape in 0..SHAPES.len(), moves in moves()) {
        let mut w = play(SHAPES[shape], &moves);
        play_out(&mut w);
        prop_assert!(w.state.phase.completed());
    }

    #[test]
    fn a_replayed_state_decides_as_the_live_one(shape in 0..SHAPES.len(), moves in moves()) {
        let w = play(SHAPES[shape], &moves);
        let mut replayed = RunState::new(w.state.program.clone());
        let text = serde_json::to_string(&w.records).unwrap();
        let stored: Vec<Record> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&stored, &w.records);
        for record in &stored {
            apply(&mut replayed, record);
        }
        prop_assert_eq!(format!("{replayed:?}"), format!("{:?}", w.state));
        for attempt in w.started.iter().filter(|a| w.state.outbox.attempt(&a.id).is_some()) {
            let event = Event::AttemptFinished { verdict: Arc::new(verdict(attempt, Outcome::Failed, w.now)) };
            prop_assert_eq!(decide(&replayed, &event, at(w.now)), decide(&w.state, &event, at(w.now)));
        }
    }
}
