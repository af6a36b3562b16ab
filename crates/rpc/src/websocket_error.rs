//! What an error of a WebSocket means: the close code that the other side gets, and why the line ended.

use jackfield_wire::CloseCause;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

/// The close code (RFC 6455, 7.4.1) for what the other side did against the protocol.
pub(crate) fn offence(error: &Error) -> Option<u16> {
    match error {
        Error::Capacity(_) => Some(1009),
        Error::Utf8(_) => Some(1007),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(1002),
        _ => None,
    }
}

pub(crate) fn cause_of(error: &Error) -> CloseCause {
    CloseCause::failed(match error {
        Error::ConnectionClosed | Error::AlreadyClosed => return CloseCause::closed(),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("a message of {size} bytes; at most {max_size} are read")
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the connection ended without a close frame".to_owned()
        }
        Error::Protocol(error) => format!("against the WebSocket protocol: {error}"),
        Error::Utf8(_) => "a text frame that is not UTF-8".to_owned(),
        Error::Io(error) => format!("the connection was lost: {error}"),
        Error::WriteBufferFull(_) => "does not read what it is sent".to_owned(),
        error => error.to_string(),
    })
}
