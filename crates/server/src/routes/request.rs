//! Around every request: its trace, its line in the log, panics, and the body of problems.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jackfield::rpc::trace::within;
use jackfield::wire::Traceparent;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use super::problem::Problem;
use crate::observe;

/// The trace of a request, an extension of it.
#[derive(Debug, Clone)]
pub(crate) struct Trace(pub(crate) String);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Wraps every request of the API. The query is not logged, nor is anything of the headers but the
/// request's id.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let traceparent = request.headers().get(TRACEPARENT).cloned();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("-", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        %method,
        route,
        trace_id = field::Empty,
        request_id = field::Empty,
        status = field::Empty,
        actor = field::Empty,
    );
    let own = observe::begin(&span, traceparent.as_ref().and_then(parent_of));
    let own = own.or_else(observe::new_trace);
    let trace = Trace(own.map_or_else(String::new, |own| own.trace_id().to_owned()));
    let id = request_id(request.headers()).unwrap_or_else(|| trace.0.clone());
    span.record("trace_id", &trace.0).record("request_id", &id);
    request.extensions_mut().insert(trace.clone());
    // What plugins are called for belongs to the same trace.
    let answered = within(own, next.run(request).instrument(span.clone()));
    let answered = AssertUnwindSafe(answered).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Problem::internal_text(format!("panic: {what}")).into_response()
    });
    span.in_scope(|| finish(&mut response, &trace, &path));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(traceparent) = traceparent {
        response.headers_mut().insert(TRACEPARENT, traceparent);
    }
    let status = response.status().as_u16();
    span.record("status", status);
    observe::request(&method, &route, status, began.elapsed());
    log(&span, began.elapsed());
    response
}

/// Writes the body of a problem.
fn finish(response: &mut Response, trace: &Trace, path: &str) {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return;
    };
    if let Some(hidden) = problem.hidden() {
        tracing::error!(error = hidden, "a request failed");
    }
    let body = problem.body(&trace.0, Some(path)).to_string();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
}

/// The span says what was asked and what was answered.
fn log(span: &Span, took: Duration) {
    let ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
    span.in_scope(|| tracing::info!(ms, "answered"));
}

/// The id that the client gave the request, if it is a sensible one.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sensible = !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic());
    sensible.then(|| id.to_owned())
}

/// What a `traceparent` header says (W3C Trace Context); one of a later version is read as far as
/// this one goes, as they ask for.
fn parent_of(value: &HeaderValue) -> Option<Traceparent> {
    let text = value.to_str().ok()?;
    let (version, rest) = text.split_once('-')?;
    let later = version != "00";
    if version == "ff"
        || later
            && !rest
                .get(52..)
                .is_none_or(|more| more.is_empty() || more.starts_with('-'))
    {
        return None;
    }
    let rest = if later { rest.get(..52)? } else { rest };
    format!("00-{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_from_a_traceparent_that_is_one() {
        for (header, trace) in [
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            ),
            (
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                None,
            ),
            (
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                None,
            ),
            (
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                None,
            ),
            (
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            ),
            (
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
                None,
            ),
            ("nonsense", None),
        ] {
            let found = parent_of(&HeaderValue::from_static(header));
            assert_eq!(found.as_ref().map(Traceparent::trace_id), trace, "{header}");
        }
    }
}
