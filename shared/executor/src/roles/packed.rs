//! The run's locked packages and the person's files, which are beside the image: unpacked where the command runs, since
//! only there it can be seen which Python the image has.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dropforge_driver::store::{Place, StoreError};
use dropforge_engine::spec::{PackedCode, PackedEnvironment};
use dropforge_manifest::types::Container;
use flate2::read::GzDecoder;

use super::Pod;
use super::folder::unique;
use crate::step::StepStore;
use crate::step::places::clean;

/// Why what was packed can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// The image has no Python.
    #[error(
        "use the packages of lock file {lock}: image {image:?} has no python3 on its PATH; dropforge.toml names packages for this image, so use one with Python {packed}, or take its entry away"
    )]
    NoPython {
        /// The image.
        image: String,
        /// What is packed.
        packed: String,
        /// The lock file's hash.
        lock: String,
    },
    /// It has another one.
    #[error(
        "use the packages of lock file {lock}: image {image:?} has Python {found}, and they were packed for Python {packed}; use an image with that Python, or name the image's in dropforge.toml and submit again"
    )]
    AnotherPython {
        /// The image.
        image: String,
        /// What it has: `3.12 on x86_64`.
        found: String,
        /// What is packed: `3.11 on x86_64`.
        packed: String,
        /// The lock file's hash.
        lock: String,
    },
    /// They are not in the store.
    #[error("fetch what was packed when the run was submitted")]
    Fetch(#[source] StoreError),
    /// They are not what was stored.
    #[error("unpack {hash}: its content has the SHA-256 {found}")]
    Damaged {
        /// The name.
        hash: String,
        /// The content's.
        found: String,
    },
    /// They can't be written.
    #[error("put the packed files at {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a command finds beside its image.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Variables that make it find the packages.
    pub variables: BTreeMap<String, String>,
    /// Where the person's files are, unless the manifest says where it works.
    pub working_dir: Option<PathBuf>,
    /// For the verdict.
    pub lock_hash: Option<String>,
    /// For the verdict.
    pub python: Option<String>,
    /// For the verdict.
    pub code_hash: Option<String>,
    /// For the verdict.
    pub git: Option<String>,
}

/// Unpacks what this container finds beside its image.
///
/// # Errors
/// When the image has another Python, or what was packed can't be had.
pub fn unpack<S: StepStore, B>(
    pod: &Pod<S, B>,
    name: &str,
    container: &Container,
    command: &[String],
    environ: &BTreeMap<String, String>,
) -> Result<Found, PackedError> {
    let mut found = Found::default();
    let image = container.image.as_deref().unwrap_or_default();
    if let Some(environment) = pod.launch.environments.get(name) {
        packages(pod, environment, image, command, environ, &mut found)?;
    }
    if let Some(code) = &pod.launch.code {
        files(pod, code, name, container, &mut found)?;
    }
    Ok(found)
}

fn packages<S: StepStore, B>(
    pod: &Pod<S, B>,
    environment: &PackedEnvironment,
    image: &str,
    command: &[String],
    environ: &BTreeMap<String, String>,
    found: &mut Found,
) -> Result<(), PackedError> {
    let packed = || environment.trees.keys().map(|key| shown(key)).collect::<Vec<_>>().join(", ");
    let lock = || environment.lock_hash.chars().take(12).collect();
    let image = || image.to_owned();
    let version = python(command, environ).ok_or_else(|| PackedError::NoPython {
        image: image(),
        packed: packed(),
        lock: lock(),
    })?;
    let key = format!("{version}-{}", std::env::consts::ARCH);
    let hash = environment.trees.get(&key).ok_or_else(|| PackedError::AnotherPython {
        image: image(),
        found: shown(&key),
        packed: packed(),
        lock: lock(),
    })?;
    let tree = pod.folder.path().join("environments").join(hash);
    unpack_once(pod, hash, &tree)?;
    // The packages' own programs come before the image's, as in an environment on a laptop.
    for (name, first) in [("PYTHONPATH", tree.clone()), ("PATH", tree.join("bin"))] {
        let before = environ.get(name).filter(|path| !path.is_empty());
        let folders = std::iter::once(first.to_string_lossy().into_owned()).chain(before.cloned());
        found.variables.insert(name.to_owned(), folders.collect::<Vec<_>>().join(":"));
    }
    found.lock_hash = Some(environment.lock_hash.clone());
    found.python = Some(version);
    Ok(())
}

/// `3.11-x86_64` for people.
fn shown(key: &str) -> String {
    key.replacen('-', " on ", 1)
}

/// The version of the Python that the command would find.
fn python(command: &[String], environ: &BTreeMap<String, String>) -> Option<String> {
    let own = command.first().filter(|program| {
        Path::new(program).file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"))
    });
    let candidates = own.map(String::as_str).into_iter().chain(["python3", "python"]);
    candidates.into_iter().find_map(|program| asked(program, environ))
}

fn asked(program: &str, environ: &BTreeMap<String, String>) -> Option<String> {
    let question = "import sys; print('%d.%d' % sys.version_info[:2])";
    let mut asking = Command::new(program);
    // Isolated and without its own set-up, which costs more than the question.
    asking.args(["-I", "-S", "-c", question]).env_clear().envs(environ).stdin(Stdio::null());
    let answer = asking.stderr(Stdio::null()).output().ok().filter(|answer| answer.status.success())?;
    let version = String::from_utf8(answer.stdout).ok()?.trim().to_owned();
    let plain = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (plain && !version.is_empty()).then_some(version)
}

/// The person's files go to where the command works: a folder of its own, unless the manifest names one.
fn files<S: StepStore, B>(
    pod: &Pod<S, B>,
    code: &PackedCode,
    name: &str,
    container: &Container,
    found: &mut Found,
) -> Result<(), PackedError> {
    found.code_hash = Some(code.hash.clone());
    found.git.clone_from(&code.git);
    let given = container.working_dir.as_deref().filter(|path| !path.is_empty());
    match given.and_then(|path| clean(path).ok()) {
        None => {
            let own = open(pod, &format!("containers/{name}/work"))?;
            unpack_into(pod, &code.hash, &own)?;
            found.working_dir = Some(own);
        }
        // A volume is shared and may be the person's own: nothing is put there unasked.
        Some(folder) if is_volume(container, &folder) => {}
        Some(folder) => unpack_into(pod, &code.hash, &folder)?,
    }
    Ok(())
}

fn is_volume(container: &Container, folder: &Path) -> bool {
    let mut mounts = container.volume_mounts.iter().filter_map(|mount| clean(&mount.mount_path).ok());
    mounts.any(|mount| folder.starts_with(mount))
}

fn open<S, B>(pod: &Pod<S, B>, below: &str) -> Result<PathBuf, PackedError> {
    let failed = |source| PackedError::Write { path: pod.folder.path().join(below), source };
    pod.folder.open_folder(below).map_err(failed)
}

/// Unpacks to a folder that the containers of a pod share; the first to be done counts.
fn unpack_once<S: StepStore, B>(pod: &Pod<S, B>, hash: &str, tree: &Path) -> Result<(), PackedError> {
    if tree.is_dir() {
        return Ok(());
    }
    open(pod, "environments")?;
    let own = tree.with_extension(unique());
    unpack_into(pod, hash, &own)?;
    match fs::rename(&own, tree) {
        Err(_) if tree.is_dir() => {
            // Another container was faster.
            let _ = fs::remove_dir_all(own);
            Ok(())
        }
        done => done.map_err(|source| PackedError::Write { path: tree.to_path_buf(), source }),
    }
}

fn unpack_into<S: StepStore, B>(pod: &Pod<S, B>, hash: &str, to: &Path) -> Result<(), PackedError> {
    let failed = |source| PackedError::Write { path: to.to_path_buf(), source };
    let namespace = &pod.launch.attempt.namespace;
    let place = Place {
        bucket: Some(pod.launch.stores.control.clone()),
        key: format!("environments/{namespace}/{hash}"),
    };
    let spare = open(pod, "incoming")?.join(unique());
    let fetched = pod.site.wait(pod.site.store.fetch(namespace, &place, &spare, &|_, _| {}));
    let facts = fetched.map_err(PackedError::Fetch)?;
    if !facts.sha256.is_empty() && facts.sha256 != hash {
        return Err(PackedError::Damaged { hash: hash.to_owned(), found: facts.sha256 });
    }
    fs::create_dir_all(to).map_err(failed)?;
    let file = BufReader::with_capacity(1 << 18, File::open(&spare).map_err(failed)?);
    tar::Archive::new(GzDecoder::new(file)).unpack(to).map_err(failed)?;
    fs::remove_file(spare).map_err(failed)
}
