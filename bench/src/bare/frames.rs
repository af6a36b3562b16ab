//! Bare frames on a Unix socket: four bytes of length, then the message.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::window::EchoPipe;
use super::{Pipe, window, windowed};
use crate::payload;
use crate::protocol::{Answer, Calls, Driven, Failure};

const BUFFER: usize = 16 << 10;

/// The side that calls.
#[derive(Debug)]
pub struct BareFrames {
    socket: Mutex<Option<Socket>>,
    _peer: Child,
}

#[derive(Debug)]
struct Socket {
    stream: UnixStream,
    read: BytesMut,
    write: BytesMut,
}

impl BareFrames {
    /// Starts the program that echoes, with one end of a pair as its standard input.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(peer: &Path) -> Result<Self, Failure> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let peer = Command::new(peer)
            .arg("frames")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            socket: Mutex::new(Some(Socket::over(ours)?)),
            _peer: peer,
        })
    }
}

impl Driven for BareFrames {
    async fn calls(self: Arc<Self>, calls: Calls) -> Result<Answer, Failure> {
        let lock = || self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = lock().take();
        let mut socket = socket.ok_or("the connection was lost")?;
        let answer = windowed(&mut socket, calls, &payload::json(calls.bytes)).await?;
        *lock() = Some(socket);
        Ok(answer)
    }
}

/// Echoes on the standard input, which is a socket, until the other side hangs up.
///
/// # Errors
/// When it is no socket.
pub async fn echo() -> Result<(), Failure> {
    let input = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    let mut socket = Socket::over(std::os::unix::net::UnixStream::from(input))?;
    window::echo(&mut socket).await
}

impl Socket {
    fn over(stream: std::os::unix::net::UnixStream) -> Result<Self, Failure> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            read: BytesMut::with_capacity(BUFFER),
            write: BytesMut::with_capacity(BUFFER),
        })
    }

    fn whole(&mut self) -> Option<Bytes> {
        let head = self.read.first_chunk::<4>()?;
        let size = u32::from_be_bytes(*head) as usize;
        if self.read.len() < 4 + size {
            self.read.reserve(4 + size - self.read.len());
            return None;
        }
        self.read.advance(4);
        Some(self.read.split_to(size).freeze())
    }

    fn push(&mut self, message: &[u8]) {
        self.write
            .put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        self.write.extend_from_slice(message);
    }
}

impl Pipe for Socket {
    async fn put(&mut self, message: &str) -> Result<(), Failure> {
        self.push(message.as_bytes());
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.write).await?;
        self.write.clear();
        Ok(())
    }

    async fn take(&mut self) -> Result<usize, Failure> {
        let message = self.next().await?;
        Ok(message.ok_or("it hung up")?.len())
    }

    fn take_now(&mut self) -> Result<Option<usize>, Failure> {
        Ok(self.next_now()?.map(|message| message.len()))
    }
}

impl EchoPipe for Socket {
    type Message = Bytes;

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(message) = self.whole() {
                return Ok(Some(message));
            }
            self.read.reserve(BUFFER);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn next_now(&mut self) -> Result<Option<Bytes>, Failure> {
        self.next().now_or_never().transpose().map(Option::flatten)
    }

    async fn give(&mut self, message: Bytes) -> Result<(), Failure> {
        self.push(&message);
        Ok(())
    }
}
