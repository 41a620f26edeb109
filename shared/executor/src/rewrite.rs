//! Paths of the manifest, replaced by their real places where no mount namespace can be made.
//!
//! Only what stands there literally can be replaced: in the command, its arguments, a script's source and
//! variables. A path is replaced where it stands as a path of its own (`/mnt/data`, `/mnt/data/x`, but neither
//! `/mnt/database` nor `x/mnt/data`), the longest first, and what has been put in is not looked at again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::isolation::Bind;

#[cfg(test)]
mod tests;

/// Why a path can't be made for a step here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Everything on the machine names it.
    #[error(
        "the manifest's path {} can't be rewritten, since the system's own programs and libraries use it; no mount namespace can be made here ({reason}), so this step needs the container executor",
        target.display()
    )]
    System {
        /// The path.
        target: PathBuf,
        /// Why there is no mount namespace.
        reason: String,
    },
    /// A path must be absolute.
    #[error("path {} must be absolute", target.display())]
    Relative {
        /// The path.
        target: PathBuf,
    },
}

/// Folders whose names stand in programs, so that replacing them in a text would break it.
const SYSTEM: [&str; 22] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/sbin",
    "/usr/share",
    "/var",
];

/// The replacements of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewriting {
    /// The longest path first.
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    target: PathBuf,
    real: PathBuf,
    made: bool,
}

impl Rewriting {
    /// Replaces each bind's target by its source. `reason` says why there is no mount namespace.
    ///
    /// # Errors
    /// For a target that can't be replaced.
    pub fn new(binds: &[Bind], reason: &str) -> Result<Self, RewriteError> {
        let mut places = Vec::new();
        for Bind { source, target, .. } in binds {
            let target: PathBuf = target.components().collect();
            if !target.is_absolute() {
                return Err(RewriteError::Relative { target });
            }
            if SYSTEM.iter().any(|folder| target == Path::new(folder)) {
                return Err(RewriteError::System { target, reason: reason.to_owned() });
            }
            // A later bind lies over an earlier one.
            places.retain(|place: &Place| place.target != target);
            places.push(Place { target, real: source.clone(), made: false });
        }
        places.sort_by_key(|place| std::cmp::Reverse(place.target.as_os_str().len()));
        Ok(Rewriting { places })
    }

    /// The text with every path replaced.
    pub fn text(&mut self, text: &OsStr) -> OsString {
        let text = text.as_bytes();
        let mut written = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            match self.places.iter_mut().find(|place| stands_at(text, at, place)) {
                Some(place) => {
                    place.made = true;
                    written.extend_from_slice(place.real.as_os_str().as_bytes());
                    at += place.target.as_os_str().len();
                }
                None => {
                    written.push(text[at]);
                    at += 1;
                }
            }
        }
        OsString::from_vec(written)
    }

    /// The real place of a path of the step's: of the working directory, for instance.
    pub fn path(&mut self, path: &Path) -> PathBuf {
        let Some(place) = self.places.iter_mut().find(|place| path.starts_with(&place.target)) else {
            return path.to_path_buf();
        };
        place.made = true;
        match path.strip_prefix(&place.target) {
            Ok(rest) if !rest.as_os_str().is_empty() => place.real.join(rest),
            _ => place.real.clone(),
        }
    }

    /// The replacements made so far: the manifest's path and the real one.
    pub fn made(&self) -> Vec<(&Path, &Path)> {
        let made = self.places.iter().filter(|place| place.made);
        made.map(|place| (place.target.as_path(), place.real.as_path())).collect()
    }

    /// The one line that says so; none when nothing was replaced.
    pub fn line(&self) -> Option<String> {
        let made: Vec<String> = self
            .made()
            .iter()
            .map(|(target, real)| format!("{} by {}", target.display(), real.display()))
            .collect();
        (!made.is_empty())
            .then(|| format!("no mount namespace here, so paths were replaced: {}", made.join(", ")))
    }
}

fn stands_at(text: &[u8], at: usize, place: &Place) -> bool {
    let target = place.target.as_os_str().as_bytes();
    text[at..].starts_with(target) && begins_a_path(&text[..at]) && ends_a_name(&text[at + target.len()..])
}

/// Whether a path that follows `before` starts there, rather than going on.
fn begins_a_path(before: &[u8]) -> bool {
    let Some(last) = before.last() else { return true };
    before.ends_with(b"file://")
        || !(last.is_ascii_alphanumeric()
            || !last.is_ascii()
            // A closing bracket ends a variable or a command that the path goes on from.
            || b"/._-~+@%})]*?".contains(last))
}

/// Whether a name that `after` follows ends there.
fn ends_a_name(after: &[u8]) -> bool {
    let Some(first) = after.first() else { return true };
    match first {
        // The full stop of a sentence.
        b'.' => after.get(1).is_none_or(|next| b" \t\n'\"`)".contains(next)),
        b'_' | b'-' | b'~' | b'+' | b'@' | b'%' | b'$' | b'{' | b'*' | b'?' | b'[' => false,
        other => !other.is_ascii_alphanumeric() && other.is_ascii(),
    }
}
