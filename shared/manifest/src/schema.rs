//! JSON schemas (draft 2020-12) for editors and for whoever writes a manifest by hand.
//!
//! Argo's kinds are described by the types that read them (`shapes`) and by the table of what runs here; our Trigger by
//! a schema of its own, which says more.

use serde_json::{Map, Value, json};

use crate::check::support::{Decision, decision};
use crate::parse::{ARGO_VERSION, TRIGGER_VERSION};
use crate::types::{CronWorkflowSpec, ObjectMeta, WorkflowSpec};
use shapes::Shapes;

mod shapes;

#[cfg(test)]
mod tests;

/// The schema of `kind: Trigger`, as pretty JSON.
pub const TRIGGER_SCHEMA: &str = include_str!("schema/trigger.json");

/// The schema of every kind that is read here.
pub fn manifest_schema() -> Value {
    let mut shapes = Shapes::default();
    let workflow = shapes.trace::<WorkflowSpec>();
    let cron = shapes.trace::<CronWorkflowSpec>();
    let metadata = shapes.trace::<ObjectMeta>();
    let mut defs = shapes.definitions();
    for (row, spec) in [("spec", &workflow), ("cron", &cron)] {
        describe(&mut defs, row, spec, &mut Vec::new());
    }
    let kinds = [
        ("Workflow", &workflow),
        ("WorkflowTemplate", &workflow),
        ("ClusterWorkflowTemplate", &workflow),
        ("CronWorkflow", &cron),
    ];
    for (kind, spec) in kinds {
        defs.insert(kind.to_owned(), object(kind, &metadata, spec));
    }
    // It has an `$id`, so that its own references are looked up within it.
    defs.insert("Trigger".to_owned(), serde_json::from_str(TRIGGER_SCHEMA).unwrap_or_default());
    let names = kinds.map(|(kind, _)| kind).into_iter().chain(["Trigger"]);
    let one = |kind: &str| {
        let version = if kind == "Trigger" { TRIGGER_VERSION } else { ARGO_VERSION };
        json!({
            "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
            "then": {"$ref": format!("#/$defs/{kind}"), "properties": {"apiVersion": {"const": version}}},
        })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dropforge.dev/schemas/manifest.json",
        "title": "Dropforge manifest",
        "description": "Argo Workflows' objects as Dropforge reads them, and Trigger.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"kind": {"enum": names.clone().collect::<Vec<_>>()}},
        "allOf": names.map(one).collect::<Vec<_>>(),
        "$defs": defs,
    })
}

fn object(kind: &str, metadata: &Value, spec: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"const": ARGO_VERSION},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": spec,
            // What the cluster writes.
            "status": {"type": "object"},
        },
    })
}

/// Writes the table's word on each field into the definitions that the rows describe.
fn describe(defs: &mut Map<String, Value>, row: &'static str, schema: &Value, open: &mut Vec<&'static str>) {
    let Some(name) = definition_in(schema) else { return };
    if open.contains(&row) {
        return;
    }
    open.push(row);
    let fields: Vec<String> = match &defs.get(&name).and_then(|def| def["properties"].as_object()) {
        Some(properties) => properties.keys().cloned().collect(),
        None => Vec::new(),
    };
    for field in fields {
        let property = defs[&name]["properties"][&field].clone();
        match decision(row, &field) {
            Some(Decision::Into(next)) => describe(defs, next, &property, open),
            Some(word) => {
                if let Some(text) = text(word) {
                    defs[&name]["properties"][&field] =
                        described(property, &text, matches!(word, Decision::Refused(_)));
                }
            }
            None => {}
        }
    }
}

fn text(word: Decision) -> Option<String> {
    match word {
        Decision::Refused(instead) => Some(format!("Refused here: {instead}.")),
        Decision::Pods(instead) => Some(format!("Only on a cluster; on one machine: {instead}.")),
        Decision::Warned(why) => Some(format!("Does nothing here: {why}.")),
        Decision::Noted(why) => Some(format!("Means nothing on one machine: {why}.")),
        Decision::Silent => Some("Means nothing on one machine.".to_owned()),
        Decision::Runs | Decision::Into(_) => None,
    }
}

fn described(schema: Value, text: &str, refused: bool) -> Value {
    let mut own = match schema {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    own.insert("description".to_owned(), text.into());
    if refused {
        own.insert("deprecated".to_owned(), true.into());
    }
    own.into()
}

/// The definition that a schema names, by itself or for its items.
fn definition_in(schema: &Value) -> Option<String> {
    let reference = schema["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/"));
    reference.map(str::to_owned).or_else(|| {
        let inner = [&schema["items"], &schema["additionalProperties"]];
        inner.into_iter().filter(|inner| inner.is_object()).find_map(definition_in)
    })
}
