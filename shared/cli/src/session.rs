//! A process that owns a store: what happens, and what it does about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dropforge_cluster::engines::{self, Executor};
use dropforge_cluster::environments::{self, find_uv};
use dropforge_cluster::gpus::{Gpus, ThisMachine};
use dropforge_cluster::local::{LocalCluster, News, SupervisorProgram, Workshop};
use dropforge_cluster::python;
use dropforge_cluster::settings::Settings;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::deaths;
use dropforge_driver::garbage;
use dropforge_driver::owner::{OwnError, Owner, Told, chain};
use dropforge_driver::store::{Buried, Index, Runs};
use dropforge_driver::supervision::ContainerEngine;
use dropforge_engine::event::Event;
use dropforge_engine::ids::RunUid;
use dropforge_queue::doorbell::{Doorbell, Why};
use dropforge_queue::local::LocalTimers;
use dropforge_storage::directory::{Access, DirectoryStore};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::StepArgs;
use crate::ends::LocalEnds;
use crate::error::CliError;
use crate::global::Global;
use crate::home::Home;
use crate::metrics::StoreMetrics;
use crate::output::progress::Display;
use crate::{bell, output};

/// At most this many reports are decided on together; each is one event of its run.
const BATCH: usize = 256;

/// How long a finished journal line may wait for a timer that is far away: timers are looked at this often anyway, so
/// that a clock that jumps is noticed.
const TIMER_CHECK: Duration = Duration::from_secs(30);

/// Something that happened to a store's owner.
#[derive(Debug)]
pub enum Happened {
    /// The cluster reports.
    News(Vec<News>),
    /// Another process rang.
    Ring(Doorbell),
    /// A timer may be due.
    Time,
    /// The display wants to be drawn again.
    Tick,
    /// A signal wants the process to end.
    Interrupted,
}

type LocalOwner = Owner<DirectoryStore, LocalCluster<DirectoryStore>, LocalTimers, LocalEnds, SystemClock>;

/// The owner of a store, with everything that can happen to it.
pub struct Session {
    /// The store.
    pub store: Arc<DirectoryStore>,
    /// The same, as verbs take it.
    pub home: Home,
    /// Its runs.
    pub owner: LocalOwner,
    /// Where its steps run.
    pub cluster: LocalCluster<DirectoryStore>,
    /// What people see.
    pub display: Arc<Display>,
    /// Tells schedules and triggers of their runs' ends.
    pub ends: LocalEnds,
    timers: LocalTimers,
    news: mpsc::UnboundedReceiver<News>,
    rings: mpsc::UnboundedReceiver<Doorbell>,
    signals: [Signal; 3],
}

impl Session {
    /// Takes a store in hand.
    ///
    /// # Errors
    /// When somebody else owns it, or the machine refuses a socket or a signal handler.
    pub fn open(
        global: &Global,
        what: &str,
        steps: &StepArgs,
        settings: Settings,
        show_logs: bool,
    ) -> Result<Session, CliError> {
        let store = DirectoryStore::open(&global.store, Access::Owner { what })?.durable(steps.durable);
        let store = Arc::new(store);
        let rings = bell::listen(store.root())?;
        let (tell, news) = mpsc::unbounded_channel();
        let workshop = workshop(steps, settings)?;
        let cluster = LocalCluster::new(store.clone(), supervisor(store.root(), steps)?, workshop, tell);
        let display = Display::new(store.clone(), show_logs);
        let watcher = {
            let display = display.clone();
            let metrics = StoreMetrics::of(store.root());
            Box::new(move |state: &_, records: &[_], told| {
                if told == Told::New {
                    metrics.records(records);
                }
                display.records(state, records, told);
            })
        };
        let timers = LocalTimers::default();
        let ends = LocalEnds::new(store.clone());
        let owner = Owner::new(
            store.clone(),
            Arc::new(cluster.clone()),
            timers.clone(),
            ends.clone(),
            SystemClock,
            watcher,
        );
        let handler = |kind| {
            signal(kind).map_err(|source| CliError::Machine { what: "listen for signals".to_owned(), source })
        };
        let signals = [
            handler(SignalKind::interrupt())?,
            handler(SignalKind::terminate())?,
            handler(SignalKind::hangup())?,
        ];
        Ok(Session {
            home: Home::Local(store.clone()),
            store,
            owner,
            cluster,
            display,
            ends,
            timers,
            news,
            rings,
            signals,
        })
    }

    /// Takes every live run of the store in hand. One that can't be read is named and left alone.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn adopt_live(&mut self) -> Result<(), CliError> {
        let live = self.store.live_runs().await?;
        if !live.is_empty() {
            self.store.catch_up()?;
        }
        for run in live {
            if let Err(why) = self.owner.adopt(&run).await {
                output::say(&format!("run {run}: {}", chain(&why)));
            }
        }
        Ok(())
    }

    /// Deletes the runs whose `ttlStrategy` says so; gives when the next one's time is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_expired(&self) -> Result<Option<Timestamp>, CliError> {
        let now = SystemClock.now();
        let entries = self.store.entries(None).await?;
        let (expired, next) = garbage::expired(&entries, now);
        for entry in expired {
            if self.owner.run(&entry.uid).is_some() {
                continue;
            }
            // A run that lives again is not deleted; its end sets another time.
            if deaths::tidy_away(&*self.store, entry, "ttlStrategy", now).await? == Buried::Live {
                continue;
            }
            output::say(&format!("run {}: deleted, as its ttlStrategy says", entry.name));
        }
        Ok(next)
    }

    /// Takes new settings, for runs that begin from now on.
    ///
    /// # Errors
    /// When no cache folder is known.
    pub fn set_settings(&self, steps: &StepArgs, settings: Settings) -> Result<(), CliError> {
        self.cluster.set_workshop(workshop(steps, settings)?);
        Ok(())
    }

    /// Waits for the next thing. Can be dropped at any time: nothing that happened is lost.
    pub async fn next(&mut self) -> Happened {
        let [interrupt, terminate, hangup] = &mut self.signals;
        let until = wait_for(self.timers.next_due());
        tokio::select! {
            biased;
            _ = interrupt.recv() => Happened::Interrupted,
            _ = terminate.recv() => Happened::Interrupted,
            _ = hangup.recv() => Happened::Interrupted,
            Some(first) = self.news.recv() => {
                let mut all = vec![first];
                while all.len() < BATCH && let Ok(more) = self.news.try_recv() {
                    all.push(more);
                }
                Happened::News(all)
            }
            Some(ring) = self.rings.recv() => Happened::Ring(ring),
            () = self.display.wants_drawing() => Happened::Tick,
            () = tokio::time::sleep(until) => Happened::Time,
        }
    }

    /// Does what follows from it.
    ///
    /// # Errors
    /// When the store fails: nothing goes on without it.
    pub async fn act(&mut self, happened: Happened) -> Result<(), CliError> {
        match happened {
            Happened::News(news) => {
                self.hear(news).await?;
                // Reports may come without a pause, and are taken first.
                self.fire_timers().await?;
            }
            Happened::Ring(ring) => self.answer(&ring).await?,
            Happened::Time => {
                self.fire_timers().await?;
                self.owner.retry().await?;
            }
            Happened::Tick => self.display.draw(),
            Happened::Interrupted => {}
        }
        // What comes without a pause leaves no moment in which something is drawn.
        output::say_overdue();
        Ok(())
    }

    async fn hear(&mut self, news: Vec<News>) -> Result<(), OwnError> {
        let mut events: BTreeMap<RunUid, Vec<Event>> = BTreeMap::new();
        for one in news {
            match one {
                News::Event { run, event } => events.entry(run).or_default().push(event),
                News::Progress { run, attempt, what } => self.display.progress(&run, &attempt, &what),
            }
        }
        for (run, events) in events {
            self.owner.handle(&run, events).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, ring: &Doorbell) -> Result<(), CliError> {
        let known = self.owner.run(&ring.run).is_some();
        let done = match (known, &ring.why) {
            (true, _) => self.owner.read_inbox(&ring.run).await,
            (false, Why::Submitted | Why::Command(_) | Why::Sweep) => self.owner.adopt(&ring.run).await,
            (false, Why::Attempt(_) | Why::Timer(_) | Why::Definitions) => Ok(()),
        };
        match done {
            // A bell may name anything: a run that is not there is the ringer's mistake.
            Err(OwnError::Store(why)) if why.kind() == dropforge_driver::store::ErrorKind::Invalid => {
                tracing::warn!(run = %ring.run, %why, "a ring for a run that is not there");
                Ok(())
            }
            other => Ok(other?),
        }
    }

    async fn fire_timers(&mut self) -> Result<(), OwnError> {
        for (run, timer) in self.timers.take_due(SystemClock.now()) {
            self.owner.handle(&run, vec![Event::TimerFired { timer }]).await?;
        }
        Ok(())
    }

    /// Ends all steps and writes down what became of them: the runs stay live, for the next owner.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn interrupt(&mut self) -> Result<(), CliError> {
        if self.owner.runs().next().is_some() {
            output::say("ending the steps …");
        }
        let [interrupt, terminate, hangup] = &mut self.signals;
        // Who asks again does not wait for steps that take their time: the supervisor ends them by itself.
        tokio::select! {
            () = self.cluster.shut_down() => {}
            _ = interrupt.recv() => output::say("not waiting for them: they are killed when their grace is over"),
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        let mut left = Vec::new();
        while let Ok(news) = self.news.try_recv() {
            left.push(news);
        }
        Ok(self.hear(left).await?)
    }
}

fn wait_for(due: Option<jiff::Timestamp>) -> Duration {
    let Some(due) = due else { return TIMER_CHECK };
    let left = due.duration_since(SystemClock.now());
    Duration::try_from(left).unwrap_or(Duration::ZERO).min(TIMER_CHECK)
}

/// Where environments, code and other things that can be made again are kept: beside no store, so that all share
/// them.
///
/// # Errors
/// When no folder is known for it.
pub fn cache() -> Result<PathBuf, CliError> {
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let base = std::env::var_os("DROPFORGE_CACHE")
        .map(PathBuf::from)
        .or_else(|| named.or_else(home).map(|c| c.join("dropforge")));
    base.ok_or_else(|| {
        CliError::Usage(
            "neither HOME, XDG_CACHE_HOME nor DROPFORGE_CACHE says where to keep environments".to_owned(),
        )
    })
}

/// The container engine, which must answer before anything begins.
fn engine(executor: Executor) -> Result<Option<ContainerEngine>, CliError> {
    let Executor::Engine(kind) = executor else { return Ok(None) };
    let found = engines::find(kind, |name| std::env::var_os(name));
    let silent = |why| CliError::Below { what: "run steps as containers", why: chain(&why) };
    found.map(Some).map_err(silent)
}

fn workshop(steps: &StepArgs, settings: Settings) -> Result<Workshop, CliError> {
    let path: Vec<PathBuf> =
        std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
    let packages = environments::Options {
        offline: steps.offline || settings.pip.offline,
        wheels: settings.pip.wheels.clone(),
        uv: find_uv(),
    };
    Ok(Workshop {
        engine: engine(steps.executor.unwrap_or(settings.executor))?,
        settings,
        cache: cache()?,
        packages,
        pythons: python::Places::of_this_machine(),
        gpus: Gpus::find(&ThisMachine),
        path,
    })
}

fn supervisor(store: &Path, steps: &StepArgs) -> Result<SupervisorProgram, CliError> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["--store".into(), store.into(), "supervisor".into()];
    if let Some(jobs) = steps.jobs {
        arguments.extend(["--jobs".into(), jobs.to_string().into()]);
    }
    if let Some(port) = steps.port {
        arguments.extend(["--port".into(), port.to_string().into()]);
    }
    if steps.durable {
        arguments.push("--durable".into());
    }
    let folder = store.join("supervisor");
    let (socket, log, durable) = (folder.join("socket"), folder.join("log"), steps.durable);
    Ok(SupervisorProgram { socket, program: own_program()?, arguments, log, durable })
}

/// The file of this program; where it was replaced since the start, as an upgrade does, what is left of it.
fn own_program() -> Result<PathBuf, CliError> {
    let program = std::env::current_exe()
        .map_err(|source| CliError::Machine { what: "find this program's own file".to_owned(), source })?;
    Ok(if program.exists() { program } else { "/proc/self/exe".into() })
}

/// The settings of a folder.
///
/// # Errors
/// When `dropforge.toml` is wrong: every finding with its place.
pub fn settings(config: Option<&Path>, folder: &Path) -> Result<Settings, CliError> {
    let loaded = match config {
        None => Settings::load(folder),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|source| CliError::File {
                action: "read",
                path: file.to_path_buf(),
                source,
            })?;
            Settings::parse(file, &text)
        }
    };
    loaded.map_err(|why| CliError::Usage(chain(&why)))
}
