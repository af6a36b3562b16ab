//! A plugin that runs.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jackfield_process::{Exit, Signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;

/// A plugin that runs and is ready. Dropped, its process is killed, with all that it forked.
pub struct Plugin<C> {
    /// Its process.
    pub child: Child,
    /// Where it serves; for [more clients](Endpoint::client).
    pub endpoint: Endpoint,
    /// The client by which it was asked whether it is ready.
    pub client: C,
}

/// The process of a plugin. Dropped, it is killed, with all that it forked.
pub struct Child {
    process: Arc<jackfield_process::Child>,
    recorded: CancellationToken,
}

/// How long after the end the sink may take for what is left. As a rule that is nothing.
const LAST_RECORDS: Duration = Duration::from_secs(10);

impl<C> Plugin<C> {
    /// Stops it: the [signal](crate::Spawn::stop_signal), the [grace](crate::Spawn::grace), the kill. Returns how it
    /// ended, when nothing of it is left and all records have been given to the sink.
    ///
    /// Cancel safe: the stop goes on. A second call waits for the same end.
    pub async fn stop(&self) -> Exit {
        self.child.stop();
        self.child.exited().await
    }
}

impl<C> fmt::Debug for Plugin<C> {
    /// Generated clients cannot all be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("child", &self.child)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Child {
    pub(crate) fn new(process: jackfield_process::Child, recorded: CancellationToken) -> Self {
        Self {
            process: Arc::new(process),
            recorded,
        }
    }

    /// The pid of the program. Known for good; after the end it may be somebody else's.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The processes of its tree that are there now.
    pub fn processes(&self) -> Vec<u32> {
        self.process.processes()
    }

    /// Begins to stop it: the signal now, the kill of everything after the grace. Does not wait; a second call changes
    /// nothing.
    pub fn stop(&self) {
        self.process.stop();
    }

    /// Kills it with all that it forked. Does not wait.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Sends a signal to its process group. Is no request to end.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// How it ended: exit code or signal, asked or not, the last lines that it wrote. FTL's cancelled context, as a
    /// value.
    ///
    /// Resolves when nothing of the tree is left and the last record has been given to the sink; a sink that is not
    /// done with them 10 s after the end is not waited for. Any number may wait, each cancel safe; the future does not
    /// keep the plugin alive.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static + use<> {
        let exited = self.process.exited();
        let recorded = self.recorded.clone();
        async move {
            let exit = exited.await;
            let _ = timeout(LAST_RECORDS, recorded.cancelled()).await;
            exit
        }
    }

    /// As [`exited`](Self::exited), but does not wait for the records.
    pub(crate) fn gone(&self) -> impl Future<Output = Exit> + Send + 'static + use<> {
        self.process.exited()
    }

    /// Does not keep it alive.
    pub(crate) fn weak(&self) -> Weak<jackfield_process::Child> {
        Arc::downgrade(&self.process)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}
