//! Everything a command finds when it starts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use dropforge_driver::supervision::{Launch, StepEnvironment};
use dropforge_engine::attempt::{Outcome, Provenance, Reason};
use dropforge_manifest::types::{Container, MAIN, Probe, Template};
use serde_json::Value;

use super::places::Places;
use super::room::Room;
use super::{Refused, Site, StepStore, refused, told};
use crate::inputs::{self, Loaded};
use crate::isolation::{Bind, Layout, isolation};
use crate::logs::spare::Spare;
use crate::transfer::Progress;
use crate::variables::{Expanded, LocalObjects, Surroundings, expand, progress_file, replace};
use crate::volumes::{self, Folders, Mount};

mod contained;
mod paths;
mod process;

pub use contained::Contained;
pub use process::Process;

/// Where Argo's executor puts a script's source.
const SCRIPT: &str = "/argo/staging/script";

/// A pod whose commands can be started.
pub struct PreparedPod {
    /// Run one after the other, before all others.
    pub before: Vec<Prepared>,
    /// Those by whose ends the attempt is judged, in the order of the manifest.
    pub mains: Vec<Prepared>,
    /// Run beside them.
    pub beside: Vec<Prepared>,
    /// An empty folder for outputs on their way.
    pub spare: PathBuf,
    /// With what it runs and what was read.
    pub provenance: Provenance,
}

impl PreparedPod {
    /// The container whose outputs are the attempt's.
    pub fn main(&self) -> Option<&Prepared> {
        self.mains.iter().find(|container| container.name == MAIN)
    }

    /// The one container, where there is no other.
    pub fn single(&self) -> Option<&Prepared> {
        match (self.before.as_slice(), self.mains.as_slice(), self.beside.as_slice()) {
            ([], [main], []) if main.name == MAIN => Some(main),
            _ => None,
        }
    }
}

/// A command that can be started.
pub struct Prepared {
    /// The container's name.
    pub name: String,
    /// Whether the attempt has no other container.
    pub alone: bool,
    /// The containers that must have ended well before.
    pub dependencies: Vec<String>,
    /// How it is found out whether it is ready; none: it is, once it runs.
    pub probe: Option<Probe>,
    /// Its ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The image it stands for.
    pub image: String,
    /// Where its paths are on this machine.
    pub places: Places,
    /// By whom it is run.
    pub runs: Runs,
    /// The file that takes standard output and error.
    pub log: PathBuf,
    /// Whether its output also goes to this process's own, which somebody reads.
    pub teed: bool,
    /// The file that takes them until the log gets its place.
    pub spare_log: Option<Arc<Spare>>,
    /// Whether the log must be brought to the store, which is elsewhere.
    pub log_is_shipped: bool,
    /// The file into which it writes how far it is.
    pub progress: PathBuf,
}

/// Who runs a command.
pub enum Runs {
    /// This machine.
    Process(Process),
    /// A container engine.
    Container(Box<Contained>),
}

/// Makes volumes, inputs, variables and files; gives the room in which all of it lies, too.
pub fn prepare<S: StepStore>(
    site: &Site<S>,
    launch: &Launch,
    gpus: &[String],
    say: &(dyn Fn(String) + Send + Sync),
) -> Result<(PreparedPod, Room), Refused> {
    let template = &launch.attempt.work.template;
    let mains = mains(template);
    let Some((first, _)) = mains.first() else {
        return Err(not_ready(MAIN, "the template has no container, script or containerSet".to_owned()));
    };
    let room = site.rooms.take();
    let room = room.map_err(|error| refused(Outcome::Error, Reason::Environment, told(&error)))?;
    let alone = template.containers().len() == 1 && template.container_set.is_none();
    let mut making = Making { site, launch, gpus, say, room: &room, alone };
    let (mut before, mut counting, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    let mut provenance = Provenance::default();
    let mut shown = Vec::new();
    for (name, container) in &mains {
        let files = if name == MAIN { template } else { &*NO_FILES };
        let made = making.container(name, container, files, &[])?;
        // What is on record is the main container, or the first where none is called so.
        if name == MAIN || (name == first && !mains.iter().any(|(other, _)| other == MAIN)) {
            provenance = made.provenance;
        }
        shown.extend(made.linked);
        counting.push(made.prepared);
    }
    let main = mains.iter().find(|(name, _)| name == MAIN).map(|(_, container)| container);
    for (list, containers) in [(&mut before, &template.init_containers), (&mut beside, &template.sidecars)] {
        for container in containers {
            let (container, linked) = mirrored(container, main, &shown);
            list.push(making.container(container.name(), &container, &NO_FILES, linked)?.prepared);
        }
    }
    let spare = room.folders.outgoing.clone();
    Ok((PreparedPod { before, mains: counting, beside, spare, provenance }, room))
}

/// A container without inputs, outputs and script of its own.
static NO_FILES: LazyLock<Template> = LazyLock::new(Template::default);

/// The containers that count, each with its name and with the mounts that all of a set have.
fn mains(template: &Template) -> Vec<(String, Container)> {
    let shared = template.container_set.as_ref().map(|set| set.volume_mounts.as_slice()).unwrap_or_default();
    let with_shared = |(name, container): (&str, &Container)| {
        let mut container = container.clone();
        container.volume_mounts.extend(shared.iter().cloned());
        (name.to_owned(), container)
    };
    template.mains().into_iter().map(with_shared).collect()
}

/// With `mirrorVolumeMounts` a container sees the main container's volumes and inputs where that one does.
fn mirrored<'m>(
    container: &Container,
    main: Option<&Container>,
    shown: &'m [Mount],
) -> (Container, &'m [Mount]) {
    let mut container = container.clone();
    let Some(main) = main.filter(|_| container.mirror_volume_mounts == Some(true)) else {
        return (container, &[]);
    };
    let own: Vec<String> = container.volume_mounts.iter().map(|mount| mount.mount_path.clone()).collect();
    let others = main.volume_mounts.iter().filter(|mount| !own.contains(&mount.mount_path));
    container.volume_mounts.extend(others.cloned());
    (container, shown)
}

/// What making the containers of an attempt takes.
struct Making<'a, S> {
    site: &'a Site<S>,
    launch: &'a Launch,
    /// The GPUs that no container has yet.
    gpus: &'a [String],
    say: &'a (dyn Fn(String) + Send + Sync),
    room: &'a Room,
    alone: bool,
}

/// A container that was made.
struct MadeContainer {
    prepared: Prepared,
    /// Where its inputs are.
    linked: Vec<Mount>,
    provenance: Provenance,
}

impl<'a, S: StepStore> Making<'a, S> {
    /// What this container gets of what the attempt got.
    fn share(&mut self, name: &str) -> (&'a StepEnvironment, Option<u64>, &'a [String]) {
        match self.launch.containers.get(name) {
            None => (&self.launch.environment, self.launch.demand.memory_limit_bytes, self.gpus),
            Some(own) => {
                let gpus = self.gpus.split_at(self.gpus.len().min(own.gpus as usize));
                self.gpus = gpus.1;
                (&own.environment, own.memory_limit_bytes, gpus.0)
            }
        }
    }

    fn container(
        &mut self,
        name: &str,
        container: &Container,
        files: &Template,
        linked: &[Mount],
    ) -> Result<MadeContainer, Refused> {
        let (environment, memory_limit_bytes, gpus) = self.share(name);
        let (site, launch, attempt) = (self.site, self.launch, &self.launch.attempt);
        let not_ready = |why| not_ready(name, why);
        let own = if self.alone { None } else { Some(self.room.folders.own.join("containers").join(name)) };
        let own = own.map(AttemptFolders::make).transpose().map_err(|error| unmade(&error))?;
        let folders = own.as_ref().unwrap_or(&self.room.folders);
        let engine = launch.engine.as_ref();
        let raw = match engine {
            None => process::words(name, container)?,
            Some(_) => contained::words(container),
        };
        let around = Surroundings {
            launch,
            container: name,
            environment,
            endpoint: site.endpoint.as_ref(),
            gpus,
            host: &site.host,
            home: if engine.is_some() { Path::new(contained::HOME) } else { &folders.home },
            // Where `/tmp` is the step's own anyway, programs that ignore the variable find the same files.
            temporary: if isolation().can_mount() { Path::new("/tmp") } else { &folders.temporary },
        };
        let expanded = expand(container, &raw, &around).map_err(|error| not_ready(told(&error)))?;
        let claims = site.volumes.join(attempt.run.as_str());
        let made = Folders { attempt: &self.room.folders.own, claims: &claims };
        let mounts = volumes::mounts(launch, container, &made, &|text| replace(text, &expanded.variables))
            .map_err(|error| not_ready(told(&error)))?;
        let mut places = Places {
            own: folders.own.clone(),
            root: folders.root.clone(),
            mounts,
            links_are_safe: engine.is_some() || links_are_safe(),
        };
        places.mounts.extend(linked.iter().cloned());
        let inputs = &files.inputs.artifacts;
        let progress = Progress::new(self.say);
        let secrets = LocalObjects::secrets(launch.environment.secrets.as_deref());
        let loaded =
            inputs::load(site, &attempt.namespace, inputs, &places, &folders.incoming, &secrets, &progress);
        let Loaded { mounts: linked, read } = loaded.map_err(|error| bad_input(told(&error)))?;
        places.mounts.extend(linked.iter().cloned());
        let mut provenance = Provenance { inputs: read, ..provenance(container, &raw, environment) };
        let limit = memory_limit_bytes;
        let room = self.room;
        let parts = Parts { name, container, files, environment, room, folders, expanded, limit, gpus };
        let runs = match engine {
            None => Runs::Process(parts.process(&mut places, &mut provenance, self.say)?),
            Some(engine) => {
                let contained = parts.contained(self, engine, &mut places, &mut provenance)?;
                Runs::Container(Box::new(contained))
            }
        };
        let log_file = site.store.log_file(&attempt.namespace, &attempt.id, name);
        let is_late = self.alone && engine.is_none() && log_file.is_some() && !attempt.work.archive_logs;
        let prepared = Prepared {
            name: name.to_owned(),
            alone: self.alone,
            dependencies: container.dependencies.clone(),
            probe: container.readiness_probe.clone().filter(|_| attempt.work.template.is_daemon()),
            ports: ports(container),
            image: container.image.clone().unwrap_or_default(),
            runs,
            teed: false,
            spare_log: is_late.then(|| Arc::clone(&self.room.log)),
            log_is_shipped: log_file.is_none(),
            log: log_file.unwrap_or_else(|| folders.own.join(format!("{name}.log"))),
            progress: progress_file(&folders.home),
            places,
        };
        Ok(MadeContainer { prepared, linked, provenance })
    }
}

/// What a container is made of, once its inputs are in their places.
struct Parts<'p> {
    name: &'p str,
    container: &'p Container,
    /// Whose inputs, outputs and script it has.
    files: &'p Template,
    environment: &'p StepEnvironment,
    room: &'p Room,
    folders: &'p AttemptFolders,
    expanded: Expanded,
    /// The most memory it may use.
    limit: Option<u64>,
    gpus: &'p [String],
}

/// Whether a file that shares its content with the store may be shown to a process: by a read-only mount, or,
/// where none can be made, to a user whom the file's mode keeps from writing.
fn links_are_safe() -> bool {
    isolation().can_mount() || !rustix::process::geteuid().is_root()
}

/// The ports that have names, which a probe may use.
pub(super) fn ports(container: &Container) -> BTreeMap<String, u16> {
    let list = container.ports.as_ref().and_then(Value::as_array).into_iter().flatten();
    let named = list.filter_map(|port| {
        let number = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
        Some((port.get("name")?.as_str()?.to_owned(), number))
    });
    named.collect()
}

/// In Argo's words for a container that can't be made.
fn not_ready(name: &str, why: String) -> Refused {
    let message =
        format!("Pod failed before {name} container starts due to CreateContainerConfigError: {why}");
    refused(Outcome::Error, Reason::Configuration, message)
}

pub(super) fn bad_input(why: String) -> Refused {
    refused(Outcome::Error, Reason::Inputs, format!("init: Error (exit code 64): {why}"))
}

fn unmade((path, source): &(PathBuf, io::Error)) -> Refused {
    let message = format!("the step's folder could not be made: {}: {source}", path.display());
    refused(Outcome::Error, Reason::Environment, message)
}

pub(super) type Made<T> = Result<T, (PathBuf, io::Error)>;

fn make(path: PathBuf) -> Made<PathBuf> {
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err((path, source)),
    }
}

/// The attempt's folder and what is in it.
pub(super) struct AttemptFolders {
    pub(super) own: PathBuf,
    /// The step's file system outside of its mounts.
    root: PathBuf,
    pub(super) work: PathBuf,
    home: PathBuf,
    temporary: PathBuf,
    incoming: PathBuf,
    outgoing: PathBuf,
}

impl AttemptFolders {
    pub(super) fn make(own: PathBuf) -> Made<Self> {
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

    /// What a step sees that mounts nothing: its own folders where they are.
    pub(super) fn layout(&self) -> Layout {
        let as_it_is = |path: &PathBuf| Bind { source: path.clone(), target: path.clone(), read_only: false };
        let binds = [&self.work, &self.home].map(as_it_is).into();
        Layout { scratch: self.own.clone(), binds, writable: Vec::new() }
    }
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
