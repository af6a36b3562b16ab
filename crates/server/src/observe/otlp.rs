//! Spans and figures on their way to a collector, as OTLP over HTTP.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::instruments;

/// How often figures are sent. Spans go in batches, after 5 s at the latest.
const EVERY: Duration = Duration::from_secs(15);
/// How long a collector may take over one request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing can be sent.
pub(super) type Unusable = Box<dyn std::error::Error + Send + Sync>;

/// What sends; it has threads of its own, and what is slow here is slow for nobody else.
#[derive(Debug, Clone)]
pub(super) struct Exporter {
    pub(super) tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Exporter {
    /// To the collector at this base address: `http://localhost:4318`.
    pub(super) fn open(base: &str) -> Result<Self, Unusable> {
        let url = url::Url::parse(base)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("an address that begins with http:// or https:// is expected".into());
        }
        let base = base.trim_end_matches('/');
        let client: Arc<dyn HttpClient> = Arc::new(Client::new()?);
        let spans = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&client))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/traces"))
            .build()?;
        let figures = MetricExporter::builder()
            .with_http()
            .with_shared_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/metrics"))
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name("jackfield")
            .with_attribute(version)
            .build();
        let reader = PeriodicReader::builder(figures).with_interval(EVERY);
        let meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_reader(reader.build())
            .build();
        let tracers = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(spans)
            .build();
        Ok(Self { tracers, meters })
    }

    /// From now on figures are sent; spans are as soon as somebody hands any on.
    pub(super) fn begin(&self) {
        super::recorder::install();
        instruments::set(Some(self.meters.meter("jackfield")));
    }

    /// Sends what is left, and nothing after that. Blocks.
    pub(super) fn end(&self, within: Duration) {
        let spans = self.tracers.shutdown_with_timeout(within);
        // Its own end does not collect once more.
        let figures = self.meters.force_flush();
        instruments::set(None);
        let ended = self.meters.shutdown_with_timeout(within);
        for error in [spans, figures, ended].into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "the collector was not told everything");
        }
    }
}

/// Sends from the exporters' own threads, which know no runtime.
struct Client {
    client: reqwest::Client,
    /// `None` only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
    failing: AtomicBool,
}

impl Client {
    fn new() -> Result<Self, Unusable> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Nobody would look after a connection between two batches.
            .pool_max_idle_per_host(0)
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            client,
            runtime: Some(runtime),
            failing: AtomicBool::new(false),
        })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let Some(runtime) = &self.runtime else {
            return Err("it is being ended".into());
        };
        let answered = runtime.block_on(async {
            let sent = self.client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(sent.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(sent.headers());
            }
            Ok::<_, HttpError>(response.body(sent.bytes().await?)?)
        });
        let why = match &answered {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        // Once for each time that it begins.
        if let (Some(why), false) = (&why, self.failing.load(Ordering::Relaxed)) {
            tracing::warn!(why, "the collector does not take spans or figures");
        }
        self.failing.store(why.is_some(), Ordering::Relaxed);
        answered
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        // Its caller is a thread that has nothing else to do.
        Box::pin(std::future::ready(self.send(request)))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
