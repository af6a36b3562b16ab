//! One request, its answer, its deadline.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::Connector;
use crate::error::{ServiceError, within};
use crate::secret::{Secrets, encode};
use crate::settings::Timing;

/// More of an answer is not read.
const ANSWER: usize = 4 * 1024 * 1024;
/// Connections that nobody uses are kept that long.
const IDLE: Duration = Duration::from_secs(60);

/// A connection to the service: an address, a key, a pool.
pub(crate) struct Client {
    pool: Pool<Connector, Content>,
    pub(super) connector: Connector,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// Between the authority and `/v1`, without a slash at the end.
    prefix: String,
    pub(super) authorization: HeaderValue,
    pub(super) secrets: Secrets,
    pub(crate) timing: Timing,
}

/// The body of a request.
pub(super) type Content = UnsyncBoxBody<Bytes, std::io::Error>;

/// Why there can be no [`Client`].
#[derive(Debug)]
pub(crate) enum BadAddress {
    Key,
    Address(&'static str),
}

/// A request.
pub(super) struct Call {
    pub(super) doing: &'static str,
    pub(super) method: Method,
    /// From `/v1` on, with every part [encoded](encode).
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) content: Option<(Content, u64, &'static str)>,
    pub(super) deadline: Duration,
}

impl Client {
    pub(crate) fn new(
        base: &str,
        key: &str,
        secrets: Secrets,
        timing: Timing,
    ) -> Result<Self, BadAddress> {
        let base: Uri = base
            .trim()
            .parse()
            .map_err(|_| BadAddress::Address("it is no URL"))?;
        let scheme = base
            .scheme()
            .filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS);
        let scheme = scheme.ok_or(BadAddress::Address(
            "it must begin with http:// or https://",
        ))?;
        let authority = base
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or(BadAddress::Address("it has no host, or has a user"))?;
        if base.query().is_some() {
            return Err(BadAddress::Address("it has a query"));
        }
        if key.is_empty() {
            return Err(BadAddress::Key);
        }
        let authorization = HeaderValue::try_from(format!("Bearer {key}"));
        let mut authorization = authorization.map_err(|_| BadAddress::Key)?;
        authorization.set_sensitive(true);
        let connector = Connector::new();
        Ok(Self {
            pool: Pool::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .pool_timer(TokioTimer::new())
                .build(connector.clone()),
            connector,
            scheme: scheme.clone(),
            authority: authority.clone(),
            prefix: base.path().trim_end_matches('/').to_owned(),
            authorization,
            secrets,
            timing,
        })
    }

    /// The path and query of a request, below the prefix of the address.
    pub(super) fn target(&self, path: &str, query: &[(&'static str, String)]) -> String {
        let mut target = format!("{}{path}", self.prefix);
        for (index, (key, value)) in query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(key);
            target.push('=');
            target.push_str(&encode(value));
        }
        target
    }

    pub(super) fn agent() -> HeaderValue {
        HeaderValue::from_static(concat!("jackfield/", env!("CARGO_PKG_VERSION")))
    }

    /// Sends a request and reads the whole answer. Everything but 2xx is an error; redirects are not followed, since the
    /// key would go with them.
    pub(super) async fn send(&self, call: Call) -> Result<Bytes, ServiceError> {
        let (doing, deadline) = (call.doing, call.deadline);
        within(doing, deadline, Box::pin(self.exchange(call))).await
    }

    async fn exchange(&self, call: Call) -> Result<Bytes, ServiceError> {
        let doing = call.doing;
        let odd = |what: &str| ServiceError::Odd {
            doing,
            what: what.to_owned(),
        };
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(self.target(&call.path, &call.query))
            .build()
            .map_err(|_| odd("the request is too long"))?;
        let mut request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(USER_AGENT, Self::agent());
        let content = match call.content {
            Some((content, length, kind)) => {
                request = request
                    .header(CONTENT_LENGTH, length)
                    .header(CONTENT_TYPE, kind);
                content
            }
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        };
        let request = request.body(content).map_err(|_| odd("no such request"))?;
        let answer = self
            .pool
            .request(request)
            .await
            .map_err(|error| ServiceError::unreachable(doing, error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await;
        match body {
            Ok(body) if head.status.is_success() => Ok(body.to_bytes()),
            Ok(body) => Err(self.refused(doing, head.status, &head.headers, &body.to_bytes())),
            Err(_) if !head.status.is_success() => {
                Err(self.refused(doing, head.status, &head.headers, b""))
            }
            Err(source) => Err(ServiceError::Unreachable { doing, source }),
        }
    }

    pub(super) fn refused(
        &self,
        doing: &'static str,
        status: StatusCode,
        headers: &http::HeaderMap,
        body: &[u8],
    ) -> ServiceError {
        ServiceError::refused(doing, status, headers, body, &self.secrets)
    }

    /// A request without a body, with the usual deadline.
    pub(super) fn call(&self, doing: &'static str, method: Method, path: String) -> Call {
        Call {
            doing,
            method,
            path,
            query: Vec::new(),
            content: None,
            deadline: self.timing.request,
        }
    }
}

impl Call {
    pub(super) fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(super) fn json(mut self, value: &serde_json::Value) -> Self {
        let bytes = Bytes::from(value.to_string());
        let length = bytes.len() as u64;
        let content = Full::new(bytes).map_err(|never| match never {});
        self.content = Some((content.boxed_unsync(), length, "application/json"));
        self
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("authority", &self.authority.as_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_encoded_below_the_prefix() {
        let client = Client::new(
            "http://[::1]:99/api/",
            "key",
            Secrets::default(),
            Timing::default(),
        );
        let client = client.unwrap();
        assert_eq!(
            client.target(
                "/v1/x",
                &[("path", "/a b/ü&c".to_owned()), ("cmd", "x".to_owned())]
            ),
            "/api/v1/x?path=%2Fa%20b%2F%C3%BC%26c&cmd=x"
        );
        assert!(!format!("{client:?}").contains("key"));
    }

    #[test]
    fn odd_addresses_are_refused() {
        for base in [
            "",
            "api.sprites.dev",
            "ftp://x",
            "https://u:p@x",
            "https://x/?a=b",
        ] {
            let client = Client::new(base, "key", Secrets::default(), Timing::default());
            assert!(matches!(client, Err(BadAddress::Address(_))), "{base}");
        }
    }
}
