//! The init: between host and program for as long as the tree lives. Forked by the forker, never exec'ed.
//!
//! Protocol on the control socket. Host to init: a [`Job`]; then, one byte each: `K` kill everything, 1 to 64 a signal for the
//! program's group. The end of the stream means the same as `K`: the host is gone. Init to host: [`Report`]s.

#![expect(unsafe_code, reason = "gives memory back that the program has used")]

use std::ffi::c_long;
use std::os::fd::RawFd;

use super::job::Job;
use super::sys::{self, Waited};
use super::{children, program};
use crate::command::Command;

/// What the host tells the init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// Kill everything and end.
    Kill,
    /// A signal, 1 to 64, for the program's process group.
    Signal(u8),
}

/// What the init tells the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// What becomes the program has been forked, with this pid.
    Forked(i32),
    /// It could not be, or the init could not set itself up. The errno. The init ends.
    Failed(i32),
    /// The program has ended, with this status word of `wait(2)`. The rest of the tree is being killed.
    Exited(i32),
    /// No process of the tree is left. The init ends.
    Gone,
}

/// Longest wait between two rounds of killing in which nothing ended, in milliseconds.
const LONGEST_ROUND: u32 = 50;

impl Message {
    const KILL: u8 = b'K';

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Kill => Self::KILL,
            Self::Signal(number) => number,
        }
    }
}

impl Report {
    pub(crate) const SIZE: usize = 8;

    pub(crate) fn parse(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let value = i32::from_ne_bytes([e, f, g, h]);
        match u32::from_ne_bytes([a, b, c, d]) {
            1 => Some(Self::Forked(value)),
            2 => Some(Self::Failed(value)),
            3 => Some(Self::Exited(value)),
            4 => Some(Self::Gone),
            _ => None,
        }
    }

    fn bytes(self) -> [u8; Self::SIZE] {
        let (kind, value): (u32, i32) = match self {
            Self::Forked(pid) => (1, pid),
            Self::Failed(errno) => (2, errno),
            Self::Exited(status) => (3, status),
            Self::Gone => (4, 0),
        };
        let ([a, b, c, d], [e, f, g, h]) = (kind.to_ne_bytes(), value.to_ne_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

/// What an init is forked with. All descriptors are closed by an `execve`.
pub(super) struct Given {
    /// The control socket.
    pub(super) control: RawFd,
    /// A number can be read here once there is a job.
    pub(super) begin: RawFd,
    /// A control group for the tree, to fork the program into, or -1.
    pub(super) cgroup: RawFd,
    /// Kills all in it when `1` is written; or -1.
    pub(super) cgroup_kill: RawFd,
}

/// The init's whole life, in a child of the forker. All signals are blocked, the standard streams lead nowhere.
pub(super) fn run(given: &Given) -> ! {
    // All that the program uses until it is executed stands here, in a function that does not return.
    let mut stack = program::Stack::new();
    let (signals, job) = set_up(given).unwrap_or_else(|errno| fail(given, errno));
    let start = program::Start::new(job, given).unwrap_or_else(|errno| fail(given, errno));
    let program = check(start.fork(&mut stack)).unwrap_or_else(|errno| fail(given, errno));
    start.close_in_init();
    sys::close(given.cgroup);
    // The forker's keeper of the place.
    sys::close(Command::INHERITED_FD);
    let cgroup = if start.in_cgroup() {
        given.cgroup_kill
    } else {
        sys::close(given.cgroup_kill);
        -1
    };
    Watch {
        control: given.control,
        signals,
        cgroup,
        start: &start,
        executed: start.executed(),
        program,
        alive: true,
        told: false,
    }
    .run()
}

fn fail(given: &Given, errno: i32) -> ! {
    tell(given.control, Report::Failed(errno));
    sys::exit(1)
}

/// Up to its job: the descriptor that tells of ended children, and the job; or an errno.
fn set_up(given: &Given) -> Result<(RawFd, Job), i32> {
    check(sys::lead_group())?;
    check(sys::become_subreaper())?;
    sys::set_name(c"jackfield-init");
    let signals = check(sys::child_signals())?;
    // It may have been forked ahead of time, and there may never be anything for it to do. The job itself does not wake it:
    // whoever is woken by what is written to a socket may be put on the processor of the one who writes, and wait there
    // until that has nothing more to do.
    sys::wait(given.begin, given.control);
    sys::close(given.begin);
    let Some(job) = Job::receive(given.control) else {
        sys::exit(0);
    };
    Ok((signals, job?))
}

struct Watch<'a> {
    control: RawFd,
    signals: RawFd,
    /// Kills the control group, or -1.
    cgroup: RawFd,
    start: &'a program::Start<'a>,
    /// Ends when the program has been executed, or has died; -1 from then on. Until then it may share this memory,
    /// and with it libc's `errno`: until then no system call fails here, but when somebody stops or kills the program.
    executed: RawFd,
    program: i32,
    /// The program has not been reaped: its pid, and so its group's, cannot be anybody else's.
    alive: bool,
    /// The host knows how the program ended.
    told: bool,
}

impl Watch<'_> {
    fn run(mut self) -> ! {
        while self.watch() {}
        // In one step what can be; it catches nearly everything there is in practice.
        sys::write(self.cgroup, b"1");
        self.signal_group(libc::SIGKILL);
        let mut wait = 1_u32;
        loop {
            match self.reap_all(true) {
                (_, true) => break,
                (true, false) => wait = 1,
                (false, false) => wait = wait.saturating_mul(2).min(LONGEST_ROUND),
            }
            children::kill_all();
            sys::poll([self.signals], Some(wait));
            self.drain_signals();
        }
        tell(self.control, Report::Gone);
        sys::exit(0)
    }

    /// Waits for one thing to happen and handles it. `false` when the tree is to end.
    fn watch(&mut self) -> bool {
        let [control, signals, executed] =
            sys::poll([self.control, self.signals, self.executed], None);
        if executed {
            sys::close(self.executed);
            self.executed = -1;
            // SAFETY: the program has memory of its own now, or none.
            unsafe { self.start.unload() };
        }
        let mut go_on = true;
        if control {
            let mut bytes = [0; 64];
            let count = usize::try_from(sys::read(self.control, &mut bytes)).unwrap_or(0);
            go_on = count > 0;
            for byte in bytes.get(..count).unwrap_or_default() {
                match *byte {
                    Message::KILL => go_on = false,
                    number @ 1..=64 => self.signal_group(i32::from(number)),
                    _ => {}
                }
            }
        }
        if signals {
            self.drain_signals();
            // Looked at before it is reaped, so that its group can be killed while the number is still its own.
            if let Waited::Ended(_, status) = sys::peek(self.program) {
                self.ended(status);
                return false;
            }
            let (_, none_left) = self.reap_all(!go_on);
            return go_on && self.alive && !none_left;
        }
        go_on
    }

    /// Reaps all that has ended; whether anything had, and whether no child is left. The groups that they led are killed
    /// where everything is, with the program everything: as long as a leader is not reaped nobody else's group has that
    /// number.
    fn reap_all(&mut self, killing: bool) -> (bool, bool) {
        let mut any = false;
        loop {
            match sys::peek(-1) {
                Waited::Ended(pid, status) => {
                    any = true;
                    let is_program = pid == self.program && self.alive;
                    if killing || is_program {
                        sys::kill(pid.wrapping_neg(), libc::SIGKILL);
                    }
                    if !sys::reap(pid) {
                        return (any, false);
                    }
                    if is_program {
                        self.ended(status);
                        self.alive = false;
                    }
                }
                Waited::None => return (any, false),
                Waited::NoChild => return (any, true),
            }
        }
    }

    fn ended(&mut self, status: i32) {
        if !self.told {
            self.told = true;
            tell(self.control, Report::Exited(status));
        }
    }

    fn signal_group(&self, signal: i32) {
        if self.alive {
            sys::kill(self.program.wrapping_neg(), signal);
            // It may have gone into another one, or not yet have come into its own.
            if sys::getpgid(self.program) != self.program {
                sys::kill(self.program, signal);
            }
        }
    }

    fn drain_signals(&self) {
        let mut buffer = [0; 1024];
        while sys::read(self.signals, &mut buffer) > 0 {}
    }
}

/// Fails only when the host is gone, and then nobody wants to know.
pub(super) fn tell(control: RawFd, report: Report) {
    sys::write(control, &report.bytes());
}

fn check(result: c_long) -> Result<i32, i32> {
    if result < 0 {
        Err(result.wrapping_neg() as i32)
    } else {
        Ok(result as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_written() {
        for report in [
            Report::Forked(7),
            Report::Failed(12),
            Report::Exited(42 << 8),
            Report::Gone,
        ] {
            assert_eq!(Report::parse(report.bytes()), Some(report));
        }
        assert_eq!(Report::parse([0; 8]), None);
    }

    #[test]
    fn no_signal_is_a_word() {
        assert!(Message::Kill.byte() > 64);
        assert_eq!(Message::Signal(9).byte(), 9);
    }
}
