//! A plugin that does as it is ordered: a process of its own in a package, or in the test's own hand.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::rig::PATIENCE;

/// What a plugin does. In a package they are the file `orders.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Orders {
    /// Written to standard output before anything else.
    pub(crate) say: Vec<String>,
    /// Ends with this code instead of dialing.
    pub(crate) exit: Option<i32>,
    /// Ends with this code as soon as it is connected.
    pub(crate) exit_connected: Option<i32>,
    /// Runs, and never dials.
    pub(crate) never_dial: bool,
    /// Ends with this code instead of dialing, in every life but the first.
    pub(crate) exit_in_second_life: Option<i32>,
    /// Waits so long before it dials.
    pub(crate) dial_after_ms: u64,
    /// Does not answer `ping`.
    pub(crate) no_ping: bool,
    /// Ends with this code at an event, before it answers.
    pub(crate) exit_on_event: Option<i32>,
    /// The same, in its first life only.
    pub(crate) exit_on_first_event: Option<i32>,
    /// Takes every event, whatever it is called.
    pub(crate) take_all: bool,
    /// Answers `ok: false` to every configuration.
    pub(crate) refuse_configuration: bool,
    /// Does not answer configurations.
    pub(crate) silent_configuration: bool,
    /// Asks for its access while it is being configured, and waits for the answer.
    pub(crate) access_in_configure: bool,
    /// Ignores the interrupt.
    pub(crate) deaf: bool,
    /// What `version` answers.
    pub(crate) version: String,
    /// Written with the SDK instead of by hand; knows `hello` and events, and nothing of the above.
    pub(crate) sdk: bool,
}

/// A plugin on an open line, in the test's own process. Dropped, it cuts the line without a word.
///
/// Events whose `id` begins with `bad` are refused, with `mute` not answered.
pub(crate) struct External {
    seen: Seen,
    to_host: mpsc::Sender<ToHost>,
    task: JoinSet<Option<(u16, String)>>,
}

/// What a plugin was told up to now.
#[derive(Clone)]
pub(crate) struct Seen {
    events: watch::Sender<Vec<Value>>,
    configurations: watch::Sender<Vec<Value>>,
}

enum ToHost {
    Call(Value, oneshot::Sender<Value>),
    Close(u16),
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Sink = SplitSink<Socket, Message>;

/// Not a test: what packages run. It is one only where a host says where to dial.
#[test]
fn as_plugin() {
    let Ok(url) = std::env::var("JACKFIELD_RPC_URL") else {
        return;
    };
    let orders = std::fs::read("orders.json").expect("the package has its orders");
    let orders: Orders = serde_json::from_slice(&orders).expect("they are sound");
    for line in &orders.say {
        println!("{line}");
    }
    if let Some(code) = orders.exit {
        exit(code);
    }
    if let Some(code) = orders.exit_in_second_life {
        let marker = state_folder().join("lived");
        if marker.exists() {
            exit(code);
        }
        std::fs::write(marker, "").expect("my state folder");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(life(&url, orders));
    exit(0);
}

async fn life(url: &str, orders: Orders) {
    if orders.deaf {
        use tokio::signal::unix::{SignalKind, signal};
        std::mem::forget(signal(SignalKind::interrupt()).expect("a signal"));
    }
    if orders.never_dial {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(orders.dial_after_ms)).await;
    if orders.sdk {
        with_the_sdk().await;
        return;
    }
    let socket = dial(url).await.expect("the host lets its plugin in");
    if let Some(code) = orders.exit_connected {
        exit(code);
    }
    let (_to_host, from_test) = mpsc::channel(1);
    let deaf = orders.deaf;
    speak(socket, orders, Seen::default(), from_test, true).await;
    if deaf {
        // Nor does it end with its line.
        std::future::pending::<()>().await;
    }
}

/// The same as an author would write it in Rust.
async fn with_the_sdk() {
    use jackfield_plugin::{Call, Host, Method, Plugin};
    struct Hello;
    impl Method for Hello {
        const NAME: &'static str = "hello";
        type Params = Value;
        type Output = Value;
    }
    let plugin = Plugin::from_env()
        .expect("the host says where to dial")
        .on_any_event(
            async |_host: Host, event: jackfield_wire::methods::EventParams| {
                note(&serde_json::to_value(event)?);
                Ok(())
            },
        )
        .method::<Hello, _>(async |call: Call, params: Value| {
            let config: Value = call.host.get_config(&[]).await?;
            Ok(json!({"hello": params["name"], "config": config}))
        });
    plugin.run().await.expect("a line that ends well");
}

pub(crate) async fn dial(url: &str) -> Result<Socket, Error> {
    let request = url.into_client_request()?;
    let config = tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default();
    let dialed = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    let dialed = tokio::time::timeout(PATIENCE, dialed).await;
    dialed.expect("an answer in time").map(|(socket, _)| socket)
}

/// The status with which a dial is refused.
pub(crate) async fn refused(url: &str) -> u16 {
    match dial(url).await {
        Ok(_) => panic!("it was let in"),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

impl External {
    /// Dials, and speaks as a well-behaved plugin.
    pub(crate) async fn dial(url: &str) -> Self {
        Self::with(url, Orders::default()).await
    }

    /// Dials again and again until it is let in, as plugins do whose host is away.
    pub(crate) async fn come_back(url: &str) -> Self {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match dial(url).await {
                Ok(socket) => return Self::on(socket, Orders::default(), Seen::default()),
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Dials, and does as it is ordered.
    pub(crate) async fn with(url: &str, orders: Orders) -> Self {
        match dial(url).await {
            Ok(socket) => Self::on(socket, orders, Seen::default()),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                panic!("not let in: {response:?} {}", String::from_utf8_lossy(body));
            }
            Err(error) => panic!("not let in: {error}"),
        }
    }

    /// Speaks on a line; notes what it is told here.
    pub(crate) fn on(socket: Socket, orders: Orders, seen: Seen) -> Self {
        let (to_host, from_test) = mpsc::channel(16);
        let mut task = JoinSet::new();
        task.spawn(speak(socket, orders, seen.clone(), from_test, false));
        Self {
            seen,
            to_host,
            task,
        }
    }

    /// The events that came, once there are as many.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        self.seen.events(count).await
    }

    pub(crate) fn events_now(&self) -> Vec<Value> {
        self.seen.events_now()
    }

    /// The configurations that came, once there are as many.
    pub(crate) async fn configurations(&self, count: usize) -> Vec<Value> {
        let mut seen = self.seen.configurations.subscribe();
        let came = tokio::time::timeout(PATIENCE, seen.wait_for(|all| all.len() >= count)).await;
        let came = came.unwrap_or_else(|_| panic!("fewer than {count} configurations came"));
        came.unwrap().clone()
    }

    pub(crate) fn configurations_now(&self) -> Vec<Value> {
        self.seen.configurations.borrow().clone()
    }

    /// Calls the host: the whole frame of its answer.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        let mut frame = json!({"method": method});
        if !params.is_null() {
            frame["params"] = params;
        }
        let (tell, told) = oneshot::channel();
        let asked = self.to_host.send(ToHost::Call(frame, tell)).await;
        asked.unwrap_or_else(|_| panic!("{method}: the line is gone"));
        let told = tokio::time::timeout(PATIENCE, told).await;
        let told = told.unwrap_or_else(|_| panic!("{method}: no answer"));
        told.unwrap_or_else(|_| panic!("{method}: the line ended first"))
    }

    /// Its access key, as Node and Go programs are told it.
    pub(crate) async fn access(&self) -> Value {
        self.ask("access_get", Value::Null).await["result"]["result"].clone()
    }

    /// Hangs up, and waits for the end.
    pub(crate) async fn hang_up(self, code: u16) -> Option<(u16, String)> {
        let _ = self.to_host.send(ToHost::Close(code)).await;
        self.end().await
    }

    /// Waits for the end of the line: with which code and reason.
    pub(crate) async fn end(mut self) -> Option<(u16, String)> {
        let end = tokio::time::timeout(PATIENCE, self.task.join_next()).await;
        let end = end.expect("the host ends the line in time");
        end.and_then(Result::ok).flatten()
    }

    /// Whether the line is still open.
    pub(crate) fn is_open(&self) -> bool {
        !self.to_host.is_closed()
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            events: watch::Sender::new(Vec::new()),
            configurations: watch::Sender::new(Vec::new()),
        }
    }
}

impl Seen {
    /// The events that came up to now.
    pub(crate) fn events_now(&self) -> Vec<Value> {
        self.events.borrow().clone()
    }

    /// The events that came, once there are as many.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        let mut seen = self.events.subscribe();
        let came = tokio::time::timeout(PATIENCE, seen.wait_for(|all| all.len() >= count)).await;
        let Ok(came) = came else {
            panic!(
                "fewer than {count} events came: {:#?}",
                *self.events.borrow()
            );
        };
        came.unwrap().clone()
    }
}

/// Speaks until the line ends: how it did.
async fn speak(
    socket: Socket,
    orders: Orders,
    seen: Seen,
    mut from_test: mpsc::Receiver<ToHost>,
    is_process: bool,
) -> Option<(u16, String)> {
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = mpsc::channel::<Message>(256);
    let me = Arc::new(Me {
        orders,
        seen,
        is_process,
        out: out.clone(),
        pending: Mutex::default(),
        attempts: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    let mut end = None;
    loop {
        tokio::select! {
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("the host sends JSON");
                    if frame.get("method").is_some() {
                        tasks.spawn(answer(Arc::clone(&me), frame));
                    } else {
                        me.settle(frame);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    end = frame.map(|f| (u16::from(f.code), f.reason.as_str().to_owned()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return end,
            },
            Some(message) = queue.recv() => send(&mut sink, message).await,
            Some(wish) = from_test.recv() => match wish {
                ToHost::Call(frame, tell) => send(&mut sink, me.request(frame, tell)).await,
                ToHost::Close(code) => {
                    let code = CloseCode::from(code);
                    let frame = CloseFrame { code, reason: "".into() };
                    send(&mut sink, Message::Close(Some(frame))).await;
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn send(sink: &mut Sink, message: Message) {
    // That the line is gone shows when reading.
    let _ = sink.send(message).await;
}

struct Me {
    orders: Orders,
    seen: Seen,
    is_process: bool,
    out: mpsc::Sender<Message>,
    pending: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    /// How often each event came that is refused until it came often enough.
    attempts: Mutex<HashMap<String, u32>>,
}

impl Me {
    fn request(&self, mut frame: Value, tell: oneshot::Sender<Value>) -> Message {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        frame["id"] = json!(id);
        frame["jsonrpc"] = json!("2.0");
        self.pending.lock().unwrap().insert(id, tell);
        Message::text(frame.to_string())
    }

    fn settle(&self, frame: Value) {
        let id = frame["id"].as_str().unwrap_or_default();
        if let Some(waits) = self.pending.lock().unwrap().remove(id) {
            let _ = waits.send(frame);
        }
    }

    async fn call(&self, frame: Value) -> Value {
        let (tell, told) = oneshot::channel();
        let request = self.request(frame, tell);
        let _ = self.out.send(request).await;
        told.await.unwrap_or_default()
    }
}

async fn answer(me: Arc<Me>, frame: Value) {
    let method = frame["method"].as_str().unwrap_or_default();
    let params = frame.get("params").cloned().unwrap_or(json!({}));
    let reply = match reply(&me, method, params).await {
        Reply::Result(mut result) => {
            if result.is_object() {
                result["method"] = json!(method);
            }
            json!({"id": frame["id"], "jsonrpc": "2.0", "result": result})
        }
        Reply::Fault(error) => json!({"id": frame["id"], "jsonrpc": "2.0", "error": error}),
        Reply::Silence => return,
    };
    let _ = me.out.send(Message::text(reply.to_string())).await;
}

enum Reply {
    Result(Value),
    Fault(Value),
    Silence,
}

async fn reply(me: &Me, method: &str, params: Value) -> Reply {
    let orders = &me.orders;
    Reply::Result(match method {
        "ping" if orders.no_ping => return Reply::Silence,
        "ping" => json!({"pong": true, "status": "healthy", "uptime_seconds": 1.5}),
        "configure" => {
            let mut told = json!({"params": params});
            if orders.access_in_configure {
                told["access"] = me.call(json!({"method": "access_get"})).await;
            }
            me.keep("configured.json", &told);
            me.seen.configurations.send_modify(|all| all.push(told));
            if orders.silent_configuration {
                return Reply::Silence;
            }
            json!({"ok": !orders.refuse_configuration && params.get("refuse").is_none()})
        }
        "event" => return event(me, params),
        "version" => json!({"version": orders.version}),
        "echo" => json!({"params": params}),
        "pid" => json!({"pid": std::process::id()}),
        "env" => json!({"env": std::env::vars().collect::<HashMap<_, _>>(),
                        "cwd": std::env::current_dir().expect("a folder")}),
        "slow" => {
            let ms = params["ms"].as_u64().unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            json!({"slept": ms})
        }
        "say" => {
            println!("{}", params["text"].as_str().unwrap_or_default());
            json!({})
        }
        "big" => json!({"big": "x".repeat(params["bytes"].as_u64().unwrap_or(0) as usize)}),
        "host" => json!({"answer": me.call(params).await}),
        "exit" if me.is_process => exit(params["code"].as_i64().unwrap_or(0) as i32),
        "fail" => return Reply::Fault(params),
        "silent" => return Reply::Silence,
        _ => {
            let message = format!("no method {method}");
            return Reply::Fault(json!({"code": -32601, "message": message}));
        }
    })
}

fn event(me: &Me, params: Value) -> Reply {
    if let (Some(code), true) = (me.orders.exit_on_event, me.is_process) {
        exit(code);
    }
    if let (Some(code), true) = (me.orders.exit_on_first_event, me.is_process) {
        let marker = state_folder().join("first");
        if !marker.exists() {
            std::fs::write(marker, "").expect("my state folder");
            exit(code);
        }
    }
    let id = params["id"].as_str().unwrap_or_default().to_owned();
    if me.is_process {
        note(&params);
    }
    me.seen.events.send_modify(|all| all.push(params));
    if me.orders.take_all {
        return Reply::Result(json!({"ok": true}));
    }
    if id.starts_with("mute") {
        return Reply::Silence;
    }
    // `twice-…` is refused twice and then taken.
    let mut attempts = me.attempts.lock().unwrap();
    let attempt = attempts.entry(id.clone()).or_default();
    *attempt += 1;
    let refuse = id.starts_with("bad") || id.starts_with("twice") && *attempt <= 2;
    Reply::Result(json!({"ok": !refuse}))
}

impl Me {
    /// Writes a file into the plugin's own folder, in one piece.
    fn keep(&self, name: &str, what: &Value) {
        if self.is_process {
            let path = state_folder().join(name);
            let new = path.with_extension("new");
            std::fs::write(&new, what.to_string()).expect("my state folder");
            std::fs::rename(new, path).expect("my state folder");
        }
    }
}

fn note(event: &Value) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(state_folder().join("events.log"));
    // In one piece, whenever somebody kills us.
    let line = format!("{event}\n");
    file.expect("my state folder")
        .write_all(line.as_bytes())
        .expect("a line");
}

fn state_folder() -> PathBuf {
    let folder = std::env::var_os("JACKFIELD_STATE_DIR");
    PathBuf::from(folder.expect("the host says where"))
}
