//! Plugins: listed, shown, removed, wanted or not, their manifests and tokens.

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use jackfield::{ActiveState, InstallationId, RuntimeProvider};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Caller;
use super::extract::{Asked, Id, Sent};
use super::jobs::Work;
use super::operation::Operation;
use super::plugin::{ModeShown, Plugin, State as Shown, Wanted, Wide};
use super::problem::Problem;
use super::request::Trace;
use crate::registry::{Job, JobKind};
use crate::store::Permission;

/// All plugins.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PluginList {
    plugins: Vec<Plugin>,
    /// Those that cannot be read, and why.
    unreadable: Vec<Unreadable>,
}

/// A plugin that cannot be read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Unreadable {
    id: String,
    why: String,
}

/// Which plugins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only these.
    #[param(inline)]
    mode: Option<ModeShown>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<Shown>,
    /// `1` shows `stopping` as what it is.
    #[param(inline)]
    wide: Option<Flag>,
}

/// How much is shown.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct HowWide {
    /// `1` shows `stopping` as what it is.
    #[param(inline)]
    wide: Option<Flag>,
}

/// Yes or no in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub(crate) enum Flag {
    #[serde(rename = "1")]
    One,
    #[serde(rename = "true")]
    True,
    #[serde(rename = "0")]
    Zero,
    #[serde(rename = "false")]
    False,
}

/// What is wanted.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct WantedState {
    active: Wanted,
}

/// A token, shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PluginToken)]
struct NewToken {
    #[schema(example = "sdprt_…")]
    token: String,
}

impl Flag {
    pub(crate) fn is_yes(self) -> bool {
        matches!(self, Self::One | Self::True)
    }
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    let operate = Operation::needs(Permission::Operate);
    let install = Operation::needs(Permission::Install);
    OpenApiRouter::new()
        .routes(read.guard(app, routes!(list)))
        .routes(read.guard(app, routes!(get)))
        .routes(install.guard(app, routes!(delete)))
        .routes(operate.guard(app, routes!(set_active)))
        .routes(operate.guard(app, routes!(start)))
        .routes(operate.guard(app, routes!(stop)))
        .routes(operate.guard(app, routes!(restart)))
        .routes(install.guard(app, routes!(cycle_token)))
        .routes(install.guard(app, routes!(update_manifest)))
}

/// All plugins, oldest first.
#[utoipa::path(get, path = "/plugins", operation_id = "PluginList", tag = "plugins", params(Filter),
    responses((status = 200, description = "All that fit.", body = PluginList)))]
async fn list(
    State(app): State<App>,
    Asked(filter): Asked<Filter>,
) -> Result<Json<PluginList>, Problem> {
    let provider = app.registry().parts().host.runtime_provider();
    if provider == RuntimeProvider::None && filter.mode != Some(ModeShown::External) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "plugins-disabled",
            "this server runs no plugins: its runtime provider is `none`; `?mode=external` lists those that dial in",
        ));
    }
    let (installed, unreadable) = app.registry().list().await?;
    let wide = Wide(filter.wide.is_some_and(Flag::is_yes));
    let mut plugins = Vec::with_capacity(installed.len());
    for installed in &installed {
        let plugin = Plugin::of(installed, wide);
        let mode = filter.mode.is_none_or(|mode| mode == plugin.mode());
        if mode && filter.state.is_none_or(|state| state == plugin.state()) {
            plugins.push(plugin);
        }
    }
    let unreadable = unreadable
        .into_iter()
        .map(|(id, why)| Unreadable { id, why })
        .collect();
    Ok(Json(PluginList {
        plugins,
        unreadable,
    }))
}

/// One plugin.
#[utoipa::path(get, path = "/plugins/{id}", operation_id = "PluginGet", tag = "plugins",
    params(("id" = String, Path, description = "The installation."), HowWide),
    responses((status = 200, description = "The plugin.", body = Plugin)))]
async fn get(
    State(app): State<App>,
    Id(id): Id,
    Asked(how): Asked<HowWide>,
) -> Result<Json<Plugin>, Problem> {
    let installed = app.registry().get(id).await??;
    let wide = Wide(how.wide.is_some_and(Flag::is_yes));
    Ok(Json(Plugin::of(&installed, wide)))
}

/// Stops a plugin and takes away everything of it: package, state, logs, configuration; its tokens
/// are worthless from then on.
#[utoipa::path(delete, path = "/plugins/{id}", operation_id = "PluginDelete", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 204, description = "It is gone.")))]
async fn delete(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    app.registry().remove(id, &caller.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Activates or deactivates a supervised plugin, and answers when it is so. With `Prefer:
/// respond-async` it answers at once, with a job.
#[utoipa::path(patch, path = "/plugins/{id}/active", operation_id = "PluginSetActiveState", tag = "plugins",
    params(("id" = String, Path, description = "The installation."),
        ("Prefer" = Option<String>, Header, description = "`respond-async` answers with a job.")),
    request_body = WantedState,
    responses((status = 200, description = "It is so.", body = Plugin),
        (status = 202, description = "A job does it.", body = Job)))]
async fn set_active(
    State(app): State<App>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Id(id): Id,
    headers: HeaderMap,
    Sent(wanted): Sent<WantedState>,
) -> Result<Response, Problem> {
    let wanted = ActiveState::from(wanted.active);
    let kind = match wanted {
        ActiveState::Active => JobKind::Start,
        ActiveState::Inactive => JobKind::Stop,
    };
    let work = Work::new(&app, &trace, id, kind);
    let (registry, by) = (app.registry().clone(), caller.name);
    work.answer(&headers, move |progress| async move {
        Ok(registry.set_active_state(id, wanted, &by, progress).await?)
    })
    .await
}

/// Activates a supervised plugin. The job ends when it is active, or will not be.
#[utoipa::path(post, path = "/plugins/{id}/start", operation_id = "PluginStart", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 202, description = "A job does it.", body = Job)))]
async fn start(
    State(app): State<App>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let work = Work::new(&app, &trace, id, JobKind::Start);
    begin(work, &app, caller, id, ActiveState::Active).await
}

/// Deactivates a supervised plugin. The job ends when nothing of it runs any more.
#[utoipa::path(post, path = "/plugins/{id}/stop", operation_id = "PluginStop", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 202, description = "A job does it.", body = Job)))]
async fn stop(
    State(app): State<App>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let work = Work::new(&app, &trace, id, JobKind::Stop);
    begin(work, &app, caller, id, ActiveState::Inactive).await
}

async fn begin(
    work: Work,
    app: &App,
    caller: Caller,
    id: InstallationId,
    wanted: ActiveState,
) -> Result<Response, Problem> {
    let (registry, by) = (app.registry().clone(), caller.name);
    work.begin(move |progress| async move {
        Ok(registry.set_active_state(id, wanted, &by, progress).await?)
    })
    .await
}

/// Stops a supervised plugin and starts it. One that is not wanted is activated.
#[utoipa::path(post, path = "/plugins/{id}/restart", operation_id = "PluginRestart", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 202, description = "A job does it.", body = Job)))]
async fn restart(
    State(app): State<App>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let work = Work::new(&app, &trace, id, JobKind::Restart);
    let (registry, by) = (app.registry().clone(), caller.name);
    work.begin(move |progress| async move { Ok(registry.restart(id, &by, progress).await?) })
        .await
}

/// A new token for an external plugin, shown once. Whoever is connected with the old one is
/// disconnected.
#[utoipa::path(post, path = "/plugins/{id}/token", operation_id = "PluginCycleToken", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "The token.", body = NewToken)))]
async fn cycle_token(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<NewToken>, Problem> {
    let token = app.registry().rotate_token(id, &caller.name).await?;
    let token = token.reveal().to_owned();
    Ok(Json(NewToken { token }))
}

/// Another manifest for an external plugin, which has to dial in anew.
#[utoipa::path(patch, path = "/plugins/{id}/manifest", operation_id = "PluginUpdateManifest", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    request_body = super::manifest::Manifest,
    responses((status = 200, description = "The plugin with it.", body = Plugin)))]
async fn update_manifest(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Sent(manifest): Sent<Value>,
) -> Result<Json<Plugin>, Problem> {
    let installed = app
        .registry()
        .set_manifest(id, &manifest, &caller.name)
        .await?;
    Ok(Json(Plugin::of(&installed, Wide::default())))
}
