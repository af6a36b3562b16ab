//! `jackfield pack`

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jackfield_package::{PackError, Packed, pack};
use serde_json::json;

use super::run::warn;
use crate::out::{Out, Style, count, size};
use crate::{progress, source};

const HELP: &str = "\
Everything in the folder is packed but .git, __pycache__, .venv and the like, symbolic links, and
Cargo's target folder (not the program in it that the manifest names). The same files give the same
bytes, wherever and whenever.

Examples:
  jackfield pack hello                 hello.zip here, named by the manifest's id
  jackfield pack hello -o out/1.zip --force";

/// Make a package of a folder
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The folder of the plugin: what it needs to run, and its manifest
    folder: PathBuf,
    /// The file to write [default: the manifest's id and .zip, in the working folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// Why no package was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackCommandError {
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), PackCommandError> {
    let doing = format!("packing {}", args.folder.display());
    let (packed, output) = progress::blocking(out, &doing, move || write(&args)).await?;
    for warning in &packed.warnings {
        warn(out, &warning.to_string());
    }
    let package = &packed.package;
    let manifest = package.manifest();
    let object = json!({
        "type": "packed", "file": output, "bytes": package.size(),
        "digest": package.digest().to_string(), "files": packed.files, "skipped": packed.skipped,
        "plugin": manifest.id, "version": manifest.version,
    });
    let text = format!(
        "{} ({}, {}): {} {}",
        out.style_result(Style::Good, output.display()),
        count(packed.files.len(), "file"),
        size(package.size()),
        manifest.name,
        manifest.version,
    );
    out.result(&object, text);
    if !packed.skipped.is_empty() {
        out.say(format_args!("left out: {}", packed.skipped.join(", ")));
    }
    Ok(())
}

fn write(args: &Args) -> Result<(Packed, PathBuf), PackCommandError> {
    if !args.folder.is_dir() {
        return Err(PackCommandError::NotAFolder(args.folder.clone()));
    }
    let mut options = source::pack_options(&args.folder);
    options.skip.extend(args.output.clone());
    let packed = pack(&args.folder, &options)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.zip", packed.package.manifest().id)));
    save(&packed.bytes, &output, args.force)?;
    Ok((packed, output))
}

/// Whole or not at all: beside it first, then under its name.
fn save(bytes: &[u8], path: &Path, force: bool) -> Result<(), PackCommandError> {
    let failed = |source| PackCommandError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".jackfield-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    if force {
        file.persist(path).map_err(|error| failed(error.error))?;
        return Ok(());
    }
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(PackCommandError::Exists(path.to_owned()))
        }
        Err(error) => Err(failed(error.error)),
    }
}
