//! What the rest of the crate asks of the task that deletes sprites.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield::{Failure, Stage};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::error::failure;
use crate::settings::BuildError;

use super::store::Store;
use super::task::{Ask, Task};

/// A sprite that could not be deleted yet, and costs money as long as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDeletion {
    /// Its name.
    pub sprite: String,
    /// When it was to be deleted.
    pub since: SystemTime,
    /// How often that was tried.
    pub attempts: u32,
    /// Why it failed the last time.
    pub error: String,
}

/// Deletes sprites, for as long as it takes.
#[derive(Debug)]
pub(crate) struct Reaper {
    asks: mpsc::Sender<Ask>,
    /// Its task ends when the last handle is gone.
    _tracker: TaskTracker,
}

impl Reaper {
    /// Reads what was left from the last time, and tries it again.
    pub(crate) fn start(client: Arc<Client>, folder: Option<PathBuf>) -> Result<Self, BuildError> {
        let (store, left) = Store::open(folder)?;
        let (asks, mail) = mpsc::channel(32);
        let tracker = TaskTracker::new();
        tracker.spawn(Task::new(client, store, left, mail).run());
        tracker.close();
        Ok(Self {
            asks,
            _tracker: tracker,
        })
    }

    /// Deletes a sprite; when that fails it is tried again until it succeeds or the sprite is
    /// [claimed](Self::claim). Cancel safe: it goes on.
    pub(crate) async fn delete(&self, sprite: String) -> Result<(), Failure> {
        let (reply, done) = oneshot::channel();
        let _ = self.asks.send(Ask::Delete { sprite, reply }).await;
        done.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The sprite is wanted again: what deletion is under way is waited for, and no other follows.
    pub(crate) async fn claim(&self, sprite: String) -> Result<(), Failure> {
        let (reply, done) = oneshot::channel();
        let _ = self.asks.send(Ask::Claim { sprite, reply }).await;
        done.await.map_err(|_| gone())
    }

    /// What is still to be deleted, by name.
    pub(crate) async fn pending(&self) -> Vec<PendingDeletion> {
        let (reply, done) = oneshot::channel();
        let _ = self.asks.send(Ask::List(reply)).await;
        done.await.unwrap_or_default()
    }
}

fn gone() -> Failure {
    failure(Stage::Deploy, "the task that deletes sprites has ended")
}
