//! Fork, exec, connect, one answer: of the same executables that Jackfield spawns, with nothing watched, nothing proven
//! and no pause between attempts.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf as _, BytesMut};
use connectrpc::Protocol;
use connectrpc::client::{ClientConfig, Http2Connection};
use futures_util::{SinkExt as _, StreamExt as _};
use jackfield::wire::env;
use kv::{KvServiceClient, PingRequest};
use rustix::net::SocketAddrUnix;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;

use crate::bare::ws;
use crate::payload;
use crate::protocol::{Driven, Failure, nanos};

/// How the plugin is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It dials a WebSocket.
    Ws,
    /// It has one end of a pair of Unix sockets.
    Local,
    /// It serves gRPC where `FTL_BIND` says.
    Grpc,
}

/// Spawns with nothing around it.
#[derive(Debug)]
pub struct BareSpawn {
    kind: Kind,
    program: PathBuf,
}

static NAMES: AtomicU64 = AtomicU64::new(0);

/// Ends the program however its measuring ended.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl BareSpawn {
    /// Spawns of this program.
    #[must_use]
    pub fn new(kind: Kind, program: &Path) -> Self {
        Self {
            kind,
            program: program.to_owned(),
        }
    }

    fn run(&self, change: impl FnOnce(&mut Command)) -> Result<Ends, Failure> {
        let mut command = Command::new(&self.program);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        change(&mut command);
        Ok(Ends(command.spawn()?))
    }
}

impl Driven for BareSpawn {
    async fn spawn(&self) -> Result<u64, Failure> {
        let began = Instant::now();
        let _child = match self.kind {
            Kind::Ws => {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                let url = format!("ws://{}/rpc?token=x", listener.local_addr()?);
                let child = self.run(|command| {
                    command.arg("--dial").env(env::RPC_URL, &url);
                })?;
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let mut socket = accept_async_with_config(stream, Some(ws::config())).await?;
                socket.send(Message::text(request())).await?;
                while !is_answer(socket.next().await.ok_or("it hung up")??.to_text()?) {}
                child
            }
            Kind::Local => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                // By this the plugin knows that it is a host's.
                let name = format!(
                    "{}bench-{}",
                    env::RPC_PEER,
                    NAMES.fetch_add(1, Ordering::Relaxed) ^ (u64::from(std::process::id()) << 32)
                );
                let name = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
                rustix::net::bind(&ours, &name)?;
                let child = self.run(|command| {
                    command
                        .stdin(Stdio::from(OwnedFd::from(theirs)))
                        .env(env::RPC_FD, "0");
                })?;
                ours.set_nonblocking(true)?;
                answered(UnixStream::from_std(ours)?).await?;
                child
            }
            Kind::Grpc => {
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
                let child = self.run(|command| {
                    command.env("FTL_BIND", format!("http://{address}"));
                })?;
                pinged(address).await?;
                child
            }
        };
        Ok(nanos(began))
    }
}

fn request() -> String {
    let params = payload::json(200);
    format!(r#"{{"id":"1","jsonrpc":"2.0","method":"echo","params":{params}}}"#)
}

/// Other things may be said first.
fn is_answer(text: &str) -> bool {
    text.contains("\"result\"")
}

/// The plugin says something first; then it is asked.
async fn answered(mut socket: UnixStream) -> Result<(), Failure> {
    let request = request();
    let mut frame = u32::try_from(request.len())?.to_be_bytes().to_vec();
    frame.extend(request.as_bytes());
    let mut frame = Some(frame);
    let mut read = BytesMut::new();
    loop {
        while let Some(head) = read.first_chunk::<4>() {
            let size = u32::from_be_bytes(*head) as usize;
            if read.len() < 4 + size {
                break;
            }
            read.advance(4);
            if is_answer(std::str::from_utf8(&read.split_to(size))?) {
                return Ok(());
            }
            if let Some(frame) = frame.take() {
                socket.write_all(&frame).await?;
            }
        }
        if socket.read_buf(&mut read).await? == 0 {
            return Err("it hung up".into());
        }
    }
}

async fn pinged(address: SocketAddr) -> Result<(), Failure> {
    while tokio::net::TcpStream::connect(address).await.is_err() {}
    let uri: http::Uri = format!("http://{address}").parse()?;
    let connection = Http2Connection::connect_plaintext(uri.clone()).await?;
    let config = ClientConfig::new(uri).with_protocol(Protocol::Grpc);
    let client = KvServiceClient::new(connection.shared(16), config);
    while client
        .ping(PingRequest::default())
        .await?
        .into_owned()
        .not_ready
        .is_some()
    {}
    Ok(())
}
