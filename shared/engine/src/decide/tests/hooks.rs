//! Lifecycle hooks: when each fires, what waits for it, and what its failure means.

use super::*;

const TEMPLATES: &str = "
  - name: ok
    container: {image: busybox}
  - name: say
    inputs: {parameters: [{name: m, default: d}]}
    container: {image: busybox, args: ['{{inputs.parameters.m}}']}";

fn steps(call: &str) -> World {
    world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {call}\n    - - {{name: next, template: ok}}{TEMPLATES}"
    ))
}

fn running(w: &mut World, node: &str) {
    let attempt = w.attempt(node).id.clone();
    let at = at(w.now);
    w.event(Event::AttemptRunning { attempt, at, host: None });
}

fn args(w: &World, node: &str) -> Vec<String> {
    w.attempt(node).work.template.container.clone().unwrap().args.unwrap_or_default()
}

#[test]
fn a_steps_hook_fires_once_when_its_expression_is_true_and_the_group_waits_for_it() {
    let mut w = steps(
        "{name: step-1, template: ok, hooks: {begun: {template: say, expression: 'steps[\"step-1\"].status == \"Running\"'}, failed: {template: say, expression: 'steps[\"step-1\"].status == \"Failed\"'}}}",
    );
    assert_eq!(w.live(), ["wf[0].step-1"]);
    running(&mut w, "wf[0].step-1");
    assert_eq!(w.live(), ["wf[0].step-1", "wf[0].step-1.hooks.begun"]);
    w.succeed("wf[0].step-1");
    assert_eq!(w.live(), ["wf[0].step-1.hooks.begun"], "the next group waits for the hook");
    w.fail("wf[0].step-1.hooks.begun");
    assert_eq!(w.live(), ["wf[1].next"], "a hook that fails does not fail its step");
    w.succeed("wf[1].next");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!(w.phase_of("[0].step-1.hooks.failed"), None);
}

#[test]
fn hooks_come_before_the_exit_handler_and_both_before_what_follows() {
    let mut w = steps(
        "{name: a, template: ok, onExit: ok, hooks: {done: {template: say, expression: steps.a.status == 'Succeeded', arguments: {parameters: [{name: m, value: '{{steps.a.exitCode}}'}]}}}}",
    );
    w.succeed("wf[0].a");
    assert_eq!(w.live(), ["wf[0].a.hooks.done"]);
    assert_eq!(args(&w, "wf[0].a.hooks.done"), ["0"]);
    w.succeed("wf[0].a.hooks.done");
    assert_eq!(w.live(), ["wf[0].a.onExit"]);
    w.succeed("wf[0].a.onExit");
    assert_eq!(w.live(), ["wf[1].next"]);
}

#[test]
fn each_item_of_a_looped_step_has_hooks_of_its_own_and_the_loop_ends_after_them() {
    let mut w = steps(
        "{name: a, template: ok, withItems: [p, q], onExit: ok, hooks: {done: {template: say, expression: '\"{{item}}\" == \"q\" && steps.a.status == \"Succeeded\" || steps[\"a(0:p)\"].status == \"Succeeded\"', arguments: {parameters: [{name: m, value: '{{item}} {{steps.a.status}}'}]}}}}",
    );
    for item in ["wf[0].a(0:p)", "wf[0].a(1:q)"] {
        w.succeed(item);
        let letter = &item[item.len() - 2..item.len() - 1];
        assert_eq!(args(&w, &format!("{item}.hooks.done")), [format!("{letter} Succeeded")]);
        w.succeed(&format!("{item}.hooks.done"));
        w.succeed(&format!("{item}.onExit"));
    }
    assert_eq!(w.live(), ["wf[1].next"]);
}

#[test]
fn a_retry_node_has_one_hook_for_all_its_attempts() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: again, hooks: {{bad: {{template: say, expression: steps.a.status == 'Failed'}}, begun: {{template: say, expression: steps.a.status == 'Running'}}}}}}\n    - - {{name: next, template: ok}}\n  - name: again\n    retryStrategy: {{limit: 1}}\n    container: {{image: busybox}}{TEMPLATES}"
    ));
    assert_eq!(w.live(), ["wf[0].a(0)", "wf[0].a.hooks.begun"]);
    w.fail("wf[0].a(0)");
    w.succeed("wf[0].a.hooks.begun");
    assert_eq!(w.live(), ["wf[0].a(1)"]);
    w.fail("wf[0].a(1)");
    assert_eq!(w.live(), ["wf[0].a.hooks.bad"]);
    w.succeed("wf[0].a.hooks.bad");
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
}

const DAG: &str = "  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - name: a
        template: ok
        hooks: {run: {template: say, expression: tasks.a.status == 'Running'}}
      - name: b
        template: ok
        dependencies: [a]
        hooks: {gone: {template: say, expression: tasks.b.status == 'Omitted'}, after: {template: say, expression: tasks.a.status == 'Succeeded' && tasks.b.status == 'Running'}}";

#[test]
fn a_task_waits_for_the_hooks_of_what_it_depends_on() {
    let mut w = world(&format!("{DAG}{TEMPLATES}"));
    running(&mut w, "wf.a");
    w.succeed("wf.a");
    assert_eq!(w.live(), ["wf.a.hooks.run"]);
    w.fail("wf.a.hooks.run");
    assert_eq!(w.live(), ["wf.b"]);
    running(&mut w, "wf.b");
    assert_eq!(w.live(), ["wf.b", "wf.b.hooks.after"]);
    w.succeed("wf.b");
    assert_eq!(w.ended(), None);
    w.succeed("wf.b.hooks.after");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn an_omitted_task_fires_the_hook_that_asks_for_it() {
    let mut w = world(&format!("{DAG}{TEMPLATES}"));
    w.fail("wf.a");
    assert_eq!(w.live(), ["wf.b.hooks.gone"]);
    w.succeed("wf.b.hooks.gone");
    assert_eq!(w.ended(), Some((RunPhase::Failed, String::new())));
}

#[test]
fn a_looped_task_has_its_hooks_once_at_the_whole_group() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - {{name: a, template: ok, withItems: [p, q], hooks: {{begun: {{template: say, expression: tasks.a.status == 'Running'}}}}}}{TEMPLATES}"
    ));
    assert_eq!(w.live(), ["wf.a(0:p)", "wf.a(1:q)", "wf.a.hooks.begun"]);
    w.succeed("wf.a(0:p)");
    w.succeed("wf.a(1:q)");
    assert_eq!(w.ended(), None);
    w.succeed("wf.a.hooks.begun");
    assert_eq!(w.ended().unwrap().0, RunPhase::Succeeded);
}

const WORKFLOW: &str = "  entrypoint: main
  onExit: ok
  arguments: {parameters: [{name: p, value: v}]}
  hooks:
    always: {template: say, expression: \"'{{workflow.parameters.p}}' == 'v'\", arguments: {parameters: [{name: m, value: '{{workflow.status}} {{workflow.parameters.p}}'}]}}
    running: {template: say, expression: workflow.status == 'Running'}
    failed: {template: say, expression: workflow.status == 'Failed'}
    exported: {template: say, expression: workflow.outputs.parameters.g == 'x'}
  templates:
  - name: main
    container: {image: busybox}
    outputs: {parameters: [{name: o, globalName: g, valueFrom: {path: /tmp/o}}]}";

#[test]
fn the_workflows_hooks_read_its_status_and_outputs_and_come_before_its_exit_handler() {
    let mut w = world(&format!("{WORKFLOW}{TEMPLATES}"));
    assert_eq!(w.live(), ["wf", "wf.hooks.always"]);
    assert_eq!(args(&w, "wf.hooks.always"), ["Pending v"]);
    running(&mut w, "wf");
    assert_eq!(w.live(), ["wf", "wf.hooks.always", "wf.hooks.running"]);
    w.finish_with("wf", |v| {
        let value = Some("x".into());
        let o = dropforge_manifest::types::Parameter { name: "o".into(), value, ..Default::default() };
        v.outputs.parameters.push(o);
    });
    assert_eq!(w.live(), ["wf.hooks.always", "wf.hooks.running", "wf.hooks.exported"]);
    for hook in ["always", "running", "exported"] {
        w.fail(&format!("wf.hooks.{hook}"));
    }
    assert_eq!(w.live(), ["wf.onExit"]);
    w.succeed("wf.onExit");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn an_expression_that_cannot_be_evaluated_ends_the_group_in_argos_words() {
    let mut w = steps("{name: a, template: ok, hooks: {bad: {template: say, expression: steps.a.status}}}");
    let why = "unable to evaluate expression";
    assert_eq!(w.phase_of("[0].a.hooks.bad"), Some(NodePhase::Error));
    w.succeed("wf[0].a");
    let (phase, message) = w.ended().unwrap();
    assert_eq!(phase, RunPhase::Failed);
    assert!(message.contains(why) || message.contains("unable to cast"), "{message}");
    assert_eq!(w.phase_of("[0]"), Some(NodePhase::Error));
    assert_eq!(w.phase_of("[0].a"), Some(NodePhase::Succeeded));
}

#[test]
fn an_exit_handler_without_arguments_gets_the_workflows_and_one_that_cannot_start_fails_the_group() {
    let mut w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: m, value: of-the-workflow}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: ok, onExit: say}
    - - {name: b, template: ok, hooks: {exit: {template: needy}}}
    - - {name: c, template: ok}
  - name: ok
    container: {image: busybox}
  - name: say
    inputs: {parameters: [{name: m}]}
    container: {image: busybox, args: ['{{inputs.parameters.m}}']}
  - name: needy
    inputs: {parameters: [{name: n}]}
    container: {image: busybox}",
    );
    w.succeed("wf[0].a");
    assert_eq!(args(&w, "wf[0].a.onExit"), ["of-the-workflow"]);
    w.succeed("wf[0].a.onExit");
    w.succeed("wf[1].b");
    assert_eq!(w.ended(), Some((RunPhase::Failed, "inputs.parameters.n was not supplied".to_owned())));
}

#[test]
fn stop_ends_hooks_as_it_ends_steps_and_terminate_leaves_out_the_exit_handler_that_waits() {
    let call = "{name: a, template: ok, onExit: ok, hooks: {begun: {template: say, expression: steps.a.status == 'Running'}}}";
    let mut w = steps(call);
    running(&mut w, "wf[0].a");
    w.succeed("wf[0].a");
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.message_of("[0].a.hooks.begun"), "workflow shutdown with strategy:  Stop");
    assert_eq!(w.live().last().map(String::as_str), Some("wf[0].a.onExit"));
    let mut w = steps(call);
    running(&mut w, "wf[0].a");
    w.succeed("wf[0].a");
    w.command("c1", Verb::Terminate);
    assert_eq!(w.phase_of("[0].a.onExit"), None);
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
}

#[test]
fn a_suspended_run_starts_hooks_and_exit_handlers_when_it_goes_on() {
    let mut w = steps(
        "{name: a, template: ok, onExit: ok, hooks: {done: {template: say, expression: steps.a.status == 'Succeeded'}}}",
    );
    w.command("c1", Verb::Suspend);
    w.succeed("wf[0].a");
    assert_eq!(w.live(), Vec::<String>::new());
    assert_eq!(crate::waiting::waiting(&w.state)[0].to_string(), "wf[0].a: waits for the run to be resumed");
    w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
    assert_eq!(w.live(), ["wf[0].a.hooks.done"]);
    w.succeed("wf[0].a.hooks.done");
    assert_eq!(w.live(), ["wf[0].a.onExit"]);
}

#[test]
fn an_exit_handler_that_waits_for_a_hook_begins_when_the_run_goes_on_whenever_the_hook_ended() {
    let mut w = steps(
        "{name: a, template: ok, onExit: ok, hooks: {done: {template: say, expression: steps.a.status == 'Succeeded'}}}",
    );
    w.succeed("wf[0].a");
    w.command("c1", Verb::Suspend);
    w.succeed("wf[0].a.hooks.done");
    assert_eq!(w.live(), Vec::<String>::new());
    w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
    assert_eq!(w.live(), ["wf[0].a.onExit"]);
}

#[test]
fn a_step_beside_another_may_watch_it() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok, hooks: {{b: {{template: say, expression: steps.b.status == 'Failed'}}}}}}\n      - {{name: b, template: ok, continueOn: {{failed: true}}}}{TEMPLATES}"
    ));
    w.fail("wf[0].b");
    assert_eq!(w.live(), ["wf[0].a", "wf[0].a.hooks.b"]);
}

#[test]
fn a_hook_looks_at_the_run_only_when_what_it_reads_changes() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok, hooks: {{f: {{template: say, expression: 'workflow.failures contains \"b\"'}}}}}}\n      - {{name: b, template: ok}}{TEMPLATES}"
    ));
    assert_eq!(w.state.watchers.size(), 1);
    w.fail("wf[0].b");
    assert_eq!(w.live(), ["wf[0].a", "wf[0].a.hooks.f"]);
    w.succeed("wf[0].a");
    w.succeed("wf[0].a.hooks.f");
    assert_eq!(w.state.watchers.size(), 0);
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
}

/// A node of Argo's tree: its children by name, and its flags.
fn shown(w: &World, name: &str) -> (Vec<String>, serde_json::Value) {
    let workflow = View::fold(w.state.program.clone(), &w.records).workflow();
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    let node = nodes.values().find(|n| n["name"] == name).unwrap();
    let children = node["children"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> =
        children.iter().map(|c| nodes[c.as_str().unwrap()]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    (names, node["nodeFlag"].clone())
}

#[test]
fn argos_tree_shows_hooks_as_children_and_what_follows_a_retry_below_its_last_one() {
    let mut w = world(&format!(
        "  entrypoint: main\n  hooks: {{run: {{template: again, expression: workflow.status == 'Running'}}}}\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: again, hooks: {{ok: {{template: say, expression: steps.a.status == 'Succeeded'}}}}}}\n    - - {{name: next, template: ok}}\n  - name: again\n    retryStrategy: {{limit: 1}}\n    container: {{image: busybox}}{TEMPLATES}"
    ));
    w.succeed("wf.hooks.run(0)");
    w.succeed("wf[0].a(0)");
    w.succeed("wf[0].a.hooks.ok");
    w.succeed("wf[1].next");
    assert_eq!(w.ended().unwrap().0, RunPhase::Succeeded);
    let hooked = serde_json::json!({"hooked": true});
    let both = serde_json::json!({"hooked": true, "retried": true});
    assert_eq!(shown(&w, "wf").0, ["wf.hooks.run", "wf[0]"]);
    assert_eq!(shown(&w, "wf.hooks.run"), (vec!["wf.hooks.run(0)".to_owned()], both.clone()));
    assert_eq!(shown(&w, "wf.hooks.run(0)").1, both);
    assert_eq!(shown(&w, "wf[0].a").0, ["wf[0].a(0)", "wf[0].a.hooks.ok"]);
    assert_eq!(shown(&w, "wf[0].a.hooks.ok"), (vec!["wf[1]".to_owned()], hooked));
}
