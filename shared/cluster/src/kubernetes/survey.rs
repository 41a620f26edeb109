//! What stands in a cluster, as far as a deployment needs to know it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use k8s_openapi::api::rbac::v1::{PolicyRule, RoleBinding};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::client::CallError;

mod daemons;

pub use daemons::{Daemons, DevicePlugin, PolicyAgent};

/// Kubernetes' name of NVIDIA's GPUs.
const GPU: &str = "nvidia.com/gpu";

/// The label of a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// What stands in a cluster; each answer for itself, since a person may see some of it only.
pub struct Survey {
    /// Its version.
    pub version: Result<String, CallError>,
    /// The labels of the namespaces that were asked for; none where there is no such namespace.
    pub namespaces: BTreeMap<String, Result<Option<BTreeMap<String, String>>, CallError>>,
    /// Whether the service accounts that were asked for are there, by namespace.
    pub accounts: BTreeMap<String, Result<bool, CallError>>,
    /// By what the namespaces that were asked for give functions their rights; none where nobody has given any.
    pub bindings: BTreeMap<String, Result<Option<Binding>, CallError>>,
    /// The storage classes.
    pub classes: Result<Vec<Class>, CallError>,
    /// The names of the storage drivers.
    pub drivers: Result<Vec<String>, CallError>,
    /// The nodes that have GPUs.
    pub gpu_nodes: Result<Vec<GpuNode>, CallError>,
    /// What runs on every node.
    pub daemons: Result<Daemons, CallError>,
    /// The volumes that claims have got.
    pub volumes: Result<Vec<Volume>, CallError>,
    /// The pools from which nodes are made, with what they may be.
    pub pools: Result<Vec<Value>, CallError>,
    /// Whether EKS is told to work out what network policies mean for each node; its agents enforce that.
    pub policy_controller: Result<bool, CallError>,
    /// The node classes of Auto Mode; none in other clusters.
    pub node_classes: Result<Vec<NodeClass>, CallError>,
}

impl Survey {
    /// GPUs that nodes offer now.
    pub fn gpus(&self) -> i64 {
        self.gpu_nodes.iter().flatten().map(|node| node.offers).sum()
    }

    /// Nodes that have a GPU, do not tell of it, and will not by themselves.
    pub fn silent_nodes(&self) -> impl Iterator<Item = &GpuNode> {
        self.gpu_nodes.iter().flatten().filter(|node| node.offers == 0 && !node.is_managed)
    }
}

/// Who gets which rights in a namespace.
#[derive(Debug)]
pub struct Binding {
    /// The groups that get them.
    pub groups: Vec<String>,
    /// The kind of what says which: a `Role` of the namespace or a `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub role: String,
    /// Its rules, as Kubernetes writes them; none where there is no such role.
    pub rules: Result<Option<Vec<Value>>, CallError>,
}

impl Binding {
    /// A binding, with the rules of the role that it names.
    pub(super) fn of(binding: RoleBinding, rules: Result<Option<Vec<PolicyRule>>, CallError>) -> Binding {
        let subjects = binding.subjects.into_iter().flatten();
        let written = |rules: Vec<PolicyRule>| rules.iter().map(|rule| json!(rule)).collect();
        Binding {
            groups: subjects.filter(|subject| subject.kind == "Group").map(|subject| subject.name).collect(),
            kind: binding.role_ref.kind,
            role: binding.role_ref.name,
            rules: rules.map(|rules| rules.map(written)),
        }
    }
}

/// What nodes of Auto Mode are made as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeClass {
    /// Its name.
    pub name: String,
    /// What becomes of traffic that no network policy is about: `DefaultAllow` or `DefaultDeny`. None: policies mean
    /// nothing on its nodes.
    pub network_policy: Option<String>,
}

impl NodeClass {
    /// What a class says.
    pub(super) fn of(name: String, class: &Value) -> NodeClass {
        NodeClass { name, network_policy: class["spec"]["networkPolicy"].as_str().map(str::to_owned) }
    }
}

/// A storage class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Whether claims that name none get it.
    pub is_default: bool,
    /// Whether its volumes are made where the pod is placed.
    pub waits_for_pod: bool,
    /// The zones in which it may make volumes; none: all.
    pub zones: Vec<String>,
}

impl Class {
    /// What a class says.
    pub(super) fn of(class: StorageClass) -> Class {
        const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
        let terms = class.allowed_topologies.iter().flatten();
        let expressions = terms.flat_map(|term| term.match_label_expressions.iter().flatten());
        let zones = expressions.filter(|one| is_zone(&one.key)).flat_map(|one| one.values.clone()).collect();
        Class {
            is_default: class.annotations().get(DEFAULT).is_some_and(|value| value == "true"),
            waits_for_pod: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            zones,
            name: class.metadata.name.unwrap_or_default(),
        }
    }
}

/// A node with a GPU of NVIDIA's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuNode {
    /// Its name.
    pub name: String,
    /// Its zone, where it has one.
    pub zone: Option<String>,
    /// How many GPUs it offers to pods.
    pub offers: i64,
    /// Whether its own system tells of its GPUs, without a device plugin that somebody installs.
    pub is_managed: bool,
}

impl GpuNode {
    /// None for a node without one.
    pub(super) fn of(node: Node) -> Option<GpuNode> {
        let labels = node.labels().clone();
        let status = node.status.unwrap_or_default();
        let offers = status.allocatable.as_ref().and_then(|all| all.get(GPU)?.0.parse().ok()).unwrap_or(0);
        let system = status.node_info.map(|info| info.os_image).unwrap_or_default();
        let managed_type = labels.get("eks.amazonaws.com/compute-type").is_some_and(|kind| kind == "auto");
        (offers > 0 || has_gpu(&labels)).then(|| GpuNode {
            name: node.metadata.name.unwrap_or_default(),
            zone: labels.get(ZONE).cloned(),
            offers,
            is_managed: managed_type || system.contains("Bottlerocket"),
        })
    }
}

/// Whether the labels that EKS, Karpenter, NVIDIA and people give a node speak of a GPU of NVIDIA's.
fn has_gpu(labels: &BTreeMap<String, String>) -> bool {
    const MANUFACTURERS: [&str; 2] =
        ["eks.amazonaws.com/instance-gpu-manufacturer", "karpenter.k8s.aws/instance-gpu-manufacturer"];
    let says = |label: &str, wanted: &str| labels.get(label).is_some_and(|value| value == wanted);
    MANUFACTURERS.iter().any(|label| says(label, "nvidia"))
        || says("nvidia.com/gpu.present", "true")
        || labels.get("node.kubernetes.io/instance-type").is_some_and(|kind| is_nvidia(kind))
}

/// Whether a type of instances, or a family, has GPUs of NVIDIA's: `g` and `p` with a generation, and `gr`. `g4ad` has AMD's.
pub fn is_nvidia(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let generation = ["gr", "g", "p"].iter().find_map(|kind| family.strip_prefix(kind));
    generation.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) && family != "g4ad"
}

/// A volume that a claim has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim.
    pub claim: String,
    /// The zones from which it is reached; none: any.
    pub zones: Vec<String>,
}

impl Volume {
    /// None for one that nobody has claimed.
    pub(super) fn of(volume: PersistentVolume) -> Option<Volume> {
        let spec = volume.spec?;
        let claim = spec.claim_ref?;
        let selector = spec.node_affinity.and_then(|affinity| affinity.required);
        let terms = selector.into_iter().flat_map(|selector| selector.node_selector_terms);
        let expressions = terms.flat_map(|term| term.match_expressions.unwrap_or_default());
        let zones =
            expressions.filter(|one| is_zone(&one.key)).flat_map(|one| one.values.unwrap_or_default());
        Some(Volume {
            namespace: claim.namespace.unwrap_or_default(),
            claim: claim.name.unwrap_or_default(),
            zones: zones.collect(),
        })
    }
}

/// Storage drivers have keys of their own for zones: `topology.ebs.csi.aws.com/zone`.
fn is_zone(key: &str) -> bool {
    key == ZONE || (key.starts_with("topology.") && key.ends_with("/zone"))
}

/// Whether a kubeconfig that names `server` leads to the cluster at `endpoint`.
pub(super) fn is_at(server: &str, server_name: Option<&str>, endpoint: &str) -> bool {
    let host = |url: &str| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.trim_end_matches('/').to_ascii_lowercase();
        host.strip_suffix(":443").map(str::to_owned).unwrap_or(host)
    };
    // The certificate that the other end must show is its name's: a tunnel to another cluster does not have it.
    let shown = server_name.filter(|_| server.starts_with("https://"));
    host(server) == host(endpoint) || shown.is_some_and(|name| host(name) == host(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: Value, gpus: Option<&str>, system: &str) -> Option<GpuNode> {
        let allocatable = gpus.map_or(json!({}), |count| json!({GPU: count}));
        let info = json!({"osImage": system, "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "",
            "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
            "operatingSystem": "linux", "systemUUID": ""});
        let node = json!({"metadata": {"name": "n", "labels": labels},
            "status": {"allocatable": allocatable, "nodeInfo": info}});
        GpuNode::of(serde_json::from_value(node).unwrap())
    }

    #[test]
    fn a_node_with_a_gpu_is_known_by_what_it_offers_or_is_called() {
        let kind = |kind: &str| json!({"node.kubernetes.io/instance-type": kind, ZONE: "z"});
        let found = |offers, is_managed| {
            Some(GpuNode { name: "n".to_owned(), zone: Some("z".to_owned()), offers, is_managed })
        };
        assert_eq!(node(kind("g5.xlarge"), None, "Amazon Linux 2023"), found(0, false));
        assert_eq!(node(kind("gr6.4xlarge"), Some("1"), "Amazon Linux 2023"), found(1, false));
        assert_eq!(node(kind("p4d.24xlarge"), None, "Bottlerocket OS 1.2"), found(0, true));
        for other in ["m5.large", "g4ad.xlarge", "gd.large", "inf2.xlarge"] {
            assert_eq!(node(kind(other), None, ""), None, "{other}");
        }
        let auto = json!({"eks.amazonaws.com/compute-type": "auto", ZONE: "z",
            "eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"});
        assert_eq!(node(auto, None, "EKS Auto"), found(0, true));
    }

    #[test]
    fn zones_are_read_by_whichever_key_a_driver_has() {
        for key in [ZONE, "topology.ebs.csi.aws.com/zone", "topology.ebs.csi.eks.amazonaws.com/zone"] {
            let class = json!({"metadata": {"name": "gp3"}, "provisioner": "p",
                "allowedTopologies": [{"matchLabelExpressions": [{"key": key, "values": ["a", "b"]}]}]});
            assert_eq!(Class::of(serde_json::from_value(class).unwrap()).zones, ["a", "b"]);
            let terms = json!([{"matchExpressions": [{"key": key, "operator": "In", "values": ["c"]}]}]);
            let volume = json!({"spec": {"claimRef": {"namespace": "ml", "name": "work"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
            let volume = Volume::of(serde_json::from_value(volume).unwrap()).unwrap();
            assert_eq!((volume.claim.as_str(), volume.zones), ("work", vec!["c".to_owned()]));
        }
        assert_eq!(Volume::of(serde_json::from_value(json!({"spec": {}})).unwrap()), None);
    }

    #[test]
    fn rights_go_to_a_bindings_groups_and_a_node_class_says_what_policies_mean() {
        let binding = json!({"roleRef": {"apiGroup": "", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "Group", "name": "a:dispatcher"}, {"kind": "User", "name": "ann"}]});
        let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        let rules = Ok(Some(vec![serde_json::from_value(rule.clone()).unwrap()]));
        let binding = Binding::of(serde_json::from_value(binding).unwrap(), rules);
        assert_eq!(binding.groups, ["a:dispatcher"]);
        assert_eq!((binding.kind.as_str(), binding.role.as_str()), ("Role", "r"));
        assert_eq!(binding.rules.unwrap(), Some(vec![rule]));
        let class = |spec: Value| NodeClass::of("default".to_owned(), &json!({"spec": spec})).network_policy;
        assert_eq!(class(json!({"networkPolicy": "DefaultAllow"})), Some("DefaultAllow".to_owned()));
        assert_eq!(class(json!({"role": "nodes"})), None);
    }

    #[test]
    fn a_kubeconfig_leads_to_the_cluster_that_it_names_or_whose_certificate_it_asks_for() {
        let endpoint = "https://0123ABCD.gr7.eu-central-1.eks.amazonaws.com";
        assert!(is_at("https://0123abcd.gr7.eu-central-1.eks.amazonaws.com:443/", None, endpoint));
        assert!(!is_at("https://9999.gr7.eu-central-1.eks.amazonaws.com", None, endpoint));
        let tunnel = "https://127.0.0.1:8443";
        assert!(!is_at(tunnel, None, endpoint));
        assert!(is_at(tunnel, Some("0123abcd.gr7.eu-central-1.eks.amazonaws.com"), endpoint));
    }
}
