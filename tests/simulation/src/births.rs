//! Runs that come into the world, and what must hold of those that triggers and schedules start: each object version and
//! each tick is in one run, no more are active than the policy says, and nothing is left to do in the end.

use std::collections::BTreeSet;

use dropforge_driver::crons::Times;
use dropforge_driver::{crons, starters, triggers};
use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::{Cause, DroppedObject, RunSpec};
use dropforge_manifest::parse::AnyObject;
use dropforge_manifest::types::CronWorkflow;
use jiff::Timestamp;

use crate::checks::{Expected, is_over, now};
use crate::starting::{NAMESPACE, PREFIX, Ticking, Watching, document};
use crate::world::{World, timestamp};

/// How far a clock, and who was at it when the schedule was saved, may be off, in milliseconds.
const ABOUT: i64 = 10_000;

/// So soon after its time a tick is handled where nothing goes wrong, in milliseconds.
const HANDLED: i64 = 50_000;

/// All births of a world.
#[derive(Debug, Default)]
pub struct Births {
    /// All that were ever there.
    uids: BTreeSet<RunUid>,
    /// The runs of triggers and schedules, as they came.
    pub born: Vec<RunSpec>,
    /// The trigger, where there is one.
    pub watching: Option<Watching>,
    /// The schedule, where there is one.
    pub ticking: Option<Ticking>,
    /// When the schedule was there.
    pub span: Option<Span>,
}

/// From when to when a schedule was there, in milliseconds: when somebody began to save that, and when he was done.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// It was saved for the first time; from here on it may tick.
    pub tried: i64,
    /// From here on it ticks.
    pub begun: i64,
    /// It was suspended from here to there.
    pub paused: Option<(i64, i64)>,
    /// It was suspended for good.
    pub end: (i64, i64),
}

impl Births {
    /// The runs of triggers and schedules, with what each is to come to: any end where another may replace it.
    pub fn flows(&self) -> Vec<(RunUid, Expected)> {
        let flow = |spec: &RunSpec| match &spec.cause {
            Cause::Drop { .. } => self.watching.as_ref().map(|w| (w.policy, w.flow.clone())),
            _ => self.ticking.as_ref().map(|t| (t.policy, t.flow.clone())),
        };
        let expected = |spec: &RunSpec| match flow(spec) {
            Some((policy, flow)) if policy != "Replace" => Expected::Flow(flow),
            _ => Expected::Ends,
        };
        self.born.iter().map(|spec| (spec.uid.clone(), expected(spec))).collect()
    }

    fn ticks(&self) -> Vec<Timestamp> {
        let time = |spec: &RunSpec| match &spec.cause {
            Cause::Schedule { scheduled_time, .. } => Some(*scheduled_time),
            _ => None,
        };
        self.born.iter().filter_map(time).collect()
    }

    fn drops(&self) -> Vec<Vec<DroppedObject>> {
        let objects = |spec: &RunSpec| match &spec.cause {
            Cause::Drop { objects, .. } => Some(objects.clone()),
            _ => None,
        };
        self.born.iter().filter_map(objects).collect()
    }
}

/// A run is created: sees whether it may be.
pub fn born(world: &World, spec: &RunSpec) {
    if !world.inner().births.uids.insert(spec.uid.clone()) {
        world.wrong(format_args!("{} is born once more", spec.uid));
        return;
    }
    let (limit, twice) = {
        let inner = world.inner();
        match &spec.cause {
            Cause::Person { .. } => return,
            Cause::Schedule { scheduled_time, .. } => {
                let forbids = inner.births.ticking.as_ref().is_some_and(|t| t.policy == "Forbid");
                (forbids.then_some(0), inner.births.ticks().contains(scheduled_time))
            }
            Cause::Drop { objects, .. } => {
                let watching = inner.births.watching.as_ref();
                let many = watching.is_some_and(|watching| objects.len() > watching.members_max());
                (watching.and_then(Watching::others_max), many)
            }
        }
    };
    let others = active(world, spec);
    world.note(format_args!("born {} {:?} beside {others}", spec.uid, spec.cause));
    if twice {
        world.wrong(format_args!("{} should not be: {:?}", spec.uid, spec.cause));
    }
    if limit.is_some_and(|limit| others > limit) {
        world.wrong(format_args!("{} begins beside {others} others, {limit:?} may be active", spec.uid));
    }
    world.inner().births.born.push(spec.clone());
}

/// How many others of the same trigger or schedule are active.
fn active(world: &World, spec: &RunSpec) -> usize {
    let kind = std::mem::discriminant(&spec.cause);
    let same = |other: &&RunSpec| std::mem::discriminant(&other.cause) == kind;
    let others: Vec<RunUid> =
        world.inner().births.born.iter().filter(same).map(|other| other.uid.clone()).collect();
    others.iter().filter(|run| !is_over(world, run)).count()
}

/// Whether triggers and schedules have nothing left to do.
pub fn rest(world: &World) -> bool {
    now(starters::marked(&world.kept)).expect("memory").is_empty()
        && world.inner().uploads.recurring.values().all(BTreeSet::is_empty)
}

/// What is left to do, for people.
pub fn unrest(world: &World) -> String {
    format!("marked {:?}", now(starters::marked(&world.kept)))
}

/// At the end.
pub fn judge(world: &World) {
    let (watching, ticking) = {
        let inner = world.inner();
        (inner.births.watching.clone(), inner.births.ticking.clone())
    };
    watching.iter().for_each(|watching| drops(world, watching));
    ticking.iter().for_each(|ticking| ticks(world, ticking));
}

fn drops(world: &World, watching: &Watching) {
    let (objects, deleted, drops) = {
        let inner = world.inner();
        (inner.uploads.objects.clone(), inner.uploads.deleted.clone(), inner.births.drops())
    };
    for object in &objects {
        let times = drops.iter().flatten().filter(|dropped| *dropped == object).count();
        let wanted = object.key.starts_with(PREFIX) && object.key.ends_with(".csv");
        let newest =
            objects.iter().filter(|other| other.key == object.key).all(|other| other.time <= object.time);
        // Of versions written in one second any may be the newest.
        let alone = objects.iter().filter(|o| (&o.key, o.time) == (&object.key, object.time)).count() == 1;
        let last = objects.iter().rfind(|other| other.key == object.key) == Some(object);
        let needed = wanted
            && !watching.drops()
            && if watching.versioned { watching.debounce.is_none() || newest && alone } else { last }
            && !deleted.contains(&object.key);
        if times > usize::from(wanted) || needed && times == 0 {
            world.wrong(format_args!("{object:?} is in {times} runs of the trigger"));
        }
    }
    let name = Watching::starter();
    let state = now(triggers::keep::state(&world.kept, NAMESPACE, name.name())).expect("memory");
    let Some(state) = state else { return world.wrong("the trigger has no document") };
    let counted = state.succeeded + state.failed;
    if !state.rests() || !state.active.is_empty() || counted != drops.len() as u64 {
        world.wrong(format_args!("the trigger had {} runs and is left as {state:?}", drops.len()));
    }
}

fn ticks(world: &World, ticking: &Ticking) {
    let (ticked, span) = {
        let inner = world.inner();
        (inner.births.ticks(), inner.births.span)
    };
    let Some(span) = span else { return world.wrong("the schedule was never saved") };
    let AnyObject::CronWorkflow(cron) = document(&ticking.manifest(false)).0.object else { return };
    // Those of `@every` depend on when the one before was handled.
    if !ticking.schedules[0].starts_with("@every") {
        let (may, must) = expected(world, ticking, &cron, span);
        let ticked: BTreeSet<Timestamp> = ticked.iter().copied().collect();
        if !ticked.is_subset(&may) || !must.is_subset(&ticked) {
            world.wrong(format_args!("ticks {ticked:?}, of {may:?}, and must have been {must:?}"));
        }
    }
    let name = Ticking::starter();
    let state = now(crons::keep::state(&world.kept, NAMESPACE, name.name())).expect("memory");
    let Some(state) = state else { return world.wrong("the schedule has no document") };
    let counted = state.succeeded + state.failed;
    if !state.rests() || !state.active.is_empty() || counted != ticked.len() as u64 {
        world.wrong(format_args!("the schedule had {} runs and is left as {state:?}", ticked.len()));
    }
}

/// The ticks that may have a run, and those that must have one.
fn expected(
    world: &World,
    ticking: &Ticking,
    cron: &CronWorkflow,
    span: Span,
) -> (BTreeSet<Timestamp>, BTreeSet<Timestamp>) {
    let times = Times::of(&cron.spec).expect("made-up schedules can be read");
    let first = timestamp(span.tried - ABOUT);
    let last = timestamp(span.end.1 + ABOUT);
    let all = std::iter::successors(times.next_after(first), |tick| times.next_after(*tick));
    let may: BTreeSet<Timestamp> = all.take_while(|tick| *tick <= last).collect();
    let made_up = ticking.missed == Some("all") && span.paused.is_none();
    let sure = ticking.policy == "Allow" && (made_up || world.is_peaceful());
    let handled = |tick: &&Timestamp| {
        let at = tick.as_millisecond();
        let paused = span.paused.is_some_and(|(from, to)| (from - HANDLED..=to + ABOUT).contains(&at));
        sure && !paused && (span.begun + ABOUT..span.end.0 - HANDLED).contains(&at)
    };
    let must = may.iter().filter(handled).copied().collect();
    (may, must)
}
