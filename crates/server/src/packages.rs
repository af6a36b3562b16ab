//! Archives, by digest: in a folder, or in a store that speaks S3.

mod folder;
mod remote;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield::package::Digest;
use tempfile::NamedTempFile;
use url::Url;

use crate::secret::shown;
use folder::Folder;
use remote::Remote;

/// Where archives are kept. Cheap to clone. What was put is there when `put` returns.
///
/// A host needs each archive as a file; those of a remote store are copied to a cache folder when
/// they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Packages {
    /// The archives themselves, or the cache of a remote store.
    folder: Arc<Folder>,
    remote: Option<Remote>,
}

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
    /// What a server left there that was killed while it received something is removed.
    pub(crate) async fn open(
        url: Option<&str>,
        options: &[(String, String)],
        data: &Path,
    ) -> Result<Self, PackagesError> {
        let Some(url) = url else {
            return Self::over(data.join("packages"), None).await;
        };
        let unknown = |source| PackagesError::Url {
            url: shown(url),
            source,
        };
        let parsed = Url::parse(url).map_err(|_| unknown(None))?;
        match parsed.scheme() {
            // `file:folder` would be one at the root.
            "file" if url.starts_with("file:///") => {
                let folder = parsed.to_file_path().map_err(|()| unknown(None))?;
                Self::over(folder, None).await
            }
            "s3" => {
                let remote =
                    Remote::open(&parsed, options).map_err(|error| unknown(Some(error)))?;
                Self::over(data.join("cache/packages"), Some(remote)).await
            }
            _ => Err(unknown(None)),
        }
    }

    async fn over(folder: PathBuf, remote: Option<Remote>) -> Result<Self, PackagesError> {
        let folder = blocking(move || Folder::open(folder)).await?;
        Ok(Self {
            folder: Arc::new(folder),
            remote,
        })
    }

    /// A fresh file for what is being uploaded, in the folder where [`put`](Self::put) wants it.
    pub(crate) fn incoming(&self) -> io::Result<NamedTempFile> {
        self.folder.incoming()
    }

    /// Keeps an archive. One that is there already is not written again.
    pub(crate) async fn put(
        &self,
        digest: Digest,
        file: NamedTempFile,
    ) -> Result<(), PackagesError> {
        if let Some(remote) = &self.remote {
            remote.put(digest, file.path()).await?;
        }
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.put(digest, file)).await
    }

    /// The archive as a file, which stays for as long as this process, or until it is removed.
    /// Who asks for one that is being fetched waits for it.
    pub(crate) async fn file(&self, digest: Digest) -> Result<PathBuf, PackagesError> {
        // A place of its own for each of these, so that one package is fetched and read once at a time.
        let _turn = self.folder.turn(digest).await;
        match self.folder_file(digest).await {
            Err(PackagesError::Missing(_) | PackagesError::Damaged(_)) if self.remote.is_some() => {
            }
            other => return other,
        }
        if let Some(remote) = &self.remote {
            let file = self.incoming();
            let file = file.map_err(|source| self.folder.failed(source))?;
            let file = remote.fetch(digest, file).await?;
            let folder = Arc::clone(&self.folder);
            blocking(move || folder.put(digest, file)).await?;
        }
        self.folder_file(digest).await
    }

    async fn folder_file(&self, digest: Digest) -> Result<PathBuf, PackagesError> {
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.file(digest)).await
    }

    /// Deletes an archive; one that is not there is fine.
    pub(crate) async fn remove(&self, digest: Digest) -> Result<(), PackagesError> {
        if let Some(remote) = &self.remote {
            remote.remove(digest).await?;
        }
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.remove(digest)).await
    }

    /// All that are there.
    pub(crate) async fn list(&self) -> Result<Vec<Digest>, PackagesError> {
        if let Some(remote) = &self.remote {
            return remote.list().await;
        }
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.list()).await
    }
}

/// The digest in the name of an archive.
fn digest_of(name: &str) -> Option<Digest> {
    name.strip_suffix(".zip")?.parse().ok()
}

fn name_of(digest: Digest) -> String {
    format!("{digest}.zip")
}

/// Runs what waits for a disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PackagesError> + Send + 'static,
) -> Result<T, PackagesError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(PackagesError::Io {
                path: PathBuf::new(),
                source: io::Error::other(error),
            }),
        },
    }
}

#[cfg(test)]
mod tests;
