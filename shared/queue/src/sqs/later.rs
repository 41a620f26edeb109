//! What is due at a time: within SQS's delay as a delayed message, later as a one-time schedule that sends it.

use std::sync::Arc;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::recurring::{Recurring, Schedules};
use dropforge_driver::doorbells::DELAY_MAX;
use dropforge_driver::reminders::{Reminders, Starter};
use dropforge_driver::store::StoreError;
use dropforge_driver::timers::Timers;
use dropforge_engine::effect::TimerId;
use dropforge_engine::ids::RunUid;
use jiff::{SignedDuration, Timestamp};

use super::{Message, Sqs, encoded};
use crate::doorbell::{Doorbell, Why};
use crate::reminder::Reminder;
use crate::scheduler::{Scheduler, name_of};

/// A schedule fires within a minute after its time. Where that is not good enough it is made for a minute earlier:
/// whoever hears it finds that it is early and asks again, and SQS's delay is exact.
const IMPRECISION: SignedDuration = SignedDuration::from_secs(60);

/// When something is due.
struct Due {
    at: Timestamp,
    /// Not a minute later, and perhaps first a minute earlier.
    exactly: bool,
}

/// Sends messages at their time.
#[derive(Clone)]
struct Later {
    sqs: Sqs,
    scheduler: Scheduler,
    clock: Arc<dyn Clock>,
}

impl Later {
    /// The name makes asking twice harmless where a schedule is made; a doubled message is harmless anyway.
    async fn send(&self, body: String, due: Due, name: &str) -> Result<(), StoreError> {
        let after = self.clock.now().duration_until(due.at);
        if after <= DELAY_MAX {
            return self.sqs.send(vec![Message { body, after }]).await;
        }
        let at = if due.exactly { due.at.checked_sub(IMPRECISION).unwrap_or(due.at) } else { due.at };
        self.scheduler.create_once(name, at, &body).await
    }
}

/// Timers of runs, whose doorbells ring in the events queue.
#[derive(Clone)]
pub struct SqsTimers(Later);

impl SqsTimers {
    /// Over this queue, and a scheduler that sends to it.
    pub fn new(events: Sqs, scheduler: Scheduler) -> SqsTimers {
        SqsTimers::with_clock(events, scheduler, Arc::new(SystemClock))
    }

    /// The same with another clock.
    pub fn with_clock(events: Sqs, scheduler: Scheduler, clock: Arc<dyn Clock>) -> SqsTimers {
        SqsTimers(Later { sqs: events, scheduler, clock })
    }
}

impl Timers for SqsTimers {
    async fn set(&self, run: &RunUid, timer: &TimerId, due: Timestamp) -> Result<(), StoreError> {
        let body = encoded(&Doorbell::new(run.clone(), Why::Timer(timer.clone())))?;
        let name = name_of("timer", &[run.as_str(), &timer.to_string()]);
        self.0.send(body, Due { at: due, exactly: true }, &name).await
    }

    async fn rouse(&self, run: &RunUid) -> Result<(), StoreError> {
        self.0.sqs.ring_one(&Doorbell::new(run.clone(), Why::Sweep)).await
    }
}

/// Reminders of triggers and schedules, in the queue of whoever starts runs.
#[derive(Clone)]
pub struct SqsReminders(Later);

impl SqsReminders {
    /// Over this queue, and a scheduler that sends to it.
    pub fn new(uploads: Sqs, scheduler: Scheduler) -> SqsReminders {
        SqsReminders::with_clock(uploads, scheduler, Arc::new(SystemClock))
    }

    /// The same with another clock.
    pub fn with_clock(uploads: Sqs, scheduler: Scheduler, clock: Arc<dyn Clock>) -> SqsReminders {
        SqsReminders(Later { sqs: uploads, scheduler, clock })
    }
}

impl Reminders for SqsReminders {
    async fn remind(&self, of: &Starter, due: Timestamp) -> Result<(), StoreError> {
        // The time is in the name: a trigger is due at one time after another, and an earlier schedule may still be there.
        let name = name_of("reminder", &[&of.to_string(), &due.as_second().to_string()]);
        let due = Due { at: due, exactly: false };
        self.0.send(Reminder::of(of.clone()).encode(), due, &name).await
    }
}

impl Schedules for SqsReminders {
    async fn keep(&self, of: &Starter, wanted: &[Recurring]) -> Result<(), StoreError> {
        let owner = name_of("cron", &[&of.to_string()]);
        self.0.scheduler.keep(&owner, wanted, &Reminder::of(of.clone()).encode()).await
    }
}
