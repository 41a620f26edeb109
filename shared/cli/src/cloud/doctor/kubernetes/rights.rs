//! Whether a namespace gives the functions what they need in it: to their group, and all that the Role of infra/kubernetes
//! allows. What it gives beyond that is its owner's business.

use std::collections::BTreeMap;

use dropforge_cluster::kubernetes::{Binding, CallError};
use serde_json::Value;

use super::{another_stack, told};
use crate::cloud::doctor::Found;
use crate::cloud::objects;
use crate::contexts::{Deployment, Namespace};

/// One thing that functions do to objects of Kubernetes.
struct Need<'r> {
    verb: &'r str,
    group: &'r str,
    resource: &'r str,
    /// Of one name alone.
    name: Option<&'r str>,
}

/// What the namespace's binding gives the functions' group, against what the deployment would.
pub fn found(
    (name, own): (&str, &Namespace),
    binding: &Result<Option<Binding>, CallError>,
    deployment: &Deployment,
) -> Found {
    let group = &deployment.kubernetes_group;
    told(binding, "get rolebindings", |binding| {
        let Some(binding) = binding else {
            // Who applies the objects otherwise may have another name for it.
            return Found::Unknown(
                "there is no rolebinding dropforge-dispatcher: unless another gives them, no step starts (dropforge deploy)"
                    .to_owned(),
            );
        };
        match another_stack(name, &binding.groups, group) {
            Some((why, remedy)) => Found::Bad(why, remedy),
            None => by_role(name, binding, group, &objects::role(name, own, deployment)),
        }
    })
}

fn by_role(namespace: &str, binding: &Binding, group: &str, ours: &Value) -> Found {
    let kind = binding.kind.to_lowercase();
    let role = format!("{kind}/{}", binding.role);
    let remedy = || match binding.kind == ours["kind"] && binding.role == ours["metadata"]["name"] {
        true => {
            "dropforge deploy, and with --take-over where it says that this role stays as it is".to_owned()
        }
        // Kubernetes lets nobody give a binding another role.
        false => format!(
            "have its owner add that, or kubectl -n {namespace} delete rolebinding dropforge-dispatcher and dropforge deploy"
        ),
    };
    told(&binding.rules, &format!("get {kind}s"), |rules| {
        let Some(rules) = rules else {
            let why = format!(
                "the rolebinding dropforge-dispatcher names {role}, which is not there: no step starts"
            );
            return Found::Bad(why, remedy());
        };
        let missing = missing(ours, rules);
        match missing.is_empty() {
            true => Found::Good(format!("are the group's {group}, by {role}")),
            false => {
                Found::Bad(format!("{role} does not let the group {group} {}", missing.join("; ")), remedy())
            }
        }
    })
}

/// What a role of ours allows and these rules do not: verbs, with on what.
fn missing(ours: &Value, rules: &[Value]) -> Vec<String> {
    let lacks = |need: &Need<'_>| !rules.iter().any(|rule| allows(rule, need));
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for need in needs(ours).into_iter().filter(lacks) {
        missing.entry(need.object()).or_default().push(need.verb);
    }
    missing.into_iter().map(|(object, verbs)| format!("{} {object}", verbs.join(", "))).collect()
}

fn needs(role: &Value) -> Vec<Need<'_>> {
    let mut needs = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let named = texts(rule, "resourceNames").map(Some);
        let names: Vec<Option<&str>> = match rule["resourceNames"].is_array() {
            true => named.collect(),
            false => vec![None],
        };
        for (group, resource) in texts(rule, "apiGroups")
            .flat_map(|group| texts(rule, "resources").map(move |resource| (group, resource)))
        {
            for name in &names {
                needs.extend(texts(rule, "verbs").map(|verb| Need { verb, group, resource, name: *name }));
            }
        }
    }
    needs
}

fn allows(rule: &Value, need: &Need<'_>) -> bool {
    let holds = |field: &str, wanted: &str| texts(rule, field).any(|text| text == wanted || text == "*");
    // A rule without names is about all of them.
    let mut names = texts(rule, "resourceNames").peekable();
    holds("verbs", need.verb)
        && holds("apiGroups", need.group)
        && holds("resources", need.resource)
        && (names.peek().is_none() || names.any(|name| Some(name) == need.name))
}

fn texts<'r>(rule: &'r Value, field: &str) -> impl Iterator<Item = &'r str> + use<'r> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str)
}

impl Need<'_> {
    /// What it is done to, as kubectl writes it.
    fn object(&self) -> String {
        let kind = match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        };
        self.name.map_or(kind.clone(), |name| format!("{kind}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = "forge:dispatcher";

    fn refused(code: u16) -> CallError {
        CallError::Refused { code, reason: "Forbidden".to_owned(), message: String::new() }
    }

    fn own() -> Namespace {
        Namespace { pull_secrets: vec!["registry".to_owned()], ..Namespace::default() }
    }

    fn deployment() -> Deployment {
        Deployment { kubernetes_group: GROUP.to_owned(), ..Deployment::default() }
    }

    /// The rules that infra/kubernetes has.
    fn rules() -> Vec<Value> {
        objects::role("ml", &own(), &deployment())["rules"].as_array().unwrap().clone()
    }

    fn of(kind: &str, role: &str, rules: Result<Option<Vec<Value>>, CallError>) -> Found {
        let (kind, role) = (kind.to_owned(), role.to_owned());
        let binding = Binding { groups: vec![GROUP.to_owned()], kind, role, rules };
        found(("ml", &own()), &Ok(Some(binding)), &deployment())
    }

    fn ours(rules: Vec<Value>) -> Found {
        of("Role", "dropforge-dispatcher", Ok(Some(rules)))
    }

    fn bad(found: Found) -> String {
        match found {
            Found::Bad(why, remedy) => format!("{why}; {remedy}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_role_that_allows_what_ours_does_and_more_is_well() {
        let well = "are the group's forge:dispatcher, by role/dropforge-dispatcher";
        assert_eq!(ours(rules()), Found::Good(well.to_owned()));
        let all = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
        assert!(matches!(of("ClusterRole", "admin", Ok(Some(vec![all]))), Found::Good(_)));
        let each = [
            json!({"apiGroups": ["", "apps"], "resources": ["pods", "events"], "verbs": ["create", "get", "list", "delete"]}),
            json!({"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["*"]}),
            json!({"apiGroups": [""], "resources": ["configmaps", "serviceaccounts", "secrets"], "verbs": ["get", "watch"]}),
        ];
        assert!(matches!(ours(each.to_vec()), Found::Good(_)), "{:?}", ours(each.to_vec()));
    }

    #[test]
    fn each_verb_that_a_role_lacks_is_named_with_its_resource() {
        let mut stale = rules();
        stale[0] = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]});
        stale.retain(|rule| rule["resources"] != json!(["events"]));
        let told = bad(ours(stale));
        for words in [
            "role/dropforge-dispatcher does not let the group forge:dispatcher ",
            "create, get, list, delete persistentvolumeclaims; create, delete pods",
            "list events",
            "dropforge deploy",
            "--take-over",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("configmaps"), "{told}");
        assert!(bad(ours(Vec::new())).contains("get configmaps"));
    }

    #[test]
    fn a_right_to_some_names_and_one_of_another_group_are_not_enough() {
        let mut named = rules();
        named[0]["resourceNames"] = json!(["p"]);
        assert!(bad(ours(named)).contains("get, list, delete pods"));
        let mut other = rules();
        other[0]["apiGroups"] = json!(["apps"]);
        assert!(bad(ours(other)).contains("create, get, list, delete pods"));
        let mut secret = rules();
        secret.last_mut().unwrap()["resourceNames"] = json!(["another"]);
        let told = bad(ours(secret));
        assert!(told.contains("dispatcher get secrets/registry;"), "{told}");
    }

    #[test]
    fn a_binding_of_another_role_is_judged_by_that_role() {
        let gone = bad(of("Role", "old", Ok(None)));
        for words in ["names role/old, which is not there", "delete rolebinding dropforge-dispatcher"] {
            assert!(gone.contains(words), "{words}: {gone}");
        }
        let view = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]});
        let lacks = bad(of("ClusterRole", "view", Ok(Some(vec![view]))));
        for words in ["clusterrole/view does not let", "create, delete pods", "have its owner add that"] {
            assert!(lacks.contains(words), "{words}: {lacks}");
        }
        assert_eq!(
            of("ClusterRole", "view", Err(refused(403))),
            Found::Unknown("you may not get clusterroles".to_owned())
        );
    }

    #[test]
    fn a_binding_that_is_missing_or_hidden_may_be_well() {
        let binding = |answer| found(("ml", &own()), &answer, &deployment());
        assert!(matches!(binding(Ok(None)), Found::Unknown(why) if why.contains("no step starts")));
        assert_eq!(binding(Err(refused(403))), Found::Unknown("you may not get rolebindings".to_owned()));
    }
}
