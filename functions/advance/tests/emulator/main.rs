//! The function `advance` as Lambda runs it, on S3 and SQS of the emulator: a run without pods goes to its end although
//! every message comes twice and a call is killed between its commit and its effects.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lambda;
mod requests;

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::doorbells::Why;
use dropforge_driver::pods::Stores;
use dropforge_driver::store::{Index, Runs};
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::record::Record;
use dropforge_engine::spec::Cause;
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_queue::doorbell::Doorbell;
use dropforge_storage::s3::S3Store;
use lambda::Function;
use serde_json::{Value, json};

const MANIFEST: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: no-pods}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: first, template: nap}
      - {name: never, template: nap, when: '1 == 2'}
    - - {name: second, template: nap}
  - name: nap
    suspend: {duration: 2}
";

struct Bed {
    endpoint: String,
    store: S3Store,
    sqs: aws_sdk_sqs::Client,
    queue: String,
    stores: Stores,
}

impl Bed {
    async fn new(name: &str) -> Option<Bed> {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").ok()?;
        let aws = dropforge_aws::from_environment().await;
        let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        let bucket = |part: &str| format!("advance-{name}-{part}-{}", std::process::id());
        let stores = Stores {
            control: bucket("control"),
            artifacts: bucket("artifacts"),
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.clone()),
        };
        for bucket in [&stores.control, &stores.artifacts] {
            s3.create_bucket().bucket(bucket).send().await.unwrap();
        }
        let sqs = aws_sdk_sqs::Client::new(&aws);
        let queue = sqs.create_queue().queue_name(bucket("events")).send().await.unwrap();
        let queue = queue.queue_url().unwrap().to_owned();
        Some(Bed { endpoint, store: S3Store::new(&aws, &stores), sqs, queue, stores })
    }

    fn variables(&self) -> Vec<(String, String)> {
        let all = [
            ("DROPFORGE_CONTROL_BUCKET", self.stores.control.as_str()),
            ("DROPFORGE_ARTIFACT_BUCKET", &self.stores.artifacts),
            ("DROPFORGE_EVENTS_QUEUE_URL", &self.queue),
            ("DROPFORGE_EVENTS_QUEUE_ARN", "arn:aws:sqs:us-east-1:000000000000:events"),
            ("DROPFORGE_UPLOAD_QUEUE_URL", &self.queue),
            ("DROPFORGE_UPLOAD_QUEUE_ARN", "arn:aws:sqs:us-east-1:000000000000:uploads"),
            ("DROPFORGE_SCHEDULE_GROUP", "none"),
            ("DROPFORGE_SCHEDULER_ROLE_ARN", "arn:aws:iam::000000000000:role/none"),
            ("DROPFORGE_KUBECONFIG", "/nonexistent"),
            ("DROPFORGE_NAMESPACES", "default"),
            ("DROPFORGE_EXECUTOR_IMAGE", "none"),
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_REGION", "us-east-1"),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The messages that wait, as Lambda hands them over, each of them twice.
    async fn event(&self) -> Option<Value> {
        let messages = self.sqs.receive_message().queue_url(&self.queue).max_number_of_messages(10);
        let messages =
            messages.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let messages = messages.wait_time_seconds(1).send().await.unwrap().messages.unwrap_or_default();
        let mut records = Vec::new();
        for message in messages {
            let (id, body) = (message.message_id().unwrap(), message.body().unwrap());
            for twice in ["a", "b"] {
                records.push(record(&format!("{id}-{twice}"), body, 1));
            }
            let handle = message.receipt_handle().unwrap();
            self.sqs.delete_message().queue_url(&self.queue).receipt_handle(handle).send().await.unwrap();
        }
        (!records.is_empty()).then(|| json!({"Records": records}))
    }

    async fn born(&self, uid: &str, manifest: &str) -> RunUid {
        let parsed = parse("t", manifest).documents.into_iter().next().map(|d| d.object);
        let Some(AnyObject::Workflow(workflow)) = parsed else { panic!("no workflow") };
        let identity = Identity { uid: uid.into(), suffix: uid.to_owned() };
        let cause = Cause::Person { by: "test".to_owned() };
        let (library, site, overrides) = (Library::default(), Site::default(), Overrides::default());
        let now = SystemClock.now();
        let spec = run_spec(*workflow, &library, &site, &overrides, &identity, cause, now).unwrap();
        self.store.create_run(&spec).await.unwrap();
        spec.uid
    }
}

fn record(id: &str, body: &str, times: u32) -> Value {
    let attributes = json!({"ApproximateReceiveCount": times.to_string()});
    json!({"messageId": id, "body": body, "attributes": attributes, "messageAttributes": {}})
}

#[tokio::test]
async fn sqs_a_run_without_pods_ends_although_messages_come_twice_and_a_call_is_killed() {
    let Some(bed) = Bed::new("naps").await else {
        println!("SKIPPED: advance on S3 and SQS (AWS_ENDPOINT_URL names no emulator)");
        return;
    };
    let run = bed.born("11111111-2222-3333-4444-555555555555", MANIFEST).await;
    let bell = Doorbell::new(run.clone(), Why::Submitted).encode().unwrap();

    // Its commit is made; then nobody answers its effects, and it is killed.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut variables = bed.variables();
    let nowhere = format!("http://{}", silent.local_addr().unwrap());
    variables.push(("AWS_ENDPOINT_URL_SQS".to_owned(), nowhere));
    let mut killed = Function::start(&variables).await;
    killed.send(&json!({"Records": [record("1", &bell, 1)]}));
    let began = Instant::now();
    while bed.store.load_run(&run).await.unwrap().records.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not commit");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(killed);

    // The queue delivers the message again.
    let mut function = Function::start(&bed.variables()).await;
    let answer = function.call(&json!({"Records": [record("1", &bell, 2), record("2", "{", 1)]})).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let began = Instant::now();
    while !bed.store.live_runs().await.unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(120), "the run does not end");
        if let Some(event) = bed.event().await {
            assert_eq!(function.call(&event).await, json!({"batchItemFailures": []}));
        }
    }
    let entry = bed.store.entries(None).await.unwrap().remove(0);
    assert_eq!((entry.phase, entry.progress.as_str()), (RunPhase::Succeeded, "2/2"));
    let records = bed.store.load_run(&run).await.unwrap().records;
    let timers = records.iter().filter(|record| matches!(record, Record::TimerSet { .. })).count();
    assert_eq!(timers, 2, "each nap was set once");
}

#[tokio::test]
async fn sqs_under_load_a_call_takes_more_doorbells_than_it_was_handed() {
    let Some(bed) = Bed::new("load").await else {
        println!("SKIPPED: many doorbells on S3 and SQS (AWS_ENDPOINT_URL names no emulator)");
        return;
    };
    let run = bed
        .born("41111111-2222-3333-4444-555555555555", &MANIFEST.replace("duration: 2", "duration: 600"))
        .await;
    let bell = Doorbell::new(run.clone(), Why::Sweep).encode().unwrap();
    // A message that is not done with stays, and is not told to Lambda, which did not hand it over.
    let newer = r#"{"format":99,"run":"u","why":"sweep"}"#.to_owned();
    for body in std::iter::repeat_n(&bell, 40).chain([&newer]) {
        bed.sqs.send_message().queue_url(&bed.queue).message_body(body).send().await.unwrap();
    }
    let handed: Vec<Value> = (0..10).map(|id| record(&id.to_string(), &bell, 1)).collect();
    let mut function = Function::start(&bed.variables()).await;
    assert_eq!(function.call(&json!({"Records": handed})).await, json!({"batchItemFailures": []}));
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let asked = bed.sqs.get_queue_attributes().queue_url(&bed.queue);
    let found = asked.set_attribute_names(Some(names.to_vec())).send().await.unwrap().attributes.unwrap();
    assert_eq!(names.map(|name| found[&name].clone()), ["0", "1"]);
    assert_eq!(bed.store.load_run(&run).await.unwrap().position, 1, "all of them are one commit");
}
