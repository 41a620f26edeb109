//! A store in S3: two buckets, one for what Dropforge keeps and one for artifacts, and no database.
//!
//! Every write that decides something is conditional. Whether such a write was made is never guessed: `bucket` tells
//! a lost race from a lost answer by reading back. Bodies that race hold a number used once, so that nobody takes
//! another's for his own, and equal content never has an equal entity tag.
//!
//! | key | holds |
//! |---|---|
//! | `live/<uid>` | markers of live runs |
//! | `runs/<hh>/<uid>/spec.json`, `…/snapshot.json`, `…/inbox/<id>.json` | specs, snapshots, unread commands |
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
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{self, Region};
use dropforge_driver::pods::Stores;
use dropforge_driver::store::StoreError;
use dropforge_engine::ids::RunUid;

use self::bucket::Bucket;
use self::tails::Tail;
use crate::nonces::Nonces;

mod ahead;
mod artifacts;
mod attempts;
mod bucket;
mod claim;
mod documents;
mod download;
mod error;
mod inbox;
mod index;
mod journal;
mod logs;
mod patience;
mod pieces;
mod runs;
mod tails;
mod upload;

/// Run state, definitions and artifacts in S3. Its methods need a tokio runtime.
#[derive(Debug)]
pub struct S3Store {
    control: Bucket,
    artifacts: Bucket,
    nonces: Nonces,
    tails: Mutex<BTreeMap<RunUid, Tail>>,
    logs: Mutex<BTreeMap<String, u32>>,
}

/// A client for the buckets of a deployment.
fn client(mut config: config::Builder, stores: &Stores) -> Client {
    if !stores.region.is_empty() {
        config = config.region(Region::new(stores.region.clone()));
    }
    if let Some(endpoint) = &stores.endpoint {
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    Client::from_conf(config.build())
}

impl S3Store {
    /// The store in these buckets, reached with an SDK's configuration: `S3Store::new(&sdk_config, &stores)`.
    pub fn new(config: impl Into<config::Builder>, stores: &Stores) -> S3Store {
        let client = client(config.into(), stores);
        S3Store {
            control: Bucket::new(client.clone(), &stores.control),
            artifacts: Bucket::new(client, &stores.artifacts),
            nonces: Nonces::new(),
            tails: Mutex::default(),
            logs: Mutex::default(),
        }
    }

    /// How long to wait for the answer to one try, in place of 10 seconds.
    pub fn try_timeout(mut self, timeout: Duration) -> S3Store {
        self.control.try_timeout = timeout;
        self.artifacts.try_timeout = timeout;
        self
    }

    /// How long artifacts are asked for, and stored, while S3 does not answer or wants fewer requests, in place of the few
    /// tries of the SDK. What a step has made is dearer than its pod's time.
    pub fn patience(mut self, patience: Duration) -> S3Store {
        self.control.patience = patience;
        self.artifacts.patience = patience;
        self
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
