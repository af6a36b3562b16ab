//! Why there is no plugin.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jackfield_process::Exit;

/// Why a plugin could not be spawned. When one of these is returned, nothing of it runs any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The folder for the plugin's own files cannot be made. [`Spawn::no_working_folder`](crate::Spawn::no_working_folder)
    /// does without.
    #[error("cannot make the working folder {}: {source}", path.display())]
    WorkingFolder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No port or socket could be made to offer to the plugin.
    #[error("cannot make an endpoint to offer to the plugin: {0}")]
    Offer(#[source] io::Error),
    /// The executable could not be run.
    #[error(transparent)]
    Process(#[from] jackfield_process::SpawnError),
    /// It ended before it was ready.
    #[error("{}", exited(.name, .exit, .reason.as_deref()))]
    Exited {
        /// The plugin's name.
        name: String,
        /// How it ended, whether it was asked to, and the last lines it wrote.
        exit: Box<Exit>,
        /// Why it was not ready when it was asked last.
        reason: Option<String>,
    },
    /// It was not ready in time. It has been killed.
    #[error("{}", late(.name, .not_ready, *.state, .tail))]
    NotReady {
        /// The plugin's name.
        name: String,
        /// What the pings came to.
        not_ready: NotReady,
        /// What its process did when the time was over.
        state: ProcessState,
        /// The last lines that it wrote, oldest first.
        tail: Vec<String>,
    },
    /// It serves, but not the service that was asked for. It has been killed.
    #[error("{name} does not serve {service} (a ping says: {message}): is it the right program, and does it register that service?{}", last_lines(.tail))]
    Unimplemented {
        /// The plugin's name.
        name: String,
        /// The service, as in the path of its methods: `kv.v1.KvService`.
        service: String,
        /// The answer to the ping.
        message: String,
        /// The last lines that it wrote, oldest first.
        tail: Vec<String>,
    },
}

/// Why an endpoint did not become ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// The time was over.
    #[error("not ready within {within:?}: {}", .reason.as_deref().unwrap_or("it was not even asked"))]
    TimedOut {
        /// The time.
        within: Duration,
        /// What came of the last ping: the plugin's own reason, or why there was no answer.
        reason: Option<String>,
    },
    /// It answers that it has no such method.
    #[error("it does not serve {service}: {message}")]
    Unimplemented {
        /// The service, as in the path of its methods.
        service: String,
        /// The answer.
        message: String,
    },
}

/// What a process does, as the kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs, or waits for something.
    Running,
    /// A signal stopped it (`SIGSTOP`), or a debugger did; `SIGCONT` makes it go on.
    Stopped,
    /// It hangs inside the kernel: a file system that does not answer, say.
    Hanging,
    /// It has ended.
    Ended,
}

impl SpawnError {
    /// How the process ended, where it ended by itself.
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Exited { exit, .. } => Some(exit),
            Self::WorkingFolder { .. }
            | Self::Offer(_)
            | Self::Process(_)
            | Self::NotReady { .. }
            | Self::Unimplemented { .. } => None,
        }
    }

    /// Whether the same spawn can never work without a change to it or to the files it names.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Process(error) => error.is_permanent(),
            Self::Unimplemented { .. } => true,
            Self::WorkingFolder { .. }
            | Self::Offer(_)
            | Self::Exited { .. }
            | Self::NotReady { .. } => false,
        }
    }
}

impl ProcessState {
    /// The state of the process with this pid.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        Self::parse(&stat)
    }

    /// The name of the program stands in parentheses and may hold anything.
    fn parse(stat: &[u8]) -> Self {
        let end = stat.iter().rposition(|byte| *byte == b')');
        let state = end.and_then(|end| stat.get(end + 2));
        match state {
            Some(b'T' | b't') => Self::Stopped,
            Some(b'D') => Self::Hanging,
            Some(b'R' | b'S' | b'I') => Self::Running,
            Some(_) | None => Self::Ended,
        }
    }
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped by a signal",
            Self::Hanging => "hanging inside the kernel",
            Self::Ended => "gone",
        })
    }
}

fn exited(name: &str, exit: &Exit, reason: Option<&str>) -> String {
    let asked = if exit.asked {
        ", as it was asked to,"
    } else {
        ""
    };
    let reason = reason.map(|reason| format!(" (last ping: {reason})"));
    format!(
        "{name} ended{asked} before it was ready: {}{}{}",
        exit.status,
        reason.unwrap_or_default(),
        last_lines(&exit.tail)
    )
}

fn late(name: &str, not_ready: &NotReady, state: ProcessState, tail: &[String]) -> String {
    let advice = match state {
        ProcessState::Running => "does it listen on FTL_BIND, or need a longer start timeout?",
        ProcessState::Stopped => "who stopped it?",
        ProcessState::Hanging | ProcessState::Ended => "see its last lines",
    };
    format!(
        "{name} is {not_ready}; its process was {state}: {advice}{}",
        last_lines(tail)
    )
}

/// The end of an error's text: what the plugin said last.
fn last_lines(tail: &[String]) -> String {
    if tail.is_empty() {
        return "; it wrote nothing".to_owned();
    }
    let shown = &tail[tail.len().saturating_sub(5)..];
    format!("; its last lines: {}", shown.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_past_any_name() {
        for (stat, state) in [
            (&b"7 (a) S 1"[..], ProcessState::Running),
            (b"7 (a) T b) R 1", ProcessState::Running),
            (b"7 (a) T 1", ProcessState::Stopped),
            (b"7 (a) t 1", ProcessState::Stopped),
            (b"7 (a) D 1", ProcessState::Hanging),
            (b"7 (a) Z 1", ProcessState::Ended),
            (b"7 (a", ProcessState::Ended),
            (b"", ProcessState::Ended),
        ] {
            assert_eq!(ProcessState::parse(stat), state, "{stat:?}");
        }
        assert_eq!(ProcessState::of(std::process::id()), ProcessState::Running);
    }
}
