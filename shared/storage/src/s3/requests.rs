//! The single requests that the store makes, each of which S3 may refuse or leave without an answer. What becomes of a
//! write is told by `conditional`; the SDK makes the requests on AWS, a made-up bucket in the simulation.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

pub use bytes::Bytes;
use dropforge_driver::store::StoreError;

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its content.
    pub body: Bytes,
    /// Its entity tag, without quotes.
    pub etag: String,
}

/// Short texts that an object carries beside its body.
pub type Metadata = HashMap<String, String>;

/// A stored object without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its entity tag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it carries beside its body.
    pub metadata: Metadata,
}

/// What must hold for a write.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// There is no such object.
    Absent,
    /// The object has this entity tag.
    Unchanged(&'a str),
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a request did not do what it was to do.
#[derive(Debug)]
pub enum Failure {
    /// A condition did not hold: 412.
    Refused,
    /// There is no such object, upload or bucket: 404.
    Missing,
    /// 409 decides nothing: somebody else changed the same object at that moment.
    Conflict(io::Error),
    /// No answer, or one that says nothing of what was done.
    Unknown(io::Error),
    /// An answer that stays the same when asked again.
    Final(io::Error),
}

impl Failure {
    /// As an error of the store. That something is missing is one here too: the bucket, since whoever awaits that
    /// an object may be missing does not come here.
    pub(super) fn at(self, action: &'static str, key: &str) -> StoreError {
        let source = match self {
            Failure::Refused => io::Error::new(ErrorKind::ResourceBusy, "a condition did not hold"),
            Failure::Missing => io::Error::new(ErrorKind::NotFound, "there is no such bucket or upload"),
            Failure::Conflict(why) | Failure::Unknown(why) | Failure::Final(why) => why,
        };
        StoreError::Io { action, key: key.to_owned(), source }
    }
}

/// Requests to one bucket. Those that read, and those of which one more does no harm, may be repeated by whoever makes
/// them; `try_put` and `try_remove` never are.
pub trait Requests: Clone + Send + Sync {
    /// Writes an object if the condition holds, and gives its entity tag.
    fn try_put(
        &self,
        key: &str,
        body: &Bytes,
        condition: Condition<'_>,
        metadata: Option<Metadata>,
    ) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Removes an object if it has this entity tag.
    fn try_remove(&self, key: &str, etag: &str) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes an object in place of whatever is there; writing it twice is as good as once.
    fn replace(&self, key: &str, body: Vec<u8>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The object, or a part of it (`bytes=0-9`), if there is one. One of more than `bytes_max` bytes is damaged and not
    /// read.
    fn read(
        &self,
        key: &str,
        range: Option<String>,
        bytes_max: u64,
    ) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send;

    /// What is known of an object without reading it, if there is one.
    fn head(&self, key: &str) -> impl Future<Output = Result<Option<Head>, StoreError>> + Send;

    /// Removes an object, if it is there.
    fn remove(&self, key: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The objects whose keys begin with `prefix`, by key: those after `after`, and no more than `most`.
    fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// The folders directly below the top of the bucket, without their slash.
    fn folders(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Waits before a request is made once more.
    fn pause(&self, length: Duration) -> impl Future<Output = ()> + Send;
}
