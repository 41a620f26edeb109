//! Requests to those of AWS's services of which a question or two is asked: signed here, without the service's own crate.
//!
//! Blocking: each is asked once in a command of a person's.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningInstructions, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{RootCerts, TlsConfig};

/// A service answers soon, or is not reached from here.
const ANSWER: Duration = Duration::from_secs(20);

/// Answers to our questions are some kilobytes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a service did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It answered with an error: its code and its words.
    Said(String, String),
    /// No answer came.
    Silent(String),
}

impl Refused {
    /// The service's own word for it; none where no answer came.
    pub fn code(&self) -> &str {
        match self {
            Refused::Said(code, _) => code,
            Refused::Silent(_) => "",
        }
    }

    /// Whether a permission is missing.
    pub fn is_denied(&self) -> bool {
        self.code().contains("AccessDenied") || self.code().contains("UnauthorizedOperation")
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Said(code, words) => write!(f, "{code}: {words}"),
            Refused::Silent(why) => f.write_str(why),
        }
    }
}

/// AWS as one person reaches it in one region.
#[derive(Clone)]
pub struct Aws {
    agent: Agent,
    credentials: Credentials,
    region: String,
    endpoint: Option<String>,
}

impl Aws {
    /// With the credentials that the configuration finds; none where there are none.
    pub async fn of(config: &SdkConfig, region: &str, endpoint: Option<&str>) -> Option<Aws> {
        let credentials = config.credentials_provider()?.provide_credentials().await.ok()?;
        let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned());
        Some(Aws { agent: agent(ANSWER), credentials, region: region.to_owned(), endpoint })
    }

    /// Asks a service that speaks JSON under an operation's name: `target` is `SERVICE_VERSION.Operation`.
    ///
    /// # Errors
    /// When it refuses, or is not reached.
    pub fn ask(&self, service: &Service, target: &str, body: &Value) -> Result<Value, Refused> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let body = body.to_string().into_bytes();
        let request = self.signed(service, "POST", "/", &headers, &body)?;
        self.answer(self.agent.run(request.map(|()| body)))
    }

    /// Reads what a service has at a path.
    ///
    /// # Errors
    /// When it refuses, or is not reached.
    pub fn get(&self, service: &Service, path: &str) -> Result<Value, Refused> {
        self.answer(self.agent.run(self.signed(service, "GET", path, &[], &[])?))
    }

    /// IAM, which stands in one region for all of a partition's.
    pub fn of_all_regions(&self) -> Aws {
        let (region, host) = match self.region.as_str() {
            china if china.starts_with("cn-") => ("cn-north-1", "iam.cn-north-1.amazonaws.com.cn"),
            gov if gov.starts_with("us-gov-") => ("us-gov-west-1", "iam.us-gov.amazonaws.com"),
            _ => ("us-east-1", "iam.amazonaws.com"),
        };
        let endpoint = self.endpoint.clone().unwrap_or_else(|| format!("https://{host}"));
        Aws { region: region.to_owned(), endpoint: Some(endpoint), ..self.clone() }
    }

    /// Whether something else answers in AWS's place.
    pub fn is_emulated(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Asks a service that takes a form and answers in XML.
    ///
    /// # Errors
    /// When it refuses, or is not reached.
    pub fn form(&self, service: &Service, form: &str) -> Result<String, Refused> {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let request = self.signed(service, "POST", "/", &headers, form.as_bytes())?;
        let answer = self.agent.run(request.map(|()| form.as_bytes().to_vec()));
        let answer = answer.map_err(|why| Refused::Silent(format!("it does not answer: {why}")))?;
        let is_good = answer.status().is_success();
        let body = answer.into_body().into_with_config().limit(BYTES_MAX).read_to_string();
        let body = body.map_err(|why| Refused::Silent(why.to_string()))?;
        let text = |name: &str| element(&body, name).unwrap_or_default().to_owned();
        if !is_good {
            return Err(Refused::Said(text("Code"), text("Message")));
        }
        Ok(body)
    }

    fn answer(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Refused> {
        read(answer.map_err(|why| Refused::Silent(format!("it does not answer: {why}")))?)
    }

    fn signed(
        &self,
        service: &Service,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Request<()>, Refused> {
        let base = self.endpoint.clone().unwrap_or_else(|| service.url(&self.region));
        let url = format!("{base}{path}");
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).map_err(|why| Refused::Silent(why.to_string()))?;
        let signable = SignableRequest::new(method, &url, headers.iter().copied(), SignableBody::Bytes(body));
        let signed =
            signable.map_err(|why| why.to_string()).and_then(|signable| self.sign(service, signable));
        signed.map_err(Refused::Silent)?.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    fn sign(&self, service: &Service, request: SignableRequest<'_>) -> Result<SigningInstructions, String> {
        let identity = self.credentials.clone().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service.name)
            .time(now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|why| why.to_string())?;
        let signed = sign(request, &parameters.into()).map_err(|why| why.to_string())?;
        Ok(signed.into_parts().0)
    }
}

/// AWS takes a request for fifteen minutes after the time that it says.
#[expect(clippy::disallowed_methods, reason = "a signature holds the time of day")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Where roles and policies are kept.
pub const IAM: Service = Service { name: "iam", host: "iam" };

/// Who knows who somebody is.
pub const STS: Service = Service { name: "sts", host: "sts" };

/// What is asked.
pub struct Service {
    /// The name that requests are signed for.
    pub name: &'static str,
    /// What its host's name begins with.
    pub host: &'static str,
}

impl Service {
    fn url(&self, region: &str) -> String {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://{}.{region}.{domain}", self.host)
    }
}

/// The text of the first element of a name in XML that has no attributes.
pub fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// A client that trusts what the system trusts, and gives answers of any status.
pub fn agent(patience: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder().tls_config(tls).timeout_global(Some(patience));
    config.http_status_as_error(false).max_redirects(0).build().new_agent()
}

fn read(answer: Response<ureq::Body>) -> Result<Value, Refused> {
    let status = answer.status();
    let named = answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let named = named.map(str::to_owned);
    let bytes = answer.into_body().into_with_config().limit(BYTES_MAX).read_to_vec();
    let bytes = bytes.map_err(|why| Refused::Silent(why.to_string()))?;
    let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status.is_success() {
        return Ok(told);
    }
    let text = |names: [&str; 2]| names.iter().find_map(|name| told[*name].as_str()).map(str::to_owned);
    let code = named.or_else(|| text(["__type", "code"])).unwrap_or_else(|| status.to_string());
    Err(Refused::Said(plain(&code), text(["message", "Message"]).unwrap_or_default()))
}

/// `com.amazonaws.ecr#AccessDeniedException:http://…` is `AccessDeniedException`.
fn plain(code: &str) -> String {
    let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
    code.split(':').next().unwrap_or(code).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_plain_names() {
        for said in ["AccessDeniedException", "com.x#AccessDeniedException", "AccessDeniedException:http://y"]
        {
            assert_eq!(plain(said), "AccessDeniedException");
        }
    }

    #[test]
    fn services_stand_where_aws_has_them() {
        let ecr = Service { name: "ecr", host: "api.ecr" };
        assert_eq!(ecr.url("eu-central-1"), "https://api.ecr.eu-central-1.amazonaws.com");
        assert_eq!(ecr.url("cn-north-1"), "https://api.ecr.cn-north-1.amazonaws.com.cn");
    }
}
