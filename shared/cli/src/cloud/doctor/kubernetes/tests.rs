use dropforge_cluster::kubernetes::{Binding, Daemons, PolicyAgent};

use serde_json::json;

use super::*;

/// A cluster that has everything.
pub fn survey() -> Survey {
    let labels = BTreeMap::from([(ENFORCE.to_owned(), "baseline".to_owned())]);
    let class = Class { name: "gp3".to_owned(), is_default: true, waits_for_pod: true, zones: Vec::new() };
    Survey {
        version: Ok("v1.33".to_owned()),
        namespaces: [("ml".to_owned(), Ok(Some(labels)))].into(),
        accounts: [("ml".to_owned(), Ok(true))].into(),
        bindings: [("ml".to_owned(), Ok(Some(binding(&["forge:dispatcher"], rules()))))].into(),
        classes: Ok(vec![class]),
        drivers: Ok(Vec::new()),
        gpu_nodes: Ok(vec![node(1)]),
        daemons: Ok(Daemons {
            device_plugin: DevicePlugin::Missing,
            pod_identity: true,
            policies: PolicyAgent::VpcCni,
        }),
        volumes: Ok(Vec::new()),
        pools: Ok(Vec::new()),
        policy_controller: Ok(true),
        node_classes: Ok(Vec::new()),
    }
}

/// A binding of the Role that infra/kubernetes names.
pub fn binding(groups: &[&str], rules: Vec<Value>) -> Binding {
    Binding {
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        kind: "Role".to_owned(),
        role: "dropforge-dispatcher".to_owned(),
        rules: Ok(Some(rules)),
    }
}

/// The rules of infra/kubernetes.
fn rules() -> Vec<Value> {
    let role = crate::cloud::objects::role("ml", &Default::default(), &Deployment::default());
    role["rules"].as_array().unwrap().clone()
}

fn node(offers: i64) -> GpuNode {
    GpuNode { name: "n1".to_owned(), zone: Some("a".to_owned()), offers, is_managed: false }
}

fn found(survey: &Survey) -> Vec<Found> {
    let mut deployment =
        Deployment { kubernetes_group: "forge:dispatcher".to_owned(), ..Deployment::default() };
    deployment.namespaces.insert("ml".to_owned(), Default::default());
    checks(&deployment, Some(false), survey).into_iter().map(|check| check.found).collect()
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
    let stale = bad(|survey| {
        let stale = binding(&["forge:dispatcher"], rules().split_off(1));
        survey.bindings.insert("ml".to_owned(), Ok(Some(stale)));
    });
    assert!(text(&stale).contains("create, get, list, delete pods"), "{stale:?}");
    let silent = text(&bad(|survey| survey.gpu_nodes = Ok(vec![node(0)])));
    assert!(silent.contains("n1 have GPUs and tell of none: no step gets one"), "{silent}");
    let new = text(&bad(|survey| {
        survey.gpu_nodes = Ok(vec![node(0)]);
        survey.daemons.as_mut().unwrap().device_plugin = DevicePlugin::Others;
    }));
    assert!(new.contains("though a device plugin runs") && !new.contains("no step gets one"), "{new}");
    let refused = CallError::Refused { code: 403, reason: "Forbidden".to_owned(), message: String::new() };
    let mut one = survey();
    one.classes = Err(refused);
    assert!(text(&found(&one)).contains("you may not list storageclasses"));
}

#[test]
fn a_version_without_native_sidecars_fails_with_what_to_do() {
    let of = |version: &str| {
        let survey = Survey { version: Ok(version.to_owned()), ..survey() };
        checks(&Deployment::default(), None, &survey).swap_remove(0).found
    };
    for well in ["v1.29.0", "v1.33.1-eks-0123abc", "v2.0.0", "v1.30+"] {
        assert_eq!(of(well), Found::Good(well.to_owned()));
    }
    for old in ["v1.28.15-eks-2d5f260", "v1.9.0"] {
        let Found::Bad(why, remedy) = of(old) else { panic!("{old} is told") };
        assert!(why.contains(old) && why.contains("native sidecars (1.29"), "{why}");
        assert!(remedy.contains("update-cluster-version"), "{remedy}");
    }
}

#[test]
fn a_node_pool_that_makes_no_gpus_is_none_of_them() {
    let gpus = |operator: &str| {
        let nvidia = json!({"key": "karpenter.k8s.aws/instance-gpu-manufacturer", "operator": operator, "values": ["nvidia"]});
        let pool = json!({"spec": {"template": {"spec": {"requirements": [nvidia]}}}});
        let survey = Survey { gpu_nodes: Ok(Vec::new()), pools: Ok(vec![pool]), ..survey() };
        gpus(&survey)
    };
    assert!(matches!(gpus("In"), Found::Good(_)));
    assert!(matches!(gpus("NotIn"), Found::Unknown(why) if why.contains("no node pool makes one")));
}

#[test]
fn a_namespace_that_gives_its_rights_to_another_stack_is_told() {
    let with = |groups: Option<&[&str]>| {
        let mut survey = survey();
        survey.bindings.insert("ml".to_owned(), Ok(groups.map(|all| binding(all, rules()))));
        let found = found(&survey).into_iter().find(|found| !matches!(found, Found::Good(_)));
        found.map(|found| format!("{found:?}"))
    };
    assert_eq!(with(Some(&["people:trainers", "forge:dispatcher"])), None);
    let other = with(Some(&["other:dispatcher"])).unwrap();
    for words in ["rights to other:dispatcher", "forge:dispatcher", "kubectl -n ml delete rolebinding"] {
        assert!(other.contains(words), "{words}: {other}");
    }
    assert!(with(None).unwrap().contains("no step starts"));
}
