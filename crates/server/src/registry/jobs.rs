//! Operations that go on while nobody waits for them.

use std::sync::Arc;
use std::time::SystemTime;

use jackfield::InstallationId;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

/// An operation under way, or done. Kept in memory: the newest 1000.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) kind: JobKind,
    /// The installation.
    pub(crate) plugin: String,
    pub(crate) state: JobState,
    /// What it is doing, in words: `stopping`, `unpacking`, `waiting for it to connect`, …
    pub(crate) doing: String,
    /// RFC 3339.
    pub(crate) started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// The problem, as the blocking form would answer it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Value>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobKind {
    Start,
    Stop,
    Restart,
    Upgrade,
    Rollback,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    Running,
    Done,
    Failed,
}

/// All jobs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs {
    _inner: Arc<()>,
}

/// Where an operation says what it is doing. Whoever does not care passes [`Progress::none`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    job: Option<watch::Sender<Job>>,
}

impl Progress {
    /// Nobody listens.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Says what it is doing now.
    pub(crate) fn say(&self, doing: &str) {
        if let Some(job) = &self.job {
            job.send_modify(|job| doing.clone_into(&mut job.doing));
        }
    }
}

impl Jobs {
    /// A job that has begun, and where it says how far it is. End it with [`end`](Self::end).
    pub(crate) fn begin(&self, _kind: JobKind, _plugin: InstallationId) -> (Job, Progress) {
        let _ = SystemTime::now();
        todo!()
    }

    /// It is done, or has failed with this problem.
    pub(crate) fn end(&self, _id: &str, _problem: Option<Value>) {
        todo!()
    }

    /// One of them, to look at and to wait on.
    pub(crate) fn get(&self, _id: &str) -> Option<watch::Receiver<Job>> {
        todo!()
    }

    /// All that are kept, newest first.
    pub(crate) fn list(&self) -> Vec<Job> {
        todo!()
    }
}
