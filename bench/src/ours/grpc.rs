//! gRPC plugins: by `Spawn`, and as a session under the host.

use std::path::{Path, PathBuf};

use connectrpc::Protocol;
use connectrpc::client::{ClientConfig, ServiceTransport};
use jackfield::grpc::{Plugin, Spawn};
use jackfield::{Session, SessionChannel};
use kv::{KvClient, KvServiceClient};
use serde_json::json;
use tokio::time::Instant;

use super::{Bench, activate, package};
use crate::bare::grpc::get;
use crate::protocol::{Driven, Failure, nanos};

/// A plugin by `Spawn`, and others that come and go beside it.
pub struct Spawned {
    program: PathBuf,
    folder: tempfile::TempDir,
    plugin: Option<Plugin<KvClient>>,
}

impl Spawned {
    /// With one plugin that runs, unless it is of those that only answer pings.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(program: &Path, calls: bool) -> Result<Self, Failure> {
        let mut spawned = Self {
            program: program.to_owned(),
            folder: tempfile::tempdir()?,
            plugin: None,
        };
        if calls {
            spawned.plugin = Some(spawned.one().await?);
        }
        Ok(spawned)
    }

    async fn one(&self) -> Result<Plugin<KvClient>, Failure> {
        let spawn = Spawn::new("kv", &self.program).folder(self.folder.path());
        Ok(spawn.spawn::<KvClient>().await?)
    }
}

impl Driven for Spawned {
    async fn call(&self, bytes: usize) -> Result<(), Failure> {
        let plugin = self.plugin.as_ref().ok_or("it only answers pings")?;
        get!(&plugin.client, bytes)
    }

    async fn spawn(&self) -> Result<u64, Failure> {
        let began = Instant::now();
        let plugin = self.one().await?;
        let took = nanos(began);
        plugin.child.kill();
        plugin.child.exited().await;
        Ok(took)
    }
}

/// The same plugin as a package under the host, called over its session's channel.
pub struct Channelled {
    _bench: Bench,
    _session: Session,
    client: KvServiceClient<ServiceTransport<SessionChannel>>,
}

impl Channelled {
    /// Active.
    ///
    /// # Errors
    /// When it does not become active.
    pub async fn start(program: &Path) -> Result<Self, Failure> {
        let bench = Bench::new().await?;
        let extra = json!({"transport": "grpc", "service": "kv.v1.KvService"});
        let session = bench.load(&package(program, &[], extra)?)?;
        activate(&session).await?;
        let channel = session.grpc_channel().ok_or("it has no channel")?;
        let config = ClientConfig::new("http://localhost".parse()?).with_protocol(Protocol::Grpc);
        Ok(Self {
            client: KvServiceClient::new(ServiceTransport::new(channel), config),
            _bench: bench,
            _session: session,
        })
    }
}

impl Driven for Channelled {
    async fn call(&self, bytes: usize) -> Result<(), Failure> {
        get!(&self.client, bytes)
    }
}

impl std::fmt::Debug for Spawned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spawned").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Channelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channelled").finish_non_exhaustive()
    }
}
