//! A package on its way to the server: from a file or a folder here, or fetched by the server itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use jackfield_package::{Digest, Limits, OpenError, Package, pack};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, RequestBuilder};
use serde_json::json;

use crate::out::{Out, count, size};
use crate::progress;
use crate::source::{self, SourceError};

/// What is installed.
#[derive(Debug)]
pub(crate) enum Load {
    /// A package that is here.
    Here { package: Package, bytes: Vec<u8> },
    /// The server fetches it.
    Elsewhere { url: String },
}

/// Why there is no package to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{} has the digest {found}, not {wanted}", path.display())]
    Checksum {
        path: PathBuf,
        wanted: Digest,
        found: Digest,
    },
}

/// A piece of an upload, by which the bar moves.
const PIECE: usize = 64 * 1024;

/// How long an upload may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

impl Load {
    /// Reads what was typed: an address is left to the server, a folder is packed. What the server would refuse is
    /// refused here.
    pub(crate) async fn read(
        typed: &str,
        checksum: Option<Digest>,
        out: &Out,
    ) -> Result<Self, UploadError> {
        if typed.starts_with("https://") || typed.starts_with("http://") {
            let url = typed.to_owned();
            return Ok(Self::Elsewhere { url });
        }
        let path = PathBuf::from(typed);
        let doing = format!("checking {typed}");
        let from = path.clone();
        let (package, bytes) = progress::blocking(out, &doing, move || read(&from)).await?;
        if let Some(wanted) = checksum
            && wanted != package.digest()
        {
            let found = package.digest();
            return Err(UploadError::Checksum {
                path,
                wanted,
                found,
            });
        }
        let what = count(package.files().len(), "file");
        out.say(format_args!("{typed}: {what}, {}", size(package.size())));
        Ok(Self::Here { package, bytes })
    }

    /// The same request with the package in it.
    pub(crate) fn put(
        self,
        request: RequestBuilder,
        checksum: Option<Digest>,
        out: &Out,
    ) -> RequestBuilder {
        let request = request.timeout(PATIENCE);
        let (package, bytes) = match self {
            Self::Here { package, bytes } => (package, bytes),
            Self::Elsewhere { url } => {
                let checksum = checksum.map(|digest| digest.to_string());
                return request
                    .json(&json!({ "mode": "supervised", "url": url, "checksum": checksum }));
            }
        };
        let length = bytes.len();
        request
            // What arrives is what was looked at here.
            .query(&[("checksum", package.digest().to_string())])
            .header(CONTENT_TYPE, "application/zip")
            .header(CONTENT_LENGTH, length)
            .body(body(bytes, out))
    }
}

fn read(path: &Path) -> Result<(Package, Vec<u8>), SourceError> {
    if path.is_dir() {
        let packed = pack(path, &source::pack_options(path))?;
        return Ok((packed.package, packed.bytes.to_vec()));
    }
    // One reading for both: what was looked at is what is sent.
    source::refuse_no_package(path)?;
    let bytes = fs::read(path).map_err(|source| OpenError::Read {
        path: path.to_owned(),
        source,
    })?;
    let package = Package::check(bytes.clone(), &Limits::default()).map_err(OpenError::from)?;
    Ok((package, bytes))
}

fn body(bytes: Vec<u8>, out: &Out) -> Body {
    if !out.is_live() {
        return bytes.into();
    }
    let bar = ProgressBar::new(bytes.len() as u64);
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let pieces = stream::unfold((bytes, 0, bar), |(bytes, at, bar)| async move {
        let piece = bytes[at..bytes.len().min(at + PIECE)].to_vec();
        if piece.is_empty() {
            bar.finish_and_clear();
            return None;
        }
        bar.inc(piece.len() as u64);
        let next = at + piece.len();
        Some((Ok::<_, std::io::Error>(piece), (bytes, next, bar)))
    });
    Body::wrap_stream(pieces)
}
