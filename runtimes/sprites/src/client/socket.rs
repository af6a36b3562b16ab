//! WebSockets to a sprite.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::uri::Scheme;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Client;
use super::connector::Wire;
use super::sessions::exec_path;
use crate::error::{ServiceError, within};
use crate::secret::encode;

/// A message of a process's output is some tens of kilobytes; what an attach replays may come as one.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;
/// Nothing that is sent here is long.
const WRITE: Duration = Duration::from_secs(5);

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: Box<WebSocketStream<Wire>>,
    /// Signals may be sent on it.
    pub(crate) signals: bool,
}

impl Client {
    /// The channel on which operations are asked for.
    pub(crate) async fn control(&self, sprite: &str) -> Result<Socket, ServiceError> {
        let path = format!("/v1/sprites/{}/control", encode(sprite));
        self.socket("open a control channel", &path, &[]).await
    }

    /// A process of its own: started by the query, or, with an id, attached to. Its URL is as secret as the query.
    pub(crate) async fn direct(
        &self,
        sprite: &str,
        id: Option<&str>,
        query: &[(&'static str, String)],
    ) -> Result<Socket, ServiceError> {
        let path = match id {
            Some(id) => format!("{}/{}", exec_path(sprite), encode(id)),
            None => exec_path(sprite),
        };
        self.socket("run a process", &path, query).await
    }

    async fn socket(
        &self,
        doing: &'static str,
        path: &str,
        query: &[(&'static str, String)],
    ) -> Result<Socket, ServiceError> {
        let encrypted = self.scheme == Scheme::HTTPS;
        let scheme = if encrypted { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{}", self.authority, self.target(path, query));
        let odd = |what: &str| ServiceError::Odd {
            doing,
            what: what.to_owned(),
        };
        let mut request = url
            .into_client_request()
            .map_err(|_| odd("the request is too long"))?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(USER_AGENT, Self::agent());
        let open = async {
            let host = self.authority.host().to_owned();
            let port = self.authority.port_u16();
            let port = port.unwrap_or(if encrypted { 443 } else { 80 });
            let wire = self.connector.clone().connect(host, port, encrypted).await;
            let wire = wire.map_err(|error| ServiceError::unreachable(doing, error))?;
            let config = WebSocketConfig::default()
                .max_message_size(Some(LARGEST_MESSAGE))
                .max_frame_size(Some(LARGEST_MESSAGE));
            let opened =
                tokio_tungstenite::client_async_with_config(request, wire, Some(config)).await;
            let (inner, answer) = opened.map_err(|error| match error {
                Error::Http(answer) => {
                    let body = answer.body().as_deref().unwrap_or_default();
                    self.refused(doing, answer.status(), answer.headers(), body)
                }
                // Its words have the URL in them.
                Error::Url(_) => odd("no such URL"),
                other => ServiceError::unreachable(doing, other),
            })?;
            let able = answer.headers().get("x-sprite-capabilities");
            let able = able.and_then(|able| able.to_str().ok()).unwrap_or_default();
            Ok(Socket {
                inner: Box::new(inner),
                signals: able.split(',').any(|word| word.trim() == "signal"),
            })
        };
        within(doing, self.timing.request, Box::pin(open)).await
    }
}

impl Socket {
    /// The next message; `None` after its end, however it came. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        match self.inner.next().await {
            Some(Ok(Message::Close(_)) | Err(_)) | None => None,
            Some(Ok(message)) => Some(message),
        }
    }

    /// Whether a message went out within 5 s. After a no the socket is of no use any more.
    pub(crate) async fn send(&mut self, message: Message) -> bool {
        let sent = tokio::time::timeout(WRITE, self.inner.send(message)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Says goodbye, and does not wait for an answer.
    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(WRITE, self.inner.as_mut().close(None)).await;
    }
}
