//! The executor in the containers of a step's pod: one program in three roles.
//!
//! - [`init`](init::run) runs before all others: puts the program where the others find it, and brings the inputs.
//! - [`wrap`](wrap::run) runs each command: claims the attempt, starts the command in its own container, and, when those
//!   that count have ended, makes the verdict, stores it and rings.
//! - [`witness`](witness::run) stands beside where a memory limit can end a container with its wrapper: then nothing of
//!   the container is left to say so.
//!
//! They know each other by notes in one shared folder ([`folder`]). Nothing here needs a shell, a user, or a file system
//! that can be written outside of that folder.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use dropforge_driver::pods::PodLaunch;
use dropforge_driver::supervision::{Demand, Launch, StepEnvironment};
use dropforge_engine::attempt::Verdict;

use crate::step::{Site, StepStore, told};

pub mod folder;
pub mod init;
pub mod packed;
pub mod signals;
pub mod witness;
pub mod wrap;

use folder::Folder;

/// The exit code of Argo's executor for its own failures.
pub const EXECUTOR_FAILED: i32 = 64;

/// Rings the doorbell of a run.
pub trait Bell: Send + Sync {
    /// Says that an attempt is worth a look.
    ///
    /// # Errors
    /// When it may not have been heard.
    fn ring(&self, launch: &PodLaunch) -> impl Future<Output = Result<(), BellError>> + Send;
}

/// Why a doorbell was not heard.
#[derive(Debug, thiserror::Error)]
#[error("ring the doorbell: {0}")]
pub struct BellError(pub String);

/// What each role has.
pub struct Pod<S, B> {
    /// The store. Rooms and engines are the laptop's, and stay unused.
    pub site: Site<S>,
    /// The doorbell.
    pub bell: B,
    /// The attempt.
    pub launch: PodLaunch,
    /// The notes.
    pub folder: Folder,
    /// [`MIRRORED`](dropforge_driver::pods::MIRRORED), or another folder in tests.
    pub mirrored: PathBuf,
    /// [`SECRETS`](dropforge_driver::pods::SECRETS), or another folder in tests.
    pub secrets: PathBuf,
}

/// How often a doorbell is rung; the sweep finds what was not heard.
const RINGS: u32 = 5;

/// The first pause between tries, and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often a verdict is tried to be stored: for about an hour. What a step came to is dearer than the pod's time.
const VERDICTS: u32 = 360;

impl<S: StepStore, B: Bell> Pod<S, B> {
    /// The attempt as the laptop's supervisor would be given it.
    fn attempt(&self) -> Launch {
        let environment =
            StepEnvironment { secrets: Some(self.secrets.clone()), ..StepEnvironment::default() };
        Launch {
            attempt: self.launch.attempt.clone(),
            environment,
            demand: Demand::default(),
            containers: Default::default(),
            engine: None,
        }
    }

    /// Whether this pod holds the claim of its attempt; claims it where nobody does.
    fn claim(&self) -> Result<bool, dropforge_driver::store::StoreError> {
        let attempt = &self.launch.attempt;
        let nonce = self.folder.nonce().map_err(|source| dropforge_driver::store::StoreError::Io {
            action: "write",
            key: self.folder.path().display().to_string(),
            source,
        })?;
        let claim = self.site.store.claim(&attempt.namespace, &attempt.id, &nonce);
        Ok(self.site.wait(claim)? == dropforge_driver::store::Created::New)
    }

    /// Stores the verdict, waits for what is to be there `before` somebody looks, and rings. What can't be done here is
    /// left to the witness, which finds the notes.
    fn tell(&self, verdict: &Verdict, before: impl FnOnce()) {
        let noted = self.folder.note(&self.folder.verdict(), verdict);
        if let Err(error) = noted {
            say(&format!("the verdict could not be noted: {error}"));
        }
        let stored = self.store(verdict, VERDICTS);
        before();
        let told = stored && self.ring(RINGS);
        if told && let Err(error) = self.folder.mark(&self.folder.told()) {
            say(&format!("could not note that the verdict is told: {error}"));
        }
    }

    fn store(&self, verdict: &Verdict, tries: u32) -> bool {
        let namespace = &self.launch.attempt.namespace;
        persist(tries, "store the verdict", || {
            let stored = self.site.wait(self.site.store.put_verdict(namespace, verdict));
            stored.map(drop).map_err(|error| told(&error))
        })
    }

    fn ring(&self, tries: u32) -> bool {
        persist(tries, "ring", || self.site.wait(self.bell.ring(&self.launch)).map_err(|error| told(&error)))
    }
}

/// Tries until it is done, with growing pauses.
fn persist(tries: u32, what: &str, mut attempt: impl FnMut() -> Result<(), String>) -> bool {
    let mut pause = PAUSE;
    for left in (0..tries).rev() {
        match attempt() {
            Ok(()) => return true,
            Err(why) => say(&format!("failed to {what}: {why}")),
        }
        if left > 0 {
            wait(pause);
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }
    false
}

/// Waits, whatever else this process does.
fn wait(pause: Duration) {
    let _ = rustix::event::poll(&mut [], Some(&crate::process::family::timespec(pause)));
}

/// A line for people, in the container's own log.
pub fn say(line: &str) {
    eprintln!("dropforge: {line}");
}
