//! The task that watches over one child: what the init reports, what the owner wants, what is due.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use crate::child::{Wanted, Wish};
use crate::control::{Control, Launch};
use crate::error::SpawnError;
use crate::exit::{Exit, ExitStatus, Signal};
use crate::lease::Process;
use crate::linux::{Born, Failure, Init, Message, Report, Stage};
use crate::lookup;
use crate::output::{Output, Readers};
use crate::sweep::{Quarry, hunt};
use crate::tree;

/// How long the kernel may take to execute the program; a network file system may hang.
const EXECUTE: Duration = Duration::from_secs(30);

/// How long the init may take to kill the tree. It takes milliseconds, unless it was stopped by somebody, or a process
/// hangs inside the kernel or belongs to another user. Then the host does what it can.
const END: Duration = Duration::from_secs(5);

/// As good as never, and not beyond the clock as [`Duration::MAX`] is.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A task that has been started, for the one who did.
#[derive(Debug)]
pub(crate) struct Started {
    pid: oneshot::Receiver<Result<u32, SpawnError>>,
    pub(crate) output: Output,
    pub(crate) exit: watch::Receiver<Option<Exit>>,
}

struct Task {
    init: Init,
    control: Control,
    /// Until it is known whether the program could be executed.
    launch: Option<Launch>,
    file: PathBuf,
    folder: PathBuf,
    wish: Arc<Wish>,
    stop_signal: Signal,
    grace: Duration,
    phase: Phase,
    program: Option<Program>,
    /// What was below the init when it was given up.
    below: Vec<Process>,
    /// The lease is being brought up to date.
    leased: Option<JoinHandle<io::Result<()>>>,
    asked: bool,
    status: Option<ExitStatus>,
}

#[derive(Clone, Copy)]
struct Program {
    pid: u32,
    /// With its start time; unknown when it ended before it could be asked for.
    process: Option<Process>,
}

/// How far it is. Each but `Running` has its time limit.
#[derive(Clone, Copy)]
enum Phase {
    Starting(Instant),
    Running,
    /// The first signal has been sent.
    Grace(Instant),
    /// Everything is being killed.
    Ending(Instant),
    /// The init did not manage and has been killed.
    Abandoned,
}

enum Event {
    Report(Report),
    /// The init is gone.
    Closed,
    Executed(Option<Failure>),
    Wanted(Wanted),
    Due,
}

/// How the watch ended.
enum End {
    /// The init says that nothing is left.
    Gone,
    /// The init did not say so.
    Lost,
}

impl Started {
    /// The program's pid, once it has been executed.
    pub(crate) async fn pid(&mut self) -> Result<u32, SpawnError> {
        (&mut self.pid).await.unwrap_or_else(|_| {
            Err(SpawnError::Init(io::Error::other(
                "the runtime is shutting down",
            )))
        })
    }
}

/// Starts the task, and one for each output.
pub(crate) fn start(
    born: Born,
    (stop_signal, grace): (Signal, Duration),
    wish: Arc<Wish>,
) -> Result<Started, SpawnError> {
    let Born {
        init,
        control,
        stdout,
        stderr,
        failure,
        file,
        folder,
    } = born;
    let control = Control::new(control).map_err(SpawnError::Resources)?;
    let launch = Launch::new(failure).map_err(SpawnError::Resources)?;
    let (readers, output) = Readers::start(stdout, stderr).map_err(SpawnError::Resources)?;
    let (exit, exited) = watch::channel(None);
    let (pid, pid_known) = oneshot::channel();
    let task = Task {
        init,
        control,
        launch: Some(launch),
        file,
        folder,
        wish,
        stop_signal,
        grace,
        phase: Phase::Starting(Instant::now() + EXECUTE),
        program: None,
        below: Vec::new(),
        leased: None,
        asked: false,
        status: None,
    };
    // Watched through `exit` and `pid`, which end with it.
    drop(spawn(task.run(pid, readers, exit)));
    Ok(Started {
        pid: pid_known,
        output,
        exit: exited,
    })
}

impl Task {
    async fn run(
        mut self,
        pid: oneshot::Sender<Result<u32, SpawnError>>,
        readers: Readers,
        exit: watch::Sender<Option<Exit>>,
    ) {
        let mut waiting = Some(pid);
        let mut refused = None;
        let end = loop {
            match self.event().await {
                Event::Report(Report::Forked(pid)) => self.forked(pid),
                Event::Report(Report::Failed(errno)) => {
                    refused = Some(SpawnError::Resources(io::Error::from_raw_os_error(errno)));
                    break End::Gone;
                }
                Event::Report(Report::Exited(status)) => {
                    self.status = Some(ExitStatus::from_wait(status));
                    self.phase = Phase::Ending(Instant::now() + END);
                }
                Event::Report(Report::Gone) => break End::Gone,
                Event::Closed => break End::Lost,
                Event::Executed(None) => self.executed(&mut waiting),
                Event::Executed(Some(failure)) => refused = Some(self.explain(failure)),
                Event::Wanted(wanted) => self.wanted(wanted),
                Event::Due => self.due(&mut refused),
            }
        };
        // A program that ends at once may have been quicker than the news that it had begun.
        if let Some(launch) = self.launch.take() {
            match launch.last_word() {
                Some(failure) => refused = refused.or_else(|| Some(self.explain(failure))),
                None => self.executed(&mut waiting),
            }
        }
        let left = self.clean_up(end).await;
        let tail = readers.finish().await;
        let (asked, status) = (self.asked, self.status);
        let linger = self.init.linger();
        // Whoever learns of the end finds nothing of it left here.
        drop(self);
        if let Some(linger) = linger {
            drop(spawn(linger));
        }
        if let Some(waiting) = waiting {
            let died =
                || SpawnError::Init(io::Error::other("it was killed before the program began"));
            let _ = waiting.send(Err(refused.unwrap_or_else(died)));
        }
        let status = status.unwrap_or(ExitStatus::Lost);
        exit.send_replace(Some(Exit {
            status,
            asked,
            tail,
            left,
        }));
    }

    /// Waits for the next thing to happen. Cancel safe.
    async fn event(&mut self) -> Event {
        let due = self.phase.due();
        tokio::select! {
            report = self.control.next() => report.map_or(Event::Closed, Event::Report),
            // Only when there is a pid to tell of.
            failure = executed(self.launch.as_ref()), if self.program.is_some() => {
                self.launch = None;
                Event::Executed(failure)
            }
            wanted = self.wish.next() => Event::Wanted(wanted),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Event::Due,
        }
    }

    fn forked(&mut self, pid: i32) {
        let pid = pid.unsigned_abs();
        let process = Process::of(pid);
        self.program = Some(Program { pid, process });
    }

    fn executed(&mut self, waiting: &mut Option<oneshot::Sender<Result<u32, SpawnError>>>) {
        if matches!(self.phase, Phase::Starting(_)) {
            self.phase = Phase::Running;
        }
        let Some(program) = self.program else {
            return;
        };
        if let Some(waiting) = waiting.take() {
            // Nobody there: then the wish to kill is on its way.
            let _ = waiting.send(Ok(program.pid));
        }
        if let (Some(lease), Some(process)) = (&self.init.lease, program.process) {
            let lease = lease.clone();
            // Nobody waits for it but the removal: until it is written the mark alone finds the program.
            self.leased = Some(spawn_blocking(move || lease.add(process)));
        }
    }

    fn explain(&self, failure: Failure) -> SpawnError {
        let source = io::Error::from_raw_os_error(failure.errno);
        match failure.stage {
            Stage::Set => SpawnError::Init(source),
            Stage::Folder => SpawnError::Folder {
                path: self.folder.clone(),
                source,
            },
            Stage::Exec => lookup::explain(self.file.clone(), failure.errno),
        }
    }

    fn wanted(&mut self, wanted: Wanted) {
        for signal in wanted.signals() {
            self.control.tell(Message::Signal(signal));
        }
        if matches!(self.phase, Phase::Ending(_) | Phase::Abandoned) {
            return;
        }
        if wanted.kill() {
            self.asked = true;
            self.kill();
        } else if wanted.stop() && matches!(self.phase, Phase::Running) {
            self.asked = true;
            self.phase = Phase::Grace(Instant::now() + self.grace.min(NEVER));
            self.control
                .tell(Message::Signal(self.stop_signal.number() as u8));
        }
    }

    fn due(&mut self, refused: &mut Option<SpawnError>) {
        match self.phase {
            Phase::Starting(_) => {
                *refused = Some(SpawnError::Exec {
                    path: self.file.clone(),
                    source: io::ErrorKind::TimedOut.into(),
                });
                self.kill();
            }
            Phase::Grace(_) => self.kill(),
            Phase::Ending(_) => {
                tracing::warn!(
                    program = self.program.map(|it| it.pid),
                    "its init cannot end a process tree"
                );
                self.phase = Phase::Abandoned;
                self.below = tree::with_start_below(self.init.pid());
                self.init.kill();
            }
            Phase::Running | Phase::Abandoned => {}
        }
    }

    fn kill(&mut self) {
        self.phase = Phase::Ending(Instant::now() + END);
        self.control.tell(Message::Kill);
    }

    /// Sees to it that nothing is left: what is, in spite of all.
    async fn clean_up(&mut self, end: End) -> Vec<u32> {
        let left = match end {
            End::Gone => Some(Vec::new()),
            End::Lost => self.sweep().await,
        };
        // It ends now, if it has not.
        let _ = timeout(END, self.init.ended()).await;
        self.init.reap();
        if let Some(written) = self.leased.take()
            && let Ok(Err(error)) = written.await
        {
            tracing::warn!(%error, "a lease could not be brought up to date");
        }
        // Removed, now that nobody is in it.
        drop(self.init.cgroup.take());
        if left.as_ref().is_some_and(Vec::is_empty)
            && let Some(lease) = self.init.lease.take()
            && let Ok(Err(error)) = spawn_blocking(move || lease.remove()).await
        {
            tracing::warn!(%error, "a lease cannot be removed");
        }
        left.unwrap_or_default()
    }

    /// The init has been killed. The program died with it; the others are found as a later host would find them, by their
    /// process group, and as those that were below the init when it was given up.
    async fn sweep(&mut self) -> Option<Vec<u32>> {
        let program = self.program.and_then(|program| program.process);
        let cgroup = self.init.cgroup.take();
        let mut quarry = Quarry {
            // Once it has ended its number may soon be another group's.
            group: program.filter(|_| self.status.is_none()),
            processes: std::mem::take(&mut self.below),
            cgroup,
            ..Quarry::default()
        };
        quarry.processes.extend(program);
        quarry.mark = self
            .init
            .lease
            .as_ref()
            .map(|lease| lease.record.mark.clone());
        match spawn_blocking(move || hunt(&mut [quarry])).await.ok()? {
            Ok(hunt) => Some(hunt.left.into_iter().collect()),
            Err(error) => {
                tracing::warn!(%error, "a process tree whose init was killed cannot be swept");
                None
            }
        }
    }
}

impl Phase {
    fn due(self) -> Option<Instant> {
        match self {
            Self::Starting(due) | Self::Grace(due) | Self::Ending(due) => Some(due),
            Self::Running | Self::Abandoned => None,
        }
    }
}

async fn executed(launch: Option<&Launch>) -> Option<Failure> {
    match launch {
        Some(launch) => launch.done().await,
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place: each task ends with its child, and is watched"
)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}
