//! Processes that an earlier launch, of this host or of one before it, has left.

use tokio::time::{Duration, Instant, sleep};

use super::Way;
use crate::client::{Killed, Session};
use crate::error::{ServiceError, Verdict};

/// What was killed is gone from the list within that time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Ends all processes whose folder is below the root. What somebody runs by hand at a terminal, or elsewhere in the
/// sprite, is not ours. Says whether there were any.
pub(crate) async fn sweep(way: &Way, root: &str) -> Result<bool, ServiceError> {
    let mut some = false;
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(100);
    loop {
        let sessions = match way.client.sessions(&way.sprite).await {
            Ok(sessions) => sessions,
            // A sprite that never ran anything.
            Err(error) if error.verdict() == Verdict::Missing => return Ok(some),
            Err(error) => return Err(error),
        };
        let ours: Vec<Session> = sessions
            .into_iter()
            .filter(|session| is_ours(session, root))
            .collect();
        if ours.is_empty() {
            return Ok(some);
        }
        if Instant::now() >= until {
            return Err(ServiceError::Late {
                doing: "end a process of an earlier launch",
                within: PATIENCE,
            });
        }
        some = true;
        for session in ours {
            tracing::warn!(
                sprite = way.sprite,
                process = session.id,
                "ending a process that an earlier launch has left"
            );
            match way.client.kill(&way.sprite, &session.id, "KILL", 5).await? {
                Killed::Sent | Killed::Ended(_) | Killed::Gone => {}
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn is_ours(session: &Session, root: &str) -> bool {
    let below = session
        .workdir
        .strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !session.tty && (session.workdir.is_empty() || below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_root_is_ours() {
        let session = |workdir: &str, tty| Session {
            id: "1".to_owned(),
            workdir: workdir.to_owned(),
            created: None,
            tty,
        };
        assert!(is_ours(&session("/r/packages/1", false), "/r"));
        assert!(is_ours(&session("", false), "/r"));
        assert!(!is_ours(&session("/r/packages/1", true), "/r"));
        assert!(!is_ours(&session("/rest", false), "/r"));
        assert!(!is_ours(&session("/home/sprite", false), "/r"));
    }
}
