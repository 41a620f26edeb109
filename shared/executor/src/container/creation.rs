//! The container that an attempt needs, in the words of the engine's API.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, Mount, MountType};

use crate::isolation::Bind;

/// The label that holds the run's uid.
pub const RUN_LABEL: &str = "dropforge.run";
/// The label that holds the attempt's id; by it the next supervisor finds what this one left.
pub const ATTEMPT_LABEL: &str = "dropforge.attempt";

/// What a container is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The attempt's id.
    pub attempt: String,
    /// The run's uid.
    pub run: String,
    /// The image.
    pub image: String,
    /// Replaces the image's entrypoint, and with it the image's arguments.
    pub command: Option<Vec<String>>,
    /// Replaces the image's arguments.
    pub arguments: Option<Vec<String>>,
    /// Variables besides the image's.
    pub variables: BTreeMap<String, String>,
    /// The working directory; none: the image's.
    pub working_dir: Option<PathBuf>,
    /// What it sees of this machine; a later one replaces an earlier one of the same path.
    pub binds: Vec<Bind>,
    /// The most memory that it may use.
    pub memory_limit_bytes: Option<u64>,
    /// The most processor time it may use, in thousandths of a core.
    pub cpu_limit_millis: Option<u64>,
    /// The GPUs it gets.
    pub gpus: Vec<String>,
}

/// Why a container can't be asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CreationError {
    /// The API takes text only.
    #[error("name {} to the container engine: it is not UTF-8", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
}

/// What the engine is asked to create.
///
/// # Errors
/// When a path can't be told to it.
pub fn creation(wanted: &Wanted) -> Result<ContainerCreateBody, CreationError> {
    let labels = [(RUN_LABEL, &wanted.run), (ATTEMPT_LABEL, &wanted.attempt)];
    Ok(ContainerCreateBody {
        image: Some(wanted.image.clone()),
        entrypoint: wanted.command.clone(),
        cmd: wanted.arguments.clone(),
        env: Some(wanted.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: wanted.working_dir.as_deref().map(text).transpose()?,
        labels: Some(HashMap::from(labels.map(|(label, value)| (label.to_owned(), value.clone())))),
        host_config: Some(host(wanted)?),
        ..ContainerCreateBody::default()
    })
}

fn host(wanted: &Wanted) -> Result<HostConfig, CreationError> {
    let memory = wanted.memory_limit_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let cpu = wanted.cpu_limit_millis.map(|millis| millis.saturating_mul(1_000_000));
    Ok(HostConfig {
        // An S3 endpoint of this machine must be reachable.
        network_mode: Some("host".to_owned()),
        mounts: Some(mounts(&wanted.binds)?),
        memory,
        // Without this, as much again could be swapped, and the limit would never end the step.
        memory_swap: memory,
        nano_cpus: cpu.map(|nanos| i64::try_from(nanos).unwrap_or(i64::MAX)),
        device_requests: (!wanted.gpus.is_empty()).then(|| vec![devices(&wanted.gpus)]),
        ..HostConfig::default()
    })
}

/// Engines refuse two mounts at one path.
fn mounts(binds: &[Bind]) -> Result<Vec<Mount>, CreationError> {
    let last: BTreeMap<&Path, &Bind> = binds.iter().map(|bind| (bind.target.as_path(), bind)).collect();
    last.into_values().map(mount).collect()
}

fn mount(bind: &Bind) -> Result<Mount, CreationError> {
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(text(&bind.source)?),
        target: Some(text(&bind.target)?),
        read_only: Some(bind.read_only),
        ..Mount::default()
    })
}

fn devices(gpus: &[String]) -> DeviceRequest {
    DeviceRequest {
        driver: Some("nvidia".to_owned()),
        device_ids: Some(gpus.to_vec()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

fn text(path: &Path) -> Result<String, CreationError> {
    path.to_str().map(str::to_owned).ok_or_else(|| CreationError::NotText { path: path.to_path_buf() })
}
