//! The socket that a host hands to a plugin which it starts on its own machine.

use std::io;

#[cfg(target_os = "linux")]
use jackfield_rpc::Duplex;
use jackfield_rpc::Limits;

/// A socket that is connected to the host: the first line need not be dialled.
#[derive(Debug)]
pub(crate) struct Shortcut {
    #[cfg(target_os = "linux")]
    socket: std::os::unix::net::UnixStream,
    #[cfg(not(target_os = "linux"))]
    none: std::convert::Infallible,
}

impl Shortcut {
    /// The socket that `JACKFIELD_RPC_FD` names, if that is one that a host handed to this plugin,
    /// and nobody has taken it yet. Anything else under that number is left alone: the variable is
    /// inherited by programs that have something else there, or nothing.
    #[cfg(target_os = "linux")]
    pub(crate) fn take() -> Option<Self> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::UnixStream;

        use jackfield_wire::env;
        use rustix::fs::{OFlags, fcntl_getfl};
        use rustix::io::Errno;
        use rustix::net::{AddressFamily, RecvFlags, SocketType, recv, sockopt};

        let number = crate::inherited::number(env::RPC_FD)?;
        let socket = crate::inherited::copy(number)?;
        if sockopt::socket_domain(&socket) != Ok(AddressFamily::UNIX)
            || sockopt::socket_type(&socket) != Ok(SocketType::STREAM)
        {
            return None;
        }
        // Shared by all that have the socket: whoever takes it has it not block.
        let taken = fcntl_getfl(&socket).ok()?.contains(OFlags::NONBLOCK);
        // Nothing is said before the plugin has spoken, and the host is still there.
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let silent = matches!(recv(&socket, &mut [0; 1], peek), Err(Errno::AGAIN));
        let socket = UnixStream::from(socket);
        let peer = socket.peer_addr().ok()?;
        let from_host = peer
            .as_abstract_name()
            .is_some_and(|name| name.starts_with(env::RPC_PEER.as_bytes()));
        if taken || !silent || !from_host || socket.set_nonblocking(true).is_err() {
            return None;
        }
        // It was handed down for this purpose alone, which is fulfilled. Programs that the plugin
        // starts have no business with it.
        let _ = nix::unistd::close(number);
        Some(Self { socket })
    }

    /// There is none on other systems.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn take() -> Option<Self> {
        None
    }

    /// The duplex; inside a runtime.
    #[cfg(target_os = "linux")]
    pub(crate) fn open(self, limits: &Limits) -> io::Result<impl Duplex> {
        let socket = tokio::net::UnixStream::from_std(self.socket)?;
        let (read, write) = socket.into_split();
        Ok(jackfield_rpc::LocalSocket::new(read, write, limits))
    }

    /// There is none to open.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open(self, _limits: &Limits) -> io::Result<jackfield_rpc::memory::MemoryDuplex> {
        match self.none {}
    }
}
