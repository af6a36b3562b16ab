//! What a test of plugins that serve gRPC needs: a bed to spawn in, calls, records, strangers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use connectrpc::ConnectError;
use connectrpc::client::{ClientConfig, HttpClient};
use jackfield_grpc::{Channel, Plugin, Record, Spawn};
use kv::{Entry, GetRequest, PutRequest};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::procs::{alive_with, eventually};

type Generated = kv::KvServiceClient<connectrpc::client::ServiceTransport<Channel>>;

jackfield_grpc::connect_client!(pub struct KvClient(Generated));

/// What the key-value service answers with when it fails.
pub type Failed = ConnectError;

/// A folder to spawn in, and what is written there.
#[derive(Debug)]
pub struct Bed {
    folder: TempDir,
    records: Records,
}

/// The records that a sink was given, in their order.
#[derive(Debug, Clone)]
pub struct Records(Arc<watch::Sender<Vec<Record>>>);

/// Somebody else's program; killed when dropped.
#[derive(Debug)]
pub struct Stranger(Child);

impl Default for Bed {
    fn default() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            records: Records(Arc::new(watch::Sender::new(Vec::new()))),
        }
    }
}

impl Bed {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// A folder in it, with nothing in it.
    ///
    /// # Panics
    /// When there is one already.
    #[must_use]
    pub fn folder(&self, name: &str) -> String {
        let folder = self.file(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    }

    /// A file in it with these bytes; its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let file = self.file(name);
        std::fs::write(&file, bytes).expect("a file");
        file
    }

    /// A spawn of this program in the folder with these arguments, of which `@` is the folder.
    pub fn spawn(&self, program: &str, orders: &str) -> Spawn {
        let folder = self.path().display().to_string();
        let args = orders
            .split_whitespace()
            .map(|order| order.replace('@', &folder));
        let records = self.records.clone();
        Spawn::new("rig", program)
            .module("bench")
            .folder(self.path())
            .args(args)
            .on_record(move |record| records.0.send_modify(|records| records.push(record)))
    }

    /// What the plugins of this bed said.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The processes of this bed that live.
    #[must_use]
    pub fn alive(&self) -> Vec<u32> {
        alive_with(&self.path().display().to_string())
    }

    /// Waits for the end of all of them.
    ///
    /// # Panics
    /// When they do not end within 5 s.
    pub async fn until_gone(&self) {
        eventually(Duration::from_secs(5), "nothing is left", || {
            self.alive().is_empty()
        })
        .await;
    }
}

impl Records {
    /// All that came up to now.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        self.0.borrow().clone()
    }

    /// Their messages.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.0
            .borrow()
            .iter()
            .map(|record| record.message.clone())
            .collect()
    }

    /// Waits for one whose message holds this text.
    ///
    /// # Panics
    /// When it does not come within half a minute.
    pub async fn until(&self, text: &str) -> Record {
        let mut seen = self.0.subscribe();
        let mut found = None;
        let holds = seen.wait_for(|records| {
            found = records
                .iter()
                .find(|record| record.message.contains(text))
                .cloned();
            found.is_some()
        });
        let came = tokio::time::timeout(Duration::from_secs(30), holds)
            .await
            .is_ok();
        assert!(
            came,
            "no record with {text:?} came, but {:?}",
            self.messages()
        );
        found.expect("it was found")
    }
}

impl Stranger {
    /// Runs a program that is nobody's plugin, in no tree of ours.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(program: &str, orders: &str) -> Self {
        let child = Command::new(program)
            .args(orders.split_whitespace())
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        Self(child.expect("it starts"))
    }

    /// Runs the rig as somebody else who listens at this address, and waits until it does.
    ///
    /// # Panics
    /// When it does not within half a minute.
    pub async fn at(program: &str, address: SocketAddr, orders: &str) -> Self {
        let orders = format!("--bind {address} --identity stranger {orders}");
        let mut stranger = Self::run(program, &orders);
        eventually(Duration::from_secs(30), "the stranger listens", || {
            let ended = stranger.0.try_wait().expect("a status");
            assert!(ended.is_none(), "the stranger could not listen: {ended:?}");
            listens(address, stranger.pid())
        })
        .await;
        stranger
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id().expect("it runs")
    }

    /// Kills it, and waits for its end.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        self.0.kill().await.expect("it can be killed");
    }
}

/// The value under this key; keys are orders to the rig.
///
/// # Errors
/// What the call ends with.
pub async fn get(client: &KvClient, key: impl Into<String>) -> Result<String, Failed> {
    let request = GetRequest {
        key: key.into(),
        ..GetRequest::default()
    };
    let answer = client.get(request).await?;
    Ok(String::from_utf8_lossy(answer.view().value).into_owned())
}

/// Stores a value; whether there was one.
///
/// # Errors
/// What the call ends with.
pub async fn put(client: &KvClient, key: &str, value: Vec<u8>) -> Result<bool, Failed> {
    let request = PutRequest {
        entry: entry(key, value).into(),
        ..PutRequest::default()
    };
    Ok(client.put(request).await?.view().replaced)
}

/// An entry.
#[must_use]
pub fn entry(key: &str, value: impl Into<Vec<u8>>) -> Entry {
    Entry {
        key: key.into(),
        value: value.into(),
        ..Entry::default()
    }
}

/// The port of an `http://host:port`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn address(uri: &str) -> SocketAddr {
    let address = uri.strip_prefix("http://").expect("a URL");
    address.trim_end_matches('/').parse().expect("an address")
}

/// The pid that a rig wrote into a file.
///
/// # Panics
/// When it does not within half a minute.
pub async fn pid_in(file: &str) -> u32 {
    crate::until_file(file).await.trim().parse().expect("a pid")
}

/// Who answers at this address, by a client that asks for no proof.
///
/// # Errors
/// What the call ends with.
///
/// # Panics
/// When the address makes no URL.
pub async fn whoever_answers(address: SocketAddr) -> Result<String, Failed> {
    let base = format!("http://{address}").parse().expect("a URL");
    let config = ClientConfig::new(base).with_protocol(connectrpc::Protocol::Grpc);
    let client = kv::KvServiceClient::new(HttpClient::plaintext_http2_only(), config);
    let request = GetRequest {
        key: "identity".into(),
        ..GetRequest::default()
    };
    let answer = client.get(request).await?;
    Ok(String::from_utf8_lossy(answer.view().value).into_owned())
}

/// Waits for the end of a process that may be on its way out.
///
/// # Panics
/// When it lives 5 s later.
pub async fn until_dead(pid: u32) {
    let what = format!("process {pid} is gone");
    eventually(Duration::from_secs(5), &what, || !crate::alive(pid)).await;
}

/// Ends a plugin, and says how it ended.
///
/// # Panics
/// When that takes more than a minute.
pub async fn stopped(plugin: &Plugin<KvClient>) -> jackfield_grpc::Exit {
    crate::within(plugin.stop()).await
}

/// Whether this process listens there.
fn listens(address: SocketAddr, pid: u32) -> bool {
    let table = if address.is_ipv4() { "tcp" } else { "tcp6" };
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    let port = format!(":{:04X}", address.port());
    let inodes: Vec<String> = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(3) == Some(&"0A") && fields.get(1)?.ends_with(&port);
            listens.then(|| format!("socket:[{}]", fields[9]))
        })
        .collect();
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .any(|target| inodes.contains(&target.display().to_string()))
}
