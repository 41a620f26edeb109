//! The memory limit of a step: a control group of its own where one can be made, else the sum of what its
//! processes hold, looked at again and again.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::poll;

use crate::process::family::timespec;

#[cfg(test)]
mod tests;

/// How often, and after how long, a group that the kernel still holds is removed again.
const REMOVALS_MAX: usize = 40;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(5);

/// Which of the two kinds of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A control group with a memory limit; removed when dropped.
#[derive(Debug)]
pub struct Group {
    pub(crate) folder: PathBuf,
    version: Version,
}

impl Group {
    /// A new group with this limit, or none where this process may not make one.
    pub fn make(attempt: &str, container: Option<&str>, limit_bytes: u64) -> Option<Group> {
        let mut own = name(OsStr::new(attempt));
        own.push(container.map(|container| format!("{BETWEEN}{container}")).unwrap_or_default());
        Places::of_this_process().folders().into_iter().find_map(|(version, parent)| {
            let folder = parent.join(&own);
            // Of an attempt whose supervisor died; it is empty by now, or it can't be used.
            let _ = fs::remove_dir(&folder);
            fs::create_dir(&folder).ok()?;
            let group = Group { folder, version };
            group.limit(limit_bytes).ok()?;
            Some(group)
        })
    }

    fn limit(&self, bytes: u64) -> io::Result<()> {
        match self.version {
            Version::One => {
                self.write("memory.limit_in_bytes", &bytes.to_string())?;
                // Memory and swap together; absent where swap is not counted.
                let _ = self.write("memory.memsw.limit_in_bytes", &bytes.to_string());
                Ok(())
            }
            Version::Two => {
                self.write("memory.max", &bytes.to_string())?;
                let _ = self.write("memory.swap.max", "0");
                // As Kubernetes: with one process too large, the step is over.
                let _ = self.write("memory.oom.group", "1");
                Ok(())
            }
        }
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join(file), value)
    }

    /// The file through which a process joins.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn procs(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.folder.join("cgroup.procs"))
    }

    /// Whether the kernel ended a process because of the limit.
    pub fn has_killed(&self) -> bool {
        kills(&self.folder.join(self.version.kills_file())).is_some_and(|kills| kills > 0)
    }
}

impl Version {
    fn kills_file(self) -> &'static str {
        match self {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        }
    }
}

/// How many processes the kernel has ended for the limit; none where nobody counts.
fn kills(file: &Path) -> Option<u64> {
    let counts = fs::read_to_string(file).ok()?;
    counts.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// The memory limit that this process is under itself, as one in a container is.
#[derive(Debug)]
pub struct Kills {
    file: Option<PathBuf>,
    before: u64,
}

impl Kills {
    /// Counts from here.
    pub fn watch() -> Kills {
        let places = Places::of_this_process();
        let one = places.one.map(|folder| folder.join(Version::One.kills_file()));
        let two = places.two.map(|(_, folder)| folder.join(Version::Two.kills_file()));
        let found = one.into_iter().chain(two).find_map(|file| Some((kills(&file)?, file)));
        let (before, file) = found.map_or((0, None), |(before, file)| (before, Some(file)));
        Kills { file, before }
    }

    /// Whether the kernel has ended a process since.
    pub fn is_more(&self) -> bool {
        self.file.as_deref().and_then(kills).is_some_and(|now| now > self.before)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// The kernel lets go of a group a moment after its last process.
fn remove(folder: &Path) {
    for _ in 0..REMOVALS_MAX {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let _ = poll(&mut [], Some(&timespec(BETWEEN_REMOVALS)));
            }
            _ => return,
        }
    }
    tracing::warn!(folder = %folder.display(), "the control group could not be removed");
}

/// Removes the group of an attempt whose supervisor died, once its processes have ended.
pub fn remove_left_over(attempt: &OsStr) {
    for (_, parent) in Places::of_this_process().folders() {
        let own = name(attempt);
        let of_attempt = |folder: &OsStr| {
            let rest = folder.as_bytes().strip_prefix(own.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(BETWEEN.as_bytes()))
        };
        let entries = fs::read_dir(&parent).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| of_attempt(&entry.file_name())) {
            remove(&entry.path());
        }
    }
}

/// Stands between an attempt and its container; no pod's name holds it.
const BETWEEN: &str = "+";

fn name(attempt: &OsStr) -> OsString {
    let plain = attempt.as_bytes().iter().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(*byte),
        _ => '_',
    });
    OsString::from("dropforge-".chars().chain(plain).collect::<String>())
}

/// Where the control groups of this process are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    one: Option<PathBuf>,
    /// The mount and this process's group below it.
    two: Option<(PathBuf, PathBuf)>,
}

impl Places {
    fn of_this_process() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        Places::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    fn parse(groups: &str, mounts: &str) -> Self {
        let mount = |kind: &str, option: Option<&str>| {
            mounts.lines().find_map(|line| {
                let (before, after) = line.split_once(" - ")?;
                let mut fields = after.split(' ');
                let (its_kind, options) = (fields.next()?, fields.nth(1)?);
                let fits = option.is_none_or(|option| options.split(',').any(|one| one == option));
                let mut before = before.split(' ').skip(3);
                let (root, point) = (before.next()?, before.next()?);
                (its_kind == kind && fits).then(|| (root.to_owned(), PathBuf::from(point)))
            })
        };
        let place = |group: &str, (root, point): (String, PathBuf)| {
            // In a container the mount shows only a part of the hierarchy.
            let below = Path::new(group).strip_prefix(&root).unwrap_or(Path::new(""));
            (point.clone(), if below.as_os_str().is_empty() { point } else { point.join(below) })
        };
        let mut places = Places::default();
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
            if controllers.is_empty() {
                places.two = mount("cgroup2", None).map(|mount| place(group, mount));
            } else if controllers.split(',').any(|controller| controller == "memory") {
                places.one = mount("cgroup", Some("memory")).map(|mount| place(group, mount).1);
            }
        }
        places
    }

    /// The groups in which one with a limit might be made, the likeliest first.
    fn folders(&self) -> Vec<(Version, PathBuf)> {
        let one = self.one.iter().map(|folder| (Version::One, folder.clone()));
        let two = self.two.iter().flat_map(|(top, own)| distributors(top, own));
        one.chain(two.map(|folder| (Version::Two, folder))).collect()
    }
}

/// The groups above a process that hand the memory controller on. A group with processes can't, so it is mostly
/// a sibling that is made; but never one beside a limit that this process itself is under.
fn distributors(top: &Path, own: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in own.ancestors().take_while(|folder| folder.starts_with(top)) {
        let handed_on = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        if handed_on.split_ascii_whitespace().any(|controller| controller == "memory") {
            found.push(folder.to_path_buf());
        }
        let limit = fs::read_to_string(folder.join("memory.max"));
        if limit.is_ok_and(|limit| limit.trim() != "max") {
            break;
        }
    }
    found
}
