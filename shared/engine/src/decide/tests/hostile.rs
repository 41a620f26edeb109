//! Manifests that want too much: each is refused with the figure, or held back, and the run goes on to an end.

use super::*;
use crate::apply::RESULTS_BYTES_MAX;
use crate::items::ITEMS_BYTES_MAX;
use crate::resolve::{ITEMS_MAX, PARAMETER_BYTES_MAX};

/// A run that calls `leaf` with what `call` says.
fn calls(call: &str, leaf: &str) -> World {
    world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - name: a\n        template: leaf\n        {call}\n  - {{name: leaf, {leaf}container: {{image: 'busybox:1', command: ['true']}}}}"
    ))
}

#[test]
fn a_loop_over_more_items_than_fit_is_refused_with_the_figure() {
    let refused = |items: &str| {
        format!(
            "the loop has {items} items, more than {ITEMS_MAX}: give each step a range of \
             them to work through, or loop over parts in a template that loops over each part"
        )
    };
    for (sequence, items) in [
        ("count: 1000001", "1000001"),
        ("count: 9223372036854775807", "9223372036854775807"),
        ("start: -9223372036854775808, end: 9223372036854775807", "18446744073709551615"),
        ("start: 9223372036854775807, end: -9223372036854775808", "18446744073709551615"),
    ] {
        let w = calls(&format!("withSequence: {{{sequence}}}"), "");
        assert_eq!(
            (w.ended().unwrap(), w.live()),
            ((RunPhase::Failed, refused(items)), vec![]),
            "{sequence}"
        );
    }
    let million = format!("withParam: '[{}0]'", "0,".repeat(1_000_000));
    assert_eq!(calls(&million, "").ended().unwrap().1, refused("1000001"));
    let long = calls("withSequence: {count: 60000, format: '%01000d'}", "").ended().unwrap().1;
    assert!(long.contains(&format!("more than {ITEMS_BYTES_MAX} bytes")), "{long}");
}

#[test]
fn a_wide_loop_has_only_so_many_pods_open() {
    let spec = "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: a, template: leaf, withSequence: {count: 40}}\n  - {name: leaf, container: {image: 'busybox:1', command: ['true']}}";
    let settings = Settings { open_pods_max: 3, ..Settings::default() };
    let mut w = World::unborn(spec, settings);
    w.event(Event::Submitted);
    for i in 0..40 {
        assert!((1..=3).contains(&w.live().len()), "{:?}", w.live());
        w.succeed(&format!("wf[0].a({i}:{i})"));
    }
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn the_bound_on_open_pods_is_named_as_what_is_waited_for() {
    let spec = "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: a, template: leaf, withSequence: {count: 4}}\n  - {name: leaf, container: {image: 'busybox:1', command: ['true']}}";
    let mut w = World::unborn(spec, Settings { open_pods_max: 3, ..Settings::default() });
    w.event(Event::Submitted);
    let waits = w.waiting().into_iter().find(|line| line.contains("slot")).unwrap();
    assert!(waits.contains("waits for a slot of parallelism 3 of the workflow"), "{waits}");
}

#[test]
fn a_parameter_that_doubles_ends_at_the_bound() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps: [[{name: a, template: twice, arguments: {parameters: [{name: x, value: xxxxxxxx}]}}]]\n  - name: twice\n    inputs: {parameters: [{name: x}]}\n    steps: [[{name: b, template: twice, arguments: {parameters: [{name: x, value: '{{inputs.parameters.x}}{{inputs.parameters.x}}'}]}}]]",
    );
    let (phase, message) = w.ended().unwrap();
    assert_eq!(phase, RunPhase::Failed);
    let why = format!(
        "inputs.parameters.x has {} bytes, more than {PARAMETER_BYTES_MAX}: pass it as an artifact",
        PARAMETER_BYTES_MAX * 2
    );
    assert!(w.view().nodes.values().any(|n| n.message.contains(&why)), "{message}");
    assert!(w.records.len() < 200 && w.try_event(Event::Submitted).is_err());
}

#[test]
fn a_loop_whose_outputs_are_too_large_together_is_an_error() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: a, template: leaf, withSequence: {count: 70}}\n    - - {name: b, template: leaf, arguments: {parameters: [{name: all, value: '{{steps.a.outputs.parameters.o}}'}]}}\n  - name: leaf\n    inputs: {parameters: [{name: all, default: ''}]}\n    outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}\n    container: {image: 'busybox:1', command: ['true']}",
    );
    let large = "x".repeat(16 * 1024);
    for i in 0..70 {
        w.finish_with(&format!("wf[0].a({i}:{i})"), |v| {
            v.outputs.parameters =
                serde_json::from_value(serde_json::json!([{"name": "o", "value": large}])).unwrap();
        });
    }
    let message = w.message_of("[0].a");
    let bytes = 70 * (16 * 1024 + 1);
    let why = format!(
        "the outputs of the loop's items take {bytes} bytes, more than {RESULTS_BYTES_MAX}: write them as artifacts"
    );
    assert_eq!((message, w.ended().map(|ended| ended.0)), (why, Some(RunPhase::Failed)));
    assert_eq!((w.started.len(), w.live()), (70, vec![]), "who would have read them does not start");
}

#[test]
fn a_template_that_calls_itself_without_end_is_stopped() {
    let steps = "  entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: a, template: main}]]}";
    let dag = "  entrypoint: main\n  templates:\n  - {name: main, dag: {tasks: [{name: a, template: main}]}}";
    for spec in [steps, dag] {
        let w = world(spec);
        assert_ne!(w.ended().unwrap().0, RunPhase::Succeeded, "{spec}");
        let deepest = "Maximum recursion depth exceeded";
        assert!(w.view().nodes.values().any(|n| n.message.contains(deepest)), "{spec}");
        assert!(w.records.len() < 2000, "{}", w.records.len());
    }
}

#[test]
fn a_template_that_calls_itself_twice_is_stopped_long_before_its_depth() {
    let spec = "  entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: a, template: main}, {name: b, template: main}]]}";
    let mut w = World::unborn(spec, Settings { nodes_per_decision_max: 500, ..Settings::default() });
    w.event(Event::Submitted);
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
    let why = "one event would begin more than 500 nodes: end the recursion with a `when`";
    assert!(w.view().nodes.values().any(|n| n.message.contains(why)));
    assert!(w.records.len() < 5000, "{}", w.records.len());
}

#[test]
fn waits_without_end_stay_within_what_a_timer_reaches() {
    for backoff in [
        "{duration: '1h', factor: '4294967295'}",
        "{duration: '9223372036', factor: '2'}",
        "{duration: '2562047h', factor: '2', cap: '2562047h'}",
    ] {
        let strategy = format!("retryStrategy: {{limit: '9223372036854775807', backoff: {backoff}}}, ");
        let mut w = calls("", &strategy);
        for n in 0..4 {
            w.fail(&format!("wf[0].a({n})"));
            w.fire();
        }
        assert_eq!((w.ended(), w.live()), (None, vec!["wf[0].a(4)".to_owned()]), "{backoff}");
    }
}

#[test]
fn durations_and_limits_that_are_none_end_the_run_with_the_reason() {
    for strategy in [
        "limit: 99999999999999999999",
        "limit: 'x'",
        "backoff: {duration: '1e300'}",
        "backoff: {duration: '-99999999999999999999h'}",
        "backoff: {duration: '99999999999999999999999s'}",
        "backoff: {duration: '1s', factor: '1e300'}",
        "backoff: {duration: '1s', factor: '-2'}",
    ] {
        let spec = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wf}}\nspec:\n  entrypoint: main\n  templates:\n  - {{name: main, retryStrategy: {{{strategy}}}, container: {{image: 'busybox:1', command: ['true']}}}}"
        );
        if parse("test", &spec).has_errors() {
            continue;
        }
        let mut w = world(spec.split_once("spec:\n").unwrap().1);
        if w.ended().is_none() {
            w.fail("wf(0)");
        }
        assert!(w.ended().is_some() && !w.ended().unwrap().1.is_empty(), "{strategy}: {:?}", w.phases());
    }
}

#[test]
fn the_clock_of_a_pod_does_not_become_that_of_the_run() {
    let mut world =
        world("  entrypoint: main\n  templates:\n  - {name: main, container: {image: busybox}}\n");
    let attempt = world.started[0].id.clone();
    let ahead = at(9_000_000_000);
    world.event(Event::AttemptRunning { attempt: attempt.clone(), at: ahead, host: None });
    let mut verdict = Verdict::without_outputs(attempt, Outcome::Succeeded, Reason::Exited, "", ahead);
    verdict.started_at = Some(ahead);
    world.event(Event::AttemptFinished { verdict: Arc::new(verdict) });
    let now = at(world.now);
    assert_eq!((world.state.last, world.state.finished_at), (now, Some(now)));
}
