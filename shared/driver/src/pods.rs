//! What the executor in a step's pod is told by whoever makes the pod. The types live here because both sides are
//! adapters, which never see each other.
//!
//! The document stands in the environment variable [`LAUNCH_VARIABLE`] of each of the pod's own containers; where it is
//! larger than [`LAUNCH_BYTES_MAX`] the variable is `@` and a [`LaunchPlace`]: the object `launch.json` beside the
//! attempt's claim. It names credentials nowhere: the executor finds them as every AWS program does.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_engine::attempt::Attempt;
use dropforge_engine::ids::AttemptId;
use dropforge_engine::spec::{PackedCode, PackedEnvironment};
use serde::{Deserialize, Serialize};

/// The version of the document that this code writes.
pub const LAUNCH_FORMAT: u32 = 1;

/// Holds the document.
pub const LAUNCH_VARIABLE: &str = "DROPFORGE_LAUNCH";

/// The largest document in a variable: Linux takes 128 KiB for one.
pub const LAUNCH_BYTES_MAX: usize = 96 * 1024;

/// Where the executor's binary, its notes and the logs lie in each container of a pod.
pub const EXECUTOR_FOLDER: &str = "/dropforge";

/// Where `init` finds the volumes of the main container: below this folder, at their own paths. Argo's place.
pub const MIRRORED: &str = "/mainctrfs";

/// Where the secrets are that artifacts name: a folder for each, in it a file for each key.
pub const SECRETS: &str = "/dropforge-secrets";

/// Whether Kubernetes can have an object of this name: then it has no character that an address or a key could mean
/// otherwise.
pub fn is_object_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    name.len() <= 253 && name.bytes().any(|byte| byte != b'.') && name.bytes().all(fits)
}

/// One attempt as its pod runs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodLaunch {
    /// Version of this document.
    pub format: u32,
    /// The attempt.
    pub attempt: Arc<Attempt>,
    /// Where claims, verdicts, logs and artifacts are kept.
    pub stores: Stores,
    /// The queue that its doorbells ring.
    pub queue_url: String,
    /// Shows that a doorbell comes from this attempt; it opens nothing.
    pub token: String,
    /// How long a command may go on after it was asked to end, in seconds.
    pub grace_seconds: u64,
    /// What containers find beside their images, by the container's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, PackedEnvironment>,
    /// The person's files, for the working directory of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<PackedCode>,
    /// The command of a container whose manifest names none: its image's entrypoint and command, by the container's
    /// name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: BTreeMap<String, Vec<String>>,
}

/// Where a document is that is too large for a variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchPlace {
    /// The stores, of which the one for control holds it.
    pub stores: Stores,
    /// Its key.
    pub key: String,
}

/// Where the launch document lies that is too large for a pod: beside the attempt's claim. Kubernetes' names need no
/// escaping.
pub fn launch_key(namespace: &str, attempt: &AttemptId) -> String {
    format!("attempts/{namespace}/{attempt}/launch.json")
}

/// The buckets of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stores {
    /// Runs, journals, claims, verdicts, logs, definitions.
    pub control: String,
    /// The default artifact repository.
    pub artifacts: String,
    /// Their region.
    pub region: String,
    /// Another endpoint than AWS's own, reached with the bucket in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}
