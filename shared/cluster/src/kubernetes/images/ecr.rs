//! Logins for Amazon's registry, which knows no pull secrets: whoever may read a repository is given a password for half a
//! day.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use dropforge_driver::clock::{Clock, SystemClock};

use super::registry::{Login, Unsaid, agent, is_busy, login_of, read};

/// What is asked of it, in the words of its protocol.
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const ASKED: &str = "{}";

/// The region of a registry of Amazon's, and the domain of its services; none for any other.
fn place(registry: &str) -> Option<(&str, &str)> {
    let (account, rest) = registry.split_once(".dkr.ecr.")?;
    let (region, domain) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_account && matches!(domain, "amazonaws.com" | "amazonaws.com.cn")).then_some((region, domain))
}

/// The login of these credentials for a registry; none where it is not Amazon's.
///
/// # Errors
/// When there is none for them, or none now.
pub async fn login(registry: &str, credentials: &SharedCredentialsProvider) -> Result<Option<Login>, Unsaid> {
    let Some((region, domain)) = place(registry) else { return Ok(None) };
    // A function's role always has some.
    let had = credentials.provide_credentials().await;
    let credentials = had.map_err(|why| Unsaid { why: why.to_string(), passes: true })?;
    let (url, region) = (format!("https://api.ecr.{region}.{domain}/"), region.to_owned());
    let asking = tokio::task::spawn_blocking(move || ask(&url, &region, &credentials));
    asking.await.map_err(|why| why.to_string())?.map(Some)
}

fn ask(url: &str, region: &str, credentials: &Credentials) -> Result<Login, Unsaid> {
    let request = signed(url, region, credentials)?;
    let answer = agent().run(request)?;
    let status = answer.status();
    let answer = read(answer)?;
    if let Some(token) = answer["authorizationData"][0]["authorizationToken"].as_str() {
        return Ok(login_of(token));
    }
    let said = |field: &str| answer[field].as_str().unwrap_or_default();
    let passes = is_busy(status) || said("__type").contains("Throttling");
    Err(Unsaid { why: format!("{status}: {}", said("message")), passes })
}

fn signed(url: &str, region: &str, credentials: &Credentials) -> Result<http::Request<&'static str>, String> {
    let since_1970 = Duration::try_from(SystemClock.now().as_duration()).map_err(|why| why.to_string())?;
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ecr")
        .time(SystemTime::UNIX_EPOCH + since_1970)
        .settings(SigningSettings::default())
        .build()
        .map_err(|why| why.to_string())?;
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", TARGET)];
    let body = SignableBody::Bytes(ASKED.as_bytes());
    let signable = SignableRequest::new("POST", url, headers.into_iter(), body);
    let signable = signable.map_err(|why| why.to_string())?;
    let (instructions, _) = sign(signable, &parameters.into()).map_err(|why| why.to_string())?.into_parts();
    let mut request = http::Request::post(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(ASKED).map_err(|why| why.to_string())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn amazons_registries_are_known_by_their_names() {
        let registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
        assert_eq!(place(registry), Some(("eu-central-1", "amazonaws.com")));
        assert_eq!(
            place("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            Some(("cn-north-1", "amazonaws.com.cn"))
        );
        for other in [
            "docker.io",
            "public.ecr.aws",
            "1.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.x.evil.example",
        ] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    /// A service that gives one answer; its address, and what it was asked.
    fn service(status: &'static str, body: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            reader.read_exact(&mut [0; ASKED.len()]).unwrap();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            head
        });
        (url, asked)
    }

    #[test]
    fn a_login_is_asked_for_with_the_functions_own_credentials() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let (url, asked) = service("200 OK", r#"{"authorizationData":[{"authorizationToken":"QVdTOng="}]}"#);
        assert!(ask(&url, "eu-central-1", &credentials).unwrap() == login_of("QVdTOng="));
        let head = asked.join().unwrap();
        assert!(head.contains(TARGET) && head.contains("/eu-central-1/ecr/aws4_request"), "{head}");
        let (url, _asked) = service("400 Bad Request", r#"{"message":"User: x is not authorized"}"#);
        let why = ask(&url, "eu-central-1", &credentials).err().unwrap();
        assert_eq!((&*why.why, why.passes), ("400 Bad Request: User: x is not authorized", false));
        for (status, body) in [
            ("400 Bad Request", r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#),
            ("503 Service Unavailable", "{}"),
        ] {
            let (url, _asked) = service(status, body);
            assert!(ask(&url, "eu-central-1", &credentials).err().unwrap().passes, "{body}");
        }
    }
}
