use super::*;

#[test]
fn an_image_names_its_version() {
    let leaf = |image: &str| format!("{{name: main, container: {{image: '{image}'}}}}");
    for good in ["python:3.12", "registry:5000/team/python:3.12", "python@sha256:0123", "{{workflow.name}}"] {
        expect(&leaf(good), &[]);
    }
    expect(
        &leaf("python"),
        &["W701 5: image 'python' has no tag, which means `latest`: tomorrow's run may get another image"],
    );
    expect(
        &leaf("registry:5000/python"),
        &[
            "W701 5: image 'registry:5000/python' has no tag, which means `latest`: tomorrow's run may get another image",
        ],
    );
    expect(
        &leaf("python:latest"),
        &["W701 5: image 'python:latest' is `latest`: tomorrow's run may get another image"],
    );
}

#[test]
fn a_script_reads_no_arguments() {
    let script = |command: &str, source: &str| {
        format!("{{name: main, script: {{image: 'x:1', command: [{command}], source: \"{source}\"}}}}")
    };
    expect(
        &script("python", "import sys; print(sys.argv[1])"),
        &["W707 5: the script reads sys.argv, but a script template is given only its own file"],
    );
    expect(
        &script("node", "console.log(process.argv)"),
        &["W707 5: the script reads process.argv, but a script template is given only its own file"],
    );
    expect(
        &script("bash", "echo $1"),
        &["W707 5: the script reads $1, but a script template is given only its own file"],
    );
    expect(
        &script("/bin/sh", "echo ${1:-x}"),
        &["W707 5: the script reads ${1:-x}, but a script template is given only its own file"],
    );
    expect(&script("sh", "awk '{print $1}' f"), &[]);
    expect(&script("sh", "f() { echo $1; }; f x"), &[]);
    expect(&script("python", "print('$1')"), &[]);
}

#[test]
fn a_path_under_mnt_is_provided() {
    let leaf = |more: &str| {
        format!(
            "{{name: main, container: {{image: 'x:1', command: [sh, -c, 'cat /mnt/data/a >/mnt/data/b; ls /mnt/other']{more}}}}}"
        )
    };
    expect(
        &leaf(""),
        &[
            "W708 5: /mnt/data/a is used, but no volume or input artifact of this template provides /mnt/data",
            "W708 5: /mnt/other is used, but no volume or input artifact of this template provides /mnt/other",
        ],
    );
    expect(
        "{name: main, volumes: [{name: v, emptyDir: {}}], container: {image: 'x:1', args: [/mnt/data/x, /mnt/in.csv], volumeMounts: [{name: v, mountPath: /mnt/data}]}, inputs: {artifacts: [{name: i, path: /mnt/in.csv, raw: {data: x}}]}}",
        &[],
    );
    // The step makes the folder and leaves an output in it.
    expect(
        "{name: main, container: {image: 'x:1', args: ['mkdir /mnt/out; echo 1 > /mnt/out/a']}, outputs: {artifacts: [{name: o, path: /mnt/out/a}]}}",
        &[],
    );
}

#[test]
fn inputs_and_arguments_are_read() {
    expect(
        "{name: main, inputs: {parameters: [{name: rate, default: 1}, {name: rate-2, default: 1}, {name: c-d, default: 1}]}, container: {image: 'x:1', args: ['{{inputs.parameters.rate-2}}', \"{{=inputs.parameters['c-d']}}\"]}}",
        &["W702 5: nothing in template 'main' reads its input 'rate'"],
    );
}

#[test]
fn an_output_that_may_not_exist_has_a_default() {
    let consumer = |value: &str, rest: &str| {
        workflow(&format!(
            "{{name: main, steps: [[{{name: a, template: leaf, when: '{{{{workflow.name}}}} == x'}}], [{{name: b, template: echo{rest}, arguments: {{parameters: [{{name: m, value: \"{value}\"}}]}}}}]]}},\n{ECHO}, {LEAF}"
        ))
    };
    let tag = "{{steps.a.outputs.parameters.o}}";
    let warning = format!("W706 5: 'a' may be skipped by its `when`, and then {tag} does not exist");
    assert_eq!(findings(&consumer(tag, "")), [warning]);
    assert_eq!(findings(&consumer("{{=steps.a.outputs.parameters.o ?? 'x'}}", "")), [""; 0]);
    assert_eq!(findings(&consumer("{{steps.a.status}}", "")), [""; 0]);
    assert_eq!(findings(&consumer(tag, ", when: '{{steps.a.status}} == Succeeded'")), [""; 0]);
    let defaulted =
        consumer(tag, "").replace("valueFrom: {path: /tmp/o}", "valueFrom: {path: /tmp/o, default: x}");
    assert_eq!(findings(&defaulted), [""; 0]);
    let defaulted = consumer(tag, "")
        .replace("inputs: {parameters: [{name: m}]}", "inputs: {parameters: [{name: m, default: x}]}");
    assert_eq!(findings(&defaulted), [""; 0]);
}

fn recursion(inner: &str) -> Vec<String> {
    findings(&workflow(&format!(
        "{{name: main, inputs: {{parameters: [{{name: i, default: 0}}]}}, steps: [[{{name: work, template: echo, arguments: {{parameters: [{{name: m, value: '{{{{inputs.parameters.i}}}}'}}]}}}}],\n[{{name: again, template: main, {inner}}}]]}},\n{ECHO}"
    )))
}

#[test]
fn a_recursion_without_a_condition_is_found() {
    assert_eq!(
        recursion(""),
        [
            "W705 6: 'main' calls 'main' again without a condition: the recursion ends only at its depth limit of 100"
        ]
    );
}

#[test]
fn a_condition_that_never_changes_is_found() {
    let same = |when: &str| {
        format!(
            "W705 6: the condition '{when}' is the same in every round: the recursion ends at once or at its depth limit of 100"
        )
    };
    assert_eq!(recursion("when: '1 < 2'"), [same("1 < 2")]);
    let when = "{{inputs.parameters.i}} < 5";
    assert_eq!(
        recursion(&format!(
            "when: '{when}', arguments: {{parameters: [{{name: i, value: '{{{{inputs.parameters.i}}}}'}}]}}"
        )),
        [same(when)]
    );
}

#[test]
fn a_condition_that_changes_is_fine() {
    assert_eq!(recursion("when: '{{steps.work.outputs.result}} == tails'"), [""; 0]);
    assert_eq!(
        recursion(
            "when: '{{inputs.parameters.i}} < 5', arguments: {parameters: [{name: i, value: '{{=asInt(inputs.parameters.i) + 1}}'}]}"
        ),
        [""; 0]
    );
    assert_eq!(
        recursion(
            "when: '{{steps.work.outputs.result}} < 5', arguments: {parameters: [{name: i, value: '{{steps.work.outputs.result}}'}]}"
        ),
        [""; 0]
    );
}

#[test]
fn a_counter_that_begins_anew_each_round_is_found() {
    let text = |given: &str| {
        workflow(&format!(
            "{{name: main, inputs: {{parameters: [{{name: i, default: 0}}]}}, steps: [[{{name: count, template: echo, arguments: {{parameters: [{{name: m, value: '{given}'}}]}}}}],\n[{{name: again, template: main, when: '{{{{steps.count.outputs.result}}}} < 5', arguments: {{parameters: [{{name: i, value: '{{{{steps.count.outputs.result}}}}'}}]}}}}]]}},\n{ECHO}"
        ))
    };
    assert_eq!(findings(&text("{{inputs.parameters.i}}")), [""; 0]);
    let found = findings(&text("{{workflow.name}}"));
    assert!(found.contains(&"W705 5: the recursion of 'main' is to end by what 'count' computes, but 'count' is given nothing that changes from round to round".to_owned()), "{found:?}");
}

#[test]
fn two_templates_that_call_each_other_are_a_recursion_and_one_condition_bounds_both() {
    let pair = |when: &str| {
        workflow(&format!(
            "{{name: main, steps: [[{{name: a, template: other}}]]}},\n{{name: other, steps: [[{{name: s, template: leaf}}], [{{name: b, template: main{when}}}]]}},\n{{name: outside, steps: [[{{name: c, template: main}}]]}},\n{LEAF}"
        ))
    };
    assert_eq!(
        findings(&pair("")),
        [
            "W705 5: 'main' calls 'other' again without a condition: the recursion ends only at its depth limit of 100",
            "W705 6: 'other' calls 'main' again without a condition: the recursion ends only at its depth limit of 100",
        ]
    );
    assert_eq!(findings(&pair(", when: '{{steps.s.outputs.result}} == x'")), [""; 0]);
}
