//! Where artifacts are.

use serde_json::Value;

use super::json::Read;
use super::refusal::{Checked, refuse};
use crate::codes::Code;

/// The kinds of locations, in the order in which Argo takes the first that is set.
const KINDS: [&str; 10] =
    ["artifactory", "azure", "git", "gcs", "hdfs", "http", "oss", "raw", "s3", "plugin"];

/// Whether the artifact says where it is, or at least under which key.
pub(super) fn has_location_or_key(artifact: &Value) -> bool {
    let Some(kind) = KINDS.into_iter().find(|kind| artifact.has(kind)) else { return false };
    let at = artifact.field(kind);
    let all = |fields: &[&str]| fields.iter().all(|field| at.says(field));
    match kind {
        "artifactory" => (at.says("url") && at.has("usernameSecret")) || has_path(at.text("url")),
        "azure" => at.says("blob"),
        "git" => at.says("repo"),
        "gcs" | "oss" | "s3" => at.says("key"),
        "hdfs" => !at.list("addresses").is_empty() || at.says("path"),
        "http" => at.says("url"),
        "plugin" => at.says("key") || all(&["name", "configuration", "key"]),
        _ => true,
    }
}

fn has_path(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if url.contains("://") { rest.contains('/') } else { !rest.is_empty() }
}

/// What is wrong with a location.
pub(super) fn check_location(location: &Value, label: &str, path: &str) -> Checked {
    let git = location.field("git");
    if location.has("git") && !git.says("repo") {
        return refuse(Code::E303, format!("{label}.git.repo is required"), format!("{path}.git"));
    }
    if location.has("hdfs")
        && let Some(why) = hdfs(location.field("hdfs"), &format!("{label}.hdfs"))
    {
        return refuse(Code::E303, why, format!("{path}.hdfs"));
    }
    Ok(())
}

fn hdfs(at: &Value, label: &str) -> Option<String> {
    let (cache, keytab) = (at.has("krbCCacheSecret"), at.has("krbKeytabSecret"));
    let config = at.has("krbConfigConfigMap") && at.says("krbServicePrincipalName");
    if at.list("addresses").is_empty() {
        return Some(format!("{label}.addresses is required"));
    }
    if !at.says("path") {
        return Some(format!("{label}.path is required"));
    }
    if !at.text("path").starts_with('/') {
        return Some(format!("{label}.path must be a absolute file path"));
    }
    if !at.says("hdfsUser") && !cache && !keytab {
        return Some(format!(
            "either {label}.hdfsUser, {label}.krbCCacheSecret or {label}.krbKeytabSecret is required"
        ));
    }
    if keytab && !(config && at.says("krbUsername") && at.says("krbRealm")) {
        return Some(format!(
            "{label}.krbServicePrincipalName, {label}.krbConfigConfigMap, {label}.krbUsername and {label}.krbRealm are required with {label}.krbKeytabSecret"
        ));
    }
    (cache && !config).then(|| {
        format!("{label}.krbServicePrincipalName and {label}.krbConfigConfigMap are required with {label}.krbCCacheSecret")
    })
}
