//! Whether steps get a role's credentials, and what these keep apart. EKS and the cluster each know a part of it: both are
//! asked before anything is said.

use dropforge_cluster::kubernetes::Survey;

use super::account::{Eks, is_missing};
use super::{Check, Found};
use crate::contexts::Deployment;

/// What the outputs say of the steps' isolation, and whether that has what it needs. No survey: the cluster was not asked.
pub fn checks(deployment: &Deployment, eks: Option<&Eks>, survey: Option<&Survey>) -> Vec<Check> {
    let isolated = |by: &str| {
        let own = deployment.namespaces.iter().filter(|(_, own)| own.isolation == by);
        own.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut checks = Vec::new();
    let mut kept_apart = |namespaces: &str, how: &str| {
        if !namespaces.is_empty() {
            checks
                .push(Check::new(format!("isolation of steps in {namespaces}"), Found::Good(how.to_owned())));
        }
    };
    let by_pod = isolated("pod");
    kept_apart(&by_pod, "each step reaches what is its own (Pod Identity)");
    kept_apart(&isolated("namespace"), "steps are kept apart by namespace only (IRSA)");
    if !by_pod.is_empty() {
        checks.push(Check::new("Pod Identity agent", agent(&deployment.cluster.name, eks, survey)));
    }
    checks
}

/// One answer to whether there is an agent.
enum Told {
    Yes,
    No,
    /// Why it can't be told.
    Unknown(String),
}

/// Three may tell of an agent, and one is enough. None is there where all of them say so.
fn agent(cluster: &str, eks: Option<&Eks>, survey: Option<&Survey>) -> Found {
    match (built_in(eks), addon(cluster, eks), daemon(survey)) {
        (Told::Yes, _, _) => Found::Good("is built in: the cluster runs in Auto Mode".to_owned()),
        (_, Told::Yes, _) => Found::Good("its add-on is active".to_owned()),
        (_, _, Told::Yes) => Found::Good("runs".to_owned()),
        (Told::No, Told::No, Told::No) => Found::Bad(
            "neither the add-on nor a daemon set of it is there: steps get no credentials".to_owned(),
            format!("aws eks create-addon --cluster-name {cluster} --addon-name eks-pod-identity-agent"),
        ),
        (built_in, addon, daemon) => {
            let unknown = |told| match told {
                Told::Unknown(why) => Some(why),
                Told::Yes | Told::No => None,
            };
            let mut whys: Vec<String> = [built_in, addon, daemon].into_iter().filter_map(unknown).collect();
            whys.dedup();
            Found::Unknown(format!("was not found, and may be there: {}", whys.join("; ")))
        }
    }
}

/// Auto Mode's nodes have it in themselves.
fn built_in(eks: Option<&Eks>) -> Told {
    match eks.map(|eks| (eks.is_auto(), &eks.cluster)) {
        Some((Some(true), _)) => Told::Yes,
        Some((Some(false), _)) => Told::No,
        Some((None, Err(why))) if why.is_denied() => Told::Unknown("you need eks:DescribeCluster".to_owned()),
        Some((None, _)) | None => Told::Unknown("EKS does not tell of the cluster".to_owned()),
    }
}

fn addon(cluster: &str, eks: Option<&Eks>) -> Told {
    let Some(answer) = eks.and_then(|eks| eks.agent.as_ref()) else {
        return Told::Unknown("EKS does not tell of the cluster".to_owned());
    };
    match answer {
        Ok(told) => match told["addon"]["status"].as_str().unwrap_or_default() {
            "ACTIVE" => Told::Yes,
            status => Told::Unknown(format!(
                "its add-on is {status} (aws eks describe-addon --cluster-name {cluster} --addon-name \
                 eks-pod-identity-agent says why)"
            )),
        },
        Err(_) if is_missing(answer) => Told::No,
        Err(why) if why.is_denied() => Told::Unknown("you need eks:DescribeAddon".to_owned()),
        Err(why) => Told::Unknown(why.to_string()),
    }
}

/// Who needs no add-on installs it otherwise.
fn daemon(survey: Option<&Survey>) -> Told {
    match survey.map(|survey| &survey.daemons) {
        Some(Ok(daemons)) if daemons.pod_identity => Told::Yes,
        Some(Ok(_)) => Told::No,
        Some(Err(why)) if why.code() == Some(403) => Told::Unknown("you may not list daemonsets".to_owned()),
        Some(Err(why)) => Told::Unknown(why.to_string()),
        None => Told::Unknown("the cluster was not asked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use dropforge_cluster::kubernetes::CallError;
    use serde_json::json;

    use super::*;
    use crate::cloud::doctor::account::Answer;
    use crate::cloud::doctor::kubernetes::tests::survey;
    use crate::cloud::request::Refused;
    use crate::contexts::Namespace;

    fn deployment(isolations: &[(&str, &str)]) -> Deployment {
        let namespace =
            |isolation: &str| Namespace { isolation: isolation.to_owned(), ..Namespace::default() };
        let mut deployment = Deployment {
            namespaces: isolations.iter().map(|(name, by)| ((*name).to_owned(), namespace(by))).collect(),
            ..Deployment::default()
        };
        deployment.cluster.name = "research".to_owned();
        deployment
    }

    fn said(code: &str) -> Answer {
        Err(Refused::Said(code.to_owned(), "words".to_owned()))
    }

    fn cluster(is_auto: bool) -> Answer {
        Ok(json!({"cluster": {"name": "research", "computeConfig": {"enabled": is_auto}}}))
    }

    fn status(status: &str) -> Answer {
        Ok(
            json!({"addon": {"addonName": "eks-pod-identity-agent", "clusterName": "research", "status": status}}),
        )
    }

    fn runs(daemon: Option<bool>) -> Survey {
        let mut survey = survey();
        match daemon {
            Some(runs) => survey.daemons.as_mut().unwrap().pod_identity = runs,
            None => {
                let (reason, message) = ("Forbidden".to_owned(), String::new());
                survey.daemons = Err(CallError::Refused { code: 403, reason, message });
            }
        }
        survey
    }

    /// With what EKS says of the cluster and of the add-on, and whether a daemon set runs.
    fn found(cluster: Answer, addon: Option<Answer>, daemon: Option<bool>) -> Found {
        let eks = Eks::of(cluster, addon);
        let all = checks(&deployment(&[("ml", "pod")]), Some(&eks), Some(&runs(daemon)));
        all.into_iter().find(|check| check.what == "Pod Identity agent").unwrap().found
    }

    #[test]
    fn an_agent_is_there_where_one_of_three_says_so() {
        let missing = || Some(said("ResourceNotFoundException"));
        for well in [
            found(cluster(true), None, Some(false)),
            found(cluster(false), Some(status("ACTIVE")), Some(false)),
            found(cluster(false), missing(), Some(true)),
            found(said("AccessDeniedException"), Some(said("AccessDeniedException")), Some(true)),
        ] {
            assert!(matches!(well, Found::Good(_)), "{well:?}");
        }
    }

    #[test]
    fn steps_get_no_credentials_only_where_add_on_and_daemon_set_are_missing() {
        let missing = || Some(said("ResourceNotFoundException"));
        let none = found(cluster(false), missing(), Some(false));
        let Found::Bad(why, remedy) = none else { panic!("{none:?}") };
        assert!(why.contains("steps get no credentials"), "{why}");
        assert!(remedy.contains("create-addon --cluster-name research"), "{remedy}");
        for (unknown, words) in [
            (found(said("AccessDeniedException"), missing(), Some(false)), "you need eks:DescribeCluster"),
            (
                found(cluster(false), Some(said("AccessDeniedException")), Some(false)),
                "you need eks:DescribeAddon",
            ),
            (found(cluster(false), Some(status("DEGRADED")), Some(false)), "its add-on is DEGRADED"),
            (found(cluster(false), missing(), None), "you may not list daemonsets"),
        ] {
            assert!(matches!(&unknown, Found::Unknown(why) if why.contains(words)), "{words}: {unknown:?}");
        }
    }

    #[test]
    fn what_irsa_keeps_apart_is_said_of_the_outputs_alone() {
        let irsa = Check::new(
            "isolation of steps in ml, nlp",
            Found::Good("steps are kept apart by namespace only (IRSA)".to_owned()),
        );
        let deployment = deployment(&[("ml", "namespace"), ("nlp", "namespace")]);
        for survey in [None, Some(runs(None)), Some(runs(Some(true)))] {
            let said = checks(&deployment, None, survey.as_ref());
            assert_eq!(said, std::slice::from_ref(&irsa), "no agent is needed");
        }
    }

    #[test]
    fn outputs_that_say_nothing_of_it_are_not_told_of() {
        assert_eq!(checks(&deployment(&[("ml", "")]), None, None), [] as [Check; 0]);
    }
}
