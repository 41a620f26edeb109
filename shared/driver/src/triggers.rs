//! Triggers: which dropped objects start which run, once each.
//!
//! A version of an object is assigned in the trigger's document (`triggers/<namespace>/<name>/state.json`) and then
//! marked `seen/<identity>`; the document keeps the identity until the mark is known to be there, so that a process
//! that dies between the two forgets nothing and starts nothing twice. A run's uid is fixed in the document before the
//! run is created; what is still to be done is read off the document ([`TriggerState::acts`]).
//!
//! The document stays small, since it is read and written at every object: of the runs that wait it holds the first and
//! the last some hundred objects, and what is between lies in pages beside it (`waiting/<hash>`), which are written before
//! the document names them and removed after it does no more. A batch has at most [`TriggerBatch::COUNT_MAX`] objects, and at
//! most [`QUIET_MAX`] keys wait until they are quiet.
//!
//! The methods of [`TriggerState`] are pure; the functions of [`keep`] read and write the documents.

use std::cmp::Ordering;
use std::fmt;

use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::DroppedObject;
use dropforge_manifest::go::parse_duration;
use dropforge_manifest::types::{S3Trigger, Trigger, TriggerBatch, TriggerSpec};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::births::Identity;

pub mod keep;
mod loops;
mod pages;
#[cfg(test)]
mod tests;
mod variables;

pub use loops::Chain;
pub use pages::Page;
pub use variables::{arguments_of, workflow_of};

/// The newest version of the document that this code reads. The second has pages; without any the first is written.
pub const TRIGGER_FORMAT: u32 = 2;

/// Keys that wait until they are quiet. Beyond that the one that has waited longest goes on at once.
pub const QUIET_MAX: usize = 1000;

/// Names the trigger on a run that it started.
pub const TRIGGER_LABEL: &str = "dropforge.dev/trigger";

/// Runs of one trigger at once where it says nothing: a dropped folder is not thousands of trainings side by side.
pub const MAX_ACTIVE: u32 = 10;

/// Why an object does not start a trigger's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Another bucket.
    Bucket {
        /// The trigger's.
        wanted: String,
    },
    /// The key begins with something else.
    Prefix {
        /// The trigger's.
        wanted: String,
    },
    /// The key ends with something else.
    Suffix {
        /// The trigger's.
        wanted: String,
    },
    /// `spec.suspend` is true.
    Suspended,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Bucket { wanted } => write!(f, "it looks at bucket {wanted:?}"),
            Mismatch::Prefix { wanted } => write!(f, "the key does not begin with {wanted:?}"),
            Mismatch::Suffix { wanted } => write!(f, "the key does not end with {wanted:?}"),
            Mismatch::Suspended => f.write_str("it is suspended (`suspend: true`)"),
        }
    }
}

/// Whether an object of this name starts a run of the trigger.
///
/// # Errors
/// The first reason why not.
pub fn matches(trigger: &Trigger, bucket: &str, key: &str) -> Result<(), Mismatch> {
    let S3Trigger { bucket: wanted, prefix, suffix, .. } = &trigger.spec.s3;
    let prefix = prefix.as_deref().unwrap_or_default();
    let suffix = suffix.as_deref().unwrap_or_default();
    if bucket != wanted {
        Err(Mismatch::Bucket { wanted: wanted.clone() })
    } else if !key.starts_with(prefix) {
        Err(Mismatch::Prefix { wanted: prefix.to_owned() })
    } else if !key.ends_with(suffix) {
        Err(Mismatch::Suffix { wanted: suffix.to_owned() })
    } else if trigger.spec.suspend == Some(true) {
        Err(Mismatch::Suspended)
    } else {
        Ok(())
    }
}

/// Names a version of an object for ever. A replay's id makes it another one, so that it starts a run again.
pub fn identity(object: &DroppedObject, replay: Option<&str>) -> String {
    let written = object.time.to_string();
    // Without versions, the same content written again is told by its time.
    let version = if object.version_id.is_empty() {
        [&object.etag, written.as_str()].concat()
    } else {
        object.version_id.clone()
    };
    let mut hasher = Sha256::new();
    for part in [&object.bucket, &object.key, &version, replay.unwrap_or_default()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An object that was told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// It.
    pub object: DroppedObject,
    /// Orders the writes to its key within a second, as text; empty where it is not told.
    pub sequencer: String,
}

impl From<DroppedObject> for Arrival {
    fn from(object: DroppedObject) -> Self {
        Arrival { object, sequencer: String::new() }
    }
}

/// An object that waits until its key is quiet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quiet {
    /// Its newest version.
    pub object: DroppedObject,
    /// As in [`Arrival`]. An older program drops it: then the last one that is told of counts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sequencer: String,
    /// When it was quiet long enough.
    pub due: Timestamp,
}

/// A batch that is being filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenBatch {
    /// Its members, as they came.
    pub objects: Vec<DroppedObject>,
    /// When it is closed, full or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// A run to be: its members and its uid are fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Birth {
    /// The run's uid.
    pub uid: RunUid,
    /// Ends its generated name.
    pub suffix: String,
    /// The objects, as they came.
    pub objects: Vec<DroppedObject>,
}

impl Birth {
    /// What makes the run unique.
    pub fn identity(&self) -> Identity {
        Identity { uid: self.uid.clone(), suffix: self.suffix.clone() }
    }
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveRun {
    /// What it was started with.
    pub birth: Birth,
    /// When it was decided on.
    pub started: Timestamp,
    /// Whether it is known that the run was created.
    #[serde(default)]
    pub born: bool,
    /// Whether another run replaces it, so that it is to be terminated.
    #[serde(default)]
    pub replaced: bool,
}

/// The document of a trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerState {
    /// Version of this document.
    pub format: u32,
    /// Objects written later start runs, also when nobody watched; none while the trigger is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Identities that are assigned and not yet known to be marked as seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmarked: Vec<String>,
    /// Keys that were written to lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quiet: Vec<Quiet>,
    /// The batch that is being filled.
    #[serde(default)]
    pub batch: OpenBatch,
    /// Runs that wait for their turn, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Birth>,
    /// Those that wait behind them, in objects of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<Page>,
    /// Those that wait behind the pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<Birth>,
    /// Runs that are not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<ActiveRun>,
    /// Runs that succeeded.
    #[serde(default)]
    pub succeeded: u64,
    /// Runs that did not, and those that could not be created.
    #[serde(default)]
    pub failed: u64,
    /// Runs that came to nothing because of `concurrencyPolicy`.
    #[serde(default)]
    pub dropped: u64,
    /// The last reason for one that came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_note: Option<String>,
    /// Whether runs seem to start each other.
    #[serde(default)]
    pub chain: Chain,
    /// The time for which a reminder was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminded: Option<Timestamp>,
}

/// What is to be done because of a trigger's document; doing it twice is harmless.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerAct {
    /// Create this run, then call [`keep::born`].
    Create(Birth),
    /// Terminate this run.
    Terminate(RunUid),
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A run was decided on.
    Started {
        /// Its uid.
        uid: RunUid,
        /// How many objects it has.
        objects: usize,
    },
    /// A run came to nothing.
    Dropped {
        /// Its objects' keys.
        keys: Vec<String>,
        /// Why.
        why: String,
    },
    /// The trigger starts nothing any more.
    Suspended {
        /// Why, and how to go on.
        why: String,
    },
}

impl Default for TriggerState {
    fn default() -> Self {
        TriggerState {
            format: 1,
            since: None,
            unmarked: Vec::new(),
            quiet: Vec::new(),
            batch: OpenBatch::default(),
            queue: Vec::new(),
            pages: Vec::new(),
            tail: Vec::new(),
            active: Vec::new(),
            succeeded: 0,
            failed: 0,
            dropped: 0,
            last_note: None,
            chain: Chain::default(),
            reminded: None,
        }
    }
}

impl TriggerState {
    /// Notes that the trigger is there: what is written later than `now`, or than when it first was there, counts.
    pub fn begin(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }

    /// Notes that the trigger was taken away: nothing waits any more; its runs go on.
    pub fn forget(&mut self) {
        let kept = TriggerState { active: std::mem::take(&mut self.active), ..TriggerState::default() };
        let unmarked = std::mem::take(&mut self.unmarked);
        *self = TriggerState { unmarked, ..kept };
    }

    /// Notes that a person looked at it and wants it to go on after it was suspended as a loop.
    pub fn resume(&mut self) {
        self.chain = Chain::default();
    }

    /// What is to be done.
    pub fn acts(&self) -> Vec<TriggerAct> {
        let births =
            self.active.iter().filter(|run| !run.born).map(|run| TriggerAct::Create(run.birth.clone()));
        let ends = self.active.iter().filter(|run| run.replaced);
        births.chain(ends.map(|run| TriggerAct::Terminate(run.birth.uid.clone()))).collect()
    }

    /// Takes versions that nobody has seen, each with its identity.
    fn take(
        &mut self,
        spec: &TriggerSpec,
        fresh: Vec<(Arrival, String)>,
        now: Timestamp,
        new: &mut dyn FnMut() -> Identity,
    ) {
        for (arrival, identity) in fresh {
            self.unmarked.push(identity);
            self.chain.arrived(&arrival.object, &self.active, now);
            match duration(spec.s3.debounce.as_deref()) {
                SignedDuration::ZERO => self.gather(spec, arrival.object, now, new),
                quiet => self.wait(arrival, later(now, quiet)),
            }
            if self.quiet.len() > QUIET_MAX {
                let longest = self.quiet.remove(0);
                self.gather(spec, longest.object, now, new);
            }
        }
    }

    /// Waits until the object's key is quiet; of its versions the newest counts, in whatever order they are told of.
    fn wait(&mut self, Arrival { object, sequencer }: Arrival, due: Timestamp) {
        let same = |quiet: &Quiet| (&quiet.object.bucket, &quiet.object.key) == (&object.bucket, &object.key);
        let before = self.quiet.iter().position(same).map(|at| self.quiet.remove(at));
        let is_newer = |old: &Quiet| match old.object.time.cmp(&object.time) {
            // S3 tells the time of a write in whole seconds.
            Ordering::Equal => !sequencer.is_empty() && old.sequencer > sequencer,
            other => other == Ordering::Greater,
        };
        let newest = match before.filter(is_newer) {
            Some(old) => Quiet { due, ..old },
            None => Quiet { object, sequencer, due },
        };
        self.quiet.push(newest);
    }

    /// Puts an object into the open batch, or into a run of its own.
    fn gather(
        &mut self,
        spec: &TriggerSpec,
        object: DroppedObject,
        now: Timestamp,
        new: &mut dyn FnMut() -> Identity,
    ) {
        self.batch.objects.push(object);
        let Some(batch) = &spec.s3.batch else { return self.close(new) };
        if let Some(window) = &batch.window {
            self.batch.due.get_or_insert(later(now, duration(Some(window))));
        }
        if self.batch.objects.len() >= batch.count.unwrap_or(u32::MAX).min(TriggerBatch::COUNT_MAX) as usize {
            self.close(new);
        }
    }

    /// Fixes the members and the uid of the open batch's run.
    fn close(&mut self, new: &mut dyn FnMut() -> Identity) {
        let OpenBatch { objects, .. } = std::mem::take(&mut self.batch);
        let Identity { uid, suffix } = new();
        let birth = Birth { uid, suffix, objects };
        if self.pages.is_empty() { self.queue.push(birth) } else { self.tail.push(birth) }
    }

    /// Moves on whatever `now` allows.
    fn advance(
        &mut self,
        spec: &TriggerSpec,
        now: Timestamp,
        new: &mut dyn FnMut() -> Identity,
    ) -> Vec<Told> {
        let (quiet, waiting) =
            std::mem::take(&mut self.quiet).into_iter().partition(|q: &Quiet| q.due <= now);
        self.quiet = waiting;
        for Quiet { object, .. } in quiet {
            self.gather(spec, object, now, new);
        }
        // A batch that was open when `batch` was taken out of the definition is due too.
        let unbounded = spec.s3.batch.is_none();
        if !self.batch.objects.is_empty() && (unbounded || self.batch.due.is_some_and(|due| due <= now)) {
            self.close(new);
        }
        let mut told = Vec::new();
        if spec.suspend != Some(true) {
            self.start(spec, now, &mut told);
        }
        told
    }

    fn start(&mut self, spec: &TriggerSpec, now: Timestamp, told: &mut Vec<Told>) {
        let before = self.chain.suspended().is_some();
        while self.room(spec, told) && !self.queue.is_empty() && self.chain.lets_start(&self.active, now) {
            let birth = self.queue.remove(0);
            self.chain.started(now);
            told.push(Told::Started { uid: birth.uid.clone(), objects: birth.objects.len() });
            self.active.push(ActiveRun { birth, started: now, born: false, replaced: false });
        }
        match self.chain.suspended() {
            Some(why) if !before => told.push(Told::Suspended { why: why.to_owned() }),
            _ => {}
        }
    }

    /// Whether another run may be active; drops what the policy says will never run.
    fn room(&mut self, spec: &TriggerSpec, told: &mut Vec<Told>) -> bool {
        let active = self.active.iter().filter(|run| !run.replaced).count();
        let max = spec.max_active.unwrap_or(MAX_ACTIVE).max(1) as usize;
        match spec.concurrency_policy.as_deref() {
            // One after another, unless the trigger says how many.
            Some("Queue") => active < spec.max_active.unwrap_or(1).max(1) as usize,
            Some("Forbid") if active > 0 => {
                self.drop_paged("concurrencyPolicy Forbid: an earlier run is active", told);
                let queued = std::mem::take(&mut self.queue);
                self.drop_all(queued, "concurrencyPolicy Forbid: an earlier run is active", told);
                false
            }
            Some("Replace") if !self.queue.is_empty() && self.chain.may_start() => {
                self.drop_paged("concurrencyPolicy Replace: a newer object came", told);
                let newest = self.queue.split_off(self.queue.len() - 1);
                let older = std::mem::replace(&mut self.queue, newest);
                self.drop_all(older, "concurrencyPolicy Replace: a newer object came", told);
                for run in &mut self.active {
                    run.replaced = true;
                }
                true
            }
            _ => active < max,
        }
    }

    /// Drops what waits in pages, since the policy was changed while it waited. What waits behind them comes forward.
    fn drop_paged(&mut self, why: &str, told: &mut Vec<Told>) {
        for page in std::mem::take(&mut self.pages) {
            self.dropped += page.births as u64;
            self.last_note = Some(why.to_owned());
            told.push(Told::Dropped { keys: vec![format!("{} objects", page.objects)], why: why.to_owned() });
        }
        self.queue.append(&mut self.tail);
    }

    fn drop_all(&mut self, births: Vec<Birth>, why: &str, told: &mut Vec<Told>) {
        for birth in births {
            self.dropped += 1;
            self.last_note = Some(why.to_owned());
            let keys = birth.objects.into_iter().map(|object| object.key).collect();
            told.push(Told::Dropped { keys, why: why.to_owned() });
        }
    }

    /// Notes that a run was created. Its spec holds its objects.
    pub fn born(&mut self, uid: &RunUid) {
        for run in self.active.iter_mut().filter(|run| run.birth.uid == *uid) {
            run.born = true;
            run.birth.objects.clear();
        }
    }

    /// Notes that a run can't be created.
    pub fn unborn(&mut self, uid: &RunUid, why: &str) {
        let before = self.active.len();
        self.active.retain(|run| run.birth.uid != *uid || run.born);
        if self.active.len() < before {
            self.failed += 1;
            self.last_note = Some(why.to_owned());
        }
    }

    /// Notes the end of a run; gives whether it was active. Saying it twice counts once.
    pub fn ended(&mut self, uid: &RunUid, phase: RunPhase, now: Timestamp) -> bool {
        let Some(at) = self.active.iter().position(|run| run.birth.uid == *uid) else { return false };
        let run = self.active.remove(at);
        self.chain.ended(&run, now);
        match phase {
            RunPhase::Succeeded => self.succeeded += 1,
            _ => self.failed += 1,
        }
        true
    }

    /// Whether nothing is left to do until an object comes: a run that is active ends without anybody's doing.
    pub fn rests(&self) -> bool {
        self.unmarked.is_empty()
            && self.quiet.is_empty()
            && self.batch.objects.is_empty()
            && self.waiting() == 0
            && self.acts().is_empty()
    }

    /// Whether a reminder for `due` is to be asked for: none that is still to come is as early.
    pub fn reminds(&self, due: Timestamp, now: Timestamp) -> bool {
        !self.reminded.is_some_and(|reminded| now < reminded && reminded <= due)
    }

    /// When there is something to decide without anything happening.
    pub fn next_due(&self, spec: &TriggerSpec) -> Option<Timestamp> {
        let quiet = self.quiet.iter().map(|quiet| quiet.due);
        // While a run is active, its end is what is waited for.
        let only_waits = self.waiting() > 0 && self.active.is_empty() && spec.suspend != Some(true);
        let rest = self.chain.next_due().filter(|_| only_waits);
        quiet.chain(self.batch.due).chain(rest).min()
    }
}

/// A duration of a checked definition; what can't be read was refused, and counts as none.
fn duration(text: Option<&str>) -> SignedDuration {
    let nanos = text.and_then(|text| parse_duration(text).ok()).unwrap_or(0);
    SignedDuration::from_nanos(nanos.max(0))
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
