//! One attempt, from claim to verdict.
//!
//! [`run`] makes what the step finds (volumes, inputs, variables, script), claims the attempt, starts the
//! command, waits for its end or ends it, and collects what it left. Every way out of it after the claim is a
//! verdict.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::{Artifacts, Attempts, Created, Logs, StoreError};
use dropforge_driver::supervision::{Endpoint, Launch};
use dropforge_engine::attempt::{Outcome, Progress as Counting, Provenance, Reason, Usage, Verdict};
use dropforge_manifest::types::{HttpTemplate, MAIN, Outputs};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::container::client::Engines;
use crate::http::Request;
use crate::outputs::{Collected, Collection};
use crate::transfer::Progress;
use crate::variables::LocalObjects;

pub mod control;
mod counted;
mod ending;
mod execution;
pub mod places;
mod pod;
mod preparation;
mod probe;
mod request;
pub mod room;
#[cfg(test)]
mod tests;
pub mod wrapped;

use control::{Ask, Control};
use counted::Counted;
use ending::judge;
use execution::{Execution, Finished, ship};
use pod::Pod;
use preparation::{Prepared, PreparedPod, prepare};
use room::{Room, Rooms};

/// Everything a store must give to run steps.
pub trait StepStore: Attempts + Artifacts + Logs {}

impl<T: Attempts + Artifacts + Logs> StepStore for T {}

/// What all attempts on this machine share.
pub struct Site<S> {
    /// Claims, verdicts, artifacts and logs.
    pub store: S,
    /// Where the store's futures run.
    pub runtime: tokio::runtime::Handle,
    /// Where steps run.
    pub rooms: Rooms,
    /// Holds the claims that runs made, a folder for each run.
    pub volumes: PathBuf,
    /// The S3 endpoint that steps see.
    pub endpoint: Option<Endpoint>,
    /// The machine's name.
    pub host: String,
    /// How long a step may go on after it was asked to end.
    pub grace: Duration,
    /// The container engines that run steps.
    pub engines: Engines,
}

impl<S> Site<S> {
    /// Waits for one of the store's answers.
    pub fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }
}

/// What is told of an attempt while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Its command has been started, and this process leads it. A container is named by its label.
    Process {
        /// Its id.
        pid: u32,
        /// When it was started, in the kernel's ticks: the two name it for ever.
        start_ticks: u64,
    },
    /// It runs.
    Running {
        /// Since when.
        at: Timestamp,
    },
    /// It is a daemon that serves.
    Ready {
        /// Since when.
        at: Timestamp,
    },
    /// Something worth a line.
    Progress(String),
    /// How far it says it is.
    Counted(Counting),
}

/// An attempt that has come to its end.
pub struct Ran {
    /// What it came to.
    pub verdict: Verdict,
    /// Since when it ran, where it was over before that was told.
    pub untold: Option<Timestamp>,
    /// Where it ran, to be given back; none: nowhere, or where nobody shall run any more.
    pub room: Option<Room>,
}

/// Runs the attempt. None: somebody else has claimed it, and nothing was started. The verdict is not stored
/// yet: see [`record`].
///
/// # Errors
/// When it is unknown who holds the claim; nothing was started.
pub fn run<S: StepStore>(
    site: &Site<S>,
    launch: &Launch,
    gpus: &[String],
    control: &Control,
    tell: &(dyn Fn(Told) + Send + Sync),
) -> Result<Option<Ran>, StoreError> {
    let step = Step { site, launch, gpus, control, tell, began: SystemClock.now() };
    let http = launch.attempt.work.template.http.as_ref();
    let ready = step.before_the_claim(|| match http {
        Some(http) => step.request(http).map(|request| Ready::Request(http, request)),
        None => step.prepare().map(|(prepared, room)| Ready::Command(Box::new(prepared), room)),
    });
    if !step.claim()? {
        return Ok(None);
    }
    Ok(Some(match ready {
        Ok(Ready::Command(pod, room)) => Ran { room: Some(room), ..step.execute(&pod) },
        Ok(Ready::Request(http, request)) => Ran::nowhere(step.perform(http, request)),
        Err(refused) => Ran::nowhere(step.verdict(refused.outcome, refused.reason, refused.message)),
    }))
}

impl Ran {
    /// An attempt of which nothing is left but its verdict.
    pub fn nowhere(verdict: Verdict) -> Ran {
        Ran { verdict, untold: None, room: None }
    }
}

/// What is done once the attempt is claimed.
enum Ready<'a> {
    Command(Box<PreparedPod>, Room),
    Request(&'a HttpTemplate, Request),
}

/// Claims an attempt that shall not run (any more) and gives it this verdict, unless it has one; gives the one
/// that counts.
///
/// # Errors
/// When it is unknown which counts.
pub fn fence<S: StepStore>(
    site: &Site<S>,
    namespace: &str,
    verdict: &Verdict,
) -> Result<Verdict, StoreError> {
    site.wait(site.store.claim(namespace, &verdict.attempt, &nonce()))?;
    site.wait(site.store.put_verdict(namespace, verdict))
}

/// Stores the verdict; gives the one that counts.
///
/// # Errors
/// When it is unknown which counts.
pub fn record<S: StepStore>(
    site: &Site<S>,
    namespace: &str,
    verdict: &Verdict,
) -> Result<Verdict, StoreError> {
    site.wait(site.store.put_verdict(namespace, verdict))
}

/// Names one claimer; a claim that is stored with it is this claimer's.
fn nonce() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", std::process::id(), SystemClock.now().as_nanosecond())
}

/// Why an attempt ends without its command having been started.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refused {
    outcome: Outcome,
    reason: Reason,
    message: String,
}

/// What an error says with all its causes.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// One attempt under way.
struct Step<'a, S> {
    site: &'a Site<S>,
    launch: &'a Launch,
    gpus: &'a [String],
    control: &'a Control,
    tell: &'a (dyn Fn(Told) + Send + Sync),
    began: Timestamp,
}

impl<S: StepStore> Step<'_, S> {
    fn prepare(&self) -> Result<(PreparedPod, Room), Refused> {
        prepare(self.site, self.launch, self.gpus, &|what| (self.tell)(Told::Progress(what)))
    }

    fn before_the_claim<'r>(
        &self,
        prepare: impl FnOnce() -> Result<Ready<'r>, Refused>,
    ) -> Result<Ready<'r>, Refused> {
        let prepared = prepare();
        // Inputs may take long; what was asked meanwhile counts.
        self.refused_meanwhile().map_or(prepared, Err)
    }

    /// Why nothing is started any more.
    fn refused_meanwhile(&self) -> Option<Refused> {
        let late = |message| refused(Outcome::Failed, Reason::DeadlineExceeded, message);
        self.control.asked().map(refused_by).or_else(|| self.passed_deadline().map(late))
    }

    fn claim(&self) -> Result<bool, StoreError> {
        let attempt = &self.launch.attempt;
        let nonce = nonce();
        let claim = self.site.store.claim(&attempt.namespace, &attempt.id, &nonce);
        Ok(self.site.wait(claim)? == Created::New)
    }

    /// The deadlines with what is said when they pass, the earlier first.
    fn deadlines(&self) -> Vec<(Timestamp, &'static str)> {
        let work = &self.launch.attempt.work;
        let seconds = work.active_deadline_seconds.and_then(|seconds| i64::try_from(seconds).ok());
        let own = seconds.and_then(|s| self.began.checked_add(SignedDuration::from_secs(s)).ok());
        let own = own.map(|at| (at, "Pod was active on the node longer than the specified deadline"));
        let outer = work.deadline.map(|at| (at, "Step exceeded its deadline"));
        let mut deadlines: Vec<_> = own.into_iter().chain(outer).collect();
        deadlines.sort();
        deadlines
    }

    fn passed_deadline(&self) -> Option<&'static str> {
        let now = SystemClock.now();
        self.deadlines().into_iter().find(|(at, _)| *at <= now).map(|(_, message)| message)
    }

    fn execute(&self, pod: &PreparedPod) -> Ran {
        match pod.single().filter(|_| !self.launch.attempt.work.template.is_daemon()) {
            Some(main) => self.execute_one(pod, main),
            None => Ran::nowhere(Pod::new(self, pod).run()),
        }
    }

    /// The usual case: one command, which this thread waits for.
    fn execute_one(&self, pod: &PreparedPod, prepared: &Prepared) -> Ran {
        let started = match Execution::start(prepared, &self.launch.attempt) {
            Ok(started) => started,
            Err(refused) => return Ran::nowhere(self.not_started(pod, refused)),
        };
        let at = SystemClock.now();
        self.tell_process(&started);
        let mut untold = Some(at);
        let mut soon = || {
            if untold.take().is_some() {
                (self.tell)(Told::Running { at });
            }
        };
        let finished = self.finish(prepared, started, self.control, &mut soon);
        Ran { untold, ..Ran::nowhere(self.after_the_end(pod, prepared, at, finished)) }
    }

    fn tell_process(&self, started: &Execution) {
        if let Some((pid, start_ticks)) = started.process() {
            (self.tell)(Told::Process { pid, start_ticks });
        }
    }

    /// Waits for the end of a container's command, its log on the way to the store. `soon` is called when it goes on for
    /// longer than a moment, and from time to time then.
    fn finish(
        &self,
        prepared: &Prepared,
        started: Execution,
        control: &Control,
        soon: &mut dyn FnMut(),
    ) -> Finished {
        std::thread::scope(|scope| {
            let shipping = ship(scope, prepared, |bytes| self.append_log(&prepared.name, bytes));
            let deadline = self.deadlines().first().copied();
            let mut counted = Counted::new(&prepared.progress);
            let mut look = || {
                soon();
                // As in Argo, the pod's progress is what its main container says.
                if prepared.name == MAIN
                    && let Some(new) = counted.news(Instant::now())
                {
                    (self.tell)(Told::Counted(new));
                }
            };
            let mut finished = started.finish(prepared, control, deadline, self.site.grace, &mut look);
            if let Err(error) = shipping {
                finished.failure.get_or_insert(format!("ship the log: {error}"));
            }
            finished
        })
    }

    fn append_log(&self, container: &str, bytes: &[u8]) -> std::io::Result<()> {
        let attempt = &self.launch.attempt;
        let appended = self.site.store.append_log(&attempt.namespace, &attempt.id, container, bytes);
        self.site.wait(appended).map_err(|error| std::io::Error::other(told(&error)))
    }

    fn after_the_end(
        &self,
        pod: &PreparedPod,
        prepared: &Prepared,
        started: Timestamp,
        finished: Finished,
    ) -> Verdict {
        let ended = SystemClock.now();
        let logs = [(prepared.name.as_str(), prepared.log.as_path())];
        let mut collected =
            if finished.end.is_lost() { Collected::default() } else { self.collect(pod, prepared, &logs) };
        if let Some(kept) = finished.result {
            let kept = crate::outputs::text(kept);
            collected.outputs.result = Some(last(kept, crate::outputs::TEXT_BYTES_MAX));
        }
        let failure = collected.failure.take().or(finished.failure);
        let judgement = judge(&prepared.name, &finished.end, failure);
        collected.outputs.exit_code = Some(judgement.exit_code.to_string());
        Verdict {
            exit_code: Some(judgement.exit_code),
            started_at: Some(started),
            finished_at: ended,
            outputs: collected.outputs,
            metrics: collected.metrics,
            progress: counted::read(&prepared.progress),
            provenance: Provenance { outputs: collected.written, ..pod.provenance.clone() },
            usage: Usage {
                cpu_seconds: finished.usage.cpu_seconds,
                memory_bytes_max: finished.usage.memory_bytes_max,
                wall_seconds: ended.duration_since(started).as_secs_f64(),
                gpus: self.gpus.to_vec(),
                host: self.site.host.clone(),
            },
            ..self.verdict(judgement.outcome, judgement.reason, judgement.message)
        }
    }

    fn not_started(&self, pod: &PreparedPod, refused: Refused) -> Verdict {
        // As Argo's executor ends when there is no such command.
        let exit_code = (refused.reason == Reason::NotStarted).then_some(64);
        let verdict = self.verdict(refused.outcome, refused.reason, refused.message);
        let outputs =
            Outputs { exit_code: exit_code.map(|code: i32| code.to_string()), ..Outputs::default() };
        Verdict { exit_code, outputs, provenance: pod.provenance.clone(), ..verdict }
    }

    /// Collects the outputs from where this container left them, and these logs.
    fn collect(&self, pod: &PreparedPod, prepared: &Prepared, logs: &[(&str, &Path)]) -> Collected {
        let progress = |what| (self.tell)(Told::Progress(what));
        let archived = self.launch.attempt.work.archive_logs;
        Collection {
            site: self.site,
            attempt: &self.launch.attempt,
            declared: &self.launch.attempt.work.template.outputs,
            places: &prepared.places,
            spare: &pod.spare,
            secrets: &LocalObjects::secrets(self.launch.environment.secrets.as_deref()),
            logs: if archived { logs } else { &[] },
            progress: &Progress::new(&progress),
        }
        .collect()
    }

    fn verdict(&self, outcome: Outcome, reason: Reason, message: String) -> Verdict {
        let attempt = self.launch.attempt.id.clone();
        Verdict::without_outputs(attempt, outcome, reason, message, SystemClock.now())
    }
}

fn refused(outcome: Outcome, reason: Reason, message: impl Into<String>) -> Refused {
    Refused { outcome, reason, message: message.into() }
}

fn refused_by(ask: Ask) -> Refused {
    match ask {
        Ask::Stop(why) => refused(Outcome::Failed, Reason::Stopped, why),
        Ask::Interrupt => refused(Outcome::Lost, Reason::Interrupted, "interrupted"),
        Ask::Evict => refused(Outcome::Lost, Reason::Vanished, ending::EVICTED),
        Ask::Over => refused(Outcome::Failed, Reason::Stopped, "the other containers have ended"),
    }
}

/// The end of a text, cut where a character begins.
fn last(text: String, bytes: usize) -> String {
    let from = (text.len().saturating_sub(bytes)..).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[from..].to_owned()
}
