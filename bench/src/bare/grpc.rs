//! The bare gRPC client over a Unix socket, to the very plugin that Jackfield spawns.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use connectrpc::Protocol;
use connectrpc::client::{ClientConfig, Http2Connection, SharedHttp2Connection};
use kv::{Entry, KvServiceClient, PutRequest};
use tokio::process::{Child, Command};

use crate::protocol::{Driven, Failure};

/// A client with nothing between it and the connection.
pub struct BareGrpc {
    client: KvServiceClient<SharedHttp2Connection>,
    _folder: tempfile::TempDir,
    _plugin: Child,
}

impl BareGrpc {
    /// Starts the plugin with a socket that listens already, and connects.
    ///
    /// # Errors
    /// When that fails.
    pub async fn start(plugin: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        let plugin = Command::new(plugin)
            .env("JACKFIELD_LISTEN_FD", "0")
            .env("FTL_BIND", "http://127.0.0.1:9")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", plugin.display()))?;
        let uri: http::Uri = "http://localhost".parse()?;
        let connection = Http2Connection::connect_unix(path, uri.clone()).await?;
        let config = ClientConfig::new(uri).with_protocol(Protocol::Grpc);
        Ok(Self {
            client: KvServiceClient::new(connection.shared(1024), config),
            _folder: folder,
            _plugin: plugin,
        })
    }
}

/// Stores so many bytes under a key and reads them: what a call reads is what the calls of other drivers echo.
pub(crate) fn entry(bytes: usize) -> PutRequest {
    PutRequest {
        entry: Entry {
            key: key(bytes),
            value: vec![b'x'; bytes],
            ..Default::default()
        }
        .into(),
        ..Default::default()
    }
}

pub(crate) fn key(bytes: usize) -> String {
    bytes.to_string()
}

/// Reads as many bytes as were asked for; stores them where they are not there yet.
macro_rules! get {
    ($client:expr, $bytes:expr) => {{
        let (client, bytes) = ($client, $bytes);
        let request = || kv::GetRequest {
            key: $crate::bare::grpc::key(bytes),
            ..Default::default()
        };
        let answer = match client.get(request()).await {
            Ok(answer) => answer,
            Err(_) => {
                client.put($crate::bare::grpc::entry(bytes)).await?;
                client.get(request()).await?
            }
        };
        match answer.into_owned().value.len() == bytes {
            true => Ok(()),
            false => Err("an answer of another size".into()),
        }
    }};
}
pub(crate) use get;

impl Driven for BareGrpc {
    async fn call(&self, bytes: usize) -> Result<(), Failure> {
        get!(&self.client, bytes)
    }
}

impl std::fmt::Debug for BareGrpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareGrpc").finish_non_exhaustive()
    }
}
