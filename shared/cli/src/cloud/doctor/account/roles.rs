//! Whether the deployment's roles may what they need: IAM is asked, which takes a role's policies and its boundary
//! together. It matters most for roles that somebody else has made.

use std::collections::BTreeMap;

use super::{bad, escaped};
use crate::cloud::doctor::{Check, Found};
use crate::cloud::request::{Aws, Refused};
use crate::contexts::Deployment;

/// Who needs what.
const PERMISSIONS: &str = include_str!("permissions.txt");

/// One thing that a role has to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Permission {
    who: String,
    action: String,
    resource: String,
    /// What IAM is told of the request.
    context: Vec<(String, String)>,
}

/// A role with what it needs.
struct Role {
    what: String,
    arn: String,
    needs: Vec<Permission>,
}

/// Asks IAM about each role; it blocks. One answer where the person may not ask.
pub fn examine(aws: &Aws, deployment: &Deployment) -> Vec<Check> {
    let mut checks = Vec::new();
    for role in roles(deployment) {
        let what = format!("permissions of {}", role.what);
        let denied = denied(&role, |asked| simulate(aws, &role.arn, asked), aws.is_emulated());
        let is_refused = denied.as_ref().is_err_and(Refused::is_denied);
        checks.push(Check::new(what, found(&denied, &role)));
        if is_refused {
            break;
        }
    }
    checks
}

fn found(denied: &Result<Vec<String>, Refused>, role: &Role) -> Found {
    match denied {
        Ok(denied) if denied.is_empty() => Found::Good("all that it needs".to_owned()),
        Ok(denied) => bad(
            format!("{} may not {}", role.arn, denied.join(", ")),
            "apply the Terraform modules; who was given the role has its owner attach what the module's output `policies` says",
        ),
        Err(why) if why.code() == "NoSuchEntity" => {
            bad(format!("there is no role {}", role.arn), "apply the Terraform modules")
        }
        Err(why) if why.is_denied() => Found::Unknown(format!(
            "could not be checked, neither here nor for other roles: you need iam:SimulatePrincipalPolicy on {}",
            role.arn
        )),
        Err(why) => Found::Unknown(format!("could not be checked: {why}")),
    }
}

/// The roles of a deployment that are known.
fn roles(deployment: &Deployment) -> Vec<Role> {
    let all = permissions();
    let mut roles = Vec::new();
    let mut role = |what: String, who: &str, arn: &str, own: &[(&str, String)]| {
        let places =
            [places(deployment), own.iter().map(|(name, of)| (*name, of.clone())).collect()].concat();
        let needs = all.iter().filter(|one| one.who == who).filter_map(|one| placed(one, &places)).collect();
        if !arn.is_empty() {
            roles.push(Role { what, arn: arn.to_owned(), needs });
        }
    };
    let namespace = deployment.namespaces.keys().next().cloned().unwrap_or_default();
    for (name, function) in &deployment.functions {
        let own = [("namespace", namespace.clone()), ("logs", log_group(deployment, &function.name))];
        role(format!("function {name}"), name, &function.role_arn, &own);
    }
    role("schedules".to_owned(), "scheduler", &deployment.scheduler_role_arn, &[]);
    for (name, of) in &deployment.namespaces {
        role(format!("steps in {name}"), "steps", &of.role_arn, &[("namespace", name.clone())]);
    }
    roles
}

fn permissions() -> Vec<Permission> {
    let lines = PERMISSIONS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(permission).collect()
}

fn permission(line: &str) -> Option<Permission> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (who, action, resource) = (words.next()?, words.next()?, words.next()?);
    let known = |word: String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Some(Permission { who, action, resource, context: words.filter_map(known).collect() })
}

/// What the names in the table stand for.
fn places(deployment: &Deployment) -> Vec<(&'static str, String)> {
    let partition = partition(deployment);
    let Deployment { region, account, schedule_group, .. } = deployment;
    let bucket = |name: &str| if_any(name, format!("arn:{partition}:s3:::{name}"));
    let function =
        |name: &str| deployment.functions.get(name).map(|f| f.alias_arn.clone()).unwrap_or_default();
    vec![
        ("control", bucket(&deployment.control_bucket)),
        ("artifacts", bucket(&deployment.artifact_bucket)),
        ("uploads", bucket(&deployment.upload_bucket)),
        ("events-queue", deployment.events_queue_arn.clone()),
        ("upload-queue", deployment.upload_queue_arn.clone()),
        (
            "schedules",
            if_any(
                schedule_group,
                format!("arn:{partition}:scheduler:{region}:{account}:schedule/{schedule_group}"),
            ),
        ),
        ("scheduler-role", deployment.scheduler_role_arn.clone()),
        ("sweep", function("sweep")),
        ("dispatch", function("dispatch")),
    ]
}

fn log_group(deployment: &Deployment, function: &str) -> String {
    let Deployment { region, account, .. } = deployment;
    let partition = partition(deployment);
    if_any(
        function,
        format!("arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{function}:log-stream:a"),
    )
}

/// `aws`, or the name of a part of it that stands for itself: `aws-cn`.
fn partition(deployment: &Deployment) -> &str {
    deployment.events_queue_arn.split(':').nth(1).unwrap_or("aws")
}

fn if_any(name: &str, text: String) -> String {
    if name.is_empty() { String::new() } else { text }
}

/// The permission with names in the places of braces; none where something that it names is not there.
fn placed(permission: &Permission, places: &[(&str, String)]) -> Option<Permission> {
    let text = |text: &str| {
        let mut text = text.to_owned();
        for (name, place) in places {
            let braced = format!("{{{name}}}");
            if text.contains(&braced) {
                text = (!place.is_empty()).then(|| text.replace(&braced, place))?;
            }
        }
        (!text.contains('{')).then_some(text)
    };
    let known = |(key, value): &(String, String)| Some((key.clone(), text(value)?));
    Some(Permission {
        resource: text(&permission.resource)?,
        context: permission.context.iter().map(known).collect::<Option<_>>()?,
        ..permission.clone()
    })
}

/// What is asked at once: actions on one resource, since an answer about several is the strictest of them.
struct Asked<'a> {
    actions: Vec<&'a str>,
    resource: &'a str,
    context: &'a [(String, String)],
}

/// What of a role's needs is not allowed. An emulator knows nothing of the request, so that what depends on that is not
/// asked of it.
fn denied(
    role: &Role,
    ask: impl Fn(&Asked<'_>) -> Result<BTreeMap<String, String>, Refused>,
    is_emulated: bool,
) -> Result<Vec<String>, Refused> {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for need in role.needs.iter().filter(|need| !is_emulated || need.context.is_empty()) {
        groups.entry((need.resource.as_str(), need.context.as_slice())).or_default().push(&need.action);
    }
    let mut denied = Vec::new();
    for ((resource, context), actions) in groups {
        let decisions = ask(&Asked { actions: actions.clone(), resource, context })?;
        let refused =
            actions.iter().filter(|action| decisions.get(**action).is_none_or(|said| said != "allowed"));
        denied.extend(refused.map(|action| format!("{action} on {resource}")));
    }
    Ok(denied)
}

/// What IAM decides on each action.
fn simulate(aws: &Aws, role: &str, asked: &Asked<'_>) -> Result<BTreeMap<String, String>, Refused> {
    let mut fields = vec![
        ("Action".to_owned(), "SimulatePrincipalPolicy".to_owned()),
        ("Version".to_owned(), "2010-05-08".to_owned()),
        ("PolicySourceArn".to_owned(), role.to_owned()),
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
    let answer = aws.of_all_regions().form(&form.collect::<Vec<_>>().join("&"))?;
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
    use crate::contexts::{Function, Namespace};

    fn deployment() -> Deployment {
        let function = |name: &str| Function {
            name: format!("forge-{name}"),
            alias_arn: format!("arn:aws:lambda:r:1:function:forge-{name}:live"),
            role_arn: format!("arn:aws:iam::1:role/{name}"),
        };
        Deployment {
            region: "r".to_owned(),
            account: "1".to_owned(),
            control_bucket: "c".to_owned(),
            artifact_bucket: "a".to_owned(),
            events_queue_arn: "arn:aws:sqs:r:1:e".to_owned(),
            schedule_group: "forge".to_owned(),
            scheduler_role_arn: "arn:aws:iam::1:role/scheduler".to_owned(),
            functions: ["advance", "sweep"].map(|name| (name.to_owned(), function(name))).into(),
            namespaces: [(
                "ml".to_owned(),
                Namespace { role_arn: "arn:aws:iam::1:role/ml".to_owned(), ..Namespace::default() },
            )]
            .into(),
            ..Deployment::default()
        }
    }

    fn role(what: &str) -> Role {
        roles(&deployment()).into_iter().find(|role| role.what == what).unwrap()
    }

    fn needs(role: &Role) -> Vec<String> {
        role.needs.iter().map(|need| format!("{} {}", need.action, need.resource)).collect()
    }

    #[test]
    fn each_role_needs_what_the_table_says_of_what_is_there() {
        let named: Vec<_> = roles(&deployment()).iter().map(|role| role.what.clone()).collect();
        assert_eq!(named, ["function advance", "function sweep", "schedules", "steps in ml"]);
        let advance = needs(&role("function advance"));
        for need in [
            "s3:PutObject arn:aws:s3:::c/journals/a",
            "s3:GetObject arn:aws:s3:::a/ml/a",
            "scheduler:CreateSchedule arn:aws:scheduler:r:1:schedule/forge/a",
            "logs:PutLogEvents arn:aws:logs:r:1:log-group:/aws/lambda/forge-advance:log-stream:a",
        ] {
            assert!(advance.contains(&need.to_owned()), "{need}: {advance:?}");
        }
        // There is no upload queue and no `dispatch`.
        assert!(!advance.iter().any(|need| need.contains("lambda:") || need.contains('{')), "{advance:?}");
        assert!(needs(&role("steps in ml")).contains(&"s3:PutObject arn:aws:s3:::a/ml/a".to_owned()));
    }

    #[test]
    fn what_a_role_may_not_is_named_with_its_resource() {
        let role = role("schedules");
        let all = |decision: &str| {
            let decision = decision.to_owned();
            move |asked: &Asked<'_>| {
                Ok(asked.actions.iter().map(|action| ((*action).to_owned(), decision.clone())).collect())
            }
        };
        assert_eq!(denied(&role, all("allowed"), false), Ok(Vec::new()));
        let missing = denied(&role, all("implicitDeny"), false);
        let Found::Bad(why, remedy) = found(&missing, &role) else { panic!("it is told") };
        assert!(why.contains("sqs:SendMessage on arn:aws:sqs:r:1:e"), "{why}");
        assert!(remedy.contains("output `policies`"), "{remedy}");
    }

    #[test]
    fn who_may_not_ask_is_told_what_it_takes() {
        let refused = Err(Refused::Said("AccessDenied".to_owned(), "no".to_owned()));
        let Found::Unknown(why) = found(&refused, &role("schedules")) else { panic!("nothing is known") };
        assert!(
            why.contains("you need iam:SimulatePrincipalPolicy on arn:aws:iam::1:role/scheduler"),
            "{why}"
        );
        let gone = Err(Refused::Said("NoSuchEntity".to_owned(), String::new()));
        assert!(
            matches!(found(&gone, &role("schedules")), Found::Bad(why, _) if why.contains("there is no role"))
        );
    }

    #[test]
    fn what_depends_on_the_request_is_not_asked_of_an_emulator() {
        let asked = std::cell::RefCell::new(Vec::new());
        let ask = |one: &Asked<'_>| {
            asked.borrow_mut().extend(one.actions.iter().map(|action| (*action).to_owned()));
            Ok(BTreeMap::new())
        };
        denied(&role("function advance"), ask, true).unwrap();
        assert!(!asked.borrow().contains(&"iam:PassRole".to_owned()), "{asked:?}");
        denied(&role("function advance"), ask, false).unwrap();
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
