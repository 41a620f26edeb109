//! The pods of whole manifests against golden files: `tests/pods/*.yaml`, and the sample pipelines.
//!
//! `DROPFORGE_WRITE_GOLDEN=1` writes them anew. The launch document reads `<launch>` there, since it holds the whole
//! attempt; it has tests of its own.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dropforge_cluster::kubernetes::{Commands, ImageCommand, PodDefaults, PodError, Site, pod};
use dropforge_driver::pods::{LAUNCH_VARIABLE, LaunchPlace, PodLaunch, Stores};
use dropforge_engine::apply::apply;
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::decide::decide;
use dropforge_engine::effect::Effect;
use dropforge_engine::event::Event;
use dropforge_engine::program::Program;
use dropforge_engine::spec::{Cause, PackedCode, PackedEnvironment, RunSpec, SPEC_FORMAT};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::parse;
use dropforge_manifest::types::{ObjectMeta, Parameter};
use jiff::Timestamp;
use serde_json::{Value, json};

fn site() -> Site {
    Site {
        executor_image: "registry.example/executor:1".to_owned(),
        stores: Stores {
            control: "control".to_owned(),
            artifacts: "artifacts".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: None,
        },
        queue_url: "https://sqs.eu-central-1.amazonaws.com/1/events".to_owned(),
        token: Arc::new(|run, attempt| format!("token of {run} {attempt}")),
        defaults: PodDefaults::default(),
    }
}

fn commands() -> Commands {
    let silent = ImageCommand { entrypoint: vec!["/entry".to_owned()], cmd: vec!["serve".to_owned()] };
    Commands::from([("silent:1".to_owned(), silent)])
}

fn run_of(manifest: &str) -> RunSpec {
    let parsed = parse("pods", manifest);
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let (spec, _) = parsed.documents[0].object.workflow_spec().expect("a workflow");
    let metadata =
        ObjectMeta { name: Some("wf".to_owned()), namespace: Some("ml".to_owned()), ..ObjectMeta::default() };
    RunSpec {
        format: SPEC_FORMAT,
        uid: "0b54a5e2-6f43-4c9d-9d9e-3f3c1f6f0c11".into(),
        metadata,
        spec: spec.clone(),
        library: Default::default(),
        created_at: Timestamp::from_second(1000).unwrap(),
        cause: Cause::Person { by: "test".to_owned() },
        settings: Default::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

/// Every attempt of a run whose steps all succeed and give `1` for each output parameter.
fn attempts(run: &RunSpec) -> Vec<Arc<Attempt>> {
    let mut state = RunState::new(Arc::new(Program::compile(run.clone()).unwrap()));
    let mut started = Vec::new();
    let mut events = VecDeque::from([Event::Submitted]);
    while let Some(event) = events.pop_front() {
        let now = Timestamp::from_second(1001).unwrap();
        let Ok(decision) = decide(&state, &event, now) else { continue };
        decision.records.iter().for_each(|record| apply(&mut state, record));
        for effect in decision.effects {
            if let Effect::StartAttempt(attempt) = &*effect {
                events.push_back(Event::AttemptFinished { verdict: Arc::new(succeeded(attempt, now)) });
                started.push(attempt.clone());
            }
        }
    }
    started
}

fn succeeded(attempt: &Attempt, now: Timestamp) -> Verdict {
    let mut outputs = attempt.work.template.outputs.clone();
    for parameter in &mut outputs.parameters {
        *parameter =
            Parameter { name: parameter.name.clone(), value: Some("1".into()), ..Parameter::default() };
    }
    outputs.result = Some("1".to_owned());
    let (outcome, reason) = (Outcome::Succeeded, Reason::Exited);
    Verdict { outputs, ..Verdict::without_outputs(attempt.id.clone(), outcome, reason, "", now) }
}

/// All pods of a manifest, each under its node's name.
fn pods(manifest: &str) -> Value {
    let run = run_of(manifest);
    // A sample that loops until it is content goes on for long.
    let made = attempts(&run).into_iter().take(8).map(|attempt| {
        let launched = pod::pod(&run, &attempt, &site(), &commands()).unwrap();
        assert_eq!(launched.document, None);
        let mut made = launched.pod;
        variables(&mut made, |value| {
            assert!(value.contains(attempt.id.as_str()));
            "<launch>".to_owned()
        });
        (attempt.node_name.clone(), made)
    });
    made.collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Changes the launch document of every container.
fn variables(pod: &mut Value, change: impl Fn(&str) -> String) {
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let first = &mut container["env"][0];
            assert_eq!(first["name"], LAUNCH_VARIABLE);
            first["value"] = change(first["value"].as_str().unwrap()).into();
        }
    }
}

fn golden(path: &Path, found: &Value) {
    let found = serde_json::to_string_pretty(found).unwrap() + "\n";
    if std::env::var_os("DROPFORGE_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, wanted, "{}", path.display());
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_shape_becomes_the_pod_on_record() {
    let mut shapes = 0;
    for entry in std::fs::read_dir(folder("tests/pods")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            shapes += 1;
            golden(&path.with_extension("json"), &pods(&std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert_eq!(shapes, 6);
}

#[test]
fn every_sample_pipeline_becomes_the_pods_on_record() {
    let mut samples = 0;
    for entry in std::fs::read_dir(folder("../../samplepipelines")).unwrap() {
        let sample = entry.unwrap();
        let Ok(manifest) = std::fs::read_to_string(sample.path().join("pipeline.yaml")) else { continue };
        samples += 1;
        let name = format!("tests/pods/samples/{}.json", sample.file_name().display());
        golden(&folder(&name), &pods(&manifest));
    }
    assert_eq!(samples, 8);
}

fn one(template: &str) -> (RunSpec, Arc<Attempt>) {
    let manifest = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wf}}\nspec:\n  entrypoint: main\n  templates:\n  - {template}\n"
    );
    let run = run_of(&manifest);
    let attempt = attempts(&run).remove(0);
    (run, attempt)
}

const PLAIN: &str = "{name: main, container: {image: 'python:3.9', command: [echo, '$$(HOME)']}}";

#[test]
fn the_launch_document_survives_what_kubernetes_replaces_in_variables() {
    let (mut run, attempt) = one(PLAIN);
    let environment = PackedEnvironment { lock_hash: "abc".to_owned(), ..Default::default() };
    run.packed.environments.insert("python:*".to_owned(), Default::default());
    run.packed.environments.insert("python:3.9".to_owned(), environment.clone());
    run.packed.code = Some(PackedCode { hash: "c0de".to_owned(), git: None });
    let made = pod::pod(&run, &attempt, &site(), &commands()).unwrap().pod;
    let value = made["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap();
    assert!(value.contains("$$$$(HOME)"));
    let launch: PodLaunch = serde_json::from_str(&value.replace("$$", "$")).unwrap();
    let wanted = PodLaunch {
        format: 1,
        token: format!("token of {} {}", attempt.run, attempt.id),
        attempt,
        stores: site().stores,
        queue_url: site().queue_url,
        grace_seconds: 30,
        environments: BTreeMap::from([("main".to_owned(), environment)]),
        code: run.packed.code,
        commands: BTreeMap::new(),
    };
    assert_eq!(launch, wanted);
}

#[test]
fn a_document_too_large_for_a_variable_is_an_object() {
    let source = "x".repeat(100 * 1024);
    let (run, attempt) =
        one(&format!("{{name: main, script: {{image: a, command: [sh], source: '{source}'}}}}"));
    let launched = pod::pod(&run, &attempt, &site(), &commands()).unwrap();
    let value = launched.pod["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap();
    let place: LaunchPlace = serde_json::from_str(value.strip_prefix('@').unwrap()).unwrap();
    let key = format!("attempts/ml/{}/launch.json", attempt.id);
    assert_eq!(place, LaunchPlace { stores: site().stores, key });
    let launch: PodLaunch = serde_json::from_slice(&launched.document.unwrap()).unwrap();
    assert_eq!(launch.attempt, attempt);
}

#[test]
fn the_manifest_wins_over_what_all_pods_have() {
    let (run, attempt) = one(
        "{name: main, nodeSelector: {disk: ssd}, metadata: {labels: {team: vision}}, container: {image: 'python:3.9', command: [x], imagePullPolicy: Always, securityContext: {runAsUser: 7}}, sidecars: [{name: side, image: b, command: [y]}]}",
    );
    let defaults = json!({
        "labels": {"team": "ml", "cost": "1"},
        "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        "spec": {"nodeSelector": {"pool": "steps"}, "serviceAccountName": "steps", "imagePullSecrets": [{"name": "pull"}]},
        "container": {"imagePullPolicy": "IfNotPresent", "securityContext": {"allowPrivilegeEscalation": false}},
        "executor": {"resources": {"limits": {"memory": "64Mi"}}},
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "registryRewrite": {"docker.io": "mirror.example"},
        "witness": "always"
    });
    let site = Site { defaults: serde_json::from_value(defaults).unwrap(), ..site() };
    let mut made = pod::pod(&run, &attempt, &site, &commands()).unwrap().pod;
    variables(&mut made, |_| "<launch>".to_owned());
    golden(&folder("tests/pods/defaults.json"), &made);
}

#[test]
fn what_cannot_be_a_pod_is_said() {
    let why = |template: &str| {
        let (run, attempt) = one(template);
        pod::pod(&run, &attempt, &site(), &commands()).unwrap_err().to_string()
    };
    assert_eq!(
        why("{name: main, container: {image: unknown}}"),
        "start container \"main\": the manifest gives no `command`, and what the image \"unknown\" starts is not known; \
         write the command into the manifest"
    );
    let long = "x".repeat(128 * 1024);
    assert_eq!(
        why(&format!("{{name: main, container: {{image: a, command: [x], args: [-c, {long}]}}}}")),
        "start container \"main\": args[1] has 131072 bytes, and Linux gives a program no text of more than 131071; \
         hand it over as an artifact, `raw` where it is the manifest's own"
    );
    let variable = format!(
        "{{name: main, container: {{image: a, command: [x], env: [{{name: DATA, value: {long}}}]}}}}"
    );
    assert!(why(&variable).contains("the variable DATA has 131077 bytes"));
    let misfit = why("{name: main, affinity: [], container: {image: a, command: [x]}}");
    assert!(misfit.starts_with("make the pod: a field of it has the wrong type"), "{misfit}");
    let (run, mut attempt) = one("{name: main, container: {image: a, command: [x]}}");
    let mut work = (*attempt.work).clone();
    work.pod.patches = vec![json!({"containers": [{"name": "other"}]})];
    Arc::make_mut(&mut attempt).work = Arc::new(work);
    let patched = pod::pod(&run, &attempt, &site(), &commands());
    assert_eq!(patched, Err(PodError::NoContainer { name: "other".to_owned() }));
    let mut work = (*attempt.work).clone();
    work.pod.patches.clear();
    let mount = json!({"name": "nowhere", "mountPath": "/x"});
    Arc::make_mut(&mut work.template).container.as_mut().unwrap().volume_mounts =
        vec![serde_json::from_value(mount).unwrap()];
    Arc::make_mut(&mut attempt).work = Arc::new(work);
    let unmounted = pod::pod(&run, &attempt, &site(), &commands());
    let missing = PodError::NoVolume { name: "nowhere".to_owned(), container: "main".to_owned() };
    assert_eq!(unmounted, Err(missing));
}

#[test]
fn the_images_whose_command_is_needed_are_named() {
    let (_, attempt) = one(
        "{name: main, container: {image: a}, initContainers: [{name: i, image: b, command: [x]}], sidecars: [{name: s, image: c, command: []}]}",
    );
    assert_eq!(pod::images_without_command(&attempt.work.template), ["a", "c"]);
}

#[test]
fn the_secrets_of_a_repository_are_seen_where_it_is_cloned_and_nowhere_else() {
    let (run, attempt) = one(
        "{name: main, inputs: {artifacts: [{name: a, path: /a, git: {repo: 'https://h/a', usernameSecret: {name: login, key: user}, passwordSecret: {name: login, key: password}}}, {name: b, path: /b, git: {repo: 'git@h:b', sshPrivateKeySecret: {name: deploy, key: key}}}]}, container: {image: a, command: [x]}}",
    );
    let made = pod::pod(&run, &attempt, &site(), &commands()).unwrap().pod;
    let mounts = |list: &str, index: usize| -> Vec<String> {
        let mounts = made["spec"][list][index]["volumeMounts"].as_array().unwrap();
        let paths = mounts.iter().filter_map(|mount| mount["mountPath"].as_str());
        paths.filter(|path| path.starts_with("/dropforge-secrets")).map(str::to_owned).collect()
    };
    assert_eq!(mounts("initContainers", 0), ["/dropforge-secrets/deploy", "/dropforge-secrets/login"]);
    assert_eq!(mounts("containers", 0), [""; 0]);
    let volumes = made["spec"]["volumes"].as_array().unwrap();
    let secrets: Vec<&str> = volumes.iter().filter_map(|v| v["secret"]["secretName"].as_str()).collect();
    assert_eq!(secrets, ["deploy", "login"]);
}
