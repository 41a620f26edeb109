//! Retries of finished runs: what is removed, what is opened again, and that the run then goes on as if nothing had
//! failed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::record::{NodeKind, Role};
use crate::view::ViewNode;

fn retried() -> RetryOptions {
    RetryOptions::default()
}

fn restarted(selector: &str) -> RetryOptions {
    RetryOptions { restart_successful: true, selector: Some(selector.to_owned()), ..RetryOptions::default() }
}

fn with(parameters: &[(&str, &str)]) -> RetryOptions {
    let parameters = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    RetryOptions { parameters, ..RetryOptions::default() }
}

const STEPS: &str = "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf}
      - {name: b, template: leaf}
      - {name: c, template: leaf}
    - - {name: d, template: leaf}
  - name: leaf
    container: {image: busybox}";

#[test]
fn only_the_failed_step_of_a_group_runs_again() {
    let mut w = world(STEPS);
    w.succeed("wf[0].a");
    w.fail("wf[0].b");
    w.succeed("wf[0].c");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf[0].b"]);
    assert_eq!((w.state.phase, w.state.message.as_str()), (RunPhase::Running, ""));
    w.succeed("wf[0].b");
    assert_eq!(w.live(), ["wf[1].d"]);
    w.succeed("wf[1].d");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!(w.state.progress, (4, 4));
}

#[test]
fn an_exit_handler_of_a_retried_run_begins_though_the_run_was_suspended_while_it_waited_for_its_lock() {
    let mut w = world(
        "  entrypoint: main
  synchronization: {mutexes: [{name: x}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf, onExit: leaf}
      - {name: b, template: leaf}
  - name: leaf
    container: {image: busybox}",
    );
    w.take_locks("run");
    w.succeed("wf[0].a");
    w.fail("wf[0].a.onExit");
    w.fail("wf[0].b");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert_eq!(w.retry(retried()), None);
    w.command("c1", Verb::Suspend);
    w.take_locks("run");
    assert_eq!(w.live(), Vec::<String>::new());
    w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
    let mut live = w.live();
    live.sort();
    assert_eq!(live, ["wf[0].a.onExit", "wf[0].b"]);
}

#[test]
fn a_group_is_resolved_as_a_whole_again_before_any_step_of_it_runs_again() {
    let mut w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: p, value: '1'}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf}
      - {name: b, template: leaf, arguments: {parameters: [{name: x, value: '{{=asInt(workflow.parameters.p)}}'}]}}
  - name: leaf
    inputs: {parameters: [{name: x, value: '0'}]}
    container: {image: busybox}",
    );
    w.fail("wf[0].a");
    w.fail("wf[0].b");
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert_eq!(w.retry(with(&[("p", "none")])), None);
    assert_eq!((w.live(), w.ended().map(|(p, _)| p)), (Vec::new(), Some(RunPhase::Failed)));
}

#[test]
fn attempt_numbers_only_grow_so_that_no_id_is_used_twice() {
    let mut w = world(STEPS);
    let first = w.attempt("wf[0].b");
    w.succeed("wf[0].a");
    w.fail("wf[0].b");
    w.succeed("wf[0].c");
    w.retry(retried());
    let second = w.attempt("wf[0].b");
    assert_eq!((first.number, second.number), (0, 1));
    assert_ne!(first.id, second.id);
    let view = w.view();
    let node = view.find("wf[0].b").unwrap();
    let numbers: Vec<u32> = node.attempts.iter().map(|a| a.attempt.number).collect();
    assert_eq!(numbers, [0, 1], "what was tried before stays on record");
    assert_eq!(view.of_attempt(&first.id).map(|n| n.id), Some(node.id));
}

#[test]
fn a_run_that_is_not_over_or_succeeded_is_refused_in_argos_words() {
    let mut w = world(STEPS);
    assert_eq!(w.retry(retried()).unwrap(), "Cannot retry a workflow in phase Running");
    for step in ["[0].a", "[0].b", "[0].c", "[1].d"] {
        w.succeed(&format!("wf{step}"));
    }
    let why = "To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector";
    assert_eq!(w.retry(retried()).unwrap(), why);
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

#[test]
fn a_chosen_node_of_a_succeeded_run_runs_again_with_all_that_came_after_it() {
    let mut w = world(STEPS);
    for step in ["[0].a", "[0].b", "[0].c", "[1].d"] {
        w.succeed(&format!("wf{step}"));
    }
    assert_eq!(w.retry(restarted("displayName=b")), None);
    assert_eq!(w.live(), ["wf[0].b"]);
    assert_eq!(w.phase_of("[0].a"), Some(NodePhase::Succeeded));
    assert_eq!(w.phase_of("[1]"), None, "what came after it is made again");
    w.succeed("wf[0].b");
    w.succeed("wf[1].d");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

#[test]
fn a_failed_step_after_which_others_succeeded_is_kept() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: leaf, continueOn: {failed: true}}
      - {name: b, template: leaf, dependencies: [a]}
      - {name: c, template: leaf, dependencies: [b]}
  - name: leaf
    container: {image: busybox}",
    );
    w.fail("wf.a");
    w.succeed("wf.b");
    w.fail("wf.c");
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf.c"]);
    assert_eq!(w.phase_of(".a"), Some(NodePhase::Failed));
}

#[test]
fn tasks_omitted_because_of_a_failure_are_decided_anew() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: leaf}
      - {name: b, template: leaf, dependencies: [a]}
      - {name: c, template: leaf, dependencies: [a]}
      - {name: d, template: leaf, dependencies: [b, c]}
  - name: leaf
    container: {image: busybox}",
    );
    w.succeed("wf.a");
    w.fail("wf.b");
    w.succeed("wf.c");
    assert_eq!(w.phase_of(".d"), Some(NodePhase::Omitted));
    assert_eq!(w.retry(retried()), None);
    assert_eq!((w.live(), w.phase_of(".d")), (vec!["wf.b".to_owned()], None));
    w.succeed("wf.b");
    w.succeed("wf.d");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

#[test]
fn a_loop_runs_its_failed_items_again_and_gathers_all_results() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf, withItems: [u, v, w]}
    - - name: b
        template: show
        arguments: {parameters: [{name: all, value: '{{steps.a.outputs.result}}'}]}
  - name: show
    inputs: {parameters: [{name: all}]}
    container: {image: busybox}
  - name: leaf
    container: {image: busybox}",
    );
    let result = |w: &mut World, node: &str, text: &str| {
        w.finish_with(node, |v| v.outputs.result = Some(text.to_owned()))
    };
    result(&mut w, "wf[0].a(0:u)", "1");
    w.fail("wf[0].a(1:v)");
    result(&mut w, "wf[0].a(2:w)", "3");
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf[0].a(1:v)"]);
    result(&mut w, "wf[0].a(1:v)", "2");
    let inputs = &w.attempt("wf[1].b").work.template.inputs;
    assert_eq!(inputs.parameters[0].value.as_ref().unwrap().as_str(), "[1,2,3]");
}

#[test]
fn a_retry_node_begins_its_attempts_anew() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    retryStrategy: {limit: 1}
    container: {image: busybox}",
    );
    w.fail("wf(0)");
    w.fail("wf(1)");
    assert_eq!(w.ended().map(|(_, m)| m).as_deref(), Some("No more retries left"));
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf(0)"]);
    w.fail("wf(0)");
    w.succeed("wf(1)");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

const HANDLED: &str = "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf, hooks: {exit: {template: leaf}}}
    - - {name: b, template: leaf}
  - name: leaf
    container: {image: busybox}";

#[test]
fn steps_that_were_opened_end_when_an_exit_handler_of_an_earlier_group_has_ended_too() {
    let mut w = world(HANDLED);
    w.succeed("wf[0].a");
    w.fail("wf[0].a.onExit");
    w.fail("wf[1].b");
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf[0].a.onExit", "wf[1].b"]);
    w.fail("wf[1].b");
    assert_eq!(w.ended(), None, "the exit handler goes on");
    w.succeed("wf[0].a.onExit");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
}

const LOCKED: &str = "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: in, template: locked}
  - name: locked
    synchronization: {mutexes: [{name: m}]}
    dag:
      failFast: false
      tasks:
      - {name: a, template: leaf}
      - {name: b, template: tried}
  - name: tried
    synchronization: {mutexes: [{name: n}]}
    retryStrategy: {limit: 0}
    container: {image: busybox}
  - name: leaf
    container: {image: busybox}";

#[test]
fn an_opened_node_takes_its_locks_again_before_anything_below_it_runs() {
    let mut w = world(LOCKED);
    w.take_locks("[0].in");
    w.take_locks("[0].in.b");
    w.fail("wf[0].in.a");
    w.fail("wf[0].in.b(0)");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
    assert_eq!(w.retry(retried()), None);
    // Each asked once before the retry too.
    let asking = |w: &World| w.asking().into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!((w.live(), asking(&w)), (vec![], ["wf[0].in".to_owned()].into()));
    w.take_locks("[0].in");
    assert_eq!((w.live(), asking(&w)), (vec!["wf[0].in.a".to_owned()], ["wf[0].in.b".to_owned()].into()));
    w.take_locks("[0].in.b");
    w.succeed("wf[0].in.a");
    w.succeed("wf[0].in.b(0)");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert!(w.has_released("[0].in") && w.has_released("[0].in.b"));
}

#[test]
fn the_newest_attempt_of_a_composite_goes_on_and_older_ones_are_history() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    retryStrategy: {limit: 1}
    steps:
    - - {name: a, template: leaf}
    - - {name: b, template: leaf}
  - name: leaf
    container: {image: busybox}",
    );
    w.fail("wf(0)[0].a");
    w.succeed("wf(1)[0].a");
    w.fail("wf(1)[1].b");
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf(1)[1].b"]);
    assert_eq!(w.phase_of("(0)[0].a"), Some(NodePhase::Failed));
    w.succeed("wf(1)[1].b");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

#[test]
fn the_workflows_exit_handler_runs_again() {
    let mut w = world(
        "  entrypoint: main
  onExit: leaf
  templates:
  - name: main
    container: {image: busybox}
  - name: leaf
    container: {image: busybox}",
    );
    w.fail("wf");
    w.succeed("wf.onExit");
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.phases(), [(String::new(), NodePhase::Pending)]);
    w.succeed("wf");
    w.fail("wf.onExit");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf.onExit"], "the entry node succeeded and stays");
    w.succeed("wf.onExit");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_steps_exit_handler_runs_again_with_its_step_or_because_it_failed_itself() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf, hooks: {exit: {template: leaf}}}
      - {name: b, template: leaf, hooks: {exit: {template: leaf}}}
  - name: leaf
    container: {image: busybox}",
    );
    w.fail("wf[0].a");
    w.succeed("wf[0].a.onExit");
    w.succeed("wf[0].b");
    w.fail("wf[0].b.onExit");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
    assert_eq!(w.retry(retried()), None);
    assert_eq!(w.live(), ["wf[0].a", "wf[0].b.onExit"]);
    w.succeed("wf[0].b.onExit");
    w.succeed("wf[0].a");
    w.succeed("wf[0].a.onExit");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

#[test]
fn a_stopped_run_is_opened_without_its_shutdown_and_with_a_new_deadline() {
    let mut w = world(
        "  entrypoint: main
  activeDeadlineSeconds: 50
  templates:
  - name: main
    container: {image: busybox}",
    );
    let first = w.timers.last().cloned().unwrap();
    let attempt = w.attempt("wf");
    w.command("c", Verb::Stop { message: None });
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Failed));
    w.now += 100;
    assert_eq!(w.retry(retried()), None, "also while the old attempt is being ended");
    assert!(w.state.shutdown.is_none() && w.state.outbox.attempt(&attempt.id).is_some());
    let second = w.timers.last().cloned().unwrap();
    assert!(second.1 > first.1 && second.0.generation > first.0.generation);
    let late = Arc::new(verdict(&attempt, Outcome::Failed, w.now));
    w.event(Event::AttemptFinished { verdict: late });
    assert_eq!(w.phase_of(""), Some(NodePhase::Pending), "its late end touches nothing new");
    w.succeed("wf");
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

#[test]
fn new_parameters_reach_what_runs_again_and_loops_expand_anew() {
    let mut w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: list, value: '[1]'}, {name: word, value: old}]}
  templates:
  - name: main
    inputs: {parameters: [{name: w, value: '{{workflow.parameters.word}}'}]}
    dag:
      tasks:
      - name: a
        template: inner
        arguments: {parameters: [{name: w, value: '{{inputs.parameters.w}}'}]}
      - {name: l, template: leaf, withParam: '{{workflow.parameters.list}}', arguments: {parameters: [{name: w, value: '{{item}}'}]}}
  - name: inner
    inputs: {parameters: [{name: w}]}
    steps:
    - - name: x
        template: leaf
        arguments: {parameters: [{name: w, value: '{{inputs.parameters.w}}'}]}
  - name: leaf
    inputs: {parameters: [{name: w}]}
    container: {image: busybox}",
    );
    w.fail("wf.a[0].x");
    w.fail("wf.l(0:1)");
    assert_eq!(w.retry(with(&[("list", "[2, 3]"), ("word", "new")])), None);
    assert_eq!(w.live(), ["wf.l(0:2)", "wf.l(1:3)", "wf.a[0].x"]);
    let x = w.attempt("wf.a[0].x");
    assert_eq!(x.work.template.inputs.parameters[0].value.as_ref().unwrap().as_str(), "new");
    let spec = w.view().workflow();
    assert_eq!(spec.pointer("/spec/arguments/parameters/1/value").and_then(|v| v.as_str()), Some("new"));
}

#[test]
fn a_late_answer_of_the_generation_before_is_ignored() {
    let mut w = world(STEPS);
    w.succeed("wf[0].a");
    w.fail("wf[0].b");
    w.succeed("wf[0].c");
    w.retry(retried());
    w.fail("wf[0].b");
    let late = w.try_event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert_eq!(late, Err(Rejected::Answered { effect: EffectKey::End }));
    w.event(Event::Performed { effect: EffectKey::End, generation: 1 });
    assert!(w.state.done());
}

#[test]
fn a_run_whose_approval_was_stopped_has_nothing_to_run_again_unless_it_is_named() {
    let mut w = world("  entrypoint: main\n  templates:\n  - name: main\n    suspend: {}");
    w.command("c", set(Some(NodePhase::Failed), Some("no"), &[]));
    assert_eq!(w.ended(), Some((RunPhase::Failed, "no".to_owned())));
    assert!(w.retry(retried()).unwrap().contains("nothing to run again"));
    assert_eq!(w.retry(restarted("name=wf")), None);
    w.command("d", Verb::Resume { selector: None, outputs: BTreeMap::new() });
    assert_eq!(w.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

const SUPPLIED: &str = "  entrypoint: main
  templates:
  - name: main
    suspend: {}
    outputs: {parameters: [{name: ok, valueFrom: {supplied: {}}}]}";

fn set(phase: Option<NodePhase>, message: Option<&str>, outputs: &[(&str, &str)]) -> Verb {
    Verb::Set {
        selector: "name=wf".to_owned(),
        phase,
        message: message.map(str::to_owned),
        outputs: outputs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
    }
}

fn refusal(w: &World) -> Option<String> {
    match w.records.last() {
        Some(Record::CommandRead { refused, .. }) => refused.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn outputs_and_message_of_a_waiting_suspend_node_can_be_set_before_it_is_resumed() {
    let mut w = world(SUPPLIED);
    w.command("c1", set(None, Some("soon"), &[("ok", "yes")]));
    assert_eq!(
        (refusal(&w), w.message_of(""), w.phase_of("")),
        (None, "soon".to_owned(), Some(NodePhase::Running))
    );
    w.command("c2", set(None, None, &[("ok", "no")]));
    assert!(refusal(&w).unwrap().contains("it was already set"));
    w.command("c3", set(None, None, &[("other", "no")]));
    assert_eq!(refusal(&w).unwrap(), "node is not expecting output parameter 'other'");
    w.command("c4", Verb::Resume { selector: None, outputs: BTreeMap::new() });
    let view = w.view();
    assert_eq!(view.find("wf").unwrap().outputs.parameters[0].value.as_ref().unwrap().as_str(), "yes");
}

#[test]
fn a_phase_that_is_set_ends_the_suspend_node() {
    let mut w = world(SUPPLIED);
    w.command("c1", set(Some(NodePhase::Error), Some("broken"), &[]));
    assert_eq!(w.ended(), Some((RunPhase::Error, "broken".to_owned())));
}

/// The run that repeats this one under the name `again`.
fn resubmitted(w: &World) -> World {
    let mut spec = w.program.spec.clone();
    spec.uid = "uid-2".into();
    spec.metadata.name = Some("again".to_owned());
    spec.reused = crate::resubmit::reused(w.program.clone(), &w.records, "again").unwrap();
    let program = Arc::new(Program::compile(spec).unwrap());
    let mut again =
        World { state: RunState::new(program.clone()), program, ..World::unborn(STEPS, Settings::default()) };
    again.event(Event::Submitted);
    again
}

#[test]
fn a_memoized_resubmission_takes_over_the_outputs_of_what_succeeded() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: leaf, withItems: [u, v]}
      - {name: b, template: pause, dependencies: [a]}
      - name: c
        template: show
        dependencies: [b]
        arguments: {parameters: [{name: all, value: '{{tasks.a.outputs.result}}'}]}
  - name: pause
    suspend: {}
  - name: show
    inputs: {parameters: [{name: all}]}
    container: {image: busybox}
  - name: leaf
    container: {image: busybox}",
    );
    for (node, result) in [("wf.a(0:u)", "1"), ("wf.a(1:v)", "2")] {
        w.finish_with(node, |v| v.outputs.result = Some(result.to_owned()));
    }
    assert!(crate::resubmit::reused(w.program.clone(), &w.records, "again").is_err(), "it has not failed");
    w.command("c", Verb::Resume { selector: None, outputs: BTreeMap::new() });
    w.fail("wf.c");
    let mut again = resubmitted(&w);
    let view = again.view();
    let kept = view.find("again.a(0:u)").unwrap();
    assert_eq!((kept.kind, kept.phase), (NodeKind::Skipped, NodePhase::Skipped));
    assert!(kept.message.starts_with("original pod: wf-"), "{}", kept.message);
    assert_eq!(again.live(), Vec::<String>::new(), "it waits for a person once more");
    again.command("d", Verb::Resume { selector: None, outputs: BTreeMap::new() });
    let inputs = &again.attempt("again.c").work.template.inputs;
    assert_eq!(inputs.parameters[0].value.as_ref().unwrap().as_str(), "[1,2]");
    again.succeed("again.c");
    assert_eq!(again.ended().map(|(p, _)| p), Some(RunPhase::Succeeded));
}

/// Shapes in which nothing goes on after a failure, so that a retry leaves no trace of one.
const SHAPES: [&str; 4] = [
    "  entrypoint: main
  templates:
  - name: main
    parallelism: 2
    steps:
    - - {name: a, template: leaf, withSequence: {count: 4}}
      - {name: b, template: inner, hooks: {exit: {template: leaf}}}
      - {name: n, template: inner, when: '1 == 2'}
    - - {name: c, template: leaf, hooks: {exit: {template: inner}}}
      - {name: p, template: pause}
  - name: pause
    suspend: {duration: 3s}
  - name: inner
    dag:
      tasks:
      - {name: x, template: leaf}
      - {name: y, template: leaf, depends: x}
      - {name: z, template: leaf, withItems: [1, 2]}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  onExit: inner
  parallelism: 3
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: inner}
      - {name: b, template: leaf, dependencies: [a]}
      - {name: c, template: inner, dependencies: [a]}
      - {name: d, template: inner, dependencies: [b, c], withItems: [1, 2, 3]}
      - {name: e, template: leaf, depends: d}
  - name: inner
    steps:
    - - {name: i, template: leaf}
      - {name: j, template: leaf, withItems: [1, 2]}
    - - {name: k, template: leaf}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  templates:
  - name: main
    failFast: true
    parallelism: 2
    steps:
    - - {name: a, template: leaf, withItems: [1, 2, 3, 4, 5]}
    - - {name: b, template: leaf}
  - name: leaf
    container: {image: busybox}",
    "  entrypoint: main
  templates:
  - name: main
    retryStrategy: {limit: 1, retryPolicy: Always, backoff: {duration: 5s}}
    steps:
    - - {name: a, template: leaf, withItems: [1, 2]}
      - {name: q, template: inner}
    - - {name: b, template: leaf}
  - name: inner
    retryStrategy: {limit: 1}
    dag:
      tasks:
      - {name: x, template: leaf}
      - {name: y, template: leaf, dependencies: [x]}
  - name: leaf
    retryStrategy: {limit: 1, retryPolicy: Always}
    container: {image: busybox}",
];

/// Lets attempts end in any order with these outcomes, and the rest succeed, until the run is over.
fn play(w: &mut World, moves: &[(usize, u8)]) {
    let mut moves = moves.iter();
    for _ in 0..500 {
        if w.state.phase.completed() && w.state.outbox.attempts().next().is_none() {
            return;
        }
        let live: Vec<Arc<Attempt>> =
            w.started.iter().filter(|a| w.state.outbox.attempt(&a.id).is_some()).cloned().collect();
        let timer =
            w.timers.iter().find(|(t, _)| w.state.outbox.contains_key(&EffectKey::Timer(t.clone()))).cloned();
        if !live.is_empty() {
            let (choice, outcome) = moves.next().copied().unwrap_or((0, 255));
            let outcome = match outcome {
                0..60 => Outcome::Failed,
                60..80 => Outcome::Error,
                80..100 => Outcome::Lost,
                _ => Outcome::Succeeded,
            };
            let verdict = Arc::new(verdict(&live[choice % live.len()], outcome, w.now));
            w.event(Event::AttemptFinished { verdict });
        } else if let Some((timer, due)) = timer {
            w.now = w.now.max(due.as_second());
            w.event(Event::TimerFired { timer });
        } else {
            panic!("the run does not go on: {:?}", crate::waiting::waiting(&w.state));
        }
    }
    panic!("the run does not end");
}

/// The tree as people see it, of each Retry node the newest attempt alone and without its number.
fn shown(view: &View) -> BTreeMap<String, (NodeKind, NodePhase, String)> {
    let mut shown = BTreeMap::new();
    let mut open: Vec<(String, &ViewNode)> = Vec::new();
    open.extend(view.nodes.values().filter(|n| n.parent.is_none()).map(|n| (n.name.clone(), n)));
    while let Some((name, node)) = open.pop() {
        let attempts = view.below(node).filter(|n| matches!(n.role, Role::Attempt(_)));
        let newest = attempts.last().map(|n| n.id);
        for child in view.below(node) {
            let own = child.name.strip_prefix(node.name.as_str()).unwrap_or_default();
            match child.role {
                Role::Attempt(_) if newest != Some(child.id) => {}
                Role::Attempt(_) => open.push((format!("{name}(newest)"), child)),
                // A hook that failed fails nothing, so that nothing was retried for its sake.
                Role::Exit | Role::Hook(_) => {
                    shown.insert(format!("{name}{own}"), (child.kind, NodePhase::Succeeded, String::new()));
                }
                _ => open.push((format!("{name}{own}"), child)),
            }
        }
        shown.insert(name, (node.kind, node.phase, node.message.clone()));
    }
    let names: std::collections::BTreeSet<_> = view.nodes.values().map(|n| &n.name).collect();
    assert_eq!(names.len(), view.nodes.len(), "no node is there twice");
    shown
}

fn moves() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((any::<usize>(), any::<u8>()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_retried_run_ends_as_if_nothing_had_ever_failed(
        shape in 0..SHAPES.len(), first in moves(), second in moves(),
    ) {
        let mut sound = world(SHAPES[shape]);
        play(&mut sound, &[]);
        let mut w = world(SHAPES[shape]);
        for moves in [&first, &second, &Vec::new()] {
            play(&mut w, moves);
            if w.state.phase != RunPhase::Succeeded {
                prop_assert_eq!(w.retry(retried()), None);
            }
        }
        play(&mut w, &[]);
        prop_assert_eq!(w.state.phase, RunPhase::Succeeded);
        prop_assert_eq!(shown(&w.view()), shown(&sound.view()));
        let ids: std::collections::BTreeSet<_> = w.started.iter().map(|a| &a.id).collect();
        prop_assert_eq!(ids.len(), w.started.len(), "no attempt's id is used twice");
    }

    #[test]
    fn a_replayed_retried_state_is_the_live_one(
        shape in 0..SHAPES.len(), first in moves(), second in moves(),
    ) {
        let mut w = world(SHAPES[shape]);
        play(&mut w, &first);
        w.retry(retried());
        for (choice, outcome) in second.iter().take(3) {
            let live: Vec<_> = w.started.iter().filter(|a| w.state.outbox.attempt(&a.id).is_some()).cloned().collect();
            let Some(attempt) = live.get(choice % live.len().max(1)) else { break };
            let outcome = if *outcome < 100 { Outcome::Failed } else { Outcome::Succeeded };
            w.event(Event::AttemptFinished { verdict: Arc::new(verdict(attempt, outcome, w.now)) });
        }
        let text = serde_json::to_string(&w.records).unwrap();
        let stored: Vec<Record> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&stored, &w.records);
        let mut replayed = RunState::new(w.program.clone());
        for record in &stored {
            apply(&mut replayed, record);
        }
        prop_assert_eq!(format!("{replayed:?}"), format!("{:?}", w.state));
    }
}
