//! The files of a commit, written to the repository's folder.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::TreeRefIter;
use gix::objs::tree::EntryKind;
use gix::validate::path::component;
use gix::{ObjectId, Repository};

use super::Problem;

/// As many files and folders may one commit have; real ones have a tenth.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Linux knows no longer paths.
const PATH_BYTES_MAX: usize = 4095;

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// The bytes of its files.
    pub bytes: u64,
    /// Where submodules belong, and their commits.
    pub submodules: Vec<(BString, ObjectId)>,
}

/// One thing in a commit.
#[derive(Debug)]
struct Entry {
    path: BString,
    kind: EntryKind,
    id: ObjectId,
}

/// Writes the files of `commit` and the index that git keeps of them.
///
/// # Errors
/// When the commit can't be read or trusted, or its files can't be written.
pub fn checkout(repo: &Repository, commit: ObjectId) -> Result<Written, Problem> {
    let root = repo.find_commit(commit)?.tree_id()?.detach();
    let entries = entries(repo, root, ENTRIES_MAX)?;
    let folder = repo.workdir().ok_or_else(|| Problem::Git("the repository has no folder".to_owned()))?;
    // The entries are known to be fit for it: bounded in number, no name twice.
    let mut index = repo.index_from_tree(&root)?;
    index.write(gix::index::write::Options::default())?;
    write(repo, folder, entries)
}

/// Everything below the tree `root`, folders before what is in them. Trees that contain each other can stand for more
/// files than there are atoms: they are counted while they are walked.
fn entries(repo: &Repository, root: ObjectId, max: usize) -> Result<Vec<Entry>, Problem> {
    let mut found = Vec::new();
    let mut open = vec![(BString::default(), root)];
    while let Some((folder, id)) = open.pop() {
        let tree = repo.find_tree(id)?;
        let mut names = HashSet::new();
        for entry in TreeRefIter::from_bytes(&tree.data, id.kind()) {
            let entry = entry.map_err(|error| Problem::Git(format!("tree {id} is damaged: {error}")))?;
            let (kind, path) = (entry.mode.kind(), below(folder.as_ref(), entry.filename));
            check(kind, path.as_ref(), entry.filename, &mut names)?;
            if kind == EntryKind::Tree {
                open.push((path.clone(), entry.oid.to_owned()));
            }
            found.push(Entry { path, kind, id: entry.oid.to_owned() });
            if found.len() > max {
                return Err(Problem::TooManyFiles(max));
            }
        }
    }
    Ok(found)
}

fn below(folder: &BStr, name: &BStr) -> BString {
    let parts: &[&[u8]] = if folder.is_empty() { &[name] } else { &[folder, b"/", name] };
    parts.concat().into()
}

/// A name twice in one folder could be a link first and a folder with files then.
fn check(kind: EntryKind, path: &BStr, name: &BStr, names: &mut HashSet<BString>) -> Result<(), Problem> {
    let hostile = |why| Problem::Hostile { path: path.to_string(), why };
    let mode = (kind == EntryKind::Link).then_some(component::Mode::Symlink);
    let options = component::Options { protect_windows: false, ..component::Options::default() };
    gix::validate::path::component(name, mode, options).map_err(|_| hostile("is no name of a file"))?;
    if path.len() > PATH_BYTES_MAX {
        return Err(hostile("is a path too long for this machine"));
    }
    if names.insert(name.to_owned()) { Ok(()) } else { Err(hostile("is in its folder twice")) }
}

/// Writes everything into `folder`; links last, so that nothing can be written through one.
fn write(repo: &Repository, folder: &Path, entries: Vec<Entry>) -> Result<Written, Problem> {
    let mut written = Written::default();
    let (links, others): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.kind == EntryKind::Link);
    for Entry { path, kind, id } in others {
        let to = folder.join(on_disk(path.as_ref()));
        match kind {
            EntryKind::Tree => fs::create_dir(&to).map_err(|source| failed(&to, source))?,
            EntryKind::Commit => {
                fs::create_dir(&to).map_err(|source| failed(&to, source))?;
                written.submodules.push((path, id));
            }
            _ => {
                let blob = repo.find_blob(id)?;
                let mode = if kind == EntryKind::BlobExecutable { 0o777 } else { 0o666 };
                let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&to);
                let done = file.and_then(|mut file| file.write_all(&blob.data));
                done.map_err(|source| failed(&to, source))?;
                written.bytes += blob.data.len() as u64;
            }
        }
    }
    for Entry { path, id, .. } in links {
        let target = repo.find_blob(id)?;
        if !stays_inside(path.as_ref(), target.data.as_bstr()) {
            let why = "is a link that leads out of the repository's folder";
            return Err(Problem::Hostile { path: path.to_string(), why });
        }
        let to = folder.join(on_disk(path.as_ref()));
        symlink(on_disk(target.data.as_bstr()), &to).map_err(|source| failed(&to, source))?;
    }
    Ok(written)
}

fn failed(path: &Path, source: std::io::Error) -> Problem {
    Problem::Write { path: path.to_path_buf(), source }
}

fn on_disk(path: &BStr) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}

/// Whether a link at `path` leads nowhere but below the top folder, at every step of its way.
fn stays_inside(path: &BStr, target: &BStr) -> bool {
    if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains(&0) {
        return false;
    }
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let end = on_disk(target).components().try_fold(depth, |depth, component| match component {
        Component::Normal(_) => Some(depth + 1),
        Component::CurDir => Some(depth),
        Component::ParentDir => depth.checked_sub(1),
        Component::RootDir | Component::Prefix(_) => None,
    });
    end.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_lead_to_any_place_below_the_top() {
        let inside = [("a", "b"), ("a/b/c", "../../d"), ("a/b", "./../a/../x"), ("a", "..b")];
        let outside =
            [("a", "../b"), ("a/b", "../../c"), ("a", "/etc/passwd"), ("a", ""), ("a/b", "c/../../../x")];
        assert!(inside.iter().all(|(path, to)| stays_inside((*path).into(), (*to).into())));
        assert!(!outside.iter().any(|(path, to)| stays_inside((*path).into(), (*to).into())));
    }

    #[test]
    fn names_that_git_keeps_for_itself_or_that_come_twice_are_refused() {
        let mut names = HashSet::new();
        let mut refused = |name: &str| check(EntryKind::Blob, name.into(), name.into(), &mut names).is_err();
        let names = ["a", ".gitignore", "a", ".git", ".GIT", "..", "", "a/b", "git~1"];
        assert_eq!(names.map(&mut refused), [false, false, true, true, true, true, true, true, true]);
    }
}
