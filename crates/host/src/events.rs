//! Events: to every session whose manifest consumes them, each in order, none waiting for another.

use jackfield_rpc::Prepared;
use jackfield_wire::methods::Event;
use jackfield_wire::{InstallationId, Method, ReportedState};

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

/// The request that tells of an event, as text that all its consumers share.
pub(crate) fn encode(
    event: &str,
    payload: impl serde::Serialize,
) -> Result<Prepared, PublishError> {
    let mut fields = match serde_json::to_value(payload)? {
        serde_json::Value::Object(fields) => fields,
        serde_json::Value::Null => serde_json::Map::new(),
        other => return Err(PublishError::NotAnObject(other.to_string())),
    };
    fields.insert("event".to_owned(), event.into());
    let params = serde_json::value::to_raw_value(&fields)?;
    Ok(Prepared::new(Event::NAME, Some(params)))
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
