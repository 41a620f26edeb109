use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::endpoint::{EventKind, ObjectEvent, create_bucket, existing};
use crate::objects::{Condition, Objects, Put};

/// A watcher without its thread: the test says when it looks.
struct Watched {
    folder: TempDir,
    objects: Objects,
    watcher: Watcher,
    told: Receiver<ObjectEvent>,
}

impl Watched {
    /// Watches a bucket `uploads` after `before` put files there.
    fn after(before: impl FnOnce(&Path)) -> Watched {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::at(folder.path().to_owned());
        create_bucket(&objects, "uploads").unwrap();
        before(&folder.path().join("uploads"));
        let (tell, told) = channel();
        let announcer = Announcer::new(objects.clone(), move |event| tell.send(event).unwrap());
        let watcher = Watcher::begin(announcer).unwrap();
        Watched { folder, objects, watcher, told }
    }

    fn new() -> Watched {
        Watched::after(|_| {})
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("uploads").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn make_folder(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    fn put(&self, key: &str, text: &str) -> Stat {
        let mut upload = self.objects.upload(0).unwrap();
        upload.write_all(text.as_bytes()).unwrap();
        match upload.finish("uploads", key, None, Default::default(), &Condition::Always).unwrap() {
            Put::Stored(stat) => stat,
            Put::Refused => panic!("nothing was asked of the object"),
        }
    }

    /// Takes the events that happened, as if enough time had passed since for files to settle.
    fn look(&mut self) -> Vec<String> {
        self.watcher.take_events().unwrap();
        self.watcher.settle(Instant::now() + 2 * SETTLE);
        let mut seen: Vec<_> = self.told.try_iter().map(|event| text(&event)).collect();
        seen.sort_unstable();
        seen
    }
}

fn text(event: &ObjectEvent) -> String {
    match event.kind {
        EventKind::Created => format!("{}/{} {}", event.bucket, event.key, event.size),
        EventKind::Removed => format!("{}/{} removed", event.bucket, event.key),
    }
}

#[test]
fn a_copied_file_is_told_once() {
    let mut watched = Watched::new();
    watched.write("data.csv", "abc");
    assert_eq!(watched.look(), ["uploads/data.csv 3"]);
    assert_eq!(watched.look(), [""; 0]);
}

#[test]
fn an_event_names_the_object_as_it_is_listed() {
    let mut watched = Watched::new();
    watched.write("data.csv", "abc");
    watched.watcher.take_events().unwrap();
    watched.watcher.settle(Instant::now() + 2 * SETTLE);
    let told: Vec<_> = watched.told.try_iter().collect();
    assert_eq!(told, existing(&watched.objects, "uploads", "").unwrap());
    let stat = watched.objects.stat("uploads", "data.csv").unwrap().unwrap();
    assert_eq!((told[0].etag.clone(), told[0].time), (stat.etag(), stat.modified));
}

#[test]
fn files_in_folders_made_later_are_told() {
    let mut watched = Watched::new();
    watched.make_folder("a/b/c");
    watched.write("a/b/c/early", "1");
    assert_eq!(watched.look(), ["uploads/a/b/c/early 1"]);
    watched.write("a/b/c/late", "12");
    watched.write("a/b/beside", "123");
    assert_eq!(watched.look(), ["uploads/a/b/beside 3", "uploads/a/b/c/late 2"]);
}

#[test]
fn files_of_a_bucket_made_later_are_told() {
    let mut watched = Watched::new();
    fs::create_dir(watched.folder.path().join("models")).unwrap();
    watched.watcher.take_events().unwrap();
    fs::write(watched.folder.path().join("models/m"), "x").unwrap();
    assert_eq!(watched.look(), ["models/m 1"]);
}

#[test]
fn files_of_a_folder_moved_in_are_told_and_moved_out_are_removed() {
    let mut watched = Watched::new();
    let outside = tempfile::tempdir_in(watched.folder.path().parent().unwrap()).unwrap();
    fs::create_dir_all(outside.path().join("drop/sub")).unwrap();
    fs::write(outside.path().join("drop/sub/data.csv"), "abc").unwrap();
    fs::rename(outside.path().join("drop"), watched.path("drop")).unwrap();
    assert_eq!(watched.look(), ["uploads/drop/sub/data.csv 3"]);
    fs::rename(watched.path("drop"), watched.path("other")).unwrap();
    assert_eq!(watched.look(), ["uploads/drop/sub/data.csv removed", "uploads/other/sub/data.csv 3"]);
    watched.write("other/sub/more.csv", "abcd");
    assert_eq!(watched.look(), ["uploads/other/sub/more.csv 4"]);
    fs::rename(watched.path("other"), outside.path().join("drop")).unwrap();
    assert_eq!(watched.look(), ["uploads/other/sub/data.csv removed", "uploads/other/sub/more.csv removed"]);
    fs::write(outside.path().join("drop/sub/unseen"), "x").unwrap();
    assert_eq!(watched.look(), [""; 0]);
}

#[test]
fn a_file_that_is_still_written_is_told_when_it_is_closed() {
    let mut watched = Watched::new();
    let mut file = File::create(watched.path("data.csv")).unwrap();
    file.write_all(b"first half").unwrap();
    assert_eq!(watched.look(), [""; 0]);
    file.write_all(b", second half").unwrap();
    assert_eq!(watched.look(), [""; 0]);
    drop(file);
    assert_eq!(watched.look(), ["uploads/data.csv 23"]);
}

#[test]
fn a_file_being_written_in_a_folder_that_appears_is_told_when_it_is_closed() {
    let mut watched = Watched::new();
    watched.make_folder("a/b");
    let mut file = File::create(watched.path("a/b/data.csv")).unwrap();
    file.write_all(b"half").unwrap();
    assert_eq!(watched.look(), [""; 0]);
    drop(file);
    assert_eq!(watched.look(), ["uploads/a/b/data.csv 4"]);
}

#[test]
fn a_writer_that_opens_the_file_again_is_waited_for() {
    let mut watched = Watched::new();
    watched.write("data.csv", "abc");
    watched.watcher.take_events().unwrap();
    let mut again = OpenOptions::new().append(true).open(watched.path("data.csv")).unwrap();
    again.write_all(b"def").unwrap();
    for _ in 0..3 {
        assert_eq!(watched.look(), [""; 0]);
    }
    drop(again);
    assert_eq!(watched.look(), ["uploads/data.csv 6"]);
}

#[test]
fn a_file_that_changed_since_it_was_closed_settles_anew() {
    let mut watched = Watched::new();
    watched.write("data.csv", "abc");
    watched.watcher.take_events().unwrap();
    // Its events are not taken: as if they came a moment later.
    watched.write("data.csv", "abcdef");
    watched.watcher.settle(Instant::now() + 2 * SETTLE);
    assert_eq!(watched.told.try_iter().count(), 0);
    assert_eq!(watched.look(), ["uploads/data.csv 6"]);
}

#[test]
fn the_same_bytes_copied_again_are_another_version() {
    let mut watched = Watched::new();
    let mut versions = Vec::new();
    for _ in 0..2 {
        watched.write("data.csv", "abc");
        let later = fs::metadata(watched.path("data.csv")).unwrap().modified().unwrap();
        let file = OpenOptions::new().write(true).open(watched.path("data.csv")).unwrap();
        file.set_modified(later + Duration::from_secs(versions.len() as u64)).unwrap();
        drop(file);
        watched.watcher.take_events().unwrap();
        watched.watcher.settle(Instant::now() + 2 * SETTLE);
        versions.extend(watched.told.try_iter().map(|event| event.version_id));
    }
    assert_eq!(versions.len(), 2);
    assert_ne!(versions[0], versions[1]);
}

#[test]
fn an_object_put_by_the_endpoint_is_not_told_again() {
    let mut watched = Watched::new();
    let stat = watched.put("a/b", "abc");
    watched.watcher.announcer.created(&stat, Some("tag"));
    assert_eq!(watched.look(), ["uploads/a/b 3"]);
    assert_eq!(watched.look(), [""; 0]);
}

#[test]
fn an_object_put_by_somebody_else_is_told_with_its_entity_tag() {
    let mut watched = Watched::new();
    watched.put("a/b", "abc");
    watched.watcher.take_events().unwrap();
    watched.watcher.settle(Instant::now() + 2 * SETTLE);
    let etags: Vec<_> = watched.told.try_iter().map(|event| event.etag).collect();
    assert_eq!(etags, ["900150983cd24fb0d6963f7d28e17f72"]);
}

#[test]
fn an_object_that_moves_beside_its_folder_is_neither_removed_nor_told_again() {
    let mut watched = Watched::new();
    watched.put("a", "1");
    assert_eq!(watched.look(), ["uploads/a 1"]);
    watched.put("a/b", "12");
    assert_eq!(watched.look(), ["uploads/a/b 2"]);
    watched.objects.remove("uploads", "a").unwrap();
    assert_eq!(watched.look(), ["uploads/a removed"]);
}

#[test]
fn what_was_there_is_listed_and_not_told() {
    let mut watched = Watched::after(|bucket| {
        fs::create_dir(bucket.join("churn")).unwrap();
        fs::write(bucket.join("churn/old.csv"), "abc").unwrap();
        fs::write(bucket.join("other"), "").unwrap();
    });
    assert_eq!(watched.look(), [""; 0]);
    let there = existing(&watched.objects, "uploads", "churn/").unwrap();
    assert_eq!(there.iter().map(text).collect::<Vec<_>>(), ["uploads/churn/old.csv 3"]);
    watched.write("churn/old.csv", "abcd");
    assert_eq!(watched.look(), ["uploads/churn/old.csv 4"]);
    fs::remove_file(watched.path("other")).unwrap();
    assert_eq!(watched.look(), ["uploads/other removed"]);
}

#[test]
fn a_file_that_was_being_written_at_the_start_is_told_when_it_is_closed() {
    let mut open = None;
    let mut watched = Watched::after(|bucket| {
        let mut file = File::create(bucket.join("data.csv")).unwrap();
        file.write_all(b"all of it").unwrap();
        open = Some(file);
    });
    assert_eq!(existing(&watched.objects, "uploads", "").unwrap(), []);
    assert_eq!(watched.look(), [""; 0]);
    drop(open);
    assert_eq!(watched.look(), ["uploads/data.csv 9"]);
}

#[test]
fn a_new_link_to_a_finished_file_is_told() {
    let mut watched = Watched::new();
    let elsewhere = watched.folder.path().join("elsewhere");
    fs::write(&elsewhere, "abc").unwrap();
    fs::hard_link(&elsewhere, watched.path("hard")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, watched.path("soft")).unwrap();
    assert_eq!(watched.look(), ["uploads/hard 3", "uploads/soft 3"]);
}

#[test]
fn a_bucket_may_be_a_link_to_a_folder() {
    let mut watched = Watched::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), watched.folder.path().join("linked")).unwrap();
    watched.watcher.take_events().unwrap();
    fs::write(elsewhere.path().join("data.csv"), "abc").unwrap();
    assert_eq!(watched.look(), ["linked/data.csv 3"]);
}

#[test]
fn names_that_are_no_keys_and_files_of_our_own_are_left_out() {
    let mut watched = Watched::new();
    fs::write(watched.folder.path().join("uploads").join(OsStr::from_bytes(b"bad\xff.csv")), "x").unwrap();
    fs::write(watched.path("reads%2Das-escape"), "x").unwrap();
    fs::write(watched.folder.path().join("no-bucket"), "x").unwrap();
    fs::create_dir(watched.folder.path().join(".ours")).unwrap();
    fs::write(watched.folder.path().join(".ours/x"), "x").unwrap();
    watched.write("good.csv", "x");
    assert_eq!(watched.look(), ["uploads/good.csv 1"]);
    assert_eq!(watched.watcher.warned.len(), 2, "{:?}", watched.watcher.warned);
}

#[test]
fn when_the_kernel_loses_events_nothing_is_missed_or_told_twice() {
    let mut watched = Watched::new();
    watched.write("before", "1");
    watched.write("gone", "1");
    assert_eq!(watched.look(), ["uploads/before 1", "uploads/gone 1"]);
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    // At least two events for each file: made and closed.
    let files = queue.trim().parse::<usize>().unwrap() / 2 + 1;
    for number in 0..files {
        File::create(watched.path(&format!("{number:06}"))).unwrap();
    }
    fs::remove_file(watched.path("gone")).unwrap();
    watched.make_folder("late");
    watched.write("late/file", "12");
    let told = watched.look();
    assert_eq!(told.len(), files + 2);
    assert_eq!(told[files..], ["uploads/gone removed", "uploads/late/file 2"]);
    watched.write("late/later", "123");
    assert_eq!(watched.look(), ["uploads/late/later 3"]);
}

#[test]
fn a_running_watch_tells_and_ends_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = channel();
    let objects = Objects::at(folder.path().join("buckets"));
    let watch = watch(Announcer::new(objects, move |event| tell.send(text(&event)).unwrap())).unwrap();
    fs::create_dir_all(folder.path().join("buckets/uploads/churn")).unwrap();
    fs::write(folder.path().join("buckets/uploads/churn/data.csv"), "abc").unwrap();
    let event = told.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(event, "uploads/churn/data.csv 3");
    drop(watch);
    // The announcer went with the thread, and its end of the channel with it.
    assert!(told.recv().is_err());
}
