//! The one task of a session: it owns the child, the line and the timer.
//!
//! `select!` only builds an [`Input`]; the lifecycle answers with acts; the loop performs them.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use jackfield_grpc::Channel;
use jackfield_rpc::Peer;
use jackfield_wire::{CloseCause, InstallationId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::{Doors, Refused};
use crate::ask::{Ask, Dial};
use crate::failure::Failure;
use crate::held::{Child, ChildNews, Held, Launched, Line, Way, hung_up, readied};
use crate::launch::Launcher;
use crate::lifecycle::{Act, Ending, Event, Lifecycle, Phase};
use crate::policy::Policy;
use crate::report;
use crate::runtime::{Exit, ExitStatus, Running};
use crate::serve::{self, Ready};
use crate::status::{Status, StatusBoard};

pub(crate) struct Actor {
    pub(crate) id: InstallationId,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) policy: Arc<Policy>,
    pub(crate) launcher: Option<Launcher>,
    pub(crate) doors: Arc<Doors>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) line_out: watch::Sender<Option<Peer>>,
    /// Only of a plugin that serves gRPC.
    pub(crate) channel_out: Option<watch::Sender<Option<Channel>>>,
    pub(crate) running_out: Arc<Mutex<Option<Weak<dyn Running>>>>,
    pub(crate) mail: mpsc::Receiver<Box<Ask>>,
    pub(crate) to_self: mpsc::WeakSender<Box<Ask>>,
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the host is gone, and when this session is.
    pub(crate) gone: CancellationToken,
    pub(crate) state: Held,
}

/// How much longer the timer waits than whoever asks a child that serves.
const LAST_WORD: Duration = Duration::from_secs(1);

enum Input {
    Ask(Ask),
    Child(ChildNews),
    /// A child that serves is ready, or never will be.
    Readied(Ready),
    HungUp(CloseCause),
    Due,
}

impl Actor {
    /// Runs until its session ends. Boxed, for a future holds what it is given once for each step that moves it.
    pub(crate) async fn run(mut self: Box<Self>) {
        loop {
            match self.next().await {
                Input::Ask(Ask::End) => break,
                input => self.take(input),
            }
            self.publish();
        }
        self.end().await;
    }

    /// Leaves nothing behind, however it was left.
    async fn end(&mut self) {
        self.gone.cancel();
        // For the status alone: what it would have done is done below.
        let _ = self.lifecycle.on(Event::Stop(0), &self.policy);
        self.publish();
        self.no_line();
        self.state.readying = None;
        if let Some(line) = self.state.line.take() {
            line.close(CloseCause::unavailable("the host is gone"));
        }
        let child = match std::mem::take(&mut self.state.child) {
            Child::None => None,
            Child::Running { running, exited } => Some((running, exited)),
            // Nothing may go on behind our back: not the unpacking, not a process just born.
            Child::Making { cancel, made } => {
                cancel.cancel();
                made.await.ok().map(|made| (made.running, made.exited))
            }
        };
        if let Some((running, exited)) = child {
            running.kill();
            exited.await;
        }
        if let Some(launcher) = &self.launcher {
            launcher.forget();
            launcher.log.close();
        }
        self.lifecycle = Lifecycle::new(self.lifecycle.mode());
        self.state.due = None;
        self.publish();
        // Whoever had taken a place in the mailbox before this may still fill it; dropping the
        // mailbox alone would leave that letter, and its writer, waiting for ever.
        self.mail.close();
        while self.mail.recv().await.is_some() {}
    }

    async fn next(&mut self) -> Input {
        let Held {
            child,
            line,
            readying,
            due,
            ..
        } = &mut self.state;
        let due = *due;
        tokio::select! {
            biased;
            cause = hung_up(line) => Input::HungUp(cause),
            news = child.news() => Input::Child(news),
            ready = readied(readying) => Input::Readied(ready),
            () = self.gone.cancelled() => Input::Ask(Ask::End),
            ask = self.mail.recv() => Input::Ask(ask.map_or(Ask::End, |ask| *ask)),
            () = async { sleep_until(due.expect("checked")).await }, if due.is_some() => Input::Due,
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Ask(ask) => self.asked(ask),
            Input::Child(ChildNews::Made(Ok(launched))) => self.made(launched),
            Input::Child(ChildNews::Made(Err(failure))) => self.ended(failure, None),
            Input::Child(ChildNews::Exited(exit)) => {
                let provider = self.launcher.as_ref().map(Launcher::provider);
                if !exit.left.is_empty() {
                    tracing::error!(id = %self.id, left = ?exit.left, "processes of a plugin could not be ended");
                }
                let lost = match &self.state.child {
                    Child::Running { running, .. } if exit.status == ExitStatus::Lost => {
                        running.lost()
                    }
                    _ => None,
                };
                let failure = lost
                    .unwrap_or_else(|| report::exit_failure(provider.unwrap_or_default(), &exit));
                self.ended(failure, Some(&exit));
            }
            Input::HungUp(cause) => {
                tracing::debug!(id = %self.id, %cause, "line closed");
                self.state.line = None;
                self.no_line();
                self.step(Event::HungUp);
                self.ask_whether_ready();
            }
            Input::Readied(Ok(endpoint)) => {
                self.state.readying = None;
                self.state.ready = Some(endpoint);
                self.step(Event::Dialed);
                self.state.ready = None;
            }
            Input::Readied(Err((ending, failure))) => {
                self.state.readying = None;
                self.state.failure = Some(failure);
                self.step(Event::Unusable(ending));
            }
            Input::Due => {
                self.state.due = None;
                if let Phase::Launching { up } = self.lifecycle.phase() {
                    let provider = self.launcher.as_ref().map(Launcher::provider);
                    let provider = provider.unwrap_or_default();
                    self.state.failure = Some(report::late(
                        provider,
                        up,
                        &self.policy,
                        self.state.misspoke.as_ref(),
                    ));
                }
                self.step(Event::Due);
            }
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Start(accepted) => {
                self.step(Event::Start);
                // Whoever is told must not find the status of before.
                self.publish();
                let _ = accepted.send(());
            }
            Ask::Stop { cause, done } => {
                self.state.close_with = Some(cause);
                self.state.last_waiter += 1;
                let waiter = self.state.last_waiter;
                self.state.waiters.insert(waiter, done);
                self.step(Event::Stop(waiter));
            }
            Ask::Knock(reply) => self.knock(reply),
            Ask::Probed { line, alive, reply } => {
                // The last thing that was heard of it may have been that it ends.
                let alive = alive && line.is_open();
                if !alive {
                    line.close(CloseCause::failed(
                        "no sign of life; another dial took its place",
                    ));
                }
                let answer = if alive {
                    Err(Refused::Occupied)
                } else {
                    Ok(())
                };
                let _ = reply.send(answer);
            }
            Ask::Attach { token, open, reply } => {
                if !self.doors.knows(&token, self.id) {
                    open(Err(CloseCause::rejected("the token is not good any more")));
                    let _ = reply.send(Err(Refused::Unauthenticated));
                    return;
                }
                // A line that was found dead may still have to be seen off.
                let line = self.state.line.as_ref().and_then(Line::peer);
                if line.is_some_and(|peer| !peer.is_open()) {
                    self.take(Input::HungUp(CloseCause::failed("replaced")));
                    self.publish();
                }
                match self.state.child {
                    Child::Making { .. } if self.state.early.is_none() => {
                        self.state.early = Some((open, reply));
                    }
                    _ => self.dialed((open, reply)),
                }
            }
            Ask::Misspoke { token, cause } => {
                if self.doors.knows(&token, self.id) {
                    self.state.misspoke = Some(cause);
                }
            }
            Ask::End => {}
        }
    }

    fn knock(&mut self, reply: oneshot::Sender<Result<(), Refused>>) {
        if !self.lifecycle.wants_a_line() {
            let _ = reply.send(Err(Refused::Inactive));
            return;
        }
        let Some(line) = &self.state.line else {
            let _ = reply.send(Ok(()));
            return;
        };
        // A plugin that serves has no token that would bring anybody here.
        let Some(peer) = line.peer().cloned() else {
            let _ = reply.send(Err(Refused::Occupied));
            return;
        };
        let within = self.policy.probe;
        let to_self = self.to_self.clone();
        self.tracker.spawn(async move {
            let alive = peer.probe(within).await;
            if let Some(to_self) = to_self.upgrade() {
                let probed = Ask::Probed {
                    line: peer,
                    alive,
                    reply,
                };
                let _ = to_self.send(Box::new(probed)).await;
            }
        });
    }

    fn made(&mut self, launched: Launched) {
        let Launched {
            running,
            exited,
            serving,
        } = launched;
        // It was told to go before it was there.
        if let Phase::Halting { .. } = self.lifecycle.phase() {
            running.stop();
        }
        *self
            .running_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(&running));
        self.state.child = Child::Running { running, exited };
        self.state.serving = serving;
        self.step(Event::Launched);
        self.ask_whether_ready();
        if let Some(dial) = self.state.early.take() {
            self.publish();
            self.dialed(dial);
        }
    }

    /// Where the child is one that serves and has no line: begins to ask it.
    fn ask_whether_ready(&mut self) {
        let waiting = self.lifecycle.phase() == Phase::Launching { up: true };
        if let (Some(serving), Child::Running { running, .. }, true) =
            (&self.state.serving, &self.state.child, waiting)
        {
            self.state.readying = Some(serving.ready(Arc::downgrade(running)));
        }
    }

    fn dialed(&mut self, dial: Dial) {
        self.state.dialing = Some(dial);
        self.step(Event::Dialed);
    }

    fn ended(&mut self, failure: Failure, exit: Option<&Exit>) {
        self.state.child = Child::None;
        self.state.serving = None;
        self.state.readying = None;
        if let Some((open, reply)) = self.state.early.take() {
            open(Err(CloseCause::unavailable(Refused::Inactive.to_string())));
            let _ = reply.send(Err(Refused::Inactive));
        }
        if let Some(launcher) = &self.launcher {
            launcher.forget();
        }
        let ending = match exit {
            Some(exit) if report::is_clean(exit) => Ending::Clean,
            _ if failure.hopeless => Ending::Hopeless,
            _ if failure.outage => Ending::Outage,
            _ => Ending::Crash,
        };
        match (&mut self.state.failure, exit) {
            // It was put down for a reason that is known; its last words belong to that.
            (Some(known), Some(exit)) => known.details.last_lines.clone_from(&exit.tail),
            (Some(_), None) => {}
            (none, _) => *none = Some(failure),
        }
        self.step(Event::Exited(ending));
    }

    fn step(&mut self, event: Event) {
        for act in self.lifecycle.on(event, &self.policy) {
            self.perform(act);
        }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Launch => {
                self.state.failure = None;
                self.state.close_with = None;
                self.state.misspoke = None;
                if let Some(launcher) = &self.launcher {
                    let cancel = CancellationToken::new();
                    let made = launcher.launch(cancel.clone());
                    self.state.child = Child::Making { cancel, made };
                }
            }
            Act::StopChild => {
                self.state.readying = None;
                self.withdraw(Refused::Inactive);
                match &self.state.child {
                    Child::None => {}
                    Child::Making { cancel, .. } => cancel.cancel(),
                    Child::Running { running, .. } => running.stop(),
                }
            }
            Act::Open => self.open(),
            Act::Refuse => {
                if let Some((open, reply)) = self.state.dialing.take() {
                    let refused = match self.lifecycle.phase() {
                        Phase::Live => Refused::Occupied,
                        _ => Refused::Inactive,
                    };
                    open(Err(CloseCause::unavailable(refused.to_string())));
                    let _ = reply.send(Err(refused));
                }
            }
            Act::Close => {
                if let Some(line) = &self.state.line {
                    let cause = self.state.close_with.clone();
                    line.close(cause.unwrap_or_else(CloseCause::closed));
                    self.no_line();
                }
            }
            Act::Timer(after) => {
                let after = match (self.lifecycle.phase(), &self.state.failure) {
                    // Whoever asks a child that serves knows better why it is not ready, and has the first word.
                    (Phase::Launching { up: true }, _) if self.state.serving.is_some() => {
                        after.saturating_add(LAST_WORD)
                    }
                    (Phase::Retrying, Some(failure)) => failure.delay(after),
                    _ => after,
                };
                self.state.due = Some(later(after));
                self.state.due_at = SystemTime::now().checked_add(after);
            }
            Act::NoTimer => self.state.due = None,
            Act::Answer(waiter) => {
                // Told after the status is published, so that whoever is woken reads the truth.
                self.publish();
                if let Some(done) = self.state.waiters.remove(&waiter) {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Whatever the child says on the socket that it was handed comes too late.
    fn withdraw(&self, why: Refused) {
        if let Some(launcher) = &self.launcher {
            launcher.withdraw(why);
        }
    }

    fn no_line(&self) {
        self.line_out.send_replace(None);
        self.tell_channel(None);
    }

    fn tell_channel(&self, channel: Option<Channel>) {
        if let Some(out) = &self.channel_out {
            out.send_replace(channel);
        }
    }

    fn open(&mut self) {
        if let Some(endpoint) = self.state.ready.take() {
            self.tell_channel(Some(endpoint.channel()));
            self.state.line = Some(serve::line(&endpoint));
            self.state.started_at = Some(SystemTime::now());
            return;
        }
        let Some((open, reply)) = self.state.dialing.take() else {
            return;
        };
        let Some(peer) = open(Ok(())) else { return };
        self.withdraw(Refused::Occupied);
        let watched = peer.clone();
        self.state.line = Some(Line {
            way: Way::Rpc(peer.clone()),
            closed: Box::pin(async move { watched.closed().await }),
        });
        self.state.started_at = Some(SystemTime::now());
        self.line_out.send_replace(Some(peer.clone()));
        self.publish();
        let _ = reply.send(Ok(peer));
    }

    fn publish(&self) {
        let state = self.lifecycle.reported();
        let failed = matches!(
            state,
            jackfield_wire::ReportedState::Restarting | jackfield_wire::ReportedState::Errored
        );
        let retrying = self.state.due.is_some() && self.lifecycle.phase() == Phase::Retrying;
        self.board.publish(Status {
            state,
            since: SystemTime::now(),
            started_at: self.state.started_at,
            error: self.state.failure.clone().filter(|_| failed),
            restarts: self.lifecycle.restarts(),
            next_attempt_at: self.state.due_at.filter(|_| retrying),
            pid: match &self.state.child {
                Child::Running { running, .. } => running.pid(),
                Child::None | Child::Making { .. } => None,
            },
        });
    }
}

/// Then, or for durations that mean "never" in thirty years.
pub(crate) fn later(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after)
        .unwrap_or_else(|| now + Duration::from_secs(30 * 365 * 86_400))
}
