//! The system calls that have no safe form elsewhere. All of this crate's unsafe code is in this file.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::RawFd;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// `struct mount_attr` of Linux.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Also below the mount itself.
const AT_RECURSIVE: libc::c_uint = 0x8000;

const MOUNT_ATTR_RDONLY: u64 = 1;

/// Moves this process into new namespaces; only single-threaded ones can enter a user namespace.
pub fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: CLONE_FILES is never among the flags, so no descriptor changes its meaning for another thread.
    unsafe { unshare_unsafe(flags.difference(UnshareFlags::FILES)) }
}

/// Makes a mount read-only or writable, with all below it if `recursive`.
pub fn set_read_only(target: &CStr, read_only: bool, recursive: bool) -> rustix::io::Result<()> {
    let (set, clear) = if read_only { (MOUNT_ATTR_RDONLY, 0) } else { (0, MOUNT_ATTR_RDONLY) };
    let attributes = MountAttributes { set, clear, propagation: 0, user_namespace: 0 };
    let flags = if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with NUL, and the structure, of which the size is given, outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    checked(answer)
}

fn checked(answer: libc::c_long) -> rustix::io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Marks every descriptor but the standard ones to be closed at exec. A kernel that can't leaves those open that
/// were opened without the mark, which Rust's library never does.
pub fn close_others_at_exec() {
    // SAFETY: three integers; no descriptor is closed before exec.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Makes these the standard streams. None of them is one already, since no process here lives without its own.
pub fn take_streams(streams: [RawFd; 3]) -> rustix::io::Result<()> {
    for (target, given) in (0..).zip(streams) {
        // SAFETY: two integers; who is given up by it is the child's own standard stream.
        checked(unsafe { libc::dup2(given, target) }.min(0).into())?;
    }
    Ok(())
}

/// Gives every signal its first meaning and blocks none.
pub fn reset_signals() {
    // The kernel's own `struct sigaction`, of zeros: SIG_DFL. The C library's call would leave its two own out.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure is at least as large as any architecture's, lives for the call, and names no
        // code of ours. Signals that can't be changed are refused without harm.
        unsafe {
            let none: *const u64 = std::ptr::null();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, size_of::<u64>());
        }
    }
    // SAFETY: an all-zero set is a valid place for sigemptyset to fill, and lives for both calls.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ends this process at once, as a child must that has not become another program.
pub fn exit_now() -> ! {
    // SAFETY: _exit runs no code of this program.
    unsafe { libc::_exit(0) }
}

/// Strings for exec, with the arrays of pointers to them.
pub struct Image {
    /// Files to try, in order.
    candidates: Vec<CString>,
    arguments: Strings,
    variables: Strings,
}

struct Strings {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers lead into `_owned`'s heap memory, which nobody changes and which moves with them.
unsafe impl Send for Strings {}
// SAFETY: as above; they are only read.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let ends = std::iter::once(std::ptr::null());
        let pointers = owned.iter().map(|string| string.as_ptr()).chain(ends).collect();
        Strings { _owned: owned, pointers }
    }
}

impl Image {
    pub fn new(candidates: Vec<CString>, arguments: Vec<CString>, variables: Vec<CString>) -> Self {
        Image { candidates, arguments: Strings::new(arguments), variables: Strings::new(variables) }
    }

    /// Replaces this process; returns only when no candidate could be started. A text without an interpreter's
    /// line is refused, as a container would, and not handed to a shell.
    pub fn exec(&self) -> Errno {
        let mut refused = Errno::NOENT;
        for candidate in &self.candidates {
            // SAFETY: the path ends with NUL.
            if unsafe { libc::access(candidate.as_ptr(), libc::F_OK) } != 0
                && matches!(last_errno(), Errno::NOENT | Errno::NOTDIR)
            {
                // Asking takes a quarter of what trying to start it takes, and PATH has many folders.
                continue;
            }
            // SAFETY: all pointers lead to NUL-terminated strings, and both arrays end with a null pointer.
            unsafe {
                libc::execve(
                    candidate.as_ptr(),
                    self.arguments.pointers.as_ptr(),
                    self.variables.pointers.as_ptr(),
                )
            };
            match last_errno() {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => refused = Errno::ACCESS,
                other => return other,
            }
        }
        refused
    }
}

/// More than the way into a step takes, in builds without optimisation too.
const STACK_BYTES: usize = 256 * 1024;

thread_local! {
    /// The stack of this thread's children, one after the other: to get as much memory from the system and to give it back
    /// stops all threads for a moment.
    static STACK: Cell<Vec<u128>> = const { Cell::new(Vec::new()) };
}

/// Whose descriptors a child has until it becomes another program.
pub enum Descriptors {
    /// Copies of its own: what it opens, closes or doubles is nobody else's matter.
    Own,
    /// This process's: what it opens is opened here, and stays so.
    Shared,
}

/// Starts a child that does `way`, and ends when it returns. As with `vfork`, the child has this process's memory, on
/// a stack of its own, and the calling thread waits until it has become another program or has ended: nothing is
/// copied, however large this process is.
///
/// Other threads of this process go on meanwhile, so `way` makes system calls only: it neither allocates nor takes a
/// lock.
pub fn spawn(way: &mut dyn FnMut(), descriptors: Descriptors) -> io::Result<Pid> {
    extern "C" fn child(way: *mut c_void) -> c_int {
        // SAFETY: the pointer is the one given to `clone` below, whose caller waits.
        let way = unsafe { &mut *way.cast::<&mut dyn FnMut()>() };
        way();
        exit_now()
    }
    let mut way = way;
    let mut stack = STACK.take();
    stack.reserve_exact(STACK_BYTES / size_of::<u128>());
    let shared = match descriptors {
        Descriptors::Own => 0,
        Descriptors::Shared => libc::CLONE_FILES,
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | shared;
    // SAFETY: the pointer is the end of the stack's memory, which is aligned and outlives the child's use of it, as
    // `way` does: with these flags the call returns after exec or exit. No signal's handler can run in the child,
    // where it would touch this process's memory: all are blocked until it has reset them.
    let pid = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let top = stack.as_mut_ptr().add(stack.capacity()).cast::<c_void>();
        let pid = libc::clone(child, top, flags, (&raw mut way).cast::<c_void>());
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        STACK.set(stack);
        if pid < 0 {
            return Err(error);
        }
        pid
    };
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("the system gave no process id"))
}

/// The time since the machine was started, in the ticks in which it tells when a process was. The system itself is
/// called: what stands in for the C library's clocks (libfaketime) does not stand in for the kernel's table.
pub fn boot_ticks() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives for the call, which fails for no clock that every kernel has.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_BOOTTIME, &raw mut now) };
    now.tv_sec.cast_unsigned() * TICKS + now.tv_nsec.cast_unsigned() / (1_000_000_000 / TICKS)
}

/// Of these the kernel counts as many in a second for programs, on every architecture.
const TICKS: u64 = 100;

/// How a child ended, and what it used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reaped {
    /// As `wait` gives it.
    pub status: i32,
    /// User and system time of it and of the children it waited for.
    pub cpu_seconds: f64,
    /// The largest resident size among them.
    pub memory_bytes_max: u64,
}

/// Takes a dead child's status; none when it is not dead or not ours.
pub fn reap(pid: Pid) -> Option<Reaped> {
    // SAFETY: all-zero is a valid rusage, and both places live for the call.
    let (answer, status, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let mut status = 0;
        let pid = pid.as_raw_nonzero().get();
        let answer = libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage);
        (answer, status, usage)
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (answer > 0).then(|| Reaped {
        status,
        cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory_bytes_max: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}
