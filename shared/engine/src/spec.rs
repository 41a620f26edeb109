//! What a run is made of: the content of `spec.json`, written once at birth.

use std::collections::BTreeMap;

use dropforge_manifest::types::{ObjectMeta, Template, WorkflowSpec};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::RunUid;
use crate::record::Record;

/// The version of the `spec.json` document that this code writes.
pub const SPEC_FORMAT: u32 = 1;

/// Everything `decide` needs to know of a run that does not change while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSpec {
    /// Version of this document.
    pub format: u32,
    /// The run.
    pub uid: RunUid,
    /// The Workflow's metadata; `name` is set.
    pub metadata: ObjectMeta,
    /// The spec after merging the WorkflowTemplate it references and the person's parameters.
    pub spec: WorkflowSpec,
    /// Templates of stored objects that the spec can reach, by `namespaced/<object>` or `cluster/<object>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub library: BTreeMap<String, StoredTemplates>,
    /// When the run was submitted.
    pub created_at: Timestamp,
    /// What caused it.
    pub cause: Cause,
    /// Limits that hold for this run.
    #[serde(default)]
    pub settings: Settings,
    /// What a memoized resubmission takes over from the run it repeats: its tree begins with these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reused: Vec<Record>,
    /// The file or definition it came from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What its steps find beside their images on a cluster.
    #[serde(default, skip_serializing_if = "Packed::is_empty")]
    pub packed: Packed,
}

impl RunSpec {
    /// How many pods the run may have open at once.
    pub fn open_pods_max(&self) -> i64 {
        self.spec.parallelism.filter(|p| *p > 0).unwrap_or(self.settings.open_pods_max.into())
    }

    /// When the run's time is over, that of its retries included.
    pub fn over_at(&self) -> Timestamp {
        let days = SignedDuration::from_hours(24 * i64::from(self.settings.days_max));
        self.created_at.checked_add(days).unwrap_or(Timestamp::MAX)
    }

    /// The run's name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The run's namespace; `default` when the manifest names none.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }
}

/// The templates of one stored WorkflowTemplate or ClusterWorkflowTemplate, as they were when the run was born.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredTemplates {
    /// Its templates.
    pub templates: Vec<Template>,
}

/// Why a run exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Cause {
    /// A person submitted it.
    Person {
        /// The person's login name, where known.
        by: String,
    },
    /// A CronWorkflow's tick.
    #[serde(rename_all = "camelCase")]
    Schedule {
        /// The CronWorkflow.
        cron: String,
        /// The tick's identity.
        scheduled_time: Timestamp,
    },
    /// Objects dropped into S3.
    Drop {
        /// The Trigger.
        trigger: String,
        /// The object versions, in the order in which they arrived.
        objects: Vec<DroppedObject>,
    },
}

/// One version of an object in S3, as announced and then read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedObject {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// S3's version id; empty where the bucket keeps no versions.
    #[serde(default)]
    pub version_id: String,
    /// The entity tag, without quotes.
    pub etag: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was written.
    pub time: Timestamp,
}

/// Environments and code that were stored when the run was submitted, so that a plain image is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Packed {
    /// By what stands for an image in `dropforge.toml`: an image's name, or a pattern of such names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, PackedEnvironment>,
    /// The person's own files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<PackedCode>,
}

impl Packed {
    fn is_empty(&self) -> bool {
        *self == Packed::default()
    }
}

/// The locked packages that an image lacks, once for each Python and platform they were packed for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PackedEnvironment {
    /// SHA-256 of the lock file.
    pub lock_hash: String,
    /// `3.11-x86_64` to the SHA-256 that names the object: a gzipped tar of an importable folder.
    pub trees: BTreeMap<String, String>,
}

/// The person's files, for the working directory of each step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PackedCode {
    /// The SHA-256 that names the object: a gzipped tar.
    pub hash: String,
    /// Git commit of their folder, with `+dirty` when it had changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
}

/// Limits that hold for one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// How many attempts one decision may start; the rest waits as `admission` and rings again.
    pub starts_per_decision_max: u32,
    /// How many pods a run has open at once where it sets no `parallelism`: each takes memory while it waits.
    #[serde(skip_serializing_if = "is_open_pods_max")]
    pub open_pods_max: u32,
    /// How many nodes one decision begins: a template that calls itself twice reaches 2^100 before it is too deep.
    #[serde(skip_serializing_if = "is_nodes_per_decision_max")]
    pub nodes_per_decision_max: u32,
    /// How often an attempt that infrastructure lost is tried again without using up the user's retries.
    pub infrastructure_retries_max: u32,
    /// How many days after its birth a run ends in Error, its retries included: where stored objects go by their age, its
    /// journal goes some weeks later.
    #[serde(skip_serializing_if = "is_days_max")]
    pub days_max: u32,
    /// How many runs go on side by side; none: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// The same for the runs of one namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_parallelism: Option<u32>,
}

/// More than a machine or an ordinary cluster runs at once; their memory is some megabytes.
const OPEN_PODS_MAX: u32 = 1000;
/// Some tenths of a second of one decision.
const NODES_PER_DECISION_MAX: u32 = 20_000;

/// A month less than journals are kept by default.
const DAYS_MAX: u32 = 365;

fn is_days_max(max: &u32) -> bool {
    *max == DAYS_MAX
}

fn is_open_pods_max(max: &u32) -> bool {
    *max == OPEN_PODS_MAX
}

fn is_nodes_per_decision_max(max: &u32) -> bool {
    *max == NODES_PER_DECISION_MAX
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            // Fits one function call with room to spare.
            starts_per_decision_max: 100,
            open_pods_max: OPEN_PODS_MAX,
            nodes_per_decision_max: NODES_PER_DECISION_MAX,
            // As in complaint 7 of the others.
            infrastructure_retries_max: 3,
            days_max: DAYS_MAX,
            parallelism: None,
            namespace_parallelism: None,
        }
    }
}
