//! Templates that are inline or stored elsewhere, artifacts and targets that are chosen at run time.

use dropforge_manifest::types::{Artifact, S3Location};
use serde_json::{Value, json};

use super::*;
use crate::spec::StoredTemplates;

/// A run whose stored objects are these, by scope, each with its templates as YAML flow.
fn with_library(spec: &str, library: &[(&str, &str)]) -> World {
    let unborn = World::unborn(spec, Settings::default());
    let mut run = unborn.state.program.spec.clone();
    for (scope, templates) in library {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {{name: x}}\nspec: {{templates: {templates}}}\n"
        );
        let parsed = parse("test", &text);
        assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
        let (stored, _) = parsed.documents[0].object.workflow_spec().unwrap();
        run.library.insert((*scope).to_owned(), StoredTemplates { templates: stored.templates.clone() });
    }
    let program = Arc::new(Program::compile(run).unwrap());
    let mut world = World { state: RunState::new(program.clone()), program, ..unborn };
    world.event(Event::Submitted);
    world
}

fn args(world: &World, node: &str) -> Vec<String> {
    world.attempt(node).work.template.main().unwrap().args.clone().unwrap_or_default()
}

/// Argo's node of this full name.
fn shown(world: &World, node: &str) -> Value {
    let folded = View::fold(world.state.program.clone(), &world.records);
    let view = folded.workflow();
    assert_eq!(json!(folded.streamed()), view, "it is the same written node by node");
    let nodes = view["status"]["nodes"].as_object().unwrap().clone();
    nodes.into_iter().map(|(_, n)| n).find(|n| n["name"] == node).unwrap_or_default()
}

fn fields(node: &Value, names: &[&str]) -> Value {
    names.iter().map(|n| ((*n).to_owned(), node[*n].clone())).filter(|(_, v)| !v.is_null()).collect()
}

#[test]
fn an_inline_template_runs_without_a_name_and_reads_its_own_inputs() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - name: a\n        arguments: {parameters: [{name: m, value: hello}]}\n        inline:\n          inputs: {parameters: [{name: m}]}\n          container: {image: busybox, args: ['{{inputs.parameters.m}}']}\n      - name: b\n        dependencies: [a]\n        inline:\n          steps: [[{name: c, inline: {container: {image: busybox, args: [inner]}}}]]",
    );
    assert_eq!(args(&w, "wf.a"), ["hello"]);
    assert!(w.attempt("wf.a").id.as_str().starts_with("wf-"), "an inline template adds no name");
    let names = ["type", "templateName", "templateRef", "templateScope"];
    assert_eq!(fields(&shown(&w, "wf.a"), &names), json!({"type": "Pod", "templateScope": "local/wf"}));
    w.succeed("wf.a");
    assert_eq!(args(&w, "wf.b[0].c"), ["inner"]);
    assert_eq!(shown(&w, "wf.b")["type"], "Steps");
    w.succeed("wf.b[0].c");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn an_inline_template_sees_the_item_and_the_inputs_around_it() {
    let mut w = world(
        "  entrypoint: main\n  arguments: {parameters: [{name: p, value: P}]}\n  templates:\n  - name: main\n    inputs: {parameters: [{name: p}]}\n    steps:\n    - - name: a\n        withItems: [1, 2]\n        inline:\n          retryStrategy: {limit: 1}\n          container: {image: busybox, args: ['{{item}} {{inputs.parameters.p}}']}",
    );
    assert_eq!(args(&w, "wf[0].a(0:1)(0)"), ["1 P"]);
    assert_eq!(args(&w, "wf[0].a(1:2)(0)"), ["2 P"]);
    w.fail("wf[0].a(1:2)(0)");
    assert_eq!(args(&w, "wf[0].a(1:2)(1)"), ["2 P"], "the next attempt has its Retry node's template");
    let owned = w.records.iter().filter(|r| matches!(r, Record::NodeCreated(c) if c.own.is_some()));
    assert_eq!(owned.count(), 2, "only the two Retry nodes carry it on record");
}

#[test]
fn an_inline_template_of_the_workflow_takes_a_value_around_it_before_its_own_input() {
    let inline =
        "inputs: {parameters: [{name: m}]}, container: {image: x, args: ['{{inputs.parameters.m}}']}";
    let main = format!(
        "{{name: main, inputs: {{parameters: [{{name: m, value: outer}}]}}, steps: [[{{name: a, arguments: {{parameters: [{{name: m, value: inner}}]}}, inline: {{{inline}}}}}]]}}"
    );
    let w = world(&format!("  entrypoint: main\n  templates: [{main}]"));
    assert_eq!(args(&w, "wf[0].a"), ["outer"]);
    // Argo keeps what stands in a stored object as it is written.
    let call = "  entrypoint: top\n  templates: [{name: top, steps: [[{name: s, templateRef: {name: o, template: main}}]]}]";
    let w = with_library(call, &[("namespaced/o", &format!("[{main}]"))]);
    assert_eq!(args(&w, "wf[0].s[0].a"), ["inner"]);
}

#[test]
fn names_in_a_cluster_template_are_its_own() {
    let library = [
        (
            "cluster/o",
            "[{name: steps, steps: [[{name: a, template: leaf}]]}, {name: leaf, container: {image: x, args: [cluster]}}]",
        ),
        ("namespaced/o", "[{name: leaf, container: {image: x, args: [namespaced]}}]"),
    ];
    let mut w = with_library(
        "  entrypoint: main\n  templates:\n  - {name: leaf, container: {image: x, args: [local]}}\n  - name: main\n    steps:\n    - - {name: c, templateRef: {name: o, template: steps, clusterScope: true}}\n      - {name: n, templateRef: {name: o, template: leaf}}\n      - {name: l, template: leaf}",
        &library,
    );
    assert_eq!(args(&w, "wf[0].c[0].a"), ["cluster"]);
    assert_eq!(args(&w, "wf[0].n"), ["namespaced"]);
    assert_eq!(args(&w, "wf[0].l"), ["local"]);
    let names = ["templateName", "templateRef", "templateScope"];
    assert_eq!(
        fields(&shown(&w, "wf[0].c"), &names),
        json!({"templateRef": {"name": "o", "template": "steps", "clusterScope": true}, "templateScope": "local/wf"})
    );
    assert_eq!(
        fields(&shown(&w, "wf[0].c[0].a"), &names),
        json!({"templateName": "leaf", "templateScope": "cluster/o"})
    );
    for node in ["wf[0].c[0].a", "wf[0].n", "wf[0].l"] {
        w.succeed(node);
    }
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn a_dag_runs_what_its_targets_need_also_where_they_are_tags() {
    let main = "  - name: main\n    inputs: {parameters: [{name: t}]}\n    dag:\n      target: '{{inputs.parameters.t}}'\n      tasks:\n      - {name: a, template: ok}\n      - {name: b, template: ok, dependencies: [a]}\n      - {name: c, template: ok, dependencies: [a]}\n  - {name: ok, container: {image: x}}";
    let run = |target: &str| {
        world(&format!(
            "  entrypoint: main\n  arguments: {{parameters: [{{name: t, value: '{target}'}}]}}\n  templates:\n{main}"
        ))
    };
    let mut w = run("b");
    w.succeed("wf.a");
    assert_eq!(w.live(), ["wf.b"]);
    w.succeed("wf.b");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!(shown(&w, "wf")["outboundNodes"], json!([shown(&w, "wf.b")["id"]]));
    let mut w = run("b c");
    w.succeed("wf.a");
    assert_eq!(w.live(), ["wf.b", "wf.c"]);
    let (phase, message) = run("gone").ended().unwrap();
    assert_eq!(phase, RunPhase::Error);
    assert!(message.contains("'gone' not defined"), "{message}");
}

/// Ends a node that leaves an artifact `f`.
fn leave(world: &mut World, node: &str, key: &str) {
    world.finish_with(node, |verdict| {
        let s3 = Some(S3Location { key: Some(key.to_owned()), ..S3Location::default() });
        verdict.outputs.artifacts = vec![Artifact { name: "f".to_owned(), s3, ..Artifact::default() }];
    });
}

#[test]
fn an_expression_chooses_the_artifact_of_the_branch_that_ran() {
    let choice = "steps.h.status == 'Succeeded' ? steps.h.outputs.artifacts.f : steps.t.outputs.artifacts.f";
    let spec = |side: &str| {
        format!(
            "  entrypoint: main\n  arguments: {{parameters: [{{name: side, value: {side}}}]}}\n  templates:\n  - name: main\n    outputs: {{artifacts: [{{name: chosen, subPath: 'part-{{{{workflow.name}}}}', fromExpression: \"{choice}\"}}]}}\n    steps:\n    - - {{name: h, template: make, when: '{{{{workflow.parameters.side}}}} == h'}}\n      - {{name: t, template: make, when: '{{{{workflow.parameters.side}}}} == t'}}\n    - - {{name: read, template: read, arguments: {{artifacts: [{{name: in, fromExpression: \"{choice}\"}}]}}}}\n  - {{name: make, outputs: {{artifacts: [{{name: f, path: /f}}]}}, container: {{image: x}}}}\n  - {{name: read, inputs: {{artifacts: [{{name: in, path: /in}}]}}, container: {{image: x}}}}"
        )
    };
    for side in ["h", "t"] {
        let mut w = world(&spec(side));
        leave(&mut w, &format!("wf[0].{side}"), side);
        let read = w.attempt("wf[1].read").work.template.inputs.artifacts[0].clone();
        assert_eq!(read.s3.unwrap().key.as_deref(), Some(side));
        w.succeed("wf[1].read");
        let outputs = &shown(&w, "wf")["outputs"]["artifacts"];
        assert_eq!(*outputs, json!([{"name": "chosen", "s3": {"key": format!("{side}/part-wf")}}]));
    }
}

#[test]
fn an_expression_that_chooses_no_artifact_is_an_error_unless_it_is_optional() {
    let spec = |artifact: &str| {
        format!(
            "  entrypoint: main\n  templates:\n  - name: main\n    outputs: {{artifacts: [{{name: x, {artifact}}}]}}\n    dag: {{tasks: [{{name: a, template: make, when: 'a == b'}}]}}\n  - {{name: make, outputs: {{artifacts: [{{name: f, path: /f}}]}}, container: {{image: x}}}}"
        )
    };
    let missing = "fromExpression: tasks.a.outputs.artifacts.f";
    let ended = |artifact: &str| world(&spec(artifact)).ended().unwrap();
    assert_eq!(ended(&format!("{missing}, optional: true")), (RunPhase::Succeeded, String::new()));
    let (phase, message) = ended(missing);
    assert_eq!(phase, RunPhase::Error);
    assert!(message.contains("Unable to resolve: tasks.a.outputs.artifacts.f"), "{message}");
    assert!(ended("fromExpression: tasks.a.status").1.contains("gives no artifact"));
}

#[test]
fn template_defaults_hold_for_every_template_inline_and_stored_ones_too() {
    let spec = "  entrypoint: main\n  templateDefaults: {retryStrategy: {limit: 1}, timeout: 60s, container: {image: d, env: [{name: A, value: '{{workflow.name}}'}]}}\n  templates:\n  - name: main\n    dag:\n      tasks:\n      - {name: a, inline: {container: {args: [own]}}}\n      - {name: b, templateRef: {name: o, template: leaf, clusterScope: true}}";
    let w = with_library(spec, &[("cluster/o", "[{name: leaf, script: {image: s, source: x}}]")]);
    assert_eq!(w.live(), ["wf(0).a(0)", "wf(0).b(0)"]);
    let a = w.attempt("wf(0).a(0)").work.template.clone();
    let main = a.main().unwrap();
    assert_eq!((main.image.as_deref(), main.env[0].value.as_deref()), (Some("d"), Some("wf")));
    assert_eq!(a.timeout.as_deref(), Some("60s"));
    let b = w.attempt("wf(0).b(0)").work.template.clone();
    assert!(
        b.container.is_none() && b.script.is_some(),
        "a container's defaults make no container of a script"
    );
}

#[test]
fn pod_spec_patches_shape_the_step_the_workflows_first() {
    let patch =
        |image: &str, more: &str| format!("'{{containers: [{{name: main, image: {image}, {more}}}]}}'");
    let mut w = world(&format!(
        "  entrypoint: main\n  arguments: {{parameters: [{{name: mem, value: 1Gi}}]}}\n  podSpecPatch: {}\n  templates:\n  - name: main\n    podSpecPatch: {}\n    container: {{image: own, args: [a]}}",
        patch("first", "resources: {limits: {memory: \"{{workflow.parameters.mem}}\"}}"),
        patch("\"{{pod.name}}\"", "env: [{name: A, value: b}]"),
    ));
    let attempt = w.attempt("wf");
    let main = attempt.work.template.main().unwrap();
    assert_eq!(main.image.as_deref(), Some(attempt.id.as_str()));
    assert_eq!(main.resources.as_ref().unwrap().limits["memory"].as_str(), "1Gi");
    assert_eq!((main.env[0].name.as_str(), main.args.clone()), ("A", Some(vec!["a".to_owned()])));
    w.succeed("wf");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    let bad = world(
        "  entrypoint: main\n  podSpecPatch: '{containers: [{name: other}]}'\n  templates: [{name: main, container: {image: x}}]",
    );
    assert_eq!(bad.ended().unwrap().0, RunPhase::Error);
}

#[test]
fn names_of_steps_and_of_output_artifacts_may_hold_inputs() {
    let inner = "{name: inner, inputs: {parameters: [{name: s}]}, steps: [[{name: 'load-{{inputs.parameters.s}}', template: make, arguments: {parameters: [{name: s, value: '{{inputs.parameters.s}}'}]}}], [{name: use, template: make, arguments: {parameters: [{name: s, value: '{{steps.load-{{inputs.parameters.s}}.outputs.result}}'}]}}]]}";
    let make = "{name: make, inputs: {parameters: [{name: s}]}, outputs: {artifacts: [{name: 'art-{{inputs.parameters.s}}', path: /f, globalName: 'all-{{inputs.parameters.s}}'}]}, container: {image: x, args: ['{{inputs.parameters.s}}']}}";
    let mut w = world(&format!(
        "  entrypoint: main\n  templates: [{inner}, {make}, {{name: main, steps: [[{{name: a, template: inner, arguments: {{parameters: [{{name: s, value: abc}}]}}}}]]}}]"
    ));
    let step = "wf[0].a[0].load-abc";
    assert_eq!(w.live(), [step]);
    assert_eq!(w.attempt(step).work.template.outputs.artifacts[0].name, "art-abc");
    assert!(w.attempt(step).work.capture_result, "its result is read");
    w.finish_with(step, |verdict| {
        let s3 = Some(S3Location { key: Some("k".to_owned()), ..S3Location::default() });
        verdict.outputs.artifacts = vec![Artifact { name: "art-abc".to_owned(), s3, ..Artifact::default() }];
        verdict.outputs.result = Some("loaded".to_owned());
    });
    assert!(w.state.global_artifacts.contains_key("all-abc"));
    assert_eq!(args(&w, "wf[0].a[1].use"), ["loaded"]);
    w.succeed("wf[0].a[1].use");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn volumes_of_the_workflow_read_what_the_calls_above_a_step_read() {
    let spec = "  entrypoint: main\n  volumes: [{name: cfg, configMap: {name: '{{tasks.a.outputs.parameters.n}}', optional: true}}]\n  templates:\n  - {name: main, dag: {tasks: [{name: a, template: make, when: 'a == b'}, {name: b, template: inner, depends: a}]}}\n  - {name: make, outputs: {parameters: [{name: n, valueFrom: {path: /n, default: rescued}}]}, container: {image: x}}\n  - {name: inner, steps: [[{name: c, template: use}]]}\n  - {name: use, container: {image: x, volumeMounts: [{name: cfg, mountPath: /c}]}}";
    let w = world(spec);
    let volumes = &w.attempt("wf.b[0].c").work.volumes;
    assert_eq!(volumes[0]["configMap"]["name"], json!("rescued"));
}

#[test]
fn an_argument_of_the_workflow_may_name_globals_wherever_it_is_read() {
    let w = world(
        "  entrypoint: main\n  arguments:\n    parameters:\n    - {name: a, value: '{{workflow.name}}'}\n    - {name: b, value: 'x-{{workflow.parameters.a}}'}\n    - {name: c, value: '{{=workflow.name + \"!\"}}'}\n  templates:\n  - name: main\n    steps: [[{name: s, template: t, arguments: {parameters: [{name: p, value: '{{workflow.parameters.b}}'}]}}, {name: d, template: direct}]]\n  - name: t\n    inputs: {parameters: [{name: p}]}\n    container: {image: busybox, args: ['{{inputs.parameters.p}}']}\n  - name: direct\n    container: {image: busybox, args: ['{{workflow.parameters.a}} {{workflow.parameters.b}} {{workflow.parameters.c}}']}",
    );
    assert_eq!(args(&w, "wf[0].s"), ["x-wf"]);
    assert_eq!(args(&w, "wf[0].d"), ["wf x-wf wf!"]);
}

#[test]
fn an_item_stands_beside_all_that_its_call_reads() {
    let echo = "{name: echo, inputs: {parameters: [{name: x}]}, container: {image: busybox, args: ['{{inputs.parameters.x}}']}}";
    let call = |name: &str, of: &str, more: &str| {
        format!(
            "{{name: {name}, template: echo{more}, arguments: {{parameters: [{{name: x, value: '{{{{={of}}}}}'}}]}}}}"
        )
    };
    let looped =
        |name: &str, of: &str| call(name, &format!("item + \"-\" + {of}"), ", withItems: [one, two]");
    let run = |body: String| {
        let mut w = world(&format!(
            "  entrypoint: main\n  arguments: {{parameters: [{{name: q, value: Q}}]}}\n  templates:\n  - {{name: main, inputs: {{parameters: [{{name: q}}]}}, {body}}}\n  - {echo}"
        ));
        let first = w.live()[0].clone();
        w.finish_with(&first, |v| v.outputs.result = Some("hello".to_owned()));
        let args =
            |a: &Arc<Attempt>| a.work.template.container.as_ref().unwrap().args.clone().unwrap().remove(0);
        let mut made: Vec<String> = w.started.iter().map(args).collect();
        made.sort();
        made
    };
    let a = call("a", "\"first\"", "");
    let expected = ["first", "one-Q", "one-hello", "two-Q", "two-hello"];
    let (b, c) = (looped("b", "steps.a.outputs.result"), looped("c", "inputs.parameters.q"));
    assert_eq!(run(format!("steps: [[{a}], [{b}, {c}]]")), expected);
    let b = looped("b", "tasks.a.outputs.result").replace("template", "depends: a, template");
    assert_eq!(run(format!("dag: {{tasks: [{a}, {b}, {c}]}}")), expected);
}
