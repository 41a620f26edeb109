//! The cluster's part of `doctor`.

use std::collections::BTreeMap;

use dropforge_cluster::kubernetes::{CallError, Class, DevicePlugin, GpuNode, Person, Survey};
use serde_json::Value;

use super::{Check, Found};
use crate::contexts::{Context, Deployment};

mod zones;

/// The label that Kubernetes enforces a namespace's level by.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Looks at the cluster with the person's kubeconfig.
pub async fn examine(context: &Context) -> Vec<Check> {
    let person = match Person::new(context.kubeconfig.as_deref(), context.kube_context.as_deref()).await {
        Ok(person) => person,
        Err(why) => {
            let remedy = update_kubeconfig(&context.deployment);
            return vec![Check::new("cluster", Found::Bad(format!("no kubeconfig: {why}"), remedy))];
        }
    };
    if let Some((why, remedy)) = another_cluster(context, &person) {
        // What stands in it is another deployment's.
        return vec![Check::new("cluster", Found::Bad(why, remedy))];
    }
    let accounts = accounts(&context.deployment);
    checks(&context.deployment, &person.survey(&accounts).await)
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

/// What a survey means for a deployment.
fn checks(deployment: &Deployment, survey: &Survey) -> Vec<Check> {
    let version = match &survey.version {
        Ok(version) => Found::Good(version.clone()),
        Err(why) => Found::Bad(why.to_string(), update_kubeconfig(deployment)),
    };
    let mut checks = vec![Check::new("cluster", version)];
    if survey.version.is_err() {
        return checks;
    }
    for (name, labels) in &survey.namespaces {
        checks.push(Check::new(format!("namespace {name}"), namespace(labels)));
        if let Some(account) = survey.accounts.get(name) {
            let wanted = deployment.namespaces.get(name).map(|own| own.service_account.as_str());
            let what = format!("service account {} of {name}", wanted.unwrap_or_default());
            checks.push(Check::new(
                what,
                told(account, "get serviceaccounts", |there| match there {
                    true => Found::Good("is there".to_owned()),
                    false => Found::Bad(
                        "it is not there: no step starts".to_owned(),
                        "dropforge deploy".to_owned(),
                    ),
                }),
            ));
        }
    }
    checks.push(Check::new("storage classes", told(&survey.classes, "list storageclasses", |c| classes(c))));
    checks.push(Check::new("GPUs", gpus(survey)));
    checks.extend(device_plugin(survey).map(|found| Check::new("GPU device plugin", found)));
    checks.push(Check::new("zones of volumes and GPUs", zones::found(deployment, survey)));
    checks.push(Check::new("Pod Identity agent", pod_identity(deployment, survey)));
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
    let of_gpus =
        |pool: &&Value| pool.to_string().contains("nvidia") || pool.to_string().contains("instance-gpu");
    survey.pools.iter().flatten().filter(of_gpus)
}

/// Nothing where every node with a GPU tells of it.
fn device_plugin(survey: &Survey) -> Option<Found> {
    let silent: Vec<&str> = survey.silent_nodes().map(|node: &GpuNode| node.name.as_str()).collect();
    if silent.is_empty() {
        return None;
    }
    let nodes = silent.join(", ");
    Some(told(&survey.device_plugin, "list daemonsets", |plugin| match plugin {
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

fn pod_identity(deployment: &Deployment, survey: &Survey) -> Found {
    let wants = deployment.namespaces.values().any(|own| own.isolation == "pod");
    told(&survey.pod_identity, "get daemonsets in kube-system", |runs| {
        match (runs, wants) {
        (true, true) => Found::Good("runs: each step reaches what is its own".to_owned()),
        (true, false) | (false, false) => {
            Found::Good("is not used: steps are kept apart by namespace only (IRSA)".to_owned())
        }
        (false, true) => Found::Unknown(
            "the add-on eks-pod-identity-agent does not run: in Auto Mode it is built in, elsewhere steps get no credentials \
             (aws eks create-addon --addon-name eks-pod-identity-agent)"
                .to_owned(),
        ),
    }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        let labels = BTreeMap::from([(ENFORCE.to_owned(), "baseline".to_owned())]);
        let class =
            Class { name: "gp3".to_owned(), is_default: true, waits_for_pod: true, zones: Vec::new() };
        Survey {
            version: Ok("v1.33".to_owned()),
            namespaces: [("ml".to_owned(), Ok(Some(labels)))].into(),
            accounts: [("ml".to_owned(), Ok(true))].into(),
            classes: Ok(vec![class]),
            drivers: Ok(Vec::new()),
            gpu_nodes: Ok(vec![node(1)]),
            device_plugin: Ok(DevicePlugin::Missing),
            volumes: Ok(Vec::new()),
            pools: Ok(Vec::new()),
            pod_identity: Ok(true),
        }
    }

    fn node(offers: i64) -> GpuNode {
        GpuNode { name: "n1".to_owned(), zone: Some("a".to_owned()), offers, is_managed: false }
    }

    fn found(survey: &Survey) -> Vec<Found> {
        checks(&Deployment::default(), survey).into_iter().map(|check| check.found).collect()
    }

    #[test]
    fn a_cluster_that_has_everything_is_well() {
        let found = found(&survey());
        assert!(found.iter().all(|found| matches!(found, Found::Good(_))), "{found:?}");
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let bad = |change: fn(&mut Survey)| {
            let mut survey = survey();
            change(&mut survey);
            found(&survey).into_iter().filter(|found| !matches!(found, Found::Good(_))).collect::<Vec<_>>()
        };
        let text = |found: &[Found]| format!("{found:?}");
        let none = bad(|survey| drop(survey.namespaces.insert("ml".to_owned(), Ok(None))));
        assert!(
            matches!(&none[..], [Found::Bad(why, remedy)] if why.contains("not there") && remedy == "dropforge deploy")
        );
        assert!(text(&bad(|survey| survey.classes = Ok(Vec::new()))).contains("wait for ever"));
        let early = bad(|survey| survey.classes.as_mut().unwrap()[0].waits_for_pod = false);
        assert!(text(&early).contains("WaitForFirstConsumer"));
        assert!(text(&bad(|survey| survey.gpu_nodes = Ok(Vec::new()))).contains("no node pool"));
        let silent = text(&bad(|survey| survey.gpu_nodes = Ok(vec![node(0)])));
        assert!(silent.contains("n1 have GPUs and tell of none: no step gets one"), "{silent}");
        let new = text(&bad(|survey| {
            survey.gpu_nodes = Ok(vec![node(0)]);
            survey.device_plugin = Ok(DevicePlugin::Others);
        }));
        assert!(new.contains("though a device plugin runs") && !new.contains("no step gets one"), "{new}");
        let refused =
            CallError::Refused { code: 403, reason: "Forbidden".to_owned(), message: String::new() };
        let mut one = survey();
        one.classes = Err(refused);
        assert!(text(&found(&one)).contains("you may not list storageclasses"));
    }
}
