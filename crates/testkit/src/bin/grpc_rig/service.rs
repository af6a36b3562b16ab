//! `kv.v1.KvService`, and the orders that its keys are.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Out};
use crate::messages::{Messages, entry, field, find, get, number};
use crate::orders::{die, put};
use crate::state::State;
use crate::until_there;

const UNIMPLEMENTED: u16 = 12;

pub(crate) async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    if let Some(file) = &state.pings.touched {
        put(file, b"");
    }
    let path = head.uri.path();
    let method = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(&*state.service)?.strip_prefix('/'));
    let mut messages = Messages::of(body);
    match method {
        Some("Ping") => ping(state).await,
        Some("Get") => {
            let message = messages.next().await.unwrap_or_default();
            let key = get(&message, 1);
            value(state, &key, &head.headers).await
        }
        Some("Put") => {
            let message = messages.next().await.unwrap_or_default();
            let replaced = store(state, &get(&message, 1)).is_some();
            answer::message(&if replaced { number(1, 1) } else { Vec::new() })
        }
        Some("List") => {
            let message = messages.next().await.unwrap_or_default();
            let (out, response) = answer::stream();
            state
                .tasks
                .spawn(list(Arc::clone(state), get(&message, 1), out));
            response
        }
        Some("Load") => {
            let mut stored = 0;
            while let Some(entry) = messages.next().await {
                store(state, &entry);
                stored += 1;
            }
            answer::message(&number(1, stored))
        }
        Some("Sync") => {
            let (out, response) = answer::stream();
            state.tasks.spawn(sync(Arc::clone(state), messages, out));
            response
        }
        _ if state.unknown_is_404 => answer::not_found(),
        _ => answer::error(UNIMPLEMENTED, "unknown service or method"),
    }
}

async fn ping(state: &State) -> Response<Answer> {
    let pings = &state.pings;
    let before = state.pinged.fetch_add(1, Ordering::Relaxed);
    if before == 2
        && let Some(file) = &pings.pinged
    {
        put(file, b"");
    }
    if before < pings.hang {
        std::future::pending::<()>().await;
    }
    if let Some(code) = pings.exit {
        exit(code);
    }
    if let Some(code) = pings.fail {
        return answer::error(code, "the ping fails");
    }
    let there = |file: &String| std::fs::exists(file).is_ok_and(|there| there);
    let waits = pings.ready_when.as_ref().is_some_and(|file| !there(file))
        || pings
            .ready_after
            .is_some_and(|at| tokio::time::Instant::now() < at);
    let bound = pings.ready_when.is_some() || pings.ready_after.is_some();
    match &pings.not_ready {
        Some(reason) if waits || !bound => answer::message(&field(1, reason.as_bytes())),
        _ if waits => answer::message(&field(1, b"warming up")),
        // Present but empty is ready, too.
        _ if bound => answer::message(&field(1, b"")),
        _ => answer::message(b""),
    }
}

async fn value(state: &Arc<State>, key: &Bytes, headers: &HeaderMap) -> Response<Answer> {
    let text = String::from_utf8_lossy(key).into_owned();
    let (order, rest) = text.split_once(':').unwrap_or((&text, ""));
    let value = match order {
        "identity" => state.identity.clone(),
        "pid" => std::process::id().to_string(),
        "headers" => all(headers).to_string(),
        "connections" => state.connections.load(Ordering::Relaxed).to_string(),
        "signals" => state.signals.all(),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(rest.parse().expect("a number"))).await;
            "slow".into()
        }
        "never" => std::future::pending().await,
        "hold" => {
            put(&format!("{rest}/began"), b"");
            until_there(&format!("{rest}/go")).await;
            "held".into()
        }
        "exit" => exit(rest.parse().expect("a code")),
        "die" => {
            die(rest.parse().expect("a signal"));
            String::new()
        }
        "stop" => {
            let stop = rustix::process::Signal::STOP;
            rustix::process::kill_process(rustix::process::getpid(), stop).expect("itself");
            "stopped, and went on".into()
        }
        "fail" => {
            let (code, text) = rest.split_once(':').expect("a code and a text");
            return answer::error(code.parse().expect("a code"), text);
        }
        "big" => "x".repeat(rest.parse().expect("a number")),
        "cut" => {
            state.cut.notify_one();
            std::future::pending().await
        }
        "goaway" => {
            state.goaway.notify_waiters();
            "said".into()
        }
        "deafen-door" => {
            state.close.notify_one();
            "closed".into()
        }
        "say" => {
            eprintln!("{rest}");
            "said".into()
        }
        _ => {
            let value = state
                .values
                .lock()
                .expect("nobody panics")
                .get(key)
                .cloned();
            return value.map_or_else(
                || answer::error(5, "there is no such key"),
                |value| answer::message(&field(1, &value)),
            );
        }
    };
    answer::message(&field(1, value.as_bytes()))
}

async fn list(state: Arc<State>, prefix: Bytes, out: Out) {
    let text = String::from_utf8_lossy(&prefix).into_owned();
    let (order, rest) = text.split_once(':').unwrap_or((&text, ""));
    match order {
        "count" => {
            for n in 0..rest.parse::<usize>().expect("a number") {
                out.send(&entry(n.to_string().as_bytes(), b"")).await;
            }
        }
        "tick" => {
            while out.send(&entry(b"tick", b"")).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        "hold" => {
            out.send(&entry(b"first", b"")).await;
            put(&format!("{rest}/began"), b"");
            until_there(&format!("{rest}/go")).await;
            out.send(&entry(b"second", b"")).await;
        }
        "crash" => {
            out.send(&entry(b"last", b"")).await;
            // When that is under way.
            tokio::time::sleep(Duration::from_millis(50)).await;
            exit(rest.parse().expect("a code"));
        }
        _ => {
            let values = state.values.lock().expect("nobody panics").clone();
            for (key, value) in values.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                out.send(&entry(key, value)).await;
            }
        }
    }
    out.end().await;
}

async fn sync(state: Arc<State>, mut messages: Messages, out: Out) {
    while let Some(message) = messages.next().await {
        let key = match find(&message, 2) {
            Some(entry) => {
                store(&state, &entry);
                get(&entry, 1)
            }
            None => get(&message, 1),
        };
        let value = state
            .values
            .lock()
            .expect("nobody panics")
            .get(&key)
            .cloned();
        let answer = value.map_or_else(|| field(1, &key), |value| entry(&key, &value));
        if !out.send(&answer).await {
            return;
        }
    }
    out.end().await;
}

/// Stores an entry, and gives what was there.
fn store(state: &State, entry: &Bytes) -> Option<Bytes> {
    let mut values = state.values.lock().expect("nobody panics");
    values.insert(get(entry, 1), get(entry, 2))
}

fn all(headers: &HeaderMap) -> Value {
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                json!(String::from_utf8_lossy(value.as_bytes())),
            )
        })
        .collect();
    Value::Object(headers)
}
