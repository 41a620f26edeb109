//! The store as the SDK reaches it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{self, Region};
use dropforge_driver::pods::Stores;

use super::S3Store;
use super::bucket::Bucket;

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
        S3Store::over(Bucket::new(client.clone(), &stores.control), Bucket::new(client, &stores.artifacts))
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
}
