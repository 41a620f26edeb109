//! `podSpecPatch`: a strategic merge over the pod that a template becomes.
//!
//! What of the pod there is on one machine is its containers and volumes; what becomes of the pod's other fields
//! stands in the table of `check::support`.

use serde_json::{Map, Value};

use crate::check::support::{Decision, decision};
use crate::decode;
use crate::merge::strategic;
use crate::source;
use crate::types::Template;

/// Why a patch can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is no text of a mapping.
    #[error("podSpecPatch is no YAML or JSON of a pod's spec: {why}")]
    Unreadable {
        /// The parser's words.
        why: String,
    },
    /// It sets what does not run here.
    #[error("`{field}` of a podSpecPatch is not supported: {instead}")]
    NotHere {
        /// The field of the pod.
        field: String,
        /// What to do instead.
        instead: String,
    },
    /// It names a container that the template does not have.
    #[error("podSpecPatch: there is no container {name:?}; the step's own is called \"main\"")]
    NoContainer {
        /// The container.
        name: String,
    },
    /// The patched template is none any more.
    #[error("podSpecPatch: a field has the wrong type: {why}")]
    Misfit {
        /// What does not fit.
        why: String,
    },
}

/// Containers of Argo's own, which do not exist here.
const ARGOS_OWN: [&str; 2] = ["init", "wait"];

/// The patch in a text.
///
/// # Errors
/// When it is none, or sets what does not run here.
pub fn parse(text: &str) -> Result<Value, PatchError> {
    let unreadable = |why: String| PatchError::Unreadable { why };
    let (nodes, errors) = source::read(text);
    if let Some(error) = errors.first() {
        return Err(unreadable(error.to_string()));
    }
    let [node] = nodes.as_slice() else { return Err(unreadable("it is not one document".to_owned())) };
    let (patch, problems) = decode::decode::<Value>(node);
    let Some(Value::Object(patch)) = patch.filter(|_| problems.is_empty()) else {
        return Err(unreadable("it is no mapping".to_owned()));
    };
    for (field, value) in &patch {
        supported("pod", field, field)?;
        if matches!(field.as_str(), "containers" | "initContainers") {
            let fields = value.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
            for (own, _) in fields {
                supported("container", own, &format!("{field}.{own}"))?;
            }
        }
    }
    Ok(Value::Object(patch))
}

/// The fields of a patch that only a pod of a cluster has, each with what to do instead on one machine.
pub fn of_pods(patch: &Value) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for (field, value) in patch.as_object().into_iter().flatten() {
        if let Some(Decision::Pods(instead)) = decision("pod", field) {
            found.push((field.clone(), instead));
        }
        let containers =
            value.as_array().filter(|_| matches!(field.as_str(), "containers" | "initContainers"));
        let fields = containers.into_iter().flatten().filter_map(Value::as_object).flatten();
        found.extend(fields.filter_map(|(own, _)| match decision("container", own) {
            Some(Decision::Pods(instead)) => Some((format!("{field}.{own}"), instead)),
            _ => None,
        }));
    }
    found
}

fn supported(object: &str, field: &str, path: &str) -> Result<(), PatchError> {
    let not_here =
        |instead: &str| PatchError::NotHere { field: path.to_owned(), instead: instead.to_owned() };
    match decision(object, field) {
        Some(Decision::Refused(instead)) => Err(not_here(instead)),
        None if field.starts_with('$') => Err(not_here("write the fields as they shall be")),
        None => Err(not_here("a pod has no such field")),
        Some(_) => Ok(()),
    }
}

/// The template with the patches applied, one after the other. A template that is no pod stays as it is.
///
/// # Errors
/// See [`PatchError`].
pub fn apply(template: &Template, patches: &[String]) -> Result<Template, PatchError> {
    let misfit = |why: serde_json::Error| PatchError::Misfit { why: why.to_string() };
    let mut json = match serde_json::to_value(template).map_err(misfit)? {
        Value::Object(json) if !patches.is_empty() => json,
        _ => return Ok(template.clone()),
    };
    let Some(body) = ["container", "script"].into_iter().find(|body| json.contains_key(*body)) else {
        return Ok(template.clone());
    };
    let mut pod = Value::Object(take_pod(&mut json, body));
    for patch in patches {
        pod = strategic::merge(pod, parse(patch)?);
    }
    put_pod(&mut json, body, template, pod)?;
    serde_json::from_value(Value::Object(json)).map_err(misfit)
}

fn take_pod(json: &mut Map<String, Value>, body: &str) -> Map<String, Value> {
    let mut main = json.remove(body).unwrap_or_default();
    main["name"] = "main".into();
    let mut list = |field: &str| match json.remove(field) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let mut containers = vec![main];
    containers.extend(list("sidecars"));
    let mut pod = Map::new();
    pod.insert("initContainers".to_owned(), list("initContainers").into());
    pod.insert("volumes".to_owned(), list("volumes").into());
    pod.insert("containers".to_owned(), containers.into());
    pod
}

fn put_pod(
    json: &mut Map<String, Value>,
    body: &str,
    template: &Template,
    mut pod: Value,
) -> Result<(), PatchError> {
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let mut list = |field: &str| match pod[field].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let (main, others): (Vec<Value>, Vec<Value>) =
        list("containers").into_iter().partition(|container| name(container) == "main");
    let mut main = main.into_iter().next().unwrap_or_default();
    match template.main().and_then(|container| container.name.clone()) {
        Some(own) => main["name"] = own.into(),
        None => drop(main.as_object_mut().map(|main| main.remove("name"))),
    }
    json.insert(body.to_owned(), main);
    for (field, count, containers) in [
        ("sidecars", template.sidecars.len(), others),
        ("initContainers", template.init_containers.len(), list("initContainers")),
    ] {
        let containers: Vec<Value> =
            containers.into_iter().filter(|c| !ARGOS_OWN.contains(&name(c).as_str())).collect();
        if containers.len() > count {
            let name = containers.last().map(name).unwrap_or_default();
            return Err(PatchError::NoContainer { name });
        }
        json.insert(field.to_owned(), containers.into());
    }
    json.insert("volumes".to_owned(), list("volumes").into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PatchError, apply, of_pods, parse};
    use crate::types::Template;

    fn template(fields: serde_json::Value) -> Template {
        serde_json::from_value(fields).unwrap()
    }

    fn patched(fields: serde_json::Value, patches: &[&str]) -> Result<Template, PatchError> {
        let patches: Vec<String> = patches.iter().map(|p| (*p).to_owned()).collect();
        apply(&template(fields), &patches)
    }

    #[test]
    fn the_main_container_and_the_volumes_are_patched_in_order() {
        let before = json!({"name": "t", "volumes": [{"name": "v", "emptyDir": {}}], "script": {
            "image": "a", "source": "x", "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "1"}}}});
        let first = "containers:\n- name: main\n  image: b\n  env: [{name: B, value: '2'}]\n  resources: {limits: {memory: 1Gi}}\nnodeSelector: {a: b}\n";
        let second = r#"{"containers":[{"name":"main","image":"c"},{"name":"wait","image":"w"}],"volumes":[{"name":"w","emptyDir":{}}]}"#;
        let after = json!({"name": "t", "volumes": [{"name": "w", "emptyDir": {}}, {"name": "v", "emptyDir": {}}],
            "script": {"image": "c", "source": "x", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}});
        assert_eq!(patched(before, &[first, second]), Ok(template(after)));
    }

    #[test]
    fn what_does_not_run_here_is_refused_by_name() {
        let why = |patch: &str| parse(patch).unwrap_err().to_string();
        assert!(
            why("ephemeralContainers: []")
                .starts_with("`ephemeralContainers` of a podSpecPatch is not supported")
        );
        assert!(
            why("containers: [{name: main, restartPolicy: Always}]")
                .starts_with("`containers.restartPolicy` of a")
        );
        assert!(
            why("containers: [{name: main, imag: x}]").starts_with("`containers.imag` of a podSpecPatch")
        );
        assert!(why("$patch: replace").contains("write the fields as they shall be"));
        assert!(why("a: [").starts_with("podSpecPatch is no YAML or JSON"));
        assert!(why("- a").ends_with("it is no mapping"));
        let main = json!({"name": "t", "container": {"image": "a"}});
        let none = PatchError::NoContainer { name: "other".to_owned() };
        assert_eq!(patched(main.clone(), &["containers: [{name: other, image: x}]"]), Err(none));
        let misfit = patched(main, &["containers: [{name: main, image: [1]}]"]).unwrap_err().to_string();
        assert!(misfit.starts_with("podSpecPatch: a field has the wrong type"), "{misfit}");
    }

    #[test]
    fn what_only_a_pod_of_a_cluster_has_is_named() {
        let patch =
            parse("hostname: h\nnodeName: n\ncontainers: [{name: main, volumeDevices: [], image: a}]")
                .unwrap();
        let found = of_pods(&patch);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["containers.volumeDevices", "hostname"]);
    }

    #[test]
    fn a_template_that_is_no_pod_is_left_alone() {
        let steps = json!({"name": "t", "steps": []});
        assert_eq!(patched(steps.clone(), &["containers: [{name: other}]"]), Ok(template(steps)));
    }
}
