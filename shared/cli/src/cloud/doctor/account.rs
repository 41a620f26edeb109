//! The account's part of `doctor`: what EKS, Lambda, IAM, ECR and Service Quotas say of a deployment.

use serde_json::{Value, json};

use super::{Check, Found};
use crate::cloud::image::registry::Repository;
use crate::cloud::request::{Aws, Refused, Service};
use crate::commands::deploy::login;
use crate::contexts::Deployment;

mod roles;

const EKS: Service = Service { name: "eks", host: "eks" };
const LAMBDA: Service = Service { name: "lambda", host: "lambda" };
const QUOTAS: Service = Service { name: "servicequotas", host: "servicequotas" };

/// EC2's quota of processors in running on-demand instances of the families G and VT.
const G_INSTANCES: &str = "L-DB2E81BA";

/// A service's answer.
type Answer = Result<Value, Refused>;

/// Asks all of them, one after the other; it blocks.
pub fn examine(aws: &Aws, deployment: &Deployment) -> Vec<Check> {
    let mut checks = Vec::new();
    if !deployment.cluster.name.is_empty() {
        checks.extend(cluster(aws, deployment));
    }
    for (what, function) in &deployment.functions {
        let path = format!("/2015-03-31/functions/{}/configuration", function.name);
        let found = function_state(&aws.get(&LAMBDA, &path), &function.name, &function.role_arn);
        checks.push(Check::new(format!("function {what}"), found));
    }
    checks.extend(roles::examine(aws, deployment));
    checks.extend(image(aws, deployment));
    let quota = json!({"ServiceCode": "ec2", "QuotaCode": G_INSTANCES});
    let quota = aws.ask(&QUOTAS, "ServiceQuotasV20190624.GetServiceQuota", &quota);
    checks.push(Check::new("EC2 quota of GPU instances (G and VT)", gpu_quota(&quota)));
    checks
}

fn cluster(aws: &Aws, deployment: &Deployment) -> Vec<Check> {
    let name = &deployment.cluster.name;
    let base = format!("/clusters/{}", escaped(name));
    let told = aws.get(&EKS, &base);
    let is_auto = told.as_ref().is_ok_and(|told| told["cluster"]["computeConfig"]["enabled"] == true);
    let mut checks =
        vec![Check::new(format!("authentication mode of {name}"), authentication(&told, deployment))];
    if told.is_err() {
        return checks;
    }
    for (what, role) in pod_makers(deployment) {
        let entry = aws.get(&EKS, &format!("{base}/access-entries/{}", escaped(role)));
        let found = access(&entry, role, &deployment.kubernetes_group);
        checks.push(Check::new(format!("access entry of {what}"), found));
    }
    let own = deployment.namespaces.iter().filter(|(_, own)| own.isolation == "pod");
    if own.clone().next().is_some() && !is_auto {
        let addon = aws.get(&EKS, &format!("{base}/addons/eks-pod-identity-agent"));
        checks.push(Check::new("Pod Identity add-on", agent(&addon, name)));
    }
    for (namespace, own) in own {
        let account = escaped(&own.service_account);
        let query = format!("namespace={}&serviceAccount={account}", escaped(namespace));
        let listed = aws.get(&EKS, &format!("{base}/pod-identity-associations?{query}"));
        checks.push(Check::new(format!("role of steps in {namespace}"), associated(&listed, name)));
    }
    checks
}

/// The functions that the cluster has to know, with their roles.
fn pod_makers(deployment: &Deployment) -> Vec<(&str, &str)> {
    let named = |name: &'static str| Some((name, deployment.functions.get(name)?.role_arn.as_str()));
    match named("dispatch") {
        Some(dispatch) => vec![dispatch],
        None => ["advance", "sweep"].into_iter().filter_map(named).collect(),
    }
}

/// What an answer means, or which permission it takes to get one.
fn told(answer: &Answer, permission: &str, found: impl FnOnce(&Value) -> Found) -> Found {
    match answer {
        Ok(answer) => found(answer),
        Err(why) if why.is_denied() => Found::Unknown(format!("you need {permission}")),
        Err(why) => Found::Unknown(why.to_string()),
    }
}

fn is_missing(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(|why| why.code().contains("NotFound"))
}

fn bad(why: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found::Bad(why.into(), remedy.into())
}

fn authentication(answer: &Answer, deployment: &Deployment) -> Found {
    let name = &deployment.cluster.name;
    if is_missing(answer) {
        let why = format!("there is no cluster {name} in {}", deployment.region);
        return bad(why, "aws eks list-clusters shows those there are: give the module its name");
    }
    told(answer, &format!("eks:DescribeCluster on {}", deployment.cluster.arn), |told| {
        match told["cluster"]["accessConfig"]["authenticationMode"].as_str() {
            Some("CONFIG_MAP") | None => bad(
                "access entries are not read: no function reaches the cluster",
                format!(
                    "aws eks update-cluster-config --name {name} --access-config authenticationMode=API_AND_CONFIG_MAP"
                ),
            ),
            Some(mode) => Found::Good(mode.to_owned()),
        }
    })
}

fn access(answer: &Answer, role: &str, group: &str) -> Found {
    if is_missing(answer) {
        let why = format!("the cluster does not know {role}: no pod is made");
        return bad(why, "apply the Terraform modules: eks-access makes it");
    }
    told(answer, &format!("eks:DescribeAccessEntry for {role}"), |told| {
        let groups = told["accessEntry"]["kubernetesGroups"].as_array();
        match groups.into_iter().flatten().any(|own| own == group) {
            true => Found::Good(format!("is of the group {group}")),
            false => bad(
                format!("it is not of the group {group}: no pod is made"),
                "apply the Terraform modules: eks-access names the group",
            ),
        }
    })
}

fn agent(answer: &Answer, cluster: &str) -> Found {
    if is_missing(answer) {
        return bad(
            "it is not installed: steps get no credentials",
            format!("aws eks create-addon --cluster-name {cluster} --addon-name eks-pod-identity-agent"),
        );
    }
    told(answer, "eks:DescribeAddon for eks-pod-identity-agent", |told| {
        match told["addon"]["status"].as_str().unwrap_or_default() {
            "ACTIVE" => Found::Good("is active".to_owned()),
            other => bad(
                format!("it is {other}"),
                format!(
                    "aws eks describe-addon --cluster-name {cluster} --addon-name eks-pod-identity-agent says why"
                ),
            ),
        }
    })
}

fn associated(answer: &Answer, cluster: &str) -> Found {
    told(answer, &format!("eks:ListPodIdentityAssociations on {cluster}"), |told| match told["associations"]
        .as_array()
        .is_some_and(|all| !all.is_empty())
    {
        true => Found::Good("is given by Pod Identity".to_owned()),
        false => bad(
            "no role is given to the service account: steps reach no bucket",
            "apply the Terraform modules: pod-identity makes the association",
        ),
    })
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

/// Whether the image is there that every pod begins with. None where it is somebody else's.
fn image(aws: &Aws, deployment: &Deployment) -> Option<Check> {
    let repository = deployment.executor_repository.as_ref()?;
    let tag = deployment.executor_image.strip_prefix(&format!("{repository}:"))?;
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
