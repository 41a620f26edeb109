//! Starting an attempt.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::ClusterError;
use dropforge_driver::pods::is_object_name;
use dropforge_driver::store::{Attempts, Documents, Launches};
use dropforge_engine::attempt::{Attempt, Outcome, Reason};
use dropforge_engine::event::Event;
use dropforge_engine::spec::RunSpec;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::Request;
use serde_json::Value;

use super::{KubernetesCluster, is_of, unreadable, verdict};
use crate::kubernetes::admission::Admitted;
use crate::kubernetes::client::{CallError, call};
use crate::kubernetes::images::{Logins, logins};
use crate::kubernetes::pod::{self, Commands, ImageCommand, Launched};
use crate::kubernetes::volumes::{self, Lacking};

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

impl<S: Attempts + Documents + Launches + 'static> KubernetesCluster<S> {
    async fn create(&self, spec: &RunSpec, attempt: &Arc<Attempt>) -> Result<(), NotStarted> {
        if attempt.work.template.http.is_some() {
            let why = "a cluster makes no requests; who starts attempts does".to_owned();
            return Err(NotStarted::Refused { reason: Reason::NotStarted, why });
        }
        let refused = |why: String| NotStarted::Refused { reason: Reason::Configuration, why };
        if !self.is_ours(&attempt.namespace) {
            return Err(refused(self.foreign(&attempt.namespace)));
        }
        let commands = self.commands(attempt).await?;
        let launched = pod::pod(spec, attempt, &self.site, &commands);
        let Launched { pod, document } = launched.map_err(|error| refused(format!("failed to {error}")))?;
        if let Some(document) = document {
            let kept = self.store.put_launch(&attempt.namespace, &attempt.id, document);
            kept.await.map_err(|e| NotStarted::Unknown(unreadable(&e)))?;
        }
        let client = self.client().await?;
        match volumes::ensure(&client, spec, attempt, &pod).await? {
            None => {}
            Some(Lacking::Refused(why)) => return Err(refused(why)),
            Some(Lacking::Later(why)) => return Err(NotStarted::Later { why }),
        }
        self.admitted().await?;
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

    fn foreign(&self, namespace: &str) -> String {
        let ours = self.settings.namespaces.clone().unwrap_or_default().join(", ");
        format!(
            "the namespace {namespace} is none of this deployment's ({ours}): submit the run in one of those, or have \
             `namespaces` of the Terraform module name it"
        )
    }

    /// Waits until a pod may be made, where that is soon.
    async fn admitted(&self) -> Result<(), NotStarted> {
        let now = SystemClock.now();
        match self.admission.take(now).await.map_err(|e| NotStarted::Unknown(unreadable(&e)))? {
            Admitted::From(at) => {
                let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(left).await;
                Ok(())
            }
            Admitted::Full => {
                let max = self.settings.open_pods_max.unwrap_or_default();
                let why = format!("{max} pods are open in the cluster, which is its bound");
                Err(NotStarted::Later { why })
            }
            Admitted::Busy => {
                let why = "pods are made as fast as the cluster bears, and this one waits for its turn";
                Err(NotStarted::Later { why: why.to_owned() })
            }
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
        let (logins, unread) = self.logins(attempt).await?;
        let asked = self.images.look_up(image, &self.site.defaults.image(image), logins).await;
        asked.map_err(|error| {
            let why = format!(
                "failed to look-up entrypoint/cmd for image {image:?}, you must either explicitly specify the command, or list \
                 the image's command in the index: failed to {error}{unread}"
            );
            match error.passes() {
                true => NotStarted::Later { why },
                false => NotStarted::Refused { reason: Reason::Configuration, why },
            }
        })
    }

    /// The logins of the pull secrets that the pod would have, and what to say of secrets that may not be read.
    async fn logins(&self, attempt: &Attempt) -> Result<(Logins, String), NotStarted> {
        let (mut found, mut unread) = (Logins::new(), String::new());
        for name in self.pull_secrets(attempt).await? {
            match self.secret(&attempt.namespace, &name).await {
                Ok(secret) => {
                    let config = secret.and_then(|mut secret| secret.remove(".dockerconfigjson"));
                    found.extend(config.map(|config| logins(config.as_bytes())).unwrap_or_default());
                }
                Err(error) if error.code() == Some(403) => {
                    unread.push_str(&format!(
                        "; the functions may not read the pull secret {name} of the namespace {}: name it in `pull_secrets` \
                         of the namespace (Terraform) and deploy again",
                        attempt.namespace
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((found, unread))
    }

    /// The names of a pod's pull secrets. As Kubernetes does it, a pod that names none has those of its service account.
    async fn pull_secrets(&self, attempt: &Attempt) -> Result<Vec<String>, NotStarted> {
        let own = |field: &str| attempt.work.pod.spec.get(field).or(self.site.defaults.spec.get(field));
        let named = own("imagePullSecrets").and_then(Value::as_array).into_iter().flatten();
        let named: Vec<String> =
            named.filter_map(|secret| secret["name"].as_str().map(str::to_owned)).collect();
        if !named.is_empty() {
            return Ok(named);
        }
        let account = own("serviceAccountName").and_then(Value::as_str).filter(|name| is_object_name(name));
        let api: Api<ServiceAccount> = self.api(&attempt.namespace).await?;
        match call(api.get_opt(account.unwrap_or("default"))).await {
            Ok(account) => {
                let secrets = account.and_then(|account| account.image_pull_secrets).unwrap_or_default();
                Ok(secrets.into_iter().map(|secret| secret.name).collect())
            }
            // A Role of before: images that need no login are asked all the same.
            Err(error) if error.code() == Some(403) => {
                tracing::warn!(namespace = attempt.namespace, %error, "a service account may not be read");
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
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
            // It went meanwhile, or the conflict was a quota's that is being counted.
            None => {
                let why = "the cluster answered with a conflict, and will be asked again".to_owned();
                Err(NotStarted::Later { why })
            }
        }
    }

    /// Starts an attempt; gives what is known at once: that the cluster refused it for good, or has no room.
    pub(super) async fn begin(
        &self,
        spec: &RunSpec,
        attempt: Arc<Attempt>,
    ) -> Result<Option<Event>, ClusterError> {
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
}

/// Creates a pod as it is written: fields that this program's types do not know pass through.
async fn post(client: &Client, namespace: &str, pod: &Value) -> Result<(), CallError> {
    let body = serde_json::to_vec(pod).map_err(io::Error::other)?;
    let request = Request::new(format!("/api/v1/namespaces/{namespace}/pods"));
    let request = request.create(&PostParams::default(), body).map_err(io::Error::other)?;
    call(client.request::<serde::de::IgnoredAny>(request)).await.map(|_| ())
}
