//! Why a call did not reach the plugin, or its answer not the caller.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, header};

use super::body::ResponseBody;
use super::deadline;

/// Why a call did not reach the plugin, or its answer not the caller.
///
/// Callers of gRPC see it as a status with the [code](Self::code), see [`Channel`](crate::Channel).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Nobody listens on the plugin's port (yet, or any more).
    #[error("nothing listens on 127.0.0.1:{port}")]
    NotListening {
        /// The port.
        port: u16,
    },
    /// Somebody listens on the plugin's port who is none of its processes. Nothing was sent.
    #[error("a process that is not the plugin's listens on 127.0.0.1:{port}{}", .unseen.as_deref().unwrap_or_default())]
    Stranger {
        /// The port.
        port: u16,
        /// Which of the plugin's own processes could not be looked at.
        unseen: Option<String>,
    },
    /// The plugin's socket refuses: the process that listened on it is gone.
    #[error("cannot connect to the plugin: {0}")]
    Connect(#[source] Arc<io::Error>),
    /// It could not be found out who listens on the plugin's port. Nothing was sent.
    #[error("cannot find out who listens on 127.0.0.1:{port}: {source}")]
    Unproven {
        /// The port.
        port: u16,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// The connection broke, or the plugin reset the call.
    #[error("{}", whole(.0))]
    Http(#[source] Arc<hyper::Error>),
    /// A message of the answer is longer than the endpoint's settings allow.
    #[error("a message of {size} bytes is longer than the {limit} that are allowed")]
    TooLarge {
        /// As the plugin announced it, perhaps compressed.
        size: u32,
        /// [`Settings::max_message_size`](crate::Settings::max_message_size).
        limit: usize,
    },
    /// The caller's deadline, or the endpoint's default, was over.
    #[error("deadline exceeded after {0:?}")]
    DeadlineExceeded(Duration),
    /// There is no process to connect to, for this reason. Nothing was sent.
    #[error("{0}")]
    Unavailable(String),
    /// The runtime that the connection was made on is shut down.
    #[error("the connection to the plugin is closed")]
    Closed,
}

/// Those of gRPC's status codes that a channel gives by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Code {
    /// The plugin reset the call as cancelled.
    Cancelled = 1,
    /// The deadline was over.
    DeadlineExceeded = 4,
    /// The plugin finds that too much was asked of it, or its answer is too large.
    ResourceExhausted = 8,
    /// The plugin, or its HTTP/2, failed inside.
    Internal = 13,
    /// The plugin is not there.
    Unavailable = 14,
}

impl ChannelError {
    /// The status code of gRPC for it, by the mapping in gRPC's specification.
    pub fn code(&self) -> Code {
        match self {
            Self::DeadlineExceeded(_) => Code::DeadlineExceeded,
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Http(error) => reset(error).map_or(Code::Unavailable, code_of_reset),
            Self::NotListening { .. }
            | Self::Stranger { .. }
            | Self::Connect(_)
            | Self::Unproven { .. }
            | Self::Unavailable(_)
            | Self::Closed => Code::Unavailable,
        }
    }

    /// The answer to a gRPC call with these request headers that says so: no body, and a status instead. The error
    /// is among the extensions of the response, too. For a call that is not gRPC's, the error itself.
    ///
    /// # Errors
    ///
    /// Itself, when the call is not gRPC's.
    pub fn respond(self, request: &HeaderMap) -> Result<Response<ResponseBody>, Self> {
        if !deadline::is_grpc(request) {
            return Err(self);
        }
        let mut response = Response::new(ResponseBody::empty());
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        self.write(response.headers_mut());
        response.extensions_mut().insert(self);
        Ok(response)
    }

    pub(crate) fn http(error: hyper::Error) -> Self {
        Self::Http(Arc::new(error))
    }

    /// As the trailers of a gRPC call.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        self.write(&mut trailers);
        trailers
    }

    fn write(&self, headers: &mut HeaderMap) {
        headers.insert("grpc-status", HeaderValue::from(self.code() as u8 as u16));
        let message = HeaderValue::from_str(&percent(&self.to_string()));
        headers.insert("grpc-message", message.expect("printable ASCII"));
    }
}

/// hyper says "http2 error"; what it was stands in the sources.
fn whole(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// With which reason the plugin reset this one call; not when the connection was lost.
fn reset(error: &hyper::Error) -> Option<h2::Reason> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset().then(|| error.reason())?;
        }
        source = error.source();
    }
    None
}

fn code_of_reset(reason: h2::Reason) -> Code {
    match reason {
        h2::Reason::REFUSED_STREAM => Code::Unavailable,
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

/// As `grpc-message` wants it: all but printable ASCII, and the percent sign, as `%XX`.
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes all"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_for_a_header() {
        assert_eq!(percent("a b%c"), "a b%25c");
        assert_eq!(percent("ä\n"), "%C3%A4%0A");
    }

    #[test]
    fn only_a_grpc_call_is_answered_with_a_status() {
        let mut request = HeaderMap::new();
        let error = ChannelError::NotListening { port: 7 };
        assert!(error.clone().respond(&request).is_err());
        request.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        let response = error.respond(&request).unwrap();
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(
            response.headers()["grpc-message"],
            "nothing listens on 127.0.0.1:7"
        );
        assert!(response.extensions().get::<ChannelError>().is_some());
    }
}
