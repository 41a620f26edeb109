//! Whether a step that asks for a GPU is ever placed beside its volume: a volume of EBS is reached from its own zone only.

use std::collections::BTreeSet;

use dropforge_cluster::kubernetes::{Survey, Volume};
use serde_json::Value;

use super::{pools_of_gpus, told};
use crate::cloud::doctor::Found;
use crate::contexts::Deployment;

/// The label of a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Compares the zones of volumes, those that are there and those that the default class makes, with those of GPUs.
pub fn found(deployment: &Deployment, survey: &Survey) -> Found {
    let class = survey.classes.iter().flatten().find(|class| class.is_default);
    let allowed = class.map(|class| class.zones.as_slice()).unwrap_or_default();
    let Some(gpus) = of_gpus(survey) else {
        return told(&survey.gpu_nodes, "list nodes", |_| {
            Found::Good("GPUs can be had in every zone of the cluster, or in none".to_owned())
        });
    };
    let there = text(&gpus);
    if !allowed.is_empty() && !allowed.iter().any(|zone| gpus.contains(zone.as_str())) {
        return Found::Bad(
            format!(
                "the default storage class makes volumes in {} and GPUs are in {there}: a step that asks for a GPU and mounts \
                 a volume is never placed",
                allowed.join(", ")
            ),
            "make the class without allowedTopologies, or GPU nodes in its zones".to_owned(),
        );
    }
    told(&survey.volumes, "list persistentvolumes", |volumes| {
        let far: Vec<String> =
            volumes.iter().filter(|volume| is_far(volume, deployment, &gpus)).map(name).collect();
        match far.is_empty() {
            true => Found::Good(format!("volumes can be made beside the GPUs, in {there}")),
            // Claims of steps that ask for no GPU are well there.
            false => Found::Unknown(format!(
                "GPUs are in {there} and not where the volumes of {} are: a step that asks for a GPU and mounts one of them \
                 is never placed",
                far.join(", ")
            )),
        }
    })
}

/// The zones in which GPUs can be had; none where nothing bounds them.
fn of_gpus(survey: &Survey) -> Option<BTreeSet<&str>> {
    let mut zones: BTreeSet<&str> = BTreeSet::new();
    for pool in pools_of_gpus(survey) {
        // A pool that names no zone makes nodes in all of them.
        zones.extend(of_pool(pool)?);
    }
    zones.extend(survey.gpu_nodes.iter().flatten().filter_map(|node| node.zone.as_deref()));
    (!zones.is_empty()).then_some(zones)
}

fn of_pool(pool: &Value) -> Option<Vec<&str>> {
    let requirements = pool["spec"]["template"]["spec"]["requirements"].as_array()?;
    let zone = requirements.iter().find(|one| one["key"] == ZONE && one["operator"] == "In")?;
    Some(zone["values"].as_array()?.iter().filter_map(Value::as_str).collect())
}

fn is_far(volume: &Volume, deployment: &Deployment, gpus: &BTreeSet<&str>) -> bool {
    deployment.namespaces.contains_key(&volume.namespace)
        && !volume.zones.is_empty()
        && !volume.zones.iter().any(|zone| gpus.contains(zone.as_str()))
}

fn name(volume: &Volume) -> String {
    format!("{}/{} ({})", volume.namespace, volume.claim, volume.zones.join(", "))
}

fn text(zones: &BTreeSet<&str>) -> String {
    zones.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use dropforge_cluster::kubernetes::{Class, GpuNode};
    use serde_json::json;

    use super::super::tests::survey as well;
    use super::*;

    fn node(zone: &str) -> GpuNode {
        GpuNode { name: "n".to_owned(), zone: Some(zone.to_owned()), offers: 1, is_managed: true }
    }

    fn pool(zones: Option<Value>) -> Value {
        let gpu = json!({"key": "eks.amazonaws.com/instance-gpu-manufacturer", "operator": "In", "values": ["nvidia"]});
        let zone = zones.map(|zones| json!({"key": ZONE, "operator": "In", "values": zones}));
        let all: Vec<Value> = [Some(gpu), zone].into_iter().flatten().collect();
        json!({"spec": {"template": {"spec": {"requirements": all}}}})
    }

    fn survey(allowed: &[&str], nodes: &[&str], pools: Vec<Value>, volumes: &[&str]) -> Survey {
        let zones = allowed.iter().map(|zone| (*zone).to_owned()).collect();
        let class = Class { name: "gp3".to_owned(), is_default: true, waits_for_pod: true, zones };
        let volume = |zone: &&str| Volume {
            namespace: "ml".to_owned(),
            claim: format!("work-{zone}"),
            zones: vec![(*zone).to_owned()],
        };
        Survey {
            classes: Ok(vec![class]),
            gpu_nodes: Ok(nodes.iter().map(|zone| node(zone)).collect()),
            volumes: Ok(volumes.iter().map(volume).collect()),
            pools: Ok(pools),
            ..well()
        }
    }

    fn found(survey: &Survey) -> Found {
        let mut deployment = Deployment::default();
        deployment.namespaces.insert("ml".to_owned(), Default::default());
        super::found(&deployment, survey)
    }

    #[test]
    fn a_class_that_makes_volumes_where_no_gpu_is_lets_no_step_start() {
        let Found::Bad(why, _) = found(&survey(&["a"], &["b"], vec![pool(Some(json!(["c"])))], &[])) else {
            panic!("it is told")
        };
        assert!(why.contains("volumes in a and GPUs are in b, c"), "{why}");
        for well in [survey(&["a", "b"], &["b"], vec![], &[]), survey(&[], &["b"], vec![], &["b"])] {
            assert!(matches!(found(&well), Found::Good(_)), "{:?}", found(&well));
        }
    }

    #[test]
    fn a_volume_in_another_zone_is_named() {
        let Found::Unknown(why) = found(&survey(&[], &["b"], vec![], &["a", "b"])) else {
            panic!("it is told")
        };
        assert!(why.contains("ml/work-a (a)") && !why.contains("work-b"), "{why}");
        // A pool of all zones makes a node beside it.
        assert!(matches!(found(&survey(&["a"], &["b"], vec![pool(None)], &["a"])), Found::Good(_)));
    }
}
