//! Where a plugin listens: on a socket it inherited, or where it was told.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use http::Uri;
use jackfield_wire::grpc;
use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::inherited;

/// Host and port to listen on.
#[derive(Debug, Clone)]
pub(crate) struct Bind(String);

/// What connections are accepted on.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// One of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

impl Bind {
    /// Reads `http://host:port` or `host:port`. Which scheme it has does not matter.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("not a URL such as http://127.0.0.1:8080: {error}"))?;
        match uri.authority() {
            Some(authority) if authority.port_u16().is_some() => {
                Ok(Self(authority.as_str().to_owned()))
            }
            Some(_) => Err("it names no port".to_owned()),
            None => Err("not a URL such as http://127.0.0.1:8080".to_owned()),
        }
    }

    /// Listens there, beside what still lingers from a program that has ended.
    pub(crate) async fn listen(&self) -> io::Result<Listener> {
        let listener = TcpListener::bind(self.0.as_str()).await?;
        Ok(Listener::Tcp(listener))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_) => f.write_str("the inherited socket"),
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "http://{address}"),
                Err(_) => f.write_str("an unknown address"),
            },
        }
    }
}

/// The listening socket that the host handed down, if that is what stands under the number it said.
///
/// Anything else under that number is left alone: whoever started us did not mean us.
pub(crate) fn inherited() -> Option<OwnedFd> {
    let socket = inherited::copy(inherited::number(grpc::LISTEN_FD)?)?;
    let listens = sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(&socket) == Ok(true);
    listens.then_some(socket)
}

impl Listener {
    /// Takes the socket over; inside the runtime.
    pub(crate) fn over(socket: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?))
    }

    /// The next connection. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }

    /// From here on, connecting is refused. Closing is not enough where the number that was inherited still stands
    /// for the same socket.
    pub(crate) fn close(self) {
        if let Self::Unix(listener) = &self
            && let Err(error) = rustix::net::shutdown(listener, rustix::net::Shutdown::Both)
        {
            tracing::debug!(%error, "The inherited socket cannot be shut down");
        }
    }
}
