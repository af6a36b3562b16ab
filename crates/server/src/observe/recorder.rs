//! Where counters and histograms are kept: once for the whole process, as the facade has it.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::family::{CALL_SECONDS, CALLS, COUNTED, Family, Kind, REQUEST_SECONDS, REQUESTS};

/// The upper bounds of histograms, in seconds.
pub(super) const BUCKETS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// Begins to count. Servers of one process share their counters and histograms: what counts does
/// not know for which of them it works. Where the program has a recorder of its own already, that
/// one gets them, and they are not in what is served at `/metrics`.
pub(crate) fn install() {
    handle();
}

/// What is read and served; it is there however often it is asked for.
pub(super) fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
        let recorder = builder.expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(twin(recorder)).is_err() {
            tracing::info!("this program counts with a recorder of its own");
        }
        for family in COUNTED
            .iter()
            .chain([&CALLS, &CALL_SECONDS, &REQUESTS, &REQUEST_SECONDS])
        {
            describe(family);
        }
        handle
    })
}

fn describe(family: &Family) {
    match family.kind {
        Kind::Counter => metrics::describe_counter!(family.name, family.help),
        Kind::Gauge => metrics::describe_gauge!(family.name, family.help),
        Kind::Seconds => {
            metrics::describe_histogram!(family.name, metrics::Unit::Seconds, family.help);
        }
    }
}

#[cfg(not(feature = "otel"))]
fn twin(recorder: PrometheusRecorder) -> PrometheusRecorder {
    recorder
}

#[cfg(feature = "otel")]
fn twin(recorder: PrometheusRecorder) -> super::instruments::Twin {
    super::instruments::Twin::new(recorder)
}
