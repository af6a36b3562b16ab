//! What to run.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::SpawnError;
use crate::{Child, Signal, child};

/// What to run: a program, its arguments, its environment, its folder.
///
/// Standard input is `/dev/null`; both outputs come back through [`Child::take_output`]. The program leads a process
/// group of its own, as a rule in this process's session, and has no terminal. It has no file descriptor of this process but
/// those three and [one](Self::inherit_fd) that it is given, and starts with no signal blocked or ignored.
#[derive(Clone)]
pub struct Command {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) inherited: Option<Arc<OwnedFd>>,
    pub(crate) stop_signal: Signal,
    pub(crate) grace: Duration,
    pub(crate) lease: Option<Lease>,
    pub(crate) cgroup: bool,
}

/// A record on disk, kept while the tree lives, by which a later [`sweep`](crate::sweep) can prove what is ours.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The folder that holds the leases. Must exist, and belong to one host at a time.
    pub folder: PathBuf,
    /// The beginning of the file's name, for humans; letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// A string of at least 16 bytes that stands in the environment of every process of this launch and of no other,
    /// as the value of some variable or a part of it. Not secret.
    pub mark: String,
}

impl Command {
    /// The number that a descriptor given by [`inherit_fd`](Self::inherit_fd) has in the program.
    pub const INHERITED_FD: i32 = 3;

    /// A program to run. A bare name is looked up on the `PATH` *of the child* (`/bin:/usr/bin` if it has none); a
    /// relative path with a slash starts at the [`current_dir`](Self::current_dir).
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            folder: None,
            inherited: None,
            stop_signal: Signal::Interrupt,
            grace: Duration::from_secs(3),
            lease: None,
            cgroup: true,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the child's environment, which is empty at first. Stronger than an inherited one.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// Copies, now, those variables of this process whose names are in the list. A trailing `*` makes a prefix:
    /// `LC_*`. Variables already set stay as they are.
    #[must_use]
    pub fn inherit_env<I: IntoIterator<Item: AsRef<str>>>(mut self, allow: I) -> Self {
        let allow: Vec<_> = allow.into_iter().collect();
        for (key, value) in std::env::vars_os() {
            if allow.iter().any(|pattern| matches(pattern.as_ref(), &key)) {
                self.env.entry(key).or_insert(value);
            }
        }
        self
    }

    /// The folder to run in. Default: the current folder of this process.
    #[must_use]
    pub fn current_dir(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Gives the program a file descriptor of this process: a socket that listens, say. It becomes
    /// [`INHERITED_FD`](Self::INHERITED_FD) there, without `O_CLOEXEC`. Default: none.
    #[must_use]
    pub fn inherit_fd(mut self, fd: OwnedFd) -> Self {
        self.inherited = Some(Arc::new(fd));
        self
    }

    /// What [`Child::stop`] sends at first. Default: [`Signal::Interrupt`].
    #[must_use]
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// How long a [`Child::stop`] waits between the interrupt and the kill. Default: 3 s;
    /// [`Duration::MAX`] is for ever.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps a record on disk while the tree lives. Default: none.
    #[must_use]
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Whether the tree gets a control group of its own, below that of this process, where the kernel (5.14 or newer,
    /// version 2 mounted) and the permissions let us make one. Default: yes. Without one all promises hold, but that of
    /// the last resort: when the init is killed, what had left the program's process group *and* bears no mark is not found.
    #[must_use]
    pub fn cgroup(mut self, wanted: bool) -> Self {
        self.cgroup = wanted;
        self
    }

    /// Runs it. Returns when the program has been executed: what cannot be executed is an error here, not an exit.
    ///
    /// Must be called inside a tokio runtime with I/O and time enabled. Cancel safe: dropped before it is ready,
    /// nothing is left running.
    ///
    /// # Errors
    ///
    /// [`SpawnError::is_permanent`] tells what a retry cannot mend.
    pub async fn spawn(self) -> Result<Child, SpawnError> {
        child::spawn(self).await
    }
}

impl fmt::Debug for Command {
    /// The values of the environment are left out: they hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("folder", &self.folder)
            .field("inherited", &self.inherited)
            .field("stop_signal", &self.stop_signal)
            .field("grace", &self.grace)
            .field("lease", &self.lease)
            .field("cgroup", &self.cgroup)
            .finish()
    }
}

fn matches(pattern: &str, key: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => key.as_bytes().starts_with(prefix.as_bytes()),
        None => key.as_bytes() == pattern.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("PATH", OsStr::new("PATH")));
        assert!(!matches("PATH", OsStr::new("PATHS")));
        assert!(matches("LC_*", OsStr::new("LC_ALL")));
        assert!(matches("LC_*", OsStr::new("LC_")));
        assert!(!matches("LC_*", OsStr::new("LANG")));
        assert!(!matches("", OsStr::new("HOME")));
    }

    #[test]
    fn inheritance_copies_what_is_allowed_and_yields_to_what_is_set() {
        let command = Command::new("x")
            .env("HOME", "/mine")
            .inherit_env(["HOME", "PAT*"]);
        assert_eq!(command.env.get(OsStr::new("HOME")).unwrap(), "/mine");
        assert_eq!(
            command.env.get(OsStr::new("PATH")),
            std::env::var_os("PATH").as_ref()
        );
        assert!(
            command
                .env
                .keys()
                .all(|key| key == "HOME" || key.as_bytes().starts_with(b"PAT"))
        );
    }

    #[test]
    fn debug_shows_no_value_of_the_environment() {
        let shown = format!("{:?}", Command::new("x").env("URL", "token=hush"));
        assert!(shown.contains("URL") && !shown.contains("hush"), "{shown}");
    }
}
