//! What EKS says of the deployment's cluster, and whether the functions reach it.

use serde_json::Value;

use super::{Account, Answer, bad, escaped, is_missing, told};
use crate::cloud::doctor::{Check, Found};
use crate::cloud::request::{Aws, Service};
use crate::contexts::Deployment;

const EKS: Service = Service { name: "eks", host: "eks" };

/// The whole internet.
const EVERYWHERE: &str = "0.0.0.0/0";

/// What EKS says of a cluster.
pub struct Eks {
    /// The cluster.
    pub cluster: Answer,
    /// The add-on of the Pod Identity agent, where steps need one.
    pub agent: Option<Answer>,
    /// The access entries of the functions that make pods, with their roles.
    entries: Vec<(&'static str, String, Answer)>,
    /// What the service account of each namespace's steps is given.
    associations: Vec<Association>,
}

/// What EKS says of the role of a namespace's steps.
struct Association {
    namespace: String,
    /// The associations of the service account: one, or none.
    listed: Answer,
    /// That one, where it was listed.
    described: Option<Answer>,
}

impl Association {
    fn id(listed: &Answer) -> Option<&str> {
        listed.as_ref().ok()?["associations"][0]["associationId"].as_str()
    }
}

impl Eks {
    /// Asks; it blocks. Of a cluster that is not there nothing more is asked, nor of a service that does not answer.
    pub fn ask(aws: &Aws, deployment: &Deployment) -> Eks {
        let base = format!("/clusters/{}", escaped(&deployment.cluster.name));
        let cluster = aws.get(&EKS, &base);
        let is_over = cluster.as_ref().is_err_and(|why| !why.is_denied());
        let mut eks = Eks { cluster, agent: None, entries: Vec::new(), associations: Vec::new() };
        if is_over {
            return eks;
        }
        for (what, role) in pod_makers(deployment) {
            let entry = aws.get(&EKS, &format!("{base}/access-entries/{}", escaped(role)));
            eks.entries.push((what, role.to_owned(), entry));
        }
        for (namespace, own) in deployment.namespaces.iter().filter(|(_, own)| own.isolation == "pod") {
            let account = escaped(&own.service_account);
            let query = format!("namespace={}&serviceAccount={account}", escaped(namespace));
            let listed = aws.get(&EKS, &format!("{base}/pod-identity-associations?{query}"));
            let one = |id| aws.get(&EKS, &format!("{base}/pod-identity-associations/{}", escaped(id)));
            let described = Association::id(&listed).map(one);
            eks.associations.push(Association { namespace: namespace.clone(), listed, described });
        }
        if !eks.associations.is_empty() && eks.is_auto() != Some(true) {
            eks.agent = Some(aws.get(&EKS, &format!("{base}/addons/eks-pod-identity-agent")));
        }
        eks
    }

    /// Whether the cluster runs in Auto Mode; none where EKS does not say.
    pub fn is_auto(&self) -> Option<bool> {
        self.cluster.as_ref().ok().map(|told| told["cluster"]["computeConfig"]["enabled"] == true)
    }
}

#[cfg(test)]
impl Eks {
    /// Of which EKS has said this.
    pub fn of(cluster: Answer, agent: Option<Answer>) -> Eks {
        Eks { cluster, agent, entries: Vec::new(), associations: Vec::new() }
    }
}

/// What EKS's answers mean.
pub fn checks(deployment: &Deployment, account: &Account) -> Vec<Check> {
    let Some(eks) = &account.eks else { return Vec::new() };
    let name = &deployment.cluster.name;
    let found = authentication(&eks.cluster, deployment);
    let mut checks = vec![Check::new(format!("authentication mode of {name}"), found)];
    let network = |(what, _): (&'static str, &str)| Some((what, stands_in_vpc(account.functions.get(what)?)));
    let networks: Vec<_> = pod_makers(deployment).into_iter().filter_map(network).collect();
    if let (Ok(told), false) = (&eks.cluster, networks.is_empty()) {
        let found = reach(&told["cluster"]["resourcesVpcConfig"], &networks);
        checks.push(Check::new(format!("way of the functions to {name}"), found));
    }
    for (what, role, entry) in &eks.entries {
        let found = access(entry, role, &deployment.kubernetes_group);
        checks.push(Check::new(format!("access entry of {what}"), found));
    }
    for one in &eks.associations {
        let own = deployment.namespaces.get(&one.namespace).map(|own| own.role_arn.as_str());
        let found = associated(one, own.unwrap_or_default(), name);
        checks.push(Check::new(format!("role of steps in {}", one.namespace), found));
    }
    checks
}

/// The functions that the cluster has to know, with their roles.
fn pod_makers(deployment: &Deployment) -> Vec<(&'static str, &str)> {
    let named = |name: &'static str| Some((name, deployment.functions.get(name)?.role_arn.as_str()));
    match named("dispatch") {
        Some(dispatch) => vec![dispatch],
        None => ["advance", "sweep"].into_iter().filter_map(named).collect(),
    }
}

/// Whether a function's interfaces are in a VPC, from Lambda's answer; else why that can't be told.
fn stands_in_vpc(answer: &Answer) -> Result<bool, String> {
    match answer {
        Ok(told) => Ok(told["VpcConfig"]["SubnetIds"].as_array().is_some_and(|all| !all.is_empty())),
        // What is not there stands nowhere; its own line says that.
        Err(_) if is_missing(answer) => Ok(false),
        Err(why) if why.is_denied() => Err("you need lambda:GetFunctionConfiguration".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

/// Whether the cluster's endpoint is reached from where the functions stand.
fn reach(config: &Value, networks: &[(&str, Result<bool, String>)]) -> Found {
    let cidrs: Vec<&str> =
        config["publicAccessCidrs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_public = config["endpointPublicAccess"] != false;
    let is_private = config["endpointPrivateAccess"] == true;
    if is_public && (cidrs.is_empty() || cidrs.contains(&EVERYWHERE)) {
        return Found::Good("its endpoint is public".to_owned());
    }
    let endpoint = match is_public {
        true => format!("its endpoint is reached from {} only", cidrs.join(", ")),
        false => "its endpoint is private".to_owned(),
    };
    let outside = |network: &Result<bool, String>| matches!(network, Ok(false));
    let names = |all: Vec<&str>| all.join(" and ");
    let far: Vec<&str> = networks.iter().filter(|(_, at)| outside(at)).map(|(name, _)| *name).collect();
    if !far.is_empty() {
        return bad(
            format!("{endpoint}, and outside of any VPC stand {}: no pod is made", names(far)),
            "give modules/dropforge `dispatch` (subnets and security groups from which one function reaches the cluster for \
             the others) or `vpc` (those of all functions), and apply it",
        );
    }
    if let Some((name, Err(why))) = networks.iter().find(|(_, at)| at.is_err()) {
        return Found::Unknown(format!("{endpoint}, and whether {name} stands in a VPC is not known: {why}"));
    }
    let all = names(networks.iter().map(|(name, _)| *name).collect());
    match is_private {
        true => Found::Good(format!("{endpoint}, and in a VPC stand {all}")),
        // Only their NAT gateway's address counts, which neither service tells.
        false => Found::Unknown(format!(
            "{endpoint}: {all} reach it where the address by which their VPC goes out is among those; turning the private \
             endpoint on needs none (aws eks update-cluster-config --resources-vpc-config endpointPrivateAccess=true)"
        )),
    }
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

fn associated(one: &Association, role: &str, cluster: &str) -> Found {
    told(&one.listed, &format!("eks:ListPodIdentityAssociations on {cluster}"), |_| {
        let (Some(id), Some(described)) = (Association::id(&one.listed), &one.described) else {
            return bad(
                "no role is given to the service account: steps reach no bucket",
                "apply the Terraform modules: pod-identity makes the association",
            );
        };
        let right = format!(
            "eks:DescribePodIdentityAssociation on {cluster} to see whether the role that is given is {role}"
        );
        told(described, &right, |told| match told["association"]["roleArn"].as_str().unwrap_or_default() {
            given if given == role || role.is_empty() => Found::Good("is given by Pod Identity".to_owned()),
            given => bad(
                format!("the service account is given {given} and not {role}: steps reach what that one may"),
                format!(
                    "apply the Terraform modules, which make the association; where somebody else has: aws eks \
                     update-pod-identity-association --cluster-name {cluster} --association-id {id} --role-arn {role}"
                ),
            ),
        })
    })
}

#[cfg(test)]
mod tests;
