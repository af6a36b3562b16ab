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

/// How much of it a child in the init's memory gets, in 16 bytes: 32 KiB.
const STACK: usize = 2048;

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

/// What a child in the init's memory is given, and says there.
struct Attempt<'a> {
    plan: &'a Plan,
    init: i32,
    /// Nothing has been reported: it is to be tried again, more patiently.
    busy: bool,
}

/// Forks what becomes the program. Its pid, or a negated errno. Runs in the init.
pub(super) fn start(plan: &Plan, cgroup: Option<RawFd>) -> c_long {
    let init = sys::getpid();
    let mut attempt = Attempt {
        plan,
        init,
        busy: false,
    };
    let mut stack = [const { std::mem::MaybeUninit::uninit() }; STACK];
    // SAFETY: the init has one thread, and the child keeps to the rules of this module.
    let pid = unsafe { sys::vfork_into(cgroup, &mut stack, run_at_once, &raw mut attempt) };
    // One that was busy is reaped as all are.
    if pid > 0 && !attempt.busy {
        return pid;
    }
    // SAFETY: the child keeps to the rules of this module.
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

/// Becomes the program, in the init's memory: the init can do nothing until then, so that nothing here may wait.
///
/// # Safety
///
/// `attempt` is the init's, which looks at it no sooner than this has ended.
unsafe extern "C" fn run_at_once(attempt: *mut Attempt<'_>) -> ! {
    // SAFETY: by the contract of this function.
    let attempt = unsafe { &mut *attempt };
    let failure = become_it(attempt.plan, attempt.init, 1);
    attempt.busy = failure.errno == libc::ETXTBSY;
    if !attempt.busy {
        report(attempt.plan, failure);
    }
    sys::exit(127)
}

/// Becomes the program. Runs in a child that the init has just forked.
fn run(plan: &Plan, init: i32) -> ! {
    report(plan, become_it(plan, init, BUSY_TRIES));
    sys::exit(127)
}

fn report(plan: &Plan, failure: Failure) {
    sys::write(plan.fds.failure.as_raw_fd(), &failure.bytes());
}

fn become_it(plan: &Plan, init: i32, most_tries: u32) -> Failure {
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
    // Not by the init, which comes to nothing before the program runs.
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
        if result != -c_long::from(libc::ETXTBSY) || tries >= most_tries {
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
