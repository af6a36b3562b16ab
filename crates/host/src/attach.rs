//! A dial becomes a line, in two steps: admit before the upgrade, attach after it.

use std::sync::Arc;
use std::time::Duration;

use jackfield_rpc::{Duplex, DuplexSender, Heartbeat, Limits, Options, Peer};
use jackfield_wire::{CloseCause, InstallationId};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::admit::{Admission, Credential, Refused};
use crate::ask::{Ask, Opener};
use crate::host::Host;
use crate::policy::Policy;
use crate::session::Ended;

/// An open line of a plugin.
#[derive(Debug, Clone)]
pub struct Line {
    id: InstallationId,
    peer: Peer,
}

/// Longest time for a close frame that nobody waits for.
const FAREWELL: Duration = Duration::from_secs(2);

impl Host {
    /// First step of a dial, before the upgrade: may this program become a line? Nothing is
    /// reserved and no token is burnt. Where the line is open already, it is probed first, for the
    /// policy's [`probe`](crate::Policy::probe) at most, and a dead one gives way.
    ///
    /// # Errors
    /// Why not; [`Refused::status`] is the HTTP status that says so.
    pub async fn admit(&self, credential: Credential) -> Result<Admission, Refused> {
        let admission = self.inner.doors.check(credential)?;
        let session = self.session(admission.id).ok_or(Refused::Gone)?;
        let (reply, answer) = oneshot::channel();
        let knock = session.ask(Ask::Knock(reply)).await;
        knock.map_err(|Ended| Refused::Gone)?;
        answer.await.map_err(|_| Refused::Gone)??;
        Ok(admission)
    }

    /// Second step, after the upgrade: makes the duplex the line of the session.
    /// [`WebSocket`](jackfield_rpc::WebSocket) is the duplex of a socket that was upgraded; the
    /// example has an in-memory one.
    ///
    /// ```
    /// use jackfield::rpc::memory;
    /// use jackfield::wire::manifest::Format;
    /// use jackfield::{ActiveState, Credential, Host, InstallationId, Manifest, Spec, Token};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let host = Host::builder()
    ///     .data_folder(folder.path())
    ///     .public_url("https://my-app.example")
    ///     .build()
    ///     .await?;
    /// let manifest = br#"{"id": "hi", "author": "me", "name": "Hi", "description": "", "version": "1"}"#;
    /// let manifest = Manifest::parse(manifest, Format::Json)?;
    /// let token = Token::external(); // shown to the one who runs the program; only its hash is kept
    /// let session = host.load(Spec::external(InstallationId::new(), manifest, token.hash()))?;
    /// session.set_active_state(ActiveState::Active).await?;
    ///
    /// // In the handler of GET /rpc:
    /// let query = format!("token={}", token.reveal());
    /// let admission = host.admit(Credential::from_query(&query)).await?;
    /// // ... the upgrade ...
    /// let (upgraded, _theirs, _cut) = memory::pair();
    /// let line = host.attach(admission, upgraded).await?;
    /// assert_eq!(line.id(), session.id());
    /// session.ready().await?;
    /// # Ok(())
    /// # }
    /// ```
    /// A duplex that comes too late is closed as unavailable (1013): its program may dial again. One
    /// whose token died meanwhile is closed as rejected (1008). Counterpart of both steps:
    /// `Connect`.
    ///
    /// # Errors
    /// When the session is not wanted any more, or another dial was quicker.
    pub async fn attach(&self, admission: Admission, duplex: impl Duplex) -> Result<Line, Refused> {
        let Admission { id, token, client } = admission;
        let tracker = self.inner.tracker.clone();
        let Some(session) = self.session(id) else {
            let cause = CloseCause::unavailable(Refused::Gone.to_string());
            turn_away(duplex, cause, &tracker);
            return Err(Refused::Gone);
        };
        let policy = &self.inner.policy;
        let options = Options {
            limits: limits(policy),
            heartbeat: Some(Heartbeat {
                every: policy.heartbeat,
                dead_after: policy.dead_after,
            }),
            heart: self.inner.heart.clone(),
            default_deadline: policy.call_deadline,
            client,
            ..Options::default()
        };
        let (methods, context) = (Arc::clone(&self.inner.methods), session.clone());
        let open: Opener = Box::new(move |taken| match taken {
            Ok(()) => Some(jackfield_rpc::open(
                duplex, methods, context, options, &tracker,
            )),
            Err(cause) => {
                turn_away(duplex, cause, &tracker);
                None
            }
        });
        let (reply, answer) = oneshot::channel();
        let attach = session.ask(Ask::Attach { token, open, reply }).await;
        attach.map_err(|Ended| Refused::Gone)?;
        let peer = answer.await.map_err(|_| Refused::Gone)??;
        Ok(Line { id, peer })
    }
}

/// What a line of this host may carry.
pub(crate) fn limits(policy: &Policy) -> Limits {
    let standard = Limits::default();
    Limits {
        inbound_calls: policy.inbound_calls,
        max_in: policy.max_message,
        // Above the one a message is refused, above the other its line is closed.
        hard_max_in: policy
            .max_message
            .saturating_mul(4)
            .max(standard.hard_max_in),
        ..standard
    }
}

/// Says why, and hangs up.
pub(crate) fn turn_away(duplex: impl Duplex, cause: CloseCause, tracker: &TaskTracker) {
    let (mut sender, receiver) = duplex.split();
    tracker.spawn(async move {
        let _ = tokio::time::timeout(FAREWELL, sender.close(&cause)).await;
        drop(receiver);
    });
}

impl Line {
    /// The installation.
    #[must_use]
    pub fn id(&self) -> InstallationId {
        self.id
    }

    /// Waits for the end of the line, and says why it ended.
    pub async fn closed(&self) -> CloseCause {
        self.peer.closed().await
    }
}
