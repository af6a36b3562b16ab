//! Calls between plugins and the application: their spans, their figures.

use jackfield::rpc::{CallError as RpcError, trace};
use jackfield::{Call, CallError, CallOptions, Fault, RawJson, Session};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::family::{CALL_SECONDS, CALLS};
use super::span::{begin, new_trace};

const TO_PLUGIN: &str = "to_plugin";
const FROM_PLUGIN: &str = "from_plugin";
/// Plugins choose the names of what they call; of longer ones so many bytes are told.
const NAME: usize = 100;

/// One call, counted when it ends; dropped before that, as cancelled.
struct Counted {
    direction: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl Counted {
    fn new(direction: &'static str) -> Self {
        Self {
            direction,
            began: Instant::now(),
            outcome: "cancelled",
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (direction, outcome) = (self.direction, self.outcome);
        let took = self.began.elapsed().as_secs_f64();
        metrics::counter!(CALLS.name, "direction" => direction, "outcome" => outcome).increment(1);
        metrics::histogram!(CALL_SECONDS.name, "direction" => direction).record(took);
    }
}

/// Calls a plugin, as [`Session::call_raw`] does, within a span of its own, of which the plugin is
/// told. Cancel safe as that.
pub(crate) async fn call(
    session: &Session,
    method: &str,
    params: Option<&RawValue>,
    mut options: CallOptions,
) -> Result<RawJson, CallError> {
    let span = tracing::info_span!(
        "call_plugin",
        otel.kind = "client",
        plugin = %session.id(),
        method = short(method),
        outcome = tracing::field::Empty,
    );
    options.traceparent = begin(&span, options.traceparent.or_else(trace::current));
    let mut counted = Counted::new(TO_PLUGIN);
    let answer = session
        .call_raw(method, params, options)
        .instrument(span.clone())
        .await;
    counted.outcome = match &answer {
        Ok(_) => "ok",
        Err(CallError::NotActive(_)) => "not_active",
        Err(CallError::Call(error)) => match error {
            RpcError::Refused(_) => "fault",
            RpcError::Deadline { .. } => "deadline",
            RpcError::Closed(_) => "closed",
            RpcError::TooLarge { .. } | RpcError::AnswerTooLarge { .. } => "too_large",
            RpcError::BadAnswer { .. } | RpcError::Encode(_) => "bad_answer",
        },
        Err(_) => "impossible",
    };
    span.record("outcome", counted.outcome);
    answer
}

/// Answers a plugin's call with this, within a span of its own in the trace that the plugin told.
pub(crate) async fn answered<T>(
    call: &Call<Session>,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let span = tracing::info_span!(
        "plugin_call",
        otel.kind = "server",
        plugin = %call.context.id(),
        method = short(&call.method),
        trace_id = tracing::field::Empty,
        outcome = tracing::field::Empty,
    );
    // The application is told of a trace whatever the plugin knows of traces.
    let own = begin(&span, call.traceparent()).or_else(new_trace);
    if let Some(own) = &own {
        span.record("trace_id", own.trace_id());
    }
    let mut counted = Counted::new(FROM_PLUGIN);
    let answer = trace::within(own, answer).instrument(span.clone()).await;
    counted.outcome = match &answer {
        Ok(_) => "ok",
        Err(_) => "fault",
    };
    span.record("outcome", counted.outcome);
    answer
}

fn short(name: &str) -> &str {
    let end = (0..=NAME.min(name.len())).rev();
    let end = end.into_iter().find(|at| name.is_char_boundary(*at));
    &name[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("ping"), "ping");
        assert_eq!(short(""), "");
        let long = "ä".repeat(80);
        assert_eq!(short(&long), "ä".repeat(50));
        assert_eq!(short(&format!("x{long}")).len(), 99);
    }
}
