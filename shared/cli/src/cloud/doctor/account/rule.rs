//! The rule of EventBridge that tells the upload queue of files, where the deployment has one.

use serde_json::{Value, json};

use super::{Answer, bad, is_missing, told};
use crate::cloud::doctor::{Check, Found};
use crate::cloud::request::{Aws, Service};
use crate::contexts::Deployment;

const EVENTS: Service = Service { name: "events", host: "events" };

/// Asks for it; it blocks. None where the outputs name no rule.
pub fn examine(aws: &Aws, deployment: &Deployment) -> Option<Check> {
    let name = deployment.upload_rule.as_ref()?;
    let ask = |operation: &str, field: &str| {
        aws.ask(&EVENTS, &format!("AWSEvents.{operation}"), &json!({field: name}))
    };
    let found = found(&ask("DescribeRule", "Name"), &ask("ListTargetsByRule", "Rule"), name, deployment);
    Some(Check::new(format!("rule {name}"), found))
}

fn found(rule: &Answer, targets: &Answer, name: &str, deployment: &Deployment) -> Found {
    let apply = "apply the Terraform modules: queues makes it";
    if is_missing(rule) {
        return bad("it is not there: no trigger starts", apply);
    }
    let (bucket, queue) = (&deployment.upload_bucket, &deployment.upload_queue_arn);
    told(rule, &format!("events:DescribeRule on rule/{name}"), |rule| {
        let state = rule["State"].as_str().unwrap_or_default();
        if !state.starts_with("ENABLED") {
            return bad(
                format!("it is {state}: no trigger starts"),
                format!("aws events enable-rule --region {} --name {name}", deployment.region),
            );
        }
        if !is_of(rule, bucket) {
            return bad(format!("it is not about {bucket}: no trigger starts"), apply);
        }
        told(targets, &format!("events:ListTargetsByRule on rule/{name}"), |told| {
            let mut targets = told["Targets"].as_array().into_iter().flatten();
            match targets.any(|target| target["Arn"] == **queue) {
                true => Found::Good("sends to the upload queue".to_owned()),
                false => bad(format!("it does not send to {queue}: no trigger starts"), apply),
            }
        })
    })
}

/// Whether a rule's pattern is about objects of a bucket.
fn is_of(rule: &Value, bucket: &str) -> bool {
    let pattern: Value =
        serde_json::from_str(rule["EventPattern"].as_str().unwrap_or_default()).unwrap_or_default();
    let names = pattern["detail"]["bucket"]["name"].as_array();
    names.into_iter().flatten().any(|name| name == bucket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::doctor::account::tests::{bad as text, said, unknown};

    const QUEUE: &str = "arn:aws:sqs:r:1:forge-uploads";

    fn of(state: &str, bucket: &str, target: &str) -> [Answer; 2] {
        let pattern = json!({"source": ["aws.s3"], "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [bucket]}}});
        [
            Ok(json!({"Name": "forge-uploads", "State": state, "EventPattern": pattern.to_string(),
                "EventBusName": "default"})),
            Ok(json!({"Targets": [{"Id": "1", "Arn": target}]})),
        ]
    }

    fn judged([rule, targets]: [Answer; 2]) -> Found {
        let deployment = Deployment {
            region: "r".to_owned(),
            upload_bucket: "u".to_owned(),
            upload_queue_arn: QUEUE.to_owned(),
            ..Deployment::default()
        };
        found(&rule, &targets, "forge-uploads", &deployment)
    }

    #[test]
    fn a_rule_is_there_enabled_about_the_bucket_and_sends_to_the_queue() {
        let well = Found::Good("sends to the upload queue".to_owned());
        assert_eq!(judged(of("ENABLED", "u", QUEUE)), well);
        let off = text(judged(of("DISABLED", "u", QUEUE)));
        assert!(
            off.contains("it is DISABLED") && off.contains("enable-rule --region r --name forge-uploads"),
            "{off}"
        );
        assert!(text(judged(of("ENABLED", "other", QUEUE))).contains("not about u"));
        assert!(text(judged(of("ENABLED", "u", "arn:other"))).contains(&format!("does not send to {QUEUE}")));
        let gone = judged([said("ResourceNotFoundException"), said("ResourceNotFoundException")]);
        assert!(text(gone).contains("it is not there"));
    }

    #[test]
    fn who_may_not_look_at_it_is_told_what_it_takes() {
        let denied = || said("AccessDeniedException");
        assert_eq!(
            unknown(judged([denied(), denied()])),
            "you need events:DescribeRule on rule/forge-uploads"
        );
        let [rule, _] = of("ENABLED", "u", QUEUE);
        assert_eq!(
            unknown(judged([rule, denied()])),
            "you need events:ListTargetsByRule on rule/forge-uploads"
        );
    }
}
