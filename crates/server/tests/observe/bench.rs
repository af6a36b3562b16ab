//! A server over a temporary folder, and a client of it.

use std::time::Duration;

use jackfield_server::{Config, Ended, Server};
use jackfield_testkit::{manifest as command, packed};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    url: String,
    token: String,
    client: reqwest::Client,
    stop: CancellationToken,
    running: JoinHandle<Ended>,
    _folder: tempfile::TempDir,
}

/// Of a program that dials in.
pub(crate) fn manifest() -> Value {
    json!({
        "id": "observed", "author": "tests", "name": "Observed", "description": "", "version": "1.0.0",
        "events_consumed": ["Happened"],
    })
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(config).await.unwrap();
        let url = format!("http://{}", server.address());
        let token = server.administrator_token().unwrap().to_owned();
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        let bench = Self {
            url,
            token,
            client: reqwest::Client::new(),
            stop,
            running,
            _folder: folder,
        };
        bench
            .until(async || {
                let ready = bench
                    .client
                    .get(format!("{}/ready", bench.url))
                    .send()
                    .await;
                ready.is_ok_and(|ready| ready.status().is_success())
            })
            .await;
        bench
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stop.clone().cancelled_owned()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token).timeout(PATIENCE)
    }

    pub(crate) async fn json(&self, request: reqwest::RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.json(self.request("POST", path).json(body)).await
    }

    pub(crate) async fn install(&self, body: &Value) -> Value {
        self.post("/api/plugins", body).await
    }

    /// A child that never dials; its id.
    pub(crate) async fn install_sleeper(&self) -> String {
        let manifest = command(json!({"command": "sleep", "args": ["1000"]}));
        let archive = packed(&manifest, &[]).bytes;
        let request = self.request("POST", "/api/plugins");
        let request = request.header("content-type", "application/zip");
        let plugin = self.json(request.body(archive)).await;
        let id = plugin["id"].as_str().unwrap().to_owned();
        let start = format!("/api/plugins/{id}/start");
        self.json(self.request("POST", &start)).await;
        self.until(async || self.state(&id).await == "connecting")
            .await;
        id
    }

    /// Where a program dials that was installed as external.
    pub(crate) fn dial_url(&self, plugin: &Value) -> String {
        let token = plugin["connection"]["token"].as_str().unwrap();
        let address = self.url.strip_prefix("http://").unwrap();
        format!("ws://{address}/rpc?token={token}")
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        let plugin = self.request("GET", &format!("/api/plugins/{id}"));
        let plugin = self.json(plugin).await;
        let state = plugin["status"]["active_state"].as_str().unwrap();
        state.to_owned()
    }

    pub(crate) async fn until_active(&self, id: &str) {
        self.until(async || self.state(id).await == "active").await;
    }

    pub(crate) async fn figures_until(&self, what: impl Fn(&str) -> bool) -> String {
        let figures = async || {
            let figures = self.client.get(format!("{}/metrics", self.url)).send();
            figures.await.unwrap().text().await.unwrap()
        };
        self.until(async || what(&figures().await)).await;
        figures().await
    }

    async fn until(&self, what: impl AsyncFn() -> bool) {
        let waiting = async {
            while !what().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("it comes within a minute");
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        assert!(ended.unwrap().unwrap().killed.is_empty());
    }
}
