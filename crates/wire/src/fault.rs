//! The error object of JSON-RPC 2.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An answer that is an error: the JSON-RPC error object, and what a method returns to refuse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct Fault {
    /// What kind of error; the constants below name the ones this system makes.
    #[serde(default = "Fault::server_error_code")]
    pub code: i64,
    /// One sentence for a person.
    #[serde(default)]
    pub message: String,
    /// Anything more, for programs. Above 256 KiB it is dropped from errors that come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl Fault {
    /// The frame was not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The frame was JSON but neither a request nor a response.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method here.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The method exists, these parameters do not fit it.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The method failed in a way that is not the caller's doing, a panic included.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// The method answered with an error of its own.
    pub const SERVER_ERROR: i64 = -32000;
    /// Too many calls of this peer are in flight; the call was not begun.
    pub const BUSY: i64 = -32001;
    /// The caller took the call back (the code that the Language Server Protocol uses for it).
    pub const CANCELLED: i64 = -32800;

    /// An error with this code and message.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// A method's own refusal, code -32000.
    #[must_use]
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(Self::SERVER_ERROR, message)
    }

    /// Code -32602.
    #[must_use]
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(Self::INVALID_PARAMS, message)
    }

    /// Code -32603.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Self::INTERNAL_ERROR, message)
    }

    /// Code -32601.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(
            Self::METHOD_NOT_FOUND,
            format!("no method {method:?} is registered here"),
        )
    }

    pub(crate) fn server_error_code() -> i64 {
        Self::SERVER_ERROR
    }
}
