//! The small process that runs the steps of a store, in a session of its own.
//!
//! It outlives its owner: when the socket closes, what waits is dropped, what runs goes on to its end and its
//! verdict, and then the supervisor goes. A new owner may come meanwhile. When the supervisor itself is killed,
//! the next one ends what survived and writes `lost` before it says a word to anybody, so that no two
//! executions of an attempt ever run beside each other.
//!
//! A thread for each running step, one that reads what the owner asks, and one for what the owner does not take at
//! once; everything they share is behind one lock (`state`), which is never held while a file is read or written or
//! anybody is waited for.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::StoreError;
use dropforge_driver::supervision::Endpoint;
use dropforge_storage::directory::Durability;
use rustix::fs::{FlockOperation, flock};
use rustix::net::{Shutdown, shutdown};
use serde_json::json;

use crate::admission::Machine;
use crate::container::client::{EngineError, Engines};
use crate::process::table;
use crate::step::room::Rooms;
use crate::step::{Site, StepStore};

mod owner;
mod records;
mod recovery;
mod reports;
mod socket;
mod state;
#[cfg(test)]
mod tests;
mod threads;

use records::Records;
use state::Supervisor;

/// How long a supervisor that nobody ever spoke to waits for its owner.
const LONELY: Duration = Duration::from_secs(30);

/// Why the supervisor can't serve.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A folder, file or socket failed.
    #[error("{action} {}", path.display())]
    Io {
        /// `make`, `lock`, `listen on`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the last supervisor left could not be settled.
    #[error("settle what the last supervisor left")]
    Recover(#[source] StoreError),
    /// A container that the last supervisor started may still run.
    #[error(
        "see that no container of the last supervisor runs any more: start the engine; where it is gone for good, remove `supervisor/attempts.jsonl` of the store"
    )]
    Containers(#[source] EngineError),
}

/// What a supervisor is told when it is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The socket it listens on, in a folder of the store that only the person may enter.
    pub socket: PathBuf,
    /// Its lock and its own records go below this.
    pub folder: PathBuf,
    /// The folders of running steps go below this.
    pub steps: PathBuf,
    /// The claims that runs made go below this, a folder for each run.
    pub volumes: PathBuf,
    /// What the machine has for steps.
    pub machine: Machine,
    /// How long a step may go on after it was asked to end.
    pub grace: Duration,
}

impl Options {
    /// The usual places below a store's folder.
    pub fn in_store(store: &Path, machine: Machine) -> Self {
        Options {
            socket: store.join("supervisor/socket"),
            folder: store.join("supervisor"),
            steps: store.join("work"),
            volumes: store.join("volumes"),
            machine,
            // Kubernetes' own default.
            grace: Duration::from_secs(30),
        }
    }
}

/// Makes this process the leader of a session of its own, so that no Ctrl-C and no closed terminal of its owner
/// reaches it. For the supervisor's own process, before it serves.
pub fn leave_session() {
    // It fails only for a process that leads a group already, which a terminal does not reach either.
    let _ = rustix::process::setsid();
}

/// Serves until no owner and no step is left. `durability` is that of the store, for an owner who wants it. `endpoint`
/// starts the S3 endpoint that steps see, if there is one; it is called once, when this process is the store's only
/// supervisor.
///
/// # Errors
/// When another process can't be kept out, or nobody could reach this one.
pub fn serve<S: StepStore + 'static>(
    options: Options,
    store: S,
    durability: Durability,
    endpoint: impl FnOnce() -> Option<Endpoint>,
) -> Result<(), SupervisorError> {
    let failed = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| SupervisorError::Io { action, path, source }
    };
    for folder in [&options.folder, &options.steps, &options.volumes] {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
    }
    fs::set_permissions(&options.folder, Permissions::from_mode(0o700))
        .map_err(failed("protect", &options.folder))?;
    let _lock = lock(&options.folder.join("lock"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed("start threads in", &options.folder))?;
    let mut site = Site {
        store,
        runtime: runtime.handle().clone(),
        rooms: Rooms::below(options.steps.clone()),
        volumes: options.volumes.clone(),
        endpoint: None,
        host: host_name(),
        grace: options.grace,
        engines: Engines::default(),
    };
    let records = Records::below(&options.folder).map_err(failed("make", &options.folder))?;
    recovery::recover(&site, &records)?;
    site.endpoint = endpoint();
    let listener = socket::listen(&options.socket).map_err(failed("listen on", &options.socket))?;
    let about = options.folder.join("supervisor.json");
    fs::write(&about, describe(&options)).map_err(failed("write", &about))?;
    let ours = listener.try_clone().map_err(failed("listen on", &options.socket))?;
    let supervisor = Arc::new(Supervisor::new(site, records, options.clone(), durability, ours));
    supervisor.leave_when_lonely(LONELY);
    for connection in listener.incoming() {
        if supervisor.is_over() {
            break;
        }
        if let Ok(connection) = connection {
            owner::serve(&supervisor, connection);
        }
    }
    supervisor.say_the_last_words();
    supervisor.clear_up();
    // Readers of this file look at the lock first; a file that stays is only stale.
    let _ = fs::remove_file(&about);
    Ok(())
}

/// Waits for the lock: the last supervisor, which has left its socket already, may still be on its way out.
fn lock(path: &Path) -> Result<File, SupervisorError> {
    let failed = |source| SupervisorError::Io { action: "lock", path: path.to_path_buf(), source };
    let file = File::options().create(true).append(true).open(path).map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(file)
}

fn describe(options: &Options) -> String {
    let pid = std::process::id();
    json!({
        "format": 1,
        "pid": pid,
        "processStartTicks": table::entry(pid.cast_signed()).map(|entry| entry.start_time),
        "startedAt": SystemClock.now(),
        "socket": options.socket,
    })
    .to_string()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Wakes the accepting thread, which then sees that all is over. By the socket itself: its file may be gone with the
/// store.
fn wake(listener: &UnixListener) {
    if let Err(error) = shutdown(listener, Shutdown::Read) {
        tracing::warn!(%error, "the accepting thread could not be woken");
    }
}
