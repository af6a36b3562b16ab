//! What plugins are configured with.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Caller;
use super::extract::{Asked, Id, Sent};
use super::operation::Operation;
use super::problem::Problem;
use crate::registry::Configuration;
use crate::store::Permission;

/// What can be configured.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Schema {
    /// As the manifest has them.
    #[schema(value_type = Vec<super::manifest::ConfigurationField>)]
    fields: Value,
}

/// Whether the plugin has to be there.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Connected {
    /// `required` refuses while the plugin is not connected; otherwise it is told when it connects.
    #[param(inline)]
    connected: Option<Required>,
}

/// It has to be.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Required {
    Required,
}

/// The secret fields that are set, by commas; their values are never shown.
const SECRETS: HeaderName = HeaderName::from_static("jackfield-secrets-set");

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    let operate = Operation::needs(Permission::Operate);
    OpenApiRouter::new()
        .routes(read.guard(app, routes!(schema)))
        .routes(read.guard(app, routes!(get)))
        .routes(operate.guard(app, routes!(update)))
}

/// What can be configured, as the manifest has it.
#[utoipa::path(get, path = "/plugins/{id}/configuration-schema", operation_id = "PluginGetConfigurationSchema",
    tag = "configuration",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "The fields; none where there is nothing to configure.", body = Schema)))]
async fn schema(State(app): State<App>, Id(id): Id) -> Result<Json<Schema>, Problem> {
    let installed = app.registry().get(id).await??;
    let fields = match &installed.record.manifest.configuration_schema {
        Some(schema) => serde_json::to_value(&schema.fields).unwrap_or_default(),
        None => Value::Array(Vec::new()),
    };
    Ok(Json(Schema { fields }))
}

/// What is configured. Secret fields are left out; those that are set are named in the header
/// `Jackfield-Secrets-Set`.
#[utoipa::path(get, path = "/plugins/{id}/configuration", operation_id = "PluginGetConfiguration",
    tag = "configuration",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "The configuration.", body = Object,
        headers(("Jackfield-Secrets-Set" = String, description = "The secret fields that are set, by commas.")))))]
async fn get(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let configuration = app.registry().configuration(id).await??;
    Ok(shown(configuration))
}

/// Replaces the configuration: checked against the schema, told to the plugin, stored. A secret
/// field that is left out keeps its value, `null` takes it away.
#[utoipa::path(patch, path = "/plugins/{id}/configuration", operation_id = "PluginUpdateConfiguration",
    tag = "configuration",
    params(("id" = String, Path, description = "The installation."), Connected),
    request_body = Object,
    responses((status = 200, description = "What is configured now.", body = Object,
        headers(("Jackfield-Secrets-Set" = String, description = "The secret fields that are set, by commas.")))))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Asked(connected): Asked<Connected>,
    Sent(config): Sent<Map<String, Value>>,
) -> Result<Response, Problem> {
    let must = connected.connected.is_some();
    let configuration = app
        .registry()
        .configure(id, config, must, &caller.name)
        .await?;
    Ok(shown(configuration))
}

fn shown(configuration: Configuration) -> Response {
    let mut response = Json(configuration.values).into_response();
    if let Ok(names) = HeaderValue::from_str(&configuration.secrets.join(",")) {
        response.headers_mut().insert(SECRETS, names);
    }
    response
}
