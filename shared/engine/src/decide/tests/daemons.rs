//! Daemons and the containers of a pod.

use super::*;
use crate::attempt::ContainerEnd;

const SERVER: &str = "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: server, template: server}
    - - {name: client, template: client, arguments: {parameters: [{name: ip, value: '{{steps.server.ip}}'}]}}
  - name: server
    daemon: true
    container: {image: busybox}
  - name: client
    inputs: {parameters: [{name: ip}]}
    container: {image: busybox, args: ['{{inputs.parameters.ip}}']}";

const GRAPH: &str = "  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: server, template: server}
      - {name: slow, template: leaf}
      - {name: uses, template: leaf, depends: server.Daemoned && slow}
      - {name: mourns, template: leaf, depends: server.Failed && slow}
  - name: server
    daemon: true
    container: {image: busybox}
  - name: leaf
    container: {image: busybox}";

fn phases(w: &World, wanted: &[&str]) -> Vec<NodePhase> {
    wanted.iter().map(|node| w.phase_of(node).unwrap()).collect()
}

#[test]
fn the_next_group_starts_when_a_daemon_is_ready_and_its_end_ends_the_daemon() {
    let mut w = world(SERVER);
    let server = w.attempt("wf[0].server");
    assert_eq!(w.live(), ["wf[0].server"], "a daemon that is not ready holds the group up");
    w.ready("wf[0].server");
    assert_eq!(w.live(), ["wf[0].server", "wf[1].client"]);
    let args = w.attempt("wf[1].client").work.template.container.clone().unwrap().args;
    assert_eq!(args, Some(vec!["127.0.0.1".to_owned()]));
    assert_eq!(phases(&w, &["[0]", "[0].server"]), [NodePhase::Succeeded, NodePhase::Running]);
    w.succeed("wf[1].client");
    assert_eq!(w.stopped, [server.id.to_string()]);
    assert_eq!(w.phase_of("[0].server"), Some(NodePhase::Succeeded));
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    let stopped = verdict(&server, Outcome::Failed, w.now);
    w.event(Event::AttemptFinished { verdict: Arc::new(stopped) });
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert!(w.state.done());
}

#[test]
fn a_daemon_that_ends_by_itself_has_failed_even_with_exit_code_0() {
    let mut w = world(SERVER);
    w.succeed("wf[0].server");
    assert_eq!(w.phase_of("[0].server"), Some(NodePhase::Failed), "before it was ready");
    assert!(matches!(w.ended(), Some((RunPhase::Failed, _))));

    let mut w = world(SERVER);
    w.ready("wf[0].server");
    w.succeed("wf[0].server");
    assert_eq!(w.phase_of("[0].server"), Some(NodePhase::Failed));
    w.succeed("wf[1].client");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())), "its group was over");
}

#[test]
fn a_daemon_that_fails_while_its_group_runs_fails_the_group() {
    let mut w = world(
        &SERVER
            .replace("    - - {name: client", "      - {name: client")
            .replace("{{steps.server.ip}}", "none"),
    );
    w.ready("wf[0].server");
    w.fail("wf[0].server");
    w.succeed("wf[0].client");
    assert_eq!(w.phase_of("[0]"), Some(NodePhase::Failed));
    assert!(matches!(w.ended(), Some((RunPhase::Failed, _))));
}

#[test]
fn a_dags_tasks_see_whether_a_daemon_serves() {
    let mut w = world(GRAPH);
    w.ready("wf.server");
    w.succeed("wf.slow");
    assert_eq!(phases(&w, &[".uses", ".mourns"]), [NodePhase::Pending, NodePhase::Omitted]);
    w.succeed("wf.uses");
    assert_eq!(phases(&w, &[".server", ""]), [NodePhase::Succeeded, NodePhase::Succeeded]);

    let mut w = world(GRAPH);
    w.ready("wf.server");
    w.fail("wf.server");
    w.succeed("wf.slow");
    assert_eq!(phases(&w, &[".uses", ".mourns"]), [NodePhase::Omitted, NodePhase::Pending]);
}

#[test]
fn what_needs_a_daemon_that_infrastructure_took_waits_for_the_next_one() {
    let mut w = world(GRAPH);
    w.ready("wf.server");
    w.finish_with("wf.server", |verdict| verdict.outcome = Outcome::Lost);
    w.succeed("wf.slow");
    assert_eq!(w.live(), ["wf.server"]);
    w.run("wf.server");
    assert_eq!(w.live(), ["wf.server"], "it runs and is not ready");
    w.ready("wf.server");
    assert_eq!(phases(&w, &[".uses", ".mourns"]), [NodePhase::Pending, NodePhase::Omitted]);

    let mut w = world(GRAPH);
    w.ready("wf.server");
    w.finish_with("wf.server", |verdict| verdict.outcome = Outcome::Lost);
    w.succeed("wf.slow");
    w.fail("wf.server");
    assert_eq!(phases(&w, &[".uses", ".mourns"]), [NodePhase::Omitted, NodePhase::Pending]);
}

#[test]
fn a_retried_daemon_starts_again_while_what_needs_it_goes_on() {
    let mut w = world(&SERVER.replace("    daemon: true", "    daemon: true\n    retryStrategy: {limit: 1}"));
    w.ready("wf[0].server(0)");
    let retry = |w: &World| (w.phase_of("[0].server").unwrap(), w.phase_of("[0]").unwrap());
    assert_eq!(retry(&w), (NodePhase::Running, NodePhase::Succeeded));
    w.fail("wf[0].server(0)");
    assert_eq!(w.live(), ["wf[1].client", "wf[0].server(1)"]);
    let second = w.attempt("wf[0].server(1)");
    w.succeed("wf[1].client");
    assert_eq!(w.stopped, [second.id.to_string()], "an attempt that is not ready ends too");
    assert_eq!(
        phases(&w, &["[0].server", "[0].server(0)", "[0].server(1)"]),
        [NodePhase::Succeeded, NodePhase::Failed, NodePhase::Succeeded]
    );
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_retried_daemon_without_retries_left_has_failed() {
    let mut w = world(&SERVER.replace("    daemon: true", "    daemon: true\n    retryStrategy: {limit: 0}"));
    w.ready("wf[0].server(0)");
    w.fail("wf[0].server(0)");
    assert_eq!(w.phase_of("[0].server"), Some(NodePhase::Failed));
    assert_eq!(w.message_of("[0].server"), "No more retries left");
}

#[test]
fn stop_and_deadline_leave_a_daemon_to_the_end_of_what_needs_it() {
    let verbs = [Verb::Stop { message: None }, Verb::Terminate];
    for verb in verbs {
        let mut w = world(SERVER);
        w.ready("wf[0].server");
        w.command("c1", verb);
        assert_eq!(phases(&w, &["[0].server", "[1].client"]), [NodePhase::Succeeded, NodePhase::Failed]);
        assert_eq!(w.stopped.len(), 2);
        assert!(matches!(w.ended(), Some((RunPhase::Failed, _))));
    }
    let mut w = world(&SERVER.replace("entrypoint: main", "entrypoint: main\n  activeDeadlineSeconds: 60"));
    w.ready("wf[0].server");
    w.fire();
    assert_eq!(phases(&w, &["[0].server", "[1].client"]), [NodePhase::Succeeded, NodePhase::Failed]);
}

#[test]
fn a_daemon_that_starts_again_holds_no_shutdown_up() {
    for runs in [false, true] {
        let mut w = world(GRAPH);
        w.ready("wf.server");
        w.finish_with("wf.server", |verdict| verdict.outcome = Outcome::Lost);
        w.succeed("wf.slow");
        if runs {
            w.run("wf.server");
        }
        let server = w.attempt("wf.server");
        w.command("c1", Verb::Terminate);
        assert_eq!(w.stopped, [server.id.to_string()]);
        assert_eq!(
            phases(&w, &[".server", ".uses", ".mourns"]),
            [NodePhase::Failed, NodePhase::Omitted, NodePhase::Failed]
        );
        assert!(matches!(w.ended(), Some((RunPhase::Failed, _))));
    }
}

#[test]
fn a_stopped_daemon_that_is_not_ready_fails_as_any_pod() {
    let mut w = world(SERVER);
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.message_of("[0].server"), "workflow shutdown with strategy:  Stop");
}

#[test]
fn an_entry_node_that_is_a_daemon_serves_nobody_and_succeeds() {
    let spec =
        "  entrypoint: main\n  templates:\n  - name: main\n    daemon: true\n    container: {image: busybox}";
    let mut w = world(spec);
    w.ready("wf");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!(w.stopped.len(), 1);
}

#[test]
fn a_loop_of_daemons_serves_as_one_and_ends_with_its_boundary() {
    let mut w = world(
        &SERVER
            .replace("template: server}", "template: server, withItems: [a, b]}")
            .replace("{{steps.server.ip}}", "none"),
    );
    w.ready("wf[0].server(0:a)");
    assert_eq!(w.phase_of("[0]"), Some(NodePhase::Running));
    w.ready("wf[0].server(1:b)");
    assert_eq!(w.phase_of("[0]"), Some(NodePhase::Succeeded));
    w.succeed("wf[1].client");
    assert_eq!(
        phases(&w, &["[0].server(0:a)", "[0].server(1:b)", ""]),
        [NodePhase::Succeeded, NodePhase::Succeeded, NodePhase::Succeeded]
    );
}

#[test]
fn an_exit_handler_of_a_daemon_that_failed_holds_its_dag_up() {
    let spec = GRAPH.replace("template: server}", "template: server, hooks: {exit: {template: leaf}}}");
    let mut w = world(&spec);
    w.ready("wf.server");
    w.fail("wf.server");
    assert_eq!(w.live(), ["wf.slow", "wf.server.onExit"]);
    w.succeed("wf.slow");
    assert_eq!(w.phase_of(".uses"), None, "the exit handler is not done");
    w.succeed("wf.server.onExit");
    w.succeed("wf.mourns");
    assert!(w.ended().is_some());
}

#[test]
fn a_daemon_says_why_it_does_not_move() {
    let mut w = world(SERVER);
    w.ready("wf[0].server");
    let said: Vec<String> = crate::waiting::waiting(&w.state).iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "wf[0].server: serves at 127.0.0.1 until what needs it has ended");
}

#[test]
fn a_template_that_fails_fast_does_not_wait_for_its_daemons() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    failFast: true
    parallelism: 2
    steps:
    - - {name: server, template: server}
      - {name: a, template: leaf, withItems: [1, 2]}
  - name: server
    daemon: true
    container: {image: busybox}
  - name: leaf
    container: {image: busybox}",
    );
    w.ready("wf[0].server");
    w.fail("wf[0].a(0:1)");
    assert!(matches!(w.ended(), Some((RunPhase::Failed, _))), "{:?}", w.live());
}

const SET: &str = "  entrypoint: main
  templates:
  - name: main
    containerSet:
      containers:
      - {name: a, image: busybox}
      - {name: main, image: busybox, dependencies: [a]}";

fn end(name: &str, outcome: Outcome, message: &str) -> ContainerEnd {
    ContainerEnd {
        name: name.to_owned(),
        outcome,
        message: message.to_owned(),
        exit_code: None,
        started_at: None,
        finished_at: at(1500),
    }
}

#[test]
fn the_containers_of_a_set_are_nodes_that_end_as_the_verdict_says() {
    let mut w = world(SET);
    let attempt = w.attempt("wf").id.clone();
    assert_eq!(phases(&w, &["", ".a", ".main"]), [NodePhase::Pending; 3]);
    w.event(Event::AttemptRunning { attempt, at: at(1001), host: None });
    assert_eq!(phases(&w, &["", ".a", ".main"]), [NodePhase::Running; 3]);
    w.finish_with("wf", |v| {
        v.outcome = Outcome::Failed;
        v.message = "a: Error (exit code 1)".to_owned();
        v.containers = vec![
            end("a", Outcome::Failed, "a: Error (exit code 1): "),
            end("main", Outcome::Error, "main: Error (exit code 64): dependency"),
        ];
    });
    assert_eq!(phases(&w, &["", ".a", ".main"]), [NodePhase::Failed, NodePhase::Failed, NodePhase::Error]);
    assert_eq!(w.message_of(".main"), "main: Error (exit code 64): dependency");
    assert_eq!(w.state.progress, (0, 3));
}

#[test]
fn containers_of_a_pod_that_was_given_up_share_its_fate() {
    let mut w = world(SET);
    w.command("c1", Verb::Terminate);
    assert_eq!(phases(&w, &["", ".a", ".main"]), [NodePhase::Failed; 3]);
    assert_eq!(w.message_of(".a"), "workflow shutdown with strategy:  Terminate");
}

#[test]
fn a_pod_that_infrastructure_lost_starts_again_with_all_its_containers() {
    let mut w = world(SET);
    let attempt = w.attempt("wf").id.clone();
    w.event(Event::AttemptRunning { attempt, at: at(1001), host: None });
    w.finish_with("wf", |v| v.outcome = Outcome::Lost);
    assert_eq!(phases(&w, &["", ".a", ".main"]), [NodePhase::Pending; 3]);
    w.succeed("wf");
    assert_eq!(phases(&w, &["", ".a", ".main"]), [NodePhase::Succeeded; 3]);
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_retry_of_the_run_makes_a_failed_pod_again_although_one_of_its_containers_succeeded() {
    let mut w = world(SET);
    w.finish_with("wf", |v| {
        v.outcome = Outcome::Failed;
        v.containers = vec![end("a", Outcome::Succeeded, ""), end("main", Outcome::Failed, "main: Error")];
    });
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert_eq!(w.retry(crate::event::RetryOptions::default()), None);
    assert_eq!(w.live(), ["wf"]);
    w.succeed("wf");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!(w.state.progress, (3, 3));
}

#[test]
fn a_pod_pending_past_its_pending_timeout_fails_and_one_that_runs_goes_on() {
    let spec = "  entrypoint: main\n  templates:\n  - name: main\n    pendingTimeout: 30s\n    container: {image: busybox}";
    let mut w = world(spec);
    w.fire();
    let why = "error in entry template execution: timeout".to_owned();
    assert_eq!(w.ended(), Some((RunPhase::Error, why)));

    let mut w = world(spec);
    let attempt = w.attempt("wf").id.clone();
    assert_eq!(attempt_limit(&w), None, "it limits no running pod");
    w.event(Event::AttemptRunning { attempt, at: at(1001), host: None });
    let (timer, _) = w.timers[0].clone();
    assert_eq!(w.try_event(Event::TimerFired { timer: timer.clone() }), Err(Rejected::StaleTimer { timer }));
}

fn attempt_limit(w: &World) -> Option<u64> {
    w.attempt("wf").work.active_deadline_seconds
}
