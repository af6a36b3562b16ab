//! All that the init and the program need, made ready before the fork: afterwards nothing can be allocated.

use std::ffi::{CString, OsStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cgroup::Handles;
use crate::command::Command;
use crate::error::SpawnError;
use crate::lookup;

/// How many descriptors the init begins with.
pub(super) const KEPT: usize = 8;

/// What is executed, in the form of `execve(2)`.
pub(super) struct Plan {
    /// The file, for error messages.
    pub(super) file: PathBuf,
    pub(super) program: CString,
    argv: Array,
    envp: Array,
    pub(super) folder: CString,
    pub(super) fds: Descriptors,
}

/// What a command means on this disk.
pub(super) struct Found {
    file: PathBuf,
    folder: PathBuf,
}

/// The init's ends. All numbers are above 3, all are closed by an `execve`.
pub(super) struct Descriptors {
    pub(super) control: OwnedFd,
    pub(super) null: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Where the program says what failed before its `execve`; closed by it.
    pub(super) failure: OwnedFd,
    /// What the program is given beside its standard streams.
    pub(super) inherited: Option<OwnedFd>,
    /// The tree's control group.
    pub(super) cgroup: Option<Handles>,
}

/// The host's ends.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) control: UnixStream,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) failure: OwnedFd,
}

/// C strings and the pointers to them.
struct Array {
    /// Never looked at again, but the pointers lead into them.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Found {
    /// Looks for it. Takes as long as the disk does, so this is not for the thread that forks.
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
    pub(super) fn new(
        command: &Command,
        found: Found,
        cgroup: Option<Handles>,
    ) -> Result<(Self, Ends), SpawnError> {
        let Found { file, folder } = found;
        let program = c_string(file.as_os_str(), "the program's path")?;

        let mut argv = vec![c_string(&command.program, "the program")?];
        for (index, arg) in command.args.iter().enumerate() {
            argv.push(c_string(arg, &format!("argument {}", index + 1))?);
        }
        let mut envp = Vec::with_capacity(command.env.len());
        for (key, value) in &command.env {
            let what = format!("the environment variable {key:?}");
            if key.is_empty() || key.as_bytes().contains(&b'=') {
                return Err(SpawnError::Invalid {
                    what,
                    why: "its name is empty or holds '='",
                });
            }
            let mut entry = key.clone();
            entry.push("=");
            entry.push(value);
            envp.push(c_string(&entry, &what)?);
        }
        let folder = c_string(folder.as_os_str(), "the folder")?;
        let (fds, ends) =
            descriptors(command.inherited.as_deref(), cgroup).map_err(SpawnError::Resources)?;
        let plan = Self {
            file,
            program,
            argv: Array::new(argv),
            envp: Array::new(envp),
            folder,
            fds,
        };
        Ok((plan, ends))
    }

    pub(super) fn argv(&self) -> *const *const c_char {
        self.argv.pointers.as_ptr()
    }

    pub(super) fn envp(&self) -> *const *const c_char {
        self.envp.pointers.as_ptr()
    }
}

impl Descriptors {
    /// All of them, in rising order.
    pub(super) fn sorted(&self) -> [RawFd; KEPT] {
        // Where there is no such thing, another number stands twice.
        let group = self.cgroup.as_ref();
        let folder = group.map_or(&self.control, |group| &group.folder);
        let kill = group.map_or(&self.control, |group| &group.kill);
        let inherited = self.inherited.as_ref().unwrap_or(&self.control);
        let mut all = [
            &self.control,
            &self.null,
            &self.stdout,
            &self.stderr,
            &self.failure,
            inherited,
            folder,
            kill,
        ]
        .map(AsRawFd::as_raw_fd);
        all.sort_unstable();
        all
    }
}

impl Array {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self {
            _strings: strings,
            pointers,
        }
    }
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

fn descriptors(
    inherited: Option<&OwnedFd>,
    cgroup: Option<Handles>,
) -> io::Result<(Descriptors, Ends)> {
    let (control, init_control) = UnixStream::pair()?;
    control.set_nonblocking(true)?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    let (stdout, program_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, program_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let (failure, program_failure) = pipe_with(PipeFlags::CLOEXEC)?;
    let cgroup = match cgroup {
        Some(Handles { folder, kill }) => Some(Handles {
            folder: out_of_the_way(folder)?,
            kill: out_of_the_way(kill)?,
        }),
        None => None,
    };
    let fds = Descriptors {
        control: out_of_the_way(init_control.into())?,
        null: out_of_the_way(null.into())?,
        stdout: out_of_the_way(program_stdout)?,
        stderr: out_of_the_way(program_stderr)?,
        failure: out_of_the_way(program_failure)?,
        inherited: match inherited {
            Some(fd) => Some(fcntl_dupfd_cloexec(fd, FIRST_FREE)?),
            None => None,
        },
        cgroup,
    };
    Ok((
        fds,
        Ends {
            control,
            stdout,
            stderr,
            failure,
        },
    ))
}

/// Above the standard streams and what the program inherits.
const FIRST_FREE: RawFd = Command::INHERITED_FD + 1;

/// Not where one of the program's descriptors will be: a host that closed its standard input gets 0 for the next one
/// it opens.
fn out_of_the_way(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FREE {
        Ok(fd)
    } else {
        Ok(fcntl_dupfd_cloexec(&fd, FIRST_FREE)?)
    }
}
