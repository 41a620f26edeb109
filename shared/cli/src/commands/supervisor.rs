//! `supervisor`: the process that runs the steps of a store; started by `run` and `dev`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dropforge_cluster::gpus::{Gpus, ThisMachine};
use dropforge_driver::supervision;
use dropforge_executor::admission::Machine;
use dropforge_executor::supervisor::{Options, leave_session, serve};
use dropforge_storage::directory::{Access, DirectoryStore};
use dropforge_storage::endpoint::{Announcer, Credentials, Endpoint, Options as EndpointOptions};
use serde::{Deserialize, Serialize};

use crate::args::SupervisorArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::identity;

/// Serves until no owner and no step is left.
///
/// # Errors
/// When the store can't be opened or another supervisor can't be kept out.
pub fn supervisor(global: &Global, args: &SupervisorArgs) -> Result<Exit, CliError> {
    leave_session();
    let store = DirectoryStore::open(&global.store, Access::Reader)?;
    let durability = store.durability();
    if args.durable {
        durability.begin();
    }
    let root = store.root().to_path_buf();
    let machine = machine(args.jobs)?;
    let port = args.port.unwrap_or(0);
    // Lives as long as this function: the endpoint serves surviving steps too.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CliError::Machine { what: "start threads".to_owned(), source })?;
    let objects = store.buckets().clone();
    let mut kept = None;
    let endpoint = || {
        let served = runtime.block_on(endpoint(&root, objects, port));
        match served {
            Ok((endpoint, told)) => {
                kept = Some(endpoint);
                Some(told)
            }
            Err(why) => {
                tracing::error!(why = %why.text(), "no S3 endpoint");
                None
            }
        }
    };
    serve(Options::in_store(&root, machine), store, durability, endpoint).map_err(|why| CliError::Below {
        what: "supervise steps",
        why: dropforge_driver::owner::chain(&why),
    })?;
    drop(kept);
    Ok(Exit::Succeeded)
}

async fn endpoint(
    root: &Path,
    objects: dropforge_storage::objects::Objects,
    port: u16,
) -> Result<(Endpoint, supervision::Endpoint), CliError> {
    let keys = credentials(root)?;
    let failed = |source| CliError::Machine { what: format!("serve S3 on 127.0.0.1:{port}"), source };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let credentials = Credentials {
        access_key: keys.access_key.clone(),
        secret_key: keys.secret_key.clone(),
        region: REGION.to_owned(),
    };
    let options = EndpointOptions { credentials, auto_create: true };
    // The owner watches the folder; here nobody listens.
    let announcer = Announcer::new(objects.clone(), |_| {});
    let endpoint = Endpoint::serve(objects, listener, options, announcer).map_err(failed)?;
    let told = supervision::Endpoint {
        url: endpoint.url(),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
        region: REGION.to_owned(),
    };
    Ok((endpoint, told))
}

/// S3 needs a region's name; nothing here depends on which.
const REGION: &str = "us-east-1";

/// The one key of a store's endpoint, made once, so that a person configures it once.
#[derive(Serialize, Deserialize)]
struct Keys {
    access_key: String,
    secret_key: String,
}

fn credentials(root: &Path) -> Result<Keys, CliError> {
    let path = root.join("supervisor/s3-key.json");
    let failed = |action| {
        let path = path.clone();
        move |source| CliError::File { action, path, source }
    };
    match fs::read(&path) {
        Ok(bytes) => return Ok(serde_json::from_slice(&bytes)?),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
        Err(why) => return Err(failed("read")(why)),
    }
    let keys = Keys { access_key: "dropforge".to_owned(), secret_key: identity::unique() };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("make"))?;
    file.write_all(&serde_json::to_vec(&keys)?).map_err(failed("write"))?;
    Ok(keys)
}

/// What this machine has for steps.
fn machine(jobs: Option<u32>) -> Result<Machine, CliError> {
    let cores = std::thread::available_parallelism()
        .map_err(|source| CliError::Machine { what: "count the cores".to_owned(), source })?
        .get();
    Ok(Machine {
        jobs: jobs.map_or(cores, |j| j as usize),
        cpu_millis: cores as u64 * 1000,
        memory_bytes: memory_bytes()?,
        gpus: Gpus::find(&ThisMachine).0.iter().map(|g| g.id.clone()).collect(),
    })
}

/// The memory this process may use: the machine's, or its cgroup's when that is less.
fn memory_bytes() -> Result<u64, CliError> {
    let read = |path: &str| fs::read_to_string(path);
    let meminfo = read("/proc/meminfo")
        .map_err(|source| CliError::Machine { what: "read /proc/meminfo".to_owned(), source })?;
    let total = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().strip_suffix("kB"))
        .and_then(|k| k.trim().parse::<u64>().ok())
        .map_or(u64::MAX, |k| k * 1024);
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|p| read(p).ok()?.trim().parse::<u64>().ok());
    Ok(limit.map_or(total, |l| l.min(total)))
}
