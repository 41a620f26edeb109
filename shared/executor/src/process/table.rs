//! What the kernel says about processes, read from `/proc`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::system;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// Dead, and not yet waited for.
    pub is_zombie: bool,
    /// A thread of the kernel.
    pub is_kernels: bool,
    /// In clock ticks since boot: with the id, names a process for ever.
    pub start_time: u64,
}

/// `PF_KTHREAD` among a process's flags.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A process that can be compared with one seen earlier.
pub fn entry(pid: i32) -> Option<Entry> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &[u8]) -> Option<Entry> {
    // The name stands in brackets and may hold anything, brackets too.
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let head = std::str::from_utf8(&stat[..close]).ok().or_else(|| {
        let open = stat.iter().position(|byte| *byte == b'(')?;
        std::str::from_utf8(&stat[..open]).ok()
    })?;
    let pid = head.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = std::str::from_utf8(&stat[close + 1..]).ok()?.split_ascii_whitespace().collect();
    Some(Entry {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        is_kernels: fields.get(6)?.parse::<u64>().ok()? & KERNEL_THREAD != 0,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

/// When a process was started that was made since `before`, a figure of [`system::boot_ticks`]. Mostly it is still the
/// same tick, and then nobody needs to be asked: the kernel's answer costs as much as ten other calls.
pub fn start_time(pid: i32, before: u64) -> u64 {
    /// Whether this kernel's table tells the ticks of that clock.
    static AGREED: OnceLock<bool> = OnceLock::new();
    let asked = || entry(pid).map_or(0, |entry| entry.start_time);
    if system::boot_ticks() != before {
        return asked();
    }
    if *AGREED.get_or_init(|| asked() == before) { before } else { asked() }
}

/// The kernel's ticks in a second, as it counts for programs on every architecture.
const TICKS: f64 = 100.0;

/// The time that a process has used, with that of children it has waited for.
pub fn cpu_seconds(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // From the state on, which follows the name in its brackets.
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ticks: Option<Vec<u64>> = fields.skip(11).take(4).map(|ticks| ticks.parse().ok()).collect();
    Some(ticks?.into_iter().sum::<u64>() as f64 / TICKS)
}

/// All processes that this one may see.
pub fn all() -> Vec<Entry> {
    numbers("/proc".into()).into_iter().filter_map(entry).collect()
}

fn numbers(folder: PathBuf) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The children that one thread of a process has; of a process's adopted ones, those of its first thread.
pub fn children_of_thread(process: i32, thread: i32) -> Option<Vec<i32>> {
    children_in(&list_of_children(process, thread).ok()?)
}

/// The file that lists them.
pub fn list_of_children(process: i32, thread: i32) -> io::Result<File> {
    File::open(format!("/proc/{process}/task/{thread}/children"))
}

/// The children in such a file as they are by now.
pub fn children_in(list: &File) -> Option<Vec<i32>> {
    let mut text = vec![0; 256];
    let mut length = 0;
    loop {
        match list.read_at(&mut text[length..], length as u64).ok()? {
            0 => break,
            read => length += read,
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    let text = std::str::from_utf8(&text[..length]).ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// The processes with all that they started and that is still below them.
pub fn with_descendants(roots: Vec<i32>) -> Vec<i32> {
    let mut found = roots;
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for thread in numbers(format!("/proc/{pid}/task").into()) {
            let children = children_of_thread(pid, thread).unwrap_or_default();
            let new: Vec<i32> = children.into_iter().filter(|child| !found.contains(child)).collect();
            found.extend(new);
        }
    }
    found
}

/// A process that goes from one program to the next (`execve`) shows nobody its variables, or some of them, nor what else
/// is its own, for a moment which this is much longer than.
const BETWEEN_PROGRAMS_MAX: Duration = Duration::from_millis(100);

/// So often in a row a process that runs a program must leave a look without an answer to have none.
const LOOKS: u32 = 3;

/// Room for most environments: one that is read at once is read whole.
const ENVIRONMENT_BYTES: usize = 16 * 1024;

/// Looks at a process until that has an answer; no, where it has none.
pub fn shows(pid: i32, look: impl Fn() -> Option<bool>) -> bool {
    let (until, mut looks) = (Instant::now() + BETWEEN_PROGRAMS_MAX, 0);
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        looks = if is_between_programs(pid) { 0 } else { looks + 1 };
        if looks == LOOKS || Instant::now() >= until {
            return false;
        }
        std::thread::yield_now();
    }
}

/// Whether the process was started with this variable.
pub fn has_variable(pid: i32, variable: &[u8]) -> bool {
    shows(pid, || variable_shown(pid, variable))
}

/// The same, at a glance: none where it shows no variables, or not all of them.
pub fn variable_shown(pid: i32, variable: &[u8]) -> Option<bool> {
    let mut variables = Vec::with_capacity(ENVIRONMENT_BYTES);
    File::open(format!("/proc/{pid}/environ")).and_then(|mut file| file.read_to_end(&mut variables)).ok()?;
    let mut whole = variables.split_inclusive(|byte| *byte == 0).filter_map(|one| one.strip_suffix(b"\0"));
    let has = whole.any(|one| one == variable);
    // Each ends with a zero: one that does not was read while the program went.
    (has || variables.ends_with(b"\0")).then_some(has)
}

/// Whether a process is about to begin its program: it has no arguments yet. Dead ones and the kernel's own never have any.
fn is_between_programs(pid: i32) -> bool {
    let has_begun = fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |words| !words.is_empty());
    !has_begun && entry(pid).is_some_and(|entry| !entry.is_zombie && !entry.is_kernels)
}

/// What names the mount namespace of a process.
pub fn mount_namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// Resident bytes of a process, and the most they have been.
pub fn resident(pid: i32) -> Option<(u64, u64)> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024))
}

/// Resident bytes of a process, of those that several share its part.
pub fn proportional(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The id in the form in which signals are sent to it.
pub fn pid(raw: i32) -> Option<Pid> {
    Pid::from_raw(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_there_while_a_process_goes_from_one_program_to_the_next() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("again");
        fs::write(&program, "#!/bin/sh\nexec \"$0\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&program).env("MARK", "here").spawn().unwrap();
        let pid = child.id().cast_signed();
        let unseen = (0..5_000).filter(|_| !has_variable(pid, b"MARK=here")).count();
        child.kill().unwrap();
        child.wait().unwrap();
        // One that begins programs without end can do so at each of three looks. Without those it is 700.
        assert!(unseen < 50, "{unseen}");
    }

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let rest = "S 7 5 5 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 4711 0 0";
        let (is_zombie, is_kernels) = (false, false);
        let expected = Entry { pid: 12, parent: 7, session: 5, is_zombie, is_kernels, start_time: 4711 };
        for name in ["sh", "a b) R 1 1 (c", "\u{e9}"] {
            assert_eq!(parse(format!("12 ({name}) {rest}\n").as_bytes()), Some(expected));
        }
        let foreign = [b"12 (\xff\xfe) ".as_slice(), rest.as_bytes()].concat();
        assert_eq!(parse(&foreign), Some(expected));
        assert_eq!(parse(b"12 (sh) S 7"), None);
    }

    #[test]
    fn a_processs_start_is_told_without_asking_as_the_table_tells_it() {
        for _ in 0..20 {
            let before = system::boot_ticks();
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let pid = child.id().cast_signed();
            assert_eq!(start_time(pid, before), entry(pid).unwrap().start_time);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn this_process_is_found_with_its_session_and_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let entry = entry(own).unwrap();
        assert_eq!(entry.pid, own);
        assert_eq!(entry.parent, i32::try_from(std::os::unix::process::parent_id()).unwrap());
        assert!(all().contains(&entry));
        assert!(has_variable(own, format!("PATH={}", std::env::var("PATH").unwrap()).as_bytes()));
        assert!(!has_variable(own, b"PATH"));
    }
}
