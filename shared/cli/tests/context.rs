//! Verbs in a context, on an emulator of S3 and SQS where `AWS_ENDPOINT_URL` names one. What functions do on AWS, the
//! test does itself, with the same driver.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_config::SdkConfig;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::Idle;
use dropforge_driver::owner::{Ends, Owner};
use dropforge_driver::pods::Stores;
use dropforge_driver::reminders::Starter;
use dropforge_driver::starters;
use dropforge_driver::store::{Attempts, Documents, Logs, Runs, StoreError};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::effect::Effect;
use dropforge_engine::event::Event;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::RunSpec;
use dropforge_queue::local::LocalTimers;
use dropforge_storage::s3::S3Store;
use serde_json::{Value, json};

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod bench;

use bench::{Answer, Bench};

/// Buckets and a queue of a test's own, and the context that names them.
struct Place {
    bench: Bench,
    config: SdkConfig,
    stores: Stores,
    queue_url: String,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    /// None where there is no emulator.
    fn new(name: &str) -> Option<Place> {
        if std::env::var("AWS_ENDPOINT_URL").is_err() {
            println!("SKIPPED: {name} (AWS_ENDPOINT_URL names no emulator)");
            return None;
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let name = format!("{name}-{}", SystemClock.now().as_nanosecond());
        let (config, queue_url) = runtime.block_on(made(&name));
        let stores = Stores {
            control: name.clone(),
            artifacts: format!("{name}-a"),
            region: "us-east-1".to_owned(),
            endpoint: std::env::var("AWS_ENDPOINT_URL").ok(),
        };
        let place = Place { bench: Bench::new(), config, stores, queue_url, runtime };
        place.know();
        Some(place)
    }

    /// Makes the deployment known as context `cloud`, as Terraform's output tells it.
    fn know(&self) {
        self.know_with(json!({}));
    }

    fn know_with(&self, more: Value) {
        let mut own = json!({
            "format": 1, "name": "test", "region": "us-east-1", "control_bucket": self.stores.control,
            "artifact_bucket": self.stores.artifacts, "upload_bucket": format!("{}-u", self.stores.control),
            "events_queue_url": self.queue_url, "upload_queue_url": self.queue_url,
            "namespaces": {"ml": {"service_account": "dropforge-step", "isolation": "namespace"}}});
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.bench.write("outputs.json", json!({"dropforge": {"value": own}}).to_string());
        let endpoint = self.stores.endpoint.clone().unwrap();
        self.dropforge(&["context", "add", "cloud", "outputs.json", "--endpoint", &endpoint]).exits(0);
    }

    /// The command, with the emulator's credentials and nothing else of this process.
    fn dropforge(&self, arguments: &[&str]) -> Answer {
        let mut command = self.bench.command(arguments);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("DROPFORGE_CONTEXT", "cloud");
        self.bench.start_command(&mut command).end()
    }

    fn store(&self) -> S3Store {
        S3Store::new(&self.config, &self.stores)
    }

    /// The texts that the queue holds.
    fn rung(&self) -> Vec<String> {
        let sqs = aws_sdk_sqs::Client::new(&self.config);
        let request = sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(10);
        let received = self.runtime.block_on(request.send()).unwrap().messages;
        let told: Vec<_> = received.into_iter().flatten().collect();
        for handle in told.iter().filter_map(|message| message.receipt_handle()) {
            let done = sqs.delete_message().queue_url(&self.queue_url).receipt_handle(handle).send();
            self.runtime.block_on(done).unwrap();
        }
        told.into_iter().filter_map(|message| message.body).collect()
    }

    /// What functions do: runs advance, commands are read, steps say hello and succeed.
    fn functions(&self) -> Functions {
        let (config, stores) = (self.config.clone(), self.stores.clone());
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            while !told.load(Ordering::Relaxed) {
                runtime.block_on(turn(&Arc::new(S3Store::new(&config, &stores))));
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        Functions { over, thread: Some(thread) }
    }
}

async fn made(name: &str) -> (SdkConfig, String) {
    let config = dropforge_aws::from_environment().await;
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    for bucket in [name.to_owned(), format!("{name}-a"), format!("{name}-u")] {
        s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    let queue = aws_sdk_sqs::Client::new(&config).create_queue().queue_name(name).send().await.unwrap();
    (config, queue.queue_url.unwrap())
}

struct Functions {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

struct Nobody;

impl Ends for Nobody {
    async fn ended(&self, _: &RunSpec, _: RunPhase) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_artifacts(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_volumes(&self, _: &RunSpec) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Looks at every live run once.
async fn turn(store: &Arc<S3Store>) {
    for run in store.live_runs().await.unwrap() {
        let (cluster, timers) = (Arc::new(Idle), LocalTimers::default());
        let mut owner =
            Owner::new(store.clone(), cluster, timers, Nobody, SystemClock, Box::new(|_, _, _| {}));
        // Its marker is older than its spec.
        if owner.adopt(&run).await.is_err() {
            continue;
        }
        let Some(state) = owner.run(&run) else { continue };
        let namespace = state.program.spec.namespace().to_owned();
        let started: Vec<_> = state.outbox.values().filter_map(|effect| started(effect)).collect();
        for attempt in started {
            store.append_log(&namespace, &attempt.id, "main", b"hello\n").await.unwrap();
            let end = Verdict::without_outputs(
                attempt.id.clone(),
                Outcome::Succeeded,
                Reason::Exited,
                "",
                SystemClock.now(),
            );
            let verdict = Arc::new(store.put_verdict(&namespace, &end).await.unwrap());
            owner.handle(&run, vec![Event::AttemptFinished { verdict }]).await.unwrap();
        }
    }
}

fn started(effect: &Effect) -> Option<Arc<dropforge_engine::attempt::Attempt>> {
    match effect {
        Effect::StartAttempt(attempt) => Some(attempt.clone()),
        _ => None,
    }
}

const MANIFEST: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: forge-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: prepare, template: step}
    - - {name: approve, template: approve}
    - - {name: train, template: step}
  - name: step
    container: {image: busybox, command: [echo, hello]}
  - name: approve
    suspend: {}
";

#[test]
fn a_run_is_submitted_followed_resumed_and_told_of() {
    let Some(place) = Place::new("verbs") else { return };
    place.bench.write("wf.yaml", MANIFEST);
    let name = place.dropforge(&["submit", "wf.yaml"]).exits(0).stdout.trim().to_owned();
    assert!(place.rung().iter().any(|text| text.contains("\"submitted\"")), "its doorbell rings");
    assert!(place.dropforge(&["list"]).exits(0).stdout.contains(&name), "before anything looked at it");

    let functions = place.functions();
    let waits =
        || place.dropforge(&["get", &name, "-o", "json"]).exits(0).json().to_string().contains("approve");
    while !waits() {}
    place.dropforge(&["resume", &name]).exits(0);
    place.dropforge(&["wait", &name]).exits(0);
    let logs = place.dropforge(&["logs", &name, "--follow"]).exits(0);
    assert_eq!(logs.stdout, "prepare: hello\ntrain: hello\n");
    let listed = place.dropforge(&["list", "-o", "json"]).exits(0).json();
    assert_eq!((&listed[0]["name"], &listed[0]["phase"]), (&json!(name), &json!("Succeeded")));
    let told = place.dropforge(&["explain", &name]).exits(0).stdout;
    assert!(told.contains("tester submitted it") && told.contains("Resume"), "{told}");
    place.dropforge(&["resume", &name]).exits(1).says(&["refused"]);
    place.dropforge(&["retry", &name]).exits(1).says(&["refused"]);

    let again = place.dropforge(&["resubmit", &name]).exits(0).stdout.trim().to_owned();
    place.dropforge(&["stop", &again, "-m", "enough"]).exits(0);
    place.dropforge(&["wait", &again]).exits(1);
    place.dropforge(&["delete", &again]).exits(0);
    place.dropforge(&["get", &again]).exits(2).says(&["namespace ml of context cloud"]);
    drop(functions);
}

#[test]
fn what_steps_take_along_is_stored_once_and_noted_on_definitions() {
    let Some(place) = Place::new("luggage") else { return };
    place.bench.write("train.py", "print(1)\n");
    place.bench.write("dropforge.toml", "[code]\ninclude = [\"train.py\"]\n");
    place.bench.write("wf.yaml", MANIFEST);
    let template = MANIFEST
        .replace("kind: Workflow", "kind: WorkflowTemplate")
        .replace("generateName: forge-", "name: forge");
    place.bench.write("template.yaml", template);

    place.dropforge(&["submit", "wf.yaml"]).exits(0).says(&["storing environments/ml/"]);
    let again = place.dropforge(&["apply", "template.yaml"]).exits(0);
    assert!(!again.stderr.contains("storing"), "it is there: {again}");
    place.dropforge(&["submit", "--from", "workflowtemplate/forge"]).exits(0);

    let store = place.store();
    let taken = place.runtime.block_on(async {
        let mut taken = Vec::new();
        for run in store.live_runs().await.unwrap() {
            taken.push(store.load_run(&run).await.unwrap().spec.packed.code.unwrap().hash);
        }
        taken
    });
    assert_eq!((taken.len(), &taken[0]), (2, &taken[1]), "also a run of the stored template");
    let key = format!("environments/ml/{}", taken[0]);
    assert!(place.runtime.block_on(store.get(&key)).unwrap().is_some(), "{key}");
}

#[test]
fn what_only_a_pod_can_be_is_no_finding_where_steps_are_pods() {
    let Some(place) = Place::new("checked") else { return };
    place.bench.write(
        "pods.yaml",
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: pods-}
spec:
  entrypoint: main
  hostAliases: [{ip: 10.0.0.1, hostnames: [db]}]
  templates: [{name: main, container: {image: busybox, command: ['true']}}]
",
    );
    place.dropforge(&["lint", "pods.yaml"]).exits(0);
    place.dropforge(&["submit", "pods.yaml", "-n", "ml"]).exits(0);
    let here = place.bench.dropforge(&["lint", "pods.yaml"]).exits(2);
    assert!(here.stdout.contains("hostAliases"), "{here}");
}

#[test]
fn what_can_not_be_reached_is_told_with_what_to_do() {
    let Some(place) = Place::new("unreached") else { return };
    place.dropforge(&["--context", "other", "list"]).exits(2).says(&["no context \"other\"", "cloud"]);
    place.dropforge(&["run", "wf.yaml"]).exits(2).says(&["not in context cloud", "`submit`"]);
    let mut command = place.bench.command(["--context", "cloud", "list"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    place.bench.start_command(&mut command).end().exits(3).says(&["context cloud", "aws sso login"]);
}

#[test]
fn the_doctor_names_what_is_missing() {
    let Some(place) = Place::new("doctor") else { return };
    let answer = place.dropforge(&["doctor"]).exits(1);
    for well in ["can be listed", "are honoured", "messages wait"] {
        assert!(answer.stdout.contains(well), "{well}: {answer}");
    }
    assert!(answer.stdout.contains("nothing is told of its objects"), "no notification was made: {answer}");
    assert!(answer.stdout.contains("aws eks update-kubeconfig"), "no kubeconfig: {answer}");
    assert!(
        answer.stdout.contains("isolation of steps in ml: steps are kept apart by namespace"),
        "{answer}"
    );
    // Whom the emulator takes its keys for.
    assert!(answer.stdout.contains("your permissions: all: you are the account's root user"), "{answer}");
}

#[test]
fn the_doctor_knows_how_the_deployment_hears_of_files_and_what_its_bucket_must_refuse() {
    let Some(place) = Place::new("hears") else { return };
    let (bucket, uploads) = (&place.stores.control, format!("{}-u", place.stores.control));
    let told = |how: &str, rule: Option<&str>| {
        place.know_with(
            json!({"upload_notification": how, "upload_rule": rule, "upload_queue_arn": "arn:aws:sqs:r:1:u",
            "executor_image": "127.0.0.1:1/team/executor:1"}),
        );
        place.dropforge(&["doctor"]).exits(1).stdout
    };
    let before = told("queue", None);
    for words in [
        format!("?     policy of {bucket}: does not refuse requests without TLS, nor a second write"),
        format!("FAIL  announcements of {uploads}: nothing is told of its objects"),
        "?     image 127.0.0.1:1/team/executor:1: was not seen from here".to_owned(),
    ] {
        assert!(before.contains(&words), "{words}: {before}");
    }
    place.runtime.block_on(owned(&place.config, bucket, &uploads));
    let after = told("eventbridge", Some("nobody-made-it"));
    for words in [
        format!("ok    policy of {bucket}: refuses"),
        format!("ok    announcements of {uploads}: go to EventBridge"),
        "FAIL  rule nobody-made-it: it is not there".to_owned(),
    ] {
        assert!(after.contains(&words), "{words}: {after}");
    }
    let another = told("queue", None);
    assert!(
        another.contains(&format!("FAIL  announcements of {uploads}: they go to EventBridge")),
        "{another}"
    );
}

/// What the owners of these buckets do: one refuses what Terraform's output says, the other turns EventBridge on.
async fn owned(config: &SdkConfig, control: &str, uploads: &str) {
    let s3 = aws_sdk_s3::config::Builder::from(config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let arn = format!("arn:aws:s3:::{control}");
    let deny = |actions: &str, resources: Value, condition: Value| json!({"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resources, "Condition": condition});
    let once =
        ["journals/*", "attempts/*/claim.json", "attempts/*/result.json"].map(|key| format!("{arn}/{key}"));
    let policy = json!({"Version": "2012-10-17", "Statement": [
        deny("s3:*", json!([arn, format!("{arn}/*")]), json!({"Bool": {"aws:SecureTransport": "false"}})),
        deny("s3:PutObject", json!(once), json!({"Null": {"s3:if-none-match": "true"}}))]});
    s3.put_bucket_policy().bucket(control).policy(policy.to_string()).send().await.unwrap();
    let on = aws_sdk_s3::types::EventBridgeConfiguration::builder().build();
    let told = aws_sdk_s3::types::NotificationConfiguration::builder().event_bridge_configuration(on).build();
    let put = s3.put_bucket_notification_configuration().bucket(uploads).notification_configuration(told);
    put.send().await.unwrap();
}

#[test]
fn an_applied_schedule_is_told_to_who_makes_schedules() {
    let Some(place) = Place::new("schedules") else { return };
    let spec =
        "{schedules: [\"0 3 * * *\"], workflowSpec: {entrypoint: m, templates: [{name: m, suspend: {}}]}}";
    let head = "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {name: nightly}\n";
    place.bench.write("cron.yaml", format!("{head}spec: {spec}\n"));
    let told = || place.rung().iter().filter(|text| text.contains("\"cronWorkflow\"")).count();
    place.dropforge(&["apply", "cron.yaml"]).exits(0);
    // Where the message is lost, the sweep finds the mark.
    let marks = place.runtime.block_on(starters::marked(&place.store())).unwrap();
    assert_eq!(marks.iter().map(Starter::name).collect::<Vec<_>>(), ["nightly"]);
    assert_eq!(told(), 1);
    assert!(place.dropforge(&["cron", "list"]).exits(0).stdout.contains("nightly"));
    place.dropforge(&["cron", "suspend", "nightly"]).exits(0);
    place.dropforge(&["cron", "delete", "nightly"]).exits(0);
    assert_eq!(told(), 2);
}
