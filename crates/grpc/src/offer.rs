//! What a process is offered to serve on, and waiting until it does.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Uri};
use jackfield_process::Command;
use jackfield_wire::grpc;
use rustix::fs::{AtFlags, Mode, OFlags, open, unlinkat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::channel::{Channel, Config};
use crate::client::PluginClient;
use crate::endpoint::{Endpoint, Settings};
use crate::error::NotReady;
use crate::owner::{Connector, Processes};
use crate::probe::Probe;
use crate::ready::{self, Last};

/// What one life of one process is offered to serve on: a port that is held for it, a Unix socket that listens
/// already, a token. For who runs the process otherwise than by [`Spawn`](crate::Spawn).
///
/// Dropping it takes back what was not used. Once the process runs nothing of the socket is left here but the way to
/// connect to it, so that a connection is refused when the process is gone.
pub struct Offer {
    port: u16,
    held: Mutex<Option<OwnedFd>>,
    listener: Mutex<Option<OwnedFd>>,
    socket: OwnedFd,
    token: String,
    settings: Settings,
}

impl Offer {
    /// A new offer. Makes system calls that do not wait for anything.
    ///
    /// # Errors
    ///
    /// When the machine is short of ports or descriptors, or `/proc` or the folder for temporary files are not usable.
    pub fn new() -> io::Result<Self> {
        let (held, port) = hold()?;
        let (listener, socket) = nameless()?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(Self {
            port,
            held: Mutex::new(Some(held)),
            listener: Mutex::new(Some(listener)),
            socket,
            token: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
            settings: Settings::default(),
        })
    }

    /// Lets go of the port at once: for a program that cannot listen on one that is held, since it does not set
    /// `SO_REUSEADDR`. Somebody else may take it then; nobody else is taken for the program.
    #[must_use]
    pub fn unheld(self) -> Self {
        self.let_go();
        self
    }

    /// How clients over the endpoint are to behave. Default: [`Settings::default`].
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The value of `FTL_BIND`: `http://127.0.0.1:<port>`.
    pub fn bind(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The command with the offer in its environment and among its descriptors: `FTL_BIND`, `JACKFIELD_LISTEN_FD`,
    /// `JACKFIELD_TOKEN`. The socket is handed over once: a second command gets all but that. Variables that are set
    /// later are stronger.
    pub fn apply(&self, command: Command) -> Command {
        let command = command
            .env(grpc::BIND, self.bind())
            .env(grpc::TOKEN, &self.token);
        let listener = lock(&self.listener).take();
        match listener {
            Some(listener) => command
                .env(grpc::LISTEN_FD, Command::INHERITED_FD.to_string())
                .inherit_fd(listener),
            None => command,
        }
    }

    /// Waits until the process that got this offer is ready, by a probe that needs no generated code.
    ///
    /// `processes` gives the pids of the process and of all that it forked, now: see
    /// [`Child::processes`](jackfield_process::Child::processes). It is asked at every TCP connection, also later, and
    /// should hold nothing that keeps the process alive. Does not look whether the process lives: the caller races
    /// this with its end. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`NotReady`] when the time is over, or as soon as a ping is answered with `UNIMPLEMENTED`.
    pub async fn settle(
        &self,
        processes: impl Fn() -> Vec<u32> + Send + Sync + 'static,
        probe: Probe,
        within: Duration,
    ) -> Result<Endpoint, NotReady> {
        let [unix, tcp] = self.endpoints(Arc::new(processes));
        let over = |endpoint: &Endpoint| probe.clone().over(endpoint);
        let last = Last::default();
        let runs = std::future::ready(());
        let (endpoint, _) = ready::first([unix, tcp], over, runs, within, &last).await?;
        self.let_go();
        Ok(endpoint)
    }

    /// The same by the `Ping` of a typed client, which comes with the endpoint; the reasons why not yet can be looked at.
    /// May be called before the process runs: its requests wait in the socket. `runs` comes when it does.
    pub(crate) async fn settle_noting<C: PluginClient>(
        &self,
        processes: impl Fn() -> Vec<u32> + Send + Sync + 'static,
        runs: impl Future<Output = ()>,
        within: Duration,
        last: &Last,
    ) -> Result<(Endpoint, C), NotReady> {
        let [unix, tcp] = self.endpoints(Arc::new(processes));
        let settled = ready::first([unix, tcp], C::over, runs, within, last).await?;
        self.let_go();
        Ok(settled)
    }

    /// The two places where it may come to serve.
    fn endpoints(&self, processes: Processes) -> [Option<Endpoint>; 2] {
        let socket = self.socket.try_clone().ok().map(Connector::Unix);
        let port = Connector::Tcp {
            port: self.port,
            processes,
        };
        [
            socket.map(|connector| self.endpoint(connector, "http://localhost", None)),
            Some(self.endpoint(port, &self.bind(), Some(self.port))),
        ]
    }

    fn endpoint(&self, connector: Connector, uri: &str, port: Option<u16>) -> Endpoint {
        let uri: Uri = uri.parse().expect("a host and a port");
        let token = HeaderValue::from_str(&self.token).expect("hexadecimal");
        let channel = Channel::new(Config {
            connector: Arc::new(connector),
            authority: uri.authority().cloned().expect("it has one"),
            token,
            keep_alive: self.settings.keep_alive,
            default_timeout: self.settings.default_timeout,
            max_message_size: self.settings.max_message_size,
        });
        Endpoint::new(uri, port, channel, self.settings.clone())
    }

    /// The port is the program's now.
    fn let_go(&self) {
        drop(lock(&self.held).take());
    }
}

impl fmt::Debug for Offer {
    /// The token is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A file system in memory, on nearly every Linux.
const MEMORY: &str = "/dev/shm";

/// A port that is bound and does not listen. The kernel gives it to nobody who does not ask for this very one.
fn hold() -> io::Result<(OwnedFd, u16)> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    let any = std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    rustix::net::bind(&socket, &any)?;
    let bound = std::net::SocketAddrV4::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

/// A Unix socket that listens and has no name any more, and what it can be connected to by.
fn nameless() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut private = tempfile::Builder::new();
    private
        .prefix("jackfield-")
        .permissions(std::fs::Permissions::from_mode(0o700));
    // Gone again in a moment, so rather not on a disk: ext4 looks for an inode that was not in use of late, and after
    // many spawns that takes as long as the start of a small program.
    let folder = private.tempdir_in(MEMORY).or_else(|_| private.tempdir())?;
    let folder_fd = open(
        folder.path(),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // By way of its descriptor: the path of a socket has 107 bytes at most.
    let path = format!("/proc/self/fd/{}/s", folder_fd.as_raw_fd());
    let listener = UnixListener::bind(&path)?;
    let socket = open(
        &path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // What is in it is known.
    unlinkat(&folder_fd, "s", AtFlags::empty())?;
    std::fs::remove_dir(folder.keep())?;
    Ok((listener.into(), socket))
}

fn lock<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_held_port_is_given_to_nobody_and_may_be_listened_on() {
        let (held, port) = hold().unwrap();
        for _ in 0..100 {
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            assert_ne!(other.local_addr().unwrap().port(), port);
        }
        // As std does it, with SO_REUSEADDR.
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        drop((held, listener));
    }

    #[test]
    fn a_nameless_socket_is_connected_to_by_its_descriptor_until_its_listener_is_gone() {
        let (listener, socket) = nameless().unwrap();
        let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let listener = UnixListener::from(listener);
        let stream = UnixStream::connect(&path).unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        drop((listener, stream));
        let refused = UnixStream::connect(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn no_secret_is_shown() {
        let offer = Offer::new().unwrap();
        assert_eq!(offer.token.len(), 64);
        assert!(!format!("{offer:?}").contains(&offer.token));
        let command = offer.apply(Command::new("x"));
        assert!(!format!("{command:?}").contains(&offer.token));
    }
}
