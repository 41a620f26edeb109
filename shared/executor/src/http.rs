//! HTTP requests as Argo makes them: by Go's rules for redirects and proxies, told in Go's words.
//!
//! Limits: at most ten redirects; a redirect that asks for the body once more (307, 308) is not followed; headers of
//! at most 64 kB; no connection is kept, so that no request is ever sent a second time because a kept one was closed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, http};

use guard::Guard;

pub mod artifact;
mod guard;

/// How long a connection may take to be made: Go's own limit.
const CONNECT: Duration = Duration::from_secs(30);
/// How long a transfer may stand still. A transfer that goes on may take as long as it takes.
const STALLED: Duration = Duration::from_secs(120);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It could not be made, or was not answered; in Go's words.
    #[error("{operation} {url:?}: {why}")]
    Exchange {
        /// The method as Go writes it: `Get`.
        operation: String,
        /// Whom it was for.
        url: String,
        /// Why.
        why: String,
    },
    /// The answer's body did not come to its end.
    #[error("{0}")]
    Body(String),
    /// The answer is longer than what is kept.
    #[error(
        "the response body has more than {limit} bytes: write it to an artifact (`http` of an input artifact), or ask for less"
    )]
    TooLarge {
        /// The most that is kept.
        limit: u64,
    },
    /// The file could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The client's certificate or key can't be used.
    #[error("the client certificate can't be used: {0}")]
    Certificate(String),
}

/// A request before it is made.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET` where empty.
    pub method: String,
    /// Whom it is for.
    pub url: String,
    /// Its headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long all of it may take, the answer's body included; none: as long as something moves.
    pub limit: Option<Duration>,
    /// Whether any certificate is taken for good.
    pub insecure: bool,
    /// The client's certificate and key, in PEM.
    pub certificate: Option<(String, String)>,
    /// Whether addresses that only the machine itself reaches are refused, redirects to them too.
    pub guarded: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, by their names as Go writes them: `Content-Type`.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Its body.
    pub body: Vec<u8>,
}

/// The answer to a stored file's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its status.
    pub code: u16,
    /// As Go writes it: `404 Not Found`.
    pub text: String,
}

impl Status {
    /// Whether it is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

impl Request {
    fn method(&self) -> &str {
        if self.method.is_empty() { "GET" } else { &self.method }
    }

    /// Makes the request; the answer's body is kept up to `limit` bytes.
    ///
    /// # Errors
    /// When there is no answer, or a longer one.
    pub fn send(&self, limit: u64) -> Result<Response, HttpError> {
        let body = match self.method() {
            _ if !self.body.is_empty() => Some(self.body.as_slice()),
            "POST" | "PUT" | "PATCH" => Some([].as_slice()),
            _ => None,
        };
        let mut response = match body {
            Some(body) => self.exchange(body)?,
            None => self.exchange(())?,
        };
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        Ok(Response {
            status: response.status().as_u16(),
            headers: headers(&response),
            body: body.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge { limit },
                other => HttpError::Body(cause(&other)),
            })?,
        })
    }

    /// Makes the request; the body of a successful answer goes to the file `to`.
    ///
    /// # Errors
    /// When there is no answer, or it can't be written.
    pub fn download(&self, to: &Path) -> Result<Status, HttpError> {
        let failed = |source| HttpError::File { action: "write", path: to.to_path_buf(), source };
        let mut response = self.exchange(())?;
        let status = status(&response);
        if status.is_success() {
            let mut file = File::create(to).map_err(failed)?;
            let mut body = response.body_mut().as_reader();
            io::copy(&mut body, &mut file)
                .map_err(|error| HttpError::Body(cause(&ureq::Error::from(error))))?;
        }
        Ok(status)
    }

    /// Makes the request with the file `from` as its body.
    ///
    /// # Errors
    /// When it can't be read, or there is no answer.
    pub fn upload(&self, from: &Path) -> Result<Status, HttpError> {
        let failed = |source| HttpError::File { action: "read", path: from.to_path_buf(), source };
        let file = File::open(from).map_err(failed)?;
        Ok(status(&self.exchange(file)?))
    }

    /// Makes the request; the answer's body is read from it.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn open(&self) -> Result<http::Response<ureq::Body>, HttpError> {
        if self.method() == "POST" { self.exchange(self.body.as_slice()) } else { self.exchange(()) }
    }

    fn exchange(&self, body: impl ureq::AsSendBody) -> Result<http::Response<ureq::Body>, HttpError> {
        let mut request = http::Request::builder().method(self.method()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|error| self.failed(&ureq::Error::Http(error)))?;
        self.agent()?.run(request).map_err(|error| self.failed(&error))
    }

    fn agent(&self) -> Result<Agent, HttpError> {
        let certificate = match &self.certificate {
            Some((certificate, key)) => Some(client_certificate(certificate, key)?),
            None => None,
        };
        let tls = TlsConfig::builder()
            .root_certs(trusted())
            .disable_verification(self.insecure)
            .client_cert(certificate)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(10)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_response_header_size(64 * 1024)
            .max_idle_connections(0)
            .timeout_global(self.limit)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(STALLED))
            .timeout_per_write(Some(STALLED))
            .build();
        Ok(match self.guarded {
            true => Agent::with_parts(config, DefaultConnector::default(), Guard::default()),
            false => config.new_agent(),
        })
    }

    fn failed(&self, error: &ureq::Error) -> HttpError {
        let method = self.method().to_ascii_lowercase();
        let operation = method[..1].to_ascii_uppercase() + &method[1..];
        HttpError::Exchange { operation, url: self.url.clone(), why: cause(error) }
    }
}

/// The system's certificates; an image in which a pod's containers run may have none.
fn trusted() -> RootCerts {
    #[cfg(feature = "pod")]
    if !dropforge_aws::roots::of_the_system() {
        return RootCerts::WebPki;
    }
    RootCerts::PlatformVerifier
}

/// The value of `Authorization` for a name and a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn client_certificate(certificate: &str, key: &str) -> Result<ClientCert, HttpError> {
    let failed = |error: ureq::Error| HttpError::Certificate(error.to_string());
    let chain = [Certificate::from_pem(certificate.as_bytes()).map_err(failed)?];
    let key = PrivateKey::from_pem(key.as_bytes()).map_err(failed)?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// What an answer says of the request.
pub fn status(response: &http::Response<ureq::Body>) -> Status {
    let status = response.status();
    let text = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    Status { code: status.as_u16(), text: text.trim_end().to_owned() }
}

fn headers(response: &http::Response<ureq::Body>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        all.entry(canonical(name.as_str())).or_default().push(value);
    }
    all
}

/// A header's name as Go writes it.
fn canonical(name: &str) -> String {
    let mut up = true;
    let letter = |c: char| {
        let written = if up { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        up = c == '-';
        written
    };
    name.chars().map(letter).collect()
}

/// Where a name could not be looked up, Go's words for the C library's.
fn lookup(error: &str) -> String {
    match error.strip_prefix("failed to lookup address information: ") {
        Some(
            "Name or service not known" | "Name does not resolve" | "No address associated with hostname",
        ) => "dial tcp: lookup: no such host".to_owned(),
        Some(other) => format!("dial tcp: lookup: {other}"),
        None => error.to_owned(),
    }
}

/// What went wrong, as Go tells it.
fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "context deadline exceeded".to_owned(),
        ureq::Error::HostNotFound => "dial tcp: lookup: no such host".to_owned(),
        ureq::Error::TooManyRedirects => "stopped after 10 redirects".to_owned(),
        ureq::Error::RedirectFailed => {
            "the answer asks for the body once more at another place (307 or 308), which is not done: name that place"
                .to_owned()
        }
        ureq::Error::BadUri(uri) => format!("unsupported protocol scheme or no host in {uri:?}"),
        ureq::Error::Rustls(why) => format!("tls: failed to verify certificate: {why}"),
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "dial tcp: connect: connection refused".to_owned(),
            io::ErrorKind::ConnectionReset => "read tcp: read: connection reset by peer".to_owned(),
            io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            _ => lookup(&error.to_string()),
        },
        ureq::Error::Other(why) => why.to_string(),
        other => other.to_string(),
    }
}
