//! What IAM decides on somebody's requests: of the policies of a role or user with its boundary. It knows nothing of what
//! buckets, queues and keys say of themselves.

use std::collections::BTreeMap;

use super::escaped;
use super::permissions::Permission;
use crate::cloud::request::{Aws, IAM, Refused};

/// What is asked at once: actions on one resource, since an answer about several is the strictest of them.
pub struct Asked<'a> {
    /// IAM's names of them.
    pub actions: Vec<&'a str>,
    resource: &'a str,
    context: &'a [(String, String)],
}

/// What is not allowed of all that is needed: each action, with on what. An emulator knows nothing of the request, so
/// that what depends on that is not asked of it.
///
/// # Errors
/// When IAM does not answer, of whatever was asked.
pub fn denied(
    needs: &[Permission],
    ask: impl Fn(&Asked<'_>) -> Result<BTreeMap<String, String>, Refused>,
    is_emulated: bool,
) -> Result<Vec<String>, Refused> {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for need in needs.iter().filter(|need| !is_emulated || need.context.is_empty()) {
        groups.entry((need.resource.as_str(), need.context.as_slice())).or_default().push(&need.action);
    }
    let mut denied: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ((resource, context), actions) in groups {
        let decisions = ask(&Asked { actions: actions.clone(), resource, context })?;
        for action in actions {
            if decisions.get(action).is_none_or(|said| said != "allowed") {
                denied.entry(action).or_default().push(resource);
            }
        }
    }
    let text = |(action, mut on): (&str, Vec<&str>)| {
        // A key may be asked for twice, for each of two services that use it.
        on.dedup();
        format!("{action} on {}", on.join(", "))
    };
    Ok(denied.into_iter().map(text).collect())
}

/// What IAM decides on each action of a role or user.
///
/// # Errors
/// When it refuses to say, or is not reached.
pub fn simulate(aws: &Aws, principal: &str, asked: &Asked<'_>) -> Result<BTreeMap<String, String>, Refused> {
    let mut fields = vec![
        ("Action".to_owned(), "SimulatePrincipalPolicy".to_owned()),
        ("Version".to_owned(), "2010-05-08".to_owned()),
        ("PolicySourceArn".to_owned(), principal.to_owned()),
        ("ResourceArns.member.1".to_owned(), asked.resource.to_owned()),
    ];
    for (number, action) in (1..).zip(&asked.actions) {
        fields.push((format!("ActionNames.member.{number}"), (*action).to_owned()));
    }
    // Policies refuse what comes without TLS; nothing of ours does.
    let tls = ("aws:SecureTransport".to_owned(), "true".to_owned());
    for (number, (key, value)) in (1..).zip(asked.context.iter().chain([&tls])) {
        let entry = format!("ContextEntries.member.{number}");
        let kind = if *key == tls.0 { "boolean" } else { "string" };
        fields.push((format!("{entry}.ContextKeyName"), key.clone()));
        fields.push((format!("{entry}.ContextKeyType"), kind.to_owned()));
        fields.push((format!("{entry}.ContextKeyValues.member.1"), value.clone()));
    }
    let form = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    let answer = aws.of_all_regions().form(&IAM, &form.collect::<Vec<_>>().join("&"))?;
    Ok(decisions(&answer))
}

/// The decision on each action, from IAM's XML.
fn decisions(answer: &str) -> BTreeMap<String, String> {
    let results = answer.split("<EvalActionName>").skip(1);
    let pair = |rest: &str| {
        let (action, _) = rest.split_once("</EvalActionName>")?;
        let (_, decision) = rest.split_once("<EvalDecision>")?;
        let (decision, _) = decision.split_once("</EvalDecision>")?;
        Some((action.to_owned(), decision.to_owned()))
    };
    results.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::doctor::account::permissions;

    #[test]
    fn what_is_denied_is_told_by_action() {
        let places =
            vec![("events-queue", vec!["arn:e".to_owned()]), ("upload-queue", vec!["arn:u".to_owned()])];
        let needs = permissions::needs("ingest", &places);
        let ask = |asked: &Asked<'_>| {
            let said = |action: &&str| if *action == "sqs:SendMessage" { "allowed" } else { "implicitDeny" };
            Ok(asked.actions.iter().map(|action| ((*action).to_owned(), said(action).to_owned())).collect())
        };
        let queue = ["ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage"];
        let queue = queue.map(|action| format!("sqs:{action} on arn:u"));
        let expected = [vec!["scheduler:ListSchedules on *".to_owned()], queue.to_vec()].concat();
        assert_eq!(denied(&needs, ask, false), Ok(expected));
        let needs = permissions::needs("scheduler", &places);
        let none = |_: &Asked<'_>| Ok(BTreeMap::new());
        assert_eq!(denied(&needs, none, false), Ok(vec!["sqs:SendMessage on arn:e, arn:u".to_owned()]));
        let key = || vec!["arn:k".to_owned()];
        let places = vec![("region", vec!["r".to_owned()]), ("bucket-key", key()), ("queue-key", key())];
        let expected = ["kms:Decrypt on arn:k", "kms:GenerateDataKey on arn:k"].map(str::to_owned);
        assert_eq!(denied(&permissions::needs("steps", &places), none, false), Ok(expected.to_vec()));
    }

    #[test]
    fn what_depends_on_the_request_is_not_asked_of_an_emulator() {
        let places = vec![("scheduler-role", vec!["arn:aws:iam::1:role/scheduler".to_owned()])];
        let needs = permissions::needs("advance", &places);
        let asked = std::cell::RefCell::new(Vec::new());
        let ask = |one: &Asked<'_>| {
            asked.borrow_mut().extend(one.actions.iter().map(|action| (*action).to_owned()));
            Ok(BTreeMap::new())
        };
        denied(&needs, ask, true).unwrap();
        assert!(!asked.borrow().contains(&"iam:PassRole".to_owned()), "{asked:?}");
        denied(&needs, ask, false).unwrap();
        assert!(asked.borrow().contains(&"iam:PassRole".to_owned()), "{asked:?}");
    }

    #[test]
    fn decisions_are_read_as_aws_documents_them() {
        let answer = "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">
            <SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>
            <member><MatchedStatements><member><SourcePolicyId>p</SourcePolicyId></member></MatchedStatements>
            <MissingContextValues/><EvalResourceName>arn:aws:s3:::c/k</EvalResourceName>
            <EvalActionName>s3:GetObject</EvalActionName><EvalDecision>allowed</EvalDecision></member>
            <member><MatchedStatements/><EvalResourceName>arn:aws:s3:::c/k</EvalResourceName>
            <EvalActionName>s3:PutObject</EvalActionName><EvalDecision>implicitDeny</EvalDecision></member>
            </EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>";
        let told = [("s3:GetObject", "allowed"), ("s3:PutObject", "implicitDeny")];
        assert_eq!(decisions(answer), told.map(|(a, d)| (a.to_owned(), d.to_owned())).into());
    }
}
