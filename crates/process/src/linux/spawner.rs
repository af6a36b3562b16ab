//! From a command to an init with its program.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::forker::{Forker, Idle};
use super::handle::Init;
use super::job::Job;
use super::plan::{Ends, Found, Plan};
use crate::command::{Command, Lease};
use crate::error::SpawnError;
use crate::lease::{LeaseFile, Record};
use crate::{procfs, task};

/// An init, its program about to run.
#[derive(Debug)]
pub(crate) struct Born {
    // Closed before the init is reaped.
    pub(crate) control: UnixStream,
    pub(crate) init: Init,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Ends when the program has been executed, or says why not.
    pub(crate) failure: OwnedFd,
    /// The file that is being executed.
    pub(crate) file: PathBuf,
    /// The folder it runs in.
    pub(crate) folder: PathBuf,
}

/// When the init for the next spawn is forked: not while the program begins, which may need all processors.
const LATER: Duration = Duration::from_millis(20);

/// Until an init has them a spawn holds a dozen descriptors: so one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// Makes an init for this command, and lets the program run. Cancel safe: a program does not run if nobody waits for it
/// any more, and what has been made for it is put down. It is not even begun with when `wanted` says so.
pub(crate) async fn spawn(
    command: Command,
    wanted: impl Fn() -> bool + Send + 'static,
) -> Result<Born, SpawnError> {
    let init = |error: JoinError| SpawnError::Init(error.into());
    let (born, go) = spawn_blocking(move || bear(&command, wanted))
        .await
        .map_err(init)??;
    // Here, and not on that thread, which does not hear that this future has been dropped. The program has long been
    // forked, as a rule: it waits for this word alone.
    rustix::io::write(&go, &Job::WORD).map_err(|error| SpawnError::Init(error.into()))?;
    if let Some(forker) = &born.init.forker {
        drop(task::spawn(fork_ahead(Arc::downgrade(forker))));
    }
    Ok(born)
}

/// The next spawn finds its init there, if there is one.
async fn fork_ahead(forker: Weak<Forker>) {
    sleep(LATER).await;
    let Some(forker) = forker.upgrade() else {
        return;
    };
    // Not worth a word: the next spawn will try it again, and say why not.
    drop(spawn_blocking(move || forker.fork_ahead()));
}

fn bear(command: &Command, wanted: impl Fn() -> bool) -> Result<(Born, OwnedFd), SpawnError> {
    let given_up = || SpawnError::Init(io::Error::other("nobody waits for the program any more"));
    if let Some(lease) = &command.lease {
        lease
            .check(command.env.values().map(|value| value.as_bytes()))
            .map_err(SpawnError::Lease)?;
    }
    // Takes as long as the disk does.
    let found = Found::new(command)?;
    if !wanted() {
        return Err(given_up());
    }
    // From here on, whatever fails closes the control socket, and the init ends without the program having run.
    let mut begun = Begun::ahead(command, &found)?;
    begun.write_lease(command)?;
    let Begun { idle, ends } = begun;
    let Ends {
        stdout,
        stderr,
        failure,
        go,
    } = ends;
    let born = Born {
        control: idle.control,
        init: idle.init,
        stdout,
        stderr,
        failure,
        file: found.file,
        folder: found.folder,
    };
    Ok((born, go))
}

/// An init that has its job: to fork the program, which waits for our word.
struct Begun {
    idle: Idle,
    ends: Ends,
}

impl Begun {
    /// With the init that has been forked ahead of time, where there is one.
    fn ahead(command: &Command, found: &Found) -> Result<Self, SpawnError> {
        let turn = turn();
        let Some((idle, forker)) = Forker::idle() else {
            drop(turn);
            return Self::anew(command, found);
        };
        let (plan, ends) = Plan::new(command, found)?;
        let sent = idle.send(&plan);
        // Its ends of everything close, or the outputs would never end.
        drop(plan);
        drop(turn);
        // It is at work meanwhile. One that has been killed cannot be told anything; one that has been stopped takes it
        // and does nothing.
        let stopped = idle.init.is_stopped();
        if sent.is_ok() && !stopped && forker.is_as_new() {
            return Ok(Self::new(command, idle, ends, forker));
        }
        if stopped {
            idle.init.kill();
        }
        // Its program has not run, and will not: with its socket the init ends what it has begun.
        drop(idle);
        // Not with the same ends: whoever has those waits for a word on them.
        Self::anew(command, found)
    }

    fn anew(command: &Command, found: &Found) -> Result<Self, SpawnError> {
        let _turn = turn();
        let (plan, ends) = Plan::new(command, found)?;
        let (idle, forker) = Forker::init(command.cgroup).map_err(SpawnError::Resources)?;
        idle.send(&plan).map_err(SpawnError::Init)?;
        Ok(Self::new(command, idle, ends, forker))
    }

    fn new(command: &Command, mut idle: Idle, ends: Ends, forker: Arc<Forker>) -> Self {
        idle.init.forker = Some(forker);
        if !command.cgroup {
            drop(idle.init.cgroup.take());
        }
        Self { idle, ends }
    }

    fn write_lease(&mut self, command: &Command) -> Result<(), SpawnError> {
        if let Some(lease) = &command.lease {
            let written = write_lease(lease, &self.idle.init);
            self.idle.init.lease = Some(written.map_err(SpawnError::Lease)?);
        }
        Ok(())
    }
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_lease(lease: &Lease, init: &Init) -> io::Result<LeaseFile> {
    let no_proc = || io::Error::new(io::ErrorKind::Unsupported, "a lease needs /proc");
    let boot = procfs::boot_id().ok_or_else(no_proc)?;
    let cgroup = init.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
    let init = init.process.ok_or_else(no_proc)?;
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
