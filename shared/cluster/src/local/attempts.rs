//! What happens to the attempts in the owner's hands.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::ClusterError;
use dropforge_driver::store::{Attempts, Created, StoreError};
use dropforge_driver::supervision::{ContainerLaunch, Demand, Launch, Report, Request};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;
use dropforge_manifest::types::MAIN;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::demand::PodDemand;
use super::environment::{Made, Remembered, Workshop};
use super::link::{Link, Links};
use super::{News, SupervisorProgram, demand};

/// How long before a supervisor that can't be reached is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// All steps share the network of this machine, so that a daemon is reached like any server of it.
const HERE: &str = "127.0.0.1";

pub struct Inner<S> {
    store: Arc<S>,
    workshop: RwLock<Arc<Workshop>>,
    remembered: Remembered,
    news: UnboundedSender<News>,
    links: Links,
    known: Mutex<BTreeMap<AttemptId, Known>>,
    closing: AtomicBool,
    host: Option<String>,
}

/// An attempt that has no verdict yet, as far as this owner knows.
struct Known {
    run: RunUid,
    namespace: String,
    stage: Stage,
}

enum Stage {
    /// Seen, not started by this owner.
    Seen,
    /// What it runs in is being made.
    Preparing,
    /// Sent to the supervisor.
    Sent(Box<Launch>),
}

/// Who waits and who runs at the supervisor.
#[derive(Default)]
struct Listed {
    waiting: Vec<AttemptId>,
    running: Vec<AttemptId>,
}

impl<S: Attempts + 'static> Inner<S> {
    pub fn new(
        store: Arc<S>,
        supervisor: SupervisorProgram,
        workshop: Workshop,
        news: UnboundedSender<News>,
    ) -> Arc<Self> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Arc::new(Inner {
            store,
            workshop: RwLock::new(Arc::new(workshop)),
            remembered: Remembered::default(),
            news,
            links: Links::new(supervisor),
            known: Mutex::default(),
            closing: AtomicBool::new(false),
            host: host.map(|name| name.trim().to_owned()),
        })
    }

    pub fn set_workshop(&self, workshop: Workshop) {
        *self.workshop.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(workshop);
    }

    /// With what steps are prepared.
    pub fn workshop(&self) -> Arc<Workshop> {
        self.workshop.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// The way to the supervisor, which is started where none answers.
    pub async fn link(self: &Arc<Self>) -> Result<Arc<Link>, ClusterError> {
        let connected = self.links.get(!self.is_closing()).await;
        let (link, reports) =
            connected.map_err(|source| ClusterError::Unreachable { what: "supervisor", source })?;
        if let Some(reports) = reports {
            tokio::spawn(Arc::clone(self).listen(reports));
        }
        Ok(link)
    }

    pub async fn start(self: &Arc<Self>, attempt: Arc<Attempt>) -> Result<(), ClusterError> {
        if self.is_closing() {
            return Ok(());
        }
        self.see(&attempt);
        let sent = match self.known().get_mut(&attempt.id).map(|known| &mut known.stage) {
            Some(Stage::Sent(launch)) => Some(launch.clone()),
            Some(stage @ Stage::Seen) => {
                *stage = Stage::Preparing;
                tokio::spawn(Arc::clone(self).prepare(attempt));
                None
            }
            Some(Stage::Preparing) | None => None,
        };
        match sent {
            Some(launch) => {
                self.link().await?.say(Request::Start { launch });
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn see(&self, attempt: &Attempt) {
        self.known().entry(attempt.id.clone()).or_insert_with(|| Known {
            run: attempt.run.clone(),
            namespace: attempt.namespace.clone(),
            stage: Stage::Seen,
        });
    }

    pub async fn stop(
        self: &Arc<Self>,
        spec: &RunSpec,
        attempt: &AttemptId,
        why: &str,
    ) -> Result<(), ClusterError> {
        let namespace = spec.namespace().to_owned();
        self.known().entry(attempt.clone()).or_insert_with(|| Known {
            run: spec.uid.clone(),
            namespace: namespace.clone(),
            stage: Stage::Seen,
        });
        let stop = Request::Stop { attempt: attempt.clone(), namespace, why: why.to_owned() };
        self.link().await?.say(stop);
        Ok(())
    }

    pub async fn shut_down(&self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(link) = self.links.current() {
            link.say(Request::Shutdown);
            link.closed().await;
        }
    }

    /// Makes what the attempt runs in, then hands it to the supervisor.
    async fn prepare(self: Arc<Self>, attempt: Arc<Attempt>) {
        let launch = match self.launch(&attempt).await {
            Ok(launch) => Box::new(launch),
            Err((reason, why)) => return self.give_up(&attempt, reason, why).await,
        };
        match self.known().get_mut(&attempt.id) {
            Some(known) => known.stage = Stage::Sent(launch.clone()),
            // It was stopped meanwhile, and has its verdict.
            None => return,
        }
        while !self.is_closing() {
            match self.link().await {
                Ok(link) => return link.say(Request::Start { launch }),
                Err(error) => {
                    let why = format!("failed to {}", told(&error));
                    self.tell(&attempt.run, Event::AttemptWaiting { attempt: attempt.id.clone(), why });
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn launch(self: &Arc<Self>, attempt: &Arc<Attempt>) -> Result<Launch, (Reason, String)> {
        if attempt.work.template.http.is_some() {
            let workshop = Arc::clone(&self.workshop.read().unwrap_or_else(PoisonError::into_inner));
            let demand = Demand { request: true, ..Demand::default() };
            let (attempt, environment) = (Arc::clone(attempt), workshop.objects());
            return Ok(Launch { attempt, environment, demand, containers: BTreeMap::new(), engine: None });
        }
        let template = &attempt.work.template;
        let mut pod = PodDemand::default();
        let mut containers = BTreeMap::new();
        let mut main = None;
        for (name, container) in template.containers() {
            let asked = demand(container.resources.as_ref());
            let mut asked = asked.map_err(|error| (Reason::Configuration, told(&error)))?;
            let image = container.image.clone().unwrap_or_default();
            let made = self.environment(attempt, image).await.map_err(|why| (Reason::Environment, why))?;
            // The stand-in is there to do without.
            asked.gpus = if made.is_stand_in { 0 } else { asked.gpus };
            let counts = template.mains().iter().any(|(other, _)| *other == name);
            if counts && (name == MAIN || main.is_none()) {
                main = Some((made.environment.clone(), made.engine.clone()));
            }
            let (environment, memory_limit_bytes) = (made.environment.clone(), asked.memory_limit_bytes);
            let own = ContainerLaunch { environment, memory_limit_bytes, gpus: asked.gpus };
            containers.insert(name.to_owned(), own);
            let before = template.init_containers.iter().any(|init| init.name() == name);
            pod.add(asked, before);
        }
        // What one container runs in is told once.
        if containers.len() == 1 && template.container_set.is_none() {
            containers.clear();
        }
        let (environment, engine) = main.unwrap_or_default();
        Ok(Launch { attempt: Arc::clone(attempt), environment, demand: pod.demand(), containers, engine })
    }

    /// The image's environment within the run: made by the first who asks, awaited by the others.
    async fn environment(
        self: &Arc<Self>,
        attempt: &Arc<Attempt>,
        image: String,
    ) -> Result<Arc<Made>, String> {
        let cell = self.remembered.cell(&attempt.run, &image);
        let make = || async {
            let workshop = self.workshop();
            let (owner, of) = (Arc::clone(self), Arc::clone(attempt));
            let working = tokio::task::spawn_blocking(move || {
                let made = workshop.make(&image, &|what| owner.progress(&of.run, &of.id, what));
                made.map_err(|error| format!("failed to {}", told(&error)))
            });
            let made = working.await.map_err(|error| format!("the preparation failed: {error}"))??;
            made.said.iter().for_each(|what| self.progress(&attempt.run, &attempt.id, what.clone()));
            Ok(Arc::new(made))
        };
        cell.get_or_try_init(make).await.cloned()
    }

    /// Ends an attempt that can't be started here.
    async fn give_up(&self, attempt: &Attempt, reason: Reason, why: String) {
        let verdict = verdict(&attempt.id, Outcome::Error, reason, why);
        loop {
            match self.fence(&attempt.namespace, &verdict).await {
                Ok(verdict) => return self.finished(verdict),
                Err(error) => {
                    let what = format!("its verdict can't be stored, trying again: {}", told(&error));
                    self.progress(&attempt.run, &attempt.id, what);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Claims the attempt, so that it never begins (any more), and gives it this verdict unless it has one.
    async fn fence(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        let nonce = format!("owner-{}-{}", std::process::id(), SystemClock.now().as_nanosecond());
        match self.store.claim(namespace, &verdict.attempt, &nonce).await? {
            Created::New | Created::Exists => self.store.put_verdict(namespace, verdict).await,
        }
    }

    /// Turns reports into events until the supervisor is gone; then sees to the attempts it had.
    ///
    /// Boxed, since looking again makes a connection, which is listened to.
    fn listen(
        self: Arc<Self>,
        mut reports: UnboundedReceiver<Report>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while let Some(report) = reports.recv().await {
                self.hear(report);
            }
            while !self.is_closing() && !self.known().is_empty() {
                let Err(error) = self.look_again().await else { return };
                tracing::warn!(error = told(&error), "the supervisor is gone and can't be replaced yet");
                tokio::time::sleep(RETRY).await;
            }
        })
    }

    fn hear(&self, report: Report) {
        let run = |attempt: &AttemptId| self.known().get(attempt).map(|known| known.run.clone());
        match report {
            Report::Finished { verdict } => self.finished(Arc::unwrap_or_clone(verdict)),
            Report::Waiting { attempt, why } => {
                if let Some(run) = run(&attempt) {
                    self.tell(&run, Event::AttemptWaiting { attempt, why });
                }
            }
            Report::Running { attempt, at } => {
                if let Some(run) = run(&attempt) {
                    self.tell(&run, Event::AttemptRunning { attempt, at, host: self.host.clone() });
                }
            }
            Report::Counted { attempt, progress } => {
                if let Some(run) = run(&attempt) {
                    self.tell(&run, Event::AttemptProgress { attempt, progress });
                }
            }
            Report::Ready { attempt, at } => {
                if let Some(run) = run(&attempt) {
                    self.tell(&run, Event::AttemptReady { attempt, at, ip: HERE.to_owned() });
                }
            }
            Report::Progress { attempt, what } => {
                if let Some(run) = run(&attempt) {
                    self.progress(&run, &attempt, what);
                }
            }
            // An answer, which the link itself has handed to who asked.
            Report::Attempts { .. } => {}
        }
    }

    /// After a supervisor's death, under the next one, which has ended what survived.
    async fn look_again(self: &Arc<Self>) -> Result<(), ClusterError> {
        let link = self.link().await?;
        let listed = listed(&link).await?;
        let in_hand: Vec<(AttemptId, String)> =
            self.known().iter().map(|(id, known)| (id.clone(), known.namespace.clone())).collect();
        for (attempt, namespace) in in_hand {
            if listed.waiting.contains(&attempt) || listed.running.contains(&attempt) {
                continue;
            }
            if let Some(verdict) = self.verdict_or_lost(&namespace, &attempt).await.map_err(unreadable)? {
                self.finished(verdict);
                continue;
            }
            if let Some(Known { stage: Stage::Sent(launch), .. }) = self.known().get(&attempt) {
                link.say(Request::Start { launch: launch.clone() });
            }
        }
        Ok(())
    }

    /// The verdict of an attempt that no supervisor has in hand: `lost` where there is a claim without one.
    async fn verdict_or_lost(
        &self,
        namespace: &str,
        attempt: &AttemptId,
    ) -> Result<Option<Verdict>, StoreError> {
        if let Some(verdict) = self.store.verdict(namespace, attempt).await? {
            return Ok(Some(verdict));
        }
        if !self.store.claimed(namespace, attempt).await? {
            return Ok(None);
        }
        let message = "the supervisor of the steps died while the step ran";
        let lost = verdict(attempt, Outcome::Lost, Reason::Vanished, message.to_owned());
        self.store.put_verdict(namespace, &lost).await.map(Some)
    }

    pub async fn observe(
        self: &Arc<Self>,
        run: &RunUid,
        attempts: &[Arc<Attempt>],
    ) -> Result<Vec<Event>, ClusterError> {
        let mut events = Vec::new();
        if attempts.is_empty() {
            return Ok(events);
        }
        attempts.iter().for_each(|attempt| self.see(attempt));
        let link = self.link().await?;
        // First who runs, then who has ended: an attempt that ends in between is seen ended.
        let listed = listed(&link).await?;
        for attempt in attempts.iter().filter(|attempt| attempt.run == *run) {
            events.extend(self.look_at(attempt, &listed).await?);
        }
        Ok(events)
    }

    async fn look_at(&self, attempt: &Attempt, listed: &Listed) -> Result<Option<Event>, ClusterError> {
        let id = attempt.id.clone();
        if listed.running.contains(&id) {
            let host = self.host.clone();
            return Ok(Some(Event::AttemptRunning { attempt: id, at: SystemClock.now(), host }));
        }
        if listed.waiting.contains(&id) {
            return Ok(Some(Event::AttemptWaiting { attempt: id, why: "its turn has not come".to_owned() }));
        }
        // In this owner's own hands: being prepared, or on its way to the supervisor.
        let seen = matches!(self.known().get(&id), Some(Known { stage: Stage::Seen, .. }));
        if !seen {
            return Ok(None);
        }
        let verdict = self.verdict_or_lost(&attempt.namespace, &id).await.map_err(unreadable)?;
        Ok(verdict.map(|verdict| {
            self.known().remove(&id);
            Event::AttemptFinished { verdict: Arc::new(verdict) }
        }))
    }

    fn finished(&self, verdict: Verdict) {
        // An attempt of a run that this owner has not loaded yet is found by `observe`.
        if let Some(known) = self.known().remove(&verdict.attempt) {
            self.tell(&known.run, Event::AttemptFinished { verdict: Arc::new(verdict) });
        }
    }

    fn tell(&self, run: &RunUid, event: Event) {
        // An owner that does not listen any more is on its way out.
        let _ = self.news.send(News::Event { run: run.clone(), event });
    }

    fn progress(&self, run: &RunUid, attempt: &AttemptId, what: String) {
        let _ = self.news.send(News::Progress { run: run.clone(), attempt: attempt.clone(), what });
    }
}

async fn listed(link: &Link) -> Result<Listed, ClusterError> {
    let gone = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let answer = link.list().await;
    let (waiting, running) =
        answer.ok_or_else(|| ClusterError::Unreachable { what: "supervisor", source: gone() })?;
    Ok(Listed { waiting, running })
}

fn unreadable(error: StoreError) -> ClusterError {
    ClusterError::Unreachable { what: "store of verdicts", source: std::io::Error::other(told(&error)) }
}

fn verdict(attempt: &AttemptId, outcome: Outcome, reason: Reason, message: String) -> Verdict {
    Verdict::without_outputs(attempt.clone(), outcome, reason, message, SystemClock.now())
}

/// What an error says with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
