//! `jackfield download`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use jackfield_package::Digest;
use reqwest::Method;
use serde_json::json;

use crate::client::show::text;
use crate::client::{Named, Remote};
use crate::command_error::CommandError;
use crate::commands::pack::PackCommandError;
use crate::out::{Out, Style, plain, size};

/// Save a plugin's package in a file
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    /// This version [default: the one that counts]
    #[arg(long = "number", value_name = "NUMBER")]
    number: Option<u32>,
    /// The file to write [default: the plugin's own id and .zip, in the working folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), CommandError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let plugin = client.get(&["plugins", &id]).await?;
    let name = text(&plugin["manifest"], "id");
    // A manifest's id has no slashes; what the server says is looked at all the same.
    let file = Path::new(name).file_name().unwrap_or("plugin".as_ref());
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| format!("{}.zip", file.display()).into());
    let failed = |source| PackCommandError::Write {
        path: path.clone(),
        source,
    };
    if path.exists() && !args.force {
        return Err(PackCommandError::Exists(path).into());
    }
    let mut request = client.ask(Method::GET, &["plugins", &id, "package"]);
    if let Some(number) = args.number {
        request = request.query(&[("version", number)]);
    }
    let response = client.open(request).await?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut part = tempfile::Builder::new()
        .prefix(".jackfield-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let (mut body, mut bytes) = (response.bytes_stream(), 0);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| client.unreachable(error))?;
        bytes += piece.len() as u64;
        part.write_all(&piece).map_err(failed)?;
    }
    let digest = std::fs::read(part.path()).map(|bytes| Digest::of(&bytes));
    let digest = digest.map_err(failed)?;
    let saved = part.persist(&path).map_err(|error| failed(error.error));
    drop(saved?);
    let object =
        json!({ "type": "downloaded", "file": path, "bytes": bytes, "digest": digest.to_string() });
    let file = out.style_result(Style::Good, path.display());
    let what = format!("{} {}", plain(name), plain(text(&plugin, "version")));
    out.result(&object, format_args!("{file} ({}): {what}", size(bytes)));
    Ok(())
}
