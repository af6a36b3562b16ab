//! Dialling, and when to dial again.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jackfield_rpc::{DialError, DialOptions, Limits, Methods, Options, Peer, dial, open};
use jackfield_wire::{Client, CloseCause, CloseKind, env};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::error::{RunError, hint};
use crate::host::Shared;
use crate::plugin::Plugin;
use crate::shortcut::Shortcut;

/// Delays between the dials of an external plugin.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const MOST_DELAY: Duration = Duration::from_secs(10);
/// A line that lasted this long shows that the host is well, and delays begin anew. A shorter one
/// shows nothing: a host that lets in and hangs up at once would be dialled four times a second.
const STABLE: Duration = Duration::from_secs(10);

/// A supervised plugin may be faster than its host; for this long it dials again when nobody
/// listens.
const HOST_COMES_UP: Duration = Duration::from_secs(5);
const FIRST_KNOCK: Duration = Duration::from_millis(50);
const MOST_KNOCK: Duration = Duration::from_secs(1);

/// The time for the end of a line beyond what the line itself allows.
const FAREWELL: Duration = Duration::from_secs(5);

/// Events wait for their turn without taking places from calls.
const INBOUND_CALLS: usize = 1024;

/// What to do after a dial or a line that failed.
#[derive(Debug)]
enum Next {
    Again(String),
    End(Result<(), RunError>),
}

/// The two kinds of plugin differ in when they dial again.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Supervised,
    External,
}

/// Leaves no line behind when `run` is dropped: handles of the host may live on.
struct Down(Arc<Shared>);

impl Drop for Down {
    fn drop(&mut self) {
        self.0.down();
    }
}

pub(crate) async fn run(plugin: Plugin, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let Plugin {
        url,
        mut shortcut,
        grace,
        shared,
        methods,
        ..
    } = plugin;
    let _down = Down(Arc::clone(&shared));
    let methods = Arc::new(methods);
    let mode = Mode::of(&url);
    let mut stop = pin!(stop);
    let mut backoff = mode.backoff();
    let begun = Instant::now();
    let dial_options = DialOptions {
        user_agent: concat!("jackfield-plugin/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..DialOptions::default()
    };
    loop {
        let tasks = TaskTracker::new();
        let first = shortcut
            .take()
            .and_then(|shortcut| over(shortcut, &methods, &shared, &tasks));
        let opened = match first {
            Some(peer) => Ok(peer),
            None => tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                dialled = dial(&url, &dial_options) => dialled.map(|(socket, negotiated)| {
                    let options = line_options(negotiated.speaks_v1);
                    open(socket, Arc::clone(&methods), Arc::clone(&shared), options, &tasks)
                }),
            },
        };
        let next = match opened {
            Ok(peer) => {
                let up = Instant::now();
                shared.up(peer.clone());
                let ended = tokio::select! {
                    biased;
                    () = &mut stop => None,
                    cause = peer.closed() => Some(cause),
                };
                if ended.is_none() {
                    peer.drain(grace).await;
                    peer.close(CloseCause::closed());
                }
                shared.down();
                // The line bounds its own end; this is for a task that blocks its thread.
                let _ = timeout(FAREWELL, peer.finished()).await;
                let Some(cause) = ended else { return Ok(()) };
                if up.elapsed() > STABLE {
                    backoff.reset();
                }
                mode.after_line(&peer, cause)
            }
            Err(error) => mode.after_dial(error, begun.elapsed()),
        };
        let why = match next {
            Next::Again(why) => why,
            Next::End(result) => return result,
        };
        let delay = backoff.delay();
        note(&format!("{why}; dialling again in {delay:.1?}"));
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            () = sleep(delay) => {}
        }
    }
}

/// The line over the socket that the host handed down. `None` where it turns out not to be usable:
/// there is still the dial.
fn over(
    shortcut: Shortcut,
    methods: &Arc<Methods<Arc<Shared>>>,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
) -> Option<Peer> {
    let options = line_options(true);
    match shortcut.open(&options.limits) {
        Ok(socket) => Some(open(
            socket,
            Arc::clone(methods),
            Arc::clone(shared),
            options,
            tasks,
        )),
        Err(error) => {
            note(&format!("the host's socket cannot be used: {error}"));
            None
        }
    }
}

fn line_options(speaks_v1: bool) -> Options {
    Options {
        limits: Limits {
            inbound_calls: INBOUND_CALLS,
            ..Limits::default()
        },
        client: Client {
            user_agent: None,
            speaks_v1,
        },
        ..Options::default()
    }
}

/// Whether this is the URL of a program that no host starts.
pub(crate) fn is_external(url: &str) -> bool {
    matches!(Mode::of(url), Mode::External)
}

impl Mode {
    fn of(url: &str) -> Self {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let token = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("token="));
        match token {
            Some(token) if token.starts_with(env::EXTERNAL_TOKEN_PREFIX) => Self::External,
            _ => Self::Supervised,
        }
    }

    fn backoff(self) -> Backoff {
        match self {
            Self::Supervised => Backoff::new(FIRST_KNOCK, MOST_KNOCK),
            Self::External => Backoff::new(FIRST_DELAY, MOST_DELAY),
        }
    }

    fn after_dial(self, error: DialError, since: Duration) -> Next {
        let again = match (self, &error) {
            (
                _,
                DialError::BadUrl { .. }
                | DialError::Http {
                    status: 400..500, ..
                },
            ) => false,
            (Self::External, _) => true,
            (Self::Supervised, DialError::Unreachable { source, .. }) => {
                source.kind() == io::ErrorKind::ConnectionRefused && since < HOST_COMES_UP
            }
            (Self::Supervised, _) => false,
        };
        if again {
            return Next::Again(error.to_string());
        }
        let hint = hint(&error);
        Next::End(Err(RunError::Dial {
            source: error,
            hint,
        }))
    }

    fn after_line(self, peer: &Peer, cause: CloseCause) -> Next {
        match (self, peer.close_code()) {
            (_, Some(1008)) => Next::End(Err(RunError::Rejected(cause))),
            (_, Some(1000 | 1005)) => Next::End(Ok(())),
            (Self::External, None | Some(1001 | 1006 | 1011 | 1012 | 1013)) => {
                Next::Again(format!("the line to the host was lost ({cause})"))
            }
            (Self::External, Some(_)) => Next::End(Err(RunError::Lost(cause))),
            // The host is gone, or going.
            (Self::Supervised, None) => Next::End(Ok(())),
            (Self::Supervised, Some(_)) if cause.kind == CloseKind::Failed => {
                Next::End(Err(RunError::Lost(cause)))
            }
            (Self::Supervised, Some(_)) => Next::End(Ok(())),
        }
    }
}

/// Tells whoever runs the plugin: through `tracing` where the plugin uses it, else on stderr,
/// which is in the host's log.
pub(crate) fn note(message: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::warn!("{message}");
    } else {
        eprintln!("{message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_tells_the_mode() {
        for (url, external) in [
            ("ws://h/rpc?token=sdprt_abc", true),
            ("ws://h/rpc?plugin_id=x&token=sdprt_abc", true),
            ("ws://h/rpc?plugin_id=x&token=AAAA", false),
            ("ws://h/rpc?plugin_id=sdprt_x&token=AAAA", false),
            ("ws://h/rpc", false),
        ] {
            assert_eq!(matches!(Mode::of(url), Mode::External), external, "{url}");
        }
    }
}
