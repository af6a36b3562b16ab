//! Requests to the API, and what it answers.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method};
use serde_json::Value;

/// A request that is being put together.
pub(crate) struct Request {
    inner: reqwest::RequestBuilder,
    line: String,
}

/// What was answered.
pub(crate) struct Answer {
    line: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(client: &Client, method: Method, url: String) -> Self {
        let line = format!("{method} {url}");
        let inner = client.request(method, url);
        Self { inner, line }
    }

    /// With this token, as a bearer's.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// A header, in the place of an earlier one of the same name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let mut headers = HeaderMap::new();
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
        self.inner = self.inner.headers(headers);
        self
    }

    pub(crate) fn json(mut self, body: impl serde::Serialize) -> Self {
        self.inner = self.inner.json(&body);
        self
    }

    pub(crate) fn zip(self, body: Vec<u8>) -> Self {
        self.body("application/zip", body)
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<reqwest::Body>) -> Self {
        self.inner = self.inner.header(CONTENT_TYPE, kind).body(body);
        self
    }

    /// Sends it; the error where no answer comes.
    pub(crate) async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.inner.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?.to_vec();
        Ok(Answer {
            line: self.line,
            status,
            headers,
            body,
        })
    }

    pub(crate) async fn send(self) -> Answer {
        let line = self.line.clone();
        let sent = self.try_send().await;
        sent.unwrap_or_else(|error| panic!("{line}: {error:?}"))
    }

    /// Sends it; the answer is read by the caller, as it comes.
    pub(crate) async fn stream(self) -> reqwest::Response {
        self.inner.send().await.unwrap()
    }
}

impl Answer {
    /// Its JSON, if it has this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(status < 400, "problems are looked at with `problem`");
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its problem, which has all that a problem must have, if it has this status.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:jackfield:problem:"), "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        for field in ["title", "detail", "trace_id"] {
            let text = problem[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "no {field}: {self:?}");
        }
        problem
    }

    /// Its problem, whose words have this in them.
    #[track_caller]
    pub(crate) fn problem_says(&self, status: u16, words: &str) -> Value {
        let problem = self.problem(status);
        assert!(
            problem.to_string().contains(words),
            "{words:?} is not in {self:?}"
        );
        problem
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(4000)]);
        let Self {
            line,
            status,
            headers,
            ..
        } = self;
        write!(f, "{line}\n{status}\n{headers:#?}\n{body}")
    }
}
