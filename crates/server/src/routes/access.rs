//! What plugins are allowed.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::{Caller, effective};
use super::extract::{Id, Sent};
use super::operation::Operation;
use super::problem::Problem;
use super::tokens::PREFIX;
use crate::calls::handle;
use crate::store::{Permission, Record};

/// What a plugin asks for, and has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Access {
    /// What its manifest asks for.
    requested: Vec<String>,
    /// What an administrator granted of that.
    granted: Vec<String>,
    /// The handle it has in the application, made of what it asks for and the end of its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    /// The first characters of its access token, where its manifest asks for access at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_prefix: Option<String>,
}

/// What is granted from now on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Grants {
    /// What the manifest does not ask for is left out.
    granted: Vec<String>,
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    let admin = Operation::needs(Permission::Admin);
    OpenApiRouter::new()
        .routes(read.guard(app, routes!(get)))
        .routes(admin.guard(app, routes!(grant)))
        .routes(admin.guard(app, routes!(rotate)))
}

/// What a plugin asks for, and has.
#[utoipa::path(get, path = "/plugins/{id}/access", operation_id = "PluginGetAccess", tag = "access",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "Its access.", body = Access)))]
async fn get(State(app): State<App>, Id(id): Id) -> Result<Json<Access>, Problem> {
    let installed = app.registry().get(id).await??;
    Ok(Json(Access::of(&app, &installed.record)))
}

/// Grants a plugin this, and nothing else.
#[utoipa::path(put, path = "/plugins/{id}/access", operation_id = "PluginGrantAccess", tag = "access",
    params(("id" = String, Path, description = "The installation.")),
    request_body = Grants,
    responses((status = 200, description = "Its access.", body = Access)))]
async fn grant(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Sent(grants): Sent<Grants>,
) -> Result<Json<Access>, Problem> {
    app.registry()
        .grant(id, grants.granted, &caller.name)
        .await??;
    let installed = app.registry().get(id).await??;
    Ok(Json(Access::of(&app, &installed.record)))
}

/// A new access token for a plugin, which asks for it with `access_get`. The old one is worthless
/// at once.
#[utoipa::path(post, path = "/plugins/{id}/access/rotate", operation_id = "PluginRotateAccess", tag = "access",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 204, description = "There is another one.")))]
async fn rotate(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    app.registry().rotate_access(id, &caller.name).await??;
    Ok(StatusCode::NO_CONTENT)
}

impl Access {
    fn of(app: &App, record: &Record) -> Self {
        let access = record.manifest.access.as_ref();
        let prefix = || {
            let key = &app.registry().parts().key;
            let token = key.access_token(record.id, record.access_generation);
            // Behind `sdbak_` and the id.
            token.chars().take(26 + PREFIX / 2).collect()
        };
        Self {
            requested: access.map(|a| a.permissions.clone()).unwrap_or_default(),
            granted: effective(record),
            handle: handle(&record.manifest, record.id),
            token_prefix: access.map(|_| prefix()),
        }
    }
}
