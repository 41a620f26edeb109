//! S3 as tests have it: an emulator of their own, and a proxy before it that does what networks and S3 do to others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::SharedCredentialsProvider;
use dropforge_driver::pods::Stores;
use dropforge_storage::s3::S3Store;
use tokio::runtime::Runtime;

pub mod emulator;
pub mod proxy;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Runs a future to its end.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// Two buckets of a test's own at an endpoint.
pub fn stores(endpoint: &str) -> Stores {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Stores {
        control: format!("control-{number}"),
        artifacts: format!("artifacts-{number}"),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
    }
}

/// A configuration that the emulator takes.
pub async fn configuration() -> SdkConfig {
    let keys = Credentials::new("test", "test", None, None, "a test");
    let loader = dropforge_aws::loader().credentials_provider(SharedCredentialsProvider::new(keys));
    loader.region(Region::new("us-east-1")).load().await
}

/// A client of the emulator, for what the store has no method for.
pub async fn client(endpoint: &str) -> Client {
    let config = aws_sdk_s3::config::Builder::from(&configuration().await);
    Client::from_conf(config.endpoint_url(endpoint).force_path_style(true).build())
}

/// Makes a bucket, unless it is there.
pub async fn bucket(endpoint: &str, name: &str) {
    let _ = client(endpoint).await.create_bucket().bucket(name).send().await;
}

/// An empty store at an endpoint.
pub async fn store(endpoint: &str) -> (S3Store, Stores) {
    let stores = stores(endpoint);
    for name in [&stores.control, &stores.artifacts] {
        bucket(endpoint, name).await;
    }
    (S3Store::new(&configuration().await, &stores), stores)
}
