//! The one thread that forks.
//!
//! It lives as long as this process, so that no parent-death signal, which is bound to the *thread* that forked, can
//! fire early; its stack and its thread-local storage are all that the init keeps of this process's memory; and it may
//! block, which a tokio thread may not.

#![expect(unsafe_code, reason = "forks this process of many threads")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::init::{self, Message};
use super::plan::{Ends, Found, Plan};
use super::sys;
use crate::cgroup::Cgroup;
use crate::command::{Command, Lease};
use crate::error::SpawnError;
use crate::lease::{LeaseFile, Process, Record};
use crate::procfs;

/// Spawns that wait for the thread.
const QUEUE: usize = 64;

/// What the init's part of the work needs, far below this in truth.
const STACK: usize = 512 * 1024;

/// An init that has been told to go.
#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) init: Init,
    pub(crate) ends: Ends,
    /// The file that is being executed.
    pub(crate) file: PathBuf,
    /// The folder it runs in.
    pub(crate) folder: PathBuf,
}

/// The init as a child of this process. Dropped, it is reaped in the background, and its lease removed if it left
/// nothing behind; its control socket must be closed by then.
#[derive(Debug)]
pub(crate) struct Init {
    pid: Pid,
    held: OwnedFd,
    reaped: bool,
    pub(crate) lease: Option<LeaseFile>,
    pub(crate) cgroup: Option<Cgroup>,
}

struct Request {
    command: Command,
    found: Found,
    answer: oneshot::Sender<Result<Born, SpawnError>>,
}

/// The thread's queue, and the process it is a thread of: a fork of this process has none.
static THREAD: Mutex<Option<(u32, mpsc::Sender<Request>)>> = Mutex::new(None);

/// Makes an init for this command and tells it to go. Cancel safe: what nobody waits for any more is put down.
pub(crate) async fn spawn(command: Command) -> Result<Born, SpawnError> {
    let gone = || SpawnError::Init(io::Error::other("the thread that forks has ended"));
    let (answer, answered) = oneshot::channel();
    let queue = queue().map_err(SpawnError::Resources)?;
    let ask = move || {
        let found = Found::new(&command)?;
        // From here, and not by way of this task: to wake a thread takes as long as a fork.
        let request = Request {
            command,
            found,
            answer,
        };
        queue.blocking_send(request).map_err(|_| gone())
    };
    spawn_blocking(ask)
        .await
        .map_err(|error| SpawnError::Init(error.into()))??;
    answered.await.map_err(|_| gone())?
}

impl Init {
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until it has ended. Cancel safe.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        // SAFETY: the borrow keeps the descriptor open, and the same, for longer than this lives.
        let held =
            unsafe { AsyncFd::register_with_interest(self.held.as_fd(), Interest::READABLE) };
        held.map_err(io::Error::from)?.readable().await.map(drop)
    }

    /// Kills the init, and with it the program; the rest of the tree is then to be swept.
    pub(crate) fn kill(&self) {
        // Fails only when it has ended.
        let _ = pidfd_send_signal(&self.held, Signal::KILL);
    }

    /// Takes its exit status from the kernel. `false` when it has not ended yet.
    pub(crate) fn reap(&mut self) -> bool {
        // An error means that somebody else in this process waits for all children, or ignores SIGCHLD.
        self.reaped =
            self.reaped || !matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(None));
        self.reaped
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if self.reap() {
            return;
        }
        let (pid, lease, cgroup) = (self.pid, self.lease.take(), self.cgroup.take());
        let wait = move || {
            let ended = loop {
                match waitpid(Some(pid), WaitOptions::empty()) {
                    Err(rustix::io::Errno::INTR) => {}
                    result => break result,
                }
            };
            // 0: it has seen to it that nothing is left. Else the lease is for the next sweep.
            if let (Ok(Some((_, status))), Some(lease)) = (ended, lease)
                && status.exit_status() == Some(0)
            {
                let _ = lease.remove();
            }
            drop(cgroup);
        };
        if let Err(error) = thread::Builder::new()
            .name("jackfield-reap".to_owned())
            .spawn(wait)
        {
            tracing::warn!(pid = pid.as_raw_nonzero(), %error, "an init is left unreaped");
        }
    }
}

fn queue() -> io::Result<mpsc::Sender<Request>> {
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    let here = std::process::id();
    if let Some((process, queue)) = &*thread
        && *process == here
        && !queue.is_closed()
    {
        return Ok(queue.clone());
    }
    let (queue, mut requests) = mpsc::channel::<Request>(QUEUE);
    thread::Builder::new()
        .name("jackfield-spawn".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            while let Some(request) = requests.blocking_recv() {
                if !request.answer.is_closed() {
                    // When nobody takes it, dropping it ends it.
                    let born = bear(&request.command, request.found);
                    if let Ok(born) = &born
                        && requests.is_empty()
                    {
                        let_go_first(born);
                    }
                    drop(request.answer.send(born));
                }
            }
        })?;
    *thread = Some((here, queue.clone()));
    Ok(queue)
}

fn bear(command: &Command, found: Found) -> Result<Born, SpawnError> {
    if let Some(lease) = &command.lease {
        lease
            .check(command.env.values().map(|value| value.as_bytes()))
            .map_err(SpawnError::Lease)?;
    }
    let group = if command.cgroup {
        Cgroup::create()
    } else {
        None
    };
    let (cgroup, handles) = group.unzip();
    let (plan, ends) = Plan::new(command, found, handles)?;
    let mut init = fork(&plan).map_err(SpawnError::Resources)?;
    init.cgroup = cgroup;
    // From here on, whatever fails closes the control socket, and the init ends without having done anything.
    if let Some(lease) = &command.lease {
        init.lease = Some(write_lease(lease, &init).map_err(SpawnError::Lease)?);
    }
    // The init ends of everything close with the plan, or the outputs would never end.
    let Plan {
        file, folder, fds, ..
    } = plan;
    drop(fds);
    // Like all that is written to an init: no SIGPIPE for a host that did not ask for it.
    send(&ends.control, &[Message::Go.byte()], SendFlags::NOSIGNAL)
        .map_err(|error| SpawnError::Init(error.into()))?;
    let folder = PathBuf::from(OsString::from_vec(folder.into_bytes()));
    Ok(Born {
        init,
        ends,
        file,
        folder,
    })
}

/// Whoever is answered has as much to do as the init has left to do, and on a small machine would be given its
/// processor: so not before the program is about to be executed, or the init is gone. Takes some 100 us; that it is
/// given more is for an init that somebody has stopped.
fn let_go_first(born: &Born) {
    let most = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    let mut report = [PollFd::new(&born.ends.control, PollFlags::IN)];
    let _ = poll(&mut report, Some(&most));
}

fn fork(plan: &Plan) -> io::Result<Init> {
    // No handler of this process may run in the child.
    let mask = sys::block_signals();
    // SAFETY: the child keeps to the rules of this module, and the plan is ready.
    let pid = match unsafe { sys::fork() } {
        0 => init::run(plan),
        pid => pid,
    };
    sys::set_signal_mask(mask);
    let pid = match i32::try_from(pid) {
        Ok(pid @ 1..) => Pid::from_raw(pid).expect("a positive number"),
        _ => return Err(io::Error::from_raw_os_error(pid.unsigned_abs() as i32)),
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) => Ok(Init {
            pid,
            held,
            reaped: false,
            lease: None,
            cgroup: None,
        }),
        Err(error) => {
            // It waits for a word that will not come: the control socket is closed by the caller.
            thread::spawn(move || waitpid(Some(pid), WaitOptions::empty()));
            Err(error.into())
        }
    }
}

fn write_lease(lease: &Lease, init: &Init) -> io::Result<LeaseFile> {
    let no_proc = || io::Error::new(io::ErrorKind::Unsupported, "a lease needs /proc");
    let boot = procfs::boot_id().ok_or_else(no_proc)?;
    let pid = init.pid();
    let cgroup = init.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
    let init = Process::of(pid).ok_or_else(no_proc)?;
    LeaseFile::create(
        lease,
        Record {
            boot,
            init,
            program: None,
            cgroup,
            mark: lease.mark.clone(),
        },
    )
}
