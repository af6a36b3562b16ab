//! All that an init and its program need, made ready by the host and sent there.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};

use super::job::{Head, Job};
use crate::command::Command;
use crate::error::SpawnError;
use crate::lookup;

/// A command in the form in which an init takes it.
pub(super) struct Plan {
    /// What of it stands in memory: see [`sheet`].
    sheet: File,
    length: usize,
    stdout: OwnedFd,
    stderr: OwnedFd,
    /// Where the program says what failed before its `execve`; closed by it.
    failure: OwnedFd,
    go: OwnedFd,
    inherited: Option<Arc<OwnedFd>>,
    cgroup: bool,
}

/// What a command means on this disk.
pub(super) struct Found {
    /// The file that is executed.
    pub(super) file: PathBuf,
    /// The folder it runs in.
    pub(super) folder: PathBuf,
}

/// The host's ends.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) failure: OwnedFd,
    /// An event that says when the program may run; the init has a word in it, too. Not a pipe, for the same reason as in
    /// `init::set_up`.
    pub(super) go: OwnedFd,
}

impl Found {
    pub(super) fn new(command: &Command) -> Result<Self, SpawnError> {
        let folder = folder(command.folder.as_deref())?;
        let path = command
            .env
            .get(OsStr::new("PATH"))
            .map(|path| path.as_os_str());
        let file = lookup::resolve(&command.program, &folder, path)?;
        Ok(Self { file, folder })
    }
}

impl Plan {
    /// Makes all that a launch needs.
    pub(super) fn new(command: &Command, found: &Found) -> Result<(Self, Ends), SpawnError> {
        let text = text(command, found)?;
        Self::of(command, &text).map_err(SpawnError::Resources)
    }

    fn of(command: &Command, text: &[u8]) -> io::Result<(Self, Ends)> {
        let (stdout, program_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, program_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let (failure, program_failure) = pipe_with(PipeFlags::CLOEXEC)?;
        let go = eventfd(0, EventfdFlags::CLOEXEC)?;
        let plan = Self {
            sheet: sheet(text)?,
            length: text.len(),
            stdout: program_stdout,
            stderr: program_stderr,
            failure: program_failure,
            go: go.try_clone()?,
            inherited: command.inherited.clone(),
            cgroup: command.cgroup,
        };
        let ends = Ends {
            stdout,
            stderr,
            failure,
            go,
        };
        Ok((plan, ends))
    }

    /// Sends it to an init that waits for it.
    pub(super) fn send(&self, control: &UnixStream) -> io::Result<()> {
        let head = Head {
            length: self.length,
            inherited: self.inherited.is_some(),
            cgroup: self.cgroup,
        };
        let mut fds = vec![
            self.stdout.as_fd(),
            self.stderr.as_fd(),
            self.failure.as_fd(),
            self.go.as_fd(),
            self.sheet.as_fd(),
        ];
        fds.extend(self.inherited.as_ref().map(|fd| fd.as_fd()));
        send(control, &head.bytes(), &fds)
    }
}

/// Sends a message with descriptors. No SIGPIPE for a host that did not ask for it.
pub(super) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(Job::MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("no room for descriptors in a message"));
    }
    let bytes = [io::IoSlice::new(bytes)];
    sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// What is executed, as [`Job::load`] reads it: words of this machine and then strings that end with a NUL. A word is
/// where a string begins, counted from the start:
///
/// ```text
/// program  folder  number of arguments  number of variables  argument ... 0  variable ... 0
/// ```
fn text(command: &Command, found: &Found) -> Result<Vec<u8>, SpawnError> {
    let program = c_string(found.file.as_os_str(), "the program's path")?;
    let folder = c_string(found.folder.as_os_str(), "the folder")?;
    let mut args = vec![c_string(&command.program, "the program")?];
    for (index, arg) in command.args.iter().enumerate() {
        args.push(c_string(arg, &format!("argument {}", index + 1))?);
    }
    let mut env = Vec::with_capacity(command.env.len());
    for (key, value) in &command.env {
        env.push(variable(key, value)?);
    }

    let word = size_of::<usize>();
    let head = (Job::WORDS + args.len() + 1 + env.len() + 1) * word;
    let (mut words, mut strings) = (Vec::with_capacity(head), Vec::new());
    let add = |words: &mut Vec<u8>, string: &CString, strings: &mut Vec<u8>| {
        words.extend((head + strings.len()).to_ne_bytes());
        strings.extend(string.as_bytes_with_nul());
    };
    add(&mut words, &program, &mut strings);
    add(&mut words, &folder, &mut strings);
    words.extend(args.len().to_ne_bytes());
    words.extend(env.len().to_ne_bytes());
    for list in [args, env] {
        for string in &list {
            add(&mut words, string, &mut strings);
        }
        words.extend(0_usize.to_ne_bytes());
    }
    words.append(&mut strings);
    Ok(words)
}

/// `KEY=value`.
fn variable(key: &OsStr, value: &OsStr) -> Result<CString, SpawnError> {
    let what = format!("the environment variable {key:?}");
    if key.is_empty() || key.as_bytes().contains(&b'=') {
        return Err(SpawnError::Invalid {
            what,
            why: "its name is empty or holds '='",
        });
    }
    let mut entry: OsString = key.to_owned();
    entry.push("=");
    entry.push(value);
    c_string(&entry, &what)
}

/// A file that is nowhere on a disk: it holds what the program's environment holds.
fn sheet(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("jackfield-plan", MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    Ok(file)
}

/// The folder to run in, absolute.
fn folder(folder: Option<&Path>) -> Result<PathBuf, SpawnError> {
    let wanted = folder.unwrap_or(Path::new("."));
    let fail = |source| SpawnError::Folder {
        path: wanted.to_owned(),
        source,
    };
    let absolute = match folder {
        Some(folder) => std::path::absolute(folder).map_err(fail)?,
        None => std::env::current_dir().map_err(fail)?,
    };
    match std::fs::metadata(&absolute) {
        Ok(meta) if meta.is_dir() => Ok(absolute),
        Ok(_) => Err(fail(io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(fail(error)),
    }
}

fn c_string(text: &OsStr, what: &str) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes()).map_err(|_| SpawnError::Invalid {
        what: what.to_owned(),
        why: "it holds a NUL byte",
    })
}
