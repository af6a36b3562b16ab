//! Archives that come in: written to a file while they do, never whole in memory.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::app::App;
use super::extract::{self, slow};
use super::problem::Problem;

/// What an archive may be called.
const TYPES: [&str; 3] = [
    "application/zip",
    "application/octet-stream",
    "application/x-zip-compressed",
];
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// An archive.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct Archive(Vec<u8>);

/// What came in: an archive, or a document that says where to find one.
pub(crate) enum Received {
    Archive(NamedTempFile),
    Document(Bytes),
}

/// Receives either.
pub(crate) async fn receive(app: &App, request: Request) -> Result<Received, Problem> {
    let (parts, body) = request.into_parts();
    match extract::content_type(&parts.headers).as_str() {
        "application/json" => Ok(Received::Document(extract::whole(body).await?)),
        other if TYPES.contains(&other) => {
            let file = archive(app, &parts.headers, body).await?;
            Ok(Received::Archive(file))
        }
        _ => Err(extract::unsupported("application/zip or application/json")),
    }
}

async fn archive(app: &App, headers: &HeaderMap, body: Body) -> Result<NamedTempFile, Problem> {
    let limit = app.config().max_package;
    let too_large = || {
        let detail = format!("the package has more than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut chunks = body.into_data_stream();
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let failed = |error: std::io::Error| Problem::internal(&error);
    let file = app.registry().parts().packages.incoming().map_err(failed)?;
    let mut writer = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
    let mut size = 0u64;
    loop {
        let next = tokio::time::timeout(PATIENCE, chunks.next()).await;
        let Some(chunk) = next.map_err(|_| slow())? else {
            break;
        };
        let broken = |_| Problem::wrong("upload-broken", "the upload broke off");
        let chunk = chunk.map_err(broken)?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(too_large());
        }
        writer.write_all(&chunk).await.map_err(failed)?;
    }
    writer.flush().await.map_err(failed)?;
    Ok(file)
}
