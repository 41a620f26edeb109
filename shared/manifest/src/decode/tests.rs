use super::nearest::nearest;
use super::*;
use crate::types::{Template, WorkflowSpec};

fn read(text: &str) -> Node {
    let (mut nodes, errors) = crate::source::read(text);
    assert_eq!(errors, []);
    nodes.remove(0)
}

fn problems<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let found = decode::<T>(&read(text)).1;
    found.iter().map(|problem| format!("{} {} {:?}", problem.at, problem.path, problem.kind)).collect()
}

#[test]
fn every_unknown_field_is_reported_with_its_place_and_the_nearest_field() {
    let text = "entrypiont: a\ntemplates:\n  - name: a\n    contianer: {image: x, commands: [y]}\n  - name: b\n    when: x\n";
    assert_eq!(
        problems::<WorkflowSpec>(text),
        [
            "1:1 entrypiont UnknownField { field: \"entrypiont\", owner: \"WorkflowSpec\", suggestion: Some(\"entrypoint\") }",
            "4:5 templates[0].contianer UnknownField { field: \"contianer\", owner: \"Template\", suggestion: Some(\"container\") }",
            "6:5 templates[1].when UnknownField { field: \"when\", owner: \"Template\", suggestion: None }",
        ]
    );
}

#[test]
fn every_wrong_type_is_reported_and_the_rest_is_kept() {
    let text = "parallelism: many\ntemplates:\n  - name: a\n    container: {args: x, image: [y], command: [sh]}\n  - name: b\n    steps:\n      - name: c\n  - [d]\n  - name: e\n";
    let (spec, found) = decode::<WorkflowSpec>(&read(text));
    let found: Vec<_> = found.iter().map(|p| format!("{} {} {:?}", p.at, p.path, p.kind)).collect();
    assert_eq!(
        found,
        [
            "1:14 parallelism WrongType { expected: \"an integer\", found: \"a string\" }",
            "4:23 templates[0].container.args WrongType { expected: \"a list\", found: \"a string\" }",
            "4:33 templates[0].container.image WrongType { expected: \"a string\", found: \"a list\" }",
            "7:9 templates[1].steps[0] WrongType { expected: \"a list\", found: \"a mapping\" }",
            "8:5 templates[2] WrongType { expected: \"a mapping\", found: \"a list\" }",
        ]
    );
    let spec = spec.unwrap();
    let names: Vec<_> = spec.templates.iter().map(|template| template.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "e"]);
    assert_eq!(spec.templates[0].container.as_ref().unwrap().command, Some(vec!["sh".to_owned()]));
}

#[test]
fn scalars_become_texts_as_for_argo() {
    let text = "name: a\ncontainer:\n  image: x\n  args: [1, 1.50, yes, 0777, n]\n  env: [{name: E, value: 8080}]\ninputs:\n  parameters: [{name: p, value: 0.1}, {name: q, value: true}, {name: r, value: null}]\n";
    let (template, found) = decode::<Template>(&read(text));
    let template = template.unwrap();
    let container = template.container.unwrap();
    assert_eq!(container.args.unwrap(), ["1", "1.5", "true", "511", "n"]);
    assert_eq!(container.env[0].value.as_deref(), Some("8080"));
    let values: Vec<_> =
        template.inputs.parameters.iter().map(|p| p.value.as_ref().map(|v| v.as_str())).collect();
    assert_eq!(values, [Some("0.1"), Some("true"), None]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, ProblemKind::ReadAsBoolean { letter: 'n' });
}

#[test]
fn null_fields_are_not_there_and_null_in_raw_objects_stays() {
    let text = "name: a\nsteps:\ncontainer:\ninputs:\nvolumes: [{name: v, emptyDir: null}]\nsuspend: {}\n";
    let (template, found) = decode::<Template>(&read(text));
    let template = template.unwrap();
    assert_eq!(found, []);
    assert!(template.steps.is_none() && template.container.is_none() && template.suspend.is_some());
    assert_eq!(template.volumes[0], serde_json::json!({"name": "v", "emptyDir": null}));
}

#[test]
fn an_integer_written_as_a_number_is_one() {
    let spec = decode::<WorkflowSpec>(&read("parallelism: 2.0")).0.unwrap();
    assert_eq!(spec.parallelism, Some(2));
    assert_eq!(problems::<WorkflowSpec>("parallelism: 2.5").len(), 1);
}

#[test]
fn the_nearest_name_is_near() {
    let names = ["template", "templateRef", "name", "when", "withItems"];
    assert_eq!(nearest("tempalte", names), Some("template"));
    assert_eq!(nearest("withitems", names), Some("withItems"));
    assert_eq!(nearest("whne", names), Some("when"));
    assert_eq!(nearest("container", names), None);
    assert_eq!(nearest("", names), None);
}
