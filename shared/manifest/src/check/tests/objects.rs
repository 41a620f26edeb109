use super::*;

#[test]
fn a_sound_workflow_has_no_findings() {
    expect(
        &format!(
            "{{name: main, steps: [[{{name: a, template: leaf}}], [{{name: b, template: echo, arguments: {{parameters: [{{name: m, value: '{{{{steps.a.outputs.parameters.o}}}}'}}]}}}}]]}},\n{ECHO}, {LEAF}"
        ),
        &[],
    );
}

#[test]
fn entrypoint_is_required_and_defined() {
    let text =
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  templates: [{name: main, suspend: {}}]\n";
    assert_eq!(findings(text), ["E103 3: spec.entrypoint is required"]);
    let text = text.replace("templates:", "entrypoint: mian\n  templates:");
    assert_eq!(findings(&text), ["E104 4: template name 'mian' undefined"]);
    assert_eq!(remedies(&text), ["did you mean `main`?"]);
    let at_rest = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: a}\nspec: {templates: [{name: main, suspend: {}}]}\n";
    assert_eq!(findings(at_rest), [""; 0]);
}

#[test]
fn names_are_allowed_and_stand_once() {
    expect(
        "{name: main, suspend: {}},\n{name: main, suspend: {}},\n{name: a b, suspend: {}},\n{suspend: {}}",
        &[
            "E102 6: spec.templates[1].name 'main' is not unique: line 5 has it too",
            "E101 7: spec.templates[2].name: 'a b' must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character",
            "E101 8: spec.templates[3].name: '' is required",
        ],
    );
    let object = |kind: &str, name: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{schedules: ['@daily'], workflowSpec: {{entrypoint: m, templates: [{{name: m, suspend: {{}}}}]}}}}\n"
        )
    };
    let long = "a".repeat(53);
    assert_eq!(
        findings(&object("CronWorkflow", &long)),
        [format!(
            "E101 3: CronWorkflow name \"{long}\" must not be more than 52 characters long (currently 53)"
        )]
    );
    assert!(findings(&object("CronWorkflow", "Upper"))[0].starts_with("E101 3"));
    let twice = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: a}\nspec: {templates: [{name: m, suspend: {}}]}\n";
    assert_eq!(
        findings(&format!("{twice}---\n{twice}")),
        ["E102 8: WorkflowTemplate 'a' is not unique: it is also defined in f.yaml:3"]
    );
}

#[test]
fn a_template_has_exactly_one_body() {
    expect(
        "{name: main},\n{name: b, suspend: {}, container: {image: 'x:1'}}",
        &[
            "E105 5: templates.main template type unspecified. choose one of: container, containerSet, script, steps, dag, suspend",
            "E105 6: templates.b multiple template types specified. choose one of: container, suspend",
        ],
    );
}

#[test]
fn a_field_of_another_kind_of_template_is_an_error() {
    expect(
        "{name: main, activeDeadlineSeconds: 5, timeout: 5s, parallelism: 0, steps: []},\n{name: b, parallelism: 2, activeDeadlineSeconds: 0, timeout: '5', container: {image: 'x:1'}},\n{name: c, activeDeadlineSeconds: '{{inputs.parameters.d}}', inputs: {parameters: [{name: d}]}, container: {image: 'x:1'}}",
        &[
            "E107 5: templates.main.activeDeadlineSeconds is only valid for leaf templates",
            "E107 5: templates.main steps template doesn't support timeout field",
            "E408 5: templates.main.parallelism must be at least 1",
            "E107 6: templates.b.parallelism is only valid for steps and dag templates",
            "E408 6: templates.b.activeDeadlineSeconds must be a positive integer > 0 or an argo variable",
            "E407 6: templates.b has invalid duration format in timeout: time: missing unit in duration \"5\"",
        ],
    );
}

#[test]
fn what_is_not_supported_yet_is_refused_with_what_is() {
    let text = workflow(
        "{name: main, plugin: {x: {}}},\n{name: b, hostAliases: [{ip: a}], sidecars: [{name: s, image: 'x:1', lifecycle: {}}], container: {image: 'x:1'}},\n{name: c, daemon: false, sidecars: [], container: {image: 'x:1', lifecycle: {}}},\n{name: d, inputs: {artifacts: [{name: a, path: /a, hdfs: {path: /r}, mode: 1}]}, container: {image: 'x:1'}}",
    );
    assert_eq!(
        findings(&text),
        [
            "E601 5: `plugin` is not supported yet",
            "E601 6: `hostAliases` is not supported on one machine",
            "E601 6: `lifecycle` is not supported on one machine",
            "E601 7: `lifecycle` is not supported on one machine",
            "E601 8: `hdfs` is not supported yet",
        ]
    );
    assert!(remedies(&text).iter().all(|remedy| !remedy.is_empty()));
    let pods = Options { pods: true, ..Options::default() };
    let everywhere = ["E601 5: `plugin` is not supported yet", "E601 8: `hdfs` is not supported yet"];
    assert_eq!(findings_with(&text, &pods), everywhere);
}

#[test]
fn what_a_pod_can_be_is_no_finding_where_steps_are_pods() {
    let text = workflow(
        "{name: main, nodeSelector: {a: b}, podSpecPatch: '{hostname: h}', volumes: [{name: vol, nfs: {server: s, path: /}}], container: {image: 'x:1'}}",
    );
    let here = [
        "N802 5: `nodeSelector` means nothing on one machine",
        "E601 5: `hostname` of a podSpecPatch is not supported on one machine",
        "E601 5: `nfs` is not supported on one machine",
    ];
    let mut found = findings(&text);
    found.sort();
    let mut wanted = here.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(found, wanted);
    let pods = Options { pods: true, ..Options::default() };
    assert_eq!(findings_with(&text, &pods), Vec::<String>::new());
}

#[test]
fn hooks_need_an_expression_and_cluster_templates_are_accepted() {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: main\n  hooks:\n    exit: {template: main}\n    running: {template: main, expression: 'true'}\n    bad: {template: main}\n  templates: [{name: main, suspend: {}}]\n";
    assert_eq!(findings(text), ["E405 8: hook bad: Expression required"]);
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: ClusterWorkflowTemplate\nmetadata: {name: a}\nspec: {templates: [{name: m, suspend: {}}]}\n";
    assert!(findings(text).is_empty());
}

#[test]
fn fields_that_place_pods_are_accepted() {
    let text = workflow(
        "{name: main, nodeSelector: {a: b}, tolerations: [{key: k}], metadata: {labels: {a: b}}, serviceAccountName: s, metrics: {prometheus: []}, container: {image: 'x:1', imagePullPolicy: Always}}",
    );
    assert_eq!(findings(&text), ["N802 5: `nodeSelector` means nothing on one machine"]);
}

#[test]
fn documents_of_one_call_know_each_other() {
    let library = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: library}\nspec: {templates: [{name: train, inputs: {parameters: [{name: rate}]}, container: {image: 'x:1', args: ['{{inputs.parameters.rate}}']}}]}\n---\n";
    let caller = workflow(
        "{name: main, steps: [[{name: a, templateRef: {name: library, template: train}}], [{name: b, templateRef: {name: library, template: tain}}], [{name: c, templateRef: {name: other, template: x}}]]}",
    );
    assert_eq!(
        findings(&format!("{library}{caller}")),
        [
            "E302 10: templates.train inputs.parameters.rate was not supplied",
            "E104 10: template reference library.tain not found",
            "E104 10: template reference other.x not found",
        ]
    );
    let elsewhere = Options { stored_elsewhere: true, ..Options::default() };
    assert_eq!(findings_with(&caller, &elsewhere), [""; 0]);
}

#[test]
fn stored_templates_read_arguments_of_the_workflow_that_runs_them() {
    let library = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: lib}\nspec: {entrypoint: outer, templates: [{name: outer, steps: [[{name: i, template: inner}]]}, {name: inner, container: {image: 'x:1', args: ['{{workflow.parameters.rate}}']}}]}\n---\n";
    let wanted = "failed to resolve {{workflow.parameters.rate}}, which template 'inner' of 'lib' reads";
    let by_call = workflow("{name: main, steps: [[{name: a, templateRef: {name: lib, template: outer}}]]}");
    assert_eq!(findings(&format!("{library}{by_call}")), [format!("E201 10: {wanted}")]);
    let by_reference =
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  workflowTemplateRef: {name: lib}\n";
    assert_eq!(findings(&format!("{library}{by_reference}")), [format!("E201 9: {wanted}")]);
    let given = by_reference.replace("spec:", "spec:\n  arguments: {parameters: [{name: rate, value: 1}]}");
    assert_eq!(findings(&format!("{library}{given}")), [""; 0]);
}

#[test]
fn a_workflow_takes_what_its_template_defines() {
    let library = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: lib}\nspec: {entrypoint: main, arguments: {parameters: [{name: p}]}, templates: [{name: main, inputs: {parameters: [{name: p}]}, container: {image: 'x:1', args: ['{{inputs.parameters.p}}']}}]}\n---\n";
    let run = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {workflowTemplateRef: {name: lib}}\n";
    assert_eq!(findings(&format!("{library}{run}")), [""; 0]);
    let submit = Options { submit: true, ..Options::default() };
    assert_eq!(
        findings_with(&format!("{library}{run}"), &submit),
        ["E301 8: spec.arguments.p.value or spec.arguments.p.valueFrom is required"]
    );
    let given = Options { given: ["p".to_owned()].into(), ..submit };
    assert_eq!(findings_with(&format!("{library}{run}"), &given), [""; 0]);
    assert_eq!(findings(run), ["E104 3: workflow template 'lib' not found"]);
    let both = run.replace("{name: lib}", "{name: lib}, templates: [{name: a, suspend: {}}]");
    assert_eq!(
        findings(&format!("{library}{both}")),
        ["E107 8: Templates is invalid field in spec if workflow referred WorkflowTemplate reference"]
    );
}

#[test]
fn schedules_zones_and_policies_are_checked() {
    let cron = |fields: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {{name: c, annotations: {{dropforge.dev/missed-ticks: latest}}}}\nspec:\n  workflowSpec: {{entrypoint: m, templates: [{{name: m, suspend: {{}}}}]}}\n  {fields}\n"
        )
    };
    for good in ["0 6 * * *", "*/5 0-6,22 1 JAN-MAR mon", "@hourly", "@every 1h30m", "0 0 ? * 0"] {
        assert_eq!(findings(&cron(&format!("schedules: ['{good}']"))), [""; 0], "{good}");
    }
    for bad in [
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "@sometimes",
        "@every 5",
        "a * * * *",
        "",
    ] {
        assert!(findings(&cron(&format!("schedules: ['{bad}']")))[0].starts_with("E501 6"), "{bad}");
    }
    assert_eq!(findings(&cron("schedules: []")), ["E501 6: cron workflow must have at least one schedule"]);
    let text = cron(
        "schedules: ['@daily']\n  timezone: Europe/Atlantis\n  concurrencyPolicy: Queue\n  startingDeadlineSeconds: -1\n  when: x\n  stopStrategy: {expression: 'a =='}",
    );
    let found = findings(&text.replace("latest", "some"));
    assert_eq!(found[0], "E503 3: 'some' is not one of all, latest, none");
    assert_eq!(found[1], "E502 7: invalid timezone \"Europe/Atlantis\": unknown time zone Europe/Atlantis");
    assert_eq!(found[2], "E503 8: 'Queue' is not a valid concurrencyPolicy");
    assert_eq!(found[3], "E408 9: startingDeadlineSeconds must be positive");
    assert!(found[4].starts_with("E203 11"), "{found:?}");
    assert_eq!(
        findings(
            &cron("schedules: ['@daily']")
                .replace("entrypoint: m,", "entrypoint: m, arguments: {parameters: [{name: p}]},")
        )[0],
        "E301 5: spec.arguments.p.value or spec.arguments.p.valueFrom is required"
    );
}

#[test]
fn triggers_are_checked() {
    let trigger = |spec: &str| {
        format!(
            "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: t}}\nspec:\n  workflow: {{entrypoint: m, arguments: {{parameters: [{{name: key}}]}}, templates: [{{name: m, inputs: {{parameters: [{{name: key}}]}}, container: {{image: 'x:1', args: ['{{{{inputs.parameters.key}}}}']}}}}]}}\n{spec}"
        )
    };
    let good = trigger(
        "  arguments: {parameters: [{name: key, value: '{{trigger.key}}'}]}\n  s3: {bucket: uploads, prefix: churn/, debounce: 2s, batch: {count: 10, window: 5m}}\n  concurrencyPolicy: Queue\n  maxActive: 2\n",
    );
    assert_eq!(findings(&good), [""; 0]);
    let bad = trigger(
        "  arguments: {parameters: [{name: key, value: '{{trigger.kye}}'}, {name: other, value: '{{inputs.parameters.x}}'}]}\n  s3: {bucket: 's3://uploads/churn', prefix: '{{trigger.key}}', debounce: '2', batch: {count: 0, window: soon}}\n  concurrencyPolicy: Sometimes\n  maxActive: 0\n  workflowTemplateRef: {name: x}\n",
    );
    let found = findings(&bad);
    for expected in [
        "E505 6: failed to resolve {{trigger.kye}}",
        "E505 6: failed to resolve {{inputs.parameters.x}}",
        "E504 7: 's3://uploads/churn' is not a bucket name",
        "E505 7: failed to resolve {{trigger.key}}",
        "E504 7: count must be greater than 0",
        "E503 8: 'Sometimes' is not a valid concurrencyPolicy",
        "E504 9: maxActive must be at least 1",
        "E504 5: only one of workflowTemplateRef and workflow can be specified",
    ] {
        assert!(found.contains(&expected.to_owned()), "{expected}: {found:#?}");
    }
    assert_eq!(found.iter().filter(|f| f.starts_with("E407 7")).count(), 2, "{found:#?}");
    let open = trigger("  s3: {bucket: uploads}\n");
    assert_eq!(
        findings(&open),
        ["E301 5: spec.arguments.key.value or spec.arguments.key.valueFrom is required"]
    );
    let none = "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {name: t}\nspec: {s3: {}}\n";
    assert_eq!(
        findings(none),
        ["E504 4: one of workflowTemplateRef and workflow is required", "E504 4: spec.s3.bucket is required"]
    );
}

#[test]
fn a_trigger_that_would_start_itself_is_an_error() {
    let trigger = |s3: &str, key: &str| {
        format!(
            "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: t}}\nspec:\n  s3: {s3}\n  workflow: {{entrypoint: m, templates: [{{name: m, container: {{image: 'x:1'}}, outputs: {{artifacts: [{{name: model, path: /m, s3: {{bucket: data, key: '{key}'}}}}]}}}}]}}\n"
        )
    };
    let message = |key: &str| {
        format!(
            "E506 6: the output 'model' of template 'm' is written to s3://data/{key}, where this trigger looks: each run would start another"
        )
    };
    for (s3, key) in [
        ("{bucket: data}", "models/m"),
        ("{bucket: data, prefix: in/}", "in/{{workflow.name}}/m.csv"),
        ("{bucket: data, prefix: in/, suffix: .csv}", "in/{{workflow.name}}.csv"),
    ] {
        assert_eq!(findings(&trigger(s3, key)), [message(key)], "{s3} {key}");
    }
    for (s3, key) in [
        ("{bucket: other}", "models/m"),
        ("{bucket: data, prefix: in/}", "out/m"),
        ("{bucket: data, prefix: in/, suffix: .csv}", "in/{{workflow.name}}.joblib"),
    ] {
        assert_eq!(findings(&trigger(s3, key)), [""; 0], "{s3} {key}");
    }
    let library = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: lib}\nspec: {entrypoint: m, templates: [{name: m, container: {image: 'x:1'}, outputs: {artifacts: [{name: model, path: /m, s3: {bucket: data, key: in/m}}]}}]}\n---\n";
    let by_reference = "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {name: t}\nspec:\n  s3: {bucket: data, prefix: in/}\n  workflowTemplateRef: {name: lib}\n";
    assert!(findings(&format!("{library}{by_reference}"))[0].starts_with("E506 11"));
}

#[test]
fn names_of_steps_and_of_output_artifacts_may_hold_tags() {
    expect(
        "{name: main, inputs: {parameters: [{name: s, value: v}]}, steps: [[{name: 'a-{{inputs.parameters.s}}', template: leaf, arguments: {parameters: [{name: s, value: v}]}}, {name: '-{{inputs.parameters.s}}', template: leaf, arguments: {parameters: [{name: s, value: v}]}}]]},\n{name: leaf, inputs: {parameters: [{name: s}]}, outputs: {artifacts: [{name: 'f-{{inputs.parameters.s}}', path: /f}]}, container: {image: 'x:1', args: ['{{inputs.parameters.s}}']}}",
        &[
            "E101 5: spec.templates[0].steps[0][1].name '-{{inputs.parameters.s}}' must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character",
        ],
    );
}

#[test]
fn volumes_of_a_workflow_may_name_steps_and_tasks() {
    let of = |tag: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{generateName: v-}}\nspec:\n  entrypoint: main\n  volumes: [{{name: v, configMap: {{name: '{{{{{tag}}}}}', optional: true}}}}]\n  templates: [{{name: main, container: {{image: 'x:1'}}}}]\n"
        )
    };
    assert_eq!(findings(&of("tasks.a.outputs.parameters.name")), Vec::<String>::new());
    assert_eq!(findings(&of("inputs.parameters.x")).len(), 1);
}
