//! A plugin at this moment.

use axum::Json;
use axum::extract::State;
use jackfield::Transition;
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::extract::Id;
use super::operation::Operation;
use super::plugin::{PluginStatus, Wide};
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::store::Permission;

/// A plugin at this moment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Facts {
    status: PluginStatus,
    /// The last changes of state since the server started, oldest first.
    history: Vec<Change>,
    /// Restarts by the host since somebody last asked for a start.
    restarts: u32,
    /// How many processes it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<usize>,
    /// What they hold, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// What they have used, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds: Option<f64>,
    open_calls: OpenCalls,
    events: EventFacts,
}

/// One change of state.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Change {
    #[schema(example = "active")]
    state: String,
    #[schema(format = DateTime)]
    at: String,
    /// What went wrong, where that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    error: Option<Value>,
}

/// Calls that are not answered yet.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OpenCalls {
    to_plugin: usize,
    from_plugin: usize,
}

/// How far it is with its events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EventFacts {
    /// Published, and not done with; counted up to 1000.
    waiting: u64,
    /// The attempts so far at the one that is next.
    attempts: u32,
    /// Refused too often.
    parked: i64,
    /// Gone before it could have them.
    missed: i64,
    /// The number of the last one that is done with.
    cursor: i64,
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    OpenApiRouter::new().routes(read.guard(app, routes!(facts)))
}

/// A plugin at this moment: its state and how it came there, what it uses, what is open.
#[utoipa::path(get, path = "/plugins/{id}/facts", operation_id = "PluginGetFacts", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "The facts.", body = Facts)))]
async fn facts(State(app): State<App>, Id(id): Id) -> Result<Json<Facts>, Problem> {
    let installed = app.registry().get(id).await??;
    let lag = app.deliveries().lag(id).await;
    let parked = app.store().count_parked(id).await?;
    let session = installed.session.as_ref();
    let (to_plugin, from_plugin) = session.map_or((0, 0), jackfield::Session::open_calls);
    let history = session.map(jackfield::Session::history).unwrap_or_default();
    let status = installed.status.as_ref();
    let usage = session.and_then(jackfield::Session::usage);
    Ok(Json(Facts {
        status: PluginStatus::of(&installed, Wide(true)),
        history: history.into_iter().map(Change::from).collect(),
        restarts: status.map_or(0, |status| status.restarts),
        processes: usage.map(|usage| usage.processes),
        memory_bytes: usage.map(|usage| usage.memory_bytes),
        cpu_seconds: usage.map(|usage| usage.cpu.as_secs_f64()),
        open_calls: OpenCalls {
            to_plugin,
            from_plugin,
        },
        events: EventFacts {
            waiting: lag.waiting,
            attempts: lag.attempts,
            parked,
            missed: installed.record.events_missed,
            cursor: installed.record.event_cursor,
        },
    }))
}

impl From<Transition> for Change {
    fn from(change: Transition) -> Self {
        Self {
            state: change.state.to_string(),
            at: rfc3339(change.at),
            error: change
                .error
                .and_then(|error| serde_json::to_value(error).ok()),
        }
    }
}
