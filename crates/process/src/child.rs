//! The handle of a child.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::error::SpawnError;
use crate::exit::{Exit, ExitStatus, Signal};
use crate::line::Line;
use crate::output::Output;
use crate::usage::Usage;
use crate::{linux, task, tree, usage};

/// One life of one program and of all that it forks. Dropped, it is killed.
///
/// All methods may be called at any time, also long after the end.
pub struct Child {
    pid: u32,
    init: u32,
    wishes: Wishes,
    output: Option<mpsc::Receiver<Line>>,
    taken: CancellationToken,
    exit: watch::Receiver<Option<Exit>>,
}

/// What the owner of a child wants of it. Wishes never queue up: the same one twice is one.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    bits: AtomicU64,
    changed: Notify,
}

/// The owner's end; dropped, it is the wish to kill.
pub(crate) struct Wishes(pub(crate) Arc<Wish>);

/// What is wanted now, taken from a [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted(u64);

/// Bit 1 to 62 is the signal of that number.
const STOP: u64 = 1 << 63;
const KILL: u64 = 1 << 0;

/// Starts the program, and the task that watches over it.
pub(crate) async fn spawn(command: Command) -> Result<Child, SpawnError> {
    let stop = (command.stop_signal, command.grace);
    // Dropped here, at any time, `wishes` ends it.
    let wishes = Wishes(Arc::default());
    let wish = Arc::clone(&wishes.0);
    let born = linux::spawn(command, move || !wish.is_kill()).await?;
    let init = born.init.pid();
    // The program may be running already, on another processor.
    let mut started = task::start(born, stop, Arc::clone(&wishes.0))?;
    let pid = started.pid().await?;
    let Output { lines, taken } = started.output;
    Ok(Child {
        pid,
        init,
        wishes,
        output: Some(lines),
        taken,
        exit: started.exit,
    })
}

impl Child {
    /// The pid of the program itself. Known for good; after the end it may be somebody else's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The processes of the tree that are there now, the program first. Reads `/proc`: takes microseconds as a rule.
    pub fn processes(&self) -> Vec<u32> {
        if self.exit.borrow().is_some() {
            return Vec::new();
        }
        tree::below(self.init)
    }

    /// What the tree takes of the machine; `None` after the end. Reads `/proc`, one small file for each process and
    /// each thread: tens of microseconds as a rule.
    pub fn usage(&self) -> Option<Usage> {
        if self.exit.borrow().is_some() {
            return None;
        }
        Some(usage::below(self.init))
    }

    /// Begins to stop it: an interrupt (`SIGINT`, or the [`stop_signal`](Command::stop_signal)) to the program's
    /// process group now, a kill of everything after the [`grace`](Command::grace). When the program ends earlier, what it leaves behind is killed at once. Does not
    /// wait; a second call changes nothing.
    pub fn stop(&self) {
        self.wishes.0.add(STOP);
    }

    /// Kills everything at once. Does not wait.
    pub fn kill(&self) {
        self.wishes.0.add(KILL);
    }

    /// Sends a signal to the program's process group. Does not wait, and is no request to end: [`Exit::asked`] and
    /// the grace know nothing of it. Like all signals, one that was not delivered yet is not sent twice.
    pub fn signal(&self, signal: Signal) {
        self.wishes.0.add(1 << signal.number());
    }

    /// The lines of both outputs, in the order in which they were read; `None` the second time.
    ///
    /// The channel holds 128 lines; a consumer that is slow slows the program down. It ends when both outputs have
    /// ended, or when nothing of the tree is left and nothing more comes. If nobody takes it, or its end is dropped,
    /// lines are read and forgotten but for [`Exit::tail`]. To miss none, take it within a second of
    /// its being full.
    pub fn take_output(&mut self) -> Option<mpsc::Receiver<Line>> {
        self.taken.cancel();
        self.output.take()
    }

    /// How it ended. Resolves when no process of the tree is left, and after the last line has been put into the
    /// channel of [`take_output`](Self::take_output), unless its consumer has not read for seconds: then the rest
    /// still comes, later.
    ///
    /// Any number may wait, each cancel safe; the future does not keep the child alive. If the runtime that the child
    /// was spawned on is shut down, the tree is killed, and this resolves with [`ExitStatus::Lost`].
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static + use<> {
        let mut exit = self.exit.clone();
        async move {
            match exit
                .wait_for(Option::is_some)
                .await
                .map(|exit| exit.clone())
            {
                Ok(Some(exit)) => exit,
                Ok(None) | Err(_) => Exit {
                    status: ExitStatus::Lost,
                    asked: true,
                    tail: Vec::new(),
                    left: Vec::new(),
                },
            }
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.exit.borrow().as_ref().map(|exit| exit.status);
        f.debug_struct("Child")
            .field("pid", &self.pid)
            .field("ended", &ended)
            .finish_non_exhaustive()
    }
}

impl Wish {
    fn add(&self, bit: u64) {
        self.bits.fetch_or(bit, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Whether the end of it is wanted, for one who is about to begin it.
    fn is_kill(&self) -> bool {
        self.bits.load(Ordering::Acquire) & KILL != 0
    }

    /// Waits for a wish, and takes all there are. Cancel safe.
    pub(crate) async fn next(&self) -> Wanted {
        loop {
            match self.bits.swap(0, Ordering::AcqRel) {
                0 => self.changed.notified().await,
                bits => return Wanted(bits),
            }
        }
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        self.0.add(KILL);
    }
}

impl Wanted {
    pub(crate) fn kill(self) -> bool {
        self.0 & KILL != 0
    }

    pub(crate) fn stop(self) -> bool {
        self.0 & STOP != 0
    }

    pub(crate) fn signals(self) -> impl Iterator<Item = u8> {
        (1..=62).filter(move |number| self.0 & (1 << number) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wishes_do_not_queue_up() {
        let wish = Wish::default();
        for _ in 0..1000 {
            wish.add(STOP);
            wish.add(1 << libc::SIGHUP);
        }
        let wanted = wish.next().await;
        assert!(wanted.stop() && !wanted.kill());
        assert_eq!(wanted.signals().collect::<Vec<_>>(), [1]);
        assert_eq!(wish.bits.load(Ordering::Relaxed), 0);
    }
}
