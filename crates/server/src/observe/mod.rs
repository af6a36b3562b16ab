//! What is measured, and where it goes.
//!
//! Counters and histograms go through the `metrics` facade, from wherever something happens; what
//! *is* (plugins, processes, open calls, waiting events) is computed when somebody asks, from what
//! is there. Both are served to Prometheus and, with the feature `otel`, sent to an OTLP collector,
//! as spans are.

mod family;

mod recorder;
mod sample;
mod text;

mod span;

mod calls;
mod requests;

#[cfg(feature = "otel")]
mod instruments;
#[cfg(feature = "otel")]
mod otlp;

mod logging;

pub(crate) use calls::{answered, call};
pub use logging::{LogFormat, Logging, LoggingError, Telemetry};
pub(crate) use recorder::install;
pub(crate) use requests::request;
pub(crate) use span::{begin, new_trace};
pub(crate) use text::{CONTENT_TYPE, render, upkeep};
