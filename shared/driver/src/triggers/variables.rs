//! `{{trigger.*}}` in a trigger's arguments, and the Workflow that its run is.

use dropforge_engine::spec::DroppedObject;
use dropforge_manifest::parse::ARGO_VERSION;
use dropforge_manifest::tags::{Lookup, Scope, Strictness, TagError, replace_value};
use dropforge_manifest::types::{Arguments, ObjectMeta, Trigger, Workflow, WorkflowSpec};
use serde_json::{Value, json};

use super::TRIGGER_LABEL;
use crate::packing;

/// The variables of a run's objects: one object's facts, or lists of a batch's.
struct Variables<'a> {
    objects: &'a [DroppedObject],
    batch: bool,
}

impl Variables<'_> {
    fn value(&self, fact: impl Fn(&DroppedObject) -> Value) -> Value {
        match self.objects {
            [one] if !self.batch => fact(one),
            // A list is text in an argument, as Argo's aggregated results are.
            all => json!(Value::Array(all.iter().map(fact).collect()).to_string()),
        }
    }

    fn objects(&self) -> Value {
        let all: Vec<Value> = self
            .objects
            .iter()
            .map(|o| {
                json!({
                    "bucket": o.bucket, "key": o.key, "versionId": o.version_id, "etag": o.etag,
                    "size": o.size, "time": o.time.to_string(),
                })
            })
            .collect();
        json!(Value::Array(all).to_string())
    }
}

impl Scope for Variables<'_> {
    fn get(&self, name: &str) -> Lookup {
        let Some(variable) = name.strip_prefix("trigger.") else { return Lookup::Unknown };
        Lookup::Value(match variable {
            "bucket" => self.value(|o| json!(o.bucket)),
            "key" => self.value(|o| json!(o.key)),
            "versionId" => self.value(|o| json!(o.version_id)),
            "etag" => self.value(|o| json!(o.etag)),
            "size" => self.value(|o| json!(o.size)),
            "time" => self.value(|o| json!(o.time.to_string())),
            "objects" => self.objects(),
            _ => return Lookup::Unknown,
        })
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        let names = ["bucket", "key", "versionId", "etag", "size", "time", "objects"];
        (prefix == "trigger").then(|| {
            let value = |name: &str| match self.get(&format!("trigger.{name}")) {
                Lookup::Value(value) => value,
                Lookup::Absent { .. } | Lookup::Unknown => Value::Null,
            };
            Value::Object(names.iter().map(|name| ((*name).to_owned(), value(name))).collect())
        })
    }
}

/// A trigger's arguments for these objects.
///
/// # Errors
/// When a `{{trigger.…}}` does not exist, or an expression has no value.
pub fn arguments_of(trigger: &Trigger, objects: &[DroppedObject]) -> Result<Arguments, TagError> {
    let variables = Variables { objects, batch: trigger.spec.s3.batch.is_some() };
    let arguments = &trigger.spec.arguments;
    let Ok(mut value) = serde_json::to_value(arguments) else { return Ok(arguments.clone()) };
    replace_value(&mut value, &variables, Strictness::Strict(&["trigger"]))?;
    Ok(serde_json::from_value(value).unwrap_or_else(|_| arguments.clone()))
}

/// The Workflow that a trigger's run is: its template or its own spec, with its arguments over the spec's.
///
/// # Errors
/// See [`arguments_of`].
pub fn workflow_of(trigger: &Trigger, objects: &[DroppedObject]) -> Result<Workflow, TagError> {
    let arguments = arguments_of(trigger, objects)?;
    let name = trigger.metadata.name.clone().unwrap_or_default();
    let mut spec = trigger.spec.workflow.clone().unwrap_or_else(|| WorkflowSpec {
        workflow_template_ref: trigger.spec.workflow_template_ref.clone(),
        ..WorkflowSpec::default()
    });
    for given in arguments.parameters {
        match spec.arguments.parameters.iter_mut().find(|parameter| parameter.name == given.name) {
            Some(parameter) => *parameter = given,
            None => spec.arguments.parameters.push(given),
        }
    }
    for given in arguments.artifacts {
        match spec.arguments.artifacts.iter_mut().find(|artifact| artifact.name == given.name) {
            Some(artifact) => *artifact = given,
            None => spec.arguments.artifacts.push(given),
        }
    }
    let mut metadata = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: trigger.metadata.namespace.clone(),
        labels: [(TRIGGER_LABEL.to_owned(), name)].into(),
        ..ObjectMeta::default()
    };
    packing::hand_on(&trigger.metadata, &mut metadata);
    Ok(Workflow {
        api_version: ARGO_VERSION.to_owned(),
        kind: "Workflow".to_owned(),
        metadata,
        spec,
        status: None,
    })
}
