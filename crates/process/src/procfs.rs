//! What `/proc` says of other processes, and killing them without killing a stranger.
//!
//! A pid proves nothing: it may have been given to somebody else since it was learnt. So a process is first held by
//! a pidfd, then looked at *again*, and only then killed through that pidfd.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The parts of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) threads: u32,
    /// When it was started, in clock ticks since the boot. With the pid and the boot id it names one process for ever.
    pub(crate) start: u64,
}

impl Stat {
    /// Reads it; `None` when there is no such process (or no `/proc`).
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&read_small(&format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name of the program stands in parentheses and may hold anything, parentheses and newlines too.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        // Counted as in proc(5): the state is field 3.
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let threads = fields.nth(14)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        Some(Self {
            state,
            parent,
            group,
            threads,
            start,
        })
    }

    /// Whether it still runs anything. A zombie does not, unless only its first thread has ended.
    pub(crate) fn is_alive(self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    /// By a signal or by its tracer.
    pub(crate) fn is_stopped(self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

/// All processes that can be seen.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// The environment with which `pid` was started, as the kernel keeps it; empty when it may not be read.
pub(crate) fn environ(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// Whether `part` stands in `text`; an empty one stands nowhere.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// Changes with every boot. `None` without `/proc`.
pub(crate) fn boot_id() -> Option<String> {
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Some(id.clone());
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(ID.get_or_init(|| id.trim().to_owned()).clone())
}

/// A file of `/proc` that fits into a page, in one read: they say that they are empty, and then it takes many.
pub(crate) fn read_small(path: &str) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut text = Vec::with_capacity(4096);
    // Not by `read_to_end`, which asks for the size first: that is 0 for all of these.
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A process that cannot be confused with another for as long as this is held.
#[derive(Debug)]
pub(crate) struct Held(OwnedFd);

impl Held {
    /// Holds `pid` if `ours` is true of it *while* it is held.
    pub(crate) fn take(pid: u32, ours: impl Fn(u32) -> bool) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let held = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        ours(pid).then_some(Self(held))
    }

    /// Sends `SIGKILL`; whether that was allowed, and there was anybody to send it to.
    pub(crate) fn kill(&self) -> bool {
        pidfd_send_signal(&self.0, Signal::KILL).is_ok()
    }

    /// Waits until it has ended; `false` when it has not within the time.
    pub(crate) fn wait(&self, within: Duration) -> bool {
        let mut set = [PollFd::new(&self.0, PollFlags::IN)];
        let time = Timespec::try_from(within).ok();
        matches!(poll(&mut set, time.as_ref()), Ok(1..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let text = b"7 (a) R 1 (b\n) S 2 7 9 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 98\n";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                state: b'S',
                parent: 2,
                group: 7,
                threads: 1,
                start: 4711
            })
        );
        assert_eq!(Stat::parse(b"7 (a) S 1"), None);
        assert_eq!(Stat::parse(b""), None);
        let me = Stat::of(std::process::id()).unwrap();
        assert!(me.is_alive() && me.start > 0);
        assert!(pids().unwrap().contains(&std::process::id()));
    }

    #[test]
    fn marks_are_found_anywhere_and_the_empty_one_nowhere() {
        assert!(contains(b"A=1\0DIR=/x/mark-17/y\0", b"mark-17"));
        assert!(!contains(b"A=1\0", b""));
        assert!(!contains(b"A=1\0", b"mark"));
    }

    #[test]
    fn nothing_is_killed_on_a_no() {
        assert!(Held::take(std::process::id(), |_| false).is_none());
        assert!(
            Held::take(0, |_| true).is_none(),
            "there is no process 0 to hold"
        );
        assert!(Held::take(u32::MAX, |_| true).is_none());
        let me = Held::take(std::process::id(), |_| true).unwrap();
        assert!(!me.wait(Duration::ZERO));
    }
}
