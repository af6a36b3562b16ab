//! Whether it is alive, whether it is ready, and what it is.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use jackfield::RuntimeProvider;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::operation::Operation;

/// The process answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether requests are of use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    /// What is not there: `database`, `plugins` (they are not loaded yet), `draining`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<&'static str>,
}

/// This server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Info {
    #[schema(example = "jackfield")]
    name: &'static str,
    version: &'static str,
    /// Where supervised plugins run: `none`, `local`, `sprites`.
    #[schema(example = "local")]
    runtime_provider: String,
    /// `plugins` when this server runs any.
    capabilities: Vec<&'static str>,
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(Operation::any_token().guard(app, routes!(info)))
}

/// What nobody needs a token for, outside of `/api`.
pub(crate) fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
}

/// The process answers.
#[utoipa::path(get, path = "/health", operation_id = "Health", tag = "server",
    responses((status = 200, description = "It does.", body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests are of use: the database answers, every plugin is loaded, and the server is not
/// about to end.
#[utoipa::path(get, path = "/ready", operation_id = "Ready", tag = "server",
    responses(
        (status = 200, description = "They are.", body = Ready),
        (status = 503, description = "Not now, and what is missing.", body = Ready)))]
async fn ready(State(app): State<App>) -> Response {
    let mut missing = Vec::new();
    let ping = tokio::time::timeout(std::time::Duration::from_secs(5), app.store().ping()).await;
    if !matches!(ping, Ok(Ok(()))) {
        missing.push("database");
    }
    if !app.is_loaded() {
        missing.push("plugins");
    }
    if app.draining().is_cancelled() {
        missing.push("draining");
    }
    if missing.is_empty() {
        let status = "ready";
        return Json(Ready { status, missing }).into_response();
    }
    let status = "not ready";
    let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
    let body = Json(Ready { status, missing });
    (StatusCode::SERVICE_UNAVAILABLE, retry, body).into_response()
}

/// What this server is, and where it runs plugins.
#[utoipa::path(get, path = "/info", operation_id = "Info", tag = "server",
    responses((status = 200, description = "This server.", body = Info)))]
async fn info(State(app): State<App>) -> Json<Info> {
    let provider = app.registry().parts().host.runtime_provider();
    Json(Info {
        name: "jackfield",
        version: env!("CARGO_PKG_VERSION"),
        runtime_provider: provider.to_string(),
        capabilities: if provider == RuntimeProvider::None {
            Vec::new()
        } else {
            vec!["plugins"]
        },
    })
}
