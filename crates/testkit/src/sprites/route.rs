//! From a request to its answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::exec::{self, NoSession};
use super::fault::{Fault, Op};
use super::files::{self, Failed};
use super::line::Line;
use super::process::Start;
use super::query::{self, decoded, pairs};
use super::record::{Request, starred};
use super::session::Attached;
use super::state::{Entry, State};
use super::{control, kill, places};

/// What the service says it is, in `Sprite-Version`; the official client attaches by path only to
/// versions that it knows to support that.
pub(super) const VERSION: &str = "v0.0.1-rc48";

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(super) struct Severed;

type Answer = Response<Full<Bytes>>;

/// What a request wants.
#[derive(Debug)]
struct Wanted {
    op: Op,
    sprite: Option<String>,
    /// The session, or the name of the change.
    detail: String,
    pairs: Vec<(String, String)>,
}

/// Answers a request and keeps a record of it.
pub(super) async fn answer(
    state: Arc<State>,
    request: HttpRequest<Incoming>,
) -> Result<Answer, Severed> {
    let wanted = Wanted::of(&request);
    let url = decoded(&request.uri().to_string(), false);
    let entry = state.begin(Request {
        op: wanted.op,
        sprite: wanted.sprite.clone(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: starred(&wanted.pairs),
        status: None,
        bytes: 0,
        key_in_url: url.contains(&state.key),
    });
    let mut response = dispatch(&state, request, wanted, &entry).await?;
    let version = HeaderValue::from_static(VERSION);
    response.headers_mut().insert("sprite-version", version);
    entry.status(response.status().as_u16());
    Ok(response)
}

async fn dispatch(
    state: &Arc<State>,
    request: HttpRequest<Incoming>,
    wanted: Wanted,
    entry: &Entry,
) -> Result<Answer, Severed> {
    let key = request.headers().get(AUTHORIZATION);
    let key = key.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if key != Some(state.key.as_str()) {
        return Ok(status(401));
    }
    let fault = state.meet(wanted.op).await;
    let cut = match &fault {
        Some(Fault::Cut(bytes)) if wanted.op == Op::Write => Some(*bytes),
        Some(Fault::Cut(_)) => return Err(Severed),
        Some(fault) => match fault.answer() {
            Some(answer) => return Ok(answer),
            None => None,
        },
        None => None,
    };
    let Some(sprite) = &wanted.sprite else {
        return Ok(match wanted.op {
            Op::Create => {
                let body = request.collect().await.map_err(|_| Severed)?.to_bytes();
                match places::create(state, &body) {
                    Ok(sprite) => json(201, &sprite),
                    Err(number) => status(number),
                }
            }
            Op::List => json(200, &places::list(state, &wanted.pairs)),
            _ => status(404),
        });
    };
    if !state.lock().sprites.contains_key(sprite) {
        return Ok(status(404));
    }
    let folder = state.folder(sprite);
    let filed = |result: Result<Value, Failed>| match result {
        Ok(body) => Ok(json(200, &body)),
        Err(failed) => failed
            .answer()
            .map(|(number, body)| json(number, &body))
            .ok_or(Severed),
    };
    match wanted.op {
        Op::Get => {
            let shown = places::shown(&state.lock(), sprite);
            Ok(shown.map_or_else(|| status(404), |sprite| json(200, &sprite)))
        }
        Op::Delete => Ok(match places::delete(state, sprite).await {
            true => empty(204),
            false => status(404),
        }),
        Op::Read => match files::read(&folder, &wanted.pairs) {
            Ok(bytes) => {
                let mut response = Response::new(Full::from(bytes));
                let kind = HeaderValue::from_static("application/octet-stream");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                Ok(response)
            }
            Err(failed) => filed(Err(failed)),
        },
        Op::Write => {
            let body = request.into_body();
            filed(files::write(&folder, &wanted.pairs, body, cut, entry).await)
        }
        Op::ListFiles => filed(files::list(&folder, &wanted.pairs)),
        Op::DeleteFiles => filed(files::delete(&folder, &wanted.pairs)),
        Op::ChangeFiles => {
            let body = request.collect().await.map_err(|_| Severed)?.to_bytes();
            filed(files::change(&folder, &wanted.detail, &body))
        }
        Op::Sessions if request.method() == Method::HEAD => Ok(empty(200)),
        Op::Sessions => Ok(match kill::list(state, sprite) {
            Some(list) => json(200, &list),
            None => status(404),
        }),
        Op::Kill => Ok(
            match kill::kill(state, sprite, &wanted.detail, &wanted.pairs).await {
                Ok(events) => {
                    let mut response = Response::new(Full::from(events));
                    let kind = HeaderValue::from_static("application/x-ndjson");
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                    response
                }
                Err(number) => status(number),
            },
        ),
        Op::Exec | Op::Attach => Ok(exec(state, request, &wanted, sprite, fault)),
        Op::Control => {
            let sprite = sprite.clone();
            let serve = |line| control::serve(line, sprite);
            Ok(upgrade(state, request, &wanted, serve))
        }
        Op::Create | Op::List | Op::Start | Op::Other => Ok(status(404)),
    }
}

/// Starts or finds the session before the upgrade, so that an error is still an answer.
fn exec(
    state: &Arc<State>,
    request: HttpRequest<Incoming>,
    wanted: &Wanted,
    sprite: &str,
    fault: Option<Fault>,
) -> Answer {
    let mut start = Start::of(&wanted.pairs);
    if !wanted.detail.is_empty() {
        start.id = Some(wanted.detail.clone());
    }
    let mut opened: Result<Attached, NoSession> = exec::open(state, sprite, &start);
    if let Err(NoSession::NotStarted(words)) = &opened {
        opened = exec::open(state, sprite, &exec::instead(&start, words));
    }
    match opened {
        Ok(attached) => upgrade(state, request, wanted, |line| {
            exec::serve(line, attached, fault)
        }),
        Err(why) => why.fault().answer().unwrap_or_else(|| status(500)),
    }
}

fn upgrade<F>(
    state: &Arc<State>,
    mut request: HttpRequest<Incoming>,
    wanted: &Wanted,
    serve: impl FnOnce(Line) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send,
{
    let Some(key) = request.headers().get("sec-websocket-key") else {
        return status(400);
    };
    let accept = derive_accept_key(key.as_bytes());
    let sprite = wanted.sprite.clone().unwrap_or_default();
    let signals = state.lock().signals;
    let control = wanted.op == Op::Control;
    let breaks = state.line(&sprite);
    let upgraded = hyper::upgrade::on(&mut request);
    let shared = Arc::clone(state);
    state.tasks.spawn(async move {
        let Ok(upgraded) = upgraded.await else {
            return;
        };
        let io = hyper_util::rt::TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        serve(Line {
            socket,
            state: shared,
            breaks,
            signals,
            control,
        })
        .await;
    });
    let mut response = empty(101);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&accept).expect("base64 fits into a header");
    headers.insert("sec-websocket-accept", accept);
    if signals {
        headers.insert("x-sprite-capabilities", HeaderValue::from_static("signal"));
    }
    response
}

impl Wanted {
    fn of(request: &HttpRequest<Incoming>) -> Self {
        let pairs = pairs(request.uri().query().unwrap_or_default());
        let path = request.uri().path().strip_prefix("/v1/sprites");
        let parts: Vec<String> = match path {
            Some(path) if path.is_empty() || path.starts_with('/') => path
                .split('/')
                .skip(1)
                .map(|part| decoded(part, false))
                .collect(),
            _ => vec!["".into(); 9],
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let socket = request.headers().get(UPGRADE).is_some_and(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.eq_ignore_ascii_case("websocket"))
        });
        let (op, detail) = match (request.method().as_str(), socket, parts.get(1..)) {
            ("POST", false, None) => (Op::Create, ""),
            ("GET", false, None) => (Op::List, ""),
            ("GET", false, Some([])) => (Op::Get, ""),
            ("DELETE", false, Some([])) => (Op::Delete, ""),
            ("GET", false, Some(["fs", "read"])) => (Op::Read, ""),
            ("PUT", false, Some(["fs", "write"])) => (Op::Write, ""),
            ("GET", false, Some(["fs", "list"])) => (Op::ListFiles, ""),
            ("DELETE", false, Some(["fs", "delete"])) => (Op::DeleteFiles, ""),
            ("POST", false, Some(["fs", what @ ("rename" | "copy" | "chmod")])) => {
                (Op::ChangeFiles, *what)
            }
            ("GET" | "HEAD", false, Some(["exec"])) => (Op::Sessions, ""),
            ("GET", true, Some(["exec"])) => match query::first(&pairs, "id") {
                Some(_) => (Op::Attach, ""),
                None => (Op::Exec, ""),
            },
            ("GET", true, Some(["exec", id])) => (Op::Attach, *id),
            ("POST", false, Some(["exec", id, "kill"])) => (Op::Kill, *id),
            ("GET", true, Some(["control"])) => (Op::Control, ""),
            _ => (Op::Other, ""),
        };
        Self {
            op,
            sprite: parts.first().map(|&name| name.to_owned()),
            detail: detail.to_owned(),
            pairs,
        }
    }
}

impl fmt::Display for Severed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("closed by order")
    }
}

impl std::error::Error for Severed {}

fn json(status: u16, body: &Value) -> Answer {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = number(status);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn empty(status: u16) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = number(status);
    response
}

fn status(status: u16) -> Answer {
    Fault::status(status)
        .answer()
        .unwrap_or_else(|| empty(status))
}

fn number(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("an HTTP status")
}
