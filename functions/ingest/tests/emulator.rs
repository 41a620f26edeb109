//! Objects dropped into S3 as S3 itself tells of them, on an emulator: where `AWS_ENDPOINT_URL` names one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_s3::types::{
    BucketVersioningStatus, Event, NotificationConfiguration, QueueConfiguration, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use dropforge_driver::births::Site;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::definitions;
use dropforge_driver::ingest::Ingest;
use dropforge_driver::store::Runs;
use dropforge_engine::spec::{Cause, DroppedObject};
use dropforge_ingest::batch;
use dropforge_ingest::heads::S3Heads;
use dropforge_manifest::parse::parse;
use dropforge_queue::scheduler::{Scheduler, Target};
use dropforge_queue::sqs::{Sqs, SqsReminders};
use dropforge_storage::memory::MemoryStore;

/// A bucket that announces to a queue.
struct Place {
    config: SdkConfig,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    name: String,
    uploads: String,
    events: String,
    store: MemoryStore,
}

impl Place {
    async fn new(name: &str) -> Option<Place> {
        if std::env::var("AWS_ENDPOINT_URL").is_err() {
            println!("SKIPPED: {name} (AWS_ENDPOINT_URL names no emulator)");
            return None;
        }
        let config = dropforge_aws::from_environment().await;
        let settings = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(settings);
        let sqs = aws_sdk_sqs::Client::new(&config);
        let name = format!("{name}-{}", SystemClock.now().as_nanosecond());
        let mut urls = Vec::new();
        for queue in ["uploads", "events"] {
            let request = sqs.create_queue().queue_name(format!("{name}-{queue}"));
            urls.push(request.send().await.unwrap().queue_url.unwrap());
        }
        let [uploads, events] = urls.try_into().unwrap();
        let place = Place { config, s3, sqs, name, uploads, events, store: MemoryStore::default() };
        place.announce().await;
        Some(place)
    }

    async fn announce(&self) {
        self.s3.create_bucket().bucket(&self.name).send().await.unwrap();
        let wanted = QueueAttributeName::QueueArn;
        let request =
            self.sqs.get_queue_attributes().queue_url(&self.uploads).attribute_names(wanted.clone());
        let arn = request.send().await.unwrap().attributes.unwrap()[&wanted].clone();
        let queue = QueueConfiguration::builder().queue_arn(arn).events(Event::from("s3:ObjectCreated:*"));
        let queues = NotificationConfiguration::builder().queue_configurations(queue.build().unwrap());
        let request = self.s3.put_bucket_notification_configuration().bucket(&self.name);
        request.notification_configuration(queues.build()).send().await.unwrap();
    }

    async fn keep_versions(&self) {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.s3.put_bucket_versioning().bucket(&self.name);
        request.versioning_configuration(on).send().await.unwrap();
    }

    async fn define_trigger(&self) {
        let text = format!(
            "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: churn}}\nspec:\n  s3: {{bucket: {}, prefix: up/}}\n  maxActive: 100\n  workflow: {{entrypoint: main, templates: [{{name: main, container: {{image: a, command: [a]}}}}]}}\n",
            self.name
        );
        for document in parse("trigger", &text).documents {
            definitions::put(&self.store, "ml", &document, &text).await.unwrap();
        }
    }

    async fn put(&self, key: &str, body: &str) {
        let body = body.as_bytes().to_vec().into();
        self.s3.put_object().bucket(&self.name).key(key).body(body).send().await.unwrap();
    }

    /// The next `count` messages of the upload queue as Lambda gives them to the function.
    async fn received(&self, count: usize) -> SqsEvent {
        let mut records = Vec::new();
        while records.len() < count {
            let request = self.sqs.receive_message().queue_url(&self.uploads).wait_time_seconds(20);
            let messages = request.max_number_of_messages(10).send().await.unwrap().messages;
            records.extend(messages.into_iter().flatten().map(|message| {
                let mut record = SqsMessage::default();
                record.message_id = message.message_id;
                record.body = message.body;
                record
            }));
        }
        let mut event = SqsEvent::default();
        event.records = records;
        event
    }

    async fn handle(&self, event: SqsEvent, call: &str) -> batch::Answer {
        let (uploads, events) = (Sqs::new(&self.config, &self.uploads), Sqs::new(&self.config, &self.events));
        let target =
            Target { group: "default".to_owned(), role_arn: String::new(), queue_arn: String::new() };
        let alarms = SqsReminders::new(uploads, Scheduler::new(&self.config, target));
        let (heads, site) = (S3Heads::new(self.s3.clone()), Site::default());
        let ingest = Ingest {
            store: &self.store,
            doorbells: &events,
            alarms: &alarms,
            heads: &heads,
            namespaces: &["ml".to_owned()],
            site: &site,
            now: SystemClock.now(),
        };
        batch::handle(&ingest, event, call).await
    }

    /// The objects of all runs, by key.
    async fn dropped(&self) -> Vec<DroppedObject> {
        let mut all = Vec::new();
        for uid in self.store.live_runs().await.unwrap() {
            match self.store.load_run(&uid).await.unwrap().spec.cause {
                Cause::Drop { objects, .. } => all.extend(objects),
                other => panic!("{other:?}"),
            }
        }
        all.sort_by(|a, b| (&a.key, a.size).cmp(&(&b.key, b.size)));
        all
    }
}

#[tokio::test]
async fn dropped_objects_start_runs_whatever_their_keys_are_and_once() {
    let Some(place) = Place::new("ingest-keys").await else { return };
    place.define_trigger().await;
    let long = format!("up/{}", "x".repeat(1021));
    let mut keys = vec!["up/a.csv", "up/sp ace+é%2B.json", "up/100%", "up/a&b=c?d#e", long.as_str()];
    for (n, key) in keys.iter().enumerate() {
        place.put(key, &"x".repeat(n + 1)).await;
    }
    // The first message is S3's own test of the notification.
    let event = place.received(keys.len() + 1).await;
    let answers = [place.handle(event.clone(), "call-1").await, place.handle(event, "call-2").await];
    for answer in answers {
        assert_eq!((answer.response, answer.dropped), (SqsBatchResponse::default(), 0));
    }
    keys.sort_unstable();
    let dropped = place.dropped().await;
    assert_eq!(dropped.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), keys);
    assert!(dropped.iter().all(|object| object.version_id.is_empty() && object.etag.len() == 32));
}

#[tokio::test]
async fn each_version_of_an_object_is_a_drop_and_a_deleted_one_is_none() {
    let Some(place) = Place::new("ingest-versions").await else { return };
    place.define_trigger().await;
    place.keep_versions().await;
    place.put("up/a.csv", "1").await;
    place.put("up/a.csv", "22").await;
    place.put("up/gone.csv", "333").await;
    let listed = place.s3.list_object_versions().bucket(&place.name).prefix("up/gone").send().await.unwrap();
    let version = listed.versions()[0].version_id().unwrap();
    let request = place.s3.delete_object().bucket(&place.name).key("up/gone.csv").version_id(version);
    request.send().await.unwrap();
    let event = place.received(4).await;
    assert_eq!(place.handle(event, "call-1").await.response, SqsBatchResponse::default());
    let dropped = place.dropped().await;
    let sizes: Vec<(&str, u64)> = dropped.iter().map(|object| (object.key.as_str(), object.size)).collect();
    assert_eq!(sizes, [("up/a.csv", 1), ("up/a.csv", 2)]);
    assert_ne!(dropped[0].version_id, dropped[1].version_id);
}

#[tokio::test]
async fn what_cannot_be_read_is_dropped_and_what_cannot_be_asked_comes_again() {
    let Some(mut place) = Place::new("ingest-garbage").await else { return };
    place.define_trigger().await;
    place.put("up/a.csv", "1").await;
    let mut event = place.received(2).await;
    let mut message = |id: &str, body: String| {
        let mut record = SqsMessage::default();
        (record.message_id, record.body) = (Some(id.to_owned()), Some(body));
        event.records.push(record);
    };
    message("garbage", "{".to_owned());
    message("newer", r#"{"format":99,"remind":{}}"#.to_owned());
    let answer = place.handle(event.clone(), "call-1").await;
    let failed = |answer: &batch::Answer| -> Vec<String> {
        answer.response.batch_item_failures.iter().map(|failure| failure.item_identifier.clone()).collect()
    };
    assert_eq!((failed(&answer), answer.dropped), (vec!["newer".to_owned()], 1));
    // Nobody listens there.
    let nowhere = place.s3.config().to_builder().endpoint_url("http://127.0.0.1:1").build();
    place.s3 = aws_sdk_s3::Client::from_conf(nowhere);
    assert_eq!(failed(&place.handle(event, "call-2").await).len(), 2);
}
