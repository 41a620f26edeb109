//! What comes of steps that run to their end.

use std::fs;
use std::io::Write;

use dropforge_driver::store::Place;
use dropforge_engine::attempt::{Outcome, Reason};
use dropforge_engine::spec::{PackedCode, PackedEnvironment};
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{
    Archive, Artifact, Container, ContainerSet, Parameter, Probe, S3Location, Template, ValueFrom,
};
use sha2::{Digest, Sha256};

use super::pod::{TestPod, until};

fn default(key: &str) -> Place {
    Place { bucket: None, key: key.into() }
}

fn none() -> Option<Archive> {
    Some(Archive { none: Some(serde_json::json!({})), ..Archive::default() })
}

#[test]
fn a_step_is_claimed_run_collected_told_and_logged() {
    let mut pod = TestPod::new(Container { image: Some("alpine".into()), ..Container::default() });
    pod.put_object(&default("in/data.csv"), b"1,2\n");
    let out = pod.at.path().join("out.txt").to_string_lossy().into_owned();
    let input = Artifact {
        name: "data".into(),
        path: Some("/in/data.csv".into()),
        s3: Some(S3Location { key: Some("in/data.csv".into()), ..S3Location::default() }),
        ..Artifact::default()
    };
    pod.template().inputs.artifacts.push(input);
    let parameter = Parameter {
        name: "rows".into(),
        value_from: Some(ValueFrom { path: Some(out.clone()), ..ValueFrom::default() }),
        ..Parameter::default()
    };
    pod.template().outputs.parameters.push(parameter);
    let artifact =
        Artifact { name: "rows".into(), path: Some(out.clone()), archive: none(), ..Artifact::default() };
    pod.template().outputs.artifacts.push(artifact);
    pod.work().capture_result = true;
    let data = pod.folder.join("inputs/data");
    let script =
        format!("cat {} | tee {out}; echo told >&2; env | grep -c ^DROPFORGE_LAUNCH", data.display());
    assert_eq!(pod.sh(&format!("{script} || true")), 0);
    let verdict = pod.verdict().unwrap();
    assert_eq!(
        (verdict.outcome, verdict.reason, verdict.exit_code),
        (Outcome::Succeeded, Reason::Exited, Some(0))
    );
    assert_eq!(verdict.outputs.parameters[0].value, Some(AnyString("1,2".into())));
    assert_eq!(verdict.outputs.result.as_deref(), Some("1,2\n0"));
    let artifact = verdict.outputs.artifacts[0].s3.clone().unwrap();
    assert_eq!(artifact.key.as_deref(), Some("wf/wf-1/out.txt"));
    assert_eq!(pod.object(&default("wf/wf-1/out.txt")), b"1,2\n");
    let (read, written) = (&verdict.provenance.inputs, &verdict.provenance.outputs);
    assert_eq!((read[0].name.as_str(), read[0].size, written[0].size), ("data", 4, 4));
    assert_eq!((verdict.provenance.isolation.as_str(), verdict.usage.host.as_str()), ("container", "node"));
    let mut log: Vec<String> = pod.log("main").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["0", "1,2", "told"]);
    assert_eq!(pod.bells(), ["uid wf-1"]);
    assert_eq!(pod.log_at_bell(), pod.log("main"), "who hears the bell finds the whole log");
}

#[test]
fn a_script_stands_where_every_container_finds_it() {
    let script = Container { source: Some("echo from $0".into()), ..Container::default() };
    let mut pod = TestPod::of(Template { script: Some(script), ..Template::default() });
    pod.work().capture_result = true;
    assert_eq!(pod.init(), 0);
    let script = pod.folder.join("script").to_string_lossy().into_owned();
    assert_eq!(pod.run("main", &["sh", &script]), 0);
    assert_eq!(pod.verdict().unwrap().outputs.result, Some(format!("from {script}")));
}

#[test]
fn an_input_that_is_not_there_ends_the_attempt_before_its_command() {
    let mut pod = TestPod::new(Container::default());
    let input = Artifact {
        name: "data".into(),
        path: Some("/in".into()),
        s3: Some(S3Location { key: Some("nowhere".into()), ..S3Location::default() }),
        ..Artifact::default()
    };
    pod.template().inputs.artifacts.push(input);
    assert_eq!(pod.init(), 64);
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Inputs));
    let why = "init: Error (exit code 64): artifact data failed to load: there is no object nowhere in the artifact \
               repository and none below it";
    assert_eq!(verdict.message, why);
    assert_eq!((pod.claimed(), pod.bells()), (true, vec!["uid wf-1".to_owned()]));
}

#[test]
fn inputs_in_a_volume_of_the_main_container_are_put_there() {
    let mount = serde_json::from_value(serde_json::json!({"name": "work", "mountPath": "/volume"})).unwrap();
    let mut pod = TestPod::new(Container { volume_mounts: vec![mount], ..Container::default() });
    let raw = serde_json::from_value(
        serde_json::json!({"name": "a", "path": "/volume/in/a", "raw": {"data": "x"}}),
    );
    pod.template().inputs.artifacts.push(raw.unwrap());
    assert_eq!(pod.init(), 0);
    assert_eq!(fs::read_to_string(pod.folder.join("mirrored/volume/in/a")).unwrap(), "x");
}

#[test]
fn a_failure_is_the_commands_and_a_missing_output_is_an_error() {
    let failing = TestPod::new(Container::default());
    assert_eq!(failing.sh("exit 3"), 3);
    let verdict = failing.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.message.as_str()), (Outcome::Failed, "main: Error (exit code 3)"));

    let mut missing = TestPod::new(Container::default());
    let artifact = Artifact { name: "model".into(), path: Some("/no/model".into()), ..Artifact::default() };
    missing.template().outputs.artifacts.push(artifact);
    assert_eq!(missing.sh("true"), 64, "the pod must not seem to have succeeded");
    let verdict = missing.verdict().unwrap();
    let why = "wait: Error (exit code 64): output artifact model: stat /no/model: no such file or directory";
    assert_eq!(
        (verdict.outcome, verdict.exit_code, verdict.message.as_str()),
        (Outcome::Error, Some(0), why)
    );

    let absent = TestPod::new(Container::default());
    absent.init();
    assert_eq!(absent.run("main", &["no-such-program"]), 64);
    let why = "main: Error (exit code 64): failed to find name in PATH: exec: \"no-such-program\": executable file not \
               found in $PATH";
    assert_eq!(
        (absent.verdict().unwrap().reason, absent.verdict().unwrap().message),
        (Reason::NotStarted, why.into())
    );
}

fn set(containers: &[(&str, &[&str])]) -> Template {
    let container = |(name, dependencies): &(&str, &[&str])| Container {
        name: Some((*name).to_owned()),
        dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
        ..Container::default()
    };
    let containers = containers.iter().map(container).collect();
    Template {
        container_set: Some(ContainerSet { containers, ..ContainerSet::default() }),
        ..Template::default()
    }
}

#[test]
fn containers_of_a_set_wait_for_each_other_and_the_last_makes_the_verdict() {
    let mut pod = TestPod::of(set(&[("main", &["a", "b"]), ("a", &[]), ("b", &["a"])]));
    pod.work().capture_result = true;
    assert_eq!(pod.init(), 0);
    let order = pod.at.path().join("order");
    let note = |name: &str| format!("echo {name} >> {}; echo {name}", order.display());
    let scripts = ["main", "b", "a"].map(|name| (name, note(name)));
    let mut running = scripts.each_ref().map(|(name, script)| pod.start(name, &["sh", "-c", script]));
    assert_eq!(running.each_mut().map(|container| container.end().code()), [Some(0); 3]);
    assert_eq!(fs::read_to_string(order).unwrap(), "a\nb\nmain\n");
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.outputs.result.as_deref()), (Outcome::Succeeded, Some("main")));
    let ends: Vec<_> = verdict.containers.iter().map(|end| (end.name.as_str(), end.outcome)).collect();
    assert_eq!(ends, ["main", "a", "b"].map(|name| (name, Outcome::Succeeded)));
    assert_eq!((pod.bells().len(), pod.log("b")), (1, "b\n".to_owned()));
}

#[test]
fn one_of_a_set_that_fails_ends_the_others() {
    let pod = TestPod::of(set(&[("main", &[]), ("a", &[]), ("c", &["a"])]));
    assert_eq!(pod.init(), 0);
    let mut main = pod.start("main", &["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done"]);
    until("main runs", || pod.folder.join("containers/main/started").exists());
    let mut waiting = pod.start("c", &["true"]);
    assert_eq!(pod.run("a", &["sh", "-c", "exit 3"]), 3);
    assert_eq!((waiting.end().code(), main.end().code()), (Some(64), Some(7)));
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.message.as_str()), (Outcome::Failed, "main: Error (exit code 7)"));
    let codes: Vec<_> = verdict.containers.iter().map(|end| (end.name.as_str(), end.exit_code)).collect();
    assert_eq!(codes, [("main", Some(7)), ("a", Some(3)), ("c", Some(64))]);
}

#[test]
fn a_daemon_rings_when_it_is_ready_and_is_no_success_when_it_ends() {
    let ready = tempfile::NamedTempFile::new().unwrap();
    let exec = serde_json::json!({"command": ["test", "-s", ready.path()]});
    let probe = Probe { exec: serde_json::from_value(exec).unwrap(), ..Probe::default() };
    let mut pod = TestPod::new(Container { readiness_probe: Some(probe), ..Container::default() });
    pod.template().daemon = Some(true);
    pod.init();
    let mut daemon = pod.start("main", &["sleep", "1000"]);
    until("it runs", || pod.folder.join("containers/main/started").exists());
    assert_eq!(pod.bells(), [""; 0]);
    ready.as_file().write_all(b"x").unwrap();
    until("it is ready", || !pod.bells().is_empty());
    assert_eq!(pod.verdict(), None);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.end().code(), Some(143));
    assert_eq!(pod.verdict().unwrap().outcome, Outcome::Lost);
}

/// A gzipped tar of one file, with its hash.
fn packed(name: &str, content: &[u8]) -> (Vec<u8>, String) {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content).unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes, hash)
}

fn pod_with_packages(pythons: &[&str]) -> TestPod {
    let mut pod = TestPod::new(Container { image: Some("python:3.9".into()), ..Container::default() });
    let (tree, hash) = packed("pandas.py", b"");
    let key = format!("environments/ns/{hash}");
    pod.put_object(&Place { bucket: Some("control".into()), key }, &tree);
    let trees = pythons.iter().map(|v| (format!("{v}-{}", std::env::consts::ARCH), hash.clone()));
    let environment = PackedEnvironment { lock_hash: "abc".into(), trees: trees.collect() };
    pod.launch.environments.insert("main".into(), environment);
    pod
}

/// A Python that knows its version and else does what a shell does.
fn fake_python(pod: &TestPod, version: &str) -> String {
    let bin = pod.at.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let python = bin.join("python3");
    fs::write(
        &python,
        format!("#!/bin/sh\nif [ \"$1\" = -I ]; then echo {version}; else exec sh \"$@\"; fi\n"),
    )
    .unwrap();
    pod.open_to_all(&python);
    python.to_string_lossy().into_owned()
}

#[test]
fn the_packages_of_the_images_python_and_the_code_are_unpacked() {
    let mut pod = pod_with_packages(&["3.10", "3.11"]);
    let (code, hash) = packed("train_model.py", b"the code");
    let key = format!("environments/ns/{hash}");
    pod.put_object(&Place { bucket: Some("control".into()), key }, &code);
    pod.launch.code = Some(PackedCode { hash: hash.clone(), git: Some("c0ffee".into()) });
    pod.work().capture_result = true;
    pod.init();
    let python = fake_python(&pod, "3.11");
    let script = "ls ${PYTHONPATH%%:*}; cat train_model.py; basename $PWD; echo $PATH | grep -c environments";
    assert_eq!(pod.run("main", &[&python, "-c", script]), 0);
    let verdict = pod.verdict().unwrap();
    assert_eq!(verdict.outputs.result.as_deref(), Some("pandas.py\nthe codework\n1"));
    let provenance = verdict.provenance;
    let told = (provenance.lock_hash, provenance.python, provenance.code_hash, provenance.git);
    assert_eq!(told, (Some("abc".into()), Some("3.11".into()), Some(hash), Some("c0ffee".into())));
}

#[test]
fn another_python_in_the_image_is_an_error_that_names_both() {
    let pod = pod_with_packages(&["3.10", "3.12"]);
    pod.init();
    let python = fake_python(&pod, "3.11");
    assert_eq!(pod.run("main", &[&python, "-c", "true"]), 64);
    let verdict = pod.verdict().unwrap();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Environment));
    let arch = std::env::consts::ARCH;
    let why = format!(
        "main: Error (exit code 64): failed to use the packages of lock file abc: image \"python:3.9\" has Python 3.11 on \
         {arch}, and they were packed for Python 3.10 on {arch}, 3.12 on {arch}; use an image with that Python, or name \
         the image's in dropforge.toml and submit again"
    );
    assert_eq!(verdict.message, why);
}
