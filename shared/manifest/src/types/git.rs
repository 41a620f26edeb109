//! `git` of an artifact: a repository, checked out.

use serde::{Deserialize, Serialize};

use super::{KeySelector, is_false};

/// `git` of an input artifact: a repository that is cloned, and the revision of it that is checked out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct GitLocation {
    pub repo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_private_key_secret: Option<KeySelector>,
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_ignore_host_key: bool,
    #[serde(rename = "insecureSkipTLS", skip_serializing_if = "is_false")]
    pub insecure_skip_tls: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_submodules: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub single_branch: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}
