//! Of packages, and of manifests.

use http::StatusCode;
use jackfield::package::{OpenError, Reason, Rejected};
use jackfield::wire::manifest::InvalidManifest;

use super::Problem;
use crate::packages::PackagesError;
use crate::registry::FetchError;

const HINT: &str = "put it back from a backup of the store, or upload the package again";

impl From<PackagesError> for Problem {
    fn from(error: PackagesError) -> Self {
        match &error {
            PackagesError::Store(_) => Self::unavailable(
                "package-store-away",
                "the store of packages does not answer; try again in a moment",
            )
            .hiding(&error),
            PackagesError::Missing(_) => {
                Self::conflict("package-missing", error.to_string()).with("hint", HINT)
            }
            PackagesError::Damaged(_) => {
                Self::conflict("package-damaged", error.to_string()).with("hint", HINT)
            }
            PackagesError::Url { .. } | PackagesError::Io { .. } => Self::internal(&error),
        }
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Rejected(rejected) => rejected.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        let too_large = |reason: &Reason| matches!(reason, Reason::ArchiveTooLarge { .. });
        let status = if rejected.reasons.iter().any(too_large) {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        Self::new(status, "invalid-package", rejected.to_string()).places(
            rejected
                .reasons
                .iter()
                .map(|reason| (String::new(), reason.to_string())),
        )
    }
}

impl From<InvalidManifest> for Problem {
    fn from(invalid: InvalidManifest) -> Self {
        Self::wrong("invalid-manifest", invalid.to_string()).places(
            invalid
                .problems
                .into_iter()
                .map(|problem| (problem.path, problem.message)),
        )
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        let text = error.to_string();
        match error {
            FetchError::Refused { .. } | FetchError::Private { .. } => {
                Self::wrong("download-refused", text)
            }
            FetchError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text)
            }
            FetchError::Timeout { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "download-failed", text)
            }
            FetchError::Status { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "download-failed", text)
            }
            FetchError::Unknown { ref source, .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "download-failed", text).hiding(source)
            }
            FetchError::Failed { ref source, .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "download-failed", text).hiding(source)
            }
            FetchError::Io(ref source) => Self::internal(source),
        }
    }
}
