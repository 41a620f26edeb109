//! What the person who asks may do with the deployment: read its runs, submit some, operate it.
//!
//! Nobody has to be allowed all of it, so that nothing of it is wrong: what a person lacks is named with what gives it.

use super::escaped;
use super::permissions::{Places, models, needs, places, uploads};
use super::simulation::{denied, simulate};
use crate::cloud::doctor::{Check, Found};
use crate::cloud::request::{Aws, IAM, Refused, STS, element};
use crate::contexts::Deployment;

/// Who asks, as AWS names them.
#[derive(Debug, PartialEq, Eq)]
enum Caller {
    /// The account itself, which may everything.
    Root,
    /// A user or a role, by its ARN.
    Principal(String),
    /// A session of the role of this name, whose path is not told.
    Session(String),
    /// Somebody of whom IAM keeps no policies, such as a federated user.
    Other(String),
}

/// A group of things that people do: what one of the policies of the module `people` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Read,
    Submit,
    Operate,
}

impl Verb {
    const ALL: [Verb; 3] = [Verb::Read, Verb::Submit, Verb::Operate];

    /// The policy's name, and who needs it in the table.
    fn name(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Submit => "submit",
            Verb::Operate => "operate",
        }
    }

    /// Where it is done; `operate` is of the whole deployment.
    fn place(self, of: &str, namespace: &str) -> String {
        match self {
            Verb::Read | Verb::Submit => format!(" {of} {namespace}"),
            Verb::Operate => String::new(),
        }
    }
}

/// Asks who asks, and what they may; it blocks.
pub fn examine(aws: &Aws, deployment: &Deployment, namespace: &str) -> Vec<Check> {
    let places = own_places(deployment, namespace);
    match principal(aws) {
        Err(found) => vec![Check::new("your permissions", found)],
        Ok(arn) => checks(&arn, namespace, |verb| {
            denied(&needs(verb.name(), &places), |asked| simulate(aws, &arn, asked), aws.is_emulated())
        }),
    }
}

fn own_places(deployment: &Deployment, namespace: &str) -> Places {
    let namespace = namespace.to_owned();
    let own = vec![
        ("models", models(deployment, [&namespace])),
        ("upload-prefix", uploads(deployment, &namespace)),
        ("namespace", vec![namespace]),
    ];
    [places(deployment), own].concat()
}

/// The user or role whose policies say what the person may; else what there is to say.
fn principal(aws: &Aws) -> Result<String, Found> {
    let told = aws.form(&STS, "Action=GetCallerIdentity&Version=2011-06-15");
    let told = told.map_err(|why| Found::Unknown(format!("AWS does not say who you are: {why}")))?;
    match caller(element(&told, "Arn").unwrap_or_default()) {
        Caller::Root => Err(Found::Good("all: you are the account's root user".to_owned())),
        Caller::Principal(arn) => Ok(arn),
        Caller::Session(name) => {
            let form = format!("Action=GetRole&Version=2010-05-08&RoleName={}", escaped(&name));
            role_of_session(&name, aws.of_all_regions().form(&IAM, &form))
        }
        Caller::Other(arn) => {
            Err(Found::Unknown(format!("could not be checked: IAM keeps no policies of {arn}")))
        }
    }
}

/// `arn:aws:iam::1:user/ann`, `arn:aws:iam::1:root`, `arn:aws:sts::1:assumed-role/NAME/SESSION`.
fn caller(arn: &str) -> Caller {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, kind) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
    match (service, kind.split('/').collect::<Vec<_>>().as_slice()) {
        (_, ["root"]) => Caller::Root,
        ("sts", ["assumed-role", name, ..]) => Caller::Session((*name).to_owned()),
        ("iam", ["user" | "role", ..]) => Caller::Principal(arn.to_owned()),
        _ => Caller::Other(arn.to_owned()),
    }
}

/// A role's ARN holds its path, which only IAM knows.
fn role_of_session(name: &str, told: Result<String, Refused>) -> Result<String, Found> {
    let unknown = |why: String| Found::Unknown(format!("could not be checked: {why}"));
    match told {
        Ok(told) => {
            let arn = element(&told, "Arn").map(str::to_owned);
            arn.ok_or_else(|| unknown(format!("IAM tells no ARN of your role {name}")))
        }
        Err(why) if why.is_denied() => Err(unknown(format!(
            "you need iam:GetRole and iam:SimulatePrincipalPolicy on your own role {name}"
        ))),
        Err(why) => Err(unknown(why.to_string())),
    }
}

/// A line for each verb; one for all of them where the person may not ask.
fn checks(arn: &str, namespace: &str, ask: impl Fn(Verb) -> Result<Vec<String>, Refused>) -> Vec<Check> {
    let mut checks = Vec::new();
    for verb in Verb::ALL {
        let what = format!("your right to {}{}", verb.name(), verb.place("in", namespace));
        match ask(verb) {
            Ok(denied) => checks.push(Check::new(what, found(verb, arn, namespace, &denied))),
            Err(why) => return vec![Check::new("your permissions", unasked(arn, &why))],
        }
    }
    checks
}

fn found(verb: Verb, arn: &str, namespace: &str, denied: &[String]) -> Found {
    match denied {
        [] => Found::Good(format!("{arn} may all that it takes")),
        denied => Found::Unknown(format!(
            "{arn} may not {}. The policy `{}`{} allows that",
            denied.join("; "),
            verb.name(),
            verb.place("of", namespace)
        )),
    }
}

fn unasked(arn: &str, why: &Refused) -> Found {
    Found::Unknown(match why.is_denied() {
        true => format!("could not be checked: you need iam:SimulatePrincipalPolicy on {arn}"),
        false => format!("could not be checked: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::Namespace;

    const ARN: &str = "arn:aws:iam::1:user/ann";

    fn denied_of(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[test]
    fn a_caller_is_known_by_the_form_of_the_arn() {
        let session = |name: &str| Caller::Session(name.to_owned());
        assert_eq!(
            caller("arn:aws:sts::1:assumed-role/AWSReservedSSO_Research_01ab/ann@example.com"),
            session("AWSReservedSSO_Research_01ab")
        );
        assert_eq!(caller("arn:aws:iam::1:root"), Caller::Root);
        for known in [ARN, "arn:aws-cn:iam::1:user/people/ann", "arn:aws:iam::1:role/x"] {
            assert_eq!(caller(known), Caller::Principal(known.to_owned()));
        }
        for other in ["arn:aws:sts::1:federated-user/ann", ""] {
            assert_eq!(caller(other), Caller::Other(other.to_owned()));
        }
    }

    #[test]
    fn a_sessions_role_has_the_path_that_iam_tells() {
        let arn = "arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Research_01ab";
        let told = format!(
            "<GetRoleResponse><GetRoleResult><Role><Path>/aws-reserved/sso.amazonaws.com/</Path><Arn>{arn}</Arn>
            <RoleName>AWSReservedSSO_Research_01ab</RoleName></Role></GetRoleResult></GetRoleResponse>"
        );
        assert_eq!(role_of_session("AWSReservedSSO_Research_01ab", Ok(told)), Ok(arn.to_owned()));
        let refused = Err(Refused::Said("AccessDenied".to_owned(), "no".to_owned()));
        let Err(Found::Unknown(why)) = role_of_session("r", refused) else { panic!("nothing is known") };
        assert!(why.contains("iam:GetRole and iam:SimulatePrincipalPolicy on your own role r"), "{why}");
    }

    #[test]
    fn who_may_only_read_is_told_what_submitting_and_operating_take_and_nothing_fails() {
        let checks = checks(ARN, "ml", |verb| {
            Ok(match verb {
                Verb::Read => Vec::new(),
                Verb::Submit => denied_of("s3:PutObject on arn:aws:s3:::c/live/a"),
                Verb::Operate => denied_of("sqs:ReceiveMessage on arn:aws:sqs:r:1:dead"),
            })
        });
        let expected = [
            ("your right to read in ml", Found::Good(format!("{ARN} may all that it takes"))),
            (
                "your right to submit in ml",
                Found::Unknown(format!(
                    "{ARN} may not s3:PutObject on arn:aws:s3:::c/live/a. The policy `submit` of ml allows that"
                )),
            ),
            (
                "your right to operate",
                Found::Unknown(format!(
                    "{ARN} may not sqs:ReceiveMessage on arn:aws:sqs:r:1:dead. The policy `operate` allows that"
                )),
            ),
        ];
        assert_eq!(checks, expected.map(|(what, found)| Check::new(what, found)));
    }

    #[test]
    fn who_may_not_ask_is_told_once_what_it_takes() {
        let checks = checks(ARN, "ml", |_| Err(Refused::Said("AccessDenied".to_owned(), "no".to_owned())));
        let why = format!("could not be checked: you need iam:SimulatePrincipalPolicy on {ARN}");
        assert_eq!(checks, [Check::new("your permissions", Found::Unknown(why))]);
    }

    #[test]
    fn each_verb_takes_what_the_table_says_in_the_persons_namespace() {
        let upload_prefixes = vec!["churn/".to_owned()];
        let deployment = Deployment {
            control_bucket: "c".to_owned(),
            upload_bucket: "u".to_owned(),
            events_queue_arn: "arn:aws:sqs:r:1:e".to_owned(),
            namespaces: [("ml".to_owned(), Namespace { upload_prefixes, ..Namespace::default() })].into(),
            ..Deployment::default()
        };
        let places = own_places(&deployment, "ml");
        for (verb, need) in [
            (Verb::Read, "s3:GetObject arn:aws:s3:::c/logs/ml/a"),
            (Verb::Submit, "s3:PutObject arn:aws:s3:::c/runs/a/a/inbox/a"),
            (Verb::Submit, "s3:PutObject arn:aws:s3:::u/churn/a"),
            (Verb::Submit, "sqs:SendMessage arn:aws:sqs:r:1:e"),
            (Verb::Operate, "ecr:GetAuthorizationToken *"),
        ] {
            let needs = needs(verb.name(), &places);
            let found = needs.iter().any(|one| format!("{} {}", one.action, one.resource) == need);
            assert!(found, "{need}: {needs:?}");
        }
    }
}
