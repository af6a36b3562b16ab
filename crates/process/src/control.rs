//! The host's ends of what leads to the init: its socket, and the pipe that tells of the `execve`.

use std::io;
use std::os::fd::AsFd as _;

use rustix::net::{SendFlags, send};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::linux::{Failure, Message, Report};

/// The init's socket. Its end means to the init that the host is gone.
pub(crate) struct Control {
    socket: UnixStream,
    /// The beginning of a report.
    held: Vec<u8>,
}

/// The pipe that ends when the program has been executed.
pub(crate) struct Launch(pipe::Receiver);

impl Control {
    pub(crate) fn new(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            held: Vec::new(),
        })
    }

    /// The next report; `None` when the init is gone. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        loop {
            if let Some((report, _)) = self.held.split_first_chunk() {
                let report = Report::parse(*report);
                self.held.drain(..Report::SIZE);
                // Nobody but the init has the other end: no report means that it is not itself any more.
                return report;
            }
            self.socket.readable().await.ok()?;
            let mut bytes = [0; 64];
            match self.socket.try_read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return None,
                Ok(count) => self.held.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// Never blocks: the init reads at once; if it cannot, it is dead or stopped, and the time limits see to that.
    pub(crate) fn tell(&self, message: Message) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = send(&self.socket, &[message.byte()], flags);
    }
}

impl Launch {
    pub(crate) fn new(failure: std::os::fd::OwnedFd) -> io::Result<Self> {
        pipe::Receiver::from_owned_fd(failure).map(Self)
    }

    /// Waits until the program has been executed, or has said why not. Cancel safe: all comes in one piece.
    pub(crate) async fn done(&self) -> Option<Failure> {
        loop {
            self.0.readable().await.ok()?;
            let mut bytes = [0; 16];
            match self.0.try_read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Failure::parse(&bytes[..result.ok()?]),
            }
        }
    }

    /// The same when nobody can write any more, without asking tokio whether there is anything to read.
    pub(crate) fn last_word(&self) -> Option<Failure> {
        let mut bytes = [0; 16];
        let count = rustix::io::read(self.0.as_fd(), &mut bytes).ok()?;
        Failure::parse(&bytes[..count])
    }
}
