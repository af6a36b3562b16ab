//! Methods of plugins, called; methods of the application, mapped.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jackfield::RawJson;
use jackfield::rpc::CallOptions;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Caller;
use super::extract::{self, Id, Named, Sent};
use super::operation::Operation;
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::store::{Permission, Target};

/// What is called.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct PluginCall {
    #[schema(example = "ping", min_length = 1)]
    method: String,
    #[schema(value_type = Option<serde_json::Value>)]
    params: Option<Box<RawValue>>,
    /// Milliseconds; the server's own deadline where it is left out.
    #[schema(minimum = 1, maximum = 3_600_000)]
    #[serde(default, deserialize_with = "extract::whole_number")]
    deadline_ms: Option<u64>,
}

/// What it answered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PluginAnswer {
    #[schema(value_type = serde_json::Value)]
    result: RawJson,
}

/// The methods that are mapped, by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MethodList {
    methods: Vec<MethodShown>,
}

/// Where calls of a method go.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Method)]
struct MethodShown {
    name: String,
    url: String,
    timeout_ms: u64,
    #[schema(format = DateTime)]
    updated_at: String,
    updated_by: String,
    /// What requests are signed with, when it was made here: in this answer and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Where calls of a method are to go.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct NewMethod {
    #[schema(
        example = "https://app.example/hooks/robot_run",
        pattern = "^https?://"
    )]
    url: String,
    /// Milliseconds; 30 s where it is left out.
    #[schema(minimum = 1, maximum = 3_600_000)]
    #[serde(default, deserialize_with = "extract::whole_number")]
    timeout_ms: Option<u64>,
    /// What requests are signed with: `whsec_` and base64 of 24 to 64 bytes. One is made where it is
    /// left out.
    #[schema(
        pattern = "^whsec_([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{4}([A-Za-z0-9+/][AQgw]==)?|[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
    )]
    secret: Option<String>,
}

/// The timeout of a mapped method for which none is given.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What plugins are asked in another way only, and in which.
const ELSEWHERE: [(&str, &str); 2] = [
    ("event", "POST /api/events"),
    ("configure", "PATCH /api/plugins/{id}/configuration"),
];
/// The longest deadline of a call.
const LONGEST: u64 = 3_600_000;

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let operate = Operation::needs(Permission::Operate);
    let admin = Operation::needs(Permission::Admin);
    OpenApiRouter::new()
        .routes(operate.guard(app, routes!(call)))
        .routes(admin.guard(app, routes!(list)))
        .routes(admin.audited("method.set").guard(app, routes!(set)))
        .routes(admin.audited("method.delete").guard(app, routes!(delete)))
}

/// Calls a method of a plugin. An error that the plugin answers with is a problem with `fault`. `event`
/// and `configure` are not called: they have operations of their own.
#[utoipa::path(post, path = "/plugins/{id}/call", operation_id = "PluginCall", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    request_body = PluginCall,
    responses((status = 200, description = "What it answered.", body = PluginAnswer)))]
async fn call(
    State(app): State<App>,
    Id(id): Id,
    Sent(call): Sent<PluginCall>,
) -> Result<Json<PluginAnswer>, Problem> {
    let mut options = CallOptions::default();
    match call.deadline_ms {
        None => {}
        Some(ms) if (1..=LONGEST).contains(&ms) => {
            options.deadline = Some(Duration::from_millis(ms));
        }
        Some(_) => {
            let detail = "`deadline_ms` is 1 to 3600000";
            return Err(Problem::wrong("invalid-body", detail));
        }
    }
    // They have permissions and guarantees of their own.
    if let Some((_, way)) = ELSEWHERE.iter().find(|(method, _)| *method == call.method) {
        let detail = format!("`{}` is not called: see {way}", call.method);
        return Err(Problem::wrong("not-called", detail));
    }
    let params = call.params.as_deref();
    let called = app.registry().call(id, &call.method, params, options);
    let result = called.await.map_err(|error| {
        if app.draining().is_cancelled() && error.is_gone() {
            return Problem::unavailable("shutting-down", "the server is shutting down");
        }
        error.into()
    })?;
    Ok(Json(PluginAnswer { result }))
}

/// The methods that plugins may call and the application answers, by name.
#[utoipa::path(get, path = "/methods", operation_id = "MethodList", tag = "methods",
    responses((status = 200, description = "The methods.", body = MethodList)))]
async fn list(State(app): State<App>) -> Result<Json<MethodList>, Problem> {
    let targets = app.store().targets().await?;
    Ok(Json(MethodList {
        methods: targets.into_iter().map(MethodShown::from).collect(),
    }))
}

/// Maps a method to an endpoint of the application: calls of plugins are posted there, signed
/// (Standard Webhooks), and what it answers is the answer.
#[utoipa::path(put, path = "/methods/{name}", operation_id = "MethodSet", tag = "methods",
    params(("name" = String, Path, description = "The method.")),
    request_body = NewMethod,
    responses((status = 200, description = "The method.", body = MethodShown)))]
async fn set(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named,
    Sent(new): Sent<NewMethod>,
) -> Result<Json<MethodShown>, Problem> {
    let timeout = new.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
    let secret = new.secret.as_deref();
    let (target, made) = app
        .application()
        .set(&name, &new.url, secret, timeout, &caller.name)
        .await?;
    let mut shown = MethodShown::from(target);
    shown.secret = made;
    Ok(Json(shown))
}

/// Maps a method no more.
#[utoipa::path(delete, path = "/methods/{name}", operation_id = "MethodDelete", tag = "methods",
    params(("name" = String, Path, description = "The method.")),
    responses((status = 204, description = "It is not mapped any more.")))]
async fn delete(State(app): State<App>, Named(name): Named) -> Result<StatusCode, Problem> {
    let sensible = !name.chars().any(char::is_control);
    if sensible && app.store().remove_target(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let detail = "no such method is mapped";
        Err(Problem::missing("no-such-method", detail))
    }
}

impl From<Target> for MethodShown {
    fn from(target: Target) -> Self {
        Self {
            name: target.name,
            url: target.url,
            timeout_ms: u64::try_from(target.timeout.as_millis()).unwrap_or(u64::MAX),
            updated_at: rfc3339(target.updated_at),
            updated_by: target.updated_by,
            secret: None,
        }
    }
}
