//! What goes by between program and server, for people: which call, how long, what came of it.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use jackfield::wire::Fault;
use jackfield::wire::frame::Frame;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::out::{Out, Style, plain};

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The program in the folder.
    Plugin,
    /// The server, or behind it whoever called.
    Server,
}

/// The calls that are open, and what becomes of them.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    out: &'a Out,
    /// Parameters and results, too.
    bodies: bool,
    /// Those that the plugin is to answer, by their ids.
    to_plugin: HashMap<String, Open>,
    /// Those that the server is to answer.
    to_server: HashMap<String, Open>,
    /// Those that the plugin is to answer and nobody waits for any more.
    orphans: HashMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    method: String,
    since: Instant,
}

/// So many open calls are remembered; whoever has more is not shown how long they took.
const REMEMBERED: usize = 10_000;

impl<'a> Calls<'a> {
    pub(super) fn new(out: &'a Out, bodies: bool) -> Self {
        Self {
            out,
            bodies,
            to_plugin: HashMap::new(),
            to_server: HashMap::new(),
            orphans: HashMap::new(),
        }
    }

    /// Shows a message. Whether it goes on to the other side: what answers a call of a connection that is gone does
    /// not.
    pub(super) fn seen(&mut self, from: Side, text: &str) -> bool {
        match Frame::parse(text) {
            Frame::Request {
                id, method, params, ..
            } => {
                self.call(from, id, &method, params);
                true
            }
            Frame::Response { id, outcome } => {
                let id = id.map(RawValue::get).unwrap_or_default();
                if from == Side::Plugin && self.orphans.remove(id).is_some() {
                    return false;
                }
                let open = match from {
                    Side::Plugin => self.to_plugin.remove(id),
                    Side::Server => self.to_server.remove(id),
                };
                self.answer(from, open.as_ref(), outcome);
                true
            }
            Frame::Malformed { fault, .. } => {
                let object =
                    json!({ "type": "malformed", "from": from.name(), "message": fault.message });
                let bad = self.out.style(Style::Bad, "no message of the contract");
                self.line(
                    from,
                    &object,
                    format_args!("{bad}: {}", plain(&fault.message)),
                );
                true
            }
        }
    }

    /// The connection to the server is gone: what it still had to answer is answered here.
    pub(super) fn server_gone(&mut self) -> Vec<String> {
        self.orphans.extend(self.to_plugin.drain());
        if self.orphans.len() > REMEMBERED {
            self.orphans.clear();
        }
        self.to_server.drain().map(|(id, _)| broken(&id)).collect()
    }

    /// What the plugin is answered while there is no server; nothing where it does not ask.
    pub(super) fn away(text: &str) -> Option<String> {
        match Frame::parse(text) {
            Frame::Request { id: Some(id), .. } => Some(broken(id.get())),
            _ => None,
        }
    }

    /// The connection to the plugin is gone: nobody answers.
    pub(super) fn plugin_gone(&mut self) {
        self.to_plugin.clear();
        self.to_server.clear();
        self.orphans.clear();
    }

    fn call(&mut self, from: Side, id: Option<&RawValue>, method: &str, params: Option<&RawValue>) {
        let object = json!({
            "type": "call", "from": from.name(), "method": method,
            "params": params.filter(|_| self.bodies),
        });
        let mut text = self.out.style(Style::Bold, plain(method));
        if let Some(params) = params.filter(|_| self.bodies) {
            text += &format!(" {}", plain(params.get()));
        }
        self.line(from, &object, text);
        let open = match from {
            Side::Plugin => &mut self.to_server,
            Side::Server => &mut self.to_plugin,
        };
        if let Some(id) = id
            && open.len() < REMEMBERED
        {
            let (method, since) = (method.to_owned(), Instant::now());
            open.insert(id.get().to_owned(), Open { method, since });
        }
    }

    fn answer(&self, from: Side, open: Option<&Open>, outcome: Result<&RawValue, Fault>) {
        let method = open.map_or("", |open| open.method.as_str());
        let ms = open.map(|open| open.since.elapsed().as_secs_f64() * 1000.0);
        let mut object = json!({
            "type": "answer", "from": from.name(), "method": method, "took_ms": ms, "ok": outcome.is_ok(),
        });
        let took = ms.map_or_else(String::new, |ms| format!(" {ms:.1} ms"));
        let name = plain(method);
        let text = match outcome {
            Ok(result) => {
                // What the contract's own questions are answered with says whether it was taken.
                let refused = serde_json::from_str::<Value>(result.get())
                    .is_ok_and(|result| result["ok"] == false);
                let word = match refused {
                    true => self.out.style(Style::Bad, "not ok"),
                    false => self.out.style(Style::Good, "ok"),
                };
                let mut text = format!("{name} {word}{took}");
                if self.bodies {
                    object["result"] = json!(result);
                    text += &format!(" {}", plain(result.get()));
                }
                text
            }
            Err(fault) => {
                object["fault"] = json!(fault);
                let word = self.out.style(Style::Bad, "fault");
                let (code, message) = (fault.code, plain(&fault.message));
                format!("{name} {word}{took}: {message} ({code})")
            }
        };
        self.line(from, &object, text);
    }

    /// `12:03:04.123  server → greet`
    fn line(&self, from: Side, object: &Value, text: impl fmt::Display) {
        let arrow = match from {
            Side::Server => "server → plugin",
            Side::Plugin => "plugin → server",
        };
        line(self.out, object, arrow, text);
    }
}

/// The answer to a call that has no other.
fn broken(id: &str) -> String {
    let fault = json!(Fault::new(-32000, "the connection to the server broke"));
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{fault}}}"#)
}

/// A line of what happens, with its time.
pub(super) fn line(out: &Out, object: &Value, kind: &str, text: impl fmt::Display) {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    if out.is_json() {
        let mut object = object.clone();
        object["time"] = time.into();
        return out.tell(&object, "");
    }
    let at = out.style(Style::Dim, &time[11..23]);
    out.say(format_args!("{at}  {kind:<15}  {text}"));
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Server => "server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_answered_when_the_server_goes() {
        let out = Out::new(false);
        let mut calls = Calls::new(&out, false);
        let seen = |calls: &mut Calls<'_>, from, text: &str| calls.seen(from, text);
        assert!(seen(
            &mut calls,
            Side::Plugin,
            r#"{"jsonrpc":"2.0","id":"a","method":"get_config"}"#
        ));
        assert!(seen(
            &mut calls,
            Side::Server,
            r#"{"jsonrpc":"2.0","id":7,"method":"greet"}"#
        ));
        assert!(seen(
            &mut calls,
            Side::Server,
            r#"{"jsonrpc":"2.0","method":"note"}"#
        ));
        let answers = calls.server_gone();
        assert_eq!(answers.len(), 1);
        let Frame::Response { id, outcome } = Frame::parse(&answers[0]) else {
            panic!("{answers:?}");
        };
        assert_eq!(id.unwrap().get(), r#""a""#);
        assert_eq!(outcome.unwrap_err().code, -32000);
        // The answer to a call of before does not reach a connection that never asked; the next one does.
        let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
        assert!(!seen(&mut calls, Side::Plugin, answer));
        assert!(seen(&mut calls, Side::Plugin, answer));
        assert!(seen(&mut calls, Side::Plugin, "no json"));
    }
}
