//! What the owner of a store and the supervisor of its steps say to each other: one JSON object a line, over a
//! socket in the store's folder. The types live here because both sides are adapters, which never see each
//! other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dropforge_engine::attempt::{Attempt, Progress, Verdict};
use dropforge_engine::ids::AttemptId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version both sides must agree on; another one is refused with both figures.
pub const PROTOCOL: u32 = 4;

/// The first line of each side. It is the same in all versions, so that one can say to the other which it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Greeting {
    /// The owner speaks.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Whether what steps leave must be on the disk before the owner hears of it.
        #[serde(default, skip_serializing_if = "is_false")]
        durable: bool,
    },
    /// The supervisor answers.
    Welcome {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The supervisor's process id.
        pid: u32,
        /// The S3 endpoint that its steps see.
        endpoint: Option<Endpoint>,
        /// Whether what steps leave is on the disk before the owner hears of it. A supervisor that was started
        /// otherwise sees to it when an owner asks; one of an older version does not know that it could.
        #[serde(default, skip_serializing_if = "is_false")]
        durable: bool,
    },
}

/// From the owner to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Start this attempt as soon as its resources are free; starting it twice is harmless.
    Start {
        /// The attempt with what it runs in.
        launch: Box<Launch>,
    },
    /// End this attempt, or see that it never begins.
    Stop {
        /// Which.
        attempt: AttemptId,
        /// Its namespace.
        namespace: String,
        /// The verdict's message.
        why: String,
    },
    /// Which attempts are waiting or running here?
    List,
    /// The owner was interrupted: end all steps (TERM, grace, KILL), write `lost`, and go.
    Shutdown,
}

/// From the supervisor to the owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// The attempt waits for resources.
    Waiting {
        /// Which.
        attempt: AttemptId,
        /// For people: `0 of 1 GPUs free`.
        why: String,
    },
    /// Its command has been started.
    Running {
        /// Which.
        attempt: AttemptId,
        /// When.
        at: Timestamp,
    },
    /// It is a daemon that serves, or serves again.
    Ready {
        /// Which.
        attempt: AttemptId,
        /// Since when.
        at: Timestamp,
    },
    /// Something worth a line while it runs: an artifact being copied.
    Progress {
        /// Which.
        attempt: AttemptId,
        /// For people: `input data: 1.2 of 10 GB, 310 MB/s`.
        what: String,
    },
    /// How far it says it is.
    Counted {
        /// Which.
        attempt: AttemptId,
        /// How far.
        progress: Progress,
    },
    /// It has ended; this is the verdict that counts.
    Finished {
        /// The verdict, as stored.
        verdict: Arc<Verdict>,
    },
    /// The answer to `List`.
    Attempts {
        /// Waiting for resources.
        waiting: Vec<AttemptId>,
        /// Running.
        running: Vec<AttemptId>,
    },
}

/// The S3 endpoint that steps see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// `http://127.0.0.1:9000`
    pub url: String,
    /// Access key id.
    pub access_key: String,
    /// Secret access key; the endpoint knows no other.
    pub secret_key: String,
    /// Region name.
    pub region: String,
}

/// One attempt with everything the supervisor needs to run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// The attempt.
    pub attempt: Arc<Attempt>,
    /// What it runs in.
    pub environment: StepEnvironment,
    /// What it takes of the machine while it runs.
    pub demand: Demand,
    /// What each container of it runs in, where it has others than `main`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub containers: BTreeMap<String, ContainerLaunch>,
    /// The engine that runs its containers; none: each is a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<ContainerEngine>,
}

/// A container engine of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEngine {
    /// Which.
    pub kind: EngineKind,
    /// The socket that serves its API.
    pub socket: PathBuf,
}

/// Which container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EngineKind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// Its name, as it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Docker => "docker",
            EngineKind::Podman => "podman",
        }
    }
}

/// What one of several containers of an attempt runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerLaunch {
    /// What its image gives.
    pub environment: StepEnvironment,
    /// The most memory it may use; none: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// How many of the attempt's GPUs are its own.
    pub gpus: u32,
}

/// What a step's process finds around it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepEnvironment {
    /// Folders put in front of PATH: the environment's `bin`, or a folder that holds `python`.
    pub path: Vec<PathBuf>,
    /// Further variables, e.g. `VIRTUAL_ENV`.
    pub variables: BTreeMap<String, String>,
    /// Files placed in the working directory: relative path to cached file.
    pub files: BTreeMap<PathBuf, PathBuf>,
    /// Existing claims by name: local folders.
    pub claims: BTreeMap<String, PathBuf>,
    /// The folder of secrets: `<folder>/<name>/<key>`.
    pub secrets: Option<PathBuf>,
    /// The folder of config maps: `<folder>/<name>/<key>`.
    pub config_maps: Option<PathBuf>,
    /// For the verdict: SHA-256 of the locked environment.
    pub lock_hash: Option<String>,
    /// For the verdict: the Python, e.g. `3.11.7 (wanted 3.9)`.
    pub python: Option<String>,
    /// For the verdict: SHA-256 of the packed code.
    pub code_hash: Option<String>,
    /// For the verdict: commit, with `+dirty`.
    pub git: Option<String>,
    /// For the verdict: the sentence that says that a stand-in runs.
    pub stand_in: Option<String>,
}

/// What a step takes of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Demand {
    /// Requested cpu in thousandths of a core.
    pub cpu_millis: u64,
    /// Requested memory in bytes.
    pub memory_bytes: u64,
    /// The most memory it may use; none: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// GPUs held for the length of the step.
    pub gpus: u32,
    /// Whether it is a request, which takes nothing of the machine but a place among the open requests.
    #[serde(skip_serializing_if = "is_false")]
    pub request: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}
