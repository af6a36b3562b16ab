//! What runs in the forker, from its fork on. The host's side of it, and the protocol, are in [`forker`](super::forker).

#![expect(unsafe_code, reason = "forks this process of many threads")]

use std::io;
use std::os::fd::RawFd;

use rustix::process::Pid;

use super::init::{self, Given};
use super::{memory, message, sys, text};
use crate::command::Command;

/// The numbers below are the standard streams and what a program inherits: in the forker and its inits they lead
/// nowhere, so that nothing else ever gets one of them.
pub(super) const REQUESTS: RawFd = Command::INHERITED_FD + 1;

/// Forks this process, on a thread of its own.
pub(super) fn fork(requests: RawFd, null: RawFd) -> io::Result<Pid> {
    // No handler of this process may run in the child.
    let mask = sys::block_signals();
    // SAFETY: the child keeps to the rules of this module.
    let pid = match unsafe { sys::fork() } {
        0 => run(requests, null),
        pid => pid,
    };
    sys::set_signal_mask(mask);
    match i32::try_from(pid) {
        Ok(pid @ 1..) => Ok(Pid::from_raw(pid).expect("a positive number")),
        _ => Err(io::Error::from_raw_os_error(pid.unsigned_abs() as i32)),
    }
}

/// The forker's whole life. All signals are blocked.
fn run(requests: RawFd, null: RawFd) -> ! {
    sys::reset_signal_handlers();
    close_all_but(requests.min(null), requests.max(null));
    for number in 0..Command::INHERITED_FD {
        sys::dup_to(null, number);
    }
    sys::dup_to_cloexec(null, Command::INHERITED_FD);
    sys::close(null);
    leave_terminal();
    sys::lead_group();
    sys::set_name(c"jackfield-fork");
    // Keep no folder of the host's from being unmounted.
    sys::chdir(c"/");
    // SAFETY: nothing that the host had is used from here on, and this is the stack of a thread of its own.
    unsafe { memory::shed() };
    let mut count = [0];
    loop {
        let Some(came) = message::receive(requests, &mut count) else {
            sys::exit(0);
        };
        let [control, begin, cgroup, cgroup_kill, ..] = came.fds;
        // The kernel leaves out what there is no room for among this process's descriptors.
        let mut result = libc::EMFILE.wrapping_neg();
        if came.count == usize::from(count[0]) {
            // SAFETY: the child keeps to the rules of this module.
            result = match unsafe { sys::fork_for_parent() } {
                0 => {
                    sys::close(requests);
                    init::run(&Given {
                        control,
                        begin,
                        cgroup,
                        cgroup_kill,
                    })
                }
                pid => pid as i32,
            };
        }
        came.close();
        sys::write(requests, &result.to_ne_bytes());
    }
}

/// This process has no controlling terminal from here on, and nobody whom it forks. It stays in its session where that
/// can be.
fn leave_terminal() {
    // What has that name need not be a terminal.
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
    let terminal = sys::open(c"/dev/tty", flags) as RawFd;
    let left = terminal >= 0 && sys::give_up_terminal(terminal) >= 0;
    sys::close(terminal);
    if !left && has_terminal() {
        // A new session has none. It takes turns with the old one for the processors where nothing else shares them out
        // (`sched(7)`, autogroup), and calls between them take longer for that.
        sys::setsid();
    }
}

/// By `proc_pid_stat(5)`, field 7; yes where that cannot be read.
fn has_terminal() -> bool {
    let mut none = false;
    text::lines(c"/proc/self/stat", |line| {
        none |= text::field(line, 5) == Some(b"0");
    });
    !none
}

/// Closes all descriptors but these, the lower one first.
fn close_all_but(low: RawFd, high: RawFd) {
    let mut first = 0_u32;
    for end in [low as u32, high as u32, u32::MAX] {
        // The last one is `u32::MAX`, which no descriptor is.
        if first < end && sys::close_range(first, end.wrapping_sub(1)) < 0 {
            return close_listed([low, high]);
        }
        first = end.wrapping_add(1);
    }
}

/// The same for kernels before 5.9.
fn close_listed(keep: [RawFd; 2]) {
    let close = |fd: u32, folder: RawFd| {
        let fd = fd as RawFd;
        if fd != folder && !keep.contains(&fd) {
            sys::close(fd);
        }
    };
    if !text::numbers(c"/proc/self/fd", close) {
        (0..4096).for_each(|fd| close(fd, -1));
    }
}
