//! What the outside sees of a session.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jackfield_wire::ReportedState;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use crate::failure::Failure;

/// A session at one moment.
///
/// Counterparts in Storyden's plugin runner: `GetReportedState`, `GetStartedAt`,
/// `GetErrorMessage` and `GetErrorDetails`, here in one consistent value. As JSON, times are
/// RFC 3339 in UTC and absent fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What it is doing.
    pub state: ReportedState,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
    /// When its line was last opened; `None` before the first time.
    #[serde(
        serialize_with = "rfc3339_opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<SystemTime>,
    /// What went wrong. There exactly while the state is `restarting` or `errored`: a new start
    /// begins without the errors of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Restarts by the host since somebody last asked for a start.
    pub restarts: u32,
    /// When the next attempt is due, while the state is `restarting` and a delay runs.
    #[serde(
        serialize_with = "rfc3339_opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub next_attempt_at: Option<SystemTime>,
    /// The process, where the host owns one and it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The new state.
    pub state: ReportedState,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// What went wrong, where that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// Transitions that are kept.
const HISTORY: usize = 64;

/// The status as its one writer holds it.
#[derive(Debug)]
pub(crate) struct StatusBoard {
    current: watch::Sender<Status>,
    history: Mutex<VecDeque<Transition>>,
}

impl StatusBoard {
    pub(crate) fn new() -> Self {
        Self {
            current: watch::Sender::new(Status {
                state: ReportedState::Inactive,
                since: SystemTime::now(),
                started_at: None,
                error: None,
                restarts: 0,
                next_attempt_at: None,
                pid: None,
            }),
            history: Mutex::default(),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Status> {
        self.current.subscribe()
    }

    pub(crate) fn state(&self) -> ReportedState {
        self.current.borrow().state
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.current.borrow().pid
    }

    pub(crate) fn history(&self) -> Vec<Transition> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.iter().cloned().collect()
    }

    /// Takes the new status; `since` and the history are kept here. History first, so that whoever
    /// is woken by the watch finds it complete.
    pub(crate) fn publish(&self, mut next: Status) {
        let before = self.current.borrow().clone();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if next.state == before.state {
            next.since = before.since;
            // Last words may come after the reason.
            if let Some(latest) = history.back_mut() {
                latest.error.clone_from(&next.error);
            }
        } else {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(Transition {
                state: next.state,
                at: next.since,
                error: next.error.clone(),
            });
        }
        drop(history);
        if next != before {
            self.current.send_replace(next);
        }
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn rfc3339_opt<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, to),
        None => to.serialize_none(),
    }
}
