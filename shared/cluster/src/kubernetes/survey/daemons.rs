//! What runs on every node of a cluster, as far as a deployment needs it.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt;

/// What runs on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemons {
    /// What tells Kubernetes of a node's GPUs.
    pub device_plugin: DevicePlugin,
    /// Whether the Pod Identity agent runs.
    pub pod_identity: bool,
    /// What enforces network policies.
    pub policies: PolicyAgent,
}

impl Daemons {
    /// What is among a cluster's daemon sets.
    pub(in crate::kubernetes) fn among(sets: &[DaemonSet]) -> Daemons {
        let is_agent = |set: &DaemonSet| {
            set.name_any() == "eks-pod-identity-agent" && set.namespace().as_deref() == Some("kube-system")
        };
        Daemons {
            device_plugin: DevicePlugin::among(sets),
            pod_identity: sets.iter().any(is_agent),
            policies: PolicyAgent::among(sets),
        }
    }
}

fn containers(set: &DaemonSet) -> impl Iterator<Item = &Container> {
    let spec = set.spec.as_ref().and_then(|set| set.template.spec.as_ref());
    spec.into_iter().flat_map(|pod| &pod.containers)
}

fn has_image(set: &DaemonSet, names: &[&str]) -> bool {
    let mut images = containers(set).filter_map(|container| container.image.as_ref());
    images.any(|image| names.iter().any(|name| image.contains(name)))
}

/// Who tells Kubernetes of NVIDIA's GPUs, beside systems that do so themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevicePlugin {
    /// Nobody.
    Missing,
    /// The one that `deploy` installs.
    Ours,
    /// Somebody else's, such as that of NVIDIA's operator.
    Others,
}

impl DevicePlugin {
    /// The one among a cluster's daemon sets. They are known by their images, since their names are anybody's.
    fn among(sets: &[DaemonSet]) -> DevicePlugin {
        let tells = |set: &&DaemonSet| has_image(set, &["k8s-device-plugin", "gpu-operator"]);
        let is_ours = |set: &DaemonSet| {
            set.labels().get("app.kubernetes.io/managed-by").is_some_and(|by| by == "dropforge")
        };
        let found: Vec<&DaemonSet> = sets.iter().filter(tells).collect();
        match found.iter().any(|set| is_ours(set)) {
            true => DevicePlugin::Ours,
            false if found.is_empty() => DevicePlugin::Missing,
            false => DevicePlugin::Others,
        }
    }
}

/// Who enforces network policies on nodes, beside Auto Mode's, which need nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyAgent {
    /// Nobody who is known here.
    Missing,
    /// The VPC CNI's agent is there, and told not to.
    VpcCniOff,
    /// The VPC CNI's agent, for what EKS's controller works out.
    VpcCni,
    /// A network of this name, by itself.
    Other(&'static str),
}

impl PolicyAgent {
    /// The one among a cluster's daemon sets. They are known by their images, which mirrors call by the same last words.
    fn among(sets: &[DaemonSet]) -> PolicyAgent {
        const OTHERS: [(&str, &str); 2] = [("Calico", "calico/node"), ("Cilium", "cilium/cilium")];
        let runs = |image: &str| sets.iter().any(|set| has_image(set, &[image]));
        if let Some((name, _)) = OTHERS.iter().find(|(_, image)| runs(image)) {
            return PolicyAgent::Other(name);
        }
        let agent = sets.iter().flat_map(containers).find(|container| {
            container.image.as_ref().is_some_and(|image| image.contains("aws-network-policy-agent"))
        });
        let is_told = |container: &Container| {
            container.args.iter().flatten().any(|argument| argument == "--enable-network-policy=true")
        };
        match agent {
            None => PolicyAgent::Missing,
            Some(container) if is_told(container) => PolicyAgent::VpcCni,
            Some(_) => PolicyAgent::VpcCniOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str, by: &str, image: &str, arguments: &[&str]) -> DaemonSet {
        let container = json!({"name": "c", "image": image, "args": arguments});
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "kube-system", "labels": {"app.kubernetes.io/managed-by": by}},
            "spec": {"selector": {}, "template": {"spec": {"containers": [container]}}}}))
        .unwrap()
    }

    #[test]
    fn a_plugin_is_known_by_its_image_whoever_installed_it() {
        let set = |by: &str, image: &str| set("x", by, image, &[]);
        let plugin = "nvcr.io/nvidia/k8s-device-plugin:v0.17.1";
        assert_eq!(DevicePlugin::among(&[set("eks", "amazon/aws-vpc-cni")]), DevicePlugin::Missing);
        assert_eq!(DevicePlugin::among(&[set("Helm", plugin)]), DevicePlugin::Others);
        assert_eq!(DevicePlugin::among(&[set("Helm", "x"), set("dropforge", plugin)]), DevicePlugin::Ours);
    }

    #[test]
    fn network_policies_are_enforced_by_whose_agent_is_told_to() {
        let agent = "602401143452.dkr.ecr.eu-central-1.amazonaws.com/amazon/aws-network-policy-agent:v1.2.2-eksbuild.1";
        let cni = |flag: &str| set("aws-node", "Helm", agent, &["--enable-ipv6=false", flag]);
        let calico = set("calico-node", "", "mirror.example/calico/node:v3.29.1", &[]);
        let cilium = set("cilium", "", "quay.io/cilium/cilium:v1.16.5", &[]);
        assert_eq!(PolicyAgent::among(&[set("kube-proxy", "", "kube-proxy", &[])]), PolicyAgent::Missing);
        assert_eq!(PolicyAgent::among(&[cni("--enable-network-policy=false")]), PolicyAgent::VpcCniOff);
        assert_eq!(PolicyAgent::among(&[cni("--enable-network-policy=true")]), PolicyAgent::VpcCni);
        let off = cni("--enable-network-policy=false");
        assert_eq!(PolicyAgent::among(&[off.clone(), calico]), PolicyAgent::Other("Calico"));
        assert_eq!(PolicyAgent::among(&[off, cilium]), PolicyAgent::Other("Cilium"));
    }

    #[test]
    fn the_pod_identity_agent_is_known_by_its_name() {
        let named = |name: &str| Daemons::among(&[set(name, "", "x", &[])]).pod_identity;
        assert!(named("eks-pod-identity-agent") && !named("aws-node"));
    }
}
