//! Who may ask: requests signed with the one key, by signature version 4.

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use super::Credentials;

/// Knows one access key.
pub(super) struct OneKey {
    access_key: String,
    secret_key: SecretKey,
}

impl OneKey {
    pub(super) fn new(credentials: &Credentials) -> OneKey {
        OneKey {
            access_key: credentials.access_key.clone(),
            secret_key: credentials.secret_key.as_str().into(),
        }
    }
}

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        Err(s3_error!(InvalidAccessKeyId, "The access key {access_key:?} is not this endpoint's."))
    }
}

/// Refuses what is not signed. The older signature version is taken in a presigned URL, which boto3 makes by it
/// unless told otherwise, and not in a header, where it would leave the body unsigned.
pub(super) struct SignedOnly;

#[async_trait::async_trait]
impl S3Access for SignedOnly {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "The request is not signed."));
        }
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let in_url = header.is_none();
        if in_url || header.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256")) {
            return Ok(());
        }
        Err(s3_error!(InvalidRequest, "Sign the request by AWS4-HMAC-SHA256; no other mechanism is taken."))
    }
}
