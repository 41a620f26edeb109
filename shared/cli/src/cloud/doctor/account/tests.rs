//! Answers as AWS's documentation shows them.

use super::*;
use crate::contexts::Deployment;

fn said(code: &str) -> Answer {
    Err(Refused::Said(code.to_owned(), "words".to_owned()))
}

fn deployment() -> Deployment {
    let mut deployment = Deployment { region: "eu-central-1".to_owned(), ..Deployment::default() };
    deployment.cluster.name = "research".to_owned();
    deployment.cluster.arn = "arn:aws:eks:eu-central-1:111122223333:cluster/research".to_owned();
    deployment
}

/// What is wrong and what to do, in one text.
fn bad(found: Found) -> String {
    match found {
        Found::Bad(why, remedy) => format!("{why}; {remedy}"),
        other => panic!("{other:?}"),
    }
}

/// What it takes to know more.
fn unknown(found: Found) -> String {
    match found {
        Found::Unknown(why) => why,
        other => panic!("{other:?}"),
    }
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

#[test]
fn steps_need_the_agent_and_an_association() {
    let addon = |status: &str| {
        Ok(
            json!({"addon": {"addonName": "eks-pod-identity-agent", "clusterName": "research", "status": status}}),
        )
    };
    assert_eq!(agent(&addon("ACTIVE"), "research"), Found::Good("is active".to_owned()));
    assert!(bad(agent(&addon("DEGRADED"), "research")).contains("it is DEGRADED"));
    let none = bad(agent(&said("ResourceNotFoundException"), "research"));
    assert!(none.contains("create-addon --cluster-name research"), "{none}");
    let one = json!({"associations": [{"namespace": "ml", "serviceAccount": "dropforge-step", "associationId": "a-1"}]});
    assert!(matches!(associated(&Ok(one), "research"), Found::Good(_)));
    assert!(bad(associated(&Ok(json!({"associations": []})), "research")).contains("reach no bucket"));
    assert!(unknown(associated(&said("AccessDeniedException"), "research")).contains("eks:ListPodIdentity"));
}

#[test]
fn a_function_is_well_when_it_is_active_and_has_its_role() {
    let state = |state: &str, update: &str, role: &str| {
        let told = json!({"FunctionName": "forge-advance", "Role": role, "State": state,
            "StateReason": "r", "LastUpdateStatus": update, "LastUpdateStatusReason": "the image"});
        function_state(&Ok(told), "forge-advance", "arn:role")
    };
    assert_eq!(state("Active", "Successful", "arn:role"), Found::Good("runs with its role".to_owned()));
    assert!(bad(state("Active", "Successful", "arn:other")).contains("runs with arn:other"));
    assert!(bad(state("Active", "Failed", "arn:role")).contains("the image"));
    assert!(bad(state("Failed", "Successful", "arn:role")).contains("it is Failed: r"));
    assert!(bad(function_state(&said("ResourceNotFoundException"), "f", "r")).contains("not there"));
    let denied = unknown(function_state(&said("AccessDeniedException"), "f", "r"));
    assert_eq!(denied, "you need lambda:GetFunctionConfiguration on f");
}

#[test]
fn a_quota_below_one_gpu_instance_is_told_with_the_request_for_more() {
    let quota = |value: f64| {
        Ok(json!({"Quota": {"ServiceCode": "ec2", "QuotaCode": G_INSTANCES, "Value": value, "Unit": "None"}}))
    };
    assert_eq!(gpu_quota(&quota(64.0)), Found::Good("64 vCPUs".to_owned()));
    assert!(unknown(gpu_quota(&quota(0.0))).contains("--quota-code L-DB2E81BA"));
    assert_eq!(unknown(gpu_quota(&said("AccessDeniedException"))), "you need servicequotas:GetServiceQuota");
}

#[test]
fn an_image_that_is_not_in_the_registry_lets_no_step_start() {
    assert_eq!(in_registry(Ok(Some("sha256:1".to_owned()))), Found::Good("sha256:1".to_owned()));
    assert!(bad(in_registry(Ok(None))).contains("deploy --executor"));
    assert!(unknown(in_registry(Err("403 Forbidden".to_owned()))).contains("ecr:BatchGetImage"));
}

#[test]
fn where_dispatch_makes_pods_the_others_need_no_entry() {
    let mut deployment = deployment();
    for name in ["advance", "ingest", "sweep"] {
        let function = crate::contexts::Function { role_arn: format!("arn:{name}"), ..Default::default() };
        deployment.functions.insert(name.to_owned(), function);
    }
    assert_eq!(pod_makers(&deployment), [("advance", "arn:advance"), ("sweep", "arn:sweep")]);
    let dispatch = crate::contexts::Function { role_arn: "arn:d".to_owned(), ..Default::default() };
    deployment.functions.insert("dispatch".to_owned(), dispatch);
    assert_eq!(pod_makers(&deployment), [("dispatch", "arn:d")]);
}

#[test]
fn arns_become_parts_of_a_path() {
    assert_eq!(escaped("arn:aws:iam::1:role/x"), "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx");
}
