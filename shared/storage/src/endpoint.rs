//! An S3 endpoint on this machine's loopback over a folder of buckets, and what lands there told as events.
//!
//! - [`Endpoint::serve`] answers the S3 protocol (crate `s3s` decodes and checks signatures) over
//!   [`Objects`]: what a step, a person or a client of the endpoint puts are the same objects.
//! - [`watch`] sees files that are copied straight into the folder, renamed and deleted there.
//! - [`existing`] lists what lies there already, as the same events.
//!
//! Both announce through one [`Announcer`], which tells of each version of an object once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpResponse};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::objects::Objects;

mod announce;
mod body;
mod condition;
mod error;
mod get;
mod headers;
mod list;
mod multipart;
mod page;
mod put;
mod service;
mod signature;
mod watch;

pub use announce::{Announcer, EventKind, ObjectEvent, create_bucket, existing};
pub use watch::{Watch, WatchError, watch};

use service::Service;
use signature::{OneKey, SignedOnly};

/// How long a stopped endpoint waits for requests that it is answering.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Browser forms are kept in memory by `s3s` before they can be refused: this much at most.
const FORM_BYTES_MAX: u64 = 64 * 1024;

/// The one identity that the endpoint knows.
#[derive(Clone)]
pub struct Credentials {
    /// Names the key.
    pub access_key: String,
    /// Signs requests.
    pub secret_key: String,
    /// The region told to who asks; requests signed for any region are answered.
    pub region: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// How the endpoint behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may ask.
    pub credentials: Credentials,
    /// Whether a put to a bucket that is not there makes it.
    pub auto_create: bool,
}

/// A serving endpoint. Dropped, it stops at once; [`Endpoint::stop`] lets requests end.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Serves the buckets of `objects` on `listener`, announcing what is put and deleted. To be called in a Tokio
    /// runtime.
    ///
    /// # Errors
    /// When the listener is not on loopback: steps' data must not be offered to a network.
    pub fn serve(
        objects: Objects,
        listener: TcpListener,
        options: Options,
        announcer: Announcer,
    ) -> io::Result<Endpoint> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let why = format!("{address} is not a loopback address");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let service = build(objects, options, announcer);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(accept(listener, service, stopped));
        Ok(Endpoint { address, stop: Some(stop), served: Some(served) })
    }

    /// Where it is served, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more connections, and waits a little for the requests that are being answered.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            // It can only have been cancelled; then it has stopped too.
            let _ = served.await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(served) = self.served.take() {
            served.abort();
        }
    }
}

fn build(objects: Objects, options: Options, announcer: Announcer) -> S3Service {
    let mut config = S3Config::default();
    config.post_object_max_file_size = FORM_BYTES_MAX;
    let key = OneKey::new(&options.credentials);
    let mut builder = S3ServiceBuilder::new(Service::new(objects, options, announcer));
    builder.set_auth(key);
    builder.set_access(SignedOnly);
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

async fn accept(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let connections = GracefulShutdown::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most often too many open files: connections that end free some.
                    tracing::warn!(%error, "the S3 endpoint failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Some(_) = tasks.join_next() => continue,
            _ = &mut stopped => break,
        };
        let server = auto::Builder::new(TokioExecutor::new());
        let answers = service_fn({
            let service = service.clone();
            move |request| answer(service.clone(), request)
        });
        let connection = server.serve_connection(TokioIo::new(stream), answers).into_owned();
        let connection = connections.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the S3 endpoint broke");
            }
        });
    }
    drop(listener);
    // What does not end in time is cut off when `tasks` is dropped; unfinished puts leave nothing.
    let _ = tokio::time::timeout(STOP_GRACE, connections.shutdown()).await;
}

/// Answers a request. A client that asked by `Expect: 100-continue` whether to send its body and is refused keeps the
/// body, and may send its next request right away, the start of which would be taken for the body (boto3 does so).
/// As S3 does, such an answer is the connection's last.
async fn answer(service: S3Service, request: http::Request<Incoming>) -> Result<HttpResponse, HttpError> {
    let asked = request.headers().contains_key(EXPECT);
    let mut response = service.call(request.map(s3s::Body::from)).await?;
    if asked && !response.status().is_success() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
