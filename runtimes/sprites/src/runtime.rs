//! The methods of the host's trait.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jackfield::package::Package;
use jackfield::runtime::{BoxFuture, Deployment, Launch, Running, Runtime, Way as Wanted};
use jackfield::{Failure, Stage};
use jackfield_wire::{InstallationId, RuntimeProvider};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::deploy::{Deploy, Place};
use crate::environment;
use crate::error::failure;
use crate::exec::{Command, Doubt, Task, Way};
use crate::reaper::{PendingDeletion, Reaper};
use crate::secret::Secrets;
use crate::settings::{Channel, SpritesBuilder, Timing};

/// Supervised plugins in sprites, one each.
pub struct SpritesRuntime {
    client: Arc<Client>,
    reaper: Reaper,
    ways: Ways,
    /// Who starts something in a sprite right now.
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
    tracker: TaskTracker,
    doubt: Doubt,
}

/// The settings.
pub(crate) struct Ways {
    pub(crate) name_prefix: String,
    pub(crate) root: String,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) uploads: usize,
    pub(crate) channel: Channel,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) timing: Timing,
    pub(crate) secrets: Secrets,
}

impl SpritesRuntime {
    /// The settings, with the service's key, which shows up in no log, error or URL.
    #[must_use]
    pub fn builder(api_key: impl Into<String>) -> SpritesBuilder {
        SpritesBuilder::new(api_key.into())
    }

    pub(crate) fn new(client: Arc<Client>, reaper: Reaper, ways: Ways) -> Self {
        Self {
            client,
            reaper,
            ways,
            turns: Mutex::default(),
            tracker: TaskTracker::new(),
            doubt: Doubt::default(),
        }
    }

    /// The name of an installation's sprite.
    #[must_use]
    pub fn sprite_name(&self, id: InstallationId) -> String {
        format!("{}{id}", self.ways.name_prefix)
    }

    /// The sprites that are to be deleted and are still there, by name. They are tried again in the background.
    pub async fn pending(&self) -> Vec<PendingDeletion> {
        self.reaper.pending().await
    }

    fn turn(&self, sprite: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds are like new ones.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = turns
            .entry(sprite.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(turn)
    }

    fn task(
        &self,
        sprite: String,
        deployment: &Deployment,
        launch: &Launch,
        rpc_url: &str,
    ) -> Task {
        let mut secrets = self.ways.secrets.clone();
        secrets.add(rpc_url);
        let token = rpc_url
            .split(['?', '&'])
            .find_map(|pair| pair.strip_prefix("token="));
        secrets.add(token.unwrap_or_default());
        for value in launch.env.values() {
            secrets.add(value);
        }
        let (base, operator) = (&self.ways.env, &launch.env);
        let mut cmd = vec![deployment.command.clone()];
        cmd.extend(deployment.args.iter().cloned());
        Task {
            command: Command {
                cmd,
                env: environment::complete(base, operator, rpc_url, &deployment.state),
                dir: deployment.folder.clone(),
                orphaned: self.ways.timing.orphaned,
            },
            root: self.ways.root.clone(),
            state: deployment.state.clone(),
            own_env: environment::lines(base),
            grace: launch.grace,
            turn: self.turn(&sprite),
            secrets,
            way: Way {
                client: Arc::clone(&self.client),
                sprite,
                channel: self.ways.channel,
                doubt: self.doubt.clone(),
            },
        }
    }

    /// Deletes the sprite, and what is kept of it.
    fn give_back(&self, id: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.reaper.delete(self.sprite_name(id)))
    }
}

impl Runtime for SpritesRuntime {
    fn provider(&self) -> RuntimeProvider {
        RuntimeProvider::Sprites
    }

    fn deploy(
        &self,
        id: InstallationId,
        package: Arc<Package>,
    ) -> BoxFuture<'_, Result<Deployment, Failure>> {
        let sprite = self.sprite_name(id);
        let place = Place::new(&self.ways.root, package.digest());
        Box::pin(async move {
            self.reaper.claim(sprite.clone()).await?;
            let deploy = Deploy {
                client: &self.client,
                sprite: &sprite,
                channel: self.ways.channel,
                doubt: &self.doubt,
                env: &self.ways.env,
                place: &place,
                uploads: self.ways.uploads,
                scratch: self.ways.scratch.clone(),
            };
            deploy.run(&package).await?;
            let manifest = package.manifest();
            Ok(Deployment {
                folder: place.folder(),
                state: place.state(),
                command: manifest.command.clone().unwrap_or_default(),
                args: manifest.args.clone(),
            })
        })
    }

    fn launch(
        &self,
        id: InstallationId,
        deployment: &Deployment,
        launch: Launch,
    ) -> BoxFuture<'_, Result<Box<dyn Running>, Failure>> {
        let Wanted::Dial(rpc_url) = &launch.way else {
            let refused = failure(Stage::Start, "a gRPC plugin needs the host's own machine")
                .hint("run it with the local runtime, or let it dial over the WebSocket")
                .hopeless();
            return Box::pin(std::future::ready(Err(refused)));
        };
        let task = self.task(self.sprite_name(id), deployment, &launch, rpc_url);
        let (work, started) = task.prepare();
        self.tracker.spawn(work);
        Box::pin(async move {
            let gone = || failure(Stage::Start, "the task of the process has ended");
            let process = started.0.await.unwrap_or_else(|_| Err(gone()))?;
            Ok(Box::new(process) as Box<dyn Running>)
        })
    }

    fn unloaded(&self, id: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        self.give_back(id)
    }

    fn remove(&self, id: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        self.give_back(id)
    }
}

impl fmt::Debug for SpritesRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpritesRuntime")
            .field("client", &self.client)
            .field("name_prefix", &self.ways.name_prefix)
            .field("root", &self.ways.root)
            .finish_non_exhaustive()
    }
}
