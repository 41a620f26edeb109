//! States that were kept and read back. That a snapshot and the records after it give what all records give is checked at
//! every event of every test here.

use super::*;
use crate::snapshot::Snapshot;

/// The state as whoever reads its snapshot has it.
pub(super) fn stored_and_restored(state: &RunState, program: &Program) -> RunState {
    let stored = serde_json::to_vec(&Snapshot::of(state)).unwrap();
    let read: Snapshot = serde_json::from_slice(&stored).unwrap();
    read.restore(program.spec.clone()).unwrap()
}

pub(super) fn assert_same(one: &RunState, other: &RunState) {
    assert_eq!(one.program.spec, other.program.spec);
    assert!(one.nodes.values().eq(other.nodes.values()));
    assert!(one.outbox.values().eq(other.outbox.values()));
    let kept = |state| serde_json::to_string(&Snapshot::of(state)).unwrap();
    assert_eq!(kept(one), kept(other));
}

const WIDE: &str = "  entrypoint: main
  onExit: leaf
  hooks:
    running: {template: leaf, expression: workflow.status == 'Running'}
  arguments: {parameters: [{name: p, value: old}]}
  synchronization: {mutexes: [{name: run}]}
  templates:
  - name: main
    parallelism: 2
    steps:
    - - {name: a, template: leaf, withItems: [1, 2, 3], continueOn: {failed: true}}
      - {name: s, template: server}
      - {name: d, template: inner}
    - - {name: p, template: pause}
  - name: inner
    dag: {tasks: [{name: x, template: leaf}, {name: y, template: leaf, depends: x}]}
  - name: pause
    suspend: {duration: 3s}
  - name: server
    daemon: true
    container: {image: busybox}
  - name: leaf
    retryStrategy: {limit: 1, backoff: {duration: 5s}}
    container: {image: busybox, args: ['{{workflow.parameters.p}}']}";

/// One state that holds nearly everything that a state can hold.
pub(super) fn told() -> World {
    let mut w = world(WIDE);
    w.event(Event::LocksTaken { holder: None });
    w.fail("wf[0].a(0:1)(0)");
    w.succeed("wf.hooks.running(0)");
    w.succeed("wf[0].a(1:2)(0)");
    w.command("c-1", Verb::Suspend);
    w
}

#[test]
fn a_retried_runs_snapshot_keeps_what_the_retry_changed_in_the_spec() {
    let mut w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: p, value: old}]}
  activeDeadlineSeconds: 0
  templates:
  - name: main
    container: {image: busybox, args: ['{{workflow.parameters.p}}']}",
    );
    w.state.outbox.attempts().cloned().collect::<Vec<_>>().iter().for_each(|a| w.fail(&a.node_name));
    let parameters = vec![("p".to_owned(), "new".to_owned())];
    assert_eq!(w.retry(RetryOptions { parameters, ..RetryOptions::default() }), None);
    let restored = stored_and_restored(&w.state, &w.program);
    assert_eq!(restored.program.spec, w.state.program.spec);
    assert_ne!(restored.program.spec, w.program.spec);
}

/// Written once, when the format was born, and never again: every later program reads it.
const GOLDEN: &str = include_str!("snapshot-1.json");

#[test]
fn a_snapshot_of_the_first_format_is_read_and_still_written() {
    let w = told();
    let read: Snapshot = serde_json::from_str(GOLDEN).unwrap();
    assert_same(&read.restore(w.program.spec.clone()).unwrap(), &w.state);
    assert_eq!(serde_json::to_string(&Snapshot::of(&w.state)).unwrap(), GOLDEN.trim_end());
}

#[test]
#[ignore = "writes the golden file of a new format, and none in the place of another"]
fn write_the_golden_file() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/tests/snapshot-1.json");
    if !std::path::Path::new(file).exists() {
        std::fs::write(file, serde_json::to_string(&Snapshot::of(&told().state)).unwrap() + "\n").unwrap();
    }
}
