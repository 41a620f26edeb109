//! `cp`: a run's output artifacts, copied out of the store.

use std::path::{Path, PathBuf};

use dropforge_driver::store::{Artifacts, Place};
use dropforge_engine::view::ViewNode;
use dropforge_manifest::types::Artifact;

use crate::args::CpArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::lookup;
use crate::output::{data, say};

/// Copies artifacts to `DIR/<node>/<file>`.
///
/// # Errors
/// When there is no such run, node or artifact, or a file can't be written.
#[tokio::main(flavor = "current_thread")]
pub async fn cp(global: &Global, args: &CpArgs) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, &args.run).await?;
    let (view, _) = lookup::view(&store, &entry.uid).await?;
    let nodes: Vec<&ViewNode> = match &args.node {
        Some(node) => {
            let found = view.find(node);
            vec![found.ok_or_else(|| CliError::NoNode { run: entry.name.clone(), node: node.clone() })?]
        }
        None => view.nodes.values().filter(|n| !n.attempts.is_empty()).collect(),
    };
    let mut copied = 0;
    for node in nodes {
        for artifact in node.outputs.artifacts.iter().filter(|a| wanted(a, args)) {
            let folder = args.dir.join(folder_name(&view.display_name(node)));
            copied += copy(&store, global, artifact, &folder).await?;
        }
    }
    if copied == 0 {
        say(&format!("run {} has no such artifact", entry.name));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Succeeded)
}

fn wanted(artifact: &Artifact, args: &CpArgs) -> bool {
    args.artifact_name.as_ref().is_none_or(|name| artifact.name == *name)
}

/// A node's display name as one folder's.
fn folder_name(name: &str) -> String {
    name.replace(['/', '\0'], "_")
}

async fn copy(store: &Home, global: &Global, artifact: &Artifact, folder: &Path) -> Result<usize, CliError> {
    let Some(s3) = &artifact.s3 else { return Ok(0) };
    let place = Place::of(s3);
    if store.head(&global.namespace, &place).await?.is_some() {
        let file = place.key.rsplit('/').next().unwrap_or(&artifact.name).to_owned();
        fetch(store, global, &place, &folder.join(file)).await?;
        return Ok(1);
    }
    let below = store.list(&global.namespace, &place).await?;
    for key in &below {
        let one =
            Place { bucket: place.bucket.clone(), key: format!("{}/{key}", place.key.trim_end_matches('/')) };
        fetch(store, global, &one, &folder.join(&artifact.name).join(key)).await?;
    }
    Ok(below.len())
}

async fn fetch(store: &Home, global: &Global, place: &Place, to: &PathBuf) -> Result<(), CliError> {
    if let Some(parent) = to.parent() {
        let failed = |source| CliError::File { action: "make", path: parent.to_path_buf(), source };
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // A fetched file may be a link into the store: the person gets a copy of their own.
    let part = to.with_extension("dropforge-part");
    store.fetch(&global.namespace, place, &part, &|_, _| {}).await?;
    let failed = |source| CliError::File { action: "write", path: to.clone(), source };
    std::fs::copy(&part, to).map_err(failed)?;
    std::fs::remove_file(&part).map_err(failed)?;
    data(&format!("{}\n", to.display()))
}
