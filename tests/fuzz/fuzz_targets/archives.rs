//! Archives: nothing appears outside the folder, no link leads out of it, and no small archive becomes a large one. The
//! first byte says how the rest is meant: as gzip, as tar to be packed, as zip.
#![no_main]

use std::fs;
use std::io::Write;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

// The executor's crate brings a container engine's client, git and TLS, of which an archive needs nothing.
#[allow(dead_code, reason = "only unpacking is of interest")]
#[path = "../archive/mod.rs"]
mod archive;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let at = tempfile::tempdir().expect("a folder");
    let (file, beside, to) = (at.path().join("file"), at.path().join("in/beside"), at.path().join("in/to"));
    fs::create_dir(at.path().join("in")).expect("a folder");
    let packed = if kind % 3 == 1 { packed(bytes) } else { bytes.to_vec() };
    fs::write(&file, &packed).expect("a file");
    let _ = archive::is_packed(&file);
    let unpack = if kind % 3 == 2 { archive::zip::unpack } else { archive::unpack };
    let _ = unpack(&file, &beside, &to);
    let mut names: Vec<_> = names(at.path());
    names.sort();
    assert_eq!(names, ["file", "in"]);
    assert!(self::names(&at.path().join("in")).iter().all(|name| name == "beside" || name == "to"));
    let folder = at.path().join("in").canonicalize().expect("it is there");
    let mut bytes = 0;
    check(&folder, &folder, &mut bytes);
    assert!(bytes <= (packed.len() as u64) * 1_100 + (1 << 20) + 4096, "{bytes} bytes of {}", packed.len());
});

fn packed(tar: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).expect("memory");
    gzip.finish().expect("memory")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Every link below `folder` leads to a place below `top`.
fn check(top: &Path, folder: &Path, bytes: &mut u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("it is there"));
        if kind.is_dir() {
            check(top, &path, bytes);
        } else if kind.is_symlink() {
            let leads = path.canonicalize();
            assert!(leads.is_err() || leads.is_ok_and(|place| place.starts_with(top)), "{path:?}");
        } else {
            *bytes += entry.metadata().expect("it is there").len();
        }
    }
}
