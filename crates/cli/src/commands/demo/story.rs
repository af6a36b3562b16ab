//! What one plugin goes through: run, called, killed, back, stopped, gone.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jackfield::{ActiveState, CallOptions, Ended, ReportedState, Session, Spec, Status};
use jackfield_package::Package;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::left;
use super::steps::Steps;
use super::tour::DemoError;
use crate::setup::{Bench, SetupError};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn tell(
    steps: &Steps<'_>,
    bench: &Bench,
    package: Package,
    data: &Path,
) -> Result<(), DemoError> {
    let manifest = package.manifest().clone();
    let id = bench.installation(&manifest.id)?;
    let session = bench
        .host
        .load(Spec::supervised(id, package))
        .map_err(SetupError::from)?;

    let began = Instant::now();
    session.set_active_state(ActiveState::Active).await?;
    within("becoming active", active(&session)).await??;
    let first = pid(&session)?;
    let command = manifest.command.iter().chain(&manifest.args);
    let command = command.map(String::as_str).collect::<Vec<_>>().join(" ");
    let took = began.elapsed();
    steps.told(
        "runs",
        format_args!("`{command}` is process {first}, dialed in and is active after {took:.1?}"),
        "jackfield run hello.zip",
    );

    let answer = greet(&session).await?;
    steps.told(
        "called",
        format_args!("greet {{\"name\":\"you\"}} is answered: {answer}"),
        "jackfield run hello.zip --call greet '{\"name\":\"you\"}'",
    );

    let began = Instant::now();
    let mut status = session.status();
    kill(first)?;
    let restarting = status.wait_for(|status| status.state == ReportedState::Restarting);
    let restarting = within("noticing the kill", restarting).await?;
    let (why, next) = restarting.map_or((None, None), |status| {
        (status.error.clone(), status.next_attempt_at)
    });
    let why = why.map_or_else(|| "unknown".to_owned(), |failure| failure.message);
    let wait = next.and_then(|next| next.duration_since(SystemTime::now()).ok());
    let wait = wait.unwrap_or_default();
    steps.told(
        "killed",
        format_args!(
            "process {first}, by SIGKILL; noticed: {why}; next attempt in {:.1} s",
            wait.as_secs_f64()
        ),
        "jackfield run --help, of --restarts",
    );

    within("coming back", active(&session)).await??;
    let second = pid(&session)?;
    let took = began.elapsed();
    let answer = greet(&session).await?;
    steps.told(
        "back",
        format_args!(
            "by itself: process {second}, {took:.1?} after the kill; greet again: {answer}"
        ),
        "",
    );

    let began = Instant::now();
    within("stopping", session.set_active_state(ActiveState::Inactive)).await??;
    let state = session.status().borrow().state;
    if state != ReportedState::Inactive {
        return Err(DemoError::NotStopped(state));
    }
    let took = began.elapsed();
    steps.told(
        "stopped",
        format_args!("asked to end, it ended within {took:.1?}"),
        "",
    );

    let left = left::running(&[first, second], data);
    if !left.is_empty() {
        return Err(DemoError::Left(left));
    }
    steps.told(
        "gone",
        format_args!("nothing is left running: not {first}, not {second}, nothing they started"),
        "",
    );
    Ok(())
}

async fn within<T>(what: &'static str, doing: impl Future<Output = T>) -> Result<T, DemoError> {
    let within = PATIENCE;
    timeout(within, doing)
        .await
        .map_err(|_| DemoError::TooLong { what, within })
}

/// Waits until the plugin is active, or given up.
async fn active(session: &Session) -> Result<(), DemoError> {
    let mut status = session.status();
    let settled =
        |status: &Status| matches!(status.state, ReportedState::Active | ReportedState::Errored);
    let failure = match status.wait_for(settled).await {
        Ok(status) => status.error.clone(),
        Err(_) => return Err(Ended.into()),
    };
    failure.map_or(Ok(()), |failure| Err(DemoError::Failed(Box::new(failure))))
}

fn pid(session: &Session) -> Result<u32, DemoError> {
    session.status().borrow().pid.ok_or(DemoError::NoProcess)
}

async fn greet(session: &Session) -> Result<Value, DemoError> {
    let params = to_raw_value(&json!({ "name": "you" })).ok();
    let answer = session
        .call_raw("greet", params.as_deref(), CallOptions::default())
        .await?;
    let answer: Value = serde_json::from_str(answer.get()).unwrap_or(Value::Null);
    if answer["greeting"] != "Hello, you!" {
        return Err(DemoError::Answer(answer));
    }
    Ok(json!({ "greeting": answer["greeting"] }))
}

fn kill(pid: u32) -> Result<(), DemoError> {
    let failed = |source| DemoError::Kill { pid, source };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(raw) = raw else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    kill_process(raw, Signal::KILL).map_err(|error| failed(error.into()))
}
