//! One call.

use std::pin::Pin;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, timeout_at};

use super::body::ResponseBody;
use super::deadline;
use super::error::ChannelError;
use super::link::{NEVER, RequestBody, Sender};
use super::service::Shared;

/// How often a request is tried that was not sent, in all.
const TRIES: u32 = 4;

const TOKEN: HeaderName = HeaderName::from_static(jackfield_wire::grpc::TOKEN_HEADER);
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("jackfield-grpc/", env!("CARGO_PKG_VERSION")));

type Sent = Result<Response<Incoming>, ChannelError>;

/// Sends a request, over an open connection at once, and waits for the head of its answer, until its deadline. Dropped,
/// the call is reset.
pub(crate) fn run(
    shared: Arc<Shared>,
    mut request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<ResponseBody>, ChannelError>> + Send {
    let grpc = deadline::is_grpc(request.headers());
    let given = deadline::deadline(request.headers()).or_else(|| {
        let default = shared.default_timeout()?;
        deadline::announce(request.headers_mut(), default);
        Some(default)
    });
    let deadline = given.map(|given| (Instant::now() + given.min(NEVER), given));
    address(&shared, &mut request);
    let kind = grpc.then(|| request.headers().get(CONTENT_TYPE).cloned());
    let limit = shared.config.max_message_size;
    let sent = sent(shared, request);
    async move {
        let outcome = match deadline {
            Some((at, given)) => timeout_at(at, sent)
                .await
                .unwrap_or(Err(ChannelError::DeadlineExceeded(given))),
            None => sent.await,
        };
        match outcome {
            Ok(response) => Ok(response.map(|body| ResponseBody::new(body, grpc, deadline, limit))),
            Err(error) => {
                let headers = kind.flatten().map(|kind| (CONTENT_TYPE, kind));
                error.respond(&headers.into_iter().collect())
            }
        }
    }
}

fn sent(
    shared: Arc<Shared>,
    request: Request<RequestBody>,
) -> Pin<Box<dyn Future<Output = Sent> + Send>> {
    match shared.up() {
        Some(sender) => Box::pin(over(sender, shared, request)),
        None => Box::pin(async {
            let sender = shared.sender().await?;
            over(sender, shared, request).await
        }),
    }
}

/// In a piece of memory below a kilobyte, which an allocator has at hand: for more, a thread takes a lock, often one
/// that another thread holds. So what is not needed by a call over an open connection is in pieces of its own.
fn over(
    mut sender: Sender,
    shared: Arc<Shared>,
    request: Request<RequestBody>,
) -> impl Future<Output = Sent> {
    let sent = sender.try_send_request(request);
    async move {
        match sent.await {
            Ok(response) => Ok(response),
            Err(error) => Box::pin(again(shared, error)).await,
        }
    }
}

/// Over other connections. The error has the request, and so the token: not for logs.
async fn again(shared: Arc<Shared>, mut error: TrySendError<Request<RequestBody>>) -> Sent {
    for _ in 1..TRIES {
        // It never left, so nobody has seen it.
        let Some(unsent) = error.take_message() else {
            break;
        };
        let sent = shared.sender().await?.try_send_request(unsent);
        match sent.await {
            Ok(response) => return Ok(response),
            Err(next) => error = next,
        }
    }
    Err(shared.explain(error.into_error()).await)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// It took 1,432 bytes, for an `async fn` keeps what it is given twice; each call then met the allocator's lock
    /// twice, which with 64 calls in flight was every twentieth wait of all.
    #[test]
    fn a_call_over_an_open_connection_fits_into_what_an_allocator_has_at_hand() {
        fn size_of_2<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        fn size_of_3<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let (run, over) = (size_of_2(run), size_of_3(over));
        assert!(run < 1024 && over < 1024, "{run}, {over}");
    }
}
