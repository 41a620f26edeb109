//! A registry's side of a push: the OCI distribution API.

use std::time::Duration;

use ureq::Agent;
use ureq::http::{Method, Request, Response, StatusCode};

use super::{Blob, Image, digest};
use crate::cloud::request::agent;

/// An executor is ten megabytes; a slow line takes minutes for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Manifests are a kilobyte.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";

/// A repository of images.
pub struct Repository {
    agent: Agent,
    scheme: &'static str,
    host: String,
    path: String,
    authorization: Option<String>,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The tag names it from now on.
    New,
    /// The tag named it already.
    There,
    /// The tag names another image, of this digest: it stays so, since pods that are to come count on it.
    Other(String),
}

impl Repository {
    /// The repository of this name (`HOST/PATH`); `login` is `NAME:PASSWORD` in base64.
    pub fn new(name: &str, login: Option<&str>) -> Repository {
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        // As container engines do: a registry of this machine speaks plainly.
        let is_near = host.starts_with("localhost") || host.starts_with("127.");
        Repository {
            agent: agent(PATIENCE),
            scheme: if is_near { "http" } else { "https" },
            host: host.to_owned(),
            path: path.to_owned(),
            authorization: login.map(|login| format!("Basic {login}")),
        }
    }

    /// The digest of what a tag names.
    ///
    /// # Errors
    /// When the registry does not say it.
    pub fn tagged(&self, tag: &str) -> Result<Option<String>, String> {
        let answer = self.send(Method::GET, &self.url(&format!("manifests/{tag}")), None)?;
        match answer.status() {
            StatusCode::OK => {
                let bytes = answer.into_body().into_with_config().limit(BYTES_MAX).read_to_vec();
                bytes.map(|bytes| Some(digest(&bytes))).map_err(|why| why.to_string())
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(answer)),
        }
    }

    /// Puts an image under a tag that names none. What is there already is not sent.
    ///
    /// # Errors
    /// When the registry refuses a part; what was sent before stays, and is not sent again.
    pub fn push(&self, image: &Image, tag: &str) -> Result<Pushed, String> {
        match self.tagged(tag)? {
            Some(digest) if digest == image.top.digest => return Ok(Pushed::There),
            Some(other) => return Ok(Pushed::Other(other)),
            None => {}
        }
        for blob in &image.blobs {
            self.upload(blob)?;
        }
        for part in &image.parts {
            self.manifest(part, &part.digest)?;
        }
        self.manifest(&image.top, tag)?;
        Ok(Pushed::New)
    }

    fn upload(&self, blob: &Blob) -> Result<(), String> {
        let there = self.send(Method::HEAD, &self.url(&format!("blobs/{}", blob.digest)), None)?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let begun = self.send(Method::POST, &self.url("blobs/uploads/"), None)?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(refusal(begun));
        }
        let location = begun.headers().get("location").and_then(|value| value.to_str().ok());
        let location = self.absolute(location.ok_or("it names no place for the upload")?);
        let joint = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{joint}digest={}", blob.digest.replace(':', "%3A"));
        expect(self.send(Method::PUT, &url, Some(("application/octet-stream", &blob.bytes)))?)
    }

    fn manifest(&self, manifest: &Blob, reference: &str) -> Result<(), String> {
        let url = self.url(&format!("manifests/{reference}"));
        expect(self.send(Method::PUT, &url, Some((manifest.kind, &manifest.bytes)))?)
    }

    fn url(&self, rest: &str) -> String {
        format!("{}://{}/v2/{}/{rest}", self.scheme, self.host, self.path)
    }

    fn absolute(&self, location: &str) -> String {
        match location.starts_with('/') {
            true => format!("{}://{}{location}", self.scheme, self.host),
            false => location.to_owned(),
        }
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Response<ureq::Body>, String> {
        let mut request = Request::builder().method(method).uri(url).header("accept", ACCEPT);
        // The password is the registry's; a place elsewhere for an upload has its own in its address.
        let is_own = url.starts_with(&format!("{}://{}/", self.scheme, self.host));
        if let Some(authorization) = self.authorization.as_ref().filter(|_| is_own) {
            request = request.header("authorization", authorization);
        }
        let has_body = body.is_some() || request.method_ref() == Some(&Method::POST);
        let (kind, bytes) = body.unwrap_or(("application/octet-stream", &[]));
        let answer = match has_body {
            true => self.agent.run(request.header("content-type", kind).body(bytes).map_err(said)?),
            false => self.agent.run(request.body(()).map_err(said)?),
        };
        answer.map_err(|why| format!("{} does not answer: {why}", self.host))
    }
}

fn said(why: ureq::http::Error) -> String {
    why.to_string()
}

fn expect(answer: Response<ureq::Body>) -> Result<(), String> {
    if answer.status() == StatusCode::CREATED { Ok(()) } else { Err(refusal(answer)) }
}

/// What a registry says when it does not do what it was asked.
fn refusal(answer: Response<ureq::Body>) -> String {
    let status = answer.status();
    let bytes = answer.into_body().into_with_config().limit(BYTES_MAX).read_to_vec().unwrap_or_default();
    let told: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match told["errors"][0]["message"].as_str() {
        Some(words) => format!("{status}: {words}"),
        None => status.to_string(),
    }
}
