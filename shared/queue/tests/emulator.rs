//! The queue and the scheduler as AWS answers, on an emulator: where `AWS_ENDPOINT_URL` names one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::recurring::{Recurring, Schedules};
use dropforge_driver::doorbells::{Doorbells, Ring, Why};
use dropforge_driver::reminders::{Reminders, Starter};
use dropforge_driver::timers::Timers;
use dropforge_engine::effect::{TimerId, TimerKind};
use dropforge_queue::doorbell::Doorbell;
use dropforge_queue::reminder::Reminder;
use dropforge_queue::scheduler::{Scheduler, Target};
use dropforge_queue::sqs::{Sqs, SqsReminders, SqsTimers};
use jiff::{SignedDuration, Timestamp};

/// A queue of the test's own, and schedules that send to it.
struct Place {
    config: SdkConfig,
    sqs: aws_sdk_sqs::Client,
    schedules: aws_sdk_scheduler::Client,
    url: String,
    target: Target,
}

impl Place {
    /// None where there is no emulator.
    async fn new(name: &str) -> Option<Place> {
        if std::env::var("AWS_ENDPOINT_URL").is_err() {
            println!("SKIPPED: {name} (AWS_ENDPOINT_URL names no emulator)");
            return None;
        }
        let config = dropforge_aws::from_environment().await;
        let sqs = aws_sdk_sqs::Client::new(&config);
        let name = format!("{name}-{}", SystemClock.now().as_nanosecond());
        let url = sqs.create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap();
        let wanted = QueueAttributeName::QueueArn;
        let told = sqs.get_queue_attributes().queue_url(&url).attribute_names(wanted.clone()).send().await;
        let queue_arn = told.unwrap().attributes.unwrap()[&wanted].clone();
        let schedules = aws_sdk_scheduler::Client::new(&config);
        schedules.create_schedule_group().name(&name).send().await.unwrap();
        let target = Target {
            group: name,
            role_arn: "arn:aws:iam::000000000000:role/scheduler".to_owned(),
            queue_arn,
        };
        Some(Place { config, sqs, schedules, url, target })
    }

    fn queue(&self) -> Sqs {
        Sqs::new(&self.config, &self.url)
    }

    fn scheduler(&self) -> Scheduler {
        Scheduler::new(&self.config, self.target.clone())
    }

    /// The next `count` messages, sorted.
    async fn receive(&self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            let request = self.sqs.receive_message().queue_url(&self.url).wait_time_seconds(20);
            let messages = request.max_number_of_messages(10).send().await.unwrap().messages;
            bodies.extend(messages.into_iter().flatten().filter_map(|message| message.body));
        }
        bodies.sort();
        bodies
    }

    /// What the only schedule of the group says: when, and what it sends.
    async fn schedule(&self) -> (String, String) {
        let listed = self.schedules.list_schedules().group_name(&self.target.group).send().await.unwrap();
        let [schedule] = listed.schedules() else { panic!("{:?}", listed.schedules()) };
        let request = self.schedules.get_schedule().group_name(&self.target.group);
        let told = request.name(schedule.name().unwrap()).send().await.unwrap();
        (told.schedule_expression.unwrap(), told.target.unwrap().input.unwrap())
    }
}

/// A clock that stands still.
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn timer() -> TimerId {
    TimerId { kind: TimerKind::Backoff, node: None, generation: 1 }
}

fn bell(run: &str, why: Why) -> String {
    Doorbell::new(run.into(), why).encode().unwrap()
}

#[tokio::test]
async fn more_doorbells_than_a_batch_takes_all_ring() {
    let Some(place) = Place::new("doorbells").await else { return };
    let rings: Vec<Ring> = (10..35).map(|n| Ring::new(format!("u{n}").into(), Why::Sweep)).collect();
    place.queue().ring(&rings).await.unwrap();
    let expected: Vec<String> = (10..35).map(|n| bell(&format!("u{n}"), Why::Sweep)).collect();
    assert_eq!(place.receive(25).await, expected);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_an_error() {
    let Some(place) = Place::new("missing").await else { return };
    let missing = Sqs::new(&place.config, &format!("{}-not-there", place.url));
    assert!(missing.ring(&[Ring::new("u".into(), Why::Sweep)]).await.is_err());
}

#[tokio::test]
async fn a_timer_within_the_delay_of_the_queue_comes_by_it() {
    let Some(place) = Place::new("timers").await else { return };
    let timers = SqsTimers::new(place.queue(), place.scheduler());
    let due = SystemClock.now() + SignedDuration::from_millis(900);
    timers.set(&"u1".into(), &timer(), due).await.unwrap();
    assert_eq!(place.receive(1).await, [bell("u1", Why::Timer(timer()))]);
    assert!(SystemClock.now() >= due);
}

#[tokio::test]
async fn a_later_timer_is_one_schedule_however_often_it_is_set() {
    let Some(place) = Place::new("schedules").await else { return };
    let now = "2030-01-01T00:00:00Z".parse().unwrap();
    let timers = SqsTimers::with_clock(place.queue(), place.scheduler(), Arc::new(Stopped(now)));
    for _ in 0..2 {
        timers.set(&"u1".into(), &timer(), now + SignedDuration::from_hours(1)).await.unwrap();
    }
    let expected = ("at(2030-01-01T00:59:00)".to_owned(), bell("u1", Why::Timer(timer())));
    assert_eq!(place.schedule().await, expected);
}

#[tokio::test]
async fn exactly_the_wanted_schedules_of_a_cronworkflow_are_there() {
    let Some(place) = Place::new("recurring").await else { return };
    let reminders = SqsReminders::new(place.queue(), place.scheduler());
    let starter = |name: &str| Starter::CronWorkflow { namespace: "ml".to_owned(), name: name.to_owned() };
    let recurring = |expression: &str| Recurring {
        expression: expression.to_owned(),
        timezone: "Europe/Berlin".to_owned(),
    };
    let (a, b) = (recurring("cron(0 6 ? * 2-6 *)"), recurring("cron(0 7 ? * 2-6 *)"));
    for wanted in [vec![a.clone(), b.clone()], vec![a.clone(), b.clone()], vec![b.clone()]] {
        reminders.keep(&starter("nightly"), &wanted).await.unwrap();
    }
    let expected = (b.expression.clone(), Reminder::of(starter("nightly")).encode());
    assert_eq!(place.schedule().await, expected);
    reminders.keep(&starter("other"), std::slice::from_ref(&a)).await.unwrap();
    reminders.keep(&starter("nightly"), &[]).await.unwrap();
    let expected = (a.expression, Reminder::of(starter("other")).encode());
    assert_eq!(place.schedule().await, expected);
}

#[tokio::test]
async fn a_schedule_fires_into_the_queue() {
    let Some(place) = Place::new("fires").await else { return };
    // A clock an hour behind makes a schedule of what is due in two seconds.
    let now = SystemClock.now();
    let behind = Arc::new(Stopped(now - SignedDuration::from_hours(1)));
    let reminders = SqsReminders::with_clock(place.queue(), place.scheduler(), behind);
    let churn = Starter::Trigger { namespace: "ml".to_owned(), name: "churn".to_owned() };
    reminders.remind(&churn, now + SignedDuration::from_secs(2)).await.unwrap();
    assert_eq!(place.receive(1).await, [Reminder::of(churn).encode()]);
}
