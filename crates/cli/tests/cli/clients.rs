//! The clients that the templates in Python and Node bring, against a WebSocket server that is none
//! of ours: what every host may do to them.

use std::process::{ExitStatus, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use jackfield_wire::Xid;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{PATIENCE, folder, new, signal_to};

const PYTHON: &str = r#"
from jackfield import Plugin, RpcError
plugin = Plugin()

@plugin.method
async def ask(text):
    return {"said": await plugin.call("echo", {"text": text})}

@plugin.method
def size(text):
    return len(text)

@plugin.method
async def long(count):
    return {"text": "x" * count}

@plugin.method
async def refuse():
    raise RpcError("not today", 7, {"more": 1})

@plugin.method
async def broken():
    return 1 / 0

seen = []

@plugin.event("Tick")
async def tick(event):
    if event["n"] == 0:
        await plugin.call("echo", {})
    seen.append(event["n"])

@plugin.method
async def ticks():
    return seen

@plugin.configure
async def configure(config):
    return config.get("ok")

plugin.run()
"#;

const NODE: &str = r"
import { Plugin, RpcError, invalidParams } from './jackfield.mjs'
const plugin = new Plugin()
const seen = []
const text = (params) => {
  if (typeof params.text !== 'string') throw invalidParams('text is missing')
  return params.text
}
plugin.method('ask', async (params) => ({ said: await plugin.call('echo', { text: text(params) }) }))
plugin.method('size', (params) => text(params).length)
plugin.method('long', ({ count }) => ({ text: 'x'.repeat(count) }))
plugin.method('refuse', () => { throw new RpcError('not today', 7, { more: 1 }) })
plugin.method('broken', () => { throw new Error('by zero') })
plugin.event('Tick', async ({ n }) => {
  if (n === 0) await plugin.call('echo', {})
  seen.push(n)
})
plugin.method('ticks', () => seen)
plugin.configure(({ ok }) => ok)
await plugin.run()
";

const LANGUAGES: [&str; 2] = ["python", "node"];
const EXTERNAL: &str = "token=sdprt_abcdefghijklmnopqrstuvwxyzABCDEF";
const SUPERVISED: &str = "plugin_id=d2g0ln0dr90002s1vqvg&token=abc";

/// A plugin, and the place where it dials in.
struct Place {
    listener: TcpListener,
    child: Child,
    query: &'static str,
    folder: TempDir,
}

/// The host's end of a line.
struct Line(WebSocketStream<TcpStream>);

impl Place {
    async fn start(lang: &str, query: &'static str) -> Self {
        let folder = folder();
        new(folder.path(), "plugin", lang);
        let plugin = folder.path().join("plugin");
        let (program, file, code) = match lang {
            "python" => ("python3", "plugin.py", PYTHON),
            _ => ("node", "plugin.mjs", NODE),
        };
        std::fs::write(plugin.join(file), code).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let child = Command::new(program)
            .arg(file)
            .current_dir(&plugin)
            .env("JACKFIELD_RPC_URL", format!("ws://{address}/rpc?{query}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            listener,
            child,
            query,
            folder,
        }
    }

    async fn stream(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept())
            .await
            .unwrap()
            .unwrap()
            .0
    }

    /// Lets it in, and looks at how it asks.
    async fn line(&self) -> Line {
        let query = self.query;
        #[expect(clippy::result_large_err, reason = "the shape that tungstenite wants")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/rpc");
            assert_eq!(request.uri().query(), Some(query));
            let headers = request.headers();
            assert!(headers["host"].to_str().unwrap().starts_with("127.0.0.1:"));
            assert!(
                headers["user-agent"]
                    .to_str()
                    .unwrap()
                    .starts_with("jackfield.")
            );
            assert!(!headers.contains_key("sec-websocket-protocol"));
            assert!(!headers.contains_key("sec-websocket-extensions"));
            Ok(response)
        };
        let stream = self.stream().await;
        Line(
            tokio_tungstenite::accept_hdr_async(stream, look)
                .await
                .unwrap(),
        )
    }

    /// Answers a dial with an HTTP status and no line.
    async fn refuse(&self, status: &str) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = self.stream().await;
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(response.as_bytes()).await.unwrap();
    }

    fn signal(&self, signal: Signal) {
        signal_to(self.child.id().unwrap(), signal);
    }

    async fn exit(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

impl Line {
    async fn send(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).await.unwrap();
    }

    async fn tell(&mut self, frame: Value) {
        self.send(frame.to_string()).await;
    }

    async fn message(&mut self) -> Message {
        timeout(PATIENCE, self.0.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    /// The next frame; pings of the client's own are passed over.
    async fn frame(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.message().await {
                let frame: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(frame["jsonrpc"], "2.0");
                return frame;
            }
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.tell(json!({ "id": "1", "jsonrpc": "2.0", "method": method, "params": params }))
            .await;
        let answer = self.frame().await;
        assert_eq!(answer["id"], "1");
        answer
    }

    async fn close(&mut self, code: u16) {
        let reason = "for a test".into();
        let frame = CloseFrame {
            code: code.into(),
            reason,
        };
        self.send(Message::Close(Some(frame))).await;
        // It answers with the same code.
        loop {
            match timeout(PATIENCE, self.0.next()).await.unwrap() {
                Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), code),
                Some(Ok(_)) => {}
                _ => break,
            }
        }
    }
}

#[tokio::test]
async fn calls_are_answered_as_the_contract_says() {
    for lang in LANGUAGES {
        let place = Place::start(lang, SUPERVISED).await;
        let mut line = place.line().await;

        let pong = line.call("ping", Value::Null).await;
        assert_eq!(pong["result"]["method"], "ping");
        assert_eq!(pong["result"]["pong"], true);
        // Ids are whatever the host makes of them.
        for id in [json!(7), json!("x"), json!(null)] {
            line.tell(json!({ "id": id, "jsonrpc": "2.0", "method": "ticks" }))
                .await;
            assert_eq!(line.frame().await["id"], id);
        }
        assert_eq!(
            line.call("size", json!({ "text": "äöü" })).await["result"],
            3
        );
        assert_eq!(
            line.call("configure", json!({ "ok": false })).await["result"],
            json!({ "method": "configure", "ok": false })
        );
        assert_eq!(
            line.call("configure", json!({ "ok": true })).await["result"]["ok"],
            true
        );
        assert_eq!(
            line.call("event", json!({ "event": "Unknown", "id": "1" }))
                .await["result"],
            json!({ "method": "event", "ok": true })
        );

        let code = |answer: Value| answer["error"]["code"].clone();
        assert_eq!(code(line.call("nope", json!({})).await), -32601);
        assert_eq!(code(line.call("size", json!({})).await), -32602);
        assert_eq!(code(line.call("size", json!("text")).await), -32602);
        assert_eq!(code(line.call("broken", json!({})).await), -32603);
        assert_eq!(
            line.call("refuse", json!({})).await["error"],
            json!({ "code": 7, "message": "not today", "data": { "more": 1 } })
        );
        line.send("{").await;
        let answer = line.frame().await;
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(-32700), &Value::Null)
        );
        for odd in ["[]", "1", "{}", r#"{"id":"5","method":6}"#] {
            line.send(odd).await;
            assert_eq!(line.frame().await["error"]["code"], -32600, "{lang} {odd}");
        }
        // An answer to nothing, and what is not text, are passed over.
        line.tell(json!({ "id": "9", "jsonrpc": "2.0", "result": {} }))
            .await;
        line.send(Message::Binary(vec![1, 2, 3].into())).await;
        assert_eq!(line.call("ticks", json!({})).await["result"], json!([]));
    }
}

#[tokio::test]
async fn calls_run_beside_each_other_and_events_in_order() {
    for lang in LANGUAGES {
        let place = Place::start(lang, SUPERVISED).await;
        let mut line = place.line().await;
        let ask = |id: &str| json!({ "id": id, "method": "ask", "params": { "text": id } });
        line.tell(ask("a")).await;
        line.tell(ask("b")).await;
        let (first, second) = (line.frame().await, line.frame().await);
        for (asked, text) in [(&first, "a"), (&second, "b")] {
            assert_eq!(asked["method"], "echo");
            assert_eq!(asked["params"]["text"], text);
            let id: Result<Xid, _> = asked["id"].as_str().unwrap().parse();
            assert!(id.is_ok(), "{asked}: ids are strict");
        }
        assert_ne!(first["id"], second["id"]);
        // Both wait; others are answered meanwhile, and the answers may come in any order.
        assert_eq!(line.call("size", json!({ "text": "1" })).await["result"], 1);
        line.tell(json!({ "id": second["id"], "result": { "method": "echo", "n": 2 } }))
            .await;
        let answer = line.frame().await;
        assert_eq!(
            (&answer["id"], &answer["result"]["said"]["n"]),
            (&json!("b"), &json!(2))
        );
        line.tell(json!({ "id": first["id"], "error": { "code": 5, "message": "no" } }))
            .await;
        let answer = line.frame().await;
        assert_eq!(answer["id"], "a");
        assert_eq!(answer["error"]["message"], "no");

        for n in 0..3 {
            let params = json!({ "event": "Tick", "n": n });
            line.tell(json!({ "id": n, "method": "event", "params": params }))
                .await;
        }
        let asked = line.frame().await;
        assert_eq!(
            asked["method"], "echo",
            "the first event waits for this, and so do the others"
        );
        line.tell(json!({ "id": asked["id"], "result": null }))
            .await;
        for n in 0..3 {
            assert_eq!(line.frame().await["id"], n);
        }
        assert_eq!(
            line.call("ticks", json!({})).await["result"],
            json!([0, 1, 2])
        );
    }
}

#[tokio::test]
async fn frames_of_every_size_and_in_pieces_are_understood() {
    for lang in LANGUAGES {
        let place = Place::start(lang, SUPERVISED).await;
        let mut line = place.line().await;
        // Both of the lengths that take more than one byte, and around them.
        for size in [60, 126, 127, 65_400, 65_536, 70_000, 3 << 20] {
            let answer = line.call("size", json!({ "text": "x".repeat(size) })).await;
            assert_eq!(answer["result"], size);
            let answer = line.call("long", json!({ "count": size })).await;
            assert_eq!(answer["result"]["text"].as_str().unwrap().len(), size);
        }
        // A text in pieces, cut within a letter, with a ping between them.
        let text = json!({ "id": "p", "method": "size", "params": { "text": "ä" } }).to_string();
        let cut = text.find('ä').unwrap() + 1;
        let (head, tail) = text.as_bytes().split_at(cut);
        let piece = |bytes: &[u8], code, last| {
            Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(code), last))
        };
        line.send(piece(head, Data::Text, false)).await;
        line.send(Message::Ping("are you there".into())).await;
        line.send(piece(b"", Data::Continue, false)).await;
        line.send(piece(tail, Data::Continue, true)).await;
        loop {
            match line.message().await {
                Message::Pong(data) => {
                    assert_eq!(data.as_ref(), b"are you there");
                    break;
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(line.frame().await["result"], 1);
        // More than is taken.
        let _ = line.0.send(Message::text("x".repeat((16 << 20) + 1))).await;
        let code = loop {
            match timeout(PATIENCE, line.0.next()).await.unwrap() {
                Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                // What was still on its way met a closed socket, and took the word along.
                _ => break Some(1009),
            }
        };
        assert_eq!(code, Some(1009));
    }
}

#[tokio::test]
async fn supervised_it_ends_when_the_host_hangs_up() {
    for lang in LANGUAGES {
        for (code, exit) in [(1000, 0), (1012, 0), (1008, 1), (1011, 1)] {
            let mut place = Place::start(lang, SUPERVISED).await;
            place.line().await.close(code).await;
            assert_eq!(place.exit().await.code(), Some(exit), "{lang} {code}");
        }
        // Without a word.
        let mut place = Place::start(lang, SUPERVISED).await;
        drop(place.line().await);
        assert_eq!(place.exit().await.code(), Some(0), "{lang}");
        let mut place = Place::start(lang, SUPERVISED).await;
        place.refuse("401 Unauthorized").await;
        assert_eq!(place.exit().await.code(), Some(1), "{lang}");
    }
}

#[tokio::test]
async fn external_it_dials_again_until_it_is_turned_away() {
    for lang in LANGUAGES {
        let mut place = Place::start(lang, EXTERNAL).await;
        place.line().await.close(1012).await;
        drop(place.line().await);
        place.refuse("503 Service Unavailable").await;
        let mut line = place.line().await;
        assert_eq!(line.call("ticks", json!({})).await["result"], json!([]));
        line.close(1008).await;
        assert_eq!(place.exit().await.code(), Some(1), "{lang}");

        let mut place = Place::start(lang, EXTERNAL).await;
        place.refuse("401 Unauthorized").await;
        assert_eq!(place.exit().await.code(), Some(1), "{lang}");
        let mut place = Place::start(lang, EXTERNAL).await;
        place.line().await.close(1000).await;
        assert_eq!(place.exit().await.code(), Some(0), "{lang}");
    }
}

#[tokio::test]
async fn signals_end_it_with_a_word() {
    for lang in LANGUAGES {
        for (signal, query) in [(Signal::INT, SUPERVISED), (Signal::TERM, EXTERNAL)] {
            let mut place = Place::start(lang, query).await;
            let mut line = place.line().await;
            // It listens for signals by now; and one that waits does not keep it.
            line.tell(json!({ "id": "1", "method": "ask", "params": { "text": "" } }))
                .await;
            line.frame().await;
            place.signal(signal);
            let code = loop {
                if let Message::Close(frame) = line.message().await {
                    break frame.map(|frame| u16::from(frame.code));
                }
            };
            assert_eq!(code, Some(1000));
            assert_eq!(place.exit().await.code(), Some(0), "{lang}");
        }
    }
}

/// A signal that comes while the dial is on its way to an end is not lost.
#[tokio::test]
async fn signals_end_it_while_it_dials() {
    for lang in LANGUAGES {
        for _ in 0..6 {
            let mut place = Place::start(lang, EXTERNAL).await;
            let line = place.line().await;
            place.signal(Signal::TERM);
            assert_eq!(place.exit().await.code(), Some(0), "{lang}");
            drop(line);
            let mut place = Place::start(lang, EXTERNAL).await;
            let stream = place.stream().await;
            place.signal(Signal::INT);
            assert_eq!(place.exit().await.code(), Some(0), "{lang}");
            drop(stream);
        }
    }
}

#[tokio::test]
async fn without_an_address_it_says_what_to_do() {
    for lang in LANGUAGES {
        let place = Place::start(lang, SUPERVISED).await;
        let (program, file) = match lang {
            "python" => ("python3", "plugin.py"),
            _ => ("node", "plugin.mjs"),
        };
        let started = Command::new(program)
            .arg(file)
            .current_dir(place.folder.path().join("plugin"))
            .env_remove("JACKFIELD_RPC_URL")
            .env_remove("STORYDEN_RPC_URL")
            .output();
        let output = timeout(PATIENCE, started).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("JACKFIELD_RPC_URL") && said.contains("jackfield run"),
            "{said}"
        );
    }
}
