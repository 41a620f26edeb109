//! Whether the deployment's roles may what they need. It matters most for roles that somebody else has made.

use super::bad;
use super::permissions::{Permission, logs, models, needs, places, uploads};
use super::simulation::{denied, simulate};
use crate::cloud::doctor::{Check, Found};
use crate::cloud::request::{Aws, Refused};
use crate::contexts::Deployment;

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
        let denied = denied(&role.needs, |asked| simulate(aws, &role.arn, asked), aws.is_emulated());
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
            format!("{} may not {}", role.arn, denied.join("; ")),
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
    let mut roles = Vec::new();
    let mut role = |what: String, who: &str, arn: &str, own: &[(&'static str, Vec<String>)]| {
        if !arn.is_empty() {
            let needs = needs(who, &[places(deployment), own.to_vec()].concat());
            roles.push(Role { what, arn: arn.to_owned(), needs });
        }
    };
    let all: Vec<&String> = deployment.namespaces.keys().collect();
    // Functions serve all namespaces alike: one stands for the others.
    let first: Vec<String> = all.iter().take(1).map(|name| (*name).clone()).collect();
    for (name, function) in &deployment.functions {
        let models = models(deployment, all.iter().copied());
        let logs = logs(deployment, &function.name);
        let own = [("namespace", first.clone()), ("logs", logs), ("models", models)];
        role(format!("function {name}"), name, &function.role_arn, &own);
    }
    role("schedules".to_owned(), "scheduler", &deployment.scheduler_role_arn, &[]);
    for (name, of) in &deployment.namespaces {
        let own = [
            ("namespace", vec![name.clone()]),
            ("models", models(deployment, [name])),
            ("upload-prefix", uploads(deployment, name)),
        ];
        role(format!("steps in {name}"), "steps", &of.role_arn, &own);
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::super::simulation::Asked;
    use super::*;
    use crate::contexts::{Function, Namespace};

    fn deployment() -> Deployment {
        let function = |name: &str| Function {
            name: format!("forge-{name}"),
            alias_arn: format!("arn:aws:lambda:r:1:function:forge-{name}:live"),
            role_arn: format!("arn:aws:iam::1:role/{name}"),
        };
        let namespace = |name: &str| Namespace {
            role_arn: format!("arn:aws:iam::1:role/{name}"),
            model_prefixes: vec![format!("models/{name}/")],
            upload_prefixes: vec![format!("{name}/")],
            ..Namespace::default()
        };
        Deployment {
            region: "r".to_owned(),
            account: "1".to_owned(),
            control_bucket: "c".to_owned(),
            artifact_bucket: "a".to_owned(),
            upload_bucket: "u".to_owned(),
            events_queue_arn: "arn:aws:sqs:r:1:e".to_owned(),
            schedule_group: "forge".to_owned(),
            scheduler_role_arn: "arn:aws:iam::1:role/scheduler".to_owned(),
            functions: ["advance", "sweep"].map(|name| (name.to_owned(), function(name))).into(),
            namespaces: ["ml", "nlp"].map(|name| (name.to_owned(), namespace(name))).into(),
            ..Deployment::default()
        }
    }

    fn role(what: &str) -> Role {
        roles(&deployment()).into_iter().find(|role| role.what == what).unwrap()
    }

    fn texts(role: &Role) -> Vec<String> {
        role.needs.iter().map(|need| format!("{} {}", need.action, need.resource)).collect()
    }

    #[test]
    fn each_role_needs_what_the_table_says_of_what_is_there() {
        let named: Vec<_> = roles(&deployment()).iter().map(|role| role.what.clone()).collect();
        assert_eq!(named, ["function advance", "function sweep", "schedules", "steps in ml", "steps in nlp"]);
        let advance = texts(&role("function advance"));
        for need in [
            "s3:PutObject arn:aws:s3:::c/journals/a",
            "s3:GetObject arn:aws:s3:::a/ml/a",
            "scheduler:CreateSchedule arn:aws:scheduler:r:1:schedule/forge/a",
            "logs:PutLogEvents arn:aws:logs:r:1:log-group:/aws/lambda/forge-advance:log-stream:a",
            "s3:DeleteObject arn:aws:s3:::models/ml/a",
            "s3:DeleteObject arn:aws:s3:::models/nlp/a",
        ] {
            assert!(advance.contains(&need.to_owned()), "{need}: {advance:?}");
        }
        // There is no upload queue, no `dispatch` and no key.
        let others = ["lambda:", "kms:", "{"];
        assert!(!advance.iter().any(|need| others.iter().any(|one| need.contains(one))), "{advance:?}");
        assert!(texts(&role("steps in ml")).contains(&"s3:PutObject arn:aws:s3:::a/ml/a".to_owned()));
    }

    #[test]
    fn steps_need_the_prefixes_of_their_own_namespace() {
        let needs = role("steps in nlp").needs;
        let puts = needs.iter().filter(|need| need.action == "s3:PutObject").map(|need| &need.resource);
        let models: Vec<&String> = puts.filter(|resource| resource.contains(":::models/")).collect();
        assert_eq!(models, ["arn:aws:s3:::models/nlp/a"]);
        let uploads = needs.iter().filter(|need| need.resource.starts_with("arn:aws:s3:::u/"));
        let uploads: Vec<&String> = uploads.map(|need| &need.resource).collect();
        assert_eq!(uploads, ["arn:aws:s3:::u/nlp/a"; 2]);
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
        assert_eq!(denied(&role.needs, all("allowed"), false), Ok(Vec::new()));
        let missing = denied(&role.needs, all("implicitDeny"), false);
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
}
