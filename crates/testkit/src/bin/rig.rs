//! A plugin that misbehaves on order.
//!
//! It speaks the bare contract (no subprotocol, ids of its own making) and knows no SDK, so that
//! nothing stands between a test and the wire. Orders come as arguments, see [`HELP`]; once it is
//! connected, methods give further ones.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, exit};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const HELP: &str = "\
before it dials:   --say TEXT  --say-out TEXT  --flood N (lines)  --exit CODE  --never-dial
                   --grandchild FILE (a sleeper in a session of its own, its pid in FILE)
                   --deaf (ignores SIGINT and SIGTERM)  --once FILE (the next order only when FILE
                   is not there yet; makes it)
when connected:    --crash-on-connect CODE  --hang-up (and stays)  --redial (hangs up once)
                   --dial-twice (prints what became of the second)  --stay (does not end when the
                   host hangs up)  --redials (dials again whenever the line is lost)
                   --crash-on-event CODE (at the first event, before it is answered)
methods:           echo, pid, env, silent, slow {ms}, exit {code}, abort, hang_up, cut (the line,
                   without a word), big {bytes}, say {text}, host {method, params},
                   frames {frames}, configure {refuse, call} (written to configured.json in the
                   state folder; may call the host first), event (written to events.log there),
                   ping";

type Pending = Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>;

#[derive(Clone)]
struct Wire {
    out: mpsc::Sender<Message>,
    pending: Pending,
    /// Answers that nothing waits for, for `frames`.
    strays: Arc<Mutex<Option<mpsc::Receiver<Value>>>>,
    cut: Arc<Notify>,
    crash_on_event: Option<i32>,
}

#[derive(Default)]
struct Orders {
    crash: Option<i32>,
    hang_up: bool,
    redial: bool,
    dial_twice: bool,
    stay: bool,
    redials: bool,
    crash_on_event: Option<i32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut orders = Orders::default();
    let mut args = std::env::args().skip(1);
    while let Some(order) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{HELP}"));
        match order.as_str() {
            "--say" => eprintln!("{}", value()),
            "--say-out" => println!("{}", value()),
            "--flood" => flood(&value()),
            "--exit" => exit(value().parse().expect("a code")),
            "--never-dial" => std::future::pending().await,
            "--deaf" => deafen(),
            "--grandchild" => grandchild(&value()),
            "--once" => {
                // From the second life on, the order that follows is left out.
                let marker = value();
                if std::fs::exists(&marker).is_ok_and(|there| there) {
                    let order = value();
                    if order != "--never-dial" && order != "--deaf" {
                        value();
                    }
                } else {
                    std::fs::write(marker, "").expect("a marker");
                }
            }
            "--crash-on-connect" => orders.crash = Some(value().parse().expect("a code")),
            "--hang-up" => orders.hang_up = true,
            "--redial" => orders.redial = true,
            "--dial-twice" => orders.dial_twice = true,
            "--stay" => orders.stay = true,
            "--redials" => orders.redials = true,
            "--crash-on-event" => orders.crash_on_event = Some(value().parse().expect("a code")),
            _ => panic!("unknown order {order}\n{HELP}"),
        }
    }
    let url = std::env::var("STORYDEN_RPC_URL").expect("STORYDEN_RPC_URL");
    let hangs_up = orders.hang_up || orders.redial;
    talk(&url, &orders, hangs_up).await;
    if orders.redials {
        loop {
            talk(&url, &orders, false).await;
        }
    }
    if orders.redial {
        talk(&url, &orders, false).await;
    }
    if orders.hang_up || orders.stay {
        std::future::pending::<()>().await;
    }
}

async fn talk(url: &str, orders: &Orders, hangs_up: bool) {
    let (socket, _) = dial(url, orders.redials).await;
    if let Some(code) = orders.crash {
        exit(code);
    }
    let (mut sink, mut source) = socket.split();
    if hangs_up {
        let _ = sink.close().await;
        return;
    }
    let (out, mut queue) = mpsc::channel::<Message>(64);
    let (stray, strays) = mpsc::channel(64);
    let wire = Wire {
        out,
        pending: Pending::default(),
        strays: Arc::new(Mutex::new(Some(strays))),
        cut: Arc::default(),
        crash_on_event: orders.crash_on_event,
    };
    let cut = Arc::clone(&wire.cut);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    });
    if orders.dial_twice {
        // Beside the reading: a line that does not answer pings is taken for dead.
        let url = url.to_owned();
        tasks.spawn(async move {
            match tokio_tungstenite::connect_async(url).await {
                Ok(_) => println!("second dial: let in"),
                Err(error) => println!("second dial: {error}"),
            }
        });
    }
    // Returning drops both halves of the socket: no close frame is sent.
    while let Some(Ok(message)) = tokio::select! {
        message = source.next() => message,
        () = cut.notified() => None,
    } {
        let Message::Text(text) = message else {
            continue;
        };
        let frame: Value = serde_json::from_str(&text).expect("the host sends JSON");
        if frame.get("method").is_some() {
            tasks.spawn(answer(wire.clone(), frame));
            continue;
        }
        let waiting = frame["id"]
            .as_str()
            .and_then(|id| wire.pending.lock().expect("no panic").remove(id));
        match waiting {
            Some(waiting) => drop(waiting.send(frame)),
            None => drop(stray.try_send(frame)),
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Dials; where it is told to come back, it may do so for a while.
async fn dial(url: &str, again: bool) -> (Socket, Response) {
    for _ in 0..1000 {
        match tokio_tungstenite::connect_async(url).await {
            Ok(dialed) => return dialed,
            Err(Error::Http(response)) if again && response.status() == 503 => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("the host does not let me in: {error}"),
        }
    }
    panic!("the host is never ready")
}

async fn answer(wire: Wire, frame: Value) {
    let method = frame["method"].as_str().unwrap_or_default().to_owned();
    let params = frame.get("params").cloned().unwrap_or(json!({}));
    let result = match method.as_str() {
        "ping" => json!({"pong": true, "status": "healthy", "uptime_seconds": 1.5}),
        "configure" => {
            let answer = match params.get("call") {
                Some(method) => call_host(&wire, &json!({"method": method})).await,
                None => Value::Null,
            };
            let taken = json!({"params": params, "answer": answer}).to_string();
            std::fs::write(state_folder().join("configured.json"), taken).expect("a file");
            json!({"ok": params.get("refuse").is_none()})
        }
        "event" => {
            if let Some(code) = wire.crash_on_event {
                exit(code);
            }
            note(&params);
            json!({"ok": true})
        }
        "echo" => json!({"params": params}),
        "pid" => json!({"pid": std::process::id()}),
        "env" => json!({"env": std::env::vars().collect::<HashMap<_, _>>(),
                        "cwd": std::env::current_dir().expect("a folder")}),
        "big" => json!({"big": "x".repeat(params["bytes"].as_u64().unwrap_or(0) as usize)}),
        "slow" => {
            let ms = params["ms"].as_u64().unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            json!({"slept": ms})
        }
        "say" => {
            println!("{}", params["text"].as_str().unwrap_or_default());
            json!({"ok": true})
        }
        "host" => json!({"answer": call_host(&wire, &params).await}),
        "frames" => json!({"answers": send_frames(&wire, &params).await}),
        "exit" => exit(params["code"].as_i64().unwrap_or(0) as i32),
        "abort" => std::process::abort(),
        "hang_up" => {
            let _ = wire.out.send(Message::Close(None)).await;
            return;
        }
        "cut" => {
            wire.cut.notify_one();
            return;
        }
        "silent" => return,
        _ => {
            let error = json!({"code": -32601, "message": format!("no method {method}")});
            let text = json!({"error": error, "id": frame["id"], "jsonrpc": "2.0"}).to_string();
            let _ = wire.out.send(Message::text(text)).await;
            return;
        }
    };
    let mut result = result;
    result["method"] = json!(method);
    let text = json!({"id": frame["id"], "jsonrpc": "2.0", "result": result}).to_string();
    let _ = wire.out.send(Message::text(text)).await;
}

/// Calls the host; gives back its whole answer.
async fn call_host(wire: &Wire, params: &Value) -> Value {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Not an xid on purpose: ids of plugins are theirs.
    let id = format!("rig-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let (tell, told) = oneshot::channel();
    wire.pending
        .lock()
        .expect("no panic")
        .insert(id.clone(), tell);
    let mut request = json!({"id": id, "jsonrpc": "2.0", "method": params["method"]});
    if let Some(inner) = params.get("params") {
        request["params"] = inner.clone();
    }
    let _ = wire.out.send(Message::text(request.to_string())).await;
    told.await.unwrap_or(Value::Null)
}

/// Sends texts as they are; gives back as many answers as there were texts.
async fn send_frames(wire: &Wire, params: &Value) -> Value {
    let taken = wire.strays.lock().expect("no panic").take();
    let mut strays = taken.expect("one `frames` at a time");
    let texts = params["frames"].as_array().cloned().unwrap_or_default();
    for text in &texts {
        let text = text.as_str().unwrap_or_default().to_owned();
        let _ = wire.out.send(Message::text(text)).await;
    }
    let mut answers = Vec::new();
    while answers.len() < texts.len()
        && let Some(answer) = strays.recv().await
    {
        answers.push(answer);
    }
    *wire.strays.lock().expect("no panic") = Some(strays);
    Value::Array(answers)
}

fn note(event: &Value) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(state_folder().join("events.log"))
        .expect("my state folder");
    // In one piece, whenever somebody kills us.
    let line = format!("{event}\n");
    file.write_all(line.as_bytes()).expect("a line");
}

fn state_folder() -> PathBuf {
    std::env::var_os("JACKFIELD_STATE_DIR")
        .map(PathBuf::from)
        .expect("JACKFIELD_STATE_DIR")
}

fn flood(lines: &str) {
    use std::io::Write as _;
    let lines: usize = lines.parse().expect("a number");
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for n in 0..lines {
        writeln!(out, "flood {n}").expect("a pipe");
    }
}

/// A process that does all it can to be forgotten: a session of its own, orphaned at once, with
/// the rig's pipes still open.
fn grandchild(pid_file: &str) {
    let script =
        format!("echo $$ > {pid_file}.tmp && mv {pid_file}.tmp {pid_file}; exec sleep 1000");
    let status = Command::new("sh")
        .args(["-c", r#"setsid sh -c "$0" & exit 0"#, &script])
        .status();
    status.expect("a shell");
}

fn deafen() {
    // Taken and thrown away: a stream that nobody reads.
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        std::mem::forget(signal(kind).expect("a signal"));
    }
}
