//! `http`: a template that makes one request, and the location of an artifact.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{KeySelector, is_false};

/// `http` of a template: one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct HttpTemplate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    pub url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_condition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_from: Option<HttpBodySource>,
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
}

/// One header of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct HttpHeader {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HttpHeaderSource>,
}

/// Where a header's value comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct HttpHeaderSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
}

/// Where a request's body comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpBodySource {
    /// In base64, as bytes are written in Kubernetes' objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
}

/// `http` of an artifact: fetched by GET, stored by PUT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct HttpLocation {
    pub url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpArtifactHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_stream_via_file: Option<bool>,
}

/// One header of an artifact's request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct HttpArtifactHeader {
    pub name: String,
    pub value: String,
}

/// How an artifact's request proves who asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct HttpAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<ClientCertAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<Value>,
}

/// A user's name and password, each a key of a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct BasicAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<KeySelector>,
}

/// A client's certificate and key in PEM, each a key of a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct ClientCertAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_secret: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_secret: Option<KeySelector>,
}
