//! The file that lets a later host prove which processes are ours.
//!
//! Lines of `key=value` in this order, UTF-8, each ended by a newline:
//!
//! ```text
//! jackfield-lease=1                             version, always first
//! boot=01234567-89ab-cdef-0123-456789abcdef     /proc/sys/kernel/random/boot_id
//! init=4711 991234                              pid, and start time as in field 22 of /proc/PID/stat
//! cgroup=/sys/fs/cgroup/x/jackfield-12-3456-0   the tree's control group; absent when there is none
//! mark=...                                      stands in the environment of every process of the launch
//! program=4712 991236                           as init; absent until the program has been executed
//! ```
//!
//! A file that deviates in any way is not believed, but for a last line that is not there to its end: it is appended,
//! and then not there at all. Files are named `<name>-<init pid>.lease`, and written under a name with a leading dot
//! first.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::Lease;

/// What ends the name of a lease.
pub(crate) const SUFFIX: &str = ".lease";

const VERSION: &str = "1";
const PROGRAM: &str = "program";
/// A shorter mark could stand in anybody's environment.
const SHORTEST_MARK: usize = 16;

/// A process that can be told from a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) start: u64,
}

/// What a lease file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) boot: String,
    pub(crate) init: Process,
    pub(crate) program: Option<Process>,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) mark: String,
}

/// A lease on disk. Stays there until [`remove`](Self::remove): what is dropped by accident is for the next sweep.
#[derive(Debug, Clone)]
pub(crate) struct LeaseFile {
    path: PathBuf,
    pub(crate) record: Record,
}

impl Lease {
    /// Whether it can be used for a process with this environment.
    pub(crate) fn check<'a>(&self, mut env: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why.to_owned()));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.bytes().all(plain) {
            return refuse("the name of a lease is made of letters, digits, '-', '_' and '.'");
        }
        if !usable(&self.mark) {
            return refuse("a mark has at least 16 bytes and no control characters");
        }
        if !env.any(|value| {
            value
                .windows(self.mark.len())
                .any(|part| part == self.mark.as_bytes())
        }) {
            return refuse("the mark stands in no variable of the child's environment");
        }
        Ok(())
    }
}

impl LeaseFile {
    /// Written under another name, so that a reader sees it whole or not at all.
    ///
    /// Not synced: after a power cut the boot id is another, and then nothing of it matters.
    pub(crate) fn create(lease: &Lease, record: Record) -> io::Result<Self> {
        let name = format!("{}-{}{SUFFIX}", lease.name, record.init.pid);
        let draft = lease.folder.join(format!(".{name}"));
        let path = lease.folder.join(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(record.format().as_bytes())
            .and_then(|()| fs::rename(&draft, &path))
            .inspect_err(|_| drop(fs::remove_file(&draft)))?;
        Ok(Self { path, record })
    }

    /// Adds the program, once, in a line at the end: a second file would take as long to make as the first.
    pub(crate) fn add(&self, program: Process) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(program.line().as_bytes())
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

impl Record {
    fn format(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{key}={value}").expect("a string takes all");
        };
        line("jackfield-lease", &VERSION);
        line("boot", &self.boot);
        line(
            "init",
            &format_args!("{} {}", self.init.pid, self.init.start),
        );
        if let Some(cgroup) = &self.cgroup {
            line("cgroup", &cgroup.display());
        }
        line("mark", &self.mark);
        if let Some(program) = &self.program {
            text.push_str(&program.line());
        }
        text
    }

    /// `None` for whatever has not been written here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (text, rest) = text.split_at(text.rfind('\n')? + 1);
        let mut lines = text.strip_suffix('\n')?.split('\n').peekable();
        let mut value = |key: &str| -> Option<&str> {
            let value = lines.peek()?.strip_prefix(key)?.strip_prefix('=')?;
            lines.next();
            Some(value)
        };
        if value("jackfield-lease")? != VERSION {
            return None;
        }
        let boot = value("boot").filter(|boot| boot.len() == 36)?.to_owned();
        let init = Process::parse(value("init")?)?;
        let cgroup = value("cgroup").map(PathBuf::from);
        let mark = value("mark").filter(|mark| usable(mark))?.to_owned();
        let program = match value(PROGRAM) {
            Some(program) => Some(Process::parse(program)?),
            None => None,
        };
        let torn = program.is_none() && (PROGRAM.starts_with(rest) || rest.starts_with(PROGRAM));
        let record = Self {
            boot,
            init,
            program,
            cgroup,
            mark,
        };
        let all = lines.next().is_none() && record.format() == text;
        (all && (rest.is_empty() || torn)).then_some(record)
    }
}

impl Process {
    /// `pid`, if it runs now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = crate::procfs::Stat::of(pid)?;
        Some(Self {
            pid,
            start: stat.start,
        })
    }

    fn line(self) -> String {
        format!("{PROGRAM}={} {}\n", self.pid, self.start)
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, start) = text.split_once(' ')?;
        let pid = pid.parse().ok().filter(|pid| *pid > 1)?;
        Some(Self {
            pid,
            start: start.parse().ok()?,
        })
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn usable(mark: &str) -> bool {
    mark.len() >= SHORTEST_MARK && !mark.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            boot: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            init: Process {
                pid: 4711,
                start: 99,
            },
            program: Some(Process {
                pid: 4712,
                start: 100,
            }),
            cgroup: Some("/sys/fs/cgroup/x".into()),
            mark: "a mark that nobody else has".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let full = record();
        let short = Record {
            program: None,
            cgroup: None,
            ..record()
        };
        assert_eq!(Record::parse(&full.format()), Some(full));
        assert_eq!(Record::parse(&short.format()), Some(short));
    }

    #[test]
    fn a_program_that_is_not_there_to_its_end_is_not_there() {
        let short = Record {
            program: None,
            ..record()
        };
        let (whole, line) = (short.format(), record().program.unwrap().line());
        for end in 0..line.len() {
            let text = format!("{whole}{}", &line[..end]);
            assert_eq!(Record::parse(&text).as_ref(), Some(&short), "{text:?}");
        }
        assert_eq!(Record::parse(&format!("{whole}{line}")), Some(record()));
    }

    #[test]
    fn nothing_else_is_read() {
        let good = record().format();
        let program = record().program.unwrap().line();
        let short = good.strip_suffix(&program).unwrap();
        let bad = [
            String::new(),
            "\n".to_owned(),
            good.replace("lease=1", "lease=2"),
            good.replace("4711", "1"),
            good.replace("4711", "0"),
            good.replace("4711", "-4711"),
            good.replace("4711", "04711"),
            good.replace("a mark that nobody else has", ""),
            good.replace("a mark that nobody else has", "short"),
            good.replace("boot=", "boot=x"),
            short.trim_end().to_owned(),
            format!("{short}pid=1"),
            format!("{good}{program}"),
            format!("{good}program"),
            format!("{good}more=1\n"),
            good.replace('\n', "\r\n"),
            good[..good.len() / 2].to_owned(),
        ];
        for text in bad {
            assert_eq!(Record::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn a_lease_that_proves_nothing_is_refused() {
        let lease = |name: &str, mark: &str| Lease {
            folder: "/tmp".into(),
            name: name.to_owned(),
            mark: mark.to_owned(),
        };
        let env = [b"/state/0123456789abcdef/x".as_slice()];
        let check = |lease: Lease| lease.check(env.iter().copied()).is_ok();
        assert!(check(lease("hello-1.0", "0123456789abcdef")));
        assert!(!check(lease("hello", "0123456789abcdeX")), "stands nowhere");
        assert!(!check(lease("hello", "0123456789")), "short");
        assert!(!check(lease("../hello", "0123456789abcdef")));
        assert!(!check(lease("", "0123456789abcdef")));
    }
}
