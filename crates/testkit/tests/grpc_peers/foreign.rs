//! Clients in other languages, which know nothing of ours, against the plugin made with `start`.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use jackfield_grpc::Plugin;
use jackfield_testkit::peers;
use jackfield_wire::grpc::{LISTEN_FD, TOKEN, TOKEN_HEADER};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::peer::{Bed, Peer};

const SECRET: &str = "open sesame";
const PATIENCE: Duration = Duration::from_secs(120);

/// What every client checks, over HTTP/1.1 and HTTP/2.
const CHECKS: [&str; 8] = [
    "ping",
    "unary",
    "not-found",
    "without-token",
    "get",
    "client-stream",
    "server-stream",
    "gzip",
];
/// What needs both directions at once.
const DUPLEX: [&str; 2] = ["two-way-stream", "deadline"];

const CONNECT: [(&str, &str); 6] = [
    ("grpc-web", "2"),
    ("connect", "2"),
    ("connect-json", "2"),
    ("grpc-web", "1.1"),
    ("connect", "1.1"),
    ("connect-json", "1.1"),
];

/// A language's own client.
#[derive(Debug, Clone, Copy)]
enum Client {
    Go,
    Node,
    Grpcio,
    PythonConnect,
}

/// The plugin at the end of a Unix socket that has a name; killed when dropped.
struct AtSocket {
    child: Child,
    folder: TempDir,
}

#[tokio::test]
async fn go_speaks_to_it() {
    over_tcp(Client::Go).await;
}

#[tokio::test]
async fn node_speaks_to_it() {
    over_tcp(Client::Node).await;
}

#[tokio::test]
async fn grpcio_speaks_to_it() {
    over_tcp(Client::Grpcio).await;
}

#[tokio::test]
async fn python_connect_speaks_to_it() {
    over_tcp(Client::PythonConnect).await;
}

#[tokio::test]
async fn go_speaks_to_it_over_a_socket() {
    over_a_socket(Client::Go).await;
}

#[tokio::test]
async fn node_speaks_to_it_over_a_socket() {
    over_a_socket(Client::Node).await;
}

#[tokio::test]
async fn grpcio_speaks_to_it_over_a_socket() {
    over_a_socket(Client::Grpcio).await;
}

async fn over_tcp(client: Client) {
    let bed = Bed::new();
    // Not handed the socket, it listens where `FTL_BIND` says.
    let spawn = bed.spawn(Peer::Rust).env(LISTEN_FD, "");
    let plugin: Plugin<kv::KvClient> = spawn.spawn().await.unwrap();
    let port = plugin.endpoint.port().expect("it listens on a port");
    let token = token_of(plugin.child.pid());
    client
        .run(&[&format!("http://127.0.0.1:{port}"), &token])
        .await;
    bed.finish(plugin).await;
}

async fn over_a_socket(client: Client) {
    let mut plugin = AtSocket::start().await;
    let socket = plugin.socket();
    client.run(&["http://localhost", SECRET, &socket]).await;
    plugin.finish().await;
}

impl Client {
    async fn run(self, args: &[&str]) {
        let child = self
            .command()
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYTHONPATH", example().join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
        let Output {
            status,
            stdout,
            stderr,
        } = output.await.expect("it ends").unwrap();
        let said = String::from_utf8_lossy(&stdout);
        let complaint = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{self:?}, {status}: {said}\n{complaint}");
        let (mut said, mut expected) = (said.lines().collect::<Vec<_>>(), self.expected());
        said.sort_unstable();
        expected.sort_unstable();
        assert_eq!(said, expected, "{complaint}");
    }

    fn command(self) -> Command {
        let python = |name: &str, program: &str| {
            let mut command = Command::new(peers::prepared(name).join("bin/python"));
            command.arg(peers::sources().join(program));
            command
        };
        match self {
            Self::Go => Command::new(peers::prepared("grpc-go/client")),
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(peers::prepared("grpc-node/client.mjs"));
                command
            }
            Self::Grpcio => python("grpc-python", "grpc-python/client.py"),
            Self::PythonConnect => python("grpc-python-connect", "grpc-python-connect/client.py"),
        }
    }

    /// A line for each check, in each way that the library can speak.
    fn expected(self) -> Vec<String> {
        let mut ways = vec![("grpc", "2")];
        let mut more = Vec::new();
        match self {
            Self::Go => {
                ways.extend(CONNECT);
                ways.push(("grpc", "1.1"));
            }
            Self::Node | Self::PythonConnect => ways.extend(CONNECT),
            Self::Grpcio => more.extend(["reflection", "health"]),
        }
        let mut lines = Vec::new();
        for (protocol, http) in ways {
            let checks = CHECKS
                .iter()
                // It knows no other verb than POST.
                .filter(|check| !matches!(self, Self::Grpcio) || **check != "get")
                .chain(DUPLEX.iter().filter(|_| http == "2"))
                .chain(&more);
            lines.extend(checks.map(|check| format!("ok {protocol} {http} {check}")));
        }
        lines
    }
}

impl AtSocket {
    /// Runs the plugin with a socket that listens already, and waits until it answers.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // The shell gives the socket the number under which the plugin expects it.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" 3<&0 0</dev/null"])
            .arg(env!("CARGO_BIN_EXE_kv-peer"))
            .env_clear()
            .env(LISTEN_FD, "3")
            .env(TOKEN, SECRET)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let plugin = Self { child, folder };
        plugin.until_ready().await;
        plugin
    }

    fn socket(&self) -> String {
        self.folder.path().join("socket").display().to_string()
    }

    /// With no library at all: a GET is enough for what has no side effects.
    async fn until_ready(&self) {
        let request = format!(
            "GET /kv.v1.KvService/Ping?connect=v1&encoding=json&message=%7B%7D HTTP/1.1\r\n\
             host: localhost\r\n{TOKEN_HEADER}: {SECRET}\r\nconnection: close\r\n\r\n"
        );
        let ready = async {
            loop {
                // It waits in the queue until the plugin takes it.
                let mut stream = UnixStream::connect(self.socket()).await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                if answer.ends_with("\r\n\r\n{}") {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("ready");
    }

    async fn finish(&mut self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait());
        let status = ended.await.expect("it ends").unwrap();
        assert!(status.success(), "{status}");
    }
}

fn example() -> PathBuf {
    peers::sources().join("../../../examples/kv")
}

/// The token that a plugin was given, which nobody but its host and itself can read.
fn token_of(pid: u32) -> String {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let mut variables = environment.split_terminator('\0');
    let token = variables.find_map(|it| it.strip_prefix(TOKEN)?.strip_prefix('='));
    token.expect("a token").to_owned()
}
