//! How the programs of Dropforge reach AWS: credentials, region, endpoint, TLS. The adapters take what this gives.
//!
//! Architecture invariants: it knows no other crate of ours, and holds no credential itself.

use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};

pub mod roots;

/// The configuration that the environment gives: the SDK's own chain of credentials (profiles, roles of functions and
/// pods; SSO and `credential_process` in the programs that take those features), `AWS_REGION`, `AWS_ENDPOINT_URL`.
pub async fn from_environment() -> SdkConfig {
    loader().load().await
}

/// The same, to be changed before it is loaded: a profile, a region, an endpoint.
pub fn loader() -> ConfigLoader {
    let trusting = TlsContext::builder().with_trust_store(roots::trusted()).build();
    let trusting = trusting.expect("the context's only parts are certificates, which are looked at later");
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(trusting);
    let http = http.build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
}
