//! Operations that a client waits for, or does not.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jackfield::{InstallationId, Mode};
use serde::{Deserialize, Serialize};
use tracing::{Instrument, Span};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Asked, Named};
use super::operation::Operation;
use super::plugin::{Plugin, Wide};
use super::problem::Problem;
use super::request::Trace;
use crate::registry::{Installed, Job, JobKind, JobState, Progress, StateError, UpgradeError};
use crate::store::Permission;

/// One operation on one plugin.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    app: App,
    trace: Trace,
    id: InstallationId,
    kind: JobKind,
}

/// Jobs, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct JobList {
    jobs: Vec<Job>,
}

/// How long to wait.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wait {
    /// Answers when the job has ended, or after so many seconds; more than 60 are 60.
    #[param(minimum = 0)]
    wait: Option<u32>,
}

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest wait for a job.
const LONGEST: Duration = Duration::from_secs(60);

impl Work {
    pub(crate) fn new(app: &App, trace: &Trace, id: InstallationId, kind: JobKind) -> Self {
        Self {
            app: app.clone(),
            trace: trace.clone(),
            id,
            kind,
        }
    }

    /// Does it and answers with the plugin; or begins it, where `Prefer: respond-async` asks for that.
    pub(crate) async fn answer<F, Done>(
        self,
        headers: &HeaderMap,
        work: F,
    ) -> Result<Response, Problem>
    where
        F: FnOnce(Progress) -> Done + Send + 'static,
        Done: Future<Output = Result<Installed, Problem>> + Send + 'static,
    {
        if prefers_async(headers) {
            let applied = [(APPLIED, HeaderValue::from_static("respond-async"))];
            return Ok((applied, self.begin(work).await?).into_response());
        }
        let installed = work(Progress::none()).await?;
        Ok(Json(Plugin::of(&installed, Wide::default())).into_response())
    }

    /// Begins it, and answers 202 with the job.
    pub(crate) async fn begin<F, Done>(self, work: F) -> Result<Response, Problem>
    where
        F: FnOnce(Progress) -> Done + Send + 'static,
        Done: Future<Output = Result<Installed, Problem>> + Send + 'static,
    {
        let installed = self.app.registry().get(self.id).await??;
        if installed.record.mode == Mode::External {
            // What can never be is told at once.
            return Err(match self.kind {
                JobKind::Upgrade | JobKind::Rollback => UpgradeError::External.into(),
                JobKind::Start | JobKind::Stop | JobKind::Restart => StateError::External.into(),
            });
        }
        let (job, progress) = self.app.jobs().begin(self.kind, self.id);
        let job_id = job.id.clone();
        let tracker = self.app.tracker().clone();
        let task = async move {
            // One that panics has ended, too.
            let done = AssertUnwindSafe(async { work(progress).await })
                .catch_unwind()
                .await;
            let panicked = |_| Err(Problem::internal_text("the job panicked"));
            let problem = done.unwrap_or_else(panicked).err();
            if let Some(hidden) = problem.as_ref().and_then(Problem::hidden) {
                tracing::error!(error = hidden, "a job failed");
            }
            let body = problem.map(|problem| problem.body(&self.trace.0, None));
            self.app.jobs().end(&job_id, body);
        };
        tracker.spawn(task.instrument(Span::current()));
        let location = HeaderValue::from_str(&format!("/api/jobs/{}", job.id));
        let location = location.unwrap_or(HeaderValue::from_static("/api/jobs"));
        let headers = [(header::LOCATION, location)];
        Ok((StatusCode::ACCEPTED, headers, Json(job)).into_response())
    }
}

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    OpenApiRouter::new()
        .routes(read.guard(app, routes!(list)))
        .routes(read.guard(app, routes!(get)))
}

/// The newest thousand jobs, newest first. They are kept in memory.
#[utoipa::path(get, path = "/jobs", operation_id = "JobList", tag = "jobs",
    responses((status = 200, description = "The jobs.", body = JobList)))]
async fn list(State(app): State<App>) -> Json<JobList> {
    Json(JobList {
        jobs: app.jobs().list(),
    })
}

/// One job.
#[utoipa::path(get, path = "/jobs/{job}", operation_id = "JobGet", tag = "jobs",
    params(("job" = String, Path, description = "The job."), Wait),
    responses((status = 200, description = "The job.", body = Job)))]
async fn get(
    State(app): State<App>,
    Named(job): Named,
    Asked(wait): Asked<Wait>,
) -> Result<Json<Job>, Problem> {
    let Some(mut job) = app.jobs().get(&job) else {
        return Err(Problem::missing(
            "no-such-job",
            "there is no such job; the newest thousand are kept until the server ends",
        ));
    };
    let wait = Duration::from_secs(wait.wait.unwrap_or(0).into()).min(LONGEST);
    let ended = job.wait_for(|job| job.state != JobState::Running);
    let _ = app
        .draining()
        .run_until_cancelled(tokio::time::timeout(wait, ended))
        .await;
    let job = job.borrow().clone();
    Ok(Json(job))
}

/// `Prefer: respond-async` (RFC 7240), among others.
fn prefers_async(headers: &HeaderMap) -> bool {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}
