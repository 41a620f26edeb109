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
use crate::archive::GROWTH_MAX;

/// As many files and folders may one commit have; real ones have a tenth.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Linux knows no longer paths.
const PATH_BYTES_MAX: usize = 4095;
/// The paths of one commit together, which lie in memory: trees that contain each other can stand for long ones too.
const PATHS_BYTES_MAX: usize = 256 << 20;
/// So much may files take beside [`GROWTH_MAX`] times what was fetched: honest ones may be the same in many places.
const SPARE: u64 = 1 << 30;

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
    let mut bytes = 0;
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
            bytes += path.len();
            if bytes > PATHS_BYTES_MAX {
                let why = "is one path too many: together they are longer than this program holds";
                return Err(Problem::Hostile { path: path.to_string(), why });
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
    let room = fetched(repo)?.saturating_mul(GROWTH_MAX).saturating_add(SPARE);
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
                written.bytes += blob.data.len() as u64;
                // A few bytes can be an object of zeros that stands in thousands of places.
                if written.bytes > room {
                    let why = "is one file too many: together they are larger than what was fetched can hold";
                    return Err(Problem::Hostile { path: path.to_string(), why });
                }
                let mode = if kind == EntryKind::BlobExecutable { 0o777 } else { 0o666 };
                let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&to);
                let done = file.and_then(|mut file| file.write_all(&blob.data));
                done.map_err(|source| failed(&to, source))?;
            }
        }
    }
    for Entry { path, id, .. } in links {
        let target = repo.find_blob(id)?;
        if !stays_inside(path.as_ref(), target.data.as_bstr()) {
            let why = "is a link that may lead out of the repository's folder";
            return Err(Problem::Hostile { path: path.to_string(), why });
        }
        let to = folder.join(on_disk(path.as_ref()));
        symlink(on_disk(target.data.as_bstr()), &to).map_err(|source| failed(&to, source))?;
    }
    Ok(written)
}

/// The bytes of the packs that were fetched.
fn fetched(repo: &Repository) -> Result<u64, Problem> {
    let packs = repo.git_dir().join("objects/pack");
    let unreadable = |source| failed(&packs, source);
    let files = match fs::read_dir(&packs) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        files => files.map_err(unreadable)?,
    };
    files.map(|file| Ok(file?.metadata()?.len())).sum::<std::io::Result<u64>>().map_err(unreadable)
}

fn failed(path: &Path, source: std::io::Error) -> Problem {
    Problem::Write { path: path.to_path_buf(), source }
}

fn on_disk(path: &BStr) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}

/// Whether a link at `path` leads nowhere but below the top folder, at every step of its way. What it goes up through must
/// be folders and no links, which lead elsewhere: so it does only from where it stands.
fn stays_inside(path: &BStr, target: &BStr) -> bool {
    if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains(&0) {
        return false;
    }
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let start = (depth, false);
    let end = on_disk(target).components().try_fold(start, |(depth, down), component| match component {
        Component::Normal(_) => Some((depth + 1, true)),
        Component::CurDir => Some((depth, down)),
        Component::ParentDir if !down => depth.checked_sub(1).map(|depth| (depth, false)),
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => None,
    });
    end.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_lead_to_any_place_below_the_top() {
        let inside = [("a", "b"), ("a/b/c", "../../d"), ("a/b", "./../x"), ("a", "..b")];
        let outside = [
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a", "/etc/passwd"),
            ("a", ""),
            ("a/b", "c/../../../x"),
            // Where `a/b/c/l` is a link to the top, this is beside it.
            ("m", "a/b/c/l/../x"),
        ];
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
