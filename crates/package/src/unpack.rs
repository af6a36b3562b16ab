use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::beneath::{Beneath, open_folder};
use crate::digest::Digest;
use crate::lock::Lock;
use crate::package::{Package, PackedFile};
use crate::write::write;

/// How a package is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackOptions {
    /// Whether everything is on the disk, and not only in its cache, before the folder gets its
    /// name. Default: yes.
    pub sync: bool,
    /// How long to wait for another process that unpacks in the same root. Default: 60 s.
    pub patience: Duration,
}

impl Default for UnpackOptions {
    fn default() -> Self {
        Self {
            sync: true,
            patience: Duration::from_secs(60),
        }
    }
}

/// A package on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The folder, named by the digest: `root/<digest>`.
    pub folder: PathBuf,
    /// The archive's digest.
    pub digest: Digest,
    /// Whether it was there already, whole.
    pub reused: bool,
}

/// Why a package could not be unpacked. Nothing is left behind but, at worst, a folder whose name
/// begins with `.tmp-`, which [`prune`](crate::prune) removes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Something could not be read or written.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The disk is too full.
    #[error("{needed} bytes are needed in {}, and {free} are free", .root.display())]
    NoSpace {
        /// Where.
        root: PathBuf,
        /// The bytes of the files.
        needed: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// The archive's file is another one than when it was checked.
    #[error("{} is another one than when it was checked", .archive.display())]
    Changed {
        /// The archive.
        archive: PathBuf,
    },
    /// The archive's file cannot be read any more.
    #[error("cannot read the archive {}", .archive.display())]
    Gone {
        /// The archive.
        archive: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else unpacked in the same root for too long.
    #[error("somebody else is unpacking in {}", .root.display())]
    Busy {
        /// Where.
        root: PathBuf,
    },
}

impl Package {
    /// Unpacks into `root/<digest>`, in one step as others see it: the folder is there whole or not
    /// at all. One that is there already is reused if no file is missing and no program was changed;
    /// otherwise it is replaced.
    ///
    /// Beside it stands `root/<digest>.ok`, which says that it is whole. Set-id bits are dropped, a
    /// program loses its write bits, and no link is followed anywhere below `root`. Files that the
    /// plugin itself wrote into the folder stay while it is reused; a plugin that wants to keep
    /// something keeps it elsewhere.
    ///
    /// # Errors
    /// The root cannot be written or has too little space, the archive's file was changed, or
    /// another process holds the root for longer than [`UnpackOptions::patience`].
    pub fn unpack(&self, root: &Path, options: &UnpackOptions) -> Result<Unpacked, UnpackError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| UnpackError::Io {
                doing,
                path,
                source,
            }
        };
        fs::create_dir_all(root).map_err(io("create", root))?;
        let lock = Lock::take(root, options.patience).map_err(io("lock", root))?;
        let Some(_lock) = lock else {
            let root = root.to_owned();
            return Err(UnpackError::Busy { root });
        };
        let place = Place::new(root, self.digest());
        let mut unpacked = Unpacked {
            folder: place.folder.clone(),
            digest: self.digest(),
            reused: true,
        };
        if place.marker.is_file() && is_whole(self, &place.folder) {
            touch(&place.marker).map_err(io("write", &place.marker))?;
            return Ok(unpacked);
        }
        unpacked.reused = false;
        enough_space(root, self.unpacked_size())?;
        let temporary = place.temporary("new");
        let written = write(self, &temporary, options.sync).and_then(|()| {
            place
                .put(&temporary, options.sync)
                .map_err(io("rename", &temporary))
        });
        if let Err(error) = written {
            // What cannot be removed now is removed by the next `prune`.
            let _ = fs::remove_dir_all(&temporary);
            return Err(error);
        }
        Ok(unpacked)
    }
}

/// The names that belong to one digest in a root.
#[derive(Debug)]
pub(crate) struct Place {
    root: PathBuf,
    digest: Digest,
    pub(crate) folder: PathBuf,
    pub(crate) marker: PathBuf,
}

impl Place {
    pub(crate) const TEMPORARY: &str = ".tmp-";
    pub(crate) const MARKER: &str = ".ok";

    pub(crate) fn new(root: &Path, digest: Digest) -> Self {
        Self {
            root: root.to_owned(),
            digest,
            folder: root.join(digest.to_string()),
            marker: root.join(format!("{digest}{}", Self::MARKER)),
        }
    }

    /// A name that nobody has.
    fn temporary(&self, what: &str) -> PathBuf {
        let random = RandomState::new().build_hasher().finish();
        let (start, digest) = (Self::TEMPORARY, self.digest);
        self.root
            .join(format!("{start}{digest}-{what}-{random:016x}"))
    }

    /// Gives the new folder its name. The marker goes first and comes last.
    fn put(&self, new: &Path, sync: bool) -> io::Result<()> {
        match fs::remove_file(&self.marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let old = self.temporary("old");
        let had_old = match fs::rename(&self.folder, &old) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        fs::rename(new, &self.folder)?;
        let root = File::open(&self.root)?;
        if sync {
            root.sync_all()?;
        }
        let mut marker = File::create(&self.marker)?;
        marker.write_all(b"whole\n")?;
        if sync {
            marker.sync_all()?;
            root.sync_all()?;
        }
        if had_old {
            // Whatever it is, a link too, and without following one.
            let _ = fs::remove_dir_all(&old);
        }
        Ok(())
    }
}

fn enough_space(root: &Path, needed: u64) -> Result<(), UnpackError> {
    // A file system that cannot tell is tried.
    let Ok(stat) = rustix::fs::statvfs(root) else {
        return Ok(());
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed && stat.f_blocks > 0 {
        let root = root.to_owned();
        return Err(UnpackError::NoSpace { root, needed, free });
    }
    Ok(())
}

/// Whether the folder still has every file, and every program is the one in the archive. Data files
/// may have been changed by the plugin; that they are there is enough.
fn is_whole(package: &Package, folder: &Path) -> bool {
    let Ok(top) = open_folder(folder) else {
        return false;
    };
    let mut beneath = Beneath::new(top);
    package
        .files()
        .iter()
        .all(|file| is_intact(&mut beneath, file).unwrap_or(false))
}

fn is_intact(beneath: &mut Beneath, file: &PackedFile) -> io::Result<bool> {
    let mut found = beneath.open_file(&file.name)?;
    let meta = found.metadata()?;
    if !meta.is_file() {
        return Ok(false);
    }
    if !file.is_executable() {
        return Ok(true);
    }
    if meta.len() != file.size || meta.permissions().mode() & 0o7777 != file.mode & 0o555 {
        return Ok(false);
    }
    let mut crc = flate2::Crc::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match found.read(&mut buffer)? {
            0 => return Ok(crc.sum() == file.crc),
            count => crc.update(&buffer[..count]),
        }
    }
}

/// Its time says when the folder was last asked for.
fn touch(marker: &Path) -> io::Result<()> {
    File::options()
        .write(true)
        .open(marker)?
        .set_modified(SystemTime::now())
}
