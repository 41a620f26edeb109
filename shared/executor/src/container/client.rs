//! An engine: its images, and what is common to all its containers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{CreateImageInfo, ExecConfig, ImageInspect};
use bollard::query_parameters::{CreateImageOptions, ListContainersOptions, RemoveContainerOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use dropforge_driver::supervision::{ContainerEngine, EngineKind};
use dropforge_engine::ids::AttemptId;
use futures_core::Stream;
use tokio::runtime::Handle;

use super::creation::ATTEMPT_LABEL;
use super::pull::Pull;

/// How long an answer may take; what takes longer on purpose is asked again.
const PATIENCE_SECONDS: u64 = 300;

/// Why an engine does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers, or not in the engine's language.
    #[error("reach {} at {}", kind.name(), socket.display())]
    Unreachable {
        /// Which engine.
        kind: EngineKind,
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// The image can't be had.
    #[error("pull image {image:?}")]
    Pull {
        /// Its name.
        image: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// The image is not there, and may not be pulled.
    #[error("find image {image:?}: the engine has none of that name, and its imagePullPolicy is Never")]
    Absent {
        /// Its name.
        image: String,
    },
    /// It does not say what containers there are, or does not remove one.
    #[error("end the containers of attempt {attempt}")]
    End {
        /// Whose.
        attempt: AttemptId,
        /// Why.
        #[source]
        source: ApiError,
    },
}

/// An image that the engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What names it for ever.
    pub digest: Option<String>,
    /// The folders of its programs.
    pub path: Option<String>,
    /// Where its commands start.
    pub working_dir: Option<PathBuf>,
}

/// The engines that this process has spoken to.
#[derive(Default)]
pub struct Engines {
    clients: Mutex<BTreeMap<PathBuf, Arc<Client>>>,
}

impl Engines {
    /// The way to an engine, made once.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn client(&self, engine: &ContainerEngine, runtime: &Handle) -> Result<Arc<Client>, EngineError> {
        let mut clients = locked(&self.clients);
        if let Some(client) = clients.get(&engine.socket) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::connect(engine, runtime)?);
        clients.insert(engine.socket.clone(), Arc::clone(&client));
        Ok(client)
    }
}

/// An image by its name, once it has been looked for.
type Slot = Arc<Mutex<Option<Image>>>;

/// The way to an engine. For threads of their own: each call waits for its answer.
pub struct Client {
    kind: EngineKind,
    /// The API itself.
    pub docker: Docker,
    runtime: Handle,
    images: Mutex<BTreeMap<String, Slot>>,
    /// Commands that images have, by their digest.
    programs: Mutex<BTreeSet<(String, String)>>,
}

impl Client {
    fn connect(engine: &ContainerEngine, runtime: &Handle) -> Result<Client, EngineError> {
        let ContainerEngine { kind, socket } = engine.clone();
        let path = socket.to_string_lossy().into_owned();
        let connected = Docker::connect_with_unix(&path, PATIENCE_SECONDS, API_DEFAULT_VERSION);
        let agreed = connected.and_then(|docker| runtime.block_on(docker.negotiate_version()));
        let docker = agreed.map_err(|source| EngineError::Unreachable { kind, socket, source })?;
        Ok(Client {
            kind,
            docker,
            runtime: runtime.clone(),
            images: Mutex::default(),
            programs: Mutex::default(),
        })
    }

    /// Which engine it is.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// Waits for one of its answers.
    pub fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }

    /// Waits for the next of several.
    pub fn next<T>(&self, answers: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
        self.wait(next(answers))
    }

    /// The image, pulled where that is wanted: once by this process, however many steps need it.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn image(&self, name: &str, pull: Pull, say: &dyn Fn(String)) -> Result<Image, EngineError> {
        let slot = locked(&self.images).entry(name.to_owned()).or_default().clone();
        // Whoever comes while it is pulled waits here.
        let mut slot = locked(&slot);
        if let Some(image) = &*slot {
            return Ok(image.clone());
        }
        let image = self.obtain(name, pull, say)?;
        *slot = Some(image.clone());
        Ok(image)
    }

    fn obtain(&self, name: &str, pull: Pull, say: &dyn Fn(String)) -> Result<Image, EngineError> {
        let here = self.wait(self.docker.inspect_image(name)).ok();
        let failed = match (pull, here) {
            (Pull::Never | Pull::IfNotPresent, Some(here)) => return Ok(described(here)),
            (Pull::Never, None) => return Err(EngineError::Absent { image: name.to_owned() }),
            (Pull::IfNotPresent | Pull::Always, _) => self.pull(name, say).err(),
            (Pull::WhereItMoves, here) => match (self.pull(name, say), here) {
                (Err(why), Some(here)) => {
                    say(format!("image {name} can't be pulled, the one that is here is used: {why}"));
                    return Ok(described(here));
                }
                (pulled, _) => pulled.err(),
            },
        };
        let pulled = |source| EngineError::Pull { image: name.to_owned(), source };
        match failed {
            Some(source) => Err(pulled(source)),
            None => self.wait(self.docker.inspect_image(name)).map(described).map_err(pulled),
        }
    }

    fn pull(&self, name: &str, say: &dyn Fn(String)) -> Result<(), ApiError> {
        say(format!("image {name}: pulling"));
        let options = CreateImageOptions { from_image: Some(tagged(name)), ..CreateImageOptions::default() };
        let mut answers = Box::pin(self.docker.create_image(Some(options), None, None));
        while let Some(answer) = self.next(&mut answers) {
            let CreateImageInfo { error_detail, .. } = answer?;
            if let Some(error) = error_detail.and_then(|detail| detail.message) {
                return Err(ApiError::DockerStreamError { error });
            }
        }
        say(format!("image {name}: pulled"));
        Ok(())
    }

    /// Whether the command was found in the image before.
    pub fn has_program(&self, image: &Image, command: &str) -> bool {
        let digest = image.digest.clone().unwrap_or_default();
        locked(&self.programs).contains(&(digest, command.to_owned()))
    }

    /// Remembers that the image has the command.
    pub fn found_program(&self, image: &Image, command: &str) {
        // What lies at a path may be the step's own file.
        if !command.contains('/') {
            let digest = image.digest.clone().unwrap_or_default();
            locked(&self.programs).insert((digest, command.to_owned()));
        }
    }

    /// Runs a command in a container that runs; whether that ended well in time.
    pub fn runs(&self, container: &str, argv: &[String], timeout: Duration) -> bool {
        let config = ExecConfig {
            cmd: Some(argv.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let asked = async {
            let id = self.docker.create_exec(container, config).await?.id;
            // Attached, since podman does not see the end of others.
            if let StartExecResults::Attached { mut output, .. } =
                self.docker.start_exec(&id, None::<StartExecOptions>).await?
            {
                while let Some(said) = next(&mut output).await {
                    said?;
                }
            }
            Ok::<_, ApiError>(self.docker.inspect_exec(&id).await?.exit_code)
        };
        matches!(self.wait(async { tokio::time::timeout(timeout, asked).await }), Ok(Ok(Some(0))))
    }

    /// Ends the containers that an earlier supervisor left of an attempt, and removes them.
    ///
    /// # Errors
    /// When it is not sure that none runs any more.
    pub fn end_left(&self, attempt: &AttemptId) -> Result<(), EngineError> {
        let failed = |source| EngineError::End { attempt: attempt.clone(), source };
        let label = format!("{ATTEMPT_LABEL}={attempt}");
        let filters = Some(HashMap::from([("label".to_owned(), vec![label])]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let left = self.wait(self.docker.list_containers(Some(options))).map_err(failed)?;
        for id in left.into_iter().filter_map(|container| container.id) {
            self.remove(&id).map_err(failed)?;
        }
        Ok(())
    }

    /// Ends a container, if it runs, and removes it with what is its own; one that is not there is removed.
    ///
    /// # Errors
    /// When the engine does not.
    pub fn remove(&self, name: &str) -> Result<(), ApiError> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        match self.wait(self.docker.remove_container(name, Some(options))) {
            Err(error) if is_absent(&error) => Ok(()),
            removed => removed,
        }
    }
}

async fn next<T>(answers: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| Pin::new(&mut *answers).poll_next(context)).await
}

/// Whether what was asked for is not there.
pub fn is_absent(error: &ApiError) -> bool {
    matches!(error, ApiError::DockerResponseServerError { status_code: 404, .. })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step, so that a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn described(image: ImageInspect) -> Image {
    let config = image.config.unwrap_or_default();
    let path = config.env.iter().flatten().find_map(|line| line.strip_prefix("PATH=").map(str::to_owned));
    let working_dir = config.working_dir.filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // What a registry calls it; one that never was in a registry has its own id only.
    let repository = image.repo_digests.into_iter().flatten().next();
    Image { digest: repository.or(image.id), path, working_dir }
}

/// Without a tag the API would pull all of them.
fn tagged(name: &str) -> String {
    if super::pull::is_tagged(name) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::tagged;

    #[test]
    fn a_name_without_tag_means_the_latest() {
        let names = ["a", "host:5000/a", "a:1", "a@sha256:0"].map(tagged);
        assert_eq!(names, ["a:latest", "host:5000/a:latest", "a:1", "a@sha256:0"]);
    }
}
