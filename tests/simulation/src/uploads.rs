//! A bucket that objects are dropped into, the people who do that and who keep triggers and schedules, and what
//! EventBridge makes of the latter.

use std::collections::{BTreeMap, BTreeSet};

use dropforge_driver::crons::recurring::{Recurring, Schedules};
use dropforge_driver::ingest::{Announced, Heads, Notice};
use dropforge_driver::reminders::{Reminders, Starter};
use dropforge_driver::store::StoreError;
use dropforge_driver::{crons, definitions, starters, triggers};
use dropforge_engine::spec::DroppedObject;
use dropforge_manifest::parse::AnyObject;
use jiff::Timestamp;

use crate::births::Span;
use crate::bugs::Bug;
use crate::outside::Outside;
use crate::plan::Fault;
use crate::queue::{Body, Queue};
use crate::starting::{BUCKET, NAMESPACE, PREFIX, Ticking, Watching, document};
use crate::store::{Store, unanswered};
use crate::world::{FAULTS, Handle, World, timestamp};

/// How late EventBridge may be, in milliseconds.
const LATE_MAX: i64 = 30_000;

/// The bucket and EventBridge.
#[derive(Debug, Default)]
pub struct Uploads {
    /// All versions of all objects, oldest first.
    pub objects: Vec<DroppedObject>,
    /// Keys that were deleted after all.
    pub deleted: BTreeSet<String>,
    /// The schedules that recur.
    pub recurring: BTreeMap<Starter, BTreeSet<Recurring>>,
}

/// Saves the trigger, and drops objects until the faults are nearly over.
pub async fn drops(world: Handle, watching: Watching) {
    let (waits, many) = {
        let mut inner = world.inner();
        (inner.random.between(0, 60_000), 1 + inner.random.below(9))
    };
    world.sleep(waits).await;
    let store = Store::new(&world, false);
    let (document, text) = document(&watching.manifest());
    let name = Watching::starter().name().to_owned();
    while definitions::put(&store, NAMESPACE, &document, &text).await.is_err()
        || triggers::keep::begin(&store, NAMESPACE, &name, true, world.now()).await.is_err()
    {
        world.sleep(1_000).await;
    }
    for n in 0..many {
        let waits = {
            let mut inner = world.inner();
            let soon = inner.random.chance(1, 2);
            inner.random.between(0, if soon { 5_000 } else { FAULTS / 10 })
        };
        world.sleep(waits).await;
        drop_one(&world, &watching, n);
    }
    world.inner().people -= 1;
}

fn drop_one(world: &World, watching: &Watching, n: u64) {
    let announced = {
        let mut inner = world.inner();
        let inner = &mut *inner;
        let key = match inner.random.below(8) {
            0 => format!("other/{n}.csv"),
            1 => format!("{PREFIX}{n}.txt"),
            2..=4 => format!("{PREFIX}again.csv"),
            _ => format!("{PREFIX}{n}.csv"),
        };
        let object = DroppedObject {
            bucket: BUCKET.to_owned(),
            key: key.clone(),
            version_id: if watching.versioned { format!("v{n}") } else { String::new() },
            etag: format!("e{n}"),
            size: 3,
            // S3 tells whole seconds.
            time: timestamp(inner.now / 1000 * 1000),
        };
        let version_id = watching.versioned.then(|| object.version_id.clone());
        inner.uploads.objects.push(object);
        if !watching.versioned && inner.random.chance(1, 10) {
            inner.uploads.deleted.insert(key.clone());
        }
        Announced { bucket: BUCKET.to_owned(), key, version_id, sequencer: format!("{n:08}") }
    };
    world.note(format_args!("dropped {announced:?}"));
    world.send(Queue::Uploads, Body::Notice(Notice::Objects(vec![announced])), 0);
}

/// Saves the schedule, suspends and resumes it, and suspends it in the end.
pub async fn schedules(world: Handle, ticking: Ticking) {
    let waits = world.inner().random.between(0, 60_000);
    world.sleep(waits).await;
    let tried = world.inner().now;
    saves(&world, &ticking, false).await;
    let begun = world.inner().now;
    world.inner().births.span = Some(Span { tried, begun, paused: None, end: (i64::MAX, i64::MAX) });
    if ticking.pauses {
        let (goes, pauses) = {
            let mut inner = world.inner();
            (inner.random.between(60_000, FAULTS / 2), inner.random.between(1_000, 400_000))
        };
        world.sleep(goes).await;
        let from = world.inner().now;
        saves(&world, &ticking, true).await;
        world.sleep(pauses).await;
        saves(&world, &ticking, false).await;
        let to = world.inner().now;
        world.inner().births.span.as_mut().into_iter().for_each(|span| span.paused = Some((from, to)));
    }
    let (now, more) = {
        let mut inner = world.inner();
        (inner.now, inner.random.between(0, 400_000))
    };
    // Once nothing goes wrong any more, whatever was missed is made up for.
    world.sleep((crate::world::BEGIN + FAULTS + 200_000 - now).max(0) + more).await;
    let from = world.inner().now;
    saves(&world, &ticking, true).await;
    let to = world.inner().now;
    let mut inner = world.inner();
    inner.births.span.as_mut().into_iter().for_each(|span| span.end = (from, to));
    inner.people -= 1;
}

/// As `dropforge apply` does in a context, again until all of it is done.
async fn saves(world: &Handle, ticking: &Ticking, suspended: bool) {
    let store = Store::new(world, false);
    while save(world, &store, ticking, suspended).await.is_err() {
        world.sleep(1_000).await;
    }
    world.send(Queue::Uploads, Body::Notice(Notice::Remind(Ticking::starter())), 0);
}

async fn save(world: &World, store: &Store, ticking: &Ticking, suspended: bool) -> Result<(), StoreError> {
    starters::mark(store, &Ticking::starter(), world.now()).await?;
    let (document, text) = document(&ticking.manifest(suspended));
    definitions::put(store, NAMESPACE, &document, &text).await?;
    if let AnyObject::CronWorkflow(cron) = &document.object {
        crons::keep::begin(store, NAMESPACE, cron, world.now()).await?;
    }
    world.note(format_args!("the schedule is saved, suspended: {suspended}"));
    Ok(())
}

/// EventBridge, for ever.
pub async fn scheduler(world: Handle) {
    loop {
        let now = world.inner().now;
        world.sleep(60_000 - now % 60_000).await;
        let minute = world.inner().now / 60_000 % 60;
        let recurring = world.inner().uploads.recurring.clone();
        for (starter, all) in recurring {
            for _ in all.iter().filter(|recurring| fires(&recurring.expression, minute)) {
                let late = world.inner().random.between(0, LATE_MAX);
                world.send(Queue::Uploads, Body::Notice(Notice::Remind(starter.clone())), late);
            }
        }
    }
}

/// Whether a schedule of every hour fires in this minute of it.
fn fires(expression: &str, minute: i64) -> bool {
    let fields: Vec<&str> = expression.trim_start_matches("cron(").split(' ').collect();
    assert_eq!(
        fields[1..],
        ["*", "*", "*", "?", "*)"],
        "{expression}: made-up schedules are those of every hour"
    );
    fields[0].split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        part == "*" || (first.parse().unwrap_or(60)..=last.parse().unwrap_or(0)).contains(&minute)
    })
}

impl Outside {
    /// Asks AWS to do something, which it may refuse.
    pub async fn aws(&self, what: &'static str) -> Result<(), StoreError> {
        self.world.turn().await;
        if self.world.fault(Fault::QueueRefuses) { Err(unanswered(what)) } else { Ok(()) }
    }

    /// Hears that it was done, if that is heard.
    pub async fn aws_answers(&self, what: &'static str) -> Result<(), StoreError> {
        self.world.turn().await;
        if self.world.fault(Fault::QueueAnswerLost) { Err(unanswered(what)) } else { Ok(()) }
    }
}

impl Reminders for Outside {
    async fn remind(&self, of: &Starter, due: Timestamp) -> Result<(), StoreError> {
        self.aws("remind of").await?;
        let after = due.as_millisecond() - self.world.inner().now;
        self.world.send(Queue::Uploads, Body::Notice(Notice::Remind(of.clone())), after);
        self.aws_answers("remind of").await
    }
}

/// Those that are not wanted go and those that are missing come, one after the other.
impl Schedules for Outside {
    async fn keep(&self, of: &Starter, wanted: &[Recurring]) -> Result<(), StoreError> {
        self.aws("list the schedules of").await?;
        let there = self.world.inner().uploads.recurring.get(of).cloned().unwrap_or_default();
        let wanted: BTreeSet<Recurring> = wanted.iter().cloned().collect();
        for gone in there.difference(&wanted) {
            self.aws("delete a schedule of").await?;
            self.world.inner().uploads.recurring.entry(of.clone()).or_default().remove(gone);
            self.aws_answers("delete a schedule of").await?;
        }
        for new in wanted.difference(&there) {
            self.aws("make a schedule of").await?;
            self.world.inner().uploads.recurring.entry(of.clone()).or_default().insert(new.clone());
            self.aws_answers("make a schedule of").await?;
        }
        self.world.note(format_args!("{of} recurs at {wanted:?}"));
        Ok(())
    }
}

impl Heads for Outside {
    async fn head(&self, announced: &Announced) -> Result<Option<DroppedObject>, StoreError> {
        self.world.turn().await;
        if self.world.fault(Fault::StoreRefuses) {
            return Err(unanswered("look at"));
        }
        let (newest, inner) = (self.world.breaks(Bug::NewestHead), self.world.inner());
        let is_it = |object: &&DroppedObject| {
            object.key == announced.key
                && announced.version_id.as_ref().is_none_or(|v| newest || object.version_id == *v)
        };
        let deleted = announced.version_id.is_none() && inner.uploads.deleted.contains(&announced.key);
        Ok(inner.uploads.objects.iter().rev().find(is_it).filter(|_| !deleted).cloned())
    }
}
