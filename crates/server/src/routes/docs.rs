//! The description of the API, and a page to read it and try it out.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, header};
use utoipa_swagger_ui::Config;

use super::app::App;
use super::extract::Named;
use super::problem::Problem;

const OPENAPI: &str = "/api/openapi.json";

/// Nothing from elsewhere, and nobody frames it.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(OPENAPI, get(openapi))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || page("")))
        .route("/docs/{*file}", get(async |Named(file): Named| page(&file)))
}

async fn openapi(State(app): State<App>) -> Response {
    let text = app.openapi().get().cloned().unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text).into_response()
}

/// A file of Swagger UI, all of which are in this program.
fn page(file: &str) -> Response {
    let config = Config::from(OPENAPI)
        .try_it_out_enabled(true)
        .persist_authorization(false)
        .display_operation_id(true)
        // By default it would ask a server on the internet whether the description is valid.
        .validator_url("none");
    match utoipa_swagger_ui::serve(file, Arc::new(config)) {
        Ok(Some(file)) => {
            let kind = HeaderValue::from_str(&file.content_type)
                .unwrap_or(HeaderValue::from_static("application/octet-stream"));
            let headers: [(HeaderName, HeaderValue); 3] = [
                (header::CONTENT_TYPE, kind),
                (
                    header::CONTENT_SECURITY_POLICY,
                    HeaderValue::from_static(POLICY),
                ),
                (
                    header::X_CONTENT_TYPE_OPTIONS,
                    HeaderValue::from_static("nosniff"),
                ),
            ];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::missing("no-such-path", "there is no such page").into_response(),
        Err(error) => Problem::internal_text(error.to_string()).into_response(),
    }
}
