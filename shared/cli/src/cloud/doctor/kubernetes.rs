//! The cluster's part of `doctor`.

use std::collections::BTreeMap;

use dropforge_cluster::kubernetes::{CallError, Class, DevicePlugin, GpuNode, Person, Survey};
use serde_json::Value;

use super::{Check, Found};
use crate::contexts::{Context, Deployment};

mod policies;
mod pools;
mod rights;
mod zones;

/// The label that Kubernetes enforces a namespace's level by.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// The first version whose clusters start an init container that is to run on beside the others, unless told not to.
const OLDEST: (u32, u32) = (1, 29);

/// Asks the cluster with the person's kubeconfig.
///
/// # Errors
/// Why it is not asked, as what was found.
pub async fn survey(context: &Context) -> Result<Survey, Found> {
    let person = Person::new(context.kubeconfig.as_deref(), context.kube_context.as_deref()).await;
    let person = person
        .map_err(|why| Found::Bad(format!("no kubeconfig: {why}"), update_kubeconfig(&context.deployment)))?;
    if let Some((why, remedy)) = another_cluster(context, &person) {
        // What stands in it is another deployment's.
        return Err(Found::Bad(why, remedy));
    }
    Ok(person.survey(&accounts(&context.deployment)).await)
}

/// The service accounts of steps, by namespace.
pub fn accounts(deployment: &Deployment) -> BTreeMap<String, String> {
    let of =
        |(name, own): (&String, &crate::contexts::Namespace)| (name.clone(), own.service_account.clone());
    deployment.namespaces.iter().map(of).collect()
}

/// Why the kubeconfig's cluster is not the deployment's, and what to do. Nothing is said where Terraform's outputs name no
/// endpoint, or a person has said that the address means nothing.
pub fn another_cluster(context: &Context, person: &Person) -> Option<(String, String)> {
    let Context { deployment, .. } = context;
    let endpoint = &deployment.cluster.endpoint;
    if endpoint.is_empty() || context.any_cluster || person.is_at(endpoint) {
        return None;
    }
    let why = format!(
        "the kubeconfig names the cluster at {}, and the deployment's cluster {} is at {endpoint}",
        person.server().trim_end_matches('/'),
        deployment.cluster.name
    );
    let remedy = format!(
        "{} writes its kubeconfig, --kube-context names another entry of it; where a tunnel or a proxy leads to that \
         cluster, `dropforge deploy` and `dropforge context add` take --any-cluster",
        update_kubeconfig(deployment)
    );
    Some((why, remedy))
}

fn update_kubeconfig(deployment: &Deployment) -> String {
    let Deployment { region, cluster, .. } = deployment;
    format!("aws eks update-kubeconfig --region {region} --name {}", cluster.name)
}

/// What a survey means for a deployment; `is_auto` says whether the cluster runs in Auto Mode, where EKS tells.
pub fn checks(deployment: &Deployment, is_auto: Option<bool>, survey: &Survey) -> Vec<Check> {
    let version = match &survey.version {
        Ok(version) => version_of(version),
        Err(why) => Found::Bad(why.to_string(), update_kubeconfig(deployment)),
    };
    let mut checks = vec![Check::new("cluster", version)];
    if survey.version.is_err() {
        return checks;
    }
    for name in survey.namespaces.keys() {
        checks.extend(of_namespace(name, deployment, survey));
    }
    checks.push(Check::new("storage classes", told(&survey.classes, "list storageclasses", |c| classes(c))));
    checks.push(Check::new("GPUs", gpus(survey)));
    checks.extend(device_plugin(survey).map(|found| Check::new("GPU device plugin", found)));
    checks.push(Check::new("zones of volumes and GPUs", zones::found(deployment, survey)));
    let found = policies::found(&deployment.cluster.name, is_auto, survey);
    checks.push(Check::new("network policies", found));
    checks
}

/// Whether a version has what pods of ours are made of.
fn version_of(version: &str) -> Found {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => Found::Bad(
            format!(
                "{version} knows no native sidecars (1.29 does): a step that has one beside it waits for that for ever"
            ),
            "aws eks update-cluster-version, one minor version at a time, and new nodes".to_owned(),
        ),
        _ => Found::Good(version.to_owned()),
    }
}

fn of_namespace(name: &str, deployment: &Deployment, survey: &Survey) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(labels) = survey.namespaces.get(name) {
        checks.push(Check::new(format!("namespace {name}"), namespace(labels)));
    }
    if let Some(there) = survey.accounts.get(name) {
        let wanted = deployment.namespaces.get(name).map(|own| own.service_account.as_str());
        let what = format!("service account {} of {name}", wanted.unwrap_or_default());
        checks.push(Check::new(what, account(there)));
    }
    // Outputs of older modules name no group.
    let has_group = !deployment.kubernetes_group.is_empty();
    if let (Some(binding), Some(own), true) =
        (survey.bindings.get(name), deployment.namespaces.get(name), has_group)
    {
        let found = rights::found((name, own), binding, deployment);
        checks.push(Check::new(format!("rights of functions in {name}"), found));
    }
    checks
}

/// An answer, or what it takes to get one.
fn told<T>(answer: &Result<T, CallError>, permission: &str, found: impl FnOnce(&T) -> Found) -> Found {
    match answer {
        Ok(answer) => found(answer),
        Err(why) if why.code() == Some(403) => Found::Unknown(format!("you may not {permission}")),
        Err(why) => Found::Unknown(why.to_string()),
    }
}

fn namespace(labels: &Result<Option<BTreeMap<String, String>>, CallError>) -> Found {
    told(labels, "get namespaces", |labels| match labels {
        None => Found::Bad("it is not there: no step starts".to_owned(), "dropforge deploy".to_owned()),
        Some(labels) => match labels.get(ENFORCE) {
            Some(level) => Found::Good(format!("pod security {level}")),
            None => Found::Bad(
                "no pod security is enforced in it".to_owned(),
                "dropforge deploy, which labels it".to_owned(),
            ),
        },
    })
}

fn account(there: &Result<bool, CallError>) -> Found {
    told(there, "get serviceaccounts", |there| match there {
        true => Found::Good("is there".to_owned()),
        false => Found::Bad("it is not there: no step starts".to_owned(), "dropforge deploy".to_owned()),
    })
}

/// Why a namespace is another stack's, and what to do. Two stacks in one cluster are told apart by the group to which a
/// namespace gives the rights of functions, and by that alone.
pub fn another_stack(namespace: &str, groups: &[String], own: &str) -> Option<(String, String)> {
    if groups.iter().any(|group| group == own) {
        return None;
    }
    let why = format!(
        "the namespace {namespace} is another stack's: its rolebinding dropforge-dispatcher gives the functions' rights to \
         {}, and this stack's functions are of the group {own}",
        groups.join(", ")
    );
    let remedy = format!(
        "two stacks in one cluster differ in every namespace: name another in `namespaces` of modules/dropforge and apply it. \
         Where that stack has given this one up: kubectl -n {namespace} delete rolebinding dropforge-dispatcher, then \
         dropforge deploy"
    );
    Some((why, remedy))
}

fn classes(classes: &[Class]) -> Found {
    match classes.iter().find(|class| class.is_default) {
        None => Found::Bad(
            "none is the default: claims that name no class wait for ever".to_owned(),
            "dropforge deploy, which makes dropforge-gp3 the default".to_owned(),
        ),
        Some(class) if !class.waits_for_pod => Found::Bad(
            format!(
                "{} makes volumes before the pod is placed: a GPU node of another zone never gets them",
                class.name
            ),
            "take a class with volumeBindingMode WaitForFirstConsumer for the default".to_owned(),
        ),
        Some(class) => Found::Good(format!("{} is the default", class.name)),
    }
}

fn gpus(survey: &Survey) -> Found {
    let makes_some = pools_of_gpus(survey).next().is_some();
    told(&survey.gpu_nodes, "list nodes", |_| match survey.gpus() {
        count if count > 0 => Found::Good(format!("{count} on nodes that are there")),
        _ if makes_some => Found::Good("a node pool makes nodes with GPUs when a step asks".to_owned()),
        _ => Found::Unknown(
            "no node has one and no node pool makes one: steps that ask for one wait".to_owned(),
        ),
    })
}

/// The node pools that make nodes with GPUs.
fn pools_of_gpus(survey: &Survey) -> impl Iterator<Item = &Value> {
    survey.pools.iter().flatten().filter(|pool| pools::makes_gpus(pool))
}

/// Nothing where every node with a GPU tells of it.
fn device_plugin(survey: &Survey) -> Option<Found> {
    let silent: Vec<&str> = survey.silent_nodes().map(|node: &GpuNode| node.name.as_str()).collect();
    if silent.is_empty() {
        return None;
    }
    let nodes = silent.join(", ");
    Some(told(&survey.daemons, "list daemonsets", |daemons| match daemons.device_plugin {
        DevicePlugin::Missing => Found::Bad(
            format!("{nodes} have GPUs and tell of none: no step gets one"),
            "dropforge deploy, which installs NVIDIA's device plugin".to_owned(),
        ),
        DevicePlugin::Ours | DevicePlugin::Others => Found::Unknown(format!(
            "{nodes} have GPUs and tell of none, though a device plugin runs: a node that is new does so within minutes, \
             and one without NVIDIA's driver never"
        )),
    }))
}

#[cfg(test)]
pub mod tests;
