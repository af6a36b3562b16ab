//! Figures, for Prometheus.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Caller;
use super::problem::Problem;
use crate::listen::Remote;
use crate::observe;
use crate::store::Permission;

/// What a proxy on this machine adds, which speaks for somebody else.
const FORWARDED: [HeaderName; 4] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Figures in Prometheus' text format. From this machine without a token; from elsewhere, and through
/// a proxy, with one that may `read`.
#[utoipa::path(get, path = "/metrics", operation_id = "Metrics", tag = "server",
    responses((status = 200, description = "The figures, now.", content_type = "text/plain", body = String)))]
async fn metrics(
    State(app): State<App>,
    remote: Option<Extension<Remote>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let here = remote.is_some_and(|remote| remote.0.0.ip().to_canonical().is_loopback());
    let forwarded = FORWARDED.iter().any(|name| headers.contains_key(name));
    if !here || forwarded {
        let caller = Caller::of(&app, &headers).await?;
        if !caller.may(Permission::Read) {
            let detail = "this needs the permission `read`, which this token does not have";
            let problem = Problem::new(StatusCode::FORBIDDEN, "not-permitted", detail);
            return Err(problem.with("permission", "read"));
        }
    }
    let content_type = HeaderValue::from_static(observe::CONTENT_TYPE);
    let text = observe::render(app.registry()).await;
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
