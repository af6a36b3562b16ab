//! Spans and the traces that they belong to.

use jackfield::wire::Traceparent;
use tracing::Span;

/// Puts a span that has just been made into the trace of whoever caused it, and says what its own
/// requests are to tell: the span itself where spans go to a collector, else what was given.
#[cfg(feature = "otel")]
pub(crate) fn begin(span: &Span, parent: Option<Traceparent>) -> Option<Traceparent> {
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    };
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    if let Some(parent) = parent
        && let (Ok(trace), Ok(caller)) = (
            TraceId::from_hex(parent.trace_id()),
            SpanId::from_hex(parent.parent_id()),
        )
    {
        let flags = if parent.is_sampled() {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::default()
        };
        let context = SpanContext::new(trace, caller, flags, true, TraceState::default());
        // Fails where spans go nowhere.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(context));
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    let text = format!(
        "00-{}-{}-{:02x}",
        own.trace_id(),
        own.span_id(),
        own.trace_flags().to_u8()
    );
    text.parse().ok().or(parent)
}

/// Says what the requests of a span are to tell: what was given, as spans go nowhere.
#[cfg(not(feature = "otel"))]
pub(crate) fn begin(_span: &Span, parent: Option<Traceparent>) -> Option<Traceparent> {
    parent
}

/// A trace of its own, which nobody records.
pub(crate) fn new_trace() -> Option<Traceparent> {
    let mut bytes = [1u8; 24];
    // Without a random source all traces are the same one, which harms nobody.
    let _ = getrandom::fill(&mut bytes);
    let hex = bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    });
    let (trace, parent) = hex.split_at(32);
    format!("00-{trace}-{parent}-00").parse().ok()
}
