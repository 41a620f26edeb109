//! What becomes a process of this machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dropforge_engine::attempt::{Outcome, Provenance, Reason};
use dropforge_manifest::types::Container;

use super::super::places::{Places, clean};
use super::super::{Refused, refused};
use super::paths::{hide_the_hosts, layout, make_parents, rewritten};
use super::{Parts, SCRIPT, make, not_ready, place_files, script_source, stage, unmade};
use crate::isolation::entrance::Entrance;
use crate::isolation::{Bind, Isolation, Layout, isolation};
use crate::rewrite::{RewriteError, Rewriting};

/// A process that can be started.
pub struct Process {
    /// What it sees where.
    pub layout: Layout,
    /// The room's own namespace, where the layout is the room's own.
    pub entrance: Option<Arc<Entrance>>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its whole environment.
    pub variables: BTreeMap<String, String>,
    /// Its working directory as the step sees it.
    pub working_dir: PathBuf,
    /// The most memory it may use.
    pub memory_limit_bytes: Option<u64>,
}

impl Parts<'_> {
    /// The process, with its files in their places.
    pub(super) fn process(
        self,
        places: &mut Places,
        provenance: &mut Provenance,
        say: &dyn Fn(String),
    ) -> Result<Process, Refused> {
        let Parts { files, folders, .. } = self;
        make_parents(files, places).map_err(|error| unmade(&error))?;
        hide_the_hosts(files, places);
        let working_dir = self.process_dir(places)?;
        let (command, variables) = (self.expanded.command, self.expanded.variables);
        let script = script_source(files).map(str::to_owned);
        let mut scene = Scene { command, variables, working_dir, script };
        if scene.script.is_some() {
            scene.command.push(SCRIPT.to_owned());
        }
        if let Isolation::Rewrite { reason } = isolation() {
            scene.working_dir = places.host(&scene.working_dir);
            let line = scene.rewrite(&rewritten(files, places, reason), &self.expanded.base, reason);
            let line =
                line.map_err(|error| refused(Outcome::Error, Reason::Environment, error.to_string()))?;
            line.into_iter().for_each(say);
        }
        if let Some(source) = &scene.script {
            stage(&places.host(Path::new(SCRIPT)), source).map_err(|error| unmade(&error))?;
        }
        provenance.isolation = isolation().to_string();
        let layout = layout(self.environment, files, folders, places);
        Ok(Process {
            entrance: self.room.entrance(&layout, &scene.working_dir),
            layout,
            command: scene.command,
            variables: scene.variables,
            working_dir: scene.working_dir,
            memory_limit_bytes: self.limit,
        })
    }

    /// The working directory: the manifest's, else a folder of the step's own; with the person's files in it.
    fn process_dir(&self, places: &Places) -> Result<PathBuf, Refused> {
        let Parts { name, container, folders, environment, .. } = self;
        let given = container.working_dir.as_deref().filter(|path| !path.is_empty());
        let path = match given {
            Some(path) => clean(path).map_err(|error| not_ready(name, format!("workingDir: {error}")))?,
            None => folders.work.clone(),
        };
        let host = places.host(&path);
        // A volume is shared and may be the person's own: nothing is put there unasked.
        if given.is_none() || places.mount(&path).is_none() {
            // The folder of the step's own is there.
            let host =
                if host == folders.work { host } else { make(host).map_err(|error| unmade(&error))? };
            place_files(environment, &host).map_err(|error| unmade(&error))?;
        }
        Ok(path)
    }
}

/// Command and arguments as the manifest has them.
pub(super) fn words(name: &str, container: &Container) -> Result<Vec<String>, Refused> {
    let mut command = container.command.clone().unwrap_or_default();
    if command.is_empty() {
        let image = container.image.as_deref().unwrap_or_default();
        if !is_python(image) {
            let why = format!(
                "the step names no command, and the entrypoint of image {image:?} can't be looked up on this machine: \
                 give `command`, or run it with a container executor (docker or podman)"
            );
            return Err(not_ready(name, why));
        }
        command.push("python3".to_owned());
    }
    command.extend(container.args.clone().unwrap_or_default());
    Ok(command)
}

/// Whether the image is the official Python, whose entrypoint is known.
fn is_python(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next() == Some("python")
}

/// What the manifest says that may hold paths.
struct Scene {
    command: Vec<String>,
    variables: BTreeMap<String, String>,
    working_dir: PathBuf,
    script: Option<String>,
}

impl Scene {
    /// Replaces the step's paths by real ones; gives the line that says so.
    fn rewrite(
        &mut self,
        binds: &[Bind],
        ours: &BTreeMap<String, String>,
        reason: &str,
    ) -> Result<Option<String>, RewriteError> {
        let mut rewriting = Rewriting::new(binds, reason)?;
        let mut replace = |text: &str| rewriting.text(OsStr::new(text)).to_string_lossy().into_owned();
        self.command.iter_mut().for_each(|word| *word = replace(word));
        // Variables of our making name real places already.
        let theirs = self.variables.iter_mut().filter(|(name, value)| ours.get(*name) != Some(value));
        theirs.for_each(|(_, value)| *value = replace(value));
        self.script = self.script.take().map(|source| replace(&source));
        Ok(rewriting.line())
    }
}
