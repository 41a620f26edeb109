//! The executor in the containers of a step's pod: `init`, `wrap NAME -- COMMAND…`, `witness`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dropforge_driver::pods::{
    EXECUTOR_FOLDER, LAUNCH_VARIABLE, LaunchPlace, MIRRORED, PodLaunch, SECRETS, Stores,
};
use dropforge_driver::store::{Artifacts, Place};
use dropforge_executor::container::client::Engines;
use dropforge_executor::roles::folder::{Folder, unique};
use dropforge_executor::roles::signals::{Command, listen};
use dropforge_executor::roles::{Bell, BellError, EXECUTOR_FAILED, Pod, init, say, witness, wrap};
use dropforge_executor::step::Site;
use dropforge_executor::step::control::{Ask, Control};
use dropforge_executor::step::room::Rooms;
use dropforge_queue::doorbell::{Doorbell, Why};
use dropforge_queue::sqs::Sqs;
use dropforge_storage::s3::S3Store;
use tokio::runtime::{Builder, Runtime};

/// How long artifacts wait for an S3 that does not answer; the verdict after them waits as long again.
const STORE_PATIENCE: Duration = Duration::from_secs(30 * 60);

fn main() -> ExitCode {
    let code = run().unwrap_or_else(|error| {
        say(&format!("failed to {error}"));
        EXECUTOR_FAILED
    });
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// What this process is to its pod.
enum Role {
    Init,
    Witness,
    Wrap { name: String, command: Vec<String> },
}

fn run() -> Result<i32, String> {
    let role = role(std::env::args().skip(1).collect())?;
    // One thread for the network: the pod's memory is the person's.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(failed("start threads"))?;
    let folder = Folder::at(EXECUTOR_FOLDER);
    let launch = launch(&runtime, &folder)?;
    let pod = pod(&runtime, launch, folder);
    match role {
        Role::Init => {
            let program = std::env::current_exe().map_err(failed("find its own program"))?;
            init::run(&pod, &program).map_err(failed("put everything in its place"))
        }
        Role::Witness => {
            let control = Arc::new(Control::new().map_err(failed("open a pipe"))?);
            let heard = listen(runtime.handle(), &control, &Ask::Over, &Command::default());
            heard.map_err(failed("listen to signals"))?;
            witness::run(&pod, &control).map_err(failed("watch the other containers"))
        }
        Role::Wrap { name, command } => {
            let environ: BTreeMap<String, String> =
                std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
            wrap::run(&pod, &name, command, environ).map_err(failed("run the command"))
        }
    }
}

fn lossy(text: std::ffi::OsString) -> String {
    text.into_string().unwrap_or_else(|text| text.to_string_lossy().into_owned())
}

fn role(arguments: Vec<String>) -> Result<Role, String> {
    let mut rest = arguments.into_iter();
    Ok(match (rest.next().as_deref(), rest.next(), rest.next().as_deref()) {
        (Some("init"), None, None) => Role::Init,
        (Some("witness"), None, None) => Role::Witness,
        (Some("wrap"), Some(name), Some("--")) => Role::Wrap { name, command: rest.collect() },
        _ => {
            let usage =
                "understand the arguments: usage: dropforge-executor init | witness | wrap NAME -- COMMAND…";
            return Err(usage.to_owned());
        }
    })
}

/// The document from the variable, from the note of the container before this one, or from the store.
fn launch(runtime: &Runtime, folder: &Folder) -> Result<PodLaunch, String> {
    let text = std::env::var(LAUNCH_VARIABLE).map_err(failed("find the variable DROPFORGE_LAUNCH"))?;
    let Some(place) = text.strip_prefix('@') else {
        return serde_json::from_str(&text).map_err(failed("read the variable DROPFORGE_LAUNCH"));
    };
    let noted = || folder.read(&folder.launch()).map_err(failed("read the launch document"));
    if let Some(noted) = noted()? {
        return Ok(noted);
    }
    let place: LaunchPlace =
        serde_json::from_str(place).map_err(failed("read where the launch document is"))?;
    let object = Place { bucket: Some(place.stores.control.clone()), key: place.key };
    let store = store(runtime, &place.stores);
    let file = folder.launch().with_extension(unique());
    let fetched = store.fetch("", &object, &file, &|_, _| {});
    runtime.block_on(fetched).map_err(failed("fetch the launch document"))?;
    std::fs::rename(&file, folder.launch()).map_err(failed("note the launch document"))?;
    noted()?.ok_or_else(|| "find the launch document".to_owned())
}

/// What was to be done, with why it was not.
fn failed<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> String {
    move |error| {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        causes.fold(format!("{what}: {error}"), |text, cause| format!("{text}: {cause}"))
    }
}

fn config(runtime: &Runtime, stores: &Stores) -> aws_config::SdkConfig {
    let mut loader = dropforge_aws::loader();
    if !stores.region.is_empty() {
        loader = loader.region(aws_config::Region::new(stores.region.clone()));
    }
    if let Some(endpoint) = &stores.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    runtime.block_on(loader.load())
}

fn store(runtime: &Runtime, stores: &Stores) -> S3Store {
    S3Store::new(&config(runtime, stores), stores).patience(STORE_PATIENCE)
}

fn pod(runtime: &Runtime, launch: PodLaunch, folder: Folder) -> Pod<S3Store, Doorbells> {
    let config = config(runtime, &launch.stores);
    let host = std::env::var("DROPFORGE_NODE").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    Pod {
        site: Site {
            store: S3Store::new(&config, &launch.stores).patience(STORE_PATIENCE),
            runtime: runtime.handle().clone(),
            rooms: Rooms::below(PathBuf::new()),
            volumes: PathBuf::new(),
            endpoint: None,
            host,
            grace: Duration::from_secs(launch.grace_seconds),
            engines: Engines::default(),
        },
        bell: Doorbells(Sqs::new(&config, &launch.queue_url)),
        launch,
        folder,
        mirrored: Path::new(MIRRORED).to_path_buf(),
        secrets: Path::new(SECRETS).to_path_buf(),
    }
}

/// The queue of a deployment.
struct Doorbells(Sqs);

impl Bell for Doorbells {
    async fn ring(&self, launch: &PodLaunch) -> Result<(), BellError> {
        let (run, attempt) = (launch.attempt.run.clone(), launch.attempt.id.clone());
        let token = Some(launch.token.clone()).filter(|token| !token.is_empty());
        let doorbell = Doorbell { token, ..Doorbell::new(run, Why::Attempt(attempt)) };
        self.0.ring_one(&doorbell).await.map_err(|error| BellError(error.to_string()))
    }
}
