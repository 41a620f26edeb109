//! The cluster's part of `doctor`.

use std::collections::BTreeMap;

use dropforge_cluster::kubernetes::{CallError, Class, Person, Survey};
use serde_json::Value;

use super::{Check, Found};
use crate::contexts::{Context, Deployment};

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
    let accounts = accounts(&context.deployment);
    checks(&context.deployment, &person.survey(&accounts).await)
}

/// The service accounts of steps, by namespace.
pub fn accounts(deployment: &Deployment) -> BTreeMap<String, String> {
    let of =
        |(name, own): (&String, &crate::contexts::Namespace)| (name.clone(), own.service_account.clone());
    deployment.namespaces.iter().map(of).collect()
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
            "dropforge deploy, which makes gp3 the default".to_owned(),
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
    let pools = survey.pools.as_ref().map(Vec::as_slice).unwrap_or_default();
    let of_gpus =
        |pool: &&Value| pool.to_string().contains("nvidia") || pool.to_string().contains("instance-gpu");
    match (&survey.gpus, pools.iter().find(of_gpus)) {
        (Ok(count), _) if *count > 0 => Found::Good(format!("{count} on nodes that are there")),
        (_, Some(_)) => Found::Good("a node pool makes nodes with GPUs when a step asks".to_owned()),
        (Ok(_), None) => Found::Unknown(
            "no node has one and no node pool makes one: steps that ask for one wait".to_owned(),
        ),
        (Err(why), None) => told::<i64>(
            &Err(CallError::Unknown(std::io::Error::other(why.to_string()))),
            "list nodes",
            |_| Found::Good(String::new()),
        ),
    }
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
        let class = Class { name: "gp3".to_owned(), is_default: true, waits_for_pod: true };
        Survey {
            version: Ok("v1.33".to_owned()),
            namespaces: [("ml".to_owned(), Ok(Some(labels)))].into(),
            accounts: [("ml".to_owned(), Ok(true))].into(),
            classes: Ok(vec![class]),
            drivers: Ok(Vec::new()),
            gpus: Ok(1),
            pools: Ok(Vec::new()),
            pod_identity: Ok(true),
        }
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
        assert!(text(&bad(|survey| survey.gpus = Ok(0))).contains("no node pool"));
        let refused =
            CallError::Refused { code: 403, reason: "Forbidden".to_owned(), message: String::new() };
        let mut one = survey();
        one.classes = Err(refused);
        assert!(text(&found(&one)).contains("you may not list storageclasses"));
    }
}
