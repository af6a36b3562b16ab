//! The forker: a tiny process that forks the inits, so that a spawn costs the same however large the host is.
//!
//! To fork a process the kernel copies the table of all its memory, and from then on each page that it writes to: for a
//! host of a gigabyte that takes many milliseconds, for all its threads. So the host is forked once, early; that process
//! gives back all that it got, and forks the inits. They are children of the host all the same (`CLONE_PARENT`).
//!
//! One init is there ahead of time, after the first: a spawn has only to tell it what to do.
//!
//! The forker lives as long as anybody here holds it. What a fork inherits is inherited once; where that would be noticed,
//! because the host has dropped a privilege, say, the host makes a new one: see [`Standing`].
//!
//! Protocol on its socket (`SOCK_SEQPACKET`): one byte, which says how many descriptors come with it: the init's end of a
//! control socket, an event that says that there is a job and, if there is one, a control group and what kills it; back comes the init's pid, or a negated errno,
//! as an `i32`. The end of the stream means that the host is gone, or has done with it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::forking::{REQUESTS, fork};
use super::handle::{Init, reap, reap_later};
use super::plan::{Plan, send};
use crate::cgroup::{Cgroup, Handles};
use crate::standing::Standing;

/// What the forker needs while it gives its memory back, far below this in truth.
const STACK: usize = 512 * 1024;

/// It answers in microseconds, unless somebody has stopped it.
const PATIENCE: Timespec = Timespec {
    tv_sec: 3,
    tv_nsec: 0,
};

/// The forker as the host has it. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Forker {
    /// This process: a fork of it has no forker.
    host: u32,
    pid: Pid,
    held: OwnedFd,
    /// One request at a time. `None` when it is to end.
    requests: Mutex<Option<OwnedFd>>,
    standing: Standing,
    /// Forked ahead of time.
    idle: Mutex<Option<Idle>>,
}

/// An init that waits for what it is to do.
#[derive(Debug)]
pub(super) struct Idle {
    /// Does not block.
    pub(super) control: UnixStream,
    begin: OwnedFd,
    pub(super) init: Init,
}

impl Idle {
    /// Tells it what to do.
    pub(super) fn send(&self, plan: &Plan) -> io::Result<()> {
        plan.send(&self.control)?;
        rustix::io::write(&self.begin, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    /// Ends one that was told nothing.
    fn discard(mut self) {
        // It may have been stopped, and would not see the end of its socket.
        self.init.kill();
        self.init.wait();
    }
}

/// The forker of this process.
struct Place {
    forker: Weak<Forker>,
    /// The same, while anybody wants one to be there.
    kept: Option<Arc<Forker>>,
    keepers: usize,
}

/// Has a forker be there.
#[derive(Debug)]
pub(crate) struct Kept(());

static PLACE: Mutex<Place> = Mutex::new(Place {
    forker: Weak::new(),
    kept: None,
    keepers: 0,
});

impl Forker {
    /// The one that there is, if it is as good as a new one; else a new one.
    pub(crate) fn get() -> io::Result<Arc<Self>> {
        let standing = Standing::now();
        let mut place = lock(&PLACE);
        let old = place.forker();
        if let Some(there) = &old
            && there.standing == standing
        {
            return Ok(Arc::clone(there));
        }
        let new = Arc::new(Self::new(standing)?);
        place.forker = Arc::downgrade(&new);
        if place.keepers > 0 {
            place.kept = Some(Arc::clone(&new));
        }
        drop(place);
        if let Some(old) = old {
            // It may be able to do what this process no longer is.
            old.retire();
        }
        Ok(new)
    }

    /// Ends the process, and waits until it has ended. What it has forked for a program lives on.
    fn retire(&self) {
        if lock(&self.requests).take().is_some() {
            // Nothing has been asked of it. It may have been stopped, and would not see the end of its socket.
            let _ = pidfd_send_signal(&self.held, Signal::KILL);
            reap(self.pid);
        }
        // After that: whoever forks ahead of time does not come to it any more.
        let idle = lock(&self.idle).take();
        if let Some(idle) = idle {
            idle.discard();
        }
    }

    /// Has one be there while the result is, the same or a newer one.
    pub(crate) fn keep() -> io::Result<Kept> {
        let forker = Self::get()?;
        let mut place = lock(&PLACE);
        // Somebody may have made another one meanwhile.
        let forker = place.forker().unwrap_or(forker);
        Ok(place.keep(forker))
    }

    /// The same where this is the one that there is, and nobody keeps it.
    pub(super) fn keep_if_nobody_does(self: &Arc<Self>) -> Option<Kept> {
        let mut place = lock(&PLACE);
        let kept = place.keepers > 0 || !std::ptr::eq(place.forker.as_ptr(), Arc::as_ptr(self));
        (!kept).then(|| place.keep(Arc::clone(self)))
    }

    /// The init that has been forked ahead of time, and what has to be kept for as long as it lives.
    pub(super) fn idle() -> Option<(Idle, Arc<Self>)> {
        let forker = lock(&PLACE).forker()?;
        let idle = lock(&forker.idle).take()?;
        Some((idle, forker))
    }

    /// Whether a new one would be no other.
    pub(super) fn is_as_new(&self) -> bool {
        self.standing == Standing::now()
    }

    /// A new init, and what has to be kept for as long as it lives.
    pub(super) fn init(cgroup: bool) -> io::Result<(Idle, Arc<Self>)> {
        let forker = Self::get()?;
        match forker.fork(cgroup) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                // Killed by somebody, or stopped; the next one is not.
                forker.give_up();
                let forker = Self::get()?;
                Ok((forker.fork(cgroup)?, forker))
            }
            result => Ok((result?, forker)),
        }
    }

    /// Has an init ready for the next spawn.
    pub(super) fn fork_ahead(&self) {
        let mut idle = lock(&self.idle);
        if idle.is_none() {
            *idle = self.fork(true).ok();
        }
    }

    fn new(standing: Standing) -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // Out of the way of what it makes of the numbers below.
        let theirs = fcntl_dupfd_cloexec(&theirs, REQUESTS)?;
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let null = fcntl_dupfd_cloexec(&null, REQUESTS)?;
        let (requests, nowhere) = (theirs.as_raw_fd(), null.as_raw_fd());
        // On a thread of its own, whose stack is all that the forker keeps of this process's memory.
        let pid = thread::Builder::new()
            .name("jackfield-fork".to_owned())
            .stack_size(STACK)
            .spawn(move || fork(requests, nowhere))?
            .join()
            .map_err(|_| io::Error::other("the thread that forks panicked"))??;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(held) => Ok(Self {
                host: std::process::id(),
                pid,
                held,
                requests: Mutex::new(Some(ours)),
                idle: Mutex::new(None),
                standing,
            }),
            Err(error) => {
                drop(ours);
                reap_later(pid, |_| ());
                Err(error.into())
            }
        }
    }

    fn fork(&self, cgroup: bool) -> io::Result<Idle> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_nonblocking(true)?;
        let (cgroup, handles) = cgroup.then(Cgroup::create).flatten().unzip();
        let begin = eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut fds = vec![theirs.as_fd(), begin.as_fd()];
        if let Some(Handles { folder, kill }) = &handles {
            fds.extend([folder.as_fd(), kill.as_fd()]);
        }
        let mut init = Init::new(self.ask(&fds)?)?;
        init.cgroup = cgroup;
        Ok(Idle {
            control,
            begin,
            init,
        })
    }

    /// One request. [`io::ErrorKind::BrokenPipe`] when the forker is gone, or as good as that.
    fn ask(&self, fds: &[BorrowedFd<'_>]) -> io::Result<Pid> {
        let requests = lock(&self.requests);
        let requests = requests.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = u8::try_from(fds.len()).unwrap_or(0);
        send(requests, &[count], fds).map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                io::ErrorKind::BrokenPipe.into()
            }
            _ => error,
        })?;
        if !ready(requests) {
            // Somebody has stopped it. It may have done what it was asked for; only if it was stopped right after that is
            // there an init of which nobody knows, which ends by itself and is never reaped.
            let _ = pidfd_send_signal(&self.held, Signal::KILL);
            ready(&self.held);
        }
        answer(requests)
    }

    /// Nobody is to ask this one any more.
    fn give_up(&self) {
        {
            let mut place = lock(&PLACE);
            if std::ptr::eq(place.forker.as_ptr(), self) {
                place.forker = Weak::new();
            }
        }
        self.retire();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut place = lock(&PLACE);
        place.keepers -= 1;
        let last = match place.keepers {
            0 => place.kept.take(),
            _ => None,
        };
        drop(place);
        // It may end with this.
        drop(last);
    }
}

impl Drop for Forker {
    fn drop(&mut self) {
        if self.host == std::process::id() {
            self.retire();
        }
    }
}

impl Place {
    fn keep(&mut self, forker: Arc<Forker>) -> Kept {
        self.keepers += 1;
        self.kept = Some(forker);
        Kept(())
    }

    /// A fork of the process that made it has none.
    fn forker(&self) -> Option<Arc<Forker>> {
        let there = self.forker.upgrade()?;
        (there.host == std::process::id()).then_some(there)
    }
}

/// Waits for an answer, or the end.
fn ready(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&PATIENCE)) {
            Err(Errno::INTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

fn answer(requests: &OwnedFd) -> io::Result<Pid> {
    let mut bytes = [0; 4];
    let (count, _) =
        recv(requests, &mut bytes, RecvFlags::DONTWAIT).map_err(|error| match error {
            Errno::AGAIN | Errno::CONNRESET => io::ErrorKind::BrokenPipe.into(),
            error => io::Error::from(error),
        })?;
    if count != bytes.len() {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let number = i32::from_ne_bytes(bytes);
    Pid::from_raw(number.max(0)).ok_or_else(|| io::Error::from_raw_os_error(number.wrapping_neg()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
