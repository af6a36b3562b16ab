//! One launch after the other of one supervised plugin: deploy, mint a token, start.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jackfield_grpc::{Offer, Settings};
use jackfield_package::Package;
use jackfield_wire::manifest::Transport;
use jackfield_wire::{InstallationId, RuntimeProvider};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::{Doors, Refused};
use crate::failure::{Failure, Stage};
use crate::held::Launched;
use crate::host::Inner;
use crate::log::LogStore;
use crate::runtime::{BoxFuture, Launch, Running, Runtime, Way};
use crate::serve::Serving;
use crate::shortcut::{Shortcut, Waiter};
use crate::token::{Token, TokenHash};

pub(crate) struct Launcher {
    pub(crate) id: InstallationId,
    pub(crate) host: Weak<Inner>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) package: Arc<Package>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) grace: Duration,
    /// How long a process may take to be ready.
    pub(crate) dial_deadline: Duration,
    /// How connections to it behave.
    pub(crate) settings: Settings,
    /// `ws://host:port/rpc`, without the query.
    pub(crate) rpc_url: String,
    pub(crate) doors: Arc<Doors>,
    pub(crate) log: Arc<LogStore>,
    pub(crate) tracker: TaskTracker,
    /// The token of the child that lives.
    pub(crate) token: Mutex<Option<TokenHash>>,
    /// Ends the waiting for a word of it on the socket that it was handed.
    pub(crate) waiting: Mutex<Option<oneshot::Sender<Refused>>>,
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
        let provider = self.provider();
        let (way, mark) = match self.way() {
            Ok(way) => way,
            Err(error) => {
                let message = format!("cannot make an endpoint for the plugin: {error}");
                let failure = Failure::new(provider, Stage::Start, message);
                return Box::pin(std::future::ready(Err(failure)));
            }
        };
        let serving = self.serving(&way);
        let shortcut = Shortcut::new(&mark);
        let waiter = self.waiter();
        let launch = Launch {
            way,
            shortcut: shortcut.clone(),
            mark,
            env: self.env.clone(),
            grace: self.grace,
        };
        let (id, package) = (self.id, Arc::clone(&self.package));
        let (runtime, log) = (Arc::clone(&self.runtime), Arc::clone(&self.log));
        let (tracker, grace) = (self.tracker.clone(), self.grace);
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
            if let (Some(waiter), Some(socket)) = (waiter, shortcut.take()) {
                tracker.spawn(waiter.wait(socket));
            }
            Ok(keep_output(running, serving, log, &tracker))
        });
        Box::pin(async move {
            // Runtimes are other people's code; a panic in one is a failure like any other.
            launching.await.unwrap_or_else(|panic| {
                let message = format!("the runtime failed: {panic}");
                Err(Failure::new(provider, Stage::Start, message))
            })
        })
    }

    /// How the next child and the host find each other, and the mark of the launch.
    fn way(&self) -> io::Result<(Way, String)> {
        let (token, mark) = Token::launch();
        self.forget();
        let way = match self.package.manifest().transport {
            Transport::Grpc => Way::Serve(Arc::new(Offer::new()?.settings(self.settings.clone()))),
            Transport::WebSocket => {
                self.doors.open_launch(token.hash(), self.id);
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.hash());
                let (url, id, token) = (&self.rpc_url, self.id, token.reveal());
                Way::Dial(format!("{url}?plugin_id={id}&token={token}"))
            }
        };
        Ok((way, mark))
    }

    fn serving(&self, way: &Way) -> Option<Serving> {
        match way {
            Way::Dial(_) => None,
            Way::Serve(offer) => Some(Serving {
                offer: Arc::clone(offer),
                service: self.package.manifest().service.clone(),
                within: self.dial_deadline,
                provider: self.provider(),
            }),
        }
    }

    /// Who will wait for a word of the next child, where it is one that dials.
    fn waiter(&self) -> Option<Waiter> {
        let token = *self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let (withdraw, withdrawn) = oneshot::channel();
        let waiter = Waiter {
            host: Weak::clone(&self.host),
            id: self.id,
            token: token?,
            withdrawn,
        };
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(withdraw);
        Some(waiter)
    }

    /// The socket that the child was handed becomes no line any more, for this reason.
    pub(crate) fn withdraw(&self, why: Refused) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(withdraw) = waiting.take() {
            // Whoever waited may have what it waited for.
            let _ = withdraw.send(why);
        }
    }

    /// The token of the last child lets nobody in any more.
    pub(crate) fn forget(&self) {
        self.withdraw(Refused::Inactive);
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
    serving: Option<Serving>,
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
    Launched {
        running: Arc::from(running),
        exited,
        serving,
    }
}
