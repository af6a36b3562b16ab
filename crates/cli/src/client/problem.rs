//! What the server says of an error (RFC 9457).

use std::fmt;

use reqwest::Url;
use serde_json::{Map, Value};

use crate::exit::Exit;
use crate::out::plain;

/// It said no, and why.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    body: Map<String, Value>,
    server: String,
}

impl Problem {
    pub(crate) fn new(body: Map<String, Value>, server: &Url) -> Self {
        let server = server.as_str().trim_end_matches('/').to_owned();
        Self { body, server }
    }

    fn text(&self, key: &str) -> &str {
        self.body
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The status of the response; 0 where the body does not tell.
    pub(crate) fn status(&self) -> u64 {
        self.body.get("status").and_then(Value::as_u64).unwrap_or(0)
    }

    /// What kind: `no-such-plugin`.
    pub(crate) fn kind(&self) -> &str {
        let kind = self.text("type");
        kind.strip_prefix("urn:jackfield:problem:").unwrap_or(kind)
    }

    /// What went wrong with a plugin, in full.
    pub(crate) fn failure(&self) -> Option<&Value> {
        self.body
            .get("failure")
            .filter(|failure| failure.is_object())
    }

    /// Everything, for programs.
    pub(crate) fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        match self.status() {
            _ if self.failure().is_some() => Exit::Plugin,
            _ if matches!(
                self.kind(),
                "plugin-failed" | "brought-back" | "not-active-in-time"
            ) =>
            {
                Exit::Plugin
            }
            401 | 403 | 503 => Exit::Server,
            _ if self.body.contains_key("fault") => Exit::Call,
            _ => match self.kind() {
                "not-active" | "plugin-refused" | "no-such-method" | "no-answer" => Exit::Call,
                _ => Exit::Refused,
            },
        }
    }

    /// What to do about it: what the server says, then what this command can do.
    pub(crate) fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if !self.text("hint").is_empty() {
            hints.push(plain(self.text("hint")));
        }
        let server = &self.server;
        let next = match (self.status(), self.kind()) {
            (401, _) => Some(format!("log in: jackfield login {server}")),
            (403, kind) if !kind.contains("disabled") && !kind.contains("runtime") => Some(
                "`jackfield whoami` shows what this token may; an administrator makes another: `jackfield tokens create`".to_owned(),
            ),
            (_, "no-such-plugin") => Some("`jackfield list` shows all plugins there".to_owned()),
            (_, "no-such-job") => Some("`jackfield jobs` shows those that are kept".to_owned()),
            (_, "not-active") => Some("start it: jackfield activate <plugin>; or ask: jackfield why <plugin>".to_owned()),
            (503, _) => Some("try again in a moment".to_owned()),
            (500, _) => Some(format!("the server's log tells more, by trace_id={}", self.text("trace_id"))),
            _ if self.failure().is_some() || self.kind() == "plugin-failed" => {
                Some("`jackfield why <plugin>` tells all that is known, `jackfield logs <plugin>` what it wrote".to_owned())
            }
            _ => None,
        };
        hints.extend(next);
        hints
    }
}

impl fmt::Display for Problem {
    /// `Title: detail`, then what is wrong at which place where the detail does not say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, detail) = (self.text("title"), self.text("detail"));
        match (title.is_empty(), detail.is_empty()) {
            (false, false) => write!(f, "{title}: {detail}")?,
            (true, true) => write!(f, "the server answered with status {}", self.status())?,
            _ => write!(f, "{title}{detail}")?,
        }
        let places = self.body.get("problems").and_then(Value::as_array);
        for place in places.into_iter().flatten() {
            let part = |key: &str| place[key].as_str().unwrap_or_default();
            if !detail.contains(part("message")) {
                let colon = if part("path").is_empty() { "" } else { ": " };
                write!(f, "\n  {}{colon}{}", part("path"), part("message"))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(body: Value) -> Problem {
        let Value::Object(body) = body else { panic!() };
        Problem::new(body, &"http://here:1".parse().unwrap())
    }

    #[test]
    fn everything_that_is_known_is_shown_once() {
        let problem = problem(json!({
            "type": "urn:jackfield:problem:invalid-manifest", "title": "Invalid manifest", "status": 400,
            "detail": "id: is empty", "hint": "read the book",
            "problems": [{"path": "id", "message": "is empty"}, {"path": "author", "message": "is odd"}],
        }));
        assert_eq!(
            problem.to_string(),
            "Invalid manifest: id: is empty\n  author: is odd"
        );
        assert_eq!(problem.hints(), ["read the book"]);
        assert_eq!(problem.exit(), Exit::Refused);
    }

    #[test]
    fn exit_codes_tell_who_said_no() {
        let of = |status: u16, kind: &str, extra: Value| {
            let mut body =
                json!({"status": status, "type": format!("urn:jackfield:problem:{kind}")});
            if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
                body.extend(extra);
            }
            problem(body).exit()
        };
        assert_eq!(of(401, "unauthenticated", json!({})), Exit::Server);
        assert_eq!(of(403, "forbidden", json!({})), Exit::Server);
        assert_eq!(
            of(502, "failed", json!({"failure": {"message": "x"}})),
            Exit::Plugin
        );
        assert_eq!(
            of(502, "plugin-refused", json!({"fault": {"code": 1}})),
            Exit::Call
        );
        assert_eq!(of(409, "not-active", json!({})), Exit::Call);
        assert_eq!(of(404, "no-such-plugin", json!({})), Exit::Refused);
    }
}
