//! How long the server takes to be ready, with what it has installed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use jackfield::package::{PackOptions, pack};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::lab::Lab;
use crate::protocol::Failure;
use crate::results::{Role, Row};

pub(super) const NAME: &str = "server";

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let Some(program) = &lab.jackfield else {
        lab.left_out("the server: `jackfield` was not built beside this program".to_owned());
        return Ok(Vec::new());
    };
    let plugin = lab.program("bench-plugin");
    let inactive: &[usize] = if lab.quick {
        &[0, 3]
    } else {
        &[0, 125, 250, 500]
    };
    let active: &[usize] = if lab.quick { &[2] } else { &[25, 50, 100] };
    let starts = lab.rounds(5);
    let mut ready = Row::new(
        NAME,
        "server-ready",
        "Start of the server, until it is ready, with so many installed",
        "ms",
    );
    let mut all_active = Row::new(
        NAME,
        "server-active",
        "Start of the server, until all plugins are active",
        "ms",
    );
    let mut idle = Server::new(program)?;
    let mut installed = 0;
    for count in inactive {
        idle.filled(&plugin, installed..*count, false).await?;
        installed = *count;
        let (times, _) = idle.starts(starts, 0).await?;
        ready.add(&format!("inactive, {count}"), Role::Ours, times);
    }
    let mut busy = Server::new(program)?;
    let mut installed = 0;
    for count in active {
        busy.filled(&plugin, installed..*count, true).await?;
        installed = *count;
        let (times, up) = busy.starts(starts, *count).await?;
        ready.add(&format!("active, {count}"), Role::Ours, times);
        all_active.add(&format!("active, {count}"), Role::Ours, up);
    }
    let note = "SQLite. From the start of the process until `/ready` answers 200, after a start before it.";
    Ok(vec![ready.note(note), all_active])
}

struct Server<'a> {
    program: &'a Path,
    folder: tempfile::TempDir,
    token: String,
    running: Option<Running>,
}

struct Running {
    child: Child,
    address: String,
    /// Reads what it says, so that it never waits for a reader.
    _readers: JoinSet<()>,
}

impl<'a> Server<'a> {
    fn new(program: &'a Path) -> Result<Self, Failure> {
        Ok(Self {
            program,
            folder: tempfile::tempdir()?,
            token: String::new(),
            running: None,
        })
    }

    async fn start(&mut self) -> Result<(), Failure> {
        let mut child = Command::new(self.program)
            .args(["--json", "serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut output = BufReader::new(output).lines();
        let mut address = String::new();
        while address.is_empty() || self.token.is_empty() {
            let line = output.next_line().await?.ok_or("the server ended")?;
            let told: Value = serde_json::from_str(&line).unwrap_or_default();
            let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
            match told["type"].as_str() {
                Some("administrator") => self.token = text("token"),
                Some("listening") => {
                    let url = text("url");
                    url.trim_start_matches("http://")
                        .trim_end_matches('/')
                        .clone_into(&mut address);
                }
                _ => {}
            }
        }
        let mut readers = JoinSet::new();
        readers.spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        self.running = Some(Running {
            child,
            address,
            _readers: readers,
        });
        Ok(())
    }

    async fn ready(&self) -> Result<(), Failure> {
        while self.ask(Method::GET, "/ready", None, Vec::new()).await?.0 != 200 {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn until_active(&self, count: usize) -> Result<(), Failure> {
        loop {
            let path = "/api/plugins";
            let (_, body) = self.ask(Method::GET, path, None, Vec::new()).await?;
            let plugins = body["plugins"].as_array().cloned().unwrap_or_default();
            let active = plugins
                .iter()
                .filter(|plugin| plugin["status"]["active_state"] == "active");
            if active.count() >= count {
                return Ok(());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(&mut self) -> Result<(), Failure> {
        if let Some(mut running) = self.running.take() {
            let pid = running.child.id().and_then(|pid| i32::try_from(pid).ok());
            let pid = pid.and_then(Pid::from_raw).ok_or("it does not run")?;
            kill_process(pid, Signal::TERM)?;
            running.child.wait().await?;
        }
        Ok(())
    }

    /// Installs these.
    async fn filled(
        &mut self,
        plugin: &Path,
        which: std::ops::Range<usize>,
        active: bool,
    ) -> Result<(), Failure> {
        self.start().await?;
        self.ready().await?;
        for number in which {
            let folder = tempfile::tempdir()?;
            let manifest = json!({
                "id": format!("bench-{number}"), "author": "jackfield", "name": format!("Bench {number}"),
                "description": "", "version": "1.0.0", "command": plugin, "args": ["--dial"],
            });
            std::fs::write(folder.path().join("manifest.json"), manifest.to_string())?;
            let archive = pack(folder.path(), &PackOptions::default())?.bytes;
            let (status, body) = self
                .ask(
                    Method::POST,
                    "/api/plugins",
                    Some("application/zip"),
                    archive.to_vec(),
                )
                .await?;
            if status != 200 {
                return Err(format!("not installed: {status} {body}").into());
            }
            if active {
                let id = body["id"].as_str().unwrap_or_default();
                let path = format!("/api/plugins/{id}/active");
                let wanted = json!({"active": "active"}).to_string().into_bytes();
                let (status, body) = self
                    .ask(Method::PATCH, &path, Some("application/json"), wanted)
                    .await?;
                if status != 200 {
                    return Err(format!("not active: {status} {body}").into());
                }
            }
        }
        self.stop().await
    }

    /// Starts it again and again: milliseconds until it is ready, and until so many are active.
    async fn starts(
        &mut self,
        count: usize,
        active: usize,
    ) -> Result<(Vec<f64>, Vec<f64>), Failure> {
        let (mut ready, mut up) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let began = Instant::now();
            self.start().await?;
            self.ready().await?;
            ready.push(began.elapsed().as_secs_f64() * 1e3);
            self.until_active(active).await?;
            up.push(began.elapsed().as_secs_f64() * 1e3);
            self.stop().await?;
        }
        Ok((ready, up))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Vec<u8>,
    ) -> Result<(u16, Value), Failure> {
        let running = self.running.as_ref().ok_or("it does not run")?;
        let stream = TcpStream::connect(&running.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &running.address)
            .header("authorization", format!("Bearer {}", self.token));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = sender
            .send_request(request.body(Full::new(bytes::Bytes::from(body)))?)
            .await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
