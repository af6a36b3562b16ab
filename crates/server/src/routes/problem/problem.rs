//! The shape.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::registry::chain;

/// An error that is told to a client. Turned into a response it is an empty one that carries the
/// problem as an extension: `routes::observe` writes the body, which knows the trace.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    inner: Box<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    extra: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is logged and not shown.
    hidden: Option<String>,
}

/// Why a request was not answered with what it asked for (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `urn:jackfield:problem:` and the kind of problem, which programs may rely on.
    #[serde(rename = "type")]
    #[schema(
        pattern = "^urn:jackfield:problem:[a-z-]+$",
        example = "urn:jackfield:problem:no-such-plugin"
    )]
    kind: String,
    /// The kind, for people.
    #[schema(example = "No such plugin")]
    title: String,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// What went wrong this time, for people.
    detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// By this the server's log tells more.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: String,
    /// Everything that is wrong with what was sent, each with its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<ProblemPlace>>,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Why a plugin failed, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    failure: Option<Value>,
    /// The error that a plugin answered with (JSON-RPC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    fault: Option<Value>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemPlace {
    /// Where in the document; empty for all of it.
    path: String,
    /// What.
    message: String,
}

impl Problem {
    /// A problem of this kind: `no-such-plugin`, from which type and title are made.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                status,
                kind,
                detail: detail.into(),
                extra: Map::new(),
                headers: Vec::new(),
                hidden: None,
            }),
        }
    }

    /// 400.
    pub(crate) fn wrong(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// 404.
    pub(crate) fn missing(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, detail)
    }

    /// 409.
    pub(crate) fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// 503, with `Retry-After`.
    pub(crate) fn unavailable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 500: what happened is in the log, and only there.
    pub(crate) fn internal(error: &dyn Error) -> Self {
        Self::internal_text(chain(error))
    }

    /// 500, of something that is no error type.
    pub(crate) fn internal_text(what: impl Into<String>) -> Self {
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong in the server; its log says more under this trace_id",
        );
        problem.inner.hidden = Some(what.into());
        problem
    }

    /// The same problem, with something that is logged and not shown.
    pub(crate) fn hiding(mut self, error: &dyn Error) -> Self {
        self.inner.hidden = Some(chain(error));
        self
    }

    /// The same problem with another member.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.inner.extra.insert(member.to_owned(), value.into());
        self
    }

    /// The same problem with what is wrong at each place.
    pub(crate) fn places(self, places: impl Iterator<Item = (String, String)>) -> Self {
        let places: Vec<Value> = places
            .map(|(path, message)| serde_json::json!({"path": path, "message": message}))
            .collect();
        self.with("problems", places)
    }

    /// The same problem with a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.push((name, value));
        self
    }

    /// What went wrong, for the audit log.
    pub(crate) fn detail(&self) -> &str {
        &self.inner.detail
    }

    /// What is logged and not shown.
    pub(crate) fn hidden(&self) -> Option<&str> {
        self.inner.hidden.as_deref()
    }

    /// As JSON.
    pub(crate) fn body(&self, trace_id: &str, instance: Option<&str>) -> Value {
        let inner = &self.inner;
        let mut title = inner.kind.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let mut body = serde_json::json!({
            "type": format!("urn:jackfield:problem:{}", inner.kind),
            "title": title,
            "status": inner.status.as_u16(),
            "detail": inner.detail,
            "trace_id": trace_id,
        });
        if let (Some(instance), Some(object)) = (instance, body.as_object_mut()) {
            object.insert("instance".to_owned(), instance.into());
        }
        if let Some(object) = body.as_object_mut() {
            object.extend(inner.extra.clone());
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.inner.status.into_response();
        for (name, value) in &self.inner.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}
