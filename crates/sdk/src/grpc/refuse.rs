//! Answers that no service gives.

use std::time::Duration;

use bytes::Bytes;
use connectrpc::{ConnectError, ConnectRpcBody, MethodDescriptor, MethodKind, Protocol};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, EXPECT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};

use super::answer::Answer;

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const OF_UNARY: &str = "application/grpc, application/grpc+json, application/grpc+proto, \
                        application/grpc-web, application/grpc-web+json, \
                        application/grpc-web+proto, application/json, application/proto";
const OF_STREAMS: &str = "application/connect+json, application/connect+proto, application/grpc, \
                          application/grpc+json, application/grpc+proto, application/grpc-web, \
                          application/grpc-web+json, application/grpc-web+proto";

const MOST_DRAINED: u64 = 1 << 20;
const DRAIN: Duration = Duration::from_secs(1);
const DRAIN_STREAM: Duration = Duration::from_millis(100);

/// An error in the caller's protocol.
pub(crate) fn error(error: ConnectError, kind: Option<HeaderValue>) -> Response<Answer> {
    let headers = kind.map(|kind| (CONTENT_TYPE, kind)).into_iter().collect();
    error.into_http_response(&headers).map(Answer::Rpc)
}

/// What tells a caller's protocol.
pub(crate) fn kind<B>(request: &Request<B>) -> Option<HeaderValue> {
    request.headers().get(CONTENT_TYPE).cloned()
}

/// The path leads nowhere. Clients of every protocol read that as UNIMPLEMENTED.
pub(crate) fn not_found() -> Response<Answer> {
    let mut response = plain(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Wrong in a way that is told by the request's head alone.
pub(crate) fn by_head<B>(
    request: &Request<B>,
    method: MethodDescriptor,
) -> Option<Response<Answer>> {
    if method.kind == MethodKind::BidiStreaming && request.version() < Version::HTTP_2 {
        let mut response = plain(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "");
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        return Some(response);
    }
    let by_get = method.kind == MethodKind::Unary && method.idempotent;
    match *request.method() {
        Method::GET if by_get => None,
        Method::POST => wrong_type(request, method.kind),
        _ => {
            let allowed = if by_get { "GET, POST" } else { "POST" };
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allowed));
            Some(response)
        }
    }
}

/// gRPC's types are for all methods; Connect has one for streams and another for the rest.
fn wrong_type<B>(request: &Request<B>, kind: MethodKind) -> Option<Response<Answer>> {
    let unary = kind == MethodKind::Unary;
    let fits = match Protocol::detect(request.headers()) {
        Some(protocol) if protocol.protocol == Protocol::Connect => protocol.is_streaming != unary,
        Some(protocol) => !protocol.is_text_mode,
        None => false,
    };
    if fits {
        return None;
    }
    let mut response = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "");
    let accepted = if unary { OF_UNARY } else { OF_STREAMS };
    response
        .headers_mut()
        .insert(ACCEPT_POST, HeaderValue::from_static(accepted));
    Some(response)
}

/// Reads what the client is still sending, within reason: it may not look for an answer before it has sent all, and
/// would find the connection broken instead, or in HTTP/2 the stream reset.
pub(crate) async fn after<B>(answer: Response<Answer>, request: Request<B>) -> Response<Answer>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = request.into_parts();
    let length = body.size_hint().exact();
    if head.headers.contains_key(EXPECT)
        || answer.status() == StatusCode::HTTP_VERSION_NOT_SUPPORTED
        || length.is_some_and(|length| length > MOST_DRAINED)
    {
        return answer;
    }
    let drained = async {
        let mut left = MOST_DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            let taken = frame.data_ref().map_or(0, |data| data.len() as u64);
            left = match left.checked_sub(taken) {
                Some(left) => left,
                None => break,
            };
        }
    };
    // Of a stream nobody knows how long it stays open. Whoever takes longer has its answer all the same.
    let patience = length.map_or(DRAIN_STREAM, |_| DRAIN);
    drop(tokio::time::timeout(patience, drained).await);
    answer
}

/// Text, and nothing but a status.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    let body = ConnectRpcBody::Full(Full::new(Bytes::from_static(text.as_bytes())));
    let mut response = Response::new(Answer::Rpc(body));
    *response.status_mut() = status;
    response
}
