//! What a runtime has to offer.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jackfield_grpc::Offer;
use jackfield_package::Package;
use jackfield_process::{Exit, Line, Usage};
use jackfield_wire::{InstallationId, RuntimeProvider};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::shortcut::Shortcut;

/// A future in a box, so that a runtime can be chosen while the program runs.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place where supervised plugins live.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Its name in settings and in the details of failures.
    fn provider(&self) -> RuntimeProvider;

    /// Puts the package in place for this installation, all of it or nothing. A package that is
    /// there already is not put there again; earlier ones are kept for a rollback, and the
    /// plugin's own state folder is never touched.
    fn deploy(
        &self,
        id: InstallationId,
        package: Arc<Package>,
    ) -> BoxFuture<'_, Result<Deployment, Failure>>;

    /// Runs the package's command there. Resolves as soon as the process runs. What cannot work
    /// at all is a failure marked [hopeless](Failure::hopeless).
    fn launch(
        &self,
        id: InstallationId,
        deployment: &Deployment,
        launch: Launch,
    ) -> BoxFuture<'_, Result<Box<dyn Running>, Failure>>;

    /// The installation was unloaded: its process has ended, and its session is about to be forgotten. Files and
    /// state on this machine stay for the next load, so there is nothing to do, unless a runtime says otherwise: what
    /// costs money while nobody uses it is given back. A failure is logged.
    fn unloaded(&self, id: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        let _ = id;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Removes everything of this installation: files, state and logs. Nothing of it runs then.
    fn remove(&self, id: InstallationId) -> BoxFuture<'_, Result<(), Failure>>;
}

/// A process in a [`Runtime`]. Dropping it ends the process and all that it started.
pub trait Running: fmt::Debug + Send + Sync + 'static {
    /// The process, where it has a number that means something on this machine.
    fn pid(&self) -> Option<u32>;

    /// The processes of its tree that are there now, where they have numbers that mean something on this machine. A
    /// plugin that serves gRPC on a TCP port is believed only if one of these listens there. None, unless a runtime
    /// says otherwise.
    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }

    /// What its tree takes of the machine, where that is known at once: never blocks for longer than reading `/proc`
    /// takes. `None`, unless a runtime says otherwise.
    fn usage(&self) -> Option<Usage> {
        None
    }

    /// Asks it to end, and after its grace makes it. Never blocks; a second call changes nothing.
    fn stop(&self);

    /// Ends it and all that it started, at once.
    fn kill(&self);

    /// What it writes, line by line. `None` when it was taken before.
    fn take_output(&mut self) -> Option<mpsc::Receiver<Line>>;

    /// Waits for its end: after the last line was put into the output, and after all that it
    /// started is gone. Any number may wait.
    fn exited(&self) -> BoxFuture<'static, Exit>;

    /// After an end of which nobody knows how it came ([`ExitStatus::Lost`](super::ExitStatus::Lost)): why not. `None`
    /// makes a crash of it.
    fn lost(&self) -> Option<Failure> {
        None
    }
}

/// A package in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The folder of its files, in the words of the runtime.
    pub folder: String,
    /// The plugin's own folder, which upgrades keep.
    pub state: String,
    /// The command of its manifest.
    pub command: String,
    /// The arguments of the command.
    pub args: Vec<String>,
}

/// What one launch needs beside the files.
#[derive(Clone)]
pub struct Launch {
    /// How child and host find each other.
    pub way: Way,
    /// A socket for a child on this machine, beside the URL of [`Way::Dial`]. A runtime whose
    /// children are elsewhere leaves it alone, and they dial.
    pub shortcut: Shortcut,
    /// A string that is in no other launch's environment and not secret; [`Way::Dial`]'s URL holds it.
    pub mark: String,
    /// What the operator adds to the environment.
    pub env: BTreeMap<String, String>,
    /// Time between the interrupt and the kill.
    pub grace: Duration,
}

/// How child and host find each other.
#[derive(Clone)]
pub enum Way {
    /// The child dials this URL, token included. Secret.
    Dial(String),
    /// The child serves gRPC on what it is [given](Offer::apply).
    Serve(Arc<Offer>),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial(_) => "Dial",
            Self::Serve(_) => "Serve",
        })
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("way", &self.way)
            .field("mark", &self.mark)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
