//! Answers as AWS's documentation shows them.

use serde_json::json;

use super::*;
use crate::cloud::doctor::account::tests::{bad, said, unknown};
use crate::contexts::Function;

fn deployment() -> Deployment {
    let mut deployment = Deployment { region: "eu-central-1".to_owned(), ..Deployment::default() };
    deployment.cluster.name = "research".to_owned();
    deployment.cluster.arn = "arn:aws:eks:eu-central-1:111122223333:cluster/research".to_owned();
    deployment
}

#[test]
fn a_cluster_that_reads_no_access_entries_is_told_with_the_command_that_changes_it() {
    let mode = |mode: &str| {
        Ok(json!({"cluster": {"name": "research", "status": "ACTIVE", "version": "1.33",
            "accessConfig": {"bootstrapClusterCreatorAdminPermissions": true, "authenticationMode": mode}}}))
    };
    for well in ["API", "API_AND_CONFIG_MAP"] {
        assert_eq!(authentication(&mode(well), &deployment()), Found::Good(well.to_owned()));
    }
    let old = bad(authentication(&mode("CONFIG_MAP"), &deployment()));
    assert!(old.contains("update-cluster-config --name research"), "{old}");
    let gone = bad(authentication(&said("ResourceNotFoundException"), &deployment()));
    assert!(gone.contains("no cluster research in eu-central-1"), "{gone}");
    let denied = unknown(authentication(&said("AccessDeniedException"), &deployment()));
    assert_eq!(
        denied,
        "you need eks:DescribeCluster on arn:aws:eks:eu-central-1:111122223333:cluster/research"
    );
}

#[test]
fn a_role_that_the_cluster_does_not_know_makes_no_pods() {
    let entry = |groups: Value| {
        Ok(json!({"accessEntry": {"clusterName": "research", "principalArn": "arn:role",
            "kubernetesGroups": groups, "type": "STANDARD"}}))
    };
    let group = "dropforge:dispatcher";
    assert_eq!(
        access(&entry(json!([group])), "arn:role", group),
        Found::Good(format!("is of the group {group}"))
    );
    assert!(bad(access(&entry(json!([])), "arn:role", group)).contains("not of the group"));
    assert!(
        bad(access(&said("ResourceNotFoundException"), "arn:role", group)).contains("does not know arn:role")
    );
    assert!(
        unknown(access(&said("AccessDeniedException"), "arn:role", group))
            .contains("eks:DescribeAccessEntry")
    );
}

/// What steps of the role `arn:steps` are said to get.
fn given(listed: Answer, described: Option<Answer>) -> Found {
    associated(&Association { namespace: "ml".to_owned(), listed, described }, "arn:steps", "research")
}

#[test]
fn the_association_of_another_role_gives_steps_what_that_may() {
    let listed = || {
        Ok(json!({"associations": [{"clusterName": "research", "namespace": "ml",
            "serviceAccount": "dropforge-step", "associationId": "a-1"}]}))
    };
    let role = |arn: &str| Some(Ok(json!({"association": {"associationId": "a-1", "roleArn": arn}})));
    assert_eq!(given(listed(), role("arn:steps")), Found::Good("is given by Pod Identity".to_owned()));
    let other = bad(given(listed(), role("arn:other")));
    for words in ["is given arn:other and not arn:steps", "--association-id a-1 --role-arn arn:steps"] {
        assert!(other.contains(words), "{words}: {other}");
    }
    let denied = unknown(given(listed(), Some(said("AccessDeniedException"))));
    assert!(denied.contains("you need eks:DescribePodIdentityAssociation on research"), "{denied}");
}

#[test]
fn steps_need_an_association() {
    assert!(bad(given(Ok(json!({"associations": []})), None)).contains("reach no bucket"));
    assert!(unknown(given(said("AccessDeniedException"), None)).contains("eks:ListPodIdentity"));
}

/// What EKS says of a cluster's endpoint, and Lambda of where `advance` and `sweep` stand.
fn reached(endpoint: Value, networks: [Answer; 2]) -> Found {
    let mut deployment = deployment();
    for name in ["advance", "sweep"] {
        deployment.functions.insert(name.to_owned(), Function::default());
    }
    let cluster = Ok(json!({"cluster": {"name": "research", "resourcesVpcConfig": endpoint}}));
    let functions = ["advance", "sweep"].map(str::to_owned).into_iter().zip(networks).collect();
    let account = Account { eks: Some(Eks::of(cluster, None)), functions, ..Account::default() };
    let all = checks(&deployment, &account);
    all.into_iter().find(|check| check.what == "way of the functions to research").unwrap().found
}

fn endpoint(is_public: bool, cidrs: &[&str], is_private: bool) -> Value {
    json!({"subnetIds": ["subnet-1"], "vpcId": "vpc-1", "endpointPublicAccess": is_public,
        "endpointPrivateAccess": is_private, "publicAccessCidrs": cidrs})
}

fn inside() -> Answer {
    Ok(
        json!({"FunctionName": "f", "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "VpcId": "vpc-1"}}),
    )
}

fn outside() -> Answer {
    Ok(json!({"FunctionName": "f", "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": ""}}))
}

#[test]
fn a_private_endpoint_is_reached_by_no_function_outside_of_a_vpc() {
    let private = endpoint(false, &[], true);
    let far = bad(reached(private.clone(), [inside(), outside()]));
    for words in ["its endpoint is private", "stand sweep: no pod is made", "`dispatch`", "`vpc`"] {
        assert!(far.contains(words), "{words}: {far}");
    }
    let both = bad(reached(private.clone(), [outside(), Ok(json!({"FunctionName": "f"}))]));
    assert!(both.contains("stand advance and sweep"), "{both}");
    assert!(matches!(reached(private.clone(), [inside(), inside()]), Found::Good(_)));
    let untold = unknown(reached(private, [inside(), said("AccessDeniedException")]));
    assert!(
        untold.contains("whether sweep stands in a VPC") && untold.contains("lambda:GetFunc"),
        "{untold}"
    );
}

#[test]
fn an_endpoint_of_some_addresses_is_not_reached_from_lambdas() {
    let bound = |is_private| endpoint(true, &["203.0.113.0/24"], is_private);
    let far = bad(reached(bound(true), [outside(), outside()]));
    assert!(far.contains("from 203.0.113.0/24 only"), "{far}");
    assert!(matches!(reached(bound(true), [inside(), inside()]), Found::Good(_)));
    // The way out of their VPC is one of those addresses, or is not.
    assert!(unknown(reached(bound(false), [inside(), inside()])).contains("endpointPrivateAccess=true"));
    for open in [endpoint(true, &["203.0.113.0/24", "0.0.0.0/0"], true), json!({})] {
        assert_eq!(reached(open, [outside(), outside()]), Found::Good("its endpoint is public".to_owned()));
    }
}

#[test]
fn a_cluster_says_whether_it_runs_in_auto_mode() {
    let is_auto =
        |compute: Value| Eks::of(Ok(json!({"cluster": {"computeConfig": compute}})), None).is_auto();
    assert_eq!(is_auto(json!({"enabled": true, "nodePools": ["system"]})), Some(true));
    assert_eq!(is_auto(json!({"enabled": false})), Some(false));
    assert_eq!(is_auto(Value::Null), Some(false));
    assert_eq!(Eks::of(said("AccessDeniedException"), None).is_auto(), None);
}

#[test]
fn where_dispatch_makes_pods_the_others_need_no_entry() {
    let mut deployment = deployment();
    for name in ["advance", "ingest", "sweep"] {
        let function = Function { role_arn: format!("arn:{name}"), ..Default::default() };
        deployment.functions.insert(name.to_owned(), function);
    }
    assert_eq!(pod_makers(&deployment), [("advance", "arn:advance"), ("sweep", "arn:sweep")]);
    let dispatch = Function { role_arn: "arn:d".to_owned(), ..Default::default() };
    deployment.functions.insert("dispatch".to_owned(), dispatch);
    assert_eq!(pod_makers(&deployment), [("dispatch", "arn:d")]);
}
