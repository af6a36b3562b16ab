//! What the tests of this crate share.
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jackfield_rpc::{
    Call, DialOptions, Duplex, DuplexReceiver, DuplexSender, Heartbeat, Limits, LocalSocket,
    Methods, Options, Peer, RawJson, Received, WebSocket, dial, memory, open,
};
use jackfield_wire::{Client, CloseCause, Fault, Method};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::task::TaskTracker;

/// Answers with its parameters.
pub(crate) struct Echo;
impl Method for Echo {
    const NAME: &'static str = "echo";
    type Params = Value;
    type Output = Value;
}

/// Wants a number and answers with twice that.
pub(crate) struct Double;
impl Method for Double {
    const NAME: &'static str = "double";
    type Params = DoubleParams;
    type Output = u64;
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct DoubleParams {
    pub(crate) number: u64,
}

pub(crate) fn raw(value: &impl serde::Serialize) -> RawJson {
    RawJson::of(value).unwrap()
}

/// `echo`, `double`, `hang` (never answers), `panic`, `refuse`.
pub(crate) fn methods() -> Methods<()> {
    Methods::new()
        .method::<Echo, _, _>(async |_call, params| Ok(params))
        .method::<Double, _, _>(async |_call, params| Ok(params.number * 2))
        .raw("hang", async |call: Call<()>, _params| {
            call.cancelled().cancelled().await;
            std::future::pending().await
        })
        .raw("panic", async |_call, _params| panic!("on purpose"))
        .raw("refuse", async |_call, _params| {
            Err(Fault::server("not today"))
        })
}

pub(crate) fn v1() -> Options {
    Options {
        client: Client {
            speaks_v1: true,
            ..Client::default()
        },
        ..Options::default()
    }
}

/// No heartbeat, so that paused clocks do not run ahead to it.
pub(crate) fn quiet() -> Options {
    Options {
        heartbeat: None,
        ..Options::default()
    }
}

pub(crate) fn beating() -> Options {
    Options {
        heartbeat: Some(Heartbeat::default()),
        ..Options::default()
    }
}

pub(crate) fn small(limits: Limits) -> Options {
    Options {
        limits,
        ..Options::default()
    }
}

/// Two peers and what runs them.
pub(crate) struct Pair {
    pub(crate) one: Peer,
    pub(crate) two: Peer,
    pub(crate) cut: memory::Cut,
    pub(crate) tasks: TaskTracker,
}

pub(crate) fn peers(one: Methods<()>, two: Methods<()>, options: &Options) -> Pair {
    peers_on(&TaskTracker::new(), one, two, options)
}

pub(crate) fn peers_on(
    tasks: &TaskTracker,
    one: Methods<()>,
    two: Methods<()>,
    options: &Options,
) -> Pair {
    let (first, second, cut) = memory::pair();
    Pair {
        one: open(first, Arc::new(one), (), options.clone(), tasks),
        two: open(second, Arc::new(two), (), options.clone(), tasks),
        cut,
        tasks: tasks.clone(),
    }
}

/// Opens one end only; the test plays the other.
pub(crate) fn open_with(
    duplex: impl Duplex,
    methods: Methods<()>,
    options: Options,
) -> (Peer, TaskTracker) {
    let tasks = TaskTracker::new();
    let peer = open(duplex, Arc::new(methods), (), options, &tasks);
    (peer, tasks)
}

/// A peer of the kind under test, and the bare other end.
pub(crate) struct Bare {
    pub(crate) peer: Peer,
    pub(crate) tasks: TaskTracker,
    pub(crate) sender: memory::MemorySender,
    pub(crate) receiver: memory::MemoryReceiver,
}

impl Bare {
    pub(crate) fn new(methods: Methods<()>, options: Options) -> Self {
        let (first, second, _cut) = memory::pair();
        let (peer, tasks) = open_with(first, methods, options);
        let (sender, receiver) = second.split();
        Self {
            peer,
            tasks,
            sender,
            receiver,
        }
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.sender.send(frame.to_string().into()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.hear_text().await).unwrap()
    }

    pub(crate) async fn hear_text(&mut self) -> String {
        loop {
            if let Received::Text(text) = soon(self.receiver.recv()).await.unwrap() {
                return text.to_string();
            }
        }
    }

    pub(crate) async fn end(mut self) {
        self.peer.close(CloseCause::closed());
        loop {
            match soon(self.receiver.recv()).await {
                Ok(Received::Text(text)) => panic!("{text}"),
                Ok(Received::Alive) => {}
                Err(cause) => {
                    assert_eq!(cause, CloseCause::closed());
                    break;
                }
            }
        }
        drop((self.sender, self.receiver));
        all_gone(&self.tasks).await;
    }
}

/// All tasks are gone, soon.
pub(crate) async fn all_gone(tasks: &TaskTracker) {
    tasks.close();
    let gone = timeout(Duration::from_secs(20), tasks.wait()).await;
    assert!(gone.is_ok(), "{} tasks are left", tasks.len());
}

/// `future`, which must not take long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("took too long")
}

pub(crate) type RawClient = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A WebSocket client that knows nothing of JSON-RPC, and our peer at the server's end.
pub(crate) async fn raw_client(
    methods: Methods<()>,
    options: Options,
) -> (RawClient, Peer, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/rpc", listener.local_addr().unwrap());
    let limits = options.limits;
    let (client, server) = tokio::join!(tokio_tungstenite::connect_async(&url), async {
        let (stream, _) = listener.accept().await.unwrap();
        let config = jackfield_rpc::websocket_config(&limits);
        tokio_tungstenite::accept_async_with_config(stream, Some(config))
            .await
            .unwrap()
    });
    let server = WebSocket::server_with(server.into_inner(), &limits).await;
    let (peer, tasks) = open_with(server, methods, options);
    (client.unwrap().0, peer, tasks)
}

/// What two peers can be connected by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    WebSocket,
    Local,
}

/// Two peers over a real socket.
pub(crate) async fn over(
    what: Over,
    one: (Methods<()>, Options),
    two: (Methods<()>, Options),
) -> (Peer, Peer, TaskTracker) {
    if let Over::WebSocket = what {
        return over_tcp(one, two).await;
    }
    let tasks = TaskTracker::new();
    let (first, second) = UnixStream::pair().unwrap();
    let [one, two] = [(first, one), (second, two)].map(|(stream, (methods, options))| {
        let (read, write) = stream.into_split();
        let socket = LocalSocket::new(read, write, &options.limits);
        open(socket, Arc::new(methods), (), options, &tasks)
    });
    (one, two, tasks)
}

/// Two peers over real TCP.
pub(crate) async fn over_tcp(
    client: (Methods<()>, Options),
    server: (Methods<()>, Options),
) -> (Peer, Peer, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    over_listener(listener, client, server).await
}

pub(crate) async fn over_listener(
    listener: TcpListener,
    client: (Methods<()>, Options),
    server: (Methods<()>, Options),
) -> (Peer, Peer, TaskTracker) {
    let url = format!("ws://{}/rpc", listener.local_addr().unwrap());
    let options = DialOptions {
        limits: client.1.limits,
        ..DialOptions::default()
    };
    let limits = server.1.limits;
    let (dialled, accepted) = tokio::join!(dial(&url, &options), async {
        let (stream, _) = listener.accept().await.unwrap();
        let config = jackfield_rpc::websocket_config(&limits);
        tokio_tungstenite::accept_async_with_config(stream, Some(config))
            .await
            .unwrap()
    });
    let tasks = TaskTracker::new();
    let client = open(dialled.unwrap().0, Arc::new(client.0), (), client.1, &tasks);
    let server = open(
        WebSocket::server_with(accepted.into_inner(), &limits).await,
        Arc::new(server.0),
        (),
        server.1,
        &tasks,
    );
    (client, server, tasks)
}

pub(crate) async fn say(client: &mut RawClient, text: impl Into<String>) {
    let text: String = text.into();
    client.send(Message::text(text)).await.unwrap();
}

/// The next text frame.
pub(crate) async fn hear(client: &mut RawClient) -> String {
    soon(async {
        loop {
            match client.next().await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?} instead of text"),
            }
        }
    })
    .await
}

/// The close frame, whatever comes before.
pub(crate) async fn hear_close(client: &mut RawClient) -> (u16, String) {
    soon(async {
        loop {
            match client.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?} instead of a close frame"),
            }
        }
    })
    .await
}

/// Calls `echo`.
pub(crate) async fn echo(peer: &Peer, value: Value) -> Result<Value, jackfield_rpc::CallError> {
    peer.call::<Echo>(&value).await
}
