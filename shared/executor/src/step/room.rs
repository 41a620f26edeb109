//! The rooms in which steps run: folders, and a mount namespace over them, that one step after another uses.
//!
//! Making a room takes longer than a short step. So what a step left in it is taken out when it has ended, and the room
//! is given to the next; one that is not as it was made is thrown away.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};

use super::preparation::AttemptFolders;
use crate::isolation::entrance::Entrance;
use crate::isolation::layout::lay_out;
use crate::isolation::{Isolation, Layout, LayoutError, isolation};
use crate::logs::spare::Spare;
use crate::process::family::may_be_unended;
use crate::process::launch::NotStarted;
use crate::removal::remove_folder;

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// A folder could not be made or looked at.
    #[error("the step's folder could not be made: {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What a step sees could not be laid out.
    #[error("lay out the step's files")]
    Layout(#[from] LayoutError),
    /// The mount namespace was refused though it can be had.
    #[error("isolate the step: {what}")]
    Isolate {
        /// What was being done.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// All rooms of this process that no step uses.
pub struct Rooms {
    folder: PathBuf,
    free: Mutex<Free>,
    /// One that was on its way is there, or will not come.
    changed: Condvar,
    made: AtomicU64,
}

#[derive(Default)]
struct Free {
    rooms: Vec<Room>,
    /// Rooms that are being looked at.
    on_their_way: usize,
}

impl Rooms {
    /// Rooms below this folder.
    pub fn below(folder: PathBuf) -> Self {
        Rooms { folder, free: Mutex::default(), changed: Condvar::new(), made: AtomicU64::new(0) }
    }

    /// The folder that holds them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A free one, or the next of those on their way: to make another takes a hundred times as long as to look at one.
    fn next(&self) -> Option<Room> {
        let mut free = self.free();
        while free.rooms.is_empty() && free.on_their_way > 0 {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        free.rooms.pop()
    }

    /// A room that nobody else uses, as it was made.
    pub fn take(&self) -> Result<Room, RoomError> {
        loop {
            match self.next() {
                Some(room) if room.is_stale() => drop(room),
                Some(room) => return Ok(room),
                None => {
                    let number = self.made.fetch_add(1, Ordering::Relaxed);
                    return Room::make(self.folder.join(number.to_string()));
                }
            }
        }
    }

    /// A room whose step has ended, with all its processes. Who needs one waits until it has been looked at.
    pub fn leave(&self, room: Room) -> Left<'_> {
        self.free().on_their_way += 1;
        Left { rooms: self, room: Some(room) }
    }

    /// Takes out what a step that has ended left in its room, or removes the room.
    pub fn empty(&self, mut room: Room) {
        if may_be_unended() {
            return;
        }
        if let Err(error) = room.tidy() {
            tracing::debug!(folder = %room.folders.own.display(), %error, "a step's room is not used again");
            return;
        }
        self.free().rooms.push(room);
    }

    /// Removes all that no step uses.
    pub fn close(&self) {
        self.free().rooms.clear();
    }
}

/// A room that its step has left, and nobody has looked at.
pub struct Left<'r> {
    rooms: &'r Rooms,
    room: Option<Room>,
}

impl Left<'_> {
    /// Gives the room to who needs one, if the step has left nothing in it; otherwise to the caller, to be emptied.
    pub fn look(mut self) -> Option<Room> {
        let mut room = self.room.take()?;
        if may_be_unended() || !room.is_untouched() {
            return Some(room);
        }
        self.rooms.free().rooms.push(room);
        None
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.rooms.free().on_their_way -= 1;
        self.rooms.changed.notify_all();
    }
}

/// The folders of one step at a time. Dropping it removes them.
pub struct Room {
    pub(super) folders: AttemptFolders,
    /// Beside the folders, so that no step finds it among its own.
    pub(super) log: Arc<Spare>,
    /// What a step sees that mounts nothing; none: whoever runs here finds the host's root.
    plain: Option<Plain>,
    /// What its folders hold when no step is in it.
    empty: BTreeMap<PathBuf, Listing>,
}

struct Plain {
    layout: Layout,
    entrance: Arc<Entrance>,
    host: HostRoot,
}

impl Room {
    fn make(own: PathBuf) -> Result<Room, RoomError> {
        let failed = |(folder, source)| RoomError::Folder { folder, source };
        let folders = AttemptFolders::make(own).map_err(failed)?;
        let log = Spare::at(folders.own.with_extension("log"));
        let mut room = Room { folders, log, plain: None, empty: BTreeMap::new() };
        let mut mounted = Vec::new();
        if let Isolation::MountNamespace(namespace) = isolation() {
            let host = HostRoot::now().map_err(|source| failed((PathBuf::from("/"), source)))?;
            let layout = room.folders.layout();
            let plan = lay_out(&layout, &room.folders.work, *namespace)?;
            let entrance = Arc::new(Entrance::make(&plan).map_err(explain)?);
            mounted = plan.targets();
            room.plain = Some(Plain { layout, entrance, host });
        }
        let looked = look_below(&room.folders.own, &mounted);
        room.empty = looked.map_err(|source| failed((room.folders.own.clone(), source)))?;
        Ok(room)
    }

    /// The room's namespace, if it was made for this layout and working directory.
    pub fn entrance(&self, layout: &Layout, working_dir: &Path) -> Option<Arc<Entrance>> {
        let plain = self.plain.as_ref()?;
        let fits = plain.layout == *layout && working_dir == self.folders.work;
        fits.then(|| Arc::clone(&plain.entrance))
    }

    /// Whether the machine has something in its root, or mounted, that does not show in the room.
    fn is_stale(&self) -> bool {
        let changed = |plain: &Plain| {
            plain.entrance.is_stale() || HostRoot::now().map_or(true, |now| now != plain.host)
        };
        self.plain.as_ref().is_some_and(changed)
    }

    /// Whether it is as it was when the step came. However much a step left, the first of it is enough.
    fn is_untouched(&mut self) -> bool {
        self.empty.iter_mut().all(|(folder, empty)| empty.is_still_so(folder).unwrap_or(false))
    }

    /// Takes out what the step left.
    fn tidy(&mut self) -> io::Result<()> {
        for (folder, empty) in &mut self.empty {
            let stamp = Stamp::of(folder)?;
            if empty.stamp.is_still(&stamp) {
                continue;
            }
            let found = Listing::of(folder, stamp)?;
            for name in found.entries.keys().filter(|name| !empty.entries.contains_key(*name)) {
                remove(&folder.join(name))?;
            }
            let is_there = |(name, kind): (&OsString, &Kind)| found.entries.get(name) == Some(kind);
            if !empty.entries.iter().all(is_there) {
                return Err(io::Error::other(format!("{} is not as it was made", folder.display())));
            }
            if found.mode != empty.mode {
                fs::set_permissions(folder, Permissions::from_mode(empty.mode))?;
            }
            empty.stamp = Stamp::of(folder)?;
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let folder = &self.folders.own;
        if let Err(error) = remove_folder(folder) {
            tracing::warn!(folder = %folder.display(), %error, "a step's folder could not be removed");
        }
    }
}

fn explain(error: NotStarted) -> RoomError {
    match error {
        NotStarted::Fork(source) => RoomError::Isolate { what: "start a process".to_owned(), source },
        NotStarted::Child { what, source, .. } => RoomError::Isolate { what, source },
    }
}

/// Removes a file, or a folder with all it holds.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    // Links are not followed: they may lead out.
    if path.symlink_metadata()?.is_dir() { remove_folder(path) } else { fs::remove_file(path) }
}

/// What a namespace takes over of the host's root when it is made.
#[derive(Debug, PartialEq, Eq)]
struct HostRoot {
    changed: (i64, i64),
    name_servers: Option<(u64, u64)>,
}

impl HostRoot {
    fn now() -> io::Result<Self> {
        let root = fs::metadata("/")?;
        // Where it is a link, the file it leads to is mounted, and others replace that file.
        let name_servers = fs::metadata("/etc/resolv.conf").ok();
        Ok(HostRoot {
            changed: (root.ctime(), root.ctime_nsec()),
            name_servers: name_servers.map(|file| (file.dev(), file.ino())),
        })
    }
}

/// The kernel's clock for files moves in ticks of at most 10 ms: what happens within one leaves no trace.
const TICKS: Duration = Duration::from_millis(20);

/// When a folder, or what lies in it, was last changed. Looking at that takes a fifth of what listing it takes.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    mode: u32,
    /// Seconds and nanoseconds of the content, then of the folder itself.
    changed: [(i64, i64); 2],
    /// Whether whatever changes it from now on changes the stamp.
    is_settled: bool,
}

impl Stamp {
    /// Whether nothing has happened since, where `now` is the folder's stamp.
    fn is_still(&self, now: &Stamp) -> bool {
        self.is_settled && self.changed == now.changed
    }

    fn of(folder: &Path) -> io::Result<Self> {
        let found = folder.symlink_metadata()?;
        let changed = Timestamp::new(found.ctime(), found.ctime_nsec().try_into().unwrap_or(0));
        let age = changed.map(|changed| SystemClock.now().duration_since(changed));
        Ok(Stamp {
            mode: found.mode() & 0o7777,
            changed: [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())],
            is_settled: age.is_ok_and(|age| age > TICKS.try_into().unwrap_or(SignedDuration::MAX)),
        })
    }
}

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
struct Listing {
    mode: u32,
    stamp: Stamp,
    entries: BTreeMap<OsString, Kind>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link(PathBuf),
}

impl Listing {
    fn of(folder: &Path, stamp: Stamp) -> io::Result<Self> {
        let entries = Self::entries(folder)?.collect::<io::Result<_>>()?;
        Ok(Listing { mode: stamp.mode, stamp, entries })
    }

    fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<(OsString, Kind)>>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match kind {
                _ if kind.is_dir() => Kind::Folder,
                _ if kind.is_symlink() => Kind::Link(fs::read_link(entry.path())?),
                _ => Kind::File,
            };
            Ok((entry.file_name(), kind))
        };
        Ok(fs::read_dir(folder)?.map(entry))
    }

    /// Whether the folder holds this and nothing else. It is listed only where its stamp does not say so, as it can't for
    /// one that was made a moment ago.
    fn is_still_so(&mut self, folder: &Path) -> io::Result<bool> {
        let stamp = Stamp::of(folder)?;
        if self.stamp.is_still(&stamp) {
            return Ok(true);
        }
        let mut known = 0;
        for entry in Self::entries(folder)? {
            let (name, kind) = entry?;
            if self.entries.get(&name) != Some(&kind) {
                return Ok(false);
            }
            known += 1;
        }
        let is_so = known == self.entries.len() && stamp.mode == self.mode;
        if is_so {
            self.stamp = stamp;
        }
        Ok(is_so)
    }
}

/// Looks into a folder and those below it, but for those that something is mounted on: no step reaches them.
fn look_below(folder: &Path, mounted: &[PathBuf]) -> io::Result<BTreeMap<PathBuf, Listing>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let listing = Listing::of(&folder, Stamp::of(&folder)?)?;
        let folders = listing.entries.iter().filter(|(_, kind)| **kind == Kind::Folder);
        open.extend(folders.map(|(name, _)| folder.join(name)).filter(|path| !mounted.contains(path)));
        found.insert(folder, listing);
    }
    Ok(found)
}
