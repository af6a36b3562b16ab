//! Who did what.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::extract::Asked;
use super::operation::Operation;
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::store::{Entry, EntryQuery, Permission};

/// Entries, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EntryList {
    entries: Vec<EntryShown>,
    /// `before` of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One thing that somebody did, or tried.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
struct EntryShown {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// The name of a token, `plugin:<id>`, or `server`.
    actor: String,
    action: String,
    /// What it was done to.
    target: String,
    /// Whether it was done; otherwise `detail` says why not.
    done: bool,
    detail: String,
}

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Only what was done to this.
    target: Option<String>,
    /// Only those before this one: `next` of the page before.
    before: Option<String>,
    /// At most so many; 100 where it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let admin = Operation::needs(Permission::Admin);
    OpenApiRouter::new().routes(admin.guard(app, routes!(list)))
}

/// Who did what, newest first.
#[utoipa::path(get, path = "/audit", operation_id = "AuditList", tag = "audit", params(Which),
    responses((status = 200, description = "The entries.", body = EntryList)))]
async fn list(
    State(app): State<App>,
    Asked(which): Asked<Which>,
) -> Result<Json<EntryList>, Problem> {
    let limit = which.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::wrong("invalid-query", "`limit` is 1 to 1000"));
    }
    // Nothing has a control character in it, and some databases do not take them.
    let odd = |text: &Option<String>| text.iter().any(|text| text.contains(char::is_control));
    if odd(&which.target) || odd(&which.before) {
        return Ok(Json(EntryList {
            entries: Vec::new(),
            next: None,
        }));
    }
    let query = EntryQuery {
        target: which.target,
        before: which.before,
        // One more than is shown tells whether there is another page.
        limit: limit + 1,
    };
    let mut entries = app.store().entries(&query).await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next = entries.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(EntryList {
        entries: entries.into_iter().map(EntryShown::from).collect(),
        next,
    }))
}

impl From<Entry> for EntryShown {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: rfc3339(entry.at),
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            done: entry.done,
            detail: entry.detail,
        }
    }
}
