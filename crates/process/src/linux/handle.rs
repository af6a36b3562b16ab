//! The init as a child of this process.

#![expect(unsafe_code, reason = "borrows a descriptor for tokio")]

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::forker::Forker;
use crate::cgroup::Cgroup;
use crate::lease::{LeaseFile, Process};
use crate::procfs::Stat;

/// How long the forker is kept after the first child of those that end while nobody else keeps it.
const LINGER: Duration = Duration::from_secs(10);

/// An init. Dropped, it is reaped in the background, and its lease removed if it left nothing behind; its control socket
/// must be closed by then.
#[derive(Debug)]
pub(crate) struct Init {
    pid: Pid,
    held: OwnedFd,
    /// With its start time, where there is a `/proc`.
    pub(super) process: Option<Process>,
    reaped: bool,
    pub(crate) lease: Option<LeaseFile>,
    pub(crate) cgroup: Option<Cgroup>,
    /// There as long as anything runs.
    pub(super) forker: Option<Arc<Forker>>,
}

impl Init {
    /// Of one that has just been forked.
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(held) => Ok(Self {
                pid,
                held,
                process: Process::of(pid.as_raw_nonzero().get().unsigned_abs()),
                reaped: false,
                lease: None,
                cgroup: None,
                forker: None,
            }),
            Err(error) => {
                // It waits for a word that will not come: the control socket is closed by the caller.
                reap_later(pid, |_| ());
                Err(error.into())
            }
        }
    }

    /// Keeps what forked it for a while, where nobody else does: who has run one program may run another one soon.
    pub(crate) fn linger(&self) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
        let kept = self.forker.as_ref()?.keep_if_nobody_does()?;
        Some(async move {
            sleep(LINGER).await;
            drop(kept);
        })
    }

    /// Waits on this thread until it has ended, and reaps it.
    pub(super) fn wait(&mut self) {
        if !self.reaped {
            self.reaped = true;
            reap(self.pid);
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether somebody has stopped it, by a signal or by tracing it.
    pub(super) fn is_stopped(&self) -> bool {
        Stat::of(self.pid()).is_some_and(Stat::is_stopped)
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
        let (lease, cgroup) = (self.lease.take(), self.cgroup.take());
        reap_later(self.pid, move |status| {
            // 0: it has seen to it that nothing is left. Else the lease is for the next sweep.
            if let (Some(0), Some(lease)) = (status, lease) {
                let _ = lease.remove();
            }
            drop(cgroup);
        });
    }
}

/// Reaps a child that ends by itself, in the background, and then calls `then` with what it exited with.
pub(super) fn reap_later(pid: Pid, then: impl FnOnce(Option<i32>) + Send + 'static) {
    if let Err(error) = thread::Builder::new()
        .name("jackfield-reap".to_owned())
        .spawn(move || then(reap(pid)))
    {
        tracing::warn!(pid = pid.as_raw_nonzero(), %error, "a process is left unreaped");
    }
}

/// The same on this thread.
pub(super) fn reap(pid: Pid) -> Option<i32> {
    let ended = loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result,
        }
    };
    let (_, status) = ended.ok().flatten()?;
    status.exit_status()
}
