//! What the handles of a session ask of its task.

use jackfield_rpc::Peer;
use jackfield_wire::CloseCause;
use tokio::sync::oneshot;

use crate::admit::Refused;
use crate::token::TokenHash;

/// What a handle asks of the task.
pub(crate) enum Ask {
    /// Make it active. Answered once that is accepted.
    Start(oneshot::Sender<()>),
    /// Make it inactive. Answered once nothing of it is left.
    Stop {
        cause: CloseCause,
        done: oneshot::Sender<()>,
    },
    /// Would a dial be let in? A line that is already there is probed first.
    Knock(oneshot::Sender<Result<(), Refused>>),
    /// A dial was admitted and upgraded.
    Attach {
        token: TokenHash,
        open: Opener,
        reply: oneshot::Sender<Result<Peer, Refused>>,
    },
    /// A probed line gave a sign of life, or none.
    Probed {
        line: Peer,
        alive: bool,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    /// On the socket that it was handed the child said something that is no greeting.
    Misspoke { token: TokenHash, cause: CloseCause },
    /// Kill what is left and end the task.
    End,
}

/// Turns an admitted duplex into a peer, or turns it away.
pub(crate) type Opener = Box<dyn FnOnce(Result<(), CloseCause>) -> Option<Peer> + Send>;

/// A dial that was let in, and who waits for what becomes of it.
pub(crate) type Dial = (Opener, oneshot::Sender<Result<Peer, Refused>>);
