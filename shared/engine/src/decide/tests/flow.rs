//! Steps, DAGs, loops, retries: who starts when.

use super::*;

const OK: &str = "\n  - name: ok\n    container: {image: busybox, command: ['true']}";

#[test]
fn groups_run_one_after_the_other_and_their_steps_side_by_side() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok}}\n      - {{name: b, template: ok}}\n    - - {{name: c, template: ok}}{OK}"
    ));
    assert_eq!(w.live(), ["wf[0].a", "wf[0].b"]);
    w.succeed("wf[0].b");
    assert_eq!(w.live(), ["wf[0].a"]);
    w.succeed("wf[0].a");
    assert_eq!(w.live(), ["wf[1].c"]);
    w.succeed("wf[1].c");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert!(!w.state.done(), "the end is still to be announced");
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert!(w.state.done());
}

#[test]
fn a_task_starts_when_what_it_depends_on_is_settled_and_is_omitted_when_it_failed() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - {{name: a, template: ok}}\n      - {{name: b, template: ok}}\n      - {{name: c, template: ok, dependencies: [a, b]}}\n      - {{name: d, template: ok, depends: b.Failed}}{OK}"
    ));
    assert_eq!(w.live(), ["wf.a", "wf.b"]);
    w.succeed("wf.a");
    w.fail("wf.b");
    assert_eq!(w.phase_of(".c"), Some(NodePhase::Omitted));
    assert_eq!(w.live(), ["wf.d"]);
    w.succeed("wf.d");
    // The branch of c failed with b: an omitted target passes on what reached it.
    assert_eq!(w.ended(), Some((RunPhase::Failed, String::new())));
}

#[test]
fn a_loop_starts_as_many_items_as_its_parallelism_allows_in_their_order() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    parallelism: 2\n    steps:\n    - - {{name: a, template: ok, withSequence: {{count: 4}}}}{OK}"
    ));
    assert_eq!(w.live(), ["wf[0].a(0:0)", "wf[0].a(1:1)"]);
    w.succeed("wf[0].a(1:1)");
    assert_eq!(w.live(), ["wf[0].a(0:0)", "wf[0].a(2:2)"]);
    for n in [0, 2, 3] {
        w.succeed(&format!("wf[0].a({n}:{n})"));
    }
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_finished_loop_child_leaves_the_state_and_stays_in_the_view() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok, withItems: [x, y]}}{OK}"
    ));
    let before = w.state.nodes.size();
    w.succeed("wf[0].a(0:x)");
    assert_eq!(w.state.nodes.size(), before - 1);
    assert_eq!(w.phase_of("[0].a(0:x)"), Some(NodePhase::Succeeded));
}

#[test]
fn a_decision_starts_no_more_than_the_setting_and_rings_again() {
    let spec = format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok, withSequence: {{count: 5}}}}{OK}"
    );
    let settings = Settings { starts_per_decision_max: 2, ..Settings::default() };
    let mut w = World::unborn(&spec, settings);
    w.event(Event::Submitted);
    assert_eq!(w.live().len(), 2);
    w.fire();
    assert_eq!(w.live().len(), 4);
    w.fire();
    assert_eq!(w.live().len(), 5);
}

#[test]
fn events_start_no_more_while_what_was_decided_last_is_being_started() {
    let spec = format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok, withSequence: {{count: 7}}}}{OK}"
    );
    let settings = Settings { starts_per_decision_max: 2, ..Settings::default() };
    let mut w = World::unborn(&spec, settings);
    w.event(Event::Submitted);
    w.succeed("wf[0].a(0:0)");
    assert_eq!(w.live(), ["wf[0].a(1:1)"]);
    w.fire();
    assert_eq!(w.live(), ["wf[0].a(1:1)", "wf[0].a(2:2)", "wf[0].a(3:3)"]);
    // Whoever was to ring has died.
    w.now += 60;
    w.succeed("wf[0].a(1:1)");
    assert_eq!(w.live().len(), 4);
    w.fire();
    assert_eq!(w.live().len(), 5);
}

const RETRIED: &str = "  entrypoint: main\n  templates:\n  - name: main\n    retryStrategy: {limit: 2, backoff: {duration: 10s, factor: 2}}\n    container: {image: busybox, command: [sh], args: ['{{retries}} {{lastRetry.exitCode}}']}";

#[test]
fn a_failed_attempt_is_tried_again_after_its_backoff_until_the_limit() {
    let mut w = world(RETRIED);
    assert_eq!(
        w.attempt("wf(0)").work.template.container.clone().unwrap().args,
        Some(vec!["0 0".to_owned()])
    );
    w.fail("wf(0)");
    assert_eq!(w.live(), Vec::<String>::new());
    assert_eq!(w.message_of(""), "Backoff for 10 seconds");
    w.fire();
    assert_eq!(
        w.attempt("wf(1)").work.template.container.clone().unwrap().args,
        Some(vec!["1 1".to_owned()])
    );
    w.fail("wf(1)");
    assert_eq!(w.message_of(""), "Backoff for 20 seconds");
    w.fire();
    w.fail("wf(2)");
    assert_eq!(w.ended(), Some((RunPhase::Failed, "No more retries left".to_owned())));
}

#[test]
fn an_attempt_that_infrastructure_lost_is_tried_again_without_a_retry_of_the_users() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox, args: ['{{pod.name}}']}",
    );
    let first = w.attempt("wf");
    w.finish_with("wf", |v| v.outcome = Outcome::Lost);
    let second = w.attempt("wf");
    assert_eq!((first.number, second.number), (0, 1));
    assert_ne!(first.id, second.id);
    assert_eq!(second.work.template.container.clone().unwrap().args, Some(vec![second.id.to_string()]));
    for _ in 0..3 {
        w.finish_with("wf", |v| v.outcome = Outcome::Lost);
    }
    assert_eq!(w.ended().unwrap().0, RunPhase::Error);
}

#[test]
fn an_interrupted_attempt_uses_up_no_budget_at_all() {
    let mut w = world("  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox}");
    for _ in 0..10 {
        w.finish_with("wf", |v| {
            v.outcome = Outcome::Lost;
            v.reason = Reason::Interrupted;
        });
    }
    assert_eq!(w.attempt("wf").number, 10);
}

#[test]
fn outputs_flow_by_reference_and_an_absent_one_takes_the_consumers_default() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
      - {name: never, template: make, when: 'a == b'}
    - - name: use
        template: use
        arguments: {parameters: [{name: got, value: '{{steps.make.outputs.parameters.p}}'}, {name: lost, value: '{{steps.never.outputs.parameters.p}}'}]}
  - name: make
    container: {image: busybox}
    outputs: {parameters: [{name: p, valueFrom: {path: /tmp/p}}]}
  - name: use
    inputs: {parameters: [{name: got}, {name: lost, default: d}]}
    container: {image: busybox, args: ['{{inputs.parameters.got}}', '{{inputs.parameters.lost}}']}",
    );
    w.finish_with("wf[0].make", |v| {
        let p = dropforge_manifest::types::Parameter {
            name: "p".into(),
            value: Some("v".into()),
            ..Default::default()
        };
        v.outputs.parameters.push(p);
    });
    let args = w.attempt("wf[1].use").work.template.container.clone().unwrap().args;
    assert_eq!(args, Some(vec!["v".to_owned(), "d".to_owned()]));
}

#[test]
fn recursion_ends_at_argos_depth() {
    let w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: again, template: main}",
    );
    let (phase, message) = w.ended().unwrap();
    assert_eq!(phase, RunPhase::Failed);
    assert!(message.starts_with("child 'wf-"), "{message}");
    assert_eq!(w.phases().iter().filter(|(_, p)| *p == NodePhase::Error).count(), 1);
}

#[test]
fn what_a_template_held_back_goes_on_after_a_suspension_that_came_meanwhile() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    parallelism: 1\n    steps:\n    - - {{name: a, template: ok, withItems: [p, q]}}{OK}"
    ));
    w.command("c1", Verb::Suspend);
    w.succeed("wf[0].a(0:p)");
    assert_eq!(w.live(), Vec::<String>::new());
    w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
    assert_eq!(w.live(), ["wf[0].a(1:q)"]);
}

#[test]
fn a_suspended_run_starts_nothing_until_it_is_resumed() {
    let mut w = world(&format!(
        "  entrypoint: main\n  suspend: true\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok}}{OK}"
    ));
    assert_eq!(w.live(), Vec::<String>::new());
    assert_eq!(crate::waiting::waiting(&w.state)[0].to_string(), "wf: waits for the run to be resumed");
    w.command("c1", Verb::Resume { selector: None, outputs: Default::default() });
    assert_eq!(w.live(), ["wf[0].a"]);
}

#[test]
fn a_looped_step_shows_its_groups_phase_to_those_after_it() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf, withItems: [1, 2], continueOn: {failed: true}}
    - - {name: b, template: leaf, when: \"{{steps.a.status}} == Succeeded\"}
  - name: leaf
    container: {image: busybox}",
    );
    w.succeed("wf[0].a(0:1)");
    w.fail("wf[0].a(1:2)");
    assert_eq!(w.live(), ["wf[1].b"]);
}

#[test]
fn a_list_that_is_none_is_told_in_gos_words() {
    let w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: leaf, withParam: not json}
  - name: leaf
    container: {image: busybox}",
    );
    let why = "withParam value could not be parsed as a JSON list: not json: invalid character 'o' in literal null \
               (expecting 'u')";
    assert_eq!(w.ended(), Some((RunPhase::Failed, why.to_owned())));
}

#[test]
fn a_conditional_loop_over_what_a_skipped_step_would_have_given_is_skipped_too() {
    let leaf = "\n  - {name: leaf, inputs: {parameters: [{name: m, default: d}]}, outputs: {parameters: [{name: p, valueFrom: {path: /p}}]}, script: {image: x, source: x}}";
    let steps = |looped: &str| {
        let mut w = world(&format!(
            "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: n, template: leaf, when: '1 == 2'}}\n    - - {{name: a, template: leaf, when: '1 == 2', {looped}}}\n    - - {{name: z, template: leaf}}{leaf}"
        ));
        w.succeed("wf[2].z");
        assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())), "{looped}");
        let of_loop = |(name, _): &(String, NodePhase)| name.starts_with("[1].a");
        let nodes = w.phases().into_iter().filter(of_loop);
        nodes.map(|(name, phase)| (w.message_of(&name), name, phase)).collect::<Vec<_>>()
    };
    let none = [("Skipped, empty params".to_owned(), "[1].a".to_owned(), NodePhase::Skipped)];
    assert_eq!(steps("withParam: '{{steps.n.outputs.result}}'"), none);
    assert_eq!(steps("withParam: '{{steps.n.outputs.parameters.p}}'"), none);
    assert_eq!(steps("withSequence: {count: '{{steps.n.outputs.result}}'}"), none);
    let each = |looped: &str| {
        let names = steps(looped).into_iter().map(|(_, name, _)| name);
        names.filter(|name| name.contains('(')).collect::<Vec<_>>()
    };
    let items = ["[1].a(0:1)", "[1].a(1:2)"];
    let argument = "arguments: {parameters: [{name: m, value: '{{item}}-{{steps.n.outputs.result}}'}]}";
    assert_eq!(each(&format!("withItems: [1, 2], {argument}")), items);

    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - {{name: n, template: leaf, when: '1 == 2'}}\n      - {{name: a, template: leaf, dependencies: [n], when: '1 == 2', withParam: '{{{{tasks.n.outputs.parameters.p}}}}'}}\n      - {{name: z, template: leaf, dependencies: [a]}}{leaf}"
    ));
    w.succeed("wf.z");
    assert_eq!((w.phase_of(".a"), w.message_of(".a")), (Some(NodePhase::Skipped), none[0].0.clone()));
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_loop_in_a_dag_whose_items_print_plain_text_is_an_error_of_every_task_after_it() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - {name: a, template: leaf, withItems: [x]}\n      - {name: b, template: leaf, depends: a, arguments: {parameters: [{name: m, value: '{{tasks.a.outputs.result}}'}]}}\n      - {name: c, template: leaf, depends: a}\n      - {name: d, template: leaf, depends: a.Succeeded && c.Errored}\n      - {name: e, template: leaf}\n  - {name: leaf, inputs: {parameters: [{name: m, default: silent}]}, script: {image: x, source: x}}",
    );
    w.succeed("wf.e");
    w.finish_with("wf.a(0:x)", |v| v.outputs.result = Some("hello".to_owned()));
    let why = "invalid character 'h' looking for beginning of value";
    for task in [".b", ".c", ".d"] {
        assert_eq!((w.phase_of(task), &*w.message_of(task)), (Some(NodePhase::Error), why), "{task}");
    }
    assert_eq!(w.ended().map(|(phase, _)| phase), Some(RunPhase::Error));
}

#[test]
fn the_calls_of_a_body_that_is_tried_again_see_which_attempt_it_is() {
    let try_of = |w: &World, node: &str| {
        let attempt = w.attempt(node);
        attempt.work.template.container.as_ref().unwrap().args.clone().unwrap_or_default().join(" ")
    };
    let call = "arguments: {parameters: [{name: m, value: '{{inputs.parameters.w}} {{retries}} {{lastRetry.status}} {{=asInt(retries) + 5}}'}]}";
    for (body, node) in [
        (format!("steps: [[{{name: a, template: leaf, {call}}}]]"), "[0].a"),
        (format!("dag: {{tasks: [{{name: a, template: leaf, {call}}}]}}"), ".a"),
    ] {
        let mut w = world(&format!(
            "  entrypoint: main\n  arguments: {{parameters: [{{name: w, value: 5}}]}}\n  templates:\n  - {{name: main, inputs: {{parameters: [{{name: w}}]}}, retryStrategy: {{limit: 1}}, {body}}}\n  - {{name: leaf, inputs: {{parameters: [{{name: m}}]}}, container: {{image: x, args: ['{{{{inputs.parameters.m}}}}']}}}}"
        ));
        assert_eq!(try_of(&w, &format!("wf(0){node}")), "5 0  5");
        w.fail(&format!("wf(0){node}"));
        assert_eq!(try_of(&w, &format!("wf(1){node}")), "5 1 Failed 6");
        w.succeed(&format!("wf(1){node}"));
        assert_eq!(w.ended().map(|(phase, _)| phase), Some(RunPhase::Succeeded));
    }
}

#[test]
fn without_fail_fast_the_last_failing_target_gives_a_dag_its_phase() {
    let ends = |fail_fast: bool| {
        let mut w = world(&format!(
            "  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      failFast: {fail_fast}\n      tasks: [{{name: a, template: ok}}, {{name: b, template: ok}}]{OK}"
        ));
        w.fail("wf.a");
        w.finish_with("wf.b", |v| v.outcome = Outcome::Error);
        w.ended().map(|(phase, _)| phase)
    };
    assert_eq!((ends(true), ends(false)), (Some(RunPhase::Failed), Some(RunPhase::Error)));
}

#[test]
fn a_dag_exports_the_global_outputs_of_the_dags_among_its_tasks_and_not_its_own() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: leaf\n    outputs: {parameters: [{name: p, valueFrom: {path: /p}}]}\n    container: {image: x}\n  - name: in\n    dag: {tasks: [{name: a, template: leaf}]}\n    outputs: {parameters: [{name: q, globalName: inner, valueFrom: {parameter: '{{tasks.a.outputs.parameters.p}}'}}]}\n  - name: main\n    dag: {tasks: [{name: in, template: in}]}\n    outputs: {parameters: [{name: r, globalName: outer, valueFrom: {parameter: '{{workflow.outputs.parameters.inner}}'}}]}",
    );
    w.finish_with("wf.in.a", |v| {
        v.outputs.parameters =
            serde_json::from_value(serde_json::json!([{"name": "p", "value": "v"}])).unwrap();
    });
    let exported: Vec<_> = w.state.global_parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(exported, [("inner", "v")]);
}

#[test]
fn the_outputs_of_a_body_are_what_its_expressions_give_in_gos_words() {
    let outputs = |sources: &[&str]| {
        let declared: Vec<String> =
            sources.iter().enumerate().map(|(i, s)| format!("{{name: o{i}, valueFrom: {{{s}}}}}")).collect();
        let mut w = world(&format!(
            "  entrypoint: main\n  templates:\n  - name: main\n    outputs: {{parameters: [{}]}}\n    steps:\n    - - {{name: a, template: ok}}\n      - {{name: n, template: ok, when: '1 == 2'}}\n  - {{name: ok, script: {{image: x, source: x}}}}",
            declared.join(", ")
        ));
        w.finish_with("wf[0].a", |v| v.outputs.result = Some("[1,2.5,1000000]".to_owned()));
        let view = w.view();
        let root = view.nodes.values().find(|n| n.name == "wf").unwrap();
        let values = root.outputs.parameters.iter().map(|p| p.value.clone().unwrap_or_default().0);
        (values.collect::<Vec<_>>(), root.message.clone())
    };
    let (values, _) = outputs(&[
        "expression: 'filter(fromJSON(steps.a.outputs.result), # > 1)'",
        "expression: \"{'b': 1, 'a': 'x y'}\"",
        "expression: '1000000.0 * 25'",
        "expression: '2.0'",
        "expression: '1 == 1'",
        "parameter: '{{=steps.a.outputs.result + steps.a.status}}'",
        "parameter: '{{=steps.n.outputs.result}}', default: d",
        "parameter: '{{steps.n.outputs.result}}', default: d",
    ]);
    let expected =
        ["[2.5 1e+06]", "map[a:x y b:1]", "2.5e+07", "2", "true", "[1,2.5,1000000]Succeeded", "d", "d"];
    assert_eq!(values, expected);
    for (source, why) in [
        (
            "parameter: '{{steps.n.outputs.result}}'",
            "output parameter \"o0\": \"{{steps.n.outputs.result}}\" is an absent optional (skipped/omitted node output with no default)",
        ),
        (
            "parameter: '{{steps.a.outputs.parameters.x}}'",
            "Unable to resolve: \"steps.a.outputs.parameters.x\"",
        ),
        ("expression: 'steps.n.outputs.result'", "failed to evaluate expression \"steps.n.outputs.result\""),
    ] {
        assert_eq!(outputs(&[source]).1, why);
    }
}

#[test]
fn lists_and_maps_are_written_as_go_writes_them() {
    let w = world(
        "  entrypoint: main\n  arguments: {parameters: [{name: w, value: '1 & 2', description: about, enum: ['1 & 2', '3']}]}\n  templates:\n  - name: main\n    inputs: {parameters: [{name: x, value: v, default: d}, {name: y, value: '<y>'}]}\n    container: {image: x, args: ['{{workflow.parameters}}', '{{inputs.parameters}}']}",
    );
    let args = w.attempt("wf").work.template.container.as_ref().unwrap().args.clone().unwrap();
    assert_eq!(
        args,
        [
            r#"[{"name":"w","value":"1 \u0026 2","enum":["1 \u0026 2","3"],"description":"about"}]"#,
            r#"[{"name":"x","default":"d","value":"v"},{"name":"y","value":"\u003cy\u003e"}]"#,
        ]
    );
}

#[test]
fn what_a_loop_gathers_is_written_as_go_writes_it() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: a, template: leaf, withItems: [0, 1]}\n      - {name: p, template: leaf, withItems: [0, 1]}\n    - - {name: s, template: show, arguments: {parameters: [{name: m, value: '{{steps.a.outputs.result}} {{steps.p.outputs.parameters.p}} {{steps.p.outputs.parameters}}'}]}}\n  - {name: leaf, outputs: {parameters: [{name: p, valueFrom: {path: /p}}]}, script: {image: x, source: x}}\n  - {name: show, inputs: {parameters: [{name: m}]}, container: {image: x, args: ['{{inputs.parameters.m}}']}}",
    );
    let results = [r#"{"b": 1.0, "a": "p & <q>"}"#, "12345678901234567890123"];
    let parameters = [r#"{"z":1.0,"a":0.0000001}"#, r#"{"b":"p & q"}"#];
    for (item, (result, parameter)) in results.iter().zip(parameters).enumerate() {
        w.finish_with(&format!("wf[0].a({item}:{item})"), |v| v.outputs.result = Some((*result).to_owned()));
        w.finish_with(&format!("wf[0].p({item}:{item})"), |v| {
            let given = serde_json::json!([{"name": "p", "value": parameter}]);
            v.outputs.parameters = serde_json::from_value(given).unwrap();
        });
    }
    let args = w.attempt("wf[1].s").work.template.container.as_ref().unwrap().args.clone().unwrap();
    assert_eq!(
        args,
        [concat!(
            r#"[{"b":1.0,"a":"p \u0026 \u003cq\u003e"},12345678901234567890123] "#,
            r#"[{"a":1e-7,"z":1},{"b":"p \u0026 q"}] "#,
            r#"[{"p":"{\"z\":1.0,\"a\":0.0000001}"},{"p":"{\"b\":\"p \u0026 q\"}"}]"#
        )]
    );
}

#[test]
fn tasks_that_a_limit_held_back_start_in_their_order_and_so_they_do_from_a_stored_state() {
    let order = |is_stored: bool| {
        let mut w = world(&format!(
            "  entrypoint: main\n  parallelism: 1\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - {{name: d, template: ok}}\n      - {{name: c, template: ok}}\n      - {{name: b, template: ok, dependencies: [c]}}\n      - {{name: a, template: ok}}{OK}"
        ));
        let mut order = Vec::new();
        while let [live] = &w.live()[..] {
            order.push(live.clone());
            if is_stored {
                let stored = serde_json::to_value(crate::snapshot::Snapshot::of(&w.state)).unwrap();
                let read: crate::snapshot::Snapshot = serde_json::from_value(stored).unwrap();
                w.state = read.restore(w.state.program.spec.clone()).unwrap();
            }
            w.succeed(&order[order.len() - 1]);
        }
        assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
        order
    };
    // As Argo visits them: targets by name, and before each what it depends on.
    assert_eq!(order(false), ["wf.a", "wf.c", "wf.b", "wf.d"]);
    assert_eq!(order(true), order(false));
}

#[test]
fn steps_of_a_group_that_a_limit_held_back_start_one_by_one_and_those_that_do_not_run_are_skipped_at_once() {
    let mut w = world(&format!(
        "  entrypoint: main\n  parallelism: 1\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: ok}}\n      - {{name: b, template: ok}}\n      - {{name: c, template: ok, when: 1 == 2}}\n      - {{name: d, template: ok, withParam: '[]'}}\n      - {{name: e, template: ok}}\n      - {{name: f, template: ok, when: 1 == 2}}{OK}"
    ));
    for live in ["wf[0].a", "wf[0].b", "wf[0].e"] {
        assert_eq!(w.live(), [live]);
        for skipped in ["[0].c", "[0].d", "[0].f"] {
            assert_eq!(w.phase_of(skipped), Some(NodePhase::Skipped), "{skipped} while {live} runs");
        }
        w.succeed(live);
    }
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn steps_of_one_group_whose_names_come_out_equal_are_one_node_and_those_of_two_groups_are_two() {
    let inner = |steps: &str| {
        world(&format!(
            "  entrypoint: main\n  templates:\n  - {{name: main, steps: [[{{name: r, template: inner, arguments: {{parameters: [{{name: s, value: dup}}]}}}}]]}}\n  - {{name: inner, inputs: {{parameters: [{{name: s}}]}}, steps: {steps}}}{OK}"
        ))
    };
    let tagged = "{name: 'l-{{inputs.parameters.s}}', template: ok}";
    let plain = "{name: l-dup, template: ok, continueOn: {failed: true}}";
    let mut w = inner(&format!("[[{tagged}, {plain}, {{name: z, template: ok}}]]"));
    assert_eq!(w.live(), ["wf[0].r[0].l-dup", "wf[0].r[0].z"]);
    w.succeed("wf[0].r[0].l-dup");
    w.succeed("wf[0].r[0].z");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));

    // Each has its own place in its group, and its own `continueOn`.
    let mut w =
        inner(&format!("[[{plain}, {{name: z, template: ok}}], [{{name: y, template: ok}}, {tagged}]]"));
    w.fail("wf[0].r[0].l-dup");
    w.succeed("wf[0].r[0].z");
    assert_eq!(w.live(), ["wf[0].r[1].y", "wf[0].r[1].l-dup"]);
    w.fail("wf[0].r[1].l-dup");
    w.succeed("wf[0].r[1].y");
    assert_eq!(w.ended().map(|(phase, _)| phase), Some(RunPhase::Failed));

    // Some of their nodes would be one.
    let looped = plain.replace("template", "withItems: [1], template");
    let why = "step group deemed errored due to child wf[0].r error: templates.inner.steps[0].name 'l-dup' is not unique";
    let w = inner(&format!("[[{tagged}, {looped}]]"));
    assert_eq!(w.ended(), Some((RunPhase::Failed, why.to_owned())));
}

#[test]
fn a_step_sees_the_earlier_one_of_a_name_that_comes_again_later() {
    let mut w = world(
        "  entrypoint: main\n  arguments: {parameters: [{name: s, value: dup}]}\n  templates:\n  - {name: main, steps: [[{name: l-dup, template: echo}], [{name: use, template: echo, arguments: {parameters: [{name: x, value: '{{steps.l-dup.outputs.result}}'}]}}], [{name: 'l-{{workflow.parameters.s}}', template: echo}]]}\n  - {name: echo, inputs: {parameters: [{name: x, value: none}]}, container: {image: busybox, args: ['{{inputs.parameters.x}}']}}",
    );
    w.finish_with("wf[0].l-dup", |v| v.outputs.result = Some("first".to_owned()));
    let args = w.attempt("wf[1].use").work.template.container.as_ref().unwrap().args.clone();
    assert_eq!(args, Some(vec!["first".to_owned()]));
    w.succeed("wf[1].use");
    w.succeed("wf[2].l-dup");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_step_is_told_where_the_last_attempt_of_another_ran() {
    let spec = "  entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: a, template: tries}], [{name: b, template: echo, arguments: {parameters: [{name: x, value: '{{steps.a.hostNodeName}}'}]}}]]}\n  - {name: tries, retryStrategy: {limit: 1}, container: {image: busybox}}\n  - {name: echo, inputs: {parameters: [{name: x}]}, container: {image: busybox, args: ['{{inputs.parameters.x}}']}}";
    let mut w = world(spec);
    let (attempt, at) = (w.attempt("wf[0].a(0)").id.clone(), at(w.now));
    w.event(Event::AttemptRunning { attempt, at, host: Some("node-1".to_owned()) });
    w.fail("wf[0].a(0)");
    // Whoever sees only its end is told by that.
    w.finish_with("wf[0].a(1)", |v| v.usage.host = "node-2".to_owned());
    let args = w.attempt("wf[1].b").work.template.container.as_ref().unwrap().args.clone();
    assert_eq!(args, Some(vec!["node-2".to_owned()]));
    // Where nobody asks, nothing is kept.
    let mut w = world(&spec.replace("'{{steps.a.hostNodeName}}'", "c"));
    w.finish_with("wf[0].a(0)", |v| v.usage.host = "node-2".to_owned());
    assert!(w.state.nodes.values().all(|node| node.host.is_none()));
}
