//! Where every request comes in.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use connectrpc::{ConnectError, ConnectRpcService, Dispatcher, Router};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use http::header::{CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use tokio::sync::watch;
use tower_service::Service;

use super::answer::Answer;
use super::guard::{Guard, panicked};
use super::health::{self, Stage};
use super::paths::{Body, Paths};
use super::refuse;
use super::starting::Starting;
use super::token::{self, Token};

const TRAILERS: &str = "grpc-status, grpc-message, grpc-status-details-bin";

/// Answers requests: by the plugin's services once there are any, before that by what can be said without them.
pub(crate) struct Door {
    token: Option<Token>,
    pings: ConnectRpcService<Starting>,
    health: ConnectRpcService<Router>,
    open: OnceLock<Open>,
}

/// What the plugin serves.
pub(crate) struct Open {
    pub(crate) rpc: ConnectRpcService<Guard<Router>>,
    pub(crate) paths: Paths,
}

impl Door {
    pub(crate) fn new(name: &str, token: Option<Token>, stage: watch::Receiver<Stage>) -> Self {
        Self {
            token,
            pings: ConnectRpcService::new(Starting::new(name)),
            health: ConnectRpcService::new(health::add(Router::new(), stage)),
            open: OnceLock::new(),
        }
    }

    /// Whether it opens to the host alone.
    #[cfg(feature = "profiling")]
    pub(crate) fn is_guarded(&self) -> bool {
        self.token.is_some()
    }

    /// From here on, the plugin answers for itself. Only the first time counts.
    pub(crate) fn open(&self, open: Open) {
        drop(self.open.set(open));
    }

    /// Answers one request. Never fails: a panic is an answer too.
    ///
    /// In a piece of memory below a kilobyte, which an allocator has at hand: for more, a thread takes a lock, often one
    /// that another thread holds. So what few requests need is in pieces of its own.
    pub(crate) fn answer(
        self: Arc<Self>,
        mut request: Request<Body>,
    ) -> BoxFuture<'static, Response<Answer>> {
        lower_type(request.headers_mut());
        let (kind, version) = (refuse::kind(&request), request.version());
        if let Some(token) = &self.token {
            if !token.is_in(request.headers()) {
                let error = ConnectError::unauthenticated(
                    "this plugin answers its host alone: the request does not carry its token",
                );
                return refuse::after(refuse::error(error, kind), request).boxed();
            }
            // It has done its work. Handlers log headers, and hand them on.
            request.headers_mut().remove(token::HEADER);
        }
        let answer = async move {
            match self.open.get() {
                Some(open) => open.answer(request).await,
                None => self.not_yet(request).boxed().await,
            }
        };
        let answer = AssertUnwindSafe(answer).catch_unwind().map(move |answer| {
            let mut answer = answer.unwrap_or_else(|_| refuse::error(panicked(), kind));
            if version < Version::HTTP_2 && is_grpc(&answer) {
                // In HTTP/1.1, trailers that are not announced are not sent.
                answer
                    .headers_mut()
                    .insert(TRAILER, HeaderValue::from_static(TRAILERS));
            }
            answer
        });
        answer.boxed()
    }

    async fn not_yet(&self, request: Request<Body>) -> Response<Answer> {
        let path = service_path(&request);
        let health = self.health.dispatcher().lookup(path);
        if let Some(method) = health.or_else(|| self.pings.dispatcher().lookup(path)) {
            if let Some(refused) = refuse::by_head(&request, method) {
                return refuse::after(refused, request).await;
            }
            let answer = match health {
                Some(_) => self.health.clone().call(request).await,
                None => self.pings.clone().call(request).await,
            };
            let Ok(answer) = answer;
            return answer.map(Answer::Rpc);
        }
        let error = ConnectError::unavailable("the plugin is starting");
        refuse::after(refuse::error(error, refuse::kind(&request)), request).await
    }
}

impl Open {
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Answer>> + Send {
        if self.paths.has(request.uri().path()) {
            return Either::Left(self.by_path(request).boxed());
        }
        let refused = match self.rpc.dispatcher().lookup(service_path(&request)) {
            Some(method) => refuse::by_head(&request, method),
            None => Some(refuse::not_found()),
        };
        if let Some(refused) = refused {
            return Either::Left(refuse::after(refused, request).boxed());
        }
        let answer = self.rpc.clone().call(request);
        Either::Right(answer.map(|Ok(answer)| answer.map(Answer::Rpc)))
    }

    async fn by_path(&self, request: Request<Body>) -> Response<Answer> {
        let Some(answer) = self.paths.handle(request) else {
            return refuse::not_found();
        };
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(answer)) => answer.map(Answer::Plain),
            Ok(Err(error)) => {
                tracing::error!(error = &*error, "A request could not be handled");
                refuse::plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
            Err(_) => refuse::plain(StatusCode::INTERNAL_SERVER_ERROR, ""),
        }
    }
}

/// gRPC itself: gRPC-Web has its trailers in the body.
fn is_grpc<B>(answer: &Response<B>) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        matches!(
            kind.as_bytes(),
            b"application/grpc" | b"application/grpc+proto" | b"application/grpc+json"
        )
    })
}

/// Types of content are the same in any case (RFC 9110, 8.3.1); connectrpc knows them in small letters.
fn lower_type(headers: &mut HeaderMap) {
    let Some(kind) = headers.get_mut(CONTENT_TYPE) else {
        return;
    };
    let bytes = kind.as_bytes();
    let essence = bytes
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(bytes.len());
    if bytes[..essence].iter().any(u8::is_ascii_uppercase) {
        let mut lower = bytes.to_vec();
        lower[..essence].make_ascii_lowercase();
        // The same characters, but for their case.
        if let Ok(lower) = HeaderValue::from_bytes(&lower) {
            *kind = lower;
        }
    }
}

fn service_path<B>(request: &Request<B>) -> &str {
    let path = request.uri().path();
    path.strip_prefix('/').unwrap_or(path)
}
