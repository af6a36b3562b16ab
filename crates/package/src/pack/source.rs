use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use jackfield_wire::Manifest;
use jackfield_wire::manifest::Format;

use super::PackError;
use crate::limits::Limits;
use crate::reason::Warning;

/// The manifest's name in what we pack.
pub(super) const JSON: &str = "manifest.json";

/// In the order in which they count: the first is what people write, the last is made of it.
const NAMES: [&str; 3] = ["manifest.yaml", "manifest.yml", JSON];

/// The folder's manifest, checked, and what is packed of it.
#[derive(Debug)]
pub(super) struct ManifestSource {
    pub(super) manifest: Manifest,
    pub(super) json: Vec<u8>,
    pub(super) warnings: Vec<Warning>,
}

impl ManifestSource {
    pub(super) fn read(folder: &Path, limits: &Limits) -> Result<Self, PackError> {
        let is_there =
            |name: &&str| fs::symlink_metadata(folder.join(name)).is_ok_and(|meta| meta.is_file());
        let found: Vec<&str> = NAMES.into_iter().filter(is_there).collect();
        let Some((&name, others)) = found.split_first() else {
            let folder = folder.to_owned();
            // A folder that is not there, or is a file, says so itself.
            let read = fs::read_dir(&folder);
            return Err(match read {
                Err(source) => PackError::Read {
                    path: folder,
                    source,
                },
                Ok(_) => PackError::NoManifest { folder },
            });
        };
        let path = folder.join(name);
        let content = read_bounded(&path, limits.manifest_bytes).and_then(|content| {
            content.ok_or_else(|| {
                let limit = limits.manifest_bytes;
                io::Error::other(format!("it has more than {limit} bytes"))
            })
        });
        let content = content.map_err(|source| {
            let path = path.clone();
            PackError::Read { path, source }
        })?;
        let format = Format::of_file_name(name).unwrap_or(Format::Json);
        let check = Manifest::check_packaged(&content, format);
        let Some(manifest) = check.manifest else {
            let problems = check.problems;
            return Err(PackError::Manifest { path, problems });
        };
        let warn =
            |warning: jackfield_wire::ManifestProblem| Warning::new(name, warning.to_string());
        let mut warnings: Vec<Warning> = check.warnings.into_iter().map(warn).collect();
        for other in others {
            let message = format!("is left out: {name} is there too and counts");
            warnings.push(Warning::new(*other, message));
        }
        let json = match format {
            Format::Json => content,
            Format::Yaml => manifest.to_json().into_bytes(),
        };
        Ok(Self {
            manifest,
            json,
            warnings,
        })
    }

    /// Whether a name in the folder's root is that of a manifest.
    pub(super) fn is_manifest(name: &str) -> bool {
        NAMES.contains(&name)
    }
}

/// A whole file, `None` where it has more bytes than the limit.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut content)?;
    Ok((content.len() as u64 <= limit).then_some(content))
}
