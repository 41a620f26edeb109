//! CronWorkflows: which ticks are due, what becomes of each, and what the runs they made tell back.
//!
//! A tick's identity is the schedule's name and the scheduled time. What becomes of it is written into the schedule's
//! document (`crons/<namespace>/<name>.json`) before its run is created, the run's uid included; the document is
//! therefore also the list of what is still to be done ([`CronState::acts`]), and whoever reads it next does the rest.
//!
//! [`decide`] and the other methods of [`CronState`] are pure; the functions of [`keep`] read and write the document.

use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_manifest::parse::ARGO_VERSION;
use dropforge_manifest::schedule::{Schedule, ScheduleError, with_timezone};
use dropforge_manifest::types::{CronWorkflow, CronWorkflowSpec, ObjectMeta, Workflow};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::packing;

pub mod keep;
mod policy;
pub mod recurring;
#[cfg(test)]
mod tests;

pub use policy::PolicyError;
use recurring::Recurring;

/// The version of the document that this code writes.
pub const CRON_FORMAT: u32 = 1;

/// Says what becomes of ticks that nobody was there for: `all`, `latest` or `none`.
pub const MISSED_TICKS: &str = "dropforge.dev/missed-ticks";
/// Names the schedule on a run that it made.
pub const CRON_LABEL: &str = "workflows.argoproj.io/cron-workflow";
/// Holds the scheduled time on such a run.
pub const SCHEDULED_TIME: &str = "workflows.argoproj.io/scheduled-time";

/// Since when somebody is there for ticks, and how late a tick may be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// A tick before this was missed: nobody was there.
    pub since: Timestamp,
    /// A tick that is handled later than this was missed: its timer did not fire.
    pub late_max: SignedDuration,
}

impl Watch {
    /// A process that began at `since` and has timers of its own; where a timer is a minute late, the machine slept.
    pub fn by_process(since: Timestamp) -> Watch {
        Watch { since, late_max: SignedDuration::from_secs(60) }
    }

    /// Messages of EventBridge Scheduler, which come up to a minute after their time by its own account, and a message
    /// may fail and come again.
    pub fn by_messages() -> Watch {
        Watch { since: Timestamp::MIN, late_max: SignedDuration::from_mins(10) }
    }
}

/// At most this many missed ticks are made up for: Kubernetes' bound for its own CronJobs is 100, but `all` is asked
/// for explicitly, and a day of ticks every minute has 1440.
const MISSED_MAX: usize = 1500;

/// A run that a tick made and whose end has not been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronRun {
    /// Its uid, drawn when the tick was admitted.
    pub uid: RunUid,
    /// Its name.
    pub name: String,
    /// The tick.
    pub scheduled_time: Timestamp,
    /// Whether it is known that the run was created.
    #[serde(default)]
    pub born: bool,
    /// Whether another run replaces it, so that it is to be terminated.
    #[serde(default)]
    pub replaced: bool,
}

/// A run that a tick made and that has ended, until it is beyond the history limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronEnd {
    /// Its uid.
    pub uid: RunUid,
    /// Its name.
    pub name: String,
    /// When it was created, by which the list of runs knows it.
    pub created_at: Timestamp,
    /// How it ended last.
    pub phase: RunPhase,
}

/// What a person should know about the last tick that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// The tick.
    pub scheduled_time: Timestamp,
    /// Why it made no run.
    pub why: String,
}

/// The document of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronState {
    /// Version of this document.
    pub format: u32,
    /// Ticks up to this time are decided on.
    pub handled: Timestamp,
    /// The schedules that this holds for, with their time zone.
    pub schedules: Vec<String>,
    /// Missed ticks that are still to be run, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<Timestamp>,
    /// Runs that are not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<CronRun>,
    /// The last tick that made a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scheduled_time: Option<Timestamp>,
    /// Runs that succeeded.
    #[serde(default)]
    pub succeeded: u64,
    /// Runs that did not, and ticks that could not become a run.
    #[serde(default)]
    pub failed: u64,
    /// Whether the stop strategy's condition has held: no tick fires any more.
    #[serde(default)]
    pub stopped: bool,
    /// The last tick that made no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_note: Option<Note>,
    /// The schedules of EventBridge that are known to be there for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recurring: Vec<Recurring>,
    /// The time for which a reminder was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminded: Option<Timestamp>,
    /// Runs that have ended and are still listed, for the history limits: the list of runs knows no schedules, and holds
    /// the runs of all. An older program drops them, and then these runs stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<CronEnd>,
    /// Whether it was suspended when it was last begun: what came meanwhile was not missed.
    #[serde(default)]
    pub suspended: bool,
}

/// What is to be done because of a schedule's document; doing it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronAct {
    /// Create this run, then call [`keep::born`].
    Create(CronRun),
    /// Terminate this run.
    Terminate(CronRun),
}

/// What became of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It becomes this run; the runs in `replaces` are terminated first.
    Run {
        /// The new run.
        run: CronRun,
        /// Those it replaces.
        replaces: Vec<RunUid>,
    },
    /// It comes to nothing.
    Dropped {
        /// Why, for people.
        why: String,
    },
}

/// A tick and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticked {
    /// The scheduled time.
    pub time: Timestamp,
    /// What became of it.
    pub admission: Admission,
}

/// What becomes of ticks that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missed {
    All,
    Latest,
    /// Argo's rule: the latest, where `startingDeadlineSeconds` still allows it.
    Argo,
    None,
}

/// The times at which a CronWorkflow fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Times(Vec<Schedule>);

impl Times {
    /// Reads the schedules of a spec.
    ///
    /// # Errors
    /// The first that can't be read.
    pub fn of(spec: &CronWorkflowSpec) -> Result<Times, ScheduleError> {
        let zone = spec.timezone.as_deref();
        spec.schedules.iter().map(|text| Schedule::parse(text, zone)).collect::<Result<_, _>>().map(Times)
    }

    /// The first tick after `time`. Schedules that fire together are one tick.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|schedule| schedule.next_after(time)).min()
    }

    /// The ticks after `from` up to `to`, oldest first; of more than [`MISSED_MAX`] the newest.
    fn between(&self, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut ticks = std::collections::VecDeque::new();
        let mut next = self.next_after(from);
        while let Some(tick) = next.filter(|tick| *tick <= to) {
            if ticks.len() == MISSED_MAX {
                ticks.pop_front();
            }
            ticks.push_back(tick);
            next = self.next_after(tick);
        }
        ticks.into()
    }
}

fn registered(spec: &CronWorkflowSpec) -> Vec<String> {
    spec.schedules.iter().map(|text| with_timezone(text, spec.timezone.as_deref())).collect()
}

impl CronState {
    /// The document of a schedule that is seen for the first time: nothing before `now` is due.
    pub fn new(spec: &CronWorkflowSpec, now: Timestamp) -> CronState {
        CronState {
            format: CRON_FORMAT,
            handled: now,
            schedules: registered(spec),
            missed: Vec::new(),
            active: Vec::new(),
            last_scheduled_time: None,
            succeeded: 0,
            failed: 0,
            stopped: false,
            last_note: None,
            recurring: Vec::new(),
            reminded: None,
            ends: Vec::new(),
            suspended: spec.suspend == Some(true),
        }
    }

    /// Notes that the schedule was taken away. Its runs go on; one of the same name that comes later begins anew, and
    /// nothing between the two was missed.
    pub fn forget(&mut self) {
        self.schedules.clear();
        self.missed.clear();
    }

    /// Notes that the schedule is there (again).
    pub fn begin(&mut self, spec: &CronWorkflowSpec, now: Timestamp) {
        if self.schedules.is_empty() {
            let (active, ends) = (std::mem::take(&mut self.active), std::mem::take(&mut self.ends));
            let recurring = std::mem::take(&mut self.recurring);
            *self = CronState { active, ends, recurring, ..CronState::new(spec, now) };
        }
        if std::mem::replace(&mut self.suspended, spec.suspend == Some(true)) {
            self.handled = self.handled.max(now);
        }
    }

    /// What is to be done.
    pub fn acts(&self) -> Vec<CronAct> {
        let creations = self.active.iter().filter(|run| !run.born).cloned().map(CronAct::Create);
        let ends = self.active.iter().filter(|run| run.replaced).cloned().map(CronAct::Terminate);
        creations.chain(ends).collect()
    }

    /// The ticks that are due at `now`, oldest first, those missed by `missed` included; moves `handled` past them.
    /// Those that nobody was there for at their time are missed.
    fn take_due(
        &mut self,
        cron: &CronWorkflow,
        times: &Times,
        watch: Watch,
        now: Timestamp,
    ) -> Vec<Timestamp> {
        let changed = self.schedules != registered(&cron.spec);
        let ticks = times.between(self.handled, now);
        self.schedules = registered(&cron.spec);
        if !ticks.is_empty() {
            self.handled = self.handled.max(now);
        }
        let on_time = |tick: &Timestamp| *tick > watch.since && now.duration_since(*tick) <= watch.late_max;
        let (due, missed): (Vec<_>, Vec<_>) = ticks.into_iter().partition(on_time);
        // The ticks of a schedule that was written differently at the time say nothing about this one.
        if !changed {
            self.missed.extend(made_up(cron, missed, now));
        }
        due
    }

    /// Decides on one tick, as Argo does: stop strategy, suspension, `when`, concurrency.
    fn admit(&mut self, cron: &CronWorkflow, tick: Timestamp, now: Timestamp, uid: RunUid) -> Admission {
        let why = match policy::stops(cron, self, now) {
            Err(why) => return self.refuse(tick, &why),
            Ok(true) => {
                self.stopped = true;
                "the stopStrategy's condition holds"
            }
            Ok(false) if cron.spec.suspend == Some(true) => "the schedule is suspended",
            Ok(false) => match policy::when_holds(cron, self, now) {
                Err(why) => return self.refuse(tick, &why),
                Ok(false) => "its `when` does not hold",
                Ok(true) if self.forbids(cron) => "concurrencyPolicy Forbid: an earlier run is active",
                Ok(true) => return self.run(cron, tick, uid),
            },
        };
        self.drop_tick(tick, why.to_owned())
    }

    fn forbids(&self, cron: &CronWorkflow) -> bool {
        cron.spec.concurrency_policy.as_deref() == Some("Forbid") && !self.active.is_empty()
    }

    fn run(&mut self, cron: &CronWorkflow, tick: Timestamp, uid: RunUid) -> Admission {
        let mut replaces = Vec::new();
        if cron.spec.concurrency_policy.as_deref() == Some("Replace") {
            for run in &mut self.active {
                run.replaced = true;
                replaces.push(run.uid.clone());
            }
        }
        let run =
            CronRun { uid, name: run_name(cron, tick), scheduled_time: tick, born: false, replaced: false };
        self.active.push(run.clone());
        self.last_scheduled_time = self.last_scheduled_time.max(Some(tick));
        Admission::Run { run, replaces }
    }

    fn drop_tick(&mut self, tick: Timestamp, why: String) -> Admission {
        self.last_note = Some(Note { scheduled_time: tick, why: why.clone() });
        Admission::Dropped { why }
    }

    /// As in Argo, a policy that can't be evaluated counts as a failure.
    fn refuse(&mut self, tick: Timestamp, why: &PolicyError) -> Admission {
        self.failed += 1;
        self.drop_tick(tick, format!("run policy error: {why}"))
    }

    /// Notes that a run was created.
    pub fn born(&mut self, uid: &RunUid) {
        for run in self.active.iter_mut().filter(|run| run.uid == *uid) {
            run.born = true;
        }
    }

    /// Notes that an admitted run can't be created.
    pub fn unborn(&mut self, uid: &RunUid, why: &str) {
        let Some(at) = self.active.iter().position(|run| run.uid == *uid && !run.born) else { return };
        let run = self.active.remove(at);
        self.failed += 1;
        self.drop_tick(run.scheduled_time, why.to_owned());
    }

    /// Notes the end of a run; gives whether it was active. Saying it twice counts once.
    pub fn ended(&mut self, cron: Option<&CronWorkflow>, end: CronEnd, now: Timestamp) -> bool {
        let phase = end.phase;
        let known = self.active.iter().position(|run| run.uid == end.uid);
        match self.ends.iter_mut().find(|known| known.uid == end.uid) {
            // It was retried since.
            Some(known) => known.phase = phase,
            None if known.is_some() => self.ends.push(end),
            None => {}
        }
        let Some(at) = known else { return false };
        self.active.remove(at);
        match phase {
            RunPhase::Succeeded => self.succeeded += 1,
            _ => self.failed += 1,
        }
        // A condition that can't be evaluated is told at the next tick.
        self.stopped |= cron.is_some_and(|cron| policy::stops(cron, self, now).unwrap_or(false));
        true
    }

    /// The runs that have ended and are too many: all but the newest 3 that succeeded and the newest that did not, or what
    /// the schedule's limits say.
    pub fn beyond_history(&self, cron: &CronWorkflow) -> Vec<CronEnd> {
        let mut newest: Vec<&CronEnd> = self.ends.iter().collect();
        newest.sort_by(|a, b| (b.created_at, &a.uid).cmp(&(a.created_at, &b.uid)));
        let (succeeded, others): (Vec<_>, Vec<_>) =
            newest.into_iter().partition(|end| end.phase == RunPhase::Succeeded);
        let limit =
            |limit: Option<i64>, default: usize| limit.map_or(default, |n| usize::try_from(n).unwrap_or(0));
        let succeeded = succeeded.into_iter().skip(limit(cron.spec.successful_jobs_history_limit, 3));
        let others = others.into_iter().skip(limit(cron.spec.failed_jobs_history_limit, 1));
        succeeded.chain(others).cloned().collect()
    }

    /// Whether nothing is left to do until a tick: a run that is active ends without anybody's doing.
    pub fn rests(&self) -> bool {
        self.missed.is_empty() && self.acts().is_empty()
    }

    /// Whether a reminder for `due` is to be asked for: none that is still to come is as early.
    pub fn reminds(&self, due: Timestamp, now: Timestamp) -> bool {
        !self.reminded.is_some_and(|reminded| now < reminded && reminded <= due)
    }

    /// When there is something to decide next.
    pub fn next_due(&self, cron: &CronWorkflow, times: &Times) -> Option<Timestamp> {
        if self.stopped {
            return None;
        }
        if self.missed_may_run(cron) {
            return Some(self.handled);
        }
        times.next_after(self.handled)
    }

    /// Missed ticks that must not run beside others wait for their turn instead of being dropped.
    fn missed_may_run(&self, cron: &CronWorkflow) -> bool {
        let alone = matches!(cron.spec.concurrency_policy.as_deref(), Some("Forbid" | "Replace"));
        !self.missed.is_empty() && (!alone || self.active.is_empty())
    }
}

/// Decides on everything that is due; each tick's run gets its uid from `new_uid`.
pub fn decide(
    cron: &CronWorkflow,
    times: &Times,
    state: &mut CronState,
    watch: Watch,
    now: Timestamp,
    new_uid: &mut dyn FnMut() -> RunUid,
) -> Vec<Ticked> {
    if state.stopped {
        return Vec::new();
    }
    let due = state.take_due(cron, times, watch, now);
    let mut ticked = Vec::new();
    while state.missed_may_run(cron) {
        let time = state.missed.remove(0);
        ticked.push(Ticked { time, admission: state.admit(cron, time, now, new_uid()) });
    }
    for time in due {
        ticked.push(Ticked { time, admission: state.admit(cron, time, now, new_uid()) });
    }
    ticked
}

/// Which of the missed ticks are run after all.
fn made_up(cron: &CronWorkflow, mut missed: Vec<Timestamp>, now: Timestamp) -> Vec<Timestamp> {
    let policy = missed_policy(&cron.metadata);
    let deadline = cron.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if policy == Missed::None || (policy == Missed::Argo && deadline.is_none()) {
        return Vec::new();
    }
    missed.retain(|tick| deadline.is_none_or(|deadline| now.duration_since(*tick) < deadline));
    let skip = if policy == Missed::All { 0 } else { missed.len().saturating_sub(1) };
    missed.split_off(skip)
}

fn missed_policy(metadata: &ObjectMeta) -> Missed {
    match metadata.annotations.get(MISSED_TICKS).map(String::as_str) {
        Some("all") => Missed::All,
        Some("latest") => Missed::Latest,
        Some("none") => Missed::None,
        _ => Missed::Argo,
    }
}

/// The name of a tick's run, the same however often it is asked for.
pub fn run_name(cron: &CronWorkflow, tick: Timestamp) -> String {
    format!("{}-{}", cron.metadata.name.as_deref().unwrap_or_default(), tick.as_second())
}

/// The Workflow that a tick becomes.
pub fn workflow_of(cron: &CronWorkflow, tick: Timestamp) -> Workflow {
    let given = cron.spec.workflow_metadata.clone().unwrap_or_default();
    let mut metadata = ObjectMeta {
        name: Some(run_name(cron, tick)),
        namespace: cron.metadata.namespace.clone(),
        labels: given.labels,
        annotations: given.annotations,
        finalizers: given.finalizers,
        ..ObjectMeta::default()
    };
    let creator = |name: &str| name.starts_with("workflows.argoproj.io/creator");
    let creators = cron.metadata.labels.iter().filter(|(name, _)| creator(name));
    metadata.labels.extend(creators.map(|(name, value)| (name.clone(), value.clone())));
    metadata.labels.insert(CRON_LABEL.to_owned(), cron.metadata.name.clone().unwrap_or_default());
    metadata.annotations.insert(SCHEDULED_TIME.to_owned(), tick.to_string());
    packing::hand_on(&cron.metadata, &mut metadata);
    Workflow {
        api_version: ARGO_VERSION.to_owned(),
        kind: "Workflow".to_owned(),
        metadata,
        spec: cron.spec.workflow_spec.clone(),
        status: None,
    }
}
