use std::collections::BTreeSet;

use jackfield_wire::manifest::Format;

use super::contents::Contents;
use super::look::Candidate;
use crate::archive::Kind;
use crate::package::PackedFile;
use crate::reason::{Reason, Reasons, Warning};

/// Where the package begins in the archive.
#[derive(Debug)]
pub(super) struct Root {
    /// What stands in front of every name: nothing, or the one enclosing folder with its slash.
    prefix: String,
    /// The manifest's name in the archive.
    pub(super) manifest: String,
}

impl Root {
    /// The manifest's name in the package.
    pub(super) fn manifest_name(&self) -> &str {
        &self.manifest[self.prefix.len()..]
    }
}

/// Finds the one manifest: in the root, or in the one folder that holds everything.
pub(super) fn root(candidates: &[Candidate], reasons: &mut Reasons) -> Option<Root> {
    let manifests_in = |prefix: &str| -> Vec<&str> {
        candidates
            .iter()
            .filter(|it| it.kind == Kind::File)
            .map(|it| it.entry.name.as_str())
            .filter(|name| {
                let inner = name.strip_prefix(prefix);
                inner.is_some_and(|inner| Format::of_file_name(inner).is_some())
            })
            .collect()
    };
    let mut prefix = "";
    let mut found = manifests_in("");
    if found.is_empty()
        && let Some(folder) = enclosing(candidates)
    {
        prefix = folder;
        found = manifests_in(folder);
    }
    match found[..] {
        [manifest] => Some(Root {
            prefix: prefix.to_owned(),
            manifest: manifest.to_owned(),
        }),
        [] => {
            let base = |name: &str| name.rsplit('/').next().map(str::to_owned);
            let elsewhere = candidates
                .iter()
                .map(|it| &it.entry.name)
                .filter(|name| base(name).is_some_and(|base| Format::of_file_name(&base).is_some()))
                .take(3)
                .map(|name| name.escape_debug().to_string())
                .collect();
            reasons.push(Reason::NoManifest { elsewhere });
            None
        }
        _ => {
            let names = found.into_iter().map(str::to_owned).collect();
            reasons.push(Reason::SeveralManifests { names });
            None
        }
    }
}

/// The folder that every entry is in, with its slash.
fn enclosing(candidates: &[Candidate]) -> Option<&str> {
    let first = &candidates.first()?.entry.name;
    let folder = &first[..=first.find('/')?];
    let all = candidates
        .iter()
        .all(|it| it.entry.name.starts_with(folder));
    (folder.len() > 1 && all).then_some(folder)
}

/// The files and folders of the package, sorted by name.
pub(super) fn plan(
    candidates: Vec<Candidate>,
    root: &Root,
    contents: &Contents,
    warnings: &mut Vec<Warning>,
) -> (Vec<PackedFile>, Vec<String>) {
    let mut files = Vec::new();
    let mut folders = BTreeSet::new();
    let mut special = Vec::new();
    for Candidate { entry, kind, data } in candidates {
        let Some(name) = entry.name.strip_prefix(&root.prefix) else {
            continue;
        };
        if kind == Kind::Folder {
            if let Some(name) = name.strip_suffix('/') {
                folders.insert(name.to_owned());
            }
            continue;
        }
        let Some(data) = data else { continue };
        if entry.has_special_bits() {
            special.push(name.to_owned());
        }
        let program = contents.programs.contains(&entry.name);
        let mode = entry.mode().unwrap_or(if program { 0o755 } else { 0o644 });
        files.push(PackedFile {
            name: name.to_owned(),
            size: entry.size,
            // Whoever unpacks it must be able to read it.
            mode: mode | 0o400,
            crc: entry.crc,
            method: entry.method,
            data,
        });
    }
    if let Some(first) = special.first() {
        let message = format!("set-id bits are dropped ({} files)", special.len());
        warnings.push(Warning::new(first, message));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    (files, folders.into_iter().collect())
}
