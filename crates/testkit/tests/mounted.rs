//! The plugins' door in a web server of the application's own: one that speaks both versions of
//! HTTP on a port, and wraps its connections in what only it can name.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jackfield::ReportedState::{Active, Connecting};
use jackfield::wire::methods::Ping;
use jackfield::{Host, InstallationId, Spec, Token};
use jackfield_testkit::peers::{self, Language};
use jackfield_testkit::{Dial, Program, Rig, TestHost, bench_host, manifest, until_state, within};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

const RIG: &str = env!("CARGO_BIN_EXE_rig");

/// A host whose door is in this server; the server ends with the value.
struct Mounted {
    host: TestHost,
    address: SocketAddr,
    _server: JoinSet<()>,
}

impl Mounted {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = bench_host(|builder| builder.public_url(format!("http://{address}"))).await;
        assert_eq!(host.local_addr(), None);
        let mut server = JoinSet::new();
        server.spawn(serve(listener, host.clone()));
        Self {
            host,
            address,
            _server: server,
        }
    }

    fn dial(&self, query: &str) -> Dial {
        Dial::at(self.address, query)
    }
}

async fn serve(listener: TcpListener, host: Host) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let host = host.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let host = host.clone();
                async move { Ok::<_, Infallible>(route(&host, request).await) }
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn route(host: &Host, request: Request<Incoming>) -> Response<String> {
    match request.uri().path() {
        // A body of another kind than hyper's, as web frameworks have them: it is not `Sync`.
        "/rpc" => host.answer(request.map(|_| std::cell::Cell::new(0))).await,
        _ => {
            let mut response = Response::new("the application\n".to_owned());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        }
    }
}

/// What its own listener answers, and nothing is burnt by what was refused.
#[tokio::test]
async fn answers_as_the_door_does() {
    let mounted = Mounted::new().await;
    let (session, token) = mounted.host.expect(&manifest(json!({}))).await;
    let good = mounted.dial(&format!("token={}", token.reveal()));
    for (dial, status, body) in [
        (mounted.dial(""), 400, "invalid connection parameters\n"),
        (mounted.dial("token=sdprt_x"), 401, "unauthenticated\n"),
        (
            good.clone().without("Upgrade"),
            426,
            "this is a WebSocket: send an upgrade request\n",
        ),
        (
            good.clone().method("POST"),
            405,
            "a WebSocket begins with GET\n",
        ),
        (
            good.clone().header("Sec-WebSocket-Key", "c2hvcnQ="),
            400,
            "not a WebSocket key\n",
        ),
        (
            good.clone().header("Origin", "null"),
            403,
            "a page of another origin may not dial\n",
        ),
        (good.clone().target("/elsewhere"), 418, "the application\n"),
    ] {
        let reply = dial.send().await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body));
    }
    let first = Program::on(good.clone().open().await);
    until_state(&session, Active).await;
    // The line is alive: another dial is told to come later.
    let second = good.clone().send().await;
    assert_eq!(second.status, 503);
    assert_eq!(second.header("retry-after"), Some("1"));
    drop(first);
    until_state(&session, Connecting).await;
    let stopped = Program::on(good.open().await);
    until_state(&session, Active).await;
    let ended = within(mounted.host.shutdown(Duration::from_secs(10))).await;
    assert!(ended.killed.is_empty());
    assert_eq!(stopped.end().await.map(|(code, _)| code), Some(1013));
}

/// What the client sends right behind its request comes with the upgrade, and is not lost.
#[tokio::test]
async fn nothing_is_lost_between_the_request_and_the_line() {
    let mounted = Mounted::new().await;
    let (session, token) = mounted.host.expect(&manifest(json!({}))).await;
    let frame = json!({"id": "early", "method": "nobody_knows"}).to_string();
    let mut early = vec![0x81, 0x80 | u8::try_from(frame.len()).unwrap(), 0, 0, 0, 0];
    early.extend_from_slice(frame.as_bytes());
    let query = format!("token={}", token.reveal());
    let mut line = mounted.dial(&query).early(early).open().await;
    let answer = line.json().await;
    assert_eq!(answer["id"], "early");
    assert_eq!(answer["error"]["code"], -32601);
    until_state(&session, Active).await;
}

/// A client library as it comes.
#[tokio::test]
async fn a_client_library_dials() {
    use futures_util::{SinkExt as _, StreamExt as _};
    let mounted = Mounted::new().await;
    let (session, token) = mounted.host.expect(&manifest(json!({}))).await;
    let wrong = format!("{}?token=sdprt_wrong", mounted.host.rpc_url());
    let refused = tokio_tungstenite::connect_async(wrong).await.unwrap_err();
    assert!(matches!(refused, Error::Http(response) if response.status() == 401));
    let mut request = mounted.host.rpc_url().into_client_request().unwrap();
    let bearer = format!("Bearer {}", token.reveal()).parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    within(session.ready()).await.unwrap();
    let ask = async { session.call::<Ping>(&None).await };
    let answer = async {
        let asked = socket.next().await.unwrap().unwrap().into_text().unwrap();
        let asked: Value = serde_json::from_str(&asked).unwrap();
        assert_eq!(asked["method"], "ping");
        let result = json!({"method": "ping", "pong": true});
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
        socket
            .send(Message::text(answer.to_string()))
            .await
            .unwrap();
    };
    let (pong, ()) = within(async { tokio::join!(ask, answer) }).await;
    assert!(pong.unwrap().pong);
}

/// Children dial it back as they dial the host's own door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_dial_back() {
    let mounted = Mounted::new().await;
    let session = mounted.host.run(Rig::new("").package(RIG)).await;
    assert!(session.call::<Ping>(&None).await.unwrap().pong);
    mounted.host.shutdown(Duration::from_secs(10)).await;
}

/// The libraries that authors of plugins take: `websockets`, `ws`, `coder/websocket`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_in_other_languages_dial_back() {
    let mounted = Mounted::new().await;
    let mut sessions = Vec::new();
    for language in [Language::Python, Language::Node, Language::Go] {
        let spec = Spec::supervised(InstallationId::new(), language.package());
        let session = mounted.host.load(spec.env("PATH", peers::path())).unwrap();
        let wanted = jackfield::ActiveState::Active;
        session.set_active_state(wanted).await.unwrap();
        sessions.push(session);
    }
    for session in sessions {
        within(session.ready()).await.unwrap();
        assert!(session.call::<Ping>(&None).await.unwrap().pong);
    }
    mounted.host.shutdown(Duration::from_secs(10)).await;
}

/// HTTP/2 has no such upgrade: that is said, and the connection goes on.
#[tokio::test]
async fn http_2_is_told_what_is_missing() {
    let mounted = Mounted::new().await;
    let (_session, token) = mounted.host.expect(&manifest(json!({}))).await;
    let stream = tokio::net::TcpStream::connect(mounted.address)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    for (query, status) in [
        (format!("token={}", token.reveal()), 426),
        (Token::external().reveal().to_owned(), 400),
    ] {
        let uri = format!("http://{}/rpc?{query}", mounted.address);
        let request = Request::get(uri).body(String::new()).unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status);
    }
}
