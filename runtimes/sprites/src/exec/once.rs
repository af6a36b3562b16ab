//! A short command of our own, from its start to its end.

use std::time::Duration;

use super::frame::Incoming;
use super::open::{Command, Opened, Way};
use crate::error::{ServiceError, within};

/// As much of what it writes is kept, for an error.
const KEPT: usize = 4 * 1024;

/// Runs it and waits for its end, which must be code 0.
pub(crate) async fn once(
    way: &Way,
    command: &Command,
    doing: &'static str,
    deadline: Duration,
) -> Result<(), ServiceError> {
    let work = async {
        let Opened {
            mut socket, first, ..
        } = way.start(command).await?;
        let mut first = first.into_iter();
        let mut wrote = Vec::new();
        loop {
            let incoming = match first.next() {
                Some(incoming) => incoming,
                None => match socket.next().await {
                    Some(message) => Incoming::parse(&message),
                    None => {
                        return Err(ServiceError::unreachable(doing, "the connection broke off"));
                    }
                },
            };
            match incoming {
                Incoming::Output(_, bytes) => {
                    let room = KEPT.saturating_sub(wrote.len()).min(bytes.len());
                    wrote.extend_from_slice(&bytes[..room]);
                }
                Incoming::Exit(0) => {
                    socket.close().await;
                    return Ok(());
                }
                Incoming::Exit(code) => {
                    let words = String::from_utf8_lossy(&wrote);
                    return Err(ServiceError::Odd {
                        doing,
                        what: format!("exit status {code}: {}", words.trim()),
                    });
                }
                Incoming::Failed(words) => return Err(ServiceError::NotStarted { words }),
                Incoming::Over => {
                    return Err(ServiceError::unreachable(doing, "its end was not told"));
                }
                Incoming::Session { .. } | Incoming::Other => {}
            }
        }
    };
    within(doing, deadline, Box::pin(work)).await
}
