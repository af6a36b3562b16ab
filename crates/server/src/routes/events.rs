//! Events: published, and what became of those that were refused.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Caller;
use super::extract::{Id, Sent, Seq};
use super::operation::Operation;
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::store::{Parked, Permission, Publication, StoredEvent};

/// An event to publish.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct NewEvent {
    #[schema(
        example = "EventThreadPublished",
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"
    )]
    event: String,
    /// What consumers get beside the name.
    #[schema(value_type = Option<Object>)]
    payload: Option<Map<String, Value>>,
}

/// An event that is written: whatever happens now, its consumers get it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Published {
    /// Its number, in the order of publication.
    id: String,
    event: String,
    #[schema(format = DateTime)]
    published_at: String,
    /// The installations that consume events of this name.
    consumers: Vec<String>,
    /// It was published before, with the same `Idempotency-Key`.
    repeated: bool,
}

/// Events that lie aside, in order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ParkedList {
    parked: Vec<ParkedShown>,
}

/// An event that the plugin refused too often.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ParkedEvent)]
struct ParkedShown {
    id: String,
    event: String,
    #[schema(value_type = Object)]
    payload: Value,
    #[schema(format = DateTime)]
    published_at: String,
    attempts: i64,
    /// What the plugin said the last time.
    reason: String,
    #[schema(format = DateTime)]
    parked_at: String,
    /// Somebody asked for another try, which has not ended yet.
    replaying: bool,
}

/// How many get another try.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Replaying {
    replaying: u64,
}

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key.
const MAX_KEY: usize = 255;
/// How many parked events are listed: each may be as large as a request.
const SHOWN: u32 = 1000;
/// The longest name of an event.
const MAX_NAME: usize = 200;

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let publish_ = Operation::needs(Permission::Publish);
    let read = Operation::needs(Permission::Read);
    let operate = Operation::needs(Permission::Operate);
    OpenApiRouter::new()
        .routes(publish_.guard(app, routes!(publish)))
        .routes(read.guard(app, routes!(parked)))
        .routes(operate.audited("replay").guard(app, routes!(replay_all)))
        .routes(operate.audited("replay").guard(app, routes!(replay)))
        .routes(operate.audited("discard").guard(app, routes!(discard)))
}

/// Publishes an event: every plugin that consumes it gets it at least once, in order, also one that
/// is down now.
#[utoipa::path(post, path = "/events", operation_id = "EventPublish", tag = "events",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        pattern = "^[!-~]([ -~]*[!-~])?$", description = "The same key publishes once, however often it is sent: up to 255 characters of ASCII.")),
    request_body = NewEvent,
    responses((status = 202, description = "It is written.", body = Published)))]
async fn publish(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Sent(new): Sent<NewEvent>,
) -> Result<Response, Problem> {
    let length = new.event.chars().count();
    if !(1..=MAX_NAME).contains(&length) || new.event.chars().any(char::is_control) {
        let detail = "an event's name has 1 to 200 characters, none of them a control character";
        return Err(Problem::wrong("invalid-event", detail));
    }
    let key = key(&headers)?;
    let payload = Value::Object(new.payload.unwrap_or_default()).to_string();
    // Who hangs up half-way may have published: whoever consumes it is to be woken all the same.
    let publish = {
        let (app, name, by) = (app.clone(), new.event, caller.name);
        let key = key.map(ToOwned::to_owned);
        async move {
            let published = app.store().publish(&name, &payload, &by, key.as_deref());
            let published = published.await;
            app.deliveries().wake();
            published
        }
    };
    let published = app.registry().finish(publish).await?;
    let (event, repeated) = match published {
        Publication::New(event) => {
            metrics::counter!("jackfield_events_published_total").increment(1);
            (event, false)
        }
        Publication::Again(event) => (event, true),
        Publication::KeyTaken(event) => {
            let StoredEvent { seq, name, .. } = event;
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                format!("this key was used before, for another event: {seq}, {name}"),
            ));
        }
    };
    let consumes = |session: &jackfield::Session| {
        let names = &session.manifest().events_consumed;
        names.contains(&event.name)
    };
    let sessions = app.registry().parts().host.sessions();
    let consumers = sessions.iter().filter(|session| consumes(session));
    let body = Published {
        id: event.seq.to_string(),
        consumers: consumers.map(|session| session.id().to_string()).collect(),
        event: event.name,
        published_at: rfc3339(event.published_at),
        repeated,
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The events that a plugin refused too often, in order; the first thousand, where there are more.
#[utoipa::path(get, path = "/plugins/{id}/events/parked", operation_id = "ParkedList", tag = "events",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "The events.", body = ParkedList)))]
async fn parked(State(app): State<App>, Id(id): Id) -> Result<Json<ParkedList>, Problem> {
    app.registry().get(id).await??;
    let parked = app.store().parked(id, SHOWN).await?;
    Ok(Json(ParkedList {
        parked: parked.into_iter().map(ParkedShown::from).collect(),
    }))
}

/// Tries all parked events again, once each.
#[utoipa::path(post, path = "/plugins/{id}/events/parked/replay", operation_id = "ParkedReplayAll", tag = "events",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 202, description = "They are tried.", body = Replaying)))]
async fn replay_all(
    State(app): State<App>,
    Id(id): Id,
) -> Result<(StatusCode, Json<Replaying>), Problem> {
    app.registry().get(id).await??;
    let replaying = app.store().ask_replay(id, None).await?;
    app.deliveries().wake();
    Ok((StatusCode::ACCEPTED, Json(Replaying { replaying })))
}

/// Tries a parked event again, once.
#[utoipa::path(post, path = "/plugins/{id}/events/parked/{seq}/replay", operation_id = "ParkedReplay", tag = "events",
    params(("id" = String, Path, description = "The installation."),
        ("seq" = String, Path, description = "The number of the event.")),
    responses((status = 202, description = "It is tried.", body = Replaying)))]
async fn replay(
    State(app): State<App>,
    Id(id): Id,
    Seq(seq): Seq,
) -> Result<(StatusCode, Json<Replaying>), Problem> {
    app.registry().get(id).await??;
    let replaying = app.store().ask_replay(id, Some(seq)).await?;
    if replaying == 0 {
        return Err(not_parked());
    }
    app.deliveries().wake();
    Ok((StatusCode::ACCEPTED, Json(Replaying { replaying })))
}

/// Gives a parked event up.
#[utoipa::path(delete, path = "/plugins/{id}/events/parked/{seq}", operation_id = "ParkedDelete", tag = "events",
    params(("id" = String, Path, description = "The installation."),
        ("seq" = String, Path, description = "The number of the event.")),
    responses((status = 204, description = "It is gone.")))]
async fn discard(State(app): State<App>, Id(id): Id, Seq(seq): Seq) -> Result<StatusCode, Problem> {
    app.registry().get(id).await??;
    if app.store().unpark(id, seq).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_parked())
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get(KEY) else {
        return Ok(None);
    };
    let key = key.to_str().ok().map(str::trim);
    match key.filter(|key| (1..=MAX_KEY).contains(&key.len())) {
        Some(key) => Ok(Some(key)),
        None => {
            let detail = "`Idempotency-Key` has 1 to 255 characters of ASCII";
            Err(Problem::wrong("invalid-header", detail))
        }
    }
}

fn not_parked() -> Problem {
    Problem::missing("no-such-event", "no such event is parked for this plugin")
}

impl From<Parked> for ParkedShown {
    fn from(parked: Parked) -> Self {
        Self {
            id: parked.seq.to_string(),
            event: parked.name,
            payload: serde_json::from_str(&parked.payload).unwrap_or_default(),
            published_at: rfc3339(parked.published_at),
            attempts: parked.attempts,
            reason: parked.reason,
            parked_at: rfc3339(parked.parked_at),
            replaying: parked.to_replay,
        }
    }
}
