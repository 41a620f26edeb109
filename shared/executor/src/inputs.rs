//! Input artifacts: from their objects to the paths where the step finds them.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dropforge_driver::store::{Artifacts, ErrorKind, ObjectFacts, Place, StoreError};
use dropforge_engine::attempt::StoredObject;
use dropforge_manifest::types::Artifact;

use crate::archive::{self, ArchiveError};
use crate::git;
use crate::http;
use crate::step::Site;
use crate::step::places::{BadPath, Places, clean};
use crate::transfer::{Progress, stored_at, stored_directory, stored_object};
use crate::variables::LocalObjects;
use crate::volumes::Mount;

/// Why the inputs can't be had.
#[derive(Debug, thiserror::Error)]
#[error("artifact {artifact} failed to load")]
pub struct InputError {
    /// The artifact.
    pub artifact: String,
    /// Why.
    #[source]
    pub why: InputProblem,
}

/// Why one input can't be had.
#[derive(Debug, thiserror::Error)]
pub enum InputProblem {
    /// There is no such object.
    #[error("there is no object {0}")]
    NoObject(String),
    /// Whoever may not list the whole bucket is told of a missing object that it is forbidden.
    #[error("there is no object {object}, or it may not be read")]
    Hidden {
        /// The object.
        object: String,
        /// What the store said.
        #[source]
        source: Box<StoreError>,
    },
    /// The manifest gives it no location.
    #[error("no location is given")]
    NoLocation,
    /// Only `raw`, `s3`, `http` and `git` are known here.
    #[error("its location is of a kind that is not supported here; `s3`, `http`, `git` and `raw` are")]
    UnsupportedLocation,
    /// Its path can't be one of the step's.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// A key below a folder leads out of it.
    #[error("the key {0:?} leads out of its folder")]
    Escapes(String),
    /// The store could not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its server could not give it.
    #[error(transparent)]
    Http(#[from] Box<http::artifact::ArtifactError>),
    /// Its repository could not be had.
    #[error(transparent)]
    Git(#[from] Box<git::GitError>),
    /// It could not be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It could not be put in its place.
    #[error("put it at {}", path.display())]
    Put {
        /// Its path on this machine.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The inputs in place.
#[derive(Debug, Default, PartialEq)]
pub struct Loaded {
    /// Files linked from the store, which the step sees read-only.
    pub mounts: Vec<Mount>,
    /// What was read.
    pub read: Vec<StoredObject>,
}

/// Brings every input artifact to where the step finds it. `spare` is an empty folder of the attempt's.
///
/// # Errors
/// When one that is not optional can't be had.
pub fn load<S: Artifacts>(
    site: &Site<S>,
    namespace: &str,
    artifacts: &[Artifact],
    places: &Places,
    spare: &Path,
    secrets: &LocalObjects,
    progress: &Progress<'_>,
) -> Result<Loaded, InputError> {
    let mut loaded = Loaded::default();
    for (index, artifact) in artifacts.iter().enumerate() {
        let spare = spare.join(index.to_string());
        let one = One { site, namespace, artifact, places, spare: &spare, secrets, progress };
        match one.load(&mut loaded) {
            Err(InputProblem::NoObject(_) | InputProblem::Hidden { .. } | InputProblem::NoLocation)
                if artifact.optional => {}
            done => done.map_err(|why| InputError { artifact: artifact.name.clone(), why })?,
        }
    }
    Ok(loaded)
}

/// Unpacks a file by way of a folder to its place.
type Unpack = fn(&Path, &Path, &Path) -> Result<(), ArchiveError>;

/// One input on its way.
struct One<'a, S> {
    site: &'a Site<S>,
    namespace: &'a str,
    artifact: &'a Artifact,
    places: &'a Places,
    spare: &'a Path,
    secrets: &'a LocalObjects,
    progress: &'a Progress<'a>,
}

impl<S: Artifacts> One<'_, S> {
    fn load(&self, loaded: &mut Loaded) -> Result<(), InputProblem> {
        let path = clean(self.artifact.path.as_deref().unwrap_or_default())?;
        let to = self.places.host(&path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|source| put(&to, source))?;
        }
        if let Some(raw) = &self.artifact.raw {
            fs::write(&to, &raw.data).map_err(|source| put(&to, source))?;
            return self.set_mode(&to);
        }
        if let Some(location) = &self.artifact.http {
            if !http::artifact::load(location, self.secrets, self.spare).map_err(Box::new)? {
                return Err(InputProblem::NoObject(format!("{} (404 Not Found)", location.url)));
            }
            let read = stored_at(&self.artifact.name, &location.url, self.spare);
            loaded.read.push(read.map_err(|source| put(self.spare, source))?);
            loaded.mounts.extend(self.put_in_place(&path, &to, false)?);
            return Ok(());
        }
        if let Some(location) = &self.artifact.git {
            let key = self.spare.with_extension("key");
            let read = git::load(&self.artifact.name, location, self.secrets, self.spare, &key);
            loaded.read.push(read.map_err(Box::new)?);
            loaded.mounts.extend(self.put_in_place(&path, &to, false)?);
            return Ok(());
        }
        let s3 = self.artifact.s3.as_ref().filter(|s3| s3.key.as_ref().is_some_and(|key| !key.is_empty()));
        let Some(s3) = s3 else {
            let other = self.artifact.has_location() && self.artifact.s3.is_none();
            return Err(if other { InputProblem::UnsupportedLocation } else { InputProblem::NoLocation });
        };
        let (read, linked) = self.fetch(&Place::of(s3))?;
        loaded.read.push(read);
        loaded.mounts.extend(self.put_in_place(&path, &to, linked)?);
        Ok(())
    }

    /// Brings the object, or the folder of objects, to `spare`; says whether it holds links into the store.
    fn fetch(&self, place: &Place) -> Result<(StoredObject, bool), InputProblem> {
        let folder = Place { key: place.key.trim_end_matches('/').to_owned(), ..place.clone() };
        if folder != *place {
            return self.fetch_folder(&folder);
        }
        match self.fetch_object(place, self.spare) {
            Ok(Some(facts)) => Ok((stored_object(&self.artifact.name, place, facts), privately(self.spare)?)),
            Ok(None) => self.fetch_folder(&folder),
            Err(InputProblem::Store(source)) if source.kind() == ErrorKind::Denied => {
                match self.fetch_folder(&folder) {
                    Err(InputProblem::NoObject(object)) => {
                        Err(InputProblem::Hidden { object, source: Box::new(source) })
                    }
                    Err(InputProblem::Store(_)) => Err(source.into()),
                    found => found,
                }
            }
            Err(other) => Err(other),
        }
    }

    fn fetch_object(&self, place: &Place, to: &Path) -> Result<Option<ObjectFacts>, InputProblem> {
        let progress = self.progress.of("input", &self.artifact.name);
        match self.site.wait(self.site.store.fetch(self.namespace, place, to, &progress)) {
            Ok(facts) => Ok(Some(facts)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    fn fetch_folder(&self, folder: &Place) -> Result<(StoredObject, bool), InputProblem> {
        let keys = self.site.wait(self.site.store.list(self.namespace, folder))?;
        let keys: Vec<String> = keys.into_iter().filter(|key| !key.ends_with('/')).collect();
        if keys.is_empty() {
            return Err(InputProblem::NoObject(shown(folder)));
        }
        let mut linked = false;
        let mut files = Vec::with_capacity(keys.len());
        for key in keys {
            let relative = clean(&format!("/{key}")).map_err(|_| InputProblem::Escapes(key.clone()))?;
            let to = self.spare.join(relative.strip_prefix("/").unwrap_or(&relative));
            fs::create_dir_all(to.parent().unwrap_or(self.spare)).map_err(|source| put(&to, source))?;
            let object = Place { key: format!("{}/{key}", folder.key), ..folder.clone() };
            // Removed between the list and now: as if it had never been listed.
            let Some(facts) = self.fetch_object(&object, &to)? else { continue };
            linked |= privately(&to)?;
            files.push((key, facts));
        }
        Ok((stored_directory(&self.artifact.name, folder, &files), linked))
    }

    /// Moves, unpacks or mounts what was fetched.
    fn put_in_place(&self, path: &Path, to: &Path, linked: bool) -> Result<Option<Mount>, InputProblem> {
        if let Some(unpack) = self.packed() {
            let unpacked = beside(to, "unpacked");
            unpack(self.spare, &beside(to, "unpacking"), &unpacked)?;
            fs::remove_file(self.spare).map_err(|source| put(to, source))?;
            move_tree(&unpacked, to).map_err(|source| put(to, source))?;
            self.set_mode(to)?;
            return Ok(None);
        }
        let in_volume = self.places.mount(path).is_some();
        if linked && !in_volume && self.artifact.mode.is_none() && self.places.links_are_safe {
            return Ok(Some(Mount {
                target: path.to_path_buf(),
                source: self.spare.to_path_buf(),
                read_only: true,
            }));
        }
        // A link in a volume, or with a mode of its own, would let the step change the stored object.
        let moved = if linked { copy_tree(self.spare, to) } else { move_tree(self.spare, to) };
        moved.map_err(|source| put(to, source))?;
        self.set_mode(to)?;
        Ok(None)
    }

    /// How what was fetched is unpacked: as the manifest says, else as tar where it is one. A zip file that nobody
    /// says is one stays as it is, as in Argo.
    fn packed(&self) -> Option<Unpack> {
        let archive = self.artifact.archive.clone().unwrap_or_default();
        match archive {
            _ if archive.none.is_some() || !self.spare.is_file() => None,
            _ if archive.tar.is_some() => Some(archive::unpack),
            _ if archive.zip.is_some() => Some(archive::zip::unpack),
            _ => archive::is_packed(self.spare).then_some(archive::unpack as Unpack),
        }
    }

    fn set_mode(&self, to: &Path) -> Result<(), InputProblem> {
        let Some(mode) = self.artifact.mode.and_then(|mode| u32::try_from(mode).ok()) else { return Ok(()) };
        let tree = self.artifact.recurse_mode.unwrap_or_default();
        chmod(to, mode, tree).map_err(|source| put(to, source))
    }
}

fn put(path: &Path, source: io::Error) -> InputProblem {
    InputProblem::Put { path: path.to_path_buf(), source }
}

fn shown(place: &Place) -> String {
    match &place.bucket {
        Some(bucket) => format!("s3://{bucket}/{} and none below it", place.key),
        None => format!("{} in the artifact repository and none below it", place.key),
    }
}

/// Whether `file` shares its content with the store. A symbolic link is replaced by a hard link where that can
/// be, since mounts show a link's name and not its target.
fn privately(file: &Path) -> Result<bool, InputProblem> {
    let failed = |source| put(file, source);
    if file.symlink_metadata().map_err(failed)?.is_symlink() {
        let target = file.canonicalize().map_err(failed)?;
        fs::remove_file(file).map_err(failed)?;
        if fs::hard_link(&target, file).is_err() {
            fs::copy(&target, file).map_err(failed)?;
        }
    }
    Ok(file.metadata().map_err(failed)?.nlink() > 1)
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{what}"))
}

/// Moves a file or folder. Into a folder that is there already (a volume's own, say) go the folder's entries.
fn move_tree(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() && !from.is_symlink() && to.is_dir() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            move_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return fs::remove_dir(from);
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_tree(from, to)?;
            if from.is_dir() { fs::remove_dir_all(from) } else { fs::remove_file(from) }
        }
        done => done,
    }
}

/// Copies a file or folder, as writable files.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::copy(from, to)?;
    let mode = to.metadata()?.permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode | 0o200))
}

fn chmod(path: &Path, mode: u32, tree: bool) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if !tree || !path.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            chmod(&entry.path(), mode, true)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use dropforge_manifest::types::S3Location;

    use super::*;
    use crate::container::client::Engines;
    use crate::step::room::Rooms;

    #[test]
    fn a_link_to_a_folder_is_moved_and_not_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for place in ["real", "from", "to/l"] {
            fs::create_dir_all(at(place)).unwrap();
        }
        fs::write(at("real/f"), "x").unwrap();
        symlink(at("real"), at("from/l")).unwrap();
        // A folder is in the link's place: neither is touched.
        assert!(move_tree(&at("from"), &at("to")).is_err());
        assert!(at("real/f").exists() && !at("to/l/f").exists());
    }

    /// A bucket whose objects are all forbidden; with whether its folders may be listed.
    struct Forbidding(bool);

    fn forbidden() -> StoreError {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        StoreError::Io { action: "read", key: "k".into(), source }
    }

    impl Artifacts for Forbidding {
        async fn fetch(
            &self,
            _: &str,
            _: &Place,
            _: &Path,
            _: &(dyn Fn(u64, u64) + Send + Sync),
        ) -> Result<ObjectFacts, StoreError> {
            Err(forbidden())
        }

        async fn list(&self, _: &str, _: &Place) -> Result<Vec<String>, StoreError> {
            if self.0 { Ok(Vec::new()) } else { Err(forbidden()) }
        }

        async fn store(
            &self,
            _: &str,
            _: &Path,
            _: &Place,
            _: bool,
            _: &(dyn Fn(u64, u64) + Send + Sync),
        ) -> Result<ObjectFacts, StoreError> {
            Err(forbidden())
        }

        async fn remove_object(&self, _: &str, _: &Place) -> Result<(), StoreError> {
            Err(forbidden())
        }

        async fn head(&self, _: &str, _: &Place) -> Result<Option<ObjectFacts>, StoreError> {
            Err(forbidden())
        }
    }

    fn loaded(listable: bool, optional: bool) -> Result<Loaded, String> {
        let (at, runtime) =
            (tempfile::tempdir().unwrap(), tokio::runtime::Builder::new_current_thread().build().unwrap());
        let site = Site {
            store: Forbidding(listable),
            runtime: runtime.handle().clone(),
            rooms: Rooms::below(PathBuf::new()),
            volumes: PathBuf::new(),
            endpoint: None,
            host: String::new(),
            grace: Duration::ZERO,
            engines: Engines::default(),
        };
        let s3 = Some(S3Location { key: Some("data".into()), ..S3Location::default() });
        let artifact =
            Artifact { name: "data".into(), path: Some("/in".into()), s3, optional, ..Artifact::default() };
        let root = at.path().to_path_buf();
        let places = Places { own: root.clone(), root, mounts: Vec::new(), links_are_safe: false };
        let (secrets, progress) = (LocalObjects::secrets(None), Progress::new(&|_| {}));
        load(&site, "ns", &[artifact], &places, at.path(), &secrets, &progress)
            .map_err(|error| crate::step::told(&error))
    }

    #[test]
    fn a_missing_object_that_a_pod_is_told_to_be_forbidden_may_be_optional() {
        assert_eq!(loaded(true, true), Ok(Loaded::default()));
        let why = "artifact data failed to load: there is no object data in the artifact repository and none below it, or \
                   it may not be read: read k: permission denied";
        assert_eq!(loaded(true, false), Err(why.to_owned()));
        let why = "artifact data failed to load: read k: permission denied";
        assert_eq!(loaded(false, true), Err(why.to_owned()));
    }
}
