use super::effective_spec;
use crate::types::{Parameter, Template, WorkflowSpec};

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
        spec("entrypoint: a\nsuspend: true\ntemplates: [{name: a, suspend: {}}]\nhostNetwork: true");
    assert_eq!(effective_spec(&workflow, &WorkflowSpec::default()), workflow);
    assert_eq!(effective_spec(&WorkflowSpec::default(), &workflow), workflow);
}
