//! Of what the registry does, one for each of its errors.

use http::StatusCode;
use jackfield::{Failure, LoadError};

use super::Problem;
use crate::registry::{
    ConfigureError, InstallError, ManifestError, NotFound, PackageError, RemoveError, StateError,
    TokenError, UpgradeError,
};

const EXTERNAL: &str = "external-plugin";
const SUPERVISED: &str = "supervised-plugin";

impl From<NotFound> for Problem {
    fn from(error: NotFound) -> Self {
        Self::missing("no-such-plugin", error.to_string())
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        let text = error.to_string();
        match error {
            LoadError::PluginsDisabled => {
                Self::new(StatusCode::FORBIDDEN, "plugins-disabled", text)
            }
            LoadError::NothingToSpawn => Self::wrong("invalid-manifest", text),
            LoadError::Unloading(_) | LoadError::TokenInUse(_) => Self::conflict("busy", text),
            LoadError::ShutDown => Self::unavailable("shutting-down", text),
            LoadError::Log { .. } => Self::internal(&error),
        }
    }
}

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        let text = error.to_string();
        match error {
            InstallError::Disabled => Self::new(StatusCode::FORBIDDEN, "plugins-disabled", text),
            InstallError::Package(error) => error.into(),
            InstallError::Manifest(error) => error.into(),
            InstallError::ExternalGrpc => Self::wrong("invalid-manifest", text),
            InstallError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text)
            }
            InstallError::Checksum { .. } => Self::wrong("checksum-differs", text),
            InstallError::Fetch(error) => error.into(),
            InstallError::Upload(ref source) => Self::internal(source),
            InstallError::Load(error) => error.into(),
            InstallError::Packages(error) => error.into(),
            InstallError::Store(error) => error.into(),
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        let text = error.to_string();
        match error {
            StateError::NotFound(error) => error.into(),
            StateError::Disabled => Self::new(StatusCode::FORBIDDEN, "plugins-disabled", text),
            StateError::External => Self::wrong(EXTERNAL, text),
            StateError::Failed(failure) => failed("plugin-failed", text, &failure),
            StateError::NoPing(ref source) => {
                Self::new(StatusCode::BAD_GATEWAY, "plugin-failed", text).hiding(source)
            }
            StateError::Timeout(_) => Self::wrong("not-active-in-time", text),
            StateError::Overtaken => Self::conflict("overtaken", text),
            StateError::ShuttingDown => Self::unavailable("shutting-down", text),
            StateError::Load(error) => error.into(),
            // It was sound when it came.
            StateError::Package(error) => {
                Self::conflict("package-damaged", format!("{text}: {error}"))
            }
            StateError::Packages(error) => error.into(),
            StateError::Store(error) => error.into(),
        }
    }
}

impl From<UpgradeError> for Problem {
    fn from(error: UpgradeError) -> Self {
        let text = error.to_string();
        match error {
            UpgradeError::NotFound(error) => error.into(),
            UpgradeError::External => Self::wrong(EXTERNAL, text),
            UpgradeError::OtherPlugin { .. } => Self::wrong("other-plugin", text),
            UpgradeError::NoVersion(_) => Self::missing("no-such-version", text),
            UpgradeError::NothingEarlier => Self::conflict("nothing-earlier", text),
            UpgradeError::BroughtBack { why, .. } => match *why {
                StateError::Failed(failure) => failed("brought-back", text, &failure),
                // No plugin failed.
                StateError::Overtaken => Self::conflict("overtaken", text),
                StateError::ShuttingDown => Self::unavailable("shutting-down", text),
                StateError::NotFound(error) => error.into(),
                StateError::Store(error) => error.into(),
                _ => Self::new(StatusCode::BAD_GATEWAY, "brought-back", text),
            },
            UpgradeError::Install(error) => error.into(),
            UpgradeError::Store(error) => error.into(),
        }
    }
}

impl From<ConfigureError> for Problem {
    fn from(error: ConfigureError) -> Self {
        let text = error.to_string();
        match error {
            ConfigureError::NotFound(error) => error.into(),
            ConfigureError::Invalid(lines) => {
                let places = lines.into_iter().map(|line| (field(&line), line));
                Self::wrong("invalid-configuration", text).places(places)
            }
            ConfigureError::Refused(_) => Self::wrong("configuration-refused", text),
            ConfigureError::NoAnswer(_) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", text)
            }
            ConfigureError::NotConnected => Self::wrong("not-connected", text),
            ConfigureError::Store(error) => error.into(),
        }
    }
}

impl From<RemoveError> for Problem {
    fn from(error: RemoveError) -> Self {
        let text = error.to_string();
        match error {
            RemoveError::NotFound(error) => error.into(),
            RemoveError::Left(failure) => failed("something-left", text, &failure),
            RemoveError::Store(error) => error.into(),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let text = error.to_string();
        match error {
            TokenError::NotFound(error) => error.into(),
            TokenError::Supervised => Self::wrong(SUPERVISED, text),
            TokenError::Load(error) => error.into(),
            TokenError::Store(error) => error.into(),
        }
    }
}

impl From<ManifestError> for Problem {
    fn from(error: ManifestError) -> Self {
        let text = error.to_string();
        match error {
            ManifestError::NotFound(error) => error.into(),
            ManifestError::Supervised => Self::wrong(SUPERVISED, text),
            ManifestError::Invalid(error) => error.into(),
            ManifestError::ExternalGrpc => Self::wrong("invalid-manifest", text),
            ManifestError::Load(error) => error.into(),
            ManifestError::Store(error) => error.into(),
        }
    }
}

impl From<PackageError> for Problem {
    fn from(error: PackageError) -> Self {
        let text = error.to_string();
        match error {
            PackageError::NotFound(error) => error.into(),
            PackageError::External => Self::wrong(EXTERNAL, text),
            PackageError::NoVersion(_) => Self::missing("no-such-version", text),
            PackageError::Packages(error) => error.into(),
            PackageError::Store(error) => error.into(),
        }
    }
}

/// 502, with everything that is known.
fn failed(kind: &'static str, text: String, failure: &Failure) -> Problem {
    let mut problem = Problem::new(StatusCode::BAD_GATEWAY, kind, text);
    if let Some(hint) = &failure.details.hint {
        problem = problem.with("hint", hint.as_str());
    }
    match serde_json::to_value(failure) {
        Ok(failure) => problem.with("failure", failure),
        Err(_) => problem,
    }
}

/// The field that a line is about: `Field "x" must be …`.
fn field(line: &str) -> String {
    let mut parts = line.split('"');
    parts
        .next()
        .and(parts.next())
        .unwrap_or_default()
        .to_owned()
}
