//! One try to execute a leaf: what it is asked to do, and the verdict that ends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_manifest::types::{Outputs, Template};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{AttemptId, NodeId, RunUid};

/// A started attempt: everything a cluster needs to run it. Performing it again evaluates nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The attempt's id, which is the pod's name.
    pub id: AttemptId,
    /// The run it belongs to.
    pub run: RunUid,
    /// The run's name.
    pub run_name: String,
    /// The run's namespace.
    pub namespace: String,
    /// The node it executes.
    pub node: NodeId,
    /// The node's full name.
    pub node_name: String,
    /// Which try of this leaf, from 0.
    pub number: u32,
    /// Whether it runs below an exit handler (spared by stop and by the workflow's deadline).
    #[serde(default)]
    pub on_exit: bool,
    /// What to do.
    pub work: Arc<Work>,
}

/// The resolved step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Work {
    /// The leaf template (`container`, `script`, `containerSet` or `http`) with every tag replaced; its inputs hold values and
    /// artifact locations.
    pub template: Arc<Template>,
    /// The workflow's volumes, and one `persistentVolumeClaim` volume for each claim template, resolved.
    pub volumes: Vec<Value>,
    /// Names of the claims among `volumes` that are the run's own (from its `volumeClaimTemplates`); any other
    /// `persistentVolumeClaim` exists already.
    pub claims: Vec<String>,
    /// Whether somebody reads `outputs.result`: standard output is captured.
    pub capture_result: bool,
    /// End of the workflow's or the retry's time; then the step ends with "Step exceeded its deadline".
    pub deadline: Option<Timestamp>,
    /// The pod's own limit in seconds, from its start (`activeDeadlineSeconds`, `timeout`).
    pub active_deadline_seconds: Option<u64>,
    /// Whether the logs become the artifact `main-logs`.
    pub archive_logs: bool,
    /// `spec.priority`: of steps that wait for the machine the highest starts first.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i64,
    /// Key prefix of output artifacts without a key of their own: `<run name>/<attempt id>`.
    pub artifact_prefix: String,
    /// What the manifest says of the pod beside its containers and volumes, for a cluster that makes pods.
    #[serde(skip_serializing_if = "PodFields::is_empty")]
    pub pod: PodFields,
}

/// A pod's own fields, as Kubernetes names them, every tag replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodFields {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields of its spec.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub spec: Map<String, Value>,
    /// The `podSpecPatch`es, the workflow's first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Value>,
    /// The workflow's `volumeClaimTemplates`, where one of them had a tag; otherwise they stand in its spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Value>,
}

impl PodFields {
    /// Whether the manifest says nothing of the pod itself.
    pub fn is_empty(&self) -> bool {
        *self == PodFields::default()
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Exit code 0, and every declared output was there.
    Succeeded,
    /// The user's failure: a non-zero exit, out of memory, a deadline, a stop.
    Failed,
    /// The system's failure: inputs or outputs could not be moved, the environment could not be made.
    Error,
    /// Infrastructure took it: tried again without using up the user's retries.
    Lost,
}

/// The precise cause behind an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The command ended by itself.
    Exited,
    /// A signal ended the command that nobody here sent.
    Signalled,
    /// The command went over its memory limit.
    OutOfMemory,
    /// `activeDeadlineSeconds`, `timeout` or the workflow's deadline passed.
    DeadlineExceeded,
    /// A person or the engine stopped it.
    Stopped,
    /// The command could not be started (not found, not executable, bad working directory).
    NotStarted,
    /// The step asks for what this machine can never give.
    Unschedulable,
    /// An input could not be fetched.
    Inputs,
    /// A declared output is missing or could not be stored.
    Outputs,
    /// A secret, config map or volume the step names is not there.
    Configuration,
    /// The step's environment could not be made.
    Environment,
    /// The request was answered in a way that is no success.
    Response,
    /// The request could not be made, or was not answered.
    Unanswered,
    /// The supervisor, the machine or the pod went away.
    Vanished,
    /// The owner of the store was interrupted by a person; no retry budget at all is used up.
    Interrupted,
}

/// The create-only `result.json` that ends an attempt, whoever writes it; the first wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Version of this document.
    pub format: u32,
    /// The attempt that ended.
    pub attempt: AttemptId,
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// In Argo's words where Argo has words, e.g. `main: Error (exit code 3)`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The command's exit code (128 + signal when a signal ended it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the command was started; absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Parameters with values, artifacts with locations, result, exit code.
    #[serde(default, skip_serializing_if = "Outputs::is_empty")]
    pub outputs: Outputs,
    /// How each container ended, where the pod has others than `main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerEnd>,
    /// The numbers of the output parameter or artifact called `metrics`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// How far it said it was, at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// With what it ran, what it read and wrote.
    #[serde(default)]
    pub provenance: Provenance,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The version of the `result.json` document that this code writes.
pub const VERDICT_FORMAT: u32 = 1;

impl Verdict {
    /// A verdict without outputs, for attempts that somebody else than the executor ends.
    pub fn without_outputs(
        attempt: AttemptId,
        outcome: Outcome,
        reason: Reason,
        message: impl Into<String>,
        finished_at: Timestamp,
    ) -> Self {
        Verdict {
            format: VERDICT_FORMAT,
            attempt,
            outcome,
            reason,
            message: message.into(),
            exit_code: None,
            started_at: None,
            finished_at,
            outputs: Outputs::default(),
            containers: Vec::new(),
            metrics: BTreeMap::new(),
            progress: None,
            provenance: Provenance::default(),
            usage: Usage::default(),
        }
    }
}

/// How one container of an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEnd {
    /// Its name.
    pub name: String,
    /// How.
    pub outcome: Outcome,
    /// In Argo's words, e.g. `a: Error (exit code 1): `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its command's exit code (128 + signal when a signal ended it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When its command was started; absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// With what an attempt ran, what it read and what it wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provenance {
    /// Input artifacts read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<StoredObject>,
    /// Output artifacts written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<StoredObject>,
    /// The image the manifest names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The image's digest, where a container engine ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// SHA-256 of the locked environment, where one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    /// The Python version used, and the one wanted when they differ: `3.11.7 (wanted 3.9)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// SHA-256 of the packed code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_hash: Option<String>,
    /// Git commit of the code's folder, with `+dirty` when it had changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// The command as started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How the manifest's paths were made: `mount namespace`, `rewritten paths` or `container`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Whether a stand-in replaced the image because the machine has no GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<String>,
}

/// One object read or written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredObject {
    /// The artifact's name in the template.
    pub name: String,
    /// Bucket, or empty for the default artifact repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Key; for a directory of objects, its prefix with a final `/`.
    pub key: String,
    /// Size in bytes; of all objects together for a directory.
    pub size: u64,
    /// SHA-256 in hexadecimal; for a directory, over its sorted (relative path, SHA-256) list; empty for a repository.
    pub sha256: String,
    /// S3's version id, where there is one; a repository's commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The entity tag without quotes, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// How far a step is, in units of its own: `3/10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u32,
    /// Units in all, at least one.
    pub total: u32,
}

impl Progress {
    /// A leaf that does not say: nothing of one.
    pub const NOT_SAID: Progress = Progress { done: 0, total: 1 };

    /// What a text such as `3/10` says; none where it says nothing.
    pub fn parse(text: &str) -> Option<Progress> {
        let (done, total) = text.trim().split_once('/')?;
        let progress = Progress { done: done.parse().ok()?, total: total.parse().ok()? };
        (progress.total > 0 && progress.done <= progress.total).then_some(progress)
    }

    /// All of it done.
    pub fn complete(self) -> Progress {
        Progress { done: self.total, ..self }
    }
}

/// What an attempt used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// User and system time of all its processes, in seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory in bytes.
    pub memory_bytes_max: u64,
    /// From start to end, in seconds.
    pub wall_seconds: f64,
    /// The GPUs it held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
    /// The machine's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
}
