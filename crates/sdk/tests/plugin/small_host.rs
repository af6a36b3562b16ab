//! A host made of a listener and a peer.

use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin::methods::{Access, AccessGet, Config, GetConfig};
use jackfield_plugin::{Plugin, RunError};
use jackfield_rpc::{Methods, Options, Peer, WebSocket, open};
use jackfield_wire::Client;
use jackfield_wire::method::SUBPROTOCOL;
use serde_json::{Map, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_util::task::TaskTracker;

pub(crate) struct SmallHost {
    listener: TcpListener,
    pub(crate) takes_v1: bool,
    pub(crate) tasks: TaskTracker,
}

/// What a plugin's future gives when it is done.
pub(crate) type Running = tokio::task::JoinHandle<Result<(), RunError>>;

impl SmallHost {
    pub(crate) async fn new() -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn listening(listener: TcpListener) -> Self {
        Self {
            listener,
            takes_v1: true,
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn supervised_url(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("ws://{address}/rpc?plugin_id=9m4e2mr0ui3e8a215n4g&token=sealed-secret")
    }

    pub(crate) fn external_url(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("ws://{address}/rpc?token=sdprt_secret")
    }

    /// The next connection, before it says anything.
    pub(crate) async fn connection(&self) -> TcpStream {
        soon(self.listener.accept()).await.unwrap().0
    }

    /// The next plugin that dials.
    pub(crate) async fn accept(&self) -> Peer {
        let stream = self.connection().await;
        let mut client = Client::default();
        let takes_v1 = self.takes_v1;
        #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
        let callback = |request: &Request, mut response: Response| {
            let header = |name: &str| {
                let value = request.headers().get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            client.user_agent = header("user-agent");
            assert_eq!(
                header("sec-websocket-protocol").as_deref(),
                Some(SUBPROTOCOL)
            );
            if takes_v1 {
                client.speaks_v1 = true;
                let value = SUBPROTOCOL.parse().unwrap();
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", value);
            }
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, callback)
            .await
            .unwrap();
        let options = Options {
            client,
            ..Options::default()
        };
        let duplex = WebSocket::server(socket.into_inner()).await;
        open(duplex, Arc::new(methods()), (), options, &self.tasks)
    }

    /// A plugin that runs beside the test, until it ends by itself.
    pub(crate) fn run(&self, plugin: Plugin) -> Running {
        self.tasks.spawn(plugin.run_until(std::future::pending()))
    }

    pub(crate) async fn end(self) {
        self.tasks.close();
        let ended = timeout(Duration::from_secs(20), self.tasks.wait()).await;
        assert!(ended.is_ok(), "{} tasks are left", self.tasks.len());
    }
}

fn methods() -> Methods<()> {
    Methods::new()
        .method::<GetConfig, _, _>(async |_call, params| {
            let all = json!({"greeting": "Hello", "times": 3});
            let mut config: Map<_, _> = serde_json::from_value(all).unwrap();
            if !params.keys.is_empty() {
                config.retain(|key, _| params.keys.contains(key));
            }
            Ok(Config { config })
        })
        .method::<AccessGet, _, _>(async |_call, _params| {
            Ok(Access {
                access_key: "sdbak_1".to_owned(),
                api_base_url: "http://localhost:8000".to_owned(),
            })
        })
}

/// `future`, which must not take long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let done = timeout(Duration::from_secs(20), future).await;
    done.expect("took too long")
}
