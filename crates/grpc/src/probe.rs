//! Asking whether a plugin is ready, without generated code.

use std::pin::pin;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, Limited};
use tower_service::Service as _;

use crate::channel::{Channel, ChannelError, ResponseBody};
use crate::client::{Ping, PingError};
use crate::endpoint::Endpoint;

/// Asks whether a plugin is ready, by gRPC and without generated code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    path: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ping,
    Health,
}

/// A probe with what it is sent over.
pub(crate) struct Probing {
    probe: Probe,
    channel: Channel,
}

/// An answer is a reason, at most.
const LARGEST: usize = 64 * 1024;

const OK: &str = "0";
const UNIMPLEMENTED: &str = "12";

impl Probe {
    /// By the unary `Ping` of this service (`kv.v1.KvService`), whose answer may carry `not_ready`.
    #[must_use]
    pub fn ping(service: &str) -> Self {
        Self {
            path: format!("/{service}/{}", jackfield_wire::grpc::PING),
            kind: Kind::Ping,
        }
    }

    /// By `grpc.health.v1.Health/Check` of the server as a whole. A server that has no such service answers that it has
    /// none, and whoever answers is ready enough.
    #[must_use]
    pub fn health() -> Self {
        Self {
            path: "/grpc.health.v1.Health/Check".to_owned(),
            kind: Kind::Health,
        }
    }

    /// Asks once. `None`: it is ready; otherwise why not. Has no deadline of its own. Cancel safe.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that is none.
    pub async fn ask(&self, channel: &Channel) -> Result<Option<String>, PingError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&*self.path)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .map_err(|error| failed(format!("{} is no path: {error}", self.path)))?;
        let response = channel
            .clone()
            .call(request)
            .await
            .map_err(|error| PingError::new(false, error))?;
        let (head, body) = response.into_parts();
        let (message, trailers) = collect(body).await?;
        let status = status(&head.headers).or_else(|| status(&trailers));
        let text = text(&head.headers).or_else(|| text(&trailers));
        match (head.status, status) {
            (StatusCode::OK, Some(OK)) => self.read(&message),
            (_, Some(UNIMPLEMENTED)) | (StatusCode::NOT_FOUND, None) => self.unimplemented(text),
            (_, Some(code)) => Err(failed(format!(
                "gRPC status {code}: {}",
                text.unwrap_or_default()
            ))),
            (status, None) => Err(failed(format!("HTTP {status} without a gRPC status"))),
        }
    }

    pub(crate) fn over(self, endpoint: &Endpoint) -> Probing {
        Probing {
            probe: self,
            channel: endpoint.channel(),
        }
    }

    fn unimplemented(&self, text: Option<String>) -> Result<Option<String>, PingError> {
        match self.kind {
            Kind::Health => Ok(None),
            Kind::Ping => Err(PingError {
                unimplemented: true,
                message: match text {
                    Some(text) if !text.is_empty() => format!("unimplemented: {text}"),
                    Some(_) | None => "unimplemented".to_owned(),
                },
                source: None,
            }),
        }
    }

    fn read(&self, answer: &[u8]) -> Result<Option<String>, PingError> {
        let message = unframed(answer).ok_or_else(|| failed("its answer is no message".into()))?;
        let field = first_field(message).ok_or_else(|| failed("its answer is cut off".into()))?;
        Ok(match (self.kind, field) {
            (Kind::Ping, Field::Bytes(reason)) if !reason.is_empty() => {
                Some(String::from_utf8_lossy(reason).into_owned())
            }
            (Kind::Ping, _) | (Kind::Health, Field::Number(1)) => None,
            (Kind::Health, Field::Number(2)) => Some("not serving".to_owned()),
            (Kind::Health, _) => Some("its health is unknown".to_owned()),
        })
    }
}

impl Ping for Probing {
    async fn ask(&self) -> Result<Option<String>, PingError> {
        self.probe.ask(&self.channel).await
    }
}

fn failed(message: String) -> PingError {
    PingError {
        unimplemented: false,
        message,
        source: None,
    }
}

async fn collect(body: ResponseBody) -> Result<(Vec<u8>, HeaderMap), PingError> {
    let mut body = pin!(Limited::new(body, LARGEST));
    let (mut message, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.downcast::<ChannelError>() {
            Ok(error) => PingError::new(false, *error),
            Err(error) => failed(error.to_string()),
        })?;
        match frame.into_data() {
            Ok(mut data) => message.extend_from_slice(&data.copy_to_bytes(data.remaining())),
            Err(frame) => {
                if let Ok(map) = frame.into_trailers() {
                    trailers = map;
                }
            }
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok((message, trailers))
}

fn status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}

/// With `%XX` in it read as the bytes that they stand for.
fn text(headers: &HeaderMap) -> Option<String> {
    let mut encoded = headers.get("grpc-message")?.as_bytes();
    let mut text = Vec::with_capacity(encoded.len());
    while let [first, rest @ ..] = encoded {
        let hex = rest.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        text.push(byte.unwrap_or(*first));
        encoded = if byte.is_some() { &rest[2..] } else { rest };
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The one message of an answer: a flag, four bytes of length, and the rest.
fn unframed(answer: &[u8]) -> Option<&[u8]> {
    let (head, message) = answer.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    // Compression was not offered.
    (head[0] == 0 && message.len() == length as usize).then_some(message)
}

enum Field<'a> {
    Absent,
    Number(u64),
    Bytes(&'a [u8]),
}

/// The value of field 1; the last, if there are several. `None` when it is no protobuf.
fn first_field(mut message: &[u8]) -> Option<Field<'_>> {
    let mut found = Field::Absent;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut message)?),
            1 => Field::Bytes(take(&mut message, 8)?),
            2 => {
                let length = varint(&mut message)?;
                Field::Bytes(take(&mut message, length)?)
            }
            5 => Field::Bytes(take(&mut message, 4)?),
            _ => return None,
        };
        if key >> 3 == 1 {
            found = value;
        }
    }
    Some(found)
}

fn take<'a>(message: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(usize::try_from(length).ok()?)?;
    *message = rest;
    Some(taken)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[0][..], &length.to_be_bytes(), message].concat()
    }

    #[test]
    fn answers_to_a_ping() {
        let probe = Probe::ping("kv.v1.KvService");
        assert_eq!(probe.path, "/kv.v1.KvService/Ping");
        for (message, expected) in [
            (&b""[..], None),
            (b"\x0a\x00", None),
            (b"\x0a\x05later", Some("later")),
            (b"\x12\x01x\x0a\x02no", Some("no")),
        ] {
            let reason = probe.read(&framed(message)).unwrap();
            assert_eq!(reason.as_deref(), expected, "{message:?}");
        }
        for garbage in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\0", b"\0\0\0\0\x01"] {
            assert!(probe.read(garbage).is_err(), "{garbage:?}");
        }
        assert!(probe.read(&framed(b"\x0a\x05x")).is_err());
    }

    #[test]
    fn messages_of_a_status_are_decoded() {
        for (encoded, expected) in [
            ("a b", "a b"),
            ("%C3%A4%0A100%25", "\u{e4}\n100%"),
            ("100% %zz %4", "100% %zz %4"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-message", encoded.parse().unwrap());
            assert_eq!(text(&headers).unwrap(), expected);
        }
    }

    #[test]
    fn answers_to_a_question_for_health() {
        let probe = Probe::health();
        assert_eq!(probe.read(&framed(b"\x08\x01")).unwrap(), None);
        let sick = probe.read(&framed(b"\x08\x02")).unwrap();
        assert_eq!(sick.as_deref(), Some("not serving"));
        assert!(probe.read(&framed(b"")).unwrap().is_some());
        assert_eq!(probe.unimplemented(None).unwrap(), None);
        let ping = Probe::ping("x").unimplemented(None).unwrap_err();
        assert!(ping.unimplemented);
    }
}
