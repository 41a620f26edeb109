//! The check that Argo's controller makes once, before a workflow's first step: what can never work as a whole does not
//! run in part.

use dropforge_engine::spec::RunSpec;
use dropforge_manifest::argo;
use dropforge_manifest::parse::ARGO_VERSION;
use dropforge_manifest::types::{Holder, WorkflowSpec};
use serde_json::{Value, json};

use super::BirthError;

/// The run, unless Argo would refuse its workflow as a whole.
///
/// # Errors
/// `Invalid`, with Argo's words.
pub fn validated(run: RunSpec) -> Result<RunSpec, BirthError> {
    // What it names is in the spec already, and Argo takes no templates beside a reference.
    let spec = WorkflowSpec { workflow_template_ref: None, ..run.spec.clone() };
    let metadata = &run.metadata;
    let workflow =
        json!({"apiVersion": ARGO_VERSION, "kind": "Workflow", "metadata": metadata, "spec": spec});
    let stored: Vec<Value> = (run.library.iter())
        .filter_map(|(scope, stored)| {
            let holder = Holder::of_scope(scope)?;
            let namespace = (!holder.cluster).then_some(&run.metadata.namespace);
            let metadata = json!({"name": holder.name, "namespace": namespace});
            let spec = json!({ "templates": stored.templates });
            Some(json!({"apiVersion": ARGO_VERSION, "kind": holder.kind(), "metadata": metadata, "spec": spec}))
        })
        .collect();
    match argo::refused(&workflow, &stored) {
        Some(why) => Err(BirthError::Invalid { why }),
        None => Ok(run),
    }
}
