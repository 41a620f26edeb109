//! The API through a function that stands in the cluster's network: a program that can't reach the endpoint hands each of
//! its requests to that function, and gets the answer back.
//!
//! What travels is one JSON document each way. The body of a request or answer is packed, since a call of a function
//! carries 6 MB and a page of pods may be larger. The function has credentials of its own; it performs what
//! [`KubernetesCluster`](super::KubernetesCluster) asks and nothing else, whoever asks.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::json;

mod dispatch;

pub use dispatch::Dispatch;

/// The version of the documents that this code writes and reads.
const FORMAT: u32 = 1;

/// The longest packed body: what is left of Lambda's 6 MB, with room for the rest of the document.
const PACKED_MAX: usize = 5 * 1024 * 1024;

/// The longest body, so that the smallest function has the memory for it several times.
const BODY_MAX: usize = 32 * 1024 * 1024;

/// A request to the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    format: u32,
    method: String,
    /// With its query.
    path: String,
    #[serde(default)]
    body: String,
}

/// What the API answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    format: u32,
    status: u16,
    #[serde(default)]
    retry_after: Option<String>,
    #[serde(default)]
    body: String,
}

/// Carries a request's document to the function, and its answer's back.
#[derive(Clone)]
pub struct Carrier(Arc<Carry>);

type Carry = dyn Fn(Vec<u8>) -> Carrying + Send + Sync;

/// A document on its way.
pub type Carrying = Pin<Box<dyn Future<Output = Result<Vec<u8>, NotCarried>> + Send>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotCarried {
    /// The function has too much to do at present, and did nothing.
    #[error("call the dispatch function, which has too much to do")]
    Busy,
    /// It is not known what it did.
    #[error("call the dispatch function")]
    Failed(#[source] io::Error),
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

impl Carrier {
    /// Carries by this call.
    pub fn new(carry: impl Fn(Vec<u8>) -> Carrying + Send + Sync + 'static) -> Self {
        Carrier(Arc::new(carry))
    }

    /// A client whose requests are carried.
    pub(super) fn client(&self) -> Client {
        let carrier = self.clone();
        let service = tower::service_fn(move |request| {
            let carrier = carrier.clone();
            async move { carrier.ask(request).await }
        });
        Client::new(service, "default")
    }

    async fn ask(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(io::Error::other)?;
        let path = head.uri.path_and_query().map(|path| path.as_str()).unwrap_or_default();
        let Some(asked) = Asked::new(head.method.as_str(), path, &body) else {
            return Answered::own(413, "RequestEntityTooLarge", "the request is too large to be dispatched")
                .response();
        };
        let document = serde_json::to_vec(&asked).map_err(io::Error::other)?;
        match (self.0)(document).await {
            Ok(answer) => serde_json::from_slice::<Answered>(&answer).map_err(unreadable)?.response(),
            Err(busy @ NotCarried::Busy) => {
                Answered::own(429, "TooManyRequests", &format!("failed to {busy}")).response()
            }
            Err(failed) => Err(io::Error::other(failed)),
        }
    }
}

impl Asked {
    /// None where the body is too long.
    fn new(method: &str, path: &str, body: &[u8]) -> Option<Self> {
        let (method, path) = (method.to_owned(), path.to_owned());
        Some(Asked { format: FORMAT, method, path, body: packed(body)? })
    }
}

impl Answered {
    fn new(status: u16, retry_after: Option<String>, body: &[u8]) -> Self {
        match packed(body) {
            Some(body) => Answered { format: FORMAT, status, retry_after, body },
            None => Answered::too_large(),
        }
    }

    /// Who asked for a list asks for a shorter one.
    fn too_large() -> Self {
        Answered::own(413, "ResponseTooLarge", "the answer is too large to be carried back")
    }

    /// An answer that is not the API's, as the API would write it.
    fn own(status: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status,
        });
        let body = packed(body.to_string().as_bytes()).unwrap_or_default();
        Answered { format: FORMAT, status, retry_after: None, body }
    }

    fn response(self) -> io::Result<Response<Body>> {
        if self.format != FORMAT {
            return Err(unreadable(format!(
                "its format is {}, and this program reads {FORMAT}",
                self.format
            )));
        }
        let mut response = Response::builder().status(self.status);
        if let Some(after) = self.retry_after {
            response = response.header(RETRY_AFTER, after);
        }
        response.body(Body::from(unpacked(&self.body)?)).map_err(unreadable)
    }
}

fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// None where it is too long even so.
fn packed(body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return Some(String::new());
    }
    if body.len() > BODY_MAX {
        return None;
    }
    let mut packing = GzEncoder::new(Vec::new(), Compression::fast());
    packing.write_all(body).expect("memory takes what is written");
    let packed = packing.finish().expect("memory takes what is written");
    Some(BASE64_STANDARD.encode(packed)).filter(|text| text.len() <= PACKED_MAX)
}

fn unpacked(text: &str) -> io::Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let packed = BASE64_STANDARD.decode(text).map_err(unreadable)?;
    let mut body = Vec::new();
    GzDecoder::new(&packed[..]).take(BODY_MAX as u64 + 1).read_to_end(&mut body)?;
    if body.len() > BODY_MAX {
        return Err(unreadable(format!("a body is longer than {BODY_MAX} bytes")));
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
