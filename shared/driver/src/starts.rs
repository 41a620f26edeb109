//! Runs that nobody submits: those that triggers and schedules start, and those that they replace. One path for a
//! laptop and for AWS; what differs is where runs are brought into the world ([`Births`]).
//!
//! What is to be done is read off the trigger's or schedule's document, so that whoever looks next does what a process
//! that died left; every step is harmless when it is done again.

use std::fmt;
use std::future::Future;

use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_manifest::types::{CronWorkflow, Trigger, Workflow};
use jiff::Timestamp;

use crate::births::{BirthError, Identity, Library, Overrides, Site, run_spec, validated};
use crate::crons::{self, Admission, CronAct, CronRun, CronState, Times, Watch};
use crate::store::{Documents, StoreError};
use crate::triggers::{self, Birth, Told, TriggerAct, TriggerState};

/// Where runs are brought into the world, and ended.
pub trait Births {
    /// Why that fails.
    type Error: From<StoreError>;

    /// What runs are made of.
    fn made_of(&mut self) -> impl Future<Output = Result<(&Library, &Site), Self::Error>>;

    /// Creates a run, unless it is there, and sees to it that somebody advances it.
    fn submit(&mut self, spec: &RunSpec) -> impl Future<Output = Result<(), Self::Error>>;

    /// Whether it is known already that the run was created.
    fn is_there(&self, run: &RunUid) -> bool;

    /// Leaves a command in the run's inbox that terminates it; `by` says who wants that.
    fn terminate(&mut self, run: &RunUid, by: String) -> impl Future<Output = Result<(), Self::Error>>;

    /// Tells people.
    fn tell(&mut self, news: News);
}

/// Something a person should know of a trigger (`trigger churn`) or a schedule (`schedule nightly`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A run begins.
    Starts {
        /// Who starts it.
        who: String,
        /// The scheduled time, where it has one.
        tick: Option<Timestamp>,
        /// The run's name.
        run: String,
    },
    /// Objects or a tick came to nothing.
    StartsNothing {
        /// Whose.
        who: String,
        /// The keys, or the time.
        what: String,
        /// Why.
        why: String,
    },
    /// A run that was decided on can't be created.
    CannotStart {
        /// Who would have started it.
        who: String,
        /// Why.
        why: String,
    },
    /// It starts nothing any more.
    Suspended {
        /// Who.
        who: String,
        /// Why, and how to go on.
        why: String,
    },
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            News::Starts { who, tick: None, run } => write!(f, "{who}: starts {run}"),
            News::Starts { who, tick: Some(tick), run } => write!(f, "{who}: {tick} starts {run}"),
            News::StartsNothing { who, what, why } => write!(f, "{who}: {what} starts nothing: {why}"),
            News::CannotStart { who, why } => write!(f, "{who}: its run can't be started: {why}"),
            News::Suspended { who, why } => write!(f, "{who}: suspended: {why}"),
        }
    }
}

/// The place and the time at which something is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// Does everything that is due for a trigger; gives its document, which says what is next.
///
/// # Errors
/// When something could not be written; looking again is right.
pub async fn of_trigger<S: Documents, B: Births>(
    store: &S,
    births: &mut B,
    here: Here<'_>,
    trigger: &Trigger,
    new: &mut (dyn FnMut() -> Identity + Send),
) -> Result<TriggerState, B::Error> {
    let name = trigger.metadata.name.as_deref().unwrap_or_default();
    let (told, acts, state) = triggers::keep::due(store, here.namespace, trigger, here.now, new).await?;
    told.into_iter().filter_map(|told| news_of(name, told)).for_each(|news| births.tell(news));
    let mut born = Vec::new();
    for act in acts {
        match act {
            TriggerAct::Create(birth) => {
                born.extend(create_drop(store, births, here, trigger, birth).await?);
            }
            TriggerAct::Terminate(uid) => births.terminate(&uid, format!("trigger {name}")).await?,
        }
    }
    if !born.is_empty() {
        triggers::keep::born(store, here.namespace, name, &born).await?;
    }
    Ok(state)
}

fn news_of(name: &str, told: Told) -> Option<News> {
    let who = format!("trigger {name}");
    match told {
        // The run itself is told of when it is created.
        Told::Started { .. } => None,
        Told::Dropped { keys, why } => Some(News::StartsNothing { who, what: keys.join(", "), why }),
        Told::Suspended { why } => Some(News::Suspended { who, why }),
    }
}

/// Creates a run, unless it is there; gives its uid unless it can't be created.
async fn create_drop<S: Documents, B: Births>(
    store: &S,
    births: &mut B,
    here: Here<'_>,
    trigger: &Trigger,
    birth: Birth,
) -> Result<Option<RunUid>, B::Error> {
    let name = trigger.metadata.name.as_deref().unwrap_or_default();
    if births.is_there(&birth.uid) {
        return Ok(Some(birth.uid));
    }
    let cause = Cause::Drop { trigger: name.to_owned(), objects: birth.objects.clone() };
    let spec = match triggers::workflow_of(trigger, &birth.objects) {
        Ok(workflow) => spec_of(births, here, workflow, &birth.identity(), cause).await?,
        Err(why) => Err(why.to_string()),
    };
    let who = format!("trigger {name}");
    match spec {
        Ok(spec) => {
            births.tell(News::Starts { who, tick: None, run: spec.name().to_owned() });
            births.submit(&spec).await?;
            Ok(Some(birth.uid))
        }
        Err(why) => {
            births.tell(News::CannotStart { who, why: why.clone() });
            triggers::keep::unborn(store, here.namespace, name, &birth.uid, &why).await?;
            Ok(None)
        }
    }
}

/// Does everything that is due for a schedule; gives its document, which says what is next.
///
/// # Errors
/// When something could not be written; looking again is right.
pub async fn of_cron<S: Documents, B: Births>(
    store: &S,
    births: &mut B,
    here: Here<'_>,
    (cron, times, watch): (&CronWorkflow, &Times, Watch),
    new_uid: &mut (dyn FnMut() -> RunUid + Send),
) -> Result<Option<CronState>, B::Error> {
    let name = cron.metadata.name.as_deref().unwrap_or_default();
    let ticked = crons::keep::tick(store, here.namespace, cron, times, (watch, here.now), new_uid);
    let (ticked, acts) = ticked.await?;
    for tick in ticked {
        let who = format!("schedule {name}");
        births.tell(match tick.admission {
            Admission::Run { run, .. } => News::Starts { who, tick: Some(tick.time), run: run.name },
            Admission::Dropped { why } => News::StartsNothing { who, what: tick.time.to_string(), why },
        });
    }
    for act in acts {
        match act {
            CronAct::Create(run) => create_tick(store, births, here, cron, &run).await?,
            CronAct::Terminate(run) => births.terminate(&run.uid, format!("schedule {name}")).await?,
        }
    }
    Ok(crons::keep::state(store, here.namespace, name).await?)
}

async fn create_tick<S: Documents, B: Births>(
    store: &S,
    births: &mut B,
    here: Here<'_>,
    cron: &CronWorkflow,
    run: &CronRun,
) -> Result<(), B::Error> {
    let name = cron.metadata.name.as_deref().unwrap_or_default();
    if !births.is_there(&run.uid) {
        let workflow = crons::workflow_of(cron, run.scheduled_time);
        let identity = Identity { uid: run.uid.clone(), suffix: String::new() };
        let cause = Cause::Schedule { cron: name.to_owned(), scheduled_time: run.scheduled_time };
        match spec_of(births, here, workflow, &identity, cause).await? {
            Ok(spec) => births.submit(&spec).await?,
            Err(why) => {
                births.tell(News::CannotStart { who: format!("schedule {name}"), why: why.clone() });
                return Ok(crons::keep::unborn(store, here.namespace, name, &run.uid, &why).await?);
            }
        }
    }
    Ok(crons::keep::born(store, here.namespace, name, &run.uid).await?)
}

async fn spec_of<B: Births>(
    births: &mut B,
    here: Here<'_>,
    mut workflow: Workflow,
    identity: &Identity,
    cause: Cause,
) -> Result<Result<RunSpec, String>, B::Error> {
    workflow.metadata.namespace = Some(here.namespace.to_owned());
    let (library, site) = births.made_of().await?;
    let spec = run_spec(workflow, library, site, &Overrides::default(), identity, cause, here.now);
    Ok(spec.and_then(validated).map_err(|why: BirthError| why.to_string()))
}
