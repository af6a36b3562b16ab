//! Events: to every session whose manifest consumes them, each in order, none waiting for another.

use std::sync::Arc;

use jackfield_rpc::{CallError, CallOptions, Peer};
use jackfield_wire::methods::Event;
use jackfield_wire::{InstallationId, Method, ReportedState};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};

use crate::status::Status;

/// Which sessions an event went to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Consumers that get it, now or as soon as their line is open again.
    pub queued: Vec<InstallationId>,
    /// Consumers whose queue is full: they do not get it.
    pub dropped: Vec<InstallationId>,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The payload does not serialize.
    #[error("the payload of an event does not serialize")]
    Encode(#[from] serde_json::Error),
    /// The payload is not an object: the event's name goes beside its fields.
    #[error("the payload of an event is a JSON object, not {0}")]
    NotAnObject(String),
}

/// The parameters of an event, as text that all its consumers share.
pub(crate) fn encode(
    event: &str,
    payload: impl serde::Serialize,
) -> Result<Arc<RawValue>, PublishError> {
    let mut fields = match serde_json::to_value(payload)? {
        serde_json::Value::Object(fields) => fields,
        serde_json::Value::Null => serde_json::Map::new(),
        other => return Err(PublishError::NotAnObject(other.to_string())),
    };
    fields.insert("event".to_owned(), event.into());
    Ok(serde_json::value::to_raw_value(&fields)?.into())
}

/// Whether events are kept for a session in this state.
pub(crate) fn wanted(state: ReportedState) -> bool {
    match state {
        ReportedState::Starting
        | ReportedState::Connecting
        | ReportedState::Active
        | ReportedState::Restarting => true,
        ReportedState::Inactive | ReportedState::Stopping | ReportedState::Errored => false,
    }
}

/// Hands events on, one after the other. One that the line broke under is handed on once more over
/// the next line, unless the process ended with it: an event that kills a plugin would kill it again
/// until it is given up. One that was refused, or not acknowledged in time, is not repeated.
pub(crate) async fn deliver(
    id: InstallationId,
    mut queue: mpsc::Receiver<Arc<RawValue>>,
    mut line: watch::Receiver<Option<Peer>>,
    mut status: watch::Receiver<Status>,
) {
    while let Some(event) = queue.recv().await {
        // The process that an earlier line broke under, where there was one.
        let mut broken: Option<Option<u32>> = None;
        loop {
            let Some(peer) = open_line(&mut line, &mut status).await else {
                tracing::debug!(%id, "an event is dropped: the plugin is not wanted any more");
                break;
            };
            let pid = status.borrow().pid;
            if broken.is_some_and(|broken| broken != pid) {
                tracing::warn!(%id, "an event is dropped: the plugin's process ended at it");
                break;
            }
            match peer
                .call_raw(Event::NAME, Some(&event), CallOptions::default())
                .await
            {
                Ok(_) => break,
                Err(CallError::Closed(_)) if broken.is_none() => {
                    broken = Some(pid);
                    // The watch may still hold the line that has just broken.
                    if line
                        .wait_for(|now| now.as_ref().is_none_or(Peer::is_open))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%id, %error, "a plugin did not take an event");
                    break;
                }
            }
        }
    }
}

/// The line once it is open; `None` when the plugin is not wanted any more.
async fn open_line(
    line: &mut watch::Receiver<Option<Peer>>,
    status: &mut watch::Receiver<Status>,
) -> Option<Peer> {
    loop {
        // One that has just broken may still be there; an event that it never carried is not lost
        // on it.
        let open = line.borrow_and_update().clone().filter(Peer::is_open);
        if open.is_some() {
            return open;
        }
        if !wanted(status.borrow_and_update().state) {
            return None;
        }
        tokio::select! {
            changed = line.changed() => changed.ok()?,
            changed = status.changed() => changed.ok()?,
        }
    }
}
