//! A host for a measure, and plugins for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jackfield::package::{PackOptions, Package, pack};
use jackfield::{ActiveState, Host, InstallationId, Policy, Session, Spec};
use serde_json::{Value, json};

use crate::protocol::Failure;

/// A host over a folder of its own, whose plugins are started again without delay and without end.
pub(crate) struct Bench {
    pub(crate) host: Host,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let policy = Policy {
            restarts: u32::MAX,
            delay: Duration::ZERO,
            stop_grace: Duration::from_secs(1),
            max_message: 64 << 20,
            ..Policy::default()
        };
        let host = Host::builder()
            .data_folder(folder.path().join("data"))
            .policy(policy)
            .build()
            .await?;
        Ok(Self {
            host,
            _folder: folder,
        })
    }

    /// Loads a package; it stays inactive.
    pub(crate) fn load(&self, package: &Arc<Package>) -> Result<Session, Failure> {
        let spec = Spec::supervised(InstallationId::new(), Arc::clone(package));
        Ok(self.host.load(spec)?)
    }
}

/// A package that runs this program from where it is.
pub(crate) fn package(
    program: &Path,
    args: &[&str],
    extra: Value,
) -> Result<Arc<Package>, Failure> {
    let folder = tempfile::tempdir()?;
    let mut manifest = json!({
        "id": "bench", "author": "jackfield", "name": "Bench", "description": "", "version": "1.0.0",
        "command": program, "args": args,
    });
    if let (Value::Object(manifest), Value::Object(extra)) = (&mut manifest, extra) {
        manifest.extend(extra);
    }
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string())?;
    Ok(Arc::new(
        pack(folder.path(), &PackOptions::default())?.package,
    ))
}

/// Starts it and waits until it is active.
pub(crate) async fn activate(session: &Session) -> Result<(), Failure> {
    session.set_active_state(ActiveState::Active).await?;
    Ok(session.ready().await?)
}

pub(crate) async fn stop(session: &Session) -> Result<(), Failure> {
    Ok(session.set_active_state(ActiveState::Inactive).await?)
}
