//! Volume claims that are made for a run, and go with it.

use std::collections::BTreeSet;

use dropforge_engine::attempt::Attempt;
use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::RunSpec;
use dropforge_manifest::merge::strategic;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::client::{CallError, call};
use super::pod::{MANAGED_LABEL, RUN_LABEL, label_value};

/// Why a claim can't be had.
pub enum Lacking {
    /// No time makes it right.
    Refused(String),
    /// It is to be asked for again.
    Later(String),
}

/// Sees to the claims that a pod mounts; gives why one can't be had. Nothing is remembered: another function may have
/// removed a claim that this one made.
///
/// # Errors
/// When the cluster can't be asked, or refuses.
pub async fn ensure(
    client: &Client,
    spec: &RunSpec,
    attempt: &Attempt,
    pod: &Value,
) -> Result<Option<Lacking>, CallError> {
    for (index, name) in attempt.work.claims.iter().enumerate().filter(|(_, name)| mounts(pod, name)) {
        if let Some(lacking) = have(client, spec, attempt, index, name).await? {
            return Ok(Some(lacking));
        }
    }
    Ok(None)
}

/// The runs, by their labels, that have claims in a namespace which nobody removes yet.
///
/// # Errors
/// When the cluster can't be asked, or refuses.
pub async fn owners(client: &Client, namespace: &str) -> Result<BTreeSet<String>, CallError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={}", MANAGED_LABEL.0, MANAGED_LABEL.1));
    let claims = call(api.list(&ours)).await?.items;
    let staying = claims.into_iter().filter(|claim| !is_going(claim));
    Ok(staying.filter_map(|claim| claim.metadata.labels?.remove(RUN_LABEL)).collect())
}

/// Removes all claims of a run.
///
/// # Errors
/// When the cluster can't be asked, or refuses.
pub async fn remove(client: &Client, namespace: &str, run: &RunUid) -> Result<(), CallError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let own = ListParams::default().labels(&format!("{RUN_LABEL}={}", label_value(run.as_str())));
    for claim in call(api.list(&own)).await?.items {
        let name = claim.metadata.name.unwrap_or_default();
        match call(api.delete(&name, &DeleteParams::default())).await {
            Err(error) if error.code() == Some(404) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

fn mounts(pod: &Value, claim: &str) -> bool {
    let volumes = pod["spec"]["volumes"].as_array();
    volumes.into_iter().flatten().any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim)
}

/// Sees that the run has the claim, or makes it; gives why it can't be had.
async fn have(
    client: &Client,
    spec: &RunSpec,
    attempt: &Attempt,
    index: usize,
    name: &str,
) -> Result<Option<Lacking>, CallError> {
    let claim = match serde_json::from_value::<PersistentVolumeClaim>(shaped(spec, attempt, index, name)) {
        Ok(claim) => claim,
        Err(why) => {
            let why = format!("volumeClaimTemplates: {name} is no claim: {why}");
            return Ok(Some(Lacking::Refused(why)));
        }
    };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &attempt.namespace);
    if let Some(found) = call(api.get_opt(name)).await? {
        return Ok(unusable(&found, spec, name));
    }
    let error = match call(api.create(&PostParams::default(), &claim)).await {
        Ok(_) => return Ok(None),
        Err(error) if error.code() == Some(409) => error,
        Err(error) => return Err(error),
    };
    // Made meanwhile, or a conflict of another kind, which passes.
    match call(api.get_opt(name)).await? {
        Some(found) => Ok(unusable(&found, spec, name)),
        None => Err(CallError::Full { message: error.to_string() }),
    }
}

/// Why a claim that is there is of no use to the run.
fn unusable(found: &PersistentVolumeClaim, spec: &RunSpec, name: &str) -> Option<Lacking> {
    // Whosever it was: a pod that mounts it is never placed, and once it is gone the run's own is made.
    if is_going(found) {
        let why =
            format!("the volume claim {name} of before is being removed, and is made anew once it is gone");
        return Some(Lacking::Later(why));
    }
    let uid = found.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL));
    let is_ours = uid.is_some_and(|uid| *uid == label_value(spec.uid.as_str()));
    let why = || {
        format!(
            "there is a volume claim {name} that is not of this run; remove it, or name the run otherwise"
        )
    };
    (!is_ours).then(|| Lacking::Refused(why()))
}

fn is_going(claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.deletion_timestamp.is_some()
}

/// The claim of a template, with its tags replaced where it has some.
fn shaped(spec: &RunSpec, attempt: &Attempt, index: usize, name: &str) -> Value {
    let resolved = attempt.work.pod.claims.get(index);
    let template = resolved.or_else(|| spec.spec.volume_claim_templates.get(index));
    let labels = json!({
        RUN_LABEL: label_value(spec.uid.as_str()),
        MANAGED_LABEL.0: MANAGED_LABEL.1,
        "workflows.argoproj.io/workflow": label_value(spec.name()),
    });
    let metadata = json!({"name": name, "namespace": attempt.namespace, "labels": labels});
    let own = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata});
    strategic(template.cloned().unwrap_or_default(), own)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn shaped_of(template: Value) -> Value {
        let spec =
            serde_json::from_value::<RunSpec>(json!({"format": 1, "uid": "u1", "metadata": {"name": "wf"},
            "spec": {"volumeClaimTemplates": [template]}, "createdAt": "2026-11-28T10:00:00Z",
            "cause": {"kind": "person", "by": "ada"}}));
        let attempt =
            serde_json::from_value::<Arc<Attempt>>(json!({"id": "wf-a-1", "run": "u1", "runName": "wf",
            "namespace": "ml", "node": 1, "nodeName": "wf", "number": 0, "work": {}}));
        shaped(&spec.unwrap(), &attempt.unwrap(), 0, "wf-data")
    }

    #[test]
    fn a_claim_keeps_what_the_manifest_says_and_is_known_as_the_runs() {
        let claim = shaped_of(
            json!({"metadata": {"name": "data", "labels": {"a": "b"}}, "spec": {"volumeName": "v"}}),
        );
        assert_eq!(
            (&claim["metadata"]["name"], &claim["metadata"]["labels"]["a"], &claim["spec"]["volumeName"]),
            (&json!("wf-data"), &json!("b"), &json!("v"))
        );
        assert_eq!(claim["metadata"]["labels"][RUN_LABEL], "u1");
    }

    #[test]
    fn labels_that_are_none_are_no_panic() {
        for labels in [json!(["a"]), json!("a"), json!(null)] {
            let claim = shaped_of(json!({"metadata": {"name": "data", "labels": labels}}));
            assert_eq!(claim["metadata"]["labels"][RUN_LABEL], "u1");
        }
        assert_eq!(shaped_of(json!("no claim"))["metadata"]["name"], "wf-data");
    }
}
