//! The messages of a process's connection.
//!
//! Binary: a byte that names the stream, then its bytes. Text: JSON; on a control channel what concerns the operation
//! as such begins with `control:`.

use bytes::Bytes;
use jackfield::runtime::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::session_id;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;
const STDIN_EOF: u8 = 4;

const CONTROL: &str = "control:";

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The process wrote something.
    Output(Stream, Bytes),
    /// The process runs, under this id.
    Session { id: String, created: Option<u64> },
    /// It ended with this code.
    Exit(i64),
    /// The operation is over, and the code was not told.
    Over,
    /// The operation failed, in the service's own words.
    Failed(String),
    /// A sign of life and nothing more.
    Other,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    session_id: Value,
    #[serde(default)]
    created: Value,
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    args: Value,
}

impl Incoming {
    pub(super) fn parse(message: &Message) -> Self {
        match message {
            Message::Binary(bytes) => Self::binary(bytes),
            Message::Text(text) => Self::text(text),
            _ => Self::Other,
        }
    }

    fn binary(bytes: &Bytes) -> Self {
        match bytes.first() {
            Some(&STDOUT) => Self::Output(Stream::Stdout, bytes.slice(1..)),
            Some(&STDERR) => Self::Output(Stream::Stderr, bytes.slice(1..)),
            // Without a code it was 0.
            Some(&EXIT) => Self::Exit(bytes.get(1).copied().unwrap_or_default().into()),
            _ => Self::Other,
        }
    }

    fn text(text: &str) -> Self {
        let Ok(text) = serde_json::from_str::<Text>(text.strip_prefix(CONTROL).unwrap_or(text))
        else {
            return Self::Other;
        };
        match text.kind.as_str() {
            "session_info" => {
                session_id(&text.session_id).map_or(Self::Other, |id| Self::Session {
                    id,
                    created: text.created.as_u64(),
                })
            }
            // Left out where it is 0.
            "exit" => Self::Exit(text.exit_code.unwrap_or_default()),
            "op.complete" => {
                let code = text.args.get("exitCode").or(text.args.get("exit_code"));
                code.and_then(Value::as_i64).map_or(Self::Over, Self::Exit)
            }
            "op.error" | "error" => Self::Failed(text.words()),
            _ => Self::Other,
        }
    }
}

impl Text {
    fn words(&self) -> String {
        let places = [
            &self.message,
            &self.error,
            &self.args["message"],
            &self.args["error"],
            &self.args,
        ];
        let said = places.into_iter().filter_map(Value::as_str);
        let said = said.map(str::trim).find(|words| !words.is_empty());
        said.unwrap_or("the service gave no reason").to_owned()
    }
}

/// Asks a control channel for a process: a new one, or with `id` one that runs.
pub(super) fn op_start(args: &Value) -> Message {
    let operation = json!({ "type": "op.start", "op": "exec", "args": args });
    Message::text(format!("{CONTROL}{operation}"))
}

/// A signal such as `INT`, where the service [takes](crate::client::Socket::signals) them.
pub(super) fn signal(name: &str) -> Message {
    Message::text(json!({ "type": "signal", "signal": name }).to_string())
}

/// There is nothing on standard input. For the direct form.
pub(super) fn no_input() -> Message {
    Message::binary(vec![STDIN_EOF])
}

pub(super) fn ping() -> Message {
    Message::Ping(Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Incoming {
        Incoming::parse(&Message::text(text))
    }

    #[test]
    fn every_message_is_understood() {
        let binary =
            |bytes: &'static [u8]| Incoming::parse(&Message::binary(Bytes::from_static(bytes)));
        let stdout =
            |text: &'static [u8]| Incoming::Output(Stream::Stdout, Bytes::from_static(text));
        assert_eq!(binary(b"\x01out"), stdout(b"out"));
        assert_eq!(
            binary(b"\x02"),
            Incoming::Output(Stream::Stderr, Bytes::new())
        );
        assert_eq!(binary(b"\x03\x2a"), Incoming::Exit(42));
        assert_eq!(binary(b"\x03"), Incoming::Exit(0));
        assert_eq!(binary(b""), Incoming::Other);
        let session = |id: &str, created| Incoming::Session {
            id: id.to_owned(),
            created,
        };
        assert_eq!(
            text(r#"{"type":"session_info","session_id":"20","created":5}"#),
            session("20", Some(5))
        );
        assert_eq!(
            text(r#"{"type":"session_info","session_id":1847}"#),
            session("1847", None)
        );
        assert_eq!(
            text(r#"{"type":"exit","exit_code":-1}"#),
            Incoming::Exit(-1)
        );
        assert_eq!(text(r#"{"type":"exit"}"#), Incoming::Exit(0));
        assert_eq!(
            text(r#"control:{"type":"op.complete","args":{"exitCode":3}}"#),
            Incoming::Exit(3)
        );
        assert_eq!(text(r#"control:{"type":"op.complete"}"#), Incoming::Over);
        let failed = Incoming::Failed("no such thing".to_owned());
        assert_eq!(
            text(r#"control:{"type":"op.error","args":{"error":"no such thing"}}"#),
            failed
        );
        assert_eq!(
            text(r#"{"type":"error","message":" no such thing"}"#),
            failed
        );
        for other in [
            "",
            "hello",
            "[]",
            r#"{"type":"port_opened","port":1}"#,
            "control:keepalive",
        ] {
            assert_eq!(text(other), Incoming::Other, "{other}");
        }
        assert_eq!(
            Incoming::parse(&Message::Pong(Bytes::new())),
            Incoming::Other
        );
    }

    #[test]
    fn what_is_sent_is_what_the_official_client_sends() {
        let start = op_start(&json!({"cmd": ["a", "b"], "path": "a"}));
        let start = start.into_text().unwrap();
        let json: Value = serde_json::from_str(start.strip_prefix("control:").unwrap()).unwrap();
        assert_eq!(
            json,
            json!({"type":"op.start","op":"exec","args":{"cmd":["a","b"],"path":"a"}})
        );
        assert_eq!(&*no_input().into_data(), [4]);
        let signal: Value = serde_json::from_str(&signal("INT").into_text().unwrap()).unwrap();
        assert_eq!(signal, json!({"type":"signal","signal":"INT"}));
    }
}
