//! Stops, deadlines, exit handlers, suspends.

use super::*;
use crate::ids::argo_node_id;
use crate::record::Role;
use crate::scope::whole_seconds;

const EXIT: &str = "  entrypoint: main
  onExit: bye
  templates:
  - name: main
    steps:
    - - {name: a, template: ok}
      - {name: wait, template: pause}
  - name: pause
    suspend: {}
    outputs: {parameters: [{name: approve, valueFrom: {supplied: {}, default: 'no'}}]}
  - name: ok
    container: {image: busybox}
  - name: bye
    container: {image: busybox, args: ['{{workflow.status}}']}";

#[test]
fn stop_ends_the_steps_and_still_runs_the_exit_handler() {
    let mut w = world(EXIT);
    let attempt = w.attempt("wf[0].a");
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.stopped, [attempt.id.to_string()]);
    assert_eq!(w.message_of("[0].a"), "workflow shutdown with strategy:  Stop");
    assert_eq!(w.message_of("[0].wait"), "Stopped with strategy 'Stop'");
    assert_eq!(
        w.attempt("wf.onExit").work.template.container.clone().unwrap().args,
        Some(vec!["Failed".to_owned()])
    );
    w.succeed("wf.onExit");
    assert_eq!(w.ended(), Some((RunPhase::Failed, "Stopped with strategy 'Stop'".to_owned())));
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert!(!w.state.done(), "the stopped attempt has not ended");
    let late = verdict(&attempt, Outcome::Succeeded, w.now);
    w.event(Event::AttemptFinished { verdict: Arc::new(late) });
    assert!(w.state.done());
    assert_eq!(w.phase_of("[0].a"), Some(NodePhase::Failed));
}

#[test]
fn terminate_runs_no_exit_handler() {
    let mut w = world(EXIT);
    w.command("c1", Verb::Terminate);
    assert_eq!(w.ended(), Some((RunPhase::Failed, "Stopped with strategy 'Terminate'".to_owned())));
}

const DAYS: i64 = 24 * 3600;

#[test]
fn a_run_that_has_had_its_time_ends_in_error_whatever_it_waits_for() {
    let why = "the run is older than 365 days, which is all the time it has; submit it anew".to_owned();
    let waits = "  entrypoint: main\n  synchronization: {mutexes: [{name: x}]}\n  templates:\n  - name: main\n    \
                 container: {image: busybox}";
    let tries = "  entrypoint: main\n  templates:\n  - name: main\n    retryStrategy: {limit: 9}\n    \
                 container: {image: busybox}";
    let suspended = "  entrypoint: main\n  suspend: true\n  templates:\n  - name: main\n    \
                     container: {image: busybox}";
    for spec in [EXIT, waits, tries, suspended] {
        let mut w = world(spec);
        w.now += 365 * DAYS - 10;
        let until = at(1000 + 365 * DAYS);
        assert_eq!(w.try_event(Event::TimeOver), Err(Rejected::TimeLeft { until }));
        w.now += 10;
        w.event(Event::TimeOver);
        assert_eq!(w.ended(), Some((RunPhase::Error, why.clone())), "{spec}");
        assert_eq!(w.try_event(Event::TimeOver), Err(Rejected::Ended));
    }
}

#[test]
fn an_exit_handler_has_no_more_time_than_its_run() {
    let mut w = world(EXIT);
    w.command("c1", Verb::Stop { message: None });
    let handler = w.attempt("wf.onExit");
    w.now += 365 * DAYS;
    w.event(Event::TimeOver);
    assert_eq!(w.ended().map(|(phase, _)| phase), Some(RunPhase::Error));
    assert_eq!(w.stopped.last().map(String::as_str), Some(handler.id.as_str()));
}

#[test]
fn retries_are_part_of_a_runs_time() {
    let refused = |after: i64| {
        let mut w =
            world("  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox}");
        w.fail("wf");
        w.now += after;
        let options = RetryOptions::default();
        let plan = plan(w.program.clone(), &w.records, &options).map(Box::new).map_err(|e| e.to_string());
        let command = Command { id: "c".into(), by: "t".into(), at: at(1), verb: Verb::Retry(options) };
        w.event(Event::RetryPlanned { command, plan });
        w.records.iter().rev().find_map(|record| match record {
            Record::CommandRead { refused, .. } => refused.clone(),
            _ => None,
        })
    };
    assert_eq!(refused(300 * DAYS), None);
    let why = "cannot retry a workflow that is older than 365 days: submit it anew";
    assert_eq!(refused(365 * DAYS), Some(why.to_owned()));
}

#[test]
fn a_command_is_applied_once_and_refused_after_the_end() {
    let mut w = world(EXIT);
    w.command("c1", Verb::Terminate);
    let again = Command { id: "c1".into(), by: "test".to_owned(), at: at(1), verb: Verb::Terminate };
    assert_eq!(
        w.try_event(Event::Commanded { command: again }),
        Err(Rejected::CommandRead { command: "c1".into() })
    );
    w.command("c2", Verb::Terminate);
    let refused = w.records.iter().rev().find_map(|r| match r {
        Record::CommandRead { refused, .. } => refused.clone(),
        _ => None,
    });
    assert_eq!(refused.unwrap(), "cannot shutdown a completed workflow: it is Failed");
}

#[test]
fn resume_gives_supplied_values_or_their_defaults_and_refuses_unknown_ones() {
    let resumed = |given: &[(&str, &str)]| {
        let mut w = world(EXIT);
        let outputs = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        w.command("c1", Verb::Resume { selector: Some("displayName=wait".into()), outputs });
        let view = View::fold(w.state.program.clone(), &w.records);
        let node = view.find("wait").unwrap();
        (node.phase, node.outputs.parameters.first().and_then(|p| p.value.clone()).map(|v| v.0))
    };
    assert_eq!(resumed(&[]), (NodePhase::Succeeded, Some("no".to_owned())));
    assert_eq!(resumed(&[("approve", "yes")]), (NodePhase::Succeeded, Some("yes".to_owned())));
    assert_eq!(resumed(&[("other", "yes")]), (NodePhase::Running, None));
}

#[test]
fn a_supplied_output_falls_back_on_the_default_of_its_input_and_not_on_its_value() {
    let resumed = |input: &str| {
        let mut w = world(&format!(
            "  entrypoint: pause\n  templates:\n  - name: pause\n    inputs: {{parameters: [{{name: x, {input}}}]}}\n    suspend: {{}}\n    outputs: {{parameters: [{{name: x, valueFrom: {{supplied: {{}}}}}}]}}"
        ));
        w.command("c1", Verb::Resume { selector: None, outputs: [].into() });
        let view = w.view();
        let node = view.nodes.values().find(|n| n.name == "wf").unwrap();
        node.outputs.parameters.first().and_then(|p| p.value.clone()).map(|v| v.0)
    };
    assert_eq!(resumed("value: given, default: other").as_deref(), Some("other"));
    assert_eq!(resumed("value: given"), None);
}

#[test]
fn a_supplied_value_outside_its_enum_is_refused_and_the_node_waits_on() {
    let mut w = world(&EXIT.replace("[{name: approve,", "[{name: approve, enum: ['yes', 'no'],"));
    let outputs = [("approve".to_owned(), "maybe".to_owned())].into();
    w.command("c1", Verb::Resume { selector: None, outputs });
    let refused = w.records.iter().rev().find_map(|r| match r {
        Record::CommandRead { refused, .. } => refused.clone(),
        _ => None,
    });
    assert_eq!(refused.unwrap(), "value 'maybe' of output parameter 'approve' is not one of yes, no");
    assert_eq!(w.phase_of("[0].wait"), Some(NodePhase::Running));
}

#[test]
fn a_value_outside_its_enum_can_not_be_set_either_and_a_default_is_the_authors() {
    let mut w = world(&EXIT.replace("[{name: approve,", "[{name: approve, enum: ['yes', 'maybe'],"));
    let set = |value: &str| Verb::Set {
        selector: "displayName=wait".to_owned(),
        phase: None,
        message: None,
        outputs: [("approve".to_owned(), value.to_owned())].into(),
    };
    w.command("c1", set("YES"));
    let refused = w.records.iter().rev().find_map(|r| match r {
        Record::CommandRead { refused, .. } => refused.clone(),
        _ => None,
    });
    assert_eq!(refused.unwrap(), "value 'YES' of output parameter 'approve' is not one of yes, maybe");
    w.command("c2", Verb::Resume { selector: None, outputs: [].into() });
    assert_eq!(w.phase_of("[0].wait"), Some(NodePhase::Succeeded));
}

#[test]
fn a_suspend_that_begins_after_the_deadline_fails_and_an_exit_handlers_waits() {
    let mut w = world(
        "  entrypoint: main
  activeDeadlineSeconds: 60
  onExit: pause
  templates:
  - name: main
    steps:
    - - {name: a, template: ok, continueOn: {failed: true}}
    - - {name: wait, template: pause}
  - name: pause
    suspend: {}
  - name: ok
    container: {image: busybox}",
    );
    w.fire();
    assert_eq!(w.message_of("[1].wait"), "Step exceeded its deadline");
    assert_eq!(w.phase_of("[1].wait"), Some(NodePhase::Failed));
    assert_eq!(w.phase_of(".onExit"), Some(NodePhase::Running));
}

#[test]
fn the_workflows_deadline_ends_what_runs_and_spares_the_exit_handler() {
    let mut w = world(&EXIT.replace("onExit: bye", "onExit: bye\n  activeDeadlineSeconds: 60"));
    let attempt = w.attempt("wf[0].a");
    w.fire();
    assert_eq!(w.stopped, [attempt.id.to_string()]);
    assert_eq!(w.message_of("[0].a"), "Step exceeded its deadline");
    assert_eq!(w.live().last().map(String::as_str), Some("wf.onExit"));
}

#[test]
fn a_suspend_with_a_duration_goes_on_by_itself() {
    let mut w = world("  entrypoint: main\n  templates:\n  - name: main\n    suspend: {duration: '20'}");
    assert_eq!(w.ended(), None);
    let (timer, due) = w.timers[0].clone();
    let early = w.try_event(Event::TimerFired { timer: timer.clone() });
    assert_eq!(early, Err(Rejected::EarlyTimer { timer: timer.clone(), due }));
    w.fire();
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!(w.try_event(Event::TimerFired { timer: timer.clone() }), Err(Rejected::StaleTimer { timer }));
}

#[test]
fn a_steps_exit_handler_runs_before_its_parent_goes_on() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: ok, hooks: {exit: {template: bye, arguments: {parameters: [{name: s, value: '{{steps.a.status}}'}]}}}}
    - - {name: b, template: ok}
  - name: ok
    container: {image: busybox}
  - name: bye
    inputs: {parameters: [{name: s}]}
    container: {image: busybox, args: ['{{inputs.parameters.s}}']}",
    );
    w.succeed("wf[0].a");
    assert_eq!(w.live(), ["wf[0].a.onExit"]);
    let args = w.attempt("wf[0].a.onExit").work.template.container.clone().unwrap().args;
    assert_eq!(args, Some(vec!["Succeeded".to_owned()]));
    w.fail("wf[0].a.onExit");
    assert_eq!(w.live(), ["wf[1].b"], "a failing exit handler does not change the step");
}

#[test]
fn a_pending_pod_past_its_timeout_fails() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    timeout: 30s\n    container: {image: busybox}",
    );
    let attempt = w.attempt("wf");
    assert_eq!(attempt.work.active_deadline_seconds, Some(30));
    w.fire();
    assert_eq!(w.phase_of(""), Some(NodePhase::Failed));
    let why = "error in entry template execution: timeout".to_owned();
    assert_eq!(w.ended(), Some((RunPhase::Error, why)));
    assert_eq!(w.stopped, [attempt.id.to_string()]);
}

#[test]
fn neither_the_exit_handler_nor_a_hook_runs_after_an_error_of_the_entry_template() {
    let ends = |main: &str, entry: &str, error: &str| {
        let mut w = world(&format!(
            "  entrypoint: main\n  onExit: bye\n  hooks: {{failed: {{template: bye, expression: \"workflow.status != 'Running' && workflow.status != 'Pending'\"}}}}\n  templates:\n  - {{name: main, {main}}}\n  - {{name: bye, container: {{image: busybox}}}}"
        ));
        if w.ended().is_none() {
            w.fail(entry);
        }
        let message = format!("error in entry template execution: {error}");
        assert_eq!((w.ended(), w.live()), (Some((RunPhase::Error, message)), Vec::new()), "{main}");
    };
    let leaf = "container: {image: busybox}";
    ends(
        &format!("inputs: {{parameters: [{{name: x}}]}}, {leaf}"),
        "",
        "inputs.parameters.x was not supplied",
    );
    let retry = format!("retryStrategy: {{limit: 2, expression: 'lastRetry.nothing.x > 1'}}, {leaf}");
    let why = "lastRetry.nothing.x is missing (1:19)\n | lastRetry.nothing.x > 1\n | ..................^";
    ends(&retry, "wf(0)", why);
}

#[test]
fn artifacts_go_at_the_end_where_any_template_says_so_one_inline_in_a_step_too() {
    let deletes = |fields: &str, step: &str, strategy: &str| {
        let gc = format!("artifactGC: {{strategy: {strategy}}}");
        let made = |gc: &str| {
            format!("container: {{image: x}}, outputs: {{artifacts: [{{name: f, path: /f, {gc}}}]}}")
        };
        let (fields, step) = (fields.replace("GC", &gc), step.replace("MADE", &made(&gc)));
        let mut w = world(&format!(
            "{fields}  entrypoint: main\n  templates:\n  - {{name: main, steps: [[{{name: a, {step}}}]]}}\n  - {{name: leaf, {}}}",
            made("optional: true")
        ));
        w.succeed("wf[0].a");
        let end = |record: &Record| match record {
            Record::RunFinished { delete_artifacts, .. } => Some(*delete_artifacts),
            _ => None,
        };
        w.records.iter().find_map(end).unwrap()
    };
    for (fields, step) in [("  GC\n", "template: leaf"), ("", "inline: {MADE}")] {
        assert!(deletes(fields, step, "OnWorkflowCompletion"), "{fields}{step}");
        assert!(!deletes(fields, step, "OnWorkflowDeletion"), "{fields}{step}");
    }
    assert!(!deletes("", "template: leaf", ""));
}

/// Argo's rule V-3.
#[test]
fn who_reads_a_retried_step_is_shown_its_last_attempt() {
    let told = "arguments: {parameters: [{name: m, value: '{{steps.a.id}} {{steps.a.startedAt}}'}]}";
    let mut w = world(&format!(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {{name: a, template: again, hooks: {{exit: {{template: say, {told}}}}}}}
    - - {{name: b, template: say, {told}}}
  - name: again
    retryStrategy: {{limit: 1}}
    container: {{image: x}}
  - name: say
    inputs: {{parameters: [{{name: m}}]}}
    container: {{image: x, args: ['{{{{inputs.parameters.m}}}}']}}"
    ));
    w.now += 100;
    w.fail("wf[0].a(0)");
    let second = w.state.nodes.values().find(|node| node.role == Role::Attempt(1)).unwrap().started_at;
    w.now += 100;
    w.succeed("wf[0].a(1)");
    let shown = format!("{} {}", argo_node_id("wf", "wf[0].a(1)"), whole_seconds(second));
    let said = |w: &World, node: &str| w.attempt(node).work.template.container.clone().unwrap().args;
    assert_eq!(said(&w, "wf[0].a.onExit"), Some(vec![shown.clone()]));
    w.succeed("wf[0].a.onExit");
    assert_eq!(said(&w, "wf[1].b"), Some(vec![shown]));
}
