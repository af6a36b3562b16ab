//! The same plugin in four languages and with five libraries.

use std::path::PathBuf;
use std::time::Duration;

use jackfield_grpc::{ExitStatus, Plugin, PluginClient, Record, Spawn};
use jackfield_testkit::{alive_with, eventually, peers};
use tempfile::TempDir;
use tokio::sync::watch;

/// A key-value plugin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Peer {
    /// With `start`.
    Rust,
    /// With `connectrpc.com/connect`: the example's.
    Go,
    /// With `grpcio`: the example's.
    Grpcio,
    /// With `connectrpc` under hypercorn.
    PythonConnect,
    /// With `@connectrpc/connect-node`.
    Node,
}

/// A place to spawn one of them in.
pub(crate) struct Bed {
    folder: TempDir,
    records: watch::Sender<Vec<Record>>,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [
        Self::Rust,
        Self::Go,
        Self::Grpcio,
        Self::PythonConnect,
        Self::Node,
    ];

    /// Program and arguments.
    fn command(self) -> Vec<PathBuf> {
        let python = |name: &str| peers::prepared(name).join("bin/python");
        let example = peers::sources().join("../../../examples/kv");
        match self {
            Self::Rust => vec![env!("CARGO_BIN_EXE_kv-peer").into()],
            Self::Go => vec![peers::prepared("grpc-go/kv")],
            Self::Grpcio => vec![python("grpc-python"), example.join("python/plugin.py")],
            Self::PythonConnect => vec![
                python("grpc-python-connect"),
                peers::sources().join("grpc-python-connect/plugin.py"),
            ],
            Self::Node => vec!["node".into(), peers::prepared("grpc-node/plugin.mjs")],
        }
    }

    /// Whether it takes the socket and asks for the token. The others know `FTL_BIND` alone.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Rust)
    }
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            records: watch::Sender::default(),
        }
    }

    pub(crate) fn spawn(&self, peer: Peer) -> Spawn {
        let mut command = peer.command().into_iter();
        let records = self.records.clone();
        Spawn::new("kv", command.next().expect("a program"))
            .module("table")
            .args(command)
            .folder(self.folder.path())
            .env("BED", self.mark())
            // What Python compiles is not left beside the sources.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .on_record(move |record| records.send_modify(|records| records.push(record)))
    }

    pub(crate) async fn ready<C: PluginClient>(&self, peer: Peer) -> Plugin<C> {
        let spawned = self.spawn(peer).spawn().await;
        spawned.unwrap_or_else(|error| panic!("{error}: {:#?}", self.records()))
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.borrow().clone()
    }

    /// The processes of this bed that live.
    pub(crate) fn alive(&self) -> Vec<u32> {
        alive_with(&self.mark())
    }

    /// Stops it, as somebody who wants it to be gone.
    pub(crate) async fn finish<C>(&self, plugin: Plugin<C>) {
        let stopped = tokio::time::timeout(Duration::from_secs(60), plugin.stop());
        let exit = stopped.await.expect("it ends");
        assert_eq!(exit.status, ExitStatus::Code(0), "{exit:?}");
        assert!(exit.asked);
        assert_eq!(self.alive(), [0; 0]);
    }

    /// Waits for the end of all of it.
    pub(crate) async fn until_gone(&self) {
        let patience = Duration::from_secs(10);
        eventually(patience, "nothing is left", || self.alive().is_empty()).await;
    }

    fn mark(&self) -> String {
        self.folder.path().display().to_string()
    }
}
