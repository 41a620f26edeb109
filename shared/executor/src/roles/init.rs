//! The role that runs before all others.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_manifest::types::{Artifact, Template};

use super::{Bell, EXECUTOR_FAILED, Pod, say};
use crate::step::StepStore;
use crate::step::places::clean;
use crate::step::wrapped::{inputs, passed_deadline, refusal};
use crate::volumes::Mount;

/// Puts the program, the script and the inputs in their places; gives the exit code. Where an input can't be had the
/// attempt ends here.
///
/// # Errors
/// When the shared folder can't be written, or it is unknown who holds the claim.
pub fn run<S: StepStore, B: Bell>(pod: &Pod<S, B>, program: &Path) -> io::Result<i32> {
    let began = pod.folder.began()?;
    place_program(pod, program)?;
    pod.folder.open_folder("inputs")?;
    for (name, _) in pod.launch.attempt.work.template.containers() {
        pod.folder.open_folder(&format!("containers/{name}"))?;
    }
    place_script(pod)?;
    let launch = pod.attempt();
    let spare = pod.folder.open_folder("incoming")?;
    let read = inputs(&pod.site, &launch, mounts(pod), &spare, &|line| say(&line));
    let refused = match read {
        Ok(read) => {
            pod.folder.note(&pod.folder.inputs_read(), &read)?;
            let late = passed_deadline(&pod.site, &launch, began)?;
            let late = late.map(str::to_owned);
            late.map(|why| refusal(&launch, Outcome::Failed, Reason::DeadlineExceeded, why))
        }
        Err(verdict) => Some(*verdict),
    };
    match refused {
        None => Ok(0),
        Some(verdict) => end(pod, &verdict),
    }
}

fn end<S: StepStore, B: Bell>(pod: &Pod<S, B>, verdict: &Verdict) -> io::Result<i32> {
    say(&verdict.message);
    if pod.claim().map_err(io::Error::other)? {
        pod.tell(verdict, || ());
    }
    Ok(EXECUTOR_FAILED)
}

fn place_program<S: StepStore, B: Bell>(pod: &Pod<S, B>, program: &Path) -> io::Result<()> {
    let to = pod.folder.program();
    // By way of another name: what runs can't be overwritten, and half of it must not be started.
    let new = to.with_extension("new");
    fs::copy(program, &new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o755))?;
    fs::rename(new, to)
}

fn place_script<S: StepStore, B: Bell>(pod: &Pod<S, B>) -> io::Result<()> {
    let template = &pod.launch.attempt.work.template;
    let source = template.script.as_ref().and_then(|script| script.source.as_deref());
    let Some(source) = source.filter(|source| !source.is_empty()) else { return Ok(()) };
    let to = pod.folder.script();
    fs::write(&to, source)?;
    fs::set_permissions(to, Permissions::from_mode(0o755))
}

/// Where the inputs go: into the main container's volumes where their paths lie in one, else to where the pod mounts them
/// from.
fn mounts<S, B>(pod: &Pod<S, B>) -> Vec<Mount> {
    let template = &pod.launch.attempt.work.template;
    let volumes = template.main_mounts().filter_map(|mount| clean(&mount.mount_path).ok());
    let volumes = volumes.map(|target| Mount {
        source: pod.mirrored.join(target.strip_prefix("/").unwrap_or(&target)),
        target,
        read_only: false,
    });
    let outside = template.inputs.artifacts.iter().filter(|artifact| !in_volume(template, artifact));
    let outside = outside.filter_map(|artifact| {
        let target = clean(artifact.path.as_deref()?).ok()?;
        Some(Mount { target, source: pod.folder.input(&artifact.name), read_only: false })
    });
    volumes.chain(outside).collect()
}

/// Whether an input's path lies in a volume of the main container, in which it is put.
fn in_volume(template: &Template, artifact: &Artifact) -> bool {
    artifact.path.as_deref().is_some_and(|path| template.volume_of(path).is_some())
}
