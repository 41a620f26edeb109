//! Whether the cluster enforces network policies. They are a second wall, so that nothing fails without them.

use dropforge_cluster::kubernetes::{CallError, NodeClass, PolicyAgent, Survey};

use crate::cloud::doctor::Found;

/// What makes EKS work out what policies mean for each node.
const CONTROLLER: &str = "kubectl -n kube-system create configmap amazon-vpc-cni \
                          --from-literal=enable-network-policy-controller=true";

/// Whether somebody enforces them on all nodes: those of Auto Mode, where EKS says that the cluster runs in it or node
/// classes do, and those of one's own.
pub fn found(cluster: &str, is_auto: Option<bool>, survey: &Survey) -> Found {
    match lacks(cluster, is_auto, survey) {
        Err(why) => Found::Unknown(why),
        Ok((lacks, by)) if lacks.is_empty() => Found::Good(format!("{by} enforces them")),
        Ok((lacks, _)) => Found::Unknown(format!(
            "nothing is seen to enforce them, and without that steps reach whatever nodes do: {}",
            lacks.join("; ")
        )),
    }
}

/// What is missing, with what to do, and who enforces them where nothing is.
fn lacks(
    cluster: &str,
    is_auto: Option<bool>,
    survey: &Survey,
) -> Result<(Vec<String>, &'static str), String> {
    let agent = told(&survey.daemons, "list daemonsets")?.policies;
    if let PolicyAgent::Other(name) = agent {
        return Ok((Vec::new(), name));
    }
    let classes: &[NodeClass] = match is_auto {
        // A cluster that does not know the kind refuses to list it to who may not list everything.
        Some(false) => &[],
        Some(true) | None => told(&survey.node_classes, "list nodeclasses")?,
    };
    let is_auto = is_auto == Some(true) || !classes.is_empty();
    if !is_auto && agent == PolicyAgent::Missing {
        let none = "neither Calico nor Cilium nor the VPC CNI's agent is among the daemon sets".to_owned();
        return Ok((vec![none], ""));
    }
    let mut lacks = Vec::new();
    if agent == PolicyAgent::VpcCniOff {
        lacks.push(format!(
            "aws eks update-addon --cluster-name {cluster} --addon-name vpc-cni --configuration-values \
             '{{\"enableNetworkPolicy\": \"true\"}}', with what it was told before"
        ));
    } else if !*told(&survey.policy_controller, "get configmaps in kube-system")? {
        lacks.push(CONTROLLER.to_owned());
    }
    lacks.extend(is_auto.then(|| silent(classes)).flatten());
    Ok((lacks, if is_auto { "Auto Mode" } else { "the VPC CNI" }))
}

/// Node classes on whose nodes policies mean nothing.
fn silent(classes: &[NodeClass]) -> Option<String> {
    let silent = classes.iter().filter(|class| class.network_policy.is_none());
    let names: Vec<&str> = silent.map(|class| class.name.as_str()).collect();
    let said = format!("set networkPolicy: DefaultAllow in the node classes {}", names.join(", "));
    (!names.is_empty()).then_some(said)
}

fn told<'a, T>(answer: &'a Result<T, CallError>, permission: &str) -> Result<&'a T, String> {
    answer.as_ref().map_err(|why| match why.code() {
        Some(403) => format!("you may not {permission}"),
        Some(_) | None => why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::survey;
    use super::*;

    fn with(agent: PolicyAgent, controller: bool, classes: &[Option<&str>]) -> Survey {
        let mut survey = survey();
        survey.daemons.as_mut().unwrap().policies = agent;
        survey.policy_controller = Ok(controller);
        let class = |policy: &Option<&str>| NodeClass {
            name: "default".to_owned(),
            network_policy: policy.map(str::to_owned),
        };
        survey.node_classes = Ok(classes.iter().map(class).collect());
        survey
    }

    fn good(survey: &Survey, is_auto: Option<bool>) -> String {
        match found("research", is_auto, survey) {
            Found::Good(how) => how,
            other => panic!("{other:?}"),
        }
    }

    fn unknown(survey: &Survey, is_auto: Option<bool>) -> String {
        match found("research", is_auto, survey) {
            Found::Unknown(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn in_auto_mode_the_config_map_and_the_node_classes_say_it() {
        let auto = |controller, policy| with(PolicyAgent::Missing, controller, &[policy]);
        assert_eq!(good(&auto(true, Some("DefaultAllow")), None), "Auto Mode enforces them");
        let off = unknown(&auto(false, Some("DefaultAllow")), None);
        assert!(off.contains("create configmap amazon-vpc-cni"), "{off}");
        let silent = unknown(&auto(true, None), Some(true));
        assert!(silent.contains("DefaultAllow in the node classes default"), "{silent}");
        // Where built-in pools are off and no class was made, EKS knows.
        let bare = with(PolicyAgent::Missing, true, &[]);
        assert_eq!(good(&bare, Some(true)), "Auto Mode enforces them");
    }

    #[test]
    fn elsewhere_an_agent_enforces_what_the_controller_works_out() {
        let own = |agent, controller| with(agent, controller, &[]);
        assert_eq!(good(&own(PolicyAgent::VpcCni, true), Some(false)), "the VPC CNI enforces them");
        let off = unknown(&own(PolicyAgent::VpcCniOff, false), Some(false));
        assert!(off.contains("update-addon --cluster-name research --addon-name vpc-cni"), "{off}");
        assert!(off.contains("{\"enableNetworkPolicy\": \"true\"}"), "{off}");
        let alone = unknown(&own(PolicyAgent::VpcCni, false), Some(false));
        assert!(alone.contains("enable-network-policy-controller=true"), "{alone}");
        assert_eq!(good(&own(PolicyAgent::Other("Calico"), false), Some(false)), "Calico enforces them");
        assert!(unknown(&own(PolicyAgent::Missing, true), Some(false)).contains("neither Calico nor Cilium"));
    }

    #[test]
    fn who_may_not_look_is_told_what_it_takes() {
        let refused = |permission: &str| {
            let message = permission.to_owned();
            CallError::Refused { code: 403, reason: "Forbidden".to_owned(), message }
        };
        let mut one = with(PolicyAgent::VpcCni, true, &[]);
        one.policy_controller = Err(refused("configmaps"));
        assert_eq!(unknown(&one, Some(false)), "you may not get configmaps in kube-system");
        one.daemons = Err(refused("daemonsets"));
        assert_eq!(unknown(&one, Some(false)), "you may not list daemonsets");
    }
}
