//! A process of its own that is many plugins at once: it dials what it is told, and answers every request.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;

use crate::bare::ws::config;
use crate::protocol::{Answer, Failure, Load};
use crate::usage;

/// How often calls of a load are let go.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Dials at once.
const DIALS: usize = 64;

/// The crowd from outside. Killed when it is dropped.
#[derive(Debug)]
pub struct Crowd {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    /// Starts the process; it has not dialed yet.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(peer: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(peer)
            .arg("crowd")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = child.stdout.take().ok_or("no output")?;
        Ok(Self {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    /// Has it dial these, and waits until all are connected.
    ///
    /// # Errors
    /// When one is not.
    pub async fn dial(&mut self, urls: &[String]) -> Result<(), Failure> {
        let mut all = urls.join("\n");
        all.push_str("\n\n");
        self.input.write_all(all.as_bytes()).await?;
        let said = self.output.next_line().await?;
        match said.as_deref() {
            Some("connected") => Ok(()),
            other => Err(format!("the crowd is not connected: {other:?}").into()),
        }
    }

    /// Asks it to say when it has answered so many more requests.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn expect(&mut self, answers: usize) -> Result<(), Failure> {
        self.input
            .write_all(format!("{answers}\n").as_bytes())
            .await?;
        match self.output.next_line().await?.as_deref() {
            Some("expects") => Ok(()),
            other => Err(format!("the crowd expects nothing: {other:?}").into()),
        }
    }

    /// Waits until it has.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn answered(&mut self) -> Result<(), Failure> {
        match self.output.next_line().await?.as_deref() {
            Some("answered") => Ok(()),
            other => Err(format!("the crowd did not answer: {other:?}").into()),
        }
    }
}

/// Requests that are to be answered before that is said.
static EXPECTED: AtomicI64 = AtomicI64::new(0);

/// What the process does: reads URLs up to an empty line, dials them, answers until its input ends. A number on a line
/// has it say when it has answered so many more.
///
/// # Errors
/// When a dial fails.
pub async fn run() -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let dials = Arc::new(Semaphore::new(DIALS));
    let mut dialing = JoinSet::new();
    let mut members = JoinSet::new();
    while let Some(url) = lines.next_line().await?.filter(|url| !url.is_empty()) {
        let place = Arc::clone(&dials).acquire_owned().await?;
        dialing.spawn(async move {
            let _place = place;
            let (_, rest) = url.split_once("://").ok_or("not a URL")?;
            let authority = rest.split('/').next().unwrap_or_default();
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            let dialed = client_async_with_config(&*url, stream, Some(config())).await;
            Ok::<_, Failure>(dialed?.0)
        });
        while let Some(dialed) = dialing.try_join_next() {
            members.spawn(member(dialed??));
        }
    }
    while let Some(dialed) = dialing.join_next().await {
        members.spawn(member(dialed??));
    }
    println!("connected");
    while let Some(answers) = lines.next_line().await? {
        EXPECTED.store(answers.parse()?, Ordering::SeqCst);
        println!("expects");
    }
    Ok(())
}

async fn member<S>(mut socket: tokio_tungstenite::WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        if let Some(id) = id(&text) {
            let answer = format!(r#"{{"id":{id},"jsonrpc":"2.0","result":{{"ok":true}}}}"#);
            if socket.send(Message::text(answer)).await.is_err() {
                return;
            }
            if EXPECTED.fetch_sub(1, Ordering::SeqCst) == 1 {
                println!("answered");
            }
        }
    }
}

/// The id of a request, as it stands there.
fn id(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(r#""id":"#)?;
    let end = rest.get(1..)?.find('"')? + 2;
    rest.get(..end)
}

/// A request.
pub(crate) fn request(id: &str, params: &str) -> String {
    format!(r#"{{"id":"{id}","jsonrpc":"2.0","method":"event","params":{params}}}"#)
}

/// How many calls are let go at each tick.
pub(crate) fn rounds(load: Load) -> impl Iterator<Item = usize> {
    let each = (load.per_second as f64 * TICK.as_secs_f64()).max(1.0);
    let mut let_go = 0_u64;
    (1..).map_while(move |tick: u32| {
        let due = ((f64::from(tick) * each) as u64).min(load.count);
        let more = due - let_go;
        let done = let_go == load.count;
        let_go = due;
        (!done).then(|| usize::try_from(more).unwrap_or(usize::MAX))
    })
}

/// What calls took of the processor.
pub(crate) fn cost(before: &BTreeMap<String, f64>, calls: u64) -> Answer {
    let after = usage::of_self();
    let cpu = |usage: &BTreeMap<String, f64>| usage.get("cpu_ns").copied().unwrap_or(f64::NAN);
    let each = (cpu(&after) - cpu(before)) / calls as f64;
    Answer {
        figures: BTreeMap::from([("cpu_ns_per_call".to_owned(), each)]),
        ..Answer::default()
    }
}

/// What a connection takes of the memory.
pub(crate) fn look(empty_kib: f64, connections: usize) -> Answer {
    let now = usage::of_self().get("rss_kib").copied().unwrap_or(f64::NAN);
    let each = (now - empty_kib) / connections as f64;
    Answer {
        figures: BTreeMap::from([("kib_per_connection".to_owned(), each)]),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found() {
        assert_eq!(id(&request("abc", "{}")), Some("\"abc\""));
        assert_eq!(id("{}"), None);
    }

    #[test]
    fn a_load_is_let_go_in_full() {
        for (per_second, count) in [(5_000, 10_000), (7, 20), (333, 1)] {
            let load = Load {
                per_second,
                count,
                bytes: 0,
            };
            let all: usize = rounds(load).sum();
            assert_eq!(all as u64, count);
        }
    }
}
