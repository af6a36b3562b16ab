//! The server's own log on standard error, and its spans on their way to a collector.

use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// How a program logs that runs a server. For the whole process, and so not of a
/// [`Server`](crate::Server); a program that has a subscriber of its own does not need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// How lines are written.
    pub format: LogFormat,
    /// What is logged, as `RUST_LOG` has it: `info`, `jackfield=debug,warn`. Libraries that would
    /// log what is on the wire, secrets with it, say so only where they are named.
    pub filter: String,
    /// Text with colours.
    pub colour: bool,
    /// Where spans and figures go: the base address of an OTLP collector over HTTP,
    /// `http://localhost:4318`. Without the feature `otel` they go nowhere.
    pub otlp: Option<String>,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object on each line.
    Json,
}

/// What goes to a collector; to be [ended](Self::end).
#[must_use = "what is not ended has not sent everything"]
#[derive(Debug)]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    exporter: Option<super::otlp::Exporter>,
}

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The filter makes no sense.
    #[error("{filter:?} is not a filter for logs: info, or jackfield=debug,warn, is expected")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Nothing can be sent there.
    #[error("spans and figures cannot be sent there")]
    Otlp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process logs already.
    #[error("this process logs already")]
    Taken,
}

/// What these log at `debug` may be what is on the wire.
const QUIET: &str = "hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info,tungstenite=info,\
tokio_tungstenite=info,sqlx=warn,object_store=info,opentelemetry=warn";

impl Logging {
    /// Begins to log, for the whole process. Needs no runtime.
    ///
    /// # Errors
    /// See [`LoggingError`].
    pub fn start(&self) -> Result<Telemetry, LoggingError> {
        let (subscriber, telemetry) = self.subscriber(std::io::stderr)?;
        match tracing::subscriber::set_global_default(subscriber) {
            Ok(()) => {
                #[cfg(feature = "otel")]
                if let Some(exporter) = &telemetry.exporter {
                    exporter.begin();
                }
                Ok(telemetry)
            }
            Err(_) => Err(LoggingError::Taken),
        }
    }

    fn subscriber<W>(
        &self,
        writer: W,
    ) -> Result<(impl Subscriber + Send + Sync + use<W>, Telemetry), LoggingError>
    where
        W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
    {
        // Later ones count more where they name the same.
        let filter = EnvFilter::try_new(format!("{QUIET},{}", self.filter));
        let filter = filter.map_err(|source| LoggingError::Filter {
            filter: self.filter.clone(),
            source,
        })?;
        let lines = fmt::layer().with_writer(writer);
        let lines = match self.format {
            LogFormat::Text => lines.with_ansi(self.colour).boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        let subscriber = Registry::default().with(lines.with_filter(filter));
        #[cfg(feature = "otel")]
        {
            let exporter = self.otlp.as_deref().map(super::otlp::Exporter::open);
            let exporter = exporter.transpose().map_err(LoggingError::Otlp)?;
            let spans = exporter.as_ref().map(spans);
            Ok((subscriber.with(spans), Telemetry { exporter }))
        }
        #[cfg(not(feature = "otel"))]
        Ok((subscriber, Telemetry {}))
    }
}

/// Our spans, and of what happens within them what matters.
#[cfg(feature = "otel")]
fn spans<S>(exporter: &super::otlp::Exporter) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
{
    use opentelemetry::trace::TracerProvider as _;
    let ours = |about: &tracing::Metadata<'_>| {
        about.target().starts_with("jackfield") && *about.level() <= tracing::Level::INFO
    };
    tracing_opentelemetry::layer()
        .with_tracer(exporter.tracers.tracer("jackfield"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_filter(tracing_subscriber::filter::filter_fn(ours))
}

impl Telemetry {
    /// Sends what is left to the collector, for so long at most. To be called when the server has
    /// ended.
    pub async fn end(self, within: Duration) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter {
            // Its threads are waited for.
            let ending = tokio::task::spawn_blocking(move || exporter.end(within));
            let _ = ending.await;
        }
        #[cfg(not(feature = "otel"))]
        let _ = within;
    }
}
