//! Messages of S3 and of the scheduler, on AWS: which triggers take an object, which ticks are due, and the runs that
//! follow.
//!
//! A message is believed in nothing but names: an object's facts are read anew, what is due is read off the documents.
//! Messages come late, twice, in any order, and after a process died in the middle: everything here may be done again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use dropforge_engine::event::Command;
use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::{DroppedObject, RunSpec};
use dropforge_manifest::types::{CronWorkflow, Trigger};
use jiff::{SignedDuration, Timestamp};

use crate::births::{Identity, Site};
use crate::crons::recurring::{Schedules, chained, recurring, untold};
use crate::crons::{self, Times, Watch};
use crate::definitions;
use crate::doorbells::Doorbells;
use crate::pods::is_object_name;
use crate::reminders::{Reminders, Starter};
use crate::starters;
use crate::starts::{Here, of_cron, of_trigger};
use crate::store::{Documents, Inbox, Runs, StoreError};
use crate::triggers::{self, Arrival};

mod births;
#[cfg(test)]
mod tests;

use births::RungBirths;

/// An object as a message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// Orders the writes to one key, as text; empty where it is not told.
    pub sequencer: String,
}

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Objects were written.
    Objects(Vec<Announced>),
    /// Something of a trigger or schedule may be due.
    Remind(Starter),
}

/// Reads objects' facts.
pub trait Heads: Send + Sync {
    /// What is stored under this name; none where the object, or that version of it, is gone.
    ///
    /// # Errors
    /// When it can't be asked.
    fn head(
        &self,
        object: &Announced,
    ) -> impl Future<Output = Result<Option<DroppedObject>, StoreError>> + Send;
}

/// Where runs are born and told to end.
pub trait NewRuns: Send + Sync {
    /// Marks the run live, then stores its spec, unless it is there.
    ///
    /// # Errors
    /// When it can't be stored.
    fn create(&self, spec: &RunSpec) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Leaves a command in a run's inbox, unless it is there.
    ///
    /// # Errors
    /// When it can't be stored.
    fn command(&self, run: &RunUid, command: &Command)
    -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl<S: Runs + Inbox> NewRuns for S {
    async fn create(&self, spec: &RunSpec) -> Result<(), StoreError> {
        self.create_run(spec).await.map(drop)
    }

    async fn command(&self, run: &RunUid, command: &Command) -> Result<(), StoreError> {
        self.put_command(run, command).await.map(drop)
    }
}

/// What ingesting needs of the world.
pub struct Ingest<'a, S, D, M, H> {
    /// Definitions, documents, runs.
    pub store: &'a S,
    /// Where new runs ring.
    pub doorbells: &'a D,
    /// Reminders, and schedules that recur.
    pub alarms: &'a M,
    /// The objects that messages name.
    pub heads: &'a H,
    /// The namespaces whose definitions count.
    pub namespaces: &'a [String],
    /// What holds for every run.
    pub site: &'a Site,
    /// The time.
    pub now: Timestamp,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Ingested {
    /// What became of each message, in their order; one that failed is to come again.
    pub messages: Vec<Result<(), StoreError>>,
    /// Schedules that were looked at, with their namespaces.
    pub crons: Vec<(String, CronWorkflow)>,
}

/// How often a schedule is gone about again because somebody else was at it: a definition seldom changes, and each try
/// costs a few requests.
const TRIES_MAX: u32 = 4;

/// A tick that is so little ahead is asked for once more: the message for it may have come already, by a clock that is
/// ahead of this one, and the next one is that of the next tick. Later by half of it, clocks that differ agree on it.
const EARLY: SignedDuration = SignedDuration::from_secs(10);

/// Namespace and name.
type Named = (String, String);

/// The objects that a trigger takes, and the messages that they came with.
#[derive(Default)]
struct Taken {
    objects: Vec<Arrival>,
    messages: BTreeSet<usize>,
}

impl<S, D, M, H> Ingest<'_, S, D, M, H>
where
    S: Documents + NewRuns,
    D: Doorbells,
    M: Reminders + Schedules,
    H: Heads,
{
    /// Does what a batch of messages asks for; what failed is told of each message that it came with.
    pub async fn handle(&self, notices: &[Notice], new: &mut (dyn FnMut() -> Identity + Send)) -> Ingested {
        let mut failures: BTreeMap<usize, StoreError> = BTreeMap::new();
        let (mut takers, mut ticks) = (BTreeMap::new(), BTreeMap::new());
        for (at, notice) in notices.iter().enumerate() {
            if let Notice::Remind(starter) = notice
                && !self.serves(starter)
            {
                tracing::warn!(?starter, "a reminder names nothing that could be here, and was dropped");
                continue;
            }
            remembered(notice, at, &mut takers, &mut ticks);
        }
        self.take(notices, &mut takers, &mut failures).await;
        for ((namespace, name), taken) in takers {
            if let Err(why) = self.trigger(&namespace, &name, taken.objects, new).await {
                blame(&mut failures, &taken.messages, &why);
            }
        }
        let mut crons = Vec::new();
        for ((namespace, name), messages) in ticks {
            match self.cron(&namespace, &name, new).await {
                Ok(cron) => crons.extend(cron.map(|cron| (namespace, cron))),
                Err(why) => blame(&mut failures, &messages, &why),
            }
        }
        let outcome = |at| failures.remove(&at).map_or(Ok(()), Err);
        Ingested { messages: (0..notices.len()).map(outcome).collect(), crons }
    }

    /// Finds the triggers that take what was announced, and reads the objects' facts.
    async fn take(
        &self,
        notices: &[Notice],
        takers: &mut BTreeMap<Named, Taken>,
        failures: &mut BTreeMap<usize, StoreError>,
    ) {
        let mut triggers = None;
        for (at, notice) in notices.iter().enumerate() {
            let Notice::Objects(objects) = notice else { continue };
            if triggers.is_none() {
                triggers = Some(self.triggers().await);
            }
            let taken = match &triggers {
                Some(Ok((triggers, unread))) => {
                    let taken = self.take_message(at, objects, triggers, takers).await;
                    // It may be meant for that one, too: the message stays until it can be read.
                    taken.and(unread.as_ref().map_or(Ok(()), |why| Err(again(why))))
                }
                Some(Err(why)) => Err(again(why)),
                None => Ok(()),
            };
            if let Err(why) = taken {
                failures.insert(at, why);
            }
        }
    }

    async fn take_message(
        &self,
        at: usize,
        objects: &[Announced],
        triggers: &[(String, Trigger)],
        takers: &mut BTreeMap<Named, Taken>,
    ) -> Result<(), StoreError> {
        for announced in objects {
            let takes = |(_, trigger): &&(String, Trigger)| {
                triggers::matches(trigger, &announced.bucket, &announced.key).is_ok()
            };
            let matching: Vec<_> = triggers.iter().filter(takes).collect();
            if matching.is_empty() {
                continue;
            }
            let Some(object) = self.heads.head(announced).await? else {
                tracing::info!(bucket = announced.bucket, key = announced.key, "the object is gone");
                continue;
            };
            for (namespace, trigger) in matching {
                let name = trigger.metadata.name.clone().unwrap_or_default();
                let taken = takers.entry((namespace.clone(), name)).or_default();
                let sequencer = announced.sequencer.clone();
                taken.objects.push(Arrival { object: object.clone(), sequencer });
                taken.messages.insert(at);
            }
        }
        Ok(())
    }

    /// Whether a reminder, which anybody may have sent, names what could be a definition of these namespaces.
    fn serves(&self, starter: &Starter) -> bool {
        is_object_name(starter.name())
            && self.namespaces.iter().any(|namespace| namespace == starter.namespace())
    }

    /// The triggers of all namespaces, and why one of them can't be read, if there is such a one.
    async fn triggers(&self) -> Result<(Vec<(String, Trigger)>, Option<StoreError>), StoreError> {
        let (mut all, mut unread) = (Vec::new(), None);
        for namespace in self.namespaces {
            let (found, unreadable) = definitions::triggers(self.store, namespace).await?;
            unreadable.iter().for_each(|why| tracing::error!(namespace, "a trigger can't be read: {why}"));
            unread = unread.or(unreadable.into_iter().next());
            all.extend(found.into_iter().map(|trigger| (namespace.clone(), trigger)));
        }
        Ok((all, unread))
    }

    /// Offers objects to a trigger and does what is due for it.
    async fn trigger(
        &self,
        namespace: &str,
        name: &str,
        objects: Vec<Arrival>,
        new: &mut (dyn FnMut() -> Identity + Send),
    ) -> Result<(), StoreError> {
        let starter = Starter::Trigger { namespace: namespace.to_owned(), name: name.to_owned() };
        let mark = starters::mark(self.store, &starter, self.now).await?;
        let rests = self.triggered(&starter, objects, new).await;
        self.done(&starter, &mark, rests).await.map(drop)
    }

    /// The maker of a mark is done: it found nothing left to do, something, or failed, and then its message comes again
    /// with another maker. Gives whether nobody else was at it meanwhile.
    async fn done(
        &self,
        starter: &Starter,
        mark: &starters::Made,
        rests: Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        match rests {
            Ok(true) => starters::unmark(self.store, starter, mark, self.now).await,
            Ok(false) => starters::leave(self.store, starter, mark, self.now).await,
            Err(why) => {
                // Where that fails too, the name goes with its time.
                let _ = starters::leave(self.store, starter, mark, self.now).await;
                Err(why)
            }
        }
    }

    /// The same, while it is marked; gives whether nothing is left to do.
    async fn triggered(
        &self,
        starter: &Starter,
        mut objects: Vec<Arrival>,
        new: &mut (dyn FnMut() -> Identity + Send),
    ) -> Result<bool, StoreError> {
        let (namespace, name) = (starter.namespace(), starter.name());
        let Some(trigger) = definitions::trigger(self.store, namespace, name).await? else {
            return Ok(true);
        };
        // S3's own order of the writes to one key, where their second is the same.
        let order = |of: &Arrival| (of.object.key.clone(), of.object.time, of.sequencer.clone());
        objects.sort_by_cached_key(order);
        triggers::keep::offer(self.store, namespace, &trigger, &objects, None, self.now, new).await?;
        let here = Here { namespace, now: self.now };
        let mut births = RungBirths::new(self.store, self.doorbells, self.site, here);
        let state = of_trigger(self.store, &mut births, here, &trigger, new).await?;
        if let Some(due) = state.next_due(&trigger.spec).filter(|due| state.reminds(*due, self.now)) {
            self.alarms.remind(starter, due).await?;
            triggers::keep::reminded(self.store, namespace, name, due).await?;
        }
        let state = triggers::keep::state(self.store, namespace, name).await?;
        Ok(state.is_none_or(|state| state.rests()))
    }

    /// Does what is due for a schedule, and sees to it that it is rung at its next ticks; gives it, if it is there.
    ///
    /// Where somebody else was at it meanwhile, it may have been for a newer definition: it is done again, and what
    /// stands in EventBridge is not believed to be what is on record. Who is disturbed time after time leaves a mark.
    async fn cron(
        &self,
        namespace: &str,
        name: &str,
        new: &mut (dyn FnMut() -> Identity + Send),
    ) -> Result<Option<CronWorkflow>, StoreError> {
        let starter = Starter::CronWorkflow { namespace: namespace.to_owned(), name: name.to_owned() };
        let (mut cron, mut alone) = self.cron_once(&starter, true, new).await?;
        for _ in 1..TRIES_MAX {
            if alone {
                return Ok(cron);
            }
            (cron, alone) = self.cron_once(&starter, false, new).await?;
        }
        if !alone {
            starters::mark(self.store, &starter, self.now).await?;
        }
        Ok(cron)
    }

    /// The same once; gives whether nobody else was at it meanwhile. `known` says whether the schedules that are on
    /// record are those that are there.
    async fn cron_once(
        &self,
        starter: &Starter,
        known: bool,
        new: &mut (dyn FnMut() -> Identity + Send),
    ) -> Result<(Option<CronWorkflow>, bool), StoreError> {
        let mark = starters::mark(self.store, starter, self.now).await?;
        let (cron, rests) = match self.ticked(starter, known, new).await {
            Ok((cron, rests)) => (cron, Ok(rests)),
            Err(why) => (None, Err(why)),
        };
        Ok((cron, self.done(starter, &mark, rests).await?))
    }

    /// The same, while it is marked; gives whether nothing is left to do.
    async fn ticked(
        &self,
        starter: &Starter,
        known: bool,
        new: &mut (dyn FnMut() -> Identity + Send),
    ) -> Result<(Option<CronWorkflow>, bool), StoreError> {
        let (namespace, name) = (starter.namespace(), starter.name());
        let cron = definitions::cron(self.store, namespace, name).await?;
        let firing = match &cron {
            Some(cron) => self.tick(starter, cron, new).await?.then_some(cron),
            None => None,
        };
        self.arm(starter, firing, known).await?;
        let state = crons::keep::state(self.store, namespace, name).await?;
        // Where one reminder asks for the next, the mark stays: the sweep makes up for a lost one.
        let chained = firing.is_some_and(|cron| chained(cron, self.now));
        Ok((cron, !chained && state.is_none_or(|state| state.rests())))
    }

    /// Handles the ticks that are due; gives whether there will be others.
    async fn tick(
        &self,
        starter: &Starter,
        cron: &CronWorkflow,
        new: &mut (dyn FnMut() -> Identity + Send),
    ) -> Result<bool, StoreError> {
        let here = Here { namespace: starter.namespace(), now: self.now };
        let times = match Times::of(&cron.spec) {
            Ok(times) => times,
            Err(why) => {
                // The check of definitions refuses it, so that an older program stored it.
                tracing::warn!("{starter}: its schedule can't be read: {why}");
                return Ok(false);
            }
        };
        let mut births = RungBirths::new(self.store, self.doorbells, self.site, here);
        let mut new_uid = || -> RunUid { new().uid };
        crons::keep::begin(self.store, here.namespace, cron, self.now).await?;
        let watched = (cron, &times, Watch::by_messages());
        let state = of_cron(self.store, &mut births, here, watched, &mut new_uid).await?;
        Ok(state.is_some_and(|state| !state.stopped) && cron.spec.suspend != Some(true))
    }

    /// Brings the schedules that recur in line with the definition, none where it fires no more, and asks for a reminder
    /// of the next tick that none of them tells of.
    async fn arm(
        &self,
        starter: &Starter,
        firing: Option<&CronWorkflow>,
        known: bool,
    ) -> Result<(), StoreError> {
        let (namespace, name) = (starter.namespace(), starter.name());
        let Some(state) = crons::keep::state(self.store, namespace, name).await? else { return Ok(()) };
        let wanted = firing.map(recurring).unwrap_or_default();
        if !known || state.recurring != wanted {
            self.alarms.keep(starter, &wanted).await?;
            crons::keep::armed(self.store, namespace, name, &wanted).await?;
        }
        let untold = firing.and_then(|cron| untold(cron, state.handled.max(self.now)));
        let next = untold.into_iter().chain(firing.and_then(|cron| soon(cron, self.now))).min();
        if let Some(next) = next.filter(|next| state.reminds(*next, self.now)) {
            self.alarms.remind(starter, next).await?;
            crons::keep::reminded(self.store, namespace, name, next).await?;
        }
        Ok(())
    }
}

/// When to look at a schedule again whose next tick is about to come.
fn soon(cron: &CronWorkflow, now: Timestamp) -> Option<Timestamp> {
    let next = Times::of(&cron.spec).ok()?.next_after(now)?;
    (now.duration_until(next) <= EARLY).then(|| next.checked_add(EARLY / 2).unwrap_or(next))
}

/// Notes whom a message reminds of.
fn remembered(
    notice: &Notice,
    at: usize,
    takers: &mut BTreeMap<Named, Taken>,
    ticks: &mut BTreeMap<Named, BTreeSet<usize>>,
) {
    let Notice::Remind(starter) = notice else { return };
    let named = (starter.namespace().to_owned(), starter.name().to_owned());
    match starter {
        Starter::Trigger { .. } => takers.entry(named).or_default().messages.insert(at),
        Starter::CronWorkflow { .. } => ticks.entry(named).or_default().insert(at),
    };
}

fn blame(failures: &mut BTreeMap<usize, StoreError>, messages: &BTreeSet<usize>, why: &StoreError) {
    for at in messages {
        failures.entry(*at).or_insert_with(|| again(why));
    }
}

/// The same failure for another message.
fn again(why: &StoreError) -> StoreError {
    StoreError::Io {
        action: "handle",
        key: "message".to_owned(),
        source: std::io::Error::other(crate::owner::chain(why)),
    }
}
