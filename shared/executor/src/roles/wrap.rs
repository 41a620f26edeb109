//! The role that runs a container's command, in the container itself.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dropforge_engine::attempt::{Outcome, Provenance, Reason, Verdict};
use dropforge_manifest::types::{Container, MAIN, Template};

use super::packed::{Found, unpack};
use super::signals::{self, Command};
use super::{Bell, EXECUTOR_FAILED, Pod, RINGS, say};
use crate::isolation::this_is_the_container;
use crate::logs;
use crate::step::control::{Ask, Control};
use crate::step::wrapped::{Came, Left, Others, Wrapped, log, progress, verdict};
use crate::step::{StepStore, Told, told};
use crate::variables::of_a_pod;

/// The pauses between the rings that say that a daemon is ready; a kubelet asks every ten seconds.
const READY_PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(5), Duration::from_secs(10)];

/// How long the bell waits for the end of the log; what is late is shipped all the same.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// What a container is to its attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It runs before the others.
    Before,
    /// The attempt is judged by its end.
    Counts,
    /// It helps as long as those run that count.
    Beside,
}

impl Kind {
    fn of(template: &Template, name: &str) -> Kind {
        if template.mains().iter().any(|(main, _)| *main == name) {
            Kind::Counts
        } else if template.init_containers.iter().any(|container| container.name() == name) {
            Kind::Before
        } else {
            Kind::Beside
        }
    }

    /// What it means to be told to end. A helper is told when the others have ended.
    fn ask(self) -> Ask {
        match self {
            Kind::Before | Kind::Counts => Ask::Evict,
            Kind::Beside => Ask::Over,
        }
    }
}

/// Runs the command and gives the exit code. `environ` is this process's environment, which is the command's but for
/// what is meant for the executor.
///
/// # Errors
/// When the shared folder can't be written, or it is unknown who holds the claim: nothing was started.
pub fn run<S: StepStore, B: Bell>(
    pod: &Pod<S, B>,
    name: &str,
    command: Vec<String>,
    environ: BTreeMap<String, String>,
) -> io::Result<i32> {
    this_is_the_container();
    let folder = pod.folder.open_folder(&format!("containers/{name}"))?;
    let Some(_held) = pod.folder.hold(name)? else { return Ok(0) };
    let kind = Kind::of(&pod.launch.attempt.work.template, name);
    let control = Arc::new(Control::new()?);
    let running = Command::default();
    signals::listen(&pod.site.runtime, &control, &kind.ask(), &running)?;
    let (hear, ending) = io::pipe()?;
    let code = thread::scope(|scope| {
        let (all_shipped, shipped) = channel();
        scope.spawn(move || {
            ship(pod, name, &hear);
            drop(all_shipped);
        });
        let (ready, hear_ready) = channel();
        scope.spawn(move || ring_when_ready(pod, &hear_ready));
        let log = Mutex::new(Log { ending: Some(ending), shipped });
        let one = One { pod, name, kind, control: &control, running: &running, ready, folder, log };
        one.run(command, environ)
    })?;
    if kind == Kind::Beside {
        // A helper that ends is started again: what it came to is noted, and this process stays.
        while control.asked().is_none() {
            control.pause(Duration::MAX);
        }
    }
    Ok(code)
}

/// Brings the container's log to the store while it grows.
fn ship<S: StepStore, B: Bell>(pod: &Pod<S, B>, name: &str, ended: &io::PipeReader) {
    let shipped = pod.shipped(name, ended);
    if let Err(error) = shipped {
        say(&format!("the log could not be shipped: {error}"));
    }
}

impl<S: StepStore, B: Bell> Pod<S, B> {
    /// Brings what is not in the store yet of a container's log there, until `ended` is closed.
    pub(super) fn shipped(&self, name: &str, ended: &io::PipeReader) -> io::Result<()> {
        let attempt = &self.launch.attempt;
        let from = self.folder.shipped(name)?;
        let mut at = from;
        logs::ship(&log(&self.folder.container(name)), from, ended, |bytes| {
            let appended = self.site.store.append_log(&attempt.namespace, &attempt.id, name, bytes);
            self.site.wait(appended).map_err(|error| io::Error::other(told(&error)))?;
            at += bytes.len() as u64;
            // They are in the store: sent once more they would be there twice.
            if let Err(error) = self.folder.note_shipped(name, at) {
                say(&format!("how much of the log is shipped could not be noted: {error}"));
            }
            Ok(())
        })
    }
}

/// Rings when a daemon is ready, until the container has ended. The cluster asks by its own probe, in its own time: it may
/// not know yet what this one has seen.
fn ring_when_ready<S: StepStore, B: Bell>(pod: &Pod<S, B>, ready: &Receiver<()>) {
    if ready.recv().is_err() {
        return;
    }
    pod.ring(RINGS);
    for pause in READY_PAUSES {
        if ready.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        pod.ring(RINGS);
    }
}

/// The container's log on its way to the store.
struct Log {
    /// Closed to say that nothing more is written.
    ending: Option<io::PipeWriter>,
    /// Closed when all is shipped.
    shipped: Receiver<()>,
}

/// One container.
struct One<'a, S, B> {
    pod: &'a Pod<S, B>,
    name: &'a str,
    kind: Kind,
    control: &'a Control,
    running: &'a Command,
    ready: Sender<()>,
    folder: PathBuf,
    log: Mutex<Log>,
}

/// What the other containers have noted.
struct Notes<'a, S, B> {
    pod: &'a Pod<S, B>,
    kind: Kind,
}

impl<S: StepStore, B: Bell> Others for Notes<'_, S, B> {
    fn code(&self, name: &str) -> Option<i32> {
        let noted = self.pod.folder.read::<Left>(&self.pod.folder.ended(name));
        noted.ok().flatten().map(|left| left.code_for_others())
    }

    fn is_over(&self) -> bool {
        self.kind == Kind::Counts && self.pod.folder.over().exists()
    }
}

impl<S: StepStore, B: Bell> One<'_, S, B> {
    fn run(&self, command: Vec<String>, environ: BTreeMap<String, String>) -> io::Result<i32> {
        let launch = self.pod.attempt();
        let began = self.pod.folder.began()?;
        let container = self.container();
        let ready = self.unpacked(&container, &command, &environ);
        let gpus = gpus(&environ);
        let found = ready.as_ref().cloned().unwrap_or_default();
        let tell = |what| self.told(what);
        let wrapped = Wrapped {
            site: &self.pod.site,
            launch: &launch,
            control: self.control,
            tell: &tell,
            gpus: &gpus,
            began,
            name: self.name,
            command,
            variables: self.variables(&launch, environ, &found),
            working_dir: found.working_dir.clone().map_or_else(std::env::current_dir, Ok)?,
            folder: self.folder.clone(),
            spare: self.pod.folder.open_folder(&format!("containers/{}/outgoing", self.name))?,
            provenance: self.provenance(&container, &found)?,
        };
        let claim = || {
            let begun = |error: io::Error| self.unwritten(error);
            Ok(self.pod.claim()? && self.pod.folder.start(self.name).map_err(begun)?)
        };
        let came = match ready {
            Ok(_) => wrapped.run(&Notes { pod: self.pod, kind: self.kind }, &claim),
            Err(why) => claim().map(|ours| {
                let message = format!("{}: Error (exit code {EXECUTOR_FAILED}): {why}", self.name);
                ours.then(|| wrapped.refuse(Outcome::Error, Reason::Environment, message))
            }),
        };
        match came.map_err(|error| io::Error::other(told(&error)))? {
            None => Ok(0),
            Some(Came::Alone(verdict)) => {
                self.tell(&verdict);
                Ok(code(&verdict))
            }
            Some(Came::Left(left)) => self.leave(&left),
        }
    }

    /// The end of the log goes to the store beside the verdict: who hears the bell finds both.
    fn tell(&self, verdict: &Verdict) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        drop(log.ending.take());
        self.pod.tell(verdict, || {
            let _ = log.shipped.recv_timeout(LOG_PATIENCE);
        });
    }

    fn unwritten(&self, source: io::Error) -> dropforge_driver::store::StoreError {
        let key = self.folder.display().to_string();
        dropforge_driver::store::StoreError::Io { action: "write", key, source }
    }

    fn container(&self) -> Container {
        let containers = self.pod.launch.attempt.work.template.containers();
        let own = containers.into_iter().find(|(name, _)| *name == self.name);
        own.map(|(_, container)| container.clone()).unwrap_or_default()
    }

    /// What the command finds beside its image, in its place.
    fn unpacked(
        &self,
        container: &Container,
        command: &[String],
        environ: &BTreeMap<String, String>,
    ) -> Result<Found, String> {
        let found = unpack(self.pod, self.name, container, command, environ);
        found.map_err(|error| format!("failed to {}", told(&error)))
    }

    /// The pod's own variables stand over Argo's, and what a packed environment needs over both.
    fn variables(
        &self,
        launch: &dropforge_driver::supervision::Launch,
        environ: BTreeMap<String, String>,
        found: &Found,
    ) -> BTreeMap<String, String> {
        let mut variables = of_a_pod(launch, self.name, &progress(&self.folder));
        variables.extend(environ.into_iter().filter(|(name, _)| !name.starts_with("DROPFORGE_")));
        variables.extend(found.variables.clone());
        variables
    }

    fn provenance(&self, container: &Container, found: &Found) -> io::Result<Provenance> {
        let read = self.pod.folder.read(&self.pod.folder.inputs_read())?;
        let named = container.command.clone().filter(|command| !command.is_empty());
        // As the manifest has them: with their variables put in they may hold secrets.
        let command = named.or_else(|| self.pod.launch.commands.get(self.name).cloned());
        let arguments = container.args.clone();
        Ok(Provenance {
            inputs: if self.name == MAIN { read.unwrap_or_default() } else { Vec::new() },
            image: container.image.clone().unwrap_or_default(),
            lock_hash: found.lock_hash.clone(),
            python: found.python.clone(),
            code_hash: found.code_hash.clone(),
            git: found.git.clone(),
            command: command.into_iter().flatten().chain(arguments.into_iter().flatten()).collect(),
            isolation: crate::isolation::Isolation::Container.to_string(),
            ..Provenance::default()
        })
    }

    fn told(&self, what: Told) {
        match what {
            Told::Process { pid, .. } => self.running.is(pid),
            // Who tells holds a lock.
            Told::Ready { .. } => drop(self.ready.send(())),
            Told::Progress(line) => say(&line),
            // The verdict has it.
            Told::Running { .. } | Told::Counted(_) => {}
        }
    }

    /// Notes how it ended; the last of those that count, and one before them that fails, make the verdict.
    fn leave(&self, left: &Left) -> io::Result<i32> {
        let folder = &self.pod.folder;
        folder.note(&folder.ended(self.name), left)?;
        let failed = left.code() != 0;
        if (failed && self.kind == Kind::Counts) || left.is_missing() {
            folder.mark(&folder.over())?;
        }
        let template = &self.pod.launch.attempt.work.template;
        let decides = match self.kind {
            Kind::Before => failed,
            Kind::Counts => template.mains().iter().all(|(name, _)| folder.ended(name).exists()),
            Kind::Beside => false,
        };
        if decides {
            self.tell(&self.verdict()?);
        }
        Ok(left.code())
    }

    fn verdict(&self) -> io::Result<Verdict> {
        let folder = &self.pod.folder;
        let names = self.pod.launch.attempt.work.template.containers().into_iter();
        let lefts: io::Result<Vec<Option<Left>>> =
            names.map(|(name, _)| folder.read(&folder.ended(name))).collect();
        verdict(&self.pod.site, &self.pod.attempt(), lefts?.into_iter().flatten().collect())
    }
}

/// The GPUs that the device plugin of a cluster gives a container; an image may say `all` without having one.
fn gpus(environ: &BTreeMap<String, String>) -> Vec<String> {
    let given = environ.get("NVIDIA_VISIBLE_DEVICES").map(String::as_str).unwrap_or_default();
    let named = given.split(',').filter(|gpu| gpu.starts_with("GPU-") || gpu.starts_with("MIG-"));
    named.map(str::to_owned).collect()
}

/// The command's exit code, so far as it tells the truth: a pod whose outputs are missing has not succeeded.
fn code(verdict: &Verdict) -> i32 {
    match verdict.exit_code.unwrap_or(EXECUTOR_FAILED) {
        0 if verdict.outcome != Outcome::Succeeded => EXECUTOR_FAILED,
        code => code,
    }
}
