//! What a run is made of: the content of `spec.json`, written once at birth.

use std::collections::BTreeMap;

use dropforge_manifest::types::{ObjectMeta, Template, WorkflowSpec};
use jiff::Timestamp;
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
}

impl RunSpec {
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

/// Limits that hold for one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// How many attempts one decision may start; the rest waits as `admission` and rings again.
    pub starts_per_decision_max: u32,
    /// How often an attempt that infrastructure lost is tried again without using up the user's retries.
    pub infrastructure_retries_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        // 100 starts fit one function call with room to spare; 3 as in complaint 7 of the others.
        Settings { starts_per_decision_max: 100, infrastructure_retries_max: 3 }
    }
}
