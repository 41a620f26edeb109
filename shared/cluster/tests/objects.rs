//! The objects of infra/kubernetes as their readers take them: by Kubernetes' own types, where whatever is lost on the way
//! through is misspelt; by an API server, where `DROPFORGE_TEST_KUBECONFIG` names one; the NodePool by Karpenter's rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use dropforge_manifest::source;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "objects/node_pool.rs"]
mod node_pool;

/// Each object, with the file that it stands in.
fn objects() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/kubernetes");
    let files =
        ["cluster", "namespace"].iter().flat_map(|part| std::fs::read_dir(folder.join(part)).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let (nodes, errors) = source::read(&std::fs::read_to_string(&path).unwrap());
        assert!(errors.is_empty() && !nodes.is_empty(), "{}: {errors:?}", path.display());
        nodes.iter().map(|node| (path.clone(), node.json())).collect::<Vec<_>>()
    };
    paths.into_iter().flat_map(read).collect()
}

fn kind(object: &Value) -> (&str, &str) {
    (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default())
}

/// An object as Kubernetes' type of it holds it.
fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|why| why.to_string())?;
    Ok(serde_json::to_value(typed).unwrap())
}

/// What is wrong with an object, as far as its type says.
fn misread(object: &Value) -> Option<String> {
    let read = match kind(object) {
        ("v1", "Namespace") => through::<Namespace>(object),
        ("v1", "ServiceAccount") => through::<ServiceAccount>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => through::<Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => through::<RoleBinding>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => through::<NetworkPolicy>(object),
        ("storage.k8s.io/v1", "StorageClass") => through::<StorageClass>(object),
        ("apps/v1", "DaemonSet") => through::<DaemonSet>(object),
        ("karpenter.sh/v1", "NodePool") => return node_pool::misread(object),
        other => return Some(format!("nobody here reads {other:?}")),
    };
    match read {
        Ok(read) if read == *object => None,
        Ok(read) => Some(format!("Kubernetes reads of {object}\n{read}")),
        Err(why) => Some(why),
    }
}

#[test]
fn no_field_of_any_object_is_lost_on_its_way_through_kubernetes_types() {
    let all = objects();
    assert!(all.len() >= 9, "{} objects", all.len());
    for (path, object) in all {
        assert_eq!(misread(&object), None, "{}", path.display());
    }
}

/// A copy with another value in the place of what a pointer names; where there is nothing, beside what is there.
fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut copy = object.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = copy.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {pointer}"));
    match parent {
        Value::Array(all) => all[name.parse::<usize>().unwrap()] = value,
        parent => parent[name] = value,
    }
    copy
}

fn without(object: &Value, pointer: &str) -> Value {
    let mut copy = object.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = copy.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.and_then(|fields| fields.remove(name)).unwrap_or_else(|| panic!("there is no {pointer}"));
    copy
}

fn one(wanted: &str) -> Value {
    let found = objects().into_iter().find(|(_, object)| object["kind"] == wanted);
    found.unwrap_or_else(|| panic!("there is no {wanted}")).1
}

#[test]
fn a_misspelt_field_and_a_value_of_another_kind_are_seen() {
    let (class, plugin) = (one("StorageClass"), one("DaemonSet"));
    for bad in [
        with(&class, "/volumeBindingmode", json!("Immediate")),
        with(&class, "/allowVolumeExpansion", json!("true")),
        with(&class, "/parameters/iops", json!(3000)),
        with(&plugin, "/spec/template/spec/containers/0/enviroment", json!([])),
        with(&plugin, "/spec/template/spec/tolerations/0/operater", json!("Exists")),
        with(&one("NetworkPolicy"), "/spec/egress/0/port", json!([])),
        with(&plugin, "/kind", json!("Deamonset")),
    ] {
        assert!(misread(&bad).is_some(), "{bad}");
    }
}

#[test]
fn a_node_pool_that_karpenter_would_refuse_is_seen() {
    let pool = one("NodePool");
    let spec = "/spec/template/spec";
    for bad in [
        with(&pool, "/spec/disruption/consolidationPolicy", json!("WhenIdle")),
        with(&pool, "/spec/disruption/consolidateAfter", json!("5 minutes")),
        with(&pool, "/spec/disruption/expireAfter", json!("720h")),
        with(&pool, "/spec/limits/nvidia.com~1gpu", json!("eight")),
        with(&pool, &format!("{spec}/nodeClassRef/apiVersion"), json!("eks.amazonaws.com/v1")),
        with(&pool, &format!("{spec}/taints/0/effect"), json!("NoScheduling")),
        with(&pool, &format!("{spec}/requirements/0/operator"), json!("in")),
        with(&pool, &format!("{spec}/requirements/0/key"), json!("karpenter.sh/gpu")),
        with(&pool, &format!("{spec}/requirements/0/values"), json!([])),
        with(&pool, &format!("{spec}/requirements/0/values/0"), json!(1)),
        without(&pool, &format!("{spec}/nodeClassRef/kind")),
        without(&pool, &format!("{spec}/requirements")),
        without(&pool, &format!("{spec}/taints/0/effect")),
        without(&pool, "/spec/template"),
    ] {
        assert!(misread(&bad).is_some(), "{bad}");
    }
}

async fn client() -> Option<Client> {
    let Some(kubeconfig) = std::env::var_os("DROPFORGE_TEST_KUBECONFIG") else {
        println!("SKIPPED: infra's objects on an API server (DROPFORGE_TEST_KUBECONFIG is not set)");
        return None;
    };
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Some(Client::try_from(config).unwrap())
}

/// What the server says of an object that is applied and not kept. A namespace that is not there yet takes nothing, so that
/// what lies in ours is asked of `default`.
async fn applied(client: &Client, object: &Value) -> Result<(), String> {
    let mut object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let gvk = GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        None => Api::all_with(client.clone(), &resource),
        Some(namespace) => {
            let namespace = if namespace == "dropforge" { "default" } else { namespace }.to_owned();
            object.metadata.namespace = Some(namespace.clone());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let strict = PatchParams {
        dry_run: true,
        force: true,
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("dropforge-test")
    };
    let name = object.metadata.name.clone().unwrap();
    api.patch(&name, &strict, &Patch::Apply(&object)).await.map(drop).map_err(|why| why.to_string())
}

#[tokio::test]
async fn an_api_server_takes_each_object_and_refuses_one_with_a_misspelt_field() {
    let Some(client) = client().await else { return };
    // No cluster without Karpenter knows its kinds.
    for (path, object) in objects().into_iter().filter(|(_, object)| object["kind"] != "NodePool") {
        assert_eq!(applied(&client, &object).await, Ok(()), "{}", path.display());
    }
    for bad in [
        with(&one("StorageClass"), "/volumeBindingmode", json!("Immediate")),
        with(&one("StorageClass"), "/volumeBindingMode", json!("WaitForConsumer")),
        with(&one("DaemonSet"), "/spec/template/spec/containers/0/enviroment", json!([])),
    ] {
        let refused = applied(&client, &bad).await;
        assert!(refused.is_err(), "{bad}");
    }
}
