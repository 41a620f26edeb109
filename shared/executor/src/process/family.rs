//! Everything that one command started, however it hid.
//!
//! This process adopts the orphans of what it starts (it is their "subreaper"), so that whatever outlives its
//! parent appears among this process's own children: one file is read instead of the whole process table. Who
//! has lost both the session and the parent is known by the mount namespace or by a variable.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal, set_child_subreaper,
};

use super::system::{self, Reaped};
use super::table::{self, Entry};

/// The variable that marks a step's processes.
pub const MARKER: &str = "DROPFORGE_ATTEMPT";

/// The variable that tells the containers of an attempt apart, where there are several.
pub const CONTAINER_MARKER: &str = "DROPFORGE_CONTAINER";

/// How long the kernel may take to end killed processes: one in uninterruptible sleep can take for ever.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Held for reading while a child is started and registered, for writing while stray zombies are taken: one
/// that is not registered yet must not be taken for a stray.
pub static STARTING: RwLock<()> = RwLock::new(());

/// The commands whose status somebody here will take.
static LEADERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Whether a process could not be ended.
static UNENDED: AtomicBool = AtomicBool::new(false);

/// Whether a process of a command that has ended may still be there, stuck in the kernel.
pub fn may_be_unended() -> bool {
    UNENDED.load(Ordering::Relaxed)
}

/// Sees to it that orphans come to this process.
pub fn adopt_orphans() {
    static ADOPTING: Once = Once::new();
    ADOPTING.call_once(|| {
        // Refused by no kernel that has it; without it, orphans are found in the process table.
        let _ = set_child_subreaper(Pid::from_raw(1));
    });
}

fn leaders() -> std::sync::MutexGuard<'static, BTreeSet<i32>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The variable that marks an attempt's processes, with its value.
pub fn marker(attempt: &OsStr) -> Vec<u8> {
    [MARKER.as_bytes(), b"=", attempt.as_bytes()].concat()
}

/// The variable that marks the processes of one command, with its value: the attempt's where it has but one.
pub fn mark(attempt: &str, container: Option<&str>) -> Vec<u8> {
    match container {
        Some(container) => format!("{CONTAINER_MARKER}={attempt}/{container}").into_bytes(),
        None => marker(OsStr::new(attempt)),
    }
}

/// One command with all that it started.
#[derive(Debug)]
pub struct Family {
    pub leader: Pid,
    marker: Vec<u8>,
    namespace: Option<PathBuf>,
}

impl Family {
    /// Registers the command, whose processes carry this mark and may live in a mount namespace that is not this
    /// process's: its status is left for [`Family::end`].
    pub fn register(leader: Pid, marker: Vec<u8>, namespace: Option<PathBuf>) -> Self {
        leaders().insert(leader.as_raw_nonzero().get());
        Family { leader, marker, namespace }
    }

    fn raw(&self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    fn owns(&self, entry: &Entry) -> bool {
        if entry.session == self.raw() {
            return true;
        }
        let is_anothers = [entry.pid, entry.session].iter().any(|id| leaders().contains(id));
        !is_anothers && table::shows(entry.pid, || self.marked(entry.pid))
    }

    /// Whether a process carries the mark or lives in the namespace; none where it does not show that now.
    fn marked(&self, pid: i32) -> Option<bool> {
        let inside = match &self.namespace {
            Some(own) => table::mount_namespace(pid).map(|theirs| theirs == *own),
            None => Some(false),
        };
        match (inside, table::variable_shown(pid, &self.marker)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }

    /// Orphans of this family, dead ones too.
    fn orphans(&self) -> Vec<Entry> {
        self.among(adopted())
    }

    fn among(&self, adopted: Vec<Entry>) -> Vec<Entry> {
        let own = adopted.into_iter().filter(|entry| entry.pid != self.raw());
        own.filter(|entry| self.owns(entry)).collect()
    }

    /// All that live: the command, what is below it, and orphans with what is below them.
    pub fn members(&self) -> Vec<i32> {
        let orphans = self.orphans().into_iter().filter(|entry| !entry.is_zombie).map(|entry| entry.pid);
        table::with_descendants(std::iter::once(self.raw()).chain(orphans).collect())
    }

    /// Sends a signal to all of them. The command must not have been reaped: until then its id is its own.
    pub fn signal(&self, signal: Signal) {
        // Everybody, one by one, and the group, which has no gap through which a fork could slip.
        self.members().into_iter().for_each(|pid| send(pid, signal, |entry| entry.pid == pid));
        let _ = kill_process_group(self.leader, signal);
    }

    /// Ends all that is left after the command itself is dead, and takes the status of each. The first is the
    /// command's.
    pub fn end(&self) -> Vec<Reaped> {
        let _ = kill_process_group(self.leader, Signal::KILL);
        let until = Instant::now() + PATIENCE;
        let mut reaped: Vec<Reaped> = reap_by(self.leader, until).into_iter().collect();
        loop {
            let adopted = adopted();
            let anybody = !adopted.is_empty();
            let orphans = self.among(adopted);
            let late = Instant::now() >= until;
            if orphans.is_empty() || late {
                UNENDED.fetch_or(!orphans.is_empty(), Ordering::Relaxed);
                leaders().remove(&self.raw());
                if anybody {
                    take_strays();
                }
                return reaped;
            }
            for pid in table::with_descendants(orphans.iter().map(|entry| entry.pid).collect()) {
                send(pid, Signal::KILL, |_| true);
            }
            // What is below them becomes an orphan as they die, and is found by the next round.
            reaped.extend(orphans.iter().filter_map(|orphan| reap_until(orphan.pid, until)));
        }
    }
}

/// The children that this process's first thread has; the kernel gives orphans to that one.
fn adopted() -> Vec<Entry> {
    // Kept open: every command's end asks it.
    static LIST: OnceLock<Option<File>> = OnceLock::new();
    let own = std::process::id().cast_signed();
    let list = LIST.get_or_init(|| table::list_of_children(own, own).ok());
    match list.as_ref().and_then(table::children_in) {
        Some(children) => children.into_iter().filter_map(table::entry).collect(),
        None => table::all().into_iter().filter(|entry| entry.parent == own).collect(),
    }
}

/// Sends a signal to a process if it is still the one that `is_meant` accepts: the descriptor holds on to the
/// process, so that no other can come under its id between the question and the signal.
fn send(raw: i32, signal: Signal, is_meant: impl Fn(&Entry) -> bool) {
    let Some(pid) = table::pid(raw) else { return };
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && table::entry(raw).is_some_and(|entry| is_meant(&entry))
    {
        // Who is gone meanwhile needs no signal.
        let _ = pidfd_send_signal(&process, signal);
    }
}

fn reap_until(raw: i32, until: Instant) -> Option<Reaped> {
    let pid = table::pid(raw)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    await_end(&process, until);
    system::reap(pid)
}

/// Takes a dead process's status. Who traces it (`strace -f`) is told first, and until then it is not ours to take.
fn reap_by(pid: Pid, until: Instant) -> Option<Reaped> {
    loop {
        let reaped = system::reap(pid);
        if reaped.is_some() || Instant::now() >= until {
            return reaped;
        }
        let _ = poll(&mut [], Some(&timespec(Duration::from_millis(1))));
    }
}

/// Waits until the process is dead, but no longer than `until`.
pub fn await_end(process: &OwnedFd, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut polled, Some(&timespec(left))) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(_) if left.is_zero() => return false,
            Err(_) => {}
        }
    }
}

/// For `poll`.
pub fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}

/// Takes the status of adopted orphans that died in sessions of their own and that nobody can name any more.
/// Children of other parts of this program stay in its session, and are left alone.
fn take_strays() {
    // Not by `getsid`: for a session begun outside this process's PID namespace the kernel says 0, and who wraps
    // the call takes an id for more than 0.
    let own = table::entry(std::process::id().cast_signed()).map_or(0, |own| own.session);
    let is_stray = |entry: &Entry| {
        let leaders = leaders();
        entry.is_zombie
            && entry.session != own
            && !leaders.contains(&entry.session)
            && !leaders.contains(&entry.pid)
    };
    if !adopted().iter().any(is_stray) {
        return;
    }
    let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    for stray in adopted().iter().filter(|entry| is_stray(entry)) {
        table::pid(stray.pid).and_then(system::reap);
    }
}

/// A process that an earlier supervisor left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

/// The processes that carry this attempt's marker, with all below them; dead ones are not among them.
pub fn survivors(attempt: &OsStr) -> Vec<Survivor> {
    left_over(&marker(attempt), None)
}

fn left_over(marker: &[u8], leader: Option<Survivor>) -> Vec<Survivor> {
    let own = std::process::id().cast_signed();
    let all: Vec<Entry> = table::all();
    let leader = leader.filter(|leader| {
        all.iter().any(|entry| (entry.pid, entry.start_time) == (leader.pid, leader.start_time))
    });
    // While its leader lives, a session is the leader's; afterwards its number may have been given anew.
    let of_leader =
        |entry: &Entry| leader.is_some_and(|leader| entry.pid == leader.pid || entry.session == leader.pid);
    let marked = |entry: &Entry| of_leader(entry) || table::has_variable(entry.pid, marker);
    let mut found: BTreeSet<i32> = all.iter().filter(|entry| marked(entry)).map(|entry| entry.pid).collect();
    found.remove(&own);
    loop {
        let below = all.iter().filter(|entry| found.contains(&entry.parent) && entry.pid != own);
        let new: Vec<i32> = below.map(|entry| entry.pid).filter(|pid| !found.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        found.extend(new);
    }
    let living = all.iter().filter(|entry| found.contains(&entry.pid) && !entry.is_zombie);
    living.map(|entry| Survivor { pid: entry.pid, start_time: entry.start_time }).collect()
}

/// Kills what an earlier supervisor's attempt left, until nothing is left; gives what could not be ended.
/// `leader` is the command with its start time, where they are known.
pub fn end_survivors(leader: Option<Survivor>, attempt: &OsStr) -> Vec<Survivor> {
    let until = Instant::now() + PATIENCE;
    let marker = marker(attempt);
    loop {
        let left = left_over(&marker, leader);
        if left.is_empty() || Instant::now() >= until {
            crate::memory::remove_left_over(attempt);
            return left;
        }
        let killed: Vec<OwnedFd> = left.iter().filter_map(kill_survivor).collect();
        killed.iter().for_each(|process| {
            await_end(process, until);
        });
    }
}

fn kill_survivor(survivor: &Survivor) -> Option<OwnedFd> {
    let process = pidfd_open(table::pid(survivor.pid)?, PidfdFlags::empty()).ok()?;
    let entry = table::entry(survivor.pid)?;
    if entry.start_time == survivor.start_time {
        pidfd_send_signal(&process, Signal::KILL).ok()?;
        return Some(process);
    }
    None
}
