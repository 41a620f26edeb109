use dropforge_engine::spec::{Packed, PackedCode, PackedEnvironment};

use super::*;

fn workflow(spec: &str) -> Workflow {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "wf-"},
        "spec": serde_json::from_str::<serde_json::Value>(spec).unwrap(),
    }))
    .unwrap()
}

fn born(spec: &str, parameters: &[(&str, &str)]) -> Result<RunSpec, BirthError> {
    let overrides = Overrides {
        parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..Overrides::default()
    };
    let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "me".to_owned() };
    run_spec(
        workflow(spec),
        &Library::default(),
        &Site::default(),
        &overrides,
        &identity,
        cause,
        Timestamp::UNIX_EPOCH,
    )
}

const MAIN: &str = r#""entrypoint":"m","templates":[{"name":"m","container":{"image":"x"}}]"#;

#[test]
fn a_generated_name_and_given_parameters_reach_the_spec() {
    let spec = format!(r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"a","value":"1"}}]}}}}"#);
    let run = born(&spec, &[("a", "2"), ("b", "3")]).unwrap();
    assert_eq!(run.name(), "wf-abcde");
    let values: Vec<_> = run.spec.arguments.parameters.iter().map(|p| p.value.clone().unwrap().0).collect();
    assert_eq!(values, ["2", "3"]);
}

#[test]
fn the_beginning_of_a_generated_name_is_cut_as_kubernetes_does_it() {
    let mut long = workflow(&format!("{{{MAIN}}}"));
    long.metadata.generate_name = Some(format!("{}-", "a".repeat(70)));
    let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
    let (overrides, cause) = (Overrides::default(), Cause::Person { by: "me".to_owned() });
    let (library, site, now) = (Library::default(), Site::default(), Timestamp::UNIX_EPOCH);
    let run = run_spec(long, &library, &site, &overrides, &identity, cause.clone(), now);
    let run = run.and_then(validated).unwrap();
    assert_eq!(run.name(), format!("{}abcde", "a".repeat(58)));
    let named =
        RunSpec { metadata: ObjectMeta { generate_name: None, ..run.metadata.clone() }, ..run.clone() };
    for old in [run, named] {
        let again = resubmitted(&old, &overrides, &identity, cause.clone(), now).and_then(validated);
        assert_eq!(again.unwrap().name(), old.name());
    }
}

#[test]
fn what_argo_refuses_as_a_whole_is_not_born_and_stored_templates_are_known_to_it() {
    let step = |name: &str| format!(r#"{{"name":"s","templateRef":{{"name":"{name}","template":"t"}}}}"#);
    let spec = |name: &str| {
        format!(r#"{{"entrypoint":"m","templates":[{{"name":"m","steps":[[{}]]}}]}}"#, step(name))
    };
    let mut library = Library::default();
    let stored = object(serde_json::json!({"templates": [{"name": "t", "container": {"image": "x"}}]}));
    library.add(false, "there", &ObjectMeta::default(), stored);
    let birth = |name: &str| born_from(&spec(name), &library).and_then(validated);
    assert_eq!(birth("there").unwrap().library.len(), 1);
    let why = birth("nowhere").unwrap_err().to_string();
    assert_eq!(
        why,
        "invalid spec: templates.m.steps[0].s couldn't find workflow template \"nowhere\" in namespace \"\""
    );
}

#[test]
fn a_parameter_without_value_or_outside_its_enum_is_named() {
    let none = format!(r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"a"}}]}}}}"#);
    assert!(matches!(born(&none, &[]), Err(BirthError::NoValue { name }) if name == "a"));
    let listed = format!(r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"a","enum":["x"]}}]}}}}"#);
    assert!(matches!(born(&listed, &[("a", "y")]), Err(BirthError::NotInEnum { .. })));
}

fn object(spec: serde_json::Value) -> WorkflowSpec {
    serde_json::from_value(spec).unwrap()
}

fn born_from(spec: &str, library: &Library) -> Result<RunSpec, BirthError> {
    born_at(spec, library, &Site::default())
}

fn born_at(spec: &str, library: &Library, site: &Site) -> Result<RunSpec, BirthError> {
    let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "me".to_owned() };
    run_spec(workflow(spec), library, site, &Overrides::default(), &identity, cause, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_run_takes_the_stored_templates_that_it_reaches_each_of_its_kind() {
    let call = |name: &str, cluster: bool| serde_json::json!({"name": "a", "templateRef": {"name": name, "template": "t", "clusterScope": cluster}});
    let steps = |call: serde_json::Value| {
        object(serde_json::json!({"entrypoint": "t", "templates": [{"name": "t", "steps": [[call]]}]}))
    };
    let leaf = || object(serde_json::json!({"templates": [{"name": "t", "container": {"image": "x"}}]}));
    let inline = serde_json::json!({"name": "i", "inline": {"steps": [[call("one", true)]]}});
    let library = Library {
        namespaced: [("one".to_owned(), leaf()), ("two".to_owned(), steps(inline))].into(),
        cluster: [("one".to_owned(), steps(call("three", true))), ("three".to_owned(), leaf())].into(),
        ..Library::default()
    };
    let run = born_from(r#"{"workflowTemplateRef":{"name":"two"}}"#, &library).unwrap();
    assert_eq!(run.library.keys().collect::<Vec<_>>(), ["cluster/one", "cluster/three"]);
    assert_eq!(run.metadata.labels["workflows.argoproj.io/workflow-template"], "two");
    let run = born_from(r#"{"workflowTemplateRef":{"name":"one","clusterScope":true}}"#, &library).unwrap();
    assert_eq!(run.library.keys().collect::<Vec<_>>(), ["cluster/three"]);
    assert_eq!(run.metadata.labels["workflows.argoproj.io/cluster-workflow-template"], "one");
    let why = born_from(r#"{"workflowTemplateRef":{"name":"two","clusterScope":true}}"#, &library);
    let why = why.unwrap_err().to_string();
    assert!(why.contains("no ClusterWorkflowTemplate \"two\" in the store"), "{why}");
}

#[test]
fn a_missing_stored_template_is_named() {
    let why = born(r#"{"workflowTemplateRef":{"name":"gone"}}"#, &[]).unwrap_err().to_string();
    assert!(why.contains("\"gone\"") && why.contains("namespace default"), "{why}");
}

/// A library of one WorkflowTemplate `t` of this spec.
fn library_of(spec: serde_json::Value) -> Library {
    Library { namespaced: [("t".to_owned(), object(spec))].into(), ..Library::default() }
}

#[test]
fn the_defaults_lie_beneath_the_workflow_and_its_template() {
    let site = Site {
        defaults: serde_json::from_value(serde_json::json!({
            "metadata": {"labels": {"team": "d", "own": "d"}, "annotations": {"a": "d"}},
            "spec": {"entrypoint": "d", "parallelism": 1, "activeDeadlineSeconds": 2, "serviceAccountName": "d"},
        }))
        .unwrap(),
        referencing: None,
        days_max: None,
        ..Site::default()
    };
    let template =
        serde_json::json!({"entrypoint": "t", "parallelism": 3, "templates": [{"name": "t", "suspend": {}}]});
    let run = born_at(
        r#"{"workflowTemplateRef":{"name":"t"},"activeDeadlineSeconds":4}"#,
        &library_of(template),
        &site,
    );
    let run = run.unwrap();
    let spec = &run.spec;
    assert_eq!(spec.entrypoint.as_deref(), Some("t"));
    assert_eq!((spec.parallelism, spec.active_deadline_seconds), (Some(3), Some(4)));
    assert_eq!(spec.service_account_name.as_deref(), Some("d"));
    assert_eq!((run.metadata.labels["team"].as_str(), run.metadata.annotations["a"].as_str()), ("d", "d"));
    let run = born_at(&format!("{{{MAIN}}}"), &Library::default(), &site).unwrap();
    assert_eq!((run.spec.entrypoint.as_deref(), run.spec.parallelism), (Some("m"), Some(1)));
}

#[test]
fn workflow_metadata_becomes_the_runs_labels_and_annotations() {
    let spec = format!(
        r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"foo","value":"bar"}}]}},
            "workflowMetadata":{{"labels":{{"a":"{{{{workflow.parameters.foo}}}}-a"}},"annotations":{{"n":"{{{{workflow.name}}}}"}},
            "labelsFrom":{{"b":{{"expression":"workflow.labels.a + '.b'"}}}}}}}}"#
    );
    let run = born(&spec, &[]).unwrap();
    assert_eq!(
        run.metadata.labels,
        [("a".to_owned(), "bar-a".to_owned()), ("b".to_owned(), "bar-a.b".to_owned())].into()
    );
    assert_eq!(run.metadata.annotations["n"], "wf-abcde");
    let refused = |from: &str| {
        let spec =
            format!(r#"{{{MAIN},"workflowMetadata":{{"labelsFrom":{{"b":{{"expression":"{from}"}}}}}}}}"#);
        born(&spec, &[]).unwrap_err().to_string()
    };
    assert!(refused("'a b'").contains("label \"b\": invalid value \"a b\""));
    assert!(refused("1").contains("must give a string"));
    assert!(refused("workflow.parameters.gone").contains("gives null and must give a string"));
}

#[test]
fn restricted_to_stored_templates_a_workflow_sets_only_what_is_for_it_to_say() {
    for referencing in [Referencing::Strict, Referencing::Secure] {
        let site = Site { referencing: Some(referencing), ..Site::default() };
        let library =
            library_of(serde_json::json!({"entrypoint": "t", "templates": [{"name": "t", "suspend": {}}]}));
        let born =
            |spec: &str| born_at(spec, &library, &site).map(|run| run.spec).map_err(|why| why.to_string());
        assert!(
            born(&format!("{{{MAIN}}}")).unwrap_err().starts_with("workflows must use workflowTemplateRef")
        );
        let reference = r#""workflowTemplateRef":{"name":"t"}"#;
        assert!(
            born(&format!(r#"{{{reference},"priority":1,"artifactGC":{{"strategy":"Never"}}}}"#)).is_ok()
        );
        let why = born(&format!(
            r#"{{{reference},"parallelism":1,"onExit":"x","artifactGC":{{"podSpecPatch":"{{}}"}}}}"#
        ));
        assert!(
            why.unwrap_err()
                .starts_with("fields [onExit parallelism artifactGC.podSpecPatch] are not permitted")
        );
    }
}

#[test]
fn what_a_person_gives_stands_in_the_place_of_what_the_manifest_says() {
    let overrides = Overrides {
        generate_name: Some("mine-".to_owned()),
        entrypoint: Some("n".to_owned()),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        service_account: Some("robot".to_owned()),
        priority: Some(7),
        ..Overrides::default()
    };
    let mut fixed = workflow(
        r#"{"entrypoint":"m","templates":[{"name":"m","container":{"image":"x"}},{"name":"n","container":{"image":"x"}}]}"#,
    );
    fixed.metadata.name = Some("fixed".to_owned());
    let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "me".to_owned() };
    let run = run_spec(
        fixed,
        &Library::default(),
        &Site::default(),
        &overrides,
        &identity,
        cause,
        Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    let spec = &run.spec;
    assert_eq!((run.name(), spec.entrypoint.as_deref(), spec.priority), ("mine-abcde", Some("n"), Some(7)));
    assert_eq!(spec.service_account_name.as_deref(), Some("robot"));
    assert_eq!(run.metadata.labels["team"], "a");
    let overrides = Overrides { entrypoint: Some("o".to_owned()), ..Overrides::default() };
    let wrong = workflow(&format!("{{{MAIN}}}"));
    let cause = Cause::Person { by: "me".to_owned() };
    let why = run_spec(
        wrong,
        &Library::default(),
        &Site::default(),
        &overrides,
        &identity,
        cause,
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(why.unwrap_err().to_string(), "--entrypoint o: there is no such template; there are: m");
}

#[test]
fn a_run_takes_along_what_is_noted_on_it_and_on_the_templates_that_it_reaches() {
    let note = |image: &str, code: &str| {
        let environment = PackedEnvironment { lock_hash: code.to_owned(), ..PackedEnvironment::default() };
        let code = Some(PackedCode { hash: code.to_owned(), git: None });
        let mut metadata = ObjectMeta::default();
        packing::note(
            &mut metadata,
            &Packed { environments: [(image.to_owned(), environment)].into(), code },
        );
        metadata
    };
    let template = serde_json::json!({"entrypoint": "m", "templates": [
        {"name": "m", "steps": [[{"name": "s", "templateRef": {"name": "other", "template": "x"}}]]}]});
    let mut library = Library::default();
    library.add(false, "t", &note("python:3.9", "t"), object(template));
    library.add(false, "other", &note("python:3.9", "o"), object(serde_json::json!({"templates": []})));
    library.add(true, "unused", &note("alpine", "u"), object(serde_json::json!({"templates": []})));
    let reference = r#"{"workflowTemplateRef":{"name":"t"}}"#;
    let born = |metadata: ObjectMeta| {
        let mut workflow = workflow(reference);
        workflow.metadata.annotations = metadata.annotations;
        let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
        let cause = Cause::Person { by: "me".to_owned() };
        let (site, overrides) = (Site::default(), Overrides::default());
        run_spec(workflow, &library, &site, &overrides, &identity, cause, Timestamp::UNIX_EPOCH)
    };
    let codes = |run: &RunSpec| {
        let hashes = run.packed.environments.iter().map(|(image, e)| format!("{image} {}", e.lock_hash));
        (hashes.collect::<Vec<_>>(), run.packed.code.as_ref().unwrap().hash.clone())
    };
    assert_eq!(
        codes(&born(ObjectMeta::default()).unwrap()),
        (vec!["python:3.9 t".to_owned()], "t".to_owned())
    );
    let own = born(note("busybox", "w")).unwrap();
    assert_eq!(codes(&own), (vec!["busybox w".to_owned(), "python:3.9 t".to_owned()], "w".to_owned()));
    assert!(own.metadata.annotations.is_empty(), "said once");
    let mut bad = ObjectMeta::default();
    bad.annotations.insert(PACKED_ANNOTATION.to_owned(), "{".to_owned());
    assert!(matches!(born(bad), Err(BirthError::Packed { .. })));
}
