//! An application that answers plugins' calls, in Python.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::peers::{Peer, python};
use crate::rig::Rig;

/// A secret as `PUT /methods/…` takes and makes them: 24 bytes and more, in Base64.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The application, with an endpoint for methods.
pub(crate) struct Application {
    _peer: Peer,
    port: u64,
    http: reqwest::Client,
}

impl Application {
    pub(crate) async fn start() -> Self {
        let mut command = python("application.py");
        command.arg(SECRET);
        let mut peer = Peer::start(command);
        let port = peer.told().await["port"].as_u64().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            _peer: peer,
            port,
            http,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/call", self.port)
    }

    /// Maps a method to the endpoint.
    pub(crate) async fn map(&self, rig: &Rig, method: &str, extra: Value) -> Answer {
        let mut body = json!({"url": self.url(), "secret": SECRET});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().cloned().unwrap_or_default());
        let mapped = rig.put(&format!("/methods/{method}"), body).await;
        assert!([200, 201].contains(&mapped.status), "{mapped:?}");
        mapped
    }

    /// What the endpoint was asked up to now.
    pub(crate) async fn asked(&self) -> Vec<Value> {
        let asked = self.http.get(self.url()).send().await.unwrap();
        serde_json::from_slice(&asked.bytes().await.unwrap()).unwrap()
    }

    /// Another secret.
    pub(crate) async fn secret(&self, secret: &str) {
        let sent = self
            .http
            .put(self.url())
            .body(secret.to_owned())
            .send()
            .await;
        assert_eq!(sent.unwrap().status(), 204);
    }
}
