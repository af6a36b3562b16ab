//! Archives, by digest: in a folder, or in a store that speaks S3.

use std::path::{Path, PathBuf};

use jackfield::package::Digest;

/// Where archives are kept. Cheap to clone. What was put is there when `put` returns.
///
/// A host needs each archive as a file; those of a remote store are copied to a cache folder when
/// they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Packages {}

/// Why archives cannot be kept or fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackagesError {
    /// The URL names no store that is known here.
    #[error("{url:?} is no store for packages: file:///folder or s3://bucket/prefix is expected")]
    Url {
        /// Without secrets.
        url: String,
        /// Why.
        source: Option<object_store::Error>,
    },
    /// It is not there.
    #[error("the package {0} is not in the store")]
    Missing(Digest),
    /// What is there is something else.
    #[error("the package {0} is damaged: its content has another digest")]
    Damaged(Digest),
    /// The store does not answer, or refuses.
    #[error("the store of packages does not answer")]
    Store(#[from] object_store::Error),
    /// A file here cannot be written or read.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Packages {
    /// `url`: `file:///folder` or `s3://bucket/prefix`; `None` is the folder `packages` in `data`.
    pub(crate) async fn open(
        _url: Option<&str>,
        _options: &[(String, String)],
        _data: &Path,
    ) -> Result<Self, PackagesError> {
        todo!()
    }

    /// A fresh file for what is being uploaded, in the folder where [`put`](Self::put) wants it.
    pub(crate) fn incoming(&self) -> std::io::Result<tempfile::NamedTempFile> {
        todo!()
    }

    /// Keeps an archive. One that is there already is not written again.
    pub(crate) async fn put(
        &self,
        _digest: Digest,
        _file: tempfile::NamedTempFile,
    ) -> Result<(), PackagesError> {
        todo!()
    }

    /// The archive as a file, which stays for as long as this process.
    pub(crate) async fn file(&self, _digest: Digest) -> Result<PathBuf, PackagesError> {
        todo!()
    }

    /// Deletes an archive; one that is not there is fine.
    pub(crate) async fn remove(&self, _digest: Digest) -> Result<(), PackagesError> {
        todo!()
    }

    /// All that are there.
    pub(crate) async fn list(&self) -> Result<Vec<Digest>, PackagesError> {
        todo!()
    }
}
