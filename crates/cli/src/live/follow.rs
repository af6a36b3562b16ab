//! The loop over everything that can happen with a plugin that runs.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use jackfield::{
    ActiveState, Ended, Failure, Host, LogQuery, LogRecord, LogStream, Mode, ReportedState,
    Session, Shutdown,
};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use super::options::Plan;
use super::script::{self, Tally, TooLate};
use super::tell::Teller;
use crate::out::Out;
use crate::signals::Signals;

/// Why a plugin that was followed did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiveError {
    /// It was given up.
    #[error("{plugin} failed: {}", failure.message)]
    Failed { plugin: String, failure: Failure },
    /// It did not become active in time.
    #[error(
        "{plugin} did not become active within {}: it is {state}",
        humantime::format_duration(*after)
    )]
    NotActive {
        plugin: String,
        after: Duration,
        state: ReportedState,
        mode: Mode,
        /// What went wrong on the way.
        failure: Option<Failure>,
    },
    /// Something was not taken.
    #[error("{failed} of {done} calls failed")]
    Calls { failed: usize, done: usize },
    /// Told to end before everything was done.
    #[error("interrupted before everything was done")]
    Interrupted,
    /// Told to end twice.
    #[error("interrupted twice: whatever still ran was killed")]
    Killed,
    /// The session is gone.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// One thing that happened.
enum Event {
    Signal,
    Changed,
    Log(LogRecord),
    LogsEnded,
    Script(Result<(), TooLate>),
    Slow,
    Stopped(Shutdown),
}

/// How long nothing may happen before it is said what is waited for.
const SLOW: Duration = Duration::from_secs(5);

/// How long a kill may take before we go all the same: what is left dies with us.
const KILL_WITHIN: Duration = Duration::from_secs(1);

type Stopping = Pin<Box<dyn Future<Output = Shutdown>>>;

/// Starts the plugin, does what the plan says, tells everything that happens and stops the plugin
/// and its host when that is all, when it failed, or when a signal says so.
pub(crate) async fn follow(
    host: &Host,
    session: &Session,
    plan: &Plan,
    signals: &mut Signals,
    out: &Out,
) -> Result<(), LiveError> {
    let teller = Teller::new(session, out);
    let tally = Tally::default();
    let mut status = session.status();
    // What it wrote when it ran here before is old.
    let lines = LogQuery::default().since(SystemTime::now());
    let mut logs = session.logs(lines.follow()).ok();
    session.set_active_state(ActiveState::Active).await?;

    let mut script = pin!(script::perform(session, plan, &tally, &teller));
    let mut scripted = true;
    let mut stopping: Option<Stopping> = None;
    let mut ended: Option<Result<(), LiveError>> = None;
    let mut slow = Instant::now() + SLOW;
    loop {
        let event = tokio::select! {
            biased;
            () = signals.next() => Event::Signal,
            Ok(()) = status.changed() => Event::Changed,
            record = next(&mut logs), if logs.is_some() => record.map_or(Event::LogsEnded, Event::Log),
            done = &mut script, if scripted && stopping.is_none() => Event::Script(done),
            () = sleep_until(slow), if session.mode() == Mode::Supervised => Event::Slow,
            stopped = async { stopping.as_mut().expect("checked").await }, if stopping.is_some() => {
                Event::Stopped(stopped)
            }
        };
        let end = match event {
            Event::Signal if stopping.is_some() => {
                // No grace: what still runs is killed. Then nothing writes into a folder that is
                // about to be removed.
                let _ = timeout(KILL_WITHIN, host.shutdown(Duration::ZERO)).await;
                return Err(LiveError::Killed);
            }
            Event::Signal if plan.once && scripted => Some(Err(LiveError::Interrupted)),
            Event::Signal => Some(tally.end()),
            Event::Changed => {
                slow = Instant::now() + SLOW;
                let now = status.borrow_and_update().clone();
                // The lines that led to it come first.
                catch_up(session, lines, &teller).await;
                // That it is taken out of the host after its failure says nothing new.
                if !matches!(ended, Some(Err(LiveError::Failed { .. }))) {
                    teller.states();
                }
                let failure = now.error.filter(|_| now.state == ReportedState::Errored);
                failure.map(|failure| {
                    let plugin = session.manifest().name.clone();
                    Err(LiveError::Failed { plugin, failure })
                })
            }
            Event::Log(record) => {
                teller.log(&record);
                None
            }
            Event::LogsEnded => {
                logs = None;
                None
            }
            Event::Script(Ok(())) => {
                scripted = false;
                Some(tally.end())
            }
            Event::Script(Err(TooLate { after })) => {
                scripted = false;
                Some(Err(too_late(session, after)))
            }
            Event::Slow => {
                slow = Instant::now() + Duration::from_secs(15);
                say_what_is_waited_for(session, &teller);
                None
            }
            Event::Stopped(shutdown) => {
                if !shutdown.killed.is_empty() {
                    out.say("the plugin did not stop in time, and was killed");
                }
                break;
            }
        };
        let end = end.or_else(|| out.is_broken().then(|| tally.end()));
        if let Some(end) = end
            && stopping.is_none()
        {
            ended = Some(end);
            let (host, within) = (host.clone(), plan.stop_within);
            stopping = Some(Box::pin(async move { host.shutdown(within).await }));
        }
    }
    catch_up(session, lines, &teller).await;
    let ended = ended.unwrap_or(Ok(()));
    if !matches!(ended, Err(LiveError::Failed { .. })) {
        teller.states();
    }
    if ended.is_ok() {
        out.tell_program(&json!({ "type": "end", "ok": true, "calls": tally.done.get() }));
    }
    ended
}

async fn next(logs: &mut Option<LogStream>) -> Option<LogRecord> {
    match logs {
        Some(logs) => logs.next().await,
        None => std::future::pending().await,
    }
}

/// Tells every line that was written so far.
async fn catch_up(session: &Session, lines: LogQuery, teller: &Teller<'_>) {
    let Ok(mut written) = session.logs(lines.after(teller.seen())) else {
        return;
    };
    let all = async {
        while let Some(record) = written.next().await {
            teller.log(&record);
        }
    };
    // A plugin that writes faster than we tell must not keep us from its state.
    let _ = timeout(Duration::from_secs(1), all).await;
}

fn too_late(session: &Session, after: Duration) -> LiveError {
    let status = session.status().borrow().clone();
    LiveError::NotActive {
        plugin: session.manifest().name.clone(),
        after,
        state: status.state,
        mode: session.mode(),
        failure: status.error,
    }
}

fn say_what_is_waited_for(session: &Session, teller: &Teller<'_>) {
    let status = session.status().borrow().clone();
    let since = status.since.elapsed().unwrap_or_default().as_secs();
    match (status.state, status.pid) {
        (ReportedState::Starting, _) => {
            teller.waiting(format_args!("still starting after {since} s: its files are unpacked"));
        }
        (ReportedState::Connecting, Some(pid)) => teller.waiting(format_args!(
            "still connecting after {since} s: process {pid} runs and has not dialed the URL in JACKFIELD_RPC_URL"
        )),
        (ReportedState::Stopping, _) => {
            teller.waiting(format_args!("still stopping after {since} s"));
        }
        _ => {}
    }
}

impl Tally {
    fn end(&self) -> Result<(), LiveError> {
        match (self.failed.get(), self.done.get()) {
            (0, _) => Ok(()),
            (failed, done) => Err(LiveError::Calls { failed, done }),
        }
    }
}
