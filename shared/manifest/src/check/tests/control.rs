use super::*;

#[test]
fn a_call_names_one_template_that_exists() {
    expect(
        &format!(
            "{{name: main, steps: [[{{name: a}}, {{name: b, template: lfea}}, {{name: c, template: leaf, templateRef: {{name: x, template: t}}}}, {{name: d, templateRef: {{name: x}}}}, {{name: e, template: '{{{{workflow.name}}}}'}}, {{name: e, template: leaf, onExit: gone}}]]}},\n{LEAF}"
        ),
        &[
            "E106 5: template name is required",
            "E104 5: template name 'lfea' undefined",
            "E106 5: template name cannot be specified with templateRef",
            "E106 5: template name is required",
            "E102 5: spec.templates[0].steps[0][5].name 'e' is not unique: line 5 has it too",
            "E104 5: template name 'gone' undefined",
        ],
    );
}

#[test]
fn loops_are_given_in_one_way() {
    let step =
        |fields: &str| format!("{{name: main, steps: [[{{name: a, template: leaf, {fields}}}]]}},\n{LEAF}");
    expect(
        &step("withItems: [1], withSequence: {count: 2}"),
        &["E401 5: only one of withItems, withParam, withSequence can be specified"],
    );
    expect(
        &step("withSequence: {count: 2, end: 3}"),
        &["E401 5: only one of count or end can be defined in withSequence"],
    );
    expect(
        &step("withSequence: {start: 1}"),
        &["E401 5: neither end nor count was specified in withSequence"],
    );
    expect(&step("withSequence: {count: many}"), &["E401 5: withSequence.count 'many' is not an integer"]);
    expect(
        &step("withParam: '{}'"),
        &[
            "E401 5: withParam value could not be parsed as a JSON list: invalid type: map, expected a sequence at line 1 column 0",
        ],
    );
    expect(&step("withParam: '[1, 2]'"), &[]);
    expect(
        &step("withSequence: {count: '{{workflow.parameters.x}}'}"),
        &["E201 5: failed to resolve {{workflow.parameters.x}}"],
    );
}

#[test]
fn conditions_can_be_read() {
    let step = |when: &str| {
        format!("{{name: main, steps: [[{{name: a, template: leaf, when: \"{when}\"}}]]}},\n{LEAF}")
    };
    expect(&step("{{workflow.name}} == a && 1 < 2"), &[]);
    let found = findings(&workflow(&step("two words == x")));
    assert!(found.len() == 1 && found[0].starts_with("E204 5: invalid 'when' expression"), "{found:?}");
    let found = findings(&workflow(&step("{{=steps.}}")));
    assert!(found.len() == 1 && found[0].starts_with("E203 5"), "{found:?}");
}

#[test]
fn a_step_group_has_no_dependencies() {
    expect(
        &format!("{{name: main, steps: [[{{name: a, template: leaf, dependencies: [b]}}]]}},\n{LEAF}"),
        &["E005 5: unknown field \"dependencies\""],
    );
}

#[test]
fn dependencies_exist_and_make_no_circle() {
    let dag = |tasks: &str| format!("{{name: main, dag: {{tasks: [{tasks}]}}}},\n{LEAF}");
    let task = |name: &str, rest: &str| format!("{{name: {name}, template: leaf{rest}}}");
    expect(&dag(""), &["E108 5: templates.main must have at least one task"]);
    expect(
        &dag(&[task("a", ""), task("b", ", dependencies: [x]")].join(",")),
        &["E403 5: dependency 'x' not defined"],
    );
    expect(
        &dag(&[
            task("a", ", dependencies: [c]"),
            task("b", ", dependencies: [a]"),
            task("c", ", dependencies: [b]"),
            task("d", ", dependencies: [c]"),
        ]
        .join(",")),
        &["E402 5: templates.main.tasks dependency cycle detected: a->c->b->a"],
    );
    expect(
        &dag(&task("a", ", depends: a.Failed")),
        &["E402 5: templates.main.tasks dependency cycle detected: a->a"],
    );
    expect(
        &dag(&[
            task("a", ""),
            task("b", ", depends: a.Won"),
            task("c", ", depends: a.AnySucceeded"),
            task("d", ", depends: 'a &&'"),
            task("e", ", dependencies: [a]"),
        ]
        .join(",\n")),
        &[
            "E403 6: depends cannot be read: task result 'Won' for task 'a' is invalid",
            "E403 6: templates.main cannot use both 'depends' and 'dependencies' in the same DAG template",
            "E403 7: dependency 'a' uses an items-based condition such as .AnySucceeded or .AllFailed but does not contain any items",
            "E403 8: depends cannot be read: unexpected end in depends logic 'a &&'",
        ],
    );
    expect(
        &dag(&[task("1a", ""), task("2b", ", dependencies: [1a], continueOn: {failed: true}")].join(",")),
        &["E101 5: task '2b' name cannot begin with a digit when using either 'depends' or 'dependencies'"],
    );
    expect(
        &dag(&[task("a", ""), task("b", ", depends: a, continueOn: {failed: true}")].join(",")),
        &[
            "E403 5: cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'",
        ],
    );
    expect(
        &format!("{{name: main, dag: {{target: 'a z', tasks: [{}]}}}},\n{LEAF}", task("a", "")),
        &["E404 5: templates.main.targets: target 'z' is not defined"],
    );
    expect(
        &dag(&[
            task("a", ", withItems: [1, 2]"),
            task("b", ", depends: 'a.AnySucceeded || (a.Failed && !a.Skipped)'"),
        ]
        .join(",")),
        &[],
    );
}

#[test]
fn retries_can_be_followed() {
    let leaf =
        |strategy: &str| format!("{{name: main, retryStrategy: {strategy}, container: {{image: 'x:1'}}}}");
    expect(
        &leaf(
            "{limit: 3, retryPolicy: Always, backoff: {duration: 10s, factor: 2, cap: 1m, maxDuration: '300'}, expression: 'asInt(lastRetry.exitCode) > 1'}",
        ),
        &[],
    );
    expect(&leaf("{limit: '{{workflow.name}}'}"), &[]);
    expect(
        &leaf("{limit: few, retryPolicy: Never}"),
        &[
            "E406 5: retryStrategy.limit 'few' is not a number of retries",
            "E406 5: Never is not a valid RetryPolicy",
        ],
    );
    expect(
        &leaf("{limit: 1, backoff: {factor: x}}"),
        &[
            "E406 5: no base duration specified for retryStrategy",
            "E406 5: backoff.factor 'x' is not an integer",
        ],
    );
    assert!(
        findings(&workflow(&leaf("{limit: 1, backoff: {duration: soon}}")))[0]
            .starts_with("E407 5: backoff.duration is no duration")
    );
    assert!(findings(&workflow(&leaf("{limit: 1, expression: 'a =='}")))[0].starts_with("E203 5"));
}

#[test]
fn a_suspend_waits_for_a_duration() {
    expect("{name: main, suspend: {duration: 20}}", &[]);
    expect("{name: main, suspend: {duration: 1h30m}}", &[]);
    assert!(
        findings(&workflow("{name: main, suspend: {duration: soon}}"))[0]
            .starts_with("E407 5: suspend has invalid duration format")
    );
}

#[test]
fn a_hook_names_what_it_can_look_at() {
    let hooked = |expression: &str| {
        format!(
            "{{name: main, steps: [[{{name: a, template: leaf, withItems: [p], hooks: {{h: {{template: leaf, expression: {expression}}}}}}}, {{name: b, template: leaf}}], [{{name: c, template: leaf}}]]}},\n{LEAF}"
        )
    };
    for fine in
        ["steps.a.status == 'Running'", "steps.b.status == 'Failed'", "steps['a(0:p)'].status == 'Failed'"]
    {
        expect(&hooked(&format!("\"{fine}\"")), &[]);
    }
    let e202 = "E202 5: failed to resolve {{steps.c.status}}: it is not in an earlier step group";
    expect(&hooked("\"steps.c.status == 'Failed'\""), &[e202]);
    expect(&hooked("\"steps.d.status == 'Failed'\""), &["E201 5: failed to resolve {{steps.d.status}}"]);
    expect(&hooked("\"steps.a.state == 'Failed'\""), &["E201 5: failed to resolve {{steps.a.state}}"]);
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: main\n  hooks: {h: {template: main, expression: steps.a.status == 'Failed' && workflow.status == 'Failed'}}\n  templates: [{name: main, suspend: {}}]\n";
    assert_eq!(findings(text), ["E201 5: failed to resolve {{steps.a.status}}"]);
}

#[test]
fn a_memoized_template_names_its_key_and_its_cache() {
    let memoized = |memoize: &str| {
        format!("{{name: main, memoize: {memoize}, container: {{image: 'busybox:1', command: ['true']}}}}")
    };
    expect(
        &memoized("{key: 'k-{{workflow.name}}', maxAge: 10s, cache: {configMap: {name: c, key: x}}}"),
        &[],
    );
    expect(
        &memoized("{key: -k, maxAge: soon, cache: {}}"),
        &[
            "E409 5: templates.main.memoize names no cache",
            "E409 5: templates.main.memoize: invalid cache key: \"-k\"",
            "E407 5: templates.main.memoize: invalid maxAge: time: invalid duration \"soon\"",
        ],
    );
}

#[test]
fn a_lock_has_a_name_stands_once_in_a_block_and_is_kept_in_no_database() {
    let locks = |block: &str| {
        format!("{{name: main, synchronization: {{{block}}}, container: {{image: 'busybox:1'}}}}")
    };
    let at = "spec.templates[0].synchronization";
    expect(
        &locks(
            "mutexes: [{name: x}, {name: other, namespace: other}], semaphores: [{configMapKeyRef: {name: a, key: b}}]",
        ),
        &[],
    );
    for (block, finding) in [
        (
            "mutexes: [{name: x}, {name: x}]",
            format!("E102 5: {at}.mutexes[1]: duplicate synchronization item found"),
        ),
        ("mutexes: [{namespace: other}]", format!("E108 5: {at}.mutexes[0].name is required")),
        (
            "semaphores: [{configMapKeyRef: {name: a}}]",
            format!("E108 5: {at}.semaphores[0]: configMapKeyRef with `name` and `key` is required"),
        ),
        ("mutexes: [{name: d, database: true}]", "E601 5: `database` is not supported yet".to_owned()),
        ("semaphores: [{database: {key: d}}]", "E601 5: `database` is not supported yet".to_owned()),
    ] {
        expect(&locks(block), &[finding.as_str()]);
    }
}
