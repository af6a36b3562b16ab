//! What is to be deleted, on disk: a file for each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::PendingDeletion;
use crate::settings::BuildError;

/// The folder; without one nothing is kept.
#[derive(Debug)]
pub(super) struct Store(Option<PathBuf>);

#[derive(Serialize, Deserialize)]
struct Kept {
    sprite: String,
    /// Seconds since 1970.
    since: u64,
    #[serde(default)]
    attempts: u32,
    #[serde(default)]
    error: String,
}

impl Store {
    pub(super) fn open(
        folder: Option<PathBuf>,
    ) -> Result<(Self, Vec<PendingDeletion>), BuildError> {
        let Some(folder) = folder else {
            return Ok((Self(None), Vec::new()));
        };
        let read = fs::create_dir_all(&folder).and_then(|()| read(&folder));
        match read {
            Ok(left) => Ok((Self(Some(folder)), left)),
            Err(source) => Err(BuildError::PendingFolder {
                path: folder,
                source,
            }),
        }
    }

    /// Whole or not at all.
    pub(super) fn keep(&self, pending: &PendingDeletion) {
        let Some(folder) = &self.0 else { return };
        let since = pending.since.duration_since(SystemTime::UNIX_EPOCH);
        let kept = Kept {
            sprite: pending.sprite.clone(),
            since: since.unwrap_or_default().as_secs(),
            attempts: pending.attempts,
            error: pending.error.clone(),
        };
        let text = serde_json::to_vec_pretty(&kept).expect("plain data");
        let temporary = folder.join(format!("{}.tmp", pending.sprite));
        let done = fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, file(folder, &pending.sprite)));
        if let Err(error) = done {
            tracing::error!(sprite = pending.sprite, %error, "cannot write down that a sprite is to be deleted");
        }
    }

    pub(super) fn forget(&self, sprite: &str) {
        let Some(folder) = &self.0 else { return };
        match fs::remove_file(file(folder, sprite)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(sprite, %error, "cannot cross out that a sprite is to be deleted");
            }
            _ => {}
        }
    }
}

/// Names are made of `a-z`, `0-9` and `-`.
fn file(folder: &Path, sprite: &str) -> PathBuf {
    folder.join(format!("{sprite}.json"))
}

fn read(folder: &Path) -> io::Result<Vec<PendingDeletion>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let kept: Result<Kept, io::Error> = fs::read(&path)
            .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::other));
        match kept {
            // A name that is not the file's is none of ours.
            Ok(kept) if file(folder, &kept.sprite) == path => left.push(PendingDeletion {
                since: SystemTime::UNIX_EPOCH + Duration::from_secs(kept.since),
                sprite: kept.sprite,
                attempts: kept.attempts,
                error: kept.error,
            }),
            Ok(_) => {
                tracing::warn!(file = %path.display(), "a file that says to delete another sprite");
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read which sprite is to be deleted");
            }
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, left) = Store::open(Some(folder.path().join("sprites"))).unwrap();
        assert_eq!(left, []);
        let one = PendingDeletion {
            sprite: "jackfield-plugin-1".to_owned(),
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            attempts: 3,
            error: "down".to_owned(),
        };
        store.keep(&one);
        store.keep(&one);
        fs::write(folder.path().join("sprites/other.json"), "{").unwrap();
        let (store, left) = Store::open(Some(folder.path().join("sprites"))).unwrap();
        assert_eq!(left, [one]);
        store.forget("jackfield-plugin-1");
        store.forget("jackfield-plugin-1");
        assert_eq!(
            Store::open(Some(folder.path().join("sprites"))).unwrap().1,
            []
        );
    }
}
