//! From the fork in the init to the program.

#![expect(unsafe_code, reason = "forks, and execve takes pointers")]

use std::ffi::c_long;
use std::os::fd::{AsRawFd, RawFd};

use super::init::{self, Report};
use super::plan::Plan;
use super::sys;
use crate::command::Command;

/// What failed between fork and `execve`, as the program writes it into the failure pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) errno: i32,
}

/// Where it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its session, its standard streams.
    Set,
    /// The folder.
    Folder,
    /// The `execve` itself.
    Exec,
}

/// A freshly written program may still be open for writing, in a child that some other thread has forked and that has
/// not come to its `execve` yet. So it is tried again: 100 times 5 ms.
const BUSY_TRIES: u32 = 100;
const BUSY_WAIT: u32 = 5;

impl Failure {
    const SIZE: usize = 8;

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::SIZE] = bytes.try_into().ok()?;
        let [a, b, c, d, e, f, g, h] = bytes;
        let stage = match u32::from_ne_bytes([a, b, c, d]) {
            1 => Stage::Set,
            2 => Stage::Folder,
            3 => Stage::Exec,
            _ => return None,
        };
        Some(Self {
            stage,
            errno: i32::from_ne_bytes([e, f, g, h]),
        })
    }

    fn bytes(self) -> [u8; Self::SIZE] {
        let stage: u32 = match self.stage {
            Stage::Set => 1,
            Stage::Folder => 2,
            Stage::Exec => 3,
        };
        let ([a, b, c, d], [e, f, g, h]) = (stage.to_ne_bytes(), self.errno.to_ne_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

/// Forks what becomes the program. Its pid, or a negated errno. Runs in the init.
pub(super) fn start(plan: &Plan, cgroup: Option<RawFd>) -> c_long {
    let init = sys::getpid();
    // Not by a vfork: the program may stop the init, its parent, which has to put away its own end of the failure pipe
    // by then. SAFETY: the child keeps to the rules of this module.
    match unsafe { fork_into(cgroup) } {
        0 => run(plan, init),
        pid => pid,
    }
}

/// A fork into a control group, or without it when that is refused.
///
/// # Safety
///
/// As [`sys::fork`].
unsafe fn fork_into(cgroup: Option<RawFd>) -> c_long {
    // SAFETY: passed on to the caller.
    match cgroup.map(|cgroup| unsafe { sys::fork_into(cgroup) }) {
        Some(pid @ 0..) => pid,
        // SAFETY: the same.
        Some(_) | None => unsafe { sys::fork() },
    }
}

/// Becomes the program. Runs in a child that the init has just forked.
fn run(plan: &Plan, init: i32) -> ! {
    let failure = become_it(plan, init);
    sys::write(plan.fds.failure.as_raw_fd(), &failure.bytes());
    sys::exit(127)
}

fn become_it(plan: &Plan, init: i32) -> Failure {
    let fail = |stage, result: c_long| Failure {
        stage,
        errno: result.wrapping_neg() as i32,
    };
    let set = [
        sys::die_with_parent(),
        sys::setsid(),
        stdio(plan.fds.null.as_raw_fd(), 0),
        stdio(plan.fds.stdout.as_raw_fd(), 1),
        stdio(plan.fds.stderr.as_raw_fd(), 2),
        match &plan.fds.inherited {
            Some(fd) => stdio(fd.as_raw_fd(), Command::INHERITED_FD),
            None => 0,
        },
    ];
    // If the init died before it was to be told of, nobody will.
    if sys::getppid() != init {
        sys::exit(127);
    }
    // Not by the init, which may come to it only after the program has begun.
    init::tell(plan.fds.control.as_raw_fd(), Report::Forked(sys::getpid()));
    if let Some(result) = set.into_iter().find(|result| *result < 0) {
        return fail(Stage::Set, result);
    }
    let result = sys::chdir(&plan.folder);
    if result < 0 {
        return fail(Stage::Folder, result);
    }
    // The init has put all handlers back; only what it blocks is left.
    sys::set_signal_mask(0);
    let mut tries = 0_u32;
    loop {
        // SAFETY: the plan keeps both arrays as `execve` wants them.
        let result = unsafe { sys::execve(&plan.program, plan.argv(), plan.envp()) };
        tries = tries.wrapping_add(1);
        if result != -c_long::from(libc::ETXTBSY) || tries >= BUSY_TRIES {
            return fail(Stage::Exec, result);
        }
        sys::poll([], Some(BUSY_WAIT));
    }
}

fn stdio(from: RawFd, to: RawFd) -> c_long {
    sys::dup_to(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_as_written() {
        for stage in [Stage::Set, Stage::Folder, Stage::Exec] {
            let failure = Failure {
                stage,
                errno: libc::ENOENT,
            };
            assert_eq!(Failure::parse(&failure.bytes()), Some(failure));
        }
        assert_eq!(Failure::parse(&[]), None);
        assert_eq!(Failure::parse(&[9; 8]), None);
    }
}
