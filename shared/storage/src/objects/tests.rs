use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use dropforge_driver::store::ObjectFacts;

use super::*;

const LARGE: usize = 3 * 1024 * 1024;

fn objects() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::buckets(folder.path());
    (folder, objects)
}

fn put(objects: &Objects, key: &str, bytes: &[u8]) -> Stat {
    match put_if(objects, key, bytes, &Condition::Always) {
        Put::Stored(stat) => stat,
        Put::Refused => panic!("refused"),
    }
}

fn put_if(objects: &Objects, key: &str, bytes: &[u8], condition: &Condition) -> Put {
    let mut upload = objects.upload(bytes.len() as u64).unwrap();
    upload.write_all(bytes).unwrap();
    upload.finish("b", key, None, BTreeMap::new(), condition).unwrap()
}

fn get(objects: &Objects, key: &str) -> Option<Vec<u8>> {
    objects.stat("b", key).unwrap().map(|stat| fs::read(stat.path).unwrap())
}

fn keys(objects: &Objects, prefix: &str) -> Vec<String> {
    objects.list("b", prefix).unwrap().objects.into_iter().map(|object| object.key).collect()
}

fn facts_of(bytes: &[u8], etag: &str) -> ObjectFacts {
    ObjectFacts {
        size: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
        etag: etag.to_owned(),
        version_id: None,
    }
}

fn quiet(_: u64, _: u64) {}

#[test]
fn a_plain_put_has_the_md5_as_entity_tag() {
    let (_folder, objects) = objects();
    let stat = put(&objects, "a.txt", b"hello");
    let facts = objects.facts(&stat).unwrap();
    assert_eq!(facts.etag, "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(facts.sha256, Some(hex(&Sha256::digest(b"hello"))));
    assert_eq!(objects.stat("b", "a.txt").unwrap(), Some(stat));
}

#[test]
fn an_object_and_a_folder_may_have_one_name() {
    for order in [["a", "a/b", "a/b/c"], ["a/b/c", "a/b", "a"], ["a/b", "a", "a/b/c"]] {
        let (_folder, objects) = objects();
        for key in order {
            put(&objects, key, key.as_bytes());
        }
        for key in order {
            assert_eq!(get(&objects, key).unwrap(), key.as_bytes(), "{order:?}");
            assert_eq!(objects.facts(&objects.stat("b", key).unwrap().unwrap()).unwrap().etag.len(), 32);
        }
        assert_eq!(keys(&objects, ""), ["a", "a/b", "a/b/c"]);
        put(&objects, "a", b"new");
        assert_eq!(get(&objects, "a").unwrap(), b"new");
        assert!(objects.remove("b", "a/b").unwrap());
        assert_eq!(keys(&objects, ""), ["a", "a/b/c"]);
        assert!(objects.remove("b", "a/b/c").unwrap());
        put(&objects, "a", b"newest");
        assert_eq!(
            (get(&objects, "a").unwrap(), keys(&objects, "")),
            (b"newest".to_vec(), vec!["a".to_owned()])
        );
        assert!(objects.remove("b", "a").unwrap());
        assert!(!objects.remove("b", "a").unwrap());
        assert_eq!(keys(&objects, ""), [""; 0]);
    }
}

#[test]
fn odd_keys_are_objects_like_others() {
    let (_folder, objects) = objects();
    let mut odd = ["../x", "a//b", "a/", "ü/ß", "%41", "100%", "\u{1}", "."].map(String::from).to_vec();
    odd.push("long".repeat(200));
    for key in &odd {
        put(&objects, key, key.as_bytes());
    }
    for key in &odd {
        assert_eq!(get(&objects, key).unwrap(), key.as_bytes());
    }
    odd.sort();
    assert_eq!(keys(&objects, ""), odd);
    assert_eq!(objects.bucket_names().unwrap(), ["b"]);
}

#[test]
fn listing_sorts_by_key_and_takes_any_prefix() {
    let (_folder, objects) = objects();
    for key in ["b/1", "b-1", "b.1", "b/2/3", "a", "c"] {
        put(&objects, key, b"");
    }
    assert_eq!(keys(&objects, ""), ["a", "b-1", "b.1", "b/1", "b/2/3", "c"]);
    assert_eq!(keys(&objects, "b"), ["b-1", "b.1", "b/1", "b/2/3"]);
    assert_eq!(keys(&objects, "b/"), ["b/1", "b/2/3"]);
    assert_eq!(keys(&objects, "b/2"), ["b/2/3"]);
    for nothing in ["a/", "x/y", "/", "b/1/x"] {
        assert_eq!(keys(&objects, nothing), [""; 0], "{nothing}");
    }
    assert_eq!(objects.list("other", "").unwrap(), Listing::default());
}

#[test]
fn a_copied_file_is_an_object_and_names_that_cannot_be_keys_are_reported() {
    let (_folder, objects) = objects();
    let bucket = objects.bucket("b").unwrap();
    fs::create_dir_all(bucket.join("churn")).unwrap();
    fs::write(bucket.join("churn/100%.csv"), "1").unwrap();
    let strange = bucket.join(std::ffi::OsStr::from_bytes(b"caf\xe9.csv"));
    fs::write(&strange, "2").unwrap();
    let listing = objects.list("b", "").unwrap();
    assert_eq!(listing.strange, [strange]);
    assert_eq!(listing.objects, [objects.stat("b", "churn/100%.csv").unwrap().unwrap()]);
    assert!(objects.facts(&listing.objects[0]).unwrap().etag.ends_with("-0"));
}

#[test]
fn conditions_are_asked_before_anything_changes() {
    let (_folder, objects) = objects();
    assert_eq!(put_if(&objects, "a", b"1", &Condition::Etag("x".to_owned())), Put::Refused);
    assert!(matches!(put_if(&objects, "a", b"1", &Condition::Absent), Put::Stored(_)));
    assert_eq!(put_if(&objects, "a", b"2", &Condition::Absent), Put::Refused);
    let etag = hex(&<md5::Md5 as Digest>::digest(b"1"));
    assert!(matches!(put_if(&objects, "a", b"2", &Condition::Etag(etag.clone())), Put::Stored(_)));
    assert_eq!(put_if(&objects, "a", b"3", &Condition::Etag(etag)), Put::Refused);
    assert_eq!(get(&objects, "a").unwrap(), b"2");
}

#[test]
fn of_racing_creators_one_wins() {
    let (_folder, objects) = objects();
    let race = || put_if(&objects, "x/a", b"1", &Condition::Absent) != Put::Refused;
    let wins = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
        racers.into_iter().filter_map(|racer| racer.join().ok()).filter(|won| *won).count()
    });
    assert_eq!(wins, 1);
}

#[test]
fn an_unfinished_upload_leaves_nothing() {
    let (_folder, objects) = objects();
    let mut upload = objects.upload(0).unwrap();
    upload.write_all(b"half").unwrap();
    drop(upload);
    assert_eq!(fs::read_dir(objects.temporaries()).unwrap().count(), 0);
    assert_eq!(keys(&objects, ""), [""; 0]);
}

#[test]
fn metadata_is_kept_and_goes_with_the_content() {
    let (_folder, objects) = objects();
    let metadata = BTreeMap::from([("content-type".to_owned(), "text/csv".to_owned())]);
    let upload = objects.upload(0).unwrap();
    upload.finish("b", "a", None, metadata.clone(), &Condition::Always).unwrap();
    let stat = objects.stat("b", "a").unwrap().unwrap();
    assert_eq!(objects.facts(&stat).unwrap().metadata, metadata);
    let newer = put(&objects, "a", b"new");
    assert_eq!(objects.facts(&newer).unwrap().metadata, BTreeMap::new());
    // Facts of what is no longer there are not kept.
    let kept = walk_files(&objects.root.join(".facts"));
    assert_eq!(kept, 1);
}

fn walk_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk_files(&path) } else { 1 }).sum()
}

#[test]
fn a_small_object_is_fetched_as_a_file_of_its_own() {
    let (folder, objects) = objects();
    put(&objects, "a", b"hello");
    let to = folder.path().join("in");
    let facts = objects.fetch("b", "a", &to, &quiet).unwrap();
    assert_eq!(facts, facts_of(b"hello", "5d41402abc4b2a76b9719d911017c592"));
    fs::write(&to, "changed").unwrap();
    assert_eq!(get(&objects, "a").unwrap(), b"hello");
}

#[test]
fn a_large_object_is_not_copied_and_can_not_be_changed_through_its_input() {
    let (folder, _) = objects();
    let objects = Objects::artifacts(folder.path());
    let bytes = vec![7; LARGE];
    let stat = put(&objects, "a", &bytes);
    let to = folder.path().join("in");
    let facts = objects.fetch("b", "a", &to, &quiet).unwrap();
    assert_eq!((facts.sha256, fs::read(&to).unwrap()), (hex(&Sha256::digest(&bytes)), bytes));
    let input = fs::metadata(&to).unwrap();
    // A hard link is read-only; a reflink is a file of its own.
    assert!(input.ino() != stat.inode || input.permissions().mode() & 0o222 == 0);
    // A newer object does not change what was fetched.
    put(&objects, "a", b"new");
    assert_eq!(fs::metadata(&to).unwrap().len(), LARGE as u64);
}

#[test]
fn a_dropped_file_that_was_read_can_be_copied_over_and_the_input_stays_as_it_was() {
    let (folder, objects) = objects();
    let stat = put(&objects, "a", &vec![7; LARGE]);
    let to = folder.path().join("in");
    objects.fetch("b", "a", &to, &quiet).unwrap();
    assert_eq!(fs::metadata(&stat.path).unwrap().permissions().mode() & 0o200, 0o200);
    fs::write(&stat.path, "the next drop").unwrap();
    assert_eq!(fs::metadata(&to).unwrap().len(), LARGE as u64);
}

#[test]
fn an_object_is_hashed_once() {
    let (folder, objects) = objects();
    let bucket = objects.bucket("b").unwrap();
    fs::create_dir_all(&bucket).unwrap();
    for size in [10, LARGE] {
        fs::write(bucket.join("a"), vec![1; size]).unwrap();
        let read = AtomicU64::new(0);
        let count = |done, _| read.store(done, Ordering::Relaxed);
        let (mut file, stat) = objects.open("b", "a").unwrap();
        let first = objects.full_facts(&mut file, &stat, &count).unwrap();
        assert_eq!(read.swap(0, Ordering::Relaxed), size as u64);
        let (mut file, stat) = objects.open("b", "a").unwrap();
        assert_eq!(objects.full_facts(&mut file, &stat, &count).unwrap(), first);
        assert_eq!(read.load(Ordering::Relaxed), 0);
        assert_eq!(objects.fetch("b", "a", &folder.path().join("in"), &quiet).unwrap(), first);
    }
}

#[test]
fn a_changed_file_is_hashed_again() {
    let (folder, objects) = objects();
    put(&objects, "a", b"hello");
    fs::write(objects.bucket("b").unwrap().join("a"), "changed").unwrap();
    let facts = objects.fetch("b", "a", &folder.path().join("in"), &quiet).unwrap();
    assert_eq!(facts.sha256, hex(&Sha256::digest(b"changed")));
    assert!(facts.etag.ends_with("-0"));
}

#[test]
fn storing_moves_what_it_may_consume_and_copies_the_rest() {
    let (folder, objects) = objects();
    for (size, consume) in [(5, true), (5, false), (LARGE, true), (LARGE, false)] {
        let (from, bytes) = (folder.path().join("out"), vec![9; size]);
        fs::write(&from, &bytes).unwrap();
        let facts = objects.take(&from, "b", "x/y", consume, &quiet).unwrap();
        assert_eq!(facts, facts_of(&bytes, &hex(&<md5::Md5 as Digest>::digest(&bytes))));
        assert_eq!((from.exists(), get(&objects, "x/y").unwrap()), (!consume, bytes));
        let (mut file, stat) = objects.open("b", "x/y").unwrap();
        assert_eq!(objects.full_facts(&mut file, &stat, &|_, _| panic!("read again")).unwrap(), facts);
    }
}

#[test]
fn a_file_with_another_name_or_behind_a_link_is_copied() {
    let (folder, objects) = objects();
    let [from, other, link] = ["out", "other", "link"].map(|name| folder.path().join(name));
    fs::write(&from, "1").unwrap();
    fs::hard_link(&from, &other).unwrap();
    objects.take(&from, "b", "a", true, &quiet).unwrap();
    fs::write(&other, "changed").unwrap();
    assert_eq!(get(&objects, "a").unwrap(), b"1");
    std::os::unix::fs::symlink(&from, &link).unwrap();
    objects.take(&link, "b", "a", true, &quiet).unwrap();
    assert_eq!((from.exists(), get(&objects, "a").unwrap()), (true, b"changed".to_vec()));
}

#[test]
fn a_file_behind_a_symbolic_link_is_an_object_and_keeps_its_mode() {
    let (folder, objects) = objects();
    let data = folder.path().join("data.csv");
    fs::write(&data, vec![3; LARGE]).unwrap();
    fs::create_dir_all(objects.bucket("b").unwrap()).unwrap();
    std::os::unix::fs::symlink(&data, objects.bucket("b").unwrap().join("data.csv")).unwrap();
    let before = fs::metadata(&data).unwrap().permissions();
    let facts = objects.fetch("b", "data.csv", &folder.path().join("in"), &quiet).unwrap();
    assert_eq!(facts.size, LARGE as u64);
    assert_eq!(fs::metadata(&data).unwrap().permissions(), before);
}

#[test]
fn without_room_nothing_is_written() {
    let (_folder, objects) = objects();
    let error = objects.upload(u64::MAX).unwrap_err();
    let StoreError::Io { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read_dir(objects.temporaries()).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_not_found() {
    let (folder, objects) = objects();
    put(&objects, "a", b"");
    for key in ["b", "a/b", "a/b/c"] {
        assert_eq!(objects.stat("b", key).unwrap(), None);
        let error = objects.fetch("b", key, &folder.path().join("in"), &quiet).unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    }
}

#[test]
fn what_dead_processes_left_is_swept_and_the_rest_kept() {
    let (_folder, objects) = objects();
    let upload = objects.upload(0).unwrap();
    // No process has this number: it is above Linux's limit.
    fs::write(objects.temporaries().join("4194305-0"), "").unwrap();
    files::sweep(&objects.temporaries());
    let left: Vec<_> =
        fs::read_dir(objects.temporaries()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, std::slice::from_ref(&upload.temporary.path));
}
