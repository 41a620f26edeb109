//! The account's part of `doctor`: what EKS, Lambda, IAM, ECR and Service Quotas say of a deployment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Check, Found};
use crate::cloud::image::registry::Repository;
use crate::cloud::request::{Aws, Refused, Service};
use crate::commands::deploy::login;
use crate::contexts::Deployment;

mod eks;
mod permissions;
mod person;
mod roles;
mod rule;
mod simulation;

pub use eks::Eks;

const LAMBDA: Service = Service { name: "lambda", host: "lambda" };
const QUOTAS: Service = Service { name: "servicequotas", host: "servicequotas" };

/// EC2's quota of processors in running on-demand instances of the families G and VT.
const G_INSTANCES: &str = "L-DB2E81BA";

/// A service's answer.
pub type Answer = Result<Value, Refused>;

/// What the account's services say of a deployment.
#[derive(Default)]
pub struct Account {
    /// What EKS says; none where the deployment names no cluster.
    pub eks: Option<Eks>,
    /// What Lambda says of the functions, by what they do.
    functions: BTreeMap<String, Answer>,
    /// What was found by questions of which each answer decides the next.
    found: Vec<Check>,
    quota: Option<Answer>,
}

impl Account {
    /// Of which nothing is known, and why.
    pub fn unasked(why: String) -> Account {
        Account { found: vec![Check::new("account", Found::Unknown(why))], ..Account::default() }
    }
}

/// Asks all of them, one after the other; it blocks.
pub fn ask(aws: &Aws, deployment: &Deployment, namespace: &str) -> Account {
    let function = |name: &str| aws.get(&LAMBDA, &format!("/2015-03-31/functions/{name}/configuration"));
    let functions = deployment.functions.iter();
    let quota = json!({"ServiceCode": "ec2", "QuotaCode": G_INSTANCES});
    let mut found = roles::examine(aws, deployment);
    found.extend(person::examine(aws, deployment, namespace));
    found.extend(rule::examine(aws, deployment));
    found.extend(image(aws, deployment));
    Account {
        eks: (!deployment.cluster.name.is_empty()).then(|| Eks::ask(aws, deployment)),
        functions: functions.map(|(what, own)| (what.clone(), function(&own.name))).collect(),
        found,
        quota: Some(aws.ask(&QUOTAS, "ServiceQuotasV20190624.GetServiceQuota", &quota)),
    }
}

/// What it means for the deployment.
pub fn checks(deployment: &Deployment, account: &Account) -> Vec<Check> {
    let mut checks = eks::checks(deployment, account);
    for (what, answer) in &account.functions {
        let own = deployment.functions.get(what);
        let found = own.map(|own| function_state(answer, &own.name, &own.role_arn));
        checks.extend(found.map(|found| Check::new(format!("function {what}"), found)));
    }
    checks.extend(account.found.iter().cloned());
    let quota = account.quota.as_ref().map(gpu_quota);
    checks.extend(quota.map(|found| Check::new("EC2 quota of GPU instances (G and VT)", found)));
    checks
}

/// What an answer means, or which permission it takes to get one.
fn told(answer: &Answer, permission: &str, found: impl FnOnce(&Value) -> Found) -> Found {
    match answer {
        Ok(answer) => found(answer),
        Err(why) if why.is_denied() => Found::Unknown(format!("you need {permission}")),
        Err(why) => Found::Unknown(why.to_string()),
    }
}

/// Whether a service says that there is no such thing.
pub fn is_missing(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(|why| why.code().contains("NotFound"))
}

fn bad(why: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found::Bad(why.into(), remedy.into())
}

fn function_state(answer: &Answer, name: &str, role: &str) -> Found {
    if is_missing(answer) {
        return bad("it is not there", "apply the Terraform modules: functions makes it");
    }
    told(answer, &format!("lambda:GetFunctionConfiguration on {name}"), |told| {
        let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
        match (text("State").as_str(), text("LastUpdateStatus").as_str()) {
            (_, "Failed") => bad(
                format!("its last update failed: {}", text("LastUpdateStatusReason")),
                "mend that, then apply the Terraform modules",
            ),
            ("Active" | "Inactive", _) if text("Role") == role => {
                Found::Good("runs with its role".to_owned())
            }
            ("Active" | "Inactive", _) => bad(
                format!("it runs with {} and not with {role}", text("Role")),
                "apply the Terraform modules, or add the context with their newest outputs",
            ),
            (state, _) => {
                bad(format!("it is {state}: {}", text("StateReason")), "apply the Terraform modules")
            }
        }
    })
}

fn gpu_quota(answer: &Answer) -> Found {
    told(answer, "servicequotas:GetServiceQuota", |told| match told["Quota"]["Value"].as_f64() {
        Some(value) if value >= 4.0 => Found::Good(format!("{value} vCPUs")),
        // The smallest instance with a GPU has four. Who trains on CPUs alone needs none.
        Some(value) => Found::Unknown(format!(
            "{value} vCPUs: no node with a GPU can be made, and steps that ask for one wait; aws service-quotas \
             request-service-quota-increase --service-code ec2 --quota-code {G_INSTANCES} --desired-value 8"
        )),
        None => Found::Unknown("Service Quotas tells no number".to_owned()),
    })
}

/// Whether the image is there that every pod begins with. None where it lies in somebody else's registry.
fn image(aws: &Aws, deployment: &Deployment) -> Option<Check> {
    let repository = deployment.executor_repository.as_ref()?;
    let tag = deployment.tag_of_executor()?;
    let found = match login(aws) {
        Err(why) if why.is_denied() => Found::Unknown("you need ecr:GetAuthorizationToken on *".to_owned()),
        Err(why) => Found::Unknown(format!("log in to ECR: {why}")),
        Ok(login) => in_registry(Repository::new(repository, Some(&login)).tagged(tag)),
    };
    Some(Check::new(format!("image {}", deployment.executor_image), found))
}

fn in_registry(tagged: Result<Option<String>, String>) -> Found {
    match tagged {
        Ok(Some(digest)) => Found::Good(digest),
        Ok(None) => bad("it is not in the registry: no step starts", "dropforge deploy --executor FILE"),
        Err(why) if why.starts_with("403") || why.starts_with("401") => {
            Found::Unknown(format!("you need ecr:BatchGetImage on the repository: {why}"))
        }
        Err(why) => Found::Unknown(why),
    }
}

/// A text as a part of a path or query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests;
