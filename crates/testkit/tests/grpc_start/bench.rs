//! Runs the plugin as a host of another make does: by `FTL_BIND` and nothing else. And probes of the wire.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use connectrpc::client::{CallOptions, ClientConfig, HttpClient};
use connectrpc::{ConnectError, Protocol};
use jackfield_testkit::within;
use kv::{GetRequest, KvServiceClient};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::RIG;

pub(crate) const JSON: [&str; 2] = ["-H", "content-type: application/json"];
/// HTTP/1.1, HTTP/2 with prior knowledge, HTTP/2 by an upgrade.
pub(crate) const VERSIONS: [&[&str]; 3] =
    [&["--http1.1"], &["--http2-prior-knowledge"], &["--http2"]];

/// A client that owes nothing to the host's side.
pub(crate) type Client = KvServiceClient<HttpClient>;

/// A port that nobody is given: bound, not listening.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    _held: TcpSocket,
}

/// A plugin that was started by hand; killed when dropped.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) place: Place,
    /// Reads what it says, so that it never waits for a reader.
    lines: JoinSet<Vec<String>>,
}

/// An answer to `curl`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As it stands on the wire, the trailers at the end.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    /// What curl itself had to say.
    pub(crate) errors: String,
}

impl Place {
    pub(crate) fn hold() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            address: held.local_addr().unwrap(),
            _held: held,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(|config| config)
    }

    pub(crate) fn client_with(&self, change: impl FnOnce(ClientConfig) -> ClientConfig) -> Client {
        let config = ClientConfig::new(self.url("").parse().unwrap()).with_protocol(Protocol::Grpc);
        KvServiceClient::new(HttpClient::plaintext_http2_only(), change(config))
    }
}

impl std::ops::Deref for Started {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Started {
    /// Runs it with these arguments on a port of its own.
    pub(crate) fn run(orders: &str) -> Self {
        Self::with(orders, |_| {})
    }

    pub(crate) fn with(orders: &str, change: impl FnOnce(&mut Command)) -> Self {
        let place = Place::hold();
        let mut command = Command::new(RIG);
        command
            .args(orders.split_whitespace())
            .env_remove("JACKFIELD_TOKEN")
            .env_remove("JACKFIELD_LISTEN_FD")
            .env_remove("LOG_LEVEL")
            .env("FTL_BIND", place.url(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        change(&mut command);
        let child = command.spawn().unwrap();
        Self::of(child, place)
    }

    /// One that was started some other way, to listen there.
    pub(crate) fn of(mut child: Child, place: Place) -> Self {
        let mut lines = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            lines.spawn(async move {
                let (mut stderr, mut all) = (BufReader::new(stderr).lines(), Vec::new());
                while let Ok(Some(line)) = stderr.next_line().await {
                    all.push(line);
                }
                all
            });
        }
        Self {
            child,
            place,
            lines,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits until something answers on its port.
    pub(crate) async fn until_it_listens(&mut self) {
        let wait = async {
            while tokio::net::TcpStream::connect(self.address).await.is_err() {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "{ended:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(wait).await;
    }

    /// Waits until pings say that it is ready.
    pub(crate) async fn ready(mut self) -> Self {
        self.until_it_listens().await;
        let wait = async {
            loop {
                let ping = self.client().ping(kv::PingRequest::default()).await;
                if ping.is_ok_and(|pong| pong.view().not_ready.unwrap_or_default().is_empty()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(wait).await;
        self
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its exit code, and all that it said.
    pub(crate) async fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        let code = within(self.child.wait()).await.unwrap().code();
        let lines = within(self.lines.join_next()).await.expect("once");
        (code, lines.unwrap())
    }

    /// Nobody reads what it says any more.
    pub(crate) async fn close_stderr(&mut self) {
        self.lines.shutdown().await;
    }
}

pub(crate) async fn get(client: &Client, key: &str) -> Result<String, ConnectError> {
    get_with(client, key, CallOptions::default()).await
}

pub(crate) async fn get_with(
    client: &Client,
    key: &str,
    options: CallOptions,
) -> Result<String, ConnectError> {
    let request = GetRequest {
        key: key.into(),
        ..GetRequest::default()
    };
    let answer = client.get_with_options(request, options).await?;
    Ok(String::from_utf8_lossy(answer.view().value).into_owned())
}

/// Runs curl with these arguments, and this as the body where there is one.
pub(crate) async fn curl(args: &[&str], body: Option<&[u8]>, url: &str) -> Answer {
    for _ in 0..5 {
        let answer = curl_once(args, body, url).await;
        // Over HTTP/2 this curl gives up where the answer comes before its body has been sent.
        if answer.status != 0 || !answer.errors.starts_with("curl: (92)") {
            return answer;
        }
    }
    panic!("{url}: no answer, five times");
}

async fn curl_once(args: &[&str], body: Option<&[u8]>, url: &str) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "40",
            "--globoff",
            "--dump-header",
        ])
        .arg(&headers)
        .args(["--write-out", "%{stderr}status=%{http_code}\n"])
        .args(args);
    if body.is_some() {
        command.args(["--data-binary", "@-"]);
    }
    command
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("curl is here");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (mut out, mut err) = (Vec::new(), String::new());
    let write = async move {
        // It may not want all of it.
        let _ = stdin.write_all(body.unwrap_or_default()).await;
        drop(stdin);
    };
    let (_, read, read_err, _) = within(async {
        tokio::join!(
            write,
            stdout.read_to_end(&mut out),
            stderr.read_to_string(&mut err),
            child.wait()
        )
    })
    .await;
    read.unwrap();
    read_err.unwrap();
    let status = err.rsplit("status=").next().unwrap().trim();
    Answer {
        status: status.parse().unwrap_or_else(|_| panic!("{err}")),
        headers: std::fs::read_to_string(headers).unwrap_or_default(),
        body: out,
        errors: err,
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The last value of a header or trailer.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut values = self.headers.lines().filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        });
        values.next_back()
    }
}

/// A message with gRPC's five bytes before it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &len, message].concat()
}

/// A message with one field of text, below 128 bytes.
pub(crate) fn text_field(number: u8, text: &str) -> Vec<u8> {
    let head = [number << 3 | 2, u8::try_from(text.len()).unwrap()];
    [&head[..], text.as_bytes()].concat()
}

/// A gRPC call by curl.
pub(crate) async fn grpc(started: &Started, path: &str, message: &[u8], args: &[&str]) -> Answer {
    let fixed = [
        "--http2-prior-knowledge",
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
    ];
    let args = [&fixed[..], args].concat();
    curl(&args, Some(&framed(message)), &started.url(path)).await
}
