//! Calls into the application: signed requests over HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jackfield::rpc::{Call, trace};
use jackfield::wire::Xid;
use jackfield::{Fault, RawJson, Session};
use serde::Serialize;
use serde_json::value::RawValue;

use super::access::handle;
use super::answer;
use super::sign::{secret_bytes, signature};
use crate::secret::Key;
use crate::store::{Store, Target};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// The application as plugins see it. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub(crate) struct Application {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    key: Key,
    client: reqwest::Client,
    max_answer: usize,
}

/// What the application is sent.
#[derive(Serialize)]
struct Request<'a> {
    /// Of this call, and of no other: the `webhook-id` as well.
    id: &'a str,
    method: &'a str,
    /// `null` where there were none.
    params: Option<&'a RawValue>,
    plugin: Caller<'a>,
}

/// Who calls.
#[derive(Serialize)]
struct Caller<'a> {
    installation_id: String,
    id: &'a str,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
}

impl Application {
    /// `max_answer`: the largest answer that is taken, in bytes; the policy's `max_message`.
    pub(crate) fn new(store: Store, key: Key, max_answer: usize) -> Self {
        let inner = Inner {
            store,
            key,
            client: client(),
            max_answer,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Seals the secret of a method.
    pub(super) fn seal(&self, method: &str, secret: &str) -> String {
        self.inner.key.seal(&about(method), secret.as_bytes())
    }

    /// Hands a plugin's call on to the endpoint that its method is mapped to. When the plugin takes
    /// its call back, or its line ends, the request is given up.
    pub(super) async fn forward(
        &self,
        call: &Call<Session>,
        params: Option<&RawValue>,
    ) -> Result<RawJson, Fault> {
        let (method, id) = (&*call.method, call.context.id());
        let target = match self.inner.store.target(method).await {
            Ok(Some(target)) => target,
            Ok(None) => return Err(Fault::method_not_found(method)),
            Err(error) => {
                tracing::warn!(%id, method, %error, "a plugin's call is not answered");
                return Err(Fault::internal("the database does not answer; try again"));
            }
        };
        let answered = self.ask(&target, call, params);
        let answer = tokio::time::timeout(target.timeout, answered)
            .await
            .unwrap_or_else(|_| {
                let within = humantime::format_duration(target.timeout);
                Err(Fault::server(format!(
                    "the application did not answer `{method}` within {within}"
                )))
            });
        if let Err(fault) = &answer {
            tracing::info!(%id, method, %fault, "a call into the application failed");
        }
        answer
    }

    async fn ask(
        &self,
        target: &Target,
        call: &Call<Session>,
        params: Option<&RawValue>,
    ) -> Result<RawJson, Fault> {
        let method = &*target.name;
        let secret = self.unseal(target)?;
        let id = Xid::new().to_string();
        let body = body(&id, method, params, &call.context)
            .map_err(|error| Fault::internal(format!("the request is no JSON: {error}")))?;
        let timestamp = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut request = self
            .inner
            .client
            .post(&target.url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                signature(&secret, &id, timestamp, &body),
            )
            .header(
                "jackfield-deadline-ms",
                target.timeout.as_millis().to_string(),
            )
            .body(body);
        if let Some(trace) = trace::current() {
            request = request.header("traceparent", trace.as_str());
        }
        let response = request.send().await.map_err(|error| {
            // Its address is the operator's business and not the plugin's.
            let error = error.without_url();
            tracing::warn!(
                method,
                error = &error as &dyn std::error::Error,
                "the application is not reached"
            );
            Fault::server(format!("the application cannot be reached for `{method}`"))
        })?;
        answer::read(response, method, self.inner.max_answer).await
    }

    fn unseal(&self, target: &Target) -> Result<Vec<u8>, Fault> {
        let shown = self.inner.key.unseal(&about(&target.name), &target.secret);
        shown
            .ok()
            .and_then(|shown| secret_bytes(std::str::from_utf8(&shown).ok()?))
            .ok_or_else(|| {
                tracing::error!(
                    method = target.name,
                    "the secret of a method cannot be read: map it again"
                );
                Fault::internal(
                    "the method's secret cannot be read: the operator has to map it again",
                )
            })
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("max_answer", &self.inner.max_answer)
            .finish_non_exhaustive()
    }
}

/// What a sealed secret is for.
fn about(method: &str) -> String {
    format!("method:{method}")
}

fn body(
    id: &str,
    method: &str,
    params: Option<&RawValue>,
    session: &Session,
) -> Result<Vec<u8>, serde_json::Error> {
    let manifest = session.manifest();
    serde_json::to_vec(&Request {
        id,
        method,
        params,
        plugin: Caller {
            installation_id: session.id().to_string(),
            id: &manifest.id,
            name: &manifest.name,
            version: &manifest.version,
            handle: handle(manifest, session.id()),
        },
    })
}

/// Follows no redirects, uses no proxy: requests go where the operator said.
fn client() -> reqwest::Client {
    let builder = || {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .user_agent(concat!("jackfield/", env!("CARGO_PKG_VERSION")))
    };
    builder().build().unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the system has no certificates to trust: applications are reached over http alone"
        );
        let client = builder().tls_certs_only([]).build();
        client.expect("nothing is left that could fail")
    })
}
