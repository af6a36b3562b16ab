//! The files of a sprite.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::process::real;
use super::query::{self, rfc3339};
use super::state::Entry;

/// What went wrong, for an answer.
#[derive(Debug)]
pub(super) enum Failed {
    Io {
        path: String,
        error: io::Error,
    },
    /// Above [`LARGEST`].
    TooLarge,
    /// A parameter is missing or makes no sense.
    Request(&'static str),
    /// The body broke off, or an order says that it does.
    Severed,
}

/// No file may be larger.
const LARGEST: u64 = 16 << 20;

/// A path as a request names it, and where it is.
struct Named<'a> {
    folder: &'a Path,
    /// Absolute, in the sprite.
    path: String,
}

impl<'a> Named<'a> {
    fn of(folder: &'a Path, path: &str, working_dir: &str) -> Self {
        let path = match path {
            path if path.starts_with('/') => path.to_owned(),
            path => format!("{}/{path}", working_dir.trim_end_matches('/')),
        };
        Self { folder, path }
    }

    fn asked(folder: &'a Path, pairs: &[(String, String)]) -> Result<Self, Failed> {
        let path = query::first(pairs, "path").ok_or(Failed::Request("path is missing"))?;
        let working_dir = query::first(pairs, "workingDir").unwrap_or("/");
        Ok(Self::of(folder, path, working_dir))
    }

    fn place(&self) -> std::path::PathBuf {
        real(self.folder, &self.path)
    }

    fn io<T>(&self, result: io::Result<T>) -> Result<T, Failed> {
        result.map_err(|error| Failed::Io {
            path: self.path.clone(),
            error,
        })
    }
}

/// The bytes of a file.
pub(super) fn read(folder: &Path, pairs: &[(String, String)]) -> Result<Vec<u8>, Failed> {
    let file = Named::asked(folder, pairs)?;
    file.io(fs::read(file.place()))
}

/// Writes a file as its bytes come, so that an upload that breaks off leaves a part of it
/// (assumed). After `cut` bytes it breaks off by order.
pub(super) async fn write(
    folder: &Path,
    pairs: &[(String, String)],
    mut body: Incoming,
    cut: Option<u64>,
    entry: &Entry,
) -> Result<Value, Failed> {
    let named = Named::asked(folder, pairs)?;
    let place = named.place();
    let mode = query::first(pairs, "mode").unwrap_or("0644");
    let mode = u32::from_str_radix(mode, 8).map_err(|_| Failed::Request("mode is not octal"))?;
    let parents = query::yes(pairs, "mkdirParents").or(query::yes(pairs, "mkdir"));
    if let (Some(parent), true) = (place.parent(), parents.unwrap_or(false)) {
        named.io(DirBuilder::new().recursive(true).create(parent))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file: File = named.io(options.open(&place))?;
    named.io(file.set_permissions(Permissions::from_mode(mode & 0o7777)))?;
    let mut size = 0;
    while cut.is_none_or(|cut| size < cut) {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(mut data) = frame.map_err(|_| Failed::Severed)?.into_data() else {
            continue;
        };
        if let Some(cut) = cut {
            data.truncate(usize::try_from(cut - size).unwrap_or(usize::MAX));
        }
        size += data.len() as u64;
        entry.bytes(size);
        if size > LARGEST {
            drop(file);
            let _ = fs::remove_file(&place);
            return Err(Failed::TooLarge);
        }
        named.io(file.write_all(&data))?;
    }
    if cut.is_some() {
        return Err(Failed::Severed);
    }
    Ok(json!({"path": named.path, "size": size, "mode": format!("{mode:04o}")}))
}

/// A file lists itself, a folder what is in it.
pub(super) fn list(folder: &Path, pairs: &[(String, String)]) -> Result<Value, Failed> {
    let named = Named::asked(folder, pairs)?;
    let place = named.place();
    let about = named.io(fs::metadata(&place))?;
    let mut entries = Vec::new();
    if about.is_dir() {
        for item in named.io(fs::read_dir(&place))? {
            let item = named.io(item)?;
            let name = item.file_name().to_string_lossy().into_owned();
            // It may be gone again, and a link may lead nowhere.
            if let Ok(about) = fs::metadata(item.path()) {
                let path = format!("{}/{name}", named.path.trim_end_matches('/'));
                entries.push(shown(&name, &path, &about));
            }
        }
        entries.sort_by_key(|entry| entry["name"].to_string());
    } else {
        let name = named.path.rsplit('/').next().unwrap_or_default();
        entries.push(shown(name, &named.path, &about));
    }
    Ok(json!({"path": named.path, "count": entries.len(), "entries": entries}))
}

/// Removes a file or a folder.
pub(super) fn delete(folder: &Path, pairs: &[(String, String)]) -> Result<Value, Failed> {
    let named = Named::asked(folder, pairs)?;
    let place = named.place();
    let about = named.io(fs::symlink_metadata(&place))?;
    let recursive = query::yes(pairs, "recursive").unwrap_or(false);
    named.io(match (about.is_dir(), recursive) {
        (true, true) => fs::remove_dir_all(&place),
        (true, false) => fs::remove_dir(&place),
        (false, _) => fs::remove_file(&place),
    })?;
    Ok(json!({"deleted": [named.path], "count": 1}))
}

/// `rename`, `copy` and `chmod`, with their arguments in a body.
pub(super) fn change(folder: &Path, what: &str, body: &[u8]) -> Result<Value, Failed> {
    let body: Value =
        serde_json::from_slice(body).map_err(|_| Failed::Request("the body is no JSON"))?;
    let working_dir = body["workingDir"].as_str().unwrap_or("/");
    let named = |field: &'static str| match body[field].as_str() {
        Some(path) => Ok(Named::of(folder, path, working_dir)),
        None => Err(Failed::Request("a path is missing")),
    };
    if what == "chmod" {
        let path = named("path")?;
        let mode = body["mode"].as_str().unwrap_or_default();
        let mode = u32::from_str_radix(mode, 8).map_err(|_| Failed::Request("no octal mode"))?;
        path.io(fs::set_permissions(
            path.place(),
            Permissions::from_mode(mode & 0o7777),
        ))?;
        let affected = json!({"path": path.path, "mode": format!("{mode:04o}")});
        return Ok(json!({"affected": [affected], "count": 1}));
    }
    let (source, dest) = (named("source")?, named("dest")?);
    let pair = json!({"source": source.path, "dest": dest.path});
    source.io(fs::symlink_metadata(source.place()))?;
    if let Some(parent) = dest.place().parent() {
        dest.io(fs::create_dir_all(parent))?;
    }
    if what == "rename" {
        source.io(fs::rename(source.place(), dest.place()))?;
        return Ok(pair);
    }
    let bytes = source.io(copy(&source.place(), &dest.place()))?;
    Ok(json!({"copied": [pair], "count": 1, "totalBytes": bytes}))
}

fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    if !from.is_dir() {
        return fs::copy(from, to);
    }
    fs::create_dir_all(to)?;
    let mut bytes = 0;
    for item in fs::read_dir(from)? {
        let item = item?;
        bytes += copy(&item.path(), &to.join(item.file_name()))?;
    }
    Ok(bytes)
}

fn shown(name: &str, path: &str, about: &Metadata) -> Value {
    json!({
        "name": name, "path": path, "size": about.len(), "isDir": about.is_dir(),
        "type": if about.is_dir() { "directory" } else { "file" },
        "mode": format!("{:04o}", about.permissions().mode() & 0o7777),
        "modTime": rfc3339(about.modified().unwrap_or(std::time::SystemTime::UNIX_EPOCH)),
    })
}

impl Failed {
    /// The status and the body; `None`: there is to be no answer.
    pub(super) fn answer(&self) -> Option<(u16, Value)> {
        Some(match self {
            Self::Severed => return None,
            Self::TooLarge => (413, json!({"error": "file contents exceed 16 MiB"})),
            Self::Request(words) => (400, json!({"error": words})),
            Self::Io { path, error } => {
                let (status, code) = match error.kind() {
                    io::ErrorKind::NotFound => (404, "ENOENT"),
                    io::ErrorKind::DirectoryNotEmpty => (400, "ENOTEMPTY"),
                    io::ErrorKind::IsADirectory => (400, "EISDIR"),
                    io::ErrorKind::NotADirectory => (400, "ENOTDIR"),
                    io::ErrorKind::ExecutableFileBusy => (500, "ETXTBSY"),
                    _ => (500, "EIO"),
                };
                (
                    status,
                    json!({"error": error.to_string(), "code": code, "path": path}),
                )
            }
        })
    }
}
