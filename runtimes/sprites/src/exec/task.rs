//! The start of a process: nothing of an earlier launch runs beside it, and nothing of it is left when it is given up.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jackfield::runtime::BoxFuture;
use jackfield::{Failure, Stage};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::leftovers::Leftovers;
use super::life::Wanted;
use super::live::Live;
use super::open::{Command, Way};
use super::output::{LINES, Output};
use super::process::{Process, Want};
use super::sweep::sweep;
use crate::error::ServiceError;
use crate::secret::Secrets;

/// To clean up after a start that is not wanted any more, or went wrong.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// A process that is to be started.
pub(crate) struct Task {
    pub(crate) way: Way,
    pub(crate) command: Command,
    /// All processes below this folder are ours.
    pub(crate) root: String,
    /// The plugin's own folder, by which all that the process starts is known.
    pub(crate) state: String,
    /// The environment of commands of our own.
    pub(crate) own_env: Vec<String>,
    pub(crate) grace: Duration,
    /// One start at a time in a sprite: whoever cleans up must not meet the next.
    pub(crate) turn: Arc<Semaphore>,
    /// What the environment has of them.
    pub(crate) secrets: Secrets,
}

/// What becomes of a [`Task`]. Dropped before it is there, the start is taken back.
pub(crate) struct Started(pub(crate) oneshot::Receiver<Result<Process, Failure>>);

impl Task {
    /// The task's work, and what becomes of it.
    pub(crate) fn prepare(self) -> (BoxFuture<'static, ()>, Started) {
        let (reply, started) = oneshot::channel();
        (Box::pin(self.run(reply)), Started(started))
    }

    async fn run(self, mut reply: oneshot::Sender<Result<Process, Failure>>) {
        let turn = Arc::clone(&self.turn);
        let turn = tokio::select! {
            turn = turn.acquire_owned() => turn,
            () = reply.closed() => return,
        };
        let start = async {
            if sweep(&self.way, &self.root).await? {
                self.leftovers().end().await;
            }
            self.way.start(&self.command).await
        };
        let started = tokio::select! {
            biased;
            started = start => Some(started),
            () = reply.closed() => None,
        };
        let opened = match started {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => {
                let error = error.cleaned(&self.secrets);
                if may_run(&error) {
                    self.clean_up().await;
                }
                let _ = reply.send(Err(error.failure(Stage::Start)));
                return;
            }
            None => return self.clean_up().await,
        };
        drop(turn);
        let (want, wanted) = watch::channel(Wanted::Running);
        let (sender, lines) = mpsc::channel(LINES);
        let (tell, exit) = watch::channel(None);
        let lost = Arc::new(OnceLock::new());
        let process = Process::new(Want(want), lines, exit, Arc::clone(&lost));
        // One that nobody waits for is dropped with this, and thereby killed.
        let _ = reply.send(Ok(process));
        let live = Live::new(self, opened, Output::new(sender), wanted);
        let (exit, failure) = live.run().await;
        if let Some(failure) = failure {
            let _ = lost.set(failure);
        }
        tell.send_replace(Some(exit));
    }

    pub(super) fn leftovers(&self) -> Leftovers {
        Leftovers {
            way: self.way.clone(),
            dir: self.command.dir.clone(),
            env: self.own_env.clone(),
            state: self.state.clone(),
        }
    }

    async fn clean_up(&self) {
        let swept = timeout(CLEAN_UP, sweep(&self.way, &self.root)).await;
        if matches!(swept, Ok(Ok(_))) {
            self.leftovers().end().await;
        } else {
            // The service ends it, since nobody is connected with it.
            tracing::warn!(
                sprite = self.way.sprite,
                "a process may run on for a while whose start was given up"
            );
        }
    }
}

/// Whether the process may have been started although its start failed.
fn may_run(error: &ServiceError) -> bool {
    !matches!(
        error,
        ServiceError::Refused { .. } | ServiceError::NotStarted { .. }
    )
}
