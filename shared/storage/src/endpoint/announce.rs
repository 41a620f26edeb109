//! What lands in the buckets, told once for each version of an object.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dropforge_driver::store::StoreError;
use jiff::Timestamp;

use super::watch::being_written;
use crate::files::failed;
use crate::keys;
use crate::objects::{Objects, Stat};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is there, whole, as a new version.
    Created,
    /// It is gone.
    Removed,
}

/// Something happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Names this version of the object for ever: two puts of the same bytes are two versions. Empty for an
    /// object that is gone.
    pub version_id: String,
    /// The entity tag, without quotes. Empty for an object that is gone.
    pub etag: String,
    /// Size in bytes; 0 for an object that is gone.
    pub size: u64,
    /// When the content changed, or when the object was found to be gone.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// Tells of each version of each object once, whoever finds it first: the endpoint or the watch of the folder.
#[derive(Clone)]
pub struct Announcer {
    shared: Arc<Shared>,
}

struct Shared {
    objects: Objects,
    known: Mutex<HashMap<(String, String), Stat>>,
    tell: Box<dyn Fn(ObjectEvent) + Send + Sync>,
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").field("objects", &self.shared.objects).finish_non_exhaustive()
    }
}

impl Announcer {
    /// An announcer that gives events to `tell`, one at a time and in order for each object. `tell` must return
    /// soon, and must not put or delete objects itself: hand the event to a channel.
    pub fn new(objects: Objects, tell: impl Fn(ObjectEvent) + Send + Sync + 'static) -> Announcer {
        let shared = Shared { objects, known: Mutex::default(), tell: Box::new(tell) };
        Announcer { shared: Arc::new(shared) }
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.shared.objects
    }

    /// Tells of a version of an object, unless it was told before. Who put it knows its entity tag.
    pub(super) fn created(&self, stat: &Stat, etag: Option<&str>) {
        let mut known = self.known();
        let name = (stat.bucket.clone(), stat.key.clone());
        if known.get(&name).is_some_and(|told| told.same_version(stat)) {
            return;
        }
        let event = match etag {
            Some(etag) => Ok(event(stat, etag.to_owned())),
            None => self.shared.objects.facts(stat).map(|facts| event(stat, facts.etag)),
        };
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(bucket = stat.bucket, key = stat.key, %error, "an object is not announced");
                return;
            }
        };
        // Replaced since: who put the newer version tells of it. What was read of this one may then be wrong,
        // and noting it would tell the newer one twice.
        let current = self.shared.objects.stat(&stat.bucket, &stat.key).ok().flatten();
        let is_current = current.is_some_and(|current| current.same_version(stat));
        if is_current {
            known.insert(name, stat.clone());
        }
        if is_current || etag.is_some() {
            (self.shared.tell)(event);
        }
    }

    /// Tells that an object is gone, unless there is one again or nobody knew of it.
    pub(super) fn removed(&self, bucket: &str, key: &str) {
        let mut known = self.known();
        if matches!(self.shared.objects.stat(bucket, key), Ok(None))
            && known.remove(&(bucket.to_owned(), key.to_owned())).is_some()
        {
            (self.shared.tell)(ObjectEvent {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                version_id: String::new(),
                etag: String::new(),
                size: 0,
                time: found_gone_at(),
                kind: EventKind::Removed,
            });
        }
    }

    /// Tells that the objects are gone whose files lay below a folder.
    pub(super) fn removed_below(&self, folder: &Path) {
        let below: Vec<_> = self
            .known()
            .iter()
            .filter(|(_, stat)| stat.path.starts_with(folder))
            .map(|(name, _)| name.clone())
            .collect();
        for (bucket, key) in below {
            self.removed(&bucket, &key);
        }
    }

    /// Takes note of what is there without telling, but not of files that are still being written.
    pub(super) fn learn(&self) -> Result<(), StoreError> {
        let stats = every_object(&self.shared.objects)?;
        let writing = being_written(self.shared.objects.root());
        let mut known = self.known();
        for stat in stats.into_iter().filter(|stat| !writing.contains(&stat.path)) {
            known.entry((stat.bucket.clone(), stat.key.clone())).or_insert(stat);
        }
        Ok(())
    }

    /// Compares what was told with what is there: tells what is gone, and gives what was not told.
    pub(super) fn compare(&self) -> Result<Vec<Stat>, StoreError> {
        let stats = every_object(&self.shared.objects)?;
        let there: HashSet<_> = stats.iter().map(|stat| (stat.bucket.clone(), stat.key.clone())).collect();
        let gone: Vec<_> = self.known().keys().filter(|name| !there.contains(*name)).cloned().collect();
        for (bucket, key) in gone {
            self.removed(&bucket, &key);
        }
        let known = self.known();
        let told = |stat: &Stat| {
            known.get(&(stat.bucket.clone(), stat.key.clone())).is_some_and(|told| told.same_version(stat))
        };
        Ok(stats.into_iter().filter(|stat| !told(stat)).collect())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, String), Stat>> {
        // It holds whole entries at any moment, also where a holder panicked.
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The objects whose keys begin with `prefix`, as the events that told of them, sorted by key. Files that are
/// still being written are left out. To miss nothing that lands meanwhile, start the watch first.
///
/// # Errors
/// When they can't be listed.
pub fn existing(objects: &Objects, bucket: &str, prefix: &str) -> Result<Vec<ObjectEvent>, StoreError> {
    let listing = objects.list(bucket, prefix)?;
    let writing = being_written(objects.root());
    let whole = listing.objects.iter().filter(|stat| !writing.contains(&stat.path));
    whole.map(|stat| Ok(event(stat, objects.facts(stat)?.etag))).collect()
}

/// Makes a bucket that may exist; true when it did not.
///
/// # Errors
/// `BadName` when S3 would not take its name, or when it can't be made.
pub fn create_bucket(objects: &Objects, bucket: &str) -> Result<bool, StoreError> {
    keys::check_bucket(bucket)?;
    let folder: PathBuf = objects.bucket(bucket)?;
    fs::create_dir_all(objects.root()).map_err(failed("create", objects.root()))?;
    match fs::create_dir(&folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        Err(error) => Err(failed("create", &folder)(error)),
    }
}

fn every_object(objects: &Objects) -> Result<Vec<Stat>, StoreError> {
    let mut stats = Vec::new();
    for bucket in objects.bucket_names()? {
        stats.extend(objects.list(&bucket, "")?.objects);
    }
    Ok(stats)
}

fn event(stat: &Stat, etag: String) -> ObjectEvent {
    ObjectEvent {
        bucket: stat.bucket.clone(),
        key: stat.key.clone(),
        version_id: version_id(stat, &etag),
        etag,
        size: stat.size,
        time: stat.modified,
        kind: EventKind::Created,
    }
}

/// Content, time and size: a file has no version of its own, and the same bytes put again are another one.
fn version_id(stat: &Stat, etag: &str) -> String {
    format!("{etag}.{}.{}", stat.changed_ns, stat.size)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an event of the outside world: nobody else knows when it was seen"
)]
fn found_gone_at() -> Timestamp {
    Timestamp::now()
}
