//! Files in a sprite. Paths are absolute.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Client;
use super::http::{Call, Content};
use crate::error::{ServiceError, Verdict};
use crate::secret::encode;

/// What is in memory of a file that is being uploaded.
const CHUNK: usize = 64 * 1024;
/// A connection that carries less is as good as none.
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;

/// What a listing says of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) size: u64,
    /// Octal.
    #[serde(default)]
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) mod_time: String,
    #[serde(default)]
    pub(crate) is_dir: bool,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub(crate) enum Upload {
    /// Bytes of a file of this machine.
    File {
        from: PathBuf,
        offset: u64,
        size: u64,
    },
    /// Few bytes.
    Bytes(Bytes),
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    size: Option<u64>,
}

impl Client {
    fn file_call(
        &self,
        doing: &'static str,
        method: Method,
        what: (&str, &str),
        path: &str,
    ) -> Call {
        let (sprite, operation) = what;
        let target = format!("/v1/sprites/{}/fs/{operation}", encode(sprite));
        self.call(doing, method, target)
            .query("path", path)
            .query("workingDir", "/")
    }

    /// A file's bytes; `None` where there is none.
    pub(crate) async fn read_file(
        &self,
        sprite: &str,
        path: &str,
    ) -> Result<Option<Bytes>, ServiceError> {
        let call = self.file_call("read a file", Method::GET, (sprite, "read"), path);
        missing_is_none(self.send(call).await)
    }

    /// What is in a folder, or the file itself; `None` where there is nothing.
    pub(crate) async fn list_files(
        &self,
        sprite: &str,
        path: &str,
    ) -> Result<Option<Vec<Entry>>, ServiceError> {
        let doing = "list files";
        let call = self.file_call(doing, Method::GET, (sprite, "list"), path);
        let Some(answer) = missing_is_none(self.send(call).await)? else {
            return Ok(None);
        };
        let listing: Listing =
            serde_json::from_slice(&answer).map_err(|error| ServiceError::Odd {
                doing,
                what: error.to_string(),
            })?;
        Ok(Some(listing.entries))
    }

    /// Writes a file, and the folders it is in.
    pub(crate) async fn write_file(
        &self,
        sprite: &str,
        path: &str,
        mode: u32,
        upload: &Upload,
    ) -> Result<(), ServiceError> {
        let doing = "take a file";
        let (content, size) = upload.open().await.map_err(ServiceError::Local)?;
        let mut call = self
            .file_call(doing, Method::PUT, (sprite, "write"), path)
            .query("mode", format!("{mode:04o}"))
            .query("mkdirParents", "true");
        call.content = Some((content, size, "application/octet-stream"));
        call.deadline += Duration::from_secs(size / SLOWEST_BYTES_PER_SECOND);
        let answer = self.send(call).await?;
        // What it says is optional; what it says is believed.
        let written = serde_json::from_slice::<Written>(&answer).ok();
        match written.and_then(|written| written.size) {
            Some(wrong) if wrong != size => Err(ServiceError::unreachable(
                doing,
                format!("{wrong} of {size} bytes arrived"),
            )),
            _ => Ok(()),
        }
    }

    /// Deletes a file, or a folder with all that is in it. One that is not there is as good.
    pub(crate) async fn delete_files(&self, sprite: &str, path: &str) -> Result<(), ServiceError> {
        let call = self
            .file_call("delete files", Method::DELETE, (sprite, "delete"), path)
            .query("recursive", "true");
        missing_is_none(self.send(call).await).map(drop)
    }
}

impl Upload {
    async fn open(&self) -> std::io::Result<(Content, u64)> {
        match self {
            Self::Bytes(bytes) => {
                let content = Full::new(bytes.clone()).map_err(|never| match never {});
                Ok((content.boxed_unsync(), bytes.len() as u64))
            }
            Self::File { from, offset, size } => {
                let mut file = File::open(from).await?;
                file.seek(SeekFrom::Start(*offset)).await?;
                let file = file.take(*size);
                let chunks = stream::try_unfold(file, |mut file| async move {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    match file.read_buf(&mut chunk).await? {
                        0 => Ok(None),
                        _ => Ok(Some((Frame::data(Bytes::from(chunk)), file))),
                    }
                });
                Ok((StreamBody::new(chunks).boxed_unsync(), *size))
            }
        }
    }
}

fn missing_is_none(answer: Result<Bytes, ServiceError>) -> Result<Option<Bytes>, ServiceError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.verdict() == Verdict::Missing => Ok(None),
        Err(error) => Err(error),
    }
}
