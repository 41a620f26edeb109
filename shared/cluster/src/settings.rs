//! `dropforge.toml`: what a manifest's images, claims and secrets are on a machine without images.
//!
//! Read strictly: an unknown key is a finding with its place and the nearest known key, and all findings of a
//! file are told at once. Paths are relative to the file's folder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use dropforge_driver::births::Site;

use crate::engines::Executor;
use crate::environments::Machine;
use crate::python::Wanted;

mod image;
mod plan;
mod read;
mod requirements;
mod site;
#[cfg(test)]
mod tests;

#[cfg(feature = "kubernetes")]
pub(crate) use image::matches as image_matches;
pub use plan::{CodeFiles, ImagePlan, Runs, plan};
pub use requirements::Requirements;

/// The settings file's name.
pub const FILE_NAME: &str = "dropforge.toml";

/// A place in a text file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// One thing that is wrong with a settings or requirements file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub place: Place,
    /// What is wrong.
    pub reason: String,
    /// What to do, where that can be said.
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(f, "{}:{line}:{column}: {}", self.file.display(), self.reason)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

/// Why settings cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file, or a requirements file it names, says something that cannot be followed.
    #[error("follow the settings:\n{}", lines(findings))]
    Invalid {
        /// All that is wrong, in the order of the file.
        findings: Vec<Finding>,
    },
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// What `dropforge.toml` says, with the defaults for all it does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The folder that relative paths start from, absolute.
    pub root: PathBuf,
    /// The file that was read; nothing where there is none.
    pub file: Option<PathBuf>,
    /// The images that are stood for, in the order of the file.
    pub images: Vec<Image>,
    /// The person's own files that steps get.
    pub code: Code,
    /// Existing claims as local folders.
    pub claims: BTreeMap<String, PathBuf>,
    /// The folder of the secrets.
    pub secrets: PathBuf,
    /// The folder of the config maps.
    pub config_maps: PathBuf,
    /// How packages are fetched.
    pub pip: Pip,
    /// What runs steps.
    pub executor: Executor,
    /// What holds for every run: the defaults of workflows, and what they may be made of.
    pub site: Site,
}

/// What stands for the images of one name or pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The image as manifests write it; `*` is any run of characters.
    pub pattern: String,
    /// Where the pattern stands.
    pub place: Place,
    /// The packages.
    pub requirements: Option<Requirements>,
    /// The Python version.
    pub python: Option<Wanted>,
    /// What replaces them on a machine without a GPU.
    pub without_gpu: Option<StandIn>,
    /// What steps of the image find on a cluster.
    pub cluster: OnCluster,
}

impl Image {
    /// The packages that steps take along to a cluster; nothing where there are none.
    pub fn cluster_requirements(&self) -> Option<&Requirements> {
        let own = self.cluster.requirements.as_ref().or(self.requirements.as_ref());
        own.filter(|requirements| !requirements.is_empty())
    }

    /// The Python versions that the image may have on a cluster: as said of the cluster, of the image, or by its tag.
    pub fn cluster_pythons(&self) -> Vec<Wanted> {
        if !self.cluster.pythons.is_empty() {
            return self.cluster.pythons.clone();
        }
        self.python.or_else(|| image::python(&self.pattern).flatten()).into_iter().collect()
    }
}

/// How an image's packages are packed for a cluster, whose nodes pull the image itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCluster {
    /// Other packages than on this machine: an image may bring its own.
    pub requirements: Option<Requirements>,
    /// The image's Python versions; none where the image's entry says it.
    pub pythons: Vec<Wanted>,
    /// The kinds of nodes; none: nothing is packed.
    pub platforms: Vec<Machine>,
}

impl Default for OnCluster {
    fn default() -> Self {
        Self { requirements: None, pythons: Vec::new(), platforms: Machine::ALL.to_vec() }
    }
}

/// What replaces an image on a machine without a GPU. What it does not name stays the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandIn {
    /// The packages.
    pub requirements: Option<Requirements>,
    /// The Python version.
    pub python: Option<Wanted>,
    /// Globs of files that replace those of the same name. Their first folder is left off where they are placed:
    /// `standin/train.py` becomes `train.py`.
    pub code: Vec<String>,
}

/// Which of the person's own files a step gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// Globs of the files, relative to the root.
    pub include: Vec<String>,
    /// Globs of files that are left out.
    pub exclude: Vec<String>,
}

/// How packages are fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pip {
    /// A folder of wheels that is looked at beside the index.
    pub wheels: Option<PathBuf>,
    /// Whether no index may be asked.
    pub offline: bool,
}

impl Settings {
    /// The settings of a folder: its `dropforge.toml`, or the defaults where it has none.
    ///
    /// # Errors
    /// Where the file cannot be read, or says what cannot be followed.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(FILE_NAME);
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::parse(&file, &text),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Self::defaults(folder)),
            Err(source) => Err(Error::Read { path: file, source }),
        }
    }

    /// The settings that `text` says, as if it stood in `file`.
    ///
    /// # Errors
    /// Where the text says what cannot be followed.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Error> {
        read::settings(file, text).map_err(|findings| Error::Invalid { findings })
    }

    /// The settings of a folder that has no `dropforge.toml`.
    pub fn defaults(folder: &Path) -> Self {
        let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            file: None,
            images: Vec::new(),
            code: Code::default(),
            claims: BTreeMap::new(),
            secrets: root.join(".dropforge/secrets"),
            config_maps: root.join(".dropforge/config-maps"),
            pip: Pip::default(),
            executor: Executor::default(),
            site: Site::default(),
            root,
        }
    }

    /// The entry that stands for an image: the most specific of those that match, which is the one with the most
    /// characters that are not `*`; of two such the one that stands first.
    pub fn image(&self, image: &str) -> Option<&Image> {
        let specific = |entry: &&Image| {
            let stars = entry.pattern.matches('*').count();
            (stars == 0, entry.pattern.len() - stars, std::cmp::Reverse(entry.place))
        };
        self.images.iter().filter(|entry| image::matches(&entry.pattern, image)).max_by_key(specific)
    }

    /// The file of a secret's key; nothing where a name would lead out of the secrets' folder.
    pub fn secret(&self, name: &str, key: &str) -> Option<PathBuf> {
        below(&self.secrets, name, key)
    }

    /// The file of a config map's key; nothing where a name would lead out of the config maps' folder.
    pub fn config_map(&self, name: &str, key: &str) -> Option<PathBuf> {
        below(&self.config_maps, name, key)
    }
}

fn below(folder: &Path, name: &str, key: &str) -> Option<PathBuf> {
    [name, key].iter().all(|part| is_one_name(part)).then(|| folder.join(name).join(key))
}

fn is_one_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
}
