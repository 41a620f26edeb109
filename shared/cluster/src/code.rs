//! The person's own files that steps get: selected by globs, packed by content, placed in a working directory.
//!
//! A pack lies unpacked and read-only in the cache, under the hash of what it holds, so that a run can say exactly
//! which files it ran and an equal selection is stored once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::settings::CodeFiles;

mod git;
mod select;
#[cfg(test)]
mod tests;

pub use git::Git;
pub(crate) use select::check_glob;

/// Files packed under the hash of their names, modes and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// SHA-256 over the sorted list of (mode, size, SHA-256 of the content, path).
    pub hash: String,
    /// The files, sorted by path.
    pub files: Vec<CodeFile>,
    /// The commit they stand on; nothing outside a git repository.
    pub git: Option<Git>,
    /// The cached copy.
    pub folder: PathBuf,
}

/// One packed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeFile {
    /// Where it is placed, relative to the working directory.
    pub path: String,
    /// Its size.
    pub size: u64,
    /// 0o755 for a program, 0o644 for anything else: other bits depend on the person's umask.
    pub mode: u32,
    /// Its content's SHA-256 in hex.
    pub sha256: String,
}

/// Why files cannot be packed or placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A glob names no file.
    #[error("find a file for `{glob}` below {}: correct the glob in dropforge.toml, or add the file", root.display())]
    Missing {
        /// The glob.
        glob: String,
        /// The folder that was searched.
        root: PathBuf,
    },
    /// The glob cannot be read.
    #[error("read the glob `{glob}`, which {reason}")]
    Glob {
        /// The glob.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A selected file's name is not text.
    #[error("pack {}: its name is not UTF-8; rename or exclude it", path.display())]
    NotUnicode {
        /// The file.
        path: PathBuf,
    },
    /// A selected link leads out of the root.
    #[error("pack {}, which leads to {} outside the folder of dropforge.toml; copy the file in, or exclude it",
        path.display(), target.display())]
    Escapes {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A selected entry is a socket, pipe or device.
    #[error("pack {}, which is neither a file nor a folder; exclude it", path.display())]
    NotAFile {
        /// The entry.
        path: PathBuf,
    },
    /// A file or folder cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The cached copy cannot be written.
    #[error("store {} in the cache", path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be placed for a step.
    #[error("place {}", path.display())]
    Place {
        /// The file to be made.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Packs the files below `root` that `files` selects into the folder `cache`.
///
/// Left out always: `.git`, `.dropforge` and `__pycache__`.
///
/// # Errors
/// Where a glob finds nothing, an entry cannot be packed, or the cache cannot be written.
pub fn pack(cache: &Path, root: &Path, files: &CodeFiles) -> Result<Code, Error> {
    let selected = select::select(root, files)?;
    let git = git::state(root, selected.values().map(|source| source.relative.as_path()));
    let packed = selected
        .iter()
        .map(|(path, source)| describe(path, &source.file))
        .collect::<Result<Vec<_>, Error>>()?;
    let hash = hash(&packed);
    let folder = cache.join("code").join(&hash);
    if folder.is_dir() {
        return Ok(Code { hash, files: packed, git, folder });
    }
    store(&cache.join("code"), &selected, git)
}

/// Copies a pack's files into a step's working directory.
///
/// Always a copy (by reflink where the file system has them): through a hard link a step that edits its own file
/// would change the pack for all steps to come.
///
/// # Errors
/// Where a file cannot be made.
pub fn place(code: &Code, directory: &Path) -> Result<(), Error> {
    for file in &code.files {
        let to = directory.join(&file.path);
        let placed = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            fs::copy(code.folder.join(&file.path), &to)?;
            fs::set_permissions(&to, Permissions::from_mode(file.mode))
        });
        placed.map_err(|source| Error::Place { path: to, source })?;
    }
    Ok(())
}

fn describe(path: &str, source: &Path) -> Result<CodeFile, Error> {
    let failed = |error| Error::Read { path: source.to_owned(), source: error };
    let mut file = File::open(source).map_err(failed)?;
    let (size, sha256) = drain(&mut file, &mut io::sink()).map_err(failed)?;
    Ok(CodeFile { path: path.to_owned(), size, mode: mode(&file).map_err(failed)?, sha256 })
}

fn mode(file: &File) -> io::Result<u32> {
    let is_program = file.metadata()?.permissions().mode() & 0o111 != 0;
    Ok(if is_program { 0o755 } else { 0o644 })
}

/// Moves everything from `from` to `to`; its size and SHA-256.
fn drain(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, hex(&digest.finalize())));
        }
        digest.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

fn hash(files: &[CodeFile]) -> String {
    let mut list = String::new();
    for CodeFile { path, size, mode, sha256 } in files {
        // The path comes last and quoted, so that no name can look like two entries.
        writeln!(list, "{mode:o} {size} {sha256} {path:?}").expect("a String takes everything written to it");
    }
    hex(&Sha256::digest(list))
}

/// Copies the files into the cache. They are hashed again while they are copied: what a person changes meanwhile
/// must not be stored under the hash of what was there before.
fn store(
    folder: &Path,
    selected: &BTreeMap<String, select::Source>,
    git: Option<Git>,
) -> Result<Code, Error> {
    let failed = |path: &Path, source| Error::Store { path: path.to_owned(), source };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let staging = tempfile::Builder::new()
        .prefix(".packing-")
        .tempdir_in(folder)
        .map_err(|error| failed(folder, error))?;
    let mut files = Vec::new();
    for (path, source) in selected {
        files.push(copy(path, &source.file, &staging.path().join(path))?);
    }
    let hash = hash(&files);
    let home = folder.join(&hash);
    seal(staging.path()).map_err(|error| failed(staging.path(), error))?;
    match fs::rename(staging.path(), &home) {
        // Dropping the guard would only look for a folder that has moved.
        Ok(()) => drop(staging.keep()),
        // Another process stored the same pack first; ours is dropped.
        Err(_) if home.is_dir() => unseal(staging.path()),
        Err(error) => return Err(failed(&home, error)),
    }
    Ok(Code { hash, files, git, folder: home })
}

fn copy(path: &str, from: &Path, to: &Path) -> Result<CodeFile, Error> {
    let unread = |source| Error::Read { path: from.to_owned(), source };
    let unstored = |source| Error::Store { path: to.to_owned(), source };
    let mut source = File::open(from).map_err(unread)?;
    let mode = mode(&source).map_err(unread)?;
    to.parent().map_or(Ok(()), fs::create_dir_all).map_err(unstored)?;
    let mut target = File::create_new(to).map_err(unstored)?;
    let (size, sha256) = drain(&mut source, &mut target).map_err(unstored)?;
    target.set_permissions(Permissions::from_mode(mode & 0o555)).map_err(unstored)?;
    Ok(CodeFile { path: path.to_owned(), size, mode, sha256 })
}

/// Takes the right to write from a folder and those in it.
fn seal(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            seal(&entry.path())?;
        }
    }
    fs::set_permissions(folder, Permissions::from_mode(0o555))
}

/// Gives it back, so that the folder can be deleted. What fails here leaves a folder behind that nothing reads.
fn unseal(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o755));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unseal(&entry.path());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
