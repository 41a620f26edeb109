//! The Python interpreters of this machine, and which of them stands for a wanted version.
//!
//! Every interpreter is run once before it is believed: a pyenv shim of a version that is not active, a broken
//! link or a Python 2 is left out. What it said is cached beside the file's time and size.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::probe;

mod places;
#[cfg(test)]
mod tests;

use places::Candidate;
pub use places::Places;
pub(crate) use places::program;

/// An interpreter's exact version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The 3 of 3.9.18.
    pub major: u32,
    /// The 9 of 3.9.18.
    pub minor: u32,
    /// The 18 of 3.9.18.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A version as a person or an image's tag asks for it: `3`, `3.9` or `3.9.18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The 3 of 3.9.
    pub major: u32,
    /// The 9 of 3.9, where it is said.
    pub minor: Option<u32>,
    /// The 18 of 3.9.18, where it is said.
    pub patch: Option<u32>,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        self.minor.map_or(Ok(()), |minor| write!(f, ".{minor}"))?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

/// The text is not a version such as `3`, `3.9` or `3.9.18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Python version such as 3.9")]
pub struct NotAVersion;

impl FromStr for Wanted {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>().ok_or(NotAVersion)?;
        match parts[..] {
            [major] => Ok(Self { major, minor: None, patch: None }),
            [major, minor] => Ok(Self { major, minor: Some(minor), patch: None }),
            [major, minor, patch] => Ok(Self { major, minor: Some(minor), patch: Some(patch) }),
            _ => Err(NotAVersion),
        }
    }
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// An interpreter that ran and said what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The program itself, never a shim and never a virtual environment's copy.
    pub executable: PathBuf,
    /// Its exact version.
    pub version: Version,
    /// What its binary packages must be built for, such as `linux-x86_64-glibc`.
    pub platform: String,
    /// The version of the pip it comes with.
    pub pip: Option<(u32, u32)>,
    /// Whether it can put pip into a new virtual environment.
    pub ensurepip: bool,
}

impl Interpreter {
    /// The version without its patch, such as `3.9`.
    pub fn minor(&self) -> String {
        format!("{}.{}", self.version.major, self.version.minor)
    }
}

/// An interpreter beside what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What the settings or the image's tag asked for; nothing where any Python does.
    pub wanted: Option<Wanted>,
    /// What is taken.
    pub interpreter: Interpreter,
}

impl Chosen {
    /// Whether the taken version is the wanted one, as far as the wish goes down to the minor version.
    pub fn is_exact(&self) -> bool {
        let version = self.interpreter.version;
        self.wanted.is_none_or(|wanted| {
            wanted.major == version.major && wanted.minor.is_none_or(|minor| minor == version.minor)
        })
    }

    /// The sentence that tells a person of a version other than the wanted one.
    pub fn said(&self) -> Option<String> {
        let wanted = self.wanted.filter(|_| !self.is_exact())?;
        Some(format!(
            "Python {wanted} is not on this machine; the nearest one here, {}, is used ({})",
            self.interpreter.version,
            self.interpreter.executable.display()
        ))
    }
}

/// Why no interpreter can be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No interpreter of the wanted major version works.
    #[error(
        "find a Python{}: none of the {tried} programs looked at on PATH, in pyenv's versions and in uv's runs; \
         install Python 3 or put it on PATH",
        wanted.map(|wanted| format!(" {wanted}")).unwrap_or_default()
    )]
    NoPython {
        /// What was asked for.
        wanted: Option<Wanted>,
        /// How many programs were tried.
        tried: usize,
    },
    /// The folder of links to an interpreter cannot be made.
    #[error("link {} into {}", executable.display(), folder.display())]
    Link {
        /// The interpreter.
        executable: PathBuf,
        /// The folder for the links.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The machine's interpreters, looked at when they are asked for.
pub struct Pythons {
    cache: PathBuf,
    places: Places,
}

impl Pythons {
    /// Interpreters in `places`; what they say of themselves is remembered in the folder `cache`.
    pub fn new(cache: impl Into<PathBuf>, places: Places) -> Self {
        Self { cache: cache.into(), places }
    }

    /// The interpreter for a wish: of the same minor version where there is one, else of the nearest, the newer
    /// one of two equally near; the machine's default where nothing is wished.
    ///
    /// # Errors
    /// Where no interpreter of the wanted major version runs.
    pub fn choose(&self, wanted: Option<Wanted>) -> Result<Chosen, Error> {
        let candidates = self.places.candidates();
        let mut memory = Memory::load(&self.cache);
        let chosen = match wanted.filter(|wish| wish.minor.is_some()) {
            Some(wish) => memory.nearest(&candidates, wish),
            None => candidates.iter().find_map(|candidate| {
                memory
                    .verify(candidate)
                    .filter(|one| wanted.is_none_or(|wish| wish.major == one.version.major))
            }),
        };
        memory.save(&self.cache);
        let interpreter = chosen.ok_or(Error::NoPython { wanted, tried: candidates.len() })?;
        Ok(Chosen { wanted, interpreter })
    }

    /// A folder for PATH in which `python`, `python3` and `python3.X` are this interpreter, whatever it is called
    /// where it lies.
    ///
    /// # Errors
    /// Where the cache folder cannot be written.
    pub fn bin(&self, interpreter: &Interpreter) -> Result<PathBuf, Error> {
        let digest = Sha256::digest(interpreter.executable.as_os_str().as_encoded_bytes());
        let folder = self.cache.join("pythons").join(&hex(&digest)[..16]);
        let names = ["python".to_owned(), "python3".to_owned(), format!("python{}", interpreter.minor())];
        link_all(&folder, &names, &interpreter.executable).map_err(|source| Error::Link {
            executable: interpreter.executable.clone(),
            folder: folder.clone(),
            source,
        })?;
        Ok(folder)
    }
}

fn link_all(folder: &Path, names: &[String], executable: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for name in names {
        match std::os::unix::fs::symlink(executable, folder.join(name)) {
            // Another process made the same link: the folder's name is the executable's hash.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// How far an interpreter is from a wish in minor versions; nothing where the major version differs.
fn distance(interpreter: &Interpreter, wanted: Wanted) -> Option<u32> {
    let version = interpreter.version;
    (version.major == wanted.major).then(|| wanted.minor.map_or(0, |minor| minor.abs_diff(version.minor)))
}

/// The interpreter nearest to a wish, the newer of two equally near.
fn best(found: Vec<Interpreter>, wish: Wanted) -> Option<Interpreter> {
    let rank = |one: &Interpreter| {
        let patch_differs = wish.patch.is_some_and(|patch| patch != one.version.patch);
        (distance(one, wish), patch_differs, std::cmp::Reverse(one.version))
    };
    found.into_iter().filter(|one| distance(one, wish).is_some()).min_by_key(rank)
}

/// What an interpreter prints about itself; one script for every version since 3.6.
const INTRODUCTION: &str = r#"
import importlib.util, json, os, platform, sys, sysconfig
program = sys.executable
if sys.prefix != sys.base_prefix:
    program = getattr(sys, "_base_executable", None) or program
    if program == sys.executable:
        program = os.path.realpath(program)
pip = None
if importlib.util.find_spec("pip"):
    import pip as module
    pip = [int(part) for part in module.__version__.split(".")[:2]]
libc = platform.libc_ver()[0] or ("musl" if sys.platform == "linux" else "")
print(json.dumps({
    "implementation": platform.python_implementation(),
    "interpreter": {
        "executable": program,
        "version": dict(zip(("major", "minor", "patch"), sys.version_info[:3])),
        "platform": "-".join(part for part in (sysconfig.get_platform(), libc) if part),
        "pip": pip,
        "ensurepip": bool(importlib.util.find_spec("ensurepip")),
    },
}))
"#;

#[derive(Deserialize)]
struct Introduction {
    implementation: String,
    interpreter: Interpreter,
}

/// Runs `program` and lets it say what it is. `-I` keeps the person's own packages out of the answer.
fn introduce(program: &Path) -> Option<Interpreter> {
    let answer = probe::ask(Command::new(program).args(["-I", "-c", INTRODUCTION]))?;
    let said: Introduction = serde_json::from_str(answer.trim()).ok()?;
    (said.implementation == "CPython" && said.interpreter.executable.is_absolute())
        .then_some(said.interpreter)
}

/// Answers kept from earlier runs. A damaged or unwritable memory only costs asking again.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    #[serde(default)]
    answers: BTreeMap<PathBuf, Answer>,
    #[serde(skip)]
    changed: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Answer {
    modified: u128,
    size: u64,
    interpreter: Interpreter,
}

/// The name grows with the questions asked, so that an older answer is never read as a newer one.
const MEMORY: &str = "pythons-1.json";

impl Memory {
    fn load(cache: &Path) -> Self {
        std::fs::read(cache.join(MEMORY))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    fn save(&self, cache: &Path) {
        if self.changed && std::fs::create_dir_all(cache).is_ok() {
            let saved = tempfile::NamedTempFile::new_in(cache).and_then(|file| {
                serde_json::to_writer(&file, self)?;
                file.persist(cache.join(MEMORY)).map_err(|error| error.error)
            });
            if let Err(error) = saved {
                tracing::debug!(%error, "what the interpreters said is not remembered");
            }
        }
    }

    fn nearest(&mut self, candidates: &[Candidate], wish: Wanted) -> Option<Interpreter> {
        let (named, others): (Vec<_>, Vec<_>) =
            candidates.iter().partition(|candidate| candidate.is_named(wish));
        // Programs named after the wanted version come first: usually nothing else need be run.
        let mut found: Vec<Interpreter> =
            named.into_iter().filter_map(|candidate| self.verify(candidate)).collect();
        if found.iter().all(|one| distance(one, wish) != Some(0)) {
            found.extend(others.into_iter().filter_map(|candidate| self.verify(candidate)));
        }
        best(found, wish)
    }

    fn verify(&mut self, candidate: &Candidate) -> Option<Interpreter> {
        let program = &candidate.program;
        if candidate.is_shim {
            return introduce(program);
        }
        let data = std::fs::metadata(program).ok()?;
        let modified = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let kept =
            self.answers.get(program).filter(|kept| kept.modified == modified && kept.size == data.len());
        if let Some(answer) = kept {
            return Some(answer.interpreter.clone());
        }
        // A failure is not remembered: what is missing may be installed without touching this file.
        let interpreter = introduce(program)?;
        let answer = Answer { modified, size: data.len(), interpreter: interpreter.clone() };
        self.answers.insert(program.clone(), answer);
        self.changed = true;
        Some(interpreter)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
