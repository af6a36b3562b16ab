//! How a child ended, and the signals it can be sent.

use std::fmt;

/// How a child ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// How the program itself ended. What it had forked does not count.
    pub status: ExitStatus,
    /// [`Child::stop`](crate::Child::stop) or [`Child::kill`](crate::Child::kill) was called, or the
    /// [`Child`](crate::Child) dropped, before it ended.
    pub asked: bool,
    /// The last 20 lines of both streams, oldest first; as UTF-8 with replacement characters, each cut at 2 KiB.
    pub tail: Vec<String>,
    /// Processes of the tree that could not be killed, because they had changed their user or hang inside the kernel.
    /// Empty but for such cases; the lease, if there was one, is kept for a later sweep then.
    pub left: Vec<u32>,
}

/// How a process ended. Displays as `exit status 42`, `signal: killed (9)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It ended by itself with this code, 0 to 255.
    Code(i32),
    /// A signal of this number ended it.
    Signal(i32),
    /// Nobody knows: the init that watched it was killed. The tree was swept.
    Lost,
}

/// A signal that can be sent to the program's process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`
    Hangup,
    /// `SIGINT`
    Interrupt,
    /// `SIGQUIT`
    Quit,
    /// `SIGKILL`. Reaches the process group only; [`Child::kill`](crate::Child::kill) reaches everything.
    Kill,
    /// `SIGUSR1`
    User1,
    /// `SIGUSR2`
    User2,
    /// `SIGTERM`
    Terminate,
    /// `SIGCONT`
    Continue,
    /// `SIGSTOP`
    Pause,
}

impl ExitStatus {
    /// Whether it is `Code(0)`.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code, if it ended with one.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) | Self::Lost => None,
        }
    }

    /// The number of the signal that ended it, if one did.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signal(number) => Some(number),
            Self::Code(_) | Self::Lost => None,
        }
    }

    /// From the status word of `wait(2)`.
    pub(crate) fn from_wait(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            signal => Self::Signal(signal),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => write!(f, "signal: {} ({number})", describe(*number)),
            Self::Lost => f.write_str("unknown: the init that watched the program was killed"),
        }
    }
}

impl Signal {
    /// The number of the signal on this system.
    pub fn number(self) -> i32 {
        match self {
            Self::Hangup => libc::SIGHUP,
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::Kill => libc::SIGKILL,
            Self::User1 => libc::SIGUSR1,
            Self::User2 => libc::SIGUSR2,
            Self::Terminate => libc::SIGTERM,
            Self::Continue => libc::SIGCONT,
            Self::Pause => libc::SIGSTOP,
        }
    }
}

fn describe(number: i32) -> &'static str {
    match number {
        libc::SIGHUP => "hangup",
        libc::SIGINT => "interrupt",
        libc::SIGQUIT => "quit",
        libc::SIGILL => "illegal instruction",
        libc::SIGTRAP => "trace trap",
        libc::SIGABRT => "aborted",
        libc::SIGBUS => "bus error",
        libc::SIGFPE => "floating point exception",
        libc::SIGKILL => "killed",
        libc::SIGUSR1 => "user signal 1",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGUSR2 => "user signal 2",
        libc::SIGPIPE => "broken pipe",
        libc::SIGALRM => "alarm",
        libc::SIGTERM => "terminated",
        libc::SIGXCPU => "processor time limit",
        libc::SIGXFSZ => "file size limit",
        libc::SIGSYS => "bad system call",
        _ => "signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_are_read_and_shown() {
        assert_eq!(ExitStatus::from_wait(42 << 8), ExitStatus::Code(42));
        assert_eq!(ExitStatus::from_wait(9), ExitStatus::Signal(9));
        assert_eq!(
            ExitStatus::from_wait(11 | 0x80),
            ExitStatus::Signal(11),
            "with a core dump"
        );
        assert_eq!(ExitStatus::Code(42).to_string(), "exit status 42");
        assert_eq!(ExitStatus::Signal(9).to_string(), "signal: killed (9)");
        assert!(ExitStatus::Code(0).success());
        assert!(!ExitStatus::Lost.success());
    }
}
