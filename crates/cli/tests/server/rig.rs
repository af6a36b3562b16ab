//! A `jackfield serve` of a test's own: its folder, its database, its process, and requests to it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_testkit::postgres;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::answer::{Answer, Request};

/// Longer than anything takes here, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Which of the two databases a story is told on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    arguments: Vec<OsString>,
    env: Vec<(String, String)>,
    /// The URL of the database; the default of the server where there is none.
    database: Option<String>,
}

/// A server, and what it lies in. Killed when dropped.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) options: Options,
    pub(crate) http: reqwest::Client,
    /// The administrator's.
    pub(crate) token: String,
    address: SocketAddr,
    running: Option<Running>,
    /// All that the servers here wrote, to both outputs.
    written: Arc<Mutex<String>>,
}

struct Running {
    child: Child,
    readers: tokio::task::JoinSet<()>,
}

/// How a server ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
}

impl Options {
    /// Short delays, so that no test waits for a restart or a retry.
    pub(crate) fn quick() -> Self {
        Self::default()
            .with("--restarts", "1")
            .with("--restart-delay", "20ms")
            .with("--restart-delay-cap", "100ms")
            .with("--event-retry-delay", "20ms")
            .with("--event-retry-cap", "200ms")
            .with("--grace", "10s")
    }

    /// An option with a value, in the place of an earlier one.
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        if let Some(at) = self.arguments.iter().position(|a| a == name) {
            self.arguments.drain(at..=at + 1);
        }
        self.arguments.push(name.into());
        self.arguments.push(value.into());
        self
    }

    /// An option without a value.
    pub(crate) fn flag(mut self, name: &str) -> Self {
        self.arguments.push(name.into());
        self
    }

    /// A variable of the server's environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

impl Rig {
    /// A server over an empty folder and an empty database.
    pub(crate) async fn start(database: Database) -> Self {
        Self::start_with(database, Options::quick()).await
    }

    /// The same, told something.
    pub(crate) async fn start_with(database: Database, mut options: Options) -> Self {
        if database == Database::Postgres {
            options.database = Some(postgres::database().await);
        }
        let mut rig = Self::stopped(options);
        rig.start_again().await;
        assert!(
            !rig.token.is_empty(),
            "the first start tells a token: {}",
            rig.written()
        );
        rig
    }

    /// A place for a server that does not run yet.
    pub(crate) fn stopped(options: Options) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            options,
            http: client(),
            token: String::new(),
            address: SocketAddr::from((own_address(), 0)),
            running: None,
            written: Arc::default(),
        }
    }

    /// Starts the server over what the one before it left, on the same port.
    pub(crate) async fn start_again(&mut self) {
        if let Err(ended) = self.try_start().await {
            panic!("the server does not start: {ended:?}\n{}", self.written());
        }
    }

    /// Starts the server: how it ended, where it does not come so far as to listen.
    pub(crate) async fn try_start(&mut self) -> Result<(), Ended> {
        assert!(self.running.is_none(), "it runs already");
        let began = Instant::now();
        let mut child = self.command().spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut readers = tokio::task::JoinSet::new();
        let written = Arc::clone(&self.written);
        readers.spawn(async move {
            while let Ok(Some(line)) = err.next_line().await {
                note(&written, &line);
            }
        });
        let listening = async {
            let mut listens = false;
            while let Some(line) = out.next_line().await.unwrap() {
                note(&self.written, &line);
                let told: Value = serde_json::from_str(&line).unwrap_or_default();
                match told["type"].as_str() {
                    Some("administrator") => {
                        told["token"].as_str().unwrap().clone_into(&mut self.token);
                    }
                    Some("listening") => {
                        let url = told["url"].as_str().unwrap();
                        self.address = url.strip_prefix("http://").unwrap().parse().unwrap();
                        listens = true;
                    }
                    _ => {}
                }
                // The token comes after it, at the first start.
                if listens && !self.token.is_empty() {
                    return true;
                }
            }
            false
        };
        let listening = tokio::time::timeout(PATIENCE, listening).await;
        let Ok(listening) = listening else {
            panic!("the server neither listens nor ends: {}", self.written());
        };
        if !listening {
            let code = child.wait().await.unwrap().code();
            while readers.join_next().await.is_some() {}
            let took = began.elapsed();
            return Err(Ended { code, took });
        }
        let written = Arc::clone(&self.written);
        readers.spawn(async move {
            while let Ok(Some(line)) = out.next_line().await {
                note(&written, &line);
            }
        });
        self.running = Some(Running { child, readers });
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackfield"));
        command
            .args(["serve", "--json", "--data"])
            .arg(self.data())
            .arg("--listen")
            .arg(self.address.to_string())
            .args(&self.options.arguments)
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .env("PATH", jackfield_testkit::peers::path())
            .envs(self.options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(database) = &self.options.database {
            command.arg("--database").arg(database);
        }
        command
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = self.plain(Method::GET, "/ready").send().await;
            if ready.status == 200 {
                return;
            }
            assert!(
                ready.status == 503 && Instant::now() < deadline,
                "{ready:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub(crate) async fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().await.unwrap();
        while running.readers.join_next().await.is_some() {}
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) async fn end(&mut self, signal: Signal) -> Ended {
        self.signal(signal);
        self.ended().await
    }

    /// Sends it SIGTERM, waits for its end, and starts another one.
    pub(crate) async fn restart(&mut self) {
        let ended = self.end(Signal::TERM).await;
        assert_eq!(ended.code, Some(0), "{ended:?}\n{}", self.written());
        self.start_again().await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of a server that was told to end.
    pub(crate) async fn ended(&mut self) -> Ended {
        let began = Instant::now();
        let mut running = self.running.take().expect("it runs");
        let status = tokio::time::timeout(PATIENCE, running.child.wait()).await;
        let Ok(status) = status else {
            panic!("it does not end: {}", self.written());
        };
        while running.readers.join_next().await.is_some() {}
        Ended {
            code: status.unwrap().code(),
            took: began.elapsed(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        let running = self.running.as_ref().expect("it runs");
        running.child.id().expect("nobody waited for it")
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `http://127.…:…`, without a slash.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where an external plugin with this token dials.
    pub(crate) fn door(&self, token: &str) -> String {
        format!("ws://{}/rpc?token={token}", self.address)
    }

    /// All that was written to both outputs, by all servers here.
    pub(crate) fn written(&self) -> String {
        self.written.lock().unwrap().clone()
    }

    /// The URL of the database, where it is not in the data folder.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.options.database.as_deref()
    }

    /// A request below `/api`, by the administrator.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        self.plain(method, &format!("/api{path}"))
            .token(&self.token)
    }

    /// A request by nobody.
    pub(crate) fn plain(&self, method: Method, path: &str) -> Request {
        let url = format!("{}{path}", self.url());
        Request::new(&self.http, method, url)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PUT, path).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PATCH, path).json(body).send().await
    }

    /// Installs this package; gives the plugin's JSON.
    pub(crate) async fn install(&self, package: Vec<u8>) -> Value {
        let request = self.request(Method::POST, "/plugins?grant=requested");
        request.zip(package).send().await.expect(200)
    }

    /// Installs an external plugin: its JSON, and its token.
    pub(crate) async fn install_external(&self, manifest: Value) -> (Value, String) {
        let body = json!({"mode": "external", "manifest": manifest});
        let plugin = self
            .post("/plugins?grant=requested", body)
            .await
            .expect(200);
        let token = plugin["connection"]["token"].as_str();
        let token = token
            .unwrap_or_else(|| panic!("no token: {plugin}"))
            .to_owned();
        (plugin, token)
    }

    /// Another package for an installation.
    pub(crate) async fn upgrade(&self, id: &str, package: Vec<u8>) -> Answer {
        let request = self.request(Method::PATCH, &format!("/plugins/{id}/package"));
        request.zip(package).send().await
    }

    /// Sets what is wanted, and waits for it as the API does.
    pub(crate) async fn set_active(&self, id: &str, wanted: &str) -> Answer {
        self.patch(&format!("/plugins/{id}/active"), json!({"active": wanted}))
            .await
    }

    pub(crate) async fn activate(&self, id: &str) -> Value {
        self.set_active(id, "active").await.expect(200)
    }

    pub(crate) async fn plugin(&self, id: &str) -> Value {
        self.get(&format!("/plugins/{id}")).await.expect(200)
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        state_of(&self.plugin(id).await)
    }

    /// Calls a method of a plugin; gives its result.
    pub(crate) async fn call(&self, id: &str, method: &str, params: Value) -> Value {
        let answer = self.try_call(id, method, params).await.expect(200);
        answer["result"].clone()
    }

    pub(crate) async fn try_call(&self, id: &str, method: &str, params: Value) -> Answer {
        let body = json!({"method": method, "params": params});
        self.post(&format!("/plugins/{id}/call"), body).await
    }

    /// Publishes an event; gives the answer.
    pub(crate) async fn publish(&self, event: &str, payload: Value) -> Value {
        let body = json!({"event": event, "payload": payload});
        self.post("/events", body).await.expect(202)
    }

    /// A new token with these permissions.
    pub(crate) async fn make_token(&self, permissions: &[&str]) -> String {
        let body = json!({"name": permissions.join("-"), "permissions": permissions});
        let made = self.post("/tokens", body).await;
        assert!(made.status == 200 || made.status == 201, "{made:?}");
        made.json()["token"]
            .as_str()
            .expect("it is shown once")
            .to_owned()
    }

    /// Waits until the plugin is like this.
    pub(crate) async fn until(
        &self,
        id: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        self.until_get(&format!("/plugins/{id}"), what, holds).await
    }

    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        self.until(id, state, |plugin| state_of(plugin) == state)
            .await
    }

    /// Waits until what is found here is like this.
    pub(crate) async fn until_get(
        &self,
        path: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.get(path).await.expect(200);
            if holds(&found) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{path} never becomes {what}: {found:#}"
            );
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// The folder in which a plugin keeps its own files.
    pub(crate) fn state_folder(&self, id: &str) -> PathBuf {
        let plugin = self.data().join("plugins").join(id);
        find(&plugin, "state").unwrap_or_else(|| plugin.join("state"))
    }
}

/// The discriminator of a plugin's status.
pub(crate) fn state_of(plugin: &Value) -> String {
    let state = plugin["status"]["active_state"].as_str();
    state
        .unwrap_or_else(|| panic!("no state: {plugin:#}"))
        .to_owned()
}

/// The id of a plugin.
pub(crate) fn id_of(plugin: &Value) -> String {
    let id = plugin["id"].as_str();
    id.unwrap_or_else(|| panic!("no id: {plugin:#}")).to_owned()
}

/// Waits until something holds that nothing tells of.
pub(crate) async fn eventually(what: &str, holds: impl FnMut() -> bool) {
    jackfield_testkit::eventually(PATIENCE, what, holds).await;
}

fn client() -> reqwest::Client {
    // Neither proxies nor redirects: what is asked for is what answers.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE * 2);
    client.build().unwrap()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let direct = folder.join(name);
    direct.is_dir().then_some(direct)
}

fn note(written: &Mutex<String>, line: &str) {
    let mut written = written.lock().unwrap();
    written.push_str(line);
    written.push('\n');
}

/// A loopback address of its own for each server: nobody takes its port while it is down.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, high, low, _] = std::process::id().to_be_bytes().map(|b| b & 0x7f);
    let [_, _, _, pid] = std::process::id().to_be_bytes();
    let [_, _, a, b] = next.to_be_bytes();
    Ipv4Addr::new(127, (high ^ low) | 1, pid ^ a, b.wrapping_add(1).max(1))
}
