//! The way around the dial: a connected socket that a child on this machine is handed.
//!
//! Its first word there, which has to be a greeting, is its dial. From then on it is a line like any
//! other, and what lets it in is the token of its launch, as if it had shown it.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jackfield_process::Command;
use jackfield_rpc::LocalSocket;
use jackfield_wire::{Client, CloseCause, InstallationId, env};
use rustix::net::SocketAddrUnix;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::admit::{Admission, Refused};
use crate::ask::Ask;
use crate::attach::{limits, turn_away};
use crate::host::{Host, Inner};
use crate::token::TokenHash;

/// A socket that connects a child on this machine with the host, so that it need not dial. For a
/// [`Runtime`](crate::runtime::Runtime) whose children are processes of this machine.
///
/// A cheap clone. Until it is [applied](Self::apply) there is no socket.
#[derive(Clone)]
pub struct Shortcut {
    name: Arc<str>,
    /// The host's end, once there is one.
    ours: Arc<Mutex<Option<UnixStream>>>,
}

impl Shortcut {
    pub(crate) fn new(mark: &str) -> Self {
        Self {
            name: format!("{}{mark}", env::RPC_PEER).into(),
            ours: Arc::default(),
        }
    }

    /// The command with the socket among its descriptors and `JACKFIELD_RPC_FD` in its
    /// environment; variables that are set later are stronger. Where no socket can be made, the
    /// command as it was: its program dials. To be applied once for a launch.
    pub fn apply(&self, command: Command) -> Command {
        match self.pair() {
            Ok((ours, theirs)) => {
                *self.lock() = Some(ours);
                command
                    .env(env::RPC_FD, Command::INHERITED_FD.to_string())
                    .inherit_fd(theirs.into())
            }
            Err(error) => {
                tracing::debug!(%error, "a plugin is handed no socket");
                command
            }
        }
    }

    /// The host's end and the child's.
    fn pair(&self) -> io::Result<(UnixStream, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        // By this the child knows what it has. Nobody can connect to it: it does not listen.
        let name = SocketAddrUnix::new_abstract_name(self.name.as_bytes())?;
        rustix::net::bind(&ours, &name)?;
        // The child's end stays as it is: that it blocks says that nobody has taken it yet.
        ours.set_nonblocking(true)?;
        Ok((ours, theirs))
    }

    /// The host's end, once.
    pub(crate) fn take(&self) -> Option<UnixStream> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shortcut").field(&self.name).finish()
    }
}

/// Who waits for the word of one child. Does not keep the host alive.
pub(crate) struct Waiter {
    pub(crate) host: Weak<Inner>,
    pub(crate) id: InstallationId,
    /// That of the launch.
    pub(crate) token: TokenHash,
    /// Comes when the child has another line, is to go, or is gone.
    pub(crate) withdrawn: oneshot::Receiver<Refused>,
}

/// What became of the waiting.
enum Word {
    Greeting,
    Garbage(CloseCause),
    TooLate(Refused),
}

impl Waiter {
    /// Waits until the child greets, and makes a line of its socket; or until there is no use in
    /// that.
    pub(crate) async fn wait(self, socket: UnixStream) {
        let Some((mut socket, gone)) = self.open(socket) else {
            return;
        };
        let word = tokio::select! {
            biased;
            () = gone.cancelled() => return,
            why = self.withdrawn => Word::TooLate(why.unwrap_or(Refused::Gone)),
            greeted = socket.greeted() => match greeted {
                Ok(true) => Word::Greeting,
                // All that had it are gone, or have closed it: programs that do not know what it is.
                Ok(false) => return,
                Err(cause) => Word::Garbage(cause),
            },
        };
        let Some(inner) = self.host.upgrade() else {
            return;
        };
        let (id, token) = (self.id, self.token);
        match word {
            Word::Greeting => {
                let client = Client {
                    user_agent: None,
                    speaks_v1: true,
                };
                let admission = Admission { id, token, client };
                if let Err(refused) = (Host { inner }).attach(admission, socket).await {
                    tracing::debug!(%id, %refused, "a greeting came too late");
                }
            }
            Word::TooLate(why) => {
                let cause = CloseCause::unavailable(why.to_string());
                turn_away(socket, cause, &inner.tracker);
            }
            Word::Garbage(cause) => {
                tracing::warn!(%id, %cause, "what a plugin wrote to its socket is not taken");
                turn_away(socket, cause.clone(), &inner.tracker);
                if let Some(session) = (Host { inner }).session(id) {
                    let _ = session.ask(Ask::Misspoke { token, cause }).await;
                }
            }
        }
    }

    fn open(
        &self,
        socket: UnixStream,
    ) -> Option<(
        LocalSocket<OwnedReadHalf, OwnedWriteHalf>,
        CancellationToken,
    )> {
        let inner = self.host.upgrade()?;
        match tokio::net::UnixStream::from_std(socket) {
            Ok(socket) => {
                let (read, write) = socket.into_split();
                let socket = LocalSocket::new(read, write, &limits(&inner.policy));
                Some((socket, inner.gone.clone()))
            }
            Err(error) => {
                tracing::debug!(%error, "the socket of a plugin cannot be waited for");
                None
            }
        }
    }
}
