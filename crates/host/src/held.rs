//! What a session's task holds while something runs, and how it waits for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_grpc::Endpoint;
use jackfield_rpc::Peer;
use jackfield_wire::CloseCause;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ask::Dial;
use crate::failure::Failure;
use crate::lifecycle::Waiter;
use crate::runtime::{BoxFuture, Exit, Running};
use crate::serve::{Ready, Serving};

/// What exists only while something runs.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) child: Child,
    pub(crate) line: Option<Line>,
    pub(crate) due: Option<Instant>,
    /// The same for people.
    pub(crate) due_at: Option<SystemTime>,
    pub(crate) waiters: HashMap<Waiter, oneshot::Sender<()>>,
    pub(crate) last_waiter: Waiter,
    pub(crate) dialing: Option<Dial>,
    /// A dial of a child whose launch is not reported yet: a quick program dials within a
    /// millisecond. It waits, so that `active` always comes after `connecting` and has a process.
    pub(crate) early: Option<Dial>,
    /// Why what the child said on the socket that it was handed was not taken.
    pub(crate) misspoke: Option<CloseCause>,
    /// The endpoint of a child that serves.
    pub(crate) serving: Option<Serving>,
    /// While it is being asked whether it is ready.
    pub(crate) readying: Option<BoxFuture<'static, Ready>>,
    /// It said so, and has no line yet.
    pub(crate) ready: Option<Endpoint>,
    /// Why it is down; kept until the next launch.
    pub(crate) failure: Option<Failure>,
    pub(crate) started_at: Option<SystemTime>,
    pub(crate) close_with: Option<CloseCause>,
}

/// The process of a session.
#[derive(Default)]
pub(crate) enum Child {
    #[default]
    None,
    Making {
        cancel: CancellationToken,
        made: BoxFuture<'static, Result<Launched, Failure>>,
    },
    Running {
        running: Arc<dyn Running>,
        exited: BoxFuture<'static, Exit>,
    },
}

/// A child, and its end with all its output kept.
pub(crate) struct Launched {
    pub(crate) running: Arc<dyn Running>,
    pub(crate) exited: BoxFuture<'static, Exit>,
    /// Where it serves.
    pub(crate) serving: Option<Serving>,
}

/// The open line of a session.
pub(crate) struct Line {
    pub(crate) way: Way,
    pub(crate) closed: BoxFuture<'static, CloseCause>,
}

/// What a line is made of.
pub(crate) enum Way {
    /// A duplex that dialed in.
    Rpc(Peer),
    /// A connection to an endpoint. Cancelled, it counts as closed; calls that are under way go on.
    Grpc { hang_up: CancellationToken },
}

/// What became of a child.
pub(crate) enum ChildNews {
    /// Its process runs, or could not be made.
    Made(Result<Launched, Failure>),
    /// Its process ended.
    Exited(Exit),
}

impl Child {
    /// Waits for news; for ever where there is no child. Cancel safe.
    pub(crate) async fn news(&mut self) -> ChildNews {
        match self {
            Self::None => std::future::pending().await,
            Self::Making { made, .. } => ChildNews::Made(made.as_mut().await),
            Self::Running { exited, .. } => ChildNews::Exited(exited.as_mut().await),
        }
    }
}

impl Line {
    pub(crate) fn close(&self, cause: CloseCause) {
        match &self.way {
            Way::Rpc(peer) => peer.close(cause),
            Way::Grpc { hang_up } => hang_up.cancel(),
        }
    }

    /// The peer of a line that dialed in.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.way {
            Way::Rpc(peer) => Some(peer),
            Way::Grpc { .. } => None,
        }
    }
}

/// Waits until a child that serves is ready, or never will be; for ever where nobody asks. Cancel safe.
pub(crate) async fn readied(readying: &mut Option<BoxFuture<'static, Ready>>) -> Ready {
    match readying {
        Some(ready) => ready.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of the line; for ever where there is none. Cancel safe.
pub(crate) async fn hung_up(line: &mut Option<Line>) -> CloseCause {
    match line {
        Some(line) => line.closed.as_mut().await,
        None => std::future::pending().await,
    }
}
