//! The Kubernetes objects of a deployment: those of infra/kubernetes, for its namespaces and its cluster.

use dropforge_cluster::kubernetes::{DevicePlugin, Survey};
use dropforge_manifest::source;
use serde_json::{Value, json};

use crate::args::ClusterPart;
use crate::cloud::doctor::kubernetes::another_stack;
use crate::contexts::{Deployment, Namespace};

const DISPATCHER: &str = include_str!("../../../../infra/kubernetes/namespace/dispatcher.yaml");

/// What each namespace of steps has, as it stands for the namespace `dropforge`.
const NAMESPACE: [&str; 4] = [
    include_str!("../../../../infra/kubernetes/namespace/namespace.yaml"),
    include_str!("../../../../infra/kubernetes/namespace/service-account.yaml"),
    DISPATCHER,
    include_str!("../../../../infra/kubernetes/namespace/network-policy.yaml"),
];

const CLASS_OF_AUTO_MODE: &str =
    include_str!("../../../../infra/kubernetes/cluster/storage-class-auto-mode.yaml");
const CLASS_OF_DRIVER: &str = include_str!("../../../../infra/kubernetes/cluster/storage-class-ebs.yaml");
const GPU_POOL: &str = include_str!("../../../../infra/kubernetes/cluster/gpu-node-pool.yaml");
const DEVICE_PLUGIN: &str = include_str!("../../../../infra/kubernetes/cluster/nvidia-device-plugin.yaml");

/// The label that says which pod security level a namespace enforces.
const ENFORCED: &str = "pod-security.kubernetes.io/enforce";

/// The storage driver that Auto Mode brings, and the one of the add-on.
const AUTO_MODE: &str = "ebs.csi.eks.amazonaws.com";
const ADD_ON: &str = "ebs.csi.aws.com";

/// The objects of all namespaces, in the order in which they can be applied.
pub fn of_namespaces(deployment: &Deployment) -> Vec<Value> {
    let mut objects = Vec::new();
    for (name, namespace) in &deployment.namespaces {
        let own = NAMESPACE.iter().flat_map(|text| documents(text));
        objects.extend(own.map(|object| placed(object, name, namespace, deployment)));
    }
    objects
}

/// What functions may in a namespace, as it would be applied there.
pub fn role(name: &str, namespace: &Namespace, deployment: &Deployment) -> Value {
    let role = documents(DISPATCHER).into_iter().find(|object| object["kind"] == "Role");
    placed(role.expect("dispatcher.yaml holds a Role"), name, namespace, deployment)
}

/// What the cluster lacks and can take: a default storage class, in Auto Mode a pool of GPU nodes, and NVIDIA's device
/// plugin where nodes have GPUs that nobody tells of.
pub fn of_cluster(parts: &[ClusterPart]) -> Vec<Value> {
    let has = |part| parts.contains(&part);
    let class = match (has(ClusterPart::AutoMode), has(ClusterPart::EbsCsi)) {
        (true, _) => Some(CLASS_OF_AUTO_MODE),
        (false, true) => Some(CLASS_OF_DRIVER),
        (false, false) => None,
    };
    let texts = [
        class.filter(|_| !has(ClusterPart::DefaultClass)),
        has(ClusterPart::AutoMode).then_some(GPU_POOL),
        has(ClusterPart::SilentGpus).then_some(DEVICE_PLUGIN),
    ];
    texts.into_iter().flatten().flat_map(documents).collect()
}

/// What a cluster was seen to have of that.
pub fn parts(survey: &Survey) -> Vec<ClusterPart> {
    let has_driver =
        |name: &str| survey.drivers.as_ref().is_ok_and(|all| all.iter().any(|driver| driver == name));
    let has_default =
        survey.classes.as_ref().is_ok_and(|classes| classes.iter().any(|class| class.is_default));
    // Karpenter of one's own has node classes of its own too, which only their owner can name.
    let of_auto_mode = |pool: &Value| pool.to_string().contains("\"eks.amazonaws.com\"");
    let is_auto =
        has_driver(AUTO_MODE) || survey.pools.as_ref().is_ok_and(|pools| pools.iter().any(of_auto_mode));
    let is_silent = match survey.daemons.as_ref().map(|daemons| daemons.device_plugin) {
        // What is ours is brought to this version.
        Ok(DevicePlugin::Ours) => true,
        Ok(DevicePlugin::Missing) => survey.silent_nodes().next().is_some(),
        Ok(DevicePlugin::Others) | Err(_) => false,
    };
    let all = [
        (is_auto, ClusterPart::AutoMode),
        (has_driver(ADD_ON), ClusterPart::EbsCsi),
        (has_default, ClusterPart::DefaultClass),
        (is_silent, ClusterPart::SilentGpus),
    ];
    all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, part)| part).collect()
}

/// The documents of a YAML text of ours.
fn documents(text: &str) -> Vec<Value> {
    let (nodes, errors) = source::read(text);
    assert!(errors.is_empty(), "infra/kubernetes is YAML: {errors:?}");
    nodes.iter().map(source::Node::json).collect()
}

/// An object of one namespace.
fn placed(mut object: Value, name: &str, namespace: &Namespace, deployment: &Deployment) -> Value {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => {
            object["metadata"]["name"] = json!(name);
            if !namespace.pod_security.is_empty() {
                object["metadata"]["labels"][ENFORCED] = json!(namespace.pod_security);
            }
            return object;
        }
        "ServiceAccount" => {
            if !namespace.service_account.is_empty() {
                object["metadata"]["name"] = json!(namespace.service_account);
            }
            // With Pod Identity the association names the account; with IRSA the account names the role.
            if namespace.isolation == "namespace" && !namespace.role_arn.is_empty() {
                object["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] = json!(namespace.role_arn);
            }
        }
        "Role" if !namespace.pull_secrets.is_empty() => {
            let names = &namespace.pull_secrets;
            let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]});
            object["rules"].as_array_mut().expect("a Role of ours has rules").push(rule);
        }
        "RoleBinding" if !deployment.kubernetes_group.is_empty() => {
            object["subjects"][0]["name"] = json!(deployment.kubernetes_group);
        }
        _ => {}
    }
    object["metadata"]["namespace"] = json!(name);
    object
}

/// A namespace that enforces a stricter level than the deployment's already keeps it; gives what is said of that.
pub fn as_strict_as_it_is(mut object: Value, survey: &Survey) -> (Value, Option<String>) {
    let name = object["metadata"]["name"].as_str().filter(|_| object["kind"] == "Namespace");
    let found = name.and_then(|name| survey.namespaces.get(name)?.as_ref().ok()?.as_ref()?.get(ENFORCED));
    let ours = object["metadata"]["labels"][ENFORCED].as_str().unwrap_or_default();
    match found {
        Some(found) if strictness(found) > strictness(ours) => {
            let kept = format!(": it enforces {found} already, which stays, and the deployment says {ours}");
            object["metadata"]["labels"][ENFORCED] = json!(found);
            (object, Some(kept))
        }
        Some(_) | None => (object, None),
    }
}

/// Why an object is not applied: it would give a namespace of another stack's to this one; with what to do.
pub fn of_another_stack(object: &Value, survey: &Survey) -> Option<(String, String)> {
    let namespace = object["metadata"]["namespace"].as_str().filter(|_| object["kind"] == "RoleBinding")?;
    let binding = survey.bindings.get(namespace)?.as_ref().ok()?.as_ref()?;
    another_stack(namespace, &binding.groups, object["subjects"][0]["name"].as_str().unwrap_or_default())
}

fn strictness(level: &str) -> u8 {
    match level {
        "restricted" => 2,
        "baseline" => 1,
        _ => 0,
    }
}

/// `namespace/ml` or `role/dropforge-dispatcher of ml`.
pub fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{own} of {namespace}"),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dropforge_cluster::kubernetes::{Class, GpuNode};

    use super::*;
    use crate::cloud::doctor::kubernetes::tests::{binding, survey as well};

    fn deployment() -> Deployment {
        let namespace = |isolation: &str| Namespace {
            service_account: "steps".to_owned(),
            role_arn: "arn:role".to_owned(),
            isolation: isolation.to_owned(),
            pod_security: "restricted".to_owned(),
            pull_secrets: Vec::new(),
            ..Namespace::default()
        };
        Deployment {
            kubernetes_group: "forge:dispatcher".to_owned(),
            namespaces: [("a".to_owned(), namespace("pod")), ("b".to_owned(), namespace("namespace"))].into(),
            ..Deployment::default()
        }
    }

    #[test]
    fn each_namespace_gets_its_objects_with_its_own_names() {
        let objects = of_namespaces(&deployment());
        let titles: Vec<String> = objects.iter().map(title).collect();
        let expected = |name: &str| {
            [
                format!("namespace/{name}"),
                format!("serviceaccount/steps of {name}"),
                format!("role/dropforge-dispatcher of {name}"),
                format!("rolebinding/dropforge-dispatcher of {name}"),
                format!("networkpolicy/dropforge-steps of {name}"),
            ]
        };
        assert_eq!(titles, [expected("a"), expected("b")].concat());
        assert_eq!(objects[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(objects[3]["subjects"][0]["name"], "forge:dispatcher");
        assert_eq!(objects[1]["metadata"].get("annotations"), None);
        assert_eq!(objects[6]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"], "arn:role");
    }

    #[test]
    fn pull_secrets_are_read_by_name_and_no_other_secret_is() {
        let mut deployment = deployment();
        deployment.namespaces.get_mut("b").unwrap().pull_secrets = vec!["registry".to_owned()];
        let secrets = |of: &str| -> Vec<Value> {
            let objects = of_namespaces(&deployment);
            let role =
                objects.iter().find(|object| title(object) == format!("role/dropforge-dispatcher of {of}"));
            let rules = role.unwrap()["rules"].as_array().unwrap().clone();
            rules.into_iter().filter(|rule| rule["resources"] == json!(["secrets"])).collect()
        };
        assert_eq!(secrets("a"), [] as [Value; 0]);
        let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["registry"], "verbs": ["get"]});
        assert_eq!(secrets("b"), [rule]);
    }

    fn survey(drivers: &[&str], classes: &[bool]) -> Survey {
        let class = |is_default: &bool| Class {
            name: "c".to_owned(),
            is_default: *is_default,
            waits_for_pod: true,
            zones: Vec::new(),
        };
        Survey {
            namespaces: BTreeMap::new(),
            classes: Ok(classes.iter().map(class).collect()),
            drivers: Ok(drivers.iter().map(|driver| (*driver).to_owned()).collect()),
            gpu_nodes: Ok(Vec::new()),
            ..well()
        }
    }

    #[test]
    fn a_namespace_is_made_stricter_and_never_laxer() {
        let applied = |is: Option<&str>, says: &str| {
            let labels = is.map(|level| BTreeMap::from([(ENFORCED.to_owned(), level.to_owned())]));
            let namespaces = [("a".to_owned(), Ok(labels))].into();
            let survey = Survey { namespaces, ..survey(&[], &[]) };
            let mut deployment = deployment();
            deployment.namespaces.values_mut().for_each(|own| own.pod_security = says.to_owned());
            let (object, kept) = as_strict_as_it_is(of_namespaces(&deployment).swap_remove(0), &survey);
            (object["metadata"]["labels"][ENFORCED].as_str().unwrap_or_default().to_owned(), kept.is_some())
        };
        assert_eq!(applied(Some("restricted"), "baseline"), ("restricted".to_owned(), true));
        assert_eq!(applied(Some("privileged"), "baseline"), ("baseline".to_owned(), false));
        assert_eq!(applied(Some("baseline"), "restricted"), ("restricted".to_owned(), false));
        assert_eq!(applied(None, "baseline"), ("baseline".to_owned(), false));
    }

    #[test]
    fn a_binding_that_is_there_is_changed_only_where_it_is_this_stacks() {
        let refused = |group: Option<&str>| {
            let mut survey = survey(&[], &[]);
            let binding = group.map(|group| binding(&[group], Vec::new()));
            survey.bindings.insert("a".to_owned(), Ok(binding));
            let objects = of_namespaces(&deployment());
            let refused = objects.iter().filter(|object| of_another_stack(object, &survey).is_some());
            refused.map(title).collect::<Vec<_>>()
        };
        assert_eq!(refused(Some("other:dispatcher")), ["rolebinding/dropforge-dispatcher of a"]);
        assert_eq!(refused(Some("forge:dispatcher")), [""; 0]);
        assert_eq!(refused(None), [""; 0]);
    }

    #[test]
    fn a_cluster_gets_only_what_it_lacks_and_can_take() {
        let of = |drivers: &[&str], classes: &[bool]| of_cluster(&parts(&survey(drivers, classes)));
        let provisioner = |objects: &[Value]| objects.first().map(|object| object["provisioner"].clone());
        assert_eq!(of(&[ADD_ON], &[true]), [] as [Value; 0]);
        assert_eq!(provisioner(&of(&[ADD_ON], &[false])), Some(json!(ADD_ON)));
        let titles: Vec<String> = of(&[AUTO_MODE, ADD_ON], &[]).iter().map(title).collect();
        assert_eq!(titles, ["storageclass/dropforge-gp3", "nodepool/dropforge-gpu"]);
        assert_eq!(provisioner(&of(&[AUTO_MODE, ADD_ON], &[])), Some(json!(AUTO_MODE)));
        let titles: Vec<String> = of(&[AUTO_MODE], &[true]).iter().map(title).collect();
        assert_eq!(titles, ["nodepool/dropforge-gpu"]);
        assert_eq!(of(&["other"], &[]), [] as [Value; 0]);
    }

    #[test]
    fn the_device_plugin_is_installed_only_where_nodes_have_gpus_and_nobody_tells_of_them() {
        let with = |offers: i64, is_managed: bool, plugin: DevicePlugin| {
            let node = GpuNode { name: "n".to_owned(), zone: None, offers, is_managed };
            let mut survey = Survey { gpu_nodes: Ok(vec![node]), ..survey(&["other"], &[true]) };
            survey.daemons.as_mut().unwrap().device_plugin = plugin;
            of_cluster(&parts(&survey)).iter().map(title).collect::<Vec<_>>()
        };
        let ours = ["daemonset/nvidia-device-plugin of kube-system"];
        assert_eq!(with(0, false, DevicePlugin::Missing), ours);
        assert_eq!(with(1, false, DevicePlugin::Ours), ours, "it is brought to this version");
        for (offers, is_managed, plugin) in [
            (0, true, DevicePlugin::Missing),
            (1, false, DevicePlugin::Missing),
            (0, false, DevicePlugin::Others),
        ] {
            assert_eq!(with(offers, is_managed, plugin), [""; 0], "{offers} {is_managed} {plugin:?}");
        }
    }
}
