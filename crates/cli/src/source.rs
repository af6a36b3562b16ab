//! From what was typed, a file or a folder, to a package or a manifest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jackfield_package::{Limits, OpenError, PackError, PackOptions, Package, pack};
use jackfield_wire::Manifest;
use jackfield_wire::manifest::{Format, ManifestProblem};

use crate::out::Out;
use crate::progress;

/// A package, and what is odd with it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) package: Package,
    pub(crate) warnings: Vec<String>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Nothing is there.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// A manifest where a package is wanted.
    #[error("{} is a manifest, not a package", .0.display())]
    IsManifest(PathBuf),
    /// The file is no package.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The folder does not make one.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// What it makes cannot be put onto the disk.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// Nothing is there, or no manifest in the folder.
    #[error("there is no manifest {}", .0.display())]
    Missing(PathBuf),
    /// The file has another name.
    #[error("{} is not a manifest: manifest.json, manifest.yaml or manifest.yml is expected", .0.display())]
    NotAManifest(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It has problems. The text has a line for each.
    #[error("{} is not valid:{}", path.display(), lines(problems))]
    Invalid {
        path: PathBuf,
        problems: Vec<ManifestProblem>,
    },
}

fn lines(problems: &[ManifestProblem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

/// Opens a package, or makes one of a folder as it is now.
pub(crate) async fn open(path: &Path, out: &Out) -> Result<Source, SourceError> {
    let doing = format!("checking {}", path.display());
    let path = path.to_owned();
    progress::blocking(out, &doing, move || open_now(&path, None)).await
}

/// The same, for what is to run: the package that is made of a folder is put into this one, so that
/// no memory is taken by it while the plugin runs.
pub(crate) async fn open_to_run(
    path: &Path,
    folder: PathBuf,
    out: &Out,
) -> Result<Source, SourceError> {
    let doing = format!("checking {}", path.display());
    let path = path.to_owned();
    progress::blocking(out, &doing, move || open_now(&path, Some(&folder))).await
}

fn open_now(path: &Path, folder: Option<&Path>) -> Result<Source, SourceError> {
    refuse_no_package(path)?;
    if path.is_dir() {
        let packed = pack(path, &pack_options(path))?;
        let warnings = packed.warnings.iter().map(ToString::to_string).collect();
        let package = match folder.map(|folder| folder.join("package.zip")) {
            None => packed.package,
            Some(path) => {
                let written = fs::write(&path, &packed.bytes);
                written.map_err(|source| SourceError::Write {
                    path: path.clone(),
                    source,
                })?;
                Package::open(&path, &Limits::default())?
            }
        };
        return Ok(Source { package, warnings });
    }
    let package = Package::open(path, &Limits::default())?;
    let warnings = package.warnings().iter().map(ToString::to_string).collect();
    Ok(Source { package, warnings })
}

/// What is not there, or is a manifest, is no package.
pub(crate) fn refuse_no_package(path: &Path) -> Result<(), SourceError> {
    if !path.exists() {
        return Err(SourceError::Missing(path.to_owned()));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    if !path.is_dir() && name.and_then(Format::of_file_name).is_some() {
        return Err(SourceError::IsManifest(path.to_owned()));
    }
    Ok(())
}

/// How a folder is packed: without the package that `jackfield pack .` put into it earlier.
pub(crate) fn pack_options(folder: &Path) -> PackOptions {
    let own = manifest_now(folder)
        .ok()
        .map(|(manifest, _)| folder.join(format!("{}.zip", manifest.id)));
    PackOptions {
        skip: own.into_iter().collect(),
        ..PackOptions::default()
    }
}

/// Reads a manifest, or the one of a folder; with what is odd with it.
pub(crate) async fn manifest(
    path: &Path,
    out: &Out,
) -> Result<(Manifest, Vec<String>), ManifestError> {
    let doing = format!("reading {}", path.display());
    let path = path.to_owned();
    progress::blocking(out, &doing, move || manifest_now(&path)).await
}

fn manifest_now(path: &Path) -> Result<(Manifest, Vec<String>), ManifestError> {
    let mut path = path.to_owned();
    if path.is_dir() {
        // In the order in which `pack` looks for them.
        path = ["manifest.yaml", "manifest.yml", "manifest.json"]
            .map(|name| path.join(name))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_else(|| path.join("manifest.json"));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let format = match name.and_then(Format::of_file_name) {
        Some(format) => format,
        // Development has its own: `plugin.dev.json`.
        None => match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Format::Json,
            Some("yaml" | "yml") => Format::Yaml,
            _ if path.exists() => return Err(ManifestError::NotAManifest(path)),
            _ => return Err(ManifestError::Missing(path)),
        },
    };
    let bytes = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ManifestError::Missing(path.clone()),
        _ => ManifestError::Read {
            path: path.clone(),
            source,
        },
    })?;
    let check = Manifest::check(&bytes, format);
    let warnings = check.warnings.iter().map(ToString::to_string).collect();
    match check.manifest {
        Some(manifest) => Ok((manifest, warnings)),
        None => Err(ManifestError::Invalid {
            path,
            problems: check.problems,
        }),
    }
}

/// What is odd with a command on this machine alone: a program that is not there.
pub(crate) fn missing_program(manifest: &Manifest) -> Option<String> {
    let command = manifest
        .command
        .as_deref()
        .filter(|command| !command.is_empty())?;
    let there = if command.starts_with('/') {
        Path::new(command).is_file()
    } else if command.contains('/') {
        true // The package's own: checked with it.
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(command).is_file())
    };
    (!there).then(|| {
        format!(
            "command: there is no `{command}` on this machine; it has to be where the plugin runs"
        )
    })
}
