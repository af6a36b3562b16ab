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
    /// This child ended, with this status word as of `wait(2)`, which does not say whether there is a core dump.
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

/// Two places in this thread's thread-local storage, the lower one first: of libc's variables, and of libc's thread.
pub(super) fn tls_addresses() -> (usize, usize) {
    // SAFETY: only asks for addresses.
    let (errno, thread) = unsafe {
        (
            libc::__errno_location() as usize,
            libc::pthread_self() as usize,
        )
    };
    (errno.min(thread), errno.max(thread))
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

/// The same, but whose child it is: that of this process's parent.
///
/// # Safety
///
/// As [`fork`].
pub(super) unsafe fn fork_for_parent() -> c_long {
    let flags = libc::SIGCHLD | libc::CLONE_PARENT;
    #[cfg(not(target_arch = "s390x"))]
    return call!(libc::SYS_clone, flags, 0, 0, 0, 0);
    #[cfg(target_arch = "s390x")]
    return call!(libc::SYS_clone, 0, flags, 0, 0, 0);
}

/// A `struct clone_args` of version 2.
fn clone_args(mut flags: u64, cgroup: Option<RawFd>, stack: (usize, usize)) -> [u64; 11] {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let cgroup = cgroup.map_or(0, |cgroup| cgroup as u64);
    let (start, size) = (stack.0 as u64, stack.1 as u64);
    let signal = libc::SIGCHLD as u64;
    [flags, 0, 0, 0, signal, start, size, 0, 0, 0, cgroup]
}

/// A fork into a control group.
///
/// # Safety
///
/// As [`fork`].
pub(super) unsafe fn fork_into(cgroup: RawFd) -> c_long {
    let args = clone_args(0, Some(cgroup), (0, 0));
    call!(libc::SYS_clone3, args.as_ptr(), size_of_val(&args))
}

/// A fork, into a control group or not, whose child runs on a stack of its own in the memory of this process, until it
/// executes something or ends. Not on every architecture.
///
/// # Safety
///
/// As [`fork`]; and the stack, and what the argument leads to, must stay as they are until the child has executed
/// something. Libc's `errno` is the same one in both.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn fork_sharing(
    cgroup: Option<RawFd>,
    stack: &mut [MaybeUninit<u128>],
    run: extern "C" fn(*const c_void) -> !,
    argument: *const c_void,
) -> c_long {
    let stack = (stack.as_mut_ptr() as usize, size_of_val(stack));
    let args = clone_args(libc::CLONE_VM as u64, cgroup, stack);
    let result: c_long;
    // SAFETY: the parent goes on behind it with nothing changed but what is listed. The child, whose registers are the
    // same but for the stack pointer, which is aligned to 16 bytes, calls a function that does not return.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r8",
            "call r9",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") args.as_ptr(),
            in("rsi") size_of_val(&args),
            in("r8") argument,
            in("r9") run,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn fork_sharing(
    _cgroup: Option<RawFd>,
    _stack: &mut [MaybeUninit<u128>],
    _run: extern "C" fn(*const c_void) -> !,
    _argument: *const c_void,
) -> c_long {
    -c_long::from(libc::ENOSYS)
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

/// Of a child, or of this process for 0.
pub(super) fn getsid(pid: i32) -> i32 {
    narrow(call!(libc::SYS_getsid, pid))
}

/// Makes this process the leader of a process group of its own.
pub(super) fn lead_group() -> c_long {
    call!(libc::SYS_setpgid, 0, 0)
}

pub(super) fn setsid() -> c_long {
    call!(libc::SYS_setsid)
}

/// Gives up this process's controlling terminal, by a descriptor of it. Others keep it, unless this process leads the
/// session.
pub(super) fn give_up_terminal(fd: RawFd) -> c_long {
    call!(libc::SYS_ioctl, fd, libc::TIOCNOTTY, 0)
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

/// Nothing for a negative number, which is none.
pub(super) fn close(fd: RawFd) {
    if fd >= 0 {
        call!(libc::SYS_close, fd);
    }
}

/// The end to read and the end to write, closed by an `execve`; or an errno.
pub(super) fn pipe() -> Result<[RawFd; 2], i32> {
    let mut ends = [-1; 2];
    match call!(libc::SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC) {
        0 => Ok(ends),
        errno => Err(narrow(errno).wrapping_neg()),
    }
}

/// Closes all from `first` to `last`; fails where the kernel does not know the call (before 5.9).
pub(super) fn close_range(first: u32, last: u32) -> c_long {
    call!(libc::SYS_close_range, first, last, 0)
}

/// Makes `to` the same as `from`, open across an `execve`. They must differ.
pub(super) fn dup_to(from: RawFd, to: RawFd) -> c_long {
    call!(libc::SYS_dup3, from, to, 0)
}

/// The same, closed by an `execve`.
pub(super) fn dup_to_cloexec(from: RawFd, to: RawFd) -> c_long {
    call!(libc::SYS_dup3, from, to, libc::O_CLOEXEC)
}

/// Receives one message, whose descriptors are closed by an `execve`.
///
/// # Safety
///
/// All that the header points to must be there to be written to.
pub(super) unsafe fn receive(fd: RawFd, message: &mut libc::msghdr) -> c_long {
    loop {
        let header = ptr::from_mut(message);
        let result = call!(libc::SYS_recvmsg, fd, header, libc::MSG_CMSG_CLOEXEC);
        if result != -c_long::from(libc::EINTR) {
            return result;
        }
    }
}

/// A copy of a file in memory, to be read and written: its address, or a negated errno.
pub(super) fn copy(fd: RawFd, length: usize) -> c_long {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
    // SAFETY: a new mapping, where the kernel finds room for it. A plain system call in every libc; it is used because
    // its number and its arguments differ between architectures.
    let address = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, fd, 0) };
    if address == libc::MAP_FAILED {
        -c_long::from(errno())
    } else {
        address.addr() as c_long
    }
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

/// The same.
///
/// # Safety
///
/// It must be a C string.
pub(super) unsafe fn change_folder(path: *const c_char) -> c_long {
    call!(libc::SYS_chdir, path)
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
    poll_for(fds.map(|fd| (fd, libc::POLLIN)), milliseconds)
}

/// Waits until the first is readable, or one of them is closed. What comes on the second wakes nobody.
pub(super) fn wait(first: RawFd, second: RawFd) {
    poll_for([(first, libc::POLLIN), (second, 0)], None);
}

fn poll_for<const N: usize>(fds: [(RawFd, i16); N], milliseconds: Option<u32>) -> [bool; N] {
    let mut set = fds.map(|(fd, events)| libc::pollfd {
        fd,
        events,
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

/// Reaps a child that has ended; whether it did.
pub(super) fn reap(pid: i32) -> bool {
    let reaped = call!(
        libc::SYS_wait4,
        pid,
        ptr::null_mut::<c_int>(),
        libc::WNOHANG | libc::__WALL,
        ptr::null_mut::<c_void>()
    );
    reaped > 0
}

/// Whether a child has ended, without reaping it: its pid, and that of its group, stay reserved. Any, for -1.
pub(super) fn peek(pid: i32) -> Waited {
    let which = if pid == -1 { libc::P_ALL } else { libc::P_PID };
    // SAFETY: a `siginfo_t` is plain numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    let result = call!(
        libc::SYS_waitid,
        which,
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
/// The path must be a C string, and both arrays must end with a null pointer and hold pointers to C strings before it.
pub(super) unsafe fn execve(
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_long {
    call!(libc::SYS_execve, path, argv, envp)
}

/// What the kernel returns where the value always fits.
fn narrow(result: c_long) -> i32 {
    result as i32
}
