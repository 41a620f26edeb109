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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The attempt's id.
    pub attempt: String,
    /// The container's name, where the attempt has several.
    pub container: Option<String>,
    /// The run's uid.
    pub run: String,
    /// The image.
    pub image: String,
    /// Replaces the image's entrypoint, and with it the image's arguments.
    pub command: Option<Vec<String>>,
    /// Replaces the image's arguments.
    pub arguments: Option<Vec<String>>,
    /// The user, and with a colon the group, by number; none: the image's.
    pub user: Option<String>,
    /// Whether it may do to this machine what the engine may.
    pub privileged: bool,
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

impl Wanted {
    /// What the engine calls it: the attempt's id, which an attempt executes under at most once. No container of a
    /// pod has a dot in its name.
    pub fn name(&self) -> String {
        let own = self.container.iter().map(|container| format!(".{container}"));
        std::iter::once(self.attempt.clone()).chain(own).collect()
    }
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

/// What the engine is asked to create; with `init` its first process is a small one that hands on signals and takes
/// orphans, as Argo's executor does.
///
/// # Errors
/// When a path can't be told to it.
pub fn creation(wanted: &Wanted, init: bool) -> Result<ContainerCreateBody, CreationError> {
    let labels = [(RUN_LABEL, &wanted.run), (ATTEMPT_LABEL, &wanted.attempt)];
    Ok(ContainerCreateBody {
        image: Some(wanted.image.clone()),
        entrypoint: wanted.command.clone(),
        cmd: wanted.arguments.clone(),
        env: Some(wanted.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: wanted.working_dir.as_deref().map(text).transpose()?,
        user: wanted.user.clone(),
        labels: Some(HashMap::from(labels.map(|(label, value)| (label.to_owned(), value.clone())))),
        host_config: Some(host(wanted, init)?),
        ..ContainerCreateBody::default()
    })
}

fn host(wanted: &Wanted, init: bool) -> Result<HostConfig, CreationError> {
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
        privileged: wanted.privileged.then_some(true),
        init: init.then_some(true),
        // Where labels guard files, a container could not open any of this machine's.
        security_opt: Some(vec!["label=disable".to_owned()]),
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn wanted() -> Wanted {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        Wanted {
            attempt: "a-1".to_owned(),
            container: None,
            run: "r-1".to_owned(),
            image: "box:1".to_owned(),
            command: words(&["sh"]),
            arguments: words(&["-c", "true"]),
            user: Some("1000:100".to_owned()),
            privileged: false,
            variables: BTreeMap::from([("A".to_owned(), "b=c".to_owned())]),
            working_dir: Some(PathBuf::from("/in")),
            binds: Vec::new(),
            memory_limit_bytes: Some(1 << 20),
            cpu_limit_millis: Some(1500),
            gpus: Vec::new(),
        }
    }

    fn bind(source: impl Into<PathBuf>, target: &str) -> Bind {
        Bind { source: source.into(), target: PathBuf::from(target), read_only: true }
    }

    #[test]
    fn limits_labels_and_words_are_passed() {
        let asked = serde_json::to_value(creation(&wanted(), true).unwrap()).unwrap();
        let expected = serde_json::json!({
            "Image": "box:1",
            "Entrypoint": ["sh"],
            "Cmd": ["-c", "true"],
            "Env": ["A=b=c"],
            "WorkingDir": "/in",
            "User": "1000:100",
            "Labels": {"dropforge.run": "r-1", "dropforge.attempt": "a-1"},
            "HostConfig": {
                "NetworkMode": "host",
                "Mounts": [],
                "Memory": 1_048_576,
                "MemorySwap": 1_048_576,
                "NanoCpus": 1_500_000_000,
                "Init": true,
                "SecurityOpt": ["label=disable"],
            },
        });
        assert_eq!(asked, expected);
    }

    #[test]
    fn of_two_binds_at_one_path_the_later_one_stays() {
        let binds = vec![bind("/1", "/in"), bind("/2", "/a"), bind("/3", "/in")];
        let host = host(&Wanted { binds, ..wanted() }, false).unwrap();
        let sources: Vec<_> = host.mounts.unwrap().into_iter().map(|mount| mount.source.unwrap()).collect();
        assert_eq!(sources, ["/2", "/3"]);
    }

    #[test]
    fn a_path_that_is_no_text_is_refused() {
        let path = PathBuf::from(OsStr::from_bytes(b"/\xff"));
        let error =
            creation(&Wanted { binds: vec![bind(path.clone(), "/in")], ..wanted() }, true).unwrap_err();
        assert_eq!(error, CreationError::NotText { path });
    }
}
