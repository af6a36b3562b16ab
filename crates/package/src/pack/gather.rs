use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::source::ManifestSource;
use super::{PackError, PackOptions};
use crate::reason::Warning;

/// What is packed of a folder, apart from its manifest.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Sorted by name.
    pub(super) files: Vec<Found>,
    pub(super) skipped: Vec<String>,
    pub(super) warnings: Vec<Warning>,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) executable: bool,
}

struct Walk<'a> {
    options: &'a PackOptions,
    /// The archive that is about to be written, and others.
    skip: Vec<PathBuf>,
    found: Gathered,
    /// How many links each folder has.
    links: BTreeMap<String, usize>,
    room: usize,
}

pub(super) fn gather(
    folder: &Path,
    manifest: &ManifestSource,
    options: &PackOptions,
) -> Result<Gathered, PackError> {
    let mut walk = Walk {
        options,
        skip: options
            .skip
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .collect(),
        found: Gathered::default(),
        links: BTreeMap::new(),
        // The manifest is one.
        room: options.limits.files.saturating_sub(1),
    };
    walk.folder(folder, folder, "")?;
    walk.add_command(folder, manifest);
    let Walk {
        mut found, links, ..
    } = walk;
    for (folder, count) in links {
        let message = match count {
            1 => "a symbolic link is left out".to_owned(),
            _ => format!("{count} symbolic links are left out"),
        };
        found.warnings.push(Warning::new(folder, message));
    }
    found.files.sort_by(|a, b| a.name.cmp(&b.name));
    found.skipped.sort();
    Ok(found)
}

impl Walk<'_> {
    fn folder(&mut self, top: &Path, path: &Path, prefix: &str) -> Result<(), PackError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| PackError::Read { path, source }
        };
        for entry in fs::read_dir(path).map_err(read(path))? {
            let entry = entry.map_err(read(path))?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                return Err(PackError::Name { path });
            };
            let full = format!("{prefix}{name}");
            let meta = fs::symlink_metadata(&path).map_err(read(&path))?;
            if prefix.is_empty() && ManifestSource::is_manifest(&name) {
                continue;
            }
            if self.is_left_out(&path, &name) {
                self.found.skipped.push(full);
            } else if meta.is_symlink() {
                *self.links.entry(prefix.to_owned()).or_default() += 1;
            } else if meta.is_dir() {
                self.folder(top, &path, &format!("{full}/"))?;
            } else if meta.is_file() {
                let Some(room) = self.room.checked_sub(1) else {
                    return Err(PackError::TooMuch {
                        folder: top.to_owned(),
                        what: "files",
                        limit: self.options.limits.files as u64,
                    });
                };
                self.room = room;
                self.found.files.push(Found {
                    name: full,
                    path,
                    executable: meta.permissions().mode() & 0o111 != 0,
                });
            } else {
                let message = "is neither a file nor a folder, and is left out";
                self.found.warnings.push(Warning::new(full, message));
            }
        }
        Ok(())
    }

    fn is_left_out(&self, path: &Path, name: &str) -> bool {
        if self.options.exclude.iter().any(|exclude| exclude == name) {
            return true;
        }
        // What Cargo builds, and no other folder of that name.
        if name == "target" && path.with_file_name("Cargo.toml").is_file() {
            return true;
        }
        !self.skip.is_empty() && fs::canonicalize(path).is_ok_and(|path| self.skip.contains(&path))
    }

    /// A command such as `target/release/hello` is packed wherever it is, and can be executed.
    fn add_command(&mut self, folder: &Path, manifest: &ManifestSource) {
        let command = manifest.manifest.command.as_deref().unwrap_or_default();
        let parts: Vec<&str> = command
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let inside = command.contains('/') && !command.starts_with('/') && !parts.contains(&"..");
        let name = parts.join("/");
        let path = folder.join(&name);
        if !inside || !is_reached_without_links(folder, &parts) {
            return;
        }
        if let Some(found) = self.found.files.iter_mut().find(|file| file.name == name) {
            if !found.executable {
                let message = "is the command and is not executable; it is packed as if it were";
                self.found.warnings.push(Warning::new(name, message));
            }
            found.executable = true;
            return;
        }
        self.found.files.push(Found {
            name,
            path,
            executable: true,
        });
    }
}

/// Whether a path leads to a file, and no part of it is a link.
fn is_reached_without_links(folder: &Path, parts: &[&str]) -> bool {
    let mut path = folder.to_owned();
    for part in parts {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(meta) if !meta.is_symlink() => {}
            _ => return false,
        }
    }
    path.is_file()
}
