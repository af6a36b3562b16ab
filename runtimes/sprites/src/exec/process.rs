//! The handle of a process.

use std::sync::{Arc, OnceLock};

use jackfield::Failure;
use jackfield::runtime::{BoxFuture, Exit, ExitStatus, Line, Running};
use tokio::sync::{mpsc, watch};

use super::life::Wanted;

/// A process in a sprite. A [task](super::Task) owns its connection; dropping this kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    wanted: Want,
    output: Option<mpsc::Receiver<Line>>,
    exit: watch::Receiver<Option<Exit>>,
    lost: Arc<OnceLock<Failure>>,
}

/// Tells the task what is wanted; dropped, an end.
#[derive(Debug)]
pub(super) struct Want(pub(super) watch::Sender<Wanted>);

impl Process {
    pub(super) fn new(
        wanted: Want,
        output: mpsc::Receiver<Line>,
        exit: watch::Receiver<Option<Exit>>,
        lost: Arc<OnceLock<Failure>>,
    ) -> Self {
        Self {
            wanted,
            output: Some(output),
            exit,
            lost,
        }
    }
}

impl Want {
    fn at_least(&self, wanted: Wanted) {
        self.0.send_if_modified(|now| {
            let more = *now < wanted;
            if more {
                *now = wanted;
            }
            more
        });
    }
}

impl Drop for Want {
    fn drop(&mut self) {
        self.at_least(Wanted::Killed);
    }
}

impl Running for Process {
    fn pid(&self) -> Option<u32> {
        // It has one, and it means nothing here.
        None
    }

    fn stop(&self) {
        self.wanted.at_least(Wanted::Stopped);
    }

    fn kill(&self) {
        self.wanted.at_least(Wanted::Killed);
    }

    fn take_output(&mut self) -> Option<mpsc::Receiver<Line>> {
        self.output.take()
    }

    fn exited(&self) -> BoxFuture<'static, Exit> {
        let mut exit = self.exit.clone();
        Box::pin(async move {
            let ended = exit.wait_for(Option::is_some).await;
            let ended = ended.ok().and_then(|exit| exit.clone());
            // The task tells it in every case but one: the runtime that it ran on is gone.
            ended.unwrap_or(Exit {
                status: ExitStatus::Lost,
                asked: true,
                tail: Vec::new(),
                left: Vec::new(),
            })
        })
    }

    fn lost(&self) -> Option<Failure> {
        self.lost.get().cloned()
    }
}
