use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use crate::archive::{InflateError, Inflater, Stream};
use crate::beneath::{Beneath, open_folder};
use crate::package::{Package, PackedFile};
use crate::unpack::UnpackError;

/// Writes a package's folders and files into a new folder. The archive is read once, so that whether
/// it is still the one that was checked is known at the end: until then, nobody may use the folder.
pub(crate) fn write(package: &Package, to: &Path, sync: bool) -> Result<(), UnpackError> {
    let failed = |name: &str| {
        let path = to.join(name);
        move |source| UnpackError::Io {
            doing: "write",
            path,
            source,
        }
    };
    let archive = || package.archive().unwrap_or(Path::new("")).to_owned();
    let changed = || UnpackError::Changed { archive: archive() };
    let gone = |source| UnpackError::Gone {
        archive: archive(),
        source,
    };
    let raw = package.raw().map_err(gone)?;
    if raw.size() != package.size() {
        return Err(changed());
    }
    fs::DirBuilder::new()
        .mode(0o755)
        .create(to)
        .map_err(failed(""))?;
    let top = open_folder(to).map_err(failed(""))?;
    let mut beneath = Beneath::new(top.try_clone().map_err(failed(""))?);
    for folder in package.folders() {
        beneath.create_folder(folder).map_err(failed(folder))?;
    }
    let mut stream = Stream::new(&raw, raw.size());
    let mut inflater = Inflater::new();
    let mut files: Vec<&PackedFile> = package.files().iter().collect();
    files.sort_by_key(|file| file.data.start);
    for file in files {
        let PackedFile { data, method, .. } = file;
        let mut target = beneath
            .create_file(&file.name)
            .map_err(failed(&file.name))?;
        let real = inflater.inflate(&mut stream, data, *method, file.size, |piece| {
            target.write_all(piece)
        });
        let real = real.map_err(|error| match error {
            InflateError::Data => changed(),
            InflateError::Read(error) => gone(error),
            InflateError::Sink(error) => failed(&file.name)(error),
        })?;
        if real.size != file.size || real.crc != file.crc {
            return Err(changed());
        }
        finish(&target, file, sync).map_err(failed(&file.name))?;
    }
    if stream.digest(&[]).map_err(gone)? != package.digest() {
        return Err(changed());
    }
    rustix::fs::fchmod(&top, rustix::fs::Mode::from_raw_mode(0o755))
        .map_err(io::Error::from)
        .map_err(failed(""))?;
    if sync {
        flush(&top).map_err(failed(""))?;
    }
    Ok(())
}

fn finish(target: &File, file: &PackedFile, sync: bool) -> io::Result<()> {
    // Not by accident: a plugin that overwrites its own program would find it changed for good.
    let mode = match file.mode {
        program if program & 0o111 != 0 => program & 0o555,
        other => other & 0o777,
    };
    target.set_permissions(fs::Permissions::from_mode(mode))?;
    if sync && !FLUSHES_AT_ONCE {
        target.sync_all()?;
    }
    Ok(())
}

/// Linux writes out a whole file system in one call; thousands of files one by one take seconds.
const FLUSHES_AT_ONCE: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
fn flush(folder: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

#[cfg(not(target_os = "linux"))]
fn flush(folder: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(folder)?)
}
