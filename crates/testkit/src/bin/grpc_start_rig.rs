//! A plugin made with `start`, that is slow, fails and panics on order.
//!
//! Flags give the orders for the start, see [`Config`]; once it serves, keys and prefixes give further ones, see
//! [`Rig::value`] and [`entries`].

use std::collections::BTreeMap;
use std::process::{ExitCode, exit};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connectrpc::{
    ConnectError, Encodable, InboundStream, RequestContext, Response, ServiceRequest,
    ServiceResult, ServiceStream,
};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use jackfield_plugin::grpc::{Body, Services, Start, clap};
use kv::{
    Entry, GetRequest, GetResponse, KvService, ListRequest, LoadResponse, PingRequest,
    PingResponse, PutRequest, PutResponse, SyncRequest, SyncResponse,
};
use tokio::sync::mpsc;
use tracing::{debug, error, info, trace, warn};

/// Misbehaves on order.
#[derive(clap::Args, Debug)]
#[command(version)]
struct Config {
    /// The answer to `identity`.
    #[arg(long, default_value = "")]
    identity: String,
    /// The answer to `number`.
    #[arg(long, env = "RIG_NUMBER", default_value_t = 7)]
    number: u32,
    /// Milliseconds that the constructor waits.
    #[arg(long)]
    constructor: Option<u64>,
    /// Milliseconds for which the constructor blocks its thread.
    #[arg(long)]
    constructor_blocks: Option<u64>,
    /// A file that the constructor waits for.
    #[arg(long)]
    constructor_waits: Option<String>,
    /// The constructor fails with this.
    #[arg(long)]
    constructor_fails: Option<String>,
    #[arg(long)]
    constructor_panics: bool,
    /// Milliseconds; read by `main`.
    #[arg(long)]
    grace: Option<u64>,
    /// Bytes; read by `main`.
    #[arg(long)]
    max_message_size: Option<usize>,
}

#[derive(Debug)]
struct Rig {
    config: Config,
    values: Mutex<BTreeMap<String, Vec<u8>>>,
}

fn main() -> ExitCode {
    let mut start = Start::new("rig").descriptors(kv::DESCRIPTORS);
    if let Some(grace) = early("--grace") {
        start = start.grace(Duration::from_millis(grace));
    }
    if let Some(size) = early("--max-message-size") {
        start = start.max_message_size(usize::try_from(size).expect("64 bits"));
    }
    start.run(construct, register)
}

/// What is needed before the flags are read.
fn early(flag: &str) -> Option<u64> {
    let mut args = std::env::args().skip_while(|arg| arg != flag);
    args.nth(1)?.parse().ok()
}

async fn construct(config: Config) -> Result<Rig, std::io::Error> {
    if let Some(delay) = config.constructor {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(delay) = config.constructor_blocks {
        std::thread::sleep(Duration::from_millis(delay));
    }
    if let Some(file) = &config.constructor_waits {
        until_there(file).await;
    }
    if let Some(text) = &config.constructor_fails {
        return Err(std::io::Error::other(text.clone()));
    }
    assert!(!config.constructor_panics, "the constructor panics");
    Ok(Rig {
        config,
        values: Mutex::default(),
    })
}

fn register(rig: Arc<Rig>, services: Services) -> Services {
    let raw = async |request: http::Request<Body>| {
        let (head, body) = request.into_parts();
        let mut text = format!("raw {} {}", head.method, head.uri.path());
        if let Some(query) = head.uri.query() {
            text = format!("{text}?{query}");
        }
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        if !body.is_empty() {
            text = format!("{text} {}", String::from_utf8_lossy(&body));
        }
        http::Response::new(text)
    };
    let extra = connectrpc::handler_fn(|_: RequestContext, _: GetRequest| async {
        Response::ok(found("extra"))
    });
    services
        .add(rig)
        .routes(|router| router.route("extra.v1.Extra", "Get", extra))
        .http("/raw", raw)
        .http("/raw/", raw)
}

async fn until_there(file: &str) {
    while !std::fs::exists(file).is_ok_and(|there| there) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn found(value: impl Into<Vec<u8>>) -> GetResponse {
    GetResponse {
        value: value.into(),
        ..GetResponse::default()
    }
}

fn entry(key: impl Into<String>, value: Vec<u8>) -> Entry {
    Entry {
        key: key.into(),
        value,
        ..Entry::default()
    }
}

async fn hold(folder: &str) {
    std::fs::write(format!("{folder}/began"), "").expect("a file");
    until_there(&format!("{folder}/go")).await;
}

fn log(text: &str) {
    trace!(answer = 42, "{text}");
    debug!(answer = 42, "{text}");
    info!(answer = 42, "{text}");
    warn!(answer = 42, "{text}");
    error!(answer = 42, "{text}");
}

impl Rig {
    async fn value(&self, ctx: &RequestContext, key: &str) -> Result<Vec<u8>, ConnectError> {
        let (order, rest) = key.split_once(':').unwrap_or((key, ""));
        let value = match order {
            "identity" => self.config.identity.clone(),
            "number" => self.config.number.to_string(),
            "pid" => std::process::id().to_string(),
            "headers" => headers(ctx),
            "slow" => {
                let delay = rest.parse().expect("a number");
                tokio::time::sleep(Duration::from_millis(delay)).await;
                "slow".into()
            }
            "hold" => {
                hold(rest).await;
                "held".into()
            }
            "log" => {
                log(rest);
                "logged".into()
            }
            "big" => "x".repeat(rest.parse().expect("a number")),
            "panic" => panic!("a secret of the panic"),
            "exit" => exit(rest.parse().expect("a code")),
            _ => {
                let values = self.values.lock().expect("nobody panics");
                let value = values.get(key).cloned();
                return value.ok_or_else(|| ConnectError::not_found("there is no such key"));
            }
        };
        Ok(value.into_bytes())
    }

    fn store(&self, entry: Entry) -> bool {
        let mut values = self.values.lock().expect("nobody panics");
        values.insert(entry.key, entry.value).is_some()
    }
}

fn headers(ctx: &RequestContext) -> String {
    let headers: serde_json::Map<_, _> = ctx
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    serde_json::Value::Object(headers).to_string()
}

/// What `List` sends for this prefix.
async fn entries(prefix: String, stored: Vec<Entry>, out: mpsc::Sender<Entry>) {
    let (order, rest) = prefix.split_once(':').unwrap_or((&prefix, ""));
    match order {
        "count" => {
            for n in 0..rest.parse::<u32>().expect("a number") {
                let _ = out.send(entry(n.to_string(), Vec::new())).await;
            }
        }
        "tick" => {
            while out.send(entry("tick", Vec::new())).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        "hold" => {
            let _ = out.send(entry("first", Vec::new())).await;
            hold(rest).await;
            let _ = out.send(entry("second", Vec::new())).await;
        }
        _ => {
            for entry in stored {
                let _ = out.send(entry).await;
            }
        }
    }
}

impl KvService for Rig {
    async fn ping<'a>(
        &'a self,
        _: RequestContext,
        _: ServiceRequest<'_, PingRequest>,
    ) -> ServiceResult<impl Encodable<PingResponse> + Send + use<'a>> {
        Response::ok(PingResponse::default())
    }

    async fn get<'a>(
        &'a self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetRequest>,
    ) -> ServiceResult<impl Encodable<GetResponse> + Send + use<'a>> {
        let key = request.to_owned_message().key;
        Response::ok(found(self.value(&ctx, &key).await?))
    }

    async fn put<'a>(
        &'a self,
        _: RequestContext,
        request: ServiceRequest<'_, PutRequest>,
    ) -> ServiceResult<impl Encodable<PutResponse> + Send + use<'a>> {
        let entry = request
            .to_owned_message()
            .entry
            .into_option()
            .unwrap_or_default();
        Response::ok(PutResponse {
            replaced: self.store(entry),
            ..PutResponse::default()
        })
    }

    async fn list(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, ListRequest>,
    ) -> ServiceResult<ServiceStream<impl Encodable<Entry> + Send + use<>>> {
        let prefix = request.to_owned_message().prefix;
        let stored = self.values.lock().expect("nobody panics").clone();
        let stored = stored
            .into_iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, value)| entry(key, value))
            .collect();
        let (out, entries_in) = mpsc::channel(1);
        let panics = prefix == "panic";
        let sending = entries(prefix, stored, out);
        // One future beside the stream: both end together.
        let mut sending = Box::pin(sending);
        let mut done = false;
        let mut entries_in = entries_in;
        let stream = stream::poll_fn(move |context| {
            assert!(!panics, "a secret of the panic");
            if !done {
                done = sending.as_mut().poll(context).is_ready();
            }
            entries_in.poll_recv(context).map(|entry| entry.map(Ok))
        });
        Response::ok(Box::pin(stream) as ServiceStream<Entry>)
    }

    async fn load<'a>(
        &'a self,
        _: RequestContext,
        mut requests: InboundStream<Entry>,
    ) -> ServiceResult<impl Encodable<LoadResponse> + Send + use<'a>> {
        let mut stored = 0;
        while let Some(entry) = requests.next().await {
            self.store(entry?.to_owned_message());
            stored += 1;
        }
        Response::ok(LoadResponse {
            stored,
            ..LoadResponse::default()
        })
    }

    async fn sync(
        &self,
        _: RequestContext,
        requests: InboundStream<SyncRequest>,
    ) -> ServiceResult<ServiceStream<impl Encodable<SyncResponse> + Send + use<>>> {
        let answers = requests.map(|request| {
            use kv::__buffa::oneof::sync_request::Step;
            let (key, value) = match request?.to_owned_message().step {
                Some(Step::Put(entry)) => (entry.key.clone(), Some(entry.value.clone())),
                Some(Step::Get(key)) => (key, None),
                None => (String::new(), None),
            };
            Ok(SyncResponse {
                key,
                value,
                ..SyncResponse::default()
            })
        });
        Response::ok(Box::pin(answers) as ServiceStream<SyncResponse>)
    }
}
