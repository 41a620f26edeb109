//! A store in S3: two buckets, one for what Dropforge keeps and one for artifacts, and no database.
//!
//! Every write that decides something is conditional. Whether such a write was made is never guessed: `conditional` tells
//! a lost race from a lost answer by reading back. Bodies that race hold a number used once, so that nobody takes
//! another's for his own, and equal content never has an equal entity tag.
//!
//! | key | holds |
//! |---|---|
//! | `live/<uid>` | markers of live runs |
//! | `runs/<hh>/<uid>/spec.json`, `…/snapshot.json`, `…/inbox/<id>.json` | specs, snapshots (large ones compressed), unread commands |
//! | `journals/<hh>/<uid>/<20 digits>.json` | commits, from 1 |
//! | `journals/<hh>/<uid>/pieces/<name>.json` | what snapshots name in place of repeating it |
//! | `attempts/<namespace>/<attempt>/{claim,result,launch}.json` | claims, verdicts, launches too large for a variable |
//! | `logs/<namespace>/<attempt>/<container>/<nnnnn>` | pieces of logs |
//! | `definitions/…`, `triggers/…`, `crons/…`, `locks/…`, `memo/…` | documents |
//! | `index/<namespace>/…` | the run list |
//!
//! Artifacts of the default repository are `<namespace>/<key>` in their own bucket; a place in another bucket is that
//! bucket's key as it is.
//!
//! Whoever may not list a bucket is told that a missing object is forbidden: the programs that read runs need
//! `s3:ListBucket`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dropforge_driver::store::StoreError;
use dropforge_engine::ids::RunUid;

#[cfg(feature = "s3")]
pub use self::bucket::Bucket;
use self::tails::Tail;
use crate::nonces::Nonces;

#[cfg(feature = "s3")]
mod ahead;
#[cfg(feature = "s3")]
mod artifacts;
mod attempts;
#[cfg(feature = "s3")]
mod bucket;
mod claim;
#[cfg(feature = "s3")]
mod client;
mod conditional;
mod documents;
#[cfg(feature = "s3")]
mod download;
#[cfg(feature = "s3")]
mod error;
mod inbox;
mod index;
mod journal;
mod logs;
pub mod packed;
#[cfg(feature = "s3")]
mod patience;
mod pieces;
pub mod requests;
mod runs;
mod tails;
#[cfg(feature = "s3")]
mod upload;

/// Run state, definitions and artifacts in S3. Its methods need a tokio runtime.
#[cfg(feature = "s3")]
pub type S3Store = ObjectStore<Bucket>;

/// The same, whoever makes the requests.
#[derive(Debug)]
pub struct ObjectStore<R> {
    control: R,
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "artifacts come and go with the SDK"))]
    artifacts: R,
    nonces: Nonces,
    tails: Mutex<BTreeMap<RunUid, Tail>>,
    logs: Mutex<BTreeMap<String, u32>>,
}

impl<R> ObjectStore<R> {
    /// The store in what these requests reach: what Dropforge keeps, and artifacts.
    pub fn over(control: R, artifacts: R) -> ObjectStore<R> {
        let nonces = Nonces::new();
        ObjectStore { control, artifacts, nonces, tails: Mutex::default(), logs: Mutex::default() }
    }

    fn tails(&self) -> MutexGuard<'_, BTreeMap<RunUid, Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path of the key layout as a key.
fn key(path: PathBuf) -> String {
    // Built of escaped text by `keys`.
    path.into_os_string().into_string().expect("keys are text")
}

/// The same for a document's key, which is bounded.
fn bounded(path: PathBuf) -> Result<String, StoreError> {
    let key = key(path);
    if key.len() <= crate::keys::KEY_BYTES_MAX {
        return Ok(key);
    }
    let why = format!("its key takes {} bytes, {} are possible", key.len(), crate::keys::KEY_BYTES_MAX);
    Err(StoreError::BadName { what: "document", name: key, why })
}
