//! The bare WebSocket library at both ends: one accepts, one dials and echoes.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use super::window::EchoPipe;
use super::{Pipe, window, windowed};
use crate::payload;
use crate::protocol::{Answer, Calls, Driven, Failure};

/// The WebSocket of the side that calls.
pub struct BareWs {
    socket: Mutex<Option<Socket>>,
    _peer: Child,
}

struct Socket(WebSocketStream<TcpStream>);

/// As Jackfield sets it up, but for the bound of what waits to be written.
#[must_use]
pub fn config() -> WebSocketConfig {
    jackfield::rpc::websocket_config(&jackfield::rpc::Limits::default())
        .max_write_buffer_size(usize::MAX)
}

impl BareWs {
    /// Listens, starts the program that echoes, and lets it in.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn start(peer: &Path) -> Result<Self, Failure> {
        let (socket, peer) = connected(peer).await?;
        Ok(Self {
            socket: Mutex::new(Some(Socket(socket))),
            _peer: peer,
        })
    }
}

/// Listens, starts the program that echoes, and lets it in.
pub(super) async fn connected(peer: &Path) -> Result<(WebSocketStream<TcpStream>, Child), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let peer = Command::new(peer)
        .args(["ws", &listener.local_addr()?.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let socket = accept_async_with_config(stream, Some(config())).await?;
    Ok((socket, peer))
}

impl Driven for BareWs {
    async fn calls(self: Arc<Self>, calls: Calls) -> Result<Answer, Failure> {
        let lock = || self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = lock().take();
        let mut socket = socket.ok_or("the connection was lost")?;
        let answer = windowed(&mut socket, calls, &payload::json(calls.bytes)).await?;
        *lock() = Some(socket);
        Ok(answer)
    }
}

/// Dials and echoes, until the other side hangs up.
///
/// # Errors
/// When nobody is there.
pub async fn echo(address: &str) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{address}/");
    let (socket, _) = client_async_with_config(url, stream, Some(config())).await?;
    window::echo(&mut Socket(socket)).await
}

impl Pipe for Socket {
    async fn put(&mut self, message: &str) -> Result<(), Failure> {
        Ok(self.0.feed(Message::text(message)).await?)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.0.flush().await?)
    }

    async fn take(&mut self) -> Result<usize, Failure> {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Ok(text.len()),
            other => Err(format!("not an echo: {other:?}").into()),
        }
    }

    fn take_now(&mut self) -> Result<Option<usize>, Failure> {
        match self.0.next().now_or_never() {
            None => Ok(None),
            Some(Some(Ok(Message::Text(text)))) => Ok(Some(text.len())),
            Some(other) => Err(format!("not an echo: {other:?}").into()),
        }
    }
}

impl EchoPipe for Socket {
    type Message = Message;

    async fn next(&mut self) -> Result<Option<Message>, Failure> {
        match self.0.next().await {
            Some(Ok(message)) if message.is_text() => Ok(Some(message)),
            _ => Ok(None),
        }
    }

    fn next_now(&mut self) -> Result<Option<Message>, Failure> {
        Ok(match self.0.next().now_or_never() {
            Some(Some(Ok(message))) if message.is_text() => Some(message),
            _ => None,
        })
    }

    async fn give(&mut self, message: Message) -> Result<(), Failure> {
        Ok(self.0.feed(message).await?)
    }
}

impl std::fmt::Debug for BareWs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareWs").finish_non_exhaustive()
    }
}
