//! One call.

use std::sync::Arc;

use http::header::USER_AGENT;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use tokio::time::{Instant, timeout_at};

use super::body::ResponseBody;
use super::deadline;
use super::error::ChannelError;
use super::link::{NEVER, RequestBody};
use super::service::Shared;

/// How often a request that was not sent is tried on another connection.
const TRIES: u32 = 4;

const TOKEN: HeaderName = HeaderName::from_static(jackfield_wire::grpc::TOKEN_HEADER);
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("jackfield-grpc/", env!("CARGO_PKG_VERSION")));

/// Sends a request and waits for the head of its answer, until its deadline. Dropped, the call is reset.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, ChannelError> {
    let grpc = deadline::is_grpc(request.headers());
    let given = deadline::deadline(request.headers()).or_else(|| {
        let default = shared.default_timeout()?;
        deadline::announce(request.headers_mut(), default);
        Some(default)
    });
    let deadline = given.map(|given| (Instant::now() + given.min(NEVER), given));
    address(&shared, &mut request);
    let kind = grpc.then(|| request.headers().get(http::header::CONTENT_TYPE).cloned());
    // In two pieces: an allocator has them at hand, and one as large as both it has to look for.
    let sent = Box::pin(send(&shared, request));
    let outcome = match deadline {
        Some((at, given)) => timeout_at(at, sent)
            .await
            .unwrap_or(Err(ChannelError::DeadlineExceeded(given))),
        None => sent.await,
    };
    match outcome {
        Ok(response) => {
            let limit = shared.config.max_message_size;
            Ok(response.map(|body| ResponseBody::new(body, grpc, deadline, limit)))
        }
        Err(error) => {
            let headers = kind
                .flatten()
                .map(|kind| (http::header::CONTENT_TYPE, kind));
            error.respond(&headers.into_iter().collect())
        }
    }
}

async fn send(
    shared: &Shared,
    mut request: Request<RequestBody>,
) -> Result<Response<hyper::body::Incoming>, ChannelError> {
    let mut tries = 0;
    loop {
        let mut sender = shared.sender().await?;
        tries += 1;
        match sender.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(mut error) => match error.take_message() {
                // It never left, so nobody has seen it.
                Some(unsent) if tries < TRIES => request = unsent,
                Some(_) | None => return Err(shared.explain(error.into_error()).await),
            },
        }
    }
}

/// To this endpoint, whatever the client thinks it talks to; with the token.
fn address(shared: &Shared, request: &mut Request<RequestBody>) {
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(shared.config.authority.clone());
    parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(parts).expect("it has all three");
    shared.called(request.uri().path());
    let headers = request.headers_mut();
    headers.remove(http::header::HOST);
    headers.entry(USER_AGENT).or_insert(AGENT);
    headers.insert(TOKEN, shared.config.token.clone());
}
