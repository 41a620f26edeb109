//! The token that EKS knows a caller by: a presigned request that says who the signer is, made without asking AWS.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The header that binds the request to one cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// What `X-Amz-Expires` says. EKS takes a token for 15 minutes whatever it says, so it need not be more.
const EXPIRES: Duration = Duration::from_secs(60);

/// How long a token is used: five minutes short of what EKS grants, for clocks that differ and requests under way.
pub const USED_FOR: Duration = Duration::from_secs(600);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("sign a token for the cluster {cluster}: {why}")]
pub struct TokenError {
    cluster: String,
    why: String,
}

/// A token for a cluster of this name.
///
/// # Errors
/// When the request can't be signed.
pub fn token(
    cluster: &str,
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<String, TokenError> {
    let failed = |why: String| TokenError { cluster: cluster.to_owned(), why };
    let url = format!("https://sts.{region}.{}/?Action=GetCallerIdentity&Version=2011-06-15", domain(region));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|why| failed(why.to_string()))?;
    let headers = std::iter::once((CLUSTER_HEADER, cluster));
    let request = SignableRequest::new("GET", &url, headers, SignableBody::Bytes(&[]));
    let request = request.map_err(|why| failed(why.to_string()))?;
    let (instructions, _) =
        sign(request, &parameters.into()).map_err(|why| failed(why.to_string()))?.into_parts();
    let mut signed = http::Request::get(&url).body(()).map_err(|why| failed(why.to_string()))?;
    instructions.apply_to_request_http1x(&mut signed);
    Ok(format!("k8s-aws-v1.{}", BASE64_URL_SAFE_NO_PAD.encode(signed.uri().to_string())))
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Made by `tests/tokens/sign.py`, which asks botocore's own signer.
    const BOTOCORE: &str = include_str!("../../tests/tokens/botocore.json");

    #[derive(serde::Deserialize)]
    struct Case {
        cluster: String,
        region: String,
        access_key: String,
        secret_key: String,
        session_token: Option<String>,
        time: u64,
        url: String,
    }

    /// A URL's parts; the order of its parameters means nothing.
    fn parts(url: &str) -> (String, BTreeMap<String, String>) {
        let (base, query) = url.split_once('?').unwrap();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        (base.to_owned(), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn the_signature_is_botocores() {
        let cases: Vec<Case> = serde_json::from_str(BOTOCORE).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let credentials =
                Credentials::new(case.access_key, case.secret_key, case.session_token, None, "test");
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(case.time);
            let token = token(&case.cluster, &case.region, &credentials, now).unwrap();
            let url = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap();
            assert_eq!(parts(&String::from_utf8(url).unwrap()), parts(&case.url));
        }
    }
}
