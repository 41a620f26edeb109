//! Volume claims that are made for a run, and go with it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use dropforge_engine::attempt::Attempt;
use dropforge_engine::spec::RunSpec;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::client::{CallError, call};
use super::pod::{MANAGED_LABEL, RUN_LABEL, label_value};

/// How many claims are remembered as made: asking for one again costs a question and no more.
const REMEMBERED: usize = 10_000;

/// The claims of runs.
#[derive(Default)]
pub struct Volumes {
    made: Mutex<BTreeSet<(String, String)>>,
}

impl Volumes {
    /// Sees to the claims that a pod mounts; gives why one can't be had.
    ///
    /// # Errors
    /// When the cluster can't be asked, or refuses.
    pub async fn ensure(
        &self,
        client: &Client,
        spec: &RunSpec,
        attempt: &Attempt,
        pod: &Value,
    ) -> Result<Option<String>, CallError> {
        for (index, name) in attempt.work.claims.iter().enumerate() {
            let key = (attempt.namespace.clone(), name.clone());
            if !mounts(pod, name) || self.made().contains(&key) {
                continue;
            }
            if let Some(why) = create(client, spec, attempt, index, name).await? {
                return Ok(Some(why));
            }
            let mut made = self.made();
            if made.len() >= REMEMBERED {
                made.clear();
            }
            made.insert(key);
        }
        Ok(None)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all claims of a run.
    ///
    /// # Errors
    /// When the cluster can't be asked, or refuses.
    pub async fn remove(&self, client: &Client, spec: &RunSpec) -> Result<(), CallError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), spec.namespace());
        let own = ListParams::default().labels(&format!("{RUN_LABEL}={}", label_value(spec.uid.as_str())));
        for claim in call(api.list(&own)).await?.items {
            let name = claim.metadata.name.unwrap_or_default();
            match call(api.delete(&name, &DeleteParams::default())).await {
                Err(error) if error.code() == Some(404) => {}
                other => drop(other?),
            }
            self.made().remove(&(spec.namespace().to_owned(), name));
        }
        Ok(())
    }
}

fn mounts(pod: &Value, claim: &str) -> bool {
    let volumes = pod["spec"]["volumes"].as_array();
    volumes.into_iter().flatten().any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim)
}

/// Makes a claim, or sees that the run has it; gives why it can't be had.
async fn create(
    client: &Client,
    spec: &RunSpec,
    attempt: &Attempt,
    index: usize,
    name: &str,
) -> Result<Option<String>, CallError> {
    let claim = match serde_json::from_value::<PersistentVolumeClaim>(shaped(spec, attempt, index, name)) {
        Ok(claim) => claim,
        Err(why) => return Ok(Some(format!("volumeClaimTemplates: {name} is no claim: {why}"))),
    };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &attempt.namespace);
    match call(api.create(&PostParams::default(), &claim)).await {
        Ok(_) => Ok(None),
        Err(error) if error.code() == Some(409) => {
            let found = call(api.get_opt(name)).await?;
            let labels = found.as_ref().and_then(|found| found.metadata.labels.as_ref());
            let uid = labels.and_then(|labels| labels.get(RUN_LABEL));
            let ours = found.is_none() || uid.is_some_and(|uid| *uid == label_value(spec.uid.as_str()));
            let why = || {
                format!(
                    "there is a volume claim {name} that is not of this run; remove it, or name the run otherwise"
                )
            };
            Ok((!ours).then(why))
        }
        Err(error) => Err(error),
    }
}

/// The claim of a template, with its tags replaced where it has some.
fn shaped(spec: &RunSpec, attempt: &Attempt, index: usize, name: &str) -> Value {
    let resolved = attempt.work.pod.claims.get(index);
    let template = resolved.or_else(|| spec.spec.volume_claim_templates.get(index));
    let mut claim = template.cloned().unwrap_or_default();
    claim["apiVersion"] = "v1".into();
    claim["kind"] = "PersistentVolumeClaim".into();
    claim["metadata"]["name"] = name.into();
    claim["metadata"]["namespace"] = attempt.namespace.clone().into();
    let own = json!({
        RUN_LABEL: label_value(spec.uid.as_str()),
        MANAGED_LABEL.0: MANAGED_LABEL.1,
        "workflows.argoproj.io/workflow": label_value(spec.name()),
    });
    for (label, value) in own.as_object().into_iter().flatten() {
        claim["metadata"]["labels"][label] = value.clone();
    }
    claim
}
