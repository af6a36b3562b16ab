//! One launch after the other of one supervised plugin: deploy, mint a token, start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_package::Package;
use jackfield_wire::{InstallationId, RuntimeProvider};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::Doors;
use crate::failure::{Failure, Stage};
use crate::held::Launched;
use crate::log::LogStore;
use crate::runtime::{BoxFuture, Launch, Running, Runtime};
use crate::token::{Token, TokenHash};

pub(crate) struct Launcher {
    pub(crate) id: InstallationId,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) package: Arc<Package>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) grace: Duration,
    /// `ws://host:port/rpc`, without the query.
    pub(crate) rpc_url: String,
    pub(crate) doors: Arc<Doors>,
    pub(crate) log: Arc<LogStore>,
    pub(crate) tracker: TaskTracker,
    /// The token of the child that lives.
    pub(crate) token: Mutex<Option<TokenHash>>,
}

impl Launcher {
    pub(crate) fn provider(&self) -> RuntimeProvider {
        self.runtime.provider()
    }

    /// Begins a launch. Cancelling ends it before the process exists, where that is still to come.
    pub(crate) fn launch(
        &self,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, Result<Launched, Failure>> {
        let (token, mark) = Token::launch();
        self.forget();
        self.doors.open_launch(token.hash(), self.id);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.hash());
        let launch = Launch {
            rpc_url: format!(
                "{}?plugin_id={}&token={}",
                self.rpc_url,
                self.id,
                token.reveal()
            ),
            mark,
            env: self.env.clone(),
            grace: self.grace,
        };
        let (id, package) = (self.id, Arc::clone(&self.package));
        let (runtime, log) = (Arc::clone(&self.runtime), Arc::clone(&self.log));
        let (tracker, grace) = (self.tracker.clone(), self.grace);
        let provider = runtime.provider();
        let launching = self.tracker.spawn(async move {
            let told_to_stop = || Failure::new(provider, Stage::Deploy, "told to stop");
            let work = async {
                let deployment = runtime.deploy(id, package).await?;
                if cancel.is_cancelled() {
                    return Err(told_to_stop());
                }
                runtime.launch(id, &deployment, launch).await
            };
            // Waited for a little even when it is not wanted any more: files that are unpacked
            // behind the back of a stop would be in the way of whatever comes next.
            let patience = async {
                cancel.cancelled().await;
                tokio::time::sleep(grace).await;
            };
            let running = tokio::select! {
                launched = work => launched?,
                () = patience => return Err(told_to_stop()),
            };
            Ok(keep_output(running, log, &tracker))
        });
        Box::pin(async move {
            // Runtimes are other people's code; a panic in one is a failure like any other.
            launching.await.unwrap_or_else(|panic| {
                let message = format!("the runtime failed: {panic}");
                Err(Failure::new(provider, Stage::Start, message))
            })
        })
    }

    /// The token of the last child lets nobody in any more.
    pub(crate) fn forget(&self) {
        let token = self
            .token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(token) = token {
            self.doors.close_launch(&token);
        }
    }
}

/// Has the output written to the log; the end is told after the last line is there.
fn keep_output(
    mut running: Box<dyn Running>,
    log: Arc<LogStore>,
    tracker: &TaskTracker,
) -> Launched {
    let drained = running
        .take_output()
        .map(|output| tracker.spawn(log.drain(output)));
    let end = running.exited();
    let exited = Box::pin(async move {
        let exit = end.await;
        if let Some(drained) = drained {
            let _ = drained.await;
        }
        exit
    });
    Launched { running, exited }
}
