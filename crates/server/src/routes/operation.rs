//! One operation: its permission and its entry in the audit log, declared where its route is, for
//! the guard and for the description of the API alike.

use axum::RequestExt;
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::{Extensions, StatusCode};
use tracing::{Instrument, Span};
use utoipa::openapi::path::Operation as Described;
use utoipa::openapi::{PathItem, SecurityRequirement};
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::app::App;
use super::auth::Caller;
use super::problem::Problem;
use crate::store::Permission;

/// Name of the security scheme in the description.
pub(crate) const SCHEME: &str = "token";

/// What an operation needs, and leaves behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// `None`: any token will do.
    permission: Option<Permission>,
    audit: Option<&'static str>,
}

/// What the audit log says of a request that was answered, where that is not in its path. Without
/// one the target is the path's, and the detail is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    pub(crate) target: Option<String>,
    pub(crate) detail: String,
}

impl Operation {
    /// One that only looks.
    pub(crate) fn needs(permission: Permission) -> Self {
        Self {
            permission: Some(permission),
            audit: None,
        }
    }

    /// One for everybody who has a token.
    pub(crate) fn any_token() -> Self {
        Self {
            permission: None,
            audit: None,
        }
    }

    /// The same, with an entry in the audit log. (The registry writes those of its operations itself.)
    pub(crate) fn audited(mut self, action: &'static str) -> Self {
        self.audit = Some(action);
        self
    }

    /// The route behind its guard, and described with what it needs.
    pub(crate) fn guard(
        self,
        app: &App,
        (schemas, mut paths, router): UtoipaMethodRouter<App>,
    ) -> UtoipaMethodRouter<App> {
        let scopes: Vec<String> = self
            .permission
            .iter()
            .map(|p| name(*p).to_owned())
            .collect();
        for item in paths.paths.values_mut() {
            for operation in operations(item) {
                operation.security = Some(vec![SecurityRequirement::new(SCHEME, scopes.clone())]);
                let needs = match scopes.first() {
                    Some(scope) => format!("Permission: `{scope}`."),
                    None => "Any token.".to_owned(),
                };
                let text = operation.description.get_or_insert_default();
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(&needs);
            }
        }
        let layer = from_fn_with_state((app.clone(), self), guard);
        (schemas, paths, router).map(|router| router.route_layer(layer))
    }
}

impl IntoResponseParts for Noted {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// The permission as the API writes it.
pub(crate) fn name(permission: Permission) -> &'static str {
    match permission {
        Permission::Read => "read",
        Permission::Operate => "operate",
        Permission::Install => "install",
        Permission::Publish => "publish",
        Permission::Admin => "admin",
    }
}

/// The operations of a path.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Described> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

async fn guard(
    State((app, operation)): State<(App, Operation)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match Caller::of(&app, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    Span::current().record("actor", caller.name.as_str());
    if let Some(permission) = operation.permission
        && !caller.may(permission)
    {
        let name = name(permission);
        return Problem::new(
            StatusCode::FORBIDDEN,
            "not-permitted",
            format!("this needs the permission `{name}`, which this token does not have"),
        )
        .with("permission", name)
        .into_response();
    }
    request.extensions_mut().insert(caller.clone());
    let Some(action) = operation.audit else {
        return next.run(request).await;
    };
    let target = target(&mut request).await;
    // In a task of its own: who hangs up changes nothing about what was begun, nor about its entry.
    let task = {
        let app = app.clone();
        async move {
            let response = next.run(request).await;
            write(&app, &caller, action, target, response.extensions()).await;
            response
        }
    };
    match app.tracker().spawn(task.instrument(Span::current())).await {
        Ok(response) => response,
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// What a request is about, from its path: `{id}`, or `{name}`.
async fn target(request: &mut Request) -> String {
    let Ok(params) = request.extract_parts::<RawPathParams>().await else {
        return String::new();
    };
    let named = |wanted| params.iter().find(|(name, _)| *name == wanted);
    let (_, value) = named("id").or_else(|| named("name")).unwrap_or_default();
    value
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

async fn write(app: &App, caller: &Caller, action: &str, target: String, response: &Extensions) {
    let noted = response.get::<Noted>();
    let target = noted
        .and_then(|noted| noted.target.clone())
        .unwrap_or(target);
    let outcome = match response.get::<Problem>() {
        Some(problem) => Err(problem.detail()),
        None => Ok(noted.map_or("", |noted| noted.detail.as_str())),
    };
    app.note(&caller.name, action, &target, outcome).await;
}

impl App {
    /// Writes an entry of the audit log. What was done is done: an entry that cannot be written goes
    /// to the server's log.
    pub(crate) async fn note(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        outcome: Result<&str, &str>,
    ) {
        if let Err(error) = self.store().audit(actor, action, target, outcome).await {
            let done = outcome.is_ok();
            tracing::error!(%error, actor, action, target, done, "no entry in the audit log");
        }
    }
}
