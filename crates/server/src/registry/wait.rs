//! Waiting for a plugin.

use std::pin::pin;
use std::time::Duration;

use jackfield::{Failure, NotReady, ReportedState, Session, Status};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Progress, Registry, StateError};

/// What ends the wait, or what may be said meanwhile.
enum Event {
    Ready(Result<(), NotReady>),
    Changed,
    Overtaken,
    Draining,
    Late,
}

impl Registry {
    /// Why a session has ended under the hands of whoever wanted something of it.
    pub(super) fn ended(&self) -> StateError {
        match self.parts().draining.is_cancelled() {
            true => StateError::ShuttingDown,
            false => StateError::Overtaken,
        }
    }
}

/// What ends a wait early.
pub(super) struct Enough<'a> {
    /// Changes when somebody does something else to the plugin.
    pub(super) overtaken: watch::Receiver<u64>,
    /// Cancelled when the server begins to drain.
    pub(super) draining: &'a CancellationToken,
    /// Whether a version is tried out, with the one before to fall back to: the first crash is
    /// answer enough, and a server that drains lets it come to its end.
    pub(super) on_trial: bool,
}

/// Waits until a plugin that was started is active.
pub(super) async fn until_active(
    session: &Session,
    limit: Duration,
    enough: Enough<'_>,
    progress: &Progress,
) -> Result<(), StateError> {
    let Enough {
        mut overtaken,
        draining,
        on_trial,
    } = enough;
    let mut status = session.status();
    let mut ready = pin!(session.ready());
    let mut late = pin!(tokio::time::sleep(limit));
    loop {
        {
            let now = status.borrow_and_update();
            say(progress, &now);
            if on_trial && let Some(failure) = crash(&now) {
                return Err(StateError::Failed(Box::new(failure.clone())));
            }
        }
        let event = tokio::select! {
            biased;
            ready = &mut ready => Event::Ready(ready),
            // Who sends is gone when the installation is.
            _ = overtaken.changed() => Event::Overtaken,
            () = draining.cancelled(), if !on_trial => Event::Draining,
            () = &mut late => Event::Late,
            _ = status.changed() => Event::Changed,
        };
        match event {
            Event::Changed => {}
            Event::Ready(Ok(())) => return Ok(()),
            Event::Ready(Err(NotReady::Errored(failure))) => {
                return Err(StateError::Failed(failure));
            }
            Event::Draining => return Err(StateError::ShuttingDown),
            // Stopped by the host, that is, which goes.
            Event::Ready(Err(NotReady::Stopped | NotReady::Ended(_)))
                if draining.is_cancelled() =>
            {
                return Err(StateError::ShuttingDown);
            }
            Event::Ready(Err(NotReady::Stopped | NotReady::Ended(_))) | Event::Overtaken => {
                return Err(StateError::Overtaken);
            }
            Event::Late => return Err(StateError::Timeout(limit)),
        }
    }
}

/// What the plugin is going to be started again for, where it is the plugin's own fault.
fn crash(status: &Status) -> Option<&Failure> {
    let failure = status.error.as_ref();
    let failure = failure.filter(|_| status.state == ReportedState::Restarting)?;
    let asked_for_it = failure.details.exit_code == Some(0);
    (!asked_for_it && !failure.is_outage()).then_some(failure)
}

fn say(progress: &Progress, status: &Status) {
    let doing = match status.state {
        ReportedState::Starting => "starting",
        ReportedState::Connecting => "waiting for it to connect",
        ReportedState::Active => "active",
        ReportedState::Stopping => "stopping",
        ReportedState::Inactive => "stopped",
        ReportedState::Errored => "given up",
        ReportedState::Restarting => {
            let why = status
                .error
                .as_ref()
                .map_or("it ended", |error| &error.message);
            return progress.say(&format!("trying again after: {why}"));
        }
    };
    progress.say(doing);
}
