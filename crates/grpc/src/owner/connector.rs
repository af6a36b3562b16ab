//! Making one connection.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_blocking;

use super::{holders, listeners};
use crate::channel::ChannelError;

/// The child's processes, now.
pub(crate) type Processes = Arc<dyn Fn() -> Vec<u32> + Send + Sync>;

/// Where to connect to.
pub(crate) enum Connector {
    /// The file of a socket that has no name any more, opened as a path only.
    Unix(OwnedFd),
    /// Whoever listens there, if it is one of these.
    Tcp { port: u16, processes: Processes },
}

/// An open connection.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connector {
    /// Connects. Cancel safe.
    pub(crate) async fn connect(&self) -> Result<Stream, ChannelError> {
        match self {
            Self::Unix(file) => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                let stream = UnixStream::connect(path).await;
                stream.map(Stream::Unix).map_err(refused)
            }
            Self::Tcp { port, processes } => {
                let before = prove(*port, processes).await?;
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))
                    .await
                    .map_err(refused)?;
                // The same sockets still: what was proven of them holds.
                if before != listening(*port).await? {
                    // Whoever took the connection may be gone; the next attempt will tell.
                    return Err(ChannelError::NotListening { port: *port });
                }
                stream.set_nodelay(true).map_err(refused)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

/// The sockets that a connection to the port can reach, when all of them are the child's.
async fn prove(port: u16, processes: &Processes) -> Result<Vec<u64>, ChannelError> {
    let sockets = listening(port).await?;
    let pids = processes();
    // Nearly always the program itself, which is the first: not worth another thread.
    let program = pids.get(..1).unwrap_or_default();
    if holders::hold_all(program, &sockets) == holders::Held::All {
        return Ok(sockets);
    }
    let (sockets, held) = spawn_blocking(move || {
        let held = holders::hold_all(&pids, &sockets);
        (sockets, held)
    })
    .await
    .map_err(|_| ChannelError::Closed)?;
    match held {
        holders::Held::All => Ok(sockets),
        holders::Held::NotAll { unseen } => Err(ChannelError::Stranger { port, unseen }),
    }
}

/// The sockets that a connection to the port can reach; an error where there are none.
async fn listening(port: u16) -> Result<Vec<u64>, ChannelError> {
    let unproven = |source| ChannelError::Unproven {
        port,
        source: Arc::new(source),
    };
    let sockets = match listeners::quick(port) {
        Ok(sockets) => sockets,
        // The long way takes milliseconds: only when it is known that somebody listens.
        Err(_) => {
            let knock = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            match knock {
                Ok(_open) => spawn_blocking(move || listeners::thorough(port))
                    .await
                    .map_err(|_| ChannelError::Closed)?
                    .map_err(unproven)?,
                Err(_) => Vec::new(),
            }
        }
    };
    if sockets.is_empty() {
        return Err(ChannelError::NotListening { port });
    }
    Ok(sockets)
}

fn refused(error: io::Error) -> ChannelError {
    ChannelError::Connect(Arc::new(error))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
