//! What a step sees where: the host's folders, private ones, and its own binds, as a list of mounts.
//!
//! A path of the step that is not below a bind is the same path below `<scratch>/root`, so far as it is the
//! step's own. A host folder is bound whole where nothing of the step's lies in it; otherwise it becomes a
//! private folder in which the host's entries are bound one by one.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, DirEntry, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::Namespace;
use super::enter::{Attach, Plan, UserMaps};

/// The step's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// A folder of the attempt's own, on disk.
    pub scratch: PathBuf,
    /// What the step sees at paths of its manifest; a later one lies over an earlier one of the same path. No
    /// source lies below `<scratch>/root`, which is the step's own anyway.
    pub binds: Vec<Bind>,
    /// Further folders, as the step sees them, into which it may write for itself. What the host has there
    /// stays readable, and what is written lies below `<scratch>/root`.
    pub writable: Vec<PathBuf>,
}

/// A file or folder of this machine at a path of the step's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is.
    pub source: PathBuf,
    /// Where the step sees it.
    pub target: PathBuf,
    /// Whether nobody in the step can change it.
    pub read_only: bool,
}

/// Why the step's files can't be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A path must be absolute, without `..`, and hold no NUL.
    #[error("path {path:?} must be absolute and without `..`")]
    BadPath {
        /// The path.
        path: PathBuf,
    },
    /// Nothing can be mounted there.
    #[error("nothing can be mounted on {}: it belongs to the system", target.display())]
    System {
        /// Where it should be.
        target: PathBuf,
    },
    /// The place within another bind is not there and must not be made.
    #[error("{} can't be made: it lies in {}, which is read-only", target.display(), bind.display())]
    InReadOnly {
        /// Where it should be.
        target: PathBuf,
        /// The bind that holds it.
        bind: PathBuf,
    },
    /// Making or reading a file failed.
    #[error("{action} {}", path.display())]
    Io {
        /// `make`, `read`, …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The kernel's file systems: nothing can be made there.
const MACHINE: [&str; 3] = ["/proc", "/dev", "/sys"];

/// Fresh and empty for each step.
const PRIVATE: [&str; 4] = ["/tmp", "/mnt", "/run", "/var/tmp"];

/// The mode of a folder in which all may write.
const SHARED_MODE: u32 = 0o1777;

type Laid<T> = Result<T, LayoutError>;

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    move |source| LayoutError::Io { action, path: path.to_path_buf(), source }
}

/// Makes the root's folders and says what the child has to mount.
pub fn lay_out(layout: &Layout, working_dir: &Path, namespace: Namespace) -> Laid<Plan> {
    let mut plan = Drawing::new(layout);
    make_folder(&plan.root)?;
    let mut binds: Vec<&Bind> = layout.binds.iter().collect();
    binds.sort_by_key(|bind| bind.target.components().count());
    for (index, bind) in binds.iter().enumerate() {
        plan.place(bind, &binds[..index])?;
    }
    for folder in &layout.writable {
        check(folder)?;
        if holder(folder, &binds).is_none() {
            plan.open(folder);
        }
    }
    plan.make_working_dir(working_dir, &binds)?;
    plan.draw()?;
    plan.name_servers()?;
    let binds = binds.iter().map(|bind| {
        let target = plan.root_of(&bind.target);
        Ok(Attach { source: c_path(&bind.source)?, target: c_path(&target)?, read_only: bind.read_only })
    });
    let binds = binds.collect::<Laid<_>>()?;
    let inner = if namespace.recursive_attributes { Vec::new() } else { plan.inner_mounts()? };
    Ok(Plan {
        root: c_path(&plan.root)?,
        host: plan.host,
        inner,
        as_they_are: plan.as_they_are,
        binds,
        recursive_attributes: namespace.recursive_attributes,
        user: namespace.user_namespace.then(UserMaps::of_this_process),
    })
}

/// The bind that holds `path`, the deepest and last of several.
fn holder<'a>(path: &Path, binds: &[&'a Bind]) -> Option<&'a Bind> {
    binds.iter().rev().find(|bind| path.starts_with(&bind.target)).copied()
}

fn check(path: &Path) -> Laid<()> {
    let up = path.components().any(|part| part == Component::ParentDir);
    if path.is_absolute() && !up { Ok(()) } else { Err(LayoutError::BadPath { path: path.to_path_buf() }) }
}

fn c_path(path: &Path) -> Laid<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| LayoutError::BadPath { path: path.to_path_buf() })
}

fn is_below(path: &Path, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

fn make_folder(path: &Path) -> Laid<()> {
    fs::create_dir_all(path).map_err(failed("make", path))
}

/// A folder or an empty file to mount on.
fn make_mount_point(path: &Path, folder: bool) -> Laid<()> {
    if folder {
        return make_folder(path);
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map(drop)
        .or_else(|error| if path.exists() { Ok(()) } else { Err(error) })
        .map_err(failed("make", path))
}

/// A plan being made.
struct Drawing {
    scratch: PathBuf,
    root: PathBuf,
    /// Folders, as the step sees them, that are the step's own, with all above them.
    opened: BTreeSet<PathBuf>,
    /// Targets that take the place of what the host may have there.
    placed: BTreeSet<PathBuf>,
    host: Vec<Attach>,
    as_they_are: Vec<Attach>,
}

impl Drawing {
    fn new(layout: &Layout) -> Self {
        Drawing {
            scratch: layout.scratch.clone(),
            root: layout.scratch.join("root"),
            opened: BTreeSet::from([PathBuf::from("/")]),
            placed: BTreeSet::new(),
            host: Vec::new(),
            as_they_are: Vec::new(),
        }
    }

    /// Where the step's `path` is on this machine.
    fn root_of(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn open(&mut self, folder: &Path) {
        self.opened.extend(folder.ancestors().map(Path::to_path_buf));
    }

    /// Sees to it that there is something to mount this bind on.
    fn place(&mut self, bind: &Bind, outer: &[&Bind]) -> Laid<()> {
        let target = &bind.target;
        check(target)?;
        let folder = bind.source.metadata().map_err(failed("read", &bind.source))?.is_dir();
        let system = LayoutError::System { target: target.clone() };
        if let Some(outer) = holder(target, outer) {
            return place_within(outer, bind, folder);
        }
        let there = target.metadata().is_ok_and(|there| there.is_dir() == folder);
        match target.parent() {
            None => Err(system),
            Some(_) if MACHINE.iter().any(|machine| target == Path::new(machine)) => Err(system),
            Some(_) if is_below(target, &MACHINE) => {
                if there {
                    Ok(())
                } else {
                    Err(system)
                }
            }
            // Whole below a host folder, without a link on its way that could lead out of the root.
            Some(parent)
                if there
                    && parent != Path::new("/")
                    && !is_below(target, &PRIVATE)
                    && fs::canonicalize(target).is_ok_and(|real| real == *target) =>
            {
                Ok(())
            }
            Some(parent) => {
                self.open(parent);
                self.placed.insert(target.clone());
                make_mount_point(&self.root_of(target), folder)
            }
        }
    }

    /// The working directory is made where it is missing, as a container engine does.
    fn make_working_dir(&mut self, working_dir: &Path, binds: &[&Bind]) -> Laid<()> {
        check(working_dir)?;
        if let Some(bind) = holder(working_dir, binds) {
            let inner = bind.source.join(working_dir.strip_prefix(&bind.target).unwrap_or(working_dir));
            return if bind.read_only || inner.exists() { Ok(()) } else { make_folder(&inner) };
        }
        let of_host = working_dir.exists() && !is_below(working_dir, &PRIVATE);
        if !of_host && !is_below(working_dir, &MACHINE) {
            self.open(working_dir);
        }
        Ok(())
    }

    fn draw(&mut self) -> Laid<()> {
        for folder in &self.opened {
            make_folder(&self.root_of(folder))?;
        }
        for folder in PRIVATE.iter().filter(|folder| Path::new(folder).parent() == Some(Path::new("/"))) {
            make_folder(&self.root_of(Path::new(folder)))?;
        }
        make_shared(&self.root_of(Path::new("/tmp")))?;
        self.show(Path::new("/"))?;
        self.keep_var_tmp()
    }

    /// Shows what the host has in a folder that is the step's own.
    fn show(&mut self, folder: &Path) -> Laid<()> {
        let entries = fs::read_dir(folder).map_err(failed("read", folder))?;
        for entry in entries {
            self.show_entry(&entry.map_err(failed("read", folder))?)?;
        }
        Ok(())
    }

    fn show_entry(&mut self, entry: &DirEntry) -> Laid<()> {
        let path = entry.path();
        let top = path.parent() == Some(Path::new("/"));
        if self.placed.contains(&path) || is_below(&path, &PRIVATE) {
            return Ok(());
        }
        if self.opened.contains(&path) {
            return if path.is_dir() { self.show(&path) } else { Ok(()) };
        }
        let kind = entry.file_type().map_err(failed("read", &path))?;
        let here = self.root_of(&path);
        if kind.is_symlink() {
            return show_link(&path, &here);
        }
        // Files in the host's root are nobody's business, and no step reads these two. Each folder that is left
        // out saves more time than any other call: making one on disk takes longer than mounting on it.
        if top && (!kind.is_dir() || entry.file_name() == "lost+found" || entry.file_name() == "boot") {
            return Ok(());
        }
        make_mount_point(&here, kind.is_dir())?;
        let attach = Attach { source: c_path(&path)?, target: c_path(&here)?, read_only: false };
        if is_below(&path, &MACHINE) {
            self.as_they_are.push(attach)
        } else {
            self.host.push(attach)
        }
        Ok(())
    }

    /// `/var/tmp` lies in a host folder: where that is bound whole, a private folder is laid over it.
    fn keep_var_tmp(&mut self) -> Laid<()> {
        let path = Path::new("/var/tmp");
        if self.opened.contains(Path::new("/var")) {
            make_folder(&self.root_of(path))?;
            return make_shared(&self.root_of(path));
        }
        if self.placed.contains(Path::new("/var")) || !fs::canonicalize(path).is_ok_and(|real| real == path) {
            return Ok(());
        }
        let own = self.scratch.join("var-tmp");
        make_folder(&own)?;
        make_shared(&own)?;
        let attach = Attach { source: c_path(&own)?, target: c_path(&self.root_of(path))?, read_only: false };
        self.as_they_are.push(attach);
        Ok(())
    }

    /// Many systems keep the list of name servers in `/run` or `/mnt`, which are private here, and link to it.
    fn name_servers(&mut self) -> Laid<()> {
        let link = Path::new("/etc/resolv.conf");
        let Ok(target) = fs::read_link(link) else { return Ok(()) };
        let path = clean(&Path::new("/etc").join(target));
        let Ok(real) = fs::canonicalize(link) else { return Ok(()) };
        if !is_below(&path, &PRIVATE) || self.placed.iter().any(|placed| path.starts_with(placed)) {
            return Ok(());
        }
        let here = self.root_of(&path);
        make_mount_point(&here, false)?;
        self.host.push(Attach { source: c_path(&real)?, target: c_path(&here)?, read_only: false });
        Ok(())
    }

    /// What is mounted below the host's folders, where they will be in the step's root.
    fn inner_mounts(&self) -> Laid<Vec<CString>> {
        let path = Path::new("/proc/self/mounts");
        let mounts = fs::read(path).map_err(failed("read", path))?;
        let points = mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(1));
        let points = points.map(unescape).filter(|point| {
            let point = Path::new(std::ffi::OsStr::from_bytes(point));
            !is_below(point, &MACHINE) && !is_below(point, &PRIVATE) && !point.starts_with(&self.root)
        });
        let points = points.map(|point| self.root_of(Path::new(std::ffi::OsStr::from_bytes(&point))));
        points.filter(|point| *point != self.root).map(|point| c_path(&point)).collect()
    }
}

fn place_within(outer: &Bind, bind: &Bind, folder: bool) -> Laid<()> {
    let rest = bind.target.strip_prefix(&outer.target).unwrap_or(&bind.target);
    if rest.as_os_str().is_empty() {
        return Ok(());
    }
    let inner = outer.source.join(rest);
    if inner.metadata().is_ok_and(|there| there.is_dir() == folder) {
        return Ok(());
    }
    if outer.read_only {
        let (target, bind) = (bind.target.clone(), outer.target.clone());
        return Err(LayoutError::InReadOnly { target, bind });
    }
    // As Kubernetes does it: the volume gets an empty folder or file to mount on.
    make_mount_point(&inner, folder)
}

fn make_shared(folder: &Path) -> Laid<()> {
    fs::set_permissions(folder, Permissions::from_mode(SHARED_MODE)).map_err(failed("open to all", folder))
}

fn show_link(path: &Path, here: &Path) -> Laid<()> {
    let target = fs::read_link(path).map_err(failed("read", path))?;
    match symlink(target, here) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", here)(error)),
        _ => Ok(()),
    }
}

/// Takes out `.` and `..` without a look at the disk.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// `/proc/self/mounts` writes blanks and the like as a backslash with three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, code) {
            (b'\\', Some(code)) => {
                plain.push(code);
                rest = &after[3..];
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}
