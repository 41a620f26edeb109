//! What this machine has and lacks, said before a person waits for it.

use dropforge_cluster::gpus::{Gpus, ThisMachine};
use dropforge_cluster::settings::{Settings, plan};
use dropforge_manifest::parse::Document;
use dropforge_manifest::types::{Container, Template};

/// Kubernetes' name of NVIDIA's GPUs.
const GPU: &str = "nvidia.com/gpu";

/// A sentence for each of a document's templates that asks for a GPU on a machine that has none.
pub fn gpu_notes(document: &Document, settings: &Settings) -> Vec<String> {
    let templates =
        document.object.workflow_spec().map(|(spec, _)| spec.templates.as_slice()).unwrap_or_default();
    let containers = templates.iter().flat_map(|t| t.containers().into_iter().map(move |(_, c)| (t, c)));
    let asking: Vec<(&Template, &Container)> = containers.filter(|(_, c)| asks_for_gpu(c)).collect();
    if asking.is_empty() {
        return Vec::new();
    }
    let gpus = Gpus::find(&ThisMachine);
    if !gpus.is_empty() {
        return Vec::new();
    }
    asking.into_iter().map(|(t, c)| note(document, t, c, settings, &gpus)).collect()
}

fn asks_for_gpu(container: &Container) -> bool {
    let resources = container.resources.as_ref();
    resources.is_some_and(|r| r.limits.contains_key(GPU) || r.requests.contains_key(GPU))
}

fn note(
    document: &Document,
    template: &Template,
    container: &Container,
    settings: &Settings,
    gpus: &Gpus,
) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let head = format!(
        "{}: template {} asks for {GPU} and this machine has no NVIDIA GPU",
        document.file, template.name
    );
    if plan(image, settings, gpus).is_stand_in {
        format!("{head}: the stand-in of dropforge.toml runs instead")
    } else {
        format!(
            "{head}: its step will be refused; name a stand-in in dropforge.toml: [images.{image:?}.without-gpu]"
        )
    }
}
