//! S3 as a world has it: a bucket whose conditional writes are answered with 412, 409 and 503, or not at all, made or not.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dropforge_driver::store::StoreError;
use dropforge_storage::s3::requests::{Bytes, Condition, Failure, Found, Head, Listed, Metadata, Requests};

use crate::bugs::Bug;
use crate::plan::Fault;
use crate::seen;
use crate::store::unanswered;
use crate::world::Handle;

/// An object with what it carries beside its body.
#[derive(Clone, Debug)]
struct Object {
    found: Found,
    metadata: Metadata,
    /// Which of all writes made it.
    number: u64,
}

/// The objects, and whoever sees them as they are.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    objects: Arc<Mutex<BTreeMap<String, Object>>>,
    writes: Arc<AtomicU64>,
}

impl Bucket {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(
        &self,
        key: &str,
        body: &Bytes,
        condition: Option<Condition<'_>>,
        metadata: Option<Metadata>,
    ) -> Result<String, Failure> {
        let mut objects = self.objects();
        match (condition, objects.get(key)) {
            (Some(Condition::Absent), Some(_)) => return Err(Failure::Refused),
            (Some(Condition::Unchanged(_)), None) => return Err(Failure::Missing),
            (Some(Condition::Unchanged(etag)), Some(there)) if there.found.etag != etag => {
                return Err(Failure::Refused);
            }
            _ => {}
        }
        let etag = etag(body);
        let found = Found { body: body.clone(), etag: etag.clone() };
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        objects.insert(key.to_owned(), Object { found, metadata: metadata.unwrap_or_default(), number });
        Ok(etag)
    }

    fn take(&self, key: &str, etag: &str) -> Result<(), Failure> {
        let mut objects = self.objects();
        match objects.get(key) {
            None => Err(Failure::Missing),
            Some(there) if there.found.etag != etag => Err(Failure::Refused),
            Some(_) => {
                objects.remove(key);
                Ok(())
            }
        }
    }

    /// The object of this key.
    pub fn found(&self, key: &str) -> Option<Found> {
        self.objects().get(key).map(|object| object.found.clone())
    }

    /// Which of all writes made the object of this key.
    fn number(&self, key: &str) -> Option<u64> {
        self.objects().get(key).map(|object| object.number)
    }

    /// Takes an object away.
    pub fn forget(&self, key: &str) {
        self.objects().remove(key);
    }

    fn about(&self, key: &str) -> Option<Head> {
        let head = |object: &Object| Head {
            etag: object.found.etag.clone(),
            size: object.found.body.len() as u64,
            metadata: object.metadata.clone(),
        };
        self.objects().get(key).map(head)
    }

    fn below(&self, prefix: &str, after: Option<&str>, most: usize) -> Vec<Listed> {
        let objects = self.objects();
        let below = objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let below = below.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).take(most);
        let listed = |(key, object): (&String, &Object)| Listed {
            key: key.clone(),
            size: object.found.body.len() as u64,
        };
        below.map(listed).collect()
    }

    fn tops(&self) -> Vec<String> {
        let objects = self.objects();
        let mut tops: Vec<String> =
            objects.keys().filter_map(|key| key.split_once('/')).map(|(top, _)| top.to_owned()).collect();
        tops.dedup();
        tops
    }
}

/// Equal content has an equal entity tag, as in S3.
fn etag(body: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", body.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

impl Requests for Bucket {
    async fn try_put(
        &self,
        key: &str,
        body: &Bytes,
        condition: Condition<'_>,
        metadata: Option<Metadata>,
    ) -> Result<String, Failure> {
        self.put(key, body, Some(condition), metadata)
    }

    async fn try_remove(&self, key: &str, etag: &str) -> Result<(), Failure> {
        self.take(key, etag)
    }

    async fn replace(&self, key: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let put = self.put(key, &body.into(), None, None);
        put.map(drop).map_err(|_| unanswered("replace"))
    }

    async fn read(&self, key: &str, _: Option<String>, _: u64) -> Result<Option<Found>, StoreError> {
        Ok(self.found(key))
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        Ok(self.about(key))
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.forget(key);
        Ok(())
    }

    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        Ok(self.below(prefix, after, most))
    }

    async fn folders(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.tops())
    }

    async fn pause(&self, _: Duration) {}
}

/// The bucket over a network: each request takes its time, is refused now and then, or is not answered.
#[derive(Clone)]
pub struct Remote {
    /// The world whose bucket it is.
    pub world: Handle,
    /// Which writes of objects it has looked at.
    looked: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Remote {
    /// A way to the world's bucket.
    pub fn new(world: Handle) -> Remote {
        Remote { world, looked: Arc::default() }
    }

    fn looked(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is on its way; it may be refused before anything is done.
    async fn goes(&self) -> Result<(), Failure> {
        self.world.turn().await;
        if self.world.fault(Fault::StoreConflicts) {
            return Err(Failure::Conflict(io::Error::other("409 ConditionalRequestConflict")));
        }
        if self.world.fault(Fault::StoreRefuses) { Err(Failure::Unknown(overloaded())) } else { Ok(()) }
    }

    /// An answer is on its way back, and may be lost.
    async fn comes(&self) -> Result<(), Failure> {
        self.world.turn().await;
        if self.world.fault(Fault::StoreAnswerLost) { Err(Failure::Unknown(overloaded())) } else { Ok(()) }
    }

    /// The SDK makes a request that reads once more, before it gives up.
    async fn reads<T>(&self, what: &'static str, asked: impl Fn(&Bucket) -> T) -> Result<T, StoreError> {
        self.world.turn().await;
        if self.world.fault(Fault::StoreRefuses) && self.world.fault(Fault::StoreRefuses) {
            return Err(unanswered(what));
        }
        let answer = asked(&self.world.bucket);
        self.world.turn().await;
        Ok(answer)
    }
}

fn overloaded() -> io::Error {
    io::Error::other("503 SlowDown")
}

impl Requests for Remote {
    async fn try_put(
        &self,
        key: &str,
        body: &Bytes,
        condition: Condition<'_>,
        metadata: Option<Metadata>,
    ) -> Result<String, Failure> {
        match self.goes().await {
            Err(Failure::Conflict(_)) if self.world.breaks(Bug::ConflictTaken) => return Ok(etag(body)),
            gone => gone?,
        }
        let is_new = matches!(condition, Condition::Absent);
        let put = self.world.bucket.put(key, body, Some(condition), metadata);
        if self.world.breaks(Bug::NonceRepeated) && matches!(put, Err(Failure::Refused)) {
            let found =
                self.world.bucket.found(key).filter(|found| seen::same_records(key, &found.body, body));
            return found.map(|found| found.etag).ok_or(Failure::Refused);
        }
        if put.is_ok() {
            seen::put(&self.world, key, body, is_new);
        }
        self.comes().await?;
        put
    }

    async fn try_remove(&self, key: &str, etag: &str) -> Result<(), Failure> {
        self.goes().await?;
        let number = self.world.bucket.number(key);
        let taken = self.world.bucket.take(key, etag);
        if taken.is_ok() && key.starts_with("live/") && self.looked().get(key) != number.as_ref() {
            self.world.wrong(format_args!("{key} is not the marker that was looked at, and is removed"));
        }
        self.comes().await?;
        taken
    }

    async fn replace(&self, key: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let body = seen::kept(&self.world, key, &body.into());
        let put = self.reads("replace", |bucket| bucket.put(key, &body, None, None).is_ok()).await?;
        let lost = self.world.fault(Fault::StoreAnswerLost);
        if put && !lost { Ok(()) } else { Err(unanswered("replace")) }
    }

    async fn read(&self, key: &str, _: Option<String>, _: u64) -> Result<Option<Found>, StoreError> {
        self.reads("read", |bucket| bucket.found(key)).await
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        let look = |bucket: &Bucket| {
            self.looked().extend(bucket.number(key).map(|number| (key.to_owned(), number)));
            bucket.about(key)
        };
        self.reads("look at", look).await
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        let forget = |bucket: &Bucket| {
            bucket.forget(key);
            seen::removed(&self.world, key);
        };
        self.reads("remove", forget).await?;
        if self.world.fault(Fault::StoreAnswerLost) { Err(unanswered("remove")) } else { Ok(()) }
    }

    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.reads("list", |bucket| bucket.below(prefix, after, most)).await
    }

    async fn folders(&self) -> Result<Vec<String>, StoreError> {
        self.reads("list", Bucket::tops).await
    }

    async fn pause(&self, length: Duration) {
        self.world.sleep(i64::try_from(length.as_millis()).unwrap_or(0)).await;
    }
}
