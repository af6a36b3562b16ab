//! All routes, and the description of them.

use axum::Router;
use http::{StatusCode, Uri};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::app::App;
use super::operation::{SCHEME, operations};
use super::problem::{Problem, ProblemBody};
use super::{
    access, audit, calls, configuration, docs, events, facts, health, install, jobs, logs, metrics,
    plugins, request, tokens, versions,
};

/// The name of the response that stands for every problem.
const PROBLEM: &str = "Problem";

const DESCRIPTION: &str = "\
Installs, runs and watches plugins, and carries events and calls between them and an application.\n\n\
Every error is `application/problem+json` (RFC 9457); its `type` is for programs, its `detail` for people, and by its \
`trace_id` the server's log tells more.\n\n\
Operations that wait for a plugin answer at once with a job when they are asked with `Prefer: respond-async`.";

/// Everything that is served but the plugins' door.
pub(crate) fn router(app: &App) -> Router {
    let api = OpenApiRouter::new()
        .merge(plugins::routes(app))
        .merge(install::routes(app))
        .merge(versions::routes(app))
        .merge(configuration::routes(app))
        .merge(logs::routes(app))
        .merge(facts::routes(app))
        .merge(access::routes(app))
        .merge(calls::routes(app))
        .merge(events::routes(app))
        .merge(jobs::routes(app))
        .merge(tokens::routes(app))
        .merge(audit::routes(app))
        .merge(health::routes(app));
    let (router, mut description) = OpenApiRouter::with_openapi(description())
        .merge(health::open_routes())
        .merge(metrics::routes())
        .nest("/api", api)
        .split_for_parts();
    describe_problems(&mut description);
    let text = description.to_json().expect("the description is JSON");
    let _ = app.openapi().set(text.into());
    router
        .merge(docs::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(axum::middleware::from_fn(request::observe))
        .with_state(app.clone())
}

async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::missing("no-such-path", format!("there is nothing at {path}"))
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this path knows other methods: see the header `Allow`",
    )
}

fn description() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Jackfield")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new()
                .name(env!("CARGO_PKG_LICENSE"))
                .build(),
        ))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// Every operation may answer with a problem, and they are all alike.
fn describe_problems(description: &mut OpenApi) {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(PROBLEM)))
        .build();
    let response = ResponseBuilder::new()
        .description("What went wrong: any of 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 500, 502, 503, 504.")
        .content("application/problem+json", content)
        .build();
    let components = description.components.get_or_insert_default();
    components
        .responses
        .insert(PROBLEM.to_owned(), response.into());
    let mut schemas = vec![(PROBLEM.to_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of the API (`jfa_…`), or the access token of a plugin (`sdbak_…`) within what was granted to it.",
        ))
        .build();
    components
        .security_schemes
        .insert(SCHEME.to_owned(), SecurityScheme::Http(bearer).into());
    for item in description.paths.paths.values_mut() {
        for operation in operations(item) {
            if let Some(summary) = &mut operation.summary {
                *summary = summary.replace('\n', " ");
            }
            operation.responses.responses.insert(
                "default".to_owned(),
                RefOr::Ref(Ref::from_response_name(PROBLEM)),
            );
        }
    }
}
