//! Exec over a WebSocket of its own: starting and attaching.

use std::sync::Arc;

use super::fault::Fault;
use super::line::{Line, Outcome};
use super::process::Start;
use super::session::{Attached, Session};
use super::state::State;

/// Why there is no session.
#[derive(Debug)]
pub(super) enum NoSession {
    Unknown,
    /// What the shell would say of a command that cannot run; its code is 127 (assumed).
    NotStarted(String),
    /// Not in the stand-in.
    Terminal,
    Nothing,
}

/// Finds the session, or starts it.
pub(super) fn open(state: &Arc<State>, sprite: &str, start: &Start) -> Result<Attached, NoSession> {
    if let Some(id) = &start.id {
        let session = state.session(sprite, id).ok_or(NoSession::Unknown)?;
        return session.attach(state).ok_or(NoSession::Unknown);
    }
    if start.tty {
        return Err(NoSession::Terminal);
    }
    if start.cmd.is_empty() && start.path.is_none() {
        return Err(NoSession::Nothing);
    }
    match Session::start(state, sprite, start) {
        None => Err(NoSession::Unknown),
        Some(Ok(attached)) => Ok(attached),
        Some(Err(error)) => {
            let path = start.path.as_ref().or(start.cmd.first());
            let path = path.map_or("", String::as_str);
            Err(NoSession::NotStarted(format!("{path}: {error}\n")))
        }
    }
}

/// A command that did not start: a shell that says so instead, so that it is a session like any.
pub(super) fn instead(start: &Start, words: &str) -> Start {
    Start {
        cmd: ["sh", "-c", "printf %s \"$1\" >&2; exit 127", "sh", words]
            .map(str::to_owned)
            .to_vec(),
        path: Some("/bin/sh".to_owned()),
        env: None,
        dir: "/".to_owned(),
        ..start.clone()
    }
}

/// Carries the session until it or the line ends.
pub(super) async fn serve(mut line: Line, attached: Attached, fault: Option<Fault>) {
    let outcome = line.carry(attached, fault.as_ref()).await;
    line.end(outcome).await;
}

impl NoSession {
    /// The answer instead.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Unknown => Fault::status(404),
            Self::Nothing => Fault::plain(400, "no command was given"),
            Self::Terminal => Fault::plain(501, "the stand-in has no terminals"),
            Self::NotStarted(words) => Fault::plain(500, words),
        }
    }
}

impl Outcome {
    /// Whether the line can carry another session.
    pub(super) fn free(&self) -> bool {
        matches!(self, Self::Over)
    }
}
