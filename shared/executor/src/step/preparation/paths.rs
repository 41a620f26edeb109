//! Which paths the manifest names, and what is made of them.

use std::path::{Path, PathBuf};

use dropforge_driver::supervision::StepEnvironment;
use dropforge_manifest::types::Template;

use super::super::places::{Places, clean};
use super::{AttemptFolders, Made, SCRIPT, make, script_source};
use crate::isolation::{Bind, Layout};
use crate::rewrite::Rewriting;
use crate::volumes::Mount;

/// The paths of outputs and inputs, and of the script.
fn named_paths(template: &Template) -> Vec<PathBuf> {
    let inputs = template.inputs.artifacts.iter().filter_map(|artifact| artifact.path.as_deref());
    let script = script_source(template).map(|_| SCRIPT);
    let others = inputs.chain(script).filter_map(|path| clean(path).ok());
    outputs(template).into_iter().chain(others).collect()
}

/// The paths of outputs.
pub(super) fn outputs(template: &Template) -> Vec<PathBuf> {
    let artifacts = template.outputs.artifacts.iter().filter_map(|artifact| artifact.path.as_deref());
    let parameters = template.outputs.parameters.iter();
    let parameters = parameters.filter_map(|p| p.value_from.as_ref()?.path.as_deref());
    artifacts.chain(parameters).filter_map(|path| clean(path).ok()).collect()
}

/// The paths outside of the mounts that the manifest names.
fn declared(template: &Template, places: &Places) -> Vec<PathBuf> {
    let mut paths = named_paths(template);
    paths.retain(|path| places.mount(path).is_none());
    paths.sort();
    paths.dedup();
    paths
}

/// Folders that every step has for itself alone.
const PRIVATE: [&str; 4] = ["/tmp", "/mnt", "/run", "/var/tmp"];

fn is_private(path: &Path) -> bool {
    PRIVATE.iter().any(|folder| path.starts_with(folder))
}

/// A path of the manifest's may exist on this machine by chance. What is there is hidden with its folder, as
/// it would be in a container; not so in the root itself, whose folders every program needs.
pub(super) fn hide_the_hosts(template: &Template, places: &mut Places) {
    for path in declared(template, places) {
        let folder = path.parent().filter(|folder| folder.parent().is_some());
        if let Some(folder) = folder
            && path.exists()
            && !is_private(&path)
        {
            let source = places.host(folder);
            places.mounts.push(Mount { target: folder.to_path_buf(), source, read_only: false });
        }
    }
}

/// What is replaced where there is no mount namespace: mounts, private folders, and the paths of the manifest
/// with their folders, so far as those are not the system's.
pub(super) fn rewritten(template: &Template, places: &Places, reason: &str) -> Vec<Bind> {
    let mut binds: Vec<Bind> = places.mounts.iter().map(bind).collect();
    let paths = declared(template, places);
    let folders = paths.iter().filter_map(|path| path.parent()).chain([Path::new("/tmp"), Path::new("/mnt")]);
    let own = |path: &Path| Bind { source: places.host(path), target: path.to_path_buf(), read_only: false };
    let can_be = |bind: &Bind| Rewriting::new(std::slice::from_ref(bind), reason).is_ok();
    let folders = folders.filter(|folder| places.mount(folder).is_none()).map(own).filter(can_be);
    // The mounts come last, since a later one lies over an earlier one.
    let mut all: Vec<Bind> = folders.chain(paths.iter().map(|path| own(path))).collect();
    all.append(&mut binds);
    all
}

fn bind(mount: &Mount) -> Bind {
    let Mount { source, target, read_only } = mount.clone();
    Bind { source, target, read_only }
}

/// The step's files: its own folders where they are, the environment where a private folder would hide it, and
/// the manifest's mounts over all.
pub(super) fn layout(
    environment: &StepEnvironment,
    template: &Template,
    folders: &AttemptFolders,
    places: &Places,
) -> Layout {
    let mut layout = folders.layout();
    let homes = environment.path.iter().map(|bin| home_of(bin));
    let homes = homes.filter(|home| is_private(home) && home.is_dir());
    let shown =
        |home: &Path| Bind { source: home.to_path_buf(), target: home.to_path_buf(), read_only: true };
    layout.binds.extend(homes.map(shown));
    layout.binds.extend(places.mounts.iter().map(bind));
    let parents = declared(template, places).into_iter().filter_map(|path| found_made(&path));
    // Those in the root are the step's own anyway.
    let own = |path: &PathBuf| is_private(path) && path.parent() == Some(Path::new("/"));
    layout.writable = parents.filter(|path| !own(path)).collect();
    layout
}

/// An environment is the folder that holds its `bin`. Where that is a private folder itself, only the `bin` is shown: the
/// step would have the host's `/tmp` in the place of its own.
fn home_of(bin: &Path) -> &Path {
    let home = bin.parent().filter(|_| bin.ends_with("bin"));
    home.filter(|home| PRIVATE.iter().all(|folder| *home != Path::new(folder))).unwrap_or(bin)
}

pub(super) fn make_parents(template: &Template, places: &Places) -> Made<()> {
    for path in named_paths(template) {
        if places.mount(&path).is_none_or(|mount| !mount.read_only)
            && let Some(parent) = found_made(&path)
        {
            make(places.host(&parent))?;
        }
    }
    Ok(())
}

/// The folder of a named path, which an image would have, as a rule. What lies in the private folders no image has:
/// there the step makes its own folders, and must not find them made.
fn found_made(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    let private = PRIVATE.iter().map(Path::new).find(|folder| parent.starts_with(folder));
    Some(private.unwrap_or(parent).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_in_tmp_does_not_put_the_hosts_tmp_in_the_place_of_the_steps() {
        let homes = ["/tmp/venv/bin", "/tmp/bin", "/var/tmp/bin", "/tmp/tools", "/opt/py/bin"];
        let seen = homes.map(|bin| home_of(Path::new(bin)).to_str().unwrap());
        assert_eq!(seen, ["/tmp/venv", "/tmp/bin", "/var/tmp/bin", "/tmp/tools", "/opt/py"]);
    }
}
