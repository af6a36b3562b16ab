//! A plugin that does as it is told, and what a test needs around it.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    dead_code,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses its part"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_grpc::{Endpoint, PingError, Plugin, PluginClient, Probe, Record, Spawn, SpawnError};
use tempfile::TempDir;

/// A client without generated code.
#[derive(Clone)]
pub struct Client(pub Endpoint);

impl PluginClient for Client {
    fn over(endpoint: &Endpoint) -> Self {
        Self(endpoint.clone())
    }

    async fn ping(&self) -> Result<Option<String>, PingError> {
        Probe::ping("rig.v1.RigService")
            .ask(&self.0.channel())
            .await
    }
}

/// A folder, and what plugins in it said.
pub struct Bed {
    pub folder: TempDir,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Bed {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            records: Arc::default(),
        }
    }

    /// The rig with these orders.
    pub fn rig(&self, orders: &str) -> Spawn {
        self.spawn("python3")
            .arg(rig())
            .args(orders.split_whitespace())
    }

    pub fn sh(&self, script: &str) -> Spawn {
        self.spawn("/bin/sh").args(["-c", script])
    }

    pub fn spawn(&self, program: &str) -> Spawn {
        let records = Arc::clone(&self.records);
        Spawn::new("rig", program)
            .module("bench")
            .folder(self.folder.path())
            .on_record(move |record| records.lock().unwrap().push(record))
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    pub fn messages(&self) -> Vec<String> {
        let records = self.records();
        records.into_iter().map(|record| record.message).collect()
    }

    /// The leases in the working folder.
    pub fn leases(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join(".ftl")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// The processes whose environment names this folder.
    pub fn alive(&self) -> Vec<u32> {
        let mark = self.folder.path().as_os_str().as_encoded_bytes();
        let pids = std::fs::read_dir("/proc").unwrap();
        pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.windows(mark.len()).any(|part| part == mark)
            })
            .collect()
    }
}

pub fn rig() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/common/rig.py")
}

/// Spawns what must start.
pub async fn start(spawn: Spawn) -> Plugin<Client> {
    within(spawn.spawn::<Client>()).await.unwrap()
}

/// Spawns what must not.
pub async fn fail(spawn: Spawn) -> SpawnError {
    within(spawn.spawn::<Client>()).await.unwrap_err()
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("a minute is enough")
}

/// Looks until it is so.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    within(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(so(), "{what}");
}
