//! A registry's answer to what an image starts: the OCI distribution API.
//!
//! Blocking, since it is asked once for each image and day.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use ureq::http::StatusCode;

use crate::kubernetes::pod::ImageCommand;
use crate::kubernetes::site::full_name;

/// A registry answers quickly, or is away.
const ANSWER: Duration = Duration::from_secs(10);

/// Manifests and configurations are a few kilobytes; what is larger is none.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a registry may give for an image: one manifest, or a list by platform.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// What a registry says that does not know an image.
const NO_IMAGE: &str = "there is no such image";

/// A name and its password at a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `name:password` in base64, as it is sent.
    basic: String,
}

/// Logins by registry.
pub type Logins = BTreeMap<String, Login>;

/// Why it is not known what an image starts.
#[derive(Clone, Debug, thiserror::Error)]
#[error("ask the registry what the image {image} starts: {why}")]
pub struct RegistryError {
    image: String,
    why: String,
    passes: bool,
}

impl RegistryError {
    pub(super) fn of(image: &str, Unsaid { why, passes }: Unsaid) -> Self {
        RegistryError { image: image.to_owned(), why, passes }
    }

    /// The same, with what else a person should know.
    pub fn and(mut self, more: &str) -> Self {
        self.why.push_str(more);
        self
    }

    /// The same, once it has been so for too long.
    pub(super) fn for_good(self, since: SignedDuration) -> Self {
        let why = format!("{} (for {} s)", self.why, since.as_secs());
        RegistryError { why, passes: false, ..self }
    }

    /// Whether the registry knows no such image.
    pub fn is_missing(&self) -> bool {
        self.why.starts_with(NO_IMAGE)
    }

    /// Whether the registry does not answer or has too much to do: it may answer later.
    pub fn passes(&self) -> bool {
        self.passes
    }
}

/// Why a service did not say what it was asked, in words for people.
#[derive(Debug)]
pub(super) struct Unsaid {
    pub why: String,
    /// Whether it may say it later: it does not answer, or has too much to do.
    pub passes: bool,
}

impl From<String> for Unsaid {
    fn from(why: String) -> Self {
        Unsaid { why, passes: false }
    }
}

impl From<&str> for Unsaid {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

impl From<ureq::Error> for Unsaid {
    fn from(error: ureq::Error) -> Self {
        use ureq::Error::{BodyStalled, ConnectionFailed, HostNotFound, Io, Timeout};
        let passes = matches!(error, BodyStalled | ConnectionFailed | HostNotFound | Io(_) | Timeout(_));
        Unsaid { why: error.to_string(), passes }
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The logins of a pull secret's `.dockerconfigjson`; nothing of one that can't be read.
pub fn logins(docker_config: &[u8]) -> Logins {
    let Ok(config) = serde_json::from_slice::<DockerConfig>(docker_config) else { return Logins::new() };
    let login = |auth: Auth| {
        let pair = || Some(BASE64_STANDARD.encode(format!("{}:{}", auth.username?, auth.password?)));
        auth.auth.clone().filter(|auth| !auth.is_empty()).or_else(pair).map(|basic| Login { basic })
    };
    let entries = config.auths.into_iter();
    entries.filter_map(|(server, auth)| Some((registry_of(&server), login(auth)?))).collect()
}

/// `https://index.docker.io/v1/` is `docker.io`.
fn registry_of(server: &str) -> String {
    let host = server.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or(host);
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host }.to_owned()
}

/// The login that ECR gives, which is sent as it is.
pub(super) fn login_of(token: &str) -> Login {
    Login { basic: token.to_owned() }
}

/// The registry of an image: its host.
pub(super) fn registry(image: &str) -> String {
    Name::of(image).registry
}

/// What an image starts.
///
/// # Errors
/// When its registry does not say it.
pub fn starts(image: &str, logins: &Logins) -> Result<ImageCommand, RegistryError> {
    let name = Name::of(image);
    let mut visit = Visit { name: &name, login: logins.get(&name.registry), bearer: None, agent: agent() };
    visit.starts().map_err(|why| RegistryError::of(image, why))
}

/// Who asks: not for long, and what is no success is an answer, too.
pub(super) fn agent() -> Agent {
    let config = Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false);
    config.build().new_agent()
}

/// An image's name in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    registry: String,
    repository: String,
    /// A tag or a digest.
    reference: String,
}

impl Name {
    fn of(image: &str) -> Name {
        let full = full_name(image);
        let (registry, rest) = full.split_once('/').unwrap_or(("docker.io", &full));
        let (repository, reference) = match rest.split_once('@') {
            // A tag beside a digest says nothing.
            Some((named, digest)) => (named.split(':').next().unwrap_or(named), digest),
            None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
        };
        let owned = str::to_owned;
        Name { registry: owned(registry), repository: owned(repository), reference: owned(reference) }
    }

    fn base(&self) -> String {
        let host = if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry };
        // As container engines do: a registry of this machine speaks plainly.
        let plain = host.starts_with("localhost") || host.starts_with("127.");
        format!("{}://{host}/v2/{}", if plain { "http" } else { "https" }, self.repository)
    }
}

/// One image's questions to its registry.
struct Visit<'a> {
    name: &'a Name,
    login: Option<&'a Login>,
    bearer: Option<String>,
    agent: Agent,
}

impl Visit<'_> {
    fn starts(&mut self) -> Result<ImageCommand, Unsaid> {
        let mut manifest = self.get("manifests", &self.name.reference)?;
        if let Some(list) = manifest["manifests"].as_array() {
            let digest = for_this_platform(list).ok_or("it holds no image for linux")?;
            manifest = self.get("manifests", &digest)?;
        }
        let digest = manifest["config"]["digest"].as_str().ok_or("its manifest names no configuration")?;
        let config = self.get("blobs", digest)?;
        let texts = |field: &str| {
            let list = config["config"][field].as_array();
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Ok(ImageCommand { entrypoint: texts("Entrypoint"), cmd: texts("Cmd") })
    }

    fn get(&mut self, kind: &str, reference: &str) -> Result<Value, Unsaid> {
        let url = format!("{}/{kind}/{reference}", self.name.base());
        let mut answer = self.ask(&url)?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.bearer.is_none() {
            let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
            let challenge = challenge.unwrap_or_default().to_owned();
            // Who asks for a name and a password has been given them, where there are any.
            if let Some(fields) = challenge.strip_prefix("Bearer ") {
                self.bearer = Some(self.token(fields)?);
                answer = self.ask(&url)?;
            }
        }
        match answer.status() {
            StatusCode::OK => read(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.login.is_some() => {
                Err(format!("the login for {} that was found is not enough for it", self.name.registry)
                    .into())
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err("it may not be read without a login; name a pull secret in `imagePullSecrets`".into())
            }
            StatusCode::NOT_FOUND => Err(NO_IMAGE.into()),
            other => Err(Unsaid { why: format!("the registry answered {other}"), passes: is_busy(other) }),
        }
    }

    fn ask(&self, url: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = self.agent.get(url).header("accept", ACCEPT);
        let authorization = match (&self.bearer, self.login) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(login)) => Some(format!("Basic {}", login.basic)),
            (None, None) => None,
        };
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        request.call()
    }

    /// Docker's token protocol: the challenge says who gives a token for what.
    fn token(&self, fields: &str) -> Result<String, Unsaid> {
        let field = |name: &str| {
            let (_, rest) = fields.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let realm = field("realm").ok_or("its challenge names no realm")?;
        let mut request = self.agent.get(&realm);
        for (name, value) in [("service", field("service")), ("scope", field("scope"))] {
            if let Some(value) = value {
                request = request.query(name, value);
            }
        }
        if let Some(login) = self.login {
            request = request.header("authorization", format!("Basic {}", login.basic));
        }
        let answer = request.call()?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(Unsaid { why: format!("{realm} gives no token: {status}"), passes: is_busy(status) });
        }
        let token = read(answer)?;
        let token = token["token"].as_str().or(token["access_token"].as_str());
        token.map(str::to_owned).ok_or_else(|| format!("{realm} gives no token").into())
    }
}

pub(super) fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

pub(super) fn read(answer: ureq::http::Response<ureq::Body>) -> Result<Value, Unsaid> {
    let bytes = answer.into_body().into_with_config().limit(BYTES_MAX).read_to_vec()?;
    serde_json::from_slice(&bytes).map_err(|why| format!("the registry's answer is no JSON: {why}").into())
}

/// The digest of the image for x86-64, else the first one for Linux: what an image starts is the same on all platforms,
/// but for very odd ones.
fn for_this_platform(list: &[Value]) -> Option<String> {
    let linux = |entry: &&Value| entry["platform"]["os"] == "linux";
    let amd64 = list.iter().filter(linux).find(|entry| entry["platform"]["architecture"] == "amd64");
    amd64.or_else(|| list.iter().find(linux))?["digest"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
