//! Argo's objects as Rust values. Field names are Argo's; what only a pod understands stays raw JSON.
//!
//! Fields that a later version supports are present and raw, so that a manifest holding them parses and the
//! check names them; `check` refuses what does not run.
//!
//! This file is long because Argo's language is: it is one flat list of fields, and nothing in it decides anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{AnyString, Item};

mod garbage;
mod git;
mod http;
mod metrics;
mod pods;

pub use garbage::*;
pub use git::*;
pub use http::*;
pub use metrics::*;
pub use pods::*;

/// `metadata` of a Kubernetes object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct ObjectMeta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalizers: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_fields: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_references: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_link: Option<Value>,
}

/// One stored or submitted object: `T` is its spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct Object<T> {
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub metadata: ObjectMeta,
    pub spec: T,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

/// One run to be: `kind: Workflow`.
pub type Workflow = Object<WorkflowSpec>;
/// A stored library of templates: `kind: WorkflowTemplate`.
pub type WorkflowTemplate = Object<WorkflowSpec>;
/// A schedule: `kind: CronWorkflow`.
pub type CronWorkflow = Object<CronWorkflowSpec>;
/// Ours, `apiVersion: dropforge.dev/v1alpha1`: a dropped object starts a run.
pub type Trigger = Object<TriggerSpec>;

/// `spec` of a Workflow, a WorkflowTemplate, and `spec.workflowSpec` of a CronWorkflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct WorkflowSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_template_ref: Option<WorkflowTemplateRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exit: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, LifecycleHook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_claim_templates: Vec<Value>,
    #[serde(rename = "volumeClaimGC", skip_serializing_if = "Option::is_none")]
    pub volume_claim_gc: Option<VolumeClaimGc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_logs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_defaults: Option<Box<Template>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronization: Option<Synchronization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_metadata: Option<WorkflowMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_strategy: Option<TtlStrategy>,
    #[serde(rename = "podGC", skip_serializing_if = "Option::is_none")]
    pub pod_gc: Option<Value>,
    #[serde(rename = "artifactGC", skip_serializing_if = "Option::is_none")]
    pub artifact_gc: Option<ArtifactGc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_repository_ref: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_plugins: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_spec_patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_priority_class_name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_network: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_policy: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_aliases: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_resources: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_claims: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_disruption_budget: Option<Value>,
}

/// What every workflow of a machine has that does not say otherwise: Argo's `workflowDefaults`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkflowDefaults {
    /// Labels and annotations.
    pub metadata: ObjectMeta,
    /// Fields of the spec.
    pub spec: WorkflowSpec,
}

/// `workflowMetadata`: labels and annotations that a run gets when it begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct WorkflowMetadata {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_from: BTreeMap<String, LabelValueFrom>,
}

/// The value of a label, computed from the run's global variables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct LabelValueFrom {
    pub expression: String,
}

/// `workflowTemplateRef`: the stored template whose spec a run takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct WorkflowTemplateRef {
    pub name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub cluster_scope: bool,
}

impl WorkflowTemplateRef {
    /// The object it names.
    pub fn holder(&self) -> Holder<'_> {
        Holder { cluster: self.cluster_scope, name: &self.name }
    }
}

/// Names a stored object that holds templates: a WorkflowTemplate, or a ClusterWorkflowTemplate, which all
/// namespaces share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder<'a> {
    /// Whether it is a ClusterWorkflowTemplate.
    pub cluster: bool,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Holder<'a> {
    /// Its kind.
    pub fn kind(self) -> &'static str {
        if self.cluster { "ClusterWorkflowTemplate" } else { "WorkflowTemplate" }
    }

    /// Argo's scope of its templates: `namespaced/<name>` or `cluster/<name>`.
    pub fn scope(self) -> String {
        format!("{}/{}", if self.cluster { "cluster" } else { "namespaced" }, self.name)
    }

    /// The object of a scope; none for `local`.
    pub fn of_scope(scope: &'a str) -> Option<Holder<'a>> {
        match scope.split_once('/') {
            Some(("namespaced", name)) => Some(Holder { cluster: false, name }),
            Some(("cluster", name)) => Some(Holder { cluster: true, name }),
            _ => None,
        }
    }
}

/// `volumeClaimGC`: when the run's claims are removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct VolumeClaimGc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
}

/// One named unit of work. Exactly one body is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Template {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Inputs,
    #[serde(skip_serializing_if = "Outputs::is_empty")]
    pub outputs: Outputs,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Vec<Step>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dag: Option<DagTemplate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<SuspendTemplate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_set: Option<ContainerSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTemplate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Value>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_location: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronization: Option<Synchronization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memoize: Option<Memoize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_spec_patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_aliases: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_resources: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_claims: Option<Value>,
}

/// Which body a template has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Argo's own words")]
pub enum TemplateType {
    Container,
    Script,
    Steps,
    Dag,
    Suspend,
    ContainerSet,
    Resource,
    Data,
    Http,
    Plugin,
}

impl Template {
    /// Every body that is set; a valid template has exactly one.
    pub fn bodies(&self) -> Vec<TemplateType> {
        use TemplateType::*;
        [
            (self.container.is_some(), Container),
            (self.script.is_some(), Script),
            (self.steps.is_some(), Steps),
            (self.dag.is_some(), Dag),
            (self.suspend.is_some(), Suspend),
            (self.container_set.is_some(), ContainerSet),
            (self.resource.is_some(), Resource),
            (self.data.is_some(), Data),
            (self.http.is_some(), Http),
            (self.plugin.is_some(), Plugin),
        ]
        .into_iter()
        .filter_map(|(set, kind)| set.then_some(kind))
        .collect()
    }
}

/// A container of a pod: `container` of a template, `script` (which has `source` in addition), those of a
/// `containerSet` (`dependencies`), `initContainers` and `sidecars` (`mirrorVolumeMounts`). What only a kubelet reads
/// is raw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct Container {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// The script's text; only in `script`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFrom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_policy: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy_rules: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_once: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_message_path: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_message_policy: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_devices: Option<Value>,
    /// The containers of the set that must have ended well before; only in a `containerSet`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Whether it sees what the main container sees; only in `initContainers` and `sidecars`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror_volume_mounts: Option<bool>,
}

/// One environment variable of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct EnvVar {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where an environment variable's value comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct EnvVarSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_field_ref: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_key_ref: Option<Value>,
}

/// A key of a Secret or ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct KeySelector {
    pub name: String,
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// `envFrom`: every key of a Secret or ConfigMap becomes a variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct EnvFrom {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<LocalObject>,
}

/// The name of an object in the run's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct LocalObject {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// What a container asks for. Keys are resource names (`cpu`, `memory`, `nvidia.com/gpu`), values are
/// Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct Resources {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, AnyString>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
}

/// A volume of the pod seen at a path of the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_path_expr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recursive_read_only: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_propagation: Option<Value>,
}

/// A call of a template: one entry of a step group, or a DAG's task (which adds `dependencies` and `depends`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Step {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<Box<Template>>,
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with_items: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_param: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_sequence: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_on: Option<ContinueOn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exit: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, LifecycleHook>,
    /// Only in a DAG.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Only in a DAG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends: Option<String>,
}

impl Step {
    /// Whether the step is a loop.
    pub fn is_loop(&self) -> bool {
        !self.with_items.is_empty() || self.with_param.is_some() || self.with_sequence.is_some()
    }

    /// The template to run when the step has ended: `onExit`, else the hook called `exit`.
    pub fn exit_hook(&self) -> Option<LifecycleHook> {
        match &self.on_exit {
            Some(template) => Some(LifecycleHook { template: template.clone(), ..LifecycleHook::default() }),
            None => self.hooks.get("exit").cloned(),
        }
    }
}

/// A template of a stored WorkflowTemplate or ClusterWorkflowTemplate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct TemplateRef {
    pub name: String,
    pub template: String,
    #[serde(skip_serializing_if = "is_false")]
    pub cluster_scope: bool,
}

impl TemplateRef {
    /// The object that it names a template of.
    pub fn holder(&self) -> Holder<'_> {
        Holder { cluster: self.cluster_scope, name: &self.name }
    }
}

/// `continueOn`: which endings of this step do not fail its parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct ContinueOn {
    #[serde(skip_serializing_if = "is_false")]
    pub error: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
}

/// `withSequence`: a numeric loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Sequence {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A template run because of another node's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct LifecycleHook {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// `memoize`: what the template gave before, under a key, is taken instead of running it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Memoize {
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    pub cache: Cache,
}

impl Memoize {
    /// Whether a text may be a key: letters, digits and `-`, which does not come first.
    pub fn is_key(text: &str) -> bool {
        let word = |b: u8| b.is_ascii_alphanumeric();
        text.bytes().next().is_some_and(word) && text.bytes().all(|b| word(b) || b == b'-')
    }
}

/// Where memoized outputs are kept: `configMap.name` names the cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Cache {
    pub config_map: KeySelector,
}

/// `dag`: tasks and what each waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct DagTemplate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    pub tasks: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
}

/// `suspend`: waits for its duration, or for a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct SuspendTemplate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<AnyString>,
}

/// `retryStrategy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct RetryStrategy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
}

/// The wait between attempts. Durations are Go durations or plain seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Backoff {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<AnyString>,
}

/// Values handed to a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Arguments {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

impl Arguments {
    /// Whether nothing is handed over.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.artifacts.is_empty()
    }
}

/// What a template takes.
pub type Inputs = Arguments;

/// What a template gives, and what a node gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Outputs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Only in a node's outputs: standard output of the main container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Only in a node's outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<String>,
}

impl Outputs {
    /// Whether there is no output at all.
    pub fn is_empty(&self) -> bool {
        self == &Outputs::default()
    }
}

/// A named text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Parameter {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub enumeration: Option<Vec<AnyString>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<AnyString>,
}

/// The locks that a workflow or a template takes, all of them together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Synchronization {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub semaphores: Vec<SemaphoreRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mutexes: Vec<Mutex>,
}

impl Synchronization {
    /// Whether it names no lock.
    pub fn is_empty(&self) -> bool {
        self.semaphores.is_empty() && self.mutexes.is_empty()
    }
}

/// A lock that as many may hold as a key of a config map says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct SemaphoreRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Value>,
}

/// A lock that one may hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Mutex {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<bool>,
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct ValueFrom {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplied: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jq_filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

/// A named file or directory. Exactly one location is set where a location is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Artifact {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurse_mode: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    #[serde(skip_serializing_if = "is_false")]
    pub optional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_logs: Option<bool>,
    #[serde(rename = "artifactGC", skip_serializing_if = "Option::is_none")]
    pub artifact_gc: Option<ArtifactGc>,
    #[serde(skip_serializing_if = "is_false")]
    pub deleted: bool,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oss: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hdfs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifactory: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Value>,
}

impl Artifact {
    /// Whether any storage location is set.
    pub fn has_location(&self) -> bool {
        self.s3.is_some()
            || self.raw.is_some()
            || self.http.is_some()
            || self.git.is_some()
            || [&self.gcs, &self.azure, &self.oss, &self.hdfs, &self.artifactory, &self.plugin]
                .iter()
                .any(|l| l.is_some())
    }
}

/// How an artifact is packed. None set: tar and gzip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Archive {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub none: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tar: Option<TarStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<Value>,
}

/// `archive.tar`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct TarStrategy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<i32>,
}

/// An object in S3. Only `key`: the bucket is the artifact repository's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct S3Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_secret: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_secret: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token_secret: Option<Value>,
    #[serde(rename = "roleARN", skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<Value>,
    #[serde(rename = "useSDKCreds", skip_serializing_if = "Option::is_none")]
    pub use_sdk_creds: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_bucket_if_not_present: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addressing_style: Option<Value>,
}

/// Literal content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct RawLocation {
    pub data: String,
}

/// `spec` of a CronWorkflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct CronWorkflowSpec {
    pub workflow_spec: WorkflowSpec,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_deadline_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successful_jobs_history_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_jobs_history_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_metadata: Option<ObjectMeta>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_strategy: Option<StopStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// `stopStrategy` of a CronWorkflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct StopStrategy {
    pub expression: String,
}

/// `spec` of a Trigger: which dropped objects start which run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerSpec {
    /// Which objects.
    pub s3: S3Trigger,
    /// The stored template to run; or `workflow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_template_ref: Option<WorkflowTemplateRef>,
    /// The spec to run, written in place; or `workflowTemplateRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowSpec>,
    /// Arguments of the run; `{{trigger.key}}` and its like are replaced.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    /// `Allow` (default), `Forbid`, `Replace` or `Queue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<String>,
    /// How many runs of this trigger may be active at once; 10 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active: Option<u32>,
    /// Whether the trigger is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// `spec.s3` of a Trigger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct S3Trigger {
    /// The bucket's name.
    pub bucket: String,
    /// What the key must begin with; empty: every key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What the key must end with; empty: every key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// How long a key must be quiet before it fires; a Go duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debounce: Option<String>,
    /// Several objects in one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<TriggerBatch>,
}

/// `spec.s3.batch`: the run starts at `count` objects, or `window` after the first of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerBatch {
    /// Objects in a full batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The longest wait for a full batch; a Go duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
}

impl TriggerBatch {
    /// The most objects of a batch: its run's document holds them all, and so does the trigger's while it is filled.
    pub const COUNT_MAX: u32 = 1000;
}

fn is_false(value: &bool) -> bool {
    !value
}
