//! A WebSocket with a session on it.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::fault::{Break, Fault};
use super::process::signal;
use super::query::unix;
use super::session::{Attached, Frame};
use super::state::State;

/// An open WebSocket of a sprite.
pub(super) struct Line {
    pub(super) socket: WebSocketStream<TokioIo<Upgraded>>,
    pub(super) state: Arc<State>,
    /// Orders to break it.
    pub(super) breaks: mpsc::Receiver<Break>,
    /// Signals may come as frames.
    pub(super) signals: bool,
    /// On a control channel what is written to stdin has no stream id before it.
    pub(super) control: bool,
}

/// How a session on a line ended.
pub(super) enum Outcome {
    /// The line is free again.
    Over,
    /// The line is to break.
    Broken(Break),
    /// The other side is gone, or the service ends.
    Gone,
}

enum Event {
    Frame(Option<Frame>),
    Message(Option<Result<Message, Error>>),
    Break(Break),
    End,
}

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;
const STDIN: u8 = 0;
const STDIN_EOF: u8 = 4;

impl Line {
    /// Carries a session until it ends, or the line does.
    pub(super) async fn carry(&mut self, mut attached: Attached, fault: Option<&Fault>) -> Outcome {
        if let Some(Fault::Started(how)) = fault {
            return Outcome::Broken(*how);
        }
        let info = info(&attached);
        if let Err(outcome) = self.send(Message::text(info.to_string())).await {
            return outcome;
        }
        for frame in std::mem::take(&mut attached.before) {
            if let Err(outcome) = self.send(self.message(frame)).await {
                return outcome;
            }
        }
        loop {
            let event = tokio::select! {
                frame = attached.frames.recv() => Event::Frame(frame),
                message = self.socket.next() => Event::Message(message),
                Some(how) = self.breaks.recv() => Event::Break(how),
                () = self.state.end.cancelled() => Event::End,
            };
            match event {
                Event::Frame(Some(frame)) => {
                    let exit = matches!(frame, Frame::Exit(_));
                    if let (true, Some(Fault::NoExit(how))) = (exit, fault) {
                        return Outcome::Broken(*how);
                    }
                    if let Err(outcome) = self.send(self.message(frame)).await {
                        return outcome;
                    }
                    if exit {
                        return Outcome::Over;
                    }
                }
                Event::Message(Some(Ok(Message::Binary(bytes)))) => {
                    input(&mut attached, &bytes, self.control).await;
                }
                Event::Message(Some(Ok(Message::Text(text)))) => {
                    if self.told(&attached, &text) {
                        return Outcome::Over;
                    }
                }
                Event::Message(Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                ))) => {}
                Event::Break(how) => return Outcome::Broken(how),
                Event::Frame(None)
                | Event::Message(None | Some(Ok(Message::Close(_)) | Err(_)))
                | Event::End => return Outcome::Gone,
            }
        }
    }

    /// Sends, unless the line is to break first.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Outcome> {
        tokio::select! {
            sent = self.socket.send(message) => sent.map_err(|_| Outcome::Gone),
            Some(how) = self.breaks.recv() => Err(Outcome::Broken(how)),
            () = self.state.end.cancelled() => Err(Outcome::Gone),
        }
    }

    /// Breaks the line in this way; a silent one stays until the service goes.
    pub(super) async fn end(mut self, outcome: Outcome) {
        let closed = match outcome {
            Outcome::Over => CloseCode::Normal,
            Outcome::Broken(Break::Close) => CloseCode::Away,
            Outcome::Broken(Break::Silent) => return self.state.end.cancelled().await,
            Outcome::Broken(Break::Reset) | Outcome::Gone => return,
        };
        let frame = CloseFrame {
            code: closed,
            reason: "".into(),
        };
        let end = self.state.end.clone();
        let closing = async {
            let _ = self.socket.close(Some(frame)).await;
            // Until the other side has said goodbye, or is gone.
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        tokio::select! {
            () = closing => {}
            () = end.cancelled() => {}
        }
    }

    fn message(&self, frame: Frame) -> Message {
        let bytes = |stream: u8, bytes: &[u8]| {
            let mut message = Vec::with_capacity(bytes.len() + 1);
            message.push(stream);
            message.extend_from_slice(bytes);
            Message::binary(message)
        };
        match frame {
            Frame::Stdout(text) => bytes(STDOUT, &text),
            Frame::Stderr(text) => bytes(STDERR, &text),
            Frame::Exit(code) if self.state.settings.exit_as_text => {
                Message::text(json!({"type": "exit", "exit_code": code}).to_string())
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the wire has one byte for it"
            )]
            Frame::Exit(code) => bytes(EXIT, &[code as u8]),
        }
    }

    /// Takes a message; `true`: the line is released.
    fn told(&self, attached: &Attached, text: &str) -> bool {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        match message["type"].as_str() {
            Some("signal") if self.signals => {
                if let Some(signal) = message["signal"].as_str().and_then(signal) {
                    attached.session.process.signal(signal);
                }
                false
            }
            Some("release") => self.control,
            _ => false,
        }
    }
}

async fn input(attached: &mut Attached, bytes: &[u8], control: bool) {
    let bytes = match bytes {
        [STDIN_EOF] => {
            attached.stdin = None;
            return;
        }
        [STDIN, bytes @ ..] if !control => bytes,
        bytes if control => bytes,
        _ => return,
    };
    if let Some(stdin) = &mut attached.stdin
        && stdin.write_all(bytes).await.is_err()
    {
        attached.stdin = None;
    }
}

fn info(attached: &Attached) -> Value {
    let session = &attached.session;
    json!({
        "type": "session_info", "session_id": session.id.to_string(), "command": session.command,
        "created": unix(session.created), "cols": 0, "rows": 0,
        "is_owner": attached.stdin.is_some(), "tty": false,
    })
}
