//! Outputs: from the files a step left to parameters and stored objects.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dropforge_driver::store::{Artifacts, ObjectFacts, Place, StoreError};
use dropforge_engine::attempt::{Attempt, StoredObject};
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{Artifact, HttpLocation, Outputs, Parameter, S3Location};
use serde::{Deserialize, Serialize};

use crate::archive::{self, ArchiveError, Packing};
use crate::http;
use crate::step::places::{BadPath, Places, clean};
use crate::step::{Site, told};
use crate::transfer::{Progress, stored_at, stored_directory, stored_object};
use crate::variables::LocalObjects;

mod metrics;

/// The longest parameter and result: Argo's, whose objects must fit etcd; longer values are artifacts.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// What a step's parameters may have together, as they are stored: functions read the verdicts of many steps at once.
pub const TEXTS_BYTES_MAX: usize = 1024 * 1024;

/// The name whose numbers go into the run's index entry.
const METRICS: &str = "metrics";

/// Why an output can't be had. Missing files are told in the words of Argo's executor.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file of a parameter is not there.
    #[error("open /var/run/argo/outputs/parameters{}: no such file or directory", path.display())]
    NoParameter {
        /// Its path in the step.
        path: PathBuf,
    },
    /// The file or folder of an artifact is not there.
    #[error("output artifact {artifact}: stat {}: no such file or directory", path.display())]
    NoArtifact {
        /// The artifact.
        artifact: String,
        /// Its path in the step.
        path: PathBuf,
    },
    /// A parameter is too long.
    #[error(
        "output parameter {parameter}: {} has {bytes} bytes, more than {TEXT_BYTES_MAX}: make it an artifact",
        path.display()
    )]
    TooLong {
        /// The parameter.
        parameter: String,
        /// Its path in the step.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The parameters together are too long.
    #[error(
        "output parameter {parameter}: with it the step's parameters have {bytes} bytes, more than {TEXTS_BYTES_MAX}: make it an artifact"
    )]
    TooMuch {
        /// The one that was too much.
        parameter: String,
        /// The size of all up to this one.
        bytes: usize,
    },
    /// What stands there is a pipe, a socket or a device, which has no end.
    #[error("output {output}: {} is neither a file nor a folder", path.display())]
    NoFile {
        /// The parameter or artifact.
        output: String,
        /// Its path in the step.
        path: PathBuf,
    },
    /// A file's name within a folder can't be a key.
    #[error(
        "output artifact {artifact}: the file name {name:?} is not UTF-8 and can't be a key; pack it as tar"
    )]
    Name {
        /// The artifact.
        artifact: String,
        /// The name.
        name: PathBuf,
    },
    /// The place is of a kind that is not known.
    #[error(
        "output artifact {artifact}: its location is of a kind that is not supported here; `s3` and `http` are"
    )]
    UnsupportedLocation {
        /// The artifact.
        artifact: String,
    },
    /// The path can't be one of the step's.
    #[error("output {output}")]
    Path {
        /// The parameter or artifact.
        output: String,
        /// Why.
        #[source]
        source: BadPath,
    },
    /// Reading failed.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be packed.
    #[error("output artifact {artifact}")]
    Archive {
        /// The artifact.
        artifact: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// It could not be brought to its server.
    #[error("output artifact {artifact}")]
    Http {
        /// The artifact.
        artifact: String,
        /// Why.
        #[source]
        source: Box<http::artifact::ArtifactError>,
    },
    /// A folder can't be one file at a URL.
    #[error(
        "output artifact {artifact}: a folder can't be stored at a URL as it is: leave out `archive.none`"
    )]
    Folder {
        /// The artifact.
        artifact: String,
    },
    /// It could not be stored.
    #[error("output artifact {artifact}")]
    Store {
        /// The artifact.
        artifact: String,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// The parameter, if there is room for it beside `bytes` of others.
fn within(parameter: Parameter, bytes: &mut usize) -> Result<Parameter, OutputError> {
    // Quotes and control characters take more room than they have bytes.
    let stored = parameter.value.as_ref().and_then(|value| serde_json::to_string(value).ok());
    let all = *bytes + stored.map_or(0, |stored| stored.len());
    if all > TEXTS_BYTES_MAX {
        return Err(OutputError::TooMuch { parameter: parameter.name, bytes: all });
    }
    *bytes = all;
    Ok(parameter)
}

/// What a step gave.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Collected {
    /// Parameters and artifacts.
    pub outputs: Outputs,
    /// What was written.
    pub written: Vec<StoredObject>,
    /// The numbers of the output called `metrics`.
    pub metrics: BTreeMap<String, f64>,
    /// Why the first output that could not be had could not; the others are collected all the same.
    pub failure: Option<String>,
}

impl Collected {
    fn failed(&mut self, error: &OutputError) {
        self.failure.get_or_insert_with(|| told(error));
    }

    /// Adds what another container gave.
    pub fn add(&mut self, other: Collected) {
        self.outputs.parameters.extend(other.outputs.parameters);
        self.outputs.artifacts.extend(other.outputs.artifacts);
        self.written.extend(other.written);
        self.metrics.extend(other.metrics);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// What is collected from where.
pub struct Collection<'a, S> {
    /// The store.
    pub site: &'a Site<S>,
    /// The attempt.
    pub attempt: &'a Attempt,
    /// The outputs that are looked for.
    pub declared: &'a Outputs,
    /// Where the step's paths are.
    pub places: &'a Places,
    /// An empty folder of the attempt's.
    pub spare: &'a Path,
    /// The secrets that a URL may ask for.
    pub secrets: &'a LocalObjects,
    /// The logs that become artifacts, by container.
    pub logs: &'a [(&'a str, &'a Path)],
    /// Who is told.
    pub progress: &'a Progress<'a>,
}

impl<S: Artifacts> Collection<'_, S> {
    /// Collects all outputs, going on past those that fail.
    pub fn collect(&self) -> Collected {
        let mut collected = Collected::default();
        let mut bytes = 0;
        for parameter in &self.declared.parameters {
            match self.parameter(parameter).and_then(|parameter| within(parameter, &mut bytes)) {
                Ok(parameter) => {
                    let value = parameter.value.as_ref().filter(|_| parameter.name == METRICS);
                    collected.metrics.extend(value.map(|v| metrics::numbers(v.as_str())).unwrap_or_default());
                    collected.outputs.parameters.push(parameter);
                }
                Err(error) => collected.failed(&error),
            }
        }
        for artifact in &self.declared.artifacts {
            if let Err(error) = self.artifact(artifact, &mut collected) {
                collected.failed(&error);
            }
        }
        for (container, log) in self.logs {
            if let Err(error) = self.log(container, log, &mut collected) {
                collected.failed(&error);
            }
        }
        collected
    }

    fn parameter(&self, parameter: &Parameter) -> Result<Parameter, OutputError> {
        let from = parameter.value_from.as_ref();
        let Some(path) = from.and_then(|from| from.path.as_deref()) else { return Ok(parameter.clone()) };
        let path = self.path(&parameter.name, path)?;
        let file = self.places.followed(&path);
        has_an_end(&parameter.name, &path, &file)?;
        let read = match read_at_most(&file, TEXT_BYTES_MAX + 1) {
            Ok(read) => text(read),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let default = from.and_then(|from| from.default.clone());
                default.ok_or_else(|| OutputError::NoParameter { path: path.clone() })?.0
            }
            Err(source) => return Err(OutputError::Read { path, source }),
        };
        if read.len() > TEXT_BYTES_MAX {
            let bytes = file.metadata().map_or(read.len() as u64, |m| m.len());
            return Err(OutputError::TooLong { parameter: parameter.name.clone(), path, bytes });
        }
        Ok(Parameter { value: Some(AnyString(read)), ..parameter.clone() })
    }

    fn path(&self, output: &str, path: &str) -> Result<PathBuf, OutputError> {
        clean(path).map_err(|source| OutputError::Path { output: output.to_owned(), source })
    }

    fn artifact(&self, artifact: &Artifact, collected: &mut Collected) -> Result<(), OutputError> {
        let name = &artifact.name;
        if artifact.has_location() && artifact.s3.is_none() && artifact.http.is_none() {
            return Err(OutputError::UnsupportedLocation { artifact: name.clone() });
        }
        let path = self.path(name, artifact.path.as_deref().unwrap_or_default())?;
        let file = self.places.followed(&path);
        if !file.exists() {
            let missing = OutputError::NoArtifact { artifact: name.clone(), path };
            return if artifact.optional { Ok(()) } else { Err(missing) };
        }
        has_an_end(name, &path, &file)?;
        if name == METRICS {
            collected.metrics.extend(metrics::of_file(&file));
        }
        let packing = Packing::of(artifact.archive.as_ref());
        if let Some(location) = &artifact.http {
            return self.upload(artifact, location, (&path, &file), packing, collected);
        }
        let place = self.place(artifact, &packing.file_name(name, &path));
        let written = match packing {
            Packing::None if file.is_dir() => self.store_folder(name, &file, &place)?,
            Packing::None => {
                let ours = self.is_ours_alone(&path);
                stored_object(name, &place, self.store_file(name, &file, &place, ours)?)
            }
            Packing::Tar(_) | Packing::Zip => {
                let packed = self.packed(name, (&path, &file), packing, collected)?;
                stored_object(name, &place, self.store_file(name, &packed, &place, true)?)
            }
        };
        collected.written.push(written);
        collected.outputs.artifacts.push(located(artifact, place));
        Ok(())
    }

    /// Packs the file or folder that the step knows as `path`.
    fn packed(
        &self,
        name: &str,
        (path, file): (&Path, &Path),
        packing: Packing,
        collected: &Collected,
    ) -> Result<PathBuf, OutputError> {
        let packed = self.spare.join(format!("{}.packed", collected.written.len()));
        let top = path.file_name().map_or(Path::new(name), Path::new);
        let done = match packing {
            Packing::Tar(level) => archive::pack(file, top, &packed, level),
            Packing::Zip => archive::zip::pack(file, top, &packed),
            Packing::None => return Ok(file.to_path_buf()),
        };
        done.map_err(|source| OutputError::Archive { artifact: name.to_owned(), source })?;
        Ok(packed)
    }

    /// Brings the artifact to its URL.
    fn upload(
        &self,
        artifact: &Artifact,
        location: &HttpLocation,
        (path, file): (&Path, &Path),
        packing: Packing,
        collected: &mut Collected,
    ) -> Result<(), OutputError> {
        let name = &artifact.name;
        if packing == Packing::None && file.is_dir() {
            return Err(OutputError::Folder { artifact: name.clone() });
        }
        let from = self.packed(name, (path, file), packing, collected)?;
        http::artifact::save(location, self.secrets, &from, path)
            .map_err(|source| OutputError::Http { artifact: name.clone(), source: Box::new(source) })?;
        let written = stored_at(name, &location.url, &from);
        collected
            .written
            .push(written.map_err(|source| OutputError::Read { path: path.to_path_buf(), source })?);
        collected.outputs.artifacts.push(artifact.clone());
        Ok(())
    }

    /// Where the artifact goes: its own key as written, else Argo's key format.
    fn place(&self, artifact: &Artifact, file_name: &str) -> Place {
        let own = artifact.s3.as_ref();
        let key = own.and_then(|s3| s3.key.clone()).filter(|key| !key.is_empty());
        Place {
            bucket: own.and_then(|s3| s3.bucket.clone()),
            key: key.unwrap_or_else(|| format!("{}/{file_name}", self.attempt.work.artifact_prefix)),
        }
    }

    /// Whether the file is the attempt's, so that the store may take it away, and no other output needs it.
    fn is_ours_alone(&self, path: &Path) -> bool {
        let outputs = self.declared;
        let artifacts = outputs.artifacts.iter().filter_map(|artifact| artifact.path.as_deref());
        let parameters = outputs.parameters.iter().filter_map(|p| p.value_from.as_ref()?.path.as_deref());
        let needing =
            artifacts.chain(parameters).filter_map(|p| clean(p).ok()).filter(|p| path.starts_with(p));
        self.places.mount(path).is_none() && !self.places.host(path).is_symlink() && needing.count() == 1
    }

    fn store_file(
        &self,
        name: &str,
        file: &Path,
        place: &Place,
        ours: bool,
    ) -> Result<ObjectFacts, OutputError> {
        let progress = self.progress.of("output", name);
        let stored = self.site.store.store(&self.attempt.namespace, file, place, ours, &progress);
        self.site.wait(stored).map_err(|source| OutputError::Store { artifact: name.to_owned(), source })
    }

    fn store_folder(&self, name: &str, folder: &Path, place: &Place) -> Result<StoredObject, OutputError> {
        let mut files = Vec::new();
        files_below(folder, &mut files).map_err(|(path, source)| OutputError::Read { path, source })?;
        files.sort();
        let mut stored = Vec::with_capacity(files.len());
        for file in files {
            let relative = file.strip_prefix(folder).unwrap_or(&file);
            let Some(relative) = relative.to_str() else {
                return Err(OutputError::Name { artifact: name.to_owned(), name: relative.to_path_buf() });
            };
            let key = format!("{}/{relative}", place.key.trim_end_matches('/'));
            let facts = self.store_file(name, &file, &Place { key, ..place.clone() }, false)?;
            stored.push((relative.to_owned(), facts));
        }
        Ok(stored_directory(name, place, &stored))
    }

    fn log(&self, container: &str, log: &Path, collected: &mut Collected) -> Result<(), OutputError> {
        let name = format!("{container}-logs");
        let key = format!("{}/{container}.log", self.attempt.work.artifact_prefix);
        let place = Place { bucket: None, key };
        let facts = self.store_file(&name, log, &place, false)?;
        collected.written.push(stored_object(&name, &place, facts));
        let artifact = Artifact { name, ..Artifact::default() };
        collected.outputs.artifacts.push(located(&artifact, place));
        Ok(())
    }
}

/// The artifact with its location, as a node's outputs show it.
fn located(artifact: &Artifact, place: Place) -> Artifact {
    let own = artifact.s3.clone().unwrap_or_default();
    let s3 = S3Location { key: Some(place.key), bucket: place.bucket, ..own };
    Artifact { s3: Some(s3), ..artifact.clone() }
}

/// A file's content as a value: one newline at its end does not count.
pub fn text(mut bytes: Vec<u8>) -> String {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
}

/// Reading a pipe would wait for a writer for ever. The step has ended: nobody exchanges the file any more.
fn has_an_end(output: &str, path: &Path, file: &Path) -> Result<(), OutputError> {
    match file.metadata() {
        Ok(facts) if !facts.is_file() && !facts.is_dir() => {
            Err(OutputError::NoFile { output: output.to_owned(), path: path.to_path_buf() })
        }
        _ => Ok(()),
    }
}

fn read_at_most(file: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut read = Vec::new();
    // One more for the newline that does not count.
    fs::File::open(file)?.take(bytes as u64 + 1).read_to_end(&mut read)?;
    Ok(read)
}

/// Every file below `folder`; symbolic links are left out, as Argo does.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |source| (folder.to_path_buf(), source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            files_below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_no_output() {
        let at = tempfile::tempdir().unwrap();
        let pipe = at.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let told = |file: &Path| has_an_end("o", Path::new("/tmp/o"), file).map_err(|why| why.to_string());
        let why = Err("output o: /tmp/o is neither a file nor a folder".to_owned());
        assert_eq!((told(&pipe), told(Path::new("/dev/zero"))), (why.clone(), why));
        assert_eq!((told(at.path()), told(&at.path().join("missing"))), (Ok(()), Ok(())));
    }
}
