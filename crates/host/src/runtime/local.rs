//! Plugins as child processes of the host.
//!
//! ```text
//! <data>/lock                         held while a host uses the folder
//! <data>/leases/                      which processes are ours, for the sweep after a crash
//! <data>/plugins/<id>/packages/       unpacked packages, one folder per digest
//! <data>/plugins/<id>/state/          the plugin's own
//! <data>/plugins/<id>/logs/           what it wrote
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_package::{Digest, Package, UnpackError, UnpackOptions};
use jackfield_process::{Child, Command, Lease, SpawnError};
use jackfield_wire::{InstallationId, RuntimeProvider, env, grpc};
use tokio::sync::mpsc;

use super::{BoxFuture, Deployment, Exit, Launch, Line, Running, Runtime, Usage, Way};
use crate::failure::{Failure, Stage};

/// Child processes of the host, below a data folder.
#[derive(Debug)]
pub(crate) struct LocalRuntime {
    data: PathBuf,
    keep: usize,
}

impl LocalRuntime {
    /// A runtime over this folder. Processes that an earlier host left behind are ended first, as
    /// far as they are provably its own.
    pub(crate) fn new(data: PathBuf, keep: usize) -> io::Result<Self> {
        let leases = data.join("leases");
        fs::create_dir_all(&leases)?;
        let swept = jackfield_process::sweep(&leases)?;
        if !swept.killed.is_empty() {
            tracing::warn!(killed = ?swept.killed, "ended processes that an earlier host left behind");
        }
        if !swept.left.is_empty() {
            tracing::error!(left = ?swept.left, "processes that an earlier host left behind could not be ended");
        }
        for lease in &swept.unreadable {
            tracing::warn!(lease = %lease.display(), "set aside a lease that cannot be read");
        }
        Ok(Self { data, keep })
    }
}

/// The folder of one installation.
pub(crate) fn installation_folder(data: &Path, id: InstallationId) -> PathBuf {
    data.join("plugins").join(id.to_string())
}

fn failure(stage: Stage, message: impl Into<String>) -> Failure {
    Failure::new(RuntimeProvider::Local, stage, message)
}

impl Runtime for LocalRuntime {
    fn provider(&self) -> RuntimeProvider {
        RuntimeProvider::Local
    }

    fn deploy(
        &self,
        id: InstallationId,
        package: Arc<Package>,
    ) -> BoxFuture<'_, Result<Deployment, Failure>> {
        let home = installation_folder(&self.data, id);
        let keep = self.keep;
        Box::pin(async move {
            // Dropped with this future: whoever gives the deployment up has nothing more removed.
            let wanted = Arc::new(());
            let still = Arc::downgrade(&wanted);
            let work = move || {
                let (digest, deployment) = deploy(&home, &package)?;
                if still.strong_count() > 0 {
                    prune(&home.join("packages"), keep, &digest);
                }
                Ok(deployment)
            };
            let deployment = tokio::task::spawn_blocking(work)
                .await
                .map_err(|panic| failure(Stage::Deploy, format!("unpacking failed: {panic}")))??;
            drop(wanted);
            Ok(deployment)
        })
    }

    fn launch(
        &self,
        _id: InstallationId,
        deployment: &Deployment,
        launch: Launch,
    ) -> BoxFuture<'_, Result<Box<dyn Running>, Failure>> {
        let mut command = Command::new(&deployment.command)
            .args(&deployment.args)
            .current_dir(PathBuf::from(&deployment.folder))
            .inherit_env(env::ALLOWED)
            .grace(launch.grace)
            .lease(Lease {
                folder: self.data.join("leases"),
                name: launch.mark.clone(),
                mark: match launch.way {
                    Way::Dial(_) => format!("token={}", launch.mark),
                    Way::Serve(_) => launch.mark.clone(),
                },
            });
        // The operator's over the host's, what leads back to the host over both.
        for (key, value) in &launch.env {
            command = command.env(key, value);
        }
        command = command.env(env::STATE_DIR, &deployment.state);
        let command = match &launch.way {
            Way::Dial(rpc_url) => launch
                .shortcut
                .apply(command)
                .env(env::RPC_URL, rpc_url)
                .env(env::STORYDEN_RPC_URL, rpc_url),
            Way::Serve(offer) => offer
                .apply(command)
                .env(grpc::WORKING_DIR, &deployment.state)
                .env(env::LAUNCH, &launch.mark),
        };
        Box::pin(async move {
            let child = command
                .spawn()
                .await
                .map_err(|error| start_failure(&error))?;
            Ok(Box::new(LocalChild(child)) as Box<dyn Running>)
        })
    }

    fn remove(&self, id: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        let home = installation_folder(&self.data, id);
        Box::pin(async move {
            match tokio::fs::remove_dir_all(&home).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(
                    Stage::Deploy,
                    format!("cannot remove {}: {error}", home.display()),
                )),
                _ => Ok(()),
            }
        })
    }
}

fn deploy(home: &Path, package: &Package) -> Result<(Digest, Deployment), Failure> {
    let state = home.join("state");
    fs::create_dir_all(&state).map_err(|error| {
        failure(
            Stage::Deploy,
            format!("cannot make {}: {error}", state.display()),
        )
    })?;
    let unpacked = package
        .unpack(&home.join("packages"), &UnpackOptions::default())
        .map_err(|error| deploy_failure(&error))?;
    let manifest = package.manifest();
    let deployment = Deployment {
        folder: unpacked.folder.to_string_lossy().into_owned(),
        state: state.to_string_lossy().into_owned(),
        command: manifest.command.clone().unwrap_or_default(),
        args: manifest.args.clone(),
    };
    Ok((unpacked.digest, deployment))
}

fn prune(packages: &Path, keep: usize, current: &Digest) {
    if let Err(error) = jackfield_package::prune(packages, keep, current) {
        // Old files in the way of nobody: the plugin can run.
        tracing::warn!(folder = %packages.display(), %error, "cannot remove old packages");
    }
}

fn deploy_failure(error: &UnpackError) -> Failure {
    let failed = failure(Stage::Deploy, error_chain(error));
    let changed = "load the plugin anew, from an archive that stays where it is";
    match error {
        UnpackError::Changed { .. } | UnpackError::Gone { .. } => failed.hint(changed).hopeless(),
        UnpackError::NoSpace { .. } => failed.hint("make room; it is tried again"),
        _ => failed,
    }
}

fn start_failure(error: &SpawnError) -> Failure {
    let mut sentence = error_chain(error);
    let hint = match (error.hint(), error) {
        (Some(hint), _) => {
            // It has a place of its own.
            sentence = sentence.replace(&format!(" ({hint})"), "");
            Some(hint)
        }
        (None, SpawnError::NotFound { .. }) => Some(
            "install it where the host runs, or put it into the package and name it with a slash: ./name",
        ),
        (None, SpawnError::NotExecutable { .. }) => {
            Some("the archive has no unix modes, or not this one: chmod +x it before packing")
        }
        (None, SpawnError::BadInterpreter { .. }) => {
            Some("install it where the host runs, or change the first line of the file")
        }
        _ => None,
    };
    let mut failed = failure(
        Stage::Start,
        format!("failed to start process: {}", sentence.replace("/./", "/")),
    );
    if let Some(hint) = hint {
        failed = failed.hint(hint);
    }
    if error.is_permanent() {
        failed.hopeless()
    } else {
        failed
    }
}

/// An error with its causes, in one sentence.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[derive(Debug)]
struct LocalChild(Child);

impl Running for LocalChild {
    fn pid(&self) -> Option<u32> {
        Some(self.0.pid())
    }

    fn processes(&self) -> Vec<u32> {
        self.0.processes()
    }

    fn usage(&self) -> Option<Usage> {
        self.0.usage()
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn take_output(&mut self) -> Option<mpsc::Receiver<Line>> {
        self.0.take_output()
    }

    fn exited(&self) -> BoxFuture<'static, Exit> {
        Box::pin(self.0.exited())
    }
}
