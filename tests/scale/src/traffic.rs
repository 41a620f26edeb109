//! A store in S3 that counts what it sends, on the emulator.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{self, ConfigBag, Intercept, RuntimeComponents};
use dropforge_storage::s3::S3Store;

/// Requests, tries included, and the bytes of their bodies.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those that cost what a GET costs; PUT and LIST cost more.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The counter as the SDK takes it.
#[derive(Debug)]
struct Counter(Arc<Traffic>);

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Traffic"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let request = context.request();
        let bytes = request.body().content_length().unwrap_or_default();
        let lists = request.uri().contains("list-type=");
        let reads = matches!(request.method(), "GET" | "HEAD") && !lists;
        self.0.reads.fetch_add(reads.into(), Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// An empty store at an endpoint.
pub async fn store(endpoint: &str) -> (S3Store, Arc<Traffic>) {
    let stores = dropforge_contracts::stores(endpoint);
    for bucket in [&stores.control, &stores.artifacts] {
        dropforge_contracts::bucket(endpoint, bucket).await;
    }
    let traffic = Arc::new(Traffic::default());
    let configuration = dropforge_contracts::configuration().await;
    let builder = config::Builder::from(&configuration).interceptor(Counter(traffic.clone()));
    (S3Store::new(builder, &stores), traffic)
}
