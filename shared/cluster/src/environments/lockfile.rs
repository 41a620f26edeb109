//! `dropforge.lock`: one entry per image, Python minor version and platform.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Target, sha256};
use crate::python::Interpreter;
use crate::settings::{Place, Requirements};

/// The only format so far.
const FORMAT: u32 = 1;

const HEADER: &str = "\
# The exact packages behind dropforge.toml's requirements. Written by dropforge: keep it under version control.
# To take newer versions, delete an entry or this file.
";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockFile {
    format: u32,
    #[serde(default, rename = "environment")]
    entries: Vec<Entry>,
}

/// The packages of one image for one Python and platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The image, as `dropforge.toml` names it.
    pub image: String,
    /// The Python minor version, such as `3.9`.
    pub python: String,
    /// What binary packages must be built for.
    pub platform: String,
    /// What was asked for, options first.
    pub requirements: Vec<String>,
    /// What it came to, sorted by requirement.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
}

/// One package that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Package {
    /// `six==1.16.0`, or `name @ URL` where the person named a URL.
    pub requirement: String,
    /// `sha256:…` of each file that may be installed; none where it comes from a repository's commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<String>,
}

impl Package {
    /// A line of a requirements file.
    pub fn line(&self) -> String {
        let hashes: String = self.hashes.iter().map(|hash| format!(" --hash={hash}")).collect();
        format!("{}{hashes}", self.requirement)
    }
}

impl Entry {
    /// An entry for which packages are still to be found.
    pub fn wish(image: &str, requirements: &Requirements, python: &Interpreter) -> Self {
        Self {
            image: image.to_owned(),
            python: python.minor(),
            platform: python.platform.clone(),
            requirements: [requirements.options.as_slice(), &requirements.packages].concat(),
            packages: Vec::new(),
        }
    }

    /// The same for another machine's Python.
    pub fn wish_for(image: &str, requirements: &Requirements, target: &Target) -> Self {
        Self {
            image: image.to_owned(),
            python: target.python(),
            platform: target.platform(),
            requirements: [requirements.options.as_slice(), &requirements.packages].concat(),
            packages: Vec::new(),
        }
    }

    /// SHA-256 of what is installed and for what; not of how it was asked for.
    pub fn hash(&self) -> String {
        let lines: Vec<String> = self.packages.iter().map(Package::line).collect();
        sha256(format!("1\n{}\n{}\n{}\n", self.python, self.platform, lines.join("\n")).as_bytes())
    }

    fn has_place_of(&self, other: &Self) -> bool {
        (&self.image, &self.python, &self.platform) == (&other.image, &other.python, &other.platform)
    }

    fn has_wish_of(&self, other: &Self) -> bool {
        (&self.requirements, &self.python, &self.platform)
            == (&other.requirements, &other.python, &other.platform)
    }
}

impl LockFile {
    /// The file's content; that of an empty one where there is no file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { format: FORMAT, entries: Vec::new() })
            }
            Err(source) => Err(Error::LockFile { path: path.to_owned(), source }),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let bad = |error: toml::de::Error| Error::BadLockFile {
            path: path.to_owned(),
            place: error.span().map(|span| Place::of(text, span.start)),
            reason: error.message().trim().replace('\n', ", "),
        };
        // A newer format may have any other key, so that the number is looked at alone first.
        let Format { format } = toml::from_str(text).map_err(bad)?;
        if format != FORMAT {
            let reason = format!("it has format {format}, and this dropforge knows format {FORMAT}");
            return Err(Error::BadLockFile { path: path.to_owned(), place: None, reason });
        }
        toml::from_str(text).map_err(bad)
    }

    /// The entry of the same image with the same requirements, Python and platform.
    pub fn find(&self, wish: &Entry) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.has_place_of(wish) && entry.has_wish_of(wish)).cloned()
    }

    /// What another image with the same requirements came to, as this image's entry: equal requirements are one
    /// environment.
    pub fn same_packages(&self, wish: &Entry) -> Option<Entry> {
        let other = self.entries.iter().find(|entry| entry.has_wish_of(wish))?;
        Some(Entry { packages: other.packages.clone(), ..wish.clone() })
    }

    /// Puts an entry in the place of the one for the same image, Python and platform.
    pub fn replace(&mut self, entry: Entry) {
        self.entries.retain(|old| !old.has_place_of(&entry));
        self.entries.push(entry);
        self.entries.sort_by(|one, other| {
            (&one.image, &one.python, &one.platform).cmp(&(&other.image, &other.python, &other.platform))
        });
    }

    /// Writes the file as a whole, or leaves the old one.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::LockFile { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(failed)?;
        file.write_all(self.text().as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map(drop).map_err(|error| failed(error.error))
    }

    fn text(&self) -> String {
        let body =
            toml::to_string_pretty(self).expect("strings, numbers and lists of them can be written as TOML");
        format!("{HEADER}{body}")
    }
}
