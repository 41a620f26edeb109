//! The connection to the supervisor, and the supervisor's start.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dropforge_driver::supervision::{Endpoint, Greeting, PROTOCOL, Report, Request};
use dropforge_engine::ids::AttemptId;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use self::wire::{Reading, Writing};
use super::SupervisorProgram;

mod wire;

/// How long a supervisor may take to answer: it may first have to end survivors of the last one, for which it
/// allows itself ten seconds each, and wait for the last one to leave.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a supervisor that is being started is tried; it takes a few of these.
const TRY_EVERY: Duration = Duration::from_millis(2);

/// The longest path of a Unix socket.
const PATH_BYTES_MAX: usize = 107;

/// Who waits and who runs.
type Lists = (Vec<AttemptId>, Vec<AttemptId>);

/// A connection that has been welcomed.
pub struct Link {
    /// The S3 endpoint that steps see.
    pub endpoint: Option<Endpoint>,
    requests: UnboundedSender<Request>,
    /// Those who asked for the list, in order.
    asking: Mutex<VecDeque<oneshot::Sender<Lists>>>,
    open: watch::Receiver<bool>,
}

impl Link {
    /// Says it; when the connection is gone, whoever listens to it sees that and looks after everything.
    pub fn say(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// Who waits and who runs; none when the connection is gone.
    pub async fn list(&self) -> Option<Lists> {
        let (answer, answered) = oneshot::channel();
        self.asking().push_back(answer);
        if !self.is_open() {
            return None;
        }
        self.say(Request::List);
        answered.await.ok()
    }

    fn asking(&self) -> std::sync::MutexGuard<'_, VecDeque<oneshot::Sender<Lists>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until the supervisor has closed the connection.
    pub async fn closed(&self) {
        let mut open = self.open.clone();
        // An error means that who would have said it is gone.
        let _ = open.wait_for(|open| !open).await;
    }
}

/// The one connection of this owner.
pub struct Links {
    supervisor: SupervisorProgram,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
    current: Mutex<Option<Arc<Link>>>,
}

impl Links {
    pub fn new(supervisor: SupervisorProgram) -> Self {
        Links { supervisor, link: tokio::sync::Mutex::default(), current: Mutex::default() }
    }

    /// The connection as it is, without making one.
    pub fn current(&self) -> Option<Arc<Link>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|link| link.is_open())
    }

    /// The connection; when it had to be made, with what comes in on it. Starts the supervisor where none
    /// listens, if it may.
    pub async fn get(&self, may_start: bool) -> io::Result<(Arc<Link>, Option<UnboundedReceiver<Report>>)> {
        let mut link = self.link.lock().await;
        if let Some(open) = link.as_ref().filter(|link| link.is_open()) {
            return Ok((Arc::clone(open), None));
        }
        let connecting = timeout(PATIENCE, self.connect_or_start(may_start));
        let (made, incoming) = connecting.await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer; see {}", self.supervisor.log.display()),
            )
        })??;
        let made = Arc::new(made);
        let (tell, told) = unbounded_channel();
        tokio::spawn(receive(incoming, Arc::clone(&made), tell));
        *link = Some(Arc::clone(&made));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok((made, Some(told)))
    }

    async fn connect_or_start(&self, may_start: bool) -> io::Result<(Link, Incoming)> {
        let mut started: Option<Child> = None;
        loop {
            match connect(&self.supervisor).await {
                Ok(made) => {
                    started.into_iter().for_each(reap);
                    return Ok(made);
                }
                // Another version of it, or one that can't do what is wanted: waiting does not help.
                Err(error) if error.kind() == io::ErrorKind::Unsupported || !may_start => return Err(error),
                Err(_) => {}
            }
            match &mut started {
                None => started = Some(self.start()?),
                Some(child) => {
                    if let Some(status) = child.try_wait()? {
                        let log = self.supervisor.log.display();
                        return Err(io::Error::other(format!("it ended at once ({status}); see {log}")));
                    }
                }
            }
            sleep(TRY_EVERY).await;
        }
    }

    fn start(&self) -> io::Result<Child> {
        let SupervisorProgram { program, arguments, log, .. } = &self.supervisor;
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let log: Stdio = OpenOptions::new().create(true).append(true).open(log)?.into();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.kill_on_drop(false).spawn()
    }
}

/// Waits for the supervisor's end, which nobody here needs to know, so that no zombie stays.
fn reap(mut child: Child) {
    tokio::spawn(async move { child.wait().await });
}

/// The supervisor's side of the conversation.
struct Incoming {
    lines: Lines<BufReader<Reading>>,
    open: watch::Sender<bool>,
}

async fn connect(to: &SupervisorProgram) -> io::Result<(Link, Incoming)> {
    let (short, _folder) = short(&to.socket)?;
    let (reading, mut writing) = wire::halves(UnixStream::connect(short).await?.into_std()?)?;
    write(&mut writing, &[Greeting::Hello { protocol: PROTOCOL, durable: to.durable }]).await?;
    let mut lines = BufReader::new(reading).lines();
    let welcome = lines.next_line().await?.ok_or(io::ErrorKind::ConnectionReset)?;
    let Greeting::Welcome { protocol, endpoint, durable, pid } = serde_json::from_str(&welcome)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    if protocol != PROTOCOL {
        let why = format!(
            "it is of another version: it speaks protocol {protocol}, this program {PROTOCOL}; let its steps end first"
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    if to.durable && !durable {
        let why = format!(
            "it (process {pid}) was started without --durable and can't write what steps leave to the disk now; let its \
             steps end first, or go on without --durable; see {}",
            to.log.display()
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let (requests, outgoing) = unbounded_channel();
    let (closing, open) = watch::channel(true);
    tokio::spawn(send(outgoing, writing));
    let link = Link { endpoint, requests, asking: Mutex::default(), open };
    Ok((link, Incoming { lines, open: closing }))
}

/// A longer path is reached through its folder's descriptor.
fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path.to_path_buf(), None));
    }
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((short, Some(folder)))
}

async fn write(to: &mut Writing, all: &[impl Serialize]) -> io::Result<()> {
    let mut lines = Vec::new();
    for one in all {
        serde_json::to_writer(&mut lines, one)?;
        lines.push(b'\n');
    }
    to.write_all(&lines).await
}

/// How many requests are written in one go.
const BATCH_MAX: usize = 64;

async fn send(mut requests: UnboundedReceiver<Request>, mut to: Writing) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, BATCH_MAX).await > 0 {
        // The reading side sees the same end, and tells everybody.
        if write(&mut to, &batch).await.is_err() {
            return;
        }
        batch.clear();
    }
}

/// Hands answers to who asked and everything else on, until the supervisor is gone.
async fn receive(mut incoming: Incoming, link: Arc<Link>, tell: UnboundedSender<Report>) {
    while let Ok(Some(line)) = incoming.lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Report::Attempts { waiting, running }) => {
                let asked = link.asking().pop_front();
                // Who asked may have given up.
                asked.map(|answer| answer.send((waiting, running)));
            }
            Ok(report) => {
                let _ = tell.send(report);
            }
            Err(error) => tracing::error!(%error, "the supervisor said what is not understood"),
        }
    }
    incoming.open.send_replace(false);
    // Nobody will answer them.
    link.asking().clear();
}
