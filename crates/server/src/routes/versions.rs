//! The packages of a plugin.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Asked, Id};
use super::operation::Operation;
use super::problem::Problem;
use super::upload::Archive;
use crate::clock::rfc3339;
use crate::store::Permission;

/// The versions that are kept, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct VersionList {
    versions: Vec<VersionShown>,
}

/// One version of a package.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Version)]
struct VersionShown {
    /// 1, 2, 3 … within the installation.
    number: i64,
    /// Whether it is the one that counts.
    current: bool,
    /// What its manifest says.
    version: String,
    /// SHA-256 in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
    /// Bytes.
    size: u64,
    /// `upload`, or where it came from.
    source: String,
    #[schema(format = DateTime)]
    added_at: String,
    added_by: String,
}

/// Which version.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// One that is kept; the one that counts where it is left out.
    #[param(minimum = 1)]
    version: Option<i64>,
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    OpenApiRouter::new()
        .routes(read.guard(app, routes!(list)))
        .routes(read.guard(app, routes!(download)))
}

/// The versions that are kept, oldest first.
#[utoipa::path(get, path = "/plugins/{id}/versions", operation_id = "PluginVersions", tag = "plugins",
    params(("id" = String, Path, description = "The installation.")),
    responses((status = 200, description = "The versions; an external plugin has none.", body = VersionList)))]
async fn list(State(app): State<App>, Id(id): Id) -> Result<Json<VersionList>, Problem> {
    let installed = app.registry().get(id).await??;
    let current = installed.record.version;
    let versions = app.registry().versions(id).await??;
    let versions = versions.into_iter().map(|version| VersionShown {
        number: version.number,
        current: Some(version.number) == current,
        version: version.manifest.version.clone(),
        digest: version.digest.to_string(),
        size: version.size,
        source: version.source,
        added_at: rfc3339(version.added_at),
        added_by: version.added_by,
    });
    Ok(Json(VersionList {
        versions: versions.collect(),
    }))
}

/// The archive, byte for byte as it came.
#[utoipa::path(get, path = "/plugins/{id}/package", operation_id = "PluginDownloadPackage", tag = "plugins",
    params(("id" = String, Path, description = "The installation."), Which,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what is there already.")),
    responses((status = 200, description = "The archive.", body = Archive, content_type = "application/zip"),
        (status = 304, description = "It is there already.")))]
async fn download(
    State(app): State<App>,
    Id(id): Id,
    Asked(which): Asked<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (path, version) = app.registry().package(id, which.version).await?;
    let text = |text: String| HeaderValue::from_str(&text).map_err(|e| Problem::internal(&e));
    let etag = text(format!("\"{}\"", version.digest))?;
    let seen = headers.get(header::IF_NONE_MATCH);
    if seen.is_some_and(|seen| matches(seen, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let failed = |error: std::io::Error| Problem::internal(&error);
    let file = tokio::fs::File::open(&path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/zip"),
        ),
        (header::CONTENT_LENGTH, length.into()),
        (header::ETAG, etag),
        (
            header::CONTENT_DISPOSITION,
            text(format!("attachment; filename={}.zip", version.manifest.id))?,
        ),
    ];
    let body = Body::from_stream(ReaderStream::with_capacity(file, 64 << 10));
    Ok((headers, body).into_response())
}

/// `If-None-Match`: `*`, or tags by commas.
fn matches(seen: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(seen), Ok(etag)) = (seen.to_str(), etag.to_str()) else {
        return false;
    };
    seen.split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}
