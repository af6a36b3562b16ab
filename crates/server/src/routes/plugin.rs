//! An installation as the API shows it.

use jackfield::{ActiveState, Failure, Manifest, Mode, ReportedState, Status, Token};
use serde::Serialize;
use serde_json::Value;

use crate::clock::rfc3339;
use crate::registry::Installed;

/// An installed plugin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Plugin {
    #[schema(example = "d4g1m2k3l4m5n6o7p8q0", pattern = "^[0-9a-v]{19}[0g]$")]
    id: String,
    #[schema(format = DateTime)]
    added_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// Whose token installed it.
    added_by: String,
    name: String,
    description: String,
    version: String,
    /// What is.
    status: PluginStatus,
    /// What is wanted.
    wanted: Wanted,
    connection: Connection,
    /// The package that counts; external plugins have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<PackageShown>,
    /// Why it cannot be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[schema(value_type = super::manifest::Manifest)]
    manifest: Value,
}

/// What is wanted of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    Active,
    Inactive,
}

/// What a plugin is doing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PluginStatus {
    active_state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    deactivated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    starting_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    connecting_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    activated_at: Option<String>,
    /// Why it is `error` or `restarting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Everything that is known about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
    /// Since when it has been in this state.
    #[schema(format = DateTime)]
    since: String,
    /// Restarts by the host since somebody last asked for a start.
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
}

/// The states of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Inactive,
    Starting,
    Connecting,
    Active,
    /// Shown with `wide`; as `inactive` otherwise.
    Stopping,
    Restarting,
    Error,
}

/// Whether the server runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeShown {
    Supervised,
    External,
}

/// How it is connected.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Connection {
    mode: ModeShown,
    /// Of external plugins: the first characters of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_prefix: Option<String>,
    /// Of external plugins: the token, shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Of external plugins: whether it is on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected: Option<bool>,
}

/// The package that counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PackageShown {
    /// 1, 2, 3 … within the installation.
    #[schema(minimum = 1)]
    version: i64,
    /// SHA-256 in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
    /// Bytes.
    size: u64,
}

/// How much is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wide(pub(crate) bool);

impl Plugin {
    /// Shows an installation.
    pub(crate) fn of(installed: &Installed, wide: Wide) -> Self {
        let record = &installed.record;
        let manifest = &record.manifest;
        Self {
            id: record.id.to_string(),
            added_at: rfc3339(record.added_at),
            updated_at: rfc3339(record.updated_at),
            added_by: record.added_by.clone(),
            name: manifest.name.clone(),
            description: manifest.description.clone(),
            version: manifest.version.clone(),
            status: PluginStatus::of(installed, wide),
            wanted: record.wanted.into(),
            connection: Connection::of(installed),
            package: installed.package.as_ref().map(|version| PackageShown {
                version: version.number,
                digest: version.digest.to_string(),
                size: version.size,
            }),
            problem: installed.problem.clone(),
            manifest: json(manifest),
        }
    }

    /// The same, with the token that is shown once.
    pub(crate) fn with_token(mut self, token: &Token) -> Self {
        self.connection.token = Some(token.reveal().to_owned());
        self
    }

    pub(crate) fn mode(&self) -> ModeShown {
        self.connection.mode
    }

    pub(crate) fn state(&self) -> State {
        self.status.active_state
    }
}

impl PluginStatus {
    pub(crate) fn of(installed: &Installed, wide: Wide) -> Self {
        match &installed.status {
            Some(status) => Self::from_status(status, wide),
            None => Self::unloaded(installed),
        }
    }

    fn from_status(status: &Status, Wide(wide): Wide) -> Self {
        let since = rfc3339(status.since);
        let mut shown = Self::empty(State::Inactive, since.clone());
        shown.restarts = status.restarts;
        shown.pid = status.pid;
        shown.next_attempt_at = status.next_attempt_at.map(rfc3339);
        if let Some(failure) = &status.error {
            shown.message = Some(failure.message.clone());
            shown.details = Some(details(failure));
        }
        match status.state {
            ReportedState::Inactive => shown.deactivated_at = Some(since),
            ReportedState::Starting => {
                shown.active_state = State::Starting;
                shown.starting_at = Some(since);
            }
            ReportedState::Connecting => {
                shown.active_state = State::Connecting;
                shown.connecting_at = Some(since);
            }
            ReportedState::Active => {
                shown.active_state = State::Active;
                shown.activated_at = Some(status.started_at.map_or(since, rfc3339));
            }
            ReportedState::Stopping => {
                shown.deactivated_at = Some(since);
                if wide {
                    shown.active_state = State::Stopping;
                }
            }
            ReportedState::Restarting => shown.active_state = State::Restarting,
            ReportedState::Errored => shown.active_state = State::Error,
        }
        shown
    }

    /// Nothing is loaded: there may be a reason.
    fn unloaded(installed: &Installed) -> Self {
        let since = rfc3339(installed.record.wanted_at);
        let mut shown = Self::empty(State::Inactive, since.clone());
        match (&installed.problem, installed.record.wanted) {
            (Some(problem), ActiveState::Active) => {
                shown.active_state = State::Error;
                shown.message = Some(problem.clone());
                shown.details = Some(serde_json::json!({"error": problem}));
            }
            _ => shown.deactivated_at = Some(since),
        }
        shown
    }

    fn empty(active_state: State, since: String) -> Self {
        Self {
            active_state,
            deactivated_at: None,
            starting_at: None,
            connecting_at: None,
            activated_at: None,
            message: None,
            details: None,
            since,
            restarts: 0,
            pid: None,
            next_attempt_at: None,
        }
    }
}

impl Connection {
    fn of(installed: &Installed) -> Self {
        let record = &installed.record;
        let external = record.mode == Mode::External;
        let state = installed.status.as_ref().map(|status| status.state);
        Self {
            mode: record.mode.into(),
            token_prefix: record.token.as_ref().map(|(_, prefix)| prefix.clone()),
            token: None,
            connected: external.then_some(state == Some(ReportedState::Active)),
        }
    }
}

impl From<Mode> for ModeShown {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Supervised => Self::Supervised,
            Mode::External => Self::External,
        }
    }
}

impl From<ActiveState> for Wanted {
    fn from(wanted: ActiveState) -> Self {
        match wanted {
            ActiveState::Active => Self::Active,
            ActiveState::Inactive => Self::Inactive,
        }
    }
}

impl From<Wanted> for ActiveState {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Active => Self::Active,
            Wanted::Inactive => Self::Inactive,
        }
    }
}

/// A manifest as JSON.
pub(crate) fn json(manifest: &Manifest) -> Value {
    serde_json::to_value(manifest).unwrap_or_default()
}

fn details(failure: &Failure) -> Value {
    serde_json::to_value(&failure.details).unwrap_or_default()
}
