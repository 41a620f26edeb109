//! Errors that Argo's controller hands to the caller of a step or task: they end its group whatever `continueOn` says, and
//! nothing after it is made (rules ST-2, L-3, D-10).

use super::*;

const LEAF: &str = "  - {name: leaf, inputs: {parameters: [{name: x, default: d}]}, container: {image: x}}";

/// A run of a Steps template with these groups, in YAML flow.
fn steps(groups: &str, more: &str) -> World {
    world(&format!("  entrypoint: main\n  templates:\n  - {{name: main, steps: [{groups}]}}\n{LEAF}\n{more}"))
}

fn dag(tasks: &str, more: &str) -> World {
    world(&format!(
        "  entrypoint: main\n  templates:\n  - {{name: main, dag: {{tasks: [{tasks}]}}}}\n{LEAF}\n{more}"
    ))
}

fn said(world: &World) -> Vec<(String, NodePhase, String)> {
    let view = world.view();
    let nodes =
        view.nodes.values().map(|n| (n.name.trim_start_matches("wf").to_owned(), n.phase, n.message.clone()));
    nodes.collect()
}

fn line(name: &str, phase: NodePhase, message: &str) -> (String, NodePhase, String) {
    (name.to_owned(), phase, message.to_owned())
}

const BROKEN: &str = "  - {name: broken, retryStrategy: {limit: 3, expression: 'lastRetry.nothing.x > 1'}, container: {image: x}}";

#[test]
fn a_retry_expression_that_cant_be_evaluated_ends_the_group_whatever_continues() {
    let mut w = steps(
        "[{name: a, template: broken, continueOn: {error: true, failed: true}}], [{name: b, template: leaf}]",
        BROKEN,
    );
    w.fail("wf[0].a(0)");
    let why = w.message_of("[0].a");
    assert!(!why.is_empty());
    let group = format!("step group deemed errored due to child wf[0].a error: {why}");
    assert_eq!(w.phase_of("[0]"), Some(NodePhase::Error));
    assert_eq!(w.ended(), Some((RunPhase::Failed, group)));
}

#[test]
fn a_dags_task_names_itself_in_the_error_and_continue_on_covers_it() {
    let mut w = dag(
        "{name: a, template: broken, continueOn: {error: true}}, {name: b, template: leaf, dependencies: [a]}",
        BROKEN,
    );
    w.fail("wf.a(0)");
    assert!(w.message_of(".a").starts_with("task 'wf.a' errored: "), "{}", w.message_of(".a"));
    w.succeed("wf.b");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn an_error_that_the_strategy_does_not_cover_is_handed_on() {
    let outputs =
        "outputs: {parameters: [{name: o, valueFrom: {parameter: '{{steps.l.outputs.parameters.gone}}'}}]}";
    let tried = format!(
        "  - {{name: tried, retryStrategy: {{limit: 2}}, {outputs}, steps: [[{{name: l, template: leaf}}]]}}"
    );
    let mut w = steps("[{name: a, template: tried, continueOn: {error: true}}]", &tried);
    w.succeed("wf[0].a(0)[0].l");
    let (phase, message) = w.ended().unwrap();
    assert_eq!(phase, RunPhase::Failed);
    assert!(message.starts_with("step group deemed errored due to child wf[0].a error: "), "{message}");
}

const SLOW: &str = "  - {name: slow, pendingTimeout: 5s, container: {image: x}}";

#[test]
fn a_step_that_is_pending_too_long_fails_its_group_whatever_continues() {
    let mut w = steps(
        "[{name: a, template: slow, continueOn: {failed: true}}, {name: b, template: leaf}], [{name: c, template: leaf}]",
        SLOW,
    );
    w.fire();
    assert_eq!(w.ended(), None, "what runs beside it is waited for");
    w.succeed("wf[0].b");
    assert_eq!(w.phase_of("[0]"), Some(NodePhase::Failed));
    assert_eq!(w.ended(), Some((RunPhase::Failed, "timeout".to_owned())));
    let mut root = world(&format!("  entrypoint: slow\n  templates:\n{SLOW}"));
    root.fire();
    let why = "error in entry template execution: timeout".to_owned();
    assert_eq!(root.ended(), Some((RunPhase::Error, why)));
}

#[test]
fn a_task_that_is_pending_too_long_fails_alone() {
    let mut w = dag(
        "{name: a, template: slow, continueOn: {failed: true}}, {name: b, template: leaf, dependencies: [a]}",
        SLOW,
    );
    w.fire();
    assert_eq!(w.message_of(".a"), "timeout");
    w.succeed("wf.b");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn an_attempt_that_is_pending_too_long_is_tried_again() {
    let retried = "  - {name: slow, pendingTimeout: 5s, retryStrategy: {limit: 1}, container: {image: x}}";
    let mut w = steps("[{name: a, template: slow}]", retried);
    w.fire();
    w.succeed("wf[0].a(1)");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn one_item_with_an_unknown_tag_and_none_of_the_loop_is_made() {
    let call = |name: &str| {
        format!(
            "{{name: {name}, template: leaf, withItems: [{{k: 1}}, {{j: 2}}], arguments: {{parameters: [{{name: x, value: '{{{{item.k}}}}'}}]}}}}"
        )
    };
    let why = "failed to resolve {{item.k}}";
    let w = steps(&format!("[{{name: b, template: leaf}}, {}]", call("a")), "");
    assert_eq!(said(&w), [line("", NodePhase::Failed, why), line("[0]", NodePhase::Error, why)]);
    let w = dag(&call("a"), "");
    assert_eq!(said(&w), [line("", NodePhase::Error, ""), line(".a", NodePhase::Error, why)]);
}

#[test]
fn an_items_expression_is_evaluated_for_all_items_first() {
    let w = dag(
        "{name: a, template: leaf, withItems: ['1', 'x'], arguments: {parameters: [{name: x, value: '{{=asInt(item) + 1}}'}]}}",
        "",
    );
    assert_eq!(w.live(), Vec::<String>::new());
    assert!(w.message_of(".a").starts_with("failed to evaluate expression"), "{}", w.message_of(".a"));
}

#[test]
fn an_item_whose_condition_is_none_ends_a_step_group_and_no_dag() {
    let call = "{name: a, template: leaf, withItems: ['1 == 1', '1 +', '2 == 2'], when: '{{item}}'}";
    let why = "Invalid 'when' expression '1 +': Unexpected end of expression";
    let mut w = steps(&format!("[{call}, {{name: b, template: leaf}}]"), "");
    assert_eq!(w.live(), ["wf[0].a(0:1 == 1)"]);
    w.succeed("wf[0].a(0:1 == 1)");
    assert_eq!(
        said(&w),
        [
            line("", NodePhase::Failed, why),
            line("[0]", NodePhase::Error, why),
            line("[0].a", NodePhase::Error, ""),
            line("[0].a(0:1 == 1)", NodePhase::Succeeded, ""),
            line("[0].a(1:1 +)", NodePhase::Error, why),
        ]
    );
    let w = dag(call, "");
    assert_eq!(w.live(), ["wf.a(0:1 == 1)", "wf.a(2:2 == 2)"]);
}

#[test]
fn nothing_is_made_after_an_item_that_cant_be() {
    let needs = "  - {name: needs, inputs: {parameters: [{name: y}]}, container: {image: x}}\n  - {name: free, container: {image: x}}";
    let arguments = "arguments: {parameters: [{name: '{{item}}', value: v}]}";
    let call = format!("{{name: a, template: needs, withItems: ['y', 'n', 'y'], {arguments}}}");
    let mut w =
        steps(&format!("[{call}, {{name: b, template: free}}], [{{name: c, template: free}}]"), needs);
    assert_eq!(w.live(), ["wf[0].a(0:y)"]);
    w.succeed("wf[0].a(0:y)");
    let why =
        "step group deemed errored due to child wf[0].a(1:n) error: inputs.parameters.y was not supplied";
    assert_eq!(w.ended(), Some((RunPhase::Failed, why.to_owned())));
    let mut w = dag(&format!("{call}, {{name: b, template: free, depends: a.Errored}}"), needs);
    assert_eq!(w.live(), ["wf.a(0:y)"]);
    w.succeed("wf.a(0:y)");
    assert_eq!(w.message_of(".a(1:n)"), "task 'wf.a(1:n)' errored: inputs.parameters.y was not supplied");
    assert_eq!(w.phase_of(".a"), Some(NodePhase::Error));
    assert_eq!(w.live(), ["wf.b"]);
}

#[test]
fn templates_call_each_other_ninety_nine_deep() {
    let w =
        world("  entrypoint: main\n  templates: [{name: main, dag: {tasks: [{name: a, template: main}]}}]");
    let last = w.view().nodes.len();
    assert_eq!(last, 100, "99 DAGs and the task that is too deep");
    let name = ".a".repeat(99);
    let url = "https://argo-workflows.readthedocs.io/en/release-4.1/scaling/#maximum-recursion-depth";
    assert_eq!(w.message_of(&name), format!("Maximum recursion depth exceeded. See {url}"));
}

#[test]
fn a_condition_that_is_false_with_its_item_in_quotes_needs_no_list() {
    let when = "when: \"'{{item}}' == 'x'\"";
    let quoted = |list: &str| format!("{{name: a, template: leaf, {when}, {list}}}");
    let made = steps(&format!("[{}]", quoted("withItems: [x, y]")), "");
    assert_eq!(made.live(), ["wf[0].a(0:x)"]);
    let skipped = dag(
        &format!(
            "{{name: g, template: leaf}}, {}",
            quoted("depends: g, withParam: '{{tasks.g.outputs.result}}'")
        ),
        "",
    );
    let mut w = skipped;
    w.finish_with("wf.g", |v| v.outputs.result = Some("[\"x\"]".to_owned()));
    assert_eq!(w.message_of(".a"), "Skipped, empty params");
}

#[test]
fn what_is_no_list_is_said_in_gos_words() {
    let run = |text: &str| {
        let w = dag(&format!("{{name: a, template: leaf, withParam: '{text}'}}"), "");
        w.message_of(".a")
    };
    let not = |text: &str, kind: &str| {
        format!(
            "withParam value could not be parsed as a JSON list: {text}: json: cannot unmarshal {kind} into Go value of \
             type []v1alpha1.Item"
        )
    };
    assert_eq!(run(" {\"a\": 1} "), not("{\"a\": 1}", "object"));
    assert_eq!(run("\"x\""), not("\"x\"", "string"));
    assert_eq!(run("12"), not("12", "number"));
    assert_eq!(run("true"), not("true", "bool"));
    assert_eq!(run("null"), "Skipped, empty params");
}

#[test]
fn a_skipped_step_gives_artifacts_without_a_place() {
    let more = "  - {name: make, outputs: {artifacts: [{name: f, path: /f}]}, container: {image: x}}\n  - {name: may, inputs: {artifacts: [{name: i, path: /i, optional: true}]}, container: {image: x}}\n  - {name: must, inputs: {artifacts: [{name: i, path: /i}]}, container: {image: x}}";
    let groups = |reader: &str| {
        let from = "arguments: {artifacts: [{name: i, from: '{{steps.a.outputs.artifacts.f}}'}]}";
        format!("[{{name: a, template: make, when: 'a == b'}}], [{{name: r, template: {reader}, {from}}}]")
    };
    let mut w = steps(&groups("may"), more);
    w.succeed("wf[1].r");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    let why = "step group deemed errored due to child wf[1].r error: inputs.artifacts.i missing location information";
    assert_eq!(steps(&groups("must"), more).ended(), Some((RunPhase::Failed, why.to_owned())));
    let from = "arguments: {artifacts: [{name: i, from: '{{tasks.a.outputs.artifacts.f}}'}]}";
    let w = dag(
        &format!(
            "{{name: a, template: make, when: 'a == b'}}, {{name: r, template: may, depends: a, {from}}}"
        ),
        more,
    );
    assert!(w.message_of(".r").contains("Unable to resolve"), "a task gives none: {}", w.message_of(".r"));
}

#[test]
fn failures_name_argos_pods_and_keep_its_order_of_fields() {
    let exit = "  - {name: tell, inputs: {parameters: [{name: x, value: '{{workflow.failures}}'}]}, container: {image: x}}";
    let mut w = world(&format!(
        "  entrypoint: main\n  onExit: tell\n  templates:\n  - {{name: main, steps: [[{{name: a, template: leaf}}]]}}\n{LEAF}\n{exit}"
    ));
    w.fail("wf[0].a");
    let told = w.attempt("wf.onExit").work.template.inputs.parameters[0].value.clone().unwrap().0;
    let id = crate::ids::argo_node_id("wf", "wf[0].a");
    let hash = id.strip_prefix("wf").unwrap();
    let text: String = serde_json::from_str(&told).unwrap();
    let first = format!(
        "[{{\"displayName\":\"a\",\"message\":\"main: Error (exit code 1)\",\"templateName\":\"leaf\",\"phase\":\"Failed\",\"podName\":\"wf-leaf{hash}\",\"finishedAt\":\""
    );
    assert!(text.starts_with(&first), "{text}");
}

#[test]
fn a_try_without_an_exit_code_is_0_in_tags_and_minus_1_in_expressions() {
    let spec = "  entrypoint: main\n  templates:\n  - name: main\n    retryStrategy: {limit: 3, expression: \"lastRetry.exitCode == '-1'\"}\n    container: {image: x, args: ['{{lastRetry.exitCode}}']}";
    let mut w = world(spec);
    w.finish_with("wf(0)", |v| {
        v.outcome = Outcome::Error;
        v.outputs.exit_code = None;
    });
    let second = w.attempt("wf(1)");
    assert_eq!(second.work.template.main().unwrap().args.clone().unwrap(), ["0"]);
}

#[test]
fn a_condition_with_braces_that_nothing_resolves_is_judged_as_it_stands() {
    let quoted = "{name: a, template: leaf, when: \"'{{workflow.labels.env}}' == 'prod'\"}";
    let skipped = "when ''{{workflow.labels.env}}' == 'prod'' evaluated false";
    assert_eq!(steps(&format!("[{quoted}]"), "").message_of("[0].a"), skipped);
    assert_eq!(dag(quoted, "").message_of(".a"), skipped);
    let bare = "{name: a, template: leaf, when: '{{workflow.labels.env}} == prod'}";
    let why = "Invalid 'when' expression '{{workflow.labels.env}} == prod'";
    let (phase, message) = steps(&format!("[{bare}]"), "").ended().unwrap();
    assert_eq!(phase, RunPhase::Failed);
    assert!(message.starts_with(&format!("failed to resolve references: {why}")), "{message}");
    assert!(dag(bare, "").message_of(".a").starts_with(why));
}

#[test]
fn a_list_that_is_an_empty_text_is_no_loop() {
    let spec = |body: &str| {
        format!(
            "  entrypoint: main\n  arguments: {{parameters: [{{name: p, value: ''}}]}}\n  templates:\n  - {{name: main, {body}}}\n{LEAF}"
        )
    };
    let call = "{name: a, template: leaf, withParam: '{{workflow.parameters.p}}'}";
    assert_eq!(world(&spec(&format!("steps: [[{call}]]"))).live(), ["wf[0].a"]);
    assert_eq!(world(&spec(&format!("dag: {{tasks: [{call}]}}"))).live(), ["wf.a"]);
}
