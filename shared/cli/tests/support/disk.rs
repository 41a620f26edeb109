//! A small file system of its own, to be filled or made read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::until;

/// It is unmounted when the test is done with it.
pub struct Disk {
    path: PathBuf,
    kilobytes: u32,
}

impl Disk {
    /// None where this process may not mount: the test says so and leaves.
    pub fn mount(path: &Path, kilobytes: u32) -> Option<Disk> {
        fs::create_dir_all(path).unwrap();
        let size = format!("size={kilobytes}k");
        let disk = Disk { path: path.to_path_buf(), kilobytes };
        if disk.mounts(&["-t", "tmpfs", "-o", &size, "tmpfs"]) {
            return Some(disk);
        }
        eprintln!("SKIPPED: a file system can only be mounted by root");
        None
    }

    fn mounts(&self, arguments: &[&str]) -> bool {
        let done = Command::new("mount").args(arguments).arg(&self.path).output();
        done.is_ok_and(|output| output.status.success())
    }

    /// Nothing can be written any more.
    pub fn make_read_only(&self) {
        // A supervisor on its way out may still hold its log open.
        until("the disk to be idle", || self.mounts(&["-o", "remount,ro"]).then_some(()));
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        // The last page of each file is filled too, or a short line would still find room.
        let more_than_fits = vec![b'x'; (self.kilobytes as usize + 1) << 10];
        let _ = fs::write(self.path.join("filler"), more_than_fits);
    }

    /// Gives it back.
    pub fn make_room(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join("filler"));
        // A supervisor that has not left yet keeps it busy: it goes when that does.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}
