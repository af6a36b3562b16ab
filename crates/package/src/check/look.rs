//! One look at all that an archive holds.

use std::io;
use std::ops::Range;

use super::{contents, layout, manifest, names};
use crate::archive::{self, Directory, Entry, Kind, Raw, Stream};
use crate::digest::Digest;
use crate::limits::Limits;
use crate::name;
use crate::package::{Package, PackedFile, Source};
use crate::reason::{Damage, Reason, Reasons, Rejected, Warning};

/// An entry that is looked at: all but the litter of some systems.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) entry: Entry,
    pub(super) kind: Kind,
    /// Where its data is, once nothing speaks against reading it.
    pub(super) data: Option<Range<u64>>,
}

/// Reads an archive once, all but the headers of its entries, which are looked at ahead. The directory
/// and the content that were seen are those that the digest is of.
pub(crate) fn check(
    archive: &Raw,
    source: Source,
    limits: &Limits,
) -> io::Result<Result<Package, Rejected>> {
    let mut reasons = Reasons::default();
    let mut warnings = Vec::new();
    let found = look(archive, limits, &mut reasons, &mut warnings)?;
    if let Err(rejected) = reasons.finish(&warnings) {
        return Ok(Err(rejected));
    }
    let (found, digest) = found.expect("what could not be read left a reason");
    let size = archive.size();
    Ok(Ok(Package::new(found, warnings, digest, size, source)))
}

/// What a package is made of.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) manifest: jackfield_wire::Manifest,
    pub(crate) manifest_file: String,
    pub(crate) command_file: Option<String>,
    pub(crate) files: Vec<PackedFile>,
    pub(crate) folders: Vec<String>,
}

fn look(
    archive: &Raw,
    limits: &Limits,
    reasons: &mut Reasons,
    warnings: &mut Vec<Warning>,
) -> io::Result<Option<(Found, Digest)>> {
    let size = archive.size();
    if size > limits.archive_bytes {
        let limit = limits.archive_bytes;
        reasons.push(Reason::ArchiveTooLarge { size, limit });
        return Ok(None);
    }
    let directory = archive::directory(archive, limits, reasons)?;
    let Some(Directory {
        entries,
        start,
        bytes: rest,
    }) = directory
    else {
        return Ok(None);
    };
    let (litter, entries): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .filter(|entry| !entry.is_top())
        .partition(|entry| name::is_litter(&entry.name));
    if !litter.is_empty() {
        let message = format!(
            "{} entries such as {:?} are left out",
            litter.len(),
            litter[0].name
        );
        warnings.push(Warning::new("", message));
    }
    let mut candidates: Vec<Candidate> = entries
        .into_iter()
        .map(|entry| candidate(archive, start, entry, limits, reasons))
        .collect::<io::Result<_>>()?;
    names::check(&candidates, limits, reasons);
    contents::refuse_overlaps(&mut candidates, reasons);

    let root = layout::root(&candidates, reasons);
    let keep = root.as_ref().map(|root| root.manifest.as_str());
    let mut stream = Stream::new(archive, start);
    let real = contents::check(&mut stream, &candidates, keep, limits, reasons)?;
    let Some(root) = root else { return Ok(None) };
    let manifest = manifest::check(&root, real.kept.as_deref(), limits, reasons, warnings);
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let (files, folders) = layout::plan(candidates, &root, &real, warnings);
    let command_file = manifest::command_file(&manifest, &files, &folders, reasons, warnings);
    let mut files = files;
    if let Some(command) = &command_file {
        manifest::make_executable(command, &mut files, warnings);
    }
    let found = Found {
        manifest,
        manifest_file: root.manifest_name().to_owned(),
        command_file,
        files,
        folders,
    };
    Ok(Some((found, stream.digest(&rest)?)))
}

fn candidate(
    archive: &Raw,
    before: u64,
    entry: Entry,
    limits: &Limits,
    reasons: &mut Reasons,
) -> io::Result<Candidate> {
    name::check(&entry, limits, reasons);
    let kind = entry.kind();
    let mut readable = true;
    let mut refuse = |reason| {
        reasons.push(reason);
        readable = false;
    };
    let name = || entry.name.clone();
    if let Kind::Other(kind) = kind {
        refuse(Reason::NotAFile { name: name(), kind });
    }
    if entry.is_encrypted() {
        refuse(Reason::Encrypted { name: name() });
    } else if entry.method != Entry::STORED && entry.method != Entry::DEFLATED {
        let method = entry.method;
        refuse(Reason::Compression {
            name: name(),
            method,
        });
    }
    if kind == Kind::Folder && entry.size > 0 {
        let damage = Damage::FolderWithContent;
        refuse(Reason::Damaged {
            name: name(),
            damage,
        });
    }
    if entry.size > limits.file_bytes {
        let (size, limit) = (entry.size, limits.file_bytes);
        refuse(Reason::FileTooLarge {
            name: name(),
            size,
            limit,
        });
    }
    let data = match archive::locate(archive, before, &entry)? {
        Ok(data) => Some(data),
        Err(damages) => {
            for damage in damages {
                refuse(Reason::Damaged {
                    name: name(),
                    damage,
                });
            }
            None
        }
    };
    Ok(Candidate {
        data: data.filter(|_| readable),
        entry,
        kind,
    })
}
