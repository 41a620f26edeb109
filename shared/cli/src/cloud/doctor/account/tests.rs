//! Answers as AWS's documentation shows them.

use super::*;

/// An error of a service's.
pub fn said(code: &str) -> Answer {
    Err(Refused::Said(code.to_owned(), "words".to_owned()))
}

/// What is wrong and what to do, in one text.
pub fn bad(found: Found) -> String {
    match found {
        Found::Bad(why, remedy) => format!("{why}; {remedy}"),
        other => panic!("{other:?}"),
    }
}

/// What it takes to know more.
pub fn unknown(found: Found) -> String {
    match found {
        Found::Unknown(why) => why,
        other => panic!("{other:?}"),
    }
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
fn arns_become_parts_of_a_path() {
    assert_eq!(escaped("arn:aws:iam::1:role/x"), "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx");
}
