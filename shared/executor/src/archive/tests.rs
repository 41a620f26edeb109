use std::fs;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn archive_of(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // `set_path` refuses `..`; a hostile archive is not written by this crate.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        let body = if kind.is_file() { content.as_bytes() } else { b"" };
        header.set_size(body.len() as u64);
        header.set_cksum();
        tar.append(&header, body).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn unpacked(entries: &[(&str, tar::EntryType, &str)]) -> (tempfile::TempDir, Result<(), ArchiveError>) {
    let at = folder();
    fs::write(at.path().join("a.tgz"), archive_of(entries)).unwrap();
    let done = unpack(&at.path().join("a.tgz"), &at.path().join("beside"), &at.path().join("to"));
    (at, done)
}

#[test]
fn a_file_comes_back_as_itself() {
    let at = folder();
    fs::write(at.path().join("model.bin"), b"\x00\xff weights").unwrap();
    pack(&at.path().join("model.bin"), Path::new("model.bin"), &at.path().join("m.tgz"), 6).unwrap();
    assert!(is_packed(&at.path().join("m.tgz")));
    unpack(&at.path().join("m.tgz"), &at.path().join("beside"), &at.path().join("other-name")).unwrap();
    assert_eq!(fs::read(at.path().join("other-name")).unwrap(), b"\x00\xff weights");
    assert!(!at.path().join("beside").exists());
}

#[test]
fn a_folder_comes_back_with_its_files_and_links() {
    let at = folder();
    fs::create_dir_all(at.path().join("out/deep")).unwrap();
    fs::write(at.path().join("out/deep/a"), "1").unwrap();
    std::os::unix::fs::symlink("deep/a", at.path().join("out/latest")).unwrap();
    pack(&at.path().join("out"), Path::new("out"), &at.path().join("o.tgz"), 0).unwrap();
    unpack(&at.path().join("o.tgz"), &at.path().join("beside"), &at.path().join("in")).unwrap();
    assert_eq!(fs::read_to_string(at.path().join("in/deep/a")).unwrap(), "1");
    assert_eq!(fs::read_link(at.path().join("in/latest")).unwrap(), Path::new("deep/a"));
}

#[test]
fn several_entries_become_a_folder() {
    let (at, done) = unpacked(&[("a", tar::EntryType::Regular, "1"), ("b", tar::EntryType::Regular, "2")]);
    done.unwrap();
    assert_eq!(fs::read_to_string(at.path().join("to/b")).unwrap(), "2");
}

#[test]
fn entries_that_lead_out_are_refused() {
    use tar::EntryType::{Link, Regular, Symlink};
    for hostile in [
        vec![("../evil", Regular, "x")],
        vec![("/evil", Regular, "x")],
        vec![("a/../../evil", Regular, "x")],
        vec![("link", Symlink, "/"), ("link/evil", Regular, "x")],
        vec![("a/link", Symlink, "../..")],
        vec![("hard", Link, "../a.tgz")],
    ] {
        let (at, done) = unpacked(&hostile);
        assert!(matches!(done, Err(ArchiveError::Escapes { .. })), "{hostile:?}: {done:?}");
        assert!(!at.path().join("evil").exists() && !at.path().join("to").exists());
    }
}

#[test]
fn gzip_of_something_else_is_no_archive() {
    let at = folder();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"a,b\n1,2\n").unwrap();
    fs::write(at.path().join("data.csv.gz"), gzip.finish().unwrap()).unwrap();
    fs::write(at.path().join("empty"), "").unwrap();
    assert!(!is_packed(&at.path().join("data.csv.gz")));
    assert!(!is_packed(&at.path().join("empty")));
}

#[test]
fn names_follow_argos_key_format() {
    let none = Archive { none: Some(serde_json::json!({})), ..Archive::default() };
    let zip = Archive { zip: Some(serde_json::json!({})), ..Archive::default() };
    let name = |archive: Option<&Archive>| Packing::of(archive).file_name("model", Path::new("/tmp/m.pkl"));
    assert_eq!([name(None), name(Some(&none)), name(Some(&zip))], ["model.tgz", "m.pkl", "model.zip"]);
}

#[test]
fn a_zipped_file_comes_back_as_itself_and_a_folder_with_its_modes() {
    let at = folder();
    let path = |name: &str| at.path().join(name);
    fs::create_dir_all(path("out/deep")).unwrap();
    fs::write(path("out/deep/run.sh"), "#!/bin/sh").unwrap();
    fs::set_permissions(path("out/deep/run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
        .unwrap();
    fs::write(path("model.bin"), b"\x00\xff weights").unwrap();
    zip::pack(&path("out"), Path::new("out"), &path("o.zip")).unwrap();
    zip::pack(&path("model.bin"), Path::new("model.bin"), &path("m.zip")).unwrap();
    zip::unpack(&path("o.zip"), &path("beside"), &path("in")).unwrap();
    zip::unpack(&path("m.zip"), &path("beside"), &path("other-name")).unwrap();
    assert_eq!(fs::read(path("other-name")).unwrap(), b"\x00\xff weights");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path("in/deep/run.sh")).unwrap());
    assert_eq!(mode & 0o777, 0o750);
}

#[test]
fn what_is_no_zip_file_or_leads_out_of_it_is_refused() {
    let at = folder();
    let path = |name: &str| at.path().join(name);
    fs::write(path("no.zip"), "text").unwrap();
    let no_zip = zip::unpack(&path("no.zip"), &path("b1"), &path("to"));
    assert!(matches!(no_zip, Err(ArchiveError::Zip { .. })), "{no_zip:?}");
    let mut hostile = ::zip::ZipWriter::new(fs::File::create(path("evil.zip")).unwrap());
    hostile.start_file("../evil", ::zip::write::SimpleFileOptions::default()).unwrap();
    hostile.finish().unwrap();
    let escapes = zip::unpack(&path("evil.zip"), &path("b2"), &path("to"));
    assert!(matches!(escapes, Err(ArchiveError::Escapes { .. })), "{escapes:?}");
    assert!(!path("evil").exists());
}

#[test]
fn an_archive_with_more_holes_than_content_is_a_bomb() {
    let at = folder();
    let mut header = tar::Header::new_gnu();
    header.set_path("hole").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    let exabyte = b"100000000000000000000\0";
    gnu.realsize.copy_from_slice(&exabyte[9..21]);
    gnu.realsize[0] = b'7';
    gnu.sparse[0].offset.copy_from_slice(&gnu.realsize);
    gnu.sparse[0].numbytes[..2].copy_from_slice(b"0\0");
    header.set_cksum();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append(&header, &b""[..]).unwrap();
    fs::write(at.path().join("a.tgz"), tar.into_inner().unwrap().finish().unwrap()).unwrap();
    let done = unpack(&at.path().join("a.tgz"), &at.path().join("beside"), &at.path().join("to"));
    assert!(matches!(done, Err(ArchiveError::Bomb { .. })), "{done:?}");
}

#[test]
fn a_name_larger_than_memory_is_refused() {
    let at = folder();
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(64 << 20);
    header.set_cksum();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append(&header, io::repeat(b'a').take(64 << 20)).unwrap();
    fs::write(at.path().join("a.tgz"), tar.into_inner().unwrap().finish().unwrap()).unwrap();
    assert!(!is_packed(&at.path().join("a.tgz")));
    let done = unpack(&at.path().join("a.tgz"), &at.path().join("beside"), &at.path().join("to"));
    let Err(ArchiveError::Io { source, .. }) = done else { panic!("{done:?}") };
    assert!(source.to_string().contains("the head of an entry has more than 1048576 bytes"), "{source}");
}
