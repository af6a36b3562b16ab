//! The archive that a folder becomes.

use std::io::{self, Cursor, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jackfield_wire::ManifestProblem;
use thiserror::Error;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::gather::Gathered;
use super::source::ManifestSource;
use super::{gather, source};
use crate::limits::Limits;
use crate::package::Package;
use crate::reason::{Rejected, Warning};

/// How a folder is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// What the result is checked against.
    pub limits: Limits,
    /// Names of files and folders that are left out wherever they are. Default: `.git`, `.hg`,
    /// `.svn`, `.DS_Store`, `__pycache__`, `.venv`, `.next`, `.pytest_cache` and `.mypy_cache`.
    ///
    /// `target` is left out beside a `Cargo.toml`. `node_modules` is packed, unlike in the original:
    /// without it a Node plugin does not run. Install production dependencies alone.
    pub exclude: Vec<String>,
    /// Files that are left out, such as the archive that is about to be written. Default: none.
    pub skip: Vec<PathBuf>,
}

impl Default for PackOptions {
    fn default() -> Self {
        let exclude = [
            ".git",
            ".hg",
            ".svn",
            ".DS_Store",
            "__pycache__",
            ".venv",
            ".next",
            ".pytest_cache",
            ".mypy_cache",
        ];
        Self {
            limits: Limits::default(),
            exclude: exclude.map(str::to_owned).to_vec(),
            skip: Vec::new(),
        }
    }
}

/// A packed folder.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The archive.
    pub bytes: Bytes,
    /// The archive as a package, checked.
    pub package: Package,
    /// Names in the archive, in its order: the manifest, then the others sorted.
    pub files: Vec<String>,
    /// What was left out by name.
    pub skipped: Vec<String>,
    /// What is odd with the folder and with the package.
    pub warnings: Vec<Warning>,
}

/// Why a folder could not be packed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackError {
    /// Something could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder has no manifest.
    #[error("no manifest.yaml, manifest.yml or manifest.json in {}", .folder.display())]
    NoManifest {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest is not valid. The text has a line for each problem.
    #[error("{} is not valid:{}", .path.display(), lines(.problems))]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// All its problems.
        problems: Vec<ManifestProblem>,
    },
    /// A name is not UTF-8, and cannot stand in an archive that everyone reads alike.
    #[error("the name of {} is not UTF-8", .path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is more in the folder than a package may hold.
    #[error("{} holds more than {limit} {what}", .folder.display())]
    TooMuch {
        /// The folder.
        folder: PathBuf,
        /// `files` or `bytes`.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Zip(#[from] zip::result::ZipError),
    /// The archive is no package.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

fn lines(problems: &[ManifestProblem]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
        text
    })
}

/// Packs a folder, and checks the result as any other archive.
///
/// The archive begins with `manifest.json`: the folder's own, or one made of its `manifest.yaml` or
/// `manifest.yml`, which come first where there are several. The other files follow sorted, without
/// their times, each as executable as it is in the folder. Links are never followed but left out,
/// with a warning. The command's file is packed even if it lies in a folder that is left out.
///
/// # Errors
/// The folder cannot be read, has no valid manifest, or does not make a package.
pub fn pack(folder: &Path, options: &PackOptions) -> Result<Packed, PackError> {
    let manifest = ManifestSource::read(folder, &options.limits)?;
    let Gathered {
        files,
        skipped,
        mut warnings,
    } = gather::gather(folder, &manifest, options)?;
    warnings.extend(manifest.warnings);

    let mut names = vec![source::JSON.to_owned()];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(source::JSON, entry(false))?;
    write(&mut zip, &manifest.json)?;
    let limit = options.limits.total_bytes;
    let mut total = 0;
    for file in files {
        let read = |source| {
            let path = file.path.clone();
            PackError::Read { path, source }
        };
        let content = source::read_bounded(&file.path, limit - total).map_err(read)?;
        let Some(content) = content else {
            let folder = folder.to_owned();
            let what = "bytes";
            return Err(PackError::TooMuch {
                folder,
                what,
                limit,
            });
        };
        total += content.len() as u64;
        zip.start_file(&file.name, entry(file.executable))?;
        write(&mut zip, &content)?;
        names.push(file.name);
    }
    let bytes = Bytes::from(zip.finish()?.into_inner());
    let package = Package::check(bytes.clone(), &options.limits)?;
    // The manifest's were said of the folder's own document.
    let own = |warning: &&Warning| warning.place != source::JSON;
    warnings.extend(package.warnings().iter().filter(own).cloned());
    Ok(Packed {
        bytes,
        package,
        files: names,
        skipped,
        warnings,
    })
}

impl Package {
    /// Packs and checks a folder; what `pack(folder, options)?.package` is.
    ///
    /// # Errors
    /// As [`pack`].
    pub fn from_folder(folder: &Path, options: &PackOptions) -> Result<Self, PackError> {
        Ok(pack(folder, options)?.package)
    }
}

/// The same for every file but for the execute bits: neither the day nor the umask is to be seen.
fn entry(executable: bool) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(if executable { 0o755 } else { 0o644 })
}

fn write(zip: &mut ZipWriter<Cursor<Vec<u8>>>, content: &[u8]) -> Result<(), PackError> {
    Ok(zip
        .write_all(content)
        .map_err(zip::result::ZipError::from)?)
}
