//! A person's own view of a cluster: what stands there, and objects put there by server-side apply.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::Value;

use super::client::{CallError, call};

/// Who set a field, as Kubernetes keeps it.
const MANAGER: &str = "dropforge";

/// Kubernetes' name of NVIDIA's GPUs.
const GPU: &str = "nvidia.com/gpu";

/// A cluster as a person reaches it.
pub struct Person {
    client: Client,
}

/// What stands in a cluster; each answer for itself, since a person may see some of it only.
pub struct Survey {
    /// Its version.
    pub version: Result<String, CallError>,
    /// The labels of the namespaces that were asked for; none where there is no such namespace.
    pub namespaces: BTreeMap<String, Result<Option<BTreeMap<String, String>>, CallError>>,
    /// Whether the service accounts that were asked for are there, by namespace.
    pub accounts: BTreeMap<String, Result<bool, CallError>>,
    /// The storage classes.
    pub classes: Result<Vec<Class>, CallError>,
    /// The names of the storage drivers.
    pub drivers: Result<Vec<String>, CallError>,
    /// GPUs that nodes offer now.
    pub gpus: Result<i64, CallError>,
    /// The pools from which nodes are made, with what they may be.
    pub pools: Result<Vec<Value>, CallError>,
    /// Whether the Pod Identity agent runs.
    pub pod_identity: Result<bool, CallError>,
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
}

impl Person {
    /// Reads the kubeconfig: the file that is named, else kubectl's.
    ///
    /// # Errors
    /// When there is none, or it has no such context.
    pub async fn new(kubeconfig: Option<&Path>, context: Option<&str>) -> io::Result<Person> {
        let options =
            KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let read = match kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = read.map_err(io::Error::other)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(io::Error::other)?;
        Ok(Person { client: Client::try_from(config).map_err(io::Error::other)? })
    }

    /// Asks for everything that a deployment needs; `accounts` are service accounts by namespace.
    pub async fn survey(&self, accounts: &BTreeMap<String, String>) -> Survey {
        let mut survey = Survey {
            version: call(self.client.apiserver_version()).await.map(|info| info.git_version),
            namespaces: BTreeMap::new(),
            accounts: BTreeMap::new(),
            classes: self.classes().await,
            drivers: self.drivers().await,
            gpus: self.gpus().await,
            pools: self.pools().await,
            pod_identity: self.pod_identity().await,
        };
        for (namespace, account) in accounts {
            let all: Api<Namespace> = Api::all(self.client.clone());
            let found = call(all.get_opt(namespace)).await;
            let labels = |found: Namespace| found.metadata.labels.unwrap_or_default();
            survey.namespaces.insert(namespace.clone(), found.map(|found| found.map(labels)));
            let own: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
            let found = call(own.get_opt(account)).await.map(|found| found.is_some());
            survey.accounts.insert(namespace.clone(), found);
        }
        survey
    }

    async fn classes(&self) -> Result<Vec<Class>, CallError> {
        let all: Api<StorageClass> = Api::all(self.client.clone());
        let listed = call(all.list(&ListParams::default())).await?;
        Ok(listed.items.into_iter().map(class).collect())
    }

    async fn drivers(&self) -> Result<Vec<String>, CallError> {
        let all: Api<CSIDriver> = Api::all(self.client.clone());
        let listed = call(all.list(&ListParams::default())).await?;
        Ok(listed.items.into_iter().filter_map(|driver| driver.metadata.name).collect())
    }

    async fn gpus(&self) -> Result<i64, CallError> {
        let all: Api<Node> = Api::all(self.client.clone());
        let listed = call(all.list(&ListParams::default())).await?;
        let of = |node: Node| node.status?.allocatable?.get(GPU)?.0.parse::<i64>().ok();
        Ok(listed.items.into_iter().filter_map(of).sum())
    }

    /// None where the cluster knows no pools.
    async fn pools(&self) -> Result<Vec<Value>, CallError> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodePool"));
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        match call(all.list(&ListParams::default())).await {
            Ok(listed) => Ok(listed.items.into_iter().map(|pool| pool.data).collect()),
            Err(why) if why.code() == Some(404) => Ok(Vec::new()),
            Err(why) => Err(why),
        }
    }

    async fn pod_identity(&self) -> Result<bool, CallError> {
        let system: Api<DaemonSet> = Api::namespaced(self.client.clone(), "kube-system");
        Ok(call(system.get_opt("eks-pod-identity-agent")).await?.is_some())
    }

    /// Puts an object there, or changes what of it is ours.
    ///
    /// # Errors
    /// When the cluster refuses it, or can't be reached.
    pub async fn apply(&self, object: &Value) -> Result<(), CallError> {
        let object: DynamicObject = serde_json::from_value(object.clone()).map_err(io::Error::other)?;
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types).map_err(io::Error::other)?;
        let resource = ApiResource::from_gvk(&kind);
        let name = object.metadata.name.clone().unwrap_or_default();
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        // Ours by name: what another tool set of it before gives way.
        let params = PatchParams::apply(MANAGER).force();
        call(api.patch(&name, &params, &Patch::Apply(&object))).await.map(drop)
    }
}

fn class(class: StorageClass) -> Class {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    let annotations = class.metadata.annotations.unwrap_or_default();
    Class {
        name: class.metadata.name.unwrap_or_default(),
        is_default: annotations.get(DEFAULT).is_some_and(|value| value == "true"),
        waits_for_pod: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
    }
}
