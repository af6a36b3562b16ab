//! From the fork in the init to the program.

#![expect(unsafe_code, reason = "forks, and execve takes pointers")]

use std::ffi::{c_long, c_void};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use super::init::{self, Given, Report};
use super::job::{Job, Loaded};
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
    /// Its process group, its standard streams.
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

/// What the program begins with.
pub(super) struct Start<'a> {
    job: Job,
    loaded: Loaded,
    given: &'a Given,
    init: i32,
    /// A pipe that ends when the program has been executed, or has died: the end to read, and the end to hold.
    alive: [RawFd; 2],
}

/// Where the program runs until it is executed, where it shares the init's memory.
pub(super) struct Stack([MaybeUninit<u128>; 2048]);

impl Stack {
    pub(super) fn new() -> Self {
        Self([MaybeUninit::uninit(); _])
    }
}

impl<'a> Start<'a> {
    /// Or an errno.
    pub(super) fn new(job: Job, given: &'a Given) -> Result<Self, i32> {
        Ok(Self {
            loaded: job.load()?,
            job,
            given,
            init: sys::getpid(),
            alive: sys::pipe()?,
        })
    }

    /// Forks what becomes the program. Its pid, or a negated errno. Runs in the init.
    ///
    /// Where possible the program shares the init's memory until it is executed, as after a vfork, which saves copying the
    /// table of it, while the init goes on.
    pub(super) fn fork(&self, stack: &mut Stack) -> c_long {
        let cgroup = self.in_cgroup().then_some(self.given.cgroup);
        // The kernel may not be able to fork into a control group; a filter may not let it share memory.
        for cgroup in [cgroup, None] {
            let argument = ptr::from_ref(self).cast();
            // SAFETY: the child keeps to the rules of this module, and what it is given is on the stack of a function
            // that does not return.
            let pid = unsafe { sys::fork_sharing(cgroup, &mut stack.0, run, argument) };
            if pid >= 0 {
                return pid;
            }
        }
        // SAFETY: the child keeps to the rules of this module.
        match unsafe { fork(cgroup) } {
            0 => run(ptr::from_ref(self).cast()),
            pid => pid,
        }
    }

    pub(super) fn in_cgroup(&self) -> bool {
        self.job.head.cgroup && self.given.cgroup >= 0
    }

    /// Closes what is the program's alone. The program waits for it, since it may stop the init as soon as it runs: the
    /// failure pipe would never end.
    pub(super) fn close_in_init(&self) {
        self.job.close();
        let [_, hold] = self.alive;
        sys::close(hold);
    }

    /// Ends when the program has been executed, or has died.
    pub(super) fn executed(&self) -> RawFd {
        let [read, _] = self.alive;
        read
    }

    /// # Safety
    ///
    /// The program must have been executed, or have died.
    pub(super) unsafe fn unload(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.loaded.unload() };
    }
}

/// A fork into a control group, or without it when that is refused.
///
/// # Safety
///
/// As [`sys::fork`].
unsafe fn fork(cgroup: Option<RawFd>) -> c_long {
    if let Some(cgroup) = cgroup {
        // SAFETY: passed on to the caller.
        let pid = unsafe { sys::fork_into(cgroup) };
        if pid >= 0 {
            return pid;
        }
    }
    // SAFETY: the same.
    unsafe { sys::fork() }
}

/// Becomes the program. Runs in a child that the init has just forked; it is given a [`Start`].
extern "C" fn run(start: *const c_void) -> ! {
    // SAFETY: by `Start::fork`.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    let failure = become_it(start);
    sys::write(start.job.failure, &failure.bytes());
    sys::exit(127)
}

fn become_it(start: &Start<'_>) -> Failure {
    let Start { job, loaded, .. } = start;
    let fail = |stage, result: c_long| Failure {
        stage,
        errno: result.wrapping_neg() as i32,
    };
    let set = [
        sys::die_with_parent(),
        sys::lead_group(),
        sys::dup_to(job.stdout, 1),
        sys::dup_to(job.stderr, 2),
        if job.inherited < 0 {
            0
        } else {
            sys::dup_to(job.inherited, Command::INHERITED_FD)
        },
    ];
    // If the init died before it was to be told of, nobody will.
    if sys::getppid() != start.init {
        sys::exit(127);
    }
    // Not by the init, which may come to it only after the program has begun.
    init::tell(start.given.control, Report::Forked(sys::getpid()));
    if let Some(result) = set.into_iter().find(|result| *result < 0) {
        return fail(Stage::Set, result);
    }
    // SAFETY: a string, as below.
    let result = unsafe { sys::change_folder(loaded.folder) };
    if result < 0 {
        return fail(Stage::Folder, result);
    }
    if !job.may_go() {
        sys::exit(127);
    }
    // The forker has put all handlers back; only what it blocks is left.
    sys::set_signal_mask(0);
    let mut tries = 0_u32;
    loop {
        // SAFETY: both arrays are as `execve` wants them.
        let result = unsafe { sys::execve(loaded.program, loaded.argv, loaded.envp) };
        tries = tries.wrapping_add(1);
        if result != -c_long::from(libc::ETXTBSY) || tries >= BUSY_TRIES {
            return fail(Stage::Exec, result);
        }
        sys::poll([], Some(BUSY_WAIT));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::retry_on_intr;
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    use tokio::time::Instant;

    use super::super::plan::{Found, Plan};
    use super::*;

    /// A program that shares this stack's memory: it ends before that does.
    struct Forked(Pid);

    impl Forked {
        fn of(pid: c_long) -> Self {
            Self(Pid::from_raw(i32::try_from(pid).unwrap()).expect("it is forked"))
        }
    }

    impl Drop for Forked {
        fn drop(&mut self) {
            kill_process(self.0, Signal::KILL).unwrap();
            waitpid(Some(self.0), WaitOptions::empty()).unwrap();
        }
    }

    /// An init that comes to nothing more for a while when it has forked, as it happens on a busy machine. The host gives
    /// its word, and a program that ran then could stop the init before that has put away its end of the failure pipe:
    /// the host would never hear that it runs, and kill it after half a minute.
    #[test]
    fn the_program_waits_until_its_init_has_put_away_what_is_the_programs() {
        let command = Command::new("/bin/sleep").args(["1000"]);
        let found = Found::new(&command).unwrap();
        let (plan, ends) = Plan::new(&command, &found).unwrap();
        let (host, init) = UnixStream::pair().unwrap();
        plan.send(&host).unwrap();
        drop(plan);
        let given = Given {
            control: init.as_raw_fd(),
            begin: -1,
            cgroup: -1,
            cgroup_kill: -1,
        };
        // This thread is the init.
        let mut stack = Stack::new();
        let job = Job::receive(given.control).unwrap().unwrap();
        let start = Start::new(job, &given).unwrap();
        let program = Forked::of(start.fork(&mut stack));
        rustix::io::write(&ends.go, &Job::WORD).unwrap();

        // It has taken the word, and waits or has begun.
        let pid = program.0.as_raw_nonzero();
        let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let readable = |fd: &OwnedFd, seconds| {
            let mut set = [PollFd::new(fd, PollFlags::IN)];
            let within = Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            retry_on_intr(|| poll(&mut set, Some(&within))).unwrap() == 1
        };
        while readable(&ends.go, 0) || !stat().contains(") S ") {
            assert!(Instant::now() < until, "{}", stat());
            std::thread::yield_now();
        }
        let before = stat();

        start.close_in_init();
        assert!(readable(&ends.failure, 60), "{}", stat());
        let mut failed = Vec::new();
        fs::File::from(ends.failure)
            .read_to_end(&mut failed)
            .unwrap();
        let after = stat();
        drop(program);
        sys::close(start.executed());
        // SAFETY: it has ended.
        unsafe { start.unload() };
        assert!(!before.contains("(sleep)"), "{before}");
        assert_eq!(failed, []);
        assert!(after.contains("(sleep)"), "{after}");
    }

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
