//! The control channel: one operation after another on one WebSocket.

use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::exec::{self, NoSession};
use super::fault::{Break, Fault, Op};
use super::line::{Line, Outcome};
use super::process::Start;
use super::query::of_args;
use super::record::{Request, starred};

/// Serves the channel until its end.
pub(super) async fn serve(mut line: Line, sprite: String) {
    let outcome = loop {
        let message = tokio::select! {
            message = line.socket.next() => message,
            Some(how) = line.breaks.recv() => break Outcome::Broken(how),
            () = line.state.end.cancelled() => break Outcome::Gone,
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            None | Some(Err(_) | Ok(Message::Close(_))) => break Outcome::Gone,
            Some(Ok(_)) => continue,
        };
        let text = text.strip_prefix("control:").unwrap_or(&text);
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        if message["type"] == "op.start" {
            let outcome = operation(&mut line, &sprite, &message).await;
            if !outcome.free() {
                break outcome;
            }
        }
    };
    line.end(outcome).await;
}

async fn operation(line: &mut Line, sprite: &str, message: &Value) -> Outcome {
    let state = Arc::clone(&line.state);
    let name = message["op"].as_str().unwrap_or_default();
    let pairs = of_args(&message["args"]);
    let start = Start::of(&pairs);
    let op = match &start.id {
        Some(_) => Op::Attach,
        None => Op::Start,
    };
    let entry = state.begin(Request {
        op,
        sprite: Some(sprite.to_owned()),
        method: "OP".to_owned(),
        path: format!("/v1/sprites/{sprite}/control/{name}"),
        query: starred(&pairs),
        status: None,
        bytes: 0,
        key_in_url: false,
    });
    let fault = state.meet(op).await;
    match &fault {
        Some(Fault::Cut(_)) => return Outcome::Broken(Break::Reset),
        Some(fault @ Fault::Status { status, .. }) => {
            entry.status(*status);
            return failed(line, &fault.words()).await;
        }
        _ => {}
    }
    if name != "exec" {
        entry.status(501);
        return failed(line, &format!("unknown operation: {name}")).await;
    }
    let mut opened = exec::open(&state, sprite, &start);
    if let Err(NoSession::NotStarted(words)) = &opened {
        opened = exec::open(&state, sprite, &exec::instead(&start, words));
    }
    let attached = match opened {
        Ok(attached) => attached,
        Err(why) => {
            entry.status(404);
            return failed(line, &why.fault().words()).await;
        }
    };
    entry.status(200);
    drop(entry);
    let outcome = line.carry(attached, fault.as_ref()).await;
    if !outcome.free() {
        return outcome;
    }
    told(line, &json!({"type": "op.complete"})).await
}

async fn failed(line: &mut Line, words: &str) -> Outcome {
    told(line, &json!({"type": "op.error", "args": {"error": words}})).await
}

async fn told(line: &mut Line, message: &Value) -> Outcome {
    match line.send(Message::text(format!("control:{message}"))).await {
        Ok(()) => Outcome::Over,
        Err(outcome) => outcome,
    }
}
