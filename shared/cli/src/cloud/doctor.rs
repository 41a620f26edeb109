//! `doctor`: whether a person and the deployment reach what they need, one answer for each thing.
//!
//! It changes nothing but one object, always the same, by which it sees that conditional writes are honoured.

use aws_sdk_s3::Client as S3;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::Client as Sqs;
use aws_sdk_sqs::types::QueueAttributeName;

use dropforge_cluster::kubernetes::Survey;

use self::account::{Account, Eks};
use super::Cloud;
use super::request::Aws;
use crate::contexts::{Context, Deployment};

pub mod account;
mod announcements;
mod identity;
mod image;
pub mod kubernetes;
mod policy;

/// What became of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is as it should be.
    Good(String),
    /// Something will not work; what to do.
    Bad(String, String),
    /// It can't be told, and may be well.
    Unknown(String),
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: String,
    /// What was found.
    pub found: Found,
}

impl Check {
    /// A check with its answer.
    pub fn new(what: impl Into<String>, found: Found) -> Check {
        Check { what: what.into(), found }
    }
}

/// Looks at everything, buckets first.
pub async fn examine(cloud: &Cloud, namespace: &str) -> Vec<Check> {
    let context = &cloud.context;
    let s3 = aws_sdk_s3::config::Builder::from(&cloud.config).force_path_style(context.endpoint.is_some());
    let s3 = S3::from_conf(s3.build());
    let sqs = Sqs::new(&cloud.config);
    let deployment = &context.deployment;
    let mut checks = control_bucket(&s3, context, namespace).await;
    let artifacts = Place {
        what: "artifact bucket",
        bucket: &deployment.artifact_bucket,
        prefix: Some(format!("{namespace}/")),
    };
    checks.push(readable(&s3, &deployment.region, &artifacts).await);
    if !deployment.upload_bucket.is_empty() {
        let prefix = uploads_of(deployment, namespace);
        let uploads = Place { what: "upload bucket", bucket: &deployment.upload_bucket, prefix };
        checks.push(readable(&s3, &deployment.region, &uploads).await);
        checks.push(announced(&s3, context).await);
    }
    checks.push(queue(&sqs, "events queue", &deployment.events_queue_url).await);
    if !deployment.upload_queue_url.is_empty() {
        checks.push(queue(&sqs, "upload queue", &deployment.upload_queue_url).await);
    }
    for (name, url) in &deployment.dead_letter_queue_urls {
        checks.push(dead_letters(&sqs, &context.name, name, url).await);
    }
    checks.extend(image::elsewhere(cloud).await);
    let (account, survey) = (account(cloud, namespace).await, kubernetes::survey(context).await);
    checks.extend(beyond(deployment, &account, &survey));
    checks
}

/// What the account and the cluster say: of some things both know a part.
fn beyond(deployment: &Deployment, account: &Account, survey: &Result<Survey, Found>) -> Vec<Check> {
    let eks = account.eks.as_ref();
    let of_cluster = match survey {
        Ok(survey) => kubernetes::checks(deployment, eks.and_then(Eks::is_auto), survey),
        Err(found) => vec![Check::new("cluster", found.clone())],
    };
    let identity = identity::checks(deployment, eks, survey.as_ref().ok());
    [account::checks(deployment, account), of_cluster, identity].concat()
}

/// What the account says; it is asked beside the runtime, since its requests block.
async fn account(cloud: &Cloud, namespace: &str) -> Account {
    let Context { deployment, endpoint, .. } = cloud.context.clone();
    let Some(aws) = Aws::of(&cloud.config, &deployment.region, endpoint.as_deref()).await else {
        return Account::default();
    };
    let namespace = namespace.to_owned();
    let asked = tokio::task::spawn_blocking(move || account::ask(&aws, &deployment, &namespace)).await;
    asked.unwrap_or_else(|why| Account::unasked(why.to_string()))
}

async fn control_bucket(s3: &S3, context: &Context, namespace: &str) -> Vec<Check> {
    let bucket = &context.deployment.control_bucket;
    let place = Place { what: "control bucket", bucket, prefix: Some(String::new()) };
    let reached = readable(s3, &context.deployment.region, &place).await;
    if !matches!(reached.found, Found::Good(_)) {
        return vec![reached];
    }
    vec![reached, conditional(s3, bucket, namespace).await, guarded(s3, bucket).await]
}

/// What a person of a namespace may list of a bucket: those who share one with others list their own part alone.
struct Place<'d> {
    what: &'static str,
    bucket: &'d str,
    /// None where nothing of it is theirs.
    prefix: Option<String>,
}

/// Which uploads people of a namespace list; none where its steps read none. Modules that do not say how the queue is told
/// of files let them list all.
fn uploads_of(deployment: &Deployment, namespace: &str) -> Option<String> {
    match deployment.namespaces.get(namespace) {
        Some(own) if deployment.upload_notification.is_some() => own.upload_prefixes.first().cloned(),
        Some(_) | None => Some(String::new()),
    }
}

/// Whether a bucket is there, in this region, and may be listed.
async fn readable(s3: &S3, region: &str, place: &Place<'_>) -> Check {
    let Place { what, bucket, prefix } = place;
    let prefix = prefix.clone().unwrap_or_default();
    let found = match s3.list_objects_v2().bucket(*bucket).prefix(prefix).max_keys(1).send().await {
        Ok(_) => Found::Good("can be listed".to_owned()),
        Err(why) => unlisted(&why, place, region),
    };
    Check::new(format!("{what} {bucket}"), found)
}

/// What it means that a bucket could not be listed: nothing, for those who have nothing in it.
fn unlisted<E, R>(why: &SdkError<E, R>, place: &Place<'_>, region: &str) -> Found
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let arn = format!("arn:aws:s3:::{}", place.bucket);
    match place.prefix.is_none() && code(why).is_some_and(is_denial) {
        true => Found::Unknown(format!(
            "could not be listed: the namespace's `upload_prefixes` name nothing in it, and all of it takes s3:ListBucket on \
             {arn}"
        )),
        false => refusal(why, "s3:ListBucket", &arn, region),
    }
}

/// Whether a bucket's policy refuses what it must.
async fn guarded(s3: &S3, bucket: &str) -> Check {
    let found = match s3.get_bucket_policy().bucket(bucket).send().await {
        Ok(told) => policy::found(bucket, told.policy()),
        Err(why) if code(&why) == Some("NoSuchBucketPolicy") => policy::found(bucket, None),
        Err(why) => unseen(&why, "s3:GetBucketPolicy", bucket),
    };
    Check::new(format!("policy of {bucket}"), found)
}

/// Whether a key that is there is not written again: everything rests on it.
async fn conditional(s3: &S3, bucket: &str, namespace: &str) -> Check {
    let key = format!("environments/{namespace}/doctor");
    let what = format!("conditional writes in {bucket}");
    let write = || {
        let body = ByteStream::from_static(b"doctor");
        s3.put_object().bucket(bucket).key(&key).if_none_match("*").body(body).send()
    };
    let arn = format!("arn:aws:s3:::{bucket}/{key}");
    let found = match write().await {
        Err(why) if code(&why) != Some("PreconditionFailed") => unwritten(&why, &arn),
        _ => match write().await {
            Err(why) if code(&why) == Some("PreconditionFailed") => Found::Good("are honoured".to_owned()),
            Err(why) => unwritten(&why, &arn),
            Ok(_) => Found::Bad(
                "a key that is there is written again in spite of If-None-Match".to_owned(),
                "keep the control bucket in S3 itself, or in a storage that knows conditional writes"
                    .to_owned(),
            ),
        },
    };
    Check::new(what, found)
}

/// What it means that nothing could be written: nothing, for who only reads.
fn unwritten<E, R>(why: &SdkError<E, R>, arn: &str) -> Found
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match code(why).is_some_and(is_denial) {
        true => Found::Unknown(format!(
            "could not be seen: you need s3:PutObject on {arn}, which the policy `submit` gives, and to read alone none"
        )),
        false => refusal(why, "s3:PutObject", arn, ""),
    }
}

fn is_denial(code: &str) -> bool {
    code.contains("AccessDenied") || code == "Forbidden"
}

/// Whether the upload bucket tells the upload queue of its objects.
async fn announced(s3: &S3, context: &Context) -> Check {
    let bucket = &context.deployment.upload_bucket;
    let what = format!("announcements of {bucket}");
    let found = match s3.get_bucket_notification_configuration().bucket(bucket).send().await {
        Err(why) => unseen(&why, "s3:GetBucketNotification", bucket),
        Ok(told) => announcements::found(&told, &context.deployment),
    };
    Check::new(what, found)
}

/// What of a bucket could not be seen, and the permission that it takes.
fn unseen<E, R>(why: &SdkError<E, R>, permission: &str, bucket: &str) -> Found
where
    E: ProvideErrorMetadata,
{
    let why = code(why).unwrap_or("no answer");
    Found::Unknown(format!("needs {permission} on arn:aws:s3:::{bucket}: {why}"))
}

async fn queue(sqs: &Sqs, what: &str, url: &str) -> Check {
    let request = sqs.get_queue_attributes().queue_url(url);
    let request = request.attribute_names(QueueAttributeName::ApproximateNumberOfMessages);
    let found = match request.send().await {
        Ok(told) => {
            let waiting = count(told.attributes(), &QueueAttributeName::ApproximateNumberOfMessages);
            Found::Good(format!("{waiting} messages wait"))
        }
        Err(why) => refusal(&why, "sqs:GetQueueAttributes", url, ""),
    };
    Check::new(format!("{what} {url}"), found)
}

async fn dead_letters(sqs: &Sqs, context: &str, name: &str, url: &str) -> Check {
    let request = sqs.get_queue_attributes().queue_url(url);
    let request = request.attribute_names(QueueAttributeName::ApproximateNumberOfMessages);
    let found = match request.send().await {
        Err(why) => {
            Found::Unknown(format!("needs sqs:GetQueueAttributes: {}", code(&why).unwrap_or("no answer")))
        }
        Ok(told) => match count(told.attributes(), &QueueAttributeName::ApproximateNumberOfMessages) {
            0 => Found::Good("empty".to_owned()),
            some => Found::Bad(
                format!("{some} messages could not be read"),
                format!(
                    "`dropforge --context {context} redrive` shows them; mend the cause, then the same with --put-back"
                ),
            ),
        },
    };
    Check::new(format!("dead letters of {name}"), found)
}

type Attributes = std::collections::HashMap<QueueAttributeName, String>;

fn count(attributes: Option<&Attributes>, name: &QueueAttributeName) -> u64 {
    attributes.and_then(|all| all.get(name)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn code<E: ProvideErrorMetadata, R>(why: &SdkError<E, R>) -> Option<&str> {
    why.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// What a refusal means for a person.
fn refusal<E, R>(why: &SdkError<E, R>, permission: &str, resource: &str, region: &str) -> Found
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let said = DisplayErrorContext(why).to_string();
    let bad = |why: &str, remedy: String| Found::Bad(why.to_owned(), remedy);
    match code(why).unwrap_or_default() {
        code if is_denial(code) => bad("you may not use it", format!("you need {permission} on {resource}")),
        "NoSuchBucket" | "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => bad(
            "it is not there",
            "apply the Terraform modules, or `dropforge context add` with their newest outputs".to_owned(),
        ),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => bad(
            &format!("it is not in {region}"),
            "correct the region: `dropforge context add` with the outputs of the deployment that made it"
                .to_owned(),
        ),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            bad("your session has expired", "aws sso login".to_owned())
        }
        _ => bad(&said, "check network, proxy and endpoint".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::operation::put_object::PutObjectError;

    use super::*;

    fn refused(code: &str) -> SdkError<PutObjectError, ()> {
        let said = PutObjectError::generic(ErrorMetadata::builder().code(code).build());
        SdkError::service_error(said, ())
    }

    #[test]
    fn who_only_reads_is_told_that_writes_could_not_be_seen_and_nothing_fails() {
        let arn = "arn:aws:s3:::c/environments/ml/doctor";
        let Found::Unknown(why) = unwritten(&refused("AccessDenied"), arn) else { panic!("it fails") };
        assert!(why.contains("s3:PutObject on arn:aws:s3:::c/environments/ml/doctor"), "{why}");
        assert!(matches!(unwritten(&refused("NoSuchBucket"), arn), Found::Bad(..)));
    }

    #[test]
    fn who_has_no_uploads_need_not_list_them() {
        let mut deployment = Deployment::default();
        let some =
            crate::contexts::Namespace { upload_prefixes: vec!["some/".to_owned()], ..Default::default() };
        deployment.namespaces = [("none".to_owned(), Default::default()), ("some".to_owned(), some)].into();
        assert_eq!(uploads_of(&deployment, "none"), Some(String::new()), "older modules let all list all");
        deployment.upload_notification = Some("queue".to_owned());
        assert_eq!(uploads_of(&deployment, "some"), Some("some/".to_owned()));
        assert_eq!(uploads_of(&deployment, "none"), None);
        let found = |code: &str, prefix: Option<&str>| {
            let place = Place { what: "upload bucket", bucket: "u", prefix: prefix.map(str::to_owned) };
            unlisted(&refused(code), &place, "r")
        };
        assert!(
            matches!(found("AccessDenied", None), Found::Unknown(why) if why.contains("upload_prefixes"))
        );
        assert!(matches!(found("NoSuchBucket", None), Found::Bad(..)));
        assert!(matches!(found("AccessDenied", Some("some/")), Found::Bad(..)));
    }

    #[test]
    fn what_irsa_keeps_apart_is_said_without_a_kubeconfig() {
        let mut deployment = Deployment::default();
        let irsa = crate::contexts::Namespace { isolation: "namespace".to_owned(), ..Default::default() };
        deployment.namespaces.insert("ml".to_owned(), irsa);
        let unreached = Found::Bad("no kubeconfig".to_owned(), "aws eks update-kubeconfig".to_owned());
        let said = beyond(&deployment, &Account::default(), &Err(unreached));
        let whats: Vec<&str> = said.iter().map(|check| check.what.as_str()).collect();
        assert_eq!(whats, ["cluster", "isolation of steps in ml"]);
    }
}
