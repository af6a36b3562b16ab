//! What of a package is to be uploaded.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jackfield::package::Package;

use super::{Deploy, Place};
use crate::client::{Entry, Upload};
use crate::error::ServiceError;

/// One file on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) upload: Upload,
}

/// The files that are there already, by their names in the package.
#[derive(Debug, Default)]
pub(super) struct There {
    files: HashMap<String, Entry>,
    /// Parts of large files, and their sizes.
    parts: HashMap<String, u64>,
}

/// What an upload that broke off has left.
pub(super) async fn there(deploy: &Deploy<'_>, package: &Package) -> Result<There, ServiceError> {
    let mut there = HashMap::new();
    // One request for each folder, where the folder itself is there.
    let mut level = vec![String::new()];
    let folders = folders(package);
    while !level.is_empty() {
        let lists: Vec<(String, Vec<Entry>)> = stream::iter(level)
            .map(|folder| async move {
                let path = match folder.as_str() {
                    "" => deploy.place.folder(),
                    folder => deploy.place.file(folder),
                };
                let entries = deploy.client.list_files(deploy.sprite, &path).await?;
                Ok::<_, ServiceError>((folder, entries.unwrap_or_default()))
            })
            .buffer_unordered(deploy.uploads)
            .try_collect()
            .await?;
        level = Vec::new();
        for (folder, entries) in lists {
            for entry in entries {
                let name = match folder.as_str() {
                    "" => entry.name.clone(),
                    folder => format!("{folder}/{}", entry.name),
                };
                if !entry.is_dir {
                    there.insert(name, entry);
                } else if folders.contains(&name) {
                    level.push(name);
                }
            }
        }
    }
    let parts = deploy.place.parts();
    let parts = deploy.client.list_files(deploy.sprite, &parts).await?;
    let parts = parts.unwrap_or_default().into_iter();
    Ok(There {
        files: there,
        parts: parts.map(|entry| (entry.name, entry.size)).collect(),
    })
}

/// What is missing. A file that has its size, and is executable where it must be, was uploaded whole.
pub(super) fn plan(
    package: &Package,
    place: &Place,
    unpacked: &Path,
    there: &There,
) -> Result<Vec<Job>, ServiceError> {
    let mut jobs = vec![keep(place.state())];
    for file in package.files() {
        if there.has(file.name(), file.size(), file.is_executable()) {
            continue;
        }
        let from = unpacked.join(file.name());
        let meta = std::fs::metadata(&from).map_err(ServiceError::Local)?;
        jobs.push(Job {
            path: place.file(file.name()),
            // Writable for its owner: an upload that broke off is written over.
            mode: meta.permissions().mode() & 0o777 | 0o200,
            upload: Upload::File {
                from,
                offset: 0,
                size: file.size(),
            },
        });
    }
    let filled: BTreeSet<&str> = package
        .files()
        .iter()
        .filter_map(|file| Some(file.name().rsplit_once('/')?.0))
        .collect();
    for folder in package.folders() {
        let folder = folder.trim_end_matches('/');
        let inner = format!("{folder}/");
        let holds = |name: &&str| *name == folder || name.starts_with(&inner);
        if !filled.iter().any(holds) && !there.has(&format!("{folder}/.keep"), 0, false) {
            jobs.push(keep(place.file(folder)));
        }
    }
    Ok(jobs)
}

/// The service knows no empty folders.
fn keep(folder: String) -> Job {
    Job {
        path: folder + "/.keep",
        mode: 0o644,
        upload: Upload::Bytes(Bytes::new()),
    }
}

/// All folders of a package.
fn folders(package: &Package) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let files = package.files().iter().map(|file| file.name());
    for name in files {
        let mut name = name;
        while let Some((folder, _)) = name.rsplit_once('/') {
            all.insert(folder.to_owned());
            name = folder;
        }
    }
    for folder in package.folders() {
        all.insert(folder.trim_end_matches('/').to_owned());
    }
    all
}

impl There {
    pub(super) fn has_part(&self, name: &str, size: u64) -> bool {
        self.parts.get(name) == Some(&size)
    }

    fn has(&self, name: &str, size: u64, executable: bool) -> bool {
        self.files.get(name).is_some_and(|entry| {
            let mode = u32::from_str_radix(entry.mode.trim_start_matches("0o"), 8);
            entry.size == size && (!executable || mode.is_ok_and(|mode| mode & 0o111 != 0))
        })
    }
}
