//! A process whose connection broke: is it still there?

use std::time::Duration;

use jackfield::runtime::BoxFuture;
use jackfield::{Failure, Stage};
use tokio::time::{Instant, sleep};

use super::open::{Opened, Way};
use crate::client::Killed;
use crate::error::{ServiceError, Verdict, failure};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Clocks of one machine that are read in two places.
const SAME: u64 = 2;

/// What is known of a process.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Its id, and the second in which it was made. Ids come again.
    pub(super) session: Option<(String, Option<u64>)>,
    pub(super) dir: String,
}

/// What became of a search.
#[derive(Debug)]
pub(super) enum Search {
    Found(Opened),
    /// It is not there any more.
    Ended(Failure),
    /// It could not be found out.
    GivenUp(Failure),
}

impl Target {
    /// Its id, if it runs.
    pub(super) async fn find(&self, way: &Way) -> Result<Option<String>, ServiceError> {
        let sessions = way.client.sessions(&way.sprite).await?;
        let found = sessions.into_iter().find(|session| match &self.session {
            Some((id, created)) => {
                let same = |(a, b): (u64, u64)| a.abs_diff(b) <= SAME;
                session.id == *id && created.zip(session.created).is_none_or(same)
            }
            // There is one process in the folder: those of earlier launches were ended before.
            None => session.workdir == self.dir && !session.tty,
        });
        Ok(found.map(|session| session.id))
    }

    /// Sends it a signal.
    pub(super) async fn kill(
        &self,
        way: &Way,
        signal: &str,
        wait: u32,
    ) -> Result<Killed, ServiceError> {
        let id = match &self.session {
            Some((id, _)) => id.clone(),
            None => match self.find(way).await? {
                Some(id) => id,
                None => return Ok(Killed::Gone),
            },
        };
        way.client.kill(&way.sprite, &id, signal, wait).await
    }
}

/// Looks for it until it is found, or known to be gone, or the [time](crate::Timing::search) is over.
pub(super) fn search(way: Way, target: Target) -> BoxFuture<'static, Search> {
    Box::pin(async move {
        let until = Instant::now() + way.client.timing.search;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match attempt(&way, &target).await {
                Ok(Some(opened)) => return Search::Found(opened),
                Ok(None) => return Search::Ended(ended()),
                Err(error) => error,
            };
            let retry_after = error.retry_after().unwrap_or_default();
            if is_final(&error) || Instant::now() + pause.max(retry_after) >= until {
                return Search::GivenUp(given_up(&error));
            }
            tracing::debug!(sprite = way.sprite, %error, "a process was not found yet");
            sleep(pause.max(retry_after)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}

async fn attempt(way: &Way, target: &Target) -> Result<Option<Opened>, ServiceError> {
    match target.find(way).await? {
        Some(id) => match way.attach(&id).await {
            // It ended meanwhile, or is being reaped: the list knows the next time.
            Err(error) if error.verdict() == Verdict::Missing => Err(ServiceError::unreachable(
                "attach to the process",
                error.to_string(),
            )),
            attached => attached.map(Some),
        },
        None => Ok(None),
    }
}

/// Whether the next attempt will end like this one: the sprite is gone, the key is not good any more.
fn is_final(error: &ServiceError) -> bool {
    let refused = matches!(error, ServiceError::Refused { .. });
    refused && matches!(error.verdict(), Verdict::Missing | Verdict::Hopeless)
}

fn ended() -> Failure {
    failure(
        Stage::Exit,
        "the process ended while the connection to it was broken, so that nobody knows how",
    )
    .outage()
}

fn given_up(error: &ServiceError) -> Failure {
    let mut failed = error.failure(Stage::Exit);
    let message = format!(
        "the connection to the process broke, and it was not found again: {}",
        failed.message
    );
    failed.message.clone_from(&message);
    failed.details.error = message;
    failed
}
