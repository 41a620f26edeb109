//! What moving artifacts in either direction shares: facts for the record, progress for people.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dropforge_driver::store::{ObjectFacts, Place};
use dropforge_engine::attempt::StoredObject;
use sha2::{Digest, Sha256};

/// How often a moving artifact is told of. Small ones, which take less, are not told of at all.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Tells people how far an artifact is.
pub struct Progress<'a> {
    tell: &'a (dyn Fn(String) + Send + Sync),
}

impl<'a> Progress<'a> {
    /// Tells through `tell`.
    pub fn new(tell: &'a (dyn Fn(String) + Send + Sync)) -> Self {
        Progress { tell }
    }

    /// The progress of one artifact, as the store wants it: bytes done, bytes in all.
    pub fn of(&self, direction: &'static str, artifact: &str) -> impl Fn(u64, u64) + Send + Sync + 'a {
        let (tell, artifact) = (self.tell, artifact.to_owned());
        let begun = Instant::now();
        let last = Mutex::new(Cell::new(begun));
        move |done, total| {
            let Ok(last) = last.lock() else { return };
            let now = Instant::now();
            if now.duration_since(last.get()) >= TELL_EVERY {
                last.set(now);
                let rate = done as f64 / now.duration_since(begun).as_secs_f64();
                tell(format!(
                    "{direction} {artifact}: {} of {}, {}/s",
                    size(done),
                    size(total),
                    size(rate as u64)
                ));
            }
        }
    }
}

/// A size as people read it: `310 MB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let power = (0..units.len() - 1).take_while(|p| bytes / 1000_u64.pow(*p as u32 + 1) > 0).count();
    if power == 0 {
        return format!("{bytes} B");
    }
    format!("{:.1} {}", bytes as f64 / 1000_f64.powi(power as i32), units[power])
}

/// The record of one object.
pub fn stored_object(name: &str, place: &Place, facts: ObjectFacts) -> StoredObject {
    StoredObject {
        name: name.to_owned(),
        bucket: place.bucket.clone().unwrap_or_default(),
        key: place.key.clone(),
        size: facts.size,
        sha256: facts.sha256,
        version_id: facts.version_id,
        etag: Some(facts.etag).filter(|etag| !etag.is_empty()),
    }
}

/// The record of a file that was fetched from, or brought to, a URL.
///
/// # Errors
/// When it can't be read.
pub fn stored_at(name: &str, url: &str, file: &Path) -> io::Result<StoredObject> {
    let mut digest = Sha256::new();
    let size = io::copy(&mut File::open(file)?, &mut digest)?;
    Ok(StoredObject {
        name: name.to_owned(),
        key: url.to_owned(),
        size,
        sha256: hexadecimal(&digest.finalize()),
        ..StoredObject::default()
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The record of a folder of objects, whose digest is taken over its sorted names and digests.
pub fn stored_directory(name: &str, folder: &Place, files: &[(String, ObjectFacts)]) -> StoredObject {
    let mut lines: Vec<String> =
        files.iter().map(|(key, facts)| format!("{key}\0{}\n", facts.sha256)).collect();
    lines.sort();
    let mut digest = Sha256::new();
    lines.iter().for_each(|line| digest.update(line));
    StoredObject {
        name: name.to_owned(),
        bucket: folder.bucket.clone().unwrap_or_default(),
        key: format!("{}/", folder.key.trim_end_matches('/')),
        size: files.iter().map(|(_, facts)| facts.size).sum(),
        sha256: hexadecimal(&digest.finalize()),
        version_id: None,
        etag: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [0, 999, 1000, 310_000_000, 10_000_000_000].map(size),
            ["0 B", "999 B", "1.0 kB", "310.0 MB", "10.0 GB"]
        );
    }

    #[test]
    fn a_folders_digest_does_not_depend_on_the_order_of_its_files() {
        let facts = |sha256: &str| ObjectFacts {
            size: 2,
            sha256: sha256.into(),
            etag: String::new(),
            version_id: None,
        };
        let place = Place { bucket: None, key: "out".into() };
        let (a, b) = (("a".to_owned(), facts("1")), ("b".to_owned(), facts("2")));
        let one = stored_directory("d", &place, &[a.clone(), b.clone()]);
        assert_eq!(one, stored_directory("d", &place, &[b, a.clone()]));
        assert_ne!(one.sha256, stored_directory("d", &place, &[a]).sha256);
        assert_eq!((one.key.as_str(), one.size), ("out/", 4));
    }
}
