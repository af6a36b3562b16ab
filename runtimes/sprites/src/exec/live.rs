//! The task that owns the connection with a process that runs.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jackfield::runtime::{BoxFuture, Exit, ExitStatus};
use jackfield::{Failure, Stage};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::frame::{self, Incoming};
use super::leftovers::Leftovers;
use super::life::{Act, Input, Life, Over, Wanted};
use super::open::{Opened, Way};
use super::output::Output;
use super::search::{Search, Target};
use super::task::Task;
use crate::client::Socket;
use crate::error::failure;

/// A process that runs.
pub(super) struct Live {
    leftovers: Leftovers,
    way: Way,
    target: Target,
    life: Life,
    link: Link,
    output: Output,
    wanted: watch::Receiver<Wanted>,
    /// Requests that are under way, and what is learnt from them.
    calls: FuturesUnordered<BoxFuture<'static, Called>>,
    /// One at a time.
    killing: bool,
    /// Why the last search found nothing.
    why: Option<Failure>,
    /// The last search had answers.
    reachable: bool,
}

/// What became of a request.
struct Called {
    input: Option<Input>,
    /// It was a kill.
    kill: bool,
}

enum Link {
    Up(Socket),
    Searching(BoxFuture<'static, Search>),
}

/// What a round of the loop is about.
enum Event {
    Wanted(Wanted),
    Message(Option<Incoming>),
    Found(Search),
    Called(Called),
    HandedOn,
    Due,
}

impl Live {
    pub(super) fn new(
        task: Task,
        opened: Opened,
        output: Output,
        wanted: watch::Receiver<Wanted>,
    ) -> Self {
        let now = Instant::now();
        let timing = task.way.client.timing.clone();
        let mut live = Self {
            leftovers: task.leftovers(),
            target: Target {
                session: opened.session,
                dir: task.command.dir,
            },
            life: Life::new(timing, task.grace, now),
            link: Link::Up(opened.socket),
            output,
            wanted,
            calls: FuturesUnordered::new(),
            killing: false,
            why: None,
            reachable: true,
            way: task.way,
        };
        for incoming in opened.first {
            // An end among them is told by the service once more: the list does not have it.
            if let Incoming::Output(stream, bytes) = incoming {
                live.output.push(stream, bytes, now);
            } else if let Incoming::Exit(code) = incoming {
                live.happened(Input::Exit(code));
            }
        }
        live
    }

    pub(super) async fn run(mut self) -> (Exit, Option<Failure>) {
        let over = loop {
            let event = self.next().await;
            let now = Instant::now();
            // Who does not read cannot hear.
            if self.output.is_full() {
                self.life.on(Input::Output, now);
            }
            let Some(input) = self.take(event, now) else {
                continue;
            };
            let acts = self.life.on(input, now);
            let mut over = None;
            for act in acts {
                match act {
                    Act::Over(how) => over = Some(how),
                    act => self.perform(act).await,
                }
            }
            if let Some(over) = over {
                break over;
            }
        };
        self.end(over).await
    }

    async fn next(&mut self) -> Event {
        let Self {
            life,
            link,
            output,
            wanted,
            calls,
            ..
        } = self;
        let due = [life.due(), output.due()].into_iter().flatten().min();
        let full = output.is_full();
        tokio::select! {
            biased;
            wanted = changed(wanted) => Event::Wanted(wanted),
            Some(called) = calls.next() => Event::Called(called),
            () = async { sleep_until(due.expect("checked")).await }, if due.is_some() => Event::Due,
            () = output.hand_on(), if full => Event::HandedOn,
            event = link.next(), if !full => event,
        }
    }

    /// What an event means for the life of the process; `None` where that is nothing.
    fn take(&mut self, event: Event, now: Instant) -> Option<Input> {
        match event {
            Event::Wanted(wanted) => Some(Input::Want(wanted)),
            Event::Called(called) => {
                self.killing &= !called.kill;
                called.input
            }
            Event::HandedOn => Some(Input::Output),
            Event::Due => {
                self.output.on_due(now);
                self.life
                    .due()
                    .is_some_and(|due| due <= now)
                    .then_some(Input::Due)
            }
            Event::Message(None | Some(Incoming::Over | Incoming::Failed(_))) => {
                Some(Input::Broken)
            }
            Event::Message(Some(Incoming::Exit(code))) => Some(Input::Exit(code)),
            Event::Message(Some(Incoming::Output(stream, bytes))) => {
                self.output.push(stream, bytes, now);
                Some(Input::Output)
            }
            Event::Message(Some(Incoming::Session { id, created })) => {
                self.target.session.get_or_insert((id, created));
                Some(Input::Heard)
            }
            Event::Message(Some(Incoming::Other)) => Some(Input::Heard),
            Event::Found(Search::Found(opened)) => {
                tracing::info!(
                    sprite = self.way.sprite,
                    "found a process again after its connection broke"
                );
                self.output.attached(now);
                for incoming in opened.first {
                    match incoming {
                        Incoming::Output(stream, bytes) => self.output.push(stream, bytes, now),
                        Incoming::Exit(code) => self.happened(Input::Exit(code)),
                        _ => {}
                    }
                }
                self.link = Link::Up(opened.socket);
                Some(Input::Found)
            }
            Event::Found(Search::Ended(why)) => {
                self.why = Some(why);
                Some(Input::NotFound)
            }
            Event::Found(Search::GivenUp(why)) => {
                self.why = Some(why);
                self.reachable = false;
                Some(Input::NotFound)
            }
        }
    }

    async fn perform(&mut self, act: Act) {
        match act {
            Act::Ping => self.send(frame::ping()).await,
            Act::Search => {
                tracing::warn!(
                    sprite = self.way.sprite,
                    "the connection to a process broke; looking for it"
                );
                self.link =
                    Link::Searching(super::search::search(self.way.clone(), self.target.clone()));
            }
            Act::Check => {
                let (way, target) = (self.way.clone(), self.target.clone());
                self.calls.push(Box::pin(async move {
                    let found = target.find(&way).await.ok();
                    let input = found.map(|found| Input::Checked {
                        there: found.is_some(),
                    });
                    Called { input, kill: false }
                }));
            }
            Act::Interrupt => match &self.link {
                Link::Up(socket) if socket.signals => self.send(frame::signal("INT")).await,
                _ => self.signal("INT", 0),
            },
            Act::Kill if self.killing => {}
            Act::Kill => {
                self.killing = true;
                self.signal("KILL", 5);
            }
            Act::Over(_) => {}
        }
    }

    /// A message that cannot be sent is found out by the next read.
    async fn send(&mut self, message: tokio_tungstenite::tungstenite::Message) {
        if let Link::Up(socket) = &mut self.link
            && !socket.send(message).await
        {
            self.happened(Input::Broken);
        }
    }

    /// By the kill call, which needs no connection.
    fn signal(&self, signal: &'static str, wait: u32) {
        let (way, target) = (self.way.clone(), self.target.clone());
        self.calls.push(Box::pin(async move {
            let killed = target.kill(&way, signal, wait).await;
            let input = match killed {
                Ok(killed) => Some(Input::Killed(killed)),
                Err(error) => {
                    tracing::warn!(sprite = way.sprite, %error, signal, "a process could not be signalled");
                    None
                }
            };
            Called {
                input,
                kill: signal == "KILL",
            }
        }));
    }

    /// As if a request had told it.
    fn happened(&self, input: Input) {
        let called = Called {
            input: Some(input),
            kill: false,
        };
        self.calls.push(Box::pin(std::future::ready(called)));
    }

    async fn end(self, over: Over) -> (Exit, Option<Failure>) {
        let asked = *self.wanted.borrow() != Wanted::Running || self.wanted.has_changed().is_err();
        let (status, lost) = match over {
            Over::Exit(code) => (status(code), None),
            Over::Lost => (ExitStatus::Lost, Some(self.why.unwrap_or_else(unknown))),
            Over::Unkillable => (ExitStatus::Lost, Some(unkillable())),
        };
        let tail = self.output.finish().await;
        if self.reachable {
            self.leftovers.end().await;
        }
        if let Link::Up(socket) = self.link {
            socket.close().await;
        }
        let exit = Exit {
            status,
            asked,
            tail,
            left: Vec::new(),
        };
        (exit, lost)
    }
}

impl Link {
    async fn next(&mut self) -> Event {
        match self {
            Self::Up(socket) => {
                let message = socket.next().await;
                Event::Message(message.map(|message| Incoming::parse(&message)))
            }
            Self::Searching(search) => Event::Found(search.await),
        }
    }
}

/// What is wanted now. Cancel safe.
async fn changed(wanted: &mut watch::Receiver<Wanted>) -> Wanted {
    if wanted.changed().await.is_err() {
        // Its last word was told.
        std::future::pending::<()>().await;
    }
    *wanted.borrow_and_update()
}

/// A code above 128 is a signal's, as a shell tells it: the service has no other word for one.
fn status(code: i64) -> ExitStatus {
    match i32::try_from(code) {
        Ok(code @ 129..=159) => ExitStatus::Signal(code - 128),
        Ok(code @ 0..=255) => ExitStatus::Code(code),
        // What a signal is to some.
        _ => ExitStatus::Code(255),
    }
}

fn unknown() -> Failure {
    failure(
        Stage::Exit,
        "the process ended, and the Sprites service did not say how",
    )
}

fn unkillable() -> Failure {
    failure(
        Stage::Exit,
        "the process could not be killed in time; the Sprites service ends it since nobody is connected with it",
    )
    .outage()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(status(0), ExitStatus::Code(0));
        assert_eq!(status(42), ExitStatus::Code(42));
        assert_eq!(status(127), ExitStatus::Code(127));
        assert_eq!(status(137), ExitStatus::Signal(9));
        assert_eq!(status(143), ExitStatus::Signal(15));
        assert_eq!(status(255), ExitStatus::Code(255));
        assert_eq!(status(-1), ExitStatus::Code(255));
    }
}
