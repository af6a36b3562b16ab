use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::digest::Digest;
use crate::lock::Lock;
use crate::unpack::Place;

/// What [`prune`] did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Packages whose folders were removed.
    pub removed: Vec<Digest>,
    /// Older packages that are kept, the latest first.
    pub kept: Vec<Digest>,
    /// What could not be removed, and why; the next call tries again.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// Why a root could not be pruned.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The root could not be read.
    #[error("cannot read {}", .root.display())]
    Read {
        /// The root.
        root: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody unpacks in it.
    #[error("somebody else is unpacking in {}", .root.display())]
    Busy {
        /// The root.
        root: PathBuf,
    },
}

/// Removes what is no longer needed from a root of unpacked packages: all but the current one and
/// the `keep` that were asked for last, and whatever an unpacking that was cut short left behind.
/// Only names that unpacking makes are touched.
///
/// It does not know what still runs: a root belongs to one installation, whose process is the
/// current package's or none.
///
/// # Errors
/// The root cannot be read, or an unpacking is under way in it for longer than 60 s. A folder that
/// cannot be removed is no error but is named in [`Pruned::failed`].
pub fn prune(root: &Path, keep: usize, current: &Digest) -> Result<Pruned, PruneError> {
    let failed = |source| PruneError::Read {
        root: root.to_owned(),
        source,
    };
    if !root.try_exists().map_err(failed)? {
        return Ok(Pruned::default());
    }
    let lock = Lock::take(root, Duration::from_secs(60)).map_err(failed)?;
    let Some(_lock) = lock else {
        let root = root.to_owned();
        return Err(PruneError::Busy { root });
    };
    let mut pruned = Pruned::default();
    let mut whole: Vec<(SystemTime, Digest)> = Vec::new();
    let mut broken = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(Place::TEMPORARY) {
            remove(&entry.path(), &mut pruned);
        } else if let Ok(digest) = name.parse::<Digest>()
            && digest != *current
        {
            let marker = fs::metadata(&Place::new(root, digest).marker);
            match marker.and_then(|marker| marker.modified()) {
                Ok(used) => whole.push((used, digest)),
                Err(_) => broken.push(digest),
            }
        } else if let Some(digest) = name.strip_suffix(Place::MARKER)
            && let Ok(digest) = digest.parse::<Digest>()
            && !Place::new(root, digest).folder.exists()
        {
            remove(&entry.path(), &mut pruned);
        }
    }
    whole.sort_by(|a, b| b.cmp(a));
    let (kept, old) = whole.split_at(keep.min(whole.len()));
    pruned.kept = kept.iter().map(|(_, digest)| *digest).collect();
    let old = old.iter().map(|(_, digest)| *digest);
    for digest in old.chain(broken) {
        let place = Place::new(root, digest);
        // The marker first: a folder that is half removed must not count as whole.
        if remove(&place.marker, &mut pruned) && remove(&place.folder, &mut pruned) {
            pruned.removed.push(digest);
        }
    }
    Ok(pruned)
}

/// Removes a file, a link or a folder with all that is in it; never what a link leads to.
fn remove(path: &Path, pruned: &mut Pruned) -> bool {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            pruned.failed.push((path.to_owned(), error));
            false
        }
        _ => true,
    }
}
