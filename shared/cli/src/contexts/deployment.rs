//! What Terraform made, as its output `dropforge` says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The newest form of Terraform's output that this code reads.
const FORMAT: u32 = 1;

/// One deployment. What it names beyond this is left alone: newer modules may say more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Version of the output.
    pub format: u32,
    /// What it is called; the prefix of its resources.
    #[serde(default)]
    pub name: String,
    /// Its region.
    pub region: String,
    /// The account it stands in.
    #[serde(default)]
    pub account: String,
    /// Holds runs, journals, claims, verdicts, logs, definitions.
    pub control_bucket: String,
    /// The default artifact repository.
    pub artifact_bucket: String,
    /// Where people drop files.
    #[serde(default)]
    pub upload_bucket: String,
    /// The queue of doorbells.
    pub events_queue_url: String,
    /// Its ARN.
    #[serde(default)]
    pub events_queue_arn: String,
    /// The queue of uploads, ticks and reminders.
    #[serde(default)]
    pub upload_queue_url: String,
    /// Its ARN, which schedules send to.
    #[serde(default)]
    pub upload_queue_arn: String,
    /// How the upload queue is told of files: `queue` (by S3), `eventbridge` (by a rule) or `none`; older modules do not say.
    #[serde(default)]
    pub upload_notification: Option<String>,
    /// The rule of EventBridge that tells it, where one does.
    #[serde(default)]
    pub upload_rule: Option<String>,
    /// Where messages end that nobody could read.
    #[serde(default)]
    pub dead_letter_queue_urls: BTreeMap<String, String>,
    /// The group of its schedules.
    #[serde(default)]
    pub schedule_group: String,
    /// The role that schedules send with.
    #[serde(default)]
    pub scheduler_role_arn: String,
    /// How many days a run may last, where Terraform was told.
    #[serde(default)]
    pub days_max: Option<u32>,
    /// The cluster of the steps.
    #[serde(default)]
    pub cluster: Cluster,
    /// The Kubernetes group of the functions that make pods.
    #[serde(default)]
    pub kubernetes_group: String,
    /// The ECR repository of the executor's image.
    #[serde(default)]
    pub executor_repository: Option<String>,
    /// The image that puts the executor into pods.
    #[serde(default)]
    pub executor_image: String,
    /// The keys that its data are encrypted with, where they are not AWS's own.
    #[serde(default)]
    pub kms_key_arns: Keys,
    /// The namespaces of steps.
    #[serde(default)]
    pub namespaces: BTreeMap<String, Namespace>,
    /// The functions, by what they do.
    #[serde(default)]
    pub functions: BTreeMap<String, Function>,
}

/// An EKS cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where its API answers.
    pub endpoint: String,
    /// PEM in base64.
    pub certificate_authority: String,
    /// Its ARN.
    pub arn: String,
}

/// ARNs of KMS keys, by what is encrypted with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keys {
    /// Buckets, those of models among them.
    pub buckets: Vec<String>,
    /// Queues.
    pub queues: Vec<String>,
    /// What schedules hold.
    pub schedules: Vec<String>,
}

/// A namespace of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// What steps run as.
    pub service_account: String,
    /// The role that they take.
    pub role_arn: String,
    /// `pod`: a step writes only what is its own; `namespace`: what is its namespace's.
    pub isolation: String,
    /// The level that is enforced.
    pub pod_security: String,
    /// Where steps may put models, beside artifacts.
    pub model_prefixes: Vec<String>,
    /// The beginnings of the keys of those uploads that steps may read; one that is empty stands for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upload_prefixes: Vec<String>,
    /// The pull secrets that the functions may read, for what images start by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
}

/// A function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The ARN of the alias that is called.
    pub alias_arn: String,
    /// The role that it runs with.
    pub role_arn: String,
}

impl Deployment {
    /// The tag of the executor's image in the deployment's own repository; none where the image lies elsewhere.
    #[cfg(feature = "aws")]
    pub fn tag_of_executor(&self) -> Option<&str> {
        let repository = self.executor_repository.as_ref()?;
        self.executor_image.strip_prefix(repository.as_str())?.strip_prefix(':')
    }

    /// Reads `terraform output -json dropforge`, or `terraform output -json` with that output in it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Deployment, String> {
        let value: Value = serde_json::from_str(text).map_err(|why| format!("it is not JSON: {why}"))?;
        if value.as_object().is_some_and(|outputs| outputs.is_empty()) {
            return Err(
                "there are no outputs: nothing was applied there yet, or it is no folder of a configuration \
                        (terraform apply comes first)"
                    .to_owned(),
            );
        }
        let own = match value.get("dropforge").and_then(|output| output.get("value")) {
            Some(output) => output.clone(),
            None => value,
        };
        let format = own.get("format").and_then(Value::as_u64);
        match format {
            None => {
                Err("it has no output `dropforge`: take it from the module's outputs, as the examples do"
                    .to_owned())
            }
            Some(newer) if newer > u64::from(FORMAT) => Err(format!(
                "the output `dropforge` has format {newer}, and this dropforge knows format {FORMAT}"
            )),
            Some(_) => serde_json::from_value(own).map_err(|why| format!("the output `dropforge`: {why}")),
        }
    }
}
