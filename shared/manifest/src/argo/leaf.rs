//! Templates that call no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::json::{Read, encode};
use super::kind::{Kind, has_main};
use super::names::{self, Named};
use super::refusal::{Checked, refuse};
use super::replace::is_placeholder;
use super::scope::Scope;
use super::validation::{Base, ScopeOf, Validation};
use crate::codes::Code;
use crate::go::atoi;
use crate::source::{self, first_error};

impl Validation<'_> {
    pub(super) fn leaf(&self, template: &Value, kind: Kind, base: &Base, scope: &Scope) -> Checked {
        let label = format!("templates.{}", template.text("name"));
        self.resolve(scope, |_| false, &encode(template, "Template"))
            .map_err(|refusal| refusal.after(format!("{label}: ")))?;
        match kind {
            Kind::Container => {
                mounts(template, &label)?;
                self.image(template, "container", base, &label)?;
            }
            Kind::ContainerSet => container_set(template, &label)?,
            _ => {}
        }
        for (index, sidecar) in template.list("sidecars").iter().enumerate() {
            let name = sidecar.text("name");
            if is_reserved(name) {
                let message = format!("{label}.sidecars: {name:?} is a reserved Argo container name");
                return refuse(Code::E101, message, format!("sidecars[{index}].name"));
            }
        }
        match kind {
            Kind::Resource => resource(template, &label)?,
            Kind::Script => self.image(template, "script", base, &label)?,
            _ => {}
        }
        deadline(template.field("activeDeadlineSeconds"), &label)?;
        if template.has("parallelism") {
            let message = format!("{label}.parallelism is only valid for steps and dag templates");
            return refuse(Code::E107, message, "parallelism");
        }
        Ok(())
    }

    /// The image may also come from the template defaults, but not in a ClusterWorkflowTemplate that others call.
    fn image(&self, template: &Value, field: &str, base: &Base, label: &str) -> Checked {
        let default = self.world.spec(base.document).field("templateDefaults").field(field);
        if template.field(field).says("image") || (base.scope != ScopeOf::Cluster && default.says("image")) {
            return Ok(());
        }
        refuse(Code::E108, format!("{label}.{field}.image may not be empty"), field)
    }
}

fn mounts(template: &Value, label: &str) -> Checked {
    let mut taken: BTreeMap<&str, String> = BTreeMap::new();
    for (index, mount) in template.field("container").list("volumeMounts").iter().enumerate() {
        let (name, path) = (mount.text("name"), mount.text("mountPath"));
        let at = format!("container.volumeMounts[{index}].mountPath");
        if let Some(other) = taken.insert(path, format!("container.volumeMounts.{name}")) {
            return refuse(Code::E306, format!("{label}.{at} '{path}' already mounted in {other}"), at);
        }
    }
    for (index, artifact) in template.field("inputs").list("artifacts").iter().enumerate() {
        let (name, path) = (artifact.text("name"), artifact.text("path"));
        let at = format!("inputs.artifacts[{index}].path");
        if let Some(other) = taken.insert(path, format!("inputs.artifacts.{name}")) {
            return refuse(Code::E306, format!("{label}.{at} '{path}' already mounted in {other}"), at);
        }
    }
    Ok(())
}

/// Names of the containers that Argo adds to a pod.
fn is_reserved(name: &str) -> bool {
    matches!(name, "wait" | "supervisor") || name.starts_with("artifact-plugin-")
}

fn container_set(template: &Value, label: &str) -> Checked {
    let label = format!("{label}.containerSet");
    let set = template.field("containerSet");
    let containers = set.list("containers");
    let path = "containerSet.containers";
    if containers.is_empty() {
        return refuse(
            Code::E108,
            format!("{label}.containers must have at least one container"),
            "containerSet",
        );
    }
    names::check(containers, Named::Field, &format!("{label}.containers"), path)?;
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, mount) in set.list("volumeMounts").iter().enumerate() {
        let target = mount.text("mountPath");
        if let Some(other) = taken.insert(target, mount.text("name")) {
            let message = format!(
                "{label}.volumeMounts[{index}].mountPath '{target}' already mounted in volumeMounts.{other}"
            );
            return refuse(Code::E306, message, format!("containerSet.volumeMounts[{index}]"));
        }
    }
    let waits: BTreeMap<&str, Vec<&str>> = (containers.iter())
        .map(|c| (c.text("name"), c.list("dependencies").iter().filter_map(Value::as_str).collect()))
        .collect();
    for (index, container) in containers.iter().enumerate() {
        let name = container.text("name");
        if let Some(other) = waits[name].iter().find(|other| !waits.contains_key(*other)) {
            let message = format!("{label}.containers.{name} dependency '{other}' not defined");
            return refuse(Code::E403, message, format!("{path}[{index}].dependencies"));
        }
    }
    if let Some(circle) = circle(&waits) {
        let message = format!("{label}.containers dependency cycle detected: {}", circle.join("->"));
        return refuse(Code::E402, message, path);
    }
    let outputs = template.field("outputs");
    let moves =
        [template.field("inputs").list("artifacts"), outputs.list("parameters"), outputs.list("artifacts")];
    if moves.iter().any(|list| !list.is_empty()) && !has_main(set) {
        let message = format!("{label}.containers must have a container named \"main\" for input or output");
        return refuse(Code::E108, message, path);
    }
    for (index, container) in containers.iter().enumerate() {
        let name = container.text("name");
        if is_reserved(name) {
            let message = format!("{label}.containers: {name:?} is a reserved Argo container name");
            return refuse(Code::E101, message, format!("{path}[{index}].name"));
        }
    }
    Ok(())
}

/// Names that wait for each other, the first one at the end again.
fn circle<'n>(waits: &BTreeMap<&'n str, Vec<&'n str>>) -> Option<Vec<&'n str>> {
    let mut done = BTreeSet::new();
    for start in waits.keys() {
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((name, next)) = path.last_mut() {
            let Some(other) = waits.get(name).and_then(|others| others.get(*next)) else {
                done.insert(*name);
                path.pop();
                continue;
            };
            *next += 1;
            if let Some(at) = path.iter().position(|(name, _)| name == other) {
                return Some(path[at..].iter().map(|(name, _)| *name).chain([*other]).collect());
            }
            if !done.contains(other) {
                path.push((other, 0));
            }
        }
    }
    None
}

static EXPRESSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{\s*=\s*(.+?)\s*\}\}").expect("the pattern is valid"));

fn resource(template: &Value, label: &str) -> Checked {
    let resource = template.field("resource");
    let action = resource.text("action");
    let known = ["get", "create", "apply", "delete", "replace", "patch"];
    if !is_placeholder(action) && !known.contains(&action) {
        let message =
            format!("{label}.resource.action must be one of: get, create, apply, delete, replace, patch");
        return refuse(Code::E503, message, "resource.action");
    }
    if matches!(action, "delete" | "get") {
        return Ok(());
    }
    let (manifest, from) = (resource.text("manifest"), resource.field("manifestFrom"));
    if manifest.is_empty() && from.is_null() {
        let message =
            format!("either {label}.resource.manifest or {label}.resource.manifestFrom must be specified");
        return refuse(Code::E108, message, "resource");
    }
    if !manifest.is_empty() && !from.is_null() {
        let message =
            "shouldn't have both `manifest` and `manifestFrom` specified in `Manifest` for resource template";
        return refuse(Code::E108, message, "resource");
    }
    if from.has("artifact") {
        let name = from.field("artifact").text("name");
        if !template.field("inputs").list("artifacts").iter().any(|artifact| artifact.text("name") == name) {
            let message = format!("artifact {name} in `manifestFrom` refer to a non-exist artifact");
            return refuse(Code::E303, message, "resource.manifestFrom");
        }
    }
    if !manifest.is_empty() && !is_placeholder(manifest) {
        let (documents, errors) = source::read(&EXPRESSION.replace_all(manifest, "x"));
        if first_error(&documents, &errors).is_some() {
            let message = format!("{label}.resource.manifest must be a valid yaml");
            return refuse(Code::E002, message, "resource.manifest");
        }
    }
    Ok(())
}

fn deadline(seconds: &Value, label: &str) -> Checked {
    let fine = match seconds {
        Value::String(text) if atoi(text).is_ok() => !text.starts_with('-'),
        Value::String(text) => (text.starts_with("{{") && text.ends_with("}}")) || is_placeholder(text),
        other => other.as_i64().is_none_or(|seconds| seconds >= 0),
    };
    if fine {
        return Ok(());
    }
    let message = format!("{label}.activeDeadlineSeconds must be a positive integer > 0 or an argo variable");
    refuse(Code::E408, message, "activeDeadlineSeconds")
}
