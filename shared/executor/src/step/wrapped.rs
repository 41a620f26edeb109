//! One container of a pod in which each container's command is wrapped by a process of its own, in the container itself.
//!
//! What the laptop's supervisor knows of all containers of an attempt, these processes know by what each notes: how it
//! ended ([`Left`]). The last of those that count makes the verdict.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use dropforge_driver::store::StoreError;
use dropforge_driver::supervision::Launch;
use dropforge_engine::attempt::{Outcome, Progress as Counting, Provenance, Reason, StoredObject, Verdict};
use dropforge_manifest::types::{Container, MAIN, Outputs, Template};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::control::{Ask, Control};
use super::places::Places;
use super::pod::Pod;
use super::pod::end::{Ended, How};
use super::pod::ends::Ends;
use super::preparation::{Prepared, PreparedPod, Process, Runs, bad_input, ports};
use super::{Refused, Site, Step, StepStore, Told, counted, refused, told};
use crate::inputs;
use crate::isolation::Layout;
use crate::outputs::{Collected, Collection};
use crate::transfer::Progress;
use crate::variables::LocalObjects;
use crate::volumes::Mount;

/// How often the notes of other containers are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What one container runs.
pub struct Wrapped<'a, S> {
    /// The store, and where steps are.
    pub site: &'a Site<S>,
    /// The attempt.
    pub launch: &'a Launch,
    /// How this container is told to end.
    pub control: &'a Control,
    /// Who is told what happens.
    pub tell: &'a (dyn Fn(Told) + Send + Sync),
    /// The GPUs that the container sees.
    pub gpus: &'a [String],
    /// When the pod began, from which its own deadline counts.
    pub began: Timestamp,
    /// The container's name.
    pub name: &'a str,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub variables: BTreeMap<String, String>,
    /// The working directory.
    pub working_dir: PathBuf,
    /// A folder of the container's own, which holds its log.
    pub folder: PathBuf,
    /// An empty folder for outputs on their way.
    pub spare: PathBuf,
    /// With what it runs and what was read.
    pub provenance: Provenance,
}

/// What is known of the other containers.
pub trait Others: Sync {
    /// The exit code of one that has ended, as those see it which depend on it.
    fn code(&self, name: &str) -> Option<i32>;
    /// Whether all is over for this one: another has failed, or all others that count have ended.
    fn is_over(&self) -> bool;
}

/// What a container's end left.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    ended: Ended,
    collected: Collected,
    provenance: Provenance,
    progress: Option<Counting>,
    asked: Option<Ask>,
}

impl Left {
    /// Its exit code.
    pub fn code(&self) -> i32 {
        self.ended.code()
    }

    /// The exit code that those see which depend on it.
    pub fn code_for_others(&self) -> i32 {
        self.ended.code_for_others()
    }

    /// Whether a command was to run and could not be started.
    pub fn is_missing(&self) -> bool {
        matches!(self.ended.how, How::NotStarted(_))
    }
}

/// How it came to its end.
pub enum Came {
    /// The attempt has no other container.
    Alone(Box<Verdict>),
    /// One of several.
    Left(Box<Left>),
}

/// The file that takes a container's output, in its own folder.
pub fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// The file into which a container writes how far it is, in its own folder.
pub fn progress(folder: &Path) -> PathBuf {
    folder.join("progress")
}

/// Whether the attempt has but one container, which is no daemon.
pub fn is_alone(template: &Template) -> bool {
    template.containers().len() == 1 && template.container_set.is_none()
}

impl<S: StepStore> Wrapped<'_, S> {
    /// Runs the container once those have ended which it depends on, and the attempt is claimed. None: somebody else has
    /// claimed it, and nothing was started.
    ///
    /// # Errors
    /// When it is unknown who holds the claim; nothing was started.
    pub fn run(
        &self,
        others: &dyn Others,
        claim: &dyn Fn() -> Result<bool, StoreError>,
    ) -> Result<Option<Came>, StoreError> {
        let template = &self.launch.attempt.work.template;
        let container = template.containers().into_iter().find(|(name, _)| *name == self.name);
        let container = container.map(|(_, container)| container.clone()).unwrap_or_default();
        let step = self.step();
        let pod = self.prepared(&container);
        match pod.single().filter(|main| main.alone && !template.is_daemon()) {
            Some(main) => {
                let refused = step.refused_meanwhile();
                if !claim()? {
                    return Ok(None);
                }
                let verdict = match refused {
                    Some(refused) => step.not_started(&pod, refused),
                    None => step.execute_one(&pod, main).verdict,
                };
                Ok(Some(Came::Alone(Box::new(verdict))))
            }
            None => {
                let left = self.among_others(&step, &pod, others, claim)?;
                Ok(left.map(|left| Came::Left(Box::new(left))))
            }
        }
    }

    /// The end of a container whose command can't be started.
    pub fn refuse(&self, outcome: Outcome, reason: Reason, message: String) -> Came {
        let step = self.step();
        let refused = refused(outcome, reason, message);
        let pod = self.prepared(&Container::default());
        if is_alone(&self.launch.attempt.work.template) {
            return Came::Alone(Box::new(step.not_started(&pod, refused)));
        }
        let ended = Ended::now(&pod.mains[0], How::NotStarted(refused));
        Came::Left(Box::new(self.left(&step, &pod, ended)))
    }

    fn step(&self) -> Step<'_, S> {
        let Wrapped { site, launch, gpus, control, tell, began, .. } = *self;
        Step { site, launch, gpus, control, tell, began }
    }

    fn among_others(
        &self,
        step: &Step<'_, S>,
        prepared: &PreparedPod,
        others: &dyn Others,
        claim: &dyn Fn() -> Result<bool, StoreError>,
    ) -> Result<Option<Left>, StoreError> {
        let pod = Pod::new(step, prepared);
        let container = &prepared.mains[0];
        let main = self.launch.attempt.work.template.mains().iter().any(|(name, _)| *name == self.name);
        let ended = thread::scope(|scope| {
            scope.spawn(|| self.listen(&pod, others));
            for dependency in &container.dependencies {
                pod.board.code_of(dependency);
            }
            let refused = step.refused_meanwhile().filter(|_| self.control.asked() != Some(Ask::Over));
            let ended = match (claim(), refused) {
                (Ok(true), Some(refused)) => Ok(Some(Ended::now(container, How::NotStarted(refused)))),
                (Ok(true), None) => {
                    scope.spawn(|| pod.ask(container));
                    Ok(Some(pod.in_turn(container, self.control, main)))
                }
                (Ok(false), _) => Ok(None),
                (Err(error), _) => Err(error),
            };
            // Those who listen and ask are told that all is over.
            pod.board.post(self.name, 0);
            ended
        })?;
        Ok(ended.map(|ended| self.left(step, prepared, ended)))
    }

    /// Hands on what other containers note, until this one has ended.
    fn listen(&self, pod: &Pod<'_, S>, others: &dyn Others) {
        let mut waited: Vec<&String> = pod.dependencies().collect();
        loop {
            waited.retain(|name| others.code(name).map(|code| pod.board.post(name, code)).is_none());
            if others.is_over() || self.control.asked().is_some() {
                self.control.ask(Ask::Over);
                pod.board.close();
            }
            if pod.board.pause(self.name, LOOK) {
                return;
            }
        }
    }

    fn left(&self, step: &Step<'_, S>, prepared: &PreparedPod, ended: Ended) -> Left {
        let container = &prepared.mains[0];
        let began = ended.started.is_some() && !ended.is_lost();
        Left {
            collected: if began { self.collect(step, container) } else { Collected::default() },
            provenance: self.provenance.clone(),
            progress: counted::read(&container.progress),
            asked: self.control.asked(),
            ended,
        }
    }

    /// The outputs are those of `main`; each container that counts has its log.
    fn collect(&self, step: &Step<'_, S>, container: &Prepared) -> Collected {
        let work = &self.launch.attempt.work;
        let counts = work.template.mains().iter().any(|(name, _)| *name == self.name);
        let (log, none) = ([(self.name, container.log.as_path())], Outputs::default());
        let tell = |what| (step.tell)(Told::Progress(what));
        Collection {
            site: self.site,
            attempt: &self.launch.attempt,
            declared: if self.name == MAIN { &work.template.outputs } else { &none },
            places: &container.places,
            spare: &self.spare,
            secrets: &LocalObjects::secrets(self.launch.environment.secrets.as_deref()),
            logs: if work.archive_logs && counts { &log } else { &[] },
            progress: &Progress::new(&tell),
        }
        .collect()
    }

    fn prepared(&self, container: &Container) -> PreparedPod {
        let template = &self.launch.attempt.work.template;
        let root = PathBuf::from("/");
        // What a container holds may be a volume, whose files stay; so nothing is the attempt's alone to be moved away.
        let all = Mount { target: root.clone(), source: root.clone(), read_only: false };
        let process = Process {
            layout: Layout { scratch: self.folder.clone(), ..Layout::default() },
            entrance: None,
            command: self.command.clone(),
            variables: self.variables.clone(),
            working_dir: self.working_dir.clone(),
            // The container's own, which its engine guards.
            memory_limit_bytes: None,
        };
        let prepared = Prepared {
            name: self.name.to_owned(),
            alone: is_alone(template),
            dependencies: container.dependencies.clone(),
            probe: container.readiness_probe.clone().filter(|_| template.is_daemon()),
            ports: ports(container),
            image: container.image.clone().unwrap_or_default(),
            places: Places { own: root.clone(), root, mounts: vec![all], links_are_safe: false },
            runs: Runs::Process(process),
            log: log(&self.folder),
            teed: true,
            // The wrapping process brings it, so that the verdict does not wait for it.
            spare_log: None,
            log_is_shipped: false,
            progress: progress(&self.folder),
        };
        PreparedPod {
            before: Vec::new(),
            mains: vec![prepared],
            beside: Vec::new(),
            spare: self.spare.clone(),
            provenance: self.provenance.clone(),
        }
    }
}

/// The verdict over all containers of an attempt that have ended.
pub fn verdict<S: StepStore>(site: &Site<S>, launch: &Launch, lefts: Vec<Left>) -> std::io::Result<Verdict> {
    let template = &launch.attempt.work.template;
    let control = Control::new()?;
    let now = dropforge_driver::clock::Clock::now(&dropforge_driver::clock::SystemClock);
    let step = Step { site, launch, gpus: &[], control: &control, tell: &|_| {}, began: now };
    let mains: Vec<String> = template.mains().into_iter().map(|(name, _)| name.to_owned()).collect();
    let is_before = |name: &str| template.init_containers.iter().any(|container| container.name() == name);
    let shown = lefts.iter().find(|left| left.ended.name == MAIN).or_else(|| lefts.first());
    let provenance = shown.map(|left| left.provenance.clone()).unwrap_or_default();
    let progress = shown.and_then(|left| left.progress);
    let asked = lefts.iter().find_map(|left| left.asked.clone());
    let mut ends = Ends { before: Vec::new(), mains: Vec::new(), beside: Vec::new(), asked };
    let mut collected = Collected::default();
    for left in lefts {
        collected.add(left.collected);
        match left.ended.name.as_str() {
            name if mains.iter().any(|main| main == name) => ends.mains.push(left.ended),
            name if is_before(name) => ends.before.push(left.ended),
            _ => ends.beside.push(left.ended),
        }
    }
    Ok(ends.verdict(&step, collected, provenance, progress))
}

/// Brings the inputs to where `mounts` has them, for a container that starts afterwards; gives what was read. `spare` is
/// an empty folder beside them.
///
/// # Errors
/// The verdict when one can't be had.
pub fn inputs<S: StepStore>(
    site: &Site<S>,
    launch: &Launch,
    mounts: Vec<Mount>,
    spare: &Path,
    say: &(dyn Fn(String) + Send + Sync),
) -> Result<Vec<StoredObject>, Box<Verdict>> {
    let attempt = &launch.attempt;
    let root = PathBuf::from("/");
    let places = Places { own: spare.to_path_buf(), root, mounts, links_are_safe: false };
    let secrets = LocalObjects::secrets(launch.environment.secrets.as_deref());
    let artifacts = &attempt.work.template.inputs.artifacts;
    let progress = Progress::new(say);
    let loaded = inputs::load(site, &attempt.namespace, artifacts, &places, spare, &secrets, &progress);
    loaded.map(|loaded| loaded.read).map_err(|error| {
        let Refused { outcome, reason, message } = bad_input(told(&error));
        Box::new(refusal(launch, outcome, reason, message))
    })
}

/// The verdict of an attempt whose command was not started.
pub fn refusal(launch: &Launch, outcome: Outcome, reason: Reason, message: String) -> Verdict {
    let now = dropforge_driver::clock::Clock::now(&dropforge_driver::clock::SystemClock);
    Verdict::without_outputs(launch.attempt.id.clone(), outcome, reason, message, now)
}

/// What is said when the deadline has passed before a command could be started.
pub fn passed_deadline<S: StepStore>(
    site: &Site<S>,
    launch: &Launch,
    began: Timestamp,
) -> std::io::Result<Option<&'static str>> {
    let control = Control::new()?;
    let step = Step { site, launch, gpus: &[], control: &control, tell: &|_| {}, began };
    Ok(step.passed_deadline())
}
