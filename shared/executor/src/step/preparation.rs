//! Everything a command finds when it starts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dropforge_driver::supervision::{Launch, StepEnvironment};
use dropforge_engine::attempt::{Outcome, Provenance, Reason};
use dropforge_manifest::types::{Container, Template};

use super::places::{Places, clean};
use super::{Refused, Site, StepStore, refused, told};
use crate::inputs::{self, Loaded};
use crate::isolation::{Bind, Isolation, Layout, isolation};
use crate::rewrite::{RewriteError, Rewriting};
use crate::transfer::Progress;
use crate::variables::{Expanded, LocalObjects, Surroundings, expand, progress_file, replace};
use crate::volumes::{self, Folders, Mount};

/// Where Argo's executor puts a script's source.
const SCRIPT: &str = "/argo/staging/script";

/// A command that can be started.
pub struct Prepared {
    /// Where the step's paths are on this machine.
    pub places: Places,
    /// What is made of that for the process.
    pub layout: Layout,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its whole environment.
    pub variables: BTreeMap<String, String>,
    /// Its working directory as the step sees it.
    pub working_dir: PathBuf,
    /// The file that takes standard output and error.
    pub log: PathBuf,
    /// Whether the log must be brought to the store, which is elsewhere.
    pub log_is_shipped: bool,
    /// The file into which it writes how far it is.
    pub progress: PathBuf,
    /// The most memory it may use.
    pub memory_limit_bytes: Option<u64>,
    /// An empty folder for outputs on their way.
    pub spare: PathBuf,
    /// With what it runs and what was read.
    pub provenance: Provenance,
}

/// Makes volumes, inputs, variables and files.
pub fn prepare<S: StepStore>(
    site: &Site<S>,
    launch: &Launch,
    gpus: &[String],
    say: &(dyn Fn(String) + Send + Sync),
) -> Result<Prepared, Refused> {
    let attempt = &launch.attempt;
    let template = &attempt.work.template;
    let Some(container) = template.main() else {
        return Err(not_ready("the template has neither a container nor a script".to_owned()));
    };
    let folders = AttemptFolders::make(site.folder(&attempt.id)).map_err(|error| unmade(&error))?;
    let raw = raw_command(container)?;
    let around = Surroundings {
        launch,
        endpoint: site.endpoint.as_ref(),
        gpus,
        host: &site.host,
        home: &folders.home,
        // Where `/tmp` is the step's own anyway, programs that ignore the variable find the same files.
        temporary: if isolation().can_mount() { Path::new("/tmp") } else { &folders.temporary },
    };
    let Expanded { command, variables, base } =
        expand(container, &raw, &around).map_err(|error| not_ready(told(&error)))?;
    let claims = site.volumes.join(attempt.run.as_str());
    let made = Folders { attempt: &folders.own, claims: &claims };
    let mounts = volumes::mounts(launch, container, &made, &|text| replace(text, &variables))
        .map_err(|error| not_ready(told(&error)))?;
    let mut places = Places { own: folders.own.clone(), root: folders.root.clone(), mounts };
    let Loaded { mounts: linked, read } = inputs::load(
        site,
        &attempt.namespace,
        &template.inputs.artifacts,
        &places,
        &folders.incoming,
        &LocalObjects::secrets(launch.environment.secrets.as_deref()),
        &Progress::new(say),
    )
    .map_err(|error| bad_input(told(&error)))?;
    places.mounts.extend(linked);
    make_parents(template, &places).map_err(|error| unmade(&error))?;
    hide_the_hosts(template, &mut places);
    let working_dir = working_dir(container, &folders, &places, &launch.environment)?;
    let mut scene =
        Scene { command, variables, working_dir, script: script_source(template).map(str::to_owned) };
    if scene.script.is_some() {
        scene.command.push(SCRIPT.to_owned());
    }
    if let Isolation::Rewrite { reason } = isolation() {
        scene.working_dir = places.host(&scene.working_dir);
        let line = scene.rewrite(&rewritten(template, &places, reason), &base, reason);
        let line = line.map_err(|error| refused(Outcome::Error, Reason::Environment, error.to_string()))?;
        line.into_iter().for_each(say);
    }
    if let Some(source) = &scene.script {
        stage(&places.host(Path::new(SCRIPT)), source).map_err(|error| unmade(&error))?;
    }
    let log_file = site.store.log_file(&attempt.namespace, &attempt.id, "main");
    let isolated = isolation().to_string();
    Ok(Prepared {
        layout: layout(launch, template, &folders, &places),
        command: scene.command,
        variables: scene.variables,
        working_dir: scene.working_dir,
        log_is_shipped: log_file.is_none(),
        log: log_file.unwrap_or_else(|| folders.own.join("main.log")),
        progress: progress_file(&folders.home),
        memory_limit_bytes: launch.demand.memory_limit_bytes,
        spare: folders.outgoing,
        provenance: Provenance {
            inputs: read,
            isolation: isolated,
            ..provenance(container, &raw, &launch.environment)
        },
        places,
    })
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

/// In Argo's words for a container that can't be made.
fn not_ready(why: String) -> Refused {
    let message = format!("Pod failed before main container starts due to CreateContainerConfigError: {why}");
    refused(Outcome::Error, Reason::Configuration, message)
}

fn bad_input(why: String) -> Refused {
    refused(Outcome::Error, Reason::Inputs, format!("init: Error (exit code 64): {why}"))
}

fn unmade((path, source): &(PathBuf, io::Error)) -> Refused {
    let message = format!("the step's folder could not be made: {}: {source}", path.display());
    refused(Outcome::Error, Reason::Environment, message)
}

type Made<T> = Result<T, (PathBuf, io::Error)>;

fn make(path: PathBuf) -> Made<PathBuf> {
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err((path, source)),
    }
}

/// The attempt's folder and what is in it.
struct AttemptFolders {
    own: PathBuf,
    /// The step's file system outside of its mounts.
    root: PathBuf,
    work: PathBuf,
    home: PathBuf,
    temporary: PathBuf,
    incoming: PathBuf,
    outgoing: PathBuf,
}

impl AttemptFolders {
    fn make(own: PathBuf) -> Made<Self> {
        Ok(AttemptFolders {
            root: make(own.join("root"))?,
            work: make(own.join("work"))?,
            home: make(own.join("home"))?,
            temporary: make(own.join("root/tmp"))?,
            incoming: make(own.join("in"))?,
            outgoing: make(own.join("out"))?,
            own,
        })
    }
}

/// Command and arguments as the manifest has them.
fn raw_command(container: &Container) -> Result<Vec<String>, Refused> {
    let mut command = container.command.clone().unwrap_or_default();
    if command.is_empty() {
        let image = container.image.as_deref().unwrap_or_default();
        if !is_python(image) {
            return Err(not_ready(format!(
                "the step names no command, and the entrypoint of image {image:?} can't be looked up on this machine: give `command`"
            )));
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

fn script_source(template: &Template) -> Option<&str> {
    template.script.as_ref()?.source.as_deref().filter(|source| !source.is_empty())
}

fn stage(file: &Path, source: &str) -> Made<()> {
    let write = || {
        fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
        fs::write(file, source)?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))
    };
    write().map_err(|source| (file.to_path_buf(), source))
}

/// The paths of outputs and inputs, and of the script.
fn named_paths(template: &Template) -> Vec<PathBuf> {
    let artifacts = template.inputs.artifacts.iter().chain(&template.outputs.artifacts);
    let artifacts = artifacts.filter_map(|artifact| artifact.path.as_deref());
    let parameters = template.outputs.parameters.iter();
    let parameters = parameters.filter_map(|p| p.value_from.as_ref()?.path.as_deref());
    let script = script_source(template).map(|_| SCRIPT);
    artifacts.chain(parameters).chain(script).filter_map(|path| clean(path).ok()).collect()
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
fn hide_the_hosts(template: &Template, places: &mut Places) {
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
fn rewritten(template: &Template, places: &Places, reason: &str) -> Vec<Bind> {
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
fn layout(launch: &Launch, template: &Template, folders: &AttemptFolders, places: &Places) -> Layout {
    let as_it_is =
        |path: &Path, read_only| Bind { source: path.to_path_buf(), target: path.to_path_buf(), read_only };
    let mut binds = vec![as_it_is(&folders.work, false), as_it_is(&folders.home, false)];
    // An environment is the folder that holds its `bin`.
    let homes = launch.environment.path.iter().map(PathBuf::as_path);
    let homes = homes.map(|bin| bin.parent().filter(|_| bin.ends_with("bin")).unwrap_or(bin));
    let homes = homes.filter(|home| is_private(home) && home.is_dir());
    binds.extend(homes.map(|home| as_it_is(home, true)));
    binds.extend(places.mounts.iter().map(bind));
    let parents =
        declared(template, places).into_iter().filter_map(|path| path.parent().map(Path::to_path_buf));
    Layout { scratch: folders.own.clone(), binds, writable: parents.collect() }
}

/// The folders of output files: Argo's images would have them, as a rule; a process finds them made.
fn make_parents(template: &Template, places: &Places) -> Made<()> {
    for path in named_paths(template) {
        if places.mount(&path).is_none_or(|mount| !mount.read_only)
            && let Some(parent) = path.parent()
        {
            make(places.host(parent))?;
        }
    }
    Ok(())
}

/// The working directory: the manifest's, else a folder of the step's own; with the person's files in it.
fn working_dir(
    container: &Container,
    folders: &AttemptFolders,
    places: &Places,
    environment: &StepEnvironment,
) -> Result<PathBuf, Refused> {
    let given = container.working_dir.as_deref().filter(|path| !path.is_empty());
    let path = match given {
        Some(path) => clean(path).map_err(|error| not_ready(format!("workingDir: {error}")))?,
        None => folders.work.clone(),
    };
    let host = places.host(&path);
    // A volume is shared and may be the person's own: nothing is put there unasked.
    if given.is_none() || places.mount(&path).is_none() {
        let host = make(host).map_err(|error| unmade(&error))?;
        place_files(environment, &host).map_err(|error| unmade(&error))?;
    }
    Ok(path)
}

/// Copies, since the cached files are shared by all steps and a step may change its own.
fn place_files(environment: &StepEnvironment, folder: &Path) -> Made<()> {
    for (relative, cached) in &environment.files {
        let to = folder.join(relative);
        if let Some(parent) = to.parent() {
            make(parent.to_path_buf())?;
        }
        let writable = || {
            fs::copy(cached, &to)?;
            let mode = to.metadata()?.permissions().mode();
            fs::set_permissions(&to, fs::Permissions::from_mode(mode | 0o200))
        };
        writable().map_err(|source| (cached.clone(), source))?;
    }
    Ok(())
}

fn provenance(container: &Container, raw: &[String], environment: &StepEnvironment) -> Provenance {
    Provenance {
        image: container.image.clone().unwrap_or_default(),
        lock_hash: environment.lock_hash.clone(),
        python: environment.python.clone(),
        code_hash: environment.code_hash.clone(),
        git: environment.git.clone(),
        stand_in: environment.stand_in.clone(),
        // Before variables are put in: they may be secrets, which no record holds.
        command: raw.to_vec(),
        ..Provenance::default()
    }
}
