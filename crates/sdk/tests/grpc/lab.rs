//! A running plugin, and what it says.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// More than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The plugin, serving on an inherited socket.
pub(crate) struct Lab {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<ChildStderr>>,
    pub(crate) socket: PathBuf,
    _folder: Option<Folder>,
}

/// A folder that goes when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

/// The example, built beside the tests.
pub(crate) fn executable() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/grpc_lab");
    assert!(
        path.exists(),
        "{} is not built: run the tests of the whole package, or `cargo build --example grpc_lab` first",
        path.display()
    );
    path
}

/// The plugin with nothing but these variables and arguments.
pub(crate) fn command(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(executable());
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Its whole life.
pub(crate) async fn run(variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let run = command(variables, arguments).output();
    let Output {
        status,
        stdout,
        stderr,
    } = timeout(LONG, run).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

impl Folder {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "jackfield-lab-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A listening socket in a folder.
pub(crate) fn listening() -> (Folder, PathBuf, OwnedFd) {
    let folder = Folder::new();
    let socket = folder.0.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    (folder, socket, OwnedFd::from(listener))
}

impl From<Command> for Lab {
    /// Where it listens, it says itself.
    fn from(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            lines,
            socket: PathBuf::new(),
            _folder: None,
        }
    }
}

impl Lab {
    /// Started, and maybe not ready yet. Descriptors other than the standard ones cannot be handed on in safe code, so
    /// the socket is its standard input.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_with(variables, &[])
    }

    fn start_with(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let (folder, socket, listener) = listening();
        let mut command = command(variables, arguments);
        command
            .env("LAB_NEEDED", "x")
            .env("JACKFIELD_LISTEN_FD", "0")
            .stdin(listener);
        Self {
            socket,
            _folder: Some(folder),
            ..Self::from(command)
        }
    }

    /// Started and constructed.
    pub(crate) async fn ready(variables: &[(&str, &str)]) -> Self {
        Self::ready_with(variables, &[]).await
    }

    pub(crate) async fn ready_with(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut variables = variables.to_vec();
        variables.push(("LOG_LEVEL", "debug"));
        let mut lab = Self::start_with(&variables, arguments);
        lab.says("\"message\":\"Ready\"").await;
        lab
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// The next line with this in it.
    pub(crate) async fn says(&mut self, what: &str) -> String {
        let lines = &mut self.lines;
        let found = async move {
            let mut before = Vec::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(what) {
                    return line;
                }
                before.push(line);
            }
            panic!("it ended without saying {what:?}, after {before:#?}");
        };
        timeout(LONG, found).await.unwrap()
    }

    /// The next record with this in it.
    pub(crate) async fn logs(&mut self, what: &str) -> Value {
        serde_json::from_str(&self.says(what).await).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let args: [OsString; 3] = ["-s".into(), name.into(), pid.into()];
        let status = std::process::Command::new("kill").args(args).status();
        assert!(status.unwrap().success());
    }

    pub(crate) async fn ended(&mut self) -> Option<i32> {
        timeout(LONG, self.child.wait())
            .await
            .unwrap()
            .unwrap()
            .code()
    }
}
