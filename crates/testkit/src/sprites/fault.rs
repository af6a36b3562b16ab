//! Faults on order.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// What the service can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// `POST /v1/sprites`.
    Create,
    /// `GET /v1/sprites/{name}`.
    Get,
    /// `GET /v1/sprites`.
    List,
    /// `DELETE /v1/sprites/{name}`.
    Delete,
    /// `GET …/fs/read`.
    Read,
    /// `PUT …/fs/write`.
    Write,
    /// `GET …/fs/list`.
    ListFiles,
    /// `DELETE …/fs/delete`.
    DeleteFiles,
    /// `POST …/fs/rename`, `…/fs/copy` and `…/fs/chmod`.
    ChangeFiles,
    /// A WebSocket on `…/exec` that starts a process.
    Exec,
    /// A WebSocket on `…/exec/{session}` or `…/exec?id=`, or `op.start` with an `id`.
    Attach,
    /// A WebSocket on `…/control`.
    Control,
    /// `op.start` of a process on a control channel.
    Start,
    /// `GET …/exec` and `HEAD …/exec`.
    Sessions,
    /// `POST …/exec/{session}/kill`.
    Kill,
    /// Anything else; answered 404.
    Other,
}

/// How a WebSocket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// With a close frame, code 1001.
    Close,
    /// The connection is closed without a close frame.
    Reset,
    /// The connection stays, but nothing is read, sent or answered any more, pings neither.
    Silent,
}

/// What happens instead of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error with a body as the service gives it; on `op.start` an `op.error`.
    Status {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// The header `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// The connection is closed without an answer, after so many bytes of the body were taken in.
    Cut(u64),
    /// No answer until the operation's orders are cleared.
    Hold,
    /// `Exec`, `Attach`, `Start`: the process runs, but the line breaks before anything was said.
    Started(Break),
    /// `Exec`, `Attach`, `Start`: the process ends, but instead of its exit the line breaks.
    NoExit(Break),
}

/// An order, as long as it holds.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) op: Op,
    /// So many requests are left alone first.
    pub(super) skip: usize,
    /// So many requests meet it; `None`: all.
    pub(super) times: Option<usize>,
    pub(super) fault: Fault,
}

/// What the next request of this operation meets.
pub(super) fn take(orders: &mut Vec<Order>, op: Op) -> Option<Fault> {
    let index = orders.iter().position(|order| order.op == op)?;
    let order = &mut orders[index];
    if order.skip > 0 {
        order.skip -= 1;
        return None;
    }
    let fault = order.fault.clone();
    if let Some(times) = &mut order.times {
        *times -= 1;
        if *times == 0 {
            orders.remove(index);
        }
    }
    Some(fault)
}

impl Fault {
    /// An error of this status, in the words the stand-in has for it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let (code, message) = match status {
            401 => ("unauthorized", "The token is missing or not valid"),
            403 => ("forbidden", "The token may not do this"),
            404 => ("not_found", "There is no such thing"),
            409 => ("conflict", "There is such a thing already"),
            410 => ("gone", "The session has ended"),
            413 => ("payload_too_large", "File contents exceed 16 MiB"),
            429 => ("rate_limited", "Too many requests"),
            503 => ("unavailable", "The service is not available"),
            _ => ("internal_error", "Something went wrong"),
        };
        Self::told(status, &json!({"error": code, "message": message}))
    }

    /// 429: too many sprites were made; to be tried again after so many seconds, which stands in
    /// the header `Retry-After` and in the body.
    #[must_use]
    pub fn rate_limited(seconds: u64) -> Self {
        let body = json!({
            "error": "sprite_creation_rate_limited", "message": "Sprite creation rate limit exceeded",
            "limit": 10, "window_seconds": 60, "retry_after_seconds": seconds,
        });
        match Self::told(429, &body) {
            Self::Status { status, body, .. } => Self::Status {
                status,
                body,
                retry_after: Some(seconds),
            },
            other => other,
        }
    }

    /// 403: the account has as many sprites as it may have.
    #[must_use]
    pub fn quota() -> Self {
        let body = json!({
            "error": "concurrent_sprite_limit_exceeded",
            "message": "Concurrent sprite limit exceeded: 3 of 3", "limit": 3, "current_count": 3,
            "upgrade_available": true, "upgrade_url": "https://example.org/upgrade",
        });
        Self::told(403, &body)
    }

    /// An error whose body is no JSON.
    #[must_use]
    pub fn plain(status: u16, text: &str) -> Self {
        Self::Status {
            status,
            body: text.to_owned(),
            retry_after: None,
        }
    }

    fn told(status: u16, body: &Value) -> Self {
        Self::plain(status, &body.to_string())
    }

    /// The words of an error, for an `op.error`.
    pub(super) fn words(&self) -> String {
        let Self::Status { status, body, .. } = self else {
            return format!("{self:?}");
        };
        let message = serde_json::from_str::<Value>(body)
            .ok()
            .and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
        message.unwrap_or_else(|| format!("{status}: {body}"))
    }

    /// The answer, of a fault that has one.
    pub(super) fn answer(&self) -> Option<Response<Full<Bytes>>> {
        let Self::Status {
            status,
            body,
            retry_after,
        } = self
        else {
            return None;
        };
        let mut response = Response::new(Full::from(body.clone()));
        *response.status_mut() = StatusCode::from_u16(*status).expect("an HTTP status");
        let headers = response.headers_mut();
        if body.starts_with('{') {
            headers.insert("content-type", "application/json".parse().expect("a value"));
        }
        if let Some(seconds) = retry_after {
            headers.insert("retry-after", (*seconds).into());
            headers.insert("x-ratelimit-limit", 10.into());
            headers.insert("x-ratelimit-remaining", 0.into());
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_met_in_turn() {
        let order = |skip, times, status| Order {
            op: Op::Write,
            skip,
            times,
            fault: Fault::status(status),
        };
        let mut orders = vec![order(1, Some(2), 500), order(0, None, 503)];
        assert_eq!(take(&mut orders, Op::Read), None);
        let met: Vec<_> = (0..5).map(|_| take(&mut orders, Op::Write)).collect();
        let (early, late) = (Some(Fault::status(500)), Some(Fault::status(503)));
        assert_eq!(met, [None, early.clone(), early, late.clone(), late]);
    }
}
