//! System calls and nothing else: no libc wrapper that might lock, allocate, or look at the thread it runs in.
//!
//! Everything here may be called in a process that was forked off one thread of many. Results are those of the
//! kernel: negative means a negated errno.

#![expect(
    unsafe_code,
    reason = "raw system calls; each wrapper states what it needs"
)]

use std::ffi::{c_char, c_int, c_long, c_void};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

/// The kernel's signal sets are 64 bits wide, whatever libc's type is.
const SIGSET_SIZE: usize = 8;

/// Wait results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// This child ended, with this status word as of `wait(2)`.
    Ended(i32, i32),
    /// There are children, none has ended.
    None,
    /// There are no children at all.
    NoChild,
}

macro_rules! call {
    ($number:expr $(, $arg:expr)*) => {{
        // SAFETY: `syscall` itself is sound for any number; what the call does with its arguments is argued where
        // pointers are passed.
        let result = unsafe { libc::syscall($number $(, $arg as c_long)*) };
        if result < 0 { -c_long::from(errno()) } else { result }
    }};
}

fn errno() -> c_int {
    // SAFETY: always a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() }
}

/// Where this thread's thread-local storage lies.
pub(super) fn tls_address() -> usize {
    // SAFETY: only asks for an address.
    unsafe { libc::__errno_location() as usize }
}

/// Blocks every signal, those that libc keeps for itself too, and returns the mask as it was.
pub(super) fn block_signals() -> u64 {
    let (all, mut old) = (u64::MAX, 0_u64);
    call!(
        libc::SYS_rt_sigprocmask,
        libc::SIG_SETMASK,
        &raw const all,
        &raw mut old,
        SIGSET_SIZE
    );
    old
}

pub(super) fn set_signal_mask(mask: u64) {
    call!(
        libc::SYS_rt_sigprocmask,
        libc::SIG_SETMASK,
        &raw const mask,
        ptr::null_mut::<u64>(),
        SIGSET_SIZE
    );
}

/// Every signal back to what it does by default: above all the ignored ones, which survive an `execve`.
pub(super) fn reset_signal_handlers() {
    // A `struct sigaction` of the kernel, all zero: SIG_DFL, no flags, no mask. Longer than any architecture's.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        call!(
            libc::SYS_rt_sigaction,
            signal,
            default.as_ptr(),
            ptr::null_mut::<u64>(),
            SIGSET_SIZE
        );
    }
}

/// A plain fork of the calling thread, without the handlers that libraries register for libc's `fork`.
///
/// # Safety
///
/// The child must call nothing but what is in this module, on memory that was ready before.
pub(super) unsafe fn fork() -> c_long {
    #[cfg(not(target_arch = "s390x"))]
    return call!(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
    #[cfg(target_arch = "s390x")]
    return call!(libc::SYS_clone, 0, libc::SIGCHLD, 0, 0, 0);
}

/// The same, into a control group.
///
/// # Safety
///
/// As [`fork`].
pub(super) unsafe fn fork_into(cgroup: RawFd) -> c_long {
    let args = clone_args(0, Some(cgroup), &mut []);
    call!(libc::SYS_clone3, args.as_ptr(), size_of_val(&args))
}

/// Runs `child` in a process that shares this one's memory, on a stack of its own, into a control group; comes back when
/// it has called `execve` or has ended. Nothing is copied, which is most of what a fork takes.
///
/// # Safety
///
/// As [`fork`], for a process of one thread. `child` must never return, and `stack` be all it needs.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn vfork_into<T>(
    cgroup: Option<RawFd>,
    stack: &mut [MaybeUninit<u128>],
    child: unsafe extern "C" fn(*mut T) -> !,
    argument: *mut T,
) -> c_long {
    let args = clone_args((libc::CLONE_VM | libc::CLONE_VFORK) as u64, cgroup, stack);
    let mut result = libc::SYS_clone3;
    // SAFETY: the child goes on at its stack's end, which is aligned as the type is, and uses none of this frame but
    // by `argument`; this process stands still until then. The kernel keeps all registers but these three.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") result,
            in("rdi") args.as_ptr(),
            in("rsi") size_of_val(&args),
            in("r12") argument,
            in("r13") child,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// A fork does as well.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn vfork_into<T>(
    _: Option<RawFd>,
    _: &mut [MaybeUninit<u128>],
    _: unsafe extern "C" fn(*mut T) -> !,
    _: *mut T,
) -> c_long {
    -c_long::from(libc::ENOSYS)
}

/// A `struct clone_args` of version 2: the flags first, then the signal for the end as the fifth, stack and its size,
/// the group last.
fn clone_args(flags: u64, cgroup: Option<RawFd>, stack: &mut [MaybeUninit<u128>]) -> [u64; 11] {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let (into, cgroup) = match cgroup {
        Some(cgroup) => (CLONE_INTO_CGROUP, cgroup as u64),
        None => (0, 0),
    };
    let (start, size) = match size_of_val(stack) {
        0 => (0, 0),
        size => (stack.as_mut_ptr() as u64, size as u64),
    };
    let signal = libc::SIGCHLD as u64;
    let flags = flags | into;
    [flags, 0, 0, 0, signal, start, size, 0, 0, 0, cgroup]
}

pub(super) fn exit(code: c_int) -> ! {
    loop {
        call!(libc::SYS_exit_group, code);
    }
}

pub(super) fn getpid() -> i32 {
    narrow(call!(libc::SYS_getpid))
}

pub(super) fn getppid() -> i32 {
    narrow(call!(libc::SYS_getppid))
}

pub(super) fn getpgid(pid: i32) -> i32 {
    narrow(call!(libc::SYS_getpgid, pid))
}

pub(super) fn setsid() -> c_long {
    call!(libc::SYS_setsid)
}

/// A negative `pid` means a process group, as in `kill(2)`; 0 and -1 are refused, whoever computed them.
pub(super) fn kill(pid: i32, signal: c_int) -> c_long {
    if matches!(pid, 0 | -1) {
        return -c_long::from(libc::EINVAL);
    }
    call!(libc::SYS_kill, pid, signal)
}

pub(super) fn become_subreaper() -> c_long {
    call!(libc::SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

/// `SIGKILL` for this process when the thread that forked it ends.
pub(super) fn die_with_parent() -> c_long {
    call!(
        libc::SYS_prctl,
        libc::PR_SET_PDEATHSIG,
        libc::SIGKILL,
        0,
        0,
        0
    )
}

pub(super) fn set_name(name: &std::ffi::CStr) {
    call!(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0);
}

pub(super) fn close(fd: RawFd) {
    call!(libc::SYS_close, fd);
}

/// Closes all from `first` to `last`; fails where the kernel does not know the call (before 5.9).
pub(super) fn close_range(first: u32, last: u32) -> c_long {
    call!(libc::SYS_close_range, first, last, 0)
}

/// Makes `to` the same as `from`, open across an `execve`. They must differ.
pub(super) fn dup_to(from: RawFd, to: RawFd) -> c_long {
    call!(libc::SYS_dup3, from, to, 0)
}

pub(super) fn open(path: &std::ffi::CStr, flags: c_int) -> c_long {
    call!(
        libc::SYS_openat,
        libc::AT_FDCWD,
        path.as_ptr(),
        flags | libc::O_CLOEXEC,
        0
    )
}

pub(super) fn read(fd: RawFd, buffer: &mut [u8]) -> c_long {
    loop {
        let result = call!(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len());
        if result != -c_long::from(libc::EINTR) {
            return result;
        }
    }
}

pub(super) fn write(fd: RawFd, buffer: &[u8]) -> c_long {
    call!(libc::SYS_write, fd, buffer.as_ptr(), buffer.len())
}

/// Directory entries in the kernel's format, see [`numbers`](super::text::numbers).
pub(super) fn getdents(fd: RawFd, buffer: &mut [u8]) -> c_long {
    call!(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len())
}

pub(super) fn chdir(path: &std::ffi::CStr) -> c_long {
    call!(libc::SYS_chdir, path.as_ptr())
}

/// A descriptor that is readable when a child has ended; `SIGCHLD` must be blocked. Does not block.
pub(super) fn child_signals() -> c_long {
    let mask = 1_u64 << (libc::SIGCHLD - 1);
    call!(
        libc::SYS_signalfd4,
        -1,
        &raw const mask,
        SIGSET_SIZE,
        libc::SFD_CLOEXEC | libc::SFD_NONBLOCK
    )
}

/// Waits until one of the descriptors is readable or closed, for ever without `milliseconds`; which ones are.
/// One that is negative is never ready.
pub(super) fn poll<const N: usize>(fds: [RawFd; N], milliseconds: Option<u32>) -> [bool; N] {
    let mut set = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let time = milliseconds.map(|all| libc::timespec {
        tv_sec: libc::time_t::from(all / 1000),
        tv_nsec: c_long::from(all % 1000).wrapping_mul(1_000_000),
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    call!(
        libc::SYS_ppoll,
        set.as_mut_ptr(),
        N,
        time,
        ptr::null::<u64>(),
        SIGSET_SIZE
    );
    set.map(|one| one.revents != 0)
}

/// Reaps one child that has ended: any, for -1.
pub(super) fn reap(pid: i32) -> Waited {
    let mut status: c_int = 0;
    match call!(
        libc::SYS_wait4,
        pid,
        &raw mut status,
        libc::WNOHANG | libc::__WALL,
        ptr::null_mut::<c_void>()
    ) {
        0 => Waited::None,
        ended @ 1.. => Waited::Ended(narrow(ended), status),
        _ => Waited::NoChild,
    }
}

/// Whether a child has ended, without reaping it: its pid, and that of its group, stay reserved.
pub(super) fn peek(pid: i32) -> Waited {
    // SAFETY: a `siginfo_t` is plain numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    let result = call!(
        libc::SYS_waitid,
        libc::P_PID,
        pid,
        &raw mut info,
        options,
        ptr::null_mut::<c_void>()
    );
    if result < 0 {
        return Waited::NoChild;
    }
    // SAFETY: `waitid` has filled in the fields of a child's end, or left them all zero.
    let (ended, status) = unsafe { (info.si_pid(), info.si_status()) };
    match (ended, info.si_code) {
        (0, _) => Waited::None,
        (_, libc::CLD_EXITED) => Waited::Ended(ended, (status & 0xff) << 8),
        _ => Waited::Ended(ended, status & 0x7f),
    }
}

/// Gives the pages of a mapping back; what is read there later is zero.
///
/// # Safety
///
/// Nothing in the range may be used any more.
pub(super) unsafe fn forget(start: usize, length: usize) {
    call!(libc::SYS_madvise, start, length, libc::MADV_DONTNEED);
}

/// Removes a mapping.
///
/// # Safety
///
/// Nothing in the range may be used any more.
pub(super) unsafe fn unmap(start: usize, length: usize) {
    call!(libc::SYS_munmap, start, length);
}

/// Replaces this process; returns only when that fails.
///
/// # Safety
///
/// Both arrays must end with a null pointer and hold pointers to C strings before it.
pub(super) unsafe fn execve(
    path: &std::ffi::CStr,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_long {
    call!(libc::SYS_execve, path.as_ptr(), argv, envp)
}

/// What the kernel returns where the value always fits.
fn narrow(result: c_long) -> i32 {
    result as i32
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::*;

    unsafe extern "C" fn child(told: *mut i32) -> ! {
        // SAFETY: the test's, which stands still.
        unsafe { *told = getpid() };
        exit(3)
    }

    #[test]
    fn a_child_in_this_memory_has_ended_when_this_goes_on() {
        let mut told = 0;
        let mut stack = [const { MaybeUninit::uninit() }; 1024];
        // SAFETY: the child calls nothing but what is in this module.
        let pid = unsafe { vfork_into(None, &mut stack, child, &raw mut told) };
        assert_eq!(c_long::from(told), pid);
        let pid = Pid::from_raw(told).unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(3));
        told = 0;
        // SAFETY: the same.
        let refused = unsafe { vfork_into(Some(-1), &mut stack, child, &raw mut told) };
        assert!(refused < 0 && told == 0, "no such group: {refused}");
    }
}
