//! Archives come: received, compared with what was asked for, checked.

use std::io::{self, Read as _};

use jackfield::Manifest;
use jackfield::package::{Digest, Package};
use sha2::Digest as _;
use tempfile::NamedTempFile;

use super::fetch::{Fetch, shown};
use super::load::limits;
use super::{InstallError, Registry, Upload};

/// An archive that is a package.
pub(super) struct Arrival {
    pub(super) file: NamedTempFile,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) manifest: Manifest,
    /// `upload`, or where it came from.
    pub(super) source: String,
}

impl Upload {
    /// Where it comes from, as it may be told.
    pub(super) fn source(&self) -> String {
        match self {
            Self::File(_) => "upload".to_owned(),
            Self::Url(url) => shown(url),
        }
    }
}

impl Registry {
    /// Receives a package and checks it. Nothing is kept yet.
    pub(super) async fn receive(
        &self,
        upload: Upload,
        checksum: Option<&str>,
    ) -> Result<Arrival, InstallError> {
        let parts = self.parts();
        let limit = parts.config.max_package;
        let source = upload.source();
        let file = match upload {
            Upload::File(file) => file,
            Upload::Url(url) => {
                let file = parts.packages.incoming().map_err(InstallError::Upload)?;
                let fetch = Fetch::new(limit, parts.config.allow_private_downloads);
                fetch.download(&url, file).await?
            }
        };
        let pinned = checksum.map(str::to_ascii_lowercase);
        self.blocking(move || check(file, pinned, limit, source))
            .await
    }
}

fn check(
    file: NamedTempFile,
    pinned: Option<String>,
    limit: u64,
    source: String,
) -> Result<Arrival, InstallError> {
    let size = file
        .as_file()
        .metadata()
        .map_err(InstallError::Upload)?
        .len();
    if size > limit {
        return Err(InstallError::TooLarge(limit));
    }
    // Before anything in it is looked at: what is not what was asked for is none of our business.
    if let Some(pinned) = pinned {
        let found = sha256(&file).map_err(InstallError::Upload)?;
        if pinned != found {
            return Err(InstallError::Checksum { pinned, found });
        }
    }
    let package = Package::open(file.path(), &limits(limit))?;
    Ok(Arrival {
        digest: package.digest(),
        size: package.size(),
        manifest: package.manifest().clone(),
        file,
        source,
    })
}

fn sha256(file: &NamedTempFile) -> io::Result<String> {
    let mut file = file.reopen()?;
    let mut digest = sha2::Sha256::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            text.push_str(&format!("{byte:02x}"));
            text
        }))
}
