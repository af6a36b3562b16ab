//! Archives in a store that speaks S3.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use jackfield::package::Digest;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, WriteMultipart};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use url::Url;

use super::folder::failed;
use super::{PackagesError, digest_of, name_of};

/// What is larger goes in pieces of this size.
const PIECE: usize = 8 << 20;
/// How many pieces are on their way at once.
const AT_ONCE: usize = 3;
/// How long an archive may be on its way, retries included.
const TRANSFER: Duration = Duration::from_secs(300);
/// How long everything else may take.
const ASK: Duration = Duration::from_secs(60);

/// The store, and the place in it.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl fmt::Debug for Remote {
    /// The store's own would show its keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// Does not ask the store yet.
    pub(super) fn open(url: &Url, options: &[(String, String)]) -> Result<Self, Error> {
        let options = options.iter().map(|(name, value)| (name, value));
        let (store, prefix) = object_store::parse_url_opts(url, options)?;
        Ok(Self::over(store.into(), prefix))
    }

    /// A store that is open already.
    pub(super) fn over(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    /// Uploads an archive, if none of its size is there.
    pub(super) async fn put(&self, digest: Digest, file: &FilePath) -> Result<(), PackagesError> {
        within(TRANSFER, self.upload(digest, file)).await
    }

    async fn upload(&self, digest: Digest, path: &FilePath) -> Result<(), PackagesError> {
        let place = self.place(digest);
        let read = |source| failed(path, source);
        let mut file = tokio::fs::File::open(path).await.map_err(read)?;
        let size = file.metadata().await.map_err(read)?.len();
        match self.store.head(&place).await {
            Ok(there) if there.size == size => return Ok(()),
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if size <= PIECE as u64 {
            let mut bytes = Vec::with_capacity(size as usize);
            file.read_to_end(&mut bytes).await.map_err(read)?;
            self.store.put(&place, bytes.into()).await?;
            return Ok(());
        }
        let upload = self.store.put_multipart(&place).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
        loop {
            let mut some = BytesMut::with_capacity(1 << 20);
            let count = match file.read_buf(&mut some).await {
                Ok(count) => count,
                Err(error) => {
                    // What was sent is of no use; a store that does not hear that cleans up itself.
                    let _ = upload.abort().await;
                    return Err(read(error));
                }
            };
            if count == 0 {
                upload.finish().await?;
                return Ok(());
            }
            upload.wait_for_capacity(AT_ONCE).await?;
            upload.put(some.freeze());
        }
    }

    /// Downloads an archive, and compares it with its digest.
    pub(super) async fn fetch(
        &self,
        digest: Digest,
        to: NamedTempFile,
    ) -> Result<NamedTempFile, PackagesError> {
        within(TRANSFER, self.download(digest, &to)).await?;
        Ok(to)
    }

    async fn download(&self, digest: Digest, to: &NamedTempFile) -> Result<(), PackagesError> {
        let write = |source| failed(to.path(), source);
        let mut content = match self.store.get(&self.place(digest)).await {
            Ok(got) => got.into_stream(),
            Err(Error::NotFound { .. }) => return Err(PackagesError::Missing(digest)),
            Err(error) => return Err(error.into()),
        };
        let mut hash = Sha256::new();
        let mut file = tokio::fs::File::from_std(to.reopen().map_err(write)?);
        while let Some(some) = content.try_next().await? {
            hash.update(&some);
            file.write_all(&some).await.map_err(write)?;
        }
        file.flush().await.map_err(write)?;
        if hash.finalize().as_slice() != digest.as_bytes() {
            return Err(PackagesError::Damaged(digest));
        }
        Ok(())
    }

    /// Deletes an archive; one that is not there is fine.
    pub(super) async fn remove(&self, digest: Digest) -> Result<(), PackagesError> {
        let place = self.place(digest);
        let delete = async {
            match self.store.delete(&place).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        within(ASK, delete).await
    }

    /// All archives; what else lies there is none of ours.
    pub(super) async fn list(&self) -> Result<Vec<Digest>, PackagesError> {
        let list = async {
            let listed = self.store.list(Some(&self.prefix));
            let digests = listed.try_filter_map(async |object| {
                let direct = object.location.parts_count() == self.prefix.parts_count() + 1;
                let digest = object.location.filename().and_then(digest_of);
                Ok(digest.filter(|_| direct))
            });
            Ok(digests.try_collect().await?)
        };
        within(ASK, list).await
    }

    fn place(&self, digest: Digest) -> Path {
        self.prefix.clone().join(name_of(digest))
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, PackagesError>>,
) -> Result<T, PackagesError> {
    let late = |_| Error::Generic {
        store: "packages",
        source: format!("no answer within {limit:?}").into(),
    };
    timeout(limit, work).await.map_err(late)?
}
