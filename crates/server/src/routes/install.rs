//! Plugins come, and change.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jackfield::{Mode, Token};
use serde::Deserialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Caller;
use super::extract::{self, Asked, Id, MaybeSent};
use super::jobs::Work;
use super::operation::Operation;
use super::plugin::{Plugin, Wide};
use super::problem::Problem;
use super::request::Trace;
use super::upload::{self, Archive, Received};
use crate::registry::{Acceptance, Installed, Job, JobKind, UpgradeError, Upload};
use crate::store::Permission;

/// How a plugin is taken.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    /// SHA-256 in hex that the archive must have.
    #[param(pattern = "^[0-9a-fA-F]{64}$")]
    checksum: Option<String>,
    /// `requested` grants at once what the manifest asks for; needs the permission `admin`.
    #[param(inline)]
    grant: Option<Grant>,
}

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Grant {
    Requested,
}

/// SHA-256 in hex that an archive must have.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Pinned {
    /// SHA-256 in hex that the archive must have.
    #[param(pattern = "^[0-9a-fA-F]{64}$")]
    checksum: Option<String>,
}

/// A plugin that is not sent along.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "mode", rename_all = "lowercase")]
enum NewPlugin {
    /// A package to download.
    Supervised {
        #[schema(example = "https://plugins.example/hello.zip")]
        url: String,
        /// SHA-256 in hex that it must have.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        checksum: Option<String>,
    },
    /// A program that somebody else runs, and that dials in.
    External {
        #[schema(value_type = super::manifest::Manifest)]
        manifest: Value,
    },
}

/// A package to download.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Download {
    #[schema(example = "https://plugins.example/hello.zip")]
    url: String,
    /// SHA-256 in hex that it must have.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    checksum: Option<String>,
}

/// To which version.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct Rollback {
    /// One that is kept; the one before this one where it is left out.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "extract::whole_number")]
    version: Option<i64>,
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let install = Operation::needs(Permission::Install);
    OpenApiRouter::new()
        .routes(install.guard(app, routes!(add)))
        .routes(install.guard(app, routes!(upgrade)))
        .routes(install.guard(app, routes!(rollback)))
}

/// Installs a plugin: a package that is sent or downloaded, which is inactive then, or an external
/// plugin, whose token is in this answer and nowhere else.
#[utoipa::path(post, path = "/plugins", operation_id = "PluginAdd", tag = "plugins", params(How),
    request_body(content(
        (Archive = "application/zip"),
        (Archive = "application/octet-stream"),
        (NewPlugin = "application/json"))),
    responses((status = 200, description = "The plugin.", body = Plugin)))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    Asked(how): Asked<How>,
    request: Request,
) -> Result<Response, Problem> {
    let mut acceptance = Acceptance {
        by: caller.name.clone(),
        checksum: checksum(how.checksum)?,
        grant: how.grant.is_some(),
    };
    if acceptance.grant && !caller.may(Permission::Admin) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "not-permitted",
            "granting needs the permission `admin`, which this token does not have",
        ));
    }
    let document = match upload::receive(&app, request).await? {
        Received::Archive(file) => {
            let upload = Upload::File(file);
            let installed = app.registry().install(upload, acceptance).await?;
            return added(&installed, None);
        }
        Received::Document(document) => document,
    };
    match extract::parse(&document)? {
        NewPlugin::Supervised {
            url,
            checksum: pinned,
        } => {
            acceptance.checksum = checksum(pinned)?.or(acceptance.checksum);
            let upload = Upload::Url(url);
            let installed = app.registry().install(upload, acceptance).await?;
            added(&installed, None)
        }
        NewPlugin::External { manifest } => {
            let (installed, token) = app
                .registry()
                .install_external(&manifest, acceptance)
                .await?;
            added(&installed, Some(&token))
        }
    }
}

/// Another package for a plugin. An active one is stopped, and the new version counts from when it
/// has connected and answered; otherwise the old one is started again, and this answers 502. With
/// `Prefer: respond-async` it answers with a job once the package is here.
#[utoipa::path(patch, path = "/plugins/{id}/package", operation_id = "PluginUpdatePackage", tag = "plugins",
    params(("id" = String, Path, description = "The installation."), Pinned,
        ("Prefer" = Option<String>, Header, description = "`respond-async` answers with a job.")),
    request_body(content(
        (Archive = "application/zip"),
        (Archive = "application/octet-stream"),
        (Download = "application/json"))),
    responses((status = 200, description = "The plugin with it.", body = Plugin),
        (status = 202, description = "A job does it.", body = Job)))]
async fn upgrade(
    State(app): State<App>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Id(id): Id,
    Asked(pinned): Asked<Pinned>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let mut acceptance = Acceptance {
        by: caller.name.clone(),
        checksum: checksum(pinned.checksum)?,
        grant: false,
    };
    // Before megabytes are taken for nothing.
    let installed = app.registry().get(id).await??;
    if installed.record.mode == Mode::External {
        return Err(UpgradeError::External.into());
    }
    let upload = match upload::receive(&app, request).await? {
        Received::Archive(file) => Upload::File(file),
        Received::Document(document) => {
            let download: Download = extract::parse(&document)?;
            acceptance.checksum = checksum(download.checksum)?.or(acceptance.checksum);
            Upload::Url(download.url)
        }
    };
    let registry = app.registry().clone();
    Work::new(&app, &trace, id, JobKind::Upgrade)
        .answer(&headers, move |progress| async move {
            Ok(registry.upgrade(id, upload, acceptance, progress).await?)
        })
        .await
}

/// Back to an earlier package, or to any that is kept; as an upgrade.
#[utoipa::path(post, path = "/plugins/{id}/rollback", operation_id = "PluginRollback", tag = "plugins",
    params(("id" = String, Path, description = "The installation."),
        ("Prefer" = Option<String>, Header, description = "`respond-async` answers with a job.")),
    request_body = inline(Option<Rollback>),
    responses((status = 200, description = "The plugin with it.", body = Plugin),
        (status = 202, description = "A job does it.", body = Job)))]
async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Id(id): Id,
    headers: HeaderMap,
    MaybeSent(to): MaybeSent<Rollback>,
) -> Result<Response, Problem> {
    let (registry, by) = (app.registry().clone(), caller.name);
    Work::new(&app, &trace, id, JobKind::Rollback)
        .answer(&headers, move |progress| async move {
            Ok(registry.rollback(id, to.version, &by, progress).await?)
        })
        .await
}

fn added(installed: &Installed, token: Option<&Token>) -> Result<Response, Problem> {
    let mut plugin = Plugin::of(installed, Wide::default());
    if let Some(token) = token {
        plugin = plugin.with_token(token);
    }
    let location = HeaderValue::from_str(&format!("/api/plugins/{}", installed.record.id));
    let location = location.unwrap_or(HeaderValue::from_static("/api/plugins"));
    Ok(([(header::LOCATION, location)], Json(plugin)).into_response())
}

/// A digest as somebody wrote it, as it is compared.
fn checksum(text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(Some(text.to_ascii_lowercase()))
    } else {
        let detail = "`checksum` is a SHA-256: 64 hexadecimal digits";
        Err(Problem::wrong("invalid-checksum", detail))
    }
}
