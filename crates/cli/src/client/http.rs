//! Asks, and reads what is answered.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::Value;

use super::{ClientError, Problem};

/// A server, and a token for it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// What came back, and is not an error.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// `null` where there was nothing.
    pub(crate) body: Value,
}

/// How long an answer may take, where nothing else is said. A bit longer than the longest time for which the server
/// waits with a job.
const PATIENCE: Duration = Duration::from_secs(90);

/// How this server is reached: one on this machine never through a proxy, to which a token and what
/// goes by is nobody's business.
pub(crate) fn builder(server: &Url) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder();
    if is_local(server) {
        builder.no_proxy()
    } else {
        builder
    }
}

/// Whether it is this machine.
pub(crate) fn is_local(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Client {
    /// For this server, with this token.
    pub(crate) fn new(base: Url, token: &str) -> Result<Self, ClientError> {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        let http = builder(&base)
            .user_agent(concat!("jackfield/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .connect_timeout(Duration::from_secs(10))
            .timeout(PATIENCE)
            // Elsewhere the token has no business.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, base })
    }

    /// Where the server is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// A request to `/api/…`; the parts of the path are escaped here.
    pub(crate) fn ask(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        self.http.request(method, url)
    }

    /// Sends it, and reads the whole answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        let response = self.open(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await;
        let bytes = bytes.map_err(|error| self.unreachable(error))?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|_| self.foreign(status, &bytes))?
        };
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// Sends it, and leaves what comes after the head to be read.
    pub(crate) async fn open(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await;
        let response = response.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(body)) => Err(Problem::new(body, &self.base).into()),
            _ => Err(self.foreign(status, &bytes)),
        }
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &[&str]) -> Result<Value, ClientError> {
        Ok(self.send(self.ask(Method::GET, path)).await?.body)
    }

    /// Reads a plugin, with the states that are shown to those who ask for them.
    pub(crate) async fn wide(&self, id: &str) -> Result<Value, ClientError> {
        let request = self.ask(Method::GET, &["plugins", id]);
        Ok(self.send(request.query(&[("wide", "1")])).await?.body)
    }

    /// Sends something, and reads what comes of it.
    pub(crate) async fn put(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, ClientError> {
        Ok(self.send(self.ask(method, path).json(body)).await?.body)
    }

    /// What a connection that failed means.
    pub(crate) fn unreachable(&self, error: reqwest::Error) -> ClientError {
        let url = self.base.clone();
        if error.is_timeout() {
            return ClientError::Silent { url };
        }
        ClientError::Unreachable {
            url,
            source: error.without_url(),
        }
    }

    fn foreign(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let text = String::from_utf8_lossy(body);
        let first = text.lines().next().unwrap_or_default();
        ClientError::Foreign {
            url: self.base.clone(),
            status,
            text: first.chars().take(120).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_address_and_not_by_how_a_name_begins() {
        for (url, is) in [
            ("http://localhost:7411", true),
            ("http://127.8.0.1:1/base", true),
            ("http://[::1]:7411", true),
            ("http://127.example.org", false),
            ("http://localhost.example.org", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_local(&url.parse().unwrap()), is, "{url}");
        }
    }
}
