//! Plain HTTP beside the services.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower_service::Service;

use super::answer::BoxError;

pub(crate) type PlainBody = UnsyncBoxBody<Bytes, BoxError>;
type Answering = BoxFuture<'static, Result<Response<PlainBody>, BoxError>>;

/// The body of a request to a plain HTTP path, as it comes in.
#[derive(Debug)]
pub struct Body(pub(crate) hyper::body::Incoming);

/// Reading a request's body failed: the peer went away, or broke the protocol.
#[derive(Debug)]
pub struct BodyError(hyper::Error);

/// Handlers by path.
#[derive(Clone, Default)]
pub(crate) struct Paths(Vec<(String, Arc<dyn Handle>)>);

trait Handle: Send + Sync {
    fn handle(&self, request: Request<Body>) -> Answering;
}

struct Function<F>(F);
struct Tower<S>(std::sync::Mutex<S>);

impl Paths {
    /// A function for a path. False if the path has one already.
    pub(crate) fn add<F, A, B>(&mut self, path: &str, function: F) -> bool
    where
        F: Fn(Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.insert(path, Arc::new(Function(function)))
    }

    /// A tower service for a path. False if the path has one already.
    pub(crate) fn add_service<S, B>(&mut self, path: &str, service: S) -> bool
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.insert(path, Arc::new(Tower(std::sync::Mutex::new(service))))
    }

    fn insert(&mut self, path: &str, handle: Arc<dyn Handle>) -> bool {
        let free = self.0.iter().all(|(taken, _)| taken != path);
        if free {
            self.0.push((path.to_owned(), handle));
        }
        free
    }

    /// Whether a request for this path is answered here.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// None where the path is not there.
    pub(crate) fn handle(&self, request: Request<Body>) -> Option<Answering> {
        let handle = self.find(request.uri().path())?;
        Some(handle.handle(request))
    }

    /// The very path, or the longest that ends in a slash and leads to it.
    fn find(&self, path: &str) -> Option<&dyn Handle> {
        self.0
            .iter()
            .filter(|(taken, _)| {
                taken == path || (taken.ends_with('/') && path.starts_with(taken.as_str()))
            })
            .max_by_key(|(taken, _)| taken.len())
            .map(|(_, handle)| &**handle)
    }
}

impl<F, A, B> Handle for Function<F>
where
    F: Fn(Request<Body>) -> A + Send + Sync,
    A: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn handle(&self, request: Request<Body>) -> Answering {
        (self.0)(request)
            .map(|response| Ok(response.map(boxed)))
            .boxed()
    }
}

impl<S, B> Handle for Tower<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn handle(&self, request: Request<Body>) -> Answering {
        let mut service = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        async move {
            std::future::poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            let response = service.call(request).await.map_err(Into::into)?;
            Ok(response.map(boxed))
        }
        .boxed()
    }
}

fn boxed<B>(body: B) -> PlainBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request's body cannot be read: {}", self.0)
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(path, _)| path))
            .finish()
    }
}
