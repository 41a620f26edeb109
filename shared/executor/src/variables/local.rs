//! Secrets and config maps as folders of this machine: `<folder>/<name>/<key>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dropforge_manifest::types::KeySelector;

/// A secret or config map, or a key of it, is not there.
#[derive(Debug, thiserror::Error)]
#[error("{what} {wanted}, expected in {expected}")]
pub struct NotFound {
    /// `secret` or `config map`.
    what: &'static str,
    /// The name, and the key where one is meant.
    wanted: String,
    /// The file or folder that was looked for, or the setting that names the folder.
    expected: String,
}

/// All secrets, or all config maps.
pub struct LocalObjects {
    what: &'static str,
    setting: &'static str,
    folder: Option<PathBuf>,
}

impl LocalObjects {
    /// The secrets below `folder`.
    pub fn secrets(folder: Option<&Path>) -> Self {
        LocalObjects { what: "secret", setting: "secrets", folder: folder.map(Path::to_path_buf) }
    }

    /// The config maps below `folder`.
    pub fn config_maps(folder: Option<&Path>) -> Self {
        LocalObjects { what: "config map", setting: "config-maps", folder: folder.map(Path::to_path_buf) }
    }

    /// The folder of the object called `name`; none when it is not there and `optional`.
    ///
    /// # Errors
    /// When it is not there and not optional.
    pub fn folder(&self, name: &str, optional: bool) -> Result<Option<PathBuf>, NotFound> {
        let folder = self.folder.as_deref().map(|all| all.join(name));
        match folder {
            Some(folder) if is_plain(name) && folder.is_dir() => Ok(Some(folder)),
            _ if optional => Ok(None),
            folder => Err(self.missing(format!("\"{name}\" not found"), folder)),
        }
    }

    /// One key's value, without change; none when it is not there and optional.
    ///
    /// # Errors
    /// When it is not there and not optional.
    pub fn key(&self, key: &KeySelector) -> Result<Option<String>, NotFound> {
        let optional = key.optional.unwrap_or_default();
        let Some(folder) = self.folder(&key.name, optional)? else { return Ok(None) };
        let file = folder.join(&key.key);
        match std::fs::read(&file) {
            Ok(value) if is_plain(&key.key) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
            _ if optional => Ok(None),
            _ => Err(self.missing(format!("\"{}\" has no key \"{}\"", key.name, key.key), Some(file))),
        }
    }

    /// Every key with its value.
    ///
    /// # Errors
    /// When the object is not there and not optional.
    pub fn all(&self, name: &str, optional: bool) -> Result<BTreeMap<String, String>, NotFound> {
        let Some(folder) = self.folder(name, optional)? else { return Ok(BTreeMap::new()) };
        let entries =
            std::fs::read_dir(&folder).map_err(|_| self.missing(format!("\"{name}\""), Some(folder)))?;
        let files = entries.flatten().filter(|entry| entry.path().is_file());
        let read = files.filter_map(|entry| {
            let value = std::fs::read(entry.path()).ok()?;
            Some((entry.file_name().into_string().ok()?, String::from_utf8_lossy(&value).into_owned()))
        });
        Ok(read.collect())
    }

    fn missing(&self, wanted: String, expected: Option<PathBuf>) -> NotFound {
        let expected = expected.map_or_else(
            || format!("the folder that dropforge.toml names as `{}`; it names none", self.setting),
            |path| path.display().to_string(),
        );
        NotFound { what: self.what, wanted, expected }
    }
}

/// Names of objects and keys are one component of a path, never a way out of the folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('/')
}
