//! The cluster as the driver asks it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::{Cluster, ClusterError};
use dropforge_driver::store::{Attempts, Created, Documents, StoreError};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey, PARAMETER_TYPE, TYPE_LABEL};
use dropforge_engine::event::Event;
use dropforge_engine::ids::AttemptId;
use dropforge_engine::spec::RunSpec;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::core::Request;
use kube::{Client, Resource};
use serde_json::Value;
use tokio::task::JoinSet;

use super::admission::Admission;
use super::client::{Access, CallError, Connections, call};
use super::images::{Images, Logins, logins};
use super::pace::Pace;
use super::pod::{self, Commands, ImageCommand, Launched, MANAGED_LABEL, RUN_LABEL, label_value};
use super::site::Site;
use super::status::{Glance, Patience, Seen, glance, seen};
use super::volumes::Volumes;

/// How many verdicts are read at once.
const READS_AT_ONCE: usize = 16;

/// How many pods one answer of the cluster holds: each has its launch document in it, several times.
const PAGE: u32 = 250;

/// How a cluster is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long what may still come right is waited for.
    pub patience: Patience,
    /// How many pods this program makes in a second: the cluster's share of one of all that make some.
    pub creates_per_second: f64,
    /// How many pods of ours are open in the cluster at once.
    pub open_pods_max: Option<u32>,
    /// The cluster's name, under which its open pods are counted.
    pub name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            patience: Patience::default(),
            // What an API server bears of one client beside all others.
            creates_per_second: 20.0,
            open_pods_max: None,
            name: "cluster".to_owned(),
        }
    }
}

/// A cluster whose steps are pods.
pub struct KubernetesCluster<S> {
    connections: Connections,
    site: Site,
    store: Arc<S>,
    settings: Settings,
    pace: Pace,
    volumes: Volumes,
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

/// Why an attempt was not started.
enum NotStarted {
    /// For good.
    Refused { reason: Reason, why: String },
    /// For the time being.
    Later { why: String },
    /// It is not known whether.
    Unknown(ClusterError),
}

impl From<CallError> for NotStarted {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { .. } => {
                NotStarted::Refused { reason: Reason::Configuration, why: error.to_string() }
            }
            CallError::Full { message } => NotStarted::Later { why: message },
            CallError::Unknown(_) => NotStarted::Unknown(error.unreachable()),
        }
    }
}

impl<S: Attempts + Documents + 'static> KubernetesCluster<S> {
    /// A cluster; nothing is asked of it yet.
    pub fn new(access: Access, site: Site, store: Arc<S>, settings: Settings) -> Self {
        let pace = Pace::new(settings.creates_per_second);
        let admission = Admission::new(store.clone(), &settings.name, settings.open_pods_max);
        let images = Images::new(store.clone(), site.defaults.images.clone());
        let connections = Connections::new(access);
        let volumes = Volumes::default();
        KubernetesCluster { connections, site, store, settings, pace, volumes, admission, images }
    }

    async fn client(&self) -> Result<Client, CallError> {
        Ok(self.connections.client().await?)
    }

    async fn api<K>(&self, namespace: &str) -> Result<Api<K>, CallError>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Ok(Api::namespaced(self.client().await?, namespace))
    }

    async fn create(&self, spec: &RunSpec, attempt: &Arc<Attempt>) -> Result<(), NotStarted> {
        if attempt.work.template.http.is_some() {
            let why = "a cluster makes no requests".to_owned();
            return Err(NotStarted::Refused { reason: Reason::NotStarted, why });
        }
        let refused = |why: String| NotStarted::Refused { reason: Reason::Configuration, why };
        let commands = self.commands(attempt).await?;
        let launched = pod::pod(spec, attempt, &self.site, &commands);
        let Launched { pod, document } = launched.map_err(|error| refused(format!("failed to {error}")))?;
        if let Some(document) = document {
            let key = format!("attempts/{}/{}/launch.json", attempt.namespace, attempt.id);
            // A conflict is the same document, stored before.
            self.store.swap(&key, None, &document).await.map_err(|e| NotStarted::Unknown(unreadable(&e)))?;
        }
        let client = self.client().await?;
        if let Some(why) = self.volumes.ensure(&client, spec, attempt, &pod).await? {
            return Err(refused(why));
        }
        if !self.admission.take().await.map_err(|e| NotStarted::Unknown(unreadable(&e)))? {
            let max = self.settings.open_pods_max.unwrap_or_default();
            return Err(NotStarted::Later {
                why: format!("{max} pods are open in the cluster, which is its bound"),
            });
        }
        self.pace.turn().await;
        let Err(error) = post(&client, &attempt.namespace, &pod).await else { return Ok(()) };
        // Where nobody knows whether there is a pod, the next count does.
        if !matches!(error, CallError::Unknown(_)) {
            self.give_back(1).await;
        }
        match error.code() {
            Some(409) => self.same(spec, attempt).await,
            _ => Err(error.into()),
        }
    }

    async fn give_back(&self, permits: usize) {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        if let Err(error) = self.admission.give_back(permits).await {
            tracing::warn!(%error, "permits for pods were not given back; the next count of the sweep does it");
        }
    }

    /// What the images start that say no command in the manifest.
    async fn commands(&self, attempt: &Attempt) -> Result<Commands, NotStarted> {
        let mut commands = Commands::new();
        for image in pod::images_without_command(&attempt.work.template) {
            let known = self.images.known(image).await.map_err(|e| NotStarted::Unknown(unreadable(&e)))?;
            let starts = match known {
                Some(starts) => starts,
                None => self.looked_up(attempt, image).await?,
            };
            commands.insert(image.to_owned(), starts);
        }
        Ok(commands)
    }

    async fn looked_up(&self, attempt: &Attempt, image: &str) -> Result<ImageCommand, NotStarted> {
        let logins = self.logins(attempt).await?;
        let asked = self.images.look_up(image, &self.site.defaults.image(image), logins).await;
        asked.map_err(|error| {
            let why = format!(
                "failed to look-up entrypoint/cmd for image {image:?}, you must either explicitly specify the command, or list \
                 the image's command in the index: failed to {error}"
            );
            NotStarted::Refused { reason: Reason::Configuration, why }
        })
    }

    /// The logins of the pull secrets that the pod would have; secrets that may not be read are passed over.
    async fn logins(&self, attempt: &Attempt) -> Result<Logins, NotStarted> {
        let own = attempt.work.pod.spec.get("imagePullSecrets");
        let secrets = own.or(self.site.defaults.spec.get("imagePullSecrets")).and_then(Value::as_array);
        let names = secrets.into_iter().flatten().filter_map(|secret| secret["name"].as_str());
        let mut found = Logins::new();
        for name in names {
            let api: Api<Secret> = self.api(&attempt.namespace).await?;
            match call(api.get_opt(name)).await {
                Ok(secret) => {
                    let data = secret.and_then(|secret| secret.data?.remove(".dockerconfigjson"));
                    found.extend(data.map(|data| logins(&data.0)).unwrap_or_default());
                }
                Err(error) if error.code() == Some(403) => {
                    tracing::warn!(secret = name, %error, "a pull secret may not be read");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// There is a pod of this name already: the attempt's own, or another's.
    async fn same(&self, spec: &RunSpec, attempt: &Attempt) -> Result<(), NotStarted> {
        let api: Api<Pod> = self.api(&attempt.namespace).await?;
        match call(api.get_opt(attempt.id.as_str())).await? {
            Some(pod) if is_of(&pod, spec) => Ok(()),
            Some(_) => {
                let why = format!(
                    "there is a pod {} in the namespace {} that is not of this run; remove it, or name the run otherwise",
                    attempt.id, attempt.namespace
                );
                Err(NotStarted::Refused { reason: Reason::Configuration, why })
            }
            // It went meanwhile: who performs the effect again makes it anew.
            None => Ok(()),
        }
    }

    /// As [`Cluster::start`], with what is known at once: that the cluster refused it for good, or has no room.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn begin(&self, spec: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        match self.create(spec, &attempt).await {
            Ok(()) => Ok(None),
            Err(NotStarted::Unknown(error)) => Err(error),
            Err(NotStarted::Later { why }) => {
                Ok(Some(Event::AttemptWaiting { attempt: attempt.id.clone(), why }))
            }
            Err(NotStarted::Refused { reason, why }) => {
                let verdict = verdict(&attempt.id, Outcome::Error, reason, why);
                let verdict = self.fence(&attempt.namespace, verdict).await.map_err(|e| unreadable(&e))?;
                Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }))
            }
        }
    }

    /// Claims the attempt, so that it never begins (any more), and gives it this verdict unless it has one.
    async fn fence(&self, namespace: &str, verdict: Verdict) -> Result<Verdict, StoreError> {
        let nonce = format!("cluster-{}-{}", std::process::id(), SystemClock.now().as_nanosecond());
        match self.store.claim(namespace, &verdict.attempt, &nonce).await? {
            Created::New | Created::Exists => self.store.put_verdict(namespace, &verdict).await,
        }
    }

    async fn delete(&self, namespace: &str, attempt: &AttemptId) -> Result<(), ClusterError> {
        let api: Api<Pod> = self.api(namespace).await.map_err(CallError::unreachable)?;
        match call(api.delete(attempt.as_str(), &DeleteParams::default())).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => Err(error.unreachable()),
        }
    }

    /// Deletes pods whose end is on record; those that are gone already are fine.
    ///
    /// # Errors
    /// When the cluster can't be asked; `observe` finds what is left.
    pub async fn remove_pods(&self, spec: &RunSpec, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        for attempt in attempts {
            self.delete(spec.namespace(), attempt).await?;
        }
        self.give_back(attempts.len()).await;
        Ok(())
    }

    /// Deletes the volume claims that were made for a run.
    ///
    /// # Errors
    /// When the cluster can't be asked; doing it twice is harmless.
    pub async fn remove_volumes(&self, spec: &RunSpec) -> Result<(), ClusterError> {
        if spec.spec.volume_claim_templates.is_empty() {
            return Ok(());
        }
        let client = self.client().await.map_err(CallError::unreachable)?;
        self.volumes.remove(&client, spec).await.map_err(CallError::unreachable)
    }

    /// All pods of ours in these namespaces, for the sweep.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    pub async fn pods(&self, namespaces: &[String]) -> Result<Vec<OurPod>, ClusterError> {
        let selector = format!("{}={}", MANAGED_LABEL.0, MANAGED_LABEL.1);
        let mut ours = Vec::new();
        for namespace in namespaces {
            let now = SystemClock.now();
            let each = |pod: Pod| ours.extend(our_pod(&pod, namespace, &self.settings.patience, now));
            self.list(namespace, &selector, each).await.map_err(CallError::unreachable)?;
        }
        let open = ours.iter().filter(|pod| pod.state != Glance::Ended).count();
        let counted = self.admission.counted(u32::try_from(open).unwrap_or(u32::MAX)).await;
        counted.map_err(|e| unreadable(&e))?;
        Ok(ours)
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
            let page = call(api.list(&params)).await?;
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            page.items.into_iter().for_each(&mut each);
            match next {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// The pods of a run by name: all in one question, or the one that is asked for.
    async fn pods_of(
        &self,
        spec: &RunSpec,
        attempts: &[&Arc<Attempt>],
    ) -> Result<BTreeMap<String, Pod>, CallError> {
        let mut pods = BTreeMap::new();
        let mut keep = |pod: Pod| {
            if is_of(&pod, spec) {
                pods.insert(pod.metadata.name.clone().unwrap_or_default(), pod);
            }
        };
        if let [attempt] = attempts {
            let api: Api<Pod> = self.api(spec.namespace()).await?;
            call(api.get_opt(attempt.id.as_str())).await?.into_iter().for_each(keep);
        } else {
            let selector = format!("{RUN_LABEL}={}", label_value(spec.uid.as_str()));
            self.list(spec.namespace(), &selector, &mut keep).await?;
        }
        Ok(pods)
    }

    /// The verdicts that are stored for these attempts.
    async fn verdicts(&self, namespace: &str, attempts: Vec<AttemptId>) -> Result<Vec<Verdict>, StoreError> {
        let mut open = attempts.into_iter();
        let mut reading = JoinSet::new();
        let mut found = Vec::new();
        loop {
            while reading.len() < READS_AT_ONCE
                && let Some(attempt) = open.next()
            {
                let (store, namespace) = (self.store.clone(), namespace.to_owned());
                reading.spawn(async move { store.verdict(&namespace, &attempt).await });
            }
            match reading.join_next().await {
                Some(read) => found.extend(read.map_err(|why| panicked(&why))??),
                None => return Ok(found),
            }
        }
    }

    /// What a pod without a stored verdict says of its attempt.
    async fn look_at(
        &self,
        spec: &RunSpec,
        attempt: &Attempt,
        pod: Option<&Pod>,
    ) -> Result<Option<Event>, ClusterError> {
        let id = attempt.id.clone();
        let Some(pod) = pod else { return self.absent(spec, attempt).await };
        let event = match seen(pod, attempt, &self.settings.patience, SystemClock.now()) {
            Seen::Waiting(why) => Event::AttemptWaiting { attempt: id, why },
            Seen::Running { at, host } => Event::AttemptRunning { attempt: id, at, host },
            Seen::Ready { at, ip } => {
                // Its wrapper is ready before its command is.
                let claimed =
                    self.store.claimed(&attempt.namespace, &id).await.map_err(|e| unreadable(&e))?;
                if !claimed {
                    let why = "the daemon's command has not begun".to_owned();
                    return Ok(Some(Event::AttemptWaiting { attempt: id, why }));
                }
                Event::AttemptReady { attempt: id, at, ip }
            }
            Seen::Ended(verdict) => {
                let verdict = self.fence(&attempt.namespace, *verdict).await.map_err(|e| unreadable(&e))?;
                Event::AttemptFinished { verdict: Arc::new(verdict) }
            }
        };
        Ok(Some(event))
    }

    /// No pod: one that was never claimed is made again by who performs the start again; one that was is lost.
    async fn absent(&self, spec: &RunSpec, attempt: &Attempt) -> Result<Option<Event>, ClusterError> {
        let (namespace, id) = (&attempt.namespace, &attempt.id);
        if !self.store.claimed(namespace, id).await.map_err(|e| unreadable(&e))? {
            return Ok(None);
        }
        // The pod may have been made, and claimed, between the two looks.
        let api: Api<Pod> = self.api(namespace).await.map_err(CallError::unreachable)?;
        let again = call(api.get_opt(id.as_str())).await.map_err(CallError::unreachable)?;
        if again.is_some_and(|pod| is_of(&pod, spec)) {
            return Ok(None);
        }
        let lost = verdict(id, Outcome::Lost, Reason::Vanished, "pod deleted".to_owned());
        let verdict = self.store.put_verdict(namespace, &lost).await.map_err(|e| unreadable(&e))?;
        Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }))
    }

    async fn config_map(&self, config: &ConfigKey) -> Result<Result<ConfigMap, ConfigFound>, ClusterError> {
        let place = format!("the namespace {}", config.namespace);
        let no_map = |expected: String| Ok(Err(ConfigFound::NoMap { expected }));
        let api: Api<ConfigMap> = self.api(&config.namespace).await.map_err(CallError::unreachable)?;
        match call(api.get_opt(&config.name)).await {
            Ok(Some(map)) => Ok(Ok(map)),
            Ok(None) => no_map(place),
            Err(error) if error.code() == Some(403) => {
                no_map(format!("{place}, whose config maps this program may not read"))
            }
            Err(error) => Err(error.unreachable()),
        }
    }
}

impl<S: Attempts + Documents + 'static> Cluster for KubernetesCluster<S> {
    async fn start(&self, spec: &RunSpec, attempt: Arc<Attempt>) -> Result<(), ClusterError> {
        self.begin(spec, attempt).await.map(|_| ())
    }

    async fn stop(&self, spec: &RunSpec, attempt: &AttemptId, why: &str) -> Result<(), ClusterError> {
        let stopped = verdict(attempt, Outcome::Failed, Reason::Stopped, why.to_owned());
        // Before the pod is told to end: what its wrapper says of that then changes nothing.
        self.fence(spec.namespace(), stopped).await.map_err(|e| unreadable(&e))?;
        self.delete(spec.namespace(), attempt).await
    }

    async fn observe(&self, spec: &RunSpec, attempts: &[Arc<Attempt>]) -> Result<Vec<Event>, ClusterError> {
        let own = |attempt: &&Arc<Attempt>| attempt.run == spec.uid && attempt.work.template.http.is_none();
        let attempts: Vec<&Arc<Attempt>> = attempts.iter().filter(own).collect();
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        // Pods first: a verdict is stored before its pod ends, so that none is missed.
        let pods = self.pods_of(spec, &attempts).await.map_err(CallError::unreachable)?;
        let asked: BTreeSet<&str> = attempts.iter().map(|attempt| attempt.id.as_str()).collect();
        let left = pods.keys().filter(|name| !asked.contains(name.as_str()));
        let ids = attempts.iter().map(|attempt| attempt.id.clone());
        let ids = ids.chain(left.map(|name| AttemptId::from(name.as_str()))).collect();
        let verdicts = self.verdicts(spec.namespace(), ids).await.map_err(|e| unreadable(&e))?;
        let mut verdicts: BTreeMap<AttemptId, Verdict> =
            verdicts.into_iter().map(|verdict| (verdict.attempt.clone(), verdict)).collect();
        let mut events = Vec::new();
        for attempt in attempts {
            events.extend(match verdicts.remove(&attempt.id) {
                Some(verdict) => Some(Event::AttemptFinished { verdict: Arc::new(verdict) }),
                None => self.look_at(spec, attempt, pods.get(attempt.id.as_str())).await?,
            });
        }
        // Whose end was on record before: somebody died before deleting them.
        let left: Vec<AttemptId> = verdicts.into_keys().filter(|id| pods.contains_key(id.as_str())).collect();
        self.remove_pods(spec, &left).await?;
        Ok(events)
    }

    async fn config(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        let map = match self.config_map(config).await? {
            Ok(map) => map,
            Err(missing) => return Ok(Some(missing)),
        };
        let labels = map.metadata.labels.as_ref();
        Ok(Some(match labels.and_then(|labels| labels.get(TYPE_LABEL)).map(String::as_str) {
            Some(PARAMETER_TYPE) => value(map, config),
            Some(_) => ConfigFound::NotParameters,
            None => ConfigFound::NoMap {
                expected: format!("the namespace {}, with that label", config.namespace),
            },
        }))
    }

    async fn limit(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        Ok(Some(match self.config_map(config).await? {
            Ok(map) => value(map, config),
            Err(missing) => missing,
        }))
    }
}

fn value(map: ConfigMap, config: &ConfigKey) -> ConfigFound {
    match map.data.unwrap_or_default().remove(&config.key) {
        Some(value) => ConfigFound::Value { value },
        None => ConfigFound::NoKey { expected: format!("the namespace {}", config.namespace) },
    }
}

/// Whether a pod is of a run, and not of one that had the same name.
fn is_of(pod: &Pod, spec: &RunSpec) -> bool {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL));
    label.is_some_and(|uid| *uid == label_value(spec.uid.as_str()))
}

fn our_pod(pod: &Pod, namespace: &str, patience: &Patience, now: jiff::Timestamp) -> Option<OurPod> {
    let run = pod.metadata.labels.as_ref()?.get(RUN_LABEL)?.clone();
    let attempt = AttemptId::from(pod.metadata.name.as_deref()?);
    Some(OurPod { run, attempt, namespace: namespace.to_owned(), state: glance(pod, patience, now) })
}

/// Creates a pod as it is written: fields that this program's types do not know pass through.
async fn post(client: &Client, namespace: &str, pod: &Value) -> Result<(), CallError> {
    let body = serde_json::to_vec(pod).map_err(io::Error::other)?;
    let request = Request::new(format!("/api/v1/namespaces/{namespace}/pods"));
    let request = request.create(&PostParams::default(), body).map_err(io::Error::other)?;
    call(client.request::<serde::de::IgnoredAny>(request)).await.map(|_| ())
}

fn verdict(attempt: &AttemptId, outcome: Outcome, reason: Reason, message: String) -> Verdict {
    Verdict::without_outputs(attempt.clone(), outcome, reason, message, SystemClock.now())
}

fn unreadable(error: &StoreError) -> ClusterError {
    let why = dropforge_driver::owner::chain(error);
    ClusterError::Unreachable { what: "store of verdicts", source: io::Error::other(why) }
}

fn panicked(why: &tokio::task::JoinError) -> StoreError {
    StoreError::Io { action: "read", key: "a verdict".to_owned(), source: io::Error::other(why.to_string()) }
}
