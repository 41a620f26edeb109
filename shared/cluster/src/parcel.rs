//! Files packed as one gzipped tar that is named by its hash: the same files give the same bytes, whenever, wherever
//! and by whomever they are packed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// A packed file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub size: u64,
}

/// One file to be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path when it is unpacked, relative.
    pub path: String,
    /// Whether it is a program.
    pub is_program: bool,
    /// What it holds.
    pub content: Content,
}

/// Where a packed file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file.
    File(PathBuf),
    /// The bytes themselves.
    Bytes(Vec<u8>),
}

impl Entry {
    /// The same with other bytes, which are made of its own.
    pub fn rewritten(self, rewrite: impl Fn(Vec<u8>) -> Vec<u8>) -> io::Result<Entry> {
        let bytes = match self.content {
            Content::File(file) => fs::read(file)?,
            Content::Bytes(bytes) => bytes,
        };
        Ok(Entry { content: Content::Bytes(rewrite(bytes)), ..self })
    }
}

/// The files below a folder, links followed.
pub(crate) fn files_below(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for found in WalkDir::new(folder).follow_links(true) {
        let found = found?;
        let relative = found.path().strip_prefix(folder).unwrap_or(found.path());
        let Some(path) = relative.to_str().filter(|_| found.file_type().is_file()) else { continue };
        let mode = found.metadata()?.permissions().mode();
        let content = Content::File(found.path().to_owned());
        files.push(Entry { path: path.to_owned(), is_program: mode & 0o100 != 0, content });
    }
    Ok(files)
}

/// What stands beside a finished file, written last.
#[derive(Serialize, Deserialize)]
struct Label {
    format: u32,
    sha256: String,
    size: u64,
}

const LABEL_FORMAT: u32 = 1;

impl Parcel {
    /// What was made at `home` before, where it is whole.
    pub(crate) fn at(home: &Path) -> Option<Parcel> {
        let label: Label = serde_json::from_slice(&fs::read(home.with_extension("json")).ok()?).ok()?;
        let file = home.with_extension("tar.gz");
        let is_whole = fs::metadata(&file).is_ok_and(|data| data.len() == label.size);
        (label.format == LABEL_FORMAT && is_whole).then_some(Parcel {
            sha256: label.sha256,
            file,
            size: label.size,
        })
    }

    /// Packs the files; `home` with an extension each are the file and its label.
    pub(crate) fn make(home: &Path, files: &[Entry]) -> io::Result<Parcel> {
        let folder = home.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut packed = tempfile::NamedTempFile::new_in(folder)?;
        let (sha256, size) = write(files, packed.as_file_mut())?;
        let file = home.with_extension("tar.gz");
        packed.persist(&file).map_err(|error| error.error)?;
        let label = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&label, &Label { format: LABEL_FORMAT, sha256: sha256.clone(), size })?;
        label.persist(home.with_extension("json")).map_err(|error| error.error)?;
        Ok(Parcel { sha256, file, size })
    }
}

/// Writes the archive; its SHA-256 and size. Order, owner, time and all bits of the mode but one are the same for all.
fn write(files: &[Entry], to: &mut File) -> io::Result<(String, u64)> {
    let hashed = Hashed { to: BufWriter::new(to), digest: Sha256::new(), size: 0 };
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(hashed, Compression::new(6));
    let mut tar = tar::Builder::new(gzip);
    let mut sorted: Vec<&Entry> = files.iter().collect();
    sorted.sort_by(|one, other| one.path.cmp(&other.path));
    for entry in sorted {
        append(&mut tar, entry)?;
    }
    let mut hashed = tar.into_inner()?.finish()?;
    hashed.flush()?;
    let hex = hashed.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, hashed.size))
}

fn append(tar: &mut tar::Builder<impl Write>, entry: &Entry) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(if entry.is_program { 0o755 } else { 0o644 });
    header.set_mtime(0);
    match &entry.content {
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &entry.path, bytes.as_slice())
        }
        Content::File(path) => {
            let file = File::open(path)?;
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, &entry.path, file)
        }
    }
}

/// Counts and hashes what goes through it.
struct Hashed<W> {
    to: W,
    digest: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, is_program: bool, text: &str) -> Entry {
        Entry { path: path.to_owned(), is_program, content: Content::Bytes(text.as_bytes().to_vec()) }
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let long = "d/".repeat(100) + "f";
        let files = [entry("b.py", false, "2"), entry("a", true, "1"), entry(&long, false, "3")];
        let one = Parcel::make(&folder.path().join("one"), &files).unwrap();
        let [first, second, third] = files.clone();
        let other = Parcel::make(&folder.path().join("other"), &[third, first, second]).unwrap();
        assert_eq!((&one.sha256, one.size), (&other.sha256, other.size));
        assert_eq!(fs::read(&one.file).unwrap(), fs::read(&other.file).unwrap());
        assert_eq!(Parcel::at(&folder.path().join("one")), Some(one.clone()));
        fs::write(&one.file, "cut").unwrap();
        assert_eq!(Parcel::at(&folder.path().join("one")), None, "cut short");
        let digest = Sha256::digest(fs::read(&other.file).unwrap());
        assert_eq!(other.sha256, digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }

    #[test]
    fn files_of_a_folder_are_packed_with_their_mode_and_content() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("bin")).unwrap();
        fs::write(source.join("bin/run"), "#!").unwrap();
        fs::set_permissions(source.join("bin/run"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(source.join("data"), "x").unwrap();
        let parcel = Parcel::make(&folder.path().join("p"), &files_below(&source).unwrap()).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(File::open(parcel.file).unwrap()));
        let mut held = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            io::Read::read_to_string(&mut entry, &mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            held.push((path, entry.header().mode().unwrap(), entry.header().mtime().unwrap(), text));
        }
        let expected = [
            ("bin/run".to_owned(), 0o755, 0, "#!".to_owned()),
            ("data".to_owned(), 0o644, 0, "x".to_owned()),
        ];
        assert_eq!(held, expected);
    }
}
