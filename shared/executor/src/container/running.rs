//! One container, from its creation to its end.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bollard::errors::Error as ApiError;
use bollard::query_parameters::{
    AttachContainerOptions, ContainerArchiveInfoOptions, CreateContainerOptions, StopContainerOptions,
};
use dropforge_driver::supervision::EngineKind;
use rustix::event::{PollFd, PollFlags, poll};

use super::client::{Client, Image, is_absent};
use super::creation::{CreationError, Wanted, creation};
use super::fetch::{FetchError, fetch};
use super::gauge::Gauge;
use super::output::Copying;
use crate::process::family::timespec;
use crate::process::{Ended, Exit, Waited};
use crate::step::places::Places;

/// How long before an engine that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// What container engines take for `PATH` when there is none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The image has no such program.
    #[error("find {command:?} in the image")]
    NotFound {
        /// The command's first word.
        command: String,
    },
    /// It can't be said what is wanted.
    #[error(transparent)]
    Creation(#[from] CreationError),
    /// The engine refused it.
    #[error("start the container")]
    Refused(#[source] ApiError),
    /// This machine has no thread or pipe for it.
    #[error("watch the container")]
    Watch(#[source] io::Error),
}

/// A started container. Dropping it ends and removes the container: nobody else would.
pub struct Running {
    container: Container,
    copying: Option<Copying>,
    ended: PipeReader,
    code: Arc<AtomicI64>,
    gauge: Gauge,
    limited: bool,
    stopped: bool,
}

/// A container that was created.
struct Container {
    client: Arc<Client>,
    name: String,
    /// What the engine calls it.
    id: String,
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = self.client.remove(&self.name) {
            tracing::error!(container = self.name, %error, "a container could not be removed");
        }
    }
}

impl Running {
    /// Starts it; both its streams go to `log`.
    ///
    /// # Errors
    /// When it did not start; nothing of it is left.
    pub fn start(
        client: Arc<Client>,
        wanted: &Wanted,
        image: &Image,
        log: File,
    ) -> Result<Running, StartError> {
        let container = create(&client, wanted)?;
        let (name, docker) = (container.name.clone(), &client.docker);
        find_program(&client, &name, wanted, image)?;
        let streams =
            AttachContainerOptions { stdout: true, stderr: true, stream: true, ..Default::default() };
        let attached =
            client.wait(docker.attach_container(&name, Some(streams))).map_err(StartError::Refused)?;
        let copying = Copying::start(Arc::clone(&client), attached.output, log).map_err(StartError::Watch)?;
        client.wait(docker.start_container(&name, None)).map_err(StartError::Refused)?;
        let code = Arc::new(AtomicI64::new(0));
        let ended = await_end(Arc::clone(&client), name, Arc::clone(&code)).map_err(StartError::Watch)?;
        let gauge = Gauge::of(first_process(&container), &container.id);
        let (copying, limited) = (Some(copying), wanted.memory_limit_bytes.is_some());
        Ok(Running { container, copying, ended, code, gauge, limited, stopped: false })
    }

    /// Waits for the end, for at most `limit`, and no longer than until `other` is readable.
    pub fn wait_until(&mut self, limit: Option<Duration>, other: Option<BorrowedFd<'_>>) -> Waited {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let pause = timespec(left.unwrap_or(Duration::MAX).min(self.gauge.pause()));
            let mut polled = vec![PollFd::from_borrowed_fd(self.ended.as_fd(), PollFlags::IN)];
            polled.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
            // An interrupted wait is a short one.
            let polled_well = poll(&mut polled, Some(&pause)).is_ok();
            let ready = |index: usize| {
                polled_well && polled.get(index).is_some_and(|polled| !polled.revents().is_empty())
            };
            if ready(0) {
                return Waited::Ended(self.end());
            }
            if ready(1) {
                return Waited::Woken;
            }
            self.gauge.sample();
            if until.is_some_and(|until| until <= Instant::now()) {
                return Waited::Late;
            }
        }
    }

    /// Ends it: its stop signal, TERM as a rule, then, when it goes on for longer than `grace`, KILL.
    pub fn stop(&mut self, grace: Duration) -> Ended {
        self.stopped = true;
        // The engine counts in whole seconds, and kills at once with none.
        let seconds = i32::try_from(grace.as_secs().max(1)).unwrap_or(i32::MAX);
        let options = StopContainerOptions { t: Some(seconds), signal: None };
        let (client, name) = (Arc::clone(&self.container.client), self.container.name.clone());
        loop {
            if let Err(error) = client.wait(client.docker.stop_container(&name, Some(options.clone()))) {
                tracing::warn!(container = name, %error, "a container could not be stopped, trying again");
            }
            // While the engine does not say that it has ended it may run, and then it has no verdict.
            if let Waited::Ended(ended) = self.wait_until(Some(RETRY), None) {
                return ended;
            }
        }
    }

    /// How it ended.
    fn end(&self) -> Ended {
        let Container { client, name, .. } = &self.container;
        let code = i32::try_from(self.code.load(Ordering::SeqCst)).unwrap_or(128 + libc::SIGKILL);
        let state =
            client.wait(client.docker.inspect_container(name, None)).ok().and_then(|found| found.state);
        let told = state.and_then(|state| state.oom_killed).unwrap_or_default();
        // Podman does not hear of it from version 1 control groups; whoever kills a step by hand stops it with us.
        let silent = client.kind() == EngineKind::Podman && self.limited && !self.stopped;
        let out_of_memory = code != 0 && (told || (silent && code == 128 + libc::SIGKILL));
        Ended { exit: Exit::Code(code), out_of_memory, usage: self.gauge.usage() }
    }

    /// The end of standard output, after the end.
    ///
    /// # Errors
    /// When the log is not complete.
    pub fn output(&mut self) -> io::Result<Vec<u8>> {
        self.copying.take().map_or(Ok(Vec::new()), Copying::finish)
    }

    /// Brings these files of the container to where the step's files are on this machine, after the end.
    ///
    /// # Errors
    /// The first of them; the others are fetched all the same.
    pub fn fetch(&self, paths: &[PathBuf], places: &Places) -> Result<(), FetchError> {
        let Container { client, name, .. } = &self.container;
        let fetched: Vec<_> = paths.iter().map(|path| fetch(client, name, path, places)).collect();
        fetched.into_iter().collect()
    }
}

/// Creates it, with a small first process where the engine has one.
fn create(client: &Arc<Client>, wanted: &Wanted) -> Result<Container, StartError> {
    let name = wanted.name();
    let create = |init| {
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        let body = creation(wanted, init)?;
        let created = client.wait(client.docker.create_container(Some(options), body));
        created.map_err(StartError::Refused)
    };
    let created = match create(true) {
        Err(StartError::Refused(error)) if error.to_string().contains("init binary") => create(false)?,
        created => created?,
    };
    Ok(Container { client: Arc::clone(client), name, id: created.id })
}

fn first_process(container: &Container) -> Option<i64> {
    let Container { client, name, .. } = container;
    client.wait(client.docker.inspect_container(name, None)).ok()?.state?.pid
}

/// A command that the image does not have would be looked for by the container's first process, which ends with a
/// code of its own.
fn find_program(client: &Client, name: &str, wanted: &Wanted, image: &Image) -> Result<(), StartError> {
    let Some(command) = wanted.command.as_ref().and_then(|words| words.first()) else { return Ok(()) };
    if client.has_program(image, command) {
        return Ok(());
    }
    let folder = wanted.working_dir.as_deref().or(image.working_dir.as_deref()).unwrap_or(Path::new("/"));
    let path = wanted.variables.get("PATH").or(image.path.as_ref()).map_or(DEFAULT_PATH, String::as_str);
    for candidate in candidates(command, folder, path) {
        let options = ContainerArchiveInfoOptions { path: candidate.to_string_lossy().into_owned() };
        match client.wait(client.docker.get_container_archive_info(name, Some(options))) {
            Err(error) if is_absent(&error) => {}
            Ok(_) => {
                client.found_program(image, command);
                return Ok(());
            }
            // What can't be looked up is the engine's own to find.
            Err(_) => return Ok(()),
        }
    }
    Err(StartError::NotFound { command: command.clone() })
}

/// Where a command may lie.
fn candidates(command: &str, folder: &Path, path: &str) -> Vec<PathBuf> {
    if command.contains('/') {
        return vec![folder.join(command)];
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| Path::new(folder).join(command)).collect()
}

/// A pipe that is closed when the container has ended, with its exit code by then.
fn await_end(client: Arc<Client>, name: String, code: Arc<AtomicI64>) -> io::Result<PipeReader> {
    let (hear, ended) = io::pipe()?;
    let wait = move || {
        code.store(exit_code(&client, &name), Ordering::SeqCst);
        drop(ended);
    };
    thread::Builder::new().name("container".to_owned()).spawn(wait)?;
    Ok(hear)
}

/// Waits however long it takes, and however often the engine itself is started anew meanwhile.
fn exit_code(client: &Client, name: &str) -> i64 {
    loop {
        let mut answers = Box::pin(client.docker.wait_container(name, None));
        match client.next(&mut answers) {
            Some(Ok(answer)) => return answer.status_code,
            Some(Err(ApiError::DockerContainerWaitError { code, .. })) => return code,
            // Somebody removed it, which kills.
            Some(Err(error)) if is_absent(&error) => return i64::from(128 + libc::SIGKILL),
            Some(Err(_)) | None => thread::park_timeout(RETRY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_lies_in_a_folder_of_path_or_where_it_says() {
        let found = |command, folder| candidates(command, Path::new(folder), "/a::/b");
        assert_eq!(found("x", "/w"), [Path::new("/a/x"), Path::new("/b/x")]);
        assert_eq!(found("./x", "/w"), [Path::new("/w/./x")]);
        assert_eq!(found("/bin/x", "/w"), [Path::new("/bin/x")]);
    }
}
