//! What a run takes along when its steps are pods: the locked packages that its images lack, and the person's files.
//!
//! Both are files in the cache, named by their hash; whoever submits the run stores them where its pods look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dropforge_engine::spec::{Packed, PackedCode, PackedEnvironment};
use sha2::{Digest, Sha256};

use crate::code::{self, Code};
use crate::environments::{self, Environments, LOCK_FILE_NAME, Progress, Target};
use crate::parcel::{Content, Entry, Parcel};
use crate::python::{self, Pythons, Wanted};
use crate::settings::{CodeFiles, Image, Requirements, Settings};

#[cfg(test)]
mod tests;

/// Why a run's environments or code can't be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackingError {
    /// Nothing says which Python the image has.
    #[error(
        "pack the packages of image {image}: nothing says which Python it has; write `python = \"3.11\"` below \
         [images.{image:?}.cluster] in dropforge.toml"
    )]
    NoVersion {
        /// The image's entry.
        image: String,
    },
    /// No interpreter runs the installer.
    #[error("find a Python to pack the packages of image {image}")]
    Python {
        /// The image's entry.
        image: String,
        /// Why.
        #[source]
        source: python::Error,
    },
    /// Its packages can't be had.
    #[error("pack the packages of image {image} for Python {target}")]
    Packages {
        /// The image's entry.
        image: String,
        /// The Python and the machine.
        target: Target,
        /// Why.
        #[source]
        source: Box<environments::Error>,
    },
    /// The person's files can't be had.
    #[error("pack the code")]
    Code(#[source] code::Error),
    /// The packed code can't be kept.
    #[error("write {}", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What a run takes along.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Luggage {
    /// For the run's spec.
    pub packed: Packed,
    /// The files that it names, each once.
    pub parcels: Vec<Parcel>,
}

/// With what runs are packed.
#[derive(Clone, Debug)]
pub struct Packer {
    /// `dropforge.toml`.
    pub settings: Settings,
    /// Keeps what was packed.
    pub cache: PathBuf,
    /// How packages are fetched.
    pub packages: environments::Options,
    /// Where interpreters are looked for.
    pub pythons: python::Places,
}

impl Packer {
    /// Packs what steps with these images need. An image whose name is only known at run time (`{{…}}`) may be any that
    /// the settings name: then all of those are packed, by their patterns.
    ///
    /// # Errors
    /// When something can't be packed; nothing is stored anywhere but in the cache.
    pub fn pack(
        &self,
        images: &BTreeSet<String>,
        progress: &dyn Fn(Progress),
    ) -> Result<Luggage, PackingError> {
        let mut luggage = Luggage::default();
        for (name, image) in self.wanted(images) {
            let environment = self.environment(image, progress, &mut luggage.parcels)?;
            luggage.packed.environments.extend(environment.map(|environment| (name, environment)));
        }
        luggage.packed.code = self.code(&mut luggage.parcels)?;
        luggage.parcels.sort_by(|one, other| one.sha256.cmp(&other.sha256));
        luggage.parcels.dedup_by(|one, other| one.sha256 == other.sha256);
        Ok(luggage)
    }

    /// The settings' entries for the images, by what a pod's image is looked up by.
    fn wanted(&self, images: &BTreeSet<String>) -> BTreeMap<String, &Image> {
        let named = images.iter().filter_map(|image| Some((image.clone(), self.settings.image(image)?)));
        let is_open = images.iter().any(|image| image.contains("{{"));
        let all = self.settings.images.iter().filter(|_| is_open);
        named.chain(all.map(|image| (image.pattern.clone(), image))).collect()
    }

    fn environment(
        &self,
        image: &Image,
        progress: &dyn Fn(Progress),
        parcels: &mut Vec<Parcel>,
    ) -> Result<Option<PackedEnvironment>, PackingError> {
        let Some(requirements) = image.cluster_requirements() else { return Ok(None) };
        let mut environment = PackedEnvironment::default();
        let mut locks = Vec::new();
        for target in targets(image)? {
            let (lock, parcel) = self.tree(image, requirements, target, progress)?;
            environment.trees.insert(target.to_string(), parcel.sha256.clone());
            locks.push(lock);
            parcels.push(parcel);
        }
        environment.lock_hash = sha256(&locks);
        Ok(Some(environment).filter(|environment| !environment.trees.is_empty()))
    }

    /// One tree and the hash of its lock.
    fn tree(
        &self,
        image: &Image,
        requirements: &Requirements,
        target: Target,
        progress: &dyn Fn(Progress),
    ) -> Result<(String, Parcel), PackingError> {
        let name = &image.pattern;
        let wanted = Wanted { major: target.major, minor: Some(target.minor), patch: None };
        let pythons = Pythons::new(self.cache.clone(), self.pythons.clone());
        let python = pythons
            .choose(Some(wanted))
            .map_err(|source| PackingError::Python { image: name.clone(), source })?
            .interpreter;
        let environments = Environments::new(self.cache.clone(), self.packages.clone());
        let lock_file = self.settings.root.join(LOCK_FILE_NAME);
        let packed = || {
            let lock = environments.lock_tree(name, requirements, target, &python, &lock_file, progress)?;
            let tree = environments.tree(&lock, progress)?;
            Ok((lock.hash, tree))
        };
        packed().map_err(|source| PackingError::Packages {
            image: name.clone(),
            target,
            source: Box::new(source),
        })
    }

    fn code(&self, parcels: &mut Vec<Parcel>) -> Result<Option<PackedCode>, PackingError> {
        let files = CodeFiles {
            include: self.settings.code.include.clone(),
            exclude: self.settings.code.exclude.clone(),
            replace: Vec::new(),
        };
        if files.include.is_empty() {
            return Ok(None);
        }
        let code = code::pack(&self.cache, &self.settings.root, &files).map_err(PackingError::Code)?;
        let home = self.cache.join("packed").join(format!("code-{}", code.hash));
        let parcel = match Parcel::at(&home) {
            Some(parcel) => parcel,
            None => Parcel::make(&home, &entries(&code))
                .map_err(|source| PackingError::Keep { path: home.clone(), source })?,
        };
        let hash = parcel.sha256.clone();
        parcels.push(parcel);
        Ok(Some(PackedCode { hash, git: code.git.as_ref().map(ToString::to_string) }))
    }
}

/// The Pythons and machines that an image's packages are packed for.
fn targets(image: &Image) -> Result<Vec<Target>, PackingError> {
    let no_version = || PackingError::NoVersion { image: image.pattern.clone() };
    let pythons = image.cluster_pythons();
    if pythons.is_empty() {
        return Err(no_version());
    }
    let mut targets = Vec::new();
    for python in pythons {
        let minor = python.minor.ok_or_else(no_version)?;
        let on = |machine| Target { major: python.major, minor, machine };
        targets.extend(image.cluster.platforms.iter().copied().map(on));
    }
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

fn entries(code: &Code) -> Vec<Entry> {
    let entry = |file: &code::CodeFile| Entry {
        path: file.path.clone(),
        is_program: file.mode & 0o111 != 0,
        content: Content::File(code.folder.join(&file.path)),
    };
    code.files.iter().map(entry).collect()
}

/// One hash for the locks of all targets.
fn sha256(locks: &[String]) -> String {
    Sha256::digest(locks.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}
