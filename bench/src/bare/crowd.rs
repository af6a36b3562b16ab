//! Many connections at one bare accept loop, and the program that makes them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use crate::bare::ws::config;
use crate::crowd::Crowd;
use crate::payload;
use crate::protocol::{Answer, Driven, Failure, Load, nanos};
use crate::usage;

type Ws = WebSocketStream<TcpStream>;

/// Many WebSockets that were accepted, and one task each that reads.
pub struct BareCrowd {
    to: Vec<mpsc::Sender<Utf8Bytes>>,
    acks: Arc<Acks>,
    empty_kib: f64,
    connections: usize,
    _readers: JoinSet<()>,
    _crowd: Crowd,
}

#[derive(Debug, Default)]
struct Acks {
    count: AtomicU64,
    rung: Notify,
}

impl BareCrowd {
    /// Lets that many in.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn start(peer: &Path, connections: usize) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/", listener.local_addr()?);
        let empty_kib = usage::of_self().get("rss_kib").copied().unwrap_or(f64::NAN);
        let mut crowd = Crowd::start(peer).await?;
        let urls = vec![url; connections];
        let acks = Arc::new(Acks::default());
        let mut readers = JoinSet::new();
        let mut to = Vec::with_capacity(connections);
        let accept = async {
            for _ in 0..connections {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let (socket, acks) = (stream, Arc::clone(&acks));
                let (sender, queue) = mpsc::channel(16);
                to.push(sender);
                readers.spawn(async move {
                    if let Ok(socket) = accept_async_with_config(socket, Some(config())).await {
                        hold(socket, queue, &acks).await;
                    }
                });
            }
            Ok::<_, Failure>(())
        };
        let (accepted, dialed) = tokio::join!(accept, crowd.dial(&urls));
        accepted?;
        dialed?;
        Ok(Self {
            to,
            acks,
            empty_kib,
            connections,
            _readers: readers,
            _crowd: crowd,
        })
    }

    async fn until(&self, acks: u64) {
        while self.acks.count.load(Ordering::SeqCst) < acks {
            let rung = self.acks.rung.notified();
            if self.acks.count.load(Ordering::SeqCst) >= acks {
                return;
            }
            rung.await;
        }
    }
}

/// The least that can be done with a connection: writes what is to be written, counts what comes.
async fn hold(socket: Ws, queue: mpsc::Receiver<Utf8Bytes>, acks: &Acks) {
    let (sink, stream) = socket.split();
    tokio::join!(write(sink, queue), read(stream, acks));
}

async fn write(mut sink: SplitSink<Ws, Message>, mut queue: mpsc::Receiver<Utf8Bytes>) {
    while let Some(text) = queue.recv().await {
        if sink.send(Message::Text(text)).await.is_err() {
            return;
        }
    }
}

async fn read(mut stream: SplitStream<Ws>, acks: &Acks) {
    while let Some(Ok(message)) = stream.next().await {
        if message.is_text() {
            acks.count.fetch_add(1, Ordering::SeqCst);
            acks.rung.notify_waiters();
        }
    }
}

impl Driven for BareCrowd {
    /// The same bytes to all.
    async fn time(&self) -> Result<Answer, Failure> {
        let text = Utf8Bytes::from(crate::crowd::request("1", &payload::json(200)));
        let all = self.acks.count.load(Ordering::SeqCst) + self.connections as u64;
        let began = Instant::now();
        for to in &self.to {
            to.send(text.clone()).await?;
        }
        self.until(all).await;
        Ok(Answer {
            each_ns: vec![nanos(began)],
            ..Answer::default()
        })
    }

    async fn load(&self, load: Load) -> Result<Answer, Failure> {
        let text = Utf8Bytes::from(crate::crowd::request("1", &payload::json(load.bytes)));
        let acks = self.acks.count.load(Ordering::SeqCst);
        let before = usage::of_self();
        let mut turns = self.to.iter().cycle();
        let mut ticks = interval(crate::crowd::TICK);
        for round in crate::crowd::rounds(load) {
            ticks.tick().await;
            for to in turns.by_ref().take(round) {
                to.send(text.clone()).await?;
            }
        }
        self.until(acks + load.count).await;
        Ok(crate::crowd::cost(&before, load.count))
    }

    async fn look(&self) -> Result<Answer, Failure> {
        Ok(crate::crowd::look(self.empty_kib, self.connections))
    }
}

impl std::fmt::Debug for BareCrowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareCrowd").finish_non_exhaustive()
    }
}
