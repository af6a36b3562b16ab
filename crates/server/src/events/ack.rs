//! What a plugin's answer to an event means.

use jackfield::rpc::CallError as RpcError;
use jackfield::{CallError, RawJson};
use serde::Deserialize;
use serde_json::Value;

use super::deliver::Outcome;

/// What a plugin answers to an event, if it is an object at all.
#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    ok: Option<Value>,
}

/// What an answer means.
pub(super) fn outcome(answer: Result<RawJson, CallError>) -> Outcome {
    match answer {
        Ok(answer) => match serde_json::from_str::<Ack>(answer.get()) {
            Ok(Ack {
                ok: Some(Value::Bool(false)),
            }) => Outcome::Refused("the plugin answered `ok: false`".to_owned()),
            _ => Outcome::Taken,
        },
        Err(CallError::NotActive(_)) => Outcome::NotSent,
        Err(error @ CallError::Grpc) => Outcome::Impossible(error.to_string()),
        Err(CallError::Call(error)) => match &error {
            RpcError::Closed(_) => Outcome::Broken(error.to_string()),
            RpcError::TooLarge { .. } | RpcError::Encode(_) => {
                Outcome::Impossible(error.to_string())
            }
            RpcError::Refused(fault) => Outcome::Refused(fault.to_string()),
            RpcError::Deadline { .. }
            | RpcError::AnswerTooLarge { .. }
            | RpcError::BadAnswer { .. } => Outcome::Refused(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use jackfield::wire::CloseCause;
    use jackfield::{Fault, ReportedState};
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn only_false_is_no() {
        let answered =
            |text: &str| outcome(Ok(RawValue::from_string(text.to_owned()).unwrap().into()));
        for text in [
            r#"{"method":"event","ok":true}"#,
            r#"{"method":"event"}"#,
            r#"{"ok":null}"#,
            r#"{"ok":"false"}"#,
            "null",
            "[]",
            "7",
        ] {
            assert_eq!(answered(text), Outcome::Taken, "{text}");
        }
        let refused = answered(r#"{"method":"event","ok":false}"#);
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    }

    #[test]
    fn only_what_was_sent_counts() {
        let failed = |error: RpcError| outcome(Err(CallError::Call(error)));
        let fault = RpcError::Refused(Fault::server("no"));
        assert!(matches!(failed(fault), Outcome::Refused(why) if why.contains("no")));
        let closed = RpcError::Closed(CloseCause::closed());
        assert!(matches!(failed(closed), Outcome::Broken(_)));
        let large = RpcError::TooLarge { size: 2, limit: 1 };
        assert!(matches!(failed(large), Outcome::Impossible(_)));
        let down = CallError::NotActive(ReportedState::Connecting);
        assert_eq!(outcome(Err(down)), Outcome::NotSent);
    }
}
