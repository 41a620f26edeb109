//! What a workflow says over what its stored template and the defaults say.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::types::{Artifact, LabelValueFrom, Parameter, Template, WorkflowDefaults, WorkflowSpec};

pub(crate) mod strategic;
#[cfg(test)]
mod tests;

/// The spec that runs: what `workflow` sets wins over what `template` sets, as in Kubernetes' strategic merge.
/// Whether it begins suspended is the workflow's own.
pub fn effective_spec(workflow: &WorkflowSpec, template: &WorkflowSpec) -> WorkflowSpec {
    WorkflowSpec { suspend: workflow.suspend, ..join(workflow, template) }
}

/// The spec with the defaults beneath everything else.
pub fn with_defaults(spec: &WorkflowSpec, defaults: &WorkflowDefaults) -> WorkflowSpec {
    if *defaults == WorkflowDefaults::default() {
        return spec.clone();
    }
    let own = spec.workflow_template_ref.is_some();
    let joined = join(spec, &defaults.spec);
    WorkflowSpec { suspend: if own { spec.suspend } else { joined.suspend }, ..joined }
}

/// `high` over `low`, both of an object of Kubernetes: mappings are joined key by key, containers, volumes and their
/// like by name; a null of `high` takes a field of `low` away.
pub fn strategic(low: Value, high: Value) -> Value {
    strategic::merge(low, high)
}

/// Every body that a template can have.
const BODIES: [&str; 10] =
    ["container", "script", "steps", "dag", "suspend", "containerSet", "resource", "data", "http", "plugin"];

/// A template with the defaults beneath it. Of the defaults' bodies only one of the template's own kind counts: the
/// defaults of a container do not turn a script into a container.
pub fn with_template_defaults(template: &Template, defaults: &Template) -> Template {
    let (mut below, above) = (json(defaults), json(template));
    if let Some(below) = below.as_object_mut() {
        below.retain(|field, _| {
            field != "name" && (!BODIES.contains(&field.as_str()) || above.get(field).is_some())
        });
    }
    typed(strategic::merge(below, above))
}

fn join(high: &WorkflowSpec, low: &WorkflowSpec) -> WorkflowSpec {
    let mut merged: WorkflowSpec = typed(strategic::merge(json(low), json(high)));
    merged.hooks = by_key(&high.hooks, &low.hooks);
    if let Some(metadata) = &mut merged.workflow_metadata {
        metadata.labels_from = by_key(labels_from(high), labels_from(low));
    }
    for parameter in &mut merged.arguments.parameters {
        whole_parameter(parameter, high, low);
    }
    for artifact in &mut merged.arguments.artifacts {
        whole_artifact(artifact, high, low);
    }
    merged
}

/// Entries of both, each taken whole, the higher one's where both have it.
fn by_key<V: Clone>(high: &BTreeMap<String, V>, low: &BTreeMap<String, V>) -> BTreeMap<String, V> {
    let mut joined = low.clone();
    joined.extend(high.iter().map(|(key, value)| (key.clone(), value.clone())));
    joined
}

fn labels_from(spec: &WorkflowSpec) -> &BTreeMap<String, LabelValueFrom> {
    static NONE: BTreeMap<String, LabelValueFrom> = BTreeMap::new();
    spec.workflow_metadata.as_ref().map_or(&NONE, |metadata| &metadata.labels_from)
}

/// Value, default and source of a parameter are one thing: the highest side that has any of them gives the entry.
fn whole_parameter(merged: &mut Parameter, high: &WorkflowSpec, low: &WorkflowSpec) {
    let says = |p: &&Parameter| p.value.is_some() || p.default.is_some() || p.value_from.is_some();
    let sides = [&high.arguments, &low.arguments];
    let mut entries = sides.iter().filter_map(|side| side.parameters.iter().find(|p| p.name == merged.name));
    if let Some(entry) = entries.find(says) {
        *merged = entry.clone();
    }
}

/// An artifact's location is joined field by field where both sides store it in the same kind of place.
fn whole_artifact(merged: &mut Artifact, high: &WorkflowSpec, low: &WorkflowSpec) {
    let own = |spec: &WorkflowSpec| spec.arguments.artifacts.iter().find(|a| a.name == merged.name).cloned();
    let (Some(above), Some(below)) = (own(high), own(low)) else { return };
    let same_kind = above.s3.is_some() == below.s3.is_some() && above.raw.is_some() == below.raw.is_some();
    *merged = match (same_kind, &merged.s3) {
        (true, Some(joined)) => Artifact { s3: Some(joined.clone()), ..above },
        _ => above,
    };
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("the fields of a manifest are JSON")
}

fn typed<T: DeserializeOwned>(merged: Value) -> T {
    serde_json::from_value(merged).expect("both sides have the same type at every place")
}
