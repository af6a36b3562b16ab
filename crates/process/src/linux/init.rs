//! The init: between host and program for as long as the tree lives. Forked, never exec'ed.
//!
//! Protocol on the control socket. Host to init, one byte each: `G` go, `K` kill everything, 1 to 64 a signal for the
//! program's group. The end of the stream means the same as `K`: the host is gone. Init to host: [`Report`]s.

#![expect(unsafe_code, reason = "sheds its memory")]

use std::ffi::c_long;
use std::os::fd::{AsRawFd, RawFd};

use super::plan::{KEPT, Plan};
use super::sys::{self, Waited};
use super::{children, memory, program, text};

/// What the host tells the init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// The lease is written: fork the program.
    Go,
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
    const GO: u8 = b'G';
    const KILL: u8 = b'K';

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Go => Self::GO,
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

/// The init's whole life, in the child of a fork. All signals are blocked.
pub(super) fn run(plan: &Plan) -> ! {
    let control = plan.fds.control.as_raw_fd();
    match set_up(plan) {
        Ok((signals, program)) => {
            let cgroup = plan
                .fds
                .cgroup
                .as_ref()
                .map(|cgroup| cgroup.kill.as_raw_fd());
            // SAFETY: the plan, and all else that the host had, is not used from here on; the host's spawner is a
            // thread of its own.
            unsafe { memory::shed() };
            Watch {
                control,
                signals,
                cgroup,
                program,
                alive: true,
                told: false,
            }
            .run()
        }
        Err(errno) => {
            tell(control, Report::Failed(errno));
            sys::exit(1)
        }
    }
}

/// Up to the fork of the program: the descriptor that tells of ended children, and the program's pid; or an errno.
fn set_up(plan: &Plan) -> Result<(RawFd, i32), i32> {
    let fds = &plan.fds;
    let (control, null) = (fds.control.as_raw_fd(), fds.null.as_raw_fd());
    sys::reset_signal_handlers();
    close_all_but(&fds.sorted());
    check(sys::setsid())?;
    check(sys::become_subreaper())?;
    sys::set_name(c"jackfield-init");
    for stdio in 0..=2 {
        check(sys::dup_to(null, stdio))?;
    }
    let signals = check(sys::child_signals())?;

    let mut go = [0];
    if sys::read(control, &mut go) != 1 || go != [Message::GO] {
        sys::exit(0);
    }
    let cgroup = fds.cgroup.as_ref().map(|cgroup| cgroup.folder.as_raw_fd());
    let program = check(program::start(plan, cgroup))?;
    if let Some(folder) = cgroup {
        sys::close(folder);
    }
    // What is left open here would outlive the program's end of it: outputs that never end, a socket that listens
    // and that nobody serves.
    for fd in [
        null,
        fds.stdout.as_raw_fd(),
        fds.stderr.as_raw_fd(),
        fds.failure.as_raw_fd(),
    ] {
        sys::close(fd);
    }
    if let Some(fd) = &fds.inherited {
        sys::close(fd.as_raw_fd());
    }
    // Keep no folder of the host's from being unmounted.
    sys::chdir(c"/");
    Ok((signals, program))
}

struct Watch {
    control: RawFd,
    signals: RawFd,
    /// Kills the control group.
    cgroup: Option<RawFd>,
    program: i32,
    /// The program has not been reaped: its pid, and so its group's, cannot be anybody else's.
    alive: bool,
    /// The host knows how the program ended.
    told: bool,
}

impl Watch {
    fn run(mut self) -> ! {
        while self.watch() {}
        // In one step what can be; it catches nearly everything there is in practice.
        if let Some(kill) = self.cgroup {
            sys::write(kill, b"1");
        }
        self.signal_group(libc::SIGKILL);
        let mut wait = 1_u32;
        loop {
            match self.reap_all() {
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
        let [control, signals] = sys::poll([self.control, self.signals], None);
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
            let (_, none_left) = self.reap_all();
            return go_on && self.alive && !none_left;
        }
        go_on
    }

    /// Reaps all that has ended; whether anything had, and whether no child is left.
    fn reap_all(&mut self) -> (bool, bool) {
        let mut any = false;
        loop {
            match sys::reap(-1) {
                Waited::Ended(pid, status) => {
                    any = true;
                    if pid == self.program && self.alive {
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

/// Closes all descriptors but these, which are in rising order and above 3.
fn close_all_but(keep: &[RawFd; KEPT]) {
    let mut first = 0_u32;
    for end in keep.iter().map(|fd| *fd as u32).chain([u32::MAX]) {
        // The last one is `u32::MAX`, which no descriptor is.
        if first < end && sys::close_range(first, end.wrapping_sub(1)) < 0 {
            return close_listed(keep);
        }
        first = end.wrapping_add(1);
    }
}

/// The same for kernels before 5.9.
fn close_listed(keep: &[RawFd; KEPT]) {
    let close = |fd: u32, folder: RawFd| {
        let fd = fd as RawFd;
        if fd > 2 && fd != folder && !keep.contains(&fd) {
            sys::close(fd);
        }
    };
    if !text::numbers(c"/proc/self/fd", close) {
        (3..4096).for_each(|fd| close(fd, -1));
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
        assert!(Message::Go.byte() > 64 && Message::Kill.byte() > 64);
        assert_eq!(Message::Signal(9).byte(), 9);
    }
}
