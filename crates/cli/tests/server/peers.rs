//! Programs in other languages that are no plugins of the server: applications, stores, clients.

use std::path::PathBuf;
use std::process::Stdio;

use jackfield_testkit::peers::{prepared, sources};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::rig::PATIENCE;

/// A program that runs beside the server and tells things on its standard output, an object on each line. Killed
/// when dropped.
pub(crate) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it told up to now.
    told: Vec<String>,
}

/// A program in Python of the folder `peers/server-python`.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new(prepared("server-python/bin").join("python3"));
    command.arg(sources().join("server-python").join(program));
    command
}

/// A program in Node of the folder `peers/server-node`.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(node_folder().join(program));
    command
}

fn node_folder() -> PathBuf {
    prepared("server-node")
}

impl Peer {
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            told: Vec::new(),
        }
    }

    /// The next line, which is an object.
    pub(crate) async fn told(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("it tells something in time").unwrap();
        let line = line.unwrap_or_else(|| panic!("it ends; so far: {:#?}", self.told));
        self.told.push(line.clone());
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next object of which this holds.
    pub(crate) async fn told_when(&mut self, mut holds: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let told = self.told().await;
            if holds(&told) {
                return told;
            }
        }
    }

    /// What it writes until it ends by itself, and whether that was a good end.
    pub(crate) async fn end(mut self) -> (bool, String) {
        let mut rest = String::new();
        let mut reader = self.lines.into_inner();
        let ended = tokio::time::timeout(PATIENCE, async {
            let _ = reader.read_to_string(&mut rest).await;
            self.child.wait().await
        });
        let status = ended.await.expect("it ends in time").unwrap();
        (status.success(), rest)
    }
}
