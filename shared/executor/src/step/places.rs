//! Which file of this machine is meant by a path of the step.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::volumes::Mount;

/// How many symbolic links are followed one after another; as many as Linux itself follows.
pub const LINKS_MAX: usize = 40;

/// A path that is no place within the step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path {0:?} must be absolute and without `..`")]
pub struct BadPath(pub String);

/// The step's view of the file system: its mounts, and a root of its own below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The attempt's own folder, which the step sees where it is.
    pub own: PathBuf,
    /// The folder that holds what the step sees outside of its mounts, so far as it is the step's own.
    pub root: PathBuf,
    /// The step's mounts; of several that hold a path the longest counts, and of equal ones the last.
    pub mounts: Vec<Mount>,
    /// Whether the step can't change a file that a read-only mount shows it, so that the file may be the store's.
    pub links_are_safe: bool,
}

impl Places {
    /// The mount that holds `path`.
    pub fn mount(&self, path: &Path) -> Option<&Mount> {
        let holding = self.mounts.iter().filter(|mount| path.starts_with(&mount.target));
        holding.max_by_key(|mount| mount.target.components().count())
    }

    /// Whether what the step sees there is one of the mounts, or below it.
    pub fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.own) || self.mount(path).is_some()
    }

    /// The file of this machine that the step sees as `path`, whether it exists or not.
    pub fn host(&self, path: &Path) -> PathBuf {
        if path.starts_with(&self.own) {
            return path.to_path_buf();
        }
        match self.mount(path) {
            Some(mount) => join(&mount.source, path.strip_prefix(&mount.target).unwrap_or(path)),
            None => join(&self.root, path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// The same, following the link that may stand there: its target is a path of the step's.
    pub fn followed(&self, path: &Path) -> PathBuf {
        let mut path = path.to_path_buf();
        for _ in 0..LINKS_MAX {
            let Some(target) = self.link(&path) else { break };
            path = target;
        }
        self.host(&path)
    }

    /// Where the link leads that stands there, if one does: a path of the step's.
    pub fn link(&self, path: &Path) -> Option<PathBuf> {
        let target = fs::read_link(self.host(path)).ok()?;
        // Joining an absolute target gives the target.
        Some(lexically_clean(&path.parent().unwrap_or(Path::new("/")).join(target)))
    }
}

/// An empty rest must not add a slash, which a file can't have.
fn join(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_path_buf() } else { folder.join(rest) }
}

fn lexically_clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// `path` as an absolute path without superfluous parts.
///
/// # Errors
/// When it is relative or holds `..`.
pub fn clean(path: &str) -> Result<PathBuf, BadPath> {
    let given = Path::new(path);
    let up = given.components().any(|component| component == Component::ParentDir);
    if !given.is_absolute() || up {
        return Err(BadPath(path.to_owned()));
    }
    Ok(given.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        let mount = |target: &str, source: &str| Mount {
            target: target.into(),
            source: root.join(source),
            read_only: false,
        };
        Places {
            own: root.to_path_buf(),
            root: root.join("root"),
            mounts: vec![mount("/mnt", "a"), mount("/mnt/deep", "b")],
            links_are_safe: true,
        }
    }

    #[test]
    fn the_deepest_mount_holds_a_path_and_the_root_holds_the_rest() {
        let places = places(Path::new("/s"));
        let host = |path: &str| places.host(Path::new(path)).display().to_string();
        assert_eq!(
            ["/mnt/x", "/mnt/deep/x", "/mnt/deep", "/mntx", "/tmp/x", "/s/work/x"].map(host),
            ["/s/a/x", "/s/b/x", "/s/b", "/s/root/mntx", "/s/root/tmp/x", "/s/work/x"]
        );
    }

    #[test]
    fn links_are_followed_as_the_step_sees_them() {
        let at = tempfile::tempdir().unwrap();
        let places = places(at.path());
        fs::create_dir_all(at.path().join("root/tmp")).unwrap();
        fs::create_dir_all(at.path().join("a")).unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, at.path().join("root/tmp").join(name)).unwrap();
        };
        link("/mnt/model", "absolute");
        link("../mnt/model", "relative");
        link("round", "round");
        for name in ["absolute", "relative"] {
            assert_eq!(places.followed(&Path::new("/tmp").join(name)), at.path().join("a/model"));
        }
        assert_eq!(places.followed(Path::new("/tmp/round")), at.path().join("root/tmp/round"));
    }

    #[test]
    fn paths_are_absolute_and_do_not_go_up() {
        assert_eq!(clean("/tmp//x/./y/"), Ok("/tmp/x/y".into()));
        assert_eq!(clean("tmp/x"), Err(BadPath("tmp/x".into())));
        assert_eq!(clean("/tmp/../x"), Err(BadPath("/tmp/../x".into())));
    }
}
