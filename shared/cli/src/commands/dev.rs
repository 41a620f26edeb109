//! `dev`: one process that serves a folder of definitions: its S3 endpoint, its triggers, its schedules.
//!
//! What is decided, and what is remembered, is the driver's (`triggers`, `crons`); this waits for whatever happens
//! next, hands it over, and does what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use dropforge_cluster::settings::Settings;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::Times;
use dropforge_driver::definitions::Definitions;
use dropforge_driver::store::Inbox;
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::{CommandId, RunUid};
use dropforge_queue::doorbell::Why;
use dropforge_storage::endpoint::{Announcer, ObjectEvent, watch};
use jiff::Timestamp;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::args::{DevArgs, StepArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::say;
use crate::session::{Happened, Session, settings};

mod drops;
mod folder;
mod load;
mod ticks;

use folder::Folder;

pub use drops::matching;

/// Begins the line that says that everything is watched.
pub const READY: &str = "ready:";

/// MinIO's, which examples and clients expect.
const PORT: u16 = 9000;

/// Objects that are offered together: one write of the trigger's document for all of them.
const OBJECTS: usize = 1000;

/// Due times are looked at this often anyway, so that a clock that jumps is noticed.
const LOOK: Duration = Duration::from_secs(30);

/// Serves a folder until a signal comes.
///
/// # Errors
/// When the store is owned, the port is in use, or a folder can't be watched.
#[tokio::main]
pub async fn dev(global: &Global, args: &DevArgs) -> Result<Exit, CliError> {
    if !args.dir.is_dir() {
        return Err(CliError::Usage(format!("{} is no folder", args.dir.display())));
    }
    let steps = StepArgs { port: Some(args.steps.port.unwrap_or(PORT)), ..args.steps.clone() };
    let settings: Settings = settings(steps.config.as_deref(), &args.dir)?;
    let session = Session::open(global, "dropforge dev", &steps, settings.clone(), true)?;
    let mut dev = Dev::new(global, args, session, settings);
    dev.serve_endpoint(&steps).await?;
    let folder = Folder::watch(&args.dir, dev.session.store.root())?;
    let (tell, objects) = mpsc::unbounded_channel();
    // Its receiver lives as long as the watch does.
    let announcer = Announcer::new(dev.session.store.buckets().clone(), move |event| drop(tell.send(event)));
    let buckets = watch(announcer).map_err(|why| CliError::Below {
        what: "watch the buckets",
        why: dropforge_driver::owner::chain(&why),
    })?;
    dev.session.adopt_live().await?;
    dev.reload().await?;
    dev.offer_what_came_meanwhile().await?;
    dev.tend().await?;
    say(&format!("{READY} {}; Ctrl-C ends it", dev.summary()));
    let exit = dev.work(folder, objects).await;
    drop(buckets);
    exit
}

/// The process that serves a folder.
struct Dev<'a> {
    global: &'a Global,
    args: &'a DevArgs,
    session: Session,
    settings: Settings,
    definitions: Definitions,
    /// The last findings, so that each is said once.
    findings: String,
    /// Whether there were no errors among them.
    good: bool,
    times: BTreeMap<String, Times>,
    /// From when on ticks find somebody here.
    watched_since: Timestamp,
    /// Runs that were told to end because another replaces them.
    terminated: BTreeSet<RunUid>,
    /// Schedules of which it was said that they are stopped.
    stopped: BTreeSet<String>,
    /// How many runs of a trigger waited when it was said.
    waiting: BTreeMap<String, usize>,
    /// When something is due without anything happening.
    due: Option<Timestamp>,
    /// When the next run expires.
    expires: Option<Timestamp>,
}

/// What the loop is woken by.
enum Woken {
    Session(Happened),
    Objects(Vec<ObjectEvent>),
    Folder,
    End,
    Time,
}

impl<'a> Dev<'a> {
    fn new(global: &'a Global, args: &'a DevArgs, session: Session, settings: Settings) -> Dev<'a> {
        Dev {
            global,
            args,
            session,
            settings,
            definitions: Definitions::default(),
            findings: String::new(),
            good: true,
            times: BTreeMap::new(),
            watched_since: SystemClock.now(),
            terminated: BTreeSet::new(),
            stopped: BTreeSet::new(),
            waiting: BTreeMap::new(),
            due: None,
            expires: Some(Timestamp::UNIX_EPOCH),
        }
    }

    /// Sees that the endpoint is served, and says how to reach it.
    async fn serve_endpoint(&mut self, steps: &StepArgs) -> Result<(), CliError> {
        let served = self.session.cluster.endpoint().await;
        let served = served
            .map_err(|why| CliError::Below { what: "serve S3", why: dropforge_driver::owner::chain(&why) })?;
        let Some(endpoint) = served else {
            self.session.cluster.shut_down().await;
            return Err(no_endpoint(steps.port.unwrap_or(PORT), self.session.store.root()));
        };
        let wanted = steps.port.filter(|port| *port != 0 && !endpoint.url.ends_with(&format!(":{port}")));
        if let Some(port) = wanted {
            say(&format!(
                "steps of an earlier command are under way with their endpoint: it stays, not on port {port}"
            ));
        }
        say(&format!("S3 endpoint {} over {}", endpoint.url, self.session.store.buckets().root().display()));
        for (name, value) in [
            ("AWS_ENDPOINT_URL", &endpoint.url),
            ("AWS_ACCESS_KEY_ID", &endpoint.access_key),
            ("AWS_SECRET_ACCESS_KEY", &endpoint.secret_key),
            ("AWS_REGION", &endpoint.region),
        ] {
            say(&format!("  export {name}={value}"));
        }
        Ok(())
    }

    async fn work(
        &mut self,
        folder: Folder,
        mut objects: UnboundedReceiver<ObjectEvent>,
    ) -> Result<Exit, CliError> {
        loop {
            let ends = self.session.ends.clone();
            let due = self.due;
            let woken = tokio::select! {
                happened = self.session.next() => Woken::Session(happened),
                Some(first) = objects.recv() => Woken::Objects(together(first, &mut objects)),
                () = folder.changed() => Woken::Folder,
                () = ends.told() => Woken::End,
                () = tokio::time::sleep(wait_for(due)) => Woken::Time,
            };
            match woken {
                Woken::Session(Happened::Interrupted) => return self.interrupt().await,
                Woken::Session(happened) => {
                    // Another process may have offered objects: it rings too.
                    let rung = matches!(happened, Happened::Ring(_));
                    let defined = matches!(&happened, Happened::Ring(bell) if bell.why == Why::Definitions);
                    self.session.act(happened).await?;
                    if defined {
                        self.look(&BTreeSet::new()).await?;
                    }
                    if !rung {
                        continue;
                    }
                }
                Woken::Objects(events) => self.offer(&events).await?,
                Woken::Folder => {
                    self.reload_settings()?;
                    self.reload().await?;
                }
                Woken::End | Woken::Time => {}
            }
            self.tend().await?;
        }
    }

    /// Does whatever is due, and notes when something is next.
    async fn tend(&mut self) -> Result<(), CliError> {
        let ticks = self.tick().await?;
        let drops = self.start_due().await?;
        let over = self.expires.is_some_and(|at| at <= SystemClock.now());
        if self.session.ends.any() || over {
            self.expires = self.session.remove_expired().await?;
        }
        self.due = [ticks, drops, self.expires].into_iter().flatten().min();
        Ok(())
    }

    async fn interrupt(&mut self) -> Result<Exit, CliError> {
        self.session.display.clear();
        let live: Vec<String> =
            self.session.owner.runs().map(|state| state.program.spec.name().to_owned()).collect();
        self.session.interrupt().await?;
        if live.is_empty() {
            return Ok(Exit::Succeeded);
        }
        say(&format!("interrupted: the next `dropforge dev` goes on with {}", live.join(", ")));
        Ok(Exit::Interrupted)
    }

    /// Ends a run that another one replaces.
    async fn end(&mut self, uid: &RunUid, by: String) -> Result<(), CliError> {
        if !self.terminated.insert(uid.clone()) {
            return Ok(());
        }
        let id = CommandId::from(format!("replaced-{uid}"));
        let command = Command { id, by, at: SystemClock.now(), verb: Verb::Terminate };
        self.session.store.put_command(uid, &command).await?;
        if self.session.owner.run(uid).is_some() {
            self.session.owner.read_inbox(uid).await?;
        } else {
            self.session.owner.adopt(uid).await?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let Definitions { templates, crons, triggers } = &self.definitions;
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let templates = templates.namespaced.len() + templates.cluster.len();
        [count(templates, "template"), count(triggers.len(), "trigger"), count(crons.len(), "schedule")]
            .join(", ")
    }
}

fn together(first: ObjectEvent, objects: &mut UnboundedReceiver<ObjectEvent>) -> Vec<ObjectEvent> {
    let mut all = vec![first];
    while all.len() < OBJECTS
        && let Ok(more) = objects.try_recv()
    {
        all.push(more);
    }
    all
}

fn wait_for(due: Option<Timestamp>) -> Duration {
    let Some(due) = due else { return LOOK };
    let left = due.duration_since(SystemClock.now());
    Duration::try_from(left).unwrap_or(Duration::ZERO).min(LOOK)
}

/// Why the supervisor serves no endpoint: most often because the port is somebody else's.
fn no_endpoint(port: u16, store: &std::path::Path) -> CliError {
    let what = format!("serve S3 on 127.0.0.1:{port}");
    match TcpListener::bind(("127.0.0.1", port)) {
        Err(source) if source.kind() == std::io::ErrorKind::AddrInUse => CliError::Machine {
            what: format!(
                "{what}: another program listens there; give another --port, or --port 0 for any free one"
            ),
            source,
        },
        Err(source) => CliError::Machine { what, source },
        Ok(_) => CliError::Below {
            what: "serve S3",
            why: format!(
                "port {port} could not be taken; {} says why",
                store.join("supervisor/log").display()
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_what_to_do() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let why = no_endpoint(port, std::path::Path::new("store"));
        assert!(why.text().contains(&port.to_string()) && why.text().contains("--port"), "{}", why.text());
        assert_eq!(why.exit(), Exit::Trouble);
    }
}
