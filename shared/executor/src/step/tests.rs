use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use dropforge_driver::store::Place;
use dropforge_driver::supervision::{ContainerLaunch, Demand, StepEnvironment};
use dropforge_engine::attempt::{Attempt, Work};
use dropforge_engine::ids::{AttemptId, NodeId};
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{
    Archive, Artifact, Container, EnvVar, EnvVarSource, KeySelector, Parameter, RawLocation, S3Location,
    Template, ValueFrom, VolumeMount,
};
use dropforge_storage::directory::{Access, DirectoryStore};
use jiff::ToSpan;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::isolation::isolation;

mod pods;

/// A store in a folder, and a step that is changed before it is run.
struct Rig {
    at: TempDir,
    site: Site<DirectoryStore>,
    work: Work,
    environment: StepEnvironment,
    demand: Demand,
    containers: BTreeMap<String, ContainerLaunch>,
    id: AttemptId,
    _runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn new(script: &str) -> Rig {
        let at = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let endpoint = Endpoint {
            url: "http://127.0.0.1:9".into(),
            access_key: "AK".into(),
            secret_key: "SK".into(),
            region: "eu-central-1".into(),
        };
        let site = Site {
            store: DirectoryStore::open(at.path(), Access::Owner { what: "test" }).unwrap(),
            runtime: runtime.handle().clone(),
            rooms: Rooms::below(at.path().join("work")),
            volumes: at.path().join("volumes"),
            endpoint: Some(endpoint),
            host: "machine".into(),
            grace: Duration::from_millis(200),
            engines: Engines::default(),
        };
        let container = Container {
            image: Some("alpine:3".into()),
            command: Some(["sh", "-c", script].map(String::from).to_vec()),
            ..Container::default()
        };
        let template = Template { container: Some(container), ..Template::default() };
        let work = Work { template: template.into(), artifact_prefix: "wf/pod".into(), ..Work::default() };
        let (environment, demand) = (StepEnvironment::default(), Demand::default());
        let containers = BTreeMap::new();
        Rig { at, site, work, environment, demand, containers, id: "pod".into(), _runtime: runtime }
    }

    fn template(&mut self) -> &mut Template {
        Arc::make_mut(&mut self.work.template)
    }

    fn container(&mut self) -> &mut Container {
        self.template().container.as_mut().unwrap()
    }

    fn input(mut self, artifact: Artifact) -> Self {
        self.template().inputs.artifacts.push(artifact);
        self
    }

    fn output(mut self, artifact: Artifact) -> Self {
        self.template().outputs.artifacts.push(artifact);
        self
    }

    fn parameter(mut self, name: &str, path: &str, default: Option<&str>) -> Self {
        let default = default.map(AnyString::from);
        let value_from = Some(ValueFrom { path: Some(path.into()), default, ..ValueFrom::default() });
        let parameter = Parameter { name: name.into(), value_from, ..Parameter::default() };
        self.template().outputs.parameters.push(parameter);
        self
    }

    fn claim_mount(mut self, path: &str) -> Self {
        self.work.volumes = vec![json!({"name": "data", "persistentVolumeClaim": {"claimName": "wf-data"}})];
        let mount = VolumeMount { name: "data".into(), mount_path: path.into(), ..VolumeMount::default() };
        self.container().volume_mounts.push(mount);
        self
    }

    fn launch(&self) -> Launch {
        let attempt = Attempt {
            id: self.id.clone(),
            run: "uid".into(),
            run_name: "wf".into(),
            namespace: "default".into(),
            node: NodeId(1),
            node_name: "wf.step".into(),
            number: 0,
            on_exit: false,
            work: Arc::new(self.work.clone()),
        };
        Launch {
            attempt: Arc::new(attempt),
            environment: self.environment.clone(),
            demand: self.demand.clone(),
            containers: self.containers.clone(),
            engine: None,
        }
    }

    fn run(&self) -> Verdict {
        self.run_told(&Control::new().unwrap(), &|_| {}).unwrap()
    }

    fn run_told(&self, control: &Control, tell: &(dyn Fn(Told) + Send + Sync)) -> Option<Verdict> {
        let ran = super::run(&self.site, &self.launch(), &[], control, tell).unwrap()?;
        let used = ran.room.and_then(|room| self.site.rooms.leave(room).look());
        used.into_iter().for_each(|room| self.site.rooms.empty(room));
        Some(ran.verdict)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let file = self.at.path().join("to-store");
        fs::write(&file, bytes).unwrap();
        let place = Place { bucket: None, key: key.into() };
        self.site.wait(self.site.store.store("default", &file, &place, false, &|_, _| {})).unwrap();
    }

    fn got(&self, key: &str) -> Option<Vec<u8>> {
        let file = self.at.path().join("from-store");
        let place = Place { bucket: None, key: key.into() };
        self.site.wait(self.site.store.fetch("default", &place, &file, &|_, _| {})).ok()?;
        fs::read(file).ok()
    }

    fn log(&self) -> Vec<u8> {
        self.site.wait(self.site.store.read_log("default", &"pod".into(), "main", 0, 1 << 20)).unwrap()
    }
}

fn at_path(name: &str, path: &str) -> Artifact {
    Artifact { name: name.into(), path: Some(path.into()), ..Artifact::default() }
}

fn plain(artifact: Artifact) -> Artifact {
    Artifact { archive: Some(Archive { none: Some(json!({})), ..Archive::default() }), ..artifact }
}

fn key(artifact: Artifact, key: &str) -> Artifact {
    Artifact { s3: Some(S3Location { key: Some(key.into()), ..S3Location::default() }), ..artifact }
}

fn keys(verdict: &Verdict) -> Vec<&str> {
    verdict.outputs.artifacts.iter().filter_map(|a| a.s3.as_ref()?.key.as_deref()).collect()
}

fn ended(verdict: &Verdict) -> (Outcome, Reason, &str) {
    (verdict.outcome, verdict.reason, &verdict.message)
}

#[test]
fn a_step_that_ends_well_has_code_times_usage_and_provenance() {
    let rig = Rig::new("exit 0");
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Succeeded, Reason::Exited, ""));
    assert_eq!((verdict.exit_code, verdict.outputs.exit_code.as_deref()), (Some(0), Some("0")));
    assert!(verdict.started_at.unwrap() <= verdict.finished_at && verdict.usage.wall_seconds >= 0.0);
    assert_eq!(verdict.provenance.command, ["sh", "-c", "exit 0"]);
    assert_eq!((verdict.provenance.image.as_str(), verdict.usage.host.as_str()), ("alpine:3", "machine"));
    assert_eq!(verdict.provenance.isolation, isolation().to_string());
}

#[test]
fn an_attempt_runs_once() {
    let rig = Rig::new("exit 0").claim_mount("/mnt/data");
    assert!(rig.run_told(&Control::new().unwrap(), &|_| {}).is_some());
    assert_eq!(
        rig.run_told(&Control::new().unwrap(), &|told| assert!(!matches!(
            told,
            Told::Process { .. } | Told::Running { .. }
        ))),
        None
    );
}

#[test]
fn that_a_step_runs_is_told_once_and_no_later_than_its_verdict() {
    let told = |script: &str| {
        let (rig, running) = (Rig::new(script), Mutex::new(0));
        let tell = |told: Told| *running.lock().unwrap() += u32::from(matches!(told, Told::Running { .. }));
        let control = Control::new().unwrap();
        let ran = super::run(&rig.site, &rig.launch(), &[], &control, &tell).unwrap().unwrap();
        (running.into_inner().unwrap(), ran.untold.is_some())
    };
    assert_eq!(told("sleep 0.3"), (1, false));
    let short = told("exit 0");
    assert!(short == (0, true) || short == (1, false), "{short:?}");
}

#[test]
fn codes_and_signals_are_told_as_kubernetes_tells_them() {
    let message = |script: &str| {
        let verdict = Rig::new(script).run();
        (verdict.outcome, verdict.message, verdict.exit_code)
    };
    let failed = |code| (Outcome::Failed, format!("main: Error (exit code {code})"), Some(code));
    assert_eq!(message("exit 42"), failed(42));
    assert_eq!(message("kill -SEGV $$$$"), failed(139));
}

#[test]
fn a_missing_command_is_the_users_failure() {
    let mut rig = Rig::new("");
    rig.container().command = Some(vec!["no-such-command".into()]);
    let verdict = rig.run();
    let message = "main: Error (exit code 64): failed to find name in PATH: exec: \"no-such-command\": executable file not found in $PATH";
    assert_eq!(ended(&verdict), (Outcome::Failed, Reason::NotStarted, message));
    assert_eq!((verdict.exit_code, verdict.started_at), (Some(64), None));
}

#[test]
fn without_a_command_only_python_is_known() {
    let mut rig = Rig::new("");
    rig.container().command = None;
    rig.container().image = Some("repo.example/team/train:1".into());
    let verdict = rig.run();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    assert!(verdict.message.contains("repo.example/team/train:1"), "{}", verdict.message);
    let mut rig = Rig::new("");
    rig.container().command = None;
    rig.container().image = Some("docker.io/library/python:3.9".into());
    rig.container().args = Some(vec!["-c".into(), "print(6*7)".into()]);
    rig.work.capture_result = true;
    assert_eq!(rig.run().outputs.result.as_deref(), Some("42"));
}

#[test]
fn a_script_is_staged_and_its_result_is_standard_output_alone() {
    let mut rig = Rig::new("");
    let container = rig.template().container.take().unwrap();
    let source = Some("print(40 + 2)\nimport sys\nprint('noise', file=sys.stderr)".into());
    rig.template().script = Some(Container { command: Some(vec!["python3".into()]), source, ..container });
    rig.work.capture_result = true;
    let verdict = rig.run();
    assert_eq!((verdict.outcome, verdict.outputs.result.as_deref()), (Outcome::Succeeded, Some("42")));
    let mut lines: Vec<String> = String::from_utf8(rig.log()).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["42", "noise"]);
}

#[test]
fn binary_output_is_kept_as_it_is() {
    let mut rig = Rig::new(r"printf '\377\000\001x'; printf '\376' >&2");
    assert_eq!(rig.run().outcome, Outcome::Succeeded);
    assert_eq!(rig.log(), b"\xff\x00\x01x\xfe");
    rig = Rig::new(r"printf '\377x\n'");
    rig.work.capture_result = true;
    assert_eq!(rig.run().outputs.result.as_deref(), Some("\u{fffd}x"));
}

#[test]
fn output_can_be_read_while_the_step_runs() {
    let rig = Rig::new("echo first; until [ -e /mnt/data/go ]; do sleep 0.01; done").claim_mount("/mnt/data");
    let control = Control::new().unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| rig.run_told(&control, &|_| {}));
        while rig.log() != b"first\n" {
            thread::yield_now();
        }
        fs::write(rig.at.path().join("volumes/uid/data/go"), "").unwrap();
        assert_eq!(running.join().unwrap().unwrap().outcome, Outcome::Succeeded);
    });
}

#[test]
fn parameters_come_from_files_or_defaults() {
    let rig = Rig::new("printf '0.97\\n\\n' > /tmp/a; : > /tmp/empty")
        .parameter("a", "/tmp/a", None)
        .parameter("empty", "/tmp/empty", Some("unused"))
        .parameter("missing", "/tmp/missing", Some("7"));
    let verdict = rig.run();
    let values =
        verdict.outputs.parameters.iter().map(|p| (p.name.as_str(), p.value.as_ref().unwrap().as_str()));
    assert_eq!(values.collect::<Vec<_>>(), [("a", "0.97\n"), ("empty", ""), ("missing", "7")]);
}

#[test]
fn a_missing_parameter_is_an_error_and_the_other_outputs_are_kept() {
    let rig =
        Rig::new("echo 1 > /tmp/there").parameter("x", "/tmp/x", None).parameter("there", "/tmp/there", None);
    let verdict = rig.run();
    let message =
        "wait: Error (exit code 64): open /var/run/argo/outputs/parameters/tmp/x: no such file or directory";
    assert_eq!(ended(&verdict), (Outcome::Error, Reason::Outputs, message));
    assert_eq!(verdict.outputs.parameters.len(), 1);
}

#[test]
fn parameters_that_are_too_long_together_are_an_error_and_those_that_fit_are_kept() {
    let mut rig = Rig::new(
        "for i in 0 1 2 3 4; do head -c 250000 /dev/zero | tr '\\0' x > /tmp/$i; done; echo 5 > /tmp/5",
    );
    for name in ["0", "1", "2", "3", "4", "5"] {
        rig = rig.parameter(name, &format!("/tmp/{name}"), None);
    }
    let verdict = rig.run();
    let message = "wait: Error (exit code 64): output parameter 4: with it the step's parameters have 1250010 bytes, more than 1048576: make it an artifact";
    assert_eq!(ended(&verdict), (Outcome::Error, Reason::Outputs, message));
    let kept: Vec<&str> = verdict.outputs.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(kept, ["0", "1", "2", "3", "5"]);
}

#[test]
fn outputs_of_a_failed_step_are_collected_and_the_failure_is_its_own() {
    let rig = Rig::new("echo partial > /tmp/report; exit 5")
        .output(plain(at_path("report", "/tmp/report")))
        .output(at_path("model", "/tmp/model"));
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Failed, Reason::Exited, "main: Error (exit code 5)"));
    assert_eq!(keys(&verdict), ["wf/pod/report"]);
    assert_eq!(rig.got("wf/pod/report").unwrap(), b"partial\n");
}

#[test]
fn artifacts_go_out_packed_and_come_in_unpacked() {
    let rig = Rig::new("mkdir -p /tmp/out/deep; echo 1 > /tmp/out/deep/a; echo 2 > /tmp/out/b")
        .output(at_path("folder", "/tmp/out"));
    let verdict = rig.run();
    assert_eq!(keys(&verdict), ["wf/pod/folder.tgz"]);
    let written = &verdict.provenance.outputs[0];
    let stored = rig.got("wf/pod/folder.tgz").unwrap();
    assert_eq!((written.size, written.sha256.len()), (stored.len() as u64, 64));

    let next = Rig::new("cat /mnt/in/deep/a /mnt/in/b; echo more >> /mnt/in/b")
        .input(key(at_path("in", "/mnt/in"), "k"));
    next.put("k", &stored);
    assert_eq!(next.run().outcome, Outcome::Succeeded);
    assert_eq!(next.log(), b"1\n2\n");
}

#[test]
fn a_folder_without_archive_becomes_many_objects_and_comes_back() {
    let rig = Rig::new("mkdir -p /tmp/m/v1; echo w > /tmp/m/v1/w; echo c > /tmp/m/c; ln -s c /tmp/m/link")
        .output(plain(key(at_path("m", "/tmp/m"), "models/m")));
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert_eq!(rig.got("models/m/v1/w").unwrap(), b"w\n");
    assert_eq!(rig.got("models/m/link"), None);
    assert_eq!(
        (verdict.provenance.outputs[0].key.as_str(), verdict.provenance.outputs[0].size),
        ("models/m/", 4)
    );

    let next = Rig::new("cat /in/v1/w /in/c").input(key(at_path("in", "/in"), "models/m"));
    next.put("models/m/v1/w", b"w\n");
    next.put("models/m/c", b"c\n");
    let read = next.run();
    assert_eq!((read.outcome, next.log()), (Outcome::Succeeded, b"w\nc\n".to_vec()), "{}", read.message);
    assert_eq!(read.provenance.inputs[0].sha256, verdict.provenance.outputs[0].sha256);
}

#[test]
fn a_missing_input_is_an_error_unless_it_is_optional() {
    let optional = Artifact { optional: true, ..key(at_path("o", "/tmp/o"), "nothing") };
    assert_eq!(Rig::new("[ ! -e /tmp/o ]").input(optional).run().outcome, Outcome::Succeeded);
    let verdict = Rig::new("true").input(key(at_path("data", "/tmp/d"), "nothing")).run();
    let message = "init: Error (exit code 64): artifact data failed to load: there is no object nothing in the artifact repository and none below it";
    assert_eq!(ended(&verdict), (Outcome::Error, Reason::Inputs, message));
    assert_eq!(verdict.started_at, None);
}

#[test]
fn an_optional_output_that_is_missing_is_left_out() {
    let optional = Artifact { optional: true, ..at_path("o", "/tmp/o") };
    let verdict = Rig::new("true").output(optional).run();
    assert_eq!((verdict.outcome, verdict.outputs.artifacts.len()), (Outcome::Succeeded, 0));
    let verdict = Rig::new("true").output(at_path("m", "/tmp/m")).run();
    let message = "wait: Error (exit code 64): output artifact m: stat /tmp/m: no such file or directory";
    assert_eq!(ended(&verdict), (Outcome::Error, Reason::Outputs, message));
}

#[test]
fn raw_inputs_have_their_content_and_mode() {
    let raw = Some(RawLocation { data: "#!/bin/sh\necho raw".into() });
    let artifact = Artifact { raw, mode: Some(0o755), ..at_path("tool", "/opt/tool/run") };
    let rig = Rig::new("/opt/tool/run").input(artifact);
    assert_eq!(rig.run().outcome, Outcome::Succeeded);
    assert_eq!(rig.log(), b"raw\n");
}

#[test]
fn a_large_input_is_read_only_and_the_stored_one_stays_as_it_was() {
    let large = vec![7; 2 << 20];
    let script = "(echo x >> /tmp/large) 2>/dev/null; wc -c < /tmp/large";
    let rig = Rig::new(script).input(plain(key(at_path("large", "/tmp/large"), "large")));
    rig.put("large", &large);
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert_eq!(rig.got("large").unwrap(), large);
    assert_eq!(verdict.provenance.inputs[0].size, 2 << 20);
}

#[test]
fn an_input_within_a_volume_is_loaded_into_it_and_can_be_changed() {
    let large = vec![b'x'; 2 << 20];
    let rig = Rig::new("echo y >> /mnt/data/in/large")
        .claim_mount("/mnt/data")
        .input(plain(key(at_path("large", "/mnt/data/in/large"), "large")));
    rig.put("large", &large);
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert_eq!(rig.got("large").unwrap(), large);
    let changed = fs::metadata(rig.at.path().join("volumes/uid/data/in/large")).unwrap().len();
    assert_eq!(changed, (2 << 20) + 2);
}

#[test]
fn metrics_are_numbers_of_the_record() {
    let rig = Rig::new("echo '{\"accuracy\": 0.5, \"note\": \"x\"}' > /tmp/m.json; echo 3 > /tmp/p")
        .output(plain(at_path("metrics", "/tmp/m.json")))
        .parameter("metrics", "/tmp/p", None);
    let expected = [("accuracy".to_owned(), 0.5), ("metrics".to_owned(), 3.0)];
    assert_eq!(rig.run().metrics, expected.into());
}

#[test]
fn logs_become_an_artifact_when_asked_for() {
    let mut rig = Rig::new("echo said; exit 1");
    rig.work.archive_logs = true;
    let verdict = rig.run();
    assert_eq!(
        (verdict.outputs.artifacts[0].name.as_str(), keys(&verdict)),
        ("main-logs", vec!["wf/pod/main.log"])
    );
    assert_eq!(rig.got("wf/pod/main.log").unwrap(), b"said\n");
}

#[test]
fn the_environment_is_clean_and_secrets_come_from_files() {
    let mut rig = Rig::new("env; cat /etc/creds/token");
    let secrets = rig.at.path().join("secrets");
    fs::create_dir_all(secrets.join("db")).unwrap();
    fs::write(secrets.join("db/token"), "s3cr3t").unwrap();
    rig.environment.secrets = Some(secrets);
    let secret = KeySelector { name: "db".into(), key: "token".into(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(secret), ..EnvVarSource::default() };
    rig.container().env = vec![
        EnvVar { name: "TOKEN".into(), value: None, value_from: Some(source) },
        EnvVar {
            name: "URL".into(),
            value: Some("db://$(TOKEN)@$(NOBODY)/$$(TOKEN)".into()),
            value_from: None,
        },
    ];
    rig.template().volumes = vec![json!({"name": "creds", "secret": {"secretName": "db"}})];
    let mount =
        VolumeMount { name: "creds".into(), mount_path: "/etc/creds".into(), ..VolumeMount::default() };
    rig.container().volume_mounts.push(mount);
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    let log = String::from_utf8(rig.log()).unwrap();
    let has = |line: &str| log.lines().any(|l| l == line);
    for line in [
        "TOKEN=s3cr3t",
        "URL=db://s3cr3t@$(NOBODY)/$(TOKEN)",
        "AWS_ENDPOINT_URL=http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID=AK",
        "AWS_DEFAULT_REGION=eu-central-1",
        "CUDA_VISIBLE_DEVICES=",
        "ARGO_WORKFLOW_NAME=wf",
        "s3cr3t",
    ] {
        assert!(has(line), "{line} is missing in {log}");
    }
    assert!(!log.contains("CARGO"), "the person's variables reach no step: {log}");
    assert!(!format!("{:?}", verdict.provenance).contains("s3cr3t"));
}

#[test]
fn what_is_not_there_is_named() {
    let mut rig = Rig::new("true");
    let secret = KeySelector { name: "db".into(), key: "token".into(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(secret), ..EnvVarSource::default() };
    rig.container().env = vec![EnvVar { name: "T".into(), value: None, value_from: Some(source) }];
    let verdict = rig.run();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    assert!(verdict.message.contains("secret \"db\" not found"), "{}", verdict.message);
    let mut rig = Rig::new("true").claim_mount("/data");
    rig.work.volumes = vec![json!({"name": "data", "persistentVolumeClaim": {"claimName": "shared"}})];
    let verdict = rig.run();
    assert_eq!(verdict.reason, Reason::Configuration);
    assert!(
        verdict.message.contains("\"shared\" not found: name its folder in dropforge.toml"),
        "{}",
        verdict.message
    );
}

#[test]
fn the_persons_files_are_in_the_working_directory_and_their_originals_are_safe() {
    let mut rig = Rig::new("cat lib/train.py; echo changed > lib/train.py");
    let cached = rig.at.path().join("cached");
    fs::write(&cached, "print(1)\n").unwrap();
    rig.environment.files = [(PathBuf::from("lib/train.py"), cached.clone())].into();
    assert_eq!(rig.run().outcome, Outcome::Succeeded);
    assert_eq!(rig.log(), b"print(1)\n");
    assert_eq!(fs::read_to_string(cached).unwrap(), "print(1)\n");
}

#[test]
fn paths_of_the_manifest_touch_nothing_of_the_host() {
    let name = format!("dropforge-test-{}", std::process::id());
    let output = at_path("out", &format!("/tmp/{name}/out"));
    let rig = Rig::new(&format!("mkdir -p /tmp/{name}; echo x > /tmp/{name}/out")).output(output);
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert!(!Path::new("/tmp").join(name).exists());
}

/// `mkdir` without `-p` fails where the folder is there already.
#[test]
fn folders_that_no_image_has_are_the_steps_to_make() {
    let rig = Rig::new("mkdir /mnt/out /tmp/out && echo 1 > /mnt/out/a && echo 2 > /tmp/out/b")
        .output(plain(at_path("a", "/mnt/out/a")))
        .parameter("b", "/tmp/out/b", None);
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert_eq!(rig.got("wf/pod/a").unwrap(), b"1\n");
}

#[test]
fn deadlines_end_a_step_with_argos_words() {
    let mut rig = Rig::new("trap '' TERM; sleep 600 & sleep 600");
    rig.work.active_deadline_seconds = Some(1);
    let message = "Pod was active on the node longer than the specified deadline";
    assert_eq!(ended(&rig.run()), (Outcome::Failed, Reason::DeadlineExceeded, message));
    let mut rig = Rig::new("sleep 600");
    rig.work.deadline = Some(SystemClock.now() - 1.second());
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Failed, Reason::DeadlineExceeded, "Step exceeded its deadline"));
    assert_eq!(verdict.started_at, None, "its time was over before it began");
}

#[test]
fn a_stop_ends_everything_that_the_step_started() {
    let mut rig =
        Rig::new("sleep 600 & echo $! > /mnt/data/pid; setsid sleep 600 & wait").claim_mount("/mnt/data");
    // Its own name, since survivors are looked for by name.
    rig.id = "stopped".into();
    let control = Control::new().unwrap();
    let running = Mutex::new(false);
    thread::scope(|scope| {
        let step = scope.spawn(|| {
            rig.run_told(&control, &|told| *running.lock().unwrap() |= matches!(told, Told::Process { .. }))
        });
        let pid_file = rig.at.path().join("volumes/uid/data/pid");
        let pid = loop {
            match fs::read_to_string(&pid_file).unwrap_or_default().trim().parse::<u32>() {
                Ok(pid) => break pid,
                Err(_) => thread::yield_now(),
            }
        };
        control.ask(Ask::Stop("enough".into()));
        let verdict = step.join().unwrap().unwrap();
        assert_eq!(ended(&verdict), (Outcome::Failed, Reason::Stopped, "enough"));
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    });
    assert!(*running.lock().unwrap());
    assert_eq!(crate::process::survivors("stopped".as_ref()), []);
}

#[test]
fn a_step_that_forks_and_hangs_does_not_hold_its_end() {
    let mut rig = Rig::new("setsid sleep 600 & (trap '' TERM HUP; sleep 600) & echo done");
    rig.work.capture_result = true;
    let verdict = rig.run();
    assert_eq!((verdict.outcome, verdict.outputs.result.as_deref()), (Outcome::Succeeded, Some("done")));
}

#[test]
fn going_over_the_memory_limit_is_told_as_such() {
    let mut rig = Rig::new("");
    let hog =
        "b = bytearray(1 << 29)\nfor i in range(0, len(b), 4096): b[i] = 1\nimport time; time.sleep(600)";
    rig.container().command = Some(["python3", "-c", hog].map(String::from).to_vec());
    rig.demand.memory_limit_bytes = Some(64 << 20);
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Failed, Reason::OutOfMemory, "main: OOMKilled (exit code 137)"));
    assert_eq!(verdict.exit_code, Some(137));
}

#[test]
fn a_text_is_cut_where_a_character_begins() {
    assert_eq!(last("häuser".into(), 5), "user".to_owned());
    assert_eq!(last("abc".into(), 5), "abc");
}

/// Runs these scripts one after another in one store; gives what each wrote.
fn one_after_another(scripts: &[&str]) -> Vec<String> {
    let mut rig = Rig::new("");
    let run = |(number, script): (usize, &&str)| {
        rig.id = format!("room-{number}").as_str().into();
        rig.container().command = Some(["sh", "-c", script].map(String::from).to_vec());
        assert_eq!(rig.run().outcome, Outcome::Succeeded, "{script}");
        fs::read_to_string(rig.at.path().join(format!("logs/default/room-{number}/main/00000"))).unwrap()
    };
    scripts.iter().enumerate().map(run).collect()
}

#[test]
fn a_step_finds_nothing_of_the_step_that_had_its_room_before() {
    let write = "pwd; umask 0; for d in . $HOME $TMPDIR; do mkdir -p $d/deep/er; echo x > $d/file; ln -s / $d/link; done; \
        chmod 711 . $HOME";
    let look = "pwd; find . $HOME $TMPDIR -mindepth 1; stat -c %a . $HOME";
    let said = one_after_another(&[look, write, look]);
    assert_eq!(said[0], said[2]);
    assert_eq!(said[1], said[0].lines().next().unwrap().to_owned() + "\n", "all ran in one room");
}

#[test]
fn a_step_finds_nothing_at_the_paths_that_the_one_before_it_used() {
    if !isolation().can_mount() {
        println!("SKIPPED: no mount namespace here");
        return;
    }
    let write = "touch /df-top /mnt/x /run/x /var/tmp/x; mkdir /df-folder; echo wrote";
    let look = "ls -d /df-top /df-folder /mnt/* /run/x /var/tmp/* 2>/dev/null; echo looked";
    assert_eq!(one_after_another(&[write, look]), ["wrote\n", "looked\n"]);
}

#[test]
fn a_room_that_is_not_as_it_was_made_is_used_no_more() {
    if !isolation().can_mount() || !Path::new("/bin").is_symlink() {
        println!("SKIPPED: no step can harm its root here");
        return;
    }
    let said = one_after_another(&["pwd", "pwd; rm /bin", "pwd"]);
    assert_eq!(said[0], said[1]);
    assert_ne!(said[0], said[2]);
}

#[test]
fn a_room_in_which_nothing_was_left_is_taken_back_at_once_and_any_other_has_to_be_emptied() {
    let rig = Rig::new("true");
    let rooms = &rig.site.rooms;
    let mut room = rooms.take().unwrap();
    // What happens just after it was made leaves no trace in its stamps: it counts as used for a moment.
    while let Some(used) = rooms.leave(room).look() {
        rooms.empty(used);
        room = rooms.take().unwrap();
    }
    let room = rooms.take().unwrap();
    let left = room.folders.work.join("left");
    fs::write(&left, "").unwrap();
    let used = rooms.leave(room).look().unwrap();
    assert!(left.exists(), "nothing is removed while somebody may wait");
    rooms.empty(used);
    assert!(!left.exists());
    assert_eq!(rooms.take().unwrap().folders.work, left.parent().unwrap(), "the next step has the same room");
}

#[test]
fn who_needs_a_room_waits_for_one_that_is_being_looked_at() {
    let rig = Rig::new("true");
    let rooms = &rig.site.rooms;
    let room = rooms.take().unwrap();
    let own = room.folders.own.clone();
    let left = rooms.leave(room);
    let waiting = thread::scope(|scope| {
        let (tell, told) = channel();
        let waiting = scope.spawn(move || {
            tell.send(()).unwrap();
            rooms.take().unwrap().folders.own.clone()
        });
        told.recv().unwrap();
        // Time enough to make another.
        (0..10_000).for_each(|_| thread::yield_now());
        assert!(!waiting.is_finished(), "another one was made");
        assert!(left.look().is_none());
        waiting.join().unwrap()
    });
    assert_eq!(waiting, own);
    // One that has to be emptied first is waited for no longer.
    let room = rooms.take().unwrap();
    fs::write(room.folders.work.join("left"), "").unwrap();
    let other = thread::scope(|scope| {
        let left = rooms.leave(room);
        let waiting = scope.spawn(|| rooms.take().unwrap().folders.own.clone());
        let used = left.look().unwrap();
        let other = waiting.join().unwrap();
        rooms.empty(used);
        other
    });
    assert_ne!(other, own);
}
