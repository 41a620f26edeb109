//! The cluster as the driver asks it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::owner::at_most;
use dropforge_driver::pods::is_object_name;
use dropforge_driver::store::{Attempts, Created, Documents, ErrorKind, Launches, StoreError};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::{ByteString, NamespaceResourceScope};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, Resource};

use super::admission::Admission;
use super::client::{Access, CallError, Connections, call};
use super::images::Images;
use super::pod::{MANAGED_LABEL, RUN_LABEL, label_value};
use super::site::{Limits, Site};
use super::status::{Glance, Patience, glance};
use super::volumes;

mod looks;
mod maps;
mod starts;

/// How many pods one answer of the cluster holds: each has its launch document in it, several times.
const PAGE: u32 = 250;

/// How many pods are deleted at once: as many as are made, so that those that end make room for those that begin.
const DELETES_AT_ONCE: usize = 16;

/// How a cluster is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long what may still come right is waited for.
    pub patience: Patience,
    /// How many pods all programs together make in a second.
    pub creates_per_second: f64,
    /// How many pods of ours are open in the cluster at once.
    pub open_pods_max: Option<u32>,
    /// Who asks Amazon's registries what images start; nobody: they are asked without a login.
    pub registry_credentials: Option<SharedCredentialsProvider>,
    /// The cluster's name, under which its open pods are counted.
    pub name: String,
    /// The only namespaces that are touched; all where none. A run says where it belongs, and who wrote it may know of
    /// namespaces that are another deployment's.
    pub namespaces: Option<Vec<String>>,
}

impl Settings {
    /// As the deployment says, for the cluster of this name.
    pub fn of(limits: &Limits, name: impl Into<String>) -> Self {
        Settings {
            patience: Patience::of(limits),
            creates_per_second: limits.creates_per_second,
            open_pods_max: Some(limits.open_pods_max).filter(|max| *max > 0),
            registry_credentials: None,
            name: name.into(),
            namespaces: None,
        }
    }

    /// The same, within these namespaces.
    pub fn within(self, namespaces: Vec<String>) -> Self {
        Settings { namespaces: Some(namespaces), ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::of(&Limits::default(), "cluster")
    }
}

/// A cluster whose steps are pods.
pub struct KubernetesCluster<S> {
    connections: Connections,
    site: Site,
    store: Arc<S>,
    settings: Settings,
    admission: Admission<S>,
    images: Images<S>,
}

/// One of our pods, for who looks at all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurPod {
    /// The run's uid.
    pub run: String,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its namespace.
    pub namespace: String,
    /// How it is.
    pub state: Glance,
}

/// All of our pods that could be looked at.
#[derive(Debug)]
pub struct OurPods {
    /// They.
    pub pods: Vec<OurPod>,
    /// The namespaces that the cluster refused, and why.
    pub refused: Vec<(String, CallError)>,
}

impl<S: Attempts + Documents + 'static> KubernetesCluster<S> {
    /// A cluster; nothing is asked of it yet.
    pub fn new(access: Access, site: Site, store: Arc<S>, settings: Settings) -> Self {
        let per_second = settings.creates_per_second;
        let admission = Admission::new(store.clone(), &settings.name, settings.open_pods_max, per_second);
        let images = Images::new(
            store.clone(),
            site.defaults.images.clone(),
            settings.registry_credentials.clone(),
            settings.patience.image,
        );
        let connections = Connections::new(access);
        KubernetesCluster { connections, site, store, settings, admission, images }
    }

    /// Whether steps may run in a namespace: in one of another deployment nothing is made, read or removed.
    fn is_ours(&self, namespace: &str) -> bool {
        self.settings.namespaces.as_ref().is_none_or(|ours| ours.iter().any(|own| own == namespace))
    }

    async fn client(&self) -> Result<Client, CallError> {
        Ok(self.connections.client().await?)
    }

    async fn api<K>(&self, namespace: &str) -> Result<Api<K>, CallError>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Ok(Api::namespaced(self.client().await?, namespace))
    }

    async fn give_back(&self, permits: usize) {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        if let Err(error) = self.admission.give_back(permits).await {
            tracing::warn!(%error, "permits for pods were not given back; the next count of the sweep does it");
        }
    }

    /// Claims the attempt, so that it never begins (any more), and gives it this verdict unless it has one.
    async fn fence(&self, namespace: &str, verdict: Verdict) -> Result<Verdict, StoreError> {
        self.claim(namespace, &verdict.attempt).await?;
        self.store.put_verdict(namespace, &verdict).await
    }

    async fn claim(&self, namespace: &str, attempt: &AttemptId) -> Result<(), StoreError> {
        let nonce = format!("cluster-{}-{}", std::process::id(), SystemClock.now().as_nanosecond());
        match self.store.claim(namespace, attempt, &nonce).await? {
            Created::New | Created::Exists => Ok(()),
        }
    }

    /// Deletes a pod; gives whether there was one.
    async fn delete(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, ClusterError> {
        if !self.is_ours(namespace) {
            return Ok(false);
        }
        let api: Api<Pod> = self.api(namespace).await.map_err(CallError::unreachable)?;
        match call(api.delete(attempt.as_str(), &DeleteParams::default())).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(404) => Ok(false),
            Err(error) => Err(error.unreachable()),
        }
    }

    /// Deletes pods whose end is on record; those that are gone already are fine, and one that can't be deleted keeps
    /// none of the others.
    ///
    /// # Errors
    /// When the cluster can't be asked; `observe` finds what is left.
    pub async fn remove_pods(&self, spec: &RunSpec, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        self.remove_pods_in(spec.namespace(), attempts).await
    }

    /// The same, by namespace: their run may be deleted.
    ///
    /// # Errors
    /// As [`KubernetesCluster::remove_pods`].
    pub async fn remove_pods_in(&self, namespace: &str, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        let deleting = attempts.iter().map(|attempt| self.delete(namespace, attempt)).collect();
        let deleted = at_most(DELETES_AT_ONCE, deleting).await;
        // Only a pod that was there had a permit.
        self.give_back(deleted.iter().filter(|deleted| matches!(deleted, Ok(true))).count()).await;
        deleted.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }

    /// What a secret holds; none where there is no such secret.
    ///
    /// # Errors
    /// When the cluster can't be asked, or refuses it.
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, CallError> {
        // It may come from a tag. Nothing is asked by it, or the address would be another's.
        if !is_object_name(name) || !self.is_ours(namespace) {
            return Ok(None);
        }
        let api: Api<Secret> = self.api(namespace).await?;
        let text = |value: ByteString| String::from_utf8_lossy(&value.0).into_owned();
        let secret = call(api.get_opt(name)).await?;
        let data = secret.map(|secret| secret.data.unwrap_or_default());
        Ok(data.map(|data| data.into_iter().map(|(key, value)| (key, text(value))).collect()))
    }

    /// Deletes the volume claims that were made for a run.
    ///
    /// # Errors
    /// When the cluster can't be asked; doing it twice is harmless.
    pub async fn remove_volumes(&self, spec: &RunSpec) -> Result<(), ClusterError> {
        if spec.spec.volume_claim_templates.is_empty() || !self.is_ours(spec.namespace()) {
            return Ok(());
        }
        self.remove_volumes_in(spec.namespace(), &spec.uid).await
    }

    /// The same, by namespace: the run may be deleted.
    ///
    /// # Errors
    /// As [`KubernetesCluster::remove_volumes`].
    pub async fn remove_volumes_in(&self, namespace: &str, run: &RunUid) -> Result<(), ClusterError> {
        let client = self.client().await.map_err(CallError::unreachable)?;
        volumes::remove(&client, namespace, run).await.map_err(CallError::unreachable)
    }

    /// The uids of the runs that have volume claims in a namespace.
    ///
    /// # Errors
    /// When the cluster can't be asked, or refuses.
    pub async fn volume_owners(&self, namespace: &str) -> Result<BTreeSet<String>, ClusterError> {
        let client = self.client().await.map_err(CallError::unreachable)?;
        volumes::owners(&client, namespace).await.map_err(CallError::unreachable)
    }

    /// All pods of ours in these namespaces, for the sweep. A namespace that the cluster refuses (it is gone, or its Role is
    /// not there yet) keeps none of the others from being looked at; nothing is made in it either.
    ///
    /// # Errors
    /// When the cluster can't be asked, or refuses all of them.
    pub async fn pods(&self, namespaces: &[String]) -> Result<OurPods, ClusterError> {
        let selector = format!("{}={}", MANAGED_LABEL.0, MANAGED_LABEL.1);
        let (mut ours, mut refused, mut open) = (Vec::new(), Vec::new(), 0);
        let taken = self.admission.taken().await;
        for namespace in namespaces {
            let (from, now) = (ours.len(), SystemClock.now());
            let each = |pod: Pod| {
                // Who deletes one gives its permit back.
                open += u32::from(pod.metadata.deletion_timestamp.is_none());
                ours.extend(our_pod(&pod, namespace, &self.settings.patience, now));
            };
            match self.list(namespace, &selector, each).await {
                Ok(()) => {}
                Err(why) if matches!(why.code(), Some(403 | 404)) => {
                    ours.truncate(from);
                    refused.push((namespace.clone(), why));
                }
                Err(why) => return Err(why.unreachable()),
            }
        }
        if refused.len() == namespaces.len()
            && let Some((_, why)) = refused.pop()
        {
            return Err(why.unreachable());
        }
        let counted = async { self.admission.counted(open, taken?).await };
        if let Err(error) = counted.await {
            tracing::warn!(%error, "the cluster's open pods were counted, and the count not kept; the next one is");
        }
        Ok(OurPods { pods: ours, refused })
    }

    async fn list(
        &self,
        namespace: &str,
        selector: &str,
        mut each: impl FnMut(Pod),
    ) -> Result<(), CallError> {
        let api: Api<Pod> = self.api(namespace).await?;
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        loop {
            let page = match call(api.list(&params)).await {
                // Large pods, and what carries the answer takes no more.
                Err(error) if error.code() == Some(413) && params.limit > Some(1) => {
                    params.limit = params.limit.map(|limit| limit / 2);
                    continue;
                }
                answered => answered?,
            };
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            page.items.into_iter().for_each(&mut each);
            match next {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}

impl<S: Attempts + Documents + Launches + 'static> Cluster for KubernetesCluster<S> {
    /// An answer of the API takes longer than its work; `admission` bounds what all of them ask for.
    const STARTS_AT_ONCE: usize = 16;
    const STARTS_AGAIN: bool = false;

    async fn start(&self, spec: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        self.begin(spec, attempt).await
    }

    async fn tidy(&self, spec: &RunSpec, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        self.remove_pods(spec, attempts).await
    }

    /// The verdict comes last: whoever finds it takes the stop for done, and may start what replaces the pod. What the
    /// pod's wrapper says before it changes nothing, since the node has been given up.
    async fn stop(&self, spec: &RunSpec, attempt: &AttemptId, why: &str) -> Result<(), ClusterError> {
        let namespace = spec.namespace();
        self.claim(namespace, attempt).await.map_err(|e| unreadable(&e))?;
        self.delete(namespace, attempt).await?;
        let stopped = verdict(attempt, Outcome::Failed, Reason::Stopped, why.to_owned());
        match self.store.put_verdict(namespace, &stopped).await {
            // A result that can't be read is one all the same.
            Err(error) if error.kind() != ErrorKind::Corrupt => Err(unreadable(&error)),
            _ => Ok(()),
        }
    }

    async fn observe(&self, spec: &RunSpec, attempts: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        self.look(spec, attempts).await
    }

    async fn config(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        self.parameter(config).await.map(Some)
    }

    async fn limit(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        self.plain(config).await.map(Some)
    }
}

/// Whether a pod is of a run, and not of one that had the same name.
fn is_of(pod: &Pod, spec: &RunSpec) -> bool {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL));
    label.is_some_and(|uid| *uid == label_value(spec.uid.as_str()))
}

fn our_pod(pod: &Pod, namespace: &str, patience: &Patience, now: Timestamp) -> Option<OurPod> {
    let run = pod.metadata.labels.as_ref()?.get(RUN_LABEL)?.clone();
    let attempt = AttemptId::from(pod.metadata.name.as_deref()?);
    Some(OurPod { run, attempt, namespace: namespace.to_owned(), state: glance(pod, patience, now) })
}

fn verdict(attempt: &AttemptId, outcome: Outcome, reason: Reason, message: String) -> Verdict {
    Verdict::without_outputs(attempt.clone(), outcome, reason, message, SystemClock.now())
}

fn unreadable(error: &StoreError) -> ClusterError {
    let why = dropforge_driver::owner::chain(error);
    ClusterError::Unreachable { what: "store of verdicts", source: io::Error::other(why) }
}
