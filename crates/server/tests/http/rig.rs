//! A server of a test's own, and requests to it.

use std::time::Duration;

use jackfield_server::{Config, Ended, Server};
use jackfield_testkit::{manifest, packed};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs.
pub(crate) struct Rig {
    pub(crate) base: String,
    /// The administrator's.
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Ended>,
    _folder: TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(set: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path());
        config.listen.set_port(0);
        config.grace = Duration::from_secs(10);
        config.policy.restarts = 0;
        set(&mut config);
        let server = Server::start(config).await.unwrap();
        let base = format!("http://{}", server.address());
        let token = server.administrator_token().unwrap().to_owned();
        let (stop, stopped) = oneshot::channel();
        let running = spawn(server.run(async {
            let _ = stopped.await;
        }));
        let rig = Self {
            base,
            token,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop: Some(stop),
            running,
            _folder: folder,
        };
        rig.until_ready().await;
        rig
    }

    async fn until_ready(&self) {
        let ready = async {
            while !self
                .plain(Method::GET, "/ready")
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
    }

    /// A request without a token.
    pub(crate) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A request of the administrator's.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.plain(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    /// A token that is good for these.
    pub(crate) async fn token_for(&self, permissions: &[&str]) -> String {
        let body = json!({"name": permissions.join("+"), "permissions": permissions});
        let made = self.ask(Method::POST, "/api/tokens").json(&body).send();
        let made: Value = made.await.unwrap().json().await.unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// Installs a plugin that runs this script, and never connects.
    pub(crate) async fn install(&self, script: &str) -> String {
        let request = self
            .ask(Method::POST, "/api/plugins")
            .header("content-type", "application/zip")
            .body(script_package(script));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let plugin: Value = answer.json().await.unwrap();
        plugin["id"].as_str().unwrap().to_owned()
    }

    /// Tells the server to end, without waiting.
    pub(crate) fn tell_to_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// How it ended.
    pub(crate) async fn ended(mut self) -> Ended {
        if self.stop.is_some() {
            self.tell_to_stop();
        }
        let ended = tokio::time::timeout(PATIENCE, self.running);
        ended.await.unwrap().unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the rig waits for it in `ended`, and the runtime's end ends it otherwise"
)]
fn spawn(run: impl Future<Output = Ended> + Send + 'static) -> JoinHandle<Ended> {
    tokio::spawn(run)
}

/// An archive of a plugin that runs this script.
pub(crate) fn script_package(script: &str) -> Vec<u8> {
    let manifest = manifest(json!({"command": "sh", "args": ["-c", script]}));
    packed(&manifest, &[]).bytes.to_vec()
}

/// The problem that an answer is, checked for its shape.
pub(crate) async fn problem(answer: Response) -> Value {
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(kind, "application/problem+json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(
        body["type"]
            .as_str()
            .unwrap()
            .starts_with("urn:jackfield:problem:")
    );
    assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
    assert!(!body["title"].as_str().unwrap().is_empty());
    body
}
