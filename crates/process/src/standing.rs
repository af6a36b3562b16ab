//! What a process hands down to those that it forks, as far as it makes a difference to what they may do.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Resource, Rlimit, getrlimit};

use crate::procfs::read_small;

/// Users, groups, capabilities, the mask of new files, filters of system calls, session, limits, control group, whom the
/// kernel kills first, and the root folder: of the thread that asks. Where there is no `/proc`, limits and root alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    status: Vec<u8>,
    others: [Vec<u8>; 2],
    limits: [Rlimit; RESOURCES.len()],
    root: Option<(u64, u64)>,
}

/// How the lines begin that count, of what `proc_pid_status(5)` describes.
const LINES: [&[u8]; 8] = [
    b"Umask:",
    b"Uid:",
    b"Gid:",
    b"Groups:",
    b"Cap",
    b"NoNewPrivs:",
    b"Seccomp",
    b"NSsid:",
];

const RESOURCES: [Resource; 15] = [
    Resource::As,
    Resource::Core,
    Resource::Cpu,
    Resource::Data,
    Resource::Fsize,
    Resource::Locks,
    Resource::Memlock,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Nofile,
    Resource::Nproc,
    Resource::Rtprio,
    Resource::Rttime,
    Resource::Sigpending,
    Resource::Stack,
];

impl Standing {
    /// Takes some tens of microseconds.
    pub(crate) fn now() -> Self {
        let mut status = read_small("/proc/thread-self/status").unwrap_or_default();
        let counts = |line: &&[u8]| LINES.iter().any(|start| line.starts_with(start));
        status = status
            .split_inclusive(|byte| *byte == b'\n')
            .filter(counts)
            .flatten()
            .copied()
            .collect();
        let root = fs::metadata("/").ok();
        let others = ["cgroup", "oom_score_adj"]
            .map(|name| read_small(&format!("/proc/thread-self/{name}")).unwrap_or_default());
        Self {
            status,
            others,
            limits: RESOURCES.map(getrlimit),
            root: root.map(|root| (root.dev(), root.ino())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_until_something_changes() {
        let now = Standing::now();
        assert_eq!(now, Standing::now());
        let text = String::from_utf8(now.status).unwrap();
        for line in ["Umask:", "Uid:", "Gid:", "CapEff:", "NoNewPrivs:"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
