//! A workflow's spec over the spec of the stored template it references.

use crate::types::{Arguments, Artifact, WorkflowSpec};

#[cfg(test)]
mod tests;

macro_rules! first_set {
    ($high:expr, $low:expr, { $($option:ident)* } { $($list:ident)* }) => {
        WorkflowSpec {
            $($option: $high.$option.clone().or_else(|| $low.$option.clone()),)*
            $($list: if $high.$list.is_empty() { $low.$list.clone() } else { $high.$list.clone() },)*
            arguments: arguments(&$high.arguments, &$low.arguments),
            templates: by_name(&$high.templates, &$low.templates, |template| &template.name),
            hooks: {
                let mut hooks = $low.hooks.clone();
                hooks.extend($high.hooks.clone());
                hooks
            },
            volumes: by_name(&$high.volumes, &$low.volumes, |volume| &volume["name"]),
        }
    };
}

/// The spec that runs: what `workflow` sets wins over what `template` sets; templates, arguments and volumes are
/// joined by name, hooks by key.
pub fn effective_spec(workflow: &WorkflowSpec, template: &WorkflowSpec) -> WorkflowSpec {
    first_set!(workflow, template, {
        entrypoint on_exit parallelism active_deadline_seconds suspend shutdown retry_strategy volume_claim_gc
        archive_logs priority service_account_name template_defaults synchronization metrics workflow_metadata
        ttl_strategy pod_gc artifact_gc artifact_repository_ref executor_plugins pod_metadata pod_spec_patch
        automount_service_account_token executor pod_priority_class_name scheduler_name node_selector affinity
        tolerations image_pull_secrets host_network dns_policy dns_config host_aliases security_context pod_resources
        resource_claims pod_disruption_budget workflow_template_ref
    } { volume_claim_templates })
}

/// `high` and then those of `low` that it does not name.
fn by_name<T: Clone, K: PartialEq + ?Sized>(high: &[T], low: &[T], name: fn(&T) -> &K) -> Vec<T> {
    let more = low.iter().filter(|item| !high.iter().any(|other| name(other) == name(item)));
    high.iter().chain(more).cloned().collect()
}

/// A parameter of the higher side replaces the whole entry; an artifact's fields are joined where both sides
/// store it in the same kind of place.
fn arguments(high: &Arguments, low: &Arguments) -> Arguments {
    let artifacts = by_name(&high.artifacts, &low.artifacts, |artifact| &artifact.name);
    let joined = artifacts.into_iter().map(|artifact| {
        let below = low.artifacts.iter().find(|other| other.name == artifact.name);
        below.map_or_else(|| artifact.clone(), |below| join_artifact(&artifact, below))
    });
    Arguments {
        parameters: by_name(&high.parameters, &low.parameters, |p| &p.name),
        artifacts: joined.collect(),
    }
}

fn join_artifact(high: &Artifact, low: &Artifact) -> Artifact {
    let same_kind = high.s3.is_some() == low.s3.is_some() && high.raw.is_some() == low.raw.is_some();
    if !same_kind || high == low {
        return high.clone();
    }
    let (Ok(mut below), Ok(above)) = (serde_json::to_value(low), serde_json::to_value(high)) else {
        return high.clone();
    };
    overlay(&mut below, above);
    serde_json::from_value(below).unwrap_or_else(|_| high.clone())
}

fn overlay(below: &mut serde_json::Value, above: serde_json::Value) {
    match (below, above) {
        (serde_json::Value::Object(below), serde_json::Value::Object(above)) => {
            for (key, value) in above {
                overlay(below.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}
