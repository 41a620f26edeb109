//! What all pods of a deployment have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_driver::pods::Stores;
use dropforge_engine::ids::{AttemptId, RunUid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pod::ImageCommand;

/// Makes the token by which a doorbell is known to come from an attempt.
pub type Tokens = Arc<dyn Fn(&RunUid, &AttemptId) -> String + Send + Sync>;

/// The facts of a deployment that a pod is made with.
#[derive(Clone)]
pub struct Site {
    /// The image that puts the executor into pods; the binary lies at [`EXECUTOR`](super::pod::EXECUTOR).
    pub executor_image: String,
    /// Where claims, verdicts, logs and artifacts are kept.
    pub stores: Stores,
    /// The queue that doorbells ring.
    pub queue_url: String,
    /// The tokens of its attempts.
    pub token: Tokens,
    /// What every pod has.
    pub defaults: PodDefaults,
}

/// What every pod of a deployment has, beneath what its manifest says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodDefaults {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields of a pod's spec: `securityContext`, `imagePullSecrets`, `serviceAccountName`, `nodeSelector`,
    /// `tolerations`, …
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub spec: Map<String, Value>,
    /// Fields of each of the person's containers: `securityContext`, `imagePullPolicy`, …
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub container: Map<String, Value>,
    /// Fields of the executor's own containers: `resources`, `securityContext`, `imagePullPolicy`, …
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub executor: Map<String, Value>,
    /// Secrets and config maps that become variables of every container: credentials for tests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<Value>,
    /// Where images are pulled from instead: a registry, or a registry with a path, to what takes its place. An image
    /// without a registry is one of `docker.io`, without a path one of `docker.io/library`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registry_rewrite: BTreeMap<String, String>,
    /// What images start by themselves, as Argo's `images`: of these no registry is asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, ImageCommand>,
    /// Which pods have a witness.
    #[serde(skip_serializing_if = "Witness::is_where_needed")]
    pub witness: Witness,
    /// How much the cluster bears, and how long is waited for it.
    #[serde(skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// How much a cluster bears, and how long is waited for what may still come right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// How many pods of ours are open in the cluster at once; 0: no bound.
    pub open_pods_max: u32,
    /// How many pods all functions together make in a second; 0: no bound.
    pub creates_per_second: f64,
    /// For an image that can't be pulled.
    pub image_seconds: u64,
    /// For a container that can't be made, or a volume: a secret or config map may come a little later than the pod.
    pub configuration_seconds: u64,
    /// For a pod's volumes and its address, where they may still come. A volume is taken from a node that is away after six
    /// minutes.
    pub preparation_seconds: u64,
    /// For a node. GPUs may be in use for hours by steps that came earlier, so this is long; `pendingTimeout` of the
    /// template says less where less is wanted.
    pub node_seconds: u64,
    /// For a node that does not answer, after the pod should have been gone.
    pub contact_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            open_pods_max: 1000,
            // What an API server bears of one client beside all others.
            creates_per_second: 20.0,
            image_seconds: 5 * 60,
            configuration_seconds: 2 * 60,
            preparation_seconds: 10 * 60,
            node_seconds: 24 * 60 * 60,
            contact_seconds: 60,
        }
    }
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Limits::default()
    }
}

/// Which pods have the sidecar that outlives the end of their main container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Witness {
    /// Those in which something can end a container without its wrapper: a memory limit, or processes of another
    /// container.
    #[default]
    WhereNeeded,
    /// All: a namespace's own default limits are not seen here.
    Always,
}

impl Witness {
    fn is_where_needed(&self) -> bool {
        *self == Witness::WhereNeeded
    }
}

impl PodDefaults {
    /// The name under which an image is pulled here: the longest entry that it begins with, at a `/`, is replaced.
    pub fn image(&self, image: &str) -> String {
        let full = full_name(image);
        let rest = |from: &str| {
            let rest = full.strip_prefix(from.trim_end_matches('/'))?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
        };
        let found = self.registry_rewrite.iter().filter_map(|(from, to)| Some((from.len(), to, rest(from)?)));
        match found.max_by_key(|(length, _, _)| *length) {
            Some((_, to, rest)) => format!("{}{rest}", to.trim_end_matches('/')),
            None => image.to_owned(),
        }
    }
}

/// An image's name with its registry and path, as container engines complete it.
pub fn full_name(image: &str) -> String {
    let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
    match image.split_once('/') {
        Some((first, _)) if is_registry(first) => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_entry_of_a_registry_rewrite_wins() {
        let entries = [
            ("docker.io", "mirror.example/hub"),
            ("docker.io/library", "mirror.example/official/"),
            ("ghcr.io/acme", "mirror.example/acme"),
        ];
        let registry_rewrite = entries.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let defaults = PodDefaults { registry_rewrite, ..PodDefaults::default() };
        let images = [
            "python:3.9",
            "argoproj/argosay:v2",
            "docker.io/library/alpine@sha256:ab",
            "ghcr.io/acme/train:1",
            "ghcr.io/acme2/train:1",
            "localhost:5000/x",
        ];
        let pulled = [
            "mirror.example/official/python:3.9",
            "mirror.example/hub/argoproj/argosay:v2",
            "mirror.example/official/alpine@sha256:ab",
            "mirror.example/acme/train:1",
            "ghcr.io/acme2/train:1",
            "localhost:5000/x",
        ];
        assert_eq!(images.map(|image| defaults.image(image)), pulled);
        assert_eq!(PodDefaults::default().image("python:3.9"), "python:3.9");
    }

    #[test]
    fn defaults_are_read_strictly() {
        let text = r#"{"labels":{"team":"ml"},"spec":{"serviceAccountName":"steps"},"witness":"always"}"#;
        let read: PodDefaults = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let bounded: PodDefaults = serde_json::from_str(r#"{"limits":{"openPodsMax":50}}"#).unwrap();
        assert_eq!(bounded.limits, Limits { open_pods_max: 50, ..Limits::default() });
        let misspelt = serde_json::from_str::<PodDefaults>(r#"{"nodeSelector":{}}"#).unwrap_err();
        assert!(misspelt.to_string().starts_with("unknown field `nodeSelector`"), "{misspelt}");
    }
}
