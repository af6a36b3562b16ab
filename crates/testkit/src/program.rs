//! A well-behaved program that dials in from the test's own process.

use std::time::Duration;

use jackfield::{Host, Token};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dial::{Dial, RawLine};

/// A program on an open line; dropping it cuts the line without a word.
///
/// It answers `ping`, `echo`, `configure` (refused when the configuration has `refuse`) and
/// `event`, and passes over everything else in silence.
#[derive(Debug)]
pub struct Program {
    taken: watch::Receiver<Vec<Value>>,
    task: JoinSet<Option<(u16, String)>>,
}

impl Program {
    /// Dials in with this token.
    ///
    /// # Panics
    /// When the door refuses.
    pub async fn dial(host: &Host, token: &Token) -> Self {
        Self::on(Dial::external(host, token).open().await)
    }

    /// Speaks on this line.
    #[must_use]
    pub fn on(line: RawLine) -> Self {
        let (taken_in, taken) = watch::channel(Vec::new());
        let mut task = JoinSet::new();
        task.spawn(speak(line, taken_in));
        Self { taken, task }
    }

    /// The parameters of the first `count` events that came, once they have.
    ///
    /// # Panics
    /// When they do not come within half a minute.
    pub async fn events(&mut self, count: usize) -> Vec<Value> {
        let wait = self.taken.wait_for(|taken| taken.len() >= count);
        let taken = tokio::time::timeout(Duration::from_secs(30), wait).await;
        let taken = taken.unwrap_or_else(|_| panic!("fewer than {count} events came"));
        taken.expect("the line is open").clone()
    }

    /// The events that came up to now.
    #[must_use]
    pub fn taken(&self) -> Vec<Value> {
        self.taken.borrow().clone()
    }

    /// Waits for the host to end the line: with which code and reason.
    ///
    /// # Panics
    /// When it does not within half a minute.
    pub async fn end(mut self) -> Option<(u16, String)> {
        let end = tokio::time::timeout(Duration::from_secs(30), self.task.join_next()).await;
        let end = end.expect("the host ends the line in time");
        end.and_then(Result::ok).flatten()
    }
}

async fn speak(mut line: RawLine, taken: watch::Sender<Vec<Value>>) -> Option<(u16, String)> {
    use tokio_tungstenite::tungstenite::Message;
    loop {
        let text = match line.any().await? {
            Message::Text(text) => text,
            Message::Close(frame) => {
                while line.any().await.is_some() {}
                return frame.map(|f| (f.code.into(), f.reason.as_str().to_owned()));
            }
            _ => continue,
        };
        let frame: Value = serde_json::from_str(&text).expect("the host sends JSON");
        let params = frame.get("params").cloned().unwrap_or(json!({}));
        let result = match frame["method"].as_str() {
            Some("ping") => json!({"method": "ping", "pong": true}),
            Some("echo") => json!({"method": "echo", "params": params}),
            Some("configure") => {
                json!({"method": "configure", "ok": params.get("refuse").is_none()})
            }
            Some("event") => {
                taken.send_modify(|taken| taken.push(params));
                json!({"method": "event", "ok": true})
            }
            _ => continue,
        };
        line.send(json!({"id": frame["id"], "jsonrpc": "2.0", "result": result}).to_string())
            .await;
    }
}
