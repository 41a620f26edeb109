//! What a template says of the containers of its pod, beside the container itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Container, Template, VolumeMount};
use crate::text::AnyString;

/// The container whose outputs, result and exit code are the pod's.
pub const MAIN: &str = "main";

/// `containerSet`: several containers of one pod, each started when those it depends on have ended well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct ContainerSet {
    pub containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<ContainerSetRetry>,
}

/// `retryStrategy` of a `containerSet`: a container's command runs again within the same pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct ContainerSetRetry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<AnyString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// How it is found out whether a container is ready.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct Probe {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGetAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocketAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u32>,
}

/// A command run in the container; exit code 0 is success.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct ExecAction {
    pub command: Vec<String>,
}

/// A request; an answer from 200 to 399 is success.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct HttpGetAction {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub port: AnyString,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_headers: Vec<ProbeHeader>,
}

/// A header of a probe's request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct ProbeHeader {
    pub name: String,
    pub value: String,
}

/// A connection; one that is accepted is success.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Kubernetes' own fields")]
pub struct TcpSocketAction {
    pub port: AnyString,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Template {
    /// Whether it is a pod with commands of the person's: `container`, `script` or `containerSet`.
    pub fn is_pod(&self) -> bool {
        self.container.is_some() || self.script.is_some() || self.container_set.is_some()
    }

    /// Whether the caller goes on once it is ready.
    pub fn is_daemon(&self) -> bool {
        self.daemon == Some(true)
    }

    /// The container called `main`: `container`, `script`, or the one of that name in the `containerSet`.
    pub fn main(&self) -> Option<&Container> {
        let named = || self.container_set.as_ref()?.containers.iter().find(|c| c.name() == MAIN);
        self.container.as_ref().or(self.script.as_ref()).or_else(named)
    }

    /// Where the main container mounts volumes.
    pub fn main_mounts(&self) -> impl Iterator<Item = &VolumeMount> {
        let own = self.main().into_iter().flat_map(|main| &main.volume_mounts);
        own.chain(self.container_set.iter().flat_map(|set| &set.volume_mounts))
    }

    /// The volume that holds a path of the main container: an artifact there is brought into the volume itself.
    pub fn volume_of(&self, path: &str) -> Option<&VolumeMount> {
        let holds = |mount: &&VolumeMount| {
            let at = mount.mount_path.trim_end_matches('/');
            path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.main_mounts().filter(holds).max_by_key(|mount| mount.mount_path.len())
    }

    /// The containers by whose ends the pod is judged, each with its name.
    pub fn mains(&self) -> Vec<(&str, &Container)> {
        match &self.container_set {
            Some(set) => set.containers.iter().map(|c| (c.name(), c)).collect(),
            // The name of a single container is Argo's, whatever the manifest says.
            None => self.container.iter().chain(&self.script).map(|c| (MAIN, c)).collect(),
        }
    }

    /// All containers of its pod: those that run before, those by whose ends it is judged, those beside them.
    pub fn containers(&self) -> Vec<(&str, &Container)> {
        let before = self.init_containers.iter().map(|c| (c.name(), c));
        let beside = self.sidecars.iter().map(|c| (c.name(), c));
        before.chain(self.mains()).chain(beside).collect()
    }
}

impl Container {
    /// Its name; empty where the manifest gives none.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}
