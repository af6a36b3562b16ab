//! Tokens of the API.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use jackfield::Token;
use jackfield::wire::Xid;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::{Caller, Known, effective};
use super::extract::{self, Named, Sent};
use super::operation::{Noted, Operation, name};
use super::problem::Problem;
use crate::calls::handle;
use crate::clock::rfc3339;
use crate::secret;
use crate::store::{ApiToken, Permission};

/// How much of a token is shown, to tell tokens apart.
pub(crate) const PREFIX: usize = 8;

/// All tokens, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TokenList {
    tokens: Vec<TokenShown>,
}

/// A token of the API, without the token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Token)]
struct TokenShown {
    id: String,
    name: String,
    /// Its first characters.
    prefix: String,
    permissions: Vec<Permission>,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// About when it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    used_at: Option<String>,
    /// The token itself, in the answer to its making and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A token to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct NewToken {
    /// What it is for: the actor in the audit log.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"
    )]
    name: String,
    #[schema(min_items = 1)]
    permissions: Vec<Permission>,
    /// Never, where it is left out.
    #[schema(minimum = 1, maximum = 3_153_600_000u64)]
    #[serde(default, deserialize_with = "extract::whole_number")]
    expires_in_seconds: Option<u64>,
}

/// A token to look at (RFC 7662).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Introspected {
    token: String,
}

/// What a token is (RFC 7662).
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
struct Introspection {
    /// Whether it counts.
    active: bool,
    /// The installation, or `token:` and the id of a token of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The handle of a plugin in the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// What is granted, by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The id in a plugin's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// When it expires, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// Who asks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WhoAmI {
    name: String,
    permissions: Vec<Permission>,
    /// Of a plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    installation: Option<String>,
}

/// A hundred years.
const LONGEST: u64 = 3_153_600_000;

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let admin = Operation::needs(Permission::Admin);
    let read = Operation::needs(Permission::Read);
    OpenApiRouter::new()
        .routes(admin.guard(app, routes!(list)))
        .routes(admin.audited("token.create").guard(app, routes!(create)))
        .routes(admin.audited("token.delete").guard(app, routes!(delete)))
        .routes(read.guard(app, routes!(introspect)))
        .routes(Operation::any_token().guard(app, routes!(whoami)))
}

/// All tokens, oldest first.
#[utoipa::path(get, path = "/tokens", operation_id = "TokenList", tag = "tokens",
    responses((status = 200, description = "The tokens.", body = TokenList)))]
async fn list(State(app): State<App>) -> Result<Json<TokenList>, Problem> {
    let tokens = app.store().tokens().await?;
    Ok(Json(TokenList {
        tokens: tokens.into_iter().map(TokenShown::from).collect(),
    }))
}

/// Makes a token. It is in this answer and nowhere else.
#[utoipa::path(post, path = "/tokens", operation_id = "TokenCreate", tag = "tokens",
    request_body = NewToken,
    responses((status = 200, description = "The token.", body = TokenShown)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Sent(new): Sent<NewToken>,
) -> Result<Response, Problem> {
    let wrong = |detail| Err(Problem::wrong("invalid-token", detail));
    let length = new.name.chars().count();
    if !(1..=100).contains(&length) || new.name.chars().any(char::is_control) {
        return wrong("a name has 1 to 100 characters, none of them a control character");
    }
    if new.permissions.is_empty() {
        return wrong("a token without permissions is good for nothing");
    }
    let now = SystemTime::now();
    let expires_at = match new.expires_in_seconds {
        None => None,
        Some(seconds) if (1..=LONGEST).contains(&seconds) => {
            Some(now + Duration::from_secs(seconds))
        }
        Some(_) => return wrong("a token lives for a second to a hundred years"),
    };
    let mut permissions = new.permissions;
    permissions.sort_unstable();
    permissions.dedup();
    let text = secret::new_api_token();
    let token = ApiToken {
        id: Xid::new().to_string(),
        name: new.name,
        prefix: text.chars().take(PREFIX).collect(),
        permissions,
        created_at: now,
        created_by: caller.name,
        expires_at,
        used_at: None,
    };
    let hash = Token::from_text(text.as_str()).hash();
    app.store().add_token(&token, hash).await?;
    let noted = Noted {
        target: Some(token.id.clone()),
        detail: token.name.clone(),
    };
    let mut shown = TokenShown::from(token);
    shown.token = Some(text);
    Ok((noted, no_store(), Json(shown)).into_response())
}

/// Takes a token back: it is worthless at once.
#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "TokenDelete", tag = "tokens",
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "It is gone.")))]
async fn delete(State(app): State<App>, Named(id): Named) -> Result<StatusCode, Problem> {
    // Ids have no control characters, and some databases do not take them.
    let known = !id.chars().any(char::is_control) && app.store().remove_token(&id).await?;
    app.tokens().forget();
    if known {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::missing("no-such-token", "there is no such token"))
    }
}

/// What a token is (RFC 7662): for the application, which is shown the access tokens of plugins.
#[utoipa::path(post, path = "/tokens/introspect", operation_id = "TokenIntrospect", tag = "tokens",
    request_body(content(
        (Introspected = "application/json"),
        (Introspected = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "What it is.", body = Introspection)))]
async fn introspect(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked: Introspected = match extract::content_type(&parts.headers).as_str() {
        "application/json" => extract::parse(&extract::whole(body).await?)?,
        "application/x-www-form-urlencoded" => form(&extract::whole(body).await?)?,
        _ => {
            let expected = "application/x-www-form-urlencoded or application/json";
            return Err(extract::unsupported(expected));
        }
    };
    let found = match app.recognise(&asked.token).await? {
        None => Introspection::default(),
        Some(Known::Api(token)) => Introspection {
            active: true,
            sub: Some(format!("token:{}", token.id)),
            scope: Some(
                token
                    .permissions
                    .iter()
                    .map(|p| name(*p))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            exp: token.expires_at.and_then(|end| {
                let since = end.duration_since(SystemTime::UNIX_EPOCH).ok()?;
                Some(since.as_secs())
            }),
            ..Introspection::default()
        },
        Some(Known::Plugin(record)) => Introspection {
            active: true,
            sub: Some(record.id.to_string()),
            username: handle(&record.manifest, record.id),
            scope: Some(effective(&record).join(" ")),
            client_id: Some(record.manifest.id.clone()),
            exp: None,
        },
    };
    Ok((no_store(), Json(found)).into_response())
}

/// Whose token this is, and what it is good for.
#[utoipa::path(get, path = "/whoami", operation_id = "WhoAmI", tag = "tokens",
    responses((status = 200, description = "Who asks.", body = WhoAmI)))]
async fn whoami(caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        name: caller.name,
        permissions: caller.permissions,
        installation: caller.installation.map(|id| id.to_string()),
    })
}

/// The token of a form: `token=…`, with whatever else may be in it.
fn form(bytes: &[u8]) -> Result<Introspected, Problem> {
    let token = url::form_urlencoded::parse(bytes).find(|(name, _)| name == "token");
    match token {
        Some((_, token)) => Ok(Introspected {
            token: token.into_owned(),
        }),
        None => Err(Problem::wrong("invalid-body", "`token` is missing")),
    }
}

fn no_store() -> [(http::HeaderName, HeaderValue); 1] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]
}

impl From<ApiToken> for TokenShown {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            prefix: token.prefix,
            permissions: token.permissions,
            created_at: rfc3339(token.created_at),
            created_by: token.created_by,
            expires_at: token.expires_at.map(rfc3339),
            used_at: token.used_at.map(rfc3339),
            token: None,
        }
    }
}
