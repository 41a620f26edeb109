//! The volumes of a pod as folders of this machine.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use dropforge_driver::supervision::{Launch, StepEnvironment};
use dropforge_manifest::types::{Container, VolumeMount};
use serde_json::Value;

use crate::variables::{LocalObjects, NotFound};

/// Why a volume can't be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A mount names a volume that neither the template nor the workflow has.
    #[error("volume {volume:?} not found: no volume of the template or the workflow has this name")]
    Undeclared {
        /// The volume.
        volume: String,
    },
    /// The claim is no folder of this machine.
    #[error(
        "persistentvolumeclaim {claim:?} not found: name its folder in dropforge.toml, under `claims`: {claim:?} = \"path/to/folder\""
    )]
    UnknownClaim {
        /// The claim.
        claim: String,
    },
    /// The folder of a claim is not there.
    #[error("persistentvolumeclaim {claim:?}: the folder {} that dropforge.toml names is not there", folder.display())]
    NoFolder {
        /// The claim.
        claim: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A secret or config map, or a key of it, is not there.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The kind of volume does not exist for processes of this machine.
    #[error(
        "volume {volume:?} is a {kind}, which steps on this machine can't have; emptyDir, persistentVolumeClaim, secret and configMap can be had"
    )]
    Unsupported {
        /// The volume.
        volume: String,
        /// Its kind.
        kind: String,
    },
    /// A path within a volume leads out of it.
    #[error("volume {volume:?}: subPath {sub_path:?} leads out of the volume")]
    SubPath {
        /// The volume.
        volume: String,
        /// The path.
        sub_path: String,
    },
    /// The folder could not be made.
    #[error("make volume {volume:?}")]
    Make {
        /// The volume.
        volume: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A file or folder of this machine that the step sees at a path of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the step sees it.
    pub target: PathBuf,
    /// Where it is.
    pub source: PathBuf,
    /// Whether the step can't change it.
    pub read_only: bool,
}

/// Where volumes are made.
pub struct Folders<'a> {
    /// The attempt's own folder.
    pub attempt: &'a Path,
    /// The folder of the run's claims, shared by its steps.
    pub claims: &'a Path,
}

/// Makes what `container` mounts. `expand` replaces the variables of `subPathExpr`.
///
/// # Errors
/// When a volume is not declared, not known, or can't be made.
pub fn mounts(
    launch: &Launch,
    container: &Container,
    folders: &Folders<'_>,
    expand: &dyn Fn(&str) -> String,
) -> Result<Vec<Mount>, VolumeError> {
    let work = &launch.attempt.work;
    let declared: Vec<&Value> = work.template.volumes.iter().chain(&work.volumes).collect();
    let mount = |mount: &VolumeMount| {
        let volume = declared
            .iter()
            .find(|volume| text(volume, "name") == Some(&mount.name))
            .ok_or_else(|| VolumeError::Undeclared { volume: mount.name.clone() })?;
        let (source, read_only) = source(&mount.name, volume, launch, folders)?;
        Ok(Mount {
            target: PathBuf::from(&mount.mount_path),
            source: within(&source, mount, read_only, expand)?,
            read_only: read_only || mount.read_only.unwrap_or_default(),
        })
    };
    container.volume_mounts.iter().map(mount).collect()
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// The folder of a volume, made where it is ours to make, and whether the volume itself is read-only.
fn source(
    name: &str,
    volume: &Value,
    launch: &Launch,
    folders: &Folders<'_>,
) -> Result<(PathBuf, bool), VolumeError> {
    let environment = &launch.environment;
    let own = folders.attempt.join("volumes").join(name);
    if volume.get("emptyDir").is_some() || volume.get("ephemeral").is_some() {
        return Ok((shared(name, own, launch)?, false));
    }
    if let Some(claim) = volume.get("persistentVolumeClaim") {
        let read_only = claim.get("readOnly").and_then(Value::as_bool).unwrap_or_default();
        return Ok((
            claimed(name, text(claim, "claimName").unwrap_or_default(), launch, folders)?,
            read_only,
        ));
    }
    if let Some(secret) = volume.get("secret") {
        let secrets = LocalObjects::secrets(environment.secrets.as_deref());
        let folder = keys(name, &secrets, text(secret, "secretName").unwrap_or_default(), secret, own)?;
        return Ok((folder, true));
    }
    if let Some(map) = volume.get("configMap") {
        let maps = LocalObjects::config_maps(environment.config_maps.as_deref());
        return Ok((keys(name, &maps, text(map, "name").unwrap_or_default(), map, own)?, true));
    }
    let kinds = volume.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    let kind = kinds.into_iter().find(|key| key != "name").unwrap_or_default();
    Err(VolumeError::Unsupported { volume: name.to_owned(), kind })
}

fn made(volume: &str, folder: PathBuf) -> Result<PathBuf, VolumeError> {
    match fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(VolumeError::Make { volume: volume.to_owned(), source }),
    }
}

/// A folder that all containers of the step may write in, whoever their images' users are.
fn shared(volume: &str, folder: PathBuf, launch: &Launch) -> Result<PathBuf, VolumeError> {
    let folder = made(volume, folder)?;
    if launch.engine.is_some() {
        let open = fs::set_permissions(&folder, Permissions::from_mode(0o777));
        open.map_err(|source| VolumeError::Make { volume: volume.to_owned(), source })?;
    }
    Ok(folder)
}

/// A claim is the person's folder, or one that the run's claim templates made: Argo calls those
/// `<run>-<volume>`.
fn claimed(
    volume: &str,
    claim: &str,
    launch: &Launch,
    folders: &Folders<'_>,
) -> Result<PathBuf, VolumeError> {
    let StepEnvironment { claims, .. } = &launch.environment;
    match claims.get(claim) {
        Some(folder) if folder.is_dir() => Ok(folder.clone()),
        Some(folder) => Err(VolumeError::NoFolder { claim: claim.to_owned(), folder: folder.clone() }),
        None if claim == format!("{}-{volume}", launch.attempt.run_name) => {
            shared(volume, folders.claims.join(volume), launch)
        }
        None => Err(VolumeError::UnknownClaim { claim: claim.to_owned() }),
    }
}

/// The keys of a secret or config map as files: its own folder, or a copy where `items` picks and renames.
fn keys(
    volume: &str,
    objects: &LocalObjects,
    object: &str,
    reference: &Value,
    own: PathBuf,
) -> Result<PathBuf, VolumeError> {
    let optional = reference.get("optional").and_then(Value::as_bool).unwrap_or_default();
    let Some(folder) = objects.folder(object, optional)? else { return made(volume, own) };
    let Some(items) = reference.get("items").and_then(Value::as_array) else { return Ok(folder) };
    let failed = |source| VolumeError::Make { volume: volume.to_owned(), source };
    for item in items {
        let (key, path) = (text(item, "key").unwrap_or_default(), text(item, "path").unwrap_or_default());
        let to = own.join(inside(volume, path)?);
        let from = folder.join(key);
        if optional && !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(&own)).map_err(failed)?;
        fs::copy(&from, &to).map_err(failed)?;
    }
    made(volume, own)
}

/// The part of a volume that a mount shows; a folder that is not there yet is made, as the kubelet does.
fn within(
    source: &Path,
    mount: &VolumeMount,
    read_only: bool,
    expand: &dyn Fn(&str) -> String,
) -> Result<PathBuf, VolumeError> {
    let sub_path = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(expression), _) => expand(expression),
        (None, Some(path)) => path.clone(),
        (None, None) => return Ok(source.to_path_buf()),
    };
    let part = source.join(inside(&mount.name, &sub_path)?);
    // What the volume holds was written by steps; a link in it must not show the step the host.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if part.exists() && !real(&part).starts_with(real(source)) {
        return Err(VolumeError::SubPath { volume: mount.name.clone(), sub_path });
    }
    if part.exists() || read_only {
        return Ok(part);
    }
    made(&mount.name, part)
}

fn inside<'p>(volume: &str, path: &'p str) -> Result<&'p Path, VolumeError> {
    let path = Path::new(path);
    let stays = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if stays {
        return Ok(path);
    }
    Err(VolumeError::SubPath { volume: volume.to_owned(), sub_path: path.display().to_string() })
}
