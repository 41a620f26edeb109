//! A cluster as a person reaches it: questions about what stands there, and objects put there by server-side apply.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, PersistentVolume, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding, RoleRef};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{CallError, call};
use super::survey::{self, Binding, Class, Daemons, GpuNode, NodeClass, Survey, Volume};

/// Who set a field, as Kubernetes keeps it.
const MANAGER: &str = "dropforge";

/// The binding by which a namespace gives functions their rights, as infra/kubernetes names it.
const BINDING: &str = "dropforge-dispatcher";

/// A cluster as a person reaches it.
pub struct Person {
    client: Client,
    server: String,
    server_name: Option<String>,
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
        let server = config.cluster_url.to_string();
        // A name that no certificate has to prove says nothing.
        let server_name = config.tls_server_name.clone().filter(|_| !config.accept_invalid_certs);
        Ok(Person { client: Client::try_from(config).map_err(io::Error::other)?, server, server_name })
    }

    /// The URL that the kubeconfig names.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether this is the cluster that answers at an endpoint: the kubeconfig names it, or a way to it whose other end
    /// must show a certificate of that name.
    pub fn is_at(&self, endpoint: &str) -> bool {
        survey::is_at(&self.server, self.server_name.as_deref(), endpoint)
    }

    /// Asks for everything that a deployment needs; `accounts` are service accounts by namespace.
    pub async fn survey(&self, accounts: &BTreeMap<String, String>) -> Survey {
        let mut survey = Survey {
            version: call(self.client.apiserver_version()).await.map(|info| info.git_version),
            namespaces: BTreeMap::new(),
            accounts: BTreeMap::new(),
            bindings: BTreeMap::new(),
            classes: self.classes().await,
            drivers: self.drivers().await,
            gpu_nodes: self.gpu_nodes().await,
            daemons: self.all::<DaemonSet>().await.map(|sets| Daemons::among(&sets)),
            volumes: self.volumes().await,
            pools: self.pools().await,
            policy_controller: self.policy_controller().await,
            node_classes: self.node_classes().await,
        };
        for (namespace, account) in accounts {
            let all: Api<Namespace> = Api::all(self.client.clone());
            let found = call(all.get_opt(namespace)).await;
            let labels = |found: Namespace| found.metadata.labels.unwrap_or_default();
            survey.namespaces.insert(namespace.clone(), found.map(|found| found.map(labels)));
            let own: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
            let found = call(own.get_opt(account)).await.map(|found| found.is_some());
            survey.accounts.insert(namespace.clone(), found);
            survey.bindings.insert(namespace.clone(), self.binding(namespace).await);
        }
        survey
    }

    async fn binding(&self, namespace: &str) -> Result<Option<Binding>, CallError> {
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), namespace);
        let Some(binding) = call(bindings.get_opt(BINDING)).await? else { return Ok(None) };
        let rules = self.rules(namespace, &binding.role_ref).await;
        Ok(Some(Binding::of(binding, rules)))
    }

    /// The rules of the role that a binding names; none where there is no such role.
    async fn rules(&self, namespace: &str, role: &RoleRef) -> Result<Option<Vec<PolicyRule>>, CallError> {
        if role.kind == "ClusterRole" {
            let roles: Api<ClusterRole> = Api::all(self.client.clone());
            let found = call(roles.get_opt(&role.name)).await?;
            return Ok(found.map(|role| role.rules.unwrap_or_default()));
        }
        let roles: Api<Role> = Api::namespaced(self.client.clone(), namespace);
        Ok(call(roles.get_opt(&role.name)).await?.map(|role| role.rules.unwrap_or_default()))
    }

    async fn all<K>(&self) -> Result<Vec<K>, CallError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let all: Api<K> = Api::all(self.client.clone());
        Ok(call(all.list(&ListParams::default())).await?.items)
    }

    async fn classes(&self) -> Result<Vec<Class>, CallError> {
        Ok(self.all::<StorageClass>().await?.into_iter().map(Class::of).collect())
    }

    async fn drivers(&self) -> Result<Vec<String>, CallError> {
        Ok(self.all::<CSIDriver>().await?.into_iter().filter_map(|driver| driver.metadata.name).collect())
    }

    async fn gpu_nodes(&self) -> Result<Vec<GpuNode>, CallError> {
        Ok(self.all::<Node>().await?.into_iter().filter_map(GpuNode::of).collect())
    }

    async fn volumes(&self) -> Result<Vec<Volume>, CallError> {
        Ok(self.all::<PersistentVolume>().await?.into_iter().filter_map(Volume::of).collect())
    }

    async fn pools(&self) -> Result<Vec<Value>, CallError> {
        let all = self.of_kind(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodePool")).await?;
        Ok(all.into_iter().map(|pool| pool.data).collect())
    }

    async fn node_classes(&self) -> Result<Vec<NodeClass>, CallError> {
        let all = self.of_kind(&GroupVersionKind::gvk("eks.amazonaws.com", "v1", "NodeClass")).await?;
        Ok(all.into_iter().map(|class| NodeClass::of(class.name_any(), &class.data)).collect())
    }

    /// None where the cluster does not know the kind.
    async fn of_kind(&self, kind: &GroupVersionKind) -> Result<Vec<DynamicObject>, CallError> {
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::from_gvk(kind));
        match call(all.list(&ListParams::default())).await {
            Ok(listed) => Ok(listed.items),
            Err(why) if why.code() == Some(404) => Ok(Vec::new()),
            Err(why) => Err(why),
        }
    }

    async fn policy_controller(&self) -> Result<bool, CallError> {
        let system: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let told = call(system.get_opt("amazon-vpc-cni")).await?.and_then(|map| map.data);
        let value = told.as_ref().and_then(|data| data.get("enable-network-policy-controller"));
        Ok(value.is_some_and(|value| value == "true"))
    }

    /// Puts an object there, or changes what of it is ours; where `take_over` says so, also what somebody else has set.
    ///
    /// # Errors
    /// When the cluster refuses it, with a conflict (409) where somebody else has set it otherwise, or can't be reached.
    pub async fn apply(&self, object: &Value, take_over: bool) -> Result<(), CallError> {
        let object: DynamicObject = serde_json::from_value(object.clone()).map_err(io::Error::other)?;
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types).map_err(io::Error::other)?;
        let resource = ApiResource::from_gvk(&kind);
        let name = object.metadata.name.clone().unwrap_or_default();
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let params = PatchParams { force: take_over, ..PatchParams::apply(MANAGER) };
        call(api.patch(&name, &params, &Patch::Apply(&object))).await.map(drop)
    }
}
