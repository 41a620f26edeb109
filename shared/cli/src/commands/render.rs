//! `render`: what a manifest becomes before it runs.

use dropforge_engine::program::defaulted;
use dropforge_engine::spec::RunSpec;
use dropforge_manifest::parse::ARGO_VERSION;
use serde_json::{Value, json};

use crate::args::{RenderArgs, RenderOutput};
use crate::commands::run::{births, checked, site, stored};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output;

/// Prints each Workflow with its template, its defaults and its parameters in their places, and the stored templates
/// that it reaches behind it, so that what is printed can be run alone.
///
/// # Errors
/// When something is wrong with a manifest.
#[tokio::main(flavor = "current_thread")]
pub async fn render(global: &Global, args: &RenderArgs) -> Result<Exit, CliError> {
    let sources = checked(global, &args.source)?;
    let specs = births(
        stored(global).await?,
        global,
        &args.source,
        None,
        &sources,
        &site(global, &args.source.files)?,
    )?;
    let mut objects: Vec<Value> = Vec::new();
    for spec in &specs {
        objects.push(workflow(spec, args.source.overrides.name.is_some()));
        for object in library(spec) {
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
    }
    match args.output {
        RenderOutput::Yaml => {
            output::data(&objects.iter().map(output::yaml).collect::<Vec<_>>().join("---\n"))?;
        }
        RenderOutput::Json => {
            output::data(&objects.iter().map(|object| format!("{object}\n")).collect::<String>())?;
        }
    }
    Ok(Exit::Succeeded)
}

fn workflow(spec: &RunSpec, named: bool) -> Value {
    let mut metadata = spec.metadata.clone();
    // A generated name is drawn for each run.
    if metadata.generate_name.is_some() && !named {
        metadata.name = None;
    }
    // They stay for the stored templates; beneath what they are in already they change nothing.
    let mut workflow = spec.spec.clone();
    let defaults = workflow.template_defaults.as_deref();
    let templates = workflow.templates.iter().map(|template| defaulted(template, defaults)).collect();
    workflow.templates = templates;
    json!({"apiVersion": ARGO_VERSION, "kind": "Workflow", "metadata": metadata, "spec": workflow})
}

fn library(spec: &RunSpec) -> impl Iterator<Item = Value> {
    spec.library.iter().map(|(scope, stored)| {
        let (kind, name) = match scope.split_once('/') {
            Some(("cluster", name)) => ("ClusterWorkflowTemplate", name),
            Some((_, name)) => ("WorkflowTemplate", name),
            None => ("WorkflowTemplate", scope.as_str()),
        };
        json!({
            "apiVersion": ARGO_VERSION, "kind": kind, "metadata": {"name": name},
            "spec": {"templates": stored.templates},
        })
    })
}
