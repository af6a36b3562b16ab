//! What is answered before the constructor is done.

use bytes::Bytes;
use connectrpc::dispatcher::{RequestStream, StreamingResult, UnaryResult};
use connectrpc::{
    CodecFormat, ConnectError, Dispatcher, EncodedBody, MethodDescriptor, Payload, RequestContext,
    Response,
};
use futures_util::FutureExt;
use jackfield_wire::grpc;

/// Answers `Ping` of whichever service, whose answer may say why the plugin is not ready yet.
pub(crate) struct Starting {
    proto: Bytes,
    json: Bytes,
}

impl Starting {
    pub(crate) fn new(name: &str) -> Self {
        let reason = format!("{name} is starting");
        Self {
            proto: proto(&reason),
            json: serde_json::json!({ "notReady": reason }).to_string().into(),
        }
    }

    fn unavailable() -> ConnectError {
        ConnectError::unavailable("the plugin is starting")
    }
}

/// `/kv.v1.KvService/Ping`, and no other shape.
pub(crate) fn is_ping(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/')
        .is_some_and(|(service, method)| !service.is_empty() && method == grpc::PING)
}

/// A message whose only field, the first, is this text.
fn proto(reason: &str) -> Bytes {
    let mut message = vec![0x0a];
    let mut length = reason.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(reason.as_bytes());
    message.into()
}

impl Dispatcher for Starting {
    fn lookup(&self, path: &str) -> Option<MethodDescriptor> {
        is_ping(path).then(|| MethodDescriptor::unary(true))
    }

    fn call_unary(
        &self,
        _path: &str,
        _ctx: RequestContext,
        _request: Payload,
        format: CodecFormat,
    ) -> UnaryResult {
        let body = match format {
            CodecFormat::Json => self.json.clone(),
            _ => self.proto.clone(),
        };
        std::future::ready(Response::ok(EncodedBody::from(body))).boxed()
    }

    fn call_server_streaming(
        &self,
        _path: &str,
        _ctx: RequestContext,
        _request: Bytes,
        _format: CodecFormat,
    ) -> StreamingResult {
        std::future::ready(Err(Self::unavailable())).boxed()
    }

    fn call_client_streaming(
        &self,
        _path: &str,
        _ctx: RequestContext,
        _requests: RequestStream,
        _format: CodecFormat,
    ) -> UnaryResult {
        std::future::ready(Err(Self::unavailable())).boxed()
    }

    fn call_bidi_streaming(
        &self,
        _path: &str,
        _ctx: RequestContext,
        _requests: RequestStream,
        _format: CodecFormat,
    ) -> StreamingResult {
        std::future::ready(Err(Self::unavailable())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_one_of_a_service() {
        for (path, ping) in [
            ("/kv.v1.KvService/Ping", true),
            ("kv.v1.KvService/Ping", true),
            ("/Ping", false),
            ("//Ping", false),
            ("/kv.v1.KvService/ping", false),
            ("/a/b/Ping", false),
            ("/kv.v1.KvService/Pings", false),
        ] {
            assert_eq!(is_ping(path), ping, "{path}");
        }
    }

    #[test]
    fn the_reason_is_field_one() {
        assert_eq!(proto("ab")[..], [0x0a, 2, b'a', b'b']);
        let long = "x".repeat(300);
        assert_eq!(proto(&long)[..3], [0x0a, 0xac, 0x02]);
        assert_eq!(proto(&long).len(), 303);
    }
}
