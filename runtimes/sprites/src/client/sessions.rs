//! Processes in a sprite: which there are, and an end to one.

use std::time::SystemTime;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::Client;
use crate::error::{ServiceError, Verdict};
use crate::secret::encode;

/// A process that runs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) workdir: String,
    /// Seconds since 1970, where it is told.
    pub(crate) created: Option<u64>,
    /// Somebody sits before it.
    pub(crate) tty: bool,
}

/// What became of a request for a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    /// It was sent.
    Sent,
    /// The process ended with this code meanwhile.
    Ended(i64),
    /// There is no such process any more.
    Gone,
}

/// The official client wants an object; the documentation shows the bare list.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    sessions: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    workdir: Option<String>,
    #[serde(default)]
    created: Value,
    #[serde(default)]
    tty: bool,
}

/// A line of what a kill answers.
#[derive(Deserialize)]
struct Progress {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    exit_code: Option<i64>,
}

impl Client {
    /// The processes that were started through the service and have not ended.
    pub(crate) async fn sessions(&self, sprite: &str) -> Result<Vec<Session>, ServiceError> {
        let doing = "list processes";
        let call = self.call(doing, Method::GET, exec_path(sprite));
        parse(&self.send(call).await?).map_err(|error| ServiceError::Odd {
            doing,
            what: error.to_string(),
        })
    }

    /// Sends a signal (`INT`, `KILL`) to a process, and waits for that many seconds for its end.
    pub(crate) async fn kill(
        &self,
        sprite: &str,
        id: &str,
        signal: &str,
        wait: u32,
    ) -> Result<Killed, ServiceError> {
        let path = format!("{}/{}/kill", exec_path(sprite), encode(id));
        let call = self
            .call("signal a process", Method::POST, path)
            .query("signal", signal)
            .query("timeout", format!("{wait}s"));
        match self.send(call).await {
            // Who does not wait hears nothing of an end.
            Ok(_) if wait == 0 => Ok(Killed::Sent),
            Ok(answer) => Ok(outcome(&answer)),
            Err(error) if error.verdict() == Verdict::Missing => Ok(Killed::Gone),
            Err(error) => Err(error),
        }
    }
}

/// Where the processes of a sprite are.
pub(super) fn exec_path(sprite: &str) -> String {
    format!("/v1/sprites/{}/exec", encode(sprite))
}

/// An id is a string or, of old, a number.
pub(crate) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A time is a number of seconds or, in lists, a date.
pub(crate) fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(seconds) => seconds.as_u64(),
        Value::String(date) => {
            let time = humantime::parse_rfc3339(date).ok()?;
            Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
        }
        _ => None,
    }
}

fn parse(answer: &[u8]) -> Result<Vec<Session>, serde_json::Error> {
    let raw = match answer.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(answer)?,
        _ => serde_json::from_slice::<List>(answer)?.sessions,
    };
    let session = |raw: Raw| {
        Some(Session {
            id: id(&raw.id)?,
            workdir: raw.workdir.unwrap_or_default(),
            created: seconds(&raw.created),
            tty: raw.tty,
        })
    };
    Ok(raw.into_iter().filter_map(session).collect())
}

fn outcome(answer: &[u8]) -> Killed {
    let lines = answer.split(|byte| *byte == b'\n');
    let told: Vec<Progress> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let ended = |line: &&Progress| matches!(line.kind.as_str(), "exited" | "killed");
    let code = told.iter().find(|line| line.kind == "complete");
    match (
        told.iter().find(ended),
        code.and_then(|line| line.exit_code),
    ) {
        (Some(_), Some(code)) => Killed::Ended(code),
        _ => Killed::Sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_ids_of_both_kinds() {
        let answer = br#"{"count":2,"sessions":[
            {"id":"20","command":"/usr/bin/sleep 9","workdir":"/a","tty":false,"created":"2026-01-05T10:30:00Z","is_active":false},
            {"id":7,"tty":true,"created":"today"},{"command":"no id"}]}"#;
        let sessions = parse(answer).unwrap();
        assert_eq!(sessions.len(), 2);
        assert_eq!((&*sessions[0].id, &*sessions[0].workdir), ("20", "/a"));
        assert_eq!(sessions[0].created, Some(1_767_609_000));
        assert_eq!(
            (&*sessions[1].id, sessions[1].tty, sessions[1].created),
            ("7", true, None)
        );
        assert_eq!(parse(b"{}").unwrap(), []);
        assert_eq!(parse(br#" [{"id":3}]"#).unwrap()[0].id, "3", "a bare list");
        assert!(parse(b"[").is_err());
    }

    #[test]
    fn a_kill_may_tell_the_code() {
        let answer = b"{\"type\":\"signal\",\"pid\":20}\n{\"type\":\"exited\"}\n{\"type\":\"complete\",\"exit_code\":137}\n";
        assert_eq!(outcome(answer), Killed::Ended(137));
        assert_eq!(outcome(b"{\"type\":\"signal\"}\n"), Killed::Sent);
        assert_eq!(
            outcome(b"{\"type\":\"complete\",\"exit_code\":0}"),
            Killed::Sent
        );
        assert_eq!(outcome(b""), Killed::Sent);
    }
}
