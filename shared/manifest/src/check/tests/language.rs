use super::*;

/// A stored object of this kind and name.
fn stored(kind: &str, name: &str, templates: &str) -> String {
    format!(
        "---\napiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{entrypoint: m, templates: [{templates}]}}\n"
    )
}

#[test]
fn a_reference_says_whether_the_object_is_the_clusters() {
    let call = |scope: &str| {
        workflow(&format!(
            "{{name: main, steps: [[{{name: a, templateRef: {{name: o, template: m{scope}}}}}]]}}"
        )) + &stored("ClusterWorkflowTemplate", "o", "{name: m, container: {image: 'x:1'}}")
    };
    assert!(findings(&call(", clusterScope: true")).is_empty());
    let text = call("");
    assert_eq!(findings(&text), ["E104 5: template reference o.m not found"]);
    assert_eq!(remedies(&text), ["'o' is a ClusterWorkflowTemplate: add `clusterScope: true`"]);
    let whole = |scope: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  workflowTemplateRef: {{name: o{scope}}}\n"
        ) + &stored("WorkflowTemplate", "o", "{name: m, container: {image: 'x:1'}}")
    };
    assert!(findings(&whole("")).is_empty());
    let text = whole(", clusterScope: true");
    assert_eq!(findings(&text), ["E104 4: cluster workflow template 'o' not found"]);
    assert_eq!(remedies(&text), ["'o' is a WorkflowTemplate: leave out `clusterScope: true`"]);
}

#[test]
fn an_inline_template_is_checked_as_others_are_and_needs_no_name() {
    let main = |inline: &str| format!("{{name: main, steps: [[\n{{name: a, inline: {inline}}}]]}}");
    expect(&main("{container: {image: 'x:1'}}"), &[]);
    expect(
        &main("{container: {args: ['{{inputs.parameters.gone}}']}}"),
        &[
            "E108 6: templates..container.image may not be empty",
            "E201 6: failed to resolve {{inputs.parameters.gone}}",
        ],
    );
    expect(&main("{steps: [[{name: b, template: none}]]}"), &["E104 6: template name 'none' undefined"]);
    expect(
        &main(
            "{inputs: {parameters: [{name: m}]}, container: {image: 'x:1', args: ['{{inputs.parameters.m}}']}}",
        ),
        &["E302 6: templates. inputs.parameters.m was not supplied"],
    );
    expect(
        "{name: main, steps: [[{name: a, template: leaf, inline: {suspend: {}}}]]}, {name: leaf, suspend: {}}",
        &["E106 5: a call has one of template, templateRef and inline"],
    );
    expect(
        "{name: main, steps: [[{name: a, withItems: [1], inline: {container: {image: 'x:1', args: ['{{item}}']}}}]]}",
        &[],
    );
    expect(
        "{name: main, steps: [[{name: a, inline: {container: {image: 'x:1', args: ['{{item}}']}}}]]}",
        &["E201 5: failed to resolve {{item}}"],
    );
}

#[test]
fn an_inline_template_is_supported_as_far_as_its_fields_are() {
    expect(
        "{name: main, steps: [[{name: a, inline: {plugin: {x: {}}}}]]}",
        &["E601 5: `plugin` is not supported yet"],
    );
}

#[test]
fn the_expression_of_an_artifact_is_read() {
    let main = |outputs: &str| {
        format!(
            "{{name: main, outputs: {{artifacts: [{{name: x, {outputs}}}]}}, steps: [[{{name: a, template: leaf}}]]}},\n{LEAF}"
        )
    };
    expect(
        &main("fromExpression: \"true ? steps.a.outputs.artifacts.a : steps['a'].outputs.artifacts.a\""),
        &[],
    );
    expect(
        &main("fromExpression: 'steps.b.outputs.artifacts.a'"),
        &["E201 5: failed to resolve {{steps.b.outputs.artifacts.a}}"],
    );
    expect(
        &main("from: '{{steps.a.outputs.artifacts.a}}', fromExpression: steps.a.outputs.artifacts.a"),
        &["E303 5: x shouldn't have both 'from' and 'fromExpression' in Artifact"],
    );
    let findings = findings(&workflow(&main("fromExpression: '1 +'")));
    assert!(findings[0].starts_with("E203 5: the expression cannot be read"), "{findings:?}");
}

#[test]
fn a_pod_spec_patch_sets_only_what_there_is() {
    let main =
        |patch: &str| format!("{{name: main, podSpecPatch: \"{patch}\", container: {{image: 'x:1'}}}}");
    expect(
        &main("{containers: [{name: main, resources: {limits: {cpu: '{{workflow.name}}'}}}], nodeName: a}"),
        &[],
    );
    expect(
        &main("{containers: [{name: main, lifecycle: {}}]}"),
        &["E601 5: `containers.lifecycle` of a podSpecPatch is not supported on one machine"],
    );
    expect(&main("[]"), &["E006 5: podSpecPatch is no YAML or JSON of a pod's spec: it is no mapping"]);
    expect(&main("{containers: {{workflow.name}}"), &[]);
}

#[test]
fn the_labels_of_workflow_metadata_are_labels() {
    let text = |metadata: &str| {
        workflow("{name: main, suspend: {}}")
            .replace("{entrypoint", &format!("{{workflowMetadata: {{{metadata}}}, entrypoint"))
    };
    assert_eq!(
        findings(&text(
            "labels: {a: b}, annotations: {c: 'd e'}, labelsFrom: {f: {expression: workflow.name}}"
        )),
        [""; 0]
    );
    let wrong = findings(&text("labels: {a: 'b c'}, labelsFrom: {f: {expression: 'x +'}}"));
    assert!(wrong[0].starts_with("E101 4: invalid label value \"b c\" for label \"a\""), "{wrong:?}");
    assert!(wrong[1].starts_with("E203 4: the expression of label \"f\" cannot be read"), "{wrong:?}");
}

#[test]
fn an_expression_that_must_go_wrong_is_found_before_it_runs() {
    let args = |expression: &str| {
        format!("{{name: main, container: {{image: 'x:1', args: [\"{{{{={expression}}}}}\"]}}}}")
    };
    let table = [
        ("asInt(workflow.name) + 1", ""),
        ("1 + 'a'", "invalid operation: + (mismatched types int and string) (1:3)"),
        ("upper(1)", "cannot use int as argument (type string) to call upper (1:7)"),
        ("uper('a')", "unknown function uper, did you mean upper? (1:1)"),
        ("trim('a', 'b', 'c')", "too many arguments to call trim (1:1)"),
        ("filter([1], 'a')", "predicate should return boolean (got string) (1:13)"),
        ("sprig.uper('a')", "unknown function sprig.uper, did you mean sprig.upper? (1:7)"),
        ("sprig.trunc('a')", "invalid number of arguments: expected 2, got 1 (1:7)"),
        ("sprig.upper(1 + 'a')", "invalid operation: + (mismatched types int and string) (1:15)"),
        (
            "sprig.genPrivateKey('rsa')",
            "sprig.genPrivateKey is not supported: it handles a secret, and what an expression gives is kept in the run's records; do it in a step (1:7)",
        ),
        ("'a' matches '('", "error parsing regexp: missing closing ): `(` (1:5)"),
    ];
    for (expression, why) in table {
        let expected: &[_] = if why.is_empty() {
            &[]
        } else {
            &[format!("E203 5: the expression cannot be evaluated: {why}")]
        };
        assert_eq!(findings(&workflow(&args(expression))), expected, "{expression}");
    }
    let retried = "{name: main, retryStrategy: {expression: 'retries < 3'}, container: {image: 'x:1'}}";
    expect(
        retried,
        &[
            "E203 5: retryStrategy.expression cannot be evaluated: invalid operation: < (mismatched types string and int) (1:9)",
        ],
    );
    let remedy = "variables are texts: asInt(x) and asFloat(x) make numbers of them, string(x) makes a text of a number";
    assert_eq!(remedies(&workflow(retried)), [remedy]);
}

#[test]
fn a_mistake_in_a_block_is_shown_where_it_stands() {
    let text = workflow("{name: main, suspend: {}}").replace(
        "{name: main, suspend: {}}\n  ]}",
        "  ]}\n---\napiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    script:\n      image: 'x:1'\n      source: |\n        echo hello\n        echo {{=1 + 'a'}}\n",
    );
    let parsed = parse("f.yaml", &text);
    let found = check(&parsed.documents, &Options::default());
    let places: Vec<_> =
        found.iter().filter(|f| f.code.name() == "E203").map(|f| (f.line, f.column)).collect();
    assert_eq!(places, [(17, 19)]);
}

#[test]
fn an_inline_template_reads_what_its_call_reads() {
    let main = |inline: &str| {
        format!(
            "{{name: main, inputs: {{parameters: [{{name: w, value: 1}}]}}, steps: [[{{name: a, template: leaf, when: '{{{{inputs.parameters.w}}}} == 1'}}], [{{name: b, {inline}}}]]}},\n{LEAF}"
        )
    };
    let echo = |tags: &str| format!("inline: {{container: {{image: 'x:1', args: ['{tags}']}}}}");
    expect(
        &main(&echo("{{inputs.parameters.w}} {{steps.a.outputs.parameters.o}} {{=inputs.parameters.w}}")),
        &[],
    );
    expect(&main(&format!("withItems: [1], {}", echo("{{item}}"))), &[]);
    let inner = echo("{{inputs.parameters.w}} {{steps.a.outputs.parameters.o}}");
    expect(&main(&format!("inline: {{dag: {{tasks: [{{name: c, {inner}}}]}}}}")), &[]);
    expect(&main(&echo("{{item}}")), &["E201 5: failed to resolve {{item}}"]);
    expect(
        &main(&echo("{{inputs.parameters.v}} {{steps.b.outputs.result}}")),
        &[
            "E201 5: failed to resolve {{inputs.parameters.v}}",
            "E201 5: failed to resolve {{steps.b.outputs.result}}",
        ],
    );
}

#[test]
fn the_image_may_come_from_the_defaults_of_templates() {
    let text = |defaults: &str| {
        workflow("{name: main, steps: [[{name: a, template: s}, {name: b, inline: {script: {source: echo}}}]]},\n{name: s, script: {source: echo}}")
            .replace("{entrypoint", &format!("{{templateDefaults: {{{defaults}}}, entrypoint"))
    };
    assert_eq!(findings(&text("script: {image: 'x:1', command: [sh]}")), [""; 0]);
    let none = findings(&text("container: {image: 'x:1'}"));
    let images = none.iter().filter(|finding| finding.ends_with(".script.image may not be empty"));
    assert_eq!(images.count(), 2, "{none:?}");
}
