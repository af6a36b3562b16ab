//! Operations that go on while nobody waits for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jackfield::InstallationId;
use jackfield::wire::Xid;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::rfc3339;

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
    /// Oldest first.
    jobs: Arc<Mutex<VecDeque<watch::Sender<Job>>>>,
}

/// Jobs that are kept.
const KEPT: usize = 1000;

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
    pub(crate) fn begin(&self, kind: JobKind, plugin: InstallationId) -> (Job, Progress) {
        let job = Job {
            id: Xid::new().to_string(),
            kind,
            plugin: plugin.to_string(),
            state: JobState::Running,
            doing: "beginning".to_owned(),
            started_at: rfc3339(SystemTime::now()),
            ended_at: None,
            problem: None,
        };
        let sender = watch::Sender::new(job.clone());
        let mut jobs = self.all();
        if jobs.len() >= KEPT {
            // The oldest that is over; only when all of them run, the oldest of all.
            let over = |job: &watch::Sender<Job>| job.borrow().state != JobState::Running;
            let oldest = jobs.iter().position(over).unwrap_or(0);
            jobs.remove(oldest);
        }
        jobs.push_back(sender.clone());
        (job, Progress { job: Some(sender) })
    }

    /// It is done, or has failed with this problem.
    pub(crate) fn end(&self, id: &str, problem: Option<Value>) {
        let found = self.find(id);
        let Some(job) = found else { return };
        job.send_modify(|job| {
            job.state = match problem {
                None => JobState::Done,
                Some(_) => JobState::Failed,
            };
            job.ended_at = Some(rfc3339(SystemTime::now()));
            job.problem = problem;
        });
    }

    /// One of them, to look at and to wait on.
    pub(crate) fn get(&self, id: &str) -> Option<watch::Receiver<Job>> {
        self.find(id).map(|job| job.subscribe())
    }

    /// All that are kept, newest first.
    pub(crate) fn list(&self) -> Vec<Job> {
        self.all()
            .iter()
            .rev()
            .map(|job| job.borrow().clone())
            .collect()
    }

    fn find(&self, id: &str) -> Option<watch::Sender<Job>> {
        self.all().iter().find(|job| job.borrow().id == id).cloned()
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<watch::Sender<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_is_followed_to_its_end() {
        let jobs = Jobs::default();
        let plugin = InstallationId::new();
        let (job, progress) = jobs.begin(JobKind::Start, plugin);
        let mut seen = jobs.get(&job.id).unwrap();
        assert_eq!(seen.borrow_and_update().state, JobState::Running);
        progress.say("starting");
        seen.changed().await.unwrap();
        assert_eq!(seen.borrow_and_update().doing, "starting");
        jobs.end(&job.id, Some(serde_json::json!({"status": 502})));
        let ended = seen
            .wait_for(|job| job.ended_at.is_some())
            .await
            .unwrap()
            .clone();
        assert_eq!(ended.state, JobState::Failed);
        assert_eq!(ended.problem.unwrap()["status"], 502);
        assert!(jobs.get("unknown").is_none());
        jobs.end("unknown", None);
    }

    #[test]
    fn the_newest_are_kept_and_those_that_run() {
        let jobs = Jobs::default();
        let plugin = InstallationId::new();
        let (running, _progress) = jobs.begin(JobKind::Upgrade, plugin);
        let mut ids = Vec::new();
        for _ in 0..KEPT {
            let (job, _) = jobs.begin(JobKind::Stop, plugin);
            jobs.end(&job.id, None);
            ids.push(job.id);
        }
        assert_eq!(jobs.list().len(), KEPT);
        assert!(jobs.get(&running.id).is_some());
        assert!(jobs.get(&ids[0]).is_none());
        assert_eq!(jobs.list()[0].id, *ids.last().unwrap());
        assert_eq!(jobs.list()[0].state, JobState::Done);
    }
}
