//! Archives in a folder: `<digest>.zip`, and `incoming/` for those that are being received.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jackfield::package::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{PackagesError, digest_of, name_of};

/// How many archives are fetched or read at once. Those that share a place wait for one another.
const PLACES: usize = 32;

/// The folder. All but [`turn`](Self::turn) wait for the disk.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    turns: [Semaphore; PLACES],
    /// Those that this process has read and found whole.
    whole: Mutex<HashSet<Digest>>,
}

impl Folder {
    /// Makes it, and removes what was being received when a server was killed.
    pub(super) fn open(path: PathBuf) -> Result<Self, PackagesError> {
        let folder = Self {
            path,
            turns: std::array::from_fn(|_| Semaphore::new(1)),
            whole: Mutex::default(),
        };
        let incoming = folder.path.join("incoming");
        let clean = || {
            fs::create_dir_all(&incoming)?;
            for left in fs::read_dir(&incoming)? {
                fs::remove_file(left?.path())?;
            }
            Ok(())
        };
        clean().map_err(|source| failed(&incoming, source))?;
        Ok(folder)
    }

    /// A fresh file in the same file system.
    pub(super) fn incoming(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.path.join("incoming"))
    }

    /// Waits until nobody else fetches or reads this archive.
    pub(super) async fn turn(&self, digest: Digest) -> SemaphorePermit<'_> {
        let place = usize::from(digest.as_bytes()[0]) % PLACES;
        let turn = self.turns[place].acquire().await;
        turn.expect("it is never closed")
    }

    /// Keeps an archive. It is on the disk when this returns.
    pub(super) fn put(&self, digest: Digest, file: NamedTempFile) -> Result<(), PackagesError> {
        let path = self.path.join(name_of(digest));
        // One that is damaged is replaced: that is how it is repaired.
        if self.check(digest).is_ok() {
            return Ok(());
        }
        let keep = || {
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(&self.path)?.sync_all()
        };
        keep().map_err(|source| failed(&path, source))?;
        self.whole().remove(&digest);
        Ok(())
    }

    /// Where it is. The first time, it is read, and compared with its digest.
    pub(super) fn file(&self, digest: Digest) -> Result<PathBuf, PackagesError> {
        if self.whole().contains(&digest) {
            let path = self.path.join(name_of(digest));
            return match path.try_exists() {
                Ok(true) => Ok(path),
                Ok(false) => Err(PackagesError::Missing(digest)),
                Err(source) => Err(failed(&path, source)),
            };
        }
        self.check(digest)
    }

    fn check(&self, digest: Digest) -> Result<PathBuf, PackagesError> {
        let path = self.path.join(name_of(digest));
        match sha_256(&path) {
            Ok(found) if found == *digest.as_bytes() => {
                self.whole().insert(digest);
                Ok(path)
            }
            Ok(_) => {
                self.whole().remove(&digest);
                Err(PackagesError::Damaged(digest))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(PackagesError::Missing(digest))
            }
            Err(source) => Err(failed(&path, source)),
        }
    }

    /// Takes one away; one that is not there is fine.
    pub(super) fn remove(&self, digest: Digest) -> Result<(), PackagesError> {
        self.whole().remove(&digest);
        let path = self.path.join(name_of(digest));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, error)),
            _ => Ok(()),
        }
    }

    /// All archives; what else lies there is none of ours.
    pub(super) fn list(&self) -> Result<Vec<Digest>, PackagesError> {
        let list = || {
            let mut digests = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                digests.extend(entry?.file_name().to_str().and_then(digest_of));
            }
            Ok(digests)
        };
        list().map_err(|source| failed(&self.path, source))
    }

    /// What went wrong in this folder.
    pub(super) fn failed(&self, source: io::Error) -> PackagesError {
        failed(&self.path, source)
    }

    fn whole(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went wrong with a file.
pub(super) fn failed(path: &Path, source: io::Error) -> PackagesError {
    PackagesError::Io {
        path: path.to_owned(),
        source,
    }
}

fn sha_256(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut some = vec![0; 1 << 16];
    loop {
        match file.read(&mut some)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&some[..count]),
        }
    }
}
