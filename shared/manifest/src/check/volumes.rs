//! Volumes, their mounts, and what a container asks for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::codes::Code;
use crate::quantity::{self, Quantity};
use crate::source::join;
use crate::text::AnyString;
use crate::types::{Artifact, Container, Template, VolumeMount};

use super::{SpecCheck, did_you_mean, language};

fn name(volume: &Value) -> &str {
    volume.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn claim_name(claim: &Value) -> &str {
    claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Each volume has a name and one source.
pub(super) fn declared(check: &SpecCheck<'_>, volumes: &[Value], path: &str) {
    for (index, volume) in volumes.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if name(volume).is_empty() {
            check.report(
                Code::E101,
                &path,
                "a volume needs a name",
                "add `name`, by which `volumeMounts` refer to it",
            );
        }
        if volumes[..index].iter().any(|other| name(other) == name(volume)) {
            let message = format!("volume '{}' is not unique", name(volume));
            check.report(Code::E102, &path, message, "rename one of the two");
        }
        let sources =
            volume.as_object().map_or(0, |fields| fields.keys().filter(|key| *key != "name").count());
        if sources > 1 {
            let message = format!("volume '{}' has more than one source", name(volume));
            check.report(Code::E108, &path, message, "keep one of them");
        }
        if volume.get("persistentVolumeClaim").is_some()
            && volume.pointer("/persistentVolumeClaim/claimName").is_none()
        {
            let message = format!("volume '{}' names no claim", name(volume));
            check.report(Code::E108, &path, message, "add `persistentVolumeClaim.claimName`");
        }
    }
}

/// The claims that are made for each run.
pub(super) fn claims(check: &SpecCheck<'_>) {
    let claims = &check.spec.volume_claim_templates;
    for (index, claim) in claims.iter().enumerate() {
        let path = format!("{}.volumeClaimTemplates[{index}]", check.path);
        let name = claim_name(claim);
        if name.is_empty() {
            check.report(
                Code::E101,
                &path,
                "a volume claim template needs a name",
                "add `metadata.name`, by which `volumeMounts` refer to it",
            );
        } else if claims[..index].iter().any(|other| claim_name(other) == name) {
            check.report(
                Code::E102,
                &path,
                format!("volume claim template '{name}' is not unique"),
                "rename one of the two",
            );
        }
        let storage = claim.pointer("/spec/resources/requests/storage");
        let text = match storage {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => continue,
        };
        if !language::has_tag(&text)
            && let Err(why) = text.parse::<Quantity>()
        {
            let path = format!("{path}.spec.resources.requests.storage");
            check.report(Code::E308, &path, why.to_string(), "write a quantity such as 5Gi");
        }
    }
}

/// Mounts, each with its place, name a volume, and no two of them and of the inputs stand at one path.
pub(super) fn mounts(
    check: &SpecCheck<'_>,
    template: &Template,
    mounts: &[(String, VolumeMount)],
    inputs: &[Artifact],
    template_path: &str,
) {
    let spec = &check.merged;
    let known: Vec<&str> = (spec.volumes.iter().chain(&template.volumes).map(name))
        .chain(spec.volume_claim_templates.iter().map(claim_name))
        .collect();
    let mut taken: BTreeMap<&str, String> = BTreeMap::new();
    for (mount_path, mount) in mounts {
        // A library's template may be called from a workflow whose volumes are not known here.
        if !known.contains(&mount.name.as_str()) && !language::has_tag(&mount.name) {
            let message = format!("volume '{}' is not defined", mount.name);
            let remedy = did_you_mean(
                &mount.name,
                known.iter().copied(),
                "define it under `volumes` or `volumeClaimTemplates`",
            );
            if check.at_rest || check.references_elsewhere() {
                let remedy = format!("{remedy}; or define it in every workflow that calls this template");
                check.subject.warn(Code::E307, mount_path, message, remedy);
            } else {
                check.report(Code::E307, mount_path, message, remedy);
            }
        }
        if !mount.mount_path.starts_with('/') && !language::has_tag(&mount.mount_path) {
            let message = format!("mountPath '{}' is not absolute", mount.mount_path);
            check.report(Code::E108, mount_path, message, "begin it with /");
        }
        take(
            check,
            &mut taken,
            &mount.mount_path,
            format!("container.volumeMounts.{}", mount.name),
            mount_path,
        );
    }
    for (index, artifact) in inputs.iter().enumerate() {
        let Some(target) = artifact.path.as_deref() else { continue };
        let artifact_path = format!("{template_path}.inputs.artifacts[{index}].path");
        take(check, &mut taken, target, format!("inputs.artifacts.{}", artifact.name), &artifact_path);
    }
}

fn take<'p>(
    check: &SpecCheck<'_>,
    taken: &mut BTreeMap<&'p str, String>,
    target: &'p str,
    what: String,
    path: &str,
) {
    let target = target.trim_end_matches('/');
    if target.is_empty() {
        return;
    }
    match taken.get(target) {
        Some(other) => {
            let message = format!("{what} path '{target}' already mounted in {other}");
            check.report(Code::E306, path, message, "choose another path for one of the two");
        }
        None => _ = taken.insert(target, what),
    }
}

/// Quantities can be read, requests stay within limits, and a GPU is a limit.
pub(super) fn resources(check: &SpecCheck<'_>, container: &Container, path: &str) {
    let Some(resources) = &container.resources else { return };
    let path = format!("{path}.resources");
    for (kind, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (resource, amount) in amounts {
            let path = join(&format!("{path}.{kind}"), resource);
            if let Err(why) = read(amount) {
                let message = format!("{kind}.{resource}: {why}");
                check.report(Code::E308, &path, message, "write a quantity such as 500m, 2, 512Mi or 4Gi");
            }
        }
    }
    for (resource, request) in &resources.requests {
        let path = join(&format!("{path}.requests"), resource);
        match resources.limits.get(resource) {
            None if resource.contains('/') => {
                let message = format!("{resource} is requested without a limit");
                let remedy =
                    format!("write `limits: {{{resource}: {request}}}`; Kubernetes refuses a request alone");
                check.report(Code::W704, &path, message, remedy);
            }
            Some(limit) => {
                if let (Ok(Some(request)), Ok(Some(limit))) = (read(request), read(limit))
                    && request > limit
                {
                    let message = format!("{resource} is requested above its limit");
                    check.report(Code::E408, &path, message, "raise the limit or lower the request");
                }
            }
            None => {}
        }
    }
}

/// The quantity; none when it is known only when it runs.
fn read(amount: &AnyString) -> Result<Option<Quantity>, quantity::Error> {
    if language::has_tag(amount.as_str()) { Ok(None) } else { amount.as_str().parse().map(Some) }
}

/// Paths of a leaf at which something is mounted or placed, or from which an output is taken.
pub(super) fn provided_paths<'t>(template: &'t Template, container: &'t Container) -> Vec<&'t str> {
    let shared = template.container_set.iter().flat_map(|set| &set.volume_mounts);
    let mirrored = template.mains().into_iter().flat_map(|(_, main)| &main.volume_mounts);
    let mirrored = mirrored.filter(|_| container.mirror_volume_mounts == Some(true));
    let mounts = container.volume_mounts.iter().chain(shared).chain(mirrored);
    let mounts = mounts.map(|mount| mount.mount_path.as_str());
    let inputs = template.inputs.artifacts.iter().filter_map(|artifact| artifact.path.as_deref());
    let outputs = template.outputs.artifacts.iter().filter_map(|artifact| artifact.path.as_deref());
    let files = template.outputs.parameters.iter().filter_map(|p| p.value_from.as_ref()?.path.as_deref());
    mounts
        .chain(inputs)
        .chain(outputs)
        .chain(files)
        .map(|path| path.trim_end_matches('/'))
        .filter(|path| !path.is_empty())
        .collect()
}
