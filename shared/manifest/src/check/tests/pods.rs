use super::*;

#[test]
fn a_container_set_is_checked_in_argos_words() {
    expect(
        "{name: main, containerSet: {containers: [{name: a, image: 'x:1', dependencies: [b]}, {name: b, image: 'x:1', dependencies: [a]}, {name: c, image: 'x:1', dependencies: [d]}, {name: c, image: 'x:1'}]}},
{name: b, containerSet: {containers: [{name: wait, image: 'x:1'}, {image: 'x:1'}, {name: a_b, image: 'x:1'}]}},
{name: c, containerSet: {containers: [], volumeMounts: [{name: v, mountPath: /v}]}},
{name: d, outputs: {parameters: [{name: o, valueFrom: {path: /o}}]}, containerSet: {containers: [{name: a, image: 'x:1'}], retryStrategy: {duration: 5, retries: x}}}",
        &[
            "E402 5: templates.main.containerSet.containers dependency cycle detected: a->b->a",
            "E403 5: templates.main.containerSet.containers.c dependency 'd' not defined",
            "E102 5: templates.main.containerSet.containers[3].name 'c' is not unique",
            "E101 6: templates.b.containerSet.containers: \"wait\" is a reserved Argo container name",
            "E101 6: templates.b.containerSet.containers[1].name is required",
            "E101 6: templates.b.containerSet.containers[2].name: 'a_b' is invalid: name must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character",
            "E108 7: templates.c.containerSet.containers must have at least one container",
            "E108 8: templates.d.containerSet.containers must have a container named \"main\" for input or output",
            "E406 8: templates.d.containerSet.retryStrategy.retries \"x\" is no whole number",
            "E407 8: templates.d.containerSet.retryStrategy has invalid duration format: time: missing unit in duration \"5\"",
        ],
    );
}

#[test]
fn containers_before_and_beside_the_main_one_have_names_and_mounts_that_exist() {
    expect(
        "{name: main, container: {image: 'x:1'}, initContainers: [{image: 'x:1'}, {name: main, image: 'x:1'}], sidecars: [{name: supervisor, image: 'x:1'}, {name: ../s, image: 'x:1'}, {name: s, image: 'x:1', volumeMounts: [{name: v, mountPath: /v}]}]}",
        &[
            "E102 5: templates.main.container.name 'main' is not unique",
            "E108 5: initContainers must all have container name",
            "E101 5: templates.main.sidecars: \"supervisor\" is a reserved Argo container name",
            "E101 5: templates.main.sidecars[1].name: '../s' is invalid: name must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character",
            "E307 5: volume 'v' is not defined",
        ],
    );
}

#[test]
fn a_field_of_another_kind_of_container_is_unknown() {
    expect(
        "{name: main, container: {image: 'x:1', dependencies: [a], mirrorVolumeMounts: true}},
{name: b, containerSet: {containers: [{name: a, image: 'x:1', mirrorVolumeMounts: true, source: x}]}}",
        &[
            "E005 5: unknown field \"dependencies\"",
            "E005 5: unknown field \"mirrorVolumeMounts\"",
            "E005 6: unknown field \"mirrorVolumeMounts\"",
            "E005 6: unknown field \"source\"",
        ],
    );
}

#[test]
fn a_daemon_is_a_pod_and_its_probe_asks_in_one_way() {
    expect(
        "{name: main, daemon: true, steps: []},
{name: b, daemon: true, container: {image: 'x:1', readinessProbe: {periodSeconds: 1}}},
{name: c, daemon: true, container: {image: 'x:1', readinessProbe: {httpGet: {port: http}, initialDelaySeconds: 2}}}",
        &[
            "E107 5: templates.main.daemon has no meaning in a template without a container",
            "E108 6: a probe asks in exactly one way: exec, httpGet or tcpSocket",
        ],
    );
}

#[test]
fn pending_timeout_is_a_duration_of_a_leaf() {
    expect(
        "{name: main, pendingTimeout: 5s, steps: []},
{name: b, pendingTimeout: soon, container: {image: 'x:1'}},
{name: c, pendingTimeout: '30', suspend: {}}",
        &[
            "E107 5: templates.main steps template doesn't support pendingTimeout field",
            "E407 6: templates.b has invalid duration format in pendingTimeout: unable to parse soon as a duration: time: invalid duration \"soon\"",
        ],
    );
}

#[test]
fn only_a_daemon_has_an_address() {
    let call = |template: &str| {
        format!(
            "[{{name: s, template: {template}}}], [{{name: c, template: echo, arguments: {{parameters: [{{name: m, value: '{{{{steps.s.ip}}}}'}}]}}}}]"
        )
    };
    let of = |template: &str| {
        format!(
            "{{name: main, steps: [{}]}},\n{{name: d, daemon: true, container: {{image: 'x:1'}}}},\n{{name: p, container: {{image: 'x:1'}}}},\n{ECHO}",
            call(template)
        )
    };
    expect(&of("d"), &[]);
    expect(&of("p"), &["E201 5: failed to resolve {{steps.s.ip}}"]);
}
