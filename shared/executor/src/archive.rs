//! Packing and unpacking of artifacts as Argo's executor does it: tar and gzip here, zip in a file of its own.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use dropforge_manifest::types::Archive;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

#[cfg(test)]
mod tests;
pub mod zip;

/// So much larger than its file may an archive's content be, and then [`GROWTH_SPARE`]. Neither gzip nor zip packs
/// better than 1,032 to 1: what claims more has holes or parts that lie on each other, and would fill any disk.
pub(crate) const GROWTH_MAX: u64 = 1_100;
const GROWTH_SPARE: u64 = 1 << 20;
/// The most that stands before an entry of a tar file: its names and attributes, which lie in memory.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// Why an artifact could not be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or writing failed.
    #[error("{action} {}", path.display())]
    Io {
        /// `pack`, `unpack`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive holds a name that leads out of its folder.
    #[error("unpack an entry called {entry:?}, which leads out of the artifact's folder")]
    Escapes {
        /// The entry.
        entry: String,
    },
    /// The archive holds more than any honest one of its size.
    #[error("unpack {}, whose content is more than {GROWTH_MAX} times as large as the file", path.display())]
    Bomb {
        /// The archive.
        path: PathBuf,
    },
    /// It is no zip file, or a damaged one.
    #[error("{action} {} as a zip file", path.display())]
    Zip {
        /// `pack` or `unpack`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ::zip::result::ZipError,
    },
}

/// How an artifact is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is; a directory becomes many objects.
    None,
    /// One tar file in gzip of this level.
    Tar(u32),
    /// One zip file.
    Zip,
}

impl Packing {
    /// What an output's `archive` says.
    pub fn of(archive: Option<&Archive>) -> Packing {
        let Some(archive) = archive else { return Packing::Tar(6) };
        if archive.none.is_some() {
            return Packing::None;
        }
        if archive.zip.is_some() {
            return Packing::Zip;
        }
        let level = archive.tar.as_ref().and_then(|tar| tar.compression_level);
        Packing::Tar(level.and_then(|l| u32::try_from(l).ok()).map_or(6, |l| l.min(9)))
    }

    /// The file's name within the attempt's prefix, by Argo's key format.
    pub fn file_name(self, artifact: &str, path: &Path) -> String {
        match (self, path.file_name()) {
            (Packing::None, Some(name)) => name.to_string_lossy().into_owned(),
            (Packing::None, None) => artifact.to_owned(),
            (Packing::Tar(_), _) => format!("{artifact}.tgz"),
            (Packing::Zip, _) => format!("{artifact}.zip"),
        }
    }
}

/// Packs the file or folder `from` under its own name, symbolic links as links.
///
/// # Errors
/// When it can't be read or `to` can't be written.
pub fn pack(from: &Path, name: &Path, to: &Path, level: u32) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Io { action: "pack", path: from.to_path_buf(), source };
    let file = File::create(to).map_err(failed)?;
    let gzip = GzEncoder::new(BufWriter::new(file), Compression::new(level));
    let mut tar = tar::Builder::new(gzip);
    tar.follow_symlinks(false);
    let packed = || {
        if from.is_dir() {
            tar.append_dir_all(name, from)?;
        } else {
            tar.append_file(name, &mut File::open(from)?)?;
        }
        tar.into_inner()?.finish()?.flush()
    };
    packed().map_err(failed)
}

/// Whether the file is a tar file packed by gzip, by its content.
pub fn is_packed(file: &Path) -> bool {
    let Ok(mut file) = File::open(file) else { return false };
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || magic != [0x1f, 0x8b] {
        return false;
    }
    let whole = io::Cursor::new(magic).chain(BufReader::new(file));
    let (metered, _) = Metered::new(MultiGzDecoder::new(whole));
    let mut tar = tar::Archive::new(metered);
    tar.entries().is_ok_and(|mut entries| entries.next().is_some_and(|first| first.is_ok()))
}

/// Unpacks `file` so that its content is at `to`, which does not exist: a single entry becomes `to` itself,
/// otherwise `to` becomes a folder. `beside` is a folder on the same file system that does not exist either.
///
/// # Errors
/// When the archive is damaged or an entry leads out of the folder.
pub fn unpack(file: &Path, beside: &Path, to: &Path) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Io { action: "unpack", path: file.to_path_buf(), source };
    fs::create_dir_all(beside).map_err(failed)?;
    let opened = BufReader::with_capacity(1 << 16, File::open(file).map_err(failed)?);
    let mut room = room(file).map_err(failed)?;
    let (metered, meter) = Metered::new(MultiGzDecoder::new(opened));
    let mut tar = tar::Archive::new(metered);
    tar.set_overwrite(true);
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let size = entry.size();
        room = room.checked_sub(size).ok_or_else(|| ArchiveError::Bomb { path: file.to_path_buf() })?;
        // What of its content is not unpacked is passed over on the way to the next head.
        meter.set(size.saturating_add(HEAD_BYTES_MAX));
        if leads_out(&entry, beside) || !entry.unpack_in(beside).map_err(failed)? {
            let entry = entry.path_bytes().into_owned();
            return Err(ArchiveError::Escapes { entry: String::from_utf8_lossy(&entry).into_owned() });
        }
    }
    settle(beside, to).map_err(failed)
}

/// The most that the content of an archive may take.
fn room(file: &Path) -> io::Result<u64> {
    Ok(file.metadata()?.len().saturating_mul(GROWTH_MAX).saturating_add(GROWTH_SPARE))
}

/// Reads no more than it is allowed to before it is allowed anew.
struct Metered<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Metered<R> {
    /// With what it is allowed at first, a tar file's first head.
    fn new(from: R) -> (Self, Rc<Cell<u64>>) {
        let left = Rc::new(Cell::new(HEAD_BYTES_MAX));
        (Metered { from, left: Rc::clone(&left) }, left)
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| {
            let why = format!("the head of an entry has more than {HEAD_BYTES_MAX} bytes");
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?);
        Ok(read)
    }
}

/// What was unpacked at `beside` becomes `to`: its single entry itself, otherwise the folder.
fn settle(beside: &Path, to: &Path) -> io::Result<()> {
    let mut top = fs::read_dir(beside)?;
    match (top.next(), top.next()) {
        (Some(only), None) => {
            fs::rename(only?.path(), to)?;
            fs::remove_dir(beside)
        }
        _ => fs::rename(beside, to),
    }
}

/// Whether an entry's name, or the link it makes, leads out of the folder. The `tar` crate itself passes over
/// such names; an archive that has one is not worth trusting in the rest.
fn leads_out<R: Read>(entry: &tar::Entry<'_, R>, folder: &Path) -> bool {
    let Ok(path) = entry.path() else { return true };
    let Some(depth) = depth(&path, 0) else { return true };
    let Ok(Some(target)) = entry.link_name() else { return false };
    if entry.header().entry_type().is_symlink() {
        // Relative to the entry's own folder.
        return self::depth(&target, depth - 1).is_none();
    }
    self::depth(&target, 0).is_none() || !folder.join(&*target).exists()
}

/// How deep `path` ends when it starts `from` folders deep; none when it leaves the top on its way.
fn depth(path: &Path, from: usize) -> Option<usize> {
    path.components().try_fold(from, |depth, component| match component {
        Component::Normal(_) => Some(depth + 1),
        Component::CurDir => Some(depth),
        Component::ParentDir => depth.checked_sub(1),
        Component::RootDir | Component::Prefix(_) => None,
    })
}
