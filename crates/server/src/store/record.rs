//! An installation as the database has it.

use std::time::SystemTime;

use jackfield::package::Digest;
use jackfield::{ActiveState, InstallationId, Manifest, Mode, TokenHash};
use serde_json::{Map, Value};

/// The durable row of an installation.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: InstallationId,
    pub(crate) mode: Mode,
    /// Of the version that counts.
    pub(crate) manifest: Manifest,
    pub(crate) wanted: ActiveState,
    pub(crate) wanted_at: SystemTime,
    /// The version that counts. `None` for external ones.
    pub(crate) version: Option<i64>,
    /// What the external plugin shows. `None` for supervised ones.
    pub(crate) token: Option<(TokenHash, String)>,
    /// Secrets in it are sealed: see `secret`.
    pub(crate) config: Map<String, Value>,
    /// What an administrator granted of what the manifest asks for.
    pub(crate) granted: Vec<String>,
    /// Which access token counts.
    pub(crate) access_generation: i64,
    /// The last event that is done with.
    pub(crate) event_cursor: i64,
    /// Events that it will never get: too old or too many by the time it was back.
    pub(crate) events_missed: i64,
    pub(crate) added_at: SystemTime,
    pub(crate) added_by: String,
    pub(crate) updated_at: SystemTime,
}

/// What is written for a new installation. Its cursor is the newest event there is.
#[derive(Debug, Clone)]
pub(crate) struct NewRecord {
    pub(crate) id: InstallationId,
    pub(crate) manifest: Manifest,
    pub(crate) origin: Origin,
    pub(crate) wanted: ActiveState,
    pub(crate) granted: Vec<String>,
    pub(crate) added_by: String,
}

/// Where it comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A package, which becomes version 1. The archive lies in the package store already.
    Package {
        digest: Digest,
        size: u64,
        /// `upload`, or the URL it came from.
        source: String,
    },
    /// A program that dials in with this token.
    External {
        token: TokenHash,
        /// The first characters of the token, to tell tokens apart.
        prefix: String,
    },
}

/// One version of a package.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) number: i64,
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) source: String,
    pub(crate) added_at: SystemTime,
    pub(crate) added_by: String,
    /// Its place among those that counted. `None`: it never did; 0: it was rolled back from.
    pub(crate) place: Option<i64>,
}

/// All installations, and the rows that cannot be read: one bad row must not hide the others.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A row that cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    pub(crate) id: String,
    pub(crate) why: String,
}
