use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jackfield_wire::Manifest;
use thiserror::Error;

use crate::archive::Raw;
use crate::check::{self, Found};
use crate::digest::Digest;
use crate::limits::Limits;
use crate::reason::{Rejected, Warning};

/// A checked package. Only a check makes one, so that it is valid wherever it is seen.
///
/// Cheap to clone. It keeps the archive's bytes when it was made from bytes, and only the path when
/// it was opened from a file, which is read again, and held against the digest, when it is unpacked.
#[derive(Clone, Debug)]
pub struct Package {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    found: Found,
    warnings: Vec<Warning>,
    digest: Digest,
    size: u64,
    source: Source,
}

/// Where the archive's bytes are.
pub(crate) enum Source {
    Memory(Bytes),
    File(PathBuf),
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) crc: u32,
    pub(crate) method: u16,
    pub(crate) data: Range<u64>,
}

/// Why a file or folder could not become a package.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was read and is no package.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

impl Package {
    /// Checks an archive. Nothing is written, and every entry is inflated once.
    ///
    /// # Errors
    /// Every [`Reason`](crate::Reason) at once.
    pub fn check(bytes: impl Into<Bytes>, limits: &Limits) -> Result<Self, Rejected> {
        let bytes = bytes.into();
        let source = Source::Memory(bytes.clone());
        check::check(&Raw::Memory(bytes), source, limits).expect("no file is read")
    }

    /// Checks an archive in a file. The file must stay as it is until the package was unpacked for
    /// the last time.
    ///
    /// # Errors
    /// The file cannot be read, or the archive is refused. One that is too large is not read.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Read {
            path: path.to_owned(),
            source,
        };
        // A path that is told relative to some folder must lead to the same file later.
        let absolute = std::path::absolute(path).map_err(failed)?;
        let archive = Raw::open(&absolute).map_err(failed)?;
        Ok(check::check(&archive, Source::File(absolute), limits).map_err(failed)??)
    }

    pub(crate) fn new(
        found: Found,
        warnings: Vec<Warning>,
        digest: Digest,
        size: u64,
        source: Source,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                found,
                warnings,
                digest,
                size,
                source,
            }),
        }
    }

    /// The file of the archive; `None` for one that came as bytes.
    #[must_use]
    pub fn archive(&self) -> Option<&Path> {
        match &self.inner.source {
            Source::Memory(_) => None,
            Source::File(path) => Some(path),
        }
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inner.found.manifest
    }

    /// The manifest's file name.
    #[must_use]
    pub fn manifest_file(&self) -> &str {
        &self.inner.found.manifest_file
    }

    /// The file that the command names, relative to the package's folder; `None` where the command
    /// is looked for in `PATH` or is an absolute path.
    #[must_use]
    pub fn command_file(&self) -> Option<&str> {
        self.inner.found.command_file.as_deref()
    }

    /// The SHA-256 of the archive.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// The files, sorted by name. An enclosing folder is not part of the names.
    #[must_use]
    pub fn files(&self) -> &[PackedFile] {
        &self.inner.found.files
    }

    /// The folders that the archive names, sorted; those that only hold files may be missing.
    #[must_use]
    pub fn folders(&self) -> &[String] {
        &self.inner.found.folders
    }

    /// What is odd with it.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.inner.warnings
    }

    /// Bytes of the archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// Bytes of all files, inflated.
    #[must_use]
    pub fn unpacked_size(&self) -> u64 {
        self.files().iter().map(PackedFile::size).sum()
    }

    /// The archive's bytes, which may be others than when it was checked if they are in a file.
    pub(crate) fn raw(&self) -> io::Result<Raw> {
        match &self.inner.source {
            Source::Memory(bytes) => Ok(Raw::Memory(bytes.clone())),
            Source::File(path) => Raw::open(path),
        }
    }
}

impl PackedFile {
    /// Its name in the package, parts separated by slashes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes, inflated.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it can be executed once it is unpacked.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(path) => path.fmt(f),
        }
    }
}
