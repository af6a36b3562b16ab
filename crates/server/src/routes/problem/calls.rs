//! Of calls into plugins, and of methods of the application.

use http::StatusCode;
use jackfield::rpc::CallError as RpcError;
use jackfield::{CallError as HostError, Fault};

use super::Problem;
use crate::calls::TargetError;
use crate::registry::CallError;

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotFound(error) => error.into(),
            CallError::Call(error) => error.into(),
            CallError::Store(error) => error.into(),
        }
    }
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        let text = error.to_string();
        match error {
            HostError::NotActive(_) => Self::conflict("not-active", text),
            HostError::Grpc => Self::wrong("grpc-plugin", text),
            HostError::Call(error) => error.into(),
        }
    }
}

impl From<RpcError> for Problem {
    fn from(error: RpcError) -> Self {
        let text = error.to_string();
        let remote = |text| Self::new(StatusCode::BAD_GATEWAY, "plugin-failed", text);
        match error {
            RpcError::Refused(fault) => {
                let (status, kind) = match fault.code {
                    Fault::METHOD_NOT_FOUND => (StatusCode::NOT_FOUND, "no-such-method"),
                    _ => (StatusCode::BAD_GATEWAY, "plugin-refused"),
                };
                let problem = Self::new(status, kind, fault.message.clone());
                match serde_json::to_value(&fault) {
                    Ok(fault) => problem.with("fault", fault),
                    Err(_) => problem,
                }
            }
            RpcError::Deadline { .. } => Self::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", text),
            RpcError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text)
            }
            RpcError::Encode(_) => Self::wrong("invalid-request", text),
            RpcError::Closed(_) | RpcError::AnswerTooLarge { .. } | RpcError::BadAnswer { .. } => {
                remote(text)
            }
        }
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        let text = error.to_string();
        match error {
            TargetError::Url(_)
            | TargetError::Name(_)
            | TargetError::Timeout
            | TargetError::Secret => Self::wrong("invalid-method", text),
            TargetError::Random(_) => Self::internal(&error),
            TargetError::Store(error) => error.into(),
        }
    }
}
