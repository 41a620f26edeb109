//! Dropped objects: which triggers take them, and the runs that follow.

use std::collections::BTreeMap;

use dropforge_driver::births::{Library, Site};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::starts::{self, Births, Here, News};
use dropforge_driver::triggers::{self, keep};
use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::{DroppedObject, RunSpec};
use dropforge_manifest::types::Trigger;
use dropforge_storage::endpoint::{EventKind, ObjectEvent, existing};
use jiff::{SignedDuration, Timestamp};

use super::Dev;
use crate::error::CliError;
use crate::identity;
use crate::output::say;

/// An object as a run's cause remembers it.
pub fn dropped(event: &ObjectEvent) -> DroppedObject {
    DroppedObject {
        bucket: event.bucket.clone(),
        key: event.key.clone(),
        version_id: event.version_id.clone(),
        etag: event.etag.clone(),
        size: event.size,
        time: event.time,
    }
}

/// A file has the time of the kernel's last tick, which may be before the trigger began though the file came after it.
const TICK: SignedDuration = SignedDuration::from_millis(10);

impl Dev<'_> {
    /// Offers objects to every trigger.
    pub(super) async fn offer(&mut self, events: &[ObjectEvent]) -> Result<(), CliError> {
        let mut takers: BTreeMap<String, Vec<DroppedObject>> = BTreeMap::new();
        for event in events.iter().filter(|event| event.kind == EventKind::Created) {
            let matching = self
                .definitions
                .triggers
                .iter()
                .filter(|(_, trigger)| triggers::matches(trigger, &event.bucket, &event.key).is_ok());
            let names: Vec<&String> = matching.map(|(name, _)| name).collect();
            if names.is_empty() {
                self.nobody_takes(event);
            }
            for name in names {
                takers.entry(name.clone()).or_default().push(dropped(event));
            }
        }
        for (name, objects) in takers {
            self.offer_to(&name, &objects).await?;
        }
        Ok(())
    }

    /// A person who dropped a file beside a trigger's prefix wants to know.
    fn nobody_takes(&self, event: &ObjectEvent) {
        if self.definitions.triggers.values().any(|trigger| trigger.spec.s3.bucket == event.bucket) {
            let url = format!("s3://{}/{}", event.bucket, event.key);
            say(&format!("{url}: no trigger takes it (`dropforge trigger test {url}` says why)"));
        }
    }

    async fn offer_to(&mut self, name: &str, objects: &[DroppedObject]) -> Result<(), CliError> {
        let Some(trigger) = self.definitions.triggers.get(name) else { return Ok(()) };
        let (store, namespace) = (&*self.session.store, &self.global.namespace);
        let now = SystemClock.now();
        let taken = keep::offer(store, namespace, trigger, objects, None, now, &mut identity::new).await?;
        match (taken, objects) {
            (0, _) => {}
            (_, [one]) => {
                say(&format!("trigger {name}: takes s3://{}/{} ({} bytes)", one.bucket, one.key, one.size))
            }
            (n, _) => say(&format!("trigger {name}: takes {n} objects")),
        }
        Ok(())
    }

    /// Offers what was dropped while nobody watched.
    pub(super) async fn offer_what_came_meanwhile(&mut self) -> Result<(), CliError> {
        for (name, trigger) in self.definitions.triggers.clone() {
            let state = keep::state(&*self.session.store, &self.global.namespace, &name).await?;
            let Some(since) = state.and_then(|state| state.since) else { continue };
            let since = since.saturating_sub(TICK).unwrap_or(since);
            let objects = matching(self.session.store.buckets(), &trigger, None, since)?;
            self.offer_to(&name, &objects).await?;
        }
        Ok(())
    }

    /// Starts the runs that are due; gives when something is next.
    pub(super) async fn start_due(&mut self) -> Result<Option<Timestamp>, CliError> {
        let mut next = None;
        for (name, trigger) in self.definitions.triggers.clone() {
            let due = self.start_due_of(&name, &trigger).await?;
            next = [next, due].into_iter().flatten().min();
        }
        Ok(next)
    }

    async fn start_due_of(&mut self, name: &str, trigger: &Trigger) -> Result<Option<Timestamp>, CliError> {
        let (store, namespace) = (self.session.store.clone(), self.global.namespace.clone());
        let here = Here { namespace: &namespace, now: SystemClock.now() };
        let state = starts::of_trigger(&*store, self, here, trigger, &mut identity::new).await?;
        let before = self.waiting.insert(name.to_owned(), state.waiting()).unwrap_or(0);
        if state.waiting() > before {
            say(&format!("trigger {name}: waiting {}, active {}", state.waiting(), state.active.len()));
        }
        Ok(state.next_due(&trigger.spec))
    }
}

impl Births for Dev<'_> {
    type Error = CliError;

    async fn made_of(&mut self) -> Result<(&Library, &Site), CliError> {
        Ok((&self.definitions.templates, &self.settings.site))
    }

    async fn submit(&mut self, spec: &RunSpec) -> Result<(), CliError> {
        Ok(self.session.owner.submit(spec).await?)
    }

    fn is_there(&self, run: &RunUid) -> bool {
        self.session.owner.run(run).is_some()
    }

    async fn terminate(&mut self, run: &RunUid, by: String) -> Result<(), CliError> {
        self.end(run, by).await
    }

    fn tell(&mut self, news: News) {
        say(&news.to_string());
    }
}

/// The objects there are that match a trigger, written after `since`, in the order in which they were written.
///
/// # Errors
/// When they can't be listed.
pub fn matching(
    buckets: &dropforge_storage::objects::Objects,
    trigger: &Trigger,
    prefix: Option<&str>,
    since: Timestamp,
) -> Result<Vec<DroppedObject>, CliError> {
    let s3 = &trigger.spec.s3;
    let own = s3.prefix.as_deref().unwrap_or_default();
    let narrowed = prefix.filter(|prefix| prefix.starts_with(own)).unwrap_or(own);
    let mut objects: Vec<DroppedObject> = existing(buckets, &s3.bucket, narrowed)?
        .iter()
        .filter(|event| event.time > since && prefix.is_none_or(|prefix| event.key.starts_with(prefix)))
        .filter(|event| triggers::matches(trigger, &event.bucket, &event.key).is_ok())
        .map(dropped)
        .collect();
    objects.sort_by(|a, b| (a.time, &a.key).cmp(&(b.time, &b.key)));
    Ok(objects)
}
