use super::{effective_spec, with_defaults, with_template_defaults};
use crate::types::{Parameter, Template, WorkflowDefaults, WorkflowSpec};

fn spec(yaml: &str) -> WorkflowSpec {
    let (nodes, errors) = crate::source::read(yaml);
    assert_eq!(errors, []);
    let (spec, problems) = crate::decode::decode(&nodes[0]);
    assert_eq!(problems, []);
    spec.unwrap()
}

#[test]
fn what_the_workflow_sets_wins_and_the_rest_comes_from_the_template() {
    let workflow = spec("entrypoint: mine\nparallelism: 3");
    let template = spec(
        "entrypoint: theirs\nactiveDeadlineSeconds: 60\nonExit: bye\nvolumeClaimTemplates: [{metadata: {name: data}}]",
    );
    let merged = effective_spec(&workflow, &template);
    assert_eq!(merged.entrypoint.as_deref(), Some("mine"));
    assert_eq!((merged.parallelism, merged.active_deadline_seconds), (Some(3), Some(60)));
    assert_eq!(merged.on_exit.as_deref(), Some("bye"));
    assert_eq!(merged.volume_claim_templates.len(), 1);
}

#[test]
fn templates_and_volumes_are_joined_by_name() {
    let workflow =
        spec("templates: [{name: a, container: {image: mine}}]\nvolumes: [{name: v, emptyDir: {}}]");
    let template = spec(
        "templates: [{name: a, container: {image: theirs}}, {name: b, suspend: {}}]\nvolumes: [{name: v, secret: {}}, {name: w, emptyDir: {}}]",
    );
    let merged = effective_spec(&workflow, &template);
    let image = |t: &Template| t.container.as_ref().and_then(|c| c.image.clone());
    assert_eq!(merged.templates.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(image(&merged.templates[0]).as_deref(), Some("mine"));
    assert_eq!(merged.volumes, spec("volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]").volumes);
}

#[test]
fn a_parameter_of_the_workflow_replaces_the_whole_entry_of_the_template() {
    let workflow = spec("arguments: {parameters: [{name: a, value: 2}]}");
    let template = spec(
        "arguments: {parameters: [{name: a, value: 1, enum: [1, 2], description: d}, {name: b, value: 3}]}",
    );
    let parameters = effective_spec(&workflow, &template).arguments.parameters;
    let value = |name: &str, value: &str| Parameter {
        name: name.into(),
        value: Some(value.into()),
        ..Parameter::default()
    };
    assert_eq!(parameters, [value("a", "2"), value("b", "3")]);
}

#[test]
fn an_artifact_of_the_same_kind_is_joined_field_by_field() {
    let workflow = spec("arguments: {artifacts: [{name: a, s3: {key: mine}}, {name: r, raw: {data: x}}]}");
    let template =
        spec("arguments: {artifacts: [{name: a, s3: {key: theirs, bucket: b}}, {name: r, s3: {key: k}}]}");
    let artifacts = effective_spec(&workflow, &template).arguments.artifacts;
    let expected =
        spec("arguments: {artifacts: [{name: a, s3: {key: mine, bucket: b}}, {name: r, raw: {data: x}}]}");
    assert_eq!(artifacts, expected.arguments.artifacts);
}

#[test]
fn hooks_are_joined_by_key_with_the_workflows_winning() {
    let workflow = spec("hooks: {exit: {template: mine}}");
    let template = spec("hooks: {exit: {template: theirs}, running: {template: r, expression: x}}");
    let hooks = effective_spec(&workflow, &template).hooks;
    assert_eq!(hooks["exit"].template, "mine");
    assert_eq!(hooks.keys().collect::<Vec<_>>(), ["exit", "running"]);
}

#[test]
fn the_result_of_an_empty_template_is_the_workflow() {
    let workflow =
        spec("entrypoint: a\nparallelism: 1\ntemplates: [{name: a, suspend: {}}]\nhostNetwork: true");
    assert_eq!(effective_spec(&workflow, &WorkflowSpec::default()), workflow);
    assert_eq!(effective_spec(&WorkflowSpec::default(), &workflow), workflow);
}

fn defaults(yaml: &str) -> WorkflowDefaults {
    WorkflowDefaults { spec: spec(yaml), ..WorkflowDefaults::default() }
}

#[test]
fn the_workflow_wins_over_its_template_and_both_over_the_defaults() {
    let workflow =
        spec("workflowTemplateRef: {name: t}\nentrypoint: w\nttlStrategy: {secondsAfterSuccess: 1}");
    let template = spec(
        "entrypoint: t\nparallelism: 2\npodMetadata: {labels: {a: t}}\nhooks: {exit: {template: t}, x: {template: t, expression: 'true'}}",
    );
    let below = defaults(
        "entrypoint: d\nparallelism: 3\nactiveDeadlineSeconds: 4\nttlStrategy: {secondsAfterSuccess: 9, secondsAfterFailure: 9}\npodMetadata: {labels: {a: d, b: d}}\nhooks: {exit: {template: d, arguments: {parameters: [{name: p, value: d}]}}}",
    );
    let merged = with_defaults(&effective_spec(&workflow, &template), &below);
    let expected = spec(
        "workflowTemplateRef: {name: t}\nentrypoint: w\nparallelism: 2\nactiveDeadlineSeconds: 4\nttlStrategy: {secondsAfterSuccess: 1, secondsAfterFailure: 9}\npodMetadata: {labels: {a: t, b: d}}\nhooks: {exit: {template: t}, x: {template: t, expression: 'true'}}",
    );
    assert_eq!(merged, expected, "hooks are taken whole, mappings are joined");
}

#[test]
fn whether_a_run_begins_suspended_is_not_its_templates_to_say() {
    let (plain, reference) = (spec("entrypoint: a"), spec("workflowTemplateRef: {name: t}"));
    assert_eq!(effective_spec(&reference, &spec("suspend: true")).suspend, None);
    assert_eq!(with_defaults(&reference, &defaults("suspend: true")).suspend, None);
    assert_eq!(with_defaults(&plain, &defaults("suspend: true")).suspend, Some(true));
}

#[test]
fn a_parameter_without_a_value_takes_the_lower_sides_entry() {
    let workflow = spec("arguments: {parameters: [{name: a, description: mine}]}");
    let template = spec("arguments: {parameters: [{name: a, value: 1, enum: [1, 2]}]}");
    assert_eq!(effective_spec(&workflow, &template).arguments, template.arguments);
}

#[test]
fn the_labels_from_expressions_are_joined_by_name() {
    let workflow = spec("workflowMetadata: {labels: {x: w}, labelsFrom: {a: {expression: w}}}");
    let template = spec(
        "workflowMetadata: {labels: {x: t, y: t}, labelsFrom: {a: {expression: t}, b: {expression: t}}}",
    );
    let expected = spec(
        "workflowMetadata: {labels: {x: w, y: t}, labelsFrom: {a: {expression: w}, b: {expression: t}}}",
    );
    assert_eq!(effective_spec(&workflow, &template), expected);
}

#[test]
fn template_defaults_lie_beneath_a_template_and_never_change_its_kind() {
    let template = |yaml: &str| spec(&format!("templates: [{{name: t, {yaml}}}]")).templates[0].clone();
    let below = template(
        "timeout: 30s, retryStrategy: {limit: 2, backoff: {duration: 1}}, container: {image: d, env: [{name: A, value: d}, {name: B, value: d}]}, metadata: {labels: {a: d}}",
    );
    let merged = with_template_defaults(
        &template("retryStrategy: {limit: 5}, container: {image: mine, env: [{name: A, value: t}]}"),
        &below,
    );
    let expected = template(
        "timeout: 30s, retryStrategy: {limit: 5, backoff: {duration: 1}}, container: {image: mine, env: [{name: A, value: t}, {name: B, value: d}]}, metadata: {labels: {a: d}}",
    );
    assert_eq!(merged, expected);
    let script = with_template_defaults(&template("script: {image: s, source: x}"), &below);
    assert_eq!(script.container, None);
    assert_eq!(script.timeout.as_deref(), Some("30s"));
}
