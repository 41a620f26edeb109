//! Zip files.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ::zip::result::ZipError;
use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{ArchiveError, room, settle};

/// Packs the file or folder `from` under its own name. Symbolic links are left out, since a zip file can't hold them
/// for every reader.
///
/// # Errors
/// When it can't be read or `to` can't be written.
pub fn pack(from: &Path, name: &Path, to: &Path) -> Result<(), ArchiveError> {
    let packed = || {
        let mut zip = ZipWriter::new(BufWriter::new(File::create(to)?));
        add(&mut zip, from, name)?;
        zip.finish()?.flush()?;
        Ok(())
    };
    packed().map_err(|source| ArchiveError::Zip { action: "pack", path: from.to_path_buf(), source })
}

fn add<W: Write + io::Seek>(zip: &mut ZipWriter<W>, from: &Path, name: &Path) -> Result<(), ZipError> {
    let facts = from.symlink_metadata()?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(true)
        .unix_permissions(facts.permissions().mode() & 0o7777);
    let name_text = name.to_string_lossy();
    if facts.is_dir() {
        zip.add_directory(&*name_text, options)?;
        let mut entries: Vec<_> = fs::read_dir(from)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            add(zip, &entry.path(), &name.join(entry.file_name()))?;
        }
    } else if facts.is_file() {
        zip.start_file(&*name_text, options)?;
        io::copy(&mut File::open(from)?, zip)?;
    }
    Ok(())
}

/// Unpacks `file` so that its content is at `to`, as [`super::unpack`] does.
///
/// # Errors
/// When it is no zip file, or an entry leads out of the folder.
pub fn unpack(file: &Path, beside: &Path, to: &Path) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Zip { action: "unpack", path: file.to_path_buf(), source };
    let io = |source: io::Error| failed(source.into());
    fs::create_dir_all(beside).map_err(io)?;
    let mut room = room(file).map_err(io)?;
    let mut zip = ZipArchive::new(BufReader::new(File::open(file).map_err(io)?)).map_err(failed)?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(failed)?;
        let Some(name) = entry.enclosed_name() else {
            return Err(ArchiveError::Escapes {
                entry: String::from_utf8_lossy(entry.name_raw()).into_owned(),
            });
        };
        let at = beside.join(name);
        if entry.is_dir() {
            fs::create_dir_all(&at).map_err(io)?;
            continue;
        }
        fs::create_dir_all(at.parent().unwrap_or(beside)).map_err(io)?;
        // A link among the entries becomes a file that holds its target, so that nothing is written through it.
        let mut content = (&mut entry).take(room + 1);
        let size = io::copy(&mut content, &mut File::create(&at).map_err(io)?).map_err(io)?;
        // What it says of its own size is not believed, and its entries may lie on each other.
        room = room.checked_sub(size).ok_or_else(|| ArchiveError::Bomb { path: file.to_path_buf() })?;
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o777;
        fs::set_permissions(&at, Permissions::from_mode(mode | 0o600)).map_err(io)?;
    }
    settle(beside, to).map_err(io)
}
