//! What `tracing` hears, as lines.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::text::{with_causes, write_line};

/// Writes every event as one line.
pub(super) struct JsonLines {
    scope: String,
}

/// A line. The order of the fields is that in which FTL's plugins write them.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, &'a str>,
    level: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(rename = "stackTrace", skip_serializing_if = "str::is_empty")]
    stack_trace: &'a str,
}

/// The fields of an event, or of a span.
#[derive(Default)]
struct Fields {
    message: String,
    error: String,
    stack_trace: String,
    attributes: Vec<(&'static str, String)>,
}

impl JsonLines {
    pub(super) fn new(scope: &str) -> Self {
        Self {
            scope: scope.to_owned(),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        // Read outside the lock: a value's own code may log.
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(known) = span.extensions_mut().get_mut::<Fields>() {
            known.attributes.append(&mut fields.attributes);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut of_spans: Vec<(&'static str, String)> = Vec::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(known) = span.extensions().get::<Fields>() {
                of_spans.extend(known.attributes.iter().rev().cloned());
            }
        }
        let mut attributes = BTreeMap::from([("scope", self.scope.as_str())]);
        // The innermost span came first, and what is nearer to the event wins.
        for (name, value) in of_spans.iter().rev().chain(&fields.attributes) {
            attributes.insert(name, value);
        }
        let line = Line {
            attributes,
            level: name(*event.metadata().level()),
            error: &fields.error,
            timestamp: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
            message: &fields.message,
            stack_trace: &fields.stack_trace,
        };
        // Strings under string keys: there is nothing that cannot be written.
        if let Ok(line) = serde_json::to_string(&line) {
            write_line(&line);
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "error" => self.error = value,
            "stackTrace" => self.stack_trace = value,
            name => self.attributes.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, with_causes(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_shape_that_hosts_know() {
        let line = Line {
            attributes: BTreeMap::from([("scope", "lab")]),
            level: name(Level::ERROR),
            error: "inner",
            timestamp: "2026-11-21T23:17:23.658066739Z".to_owned(),
            message: "outer: inner",
            stack_trace: "",
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"attributes":{"scope":"lab"},"level":"error","error":"inner","timestamp":"2026-11-21T23:17:23.658066739Z","message":"outer: inner"}"#
        );
    }
}
