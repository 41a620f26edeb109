//! What roles and people need to be allowed, from a table, with a deployment's names in its places.

use std::collections::BTreeSet;

use crate::contexts::{Deployment, Function};

/// Who needs what.
const PERMISSIONS: &str = include_str!("permissions.txt");

/// One thing that somebody has to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// An action, by IAM's name.
    pub action: String,
    /// The ARN of what it is done to.
    pub resource: String,
    /// What IAM is told of the request.
    pub context: Vec<(String, String)>,
}

/// What the names in the table stand for: one thing, several or none.
pub type Places = Vec<(&'static str, Vec<String>)>;

/// What somebody needs in these places.
pub fn needs(who: &str, places: &Places) -> Vec<Permission> {
    let lines = PERMISSIONS.lines().filter(|line| !line.starts_with('#'));
    let own = lines.filter_map(|line| line.strip_prefix(who)?.strip_prefix(' '));
    own.flat_map(permissions).flat_map(|permission| placed(permission, places)).collect()
}

/// What is said behind somebody's name in a line.
fn permissions(line: &str) -> Vec<Permission> {
    let mut words = line.split_whitespace();
    let (Some(actions), Some(resource)) = (words.next(), words.next()) else { return Vec::new() };
    let known = |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let context: Vec<_> = words.filter_map(known).collect();
    let of = |action: &str| Permission {
        action: action.to_owned(),
        resource: resource.to_owned(),
        context: context.clone(),
    };
    actions.split(',').map(of).collect()
}

/// The permission with names in the places of braces; none where something that it names is not there.
fn placed(permission: Permission, places: &Places) -> Vec<Permission> {
    let each = |all: Vec<Permission>, (name, values): &(&str, Vec<String>)| {
        all.into_iter().flat_map(|one| one.with(&format!("{{{name}}}"), values)).collect::<Vec<_>>()
    };
    let all = places.iter().fold(vec![permission], each);
    all.into_iter().filter(|one| one.texts().all(|text| !text.contains('{'))).collect()
}

impl Permission {
    fn texts(&self) -> impl Iterator<Item = &String> {
        [&self.resource].into_iter().chain(self.context.iter().map(|(_, value)| value))
    }

    /// The permission for each of the values; as it is where it does not name them.
    fn with(self, braced: &str, values: &[String]) -> Vec<Permission> {
        if self.texts().all(|text| !text.contains(braced)) {
            return vec![self];
        }
        let of = |value: &String| Permission {
            resource: self.resource.replace(braced, value),
            context: self
                .context
                .iter()
                .map(|(key, text)| (key.clone(), text.replace(braced, value)))
                .collect(),
            ..self.clone()
        };
        values.iter().map(of).collect()
    }
}

/// What the names stand for that mean the same for everybody.
pub fn places(deployment: &Deployment) -> Places {
    let partition = partition(deployment);
    let Deployment { region, account, kms_key_arns: keys, .. } = deployment;
    let bucket = |name: &str| if_any(name, |name| format!("arn:{partition}:s3:::{name}"));
    let alias = |name: &str| deployment.functions.get(name).map(|own| own.alias_arn.clone());
    let group = |group: &str| format!("arn:{partition}:scheduler:{region}:{account}:schedule/{group}");
    let queue = |url: &String| {
        let name = url.rsplit('/').next().unwrap_or_default();
        format!("arn:{partition}:sqs:{region}:{account}:{name}")
    };
    let rule = |name: &String| format!("arn:{partition}:events:{region}:{account}:rule/{name}");
    let function =
        |own: &Function| format!("arn:{partition}:lambda:{region}:{account}:function:{}", own.name);
    vec![
        ("region", vec![region.clone()]),
        ("control", bucket(&deployment.control_bucket)),
        ("artifacts", bucket(&deployment.artifact_bucket)),
        ("uploads", bucket(&deployment.upload_bucket)),
        ("any-upload", any_uploads(deployment)),
        ("events-queue", if_any(&deployment.events_queue_arn, str::to_owned)),
        ("upload-queue", if_any(&deployment.upload_queue_arn, str::to_owned)),
        ("upload-rule", deployment.upload_rule.iter().map(rule).collect()),
        ("dead-letters", deployment.dead_letter_queue_urls.values().map(queue).collect()),
        ("schedules", if_any(&deployment.schedule_group, group)),
        ("scheduler-role", if_any(&deployment.scheduler_role_arn, str::to_owned)),
        ("sweep", alias("sweep").into_iter().collect()),
        ("dispatch", alias("dispatch").into_iter().collect()),
        ("function", deployment.functions.values().map(function).collect()),
        (
            "function-logs",
            deployment.functions.values().flat_map(|own| logs(deployment, &own.name)).collect(),
        ),
        ("cluster", if_any(&deployment.cluster.arn, str::to_owned)),
        ("cluster-parts", parts(&deployment.cluster.arn)),
        ("repository", repository(deployment).into_iter().collect()),
        ("bucket-key", keys.buckets.clone()),
        ("queue-key", keys.queues.clone()),
        ("schedule-key", keys.schedules.clone()),
    ]
}

/// Where steps of these namespaces may put models, beside the artifact bucket.
pub fn models<'a>(deployment: &Deployment, namespaces: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let own = namespaces.into_iter().filter_map(|name| deployment.namespaces.get(name));
    let mut prefixes: Vec<&String> = own.flat_map(|own| &own.model_prefixes).collect();
    // One prefix may serve several namespaces.
    prefixes.sort();
    prefixes.dedup();
    let partition = partition(deployment);
    prefixes.into_iter().map(|prefix| format!("arn:{partition}:s3:::{prefix}")).collect()
}

/// Which uploads the steps of a namespace may read, by the beginnings of their keys.
pub fn uploads(deployment: &Deployment, namespace: &str) -> Vec<String> {
    deployment.namespaces.get(namespace).map(|own| own.upload_prefixes.clone()).unwrap_or_default()
}

/// Which uploads the steps of any namespace may read.
fn any_uploads(deployment: &Deployment) -> Vec<String> {
    let all: BTreeSet<&String> =
        deployment.namespaces.values().flat_map(|own| &own.upload_prefixes).collect();
    all.into_iter().cloned().collect()
}

/// An add-on, an access entry and an association of Pod Identity of the cluster of this ARN.
fn parts(cluster: &str) -> Vec<String> {
    const KINDS: [&str; 3] = ["addon", "access-entry", "podidentityassociation"];
    let part = |kind: &str| cluster.replace(":cluster/", &format!(":{kind}/")) + "/a";
    if cluster.is_empty() { Vec::new() } else { KINDS.map(part).to_vec() }
}

/// Where a function's logs go.
pub fn logs(deployment: &Deployment, function: &str) -> Vec<String> {
    let Deployment { region, account, .. } = deployment;
    let partition = partition(deployment);
    if_any(function, |name| {
        format!("arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{name}:log-stream:a")
    })
}

/// The ARN of the repository `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME`.
fn repository(deployment: &Deployment) -> Option<String> {
    let (host, name) = deployment.executor_repository.as_deref()?.split_once('/')?;
    let mut parts = host.split('.');
    let (account, region) = (parts.next()?, parts.nth(2)?);
    host.contains(".dkr.ecr.")
        .then(|| format!("arn:{}:ecr:{region}:{account}:repository/{name}", partition(deployment)))
}

/// `aws`, or the name of a part of it that stands for itself: `aws-cn`.
fn partition(deployment: &Deployment) -> &str {
    deployment.events_queue_arn.split(':').nth(1).unwrap_or("aws")
}

fn if_any(name: &str, text: impl Fn(&str) -> String) -> Vec<String> {
    if name.is_empty() { Vec::new() } else { vec![text(name)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::{Keys, Namespace};

    fn texts(who: &str, places: &Places) -> Vec<String> {
        needs(who, places).iter().map(|need| format!("{} {}", need.action, need.resource)).collect()
    }

    fn with(mut places: Places, name: &'static str, values: &[&str]) -> Places {
        places.push((name, values.iter().map(|value| (*value).to_owned()).collect()));
        places
    }

    #[test]
    fn a_line_is_asked_for_each_thing_that_its_name_stands_for() {
        let models = |values: &[&str]| {
            let all = texts("steps", &with(Vec::new(), "models", values));
            let is_one = |text: &String| text.starts_with("s3:PutObject ") && text.ends_with("/m/a");
            all.into_iter().filter(is_one).collect::<Vec<_>>()
        };
        assert_eq!(models(&[]), [""; 0]);
        assert_eq!(
            models(&["arn:aws:s3:::x/m/", "arn:aws:s3:::y/m/"]),
            ["s3:PutObject arn:aws:s3:::x/m/a", "s3:PutObject arn:aws:s3:::y/m/a"]
        );
    }

    #[test]
    fn ingest_is_asked_for_what_the_steps_of_each_namespace_may_read() {
        let namespace = |prefixes: &[&str]| Namespace {
            upload_prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..Namespace::default()
        };
        let namespaces = [("a", namespace(&["x/", "y/"])), ("b", namespace(&["x/"])), ("c", namespace(&[]))];
        let deployment = Deployment {
            upload_bucket: "u".to_owned(),
            namespaces: namespaces.map(|(name, of)| (name.to_owned(), of)).into(),
            ..Deployment::default()
        };
        let mut asked = texts("ingest", &places(&deployment));
        asked.retain(|need| need.starts_with("s3:GetObject "));
        assert_eq!(asked, ["s3:GetObject arn:aws:s3:::u/x/a", "s3:GetObject arn:aws:s3:::u/y/a"]);
    }

    #[test]
    fn keys_are_asked_for_the_service_that_uses_them() {
        let deployment = Deployment {
            region: "r".to_owned(),
            kms_key_arns: Keys {
                buckets: vec!["arn:key/b".to_owned()],
                queues: vec!["arn:key/q".to_owned()],
                schedules: vec!["arn:key/s".to_owned()],
            },
            ..Deployment::default()
        };
        let asked = |who: &str| -> Vec<(String, String, Option<String>)> {
            let all = needs(who, &places(&deployment)).into_iter();
            let keys = all.filter(|need| need.action.starts_with("kms:"));
            keys.map(|need| (need.action, need.resource, need.context.into_iter().next().map(|(_, via)| via)))
                .collect()
        };
        let via = |key: &str, service: &str| {
            ["kms:Decrypt", "kms:GenerateDataKey"]
                .map(|action| (action.to_owned(), key.to_owned(), Some(format!("{service}.r.amazonaws.com"))))
        };
        for who in ["ingest", "advance", "sweep", "steps"] {
            assert_eq!(asked(who), [via("arn:key/b", "s3"), via("arn:key/q", "sqs")].concat(), "{who}");
        }
        let of_schedules: Vec<String> = asked("scheduler").into_iter().map(|(_, key, _)| key).collect();
        assert_eq!(of_schedules, ["arn:key/s", "arn:key/s", "arn:key/q", "arn:key/q"]);
        assert_eq!((asked("read").len(), asked("submit").len()), (2, 2));
    }

    #[test]
    fn what_the_outputs_name_by_url_is_asked_by_its_arn() {
        let function = Function { name: "forge-sweep".to_owned(), ..Function::default() };
        let mut deployment = Deployment {
            region: "r".to_owned(),
            account: "1".to_owned(),
            events_queue_arn: "arn:aws-cn:sqs:r:1:e".to_owned(),
            dead_letter_queue_urls: [(
                "events".to_owned(),
                "https://sqs.r.amazonaws.com/1/e-dead".to_owned(),
            )]
            .into(),
            upload_rule: Some("forge-uploads".to_owned()),
            executor_repository: Some("1.dkr.ecr.r.amazonaws.com.cn/forge/executor".to_owned()),
            functions: [("sweep".to_owned(), function)].into(),
            ..Deployment::default()
        };
        deployment.cluster.arn = "arn:aws-cn:eks:r:1:cluster/c".to_owned();
        let operate = texts("operate", &places(&deployment));
        for need in [
            "sqs:DeleteMessage arn:aws-cn:sqs:r:1:e-dead",
            "ecr:PutImage arn:aws-cn:ecr:r:1:repository/forge/executor",
            "lambda:GetFunctionConfiguration arn:aws-cn:lambda:r:1:function:forge-sweep",
            "logs:GetLogEvents arn:aws-cn:logs:r:1:log-group:/aws/lambda/forge-sweep:log-stream:a",
            "eks:DescribeCluster arn:aws-cn:eks:r:1:cluster/c",
            "eks:DescribeAddon arn:aws-cn:eks:r:1:addon/c/a",
            "eks:DescribeAccessEntry arn:aws-cn:eks:r:1:access-entry/c/a",
            "eks:DescribePodIdentityAssociation arn:aws-cn:eks:r:1:podidentityassociation/c/a",
            "events:DescribeRule arn:aws-cn:events:r:1:rule/forge-uploads",
        ] {
            assert!(operate.contains(&need.to_owned()), "{need}: {operate:?}");
        }
        let elsewhere =
            Deployment { executor_repository: Some("127.0.0.1:5000/forge".to_owned()), ..deployment };
        assert!(!texts("operate", &places(&elsewhere)).iter().any(|need| need.contains("ecr:PutImage")));
    }
}
