use super::*;

#[test]
fn what_a_template_asks_for_is_given() {
    let call = |arguments: &str| {
        format!("{{name: main, steps: [[{{name: a, template: echo{arguments}}}]]}},\n{ECHO}")
    };
    expect(&call(""), &["E302 5: templates.echo inputs.parameters.m was not supplied"]);
    expect(&call(", arguments: {parameters: [{name: m}]}"), &["E301 5: m.value is required"]);
    expect(
        &call(
            ", arguments: {parameters: [{name: m, value: 1}, {name: m, value: 2}, {name: 'a b', value: 3}]}",
        ),
        &[
            "E102 5: name 'm' is not unique",
            "W703 5: template 'echo' does not declare the input parameter 'a b' and ignores it",
            "E101 5: name 'a b' must consist of alpha-numeric characters, '_' or '-'",
        ],
    );
    expect(
        &call(
            ", arguments: {parameters: [{name: m, value: 1}, {name: x, value: 2}], artifacts: [{name: f, raw: {data: x}}]}",
        ),
        &[
            "W703 5: template 'echo' does not declare the input parameter 'x' and ignores it",
            "W703 5: template 'echo' does not declare the input artifact 'f' and ignores it",
        ],
    );
}

#[test]
fn the_entry_template_is_given_the_workflows_arguments() {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: echo\n  arguments: {{parameters: [{{name: x}}]}}\n  templates: [{ECHO}]\n"
    );
    assert_eq!(
        findings(&text),
        [
            "E302 4: templates.echo inputs.parameters.m was not supplied",
            "W702 5: nothing reads the argument 'x'"
        ]
    );
    let given = text.replace("name: x", "name: m");
    assert_eq!(findings(&given), [""; 0]);
    let submit = Options { submit: true, ..Options::default() };
    assert_eq!(
        findings_with(&given, &submit),
        ["E301 5: spec.arguments.m.value or spec.arguments.m.valueFrom is required"]
    );
    let given = text.replace("name: x", "name: m, value: 1, enum: [2, 3]");
    assert_eq!(
        findings(&given),
        ["E305 5: spec.arguments.m.value should be present in spec.arguments.m.enum list"]
    );
}

#[test]
fn artifacts_have_a_place() {
    expect(
        "{name: main, inputs: {artifacts: [{name: a}, {name: b, path: /b, from: x}, {name: c, path: /c, s3: {bucket: b}}]}, container: {image: 'x:1'}}",
        &[
            "E302 4: templates.main inputs.artifacts.a was not supplied",
            "E302 4: templates.main inputs.artifacts.b was not supplied",
            "E303 5: error in templates.main.inputs.artifacts.a: path not specified",
            "E303 5: templates.main.inputs.artifacts.b.from not valid in inputs",
            "E303 5: c.s3.key is required",
        ],
    );
    expect(
        &format!(
            "{{name: main, steps: [[{{name: s, template: leaf, arguments: {{artifacts: [{{name: a}}]}}}}]], outputs: {{artifacts: [{{name: o}}]}}}},\n{LEAF}"
        ),
        &[
            "E303 5: a.from, artifact location, or key is required",
            "W703 5: template 'leaf' does not declare the input artifact 'a' and ignores it",
            "E303 5: templates.main.outputs.artifacts.o.from must be specified for Steps and DAG templates",
        ],
    );
    expect(
        "{name: main, outputs: {artifacts: [{name: a}, {name: b, path: /b, raw: {data: x}}]}, container: {image: 'x:1'}}",
        &[
            "E303 5: templates.main.outputs.artifacts.a.path must be specified for Container templates",
            "E303 5: templates.main.outputs.artifacts.b.raw is not valid in outputs",
        ],
    );
}

#[test]
fn output_parameters_have_one_source() {
    expect(
        "{name: main, container: {image: 'x:1'}, outputs: {parameters: [{name: a}, {name: b, value: 1, valueFrom: {path: /b}}, {name: c, valueFrom: {}}, {name: d, valueFrom: {path: /d, parameter: x}}, {name: e, valueFrom: {expression: '1'}}, {name: f, value: 1}]}}",
        &[
            "E304 5: templates.main.outputs.parameters.a does not have valueFrom or value specified",
            "E304 5: templates.main.outputs.parameters.b has both valueFrom and value specified, choose one",
            "E304 5: templates.main.outputs.parameters.c.valueFrom type unspecified. choose one of: path, parameter, expression, supplied",
            "E304 5: templates.main.outputs.parameters.d.valueFrom multiple types specified: path, parameter",
            "E304 5: templates.main.outputs.parameters.e.path must be specified for Container templates",
        ],
    );
    expect(
        "{name: main, steps: [], outputs: {parameters: [{name: a, globalName: 'a b', valueFrom: {path: /a}}]}}",
        &[
            "E101 5: globalName 'a b' must consist of alpha-numeric characters, '_' or '-'",
            "E304 5: templates.main.outputs.parameters.a.parameter or expression must be specified for Steps templates",
        ],
    );
}

#[test]
fn a_step_sees_only_earlier_groups() {
    let step = |name: &str, tag: &str| {
        format!("{{name: {name}, template: echo, arguments: {{parameters: [{{name: m, value: '{tag}'}}]}}}}")
    };
    let text = format!(
        "{{name: main, steps: [\n[{{name: a, template: leaf}},\n{}],\n[{},\n{},\n{},\n{}]]}},\n{ECHO}, {LEAF}",
        step("b", "{{steps.a.outputs.parameters.o}}"),
        step("c", "{{steps.a.outputs.parameters.x}}"),
        step("d", "{{steps.z.outputs.result}}"),
        step("e", "{{tasks.a.outputs.result}}"),
        step("f", "{{=steps.a.outputs.parameters.o + steps.a.status + steps.a.outputs.result}}"),
    );
    expect(
        &text,
        &[
            "E202 7: failed to resolve {{steps.a.outputs.parameters.o}}: it is not in an earlier step group",
            "E201 8: failed to resolve {{steps.a.outputs.parameters.x}}",
            "E201 9: failed to resolve {{steps.z.outputs.result}}",
            "E201 10: failed to resolve {{tasks.a.outputs.result}}",
        ],
    );
}

#[test]
fn a_task_sees_only_its_ancestors() {
    let task = |name: &str, rest: &str, tag: &str| {
        format!(
            "{{name: {name}, template: echo{rest}, arguments: {{parameters: [{{name: m, value: '{tag}'}}]}}}}"
        )
    };
    let text = format!(
        "{{name: main, dag: {{tasks: [\n{{name: a, template: leaf}},\n{},\n{},\n{}]}}}},\n{ECHO}, {LEAF}",
        task("b", ", dependencies: [a]", "{{tasks.a.outputs.parameters.o}}"),
        task("c", ", dependencies: [b]", "{{tasks.a.outputs.parameters.o}}"),
        task("d", "", "{{tasks.a.outputs.parameters.o}}"),
    );
    expect(
        &text,
        &["E202 9: failed to resolve {{tasks.a.outputs.parameters.o}}: this task does not depend on it"],
    );
}

#[test]
fn a_body_knows_its_own_inputs_and_the_workflow() {
    let leaf = |arg: &str| {
        format!(
            "{{name: main, inputs: {{parameters: [{{name: rate, default: 1}}], artifacts: [{{name: f, path: /f, optional: true}}]}}, container: {{image: 'x:1', args: [\"{arg}{{{{inputs.parameters.rate}}}}\"]}}}}"
        )
    };
    for good in [
        "{{inputs.artifacts.f.path}}",
        "{{workflow.name}}",
        "{{workflow.creationTimestamp.s}}",
        "{{pod.name}}",
        "{{node.name}}",
        "{{retries}}",
        "{{lastRetry.exitCode}}",
        "{{workflow.labels.x}}",
        "{{workflow.outputs.parameters.x}}",
        "{{inputs.parameters}}",
        "{{ workflow.uid }}",
        "{{.Values.x}}",
        "{{=inputs.parameters.rate ?? 'a'}}",
        "{{=inputs.parameters['none'] ?? 'a'}}",
        "{{=sprig.trim(inputs.parameters.rate)}}",
        "{{workflow.parameters.json}}",
        "{{=toJson(workflow)}}",
    ] {
        expect(&leaf(good), &[]);
    }
    for bad in [
        "inputs.parameters.rat",
        "inputs.artifacts.g.path",
        "workflow.nmae",
        "workflow.parameters.x",
        "item",
        "item.a",
        "steps.a.outputs.result",
        "pod.ip",
        "input.parameters.rate",
    ] {
        expect(&leaf(&format!("{{{{{bad}}}}}")), &[&format!("E201 5: failed to resolve {{{{{bad}}}}}")]);
    }
    expect(&leaf("{{=inputs.parameters.none}}"), &["E201 5: failed to resolve {{inputs.parameters.none}}"]);
    expect(&leaf("{{trigger.key}}"), &["E505 5: failed to resolve {{trigger.key}}"]);
    expect(&leaf("{{=1 +}}")[..], &[findings(&workflow(&leaf("{{=1 +}}")))[0].as_str()]);
    assert!(findings(&workflow(&leaf("{{=1 +}}")))[0].starts_with("E203 5"));
}

#[test]
fn an_unclosed_tag_is_an_error() {
    expect(
        "{name: main, container: {image: 'x:1', args: ['{{workflow.name']}}",
        &["E203 5: `{{` is never closed by `}}`"],
    );
}

#[test]
fn items_exist_in_loops_only_and_have_the_keys_that_are_listed() {
    let step = |fields: &str, tag: &str| {
        format!(
            "{{name: main, steps: [[{{name: a, template: echo, {fields}arguments: {{parameters: [{{name: m, value: '{tag}'}}]}}}}]]}},\n{ECHO}"
        )
    };
    expect(&step("withItems: [1, 2], ", "{{item}}"), &[]);
    expect(&step("withItems: [{a: 1}, {b: 2}], ", "{{item.b}}"), &[]);
    expect(&step("withParam: '[]', ", "{{item.any}}"), &[]);
    expect(&step("withItems: [{a: 1}, {b: 2}], ", "{{item.c}}"), &["E201 5: failed to resolve {{item.c}}"]);
    expect(&step("", "{{item}}"), &["E201 5: failed to resolve {{item}}"]);
}

#[test]
fn volumes_are_defined_and_paths_are_free() {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: main\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {resources: {requests: {storage: 5GB}}}}]\n  volumes: [{name: v, hostPath: {path: /x}}, {name: v, emptyDir: {}}]\n  templates:\n  - name: main\n    inputs: {artifacts: [{name: f, path: /mnt/data/, raw: {data: x}}]}\n    volumes: [{name: own, emptyDir: {}}]\n    container:\n      image: x:1\n      volumeMounts:\n      - {name: data, mountPath: /mnt/data}\n      - {name: own, mountPath: /mnt/own}\n      - {name: dta, mountPath: mnt/x}\n";
    assert_eq!(
        findings(text),
        [
            "E308 5: '5GB' is not a quantity: expected a number and one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei",
            "E601 6: `hostPath` is not supported on one machine",
            "E102 6: volume 'v' is not unique",
            "E306 9: inputs.artifacts.f path '/mnt/data' already mounted in container.volumeMounts.data",
            "E108 16: mountPath 'mnt/x' is not absolute",
            "E307 16: volume 'dta' is not defined",
        ]
    );
}

#[test]
fn resources_can_be_read() {
    expect(
        "{name: main, container: {image: 'x:1', resources: {requests: {cpu: 4, memory: 1Gi, nvidia.com/gpu: 1}, limits: {cpu: 2000m, memory: lots}}}}",
        &[
            "E408 5: cpu is requested above its limit",
            "W704 5: nvidia.com/gpu is requested without a limit",
            "E308 5: limits.memory: 'lots' is not a quantity: expected a number and one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei",
        ],
    );
    expect("{name: main, container: {image: 'x:1', resources: {limits: {nvidia.com/gpu: 1}}}}", &[]);
}
